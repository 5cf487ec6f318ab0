//! Which flags are served to whom, and a mark that changes when they do.

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::digest;

use super::Rule;
use crate::{
    flag::{Flag, FlagId, Flags},
    gate::Auth,
};

/// What is served to browsers, and marks of all that is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serving {
    /// Flags that browsers may read, by key.
    pub public: Vec<Served>,
    /// Changes when a flag that browsers may read does, or comes or goes.
    pub public_mark: Mark,
    /// Changes when any flag does, or comes or goes.
    pub mark: Mark,
}

/// A flag that browsers may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Which one.
    pub flag: FlagId,
    /// Whether it decides by who is signed in: as on the routes that ask it. A flag that no route asks may, one whose routes all say
    /// `auth = "none"` may not, since those look at nobody.
    pub sees_person: bool,
}

/// Stands for what flags say: 128 bits of a SHA-256. The same for the same files on every edge and after any restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark(u128);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Mark {
    /// Whether `text` is this mark, written.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        u128::from_str_radix(text, 16).is_ok_and(|bits| bits == self.0) && text.len() == 32
    }

    fn of<'f>(flags: impl Iterator<Item = &'f Flag>) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for flag in flags {
            hash.update(format!("{:?} {:?}", flag.settings(), flag.layer_range()).as_bytes());
        }
        let digest = hash.finish();
        let bits = digest.as_ref().first_chunk().copied().unwrap_or_default();
        Self(u128::from_be_bytes(bits))
    }
}

/// Flags that have a say in what browsers are told: public ones, and those that they require, however many are in between.
fn told_by(flags: &Flags) -> impl Iterator<Item = FlagId> {
    let mut all: BTreeSet<FlagId> = BTreeSet::new();
    let mut open: Vec<FlagId> = flags
        .iter()
        .filter(|(_, flag)| flag.is_public())
        .map(|(id, _)| id)
        .collect();
    while let Some(id) = open.pop() {
        if all.insert(id)
            && let Some(flag) = flags.get(id)
        {
            let required = flag.settings().requires.iter();
            open.extend(required.filter_map(|required| flags.by_key(required.flag.as_str())));
        }
    }
    all.into_iter()
}

impl Serving {
    /// What of `flags` is served, where `rules` ask them.
    #[must_use]
    pub fn of(flags: &Flags, rules: &[Rule]) -> Self {
        let public = || flags.iter().filter(|(_, flag)| flag.is_public());
        let served = |(flag, _)| {
            let mut asking = rules
                .iter()
                .filter(|rule| rule.flags.contains(&flag))
                .map(|rule| rule.requirement.auth)
                .peekable();
            Served {
                flag,
                sees_person: asking.peek().is_none() || asking.any(|auth| auth != Auth::None),
            }
        };
        Self {
            public: public().map(served).collect(),
            public_mark: Mark::of(told_by(flags).filter_map(|id| flags.get(id))),
            mark: Mark::of(flags.iter().map(|(_, flag)| flag)),
        }
    }

    /// This flag, if browsers may read it.
    #[must_use]
    pub fn public(&self, flag: FlagId) -> Option<Served> {
        let at = self
            .public
            .binary_search_by_key(&flag, |served| served.flag)
            .ok()?;
        self.public.get(at).copied()
    }
}
