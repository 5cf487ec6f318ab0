//! The last minutes, second by second: what flags decided and how backends answer, for the page and for who listens.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use super::used::{self, Used};
use crate::{
    clock::{self, UnixTime},
    name::unversioned,
    observe::{
        Metrics,
        metrics::{Family, Histogram, Series, Totals},
    },
    snapshot::{Snapshot, diff::Diff, live::Live},
};

/// Time between two looks at the cores' numbers.
pub const BEAT: Duration = Duration::from_secs(1);
/// Seconds of which "the last minute" is made.
pub const BEATS_KEPT_MAX: usize = 60;
/// Seconds of which one point of a chart is made.
pub const POINT_BEATS: usize = 5;
/// Points kept: ten minutes of them.
pub const POINTS_KEPT_MAX: usize = 120;
/// Series of decisions, and backends, that one second or point remembers; the rest of it is left out and said to be.
pub const SERIES_MAX: usize = 4096;
/// Who may listen at once: two tabs for each of a team's release managers.
pub const LISTENERS_MAX: usize = 32;
/// Flags whose change one second tells by name; more are told as "all".
pub const FLAGS_TOLD_MAX: usize = 64;

/// How a backend answered over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Requests that led to it.
    pub requests: u64,
    /// Of those, the ones it failed: 5xx, no answer, or another backend had to be asked.
    pub failed: u64,
    /// Time until the heads of its answers.
    pub times: Histogram,
}

impl Health {
    /// Adds another's.
    pub fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.failed += more.failed;
        self.times.merge(&more.times);
    }
}

/// A flag's decision: flag, variant, reason.
pub type Decision = (Arc<str>, Arc<str>, Arc<str>);

/// What happened within some time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tallied {
    /// Decisions, each with how often it was made.
    pub decisions: BTreeMap<Decision, u64>,
    /// Backends that were asked.
    pub backends: BTreeMap<Arc<str>, Health>,
    /// There was more than [`SERIES_MAX`]: what does not stand here.
    pub left_out: bool,
}

/// The backend that a label stands for: whoever looks at flags looks at all versions of one together.
fn whole(label: &Arc<str>) -> Arc<str> {
    match unversioned(label) {
        (_, None) => Arc::clone(label),
        (backend, Some(_)) => Arc::from(backend),
    }
}

impl Tallied {
    /// What came between two readings.
    #[must_use]
    pub fn between(earlier: &Totals, later: &Totals) -> Self {
        let mut tallied = Self::default();
        for (series, number) in later.numbers_of(Family::FlagDecisions) {
            let more = more(number, series, earlier);
            if let ([flag, variant, reason], 1..) = (series.labels.as_slice(), more) {
                tallied.decided((flag.clone(), variant.clone(), reason.clone()), more);
            }
        }
        for (series, number) in later.numbers_of(Family::BackendAnswers) {
            let more = more(number, series, earlier);
            if let ([backend, class], 1..) = (series.labels.as_slice(), more) {
                let failed = matches!(&**class, "5xx" | "failover");
                let health = Health {
                    requests: more,
                    failed: if failed { more } else { 0 },
                    times: Histogram::default(),
                };
                tallied.answered(&whole(backend), &health);
            }
        }
        for (series, times) in later.times_of(Family::BackendRequestDuration) {
            let times = times.since(&earlier.times_at(series));
            if let ([backend, _server], 1..) = (series.labels.as_slice(), times.count()) {
                let health = Health {
                    times,
                    ..Health::default()
                };
                tallied.answered(&whole(backend), &health);
            }
        }
        tallied
    }

    fn add(&mut self, more: &Self) {
        for (decision, count) in &more.decisions {
            self.decided(decision.clone(), *count);
        }
        for (backend, health) in &more.backends {
            self.answered(backend, health);
        }
        self.left_out |= more.left_out;
    }

    fn decided(&mut self, decision: Decision, count: u64) {
        if self.decisions.len() >= SERIES_MAX && !self.decisions.contains_key(&decision) {
            self.left_out = true;
            return;
        }
        *self.decisions.entry(decision).or_default() += count;
    }

    fn answered(&mut self, backend: &Arc<str>, health: &Health) {
        if self.backends.len() >= SERIES_MAX && !self.backends.contains_key(backend) {
            self.left_out = true;
            return;
        }
        self.backends.entry(Arc::clone(backend)).or_default().add(health);
    }

    /// How often a flag gave each variant, whatever the reason.
    #[must_use]
    pub fn variants_of(&self, key: &str) -> BTreeMap<Arc<str>, u64> {
        let mut variants = BTreeMap::new();
        for ((_, variant, _), count) in self.decisions_of(key) {
            *variants.entry(Arc::clone(variant)).or_default() += count;
        }
        variants
    }

    /// A flag's decisions.
    pub fn decisions_of(&self, key: &str) -> impl Iterator<Item = (&Decision, u64)> {
        let empty: Arc<str> = Arc::from("");
        let first = (Arc::from(key), Arc::clone(&empty), empty);
        self.decisions
            .range(first..)
            .take_while(move |((flag, ..), _)| &**flag == key)
            .map(|(decision, count)| (decision, *count))
    }
}

fn more(number: i64, series: &Series, earlier: &Totals) -> u64 {
    let more = number.saturating_sub(earlier.number_at(series));
    u64::try_from(more).unwrap_or(0)
}

/// Some seconds, and what happened in them.
#[derive(Debug, Clone, Default)]
pub struct Point {
    /// When they ended.
    pub at: UnixTime,
    /// What happened.
    pub what: Arc<Tallied>,
}

/// What is known now.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Counts the looks since the start.
    pub beat: u64,
    /// The last second.
    pub second: Point,
    /// The last minute, or as much of it as the program runs.
    pub minute: Arc<Tallied>,
    /// Seconds of which that is made.
    pub minute_seconds: usize,
    /// Ten minutes in points of [`POINT_BEATS`] seconds, oldest first.
    pub points: VecDeque<Point>,
    /// Whether the last look ended a point.
    pub point: bool,
    /// Flags that this second found changed.
    pub changed: Changed,
    /// What the cache was to each route, since the start.
    pub caches: Arc<BTreeMap<Arc<str>, Used>>,
    /// Version of the snapshot in force.
    pub version: u64,
}

/// Flags that changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Changed {
    /// None.
    #[default]
    None,
    /// These.
    Some(Vec<String>),
    /// More than are told one by one.
    Many,
}

impl Changed {
    fn of(diff: Diff) -> Self {
        let flags = diff.flags;
        let keys: Vec<String> = [flags.added, flags.removed, flags.changed].concat();
        match keys.len() {
            0 => Self::None,
            1..=FLAGS_TOLD_MAX => Self::Some(keys),
            _ => Self::Many,
        }
    }
}

/// The last minutes, and the bell that rings each second.
#[derive(Debug)]
pub struct Pulse {
    figures: ArcSwap<Figures>,
    bell: watch::Sender<u64>,
    /// Seats of who listens.
    pub seats: Arc<Semaphore>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            figures: ArcSwap::default(),
            bell: watch::Sender::default(),
            seats: Arc::new(Semaphore::new(LISTENERS_MAX)),
        }
    }
}

impl Pulse {
    /// What is known now.
    #[must_use]
    pub fn figures(&self) -> Arc<Figures> {
        self.figures.load_full()
    }

    /// Rings after each look.
    #[must_use]
    pub fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Looks each second, for as long as it is polled.
    pub async fn keep(&self, metrics: &Metrics, live: &Live) {
        let mut book = Book::new(metrics.figures().await, live.current());
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beats.tick().await;
        loop {
            beats.tick().await;
            let totals = metrics.figures().await;
            self.tell(book.turn(totals, live.current(), clock::wall()));
        }
    }

    /// Makes `figures` known.
    pub fn tell(&self, figures: Figures) {
        let beat = figures.beat;
        self.figures.store(Arc::new(figures));
        self.bell.send_replace(beat);
    }
}

/// What the next look is compared with.
#[derive(Debug)]
pub struct Book {
    last: Totals,
    at: Arc<Snapshot>,
    beat: u64,
    beats: VecDeque<Point>,
    points: VecDeque<Point>,
}

impl Book {
    /// Begins with a first reading.
    #[must_use]
    pub fn new(first: Totals, at: Arc<Snapshot>) -> Self {
        Self {
            last: first,
            at,
            beat: 0,
            beats: VecDeque::new(),
            points: VecDeque::new(),
        }
    }

    /// The next reading: what is known with it.
    pub fn turn(&mut self, totals: Totals, at: Arc<Snapshot>, now: UnixTime) -> Figures {
        let second = Point {
            at: now,
            what: Arc::new(Tallied::between(&self.last, &totals)),
        };
        let caches = Arc::new(used::by_route(&totals));
        self.last = totals;
        self.beat += 1;
        push(&mut self.beats, second.clone(), BEATS_KEPT_MAX);
        let point = self.beat.is_multiple_of(POINT_BEATS as u64);
        if point {
            let what = Arc::new(sum(self.beats.iter().rev().take(POINT_BEATS)));
            push(&mut self.points, Point { at: now, what }, POINTS_KEPT_MAX);
        }
        let changed = if Arc::ptr_eq(&self.at, &at) {
            Changed::None
        } else {
            Changed::of(Diff::between(&self.at, &at))
        };
        self.at = at;
        Figures {
            beat: self.beat,
            second,
            minute: Arc::new(sum(self.beats.iter())),
            minute_seconds: self.beats.len(),
            points: self.points.clone(),
            point,
            changed,
            caches,
            version: self.at.version,
        }
    }
}

fn push(points: &mut VecDeque<Point>, point: Point, most: usize) {
    if points.len() >= most {
        points.pop_front();
    }
    points.push_back(point);
}

fn sum<'p>(points: impl Iterator<Item = &'p Point>) -> Tallied {
    let mut sum = Tallied::default();
    for point in points {
        sum.add(&point.what);
    }
    sum
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
