//! What outlives a snapshot: a server, its addresses, its health and how many connections it has.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    ServerAddress,
    breaker::{Breaker, Millis},
    eject::Reason,
    health::{Checks, Health},
    names::{Addresses, Names},
    vitals::Vitals,
};
use crate::shield::pot::Shares;

/// A TLS client configuration.
#[derive(Clone)]
pub struct TlsClient(pub Arc<rustls::ClientConfig>);

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClient")
    }
}

/// One server, for as long as any snapshot or exchange names it.
#[derive(Debug)]
pub struct Server {
    /// Unique in this process; connection pools are kept under it.
    pub id: u64,
    /// Where it is.
    pub address: ServerAddress,
    /// The address as text: label, log, `Host` of checks.
    pub label: Arc<str>,
    /// Its own name, as `Host` says it.
    pub authority: Box<str>,
    /// The addresses that its name has just now.
    pub names: Names,
    /// What live traffic says of it, on all cores.
    pub vitals: Vitals,
    /// The one address that this server is, where its name stands for several.
    pub only: Option<IpAddr>,
    slot: Slot,
    health: AtomicU8,
    connections: AtomicUsize,
    refused: AtomicUsize,
    pools: AtomicUsize,
    last_check: Mutex<String>,
    /// Its health is what another program found.
    carried: AtomicBool,
}

impl Server {
    /// A server that nobody has asked anything yet.
    #[must_use]
    pub fn new(address: ServerAddress) -> Self {
        Self::at(address, None)
    }

    /// As [`Server::new`], at this one of its name's addresses.
    #[must_use]
    pub fn at(address: ServerAddress, only: Option<IpAddr>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let literal = address.host.parse::<IpAddr>().ok();
        let label = match only {
            Some(only) if literal.is_none() => format!("{address}@{only}"),
            _ => address.to_string(),
        };
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            label: Arc::from(label),
            authority: address.authority().into(),
            names: Names::new(only.or(literal)),
            vitals: Vitals::default(),
            only,
            address,
            slot: Slot::take(),
            health: AtomicU8::new(0),
            connections: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            pools: AtomicUsize::new(0),
            last_check: Mutex::new(String::new()),
            carried: AtomicBool::new(false),
        }
    }

    /// What active checks say.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            1 => Health::Healthy,
            2 => Health::Unhealthy,
            _ => Health::Unknown,
        }
    }

    /// Notes what checks say now, and the last one's outcome in words. Only the probe calls it.
    pub fn set_health(&self, health: Health, outcome: String, now: Millis) {
        if (self.health(), health) == (Health::Unhealthy, Health::Healthy) {
            self.vitals.begin(now);
        }
        let value = match health {
            Health::Unknown => 0,
            Health::Healthy => 1,
            Health::Unhealthy => 2,
        };
        self.health.store(value, Ordering::Relaxed);
        *self.last_check.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    /// Another program found it unhealthy.
    pub fn take_up_unhealthy(&self, now: Millis) {
        let words = "unhealthy when the program before asked".to_owned();
        self.set_health(Health::Unhealthy, words, now);
        self.carried.store(true, Ordering::Relaxed);
    }

    /// What checks begin with: nothing, but for what another program found.
    #[must_use]
    pub fn checks(&self) -> Checks {
        match self.carried.swap(false, Ordering::Relaxed) {
            true => Checks::unhealthy(),
            false => Checks::default(),
        }
    }

    /// The last check's outcome in words; empty before the first.
    #[must_use]
    pub fn last_check(&self) -> String {
        self.last_check
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether checks let traffic go there.
    #[must_use]
    pub fn takes_traffic(&self) -> bool {
        self.health() != Health::Unhealthy
    }

    /// How it is, and why.
    #[must_use]
    pub fn how(&self) -> How {
        match (self.health(), self.vitals.breaker.get()) {
            (Health::Unhealthy, _) => How::Unhealthy,
            (_, Breaker::Open { until, .. }) => How::Ejected(self.vitals.reason(), until),
            (_, Breaker::HalfOpen { .. }) => How::Tried,
            (Health::Healthy, Breaker::Closed { .. }) => How::Healthy,
            (Health::Unknown, Breaker::Closed { .. }) => How::Unknown,
        }
    }

    /// Whether its addresses are for the resolver to find.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.only.is_none() && self.address.host.parse::<IpAddr>().is_err()
    }

    /// The addresses that connections are tried at.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.names.get()
    }

    /// Connections open to it, over all cores.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes one of at most `max` connections; `None` when all are taken. Dropping the permit gives it back.
    #[must_use]
    pub fn permit(self: &Arc<Self>, max: usize) -> Option<ConnectionPermit> {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        let permit = ConnectionPermit {
            server: Arc::clone(self),
            shares: Shares::new(),
        };
        if taken >= max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(permit)
    }

    /// How often no permit was left. A change tells a core that others lack what idles there.
    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Where each core's table of pools has this server's: below the number of servers that there ever were at once, and
    /// nobody else's while this server is there.
    pub(super) const fn slot(&self) -> usize {
        self.slot.0
    }

    /// Cores that have a pool of connections to it.
    pub(super) fn pools(&self) -> usize {
        self.pools.load(Ordering::Relaxed)
    }

    pub(super) fn pool_made(&self) {
        self.pools.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn pool_gone(&self) {
        self.pools.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a server is, by checks and by live traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Checks are good.
    Healthy,
    /// Nobody has checked, and nothing speaks against it.
    Unknown,
    /// Checks are bad.
    Unhealthy,
    /// Live traffic speaks against it, until then.
    Ejected(Reason, Millis),
    /// One exchange is finding out whether it is well again.
    Tried,
}

impl How {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Unhealthy => "unhealthy",
            Self::Ejected(..) => "ejected",
            Self::Tried => "tried",
        }
    }

    /// Why live traffic keeps away; empty: it does not.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Ejected(reason, _) => reason.words(),
            Self::Tried => "one request is finding out whether it is well again",
            Self::Healthy | Self::Unknown | Self::Unhealthy => "",
        }
    }

    /// For people.
    #[must_use]
    pub fn words(self) -> String {
        match self.why() {
            "" => self.as_str().to_owned(),
            why => format!("{}: {why}", self.as_str()),
        }
    }
}

/// A place in the cores' tables of pools.
#[derive(Debug)]
struct Slot(usize);

/// Places that servers gave back, and the first that nobody ever had.
static SLOTS: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

impl Slot {
    fn take() -> Self {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        let (free, next) = &mut *slots;
        Self(free.pop().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        }))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.0.push(self.0);
    }
}

/// The right to hold one connection to a server.
#[derive(Debug)]
pub struct ConnectionPermit {
    server: Arc<Server>,
    /// Its part of what the whole backend and its squad may have.
    shares: Shares,
}

impl ConnectionPermit {
    /// The same with shares that are held as long.
    #[must_use]
    pub fn holding(mut self, shares: Shares) -> Self {
        self.shares = shares;
        self
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.server.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Server;
    use crate::backend::{Scheme, ServerAddress};

    #[test]
    fn servers_that_are_there_never_share_a_slot() {
        let server = |port| {
            let (scheme, host) = (Scheme::Http, "::1".to_owned());
            Server::new(ServerAddress { scheme, host, port })
        };
        let mut there: Vec<Server> = (1..100).map(server).collect();
        for port in 100..1_000 {
            there.remove(usize::from(port) * 7 % there.len());
            there.push(server(port));
            let mut slots: Vec<usize> = there.iter().map(Server::slot).collect();
            slots.sort_unstable();
            slots.dedup();
            assert_eq!(slots.len(), there.len());
        }
    }

    #[test]
    fn permits_are_bounded_and_come_back() {
        let address = ServerAddress {
            scheme: Scheme::Http,
            host: "::1".into(),
            port: 1,
        };
        let server = Arc::new(Server::new(address));
        let first = server.permit(1);
        assert!(first.is_some());
        assert!(server.permit(1).is_none());
        drop(first);
        assert!(server.permit(1).is_some());
        assert_eq!(server.connections(), 0);
        assert_eq!(&*server.label, "http://[::1]:1");
    }
}
