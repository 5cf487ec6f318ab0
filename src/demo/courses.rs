//! What the academy teaches: the data that both generations show.

/// A course.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    pub(super) teacher: &'static str,
    pub(super) level: &'static str,
    pub(super) hours: u32,
    /// Euro.
    pub(super) price: u32,
    pub(super) summary: &'static str,
    pub(super) lessons: &'static [&'static str],
    pub(super) reviews: &'static [Review],
}

/// What a student wrote.
#[derive(Debug)]
pub(super) struct Review {
    pub(super) by: &'static str,
    /// 1 to 5.
    pub(super) stars: u8,
    pub(super) text: &'static str,
}

impl Course {
    /// Mean of the stars, in tenths.
    pub(super) fn stars_tenths(&self) -> u32 {
        let sum: u32 = self.reviews.iter().map(|review| u32::from(review.stars)).sum();
        let count = u32::try_from(self.reviews.len()).unwrap_or(1).max(1);
        (sum * 10 + count / 2) / count
    }
}

/// The course with this slug.
pub(super) fn find(slug: &str) -> Option<&'static Course> {
    COURSES.iter().find(|course| course.slug == slug)
}

/// All courses.
pub(super) const COURSES: &[Course] = &[
    Course {
        slug: "rust",
        title: "Rust for careful people",
        teacher: "Mina Seo",
        level: "Beginner",
        hours: 14,
        price: 49,
        summary: "Ownership, errors and tests, by writing a small tool that you will go on using.",
        lessons: &[
            "Values that have one owner",
            "Errors are values too",
            "Testing what you promise",
            "A tool of your own",
        ],
        reviews: &[
            Review {
                by: "Jonas",
                stars: 5,
                text: "The chapter on ownership should be printed on the wall of every office.",
            },
            Review {
                by: "Haneul",
                stars: 5,
                text: "I finally understand why the compiler was right.",
            },
            Review {
                by: "Pia",
                stars: 4,
                text: "Dense, in a good way. The last exercise took me a weekend.",
            },
        ],
    },
    Course {
        slug: "http",
        title: "HTTP, one byte at a time",
        teacher: "Leo Brandt",
        level: "Intermediate",
        hours: 9,
        price: 39,
        summary: "What really travels between a browser and a server, from the request line to a stream of frames.",
        lessons: &[
            "A request by hand",
            "Who may cache what",
            "Frames and streams",
            "When two parsers disagree",
        ],
        reviews: &[
            Review {
                by: "Amira",
                stars: 5,
                text: "We found a real bug in our own proxy during lesson four.",
            },
            Review {
                by: "Tom",
                stars: 4,
                text: "Telnet nostalgia, but it pays off.",
            },
        ],
    },
    Course {
        slug: "strangler",
        title: "Replacing a running system",
        teacher: "Yuna Park",
        level: "Advanced",
        hours: 11,
        price: 59,
        summary: "Move a site to its next generation path by path, with people on it the whole time.",
        lessons: &[
            "Find the seams",
            "One path, two generations",
            "Ramps, and stepping back",
            "Turning the old one off",
        ],
        reviews: &[
            Review {
                by: "Sora",
                stars: 5,
                text: "We switched off the last legacy page on a Tuesday. Nobody noticed.",
            },
            Review {
                by: "Ben",
                stars: 5,
                text: "Worth it for the checklist alone.",
            },
            Review {
                by: "Ida",
                stars: 4,
                text: "I would have liked more on databases.",
            },
        ],
    },
    Course {
        slug: "sql",
        title: "SQL that stays fast",
        teacher: "Rafael Ortiz",
        level: "Intermediate",
        hours: 8,
        price: 35,
        summary: "Read a query plan, choose an index, and know when not to.",
        lessons: &[
            "Reading a plan",
            "Indexes that earn their keep",
            "Locks without fear",
        ],
        reviews: &[
            Review {
                by: "Nele",
                stars: 4,
                text: "Our nightly export went from forty minutes to two.",
            },
            Review {
                by: "Kofi",
                stars: 5,
                text: "Short, and every minute of it useful.",
            },
        ],
    },
    Course {
        slug: "accessibility",
        title: "Pages that everyone can use",
        teacher: "Ada Lindqvist",
        level: "Beginner",
        hours: 6,
        price: 29,
        summary: "Keyboard, contrast, names and landmarks: small habits that open a site to everybody.",
        lessons: &[
            "The page without a mouse",
            "Names for everything",
            "Colour that carries",
        ],
        reviews: &[Review {
            by: "Mateo",
            stars: 5,
            text: "I now test with a screen reader first.",
        }],
    },
    Course {
        slug: "observability",
        title: "Seeing what production does",
        teacher: "Kenji Mori",
        level: "Intermediate",
        hours: 7,
        price: 39,
        summary: "Logs, metrics and traces that answer the question you will have at three in the morning.",
        lessons: &[
            "One line per request",
            "Numbers with bounds",
            "Following one click",
        ],
        reviews: &[
            Review {
                by: "Lena",
                stars: 4,
                text: "We threw away half of our dashboards, and see more.",
            },
            Review {
                by: "Idris",
                stars: 4,
                text: "Good examples, honest about cost.",
            },
        ],
    },
];
