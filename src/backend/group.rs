//! A backend as a snapshot knows it, and what outlives the snapshot: what came of exchanges is noted here.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::StatusCode;
use tokio::sync::Notify;

use super::{
    BackendSettings, BreakerSettings, Resolve, Server, ServerAddress,
    breaker::{Millis, SharedBreaker},
    eject::Reason,
    pool::Pool,
    roster::{Found, FoundByLine, Roster},
    server::TlsClient,
};
use crate::shield::{
    gradient::Adaptive,
    line::{self, Line},
    pot::{Bound, Shares, Stock, Ward},
};

/// A backend as a snapshot knows it. Its servers are shared with earlier and later snapshots that name the same ones.
pub struct Backend {
    /// What its file says.
    pub settings: BackendSettings,
    /// How https servers are spoken to; `None` when it has none.
    pub tls: Option<TlsClient>,
    /// What is carried over by its name.
    pub state: Arc<State>,
    /// What its squad may have at once, if that is bounded.
    pub squad: Option<Ward>,
    zone: Option<Arc<str>>,
    roster: ArcSwap<Roster>,
    version: AtomicU64,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("settings", &self.settings)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}

/// What outlives snapshots, by a backend's name.
#[derive(Debug, Default)]
pub struct State {
    /// Whether the whole backend is left alone for a while.
    pub breaker: SharedBreaker,
    /// Its seats, by [`BackendSettings::line`].
    pub line: Arc<Line>,
    /// How many of them it can bear, where that is found out.
    pub adaptive: Adaptive,
    /// Connections to all of its servers, and what is kept of requests' bodies for them.
    pub stock: Stock,
    openings: AtomicU64,
    /// A core is taking a server out just now: no other does, or together they would take out too many.
    ejecting: AtomicBool,
    /// What names stood for at the last answer.
    found: Mutex<HashMap<(ServerAddress, Resolve), Vec<Found>>>,
    filled: Notify,
}

impl State {
    /// How often its breaker opened.
    #[must_use]
    pub fn openings(&self) -> u64 {
        self.openings.load(Ordering::Relaxed)
    }

    /// Opens the breaker: too large a share of exchanges failed.
    pub fn open(&self, settings: &BackendSettings, now: Instant) {
        if let Some(terms) = settings.breaker.as_ref().map(|breaker| breaker.terms)
            && let Some(pause) = self.breaker.open(now, &terms)
        {
            self.tell_open(settings, pause);
        }
    }

    fn tell_open(&self, settings: &BackendSettings, pause: Duration) {
        self.openings.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(backend = %settings.name, ?pause, "breaker open");
    }
}

/// Counts up whenever the servers of any backend change without a new snapshot.
static CHANGES: AtomicU64 = AtomicU64::new(0);

impl Backend {
    /// A backend of `settings` in a router that stands in `zone`; what is known of the one of that name before it stays.
    #[must_use]
    pub fn new(
        settings: BackendSettings,
        tls: Option<TlsClient>,
        zone: Option<Arc<str>>,
        before: Option<&Self>,
    ) -> Self {
        let state = before.map_or_else(Arc::default, |before| Arc::clone(&before.state));
        let roster = {
            let known = state.found.lock().unwrap_or_else(PoisonError::into_inner);
            let known = by_line(&settings, &known);
            let before = before.map(Self::roster);
            Roster::of(&settings, zone.as_deref(), &known, before.as_deref())
        };
        Self {
            version: AtomicU64::new(roster.version),
            roster: ArcSwap::from_pointee(roster),
            settings,
            tls,
            state,
            squad: None,
            zone,
        }
    }

    /// The same as part of a squad whose share is bounded.
    #[must_use]
    pub fn of_squad(self, squad: Option<Ward>) -> Self {
        Self { squad, ..self }
    }

    /// How many requests may be under way just now, and wait for that; `None`: as many as come.
    #[must_use]
    pub fn line(&self) -> Option<line::Terms> {
        let terms = self.settings.line?;
        Some(match self.settings.adaptive {
            Some(adaptive) => line::Terms {
                seats: self.state.adaptive.limit(adaptive),
                ..terms
            },
            None => terms,
        })
    }

    /// Notes how long an answer took, or was waited for in vain: what it can bear is found out by that.
    pub fn took(&self, took: Duration, now: Instant) {
        if let Some(terms) = self.settings.adaptive {
            self.state
                .adaptive
                .note(took, self.state.line.taken(), now, terms);
        }
    }

    /// Takes a connection's part of what the backend and its squad may have.
    ///
    /// # Errors
    /// The name of who has none left.
    pub fn connection(&self, now: Instant) -> Result<Shares, Arc<str>> {
        let (caps, pot) = (self.settings.caps, &self.state.stock.connections);
        let own = pot.take(1, caps.connections, now);
        let mut shares = Shares::new();
        shares.push(own.ok_or_else(|| self.settings.name.shared())?);
        if let Some(Ward { squad, caps, stock }) = &self.squad {
            let share = stock.connections.take(1, caps.connections, now);
            shares.push(share.ok_or_else(|| Arc::clone(squad))?);
        }
        Ok(shares)
    }

    /// Whether a connection was refused a moment ago: what idles somewhere is wanted elsewhere.
    #[must_use]
    pub fn lacks_connections(&self, now: Instant) -> bool {
        let squad = self.squad.as_ref();
        self.state.stock.connections.was_short(now)
            || squad.is_some_and(|squad| squad.stock.connections.was_short(now))
    }

    /// Its bounds on what there may be at once over all cores: what, how much of it is used, and how much there may be.
    #[must_use]
    pub fn bounds(&self) -> Vec<Bound> {
        let line = self.line().map(|terms| self.state.line.bounds(terms));
        let caps = self.settings.caps.bounds(&self.state.stock);
        line.into_iter().flatten().chain(caps).collect()
    }

    /// Whether [`Backend::new`] would make the same of `settings` and `zone`.
    #[must_use]
    pub fn is_of(&self, settings: &BackendSettings, zone: Option<&str>) -> bool {
        self.settings == *settings && self.zone.as_deref() == zone
    }

    /// Its servers just now. Cores have a [`Crew`](super::crew::Crew) of them.
    #[must_use]
    pub fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }

    /// [`Roster::version`] of its servers just now.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Changes whenever servers of any backend enter or leave without a new snapshot.
    #[must_use]
    pub fn changes() -> u64 {
        CHANGES.load(Ordering::Acquire)
    }

    /// Notes what a name stands for by now. Who is there already stays; returns whether anybody entered or left.
    pub fn learn(&self, address: &ServerAddress, resolve: Resolve, found: Vec<Found>) -> bool {
        let roster = {
            let mut known = self.state.found.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert((address.clone(), resolve), found);
            let known = by_line(&self.settings, &known);
            Roster::of(&self.settings, self.zone.as_deref(), &known, Some(&self.roster()))
        };
        if roster.is_like(&self.roster()) {
            return false;
        }
        let version = roster.version;
        self.roster.store(Arc::new(roster));
        self.version.store(version, Ordering::Release);
        CHANGES.fetch_add(1, Ordering::Release);
        self.state.filled.notify_waiters();
        true
    }

    /// What a name stood for at the last answer; `None`: there was none yet.
    #[must_use]
    pub fn learned(&self, address: &ServerAddress, resolve: Resolve) -> Option<Vec<Found>> {
        let known = self.state.found.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(address.clone(), resolve)).cloned()
    }

    /// Waits until its names stand for somebody, for as long as a connection may take.
    pub async fn filled(&self) {
        let told = self.state.filled.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        let awaited = self
            .settings
            .servers
            .iter()
            .any(|server| server.resolve.stands_for_many());
        if awaited && self.roster().servers.is_empty() {
            let _ = tokio::time::timeout(self.settings.connect_timeout, told).await;
        }
    }

    /// Whether an exchange may be sent there: its breaker is closed, or this is the one probe.
    #[must_use]
    pub fn admits(&self, now: Instant) -> bool {
        self.settings.breaker.is_none() || self.state.breaker.claim(now)
    }

    /// As [`Backend::admits`], for who only wants to know.
    #[must_use]
    pub fn would_admit(&self, now: Instant) -> bool {
        self.settings.breaker.is_none() || self.state.breaker.admits(now)
    }

    /// Notes that the server of `pool` answered with `status`, the head after `took`.
    pub fn answered(&self, pool: &Pool, status: StatusCode, took: Duration, now: Instant) {
        let code = status.as_u16();
        if self.settings.eject.is_bad(code) {
            pool.gauge.failed(now);
            self.struck(pool, now);
        } else {
            pool.gauge.answered(took, now);
            if !status.is_server_error() {
                self.took(took, now); // who fails fast bears no more for it
            }
            if pool.server.vitals.breaker.succeeded() {
                pool.server.vitals.begin(Millis::of(now));
                tracing::info!(backend = %self.settings.name, server = %pool.server.label, "server is back");
            }
        }
        let Some(breaker) = &self.settings.breaker else {
            return;
        };
        if (502..=504).contains(&code) {
            self.failed_whole(breaker, now);
        } else if self.state.breaker.succeeded() {
            tracing::info!(backend = %self.settings.name, "breaker closed");
        }
    }

    /// Notes that the server of `pool` failed.
    pub fn failed(&self, pool: &Pool, now: Instant) {
        pool.gauge.failed(now);
        self.struck(pool, now);
        if let Some(breaker) = &self.settings.breaker {
            self.failed_whole(breaker, now);
        }
    }

    fn failed_whole(&self, breaker: &BreakerSettings, now: Instant) {
        if let Some(pause) = self.state.breaker.failed(now, &breaker.terms, || true) {
            self.state.tell_open(&self.settings, pause);
        }
    }

    /// One failure more: it may be one too many in a row.
    fn struck(&self, pool: &Pool, now: Instant) {
        let vitals = &pool.server.vitals;
        let was_closed = vitals.breaker.get().is_closed();
        let ejecting = Cell::new(false);
        let may_open = || {
            ejecting.set(self.begin_ejecting());
            ejecting.get() && self.has_room()
        };
        let opened = vitals.breaker.failed(now, &self.settings.eject.terms, may_open);
        if ejecting.get() {
            self.state.ejecting.store(false, Ordering::Release);
        }
        if let Some(pause) = opened {
            let reason = if was_closed {
                Reason::Failures
            } else {
                Reason::Probe
            };
            vitals.ejected(reason);
            self.tell_ejected(&pool.server, reason, pause);
        }
    }

    fn begin_ejecting(&self) -> bool {
        let free = self
            .state
            .ejecting
            .compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed);
        free.is_ok()
    }

    /// Whether one more server may be taken out.
    fn has_room(&self) -> bool {
        let roster = self.roster.load();
        let is_out = |server: &&Arc<Server>| !server.vitals.breaker.get().is_closed();
        roster.servers.iter().filter(is_out).count() < self.settings.eject.room(roster.servers.len())
    }

    /// Says that a server was taken out.
    pub fn tell_ejected(&self, server: &Server, reason: Reason, pause: Duration) {
        tracing::warn!(
            backend = %self.settings.name,
            server = %server.label,
            reason = reason.as_str(),
            ?pause,
            "server ejected"
        );
    }
}

fn by_line(settings: &BackendSettings, known: &HashMap<(ServerAddress, Resolve), Vec<Found>>) -> FoundByLine {
    let lines = settings.servers.iter().enumerate();
    lines
        .filter_map(|(line, server)| {
            let found = known.get(&(server.address.clone(), server.resolve))?;
            Some((line, found.clone()))
        })
        .collect()
}
