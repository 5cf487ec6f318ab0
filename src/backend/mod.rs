//! Where a request goes, and whether that place is well.
//!
//! In reading order: [`pick`] and [`ring`] choose a server of a [`table`], [`breaker`], [`eject`] and [`health`] say which ones may
//! be chosen (all pure). [`group`] is the backend, [`roster`] its servers just now, [`server`] one of them with its [`vitals`] and
//! the addresses of its name ([`names`]): what outlives a snapshot. [`crew`] is a core's view of a backend, [`gauge`] of a server.
//! [`version`] says who gets which version of a backend that has several.
//! [`wording`] says how requests are put, [`connect`] and [`pool`] (with `shared`, `reuse`, [`under_way`]) do the I/O on a core. On the control plane
//! [`probe`] asks servers how they are (`grpc` by their own protocol), [`judge`] takes out who stands apart, [`resolve`] asks for names (`lasting`: how
//! long the last answer's addresses are good).

pub mod breaker;
pub mod carry;
pub mod connect;
pub mod crew;
pub mod eject;
pub mod gauge;
pub mod group;
mod grpc;
pub mod health;
pub mod judge;
mod lasting;
pub mod names;
pub mod pick;
pub mod pool;
pub mod probe;
pub mod resolve;
mod reuse;
pub mod ring;
pub mod roster;
pub mod server;
mod shared;
pub mod table;
pub mod under_way;
pub mod version;
pub mod vitals;
pub mod wording;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use self::{
    breaker::Terms,
    eject::EjectSettings,
    group::Backend,
    health::{Asks, HealthSettings},
    pick::Pick,
    server::Server,
    version::Versions,
    wording::Wording,
};
use crate::{
    name::{BackendName, Place, SquadName},
    shield::{gradient, line, pot::Caps},
};

/// `[backends.<name>]` in a squad's file.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendSettings {
    /// Its name.
    pub name: BackendName,
    /// Who runs it.
    pub squad: SquadName,
    /// Where it is written.
    pub place: Place,
    /// At least one; none where it has [`BackendSettings::versions`].
    pub servers: Vec<ServerSettings>,
    /// Its servers by version, each a backend of its own, named [`BackendName::at_version`].
    pub versions: Option<Arc<Versions>>,
    /// How one is chosen.
    pub pick: Pick,
    /// How long a server takes to get its whole part after it has entered or come back; `None`: no time.
    pub slow_start: Option<Duration>,
    /// Percent of the servers by weight below which all are asked, well or not.
    pub panic_below: f64,
    /// Who is taken out by what live traffic tells.
    pub eject: EjectSettings,
    /// When the whole backend is left alone; `None`: never.
    pub breaker: Option<BreakerSettings>,
    /// Active checks; `None`: only live traffic tells.
    pub health: Option<HealthSettings>,
    /// Time to connect, TLS included. 2 s unless said otherwise.
    pub connect_timeout: Duration,
    /// Time for the TLS handshake of an https server. `None`: what is left of `connect_timeout`.
    pub tls_timeout: Option<Duration>,
    /// From the request's end to the answer's head. 30 s unless said otherwise.
    pub first_byte_timeout: Duration,
    /// Between two pieces of the answer. 60 s unless said otherwise.
    pub between_bytes_timeout: Duration,
    /// The whole exchange, the answer's body included; tunnels aside. `None`: no bound of its own.
    pub total_timeout: Option<Duration>,
    /// Servers that one exchange may try, 1 to [`ATTEMPTS_MAX`]. [`ATTEMPTS`] unless said otherwise.
    pub attempts: u32,
    /// Requests that may be under way with it, and wait for that, over all cores. `None`: no bound of its own.
    pub line: Option<line::Terms>,
    /// Between which bounds the seats of `line` follow what it can bear; `None`: they are as many as it says.
    pub adaptive: Option<gradient::Terms>,
    /// Connections to all of its servers together, and bytes of requests' bodies that are kept for them.
    pub caps: Caps,
    /// How its requests are worded; `None`: as the visitor's.
    pub wording: Option<Wording>,
    /// Connections to one server, over all cores. 1,024 unless said otherwise; beyond it an exchange is refused with 503.
    pub connections_max: usize,
    /// Idle connections kept to one server by each core, at most its share of `connections_max` (but 64 in any case). 1,024
    /// unless said otherwise.
    pub idle_max: usize,
    /// How long an idle connection is kept. 60 s unless said otherwise.
    pub idle_timeout: Duration,
    /// Extra certificate authorities for https servers, absolute by now; `None`: the system's.
    pub ca: Option<PathBuf>,
}

impl BackendSettings {
    /// The backend that one version is: as the whole, with servers of its own. What state the version is in is not part of it, so that
    /// a change of that leaves its connections alone.
    #[must_use]
    pub fn at_version(&self, version: &version::Version) -> Self {
        Self {
            name: self.name.at_version(&version.name),
            servers: version.servers.clone(),
            versions: None,
            ..self.clone()
        }
    }
}

/// Servers that one exchange tries where its backend does not say how many: two may be in the middle of a restart.
pub const ATTEMPTS: u32 = 3;

/// Most servers that one exchange may be told to try: each costs the visitor a time-out.
pub const ATTEMPTS_MAX: u32 = 5;

/// A line of `servers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it is.
    pub address: ServerAddress,
    /// How much it is given beside the others, 0 to [`roster::WEIGHT_MAX`]. 1 unless said otherwise; 0: only while all are 0.
    pub weight: u32,
    /// Where it stands.
    pub zone: Option<Arc<str>>,
    /// What its name stands for.
    pub resolve: Resolve,
}

impl From<ServerAddress> for ServerSettings {
    fn from(address: ServerAddress) -> Self {
        Self {
            address,
            weight: 1,
            zone: None,
            resolve: Resolve::One,
        }
    }
}

/// What a server's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Resolve {
    /// One server, at any of the name's addresses.
    #[default]
    One,
    /// A server at each address.
    Each,
    /// A server for each SRV record of the best priority.
    Srv,
}

impl Resolve {
    /// Whether servers enter and leave with the name's answers.
    #[must_use]
    pub const fn stands_for_many(self) -> bool {
        matches!(self, Self::Each | Self::Srv)
    }
}

/// `[backends.<name>.breaker]`.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerSettings {
    /// Failures in a row of the whole backend that open it, and its pauses.
    pub terms: Terms,
    /// Percent of failures within `window` that open it.
    pub error_share: f64,
    /// Exchanges within `window` below which the share says nothing.
    pub requests: u64,
    /// What is looked back at.
    pub window: Duration,
}

/// One server's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, always explicit by now.
    pub port: u16,
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = self.scheme.as_str();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl ServerAddress {
    /// Its host, with its port unless that is the scheme's usual one: what its own name is in `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        let usual = match self.scheme {
            Scheme::Http | Scheme::H2c => 80,
            Scheme::Https => 443,
        };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == usual {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP/1.1 over TCP.
    Http,
    /// TLS; HTTP/2 or HTTP/1.1, as ALPN agrees.
    Https,
    /// HTTP/2 over TCP, with prior knowledge.
    H2c,
}

impl Scheme {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}
