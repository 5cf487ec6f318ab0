//! The store's side of its disk: what goes there, and what comes back.

use std::{hash::RandomState, sync::Arc};

use super::{
    BadFolder, Disk, DiskSettings, DiskStats, Entry, How, Key, KeyHash, Stamp, Store,
    disk::{Opened, file::Restored},
};
use crate::clock;

/// Milliseconds by which an answer may come from the future: clocks are set. One from farther is none.
const AHEAD_MAX: u64 = 60_000;

impl Store {
    /// Begins to keep answers in a folder as well. It is read in the background.
    ///
    /// # Errors
    /// [`BadFolder`].
    pub fn open_disk(self: &Arc<Self>, settings: &DiskSettings) -> Result<(), BadFolder> {
        let disk = Disk::start(settings, self)?;
        let _ = self.disk.set(disk); // there is one for the process
        Ok(())
    }

    /// Takes another bound on what lies on disk.
    pub fn resize_disk(&self, bytes: u64) {
        if let Some(disk) = self.disk.get() {
            disk.resize(bytes);
        }
    }

    /// How full the disk is; `None`: there is none.
    #[must_use]
    pub fn disk_stats(&self) -> Option<DiskStats> {
        self.disk.get().map(Disk::stats)
    }

    /// Brings what lies on disk under a key back into memory, for who found nothing there. True: it is worth another look.
    pub async fn recall(&self, key: KeyHash) -> bool {
        match self.disk.get() {
            None => false,
            Some(disk) => disk.recall(key).await,
        }
    }

    /// Waits until what was purged so far stays purged after a restart, for so long as is reasonable.
    pub async fn purges_written(&self) {
        if let Some(disk) = self.disk.get() {
            disk.written(self.stamp().number()).await;
        }
    }

    /// The same, for who is no task.
    pub fn purges_written_blocking(&self) {
        if let Some(disk) = self.disk.get() {
            disk.written_blocking(self.stamp().number());
        }
    }

    /// Where names of purges lead.
    pub(super) const fn hasher(&self) -> &RandomState {
        self.generations.hasher()
    }

    /// Whether anything lies in memory under a key.
    pub(super) fn has(&self, key: KeyHash) -> bool {
        self.shelf(key).is_some()
    }

    /// Takes back an answer that was read. False: it is none any longer.
    pub(super) fn restore(&self, restored: Restored, opened: &Opened) -> bool {
        if restored.new.times.answered.millis > clock::wall().millis.saturating_add(AHEAD_MAX) {
            return false;
        }
        let Restored {
            hash,
            texts: [host, target, rest],
            new,
        } = restored;
        let key = Key {
            hash,
            host: &host,
            target: &target,
            rest: &rest,
        };
        let marks = self.generations.marks(&key, &new.labels);
        let mut entry = Entry::new(&key, new, marks);
        let asked = entry.stamp().number();
        match asked.checked_sub(opened.base).filter(|own| *own > 0) {
            Some(own) => entry.settle(Stamp::at(own), false),
            None if asked < opened.told.floor => return false,
            None => match opened.told.purges.verdict(&entry) {
                Some(How::Hard) => return false,
                soft => entry.settle(Stamp::BEFORE, soft.is_some()),
            },
        }
        self.shelve(Arc::new(entry), false).is_ok()
    }
}
