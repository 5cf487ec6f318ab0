//! What the last change of the files came to.

use std::{sync::Arc, time::Duration};

use crate::{clock::UnixTime, config::Problems, snapshot::diff::Diff};

/// What the last change came to, for the admin API and the page.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// When it was read.
    pub at: UnixTime,
    /// How it ended.
    pub outcome: Outcome,
    /// Every problem found then.
    pub problems: Arc<Problems>,
    /// Files whose last good version serves.
    pub stale: Vec<String>,
    /// What changed.
    pub diff: Diff,
    /// From the first byte read to the swap.
    pub took: Duration,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// It is in force, whole.
    #[default]
    Applied,
    /// It is in force but for the broken files, whose last good version serves on.
    Partial,
    /// Nothing of it is in force.
    Refused,
    /// It says what the last one said.
    Unchanged,
}

impl Outcome {
    /// For the log and the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }
}
