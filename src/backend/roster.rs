//! A backend's servers as they are just now, and what choosing among them needs, worked out once.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{BackendSettings, Server, ServerAddress, breaker::Millis, pick::Pick, ring::Ring, table::Table};

/// A server that a name stands for, as the resolver found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub address: ServerAddress,
    /// The one address that it is; `None`: its own name's.
    pub only: Option<IpAddr>,
    /// What its record adds to the weight of its line: a factor, 1 where there is none.
    pub weight: u32,
}

/// What names stand for, by their lines' places in the settings. Lines that need no resolving are not in it.
pub type FoundByLine = HashMap<usize, Vec<Found>>;

/// A backend's servers.
#[derive(Debug)]
pub struct Roster {
    /// Unique in this process.
    pub version: u64,
    /// In the order written.
    pub servers: Vec<Arc<Server>>,
    /// Their seats, in the same order.
    pub seats: Vec<Seat>,
    /// All of them.
    pub all: Table,
    /// Those of the router's own zone, where there are some and others.
    pub near: Option<Table>,
    /// The others, then.
    pub far: Table,
    /// Where keys lead.
    pub ring: Ring,
}

/// What a server's line says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seat {
    /// How much it is given beside the others.
    pub weight: u32,
    /// Where it stands.
    pub zone: Option<Arc<str>>,
}

impl Roster {
    /// The servers of `settings`, with those that names stand for. Who is in `before` stays the same server; who comes later may
    /// start slowly.
    #[must_use]
    pub fn of(
        settings: &BackendSettings,
        zone: Option<&str>,
        found: &FoundByLine,
        before: Option<&Self>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut servers: Vec<Arc<Server>> = Vec::new();
        let mut seats = Vec::new();
        let late = before.is_some_and(|before| !before.servers.is_empty());
        for (line, written) in settings.servers.iter().enumerate() {
            let own = [Found {
                address: written.address.clone(),
                only: None,
                weight: 1,
            }];
            let listed = match (written.resolve.stands_for_many(), found.get(&line)) {
                (false, _) => own.as_slice(),
                (true, found) => found.map_or([].as_slice(), Vec::as_slice),
            };
            for one in listed {
                let same = |server: &&Arc<Server>| server.address == one.address && server.only == one.only;
                if servers.iter().any(|server| same(&server)) {
                    continue;
                }
                let known = before.and_then(|before| before.servers.iter().find(same));
                servers.push(known.map_or_else(|| enter(one, late), Arc::clone));
                seats.push(Seat {
                    weight: written.weight.saturating_mul(one.weight).min(WEIGHT_MAX),
                    zone: written.zone.clone(),
                });
            }
        }
        let all = Table::of(seats.iter().map(|seat| seat.weight).enumerate());
        let of_zone = |own: bool| {
            let there = seats.iter().enumerate();
            let there = there.filter(move |(_, seat)| (seat.zone.as_deref() == zone) == own);
            Table::of(there.map(|(at, seat)| (at, seat.weight)))
        };
        let (near, far) = match zone {
            Some(_) => (of_zone(true), of_zone(false)),
            None => (Table::default(), Table::default()),
        };
        let label = |at: usize| servers.get(at).map_or("", |server| &*server.label);
        let ring = match settings.pick {
            Pick::Hash(_) => Ring::of(&all, label),
            Pick::LeastLoaded | Pick::RoundRobin => Ring::default(),
        };
        Self {
            version: NEXT.fetch_add(1, Ordering::Relaxed),
            near: (!near.is_empty() && !far.is_empty()).then_some(near),
            far,
            all,
            ring,
            servers,
            seats,
        }
    }

    /// Which servers, and with which weights: what a change shows in.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let ids = |roster: &Self| -> Vec<u64> { roster.servers.iter().map(|server| server.id).collect() };
        ids(self) == ids(other) && self.seats == other.seats
    }
}

/// The most that a server weighs.
pub const WEIGHT_MAX: u32 = 1_000;

fn enter(one: &Found, late: bool) -> Arc<Server> {
    let server = Server::at(one.address.clone(), one.only);
    if late {
        server.vitals.begin(Millis::of(crate::clock::steady()));
    }
    Arc::new(server)
}
