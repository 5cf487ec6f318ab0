//! A histogram of durations with OpenTelemetry's buckets, as plain numbers.

use std::time::Duration;

/// Upper bounds in seconds: OpenTelemetry's advice for `http.server.request.duration`.
pub const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// The same in microseconds, to compare whole numbers.
const BUCKETS_US: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000,
    5_000_000, 7_500_000, 10_000_000,
];

/// How many durations fell where, and their sum. Whole numbers, so that merging in any order gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: [u64; BUCKETS.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// Adds one duration.
    pub fn observe(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS_US.partition_point(|bound| *bound < micros); // a bound belongs to its own bucket
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(micros);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// How many in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of 285 years fit a double exactly"
    )]
    pub fn seconds(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// Bounds and how many fell in each; the last is without bound.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        BUCKETS.into_iter().chain([f64::INFINITY]).zip(self.counts)
    }
}
