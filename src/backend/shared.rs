//! A core's HTTP/2 connections to one server, each for many exchanges at once.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::http2::client::Client;

/// HTTP/2 connections that are offered to all exchanges of the core.
#[derive(Debug, Default)]
pub(super) struct SharedConnections {
    all: RefCell<Vec<Shared>>,
    /// Where there was room the last time.
    roomy: Cell<usize>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    /// The far end's address.
    peer: Option<IpAddr>,
    /// Taken since the last sweep.
    taken: Cell<bool>,
    /// The last sweep that found it taken or with exchanges on it.
    used: Cell<Instant>,
}

impl Shared {
    fn has_room(&self) -> bool {
        self.client.is_open() && self.client.has_room()
    }

    fn is_needed(&self, now: Instant, idle_timeout: Duration) -> bool {
        if self.taken.replace(false) || self.client.open_exchanges() > 0 {
            self.used.set(now);
        }
        self.client.is_open() && now.saturating_duration_since(self.used.get()) < idle_timeout
    }
}

impl SharedConnections {
    /// One with room for one more exchange.
    pub(super) fn take(&self) -> Option<Client> {
        let all = self.all.borrow();
        let roomy = all.get(self.roomy.get()).filter(|shared| shared.has_room());
        let found = roomy.or_else(|| {
            let at = all.iter().position(Shared::has_room)?;
            self.roomy.set(at);
            all.get(at)
        })?;
        found.taken.set(true);
        Some(found.client.clone())
    }

    /// Offers a new one.
    pub(super) fn offer(&self, client: Client, peer: Option<IpAddr>, now: Instant) {
        self.all.borrow_mut().push(Shared {
            client,
            peer,
            taken: Cell::new(true),
            used: Cell::new(now),
        });
    }

    /// Lets go of those that are closed, that nobody has needed for `idle_timeout`, or whose far end no longer `lasts`: what is
    /// under way there ends in peace. To be called each second.
    pub(super) fn sweep(&self, now: Instant, idle_timeout: Duration, lasts: impl Fn(Option<IpAddr>) -> bool) {
        self.all
            .borrow_mut()
            .retain(|shared| shared.is_needed(now, idle_timeout) && lasts(shared.peer));
    }

    /// How many there are, how many of them have exchanges on them, and how many exchanges that is.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let all = self.all.borrow();
        let under_way = || all.iter().map(|shared| shared.client.open_exchanges());
        let busy = under_way().filter(|exchanges| *exchanges > 0).count();
        (all.len(), busy, under_way().sum())
    }
}
