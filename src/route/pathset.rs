//! The set of paths that a template or pattern takes, as a small automaton: membership, a common path of two, one inside others.
//!
//! Questions between sets are asked about canonical paths only, so that nothing is said about paths that can't come.

use super::search::{Search, Spot};

/// The paths that a rule takes: steps from left to right, anchored at both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PathSet {
    steps: Vec<Step>,
    /// A path may also end before this step.
    may_end_at: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// This byte.
    Byte(u8),
    /// Any byte.
    One,
    /// Any bytes, also none.
    Many,
    /// Any byte but `/`.
    NotSlash,
    /// Any bytes but `/`, also none.
    NotSlashes,
}

impl Step {
    fn takes(self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => wanted == byte,
            Self::One | Self::Many => true,
            Self::NotSlash | Self::NotSlashes => byte != b'/',
        }
    }

    fn repeats(self) -> bool {
        matches!(self, Self::Many | Self::NotSlashes)
    }
}

/// Whether every path of a set is in one of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Inside {
    /// Yes.
    Yes,
    /// No: this path isn't.
    No(String),
    /// It would take too long to tell.
    Undecided,
}

/// Why two sets show no path that both have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoneFound {
    /// There is none.
    Certainly,
    /// Looking further would take too long.
    WithinBounds,
}

// === building ===

impl PathSet {
    /// Appends exactly this text.
    pub(super) fn literal(&mut self, text: &str) {
        self.steps.extend(text.bytes().map(Step::Byte));
    }

    /// Appends any one byte.
    pub(super) fn any_byte(&mut self) {
        self.steps.push(Step::One);
    }

    /// Appends any bytes, also none, slashes included.
    pub(super) fn any_bytes(&mut self) {
        if self.steps.last() != Some(&Step::Many) {
            self.steps.push(Step::Many);
        }
    }

    /// Appends one segment that isn't empty.
    pub(super) fn segment(&mut self) {
        self.steps.extend([Step::NotSlash, Step::NotSlashes]);
    }

    /// Appends a last `/*`: a slash and anything, or nothing at all.
    pub(super) fn rest(&mut self) {
        if !self.steps.is_empty() {
            self.may_end_at = Some(self.steps.len());
        }
        self.literal("/");
        self.any_bytes();
    }

    /// The same set as a regular expression over bytes, for the automaton of all ordered routes.
    pub(super) fn regex(&self) -> String {
        let mut text = String::new();
        for (at, step) in self.steps.iter().enumerate() {
            if self.may_end_at == Some(at) {
                text.push_str("(?:");
            }
            match *step {
                Step::Byte(byte) if byte.is_ascii_alphanumeric() || byte == b'/' => {
                    text.push(char::from(byte))
                }
                Step::Byte(byte) => {
                    use std::fmt::Write as _;
                    let _ = write!(text, "\\x{byte:02X}"); // a String takes every write
                }
                Step::One => text.push('.'),
                Step::Many => text.push_str(".*"),
                Step::NotSlash => text.push_str("[^/]"),
                Step::NotSlashes => text.push_str("[^/]*"),
            }
        }
        if self.may_end_at.is_some() {
            text.push_str(")?");
        }
        text.push_str("\\z");
        text
    }

    /// How many steps stand behind the first that repeats: all of them may be alive at once, at any byte of a path.
    pub(super) fn floating(&self) -> usize {
        let first = self.steps.iter().position(|step| step.repeats());
        first.map_or(0, |first| self.steps.len() - first - 1)
    }

    /// The bytes that every path of the set starts with.
    pub(super) fn fixed_start(&self) -> Vec<u8> {
        let limit = self.may_end_at.unwrap_or(self.steps.len());
        self.steps
            .iter()
            .take(limit)
            .map_while(|step| match step {
                Step::Byte(byte) => Some(*byte),
                Step::One | Step::Many | Step::NotSlash | Step::NotSlashes => None,
            })
            .collect()
    }
}

// === walking ===

impl PathSet {
    fn step(&self, at: usize) -> Option<Step> {
        self.steps.get(at).copied()
    }

    /// Puts `at` and the places that are reached from it without a byte into `places`.
    fn arrive(&self, mut at: usize, places: &mut Vec<usize>) {
        loop {
            if !places.contains(&at) {
                places.push(at);
            }
            match self.step(at) {
                Some(step) if step.repeats() => at += 1,
                Some(_) | None => return,
            }
        }
    }

    fn advance(&self, from: usize, byte: u8, places: &mut Vec<usize>) {
        match self.step(from) {
            Some(step) if step.takes(byte) => {
                self.arrive(if step.repeats() { from } else { from + 1 }, places)
            }
            Some(_) | None => {}
        }
    }

    fn ends(&self, at: usize) -> bool {
        at == self.steps.len() || self.may_end_at == Some(at)
    }

    /// Whether `path` is in the set.
    pub(super) fn takes(&self, path: &str) -> bool {
        let mut places = Vec::new();
        self.arrive(0, &mut places);
        for byte in path.bytes() {
            let mut next = Vec::new();
            for at in &places {
                self.advance(*at, byte, &mut next);
            }
            places = next;
        }
        places.iter().any(|at| self.ends(*at))
    }

    /// A short canonical path of the set; `None` when there is none.
    pub(super) fn example(&self) -> Option<String> {
        let mut everything = Self::default();
        everything.any_bytes();
        self.common_path(&everything)
    }

    /// A short canonical path that both sets take; `None` when there is none, or none was found within the bound.
    pub(super) fn common_path(&self, other: &Self) -> Option<String> {
        self.common(other).ok()
    }

    /// Whether it is certain that no canonical path is in both sets.
    pub(super) fn is_apart(&self, other: &Self) -> bool {
        self.common(other) == Err(NoneFound::Certainly)
    }

    fn common(&self, other: &Self) -> Result<String, NoneFound> {
        let mut search: Search<(usize, usize)> = Search::default();
        for start in self.pairs(other, (0, 0), None) {
            search.add(start, Spot::Before, None);
        }
        while let Some((index, pair, spot)) = search.next() {
            if spot.may_end() && self.ends(pair.0) && other.ends(pair.1) {
                return Ok(search.text(index));
            }
            for byte in self.common_bytes(other, pair) {
                let Some(spot) = spot.after(byte) else { continue };
                for next in self.pairs(other, pair, Some(byte)) {
                    search.add(next, spot, Some((index, byte)));
                }
            }
        }
        Err(if search.is_full() {
            NoneFound::WithinBounds
        } else {
            NoneFound::Certainly
        })
    }

    fn pairs(&self, other: &Self, from: (usize, usize), byte: Option<u8>) -> Vec<(usize, usize)> {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        match byte {
            Some(byte) => {
                self.advance(from.0, byte, &mut mine);
                other.advance(from.1, byte, &mut theirs);
            }
            None => {
                self.arrive(from.0, &mut mine);
                other.arrive(from.1, &mut theirs);
            }
        }
        mine.iter()
            .flat_map(|a| theirs.iter().map(|b| (*a, *b)))
            .collect()
    }

    /// Bytes worth trying: where both sides are wildcards, `x` stands for everything that isn't `/`.
    fn common_bytes(&self, other: &Self, at: (usize, usize)) -> impl Iterator<Item = u8> {
        let (first, second) = match (self.step(at.0), other.step(at.1)) {
            (None, _) | (_, None) => (None, None),
            (Some(Step::Byte(byte)), Some(_)) | (Some(_), Some(Step::Byte(byte))) => (Some(byte), None),
            (Some(_), Some(_)) => (Some(b'x'), Some(b'/')),
        };
        first.into_iter().chain(second)
    }

    /// Whether every canonical path of this set is in one of `others`.
    pub(super) fn inside(&self, others: &[&Self]) -> Inside {
        if others.contains(&self) {
            return Inside::Yes;
        }
        let symbols = symbols(others);
        let mut search: Search<(usize, Vec<(usize, usize)>)> = Search::default();
        let start: Vec<_> = spread(others, |_, set, places| set.arrive(0, places));
        let mut mine = Vec::new();
        self.arrive(0, &mut mine);
        for at in mine {
            search.add((at, start.clone()), Spot::Before, None);
        }
        while let Some((index, (at, places), spot)) = search.next() {
            let taken = |(which, at): &(usize, usize)| others.get(*which).is_some_and(|set| set.ends(*at));
            if spot.may_end() && self.ends(at) && !places.iter().any(taken) {
                return Inside::No(search.text(index));
            }
            let only;
            let bytes: &[u8] = match self.step(at) {
                None => continue,
                Some(Step::Byte(byte)) => {
                    only = [byte];
                    &only
                }
                Some(_) => &symbols,
            };
            for &byte in bytes {
                let Some(spot) = spot.after(byte) else { continue };
                let mut mine = Vec::new();
                self.advance(at, byte, &mut mine);
                let theirs = advance_all(others, &places, byte);
                for next in mine {
                    search.add((next, theirs.clone()), spot, Some((index, byte)));
                }
            }
            if search.is_full() {
                return Inside::Undecided;
            }
        }
        Inside::Yes
    }
}

/// One byte for each way in which `sets` can tell bytes apart, the plainest first.
fn symbols(sets: &[&PathSet]) -> Vec<u8> {
    let mut named: Vec<u8> = vec![b'/'];
    for set in sets {
        for step in &set.steps {
            if let Step::Byte(byte) = step
                && !named.contains(byte)
            {
                named.push(*byte);
            }
        }
    }
    let unnamed = (b'a'..=b'z')
        .rev()
        .chain(b'A'..=b'Z')
        .chain(b'0'..=b'9')
        .chain(*b"-_~!$&'()*+,=:@")
        .find(|byte| !named.contains(byte));
    unnamed.into_iter().chain(named.iter().copied()).collect()
}

fn spread(sets: &[&PathSet], fill: impl Fn(usize, &PathSet, &mut Vec<usize>)) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    for (which, set) in sets.iter().enumerate() {
        let mut places = Vec::new();
        fill(which, set, &mut places);
        all.extend(places.into_iter().map(|at| (which, at)));
    }
    all.sort_unstable();
    all
}

fn advance_all(sets: &[&PathSet], places: &[(usize, usize)], byte: u8) -> Vec<(usize, usize)> {
    spread(sets, |which, set, next| {
        for (_, at) in places.iter().filter(|place| place.0 == which) {
            set.advance(*at, byte, next);
        }
    })
}
