//! What one core keeps: its view of the snapshot, its connections, its counters. Nothing of it is shared with another core.

use std::{
    cell::Cell,
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use super::{
    caching::{flights::Flights, shortcut::Shortcuts},
    compress::Places,
    elsewhere::Looking,
    error_page::Asking,
    hedge::Delays,
    lookup::{self, Lookups},
    ofrep::Desk,
    recall::Recalls,
    replay::Kept,
    sign_in::Desks,
    turns::{self, Turns},
};
use crate::{
    backend::{Backend, crew::Crews, pool::Pools},
    cache::store::{Reader, Store},
    clock,
    gate::{TokenMemory, assertion},
    observe::{
        self,
        metrics::{Family, Label},
        record::{Listener, TlsFacts},
    },
    snapshot::live::View,
    wire::Drain,
};

/// A core.
#[derive(Debug)]
pub struct Edge {
    /// The snapshot in force.
    pub view: View,
    /// Connections to servers.
    pub pools: Pools,
    /// Which servers each backend has, as this core sees them.
    pub crews: Crews,
    /// Tokens that were verified before.
    pub tokens: TokenMemory,
    /// Counters and log lines.
    pub observe: Rc<observe::Core>,
    /// Signs identities for backends.
    pub signer: Arc<assertion::Signer>,
    /// Identities that were signed lately.
    pub signed: assertion::AssertionMemory,
    /// What is kept of answers.
    pub cache: Reader,
    /// Requests that were answered from it lately.
    pub shortcuts: Shortcuts,
    /// Answers that any core asks for just now, to be kept.
    pub flights: Arc<Flights>,
    /// Answers that are being compressed.
    pub compressing: Places,
    /// When to stop.
    pub drain: Drain,
    /// The port that redirects name; `None`: the one that `https` means by itself.
    pub https_port: Option<u16>,
    /// Error pages that are asked for just now.
    pub asking: Asking,
    /// Assets that are looked for elsewhere just now.
    pub looking: Looking,
    /// Open exchanges that flags led somewhere.
    pub recalls: Recalls,
    /// Who asks for flags just now.
    pub desk: Desk,
    /// What others are asked just now.
    pub lookups: Lookups,
    /// Whose token is verified when.
    pub turns: Turns,
    /// Who signs in or out just now.
    pub desks: Desks,
    /// How long answers take, of routes that hedge.
    pub delays: Delays,
    /// Bytes of requests' bodies that are kept to be sent again.
    pub kept: Kept,
    /// The snapshot whose servers and labels are all that is kept.
    tidied: Cell<(u64, u64)>,
}

/// What a core is made of.
#[derive(Debug)]
pub struct Parts {
    /// The snapshot in force.
    pub view: View,
    /// Counters and log lines.
    pub observe: Rc<observe::Core>,
    /// Signs identities for backends.
    pub signer: Arc<assertion::Signer>,
    /// What is kept of answers, by all cores.
    pub cache: Arc<Store>,
    /// What all cores ask for just now, to be kept.
    pub flights: Arc<Flights>,
    /// When to stop.
    pub drain: Drain,
    /// The port that redirects name.
    pub https_port: Option<u16>,
}

/// The far end of a client's connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Which listener took it.
    pub listener: Listener,
    /// Its address.
    pub address: SocketAddr,
    /// The port that it connected to.
    pub port: u16,
    /// What TLS agreed on.
    pub tls: Option<Rc<TlsFacts>>,
}

impl Peer {
    /// Its address, an IPv4 one in its own form.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}

impl Edge {
    /// A core that has served nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            view: parts.view,
            pools: Pools::default(),
            crews: Crews::default(),
            tokens: TokenMemory::in_turns(),
            observe: parts.observe,
            signer: parts.signer,
            signed: assertion::AssertionMemory::new(),
            cache: parts.cache.reader(),
            shortcuts: Shortcuts::default(),
            flights: parts.flights,
            compressing: Places::default(),
            drain: parts.drain,
            https_port: parts.https_port,
            asking: Asking::default(),
            looking: Looking::default(),
            recalls: Recalls::default(),
            desk: Desk::default(),
            lookups: Lookups::default(),
            turns: Turns::default(),
            desks: Desks::default(),
            delays: Delays::default(),
            kept: Kept::default(),
            tidied: Cell::default(),
        }
    }

    /// 128 random bits.
    #[must_use]
    pub fn random16(&self) -> [u8; 16] {
        self.observe.random16()
    }

    /// 64 random bits.
    #[must_use]
    pub fn random8(&self) -> [u8; 8] {
        self.observe.random8()
    }

    /// Once a second: drops connections that nobody needs and pools of servers that are gone.
    pub fn tidy_up(&self) {
        let snapshot = self.view.load();
        let (now, version) = (clock::steady(), (snapshot.version, Backend::changes()));
        self.crews.tell(now);
        if self.tidied.replace(version) != version {
            let rosters = snapshot.backends.iter().map(|backend| backend.roster());
            let live: HashSet<u64> = rosters
                .flat_map(|roster| roster.servers.iter().map(|server| server.id).collect::<Vec<_>>())
                .collect();
            self.crews.disband();
            self.pools.keep_only(&live);
            self.delays.keep_only(&snapshot);
            self.observe.keep(&snapshot.labels());
        }
        self.pools.sweep(now);
        let kept = i64::try_from(self.kept.get()).unwrap_or(i64::MAX);
        self.observe.set(Family::KeptBytes, &[], kept);
        lookup::measure(self);
        turns::measure(self);
        self.cache.sweep();
        self.shortcuts.sweep();
        for backend in &snapshot.backends {
            self.count_connections(backend);
            if backend.lacks_connections(now) {
                let roster = backend.roster();
                roster
                    .servers
                    .iter()
                    .for_each(|server| self.pools.share_idle(server.id));
            }
        }
    }

    fn count_connections(&self, backend: &Backend) {
        let (mut idle, mut busy, mut in_flight) = (0, 0, 0);
        for server in &backend.roster().servers {
            let counts = self.pools.counts(server.id);
            idle += counts.idle;
            busy += counts.busy;
            in_flight += i64::from(counts.in_flight);
        }
        let name = backend.settings.name.shared();
        self.observe
            .set(Family::BackendRequestsInFlight, &[Label::Name(&name)], in_flight);
        for (state, count) in [("idle", idle), ("busy", busy)] {
            let labels = [Label::Name(&name), Label::Word(state)];
            self.observe.set(
                Family::BackendConnections,
                &labels,
                i64::try_from(count).unwrap_or(i64::MAX),
            );
        }
    }
}
