//! So many requests in so long, spread evenly beyond a burst (GCRA, the leaky bucket as a meter), for one or for each key.
//!
//! A bucket is one number: when it would be empty again. So a table of keys is a bounded array of atomics and a look-up is a hash and a
//! compare-and-swap; the crate governor keeps the same number in a map that grows with its keys until somebody sweeps it.

use std::{
    hash::Hash,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Hasher, KEYS_MAX, Mark, WAYS};
use crate::clock;

/// How many requests in how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds that one request takes up, at least 1.
    step: u64,
    /// Requests that may come at once, at least 1.
    burst: u32,
}

impl Rate {
    /// `requests` in `per`, of which `burst` may come at once.
    #[must_use]
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        Self {
            step: clock::micros(per).div_ceil(u64::from(requests.max(1))).max(1),
            burst: burst.max(1),
        }
    }

    /// Requests that may come at once.
    #[must_use]
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// When the bucket is empty again after one more request at `now`; or how long until one more has room.
    fn pour(self, empty: u64, now: u64) -> Result<u64, Duration> {
        let next = empty.max(now).saturating_add(self.step);
        let room = self.step.saturating_mul(u64::from(self.burst));
        match (next - now).checked_sub(room) {
            None | Some(0) => Ok(next),
            Some(over) => Err(Duration::from_micros(over)),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each = Duration::from_micros(self.step);
        write!(f, "one in {each:?}, {} at once", self.burst)
    }
}

/// One bucket for all.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    empty: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            began: clock::steady(),
            empty: AtomicU64::new(0),
        }
    }
}

impl Meter {
    /// Microseconds from now until it is empty: as another program takes it up.
    #[must_use]
    pub fn carried(&self, now: Instant) -> u64 {
        let now = clock::micros(now.saturating_duration_since(self.began));
        self.empty.load(Ordering::Relaxed).saturating_sub(now)
    }

    /// As full as another one that is empty after so many microseconds.
    pub fn take_up(&self, left: u64, now: Instant) {
        let now = clock::micros(now.saturating_duration_since(self.began));
        self.empty.store(now.saturating_add(left), Ordering::Relaxed);
    }

    /// Lets one request in.
    ///
    /// # Errors
    /// How long until there is room for it.
    pub fn take(&self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let now = clock::micros(now.saturating_duration_since(self.began));
        let mut empty = self.empty.load(Ordering::Relaxed);
        loop {
            let next = rate.pour(empty, now)?;
            match self
                .empty
                .compare_exchange_weak(empty, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(seen) => empty = seen,
            }
        }
    }
}

/// Buckets of keys, as another program takes them up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedMeters {
    seed: [u64; 2],
    /// What the seed makes of a known key: a program that was built to make another thing of it can't read the slots.
    proof: u64,
    /// Which slot, its tag, and microseconds until its bucket is empty.
    slots: Vec<(u32, u64, u64)>,
}

/// A bucket for each key, for at most [`KEYS_MAX`] keys that are not idle. Of more, who is nearest to idle is forgotten and starts
/// anew: a flood of keys makes the limit milder, never stricter for somebody else.
#[derive(Debug)]
pub struct Meters {
    began: Instant,
    /// Settled by the first look, or by what another program says.
    hasher: OnceLock<Hasher>,
    /// A tag of 16 bits and the time in 48: nine years of microseconds.
    slots: Box<[AtomicU64]>,
}

const TAG_BITS: u32 = 16;
const TIME: u64 = (1 << (64 - TAG_BITS)) - 1;

impl Default for Meters {
    fn default() -> Self {
        Self {
            began: clock::steady(),
            hasher: OnceLock::new(),
            slots: (0..KEYS_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Meters {
    /// Lets one request of `key` in.
    ///
    /// # Errors
    /// How long until there is room for it.
    pub fn take(&self, key: impl Hash, rate: Rate, now: Instant) -> Result<(), Duration> {
        let mark = self.hasher.get_or_init(Hasher::default).mark(key, TAG_BITS);
        let now = clock::micros(now.saturating_duration_since(self.began)) & TIME;
        loop {
            let Some((slot, seen)) = self.slot(mark) else {
                return Ok(());
            };
            let empty = if seen >> (64 - TAG_BITS) == mark.tag {
                seen & TIME
            } else {
                0
            };
            let next = rate.pour(empty, now)?.min(TIME);
            let written = mark.tag << (64 - TAG_BITS) | next;
            if slot
                .compare_exchange_weak(seen, written, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return Ok(());
            }
        }
    }

    /// Those that are not empty, as another program takes them up.
    #[must_use]
    pub fn carried(&self, now: Instant) -> CarriedMeters {
        let hasher = self.hasher.get_or_init(Hasher::default);
        let now = clock::micros(now.saturating_duration_since(self.began)) & TIME;
        let slots = (0..).zip(&self.slots).filter_map(|(at, slot)| {
            let seen = slot.load(Ordering::Relaxed);
            let left = (seen & TIME).checked_sub(now).filter(|left| *left > 0)?;
            Some((at, seen >> (64 - TAG_BITS), left))
        });
        CarriedMeters {
            seed: hasher.seed,
            proof: hasher.proof(),
            slots: slots.collect(),
        }
    }

    /// Goes on where another program's stopped. `false`: they can't be read, or somebody was here already.
    #[must_use]
    pub fn take_up(&self, carried: &CarriedMeters, now: Instant) -> bool {
        let hasher = Hasher { seed: carried.seed };
        if hasher.proof() != carried.proof || self.hasher.set(hasher).is_err() {
            return false;
        }
        let now = clock::micros(now.saturating_duration_since(self.began)) & TIME;
        for (at, tag, left) in &carried.slots {
            let slot = usize::try_from(*at).ok().and_then(|at| self.slots.get(at));
            if let Some(slot) = slot {
                let empty = now.saturating_add(*left).min(TIME);
                slot.store(tag << (64 - TAG_BITS) | empty, Ordering::Relaxed);
            }
        }
        true
    }

    /// The key's own slot, else the one that is empty first, and what is in it.
    fn slot(&self, mark: Mark) -> Option<(&AtomicU64, u64)> {
        let set = self.slots.get(mark.first..mark.first + WAYS)?;
        let seen = set.iter().map(|slot| (slot, slot.load(Ordering::Relaxed)));
        seen.min_by_key(|(_, seen)| (seen >> (64 - TAG_BITS) != mark.tag, seen & TIME))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use proptest::prelude::*;

    use super::{Meter, Meters, Rate};
    use crate::clock;

    #[test]
    fn a_burst_comes_at_once_and_the_rest_evenly() {
        let (meter, rate) = (Meter::default(), Rate::new(10, Duration::from_secs(1), 3));
        let now = clock::steady();
        for _ in 0..3 {
            meter.take(rate, now).unwrap();
        }
        assert_eq!(meter.take(rate, now), Err(Duration::from_millis(100)));
        assert!(meter.take(rate, now + Duration::from_millis(99)).is_err());
        meter.take(rate, now + Duration::from_millis(100)).unwrap();
        assert!(meter.take(rate, now + Duration::from_millis(100)).is_err());
    }

    #[test]
    fn each_key_has_its_own_bucket() {
        let (meters, rate) = (Meters::default(), Rate::new(1, Duration::from_secs(60), 2));
        let now = clock::steady();
        for key in ["a", "b", "c"] {
            assert!(meters.take(key, rate, now).is_ok());
            assert!(meters.take(key, rate, now).is_ok());
            assert!(meters.take(key, rate, now).is_err(), "{key}");
        }
    }

    #[test]
    fn a_flood_of_keys_takes_no_more_room_and_refuses_nobody() {
        let (meters, rate) = (Meters::default(), Rate::new(1, Duration::from_secs(3600), 1));
        let now = clock::steady();
        let refused = (0..200_000u64).filter(|key| meters.take(key, rate, now).is_err());
        assert!(
            refused.count() < 200,
            "tags of 16 bits fall together once in 16,000"
        );
    }

    #[test]
    fn all_cores_share_one_bucket() {
        let meters = Arc::new((Meter::default(), Meters::default()));
        let (rate, now) = (Rate::new(1, Duration::from_secs(3600), 100), clock::steady());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let meters = Arc::clone(&meters);
                std::thread::spawn(move || {
                    let one = (0..200).filter(|_| meters.0.take(rate, now).is_ok()).count();
                    let keyed = (0..200).filter(|_| meters.1.take(7, rate, now).is_ok()).count();
                    (one, keyed)
                })
            })
            .collect();
        let let_in: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(let_in.iter().map(|(one, _)| one).sum::<usize>(), 100);
        assert_eq!(let_in.iter().map(|(_, keyed)| keyed).sum::<usize>(), 100);
    }

    #[test]
    fn another_program_counts_on() {
        let (before, after) = (Meters::default(), Meters::default());
        let (rate, now) = (Rate::new(1, Duration::from_secs(60), 2), clock::steady());
        for key in ["a", "a", "b"] {
            before.take(key, rate, now).unwrap();
        }
        let later = now + Duration::from_secs(1);
        assert!(after.take_up(&before.carried(later), later));
        assert!(!after.take_up(&before.carried(later), later), "it has begun");
        let left = after.take("a", rate, later).unwrap_err();
        let is_59s = |left: Duration| left.abs_diff(Duration::from_secs(59)) < Duration::from_millis(50); // wall time passes on
        assert!(is_59s(left), "{left:?}");
        after.take("b", rate, later).unwrap();
        assert!(after.take("b", rate, later).is_err());
        after.take("c", rate, later).unwrap();
        let (meter, other) = (Meter::default(), Meter::default());
        meter.take(rate, now).unwrap();
        meter.take(rate, now).unwrap();
        other.take_up(meter.carried(later), later);
        assert!(other.take(rate, later).is_err_and(is_59s));
        let mut unread = before.carried(later);
        unread.proof ^= 1;
        assert!(!Meters::default().take_up(&unread, later));
    }

    proptest! {
        /// In any stretch of time no more come through than its length allows, and a burst.
        #[test]
        fn no_stretch_lets_more_through_than_it_may(
            requests in 1u32..50,
            burst in 1u32..20,
            gaps in prop::collection::vec(0u64..200_000, 1..200),
        ) {
            let rate = Rate::new(requests, Duration::from_secs(1), burst);
            let (meter, meters) = (Meter::default(), Meters::default());
            let mut now = clock::steady();
            let mut passed = Vec::new();
            for gap in gaps {
                now += Duration::from_micros(gap);
                let taken = meter.take(rate, now).is_ok();
                prop_assert_eq!(taken, meters.take("one", rate, now).is_ok());
                if taken {
                    passed.push(now);
                }
            }
            for (from, first) in passed.iter().enumerate() {
                for (more, last) in passed.iter().skip(from).enumerate() {
                    let long = last.duration_since(*first).as_secs_f64();
                    let most = f64::from(burst) + long * f64::from(requests);
                    prop_assert!((more + 1) as f64 <= most + 1e-6);
                }
            }
        }
    }
}
