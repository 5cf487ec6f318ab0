//! One core's numbers: plain, unshared, cloned when somebody asks.

use std::{collections::HashSet, sync::Arc, time::Duration};

use smallvec::SmallVec;

use super::{
    family::Family,
    histogram::Histogram,
    label::{Label, Labels, OTHER_ID, text_of},
    slots::{Key, LABELS_EACH_MAX, Slot, Slots},
    totals::{Series, Totals},
};
use crate::observe::record::{Listener, Outcome, Record};

/// Where the numbers of one kind of exchange are counted: looked up once, used as long as labels do not fold.
#[derive(Debug, Clone)]
pub(in crate::observe) struct Plan {
    request: Slot,
    backend: Option<Slot>,
    received: Option<Slot>,
    sent: Option<Slot>,
    /// The same by route and what the cache was, where there is one.
    cached: Option<Slot>,
    adds: SmallVec<[(Slot, u32); 8]>,
}

/// One core's numbers. Nothing in it is shared, so counting is an addition.
#[derive(Debug, Clone)]
pub struct Tally {
    labels: Labels,
    numbers: Slots<i64>,
    histograms: Slots<Histogram>,
    /// Exchanges under way by listener: every exchange counts there twice.
    in_flight: [Option<Slot>; Listener::ALL.len()],
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
            numbers: Slots::default(),
            histograms: Slots::default(),
            in_flight: [None; Listener::ALL.len()],
        };
        tally.add(Family::LogLinesDropped, &[Label::Word("queue_full")], 0);
        tally.add(Family::Panics, &[], 0);
        tally
    }

    /// Adds to a counter or a gauge (there also less than nothing). `labels` are in the order that the family says.
    pub fn add(&mut self, family: Family, labels: &[Label<'_>], amount: i64) {
        let slot = self.number(family, labels);
        self.numbers
            .change(slot, |number| *number = number.saturating_add(amount));
    }

    /// Sets a gauge.
    pub fn set(&mut self, family: Family, labels: &[Label<'_>], amount: i64) {
        let slot = self.number(family, labels);
        self.numbers.change(slot, |number| *number = amount);
    }

    /// Adds a duration to a histogram.
    pub fn observe(&mut self, family: Family, labels: &[Label<'_>], duration: Duration) {
        let slot = self.histogram(family, labels);
        self.histograms.change(slot, |times| times.observe(duration));
    }

    /// One more exchange is under way (1), or one less (-1).
    pub(in crate::observe) fn in_flight(&mut self, listener: Listener, amount: i64) {
        let known = self.in_flight.get(listener as usize).copied().flatten();
        let slot = known.unwrap_or_else(|| {
            let slot = self.number(Family::RequestsInFlight, &[Label::Word(listener.as_str())]);
            if let Some(place) = self.in_flight.get_mut(listener as usize) {
                *place = Some(slot);
            }
            slot
        });
        self.numbers
            .change(slot, |number| *number = number.saturating_add(amount));
    }

    /// Counts all that a finished exchange tells.
    pub fn count(&mut self, record: &Record) {
        let plan = self.plan(record);
        self.count_by(&plan, record);
    }

    /// Counts an exchange of a kind for which [`Self::plan`] said where, since the last [`Self::keep`].
    pub(in crate::observe) fn count_by(&mut self, plan: &Plan, record: &Record) {
        self.histograms
            .change(plan.request, |times| times.observe(record.answer_time()));
        if let (Some(slot), Some(first_byte)) = (plan.backend, record.timings.first_byte) {
            let took = first_byte + record.timings.connect.unwrap_or_default();
            self.histograms.change(slot, |times| times.observe(took));
        }
        // seldom: connections are kept, and so this is no matter of kinds
        if let (Some(_), Some(backend)) = (record.timings.connect, &record.backend) {
            self.add(Family::BackendConnects, &[Label::Name(backend)], 1);
        }
        for (slot, amount) in &plan.adds {
            self.numbers.change(*slot, |number| {
                *number = number.saturating_add(i64::from(*amount))
            });
        }
        let bytes = [
            (plan.received, record.bytes_in),
            (plan.sent, record.bytes_out),
            (plan.cached, record.bytes_out),
        ];
        for (slot, bytes) in bytes {
            if let Some(slot) = slot {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                self.numbers
                    .change(slot, |number| *number = number.saturating_add(bytes));
            }
        }
    }

    /// Where an exchange is counted. It is the same for all that agree in what [`Shape`](crate::observe::shape::Shape) compares.
    pub(in crate::observe) fn plan(&mut self, record: &Record) -> Plan {
        let labels = [
            Label::Word(record.method_class()),
            record
                .status
                .map_or(Label::Word(""), |status| Label::Number(status.as_u16())),
            record.route.as_ref().map_or(Label::Word(""), Label::Name),
            Label::Word(record.listener.scheme()),
        ];
        let listener = [Label::Word(record.listener.as_str())];
        let mut plan = Plan {
            request: self.histogram(Family::RequestDuration, &labels),
            backend: None,
            received: (record.bytes_in > 0).then(|| self.number(Family::Received, &listener)),
            sent: (record.bytes_out > 0).then(|| self.number(Family::Sent, &listener)),
            cached: None,
            adds: SmallVec::new(),
        };
        self.plan_backend(record, &mut plan);
        for flag in record.flag.iter().chain(&record.flags) {
            let labels = [
                Label::Name(&flag.flag),
                Label::Name(&flag.variant),
                Label::Word(flag.reason),
            ];
            plan.adds.push((self.number(Family::FlagDecisions, &labels), 1));
            if let Some(error) = flag.error {
                let labels = [Label::Name(&flag.flag), Label::Word(error)];
                plan.adds.push((self.number(Family::FlagErrors, &labels), 1));
            }
        }
        let words = [
            (Family::VisitorCookies, record.visitor),
            (Family::GateChecks, record.gate),
        ];
        for (family, word) in words {
            if let Some(word) = word {
                plan.adds.push((self.number(family, &[Label::Word(word)]), 1));
            }
        }
        self.plan_gate(record, &mut plan);
        self.plan_cache(record, &mut plan);
        self.plan_outcome(record, &mut plan);
        plan
    }

    fn plan_gate(&mut self, record: &Record, plan: &mut Plan) {
        let Some(route) = &record.route else { return };
        let enforced = record
            .gate
            .filter(|word| *word != "open" && record.would_deny.is_none());
        for (word, mode) in [(enforced, "enforce"), (record.would_deny, "report")] {
            if let Some(word) = word {
                let labels = [Label::Name(route), Label::Word(word), Label::Word(mode)];
                plan.adds.push((self.number(Family::GateDecisions, &labels), 1));
            }
        }
    }

    fn plan_cache(&mut self, record: &Record, plan: &mut Plan) {
        let (Some(cache), Some(route)) = (record.cache.get(), &record.route) else {
            return;
        };
        let labels = [Label::Name(route), Label::Word(cache.result)];
        plan.adds.push((self.number(Family::CacheRequests, &labels), 1));
        if record.bytes_out > 0 {
            plan.cached = Some(self.number(Family::CacheSent, &labels));
        }
    }

    fn plan_backend(&mut self, record: &Record, plan: &mut Plan) {
        let Some(backend) = &record.backend else { return };
        if let (Some(server), Some(_)) = (&record.server, record.timings.first_byte) {
            let labels = [Label::Name(backend), Label::Name(server)];
            plan.backend = Some(self.histogram(Family::BackendRequestDuration, &labels));
        }
        let class = [Label::Name(backend), Label::Word(record.answer_class())];
        plan.adds.push((self.number(Family::BackendAnswers, &class), 1));
        let mut attempts = record.attempts;
        if let Some(failover) = &record.failover {
            let labels = [
                Label::Name(&failover.from),
                Label::Name(backend),
                Label::Word(failover.cause),
            ];
            plan.adds.push((self.number(Family::Failovers, &labels), 1));
            if let Some(flag) = &record.flag {
                let labels = [Label::Name(&flag.flag), Label::Name(&flag.variant)];
                plan.adds.push((self.number(Family::FlagFailovers, &labels), 1));
            }
            let class = [Label::Name(&failover.from), Label::Word("failover")];
            plan.adds.push((self.number(Family::BackendAnswers, &class), 1));
            self.plan_retries(&failover.from, failover.attempts, plan);
            attempts = attempts.saturating_sub(failover.attempts);
        }
        self.plan_retries(backend, attempts, plan);
    }

    fn plan_retries(&mut self, backend: &Arc<str>, attempts: u32, plan: &mut Plan) {
        if attempts > 1 {
            let retries = self.number(Family::BackendRetries, &[Label::Name(backend)]);
            plan.adds.push((retries, attempts - 1));
        }
    }

    fn plan_outcome(&mut self, record: &Record, plan: &mut Plan) {
        match record.outcome {
            Outcome::Refused { reason, side } => {
                let labels = [Label::Word(reason), Label::Word(side.as_str())];
                plan.adds.push((self.number(Family::Refusals, &labels), 1));
            }
            Outcome::Malformed(what) => {
                let slot = self.number(Family::Malformed, &[Label::Word(what)]);
                plan.adds.push((slot, 1));
            }
            Outcome::Abandoned => {
                let slot = self.number(Family::Aborted, &[Label::Word("client")]);
                plan.adds.push((slot, 1));
            }
            Outcome::Forwarded | Outcome::Tunnelled | Outcome::Answered => {}
        }
        if let Some(side) = record.aborted
            && record.outcome != Outcome::Abandoned
        {
            let slot = self.number(Family::Aborted, &[Label::Word(side.as_str())]);
            plan.adds.push((slot, 1));
        }
    }

    /// Told which names the settings have now, after a swap. Series of names long gone fold into `_other`.
    pub fn keep(&mut self, live: &HashSet<Arc<str>>) {
        let folded = self.labels.keep(live);
        if folded.is_empty() {
            return;
        }
        self.numbers
            .fold(&folded, |sum, more| *sum = sum.saturating_add(more));
        self.histograms.fold(&folded, |sum, more| sum.merge(&more));
        self.in_flight = [None; Listener::ALL.len()];
    }

    /// A copy to give away.
    #[must_use]
    pub fn snapshot(&self) -> TallySnapshot {
        TallySnapshot {
            texts: self.labels.texts(),
            numbers: self.numbers.all().to_vec(),
            histograms: self.histograms.all().to_vec(),
        }
    }

    /// The same of a few metrics only.
    #[must_use]
    pub fn snapshot_of(&self, families: &[Family]) -> TallySnapshot {
        let wanted = |key: &Key| families.contains(&key.family);
        let numbers = self.numbers.all().iter().filter(|(key, _)| wanted(key));
        let histograms = self.histograms.all().iter().filter(|(key, _)| wanted(key));
        TallySnapshot {
            texts: self.labels.texts(),
            numbers: numbers.copied().collect(),
            histograms: histograms.copied().collect(),
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

    fn number(&mut self, family: Family, labels: &[Label<'_>]) -> Slot {
        let key = self.key(family, labels);
        self.numbers.of(key, &self.labels)
    }

    fn histogram(&mut self, family: Family, labels: &[Label<'_>]) -> Slot {
        let key = self.key(family, labels);
        self.histograms.of(key, &self.labels)
    }
}

/// One core's numbers at one moment, on their way to whoever merges.
#[derive(Debug, Clone, Default)]
pub struct TallySnapshot {
    texts: Vec<Arc<str>>,
    numbers: Vec<(Key, i64)>,
    histograms: Vec<(Key, Histogram)>,
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
