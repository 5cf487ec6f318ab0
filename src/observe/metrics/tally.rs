//! One core's numbers: plain, unshared, cloned when somebody asks.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use super::{
    family::Family,
    histogram::Histogram,
    label::{Label, LabelId, Labels, Mix, OTHER_ID, text_of},
    totals::{Series, Totals},
};
use crate::observe::record::{FlagFacts, Outcome, Record};

/// Histograms and numbers (each) that one core keeps. In a new one beyond it, every name from the settings is `_other`.
///
/// A histogram is seventeen lines of a scrape, so this is already 50 MiB of text.
pub const SERIES_MAX: usize = 30_000;
/// Labels that a metric can have.
const LABELS_EACH_MAX: usize = 4;

/// A series as its core knows it. Labels that the family does not have are [`OTHER_ID`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    family: Family,
    labels: [LabelId; LABELS_EACH_MAX],
}

impl Hash for Key {
    /// Three words; the derived one would go through eighteen bytes one by one.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d] = self.labels.map(u64::from);
        state.write_u64(a << 32 | b);
        state.write_u64(c << 32 | d);
        state.write_u8(self.family as u8);
    }
}

type Map<V> = HashMap<Key, V, BuildHasherDefault<Mix>>;

/// One core's numbers. Nothing in it is shared, so counting is an addition.
#[derive(Debug, Clone)]
pub struct Tally {
    labels: Labels,
    numbers: Map<i64>,
    histograms: Map<Histogram>,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Nothing counted yet. Counters that an alert watches are there from the start, with zero, so that their first step shows.
    #[must_use]
    pub fn new() -> Self {
        let mut tally = Self {
            labels: Labels::new(),
            numbers: Map::default(),
            histograms: Map::default(),
        };
        tally.add(Family::LogLinesDropped, &[Label::Word("queue_full")], 0);
        tally.add(Family::Panics, &[], 0);
        tally
    }

    /// Adds to a counter or a gauge (there also less than nothing). `labels` are in the order that the family says.
    pub fn add(&mut self, family: Family, labels: &[Label<'_>], amount: i64) {
        let key = self.key(family, labels);
        let number = self.number(key);
        *number = number.saturating_add(amount);
    }

    /// Sets a gauge.
    pub fn set(&mut self, family: Family, labels: &[Label<'_>], amount: i64) {
        let key = self.key(family, labels);
        *self.number(key) = amount;
    }

    /// Adds a duration to a histogram.
    pub fn observe(&mut self, family: Family, labels: &[Label<'_>], duration: Duration) {
        let key = self.key(family, labels);
        let key = bounded(&self.labels, &self.histograms, key);
        self.histograms.entry(key).or_default().observe(duration);
    }

    /// Counts all that a finished exchange tells.
    pub fn count(&mut self, record: &Record) {
        self.count_request(record);
        for flag in record.flag.iter().chain(&record.flags) {
            self.count_flag(flag);
        }
        self.count_outcome(record);
        if let Some(state) = record.visitor {
            self.add(Family::VisitorCookies, &[Label::Word(state)], 1);
        }
        if let Some(outcome) = record.gate {
            self.add(Family::GateChecks, &[Label::Word(outcome)], 1);
        }
        let listener = Label::Word(record.listener.as_str());
        for (family, bytes) in [
            (Family::Received, record.bytes_in),
            (Family::Sent, record.bytes_out),
        ] {
            if bytes > 0 {
                self.add(family, &[listener], i64::try_from(bytes).unwrap_or(i64::MAX));
            }
        }
    }

    fn count_request(&mut self, record: &Record) {
        let labels = [
            Label::Word(record.method_class()),
            record
                .status
                .map_or(Label::Word(""), |status| Label::Number(status.as_u16())),
            record.route.as_ref().map_or(Label::Word(""), Label::Name),
            Label::Word(record.listener.scheme()),
        ];
        self.observe(Family::RequestDuration, &labels, record.answer_time());
        let Some(backend) = &record.backend else { return };
        if let (Some(server), Some(first_byte)) = (&record.server, record.timings.first_byte) {
            self.observe(
                Family::BackendRequestDuration,
                &[Label::Name(backend), Label::Name(server)],
                first_byte + record.timings.connect.unwrap_or_default(),
            );
        }
        if record.timings.connect.is_some() {
            self.add(Family::BackendConnects, &[Label::Name(backend)], 1);
        }
        if record.attempts > 1 {
            let again = i64::from(record.attempts - 1);
            self.add(Family::BackendRetries, &[Label::Name(backend)], again);
        }
    }

    /// Counts one decision of a flag.
    fn count_flag(&mut self, facts: &FlagFacts) {
        let labels = [
            Label::Name(&facts.flag),
            Label::Name(&facts.variant),
            Label::Word(facts.reason),
        ];
        self.add(Family::FlagDecisions, &labels, 1);
    }

    fn count_outcome(&mut self, record: &Record) {
        match record.outcome {
            Outcome::Refused { reason, side } => {
                let labels = [Label::Word(reason), Label::Word(side.as_str())];
                self.add(Family::Refusals, &labels, 1);
            }
            Outcome::Malformed(what) => self.add(Family::Malformed, &[Label::Word(what)], 1),
            Outcome::Abandoned => self.add(Family::Aborted, &[Label::Word("client")], 1),
            Outcome::Forwarded | Outcome::Tunnelled | Outcome::Answered => {}
        }
        if let Some(side) = record.aborted
            && record.outcome != Outcome::Abandoned
        {
            self.add(Family::Aborted, &[Label::Word(side.as_str())], 1);
        }
    }

    /// Told which names the settings have now, after a swap. Series of names long gone fold into `_other`.
    pub fn keep(&mut self, live: &HashSet<Arc<str>>) {
        let folded = self.labels.keep(live);
        if folded.is_empty() {
            return;
        }
        fold(&mut self.numbers, &folded, |sum, more| {
            *sum = sum.saturating_add(more);
        });
        fold(&mut self.histograms, &folded, |sum, more| sum.merge(&more));
    }

    /// A copy to give away.
    #[must_use]
    pub fn snapshot(&self) -> TallySnapshot {
        TallySnapshot {
            texts: self.labels.texts(),
            numbers: self.numbers.iter().map(|(key, number)| (*key, *number)).collect(),
            histograms: self
                .histograms
                .iter()
                .map(|(key, times)| (*key, *times))
                .collect(),
        }
    }

    fn key(&mut self, family: Family, labels: &[Label<'_>]) -> Key {
        debug_assert_eq!(labels.len(), family.describe().labels.len(), "{family:?}");
        let mut ids = [OTHER_ID; LABELS_EACH_MAX];
        for (id, label) in ids.iter_mut().zip(labels) {
            *id = self.labels.id(*label);
        }
        Key { family, labels: ids }
    }

    fn number(&mut self, key: Key) -> &mut i64 {
        let key = bounded(&self.labels, &self.numbers, key);
        self.numbers.entry(key).or_default()
    }
}

/// The key itself, or, when it is new and there are too many, the one with names from settings folded.
fn bounded<V>(labels: &Labels, map: &Map<V>, key: Key) -> Key {
    if map.len() < SERIES_MAX || map.contains_key(&key) {
        return key;
    }
    Key {
        labels: key
            .labels
            .map(|id| if labels.is_fixed(id) { id } else { OTHER_ID }),
        ..key
    }
}

fn fold<V: Default + Copy>(map: &mut Map<V>, folded: &HashSet<LabelId>, add: impl Fn(&mut V, V)) {
    let old: Vec<(Key, V)> = map
        .extract_if(|key, _| key.labels.iter().any(|id| folded.contains(id)))
        .collect();
    for (key, value) in old {
        let labels = key
            .labels
            .map(|id| if folded.contains(&id) { OTHER_ID } else { id });
        add(map.entry(Key { labels, ..key }).or_default(), value);
    }
}

/// One core's numbers at one moment, on their way to whoever merges.
#[derive(Debug, Clone, Default)]
pub struct TallySnapshot {
    texts: Vec<Arc<str>>,
    numbers: Map<i64>,
    histograms: Map<Histogram>,
}

impl TallySnapshot {
    /// The same with labels as text.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (key, number) in &self.numbers {
            totals.add(self.series(key), *number);
        }
        for (key, times) in &self.histograms {
            totals.add_times(self.series(key), times);
        }
        totals
    }

    fn series(&self, key: &Key) -> Series {
        let labels = key.labels.iter().map(|id| text_of(*id, &self.texts));
        Series {
            family: key.family,
            labels: labels.take(key.family.describe().labels.len()).collect(),
        }
    }
}
