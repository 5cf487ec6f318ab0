//! A bounded breadth-first search along canonical paths, for questions between sets of paths.

use std::collections::{HashSet, VecDeque};

/// Most states that a question may look at before it is given up as undecided.
const STATES_MAX: usize = 50_000;

/// Where in a canonical path we are, as far as it limits what may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Spot {
    Before,
    AfterSlash,
    AfterDot,
    AfterDots,
    Inside,
}

impl Spot {
    /// Where `byte` leads; `None` when no canonical path goes on like this.
    pub(super) fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Before | Self::Inside, b'/') => Some(Self::AfterSlash),
            (Self::Before, _) | (Self::AfterSlash | Self::AfterDot | Self::AfterDots, b'/') => None,
            (Self::AfterDot | Self::AfterDots, b';') => None,
            (Self::AfterSlash, b'.') => Some(Self::AfterDot),
            (Self::AfterDot, b'.') => Some(Self::AfterDots),
            (Self::AfterSlash | Self::AfterDot | Self::AfterDots | Self::Inside, _) => Some(Self::Inside),
        }
    }

    /// Whether a canonical path may end here.
    pub(super) fn may_end(self) -> bool {
        matches!(self, Self::AfterSlash | Self::Inside)
    }
}

/// A breadth-first search that remembers the bytes it went by.
pub(super) struct Search<S> {
    seen: HashSet<(S, Spot)>,
    came_by: Vec<Option<(usize, u8)>>,
    queue: VecDeque<(usize, S, Spot)>,
}

impl<S> Default for Search<S> {
    fn default() -> Self {
        Self {
            seen: HashSet::new(),
            came_by: Vec::new(),
            queue: VecDeque::new(),
        }
    }
}

impl<S: Clone + Eq + std::hash::Hash> Search<S> {
    /// Puts a state in line unless it was there before.
    pub(super) fn add(&mut self, state: S, spot: Spot, came_by: Option<(usize, u8)>) {
        if !self.is_full() && self.seen.insert((state.clone(), spot)) {
            self.queue.push_back((self.came_by.len(), state, spot));
            self.came_by.push(came_by);
        }
    }

    /// The next state in line, with its number.
    pub(super) fn next(&mut self) -> Option<(usize, S, Spot)> {
        self.queue.pop_front()
    }

    /// Whether the bound is reached; then nothing is put in line any more.
    pub(super) fn is_full(&self) -> bool {
        self.came_by.len() >= STATES_MAX
    }

    /// The bytes that led to a state.
    pub(super) fn text(&self, mut index: usize) -> String {
        let mut bytes = Vec::new();
        while let Some(Some((before, byte))) = self.came_by.get(index) {
            bytes.push(*byte);
            index = *before;
        }
        bytes.reverse();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
