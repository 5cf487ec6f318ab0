//! How often something may happen: an average with room for a burst.

use std::time::{Duration, Instant};

/// The time over which a rate is averaged.
const WINDOW_SECS: u32 = 10;

/// Counts events against `per_second`, averaged over ten seconds.
#[derive(Debug)]
pub(super) struct Rate {
    /// Time that each event uses up.
    cost: Duration,
    /// The moment up to which time is used up; at most a window ahead of now.
    used_until: Option<Instant>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            cost: Duration::from_secs(1) / per_second.max(1),
            used_until: None,
        }
    }

    /// Counts one event at `now`. False: it is one too many.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let from = self.used_until.map_or(now, |until| until.max(now));
        let until = from + self.cost;
        self.used_until = Some(until);
        until.saturating_duration_since(now) <= Duration::from_secs(1) * WINDOW_SECS
    }
}
