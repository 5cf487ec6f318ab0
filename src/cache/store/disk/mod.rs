//! The disk tier: what memory keeps is written to files as well, and read back when memory has let go of it or the program was restarted.
//!
//! - `file`: one answer as a file, with its check; `codec`: numbers and texts; `folder`: names, modes, the lock.
//! - `journal`: purges, so that they hold after a restart; `shelves`: what lies where; `writer`: the thread that changes anything.
//!
//! No core waits for a disk. What is kept goes into a bounded queue, and is not written where that is full; who misses in memory and finds
//! the key in the table asks for the file and waits for it, for [`RECALL_TIME_MAX`] at most. Whatever goes wrong costs answers and never makes
//! one: a file that is not as it was written is removed, and where purges can't be written down, or were not, nothing is trusted.
//!
//! It is our own and adds no crate. `foyer-storage` 0.22 without its default features brings 30 that this program has not (a second hash table, `lz4` in C,
//! `io-uring`, its own runtime), keeps an index beside ours, and knows nothing of purges that must hold after a restart: the journal would be
//! ours all the same. `cacache` 13 brings 23, with SHA-1 among them, writes an index file for each key, and has no bound in bytes.

mod codec;
pub(in crate::cache::store) mod file;
pub mod folder;
pub(in crate::cache::store) mod journal;
mod shelves;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::sync::{Notify, oneshot};

use self::{
    folder::{BadFolder, Name},
    journal::{Order, Told},
    shelves::Index,
};
use super::{Entry, KeyHash, Store};
use crate::fields::Known;

/// How long a request waits for a file. Then its backend is asked.
pub const RECALL_TIME_MAX: Duration = Duration::from_millis(250);
/// How long an answer that purged something waits until that is written down.
const PURGE_TIME_MAX: Duration = Duration::from_millis(250);
/// Bytes of answers that wait to be written. More are not written.
const QUEUE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Purges that wait to be written down. With more, nothing on disk is trusted any longer.
const ORDERS_MAX: u64 = 65_536;
/// Files that wait to be read. Who comes then asks the backend.
const READS_MAX: usize = 1_024;
/// Answers that lie there at most: the table of them is in memory, some 350 bytes each.
const ENTRIES_MAX: u64 = 500_000;
/// Threads that read.
const READERS: usize = 2;
/// What is of no use for longer is not written.
const LIFE_MIN: Duration = Duration::from_secs(10);

/// `[cache] disk` and `disk_bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// The folder, absolute.
    pub folder: PathBuf,
    /// Bytes that answers may take there.
    pub bytes: u64,
}

/// How full it is, and what it has done since the program started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskStats {
    /// Answers that lie there.
    pub entries: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Bytes that they may take.
    pub bytes_max: u64,
    /// Answers read.
    pub reads: u64,
    /// Answers written.
    pub writes: u64,
    /// Answers that could not be read or written, or were not as they were written.
    pub errors: u64,
    /// Answers not written since too many waited.
    pub dropped: u64,
    /// Another process has the folder still, or it is being read.
    pub waiting: bool,
}

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU64,
    writes: AtomicU64,
    errors: AtomicU64,
    dropped: AtomicU64,
}

/// What cores and threads share.
#[derive(Debug)]
pub(super) struct Shared {
    folder: PathBuf,
    index: Index,
    most: AtomicU64,
    /// Bytes that wait to be written, and purges.
    queued: AtomicU64,
    orders: AtomicU64,
    /// Purges were lost: nothing that lies there is trusted.
    void: AtomicBool,
    counts: Counts,
    /// What the folder held at the start, once it has been read.
    opened: OnceLock<Opened>,
    /// Up to which time purges are written down, on the store's clock.
    written: Mutex<u64>,
    blocking: Condvar,
    waking: Notify,
    /// Somebody waited for that in vain: until it goes on, nobody does.
    stalled: AtomicBool,
    /// Who waits for which key.
    recalls: Mutex<HashMap<KeyHash, Vec<oneshot::Sender<()>>>>,
}

/// What a folder held when it was opened.
#[derive(Debug)]
pub(in crate::cache::store) struct Opened {
    /// What purges before this process say, of answers that were asked for before it.
    pub(in crate::cache::store) told: Told,
    /// The journal's clock at this process's 0.
    pub(in crate::cache::store) base: u64,
}

/// What the writer does.
#[derive(Debug)]
enum Job {
    Write(Arc<Entry>),
    Note(u64, Order),
    Forget(Name),
}

/// The tier. Dropping it ends its threads.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    reads: mpsc::SyncSender<KeyHash>,
}

impl Disk {
    /// Prepares the folder, and starts the threads that open it.
    pub(super) fn start(settings: &DiskSettings, store: &Arc<Store>) -> Result<Self, BadFolder> {
        folder::prepare(&settings.folder)?;
        let shared = Arc::new(Shared {
            folder: settings.folder.clone(),
            index: Index::default(),
            most: AtomicU64::new(settings.bytes),
            queued: AtomicU64::new(0),
            orders: AtomicU64::new(0),
            void: AtomicBool::new(false),
            counts: Counts::default(),
            opened: OnceLock::new(),
            written: Mutex::new(0),
            blocking: Condvar::new(),
            waking: Notify::new(),
            stalled: AtomicBool::new(false),
            recalls: Mutex::default(),
        });
        let (jobs, todo) = mpsc::channel();
        let (reads, wanted) = mpsc::sync_channel(READS_MAX);
        writer::start(&shared, store, todo)?;
        let wanted = Arc::new(Mutex::new(wanted));
        for _ in 0..READERS {
            writer::start_reader(&shared, store, jobs.clone(), Arc::clone(&wanted))?;
        }
        Ok(Self { shared, jobs, reads })
    }

    /// Takes another bound.
    pub(super) fn resize(&self, bytes: u64) {
        self.shared.most.store(bytes, Ordering::Relaxed);
    }

    /// Has an answer written, if it is for the disk and there is room in the queue.
    pub(super) fn write(&self, entry: &Arc<Entry>) {
        let times = entry.times();
        let life = times
            .lifetime
            .saturating_add(times.while_revalidate.max(times.if_error));
        if is_personal(entry) || life.saturating_sub(times.initial_age) < LIFE_MIN {
            return;
        }
        let size = entry.size();
        let shared = &self.shared;
        if shared.queued.fetch_add(size, Ordering::Relaxed) + size > QUEUE_BYTES_MAX
            || self.jobs.send(Job::Write(Arc::clone(entry))).is_err()
        {
            shared.queued.fetch_sub(size, Ordering::Relaxed);
            shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has a purge written down.
    pub(super) fn note(&self, at: u64, order: Order) {
        let shared = &self.shared;
        if shared.orders.fetch_add(1, Ordering::Relaxed) >= ORDERS_MAX
            || self.jobs.send(Job::Note(at, order)).is_err()
        {
            shared.orders.fetch_sub(1, Ordering::Relaxed);
            shared.void.store(true, Ordering::Release);
        }
    }

    /// Brings what lies on disk under a key back into memory. False: nothing does, or it takes too long.
    pub(super) async fn recall(&self, key: KeyHash) -> bool {
        if !self.shared.index.may_have(key) {
            return false;
        }
        let Some(over) = self.ask(key) else {
            return false;
        };
        let waited = tokio::time::timeout(RECALL_TIME_MAX, over).await;
        waited.is_ok() // the sender never speaks: it goes
    }

    fn ask(&self, key: KeyHash) -> Option<oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        let mut recalls = self.shared.recalls();
        if let Some(others) = recalls.get_mut(&key) {
            others.push(sender);
            return Some(receiver);
        }
        self.reads.try_send(key).ok()?;
        recalls.insert(key, vec![sender]);
        Some(receiver)
    }

    /// Whether purges up to a time are written down, or nothing is to be waited for.
    fn is_written(&self, at: u64) -> bool {
        let shared = &self.shared;
        shared.opened.get().is_none() || shared.stalled.load(Ordering::Relaxed) || *shared.written() >= at
    }

    /// Waits until purges up to a time are written down; not for a disk that hangs.
    pub(super) async fn written(&self, at: u64) {
        let written = async {
            loop {
                let woken = self.shared.waking.notified();
                if self.is_written(at) {
                    return;
                }
                woken.await;
            }
        };
        if tokio::time::timeout(PURGE_TIME_MAX, written).await.is_err() {
            self.shared.stalled.store(true, Ordering::Relaxed);
        }
    }

    /// The same, for who is no task.
    pub(super) fn written_blocking(&self, at: u64) {
        if self.is_written(at) {
            return;
        }
        let written = self.shared.written();
        let waits = |written: &mut u64| *written < at;
        drop(
            self.shared
                .blocking
                .wait_timeout_while(written, PURGE_TIME_MAX, waits),
        );
    }

    pub(super) fn stats(&self) -> DiskStats {
        let shared = &self.shared;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DiskStats {
            entries: read(&shared.index.files),
            bytes: read(&shared.index.bytes),
            bytes_max: read(&shared.most),
            reads: read(&shared.counts.reads),
            writes: read(&shared.counts.writes),
            errors: read(&shared.counts.errors),
            dropped: read(&shared.counts.dropped),
            waiting: shared.opened.get().is_none(),
        }
    }

    /// Memory let go of what it had under a key.
    pub(super) fn unload(&self, key: KeyHash) {
        self.shared.index.unload(key);
    }
}

/// Whether an answer may be somebody's own. A route may keep such a one in memory; it never lies on disk.
fn is_personal(entry: &Entry) -> bool {
    let mut selected = entry.selected().iter();
    entry.terms().memory_only
        || entry.fields().contains_key(Known::SET_COOKIE)
        || selected.any(|(name, _)| matches!(&**name, "cookie" | "authorization"))
}

impl Shared {
    fn recalls(&self) -> std::sync::MutexGuard<'_, HashMap<KeyHash, Vec<oneshot::Sender<()>>>> {
        self.recalls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn written(&self) -> std::sync::MutexGuard<'_, u64> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_written(&self, at: u64) {
        let mut written = self.written();
        *written = at.max(*written);
        drop(written);
        self.stalled.store(false, Ordering::Relaxed);
        self.blocking.notify_all();
        self.waking.notify_waiters();
    }

    fn failed(&self, what: &'static str, error: &dyn std::fmt::Display) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%error, what, "the cache's disk");
    }
}
