//! What one core measures of one server: how fast it answers, and what it was asked since the last look.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use super::vitals::Vitals;

/// How fast the past fades: after so long without an answer a latency counts two fifths, after half a minute next to nothing.
pub const FADES_IN: Duration = Duration::from_secs(5);

/// What every exchange costs beside its latency, in microseconds: less than that is noise, and what is under way decides.
const NOISE_US: f64 = 1e3;

/// What a server costs of which nobody knows how fast it is, while somebody is finding out, in microseconds.
const UNKNOWN_US: f64 = 1e6;

/// What a failure counts as, in microseconds: a server that fails fast must not look like a fast one.
const FAILURE_US: f64 = 1e6;

/// A latency that jumps up at once and comes down slowly (Finagle's peak-EWMA), with counts.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Microseconds; 0: nobody knows.
    latency: Cell<f64>,
    at: Cell<Option<Instant>>,
    counts: Cell<Counts>,
    /// Exchanges under way that the server's vitals know of.
    told: Cell<u32>,
}

/// What came of exchanges since somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Exchanges sent there.
    pub picks: u64,
    /// Answered well.
    pub good: u64,
    /// Failed, or answered badly.
    pub bad: u64,
    /// Time to the answers' heads, in microseconds, all together, of those that were answered well.
    pub took_us: u64,
}

impl Counts {
    /// Both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            picks: self.picks + other.picks,
            good: self.good + other.good,
            bad: self.bad + other.bad,
            took_us: self.took_us.saturating_add(other.took_us),
        }
    }

    /// What came after `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            picks: self.picks.saturating_sub(earlier.picks),
            good: self.good.saturating_sub(earlier.good),
            bad: self.bad.saturating_sub(earlier.bad),
            took_us: self.took_us.saturating_sub(earlier.took_us),
        }
    }
}

impl Gauge {
    /// An exchange was sent there.
    pub fn picked(&self) {
        let counts = self.counts.get();
        self.counts.set(Counts {
            picks: counts.picks + 1,
            ..counts
        });
    }

    /// It was answered well after `took`.
    pub fn answered(&self, took: Duration, now: Instant) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let counts = self.counts.get();
        self.counts.set(Counts {
            good: counts.good + 1,
            took_us: counts.took_us.saturating_add(took_us),
            ..counts
        });
        self.observe((took_us as f64).max(1.0), now);
    }

    /// It took so long at least: somebody stopped waiting.
    pub fn waited(&self, took: Duration, now: Instant) {
        self.observe(took.as_micros() as f64, now);
    }

    /// It failed.
    pub fn failed(&self, now: Instant) {
        let counts = self.counts.get();
        self.counts.set(Counts {
            bad: counts.bad + 1,
            ..counts
        });
        self.observe(FAILURE_US, now);
    }

    fn observe(&self, sample: f64, now: Instant) {
        let faded = self.faded(now);
        self.latency.set(if sample >= faded {
            sample
        } else {
            faded + sample * (1.0 - self.keeps(now))
        });
        self.at.set(Some(now));
    }

    /// What share of the past is left.
    fn keeps(&self, now: Instant) -> f64 {
        let Some(at) = self.at.get() else {
            return 0.0;
        };
        // e^-x, near enough, without the cost of it
        let left =
            1.0 / (1.0 + now.saturating_duration_since(at).as_secs_f64() / (8.0 * FADES_IN.as_secs_f64()));
        let squared = left * left;
        let fourth = squared * squared;
        fourth * fourth
    }

    fn faded(&self, now: Instant) -> f64 {
        self.latency.get() * self.keeps(now)
    }

    /// How long an answer takes, in microseconds, the latest counting most; 0: nobody knows.
    #[must_use]
    pub fn latency_us(&self, now: Instant) -> f64 {
        self.faded(now)
    }

    /// What one more exchange costs there: how long an answer takes, for as many as it would then have for each seat.
    #[must_use]
    pub fn cost(&self, in_flight: u32, weight: u32, now: Instant) -> f64 {
        let load = f64::from(in_flight) / f64::from(weight.max(1));
        let latency = match (self.at.get(), in_flight) {
            (None, 0) => 0.0,
            (None, _) => UNKNOWN_US,
            (Some(_), _) => self.faded(now),
        };
        (latency + NOISE_US) * (1.0 + load)
    }

    /// Tells `vitals` what happened since the last call, and that so many exchanges are under way.
    pub fn tell(&self, vitals: &Vitals, in_flight: u32, now: Instant) {
        let more = i64::from(in_flight) - i64::from(self.told.replace(in_flight));
        let counts = self.counts.take();
        if more != 0 || counts != Counts::default() {
            vitals.add(counts, more, self.faded(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counts, FADES_IN, Gauge};
    use crate::{backend::vitals::Vitals, clock};

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_peak_shows_at_once_and_fades() {
        let (gauge, now) = (Gauge::default(), clock::steady());
        gauge.answered(ms(2), now);
        gauge.answered(ms(400), now);
        assert!((gauge.latency_us(now) - 400_000.0).abs() < 1.0);
        assert!((gauge.latency_us(now + FADES_IN) / 400_000.0 - 0.39).abs() < 0.01);
        assert!(gauge.latency_us(now + FADES_IN * 6) < 8_000.0);
        for second in 1..=100 {
            gauge.answered(ms(2), now + ms(1_000) * second);
        }
        assert!(gauge.latency_us(now + ms(100_000)) < 2_100.0);
    }

    #[test]
    fn one_exchange_finds_out_about_a_new_server_and_no_crowd() {
        let (new, known, now) = (Gauge::default(), Gauge::default(), clock::steady());
        known.answered(ms(5), now);
        assert!(new.cost(0, 1, now) < known.cost(0, 1, now));
        assert!(new.cost(1, 1, now) > known.cost(3, 1, now));
    }

    #[test]
    fn who_fails_fast_looks_slow() {
        let (fails, works, now) = (Gauge::default(), Gauge::default(), clock::steady());
        fails.failed(now);
        works.answered(ms(300), now);
        assert!(fails.cost(0, 1, now) > works.cost(1, 1, now));
    }

    #[test]
    fn weight_makes_room_for_more_at_once() {
        let (gauge, now) = (Gauge::default(), clock::steady());
        gauge.answered(ms(5), now);
        assert!((gauge.cost(3, 3, now) - gauge.cost(1, 1, now)).abs() < 1e-6);
    }

    #[test]
    fn counts_are_handed_over_once() {
        let (gauge, now) = (Gauge::default(), clock::steady());
        gauge.picked();
        gauge.answered(ms(3), now);
        gauge.failed(now);
        let counts = Counts {
            picks: 1,
            good: 1,
            bad: 1,
            took_us: 3_000,
        };
        let vitals = Vitals::default();
        gauge.tell(&vitals, 4, now);
        gauge.tell(&vitals, 1, now);
        assert_eq!((vitals.totals(), vitals.in_flight()), (counts, 1));
    }
}
