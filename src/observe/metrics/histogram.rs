//! A histogram of durations with OpenTelemetry's buckets, as plain numbers.

use std::time::Duration;

use crate::clock;

/// Upper bounds in seconds: OpenTelemetry's advice for `http.server.request.duration`.
pub const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// The same in microseconds, to compare whole numbers; the last has no bound.
const BUCKETS_US: [u64; BUCKETS.len() + 1] = [
    5_000,
    10_000,
    25_000,
    50_000,
    75_000,
    100_000,
    250_000,
    500_000,
    750_000,
    1_000_000,
    2_500_000,
    5_000_000,
    7_500_000,
    10_000_000,
    u64::MAX,
];
/// By a number's length in bits: how many bounds are shorter. Of one length there are two at most.
const SHORTER: [u8; 65] = shorter();

#[expect(clippy::indexing_slicing, reason = "it runs when this is compiled")]
const fn shorter() -> [u8; 65] {
    let mut counts = [0; 65];
    let mut bits = 0;
    while bits < counts.len() {
        let mut at = 0;
        while u64::BITS as usize - (BUCKETS_US[at].leading_zeros() as usize) < bits {
            at += 1;
        }
        counts[bits] = at as u8;
        bits += 1;
    }
    counts
}

/// The bucket of a duration: a bound belongs to its own.
fn bucket(micros: u64) -> usize {
    let bits = (u64::BITS - micros.leading_zeros()) as usize;
    let mut at = usize::from(SHORTER.get(bits).copied().unwrap_or_default());
    for _ in 0..2 {
        at += usize::from(BUCKETS_US.get(at).is_some_and(|bound| *bound < micros));
    }
    at
}

/// How many durations fell where, and their sum. Whole numbers, so that merging in any order gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: [u64; BUCKETS.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// Adds one duration.
    pub fn observe(&mut self, duration: Duration) {
        let micros = clock::micros(duration);
        if let Some(count) = self.counts.get_mut(bucket(micros)) {
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

    /// What was added since `earlier`, a former state of the same one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (count, before) in since.counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        since.sum_us = self.sum_us.saturating_sub(earlier.sum_us);
        since
    }

    /// The duration in seconds that a share of them (0 to 1) does not exceed, on a straight line within its bucket; `None`: there
    /// are none. What is beyond the last bound reads as that bound.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of a page's figures")]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = self.count() as f64 * share;
        let (mut below, mut from) = (0.0, 0.0);
        for (bound, count) in self.buckets().filter(|_| rank > 0.0) {
            let count = count as f64;
            if below + count >= rank && count > 0.0 {
                let to = if bound.is_finite() { bound } else { from };
                return Some(from + (to - from) * (rank - below) / count);
            }
            below += count;
            from = if bound.is_finite() { bound } else { from };
        }
        None
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_length_in_bits_has_three_bounds() {
        for bits in 0..u64::BITS {
            let of_length = |bound: &&u64| bound.checked_ilog2() == Some(bits);
            assert!(BUCKETS_US.iter().filter(of_length).count() <= 2);
        }
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile(0.5), None);
        for millis in [1, 60, 60, 60] {
            times.observe(Duration::from_millis(millis));
        }
        assert_eq!(times.quantile(0.25), Some(0.005));
        assert!((times.quantile(0.5).unwrap() - (0.05 + 0.025 / 3.0)).abs() < 1e-9);
        assert_eq!(times.quantile(1.0), Some(0.075));
        let earlier = times;
        times.observe(Duration::from_secs(60));
        assert_eq!(times.since(&earlier).quantile(0.99), Some(10.0));
        assert_eq!(times.since(&earlier).count(), 1);
    }

    proptest! {
        #[test]
        fn a_bucket_is_the_first_whose_bound_is_not_below(near in 0..BUCKETS.len(), by in -2_i64..=2, any in 0_u32..64, random: u64) {
            for micros in [BUCKETS_US[near].saturating_add_signed(by), random >> any] {
                prop_assert_eq!(bucket(micros), BUCKETS_US.partition_point(|bound| *bound < micros));
            }
        }
    }
}
