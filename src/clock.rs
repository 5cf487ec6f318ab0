//! The one place that reads time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds and milliseconds since 1970, UTC: what a decision is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UnixTime {
    /// Milliseconds since the epoch.
    pub millis: u64,
}

impl UnixTime {
    /// A time from whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self {
            millis: secs.saturating_mul(1000),
        }
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.millis / 1000
    }

    /// Whole days since the epoch.
    #[must_use]
    pub const fn days(self) -> u64 {
        self.secs() / 86_400
    }
}

/// The wall clock, now. A clock before 1970 reads as 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
pub fn wall() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    UnixTime {
        millis: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    }
}

/// The steady clock, now: for measuring and for deadlines.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
pub fn steady() -> Instant {
    Instant::now()
}

/// The wall clock, now, in microseconds since 1970: for what is written down. [`UnixTime`] is what is decided with.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
pub fn wall_micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
