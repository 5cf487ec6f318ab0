//! What live traffic says of a server: facts that all cores share, in atomics.

use std::{
    sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{
    breaker::{Breaker, Millis, SharedBreaker},
    eject::Reason,
    gauge::Counts,
};

/// A server's, on all cores. Hot counts are kept on each core and brought here once a second.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Whether it is left alone for a while.
    pub breaker: SharedBreaker,
    /// Why it was taken out the last time, as a place in [`Reason::ALL`].
    reason: AtomicU8,
    ejections: [AtomicU64; Reason::ALL.len()],
    picks: AtomicU64,
    good: AtomicU64,
    bad: AtomicU64,
    took_us: AtomicU64,
    in_flight: AtomicI64,
    /// As the core that looked last sees it.
    latency_us: AtomicU64,
    /// When it came into use, as [`Millis`]; 0: it always was.
    began: AtomicU64,
}

impl Vitals {
    /// It comes into use now, and may start slowly.
    pub fn begin(&self, now: Millis) {
        self.began.store(now.0, Ordering::Relaxed);
    }

    /// What share of its part it takes by now, where it starts within `slow_start`: from a tenth to 1.
    #[must_use]
    pub fn ramp(&self, now: Instant, slow_start: Duration) -> f64 {
        let began = self.began.load(Ordering::Relaxed);
        if began == 0 || slow_start.is_zero() {
            return 1.0;
        }
        let share = Millis::of(now).since(Millis(began)).as_secs_f64() / slow_start.as_secs_f64();
        share.clamp(RAMP_MIN, 1.0)
    }

    /// Goes on where another program stopped. It was told there: it is not counted again.
    pub(super) fn take_up(&self, breaker: Breaker, reason: Option<Reason>) {
        let reason = reason.map_or(0, Reason::index);
        self.reason
            .store(u8::try_from(reason).unwrap_or_default(), Ordering::Relaxed);
        self.breaker.take_up(breaker);
    }

    /// It was taken out, for this reason.
    pub fn ejected(&self, reason: Reason) {
        self.reason.store(
            u8::try_from(reason.index()).unwrap_or_default(),
            Ordering::Relaxed,
        );
        if let Some(count) = self.ejections.get(reason.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Why it was taken out the last time.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let at = usize::from(self.reason.load(Ordering::Relaxed));
        Reason::ALL.get(at).copied().unwrap_or(Reason::Failures)
    }

    /// How often it was taken out, by reason.
    pub fn ejections(&self) -> impl Iterator<Item = (Reason, u64)> {
        let counts = self.ejections.iter().map(|count| count.load(Ordering::Relaxed));
        Reason::ALL.into_iter().zip(counts)
    }

    /// What a core saw since it last told.
    pub fn add(&self, counts: Counts, in_flight: i64, latency_us: f64) {
        self.in_flight.fetch_add(in_flight, Ordering::Relaxed);
        if counts != Counts::default() {
            self.picks.fetch_add(counts.picks, Ordering::Relaxed);
            self.good.fetch_add(counts.good, Ordering::Relaxed);
            self.bad.fetch_add(counts.bad, Ordering::Relaxed);
            self.took_us.fetch_add(counts.took_us, Ordering::Relaxed);
            self.latency_us.store(latency_us as u64, Ordering::Relaxed);
        }
    }

    /// All that cores told so far.
    #[must_use]
    pub fn totals(&self) -> Counts {
        Counts {
            picks: self.picks.load(Ordering::Relaxed),
            good: self.good.load(Ordering::Relaxed),
            bad: self.bad.load(Ordering::Relaxed),
            took_us: self.took_us.load(Ordering::Relaxed),
        }
    }

    /// Exchanges under way, over all cores, as they told within the last second.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// How long an answer takes, as the core that told last sees it.
    #[must_use]
    pub fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us.load(Ordering::Relaxed))
    }
}

/// What a server takes of its part at once when it starts slowly: nothing at all would leave it cold.
const RAMP_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counts, Millis, Reason, Vitals};
    use crate::clock;

    #[test]
    fn a_slow_start_grows_from_a_tenth_to_all() {
        let (vitals, now) = (Vitals::default(), clock::steady());
        let (slow, second) = (Duration::from_secs(20), Duration::from_secs(1));
        assert!((vitals.ramp(now, slow) - 1.0).abs() < 1e-9, "it always was there");
        vitals.begin(Millis::of(now));
        let ramps: Vec<f64> = [0, 2, 10, 20, 90]
            .map(|after| (vitals.ramp(now + second * after, slow) * 100.0).round())
            .into();
        assert_eq!(ramps, [10.0, 10.0, 50.0, 100.0, 100.0]);
        assert!((vitals.ramp(now, Duration::ZERO) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_cores_tell_adds_up() {
        let vitals = Vitals::default();
        let counts = Counts {
            picks: 3,
            good: 2,
            bad: 1,
            took_us: 5_000,
        };
        vitals.add(counts, 2, 2_500.0);
        vitals.add(counts, -1, 3_000.0);
        assert_eq!(vitals.totals(), counts.plus(counts));
        assert_eq!(vitals.in_flight(), 1);
        assert_eq!(vitals.latency(), Duration::from_micros(3_000));
        vitals.ejected(Reason::Slow);
        assert_eq!(vitals.reason(), Reason::Slow);
        assert_eq!(vitals.ejections().map(|(_, count)| count).sum::<u64>(), 1);
    }
}
