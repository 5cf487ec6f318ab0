//! How a core looks: what it found lately lies at hand, everything else is one step into a table that no look locks.

use std::{
    cell::RefCell,
    fmt,
    rc::{Rc, Weak},
    sync::Arc,
};

use super::{Entry, How, KeyHash, Store, shelf::Shelf, shelf::Slot};

/// Keys that lie at hand on a core.
const NEAR: usize = 1_024;
/// Bytes of what lies at hand under one key at most: what the store lets go of, a core may hold for another second.
const NEAR_BYTES_MAX: u64 = 128 * 1024;

/// A core's way to look.
///
/// Cores that each counted a reference up and down for every look would write to one shared number; here a look at what was found
/// lately writes to nothing that another core reads.
pub struct Reader {
    store: Arc<Store>,
    near: RefCell<Vec<Option<Near>>>,
}

struct Near {
    key: KeyHash,
    slot: Arc<Slot>,
    found: Found,
}

/// What is kept under a key. The core's own, cheap to clone.
#[derive(Clone)]
pub struct Found(Rc<Held>);

/// One of the answers under a key, known again as long as nothing under the key has changed. It keeps nothing alive.
#[derive(Clone)]
pub struct Mark {
    key: KeyHash,
    held: Weak<Held>,
    at: usize,
}

struct Held {
    store: Arc<Store>,
    shelf: Arc<Shelf>,
}

/// One of the answers under a key.
#[derive(Debug, Clone, Copy)]
pub struct Variant<'f> {
    /// The answer.
    pub entry: &'f Arc<Entry>,
    /// It was purged softly: it is stale, and may be served while another is fetched.
    pub purged: bool,
    at: usize,
}

impl Reader {
    pub(super) const fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            near: RefCell::new(Vec::new()),
        }
    }

    /// Where answers are kept.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What is kept under a key, all of which counts as used.
    #[must_use]
    pub fn look(&self, key: KeyHash) -> Option<Found> {
        let found = match self.at_hand(key) {
            Some(found) => found,
            None => self.fetch(key)?,
        };
        found.touch();
        Some(found)
    }

    /// What `mark` was made of, if it lies at hand and nothing under its key has changed. It counts as used.
    #[must_use]
    pub fn again(&self, mark: &Mark) -> Option<Found> {
        let near = self.near.borrow();
        let near = near.get(place(mark.key))?.as_ref()?;
        let same = near.key == mark.key && std::ptr::eq(mark.held.as_ptr(), Rc::as_ptr(&near.found.0));
        let found = (same && near.is_current()).then(|| near.found.clone())?;
        found.touch();
        Some(found)
    }

    fn at_hand(&self, key: KeyHash) -> Option<Found> {
        let near = self.near.borrow();
        let near = near.get(place(key))?.as_ref()?;
        (near.key == key && near.is_current()).then(|| near.found.clone())
    }

    fn fetch(&self, key: KeyHash) -> Option<Found> {
        let (slot, shelf) = self.store.shelf(key)?;
        let bytes: u64 = shelf.entries.iter().map(|entry| entry.size()).sum();
        let store = Arc::clone(&self.store);
        let found = Found(Rc::new(Held { store, shelf }));
        if bytes <= NEAR_BYTES_MAX {
            let mut near = self.near.borrow_mut();
            if near.is_empty() {
                near.resize_with(NEAR, || None);
            }
            if let Some(place) = near.get_mut(place(key)) {
                let found = found.clone();
                *place = Some(Near { key, slot, found });
            }
        }
        Some(found)
    }

    /// Once a second: lets go of what the store has let go of.
    pub fn sweep(&self) {
        for place in self.near.borrow_mut().iter_mut() {
            if place.as_ref().is_some_and(|near| !near.is_current()) {
                *place = None;
            }
        }
    }
}

fn place(key: KeyHash) -> usize {
    usize::try_from(key.0 % NEAR as u128).unwrap_or_default()
}

impl Near {
    fn is_current(&self) -> bool {
        self.slot.holds(&self.found.0.shelf)
    }
}

impl Mark {
    /// Whether what it was made of lies at hand no longer.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.held.strong_count() == 0
    }
}

impl Found {
    fn touch(&self) {
        self.0.shelf.entries.iter().for_each(|entry| entry.ticket.touch());
    }

    /// Knows one of its answers again.
    #[must_use]
    pub fn mark(&self, key: KeyHash, variant: Variant<'_>) -> Mark {
        Mark {
            key,
            held: Rc::downgrade(&self.0),
            at: variant.at,
        }
    }

    /// The answer that `mark` is of, unless it was purged hard. Only for a mark of its own.
    #[must_use]
    pub fn at(&self, mark: &Mark) -> Option<Variant<'_>> {
        self.variant(mark.at, self.0.shelf.entries.get(mark.at)?)
    }

    fn variant<'f>(&'f self, at: usize, entry: &'f Arc<Entry>) -> Option<Variant<'f>> {
        match self.0.store.verdict(entry) {
            Some(How::Hard) => None,
            verdict => Some(Variant {
                entry,
                purged: verdict.is_some(),
                at,
            }),
        }
    }

    /// Newest first, without what was purged hard.
    pub fn variants(&self) -> impl Iterator<Item = Variant<'_>> {
        let entries = self.0.shelf.entries.iter().enumerate();
        entries.filter_map(move |(at, entry)| self.variant(at, entry))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mark")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.variants()).finish()
    }
}
