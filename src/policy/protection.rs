//! What a route says of time, retries, and how much of it may go on at once.

use std::time::Duration;

use http::HeaderName;

use crate::shield::{budget, line::Class, rate::Rate};

/// Everything that a route says of this. The default bounds retries alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protection {
    /// How long things may take, over what the backend says.
    pub timeouts: Timeouts,
    /// How much may be tried again.
    pub retries: budget::Terms,
    /// Who is let in, and in which order.
    pub limits: RouteLimits,
    /// What is sent to a second server because the first takes long; `None`: nothing.
    pub hedge: Option<Hedge>,
}

/// What is sent to a second server because the first takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hedge {
    /// How much of it there may be.
    pub budget: budget::Terms,
    /// How long the first has for itself at least.
    pub min_delay: Duration,
}

/// Requests for a second server in a thousand, unless said otherwise: beside twice as much load for the slowest of them, that is what
/// Dean and Barroso paid for a tail of a third ("The tail at scale", CACM 56(2), 2013).
pub const HEDGE_SHARE: u32 = 20;
/// Such requests that are there from the start, unless said otherwise: a pause of one server's, and not the fall of a backend.
pub const HEDGE_RESERVE: u32 = 10;
/// How long the first has for itself at least, unless said otherwise: a second connection may take as long.
pub const HEDGE_DELAY_MIN: Duration = Duration::from_millis(5);

/// How long things may take on a route. `None`: as its backend says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// All of it: waiting, every attempt, the second backend, the answer's body. It is told to backends.
    pub total: Option<Duration>,
    /// From the request's end to the answer's head, for each attempt.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the answer.
    pub between_bytes: Option<Duration>,
    /// Silence of a WebSocket both ways.
    pub websocket_idle: Option<Duration>,
}

/// Who is let in on a route, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// Who is served first where requests wait.
    pub class: Class,
    /// Requests that one visitor may have open at once.
    pub visitor_max: Option<u32>,
    /// Requests that one address may have open at once; a /64 of IPv6 is one.
    pub address_max: Option<u32>,
    /// So many in so long.
    pub rates: Vec<RateLimit>,
}

impl RouteLimits {
    /// Nothing is asked of anybody.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.visitor_max.is_none() && self.address_max.is_none() && self.rates.is_empty()
    }

    /// In words, one for each.
    pub fn told(&self) -> impl Iterator<Item = String> {
        let each = [("visitor", self.visitor_max), ("address", self.address_max)];
        let open = each
            .into_iter()
            .filter_map(|(of, max)| Some(format!("{} open at once for one {of}", max?)));
        let rates = self
            .rates
            .iter()
            .map(|limit| format!("{} by {}", limit.rate, limit.by));
        let class = (self.class != Class::default()).then(|| format!("served as {}", self.class.as_str()));
        open.chain(rates).chain(class)
    }
}

/// So many in so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Who shares it.
    pub by: By,
    /// How many in how long.
    pub rate: Rate,
}

/// Who shares a limit. Who has no such thing (nobody signed in, no field) is counted by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Everyone on the route.
    Route,
    /// Everyone at an address; a /64 of IPv6 is one.
    Address,
    /// Each visitor.
    Visitor,
    /// Each who is signed in.
    User,
    /// Everyone with the same value of this field.
    Header(HeaderName),
}

impl std::fmt::Display for By {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Route => f.write_str("route"),
            Self::Address => f.write_str("address"),
            Self::Visitor => f.write_str("visitor"),
            Self::User => f.write_str("user"),
            Self::Header(name) => write!(f, "header {name}"),
        }
    }
}
