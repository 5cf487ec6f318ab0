//! The snapshot in force: published by the control plane, loaded by every core.

use std::{cell::RefCell, ops::Deref, rc::Rc, sync::Arc};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Snapshot, changes::Changes};

/// The snapshot in force.
#[derive(Debug)]
pub struct Live {
    snapshot: ArcSwap<Snapshot>,
    /// Rung at each swap, for who acts on a change; exchanges only load.
    swaps: watch::Sender<()>,
    changes: watch::Sender<Changes>,
}

impl Live {
    /// Starts with `first`.
    #[must_use]
    pub fn new(first: Arc<Snapshot>) -> Self {
        Self {
            swaps: watch::Sender::new(()),
            changes: watch::Sender::new(Changes::first(&first)),
            snapshot: ArcSwap::new(first),
        }
    }

    /// Puts `next` in force. Exchanges under way keep the one that they began with.
    pub fn publish(&self, next: Arc<Snapshot>) {
        self.snapshot.store(next);
        self.swaps.send_replace(());
        // after it is in force: who is woken finds it
        self.changes
            .send_if_modified(|changes| changes.follow(&self.snapshot.load()));
    }

    /// Tells when flags say something else.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// The one in force: for the control plane. Cores use a [`View`].
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }
}

/// A core's view of the snapshot in force.
///
/// Cores that each took an `Arc` for every exchange would write to one shared counter; here only a swap does, and an exchange
/// takes an `Rc` that no other core sees.
#[derive(Debug)]
pub struct View {
    live: Arc<Live>,
    pinned: RefCell<Rc<Pinned>>,
}

/// A snapshot that a core holds on to.
#[derive(Debug)]
pub struct Pinned(Arc<Snapshot>);

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl View {
    /// A view of `live`.
    #[must_use]
    pub fn new(live: Arc<Live>) -> Self {
        let pinned = RefCell::new(Rc::new(Pinned(live.current())));
        Self { live, pinned }
    }

    /// Tells when flags say something else.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Changes> {
        self.live.changes()
    }

    /// The snapshot in force, to be kept for a whole exchange.
    #[must_use]
    pub fn load(&self) -> Rc<Pinned> {
        let now = self.live.snapshot.load();
        let mut pinned = self.pinned.borrow_mut();
        if !Arc::ptr_eq(&now, &pinned.0) {
            *pinned = Rc::new(Pinned(Arc::clone(&now)));
        }
        Rc::clone(&pinned)
    }

    /// Changes with each swap.
    #[must_use]
    pub fn swaps(&self) -> watch::Receiver<()> {
        self.live.swaps.subscribe()
    }
}
