//! What is known of a backend's troubles, as another program of the same site takes it up.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{
    Backend,
    breaker::{Breaker, Millis},
    eject::Reason,
    health::Health,
};

/// A backend that is not all well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Its name.
    pub name: String,
    breaker: Option<CarriedBreaker>,
    servers: Vec<CarriedServer>,
}

/// A server that is not all well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedServer {
    label: String,
    breaker: Option<CarriedBreaker>,
    /// A place in [`Reason::ALL`].
    reason: usize,
    unhealthy: bool,
}

/// A breaker; times are milliseconds from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CarriedBreaker {
    Closed { failures: u16, strikes: u8 },
    Open { left: u64, strikes: u8 },
    HalfOpen { left: u64, strikes: u8 },
}

impl CarriedBreaker {
    fn of(breaker: Breaker, now: Millis) -> Option<Self> {
        let left = |until: Millis| until.0.saturating_sub(now.0);
        match breaker {
            Breaker::Closed {
                failures: 0,
                strikes: 0,
            } => None,
            Breaker::Closed { failures, strikes } => Some(Self::Closed { failures, strikes }),
            Breaker::Open { until, strikes } => Some(Self::Open {
                left: left(until),
                strikes,
            }),
            Breaker::HalfOpen { give_up, strikes } => Some(Self::HalfOpen {
                left: left(give_up),
                strikes,
            }),
        }
    }

    fn at(self, now: Millis) -> Breaker {
        let after = |left| now.after(Duration::from_millis(left));
        match self {
            Self::Closed { failures, strikes } => Breaker::Closed { failures, strikes },
            Self::Open { left, strikes } => Breaker::Open {
                until: after(left),
                strikes,
            },
            // the probe under way is another program's: whoever comes next is one
            Self::HalfOpen { strikes, .. } => Breaker::Open { until: now, strikes },
        }
    }
}

impl Backend {
    /// What is not well; `None`: all is.
    #[must_use]
    pub fn carried(&self, now: Instant) -> Option<Carried> {
        let now = Millis::of(now);
        let roster = self.roster();
        let servers = roster.servers.iter().filter_map(|server| {
            let breaker = CarriedBreaker::of(server.vitals.breaker.get(), now);
            let unhealthy = server.health() == Health::Unhealthy;
            (unhealthy || breaker.is_some()).then(|| CarriedServer {
                label: server.label.to_string(),
                breaker,
                reason: server.vitals.reason().index(),
                unhealthy,
            })
        });
        let carried = Carried {
            name: self.settings.name.as_str().to_owned(),
            breaker: CarriedBreaker::of(self.state.breaker.get(), now),
            servers: servers.collect(),
        };
        (carried.breaker.is_some() || !carried.servers.is_empty()).then_some(carried)
    }

    /// Knows from now on what another program knew.
    pub fn take_up(&self, carried: &Carried, now: Instant) {
        let now = Millis::of(now);
        if let Some(breaker) = carried.breaker {
            self.state.breaker.take_up(breaker.at(now));
        }
        let roster = self.roster();
        for known in &carried.servers {
            let mut alike = roster.servers.iter();
            let Some(server) = alike.find(|server| *server.label == *known.label) else {
                continue; // its name stands for nobody yet
            };
            if let Some(breaker) = known.breaker {
                server
                    .vitals
                    .take_up(breaker.at(now), Reason::ALL.get(known.reason).copied());
            }
            if known.unhealthy && self.settings.health.is_some() {
                server.take_up_unhealthy(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Breaker, CarriedBreaker, Millis};

    #[test]
    fn a_pause_goes_on_and_a_probe_of_another_program_is_asked_again() {
        let (before, now) = (Millis(10_000), Millis(70));
        let carried = |breaker| CarriedBreaker::of(breaker, before).map(|carried| carried.at(now));
        let open = Breaker::Open {
            until: Millis(12_500),
            strikes: 3,
        };
        let expected = Breaker::Open {
            until: now.after(Duration::from_millis(2_500)),
            strikes: 3,
        };
        assert_eq!(carried(open), Some(expected));
        let half = Breaker::HalfOpen {
            give_up: Millis(12_500),
            strikes: 2,
        };
        let asked = carried(half).unwrap();
        assert!(asked.admits(now), "{asked:?}");
        assert_eq!(asked.strikes(), 2);
        assert_eq!(carried(Breaker::default()), None);
        let failing = Breaker::Closed {
            failures: 4,
            strikes: 1,
        };
        assert_eq!(carried(failing), Some(failing));
    }
}
