//! The one place that reads time.

use std::{
    cell::Cell,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long a thread derives the wall clock from the steady one before it looks at it again: the latest that a step of the
/// wall clock shows in a [`Moment`].
pub const ANCHOR_AGE_MAX: Duration = Duration::from_secs(1);
/// Both clocks are read within this time, or again: a thread that was put to sleep between the two would be wrong by its sleep.
const ANCHOR_GAP_MAX: Duration = Duration::from_micros(50);
/// Readings of both clocks for one anchor; the tightest counts.
const ANCHOR_TRIES: u32 = 4;

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

/// The system's monotonic clock in microseconds (`CLOCK_MONOTONIC`): what systemd compares its own times with.
#[must_use]
pub fn monotonic_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (secs, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    secs.unwrap_or(0)
        .saturating_mul(1_000_000)
        .saturating_add(nanos.unwrap_or(0) / 1_000)
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// On the steady clock: for measuring and for deadlines.
    pub steady: Instant,
    /// On the wall clock, in microseconds since 1970.
    pub wall_micros: u64,
}

impl Moment {
    /// On the wall clock, as decisions are made with.
    #[must_use]
    pub const fn wall(self) -> UnixTime {
        UnixTime {
            millis: self.wall_micros / 1000,
        }
    }

    /// A moment of the wall clock that is thought of now: for what is looked at, not measured.
    #[must_use]
    pub fn thought_of(wall: UnixTime) -> Self {
        Self {
            steady: steady(),
            wall_micros: wall.millis.saturating_mul(1000),
        }
    }

    /// The moment that a later reading of the steady clock is, without a step of the wall clock in between.
    #[must_use]
    pub fn later(self, steady: Instant) -> Self {
        let since = micros(steady.saturating_duration_since(self.steady));
        Self {
            steady,
            wall_micros: self.wall_micros.saturating_add(since),
        }
    }

    /// The same, within [`ANCHOR_AGE_MAX`].
    fn soon(self, steady: Instant) -> Option<Self> {
        let since = steady.saturating_duration_since(self.steady);
        (since < ANCHOR_AGE_MAX).then(|| Self {
            steady,
            wall_micros: self.wall_micros.saturating_add(u64::from(since.subsec_micros())),
        })
    }
}

/// Both clocks, now, for the price of one: the steady clock is read, and the wall clock follows from when this thread last saw both.
///
/// Both are of one oscillator and run alike, so between two looks only a step can part them; it shows after [`ANCHOR_AGE_MAX`] at the
/// latest. Otherwise the error is the time between the two readings of an anchor: at most 50 µs, or, on a machine so busy that four tries
/// all took longer, the shortest of them.
#[must_use]
pub fn now() -> Moment {
    thread_local! {
        static ANCHOR: Cell<Option<Moment>> = const { Cell::new(None) };
    }
    let now = steady();
    if let Some(moment) = ANCHOR.get().and_then(|anchor| anchor.soon(now)) {
        return moment;
    }
    let anchor = anchor(steady, wall_micros);
    ANCHOR.set(Some(anchor));
    anchor
}

/// Reads both clocks: the wall clock between two readings of the steady one, and again while those are far apart.
fn anchor(mut steady: impl FnMut() -> Instant, mut wall: impl FnMut() -> u64) -> Moment {
    let mut before = steady();
    let mut read = || {
        let wall_micros = wall();
        let after = steady();
        let gap = after.saturating_duration_since(std::mem::replace(&mut before, after));
        let moment = Moment {
            steady: after,
            wall_micros,
        };
        (gap, moment)
    };
    let (mut least, mut best) = read();
    for _ in 1..ANCHOR_TRIES {
        if least <= ANCHOR_GAP_MAX {
            break;
        }
        let (gap, moment) = read();
        if gap < least {
            (least, best) = (gap, moment);
        }
    }
    best
}

/// Whole microseconds.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000);
    whole.saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_what_both_clocks_say() {
        for _ in 0..1000 {
            let (before, wall_before) = (steady(), wall_micros());
            let moment = now();
            let (wall_after, after) = (wall_micros(), steady());
            assert!(before <= moment.steady && moment.steady <= after);
            // A busy machine may hold this thread up, but not by a second in each of its four tries.
            let slack = 1_000_000;
            assert!(
                moment.wall_micros + slack >= wall_before,
                "{moment:?} {wall_before}"
            );
            assert!(
                moment.wall_micros <= wall_after + slack,
                "{moment:?} {wall_after}"
            );
            assert_eq!(moment.wall().millis, moment.wall_micros / 1000);
        }
    }

    #[test]
    fn a_later_moment_is_later_on_both_clocks() {
        let moment = now();
        let later = moment.later(moment.steady + Duration::from_micros(1_500_000));
        assert_eq!(later.wall_micros - moment.wall_micros, 1_500_000);
        assert_eq!(
            later.later(moment.steady).wall_micros,
            later.wall_micros,
            "never earlier"
        );
    }

    #[test]
    fn an_anchor_holds_for_a_second() {
        let anchor = now();
        let nearly = anchor.steady + Duration::from_micros(999_999);
        assert_eq!(anchor.soon(nearly), Some(anchor.later(nearly)));
        assert_eq!(anchor.soon(anchor.steady + ANCHOR_AGE_MAX), None);
    }

    /// Readings of the steady clock in microseconds, and the wall clock's in between; which wall reading is believed, at which time.
    #[track_caller]
    fn check(steady: &[u64], wall: &[u64], expected: (u64, u64)) {
        let begin = self::steady();
        let (mut steady, mut wall) = (steady.iter(), wall.iter());
        let read = anchor(
            || begin + Duration::from_micros(*steady.next().unwrap()),
            || *wall.next().unwrap(),
        );
        assert_eq!(
            (micros(read.steady.duration_since(begin)), read.wall_micros),
            expected
        );
        assert!(steady.next().is_none() && wall.next().is_none());
    }

    #[test]
    fn an_anchor_is_the_tightest_of_a_few_readings() {
        check(&[0, 1], &[70], (1, 70));
        check(&[0, 900, 901], &[70, 71], (901, 71));
        check(&[0, 900, 1700, 2300, 3300], &[1, 2, 3, 4], (2300, 3));
    }

    #[test]
    fn microseconds_are_whole_and_bounded() {
        assert_eq!(micros(Duration::from_nanos(1_999)), 1);
        assert_eq!(micros(Duration::from_secs(3)), 3_000_000);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
