//! Which answers lie on disk: a table that every core looks into without a lock, and that the writer alone changes.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use smallvec::SmallVec;

use super::folder::Name;
use crate::cache::store::KeyHash;

/// A file.
#[derive(Debug, Clone)]
pub(super) struct Filed {
    pub(super) name: Name,
    pub(super) bytes: u64,
    /// Tells it from others of the same name before and after.
    number: u64,
    /// It was read since it was last in danger.
    used: Arc<AtomicBool>,
}

/// What lies on disk under a key.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) files: SmallVec<[Filed; 1]>,
    /// Memory has it all.
    pub(super) loaded: AtomicBool,
}

impl Shelf {
    /// Notes that it was read.
    pub(super) fn touch(&self) {
        self.loaded.store(true, Ordering::Relaxed);
        self.files
            .iter()
            .for_each(|file| file.used.store(true, Ordering::Relaxed));
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Index {
    table: papaya::HashMap<KeyHash, Arc<Shelf>>,
    pub(super) bytes: AtomicU64,
    pub(super) files: AtomicU64,
}

impl Index {
    pub(super) fn get(&self, key: KeyHash) -> Option<Arc<Shelf>> {
        self.table.pin().get(&key).cloned()
    }

    /// Whether something lies there that memory may not have.
    pub(super) fn may_have(&self, key: KeyHash) -> bool {
        let table = self.table.pin();
        table
            .get(&key)
            .is_some_and(|shelf| !shelf.loaded.load(Ordering::Relaxed))
    }

    /// Memory let go of what it had.
    pub(super) fn unload(&self, key: KeyHash) {
        if let Some(shelf) = self.table.pin().get(&key) {
            shelf.loaded.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn clear(&self) {
        self.table.pin().clear();
        self.bytes.store(0, Ordering::Relaxed);
        self.files.store(0, Ordering::Relaxed);
    }

    fn put(&self, key: KeyHash, files: SmallVec<[Filed; 1]>, loaded: bool) {
        let table = self.table.pin();
        if files.is_empty() {
            table.remove(&key);
            return;
        }
        let loaded = AtomicBool::new(loaded);
        table.insert(key, Arc::new(Shelf { files, loaded }));
    }
}

/// The writer's side: who goes when there is no room.
#[derive(Debug, Default)]
pub(super) struct Line {
    queue: VecDeque<(Name, u64)>,
    numbers: u64,
}

impl Line {
    /// Adds a file in place of those of the same variant, and returns the files of other names that are of no use any longer.
    pub(super) fn add(&mut self, index: &Index, name: Name, bytes: u64, loaded: bool) -> Vec<Name> {
        self.numbers += 1;
        let mut files = index
            .get(name.key)
            .map_or_else(SmallVec::new, |shelf| shelf.files.clone());
        let mut gone = Vec::new();
        files.retain(|file| {
            let stays = file.name.variant != name.variant;
            if !stays {
                index.bytes.fetch_sub(file.bytes, Ordering::Relaxed);
                index.files.fetch_sub(1, Ordering::Relaxed);
                gone.push(file.name);
            }
            stays
        });
        gone.retain(|gone| *gone != name);
        files.push(Filed {
            name,
            bytes,
            number: self.numbers,
            used: Arc::default(),
        });
        index.put(name.key, files, loaded);
        index.bytes.fetch_add(bytes, Ordering::Relaxed);
        index.files.fetch_add(1, Ordering::Relaxed);
        self.queue.push_back((name, self.numbers));
        if self.queue.len() as u64 > 2 * index.files.load(Ordering::Relaxed) + 64 {
            self.queue
                .retain(|(name, number)| find(index, *name, *number).is_some());
        }
        gone
    }

    /// Takes a file out of the table, if it is there; what it was called.
    pub(super) fn remove(index: &Index, name: Name) {
        let Some(shelf) = index.get(name.key) else { return };
        let mut files = shelf.files.clone();
        files.retain(|file| {
            let stays = file.name != name;
            if !stays {
                index.bytes.fetch_sub(file.bytes, Ordering::Relaxed);
                index.files.fetch_sub(1, Ordering::Relaxed);
            }
            stays
        });
        index.put(name.key, files, shelf.loaded.load(Ordering::Relaxed));
    }

    /// Who goes next: the oldest that was not read since its last turn.
    pub(super) fn pop(&mut self, index: &Index) -> Option<Name> {
        for _ in 0..=2 * self.queue.len() {
            let (name, number) = self.queue.pop_front()?;
            let Some(file) = find(index, name, number) else {
                continue;
            };
            if !file.used.swap(false, Ordering::Relaxed) {
                Self::remove(index, name);
                return Some(name);
            }
            self.queue.push_back((name, number));
        }
        None
    }
}

fn find(index: &Index, name: Name, number: u64) -> Option<Filed> {
    let shelf = index.get(name.key)?;
    shelf.files.iter().find(|file| file.number == number).cloned()
}
