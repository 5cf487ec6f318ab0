//! What outlives a snapshot: a backend's servers, their health and how many connections they have.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{BackendSettings, ServerAddress, health::Health};
use crate::shield::line::Line;

/// A backend as a snapshot knows it. Its servers are shared with earlier and later snapshots that name the same ones.
#[derive(Debug)]
pub struct Backend {
    /// What its file says.
    pub settings: BackendSettings,
    /// Its servers, in the order written.
    pub servers: Vec<Arc<Server>>,
    /// How https servers are spoken to; `None` when it has none.
    pub tls: Option<TlsClient>,
    /// Its seats, by [`BackendSettings::line`].
    pub line: Arc<Line>,
}

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
    slot: Slot,
    health: AtomicU8,
    connections: AtomicUsize,
    refused: AtomicUsize,
    pools: AtomicUsize,
    last_check: Mutex<String>,
}

impl Server {
    /// A server that nobody has asked anything yet.
    #[must_use]
    pub fn new(address: ServerAddress) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            label: Arc::from(address.to_string()),
            authority: address.authority().into(),
            address,
            slot: Slot::take(),
            health: AtomicU8::new(0),
            connections: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            pools: AtomicUsize::new(0),
            last_check: Mutex::new(String::new()),
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
    pub fn set_health(&self, health: Health, outcome: String) {
        let value = match health {
            Health::Unknown => 0,
            Health::Healthy => 1,
            Health::Unhealthy => 2,
        };
        self.health.store(value, Ordering::Relaxed);
        *self.last_check.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
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

    /// Connections open to it, over all cores.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes one of at most `max` connections; `None` when all are taken. Dropping the permit gives it back.
    #[must_use]
    pub fn permit(self: &Arc<Self>, max: usize) -> Option<ConnectionPermit> {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        let permit = ConnectionPermit(Arc::clone(self));
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
pub struct ConnectionPermit(Arc<Server>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
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
