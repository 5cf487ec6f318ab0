//! What active checks say of a server: a count of good or bad ones in a row moves it between well and unwell.

use std::time::Duration;

/// `[backends.<name>.health]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// What is asked.
    pub asks: Asks,
    /// Time between two checks, a tenth more or less. 5 s unless said otherwise.
    pub interval: Duration,
    /// Time for one check. 2 s unless said otherwise.
    pub timeout: Duration,
    /// Good checks in a row that bring a server back. 2 unless said otherwise.
    pub healthy_after: u32,
    /// Bad checks in a row that take it out. 3 unless said otherwise.
    pub unhealthy_after: u32,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// A path, with GET.
    Http {
        /// The path.
        path: String,
        /// Statuses that are good: ranges, 200 to 399 unless said otherwise.
        statuses: Vec<(u16, u16)>,
        /// Text that the answer's first [`BODY_BYTES_MAX`] bytes must hold.
        body: Option<String>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked for; empty: the server as a whole.
        service: String,
    },
    /// A connection, TLS included, and nothing more.
    Tcp,
}

/// Bytes of an answer that are searched for a check's text.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

impl Asks {
    /// For people: `GET /healthz`, `gRPC health of shop.Cart`, `TCP`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Http { path, .. } => format!("GET {path}"),
            Self::Grpc { service } if service.is_empty() => "gRPC health".to_owned(),
            Self::Grpc { service } => format!("gRPC health of {service}"),
            Self::Tcp => "TCP".to_owned(),
        }
    }
}

/// Ranges as they are written: `200-299, 404`.
#[must_use]
pub fn ranges_text(ranges: &[(u16, u16)]) -> String {
    let texts: Vec<String> = ranges
        .iter()
        .map(|(from, to)| match from == to {
            true => from.to_string(),
            false => format!("{from}-{to}"),
        })
        .collect();
    texts.join(", ")
}

/// Whether a server is well, as far as checks know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No check has finished; it is used.
    Unknown,
    /// Used.
    Healthy,
    /// Not used while another is.
    Unhealthy,
}

impl Health {
    /// For labels and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The run of checks that a server has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// What follows from them.
    pub health: Health,
    /// Checks in a row that spoke against `health`.
    against: u32,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            health: Health::Unknown,
            against: 0,
        }
    }
}

impl Checks {
    /// What is known of a server that another program found unhealthy.
    #[must_use]
    pub const fn unhealthy() -> Self {
        Self {
            health: Health::Unhealthy,
            against: 0,
        }
    }

    /// The state after one more check. The first good one makes an unknown server healthy at once.
    #[must_use]
    pub fn after(self, good: bool, settings: &HealthSettings) -> Self {
        let (wanted, needed) = match good {
            true => (Health::Healthy, settings.healthy_after),
            false => (Health::Unhealthy, settings.unhealthy_after),
        };
        if self.health == wanted {
            return Self {
                health: wanted,
                against: 0,
            };
        }
        let against = self.against + 1;
        let at_once = good && self.health == Health::Unknown;
        if at_once || against >= needed {
            return Self {
                health: wanted,
                against: 0,
            };
        }
        Self { against, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Asks, Checks, Health, HealthSettings};

    #[track_caller]
    fn check(run: &str, expected: Health) {
        let settings = HealthSettings {
            asks: Asks::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        };
        let end = run
            .chars()
            .fold(Checks::default(), |checks, c| checks.after(c == '+', &settings));
        assert_eq!(end.health, expected, "after {run}");
    }

    #[test]
    fn a_server_is_judged_by_checks_in_a_row() {
        check("", Health::Unknown);
        check("+", Health::Healthy);
        check("--", Health::Unknown);
        check("---", Health::Unhealthy);
        check("+--", Health::Healthy);
        check("+--+--", Health::Healthy);
        check("+---", Health::Unhealthy);
        check("+---+", Health::Unhealthy);
        check("+---++", Health::Healthy);
    }
}
