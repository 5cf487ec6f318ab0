//! What active checks say of a server: a count of good or bad ones in a row moves it between well and unwell.

use super::HealthSettings;

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

    use super::{Checks, Health};
    use crate::backend::HealthSettings;

    #[track_caller]
    fn check(run: &str, expected: Health) {
        let settings = HealthSettings {
            path: "/healthz".into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
            status: (200, 399),
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
