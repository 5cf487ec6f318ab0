//! How long a place in line will take, from how fast seats became free lately: a range, or nothing where nothing is known.

use std::time::Duration;

/// How fast seats become free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// So many did,
    pub(super) freed: u64,
    /// within this time.
    pub(super) within: Duration,
}

/// Between these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// At least, as a rule.
    pub from: Duration,
    /// At most, as a rule.
    pub to: Duration,
}

/// Fewer than this tell nothing.
const FREED_MIN: u64 = 3;
/// Longer than this is not told.
const TOLD_MAX: f64 = 86_400.0;

impl Pace {
    /// How long until so many more seats are free. Both what was counted and what is to come are as uneven as chance is: two standard
    /// deviations of either, of a Poisson process, make the range.
    #[expect(clippy::cast_precision_loss, reason = "counts of people stay far below 2^53")]
    pub(super) fn until(self, seats: u64) -> Option<Estimate> {
        if self.freed < FREED_MIN || seats == 0 {
            return None;
        }
        let (freed, seats) = (self.freed as f64, seats as f64);
        let middle = seats * self.within.as_secs_f64() / freed;
        let spread = 1.0 + 2.0 * (1.0 / freed + 1.0 / seats).sqrt();
        let (from, to) = (middle / spread, middle * spread);
        (to <= TOLD_MAX).then(|| Estimate {
            from: Duration::from_secs_f64(from),
            to: Duration::from_secs_f64(to),
        })
    }
}
