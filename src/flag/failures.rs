//! How often a flag's decision failed: one figure for all cores, which is written to only when one does.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::Flag;

/// Counts failures, over all versions of a flag. Cores share it, and touch it only when a decision fails.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures(Arc<AtomicU64>);

impl Flag {
    /// Requests whose decision failed, so that they got the default, since the program began to serve a flag of this key.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.0.load(Ordering::Relaxed)
    }

    /// Counts one more. Only traffic counts: who merely asks what would be decided does not.
    pub fn count_failure(&self) {
        self.failures.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts on where `before`, the flag of the same key in the version before, has come to.
    pub fn carry_over(&mut self, before: &Self) {
        self.failures.clone_from(&before.failures);
    }
}
