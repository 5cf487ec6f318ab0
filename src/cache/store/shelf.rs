//! What lies under one key: a few variants, replaced as a whole.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use smallvec::SmallVec;

use super::{Entry, entry::Selected, policy::Ticket};

/// Variants under one key. When one more comes, the oldest goes.
pub const VARIANTS_MAX: usize = 16;

/// The variants under a key, newest first. It never changes; another takes its place.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) entries: SmallVec<[Arc<Entry>; 1]>,
}

/// A key's place in the table: empty once its key has left.
///
/// What leaves the table is freed only when no core can still be looking at it, which may take a while; what lay there is freed at once.
#[derive(Debug, Default)]
pub(super) struct Slot(ArcSwapOption<Shelf>);

impl Slot {
    pub(super) fn shelf(&self) -> Option<Arc<Shelf>> {
        self.0.load_full()
    }

    pub(super) fn put(&self, shelf: Option<Shelf>) {
        self.0.store(shelf.map(Arc::new));
    }

    /// Whether this very shelf lies there.
    pub(super) fn holds(&self, shelf: &Arc<Shelf>) -> bool {
        let now = self.0.load();
        now.as_ref().is_some_and(|now| Arc::ptr_eq(now, shelf))
    }
}

impl Shelf {
    /// Whether an entry of that ticket lies here.
    pub(super) fn has(&self, ticket: &Ticket) -> bool {
        self.entries
            .iter()
            .any(|entry| std::ptr::eq(&*entry.ticket, ticket))
    }

    /// The one that a newer answer to the same request fields takes the place of.
    pub(super) fn same(&self, selected: &Selected) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.selected() == selected)
    }

    /// The same without some; `None`: nothing is left.
    pub(super) fn without(&self, goes: impl Fn(&Entry) -> bool) -> Option<Self> {
        let entries: SmallVec<_> = self
            .entries
            .iter()
            .filter(|entry| !goes(entry))
            .cloned()
            .collect();
        (!entries.is_empty()).then_some(Self { entries })
    }
}
