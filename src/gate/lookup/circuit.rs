//! When asking is of no use: after several failures in a row nobody is asked for a while, then one question tries whether it is again.

use std::time::{Duration, Instant};

/// Failures in a row after which asking pauses.
pub const FAILURES_MAX: u32 = 5;
/// The first pause.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest; each is twice as long as the one before.
pub const PAUSE_MAX: Duration = Duration::from_secs(8);

/// What the last questions came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Circuit {
    failures: u32,
    until: Option<Instant>,
}

impl Circuit {
    /// Whether a question may be asked now, and the circuit after it: during the trial after a pause only one may.
    #[must_use]
    pub fn admit(self, now: Instant) -> Option<Self> {
        match self.until {
            None => Some(self),
            Some(until) if now < until => None,
            Some(_) => Some(Self {
                until: Some(now + self.pause()),
                ..self
            }),
        }
    }

    /// An answer came, whatever it says.
    #[must_use]
    pub fn answered() -> Self {
        Self::default()
    }

    /// None came, or none that can be used.
    #[must_use]
    pub fn failed(self, now: Instant) -> Self {
        let failed = Self {
            failures: self.failures.saturating_add(1),
            until: None,
        };
        Self {
            until: (failed.failures >= FAILURES_MAX).then(|| now + failed.pause()),
            ..failed
        }
    }

    fn pause(self) -> Duration {
        let doublings = self.failures.saturating_sub(FAILURES_MAX);
        PAUSE_MIN
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(PAUSE_MAX)
    }
}
