//! How much a backend can bear at once, found out by how long its answers take: when they take longer than in quiet times, they wait
//! behind each other, and fewer should be under way.
//!
//! After Netflix' `concurrency-limits` (Gradient2) and Envoy's adaptive concurrency, without their probes: there is no moment at which the
//! limit is pressed down to find out how fast the backend would be. Each window's mean time is set against the shortest that was lately
//! seen, which creeps up slowly, so that a first estimate that was too good is got over, and comes down at once.

use std::{
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Between which bounds the limit is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// It never falls below.
    pub min: u32,
    /// Where it begins, and what it never exceeds.
    pub max: u32,
}

/// The smallest limit unless said otherwise: below it chance decides more than load does.
pub const MIN: u32 = 10;

/// How much longer than in quiet times an answer may take before the limit falls: Gradient2's.
const TOLERANCE: f64 = 1.5;
/// How much of a new estimate is taken over in one window: Gradient2's.
const SMOOTHING: f64 = 0.2;
/// The most that one window's estimate falls to, of what it was.
const STEEPEST: f64 = 0.5;
/// What part of the way up to a longer time the quiet one goes in one window: a few minutes until it is got over.
const CREEP: f64 = 1.0 / 2_000.0;
/// A window, at least.
pub const WINDOW: Duration = Duration::from_millis(100);
/// Answers in a window, at least.
pub const ANSWERS: u32 = 10;

/// The limit, and what it was found by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gradient {
    limit: f64,
    quiet_us: f64,
}

/// What came of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// How long an answer took in the mean, in microseconds.
    pub took_us: f64,
    /// The most that was under way.
    pub under_way: u32,
}

impl Gradient {
    /// At the beginning: all that there may be.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            limit: f64::from(terms.max),
            quiet_us: 0.0,
        }
    }

    /// After a window.
    #[must_use]
    pub fn after(self, window: Window, terms: Terms) -> Self {
        let took = window.took_us.max(1.0);
        let quiet = match self.quiet_us {
            0.0 => took,
            quiet if took < quiet => took,
            quiet => quiet + (took - quiet) * CREEP,
        };
        let gradient = (TOLERANCE * quiet / took).clamp(STEEPEST, 1.0);
        let idle = f64::from(window.under_way) * 2.0 < self.limit;
        let limit = if gradient >= 1.0 && idle {
            self.limit // who needs half of it at most says nothing of the rest
        } else {
            let estimate = self.limit * gradient + self.limit.sqrt();
            self.limit + (estimate - self.limit) * SMOOTHING
        };
        Self {
            limit: limit.clamp(f64::from(terms.min), f64::from(terms.max.max(terms.min))),
            quiet_us: quiet,
        }
    }

    /// How many may be under way.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit as u32
    }
}

/// A limit that all cores share. A request only reads it; whoever's answer ends a window works out the next.
#[derive(Debug, Default)]
pub struct Adaptive {
    /// 0: nothing was found out yet.
    limit: AtomicU32,
    answers: AtomicU32,
    took_us: AtomicU64,
    under_way: AtomicU32,
    /// As told last, in microseconds.
    quiet_us: AtomicU64,
    mean_us: AtomicU64,
    found: Mutex<Option<(Gradient, Instant)>>,
}

impl Adaptive {
    /// How many may be under way now.
    #[must_use]
    pub fn limit(&self, terms: Terms) -> u32 {
        match self.limit.load(Ordering::Relaxed) {
            0 => terms.max,
            limit => limit.clamp(terms.min, terms.max.max(terms.min)),
        }
    }

    /// An answer took so long, while so many were under way.
    pub fn note(&self, took: Duration, under_way: u32, now: Instant, terms: Terms) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.took_us.fetch_add(took_us, Ordering::Relaxed);
        self.under_way.fetch_max(under_way, Ordering::Relaxed);
        if self.answers.fetch_add(1, Ordering::Relaxed) + 1 < ANSWERS {
            return;
        }
        let mut found = match self.found.try_lock() {
            Ok(found) => found,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return, // another core ends this window
        };
        let (gradient, began) = found.unwrap_or_else(|| (Gradient::new(terms), now));
        if now.saturating_duration_since(began) < WINDOW {
            found.get_or_insert((gradient, began));
            return;
        }
        let answers = self.answers.swap(0, Ordering::Relaxed).max(1);
        let window = Window {
            took_us: self.took_us.swap(0, Ordering::Relaxed) as f64 / f64::from(answers),
            under_way: self.under_way.swap(0, Ordering::Relaxed),
        };
        let gradient = gradient.after(window, terms);
        *found = Some((gradient, now));
        self.limit.store(gradient.limit(), Ordering::Relaxed);
        self.quiet_us.store(gradient.quiet_us as u64, Ordering::Relaxed);
        self.mean_us.store(window.took_us as u64, Ordering::Relaxed);
    }

    /// In words: the limit now, and why.
    #[must_use]
    pub fn told(&self, terms: Terms) -> String {
        let Terms { min, max } = terms;
        let limit = self.limit(terms);
        let quiet = Duration::from_micros(self.quiet_us.load(Ordering::Relaxed));
        let mean = Duration::from_micros(self.mean_us.load(Ordering::Relaxed));
        match quiet.is_zero() {
            true => format!("adaptive, {min} to {max}: {limit} now, nothing was found out yet"),
            false => format!(
                "adaptive, {min} to {max}: {limit} now, answers take {mean:?}, in quiet times {quiet:?}"
            ),
        }
    }
}

#[cfg(test)]
#[path = "gradient_tests.rs"]
mod tests;
