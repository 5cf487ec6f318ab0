//! A core's connections to servers: idle ones to use again, HTTP/2 ones to share, and what is under way on each.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    net::IpAddr,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

pub use super::reuse::Reuse;
use super::{
    Backend, BackendSettings, Scheme, Server,
    connect::{self, ConnectError, Connected, Patience},
    gauge::Gauge,
    reuse::JUST_USED,
    server::ConnectionPermit,
    shared::SharedConnections,
    under_way::UnderWay,
};
use crate::{clock, http1, http2, limits::Limits};

/// Idle connections that a core may keep to a server even where its share of `connections_max` is smaller.
const SHARE_MIN: usize = 64;

/// HTTP/2 connections that an exchange waits for, one after the other, before it opens one for itself: each takes a hundred
/// streams or more, so a burst of a thousand needs no more.
const TURNS_MAX: u32 = 8;

/// All pools of one core, each at its server's [slot](Server::slot).
#[derive(Debug, Default)]
pub struct Pools {
    by_slot: RefCell<Vec<Option<Rc<Pool>>>>,
}

impl Pools {
    /// The pool of `server`, made if there is none yet.
    #[must_use]
    pub fn of(&self, server: &Arc<Server>) -> Rc<Pool> {
        if let Some(Some(pool)) = self.by_slot.borrow().get(server.slot())
            && pool.server.id == server.id
        {
            return Rc::clone(pool);
        }
        self.make(server)
    }

    #[cold]
    fn make(&self, server: &Arc<Server>) -> Rc<Pool> {
        let pool = Rc::new(Pool::new(Arc::clone(server)));
        let mut pools = self.by_slot.borrow_mut();
        let room = pools.len().max(server.slot() + 1);
        pools.resize(room, None);
        if let Some(place) = pools.get_mut(server.slot()) {
            *place = Some(Rc::clone(&pool));
        }
        pool
    }

    /// Forgets the pools of servers that no snapshot names any longer. What is under way on them ends in peace.
    pub fn keep_only(&self, live: &HashSet<u64>) {
        for place in self.by_slot.borrow_mut().iter_mut() {
            place.take_if(|pool| !live.contains(&pool.server.id));
        }
    }

    /// Closes half of the idle connections to a server, the oldest first: they are wanted elsewhere.
    pub fn share_idle(&self, server: u64) {
        let pools = self.by_slot.borrow();
        if let Some(pool) = pools.iter().flatten().find(|pool| pool.server.id == server) {
            pool.share_idle();
        }
    }

    /// Closes connections that have been idle for too long, and those that the server has closed. To be called each second.
    pub fn sweep(&self, now: Instant) {
        for pool in self.by_slot.borrow().iter().flatten() {
            pool.sweep(now);
        }
    }

    /// A server's connections on this core, by what they do.
    #[must_use]
    pub fn counts(&self, server: u64) -> PoolCounts {
        let pools = self.by_slot.borrow();
        let pool = pools.iter().flatten().find(|pool| pool.server.id == server);
        pool.map_or_else(PoolCounts::default, |pool| pool.counts())
    }
}

/// How many connections do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolCounts {
    /// No exchange is on them.
    pub idle: usize,
    /// At least one is.
    pub busy: usize,
    /// Exchanges under way.
    pub in_flight: u32,
}

/// A core's connections to one server.
///
/// Idle ones are a stack: the one that came back last goes out first. So those at the bottom are what was not needed since the
/// last peak of use, and they alone grow old; what was in use within `idle_timeout` is kept, up to `idle_max`.
#[derive(Debug)]
pub struct Pool {
    /// Whose they are.
    pub server: Arc<Server>,
    idle: RefCell<Vec<Idle>>,
    idle_max: Cell<usize>,
    idle_timeout: Cell<Duration>,
    shared: SharedConnections,
    /// Held while an HTTP/2 connection is being opened, so that a burst opens few and not one for each request.
    opening: tokio::sync::Mutex<()>,
    /// HTTP/2 connections that came about so far, and attempts that failed.
    opened: Cell<u32>,
    failures: Cell<u32>,
    /// TLS agreed on HTTP/1.1 the last time: connections are not shared, so nobody need wait for another's.
    speaks_http1: Cell<bool>,
    pub(super) in_flight: Cell<u32>,
    /// How fast the server answers this core, and what it was asked.
    pub gauge: Gauge,
    /// [`Server::refused`] when this core last looked.
    refused: Cell<usize>,
}

/// An HTTP/1.1 connection that waits for its next exchange.
struct Idle {
    connection: http1::client::Connection,
    home: Rc<Home>,
    since: Instant,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// A way to a server, ready for one exchange.
pub enum Lane {
    /// An HTTP/1.1 connection of one's own.
    Http1 {
        /// The connection.
        connection: http1::client::Connection,
        /// Where it goes when the answer has been read to its end.
        home: Rc<Home>,
        /// It has carried an exchange before, so the server may just have closed it.
        reused: bool,
    },
    /// A stream of a shared HTTP/2 connection.
    Http2 {
        /// The connection.
        client: http2::client::Client,
        /// As in [`Lane::Http1`].
        reused: bool,
    },
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http1 { .. } => "Lane::Http1",
            Self::Http2 { .. } => "Lane::Http2",
        })
    }
}

impl Lane {
    /// Whether it has carried an exchange before.
    #[must_use]
    pub const fn reused(&self) -> bool {
        match self {
            Self::Http1 { reused, .. } | Self::Http2 { reused, .. } => *reused,
        }
    }
}

/// Takes a connection back once its exchange is over. It stays with its connection, from exchange to exchange.
pub struct Home {
    me: Weak<Self>,
    pool: Weak<Pool>,
    /// The far end's address, and [`Names::departures`](super::names::Names::departures) when it was last among the server's.
    peer: Option<IpAddr>,
    lasted: Cell<u64>,
    _permit: ConnectionPermit,
}

impl Home {
    /// Whether the server still has the address that the connection goes to.
    fn lasts(&self, server: &Server) -> bool {
        let departures = server.names.departures();
        if self.lasted.get() == departures {
            return true;
        }
        self.lasted.set(departures);
        server.names.lasts(self.peer)
    }
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}

impl http1::client::Home for Home {
    fn keep(&self, connection: http1::client::Connection) {
        let (Some(pool), Some(home)) = (self.pool.upgrade(), self.me.upgrade()) else {
            return;
        };
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < pool.idle_max.get() && home.lasts(&pool.server) {
            idle.push(Idle {
                connection,
                home,
                since: clock::steady(),
            });
        }
    }
}

/// How HTTP/2 connections to servers are kept.
#[must_use]
pub const fn client_settings(limits: &Limits) -> http2::client::ClientSettings {
    http2::client::ClientSettings {
        response_head_bytes_max: limits.response_head_bytes_max,
        handshake_timeout: limits.handshake_timeout,
        write_timeout: limits.write_timeout,
    }
}

impl Pool {
    fn new(server: Arc<Server>) -> Self {
        server.pool_made();
        Self {
            refused: Cell::new(server.refused()),
            server,
            idle: RefCell::default(),
            idle_max: Cell::default(),
            idle_timeout: Cell::default(),
            shared: SharedConnections::default(),
            opening: tokio::sync::Mutex::default(),
            opened: Cell::default(),
            failures: Cell::default(),
            speaks_http1: Cell::default(),
            in_flight: Cell::default(),
            gauge: Gauge::default(),
        }
    }

    /// Exchanges under way on this core.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// Whether an exchange may go to the server now.
    #[must_use]
    pub fn usable(&self, now: Instant) -> bool {
        self.server.takes_traffic() && self.server.vitals.breaker.admits(now)
    }

    /// Counts an exchange in.
    #[must_use]
    pub fn enter(self: &Rc<Self>) -> UnderWay {
        self.in_flight.set(self.in_flight.get() + 1);
        UnderWay::at(Rc::clone(self))
    }

    /// Tells the server's vitals what this core saw of it.
    pub fn tell(&self, now: Instant) {
        self.gauge.tell(&self.server.vitals, self.in_flight.get(), now);
    }

    fn counts(&self) -> PoolCounts {
        let (shared, shared_busy, shared_under_way) = self.shared.counts();
        let alone = usize::try_from(self.in_flight.get())
            .unwrap_or(usize::MAX)
            .saturating_sub(shared_under_way);
        PoolCounts {
            idle: self.idle.borrow().len() + shared - shared_busy,
            busy: alone + shared_busy,
            in_flight: self.in_flight.get(),
        }
    }

    /// Half of the idle connections go, the oldest first.
    fn share_idle(&self) {
        let mut idle = self.idle.borrow_mut();
        let surplus = idle.len().div_ceil(2);
        idle.drain(..surplus);
    }

    fn sweep(&self, now: Instant) {
        let idle_timeout = self.idle_timeout.get();
        let refused = self.server.refused();
        let mut idle = self.idle.borrow_mut();
        let here = idle.len() + usize::try_from(self.in_flight.get()).unwrap_or(usize::MAX);
        if self.refused.replace(refused) != refused && self.server.connections() > here {
            drop(idle);
            self.share_idle(); // another core got none while these lay idle
            idle = self.idle.borrow_mut();
        }
        idle.retain_mut(|idle| {
            let young = now.saturating_duration_since(idle.since) < idle_timeout;
            young && idle.home.lasts(&self.server) && idle.connection.is_idle_and_clean()
        });
        self.shared
            .sweep(now, idle_timeout, |peer| self.server.names.lasts(peer));
    }

    /// Follows the settings of the snapshot in force.
    fn follow(&self, settings: &BackendSettings) {
        let share = settings.connections_max / self.server.pools().max(1);
        self.idle_max.set(settings.idle_max.min(share.max(SHARE_MIN)));
        self.idle_timeout.set(settings.idle_timeout);
    }

    /// A way to the server: an idle connection that is still good, a shared one with room, or a new one.
    ///
    /// # Errors
    /// [`ConnectError`]; [`ConnectError::Full`] when the server's connections are all taken.
    pub async fn lane(
        self: &Rc<Self>,
        backend: &Backend,
        reuse: Reuse,
        limits: &Limits,
    ) -> Result<Lane, ConnectError> {
        self.follow(&backend.settings);
        if let Some(lane) = self.waiting(reuse) {
            return Ok(lane);
        }
        if self.opens_alone() {
            return self.open(backend, limits).await;
        }
        let (opened, failures) = (self.opened.get(), self.failures.get());
        let turn = self.opening.lock().await;
        if let Some(lane) = self.waiting(reuse) {
            return Ok(lane);
        }
        // Whoever opens one does so for many. If that failed, everyone tries for themselves, not one after the other.
        let turns = self.opened.get().wrapping_sub(opened);
        if self.opens_alone() || self.failures.get() != failures || turns >= TURNS_MAX {
            drop(turn);
        }
        let lane = self.open(backend, limits).await;
        let count = if lane.is_ok() {
            &self.opened
        } else {
            &self.failures
        };
        count.set(count.get().wrapping_add(1));
        lane
    }

    fn opens_alone(&self) -> bool {
        self.server.address.scheme == Scheme::Http || self.speaks_http1.get()
    }

    /// A connection that is there already.
    fn waiting(&self, reuse: Reuse) -> Option<Lane> {
        if let Some(client) = self.shared.take() {
            return Some(Lane::Http2 { client, reused: true });
        }
        if reuse == Reuse::Shared {
            return None;
        }
        loop {
            // The newest is on top: if that one has been idle for too long, all have.
            let newest = self.idle.borrow().last().map(|idle| idle.since)?;
            if reuse == Reuse::JustUsed && clock::steady().saturating_duration_since(newest) > JUST_USED {
                return None;
            }
            let Idle {
                mut connection, home, ..
            } = self.idle.borrow_mut().pop()?;
            if connection.is_idle_and_clean() {
                return Some(Lane::Http1 {
                    connection,
                    home,
                    reused: true,
                });
            }
        }
    }

    fn home(self: &Rc<Self>, peer: Option<IpAddr>, permit: ConnectionPermit) -> Rc<Home> {
        Rc::new_cyclic(|me| Home {
            me: Weak::clone(me),
            pool: Rc::downgrade(self),
            peer,
            lasted: Cell::new(u64::MAX),
            _permit: permit,
        })
    }

    /// Takes a connection that is open already (over memory, say), to be used like one that the pool opened itself.
    ///
    /// # Errors
    /// [`ConnectError`]; [`ConnectError::Full`] when the server's connections are all taken.
    pub async fn adopt(
        self: &Rc<Self>,
        connected: Connected,
        backend: &Backend,
        limits: &Limits,
    ) -> Result<(), ConnectError> {
        self.follow(&backend.settings);
        let permit = self.permit(backend)?;
        if let Lane::Http1 { connection, home, .. } = self.begin(connected, permit, limits).await? {
            http1::client::Home::keep(&*home, connection);
        }
        Ok(())
    }

    fn permit(&self, backend: &Backend) -> Result<ConnectionPermit, ConnectError> {
        let max = backend.settings.connections_max;
        let permit = self.server.permit(max).ok_or(ConnectError::Full(max))?;
        let shares = backend.connection(clock::steady());
        Ok(permit.holding(shares.map_err(ConnectError::FullWhole)?))
    }

    async fn open(self: &Rc<Self>, backend: &Backend, limits: &Limits) -> Result<Lane, ConnectError> {
        let permit = self.permit(backend)?;
        let connected = connect::connect(
            &self.server,
            backend.tls.as_ref(),
            Patience {
                connect: backend.settings.connect_timeout,
                tls: backend.settings.tls_timeout,
            },
        )
        .await?;
        self.begin(connected, permit, limits).await
    }

    async fn begin(
        self: &Rc<Self>,
        connected: Connected,
        permit: ConnectionPermit,
        limits: &Limits,
    ) -> Result<Lane, ConnectError> {
        self.speaks_http1.set(!connected.http2);
        let peer = connected.peer;
        if connected.http2 {
            let client = self.share(connected, permit, limits).await?;
            return Ok(Lane::Http2 {
                client,
                reused: false,
            });
        }
        let connection = http1::client::Connection::new(
            connected.stream,
            limits.response_head_bytes_max,
            limits.headers_max,
        );
        Ok(Lane::Http1 {
            connection,
            home: self.home(peer, permit),
            reused: false,
        })
    }

    /// Starts HTTP/2 and offers the connection to the core's other exchanges.
    async fn share(
        &self,
        Connected { stream, peer, .. }: Connected,
        permit: ConnectionPermit,
        limits: &Limits,
    ) -> Result<http2::client::Client, ConnectError> {
        let started = http2::client::handshake(stream, client_settings(limits)).await;
        let (client, driver) = started.map_err(|error| ConnectError::Http2(error.to_string()))?;
        tokio::task::spawn_local(async move {
            driver.await;
            drop(permit);
        });
        self.shared.offer(client.clone(), peer, clock::steady());
        Ok(client)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.server.pool_gone();
        self.gauge.tell(&self.server.vitals, 0, clock::steady());
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
