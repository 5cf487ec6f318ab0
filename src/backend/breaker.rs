//! When to leave somebody who fails alone, and when to try again: a server, or a backend as a whole.
//!
//! Closed, it is used. After so many failures in a row, or by a judgement over time, it is open: nobody goes there. After a
//! pause it is half open: one exchange goes there, and its outcome decides. Every opening soon after another doubles the pause.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::clock;

/// Failures in a row that open a server's breaker where its backend says nothing else.
pub const FAILURES_TO_OPEN: u32 = 5;
/// First pause of an open breaker, unless said otherwise; it doubles each time up to [`PAUSE_MAX`].
pub const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause of an open breaker, unless said otherwise. Also how long a probe may take before another may go.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Milliseconds on the process's own clock: what breakers of all cores count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// A time of the steady clock.
    #[must_use]
    pub fn of(now: Instant) -> Self {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        // a minute back, so that the simulated times of a test and a clock read a moment ago are no different from others
        let began = *BEGAN.get_or_init(|| {
            let now = clock::steady();
            now.checked_sub(Duration::from_mins(1)).unwrap_or(now)
        });
        let since = now.saturating_duration_since(began);
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1))
    }

    /// So much later.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(pause))
    }

    /// How long it is since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Failures in a row that open it.
    pub failures: u32,
    /// The first pause; each opening soon after another doubles it.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            failures: FAILURES_TO_OPEN,
            pause: PAUSE_FIRST,
            pause_max: PAUSE_MAX,
        }
    }
}

impl Terms {
    fn pause(&self, strikes: u8) -> Duration {
        let doubled = 1_u32
            .checked_shl(u32::from(strikes.saturating_sub(1)))
            .unwrap_or(u32::MAX);
        self.pause.saturating_mul(doubled).min(self.pause_max)
    }
}

/// What a breaker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// In use.
    Closed {
        /// Failures since the last success.
        failures: u16,
        /// Openings that are not forgiven yet.
        strikes: u8,
    },
    /// Left alone until then.
    Open {
        /// When a probe may go.
        until: Millis,
        /// Openings that are not forgiven yet, this one among them.
        strikes: u8,
    },
    /// One exchange is under way to find out.
    HalfOpen {
        /// A probe that has not come back by then is given up, so that a lost one can't keep the breaker half open for ever.
        give_up: Millis,
        /// As in [`Breaker::Open`].
        strikes: u8,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed {
            failures: 0,
            strikes: 0,
        }
    }
}

/// Strikes that are remembered at most: by then any pause is the longest.
const STRIKES_MAX: u8 = 20;

impl Breaker {
    /// Whether an exchange may go there now.
    #[must_use]
    pub fn admits(self, now: Millis) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Open { until, .. } => now >= until,
            Self::HalfOpen { give_up, .. } => now >= give_up,
        }
    }

    /// How long it is until somebody may find out whether all is well again; `None`: it is closed, or somebody is finding out just now.
    #[must_use]
    pub fn wait(self, now: Millis) -> Option<Duration> {
        match self {
            Self::Open { until, .. } => Some(until.since(now)),
            Self::Closed { .. } | Self::HalfOpen { .. } => None,
        }
    }

    /// The state once an exchange has been sent there. It must have been admitted.
    #[must_use]
    pub fn sent(self, now: Millis) -> Self {
        match self {
            Self::Closed { .. } => self,
            Self::Open { strikes, .. } | Self::HalfOpen { strikes, .. } => Self::HalfOpen {
                strikes,
                give_up: now.after(PAUSE_MAX),
            },
        }
    }

    /// The state after an exchange that was answered well.
    #[must_use]
    pub const fn succeeded(self) -> Self {
        Self::Closed {
            failures: 0,
            strikes: self.strikes(),
        }
    }

    /// The state after an exchange that failed. `may_open`: whether it may be left alone just now.
    #[must_use]
    pub fn failed(self, now: Millis, terms: &Terms, may_open: bool) -> Self {
        match self {
            Self::Closed { failures, strikes } => {
                let failures = failures.saturating_add(1);
                if u32::from(failures) >= terms.failures && may_open {
                    return self.opened(now, terms);
                }
                Self::Closed { failures, strikes }
            }
            Self::Open { .. } => self,
            Self::HalfOpen { .. } => self.opened(now, terms),
        }
    }

    /// Open from now on: somebody judged so.
    #[must_use]
    pub fn opened(self, now: Millis, terms: &Terms) -> Self {
        let strikes = self.strikes().saturating_add(1).min(STRIKES_MAX);
        Self::Open {
            until: now.after(terms.pause(strikes)),
            strikes,
        }
    }

    /// One strike fewer: it has been in use for a while.
    #[must_use]
    pub const fn forgiven(self) -> Self {
        match self {
            Self::Closed { failures, strikes } => Self::Closed {
                failures,
                strikes: strikes.saturating_sub(1),
            },
            Self::Open { .. } | Self::HalfOpen { .. } => self,
        }
    }

    /// Whether it is in use without a doubt.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// Openings that are not forgiven yet.
    #[must_use]
    pub const fn strikes(self) -> u8 {
        match self {
            Self::Closed { strikes, .. } | Self::Open { strikes, .. } | Self::HalfOpen { strikes, .. } => {
                strikes
            }
        }
    }

    /// In one word of memory: two bits of state, 46 of time, 16 or none of failures, and strikes on top.
    const fn pack(self) -> u64 {
        let (tag, payload) = match self {
            Self::Closed { failures, .. } => (0, failures as u64),
            Self::Open { until, .. } => (1, until.0),
            Self::HalfOpen { give_up, .. } => (2, give_up.0),
        };
        tag | ((payload & TIME_MASK) << 2) | ((self.strikes() as u64) << 56)
    }

    const fn unpack(word: u64) -> Self {
        let (payload, strikes) = ((word >> 2) & TIME_MASK, (word >> 56) as u8);
        match word & 3 {
            1 => Self::Open {
                until: Millis(payload),
                strikes,
            },
            2 => Self::HalfOpen {
                give_up: Millis(payload),
                strikes,
            },
            _ => Self::Closed {
                failures: (payload & 0xffff) as u16,
                strikes,
            },
        }
    }
}

/// Two thousand years of milliseconds.
const TIME_MASK: u64 = (1 << 46) - 1;

/// A breaker that all cores share, without a lock. While all is well it is only read.
#[derive(Debug, Default)]
pub struct SharedBreaker(AtomicU64);

impl SharedBreaker {
    /// What it says now.
    #[must_use]
    pub fn get(&self) -> Breaker {
        Breaker::unpack(self.0.load(Ordering::Relaxed))
    }

    /// Whether it is closed and nothing failed since the last success.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.0.load(Ordering::Relaxed) & !(0xff << 56) == 0
    }

    /// Whether an exchange may go there now.
    #[must_use]
    pub fn admits(&self, now: Instant) -> bool {
        self.is_calm() || self.get().admits(Millis::of(now))
    }

    /// Sends an exchange there, unless another core's probe came first. Of all that ask during a pause's end one gets `true`.
    #[must_use]
    pub fn claim(&self, now: Instant) -> bool {
        if self.is_calm() {
            return true;
        }
        let now = Millis::of(now);
        self.change(|breaker| breaker.admits(now).then(|| breaker.sent(now)))
            .is_some()
    }

    /// Notes an exchange that was answered well. Returns whether that closed it.
    pub fn succeeded(&self) -> bool {
        if self.is_calm() {
            return false;
        }
        self.change(|breaker| Some(breaker.succeeded()))
            .is_some_and(|(before, _)| !before.is_closed())
    }

    /// Notes an exchange that failed; `may_open` is asked only when it would open. Returns how long the pause is that begins.
    pub fn failed(&self, now: Instant, terms: &Terms, may_open: impl Fn() -> bool) -> Option<Duration> {
        let now = Millis::of(now);
        let before = self.get();
        let opens = before.is_closed() && !before.failed(now, terms, true).is_closed();
        let may_open = !opens || may_open();
        let (before, after) = self.change(|breaker| Some(breaker.failed(now, terms, may_open)))?;
        newly_open(before, after, now)
    }

    /// Opens it, unless it is open. Returns how long the pause is that begins.
    pub fn open(&self, now: Instant, terms: &Terms) -> Option<Duration> {
        let now = Millis::of(now);
        let (before, after) =
            self.change(|breaker| breaker.is_closed().then(|| breaker.opened(now, terms)))?;
        newly_open(before, after, now)
    }

    /// Goes on where another one stopped.
    pub fn take_up(&self, breaker: Breaker) {
        self.0.store(breaker.pack(), Ordering::Relaxed);
    }

    /// Takes one strike back.
    pub fn forgive(&self) {
        if self.get().strikes() > 0 {
            self.change(|breaker| Some(breaker.forgiven()));
        }
    }

    fn change(&self, next: impl Fn(Breaker) -> Option<Breaker>) -> Option<(Breaker, Breaker)> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let before = Breaker::unpack(word);
            let after = next(before)?;
            match self
                .0
                .compare_exchange_weak(word, after.pack(), Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Some((before, after)),
                Err(now) => word = now,
            }
        }
    }
}

fn newly_open(before: Breaker, after: Breaker, now: Millis) -> Option<Duration> {
    match (before, after) {
        (Breaker::Closed { .. } | Breaker::HalfOpen { .. }, Breaker::Open { until, .. }) => {
            Some(until.since(now))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
