//! Keeps answers in memory, within its bounds, for every core.
//!
//! - `key`, `entry`, `chunks`: what an answer is kept under, what is kept of it, and its body, which is shared and never copied.
//! - `shelf`: the variants under one key; `reader`: how a core looks, without a lock.
//! - `policy`: who goes when memory is full; `purge`: generations, `places`: where they are written; `path`: invalidation paths as people write them.
//! - `disk`: a second place that survives a restart, where `[cache] disk` says so.
//! - `unstorable`: keys whose answers can't be kept; `tally`: what is counted of requests; `settings`: bounds.
//!
//! One lock is taken by who keeps or drops an answer, for about a microsecond. A look takes none.

mod chunks;
pub mod disk;
mod entry;
mod key;
pub mod path;
mod places;
mod policy;
mod purge;
mod reader;
mod settings;
mod shelf;
mod stats;
pub mod tally;
#[cfg(test)]
mod tests;
mod tier;
mod unstorable;

use std::{
    hash::BuildHasherDefault,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use self::{
    chunks::Room,
    disk::{Disk, DiskSettings, DiskStats, folder::BadFolder, journal::Order},
    policy::{AsItIs, Policy, Ticket},
    purge::Generations,
    shelf::{Shelf, Slot},
    stats::Counts,
    unstorable::Unstorable,
};
pub use self::{
    chunks::{Chunks, Collecting},
    entry::{Entry, LABELS_MAX, Labels, New, Selected, Terms, Times},
    key::{Key, KeyHash},
    purge::{How, PREFIXES_MAX, Stamp, What},
    reader::{Found, Mark, Reader, Variant},
    settings::StoreSettings,
    shelf::VARIANTS_MAX,
    stats::Stats,
};
use crate::{clock::UnixTime, courtesy::give_way, fields::Fields};

/// Entries above this are large ones, which have a memory of their own: a film may not drive a thousand pictures out.
pub const LARGE_FROM: u64 = 1024 * 1024;
/// Keys that a search through all of them looks at before it gives way.
const KEYS_A_TURN: usize = 64;

/// Why an answer is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// It is larger than one may be.
    #[error("it is larger than `[cache] entry`")]
    Large,
    /// It has too many groups and tags to be purged by all of them.
    #[error("it has more than {LABELS_MAX} groups and tags")]
    Labels,
    /// It was purged while it was under way.
    #[error("it was purged while it was under way")]
    Purged,
    /// Too much is being collected already.
    #[error("`[cache] collecting` is taken by other answers that are on their way")]
    Full,
}

/// Everything that is kept: one for the process.
#[derive(Debug)]
pub struct Store {
    table: papaya::HashMap<KeyHash, Arc<Slot>, BuildHasherDefault<AsItIs>>,
    lines: Mutex<Lines>,
    generations: Generations,
    unstorable: Unstorable,
    room: Arc<Room>,
    entry_max: AtomicU64,
    counts: Counts,
    disk: OnceLock<Disk>,
}

/// Who lines up for which memory. Whoever holds it may change the table.
#[derive(Debug)]
struct Lines {
    small: Policy,
    large: Policy,
}

impl Lines {
    fn of(&mut self, ticket: &Ticket) -> &mut Policy {
        if ticket.size > LARGE_FROM {
            &mut self.large
        } else {
            &mut self.small
        }
    }
}

impl Store {
    /// An empty one.
    #[must_use]
    pub fn new(settings: &StoreSettings) -> Arc<Self> {
        Arc::new(Self {
            table: papaya::HashMap::with_hasher(BuildHasherDefault::default()),
            lines: Mutex::new(Lines {
                small: Policy::new(settings.small()),
                large: Policy::new(settings.large),
            }),
            generations: Generations::new(),
            unstorable: Unstorable::new(),
            room: Arc::new(Room {
                most: AtomicU64::new(settings.collecting),
                taken: AtomicU64::new(0),
            }),
            entry_max: AtomicU64::new(settings.entry),
            counts: Counts::default(),
            disk: OnceLock::new(),
        })
    }

    /// Takes other bounds. What is beyond them goes.
    pub fn follow(&self, settings: &StoreSettings) {
        self.entry_max.store(settings.entry, Ordering::Relaxed);
        self.room.most.store(settings.collecting, Ordering::Relaxed);
        let mut freed = Vec::new(); // let go of when nobody waits
        let mut lines = self.lines();
        lines
            .small
            .resize(settings.small(), &mut |ticket| self.evict(&ticket, &mut freed));
        lines
            .large
            .resize(settings.large, &mut |ticket| self.evict(&ticket, &mut freed));
        drop(lines);
        drop(freed);
    }

    /// How a core looks.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader::new(Arc::clone(self))
    }

    /// The time on the purges' clock, to be taken before a backend is asked.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.generations.now()
    }

    /// Bytes of the largest body that is kept.
    #[must_use]
    pub fn entry_max(&self) -> u64 {
        self.entry_max.load(Ordering::Relaxed)
    }

    /// Begins to collect an answer's body; `None`: too much is being collected already.
    #[must_use]
    pub fn collect(&self) -> Option<Collecting> {
        let collecting = Collecting::new(&self.room, self.entry_max());
        if collecting.is_none() {
            self.counts.refuse(NotKept::Full);
        }
        collecting
    }

    /// Keeps an answer, in place of the one that was kept for the same request fields.
    ///
    /// # Errors
    /// [`NotKept`]; what was kept before stays.
    pub fn keep(&self, key: &Key<'_>, new: New) -> Result<Arc<Entry>, NotKept> {
        let kept = self.put(key, new);
        match &kept {
            Ok(entry) => {
                self.counts.kept.fetch_add(1, Ordering::Relaxed);
                if let Some(disk) = self.disk.get() {
                    disk.write(entry);
                }
            }
            Err(why) => {
                self.counts.refuse(*why);
            }
        }
        kept
    }

    /// Keeps `old` under other fields and times, as a 304 says. `None`: it was purged hard while the backend was asked, or is not
    /// to be kept any longer.
    pub fn refresh(
        &self,
        key: &Key<'_>,
        old: &Arc<Entry>,
        fields: Fields,
        times: Times,
        terms: Terms,
        stamp: Stamp,
    ) -> Option<Arc<Entry>> {
        let new = New {
            status: old.status(),
            fields,
            body: old.body().clone(),
            selected: old.selected().clone(),
            times,
            terms,
            labels: old.labels().clone(),
            stamp,
        };
        self.keep(key, new).ok()
    }

    fn put(&self, key: &Key<'_>, new: New) -> Result<Arc<Entry>, NotKept> {
        if new.body.len() > self.entry_max() {
            return Err(NotKept::Large);
        }
        if new.labels.groups.len() + new.labels.tags.len() > LABELS_MAX {
            return Err(NotKept::Labels);
        }
        let marks = self.generations.marks(key, &new.labels);
        self.shelve(Arc::new(Entry::new(key, new, marks)), true)
    }

    /// Puts an entry in its place. One that does not replace others goes where its age says, and only where there is none like it.
    fn shelve(&self, entry: Arc<Entry>, replaces: bool) -> Result<Arc<Entry>, NotKept> {
        if self.verdict(&entry) == Some(How::Hard) {
            return Err(NotKept::Purged);
        }
        let mut freed = Vec::new();
        let mut lines = self.lines();
        if entry.size() > lines.of(&entry.ticket).most() {
            return Err(NotKept::Large);
        }
        let (slot, shelf) = self.slot(entry.ticket.key);
        let before = shelf.same(entry.selected());
        if let Some(newer) = before.filter(|_| !replaces) {
            return Ok(Arc::clone(newer));
        }
        let main = before.is_some_and(|before| entry.ticket.succeed(&before.ticket));
        let goes =
            |other: &Entry| other.selected() == entry.selected() || self.verdict(other) == Some(How::Hard);
        let mut next = shelf.without(goes).unwrap_or_default();
        next.entries.truncate(VARIANTS_MAX - 1);
        let newer = |other: &Arc<Entry>| !replaces && other.times().answered > entry.times().answered;
        let place = next.entries.iter().take_while(|other| newer(other)).count();
        next.entries.insert(place, Arc::clone(&entry));
        for gone in shelf.entries.iter().filter(|entry| !next.has(&entry.ticket)) {
            lines.of(&gone.ticket).forget(&gone.ticket);
        }
        let (was, is) = (shelf.entries.len() as u64, next.entries.len() as u64);
        self.counts.entries.fetch_add(is, Ordering::Relaxed);
        self.counts.entries.fetch_sub(was, Ordering::Relaxed);
        slot.put(Some(next));
        lines.of(&entry.ticket).admit(&entry.ticket, main, &mut |ticket| {
            self.evict(&ticket, &mut freed);
        });
        drop(lines);
        drop((freed, shelf)); // megabytes may be freed here: nobody waits for it
        Ok(entry)
    }

    /// The slot of a key, made if there is none, and what lies there. The lock is held.
    fn slot(&self, key: KeyHash) -> (Arc<Slot>, Arc<Shelf>) {
        let table = self.table.pin();
        let slot = table.get_or_insert_with(key, Arc::default);
        (Arc::clone(slot), slot.shelf().unwrap_or_default())
    }

    /// Takes out what the policy lets go. The lock is held.
    fn evict(&self, ticket: &Ticket, freed: &mut Vec<Arc<Shelf>>) {
        let large = ticket.size > LARGE_FROM;
        self.counts.evict(large);
        freed.extend(self.take(ticket.key, |entry| std::ptr::eq(&*entry.ticket, ticket)));
        if let Some(disk) = self.disk.get() {
            disk.unload(ticket.key);
        }
    }

    /// Takes entries out of a shelf, and returns the shelf as it was. The lock is held.
    fn take(&self, key: KeyHash, goes: impl Fn(&Entry) -> bool) -> Option<Arc<Shelf>> {
        let table = self.table.pin();
        let slot = table.get(&key)?;
        let shelf = slot.shelf()?;
        let next = shelf.without(goes);
        let left = next.as_ref().map_or(0, |next| next.entries.len());
        let fewer = shelf.entries.len() - left;
        self.counts.entries.fetch_sub(fewer as u64, Ordering::Relaxed);
        if next.is_none() {
            table.remove(&key);
        }
        slot.put(next);
        Some(shelf)
    }

    /// Drops everything under a key.
    #[cfg(test)]
    fn drop_all(&self, key: KeyHash) {
        self.drop_some(key, |_| true);
    }

    /// Drops one answer, if it is still there.
    pub fn drop_one(&self, key: KeyHash, entry: &Arc<Entry>) {
        if self.disk.get().is_some() {
            let (host, target) = (Some(entry.host()), entry.target());
            self.purge(&What::Url { host, target }, How::Hard); // there it may lie as well
        }
        self.drop_some(key, |other| std::ptr::eq(other, &raw const **entry));
    }

    fn drop_some(&self, key: KeyHash, goes: impl Fn(&Entry) -> bool) {
        let mut lines = self.lines();
        let shelf = self.take(key, &goes);
        let gone = shelf.iter().flat_map(|shelf| &shelf.entries);
        for gone in gone.filter(|entry| goes(entry)) {
            lines.of(&gone.ticket).forget(&gone.ticket);
        }
        drop(lines);
        drop(shelf);
    }

    /// Remembers until then that answers under this key could not be kept. Seldom, it forgets.
    pub fn mark_unstorable(&self, key: KeyHash, until: UnixTime) {
        self.unstorable.mark(key, until);
    }

    /// Whether answers under this key could not be kept lately.
    #[must_use]
    pub fn is_unstorable(&self, key: KeyHash, now: UnixTime) -> bool {
        self.unstorable.has(key, now)
    }

    /// Purges, for every look that begins after it has returned, and for every answer that is under way. Nothing is looked for.
    pub fn purge(&self, what: &What<'_>, how: How) {
        self.carry_out(what, None, how);
    }

    /// The same, but only what is of this squad's routes.
    pub fn purge_of(&self, squad: &str, what: &What<'_>, how: How) {
        match what {
            What::All => self.carry_out(&What::Squad(squad), None, how),
            _ => self.carry_out(what, Some(squad), how),
        }
    }

    fn carry_out(&self, what: &What<'_>, squad: Option<&str>, how: How) {
        self.generations.purge(what, squad, how, |at| {
            if let Some(disk) = self.disk.get() {
                disk.note(at, Order::of(what, squad, how));
            }
        });
        self.counts.purge(how);
    }

    /// What purges say of an entry; `None`: nothing.
    fn verdict(&self, entry: &Entry) -> Option<How> {
        self.generations.verdict(entry)
    }

    /// Whether something was purged hard since [`Store::free_purged`].
    #[must_use]
    pub fn has_purged(&self) -> bool {
        let hard = self.counts.purged_hard.load(Ordering::Relaxed);
        hard != self.counts.freed_at.load(Ordering::Relaxed)
    }

    /// Frees what was purged hard, and says how many entries that were. It reads all keys, giving way all the time; nothing waits
    /// for it, since no look finds these entries any longer.
    pub fn free_purged(&self) -> usize {
        let hard = self.counts.purged_hard.load(Ordering::Relaxed);
        if self.counts.freed_at.swap(hard, Ordering::Relaxed) == hard {
            return 0;
        }
        let is_gone = |entry: &Entry| self.verdict(entry) == Some(How::Hard);
        let mut keys = Vec::new();
        self.each(|key, shelf| {
            if shelf.entries.iter().any(|entry| is_gone(entry)) {
                keys.push(key);
            }
        });
        for key in &keys {
            self.drop_some(*key, is_gone);
            give_way();
        }
        keys.len()
    }

    /// What is kept under an address, on one host or all: at most so many, whatever purges say of them. It reads all keys.
    #[must_use]
    pub fn find(&self, host: Option<&str>, target: &str, most: usize) -> Vec<(Arc<Entry>, Option<How>)> {
        let mut found = Vec::new();
        self.each(|_, shelf| {
            let wanted = shelf
                .entries
                .iter()
                .filter(|entry| entry.target() == target && host.is_none_or(|host| host == entry.host()));
            let room = most.saturating_sub(found.len());
            found.extend(
                wanted
                    .take(room)
                    .map(|entry| (Arc::clone(entry), self.verdict(entry))),
            );
        });
        found
    }

    fn each(&self, mut see: impl FnMut(KeyHash, &Shelf)) {
        let table = self.table.pin();
        for (at, (key, slot)) in table.iter().enumerate() {
            if at % KEYS_A_TURN == 0 {
                give_way();
            }
            if let Some(shelf) = slot.shelf() {
                see(*key, &shelf);
            }
        }
    }

    /// How full it is, and what it has done.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let lines = self.lines();
        let bytes = (lines.small.bytes(), lines.large.bytes());
        let most = (lines.small.most(), lines.large.most());
        drop(lines);
        let room = (&self.room.taken, &self.room.most);
        self.counts.stats(bytes, most, room)
    }

    /// What lies under a key, for [`Reader`].
    fn shelf(&self, key: KeyHash) -> Option<(Arc<Slot>, Arc<Shelf>)> {
        let table = self.table.pin();
        let slot = table.get(&key)?;
        Some((Arc::clone(slot), slot.shelf()?))
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
