//! What the store counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{How, NotKept};

/// How full the store is, and what it has done since the program started. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Answers that are kept.
    pub entries: u64,
    /// What small ones take.
    pub small: u64,
    /// What small ones may take.
    pub small_max: u64,
    /// What large ones take.
    pub large: u64,
    /// What large ones may take.
    pub large_max: u64,
    /// What answers take that are being collected.
    pub collecting: u64,
    /// What they may take.
    pub collecting_max: u64,
    /// Answers kept or refreshed.
    pub kept: u64,
    /// Small ones that went for others.
    pub evicted_small: u64,
    /// Large ones that went for others.
    pub evicted_large: u64,
    /// Purges after which stale answers may be served.
    pub purged_soft: u64,
    /// Purges after which nothing may.
    pub purged_hard: u64,
    /// Answers not kept since they are too large.
    pub refused_large: u64,
    /// Answers not kept since they have too many labels.
    pub refused_labels: u64,
    /// Answers not kept since they were purged on their way.
    pub refused_purged: u64,
    /// Answers not kept since too many were being collected.
    pub refused_full: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) entries: AtomicU64,
    pub(super) kept: AtomicU64,
    evicted: [AtomicU64; 2],
    purged_soft: AtomicU64,
    pub(super) purged_hard: AtomicU64,
    /// Hard purges after which what they purged was freed.
    pub(super) freed_at: AtomicU64,
    refused_large: AtomicU64,
    refused_labels: AtomicU64,
    refused_purged: AtomicU64,
    refused_full: AtomicU64,
}

impl Counts {
    pub(super) fn refuse(&self, why: NotKept) -> u64 {
        let count = match why {
            NotKept::Large => &self.refused_large,
            NotKept::Labels => &self.refused_labels,
            NotKept::Purged => &self.refused_purged,
            NotKept::Full => &self.refused_full,
        };
        count.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn evict(&self, large: bool) {
        let [small_ones, large_ones] = &self.evicted;
        let count = if large { large_ones } else { small_ones };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn purge(&self, how: How) {
        let count = match how {
            How::Soft => &self.purged_soft,
            How::Hard => &self.purged_hard,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(
        &self,
        (small, large): (u64, u64),
        (small_max, large_max): (u64, u64),
        (collecting, collecting_max): (&AtomicU64, &AtomicU64),
    ) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [evicted_small, evicted_large] = &self.evicted;
        Stats {
            entries: read(&self.entries),
            small,
            small_max,
            large,
            large_max,
            collecting: read(collecting),
            collecting_max: read(collecting_max),
            kept: read(&self.kept),
            evicted_small: read(evicted_small),
            evicted_large: read(evicted_large),
            purged_soft: read(&self.purged_soft),
            purged_hard: read(&self.purged_hard),
            refused_large: read(&self.refused_large),
            refused_labels: read(&self.refused_labels),
            refused_purged: read(&self.refused_purged),
            refused_full: read(&self.refused_full),
        }
    }
}
