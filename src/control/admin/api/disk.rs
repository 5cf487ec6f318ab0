//! What the API tells of the cache's disk.

use schemars::JsonSchema;
use serde::Serialize;

use super::cache::Room;
use crate::cache::store::disk::DiskStats;

/// What lies on disk as well.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Disk {
    /// Answers.
    pub(in super::super) entries: u64,
    /// What they take.
    pub(in super::super) room: Room,
    /// Answers read back.
    pub(in super::super) reads: u64,
    /// Answers written.
    pub(in super::super) writes: u64,
    /// What could not be read or written, or was not as it was written.
    pub(in super::super) errors: u64,
    /// Answers not written since too many waited.
    pub(in super::super) dropped: u64,
    /// Another process still has the folder, or it is being read: nothing comes from it yet.
    pub(in super::super) waiting: bool,
}

impl Disk {
    /// What the store says of it.
    pub(super) fn of(stats: DiskStats) -> Self {
        Self {
            entries: stats.entries,
            room: Room {
                bytes: stats.bytes,
                max: stats.bytes_max,
            },
            reads: stats.reads,
            writes: stats.writes,
            errors: stats.errors,
            dropped: stats.dropped,
            waiting: stats.waiting,
        }
    }
}
