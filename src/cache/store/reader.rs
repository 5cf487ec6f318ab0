//! How a core looks: what it found lately lies at hand, everything else is one step into a table that no look locks.

use std::{cell::RefCell, fmt, rc::Rc, sync::Arc};

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
        found
            .0
            .shelf
            .entries
            .iter()
            .for_each(|entry| entry.ticket.touch());
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

impl Found {
    /// Newest first, without what was purged hard.
    pub fn variants(&self) -> impl Iterator<Item = Variant<'_>> {
        let Held { store, shelf } = &*self.0;
        shelf
            .entries
            .iter()
            .filter_map(|entry| match store.verdict(entry) {
                Some(How::Hard) => None,
                verdict => Some(Variant {
                    entry,
                    purged: verdict.is_some(),
                }),
            })
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.variants()).finish()
    }
}
