//! How long nearly all answers take: the 95th percentile of what was lately seen, in a few hundred bytes.
//!
//! Times are counted in buckets, four for each doubling, so that what is told is at most a quarter too long. Once there are
//! [`SEEN_MAX`] of them all counts are halved: the past fades as new answers come.

use std::time::Duration;

/// Doublings that are told apart, from [`FIRST`] on: 64 µs to 34 s.
const OCTAVES: usize = 19;
const FIRST: u32 = 6;
const BUCKETS: usize = OCTAVES * 4;

/// Times below which nothing is told: by then two or three lie above the percentile.
pub const SEEN_MIN: u32 = 50;
/// Times at which the past is halved.
pub const SEEN_MAX: u32 = 1_024;
/// How often the percentile is looked up anew.
const EVERY: u32 = 16;

/// A percentile of times.
#[derive(Debug, Clone)]
pub struct Quantile {
    counts: [u16; BUCKETS],
    seen: u32,
    fresh: u32,
    slow: Option<Duration>,
}

impl Default for Quantile {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            seen: 0,
            fresh: 0,
            slow: None,
        }
    }
}

impl Quantile {
    /// Something took so long.
    pub fn note(&mut self, took: Duration) {
        if let Some(count) = self.counts.get_mut(bucket(took)) {
            *count = count.saturating_add(1);
            self.seen += 1;
        }
        if self.seen >= SEEN_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.seen = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.fresh += 1;
        if self.seen >= SEEN_MIN && (self.slow.is_none() || self.fresh >= EVERY) {
            self.fresh = 0;
            self.slow = self.look_up();
        }
    }

    /// What 95 of 100 do not take longer than; `None`: too little was seen.
    #[must_use]
    pub const fn p95(&self) -> Option<Duration> {
        self.slow
    }

    fn look_up(&self) -> Option<Duration> {
        let mut above = self.seen / 20;
        for (at, count) in self.counts.iter().enumerate().rev() {
            let count = u32::from(*count);
            if count > above {
                return Some(longest(at));
            }
            above -= count;
        }
        None
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros())
        .unwrap_or(u64::MAX)
        .max(1 << FIRST);
    let octave = micros.ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    let at = (octave - FIRST) as usize * 4 + quarter as usize;
    at.min(BUCKETS - 1)
}

/// What nothing in a bucket takes longer than.
fn longest(at: usize) -> Duration {
    let (octave, quarter) = (FIRST + (at / 4) as u32, at as u64 % 4);
    Duration::from_micros((5 + quarter) << (octave - 2))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Quantile, SEEN_MAX, SEEN_MIN};

    fn millis(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_tells_nothing_before_it_has_seen_enough_and_forgets() {
        let mut times = Quantile::default();
        for _ in 1..SEEN_MIN {
            times.note(millis(10));
        }
        assert_eq!(times.p95(), None);
        times.note(millis(10));
        let quick = times.p95().unwrap();
        assert!(quick >= millis(10) && quick <= millis(13), "{quick:?}");
        for _ in 0..SEEN_MAX * 4 {
            times.note(millis(100));
        }
        let slow = times.p95().unwrap();
        assert!(slow >= millis(100) && slow <= millis(125), "{slow:?}");
        for _ in 0..SEEN_MAX * 8 {
            times.note(millis(1));
        }
        assert!(times.p95().unwrap() < millis(2));
    }

    proptest! {
        /// Whatever comes, no more than one in twenty (and what a look-up is late by) takes longer, and the answer is a quarter off at most.
        #[test]
        fn it_is_close_to_the_true_percentile(micros in prop::collection::vec(64u64..20_000_000, 64..960)) {
            let mut times = Quantile::default();
            for took in &micros {
                times.note(Duration::from_micros(*took));
            }
            let late = (micros.len() - 50) % 16;
            let mut seen = micros[..micros.len() - late].to_vec();
            seen.sort_unstable();
            let exact = seen[seen.len() - 1 - seen.len() / 20];
            let told = times.p95().unwrap().as_micros() as u64;
            prop_assert!(told >= exact && told <= exact + exact / 4 + 1, "{told} for {exact}");
        }
    }
}
