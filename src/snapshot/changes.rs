//! Changes of what flags say, told to everyone who waits for one.

use std::{collections::VecDeque, time::Instant};

use super::{Snapshot, serving::Mark};
use crate::clock;

/// Earlier marks that are remembered: one that isn't known must be of an edge that is ahead.
const MARKS_REMEMBERED: usize = 16;

/// What flags say now and said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// All flags.
    pub all: Track,
    /// Those that browsers may read.
    pub public: Track,
}

/// The marks of some flags over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// The mark in force.
    pub now: Mark,
    /// Since when, by this process.
    pub since: Instant,
    before: VecDeque<Mark>,
}

impl Changes {
    /// What the first snapshot says.
    pub(super) fn first(at: &Snapshot) -> Self {
        Self {
            all: Track::first(at.serving.mark),
            public: Track::first(at.serving.public_mark),
        }
    }

    /// Takes what the next snapshot says; whether anything is another.
    pub(super) fn follow(&mut self, at: &Snapshot) -> bool {
        let all = self.all.follow(at.serving.mark);
        let public = self.public.follow(at.serving.public_mark);
        all || public
    }
}

impl Track {
    fn first(now: Mark) -> Self {
        Self {
            now,
            since: clock::steady(),
            before: VecDeque::new(),
        }
    }

    fn follow(&mut self, next: Mark) -> bool {
        if self.now == next {
            return false;
        }
        if self.before.len() == MARKS_REMEMBERED {
            self.before.pop_front();
        }
        self.before.push_back(self.now);
        self.now = next;
        self.since = clock::steady();
        true
    }

    /// Whether `mark` is in force or was before.
    #[must_use]
    pub fn knows(&self, mark: &str) -> bool {
        self.now.is(mark) || self.before.iter().any(|before| before.is(mark))
    }
}
