//! The threads of the disk tier: one changes what lies there, in the order in which it was told; a few read.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;

use super::{
    ENTRIES_MAX, Job, Opened, Shared, file,
    folder::{self, Name, on_disk},
    journal::{self, Journal, Order, private},
    shelves::{Filed, Line},
};
use crate::cache::store::{Entry, How, KeyHash, Store};

/// How often a folder is tried that another process has, or where a journal could not be begun.
const AGAIN: Duration = Duration::from_millis(100);
/// Jobs that are done before purges among them are written down.
const BATCH: usize = 1_024;

/// Starts the thread that writes.
pub(super) fn start(shared: &Arc<Shared>, store: &Arc<Store>, todo: Receiver<Job>) -> io::Result<()> {
    let (shared, store) = (Arc::clone(shared), Arc::downgrade(store));
    let writer = Writer {
        shared,
        store,
        line: Line::default(),
        journal: None,
        base: 0,
    };
    thread::Builder::new()
        .name("banyan-disk".to_owned())
        .spawn(move || writer.run(&todo))
        .map(drop)
}

/// Starts one that reads.
pub(super) fn start_reader(
    shared: &Arc<Shared>,
    store: &Arc<Store>,
    jobs: Sender<Job>,
    wanted: Arc<Mutex<Receiver<KeyHash>>>,
) -> io::Result<()> {
    let (shared, store) = (Arc::clone(shared), Arc::downgrade(store));
    let run = move || {
        loop {
            let next = wanted.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(key) = next else { return };
            if let Some(store) = store.upgrade() {
                shared.read_all(key, &store, &jobs);
            }
            drop(shared.recalls().remove(&key)); // wakes who waits
        }
    };
    let thread = thread::Builder::new().name("banyan-disk-read".to_owned());
    thread.spawn(run).map(drop)
}

impl Shared {
    /// Brings all that lies under a key back into memory.
    fn read_all(&self, key: KeyHash, store: &Store, jobs: &Sender<Job>) {
        let (Some(shelf), Some(opened)) = (self.index.get(key), self.opened.get()) else {
            return;
        };
        shelf.touch();
        for filed in &shelf.files {
            match self.read(filed, store, opened) {
                Ok(true) => {
                    self.counts.reads.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false) => drop(jobs.send(Job::Forget(filed.name))),
                Err(error) => {
                    self.failed("an answer could not be read", &error);
                    drop(jobs.send(Job::Forget(filed.name)));
                }
            }
        }
    }

    /// False: it was purged.
    fn read(&self, filed: &Filed, store: &Store, opened: &Opened) -> io::Result<bool> {
        let Name { key, stamp, .. } = filed.name;
        let path = filed.name.path(&self.folder);
        let mut bytes = Vec::with_capacity(usize::try_from(filed.bytes).unwrap_or_default());
        File::open(path)?.take(filed.bytes).read_to_end(&mut bytes)?;
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is not as it was written");
        let restored = file::read(&Bytes::from(bytes)).ok_or_else(damaged)?;
        if restored.hash != key || restored.new.stamp.number() != stamp || self.void.load(Ordering::Acquire) {
            return Err(damaged());
        }
        Ok(store.restore(restored, opened))
    }
}

struct Writer {
    shared: Arc<Shared>,
    store: Weak<Store>,
    line: Line,
    /// `None`: purges can't be written down, so nothing is kept.
    journal: Option<Journal>,
    base: u64,
}

impl Writer {
    fn run(mut self, todo: &Receiver<Job>) {
        let Some(_lock) = self.take_folder() else { return };
        if let Err(error) = self.open() {
            self.shared.failed("it could not be opened", &error);
            self.void();
        }
        loop {
            let first = match todo.recv_timeout(AGAIN) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut jobs, mut ends) = (Vec::from_iter(first), false);
            while jobs.len() < BATCH && !ends {
                match todo.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => ends = true,
                }
            }
            self.work(jobs);
            if ends {
                return;
            }
        }
    }

    /// Waits until no other process has the folder. `None`: nobody needs it any longer.
    fn take_folder(&self) -> Option<File> {
        let mut told = false;
        while self.store.strong_count() > 0 {
            match folder::lock(&self.shared.folder) {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) if !told => {
                    tracing::info!(folder = %self.shared.folder.display(), "another process has the cache's folder: waiting for it");
                    told = true;
                }
                Ok(None) => {}
                Err(error) if !told => {
                    self.shared.failed("the folder can't be locked", &error);
                    told = true;
                }
                Err(_) => {}
            }
            thread::sleep(AGAIN);
        }
        None
    }

    /// Finds what lies there, if all of it is to be trusted.
    fn open(&mut self) -> io::Result<()> {
        let folder = &self.shared.folder;
        let Some(store) = self.store.upgrade() else {
            return Ok(());
        };
        let told = folder::is_ours(folder)
            .then(|| journal::read(folder, store.hasher()))
            .flatten();
        let told = match told {
            Some(told) => told,
            None => {
                folder::wipe(folder)?;
                journal::nothing(store.hasher())
            }
        };
        drop(store);
        self.base = told.last + 1;
        self.journal = Some(Journal::open(folder, told.last)?);
        for (name, bytes) in folder::scan(folder)? {
            for old in self.line.add(&self.shared.index, name, bytes, false) {
                fs::remove_file(old.path(folder))?;
            }
        }
        let entries = self.shared.index.files.load(Ordering::Relaxed);
        tracing::info!(folder = %folder.display(), entries, "the cache's folder is open");
        let base = self.base;
        let _ = self.shared.opened.set(Opened { told, base });
        Ok(())
    }

    fn work(&mut self, jobs: Vec<Job>) {
        let shared = Arc::clone(&self.shared);
        if shared.void.load(Ordering::Acquire) || (self.journal.is_none() && !jobs.is_empty()) {
            self.void();
        }
        let mut orders = Vec::new();
        let mut rest = Vec::new();
        for job in jobs {
            match job {
                Job::Note(at, order) => orders.push((at, order)),
                other => rest.push(other),
            }
        }
        self.note(&orders); // first: an answer that lies there is one whose purges are written down
        for job in rest {
            match job {
                Job::Write(entry) => {
                    if let Err(error) = self.write(&entry) {
                        shared.failed("an answer could not be written", &error);
                        self.make_room(2 * on_disk(entry.size())); // the disk may be full
                    }
                    shared.queued.fetch_sub(entry.size(), Ordering::Relaxed);
                }
                Job::Forget(name) => self.forget(name),
                Job::Note(..) => {}
            }
        }
        let (taken, most) = (&shared.index.bytes, &shared.most);
        self.make_room(
            taken
                .load(Ordering::Relaxed)
                .saturating_sub(most.load(Ordering::Relaxed)),
        );
        while shared.index.files.load(Ordering::Relaxed) > ENTRIES_MAX && self.let_go() {}
    }

    fn note(&mut self, orders: &[(u64, Order)]) {
        let Some((last, _)) = orders.last() else { return };
        let orders: Vec<(u64, &Order)> = orders.iter().map(|(at, order)| (self.base + at, order)).collect();
        let written = self.journal.as_mut().map(|journal| journal.write(&orders)); // without one nothing lies there
        if let Some(Err(error)) = written {
            self.shared.failed("a purge could not be written down", &error);
            self.void();
        }
        self.shared
            .orders
            .fetch_sub(orders.len() as u64, Ordering::Relaxed);
        self.shared.tell_written(*last); // written down, or nothing is left that it could concern
    }

    /// Trusts nothing that lies there, and begins anew.
    fn void(&mut self) {
        let shared = &self.shared;
        let Some(store) = self.store.upgrade() else { return };
        // what was asked for before now is not trusted after a restart, even if it is written from here on
        let begins = self.base.saturating_add(store.stamp().number());
        self.journal = None;
        self.line = Line::default();
        shared.index.clear();
        let folder = &shared.folder;
        shared.void.store(false, Ordering::Release); // what is lost from here on is another matter
        match folder::wipe(folder).and_then(|()| Journal::open(folder, begins)) {
            Ok(journal) => {
                self.journal = Some(journal);
                let told = journal::nothing(store.hasher());
                let base = self.base;
                let _ = shared.opened.set(Opened { told, base }); // where it was open before, nothing is left of that
            }
            Err(error) => shared.failed("it could not be begun anew", &error),
        }
    }

    fn write(&mut self, entry: &Arc<Entry>) -> io::Result<()> {
        let Some(store) = self.store.upgrade() else {
            return Ok(());
        };
        if self.journal.is_none() || store.verdict(entry) == Some(How::Hard) {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let folder = &shared.folder;
        let most = shared.most.load(Ordering::Relaxed);
        if on_disk(entry.size()) > most / 4 {
            return Ok(());
        }
        let key = entry.ticket.key;
        let name = Name {
            key,
            variant: variant(entry),
            stamp: self.base.saturating_add(entry.stamp().number()),
        };
        let bytes = match put(entry, name, folder) {
            Ok(bytes) => on_disk(bytes),
            Err(error) => {
                let _ = fs::remove_file(name.draft(folder));
                return Err(error);
            }
        };
        let loaded = store.has(key);
        for old in self.line.add(&shared.index, name, bytes, loaded) {
            fs::remove_file(old.path(folder))?;
        }
        shared.counts.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Removes answers that take so many bytes, the oldest that nobody asks for first.
    fn make_room(&mut self, bytes: u64) {
        let before = self.shared.index.bytes.load(Ordering::Relaxed);
        let wanted = before.saturating_sub(bytes);
        while self.shared.index.bytes.load(Ordering::Relaxed) > wanted && self.let_go() {}
    }

    /// Removes the next. False: there is none.
    fn let_go(&mut self) -> bool {
        let next = self.line.pop(&self.shared.index);
        if let Some(name) = next {
            self.unlink(name);
        }
        next.is_some()
    }

    fn forget(&self, name: Name) {
        Line::remove(&self.shared.index, name);
        self.unlink(name);
    }

    fn unlink(&self, name: Name) {
        match fs::remove_file(name.path(&self.shared.folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.shared.failed("an answer could not be removed", &error);
            }
            _ => {}
        }
    }
}

/// A draft first: under its own name an answer is whole or not there.
fn put(entry: &Entry, name: Name, folder: &Path) -> io::Result<u64> {
    let draft = name.draft(folder);
    let file = private().write(true).truncate(true).open(&draft)?;
    let mut to = io::BufWriter::new(file);
    let bytes = file::write(&mut to, entry, name.stamp)?;
    io::Write::flush(&mut to)?;
    fs::rename(&draft, name.path(folder))?;
    Ok(bytes)
}

/// What tells the answers under a key apart.
fn variant(entry: &Entry) -> u64 {
    let parts = entry.selected().iter().flat_map(|(name, value)| {
        let there = [u8::from(value.is_some())].to_vec();
        [
            name.as_bytes().to_vec(),
            there,
            value.as_deref().unwrap_or_default().to_vec(),
        ]
    });
    KeyHash::of(parts).0 as u64
}
