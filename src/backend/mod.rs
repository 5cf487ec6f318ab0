//! Where a request goes, and whether that place is well.
//!
//! In reading order: [`pick`] chooses a server, [`breaker`] and [`health`] say which ones may be chosen (all pure), [`server`]
//! holds what outlives a snapshot, [`wording`] says how requests are put, [`connect`] and [`pool`] (with `shared`) do the I/O on a
//! core, [`probe`] asks servers how they are.

pub mod breaker;
pub mod connect;
pub mod health;
pub mod pick;
pub mod pool;
pub mod probe;
pub mod server;
mod shared;
pub mod wording;

use std::{path::PathBuf, time::Duration};

pub use self::{
    server::{Backend, Server},
    wording::Wording,
};
use crate::{
    name::{BackendName, Place, SquadName},
    shield::line,
};

/// `[backends.<name>]` in a squad's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSettings {
    /// Its name.
    pub name: BackendName,
    /// Who runs it.
    pub squad: SquadName,
    /// Where it is written.
    pub place: Place,
    /// At least one.
    pub servers: Vec<ServerAddress>,
    /// Active checks; `None`: only live traffic tells.
    pub health: Option<HealthSettings>,
    /// Time to connect, TLS included. 2 s unless said otherwise.
    pub connect_timeout: Duration,
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

/// Servers that one exchange tries where its backend does not say how many: two may be in the middle of a restart.
pub const ATTEMPTS: u32 = 3;

/// Most servers that one exchange may be told to try: each costs the visitor a time-out.
pub const ATTEMPTS_MAX: u32 = 5;

/// One server.
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

/// `[backends.<name>.health]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// Path asked with GET.
    pub path: String,
    /// Time between two checks. 5 s unless said otherwise.
    pub interval: Duration,
    /// Time for one check. 2 s unless said otherwise.
    pub timeout: Duration,
    /// Good checks in a row that bring a server back. 2 unless said otherwise.
    pub healthy_after: u32,
    /// Bad checks in a row that take it out. 3 unless said otherwise.
    pub unhealthy_after: u32,
    /// Statuses that are good: a range, 200 to 399 unless said otherwise.
    pub status: (u16, u16),
}
