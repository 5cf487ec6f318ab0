//! When to leave a failing server alone, and when to try it again.
//!
//! Closed, a server is used. After [`FAILURES_TO_OPEN`] failures in a row it is open: nobody goes there. After a pause it is half
//! open: one exchange goes there, and its outcome decides. Each core keeps its own breaker, so no lock is shared.

use std::time::{Duration, Instant};

/// Failures in a row that open a breaker.
pub const FAILURES_TO_OPEN: u32 = 5;
/// First pause of an open breaker; it doubles with each failed probe up to [`PAUSE_MAX`].
pub const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause of an open breaker.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The breaker of one server on one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// In use; so many failures in a row.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// Left alone until then.
    Open {
        /// When a probe may go.
        until: Instant,
        /// How long this pause is.
        pause: Duration,
    },
    /// One exchange is under way to find out.
    HalfOpen {
        /// How long the pause before it was.
        pause: Duration,
        /// A probe that has not come back by then is given up, so that a lost one can't keep the breaker half open for ever.
        give_up: Instant,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether an exchange may go there now.
    #[must_use]
    pub fn admits(self, now: Instant) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Open { until, .. } => now >= until,
            Self::HalfOpen { give_up, .. } => now >= give_up,
        }
    }

    /// The state once an exchange has been sent there.
    #[must_use]
    pub fn sent(self, now: Instant) -> Self {
        match self {
            Self::Closed { .. } => self,
            Self::Open { pause, .. } | Self::HalfOpen { pause, .. } => Self::HalfOpen {
                pause,
                give_up: now + PAUSE_MAX,
            },
        }
    }

    /// The state after an exchange that the server answered well.
    #[must_use]
    pub fn succeeded(self) -> Self {
        Self::default()
    }

    /// The state after an exchange that failed by the server's doing.
    #[must_use]
    pub fn failed(self, now: Instant) -> Self {
        match self {
            Self::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => Self::Closed {
                failures: failures + 1,
            },
            Self::Closed { .. } => Self::Open {
                until: now + PAUSE_FIRST,
                pause: PAUSE_FIRST,
            },
            Self::Open { .. } => self,
            Self::HalfOpen { pause, .. } => {
                let pause = (pause * 2).min(PAUSE_MAX);
                Self::Open {
                    until: now + pause,
                    pause,
                }
            }
        }
    }

    /// Whether it is open: for metrics and the page.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, FAILURES_TO_OPEN, PAUSE_FIRST, PAUSE_MAX};
    use crate::clock;

    fn opened(now: std::time::Instant) -> Breaker {
        (0..FAILURES_TO_OPEN).fold(Breaker::default(), |breaker, _| breaker.failed(now))
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let now = clock::steady();
        let almost = (1..FAILURES_TO_OPEN).fold(Breaker::default(), |breaker, _| breaker.failed(now));
        assert!(almost.admits(now));
        assert!(!almost.failed(now).admits(now));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let now = clock::steady();
        let breaker = (1..FAILURES_TO_OPEN).fold(Breaker::default(), |breaker, _| breaker.failed(now));
        assert!(breaker.succeeded().failed(now).admits(now));
    }

    #[test]
    fn half_open_breaker_lets_one_exchange_through() {
        let now = clock::steady();
        let later = now + PAUSE_FIRST;
        let breaker = opened(now);
        assert!(!breaker.admits(now));
        assert!(breaker.admits(later));
        assert!(!breaker.sent(later).admits(later));
        assert!(breaker.sent(later).succeeded().is_closed());
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_a_bound() {
        let mut now = clock::steady();
        let mut breaker = opened(now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let Breaker::Open { until, pause } = breaker else {
                panic!("not open")
            };
            pauses.push(pause.as_secs());
            now = until;
            breaker = breaker.sent(now).failed(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, PAUSE_MAX.as_secs()]);
    }

    #[test]
    fn a_probe_that_never_comes_back_does_not_keep_it_half_open() {
        let now = clock::steady();
        let probing = opened(now).sent(now + PAUSE_FIRST);
        assert!(probing.admits(now + PAUSE_FIRST + PAUSE_MAX));
    }
}
