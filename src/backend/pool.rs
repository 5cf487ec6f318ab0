//! A core's connections to servers: idle ones to use again, HTTP/2 ones to share, and what is under way on each.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Backend, Scheme, Server,
    breaker::Breaker,
    connect::{self, ConnectError, Connected},
    server::ConnectionPermit,
};
use crate::{clock, http1, http2, limits::Limits, stream::Stream};

/// All pools of one core, by server.
#[derive(Debug, Default)]
pub struct Pools {
    by_server: RefCell<HashMap<u64, Rc<Pool>>>,
}

impl Pools {
    /// The pool of `server`, made if there is none yet.
    #[must_use]
    pub fn of(&self, server: &Arc<Server>) -> Rc<Pool> {
        let mut pools = self.by_server.borrow_mut();
        let pool = pools
            .entry(server.id)
            .or_insert_with(|| Rc::new(Pool::new(Arc::clone(server))));
        Rc::clone(pool)
    }

    /// Forgets the pools of servers that no snapshot names any longer. What is under way on them ends in peace.
    pub fn keep_only(&self, live: &HashSet<u64>) {
        self.by_server.borrow_mut().retain(|id, _| live.contains(id));
    }

    /// Closes connections that have been idle for too long.
    pub fn sweep(&self, now: Instant) {
        for pool in self.by_server.borrow().values() {
            pool.idle.borrow_mut().retain(|idle| idle.until > now);
            pool.http2.borrow_mut().retain(http2::client::Client::is_open);
        }
    }

    /// A server's connections on this core, by what they do.
    #[must_use]
    pub fn counts(&self, server: u64) -> PoolCounts {
        self.by_server
            .borrow()
            .get(&server)
            .map_or_else(PoolCounts::default, |pool| pool.counts())
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
#[derive(Debug)]
pub struct Pool {
    /// Whose they are.
    pub server: Arc<Server>,
    idle: RefCell<Vec<Idle>>,
    http2: RefCell<Vec<http2::client::Client>>,
    /// Held while an HTTP/2 connection is being opened, so that a burst opens one and not one for each request.
    opening: tokio::sync::Mutex<()>,
    /// TLS agreed on HTTP/1.1 the last time: connections are not shared, so nobody need wait for another's.
    speaks_http1: Cell<bool>,
    in_flight: Cell<u32>,
    breaker: Cell<Breaker>,
}

struct Idle {
    connection: http1::client::Connection,
    permit: ConnectionPermit,
    since: Instant,
    until: Instant,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle")
            .field("until", &self.until)
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

/// Which kept connections an exchange may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Any: if the server closes it just then, the exchange can be sent again.
    Any,
    /// Only one that carried an exchange within [`JUST_USED`]: this exchange can't be sent twice, and servers close what has been
    /// idle for a while (Node.js and Apache after 5 s, gunicorn after 2 s).
    JustUsed,
}

/// See [`Reuse::JustUsed`].
pub const JUST_USED: Duration = Duration::from_secs(1);

/// Takes a connection back once its exchange is over.
pub struct Home {
    pool: Weak<Pool>,
    permit: Cell<Option<ConnectionPermit>>,
    idle_max: usize,
    idle_timeout: Duration,
}

impl std::fmt::Debug for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Home").finish_non_exhaustive()
    }
}

impl http1::client::Home for Home {
    fn keep(&self, connection: http1::client::Connection) {
        let (Some(pool), Some(permit)) = (self.pool.upgrade(), self.permit.take()) else {
            return;
        };
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < self.idle_max {
            let since = clock::steady();
            let until = since + self.idle_timeout;
            idle.push(Idle {
                connection,
                permit,
                since,
                until,
            });
        }
    }
}

/// Counts an exchange as under way until it is dropped.
#[derive(Debug)]
pub struct UnderWay(Rc<Pool>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get().saturating_sub(1));
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
        Self {
            server,
            idle: RefCell::default(),
            http2: RefCell::default(),
            opening: tokio::sync::Mutex::default(),
            speaks_http1: Cell::default(),
            in_flight: Cell::default(),
            breaker: Cell::default(),
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
        self.server.takes_traffic() && self.breaker.get().admits(now)
    }

    /// Counts an exchange in.
    #[must_use]
    pub fn enter(self: &Rc<Self>, now: Instant) -> UnderWay {
        self.in_flight.set(self.in_flight.get() + 1);
        self.breaker.set(self.breaker.get().sent(now));
        UnderWay(Rc::clone(self))
    }

    /// Notes that the server answered.
    pub fn succeeded(&self) {
        self.breaker.set(self.breaker.get().succeeded());
    }

    /// Notes that the server failed.
    pub fn failed(&self, now: Instant) {
        self.breaker.set(self.breaker.get().failed(now));
    }

    fn counts(&self) -> PoolCounts {
        let shared = self.http2.borrow();
        let shared_busy = shared.iter().filter(|client| client.open_exchanges() > 0).count();
        let shared_under_way: usize = shared.iter().map(http2::client::Client::open_exchanges).sum();
        let alone = usize::try_from(self.in_flight.get())
            .unwrap_or(usize::MAX)
            .saturating_sub(shared_under_way);
        PoolCounts {
            idle: self.idle.borrow().len() + shared.len() - shared_busy,
            busy: alone + shared_busy,
            in_flight: self.in_flight.get(),
        }
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
        if let Some(lane) = self.waiting(backend, reuse) {
            return Ok(lane);
        }
        if self.server.address.scheme == Scheme::Http || self.speaks_http1.get() {
            return self.open(backend, limits).await;
        }
        let Ok(_first) = self.opening.try_lock() else {
            // Wait for whoever opens one, once: if that failed, everyone tries for themselves, not one after the other.
            drop(self.opening.lock().await);
            return match self.waiting(backend, reuse) {
                Some(lane) => Ok(lane),
                None => self.open(backend, limits).await,
            };
        };
        self.open(backend, limits).await
    }

    /// A connection that is there already.
    fn waiting(self: &Rc<Self>, backend: &Backend, reuse: Reuse) -> Option<Lane> {
        let shared = self
            .http2
            .borrow()
            .iter()
            .find(|client| client.is_open() && client.has_room())
            .cloned();
        if let Some(client) = shared {
            return Some(Lane::Http2 { client, reused: true });
        }
        loop {
            // The newest is on top: if that one has been idle for too long, all have.
            let newest = self.idle.borrow().last().map(|idle| idle.since)?;
            if reuse == Reuse::JustUsed && clock::steady().saturating_duration_since(newest) > JUST_USED {
                return None;
            }
            let Idle {
                mut connection,
                permit,
                ..
            } = self.idle.borrow_mut().pop()?;
            if connection.is_idle_and_clean() {
                return Some(Lane::Http1 {
                    connection,
                    home: self.home(backend, permit),
                    reused: true,
                });
            }
        }
    }

    fn home(self: &Rc<Self>, backend: &Backend, permit: ConnectionPermit) -> Rc<Home> {
        Rc::new(Home {
            pool: Rc::downgrade(self),
            permit: Cell::new(Some(permit)),
            idle_max: backend.settings.idle_max,
            idle_timeout: backend.settings.idle_timeout,
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
        let permit = self.permit(backend)?;
        if let Lane::Http1 { connection, home, .. } = self.begin(connected, permit, backend, limits).await? {
            http1::client::Home::keep(&*home, connection);
        }
        Ok(())
    }

    fn permit(&self, backend: &Backend) -> Result<ConnectionPermit, ConnectError> {
        let max = backend.settings.connections_max;
        self.server.permit(max).ok_or(ConnectError::Full(max))
    }

    async fn open(self: &Rc<Self>, backend: &Backend, limits: &Limits) -> Result<Lane, ConnectError> {
        let permit = self.permit(backend)?;
        let connected = connect::connect(
            &self.server.address,
            backend.tls.as_ref(),
            backend.settings.connect_timeout,
        )
        .await?;
        self.begin(connected, permit, backend, limits).await
    }

    async fn begin(
        self: &Rc<Self>,
        connected: Connected,
        permit: ConnectionPermit,
        backend: &Backend,
        limits: &Limits,
    ) -> Result<Lane, ConnectError> {
        self.speaks_http1.set(!connected.http2);
        if connected.http2 {
            let client = self.share(connected.stream, permit, limits).await?;
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
            home: self.home(backend, permit),
            reused: false,
        })
    }

    /// Starts HTTP/2 on `stream` and offers the connection to the core's other exchanges.
    async fn share(
        &self,
        stream: Stream,
        permit: ConnectionPermit,
        limits: &Limits,
    ) -> Result<http2::client::Client, ConnectError> {
        let started = http2::client::handshake(stream, client_settings(limits)).await;
        let (client, driver) = started.map_err(|error| ConnectError::Http2(error.to_string()))?;
        tokio::task::spawn_local(async move {
            driver.await;
            drop(permit);
        });
        self.http2.borrow_mut().push(client.clone());
        Ok(client)
    }
}
