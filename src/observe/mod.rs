//! What happened: each exchange leaves one record, and from it come an access-log line, metrics and a trace.
//!
//! In reading order: `record` (the facts), `details` (facts for one format), `trace`, `entropy` and `slab` (ids), `log` (lines), `metrics` (numbers), `shape` (what many
//! exchanges have in common), `process` (the system's).
//!
//! A core owns its [`Core`] and shares none of it: counting and logging take no lock, make no system call and wait for nobody.
//! Lines leave it in batches, by a bounded queue to one writer thread; numbers leave it as a copy, when a scrape asks.

pub mod details;
pub mod entropy;
pub mod log;
pub mod metrics;
pub mod process;
pub mod record;
mod shape;
mod slab;
pub mod trace;

use std::{cell::RefCell, collections::HashSet, fmt, io, rc::Rc, sync::Arc};

use http::HeaderValue;
use tokio::sync::{Mutex, mpsc};

use crate::clock;
use entropy::Entropy;
use log::{Format, LogBuffer, Target, Writer, WriterHandle};
use metrics::{
    ANSWER_TIMEOUT, Exposition, Facts, Family, Label, Scraper, Series, Tally, TallyRequest, TallySnapshot,
    Totals,
};
use record::{Listener, Record};
use shape::{Shape, Shapes};
use slab::Slab;

/// All that observes, owned by whoever starts and stops the program.
#[derive(Debug)]
pub struct Observer {
    format: Format,
    writer: Option<Writer>,
    facts: Arc<Facts>,
    scraper: Scraper,
}

impl Observer {
    /// Starts the access log, if there is to be one.
    ///
    /// # Errors
    /// The log's file can't be opened for appending.
    pub fn start(access_log: Option<(Format, Target)>, facts: Arc<Facts>) -> io::Result<Self> {
        let (format, writer) = match access_log {
            Some((format, target)) => {
                let writer = Writer::start(target, format.file_head())?;
                (format, Some(writer))
            }
            None => (Format::Json, None),
        };
        Ok(Self {
            format,
            writer,
            facts,
            scraper: Scraper::default(),
        })
    }

    /// A new core's part, and the requests for its numbers: give both to [`Core::serve`] there.
    pub fn core(&mut self) -> (Core, mpsc::Receiver<TallyRequest>) {
        let log = self
            .writer
            .as_ref()
            .map(|writer| writer.buffer(self.format.clone()));
        (Core::new(log), self.scraper.add())
    }

    /// What the control plane tells metrics.
    #[must_use]
    pub fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts)
    }

    /// What others may ask of the log's writer, if there is one.
    #[must_use]
    pub fn log(&self) -> Option<WriterHandle> {
        self.writer.as_ref().map(Writer::handle)
    }

    /// All cores are there: splits into what the admin listener scrapes and what shutdown stops.
    #[must_use]
    pub fn split(self) -> (Metrics, Option<Writer>) {
        let metrics = Metrics {
            figures: Arc::new(Mutex::new(self.scraper.only(FIGURES))),
            scraper: Arc::new(Mutex::new(self.scraper)),
            log: self.writer.as_ref().map(Writer::handle),
            facts: self.facts,
        };
        (metrics, self.writer)
    }
}

/// What [`Metrics::figures`] tells.
const FIGURES: &[Family] = &[
    Family::FlagDecisions,
    Family::BackendAnswers,
    Family::BackendRequestDuration,
    Family::CacheRequests,
    Family::CacheSent,
];

/// What `/metrics` shows.
#[derive(Debug, Clone)]
pub struct Metrics {
    scraper: Arc<Mutex<Scraper>>,
    figures: Arc<Mutex<Scraper>>,
    facts: Arc<Facts>,
    log: Option<WriterHandle>,
}

impl Metrics {
    /// What flags decided and how backends answer, since the start, off the caller's thread; waits for the cores at most
    /// [`ANSWER_TIMEOUT`]. Nothing if the runtime is being stopped.
    pub async fn figures(&self) -> Totals {
        let gathered = self.figures.lock().await.gather(ANSWER_TIMEOUT).await;
        let totals = tokio::task::spawn_blocking(move || gathered.totals());
        totals.await.unwrap_or_default()
    }

    /// Asks all cores and writes everything down, off the caller's thread; waits for the cores at most [`ANSWER_TIMEOUT`].
    ///
    /// Empty if the runtime is being stopped.
    pub async fn render(&self, exposition: Exposition) -> String {
        let gathered = self.scraper.lock().await.gather(ANSWER_TIMEOUT).await;
        let (log, facts) = (self.log.clone(), Arc::clone(&self.facts));
        let text = tokio::task::spawn_blocking(move || {
            let mut totals = gathered.totals();
            if let Some(log) = &log {
                let lost = i64::try_from(log.lines_lost()).unwrap_or(i64::MAX);
                totals.add(Series::new(Family::LogLinesDropped, &["write_error"]), lost);
            }
            let mut others = facts.series(clock::wall());
            others.extend(process::read());
            metrics::render(totals, others, exposition)
        });
        text.await.unwrap_or_default()
    }
}

/// One core's part: its numbers, its log lines, its randomness. Not shared, so nothing in it waits.
pub struct Core {
    tally: RefCell<Tally>,
    log: RefCell<Option<LogBuffer>>,
    shows_details: bool,
    shapes: RefCell<Shapes>,
    entropy: RefCell<Entropy>,
    slab: RefCell<Slab>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

impl Core {
    /// A core's part with nothing counted; `None` writes no access log.
    #[must_use]
    pub fn new(log: Option<LogBuffer>) -> Self {
        Self {
            tally: RefCell::new(Tally::new()),
            shows_details: log.as_ref().is_some_and(LogBuffer::shows_details),
            log: RefCell::new(log),
            shapes: RefCell::new(Shapes::new()),
            entropy: RefCell::new(Entropy::new()),
            slab: RefCell::new(Slab::default()),
        }
    }

    /// An exchange is over: counts it and logs it.
    pub fn finish(&self, record: &Record) {
        let dropped = self.note(record);
        self.dropped(dropped);
    }

    /// Returns how many lines had to be dropped.
    fn note(&self, record: &Record) -> u64 {
        let (mut tally, mut log) = (self.tally.borrow_mut(), self.log.borrow_mut());
        let mut shapes = self.shapes.borrow_mut();
        let shape = shapes.of(record, || {
            let middle = log.as_ref().and_then(|log| log.middle(record));
            Shape::new(record, tally.plan(record), middle)
        });
        match shape {
            Some(shape) => tally.count_by(&shape.plan, record),
            None => tally.count(record),
        }
        let middle = shape.and_then(|shape| shape.middle.as_ref());
        log.as_mut().map_or(0, |log| log.push_around(record, middle))
    }

    /// Whether [`Details`](details::Details) are asked for.
    #[must_use]
    pub const fn shows_details(&self) -> bool {
        self.shows_details
    }

    /// One more exchange is under way (1), or one less (-1).
    pub fn in_flight(&self, listener: Listener, amount: i64) {
        self.tally.borrow_mut().in_flight(listener, amount);
    }

    /// Adds to a counter. `labels` are in the order that the family says.
    pub fn count(&self, family: Family, labels: &[Label<'_>], amount: i64) {
        self.tally.borrow_mut().add(family, labels, amount);
    }

    /// Sets a gauge of this core; a scrape shows the sum over cores.
    pub fn set(&self, family: Family, labels: &[Label<'_>], amount: i64) {
        self.tally.borrow_mut().set(family, labels, amount);
    }

    /// Adds one to a gauge until the returned value is dropped: an exchange, a connection, a tunnel.
    pub fn hold(self: &Rc<Self>, family: Family, labels: &[Label<'_>]) -> Held {
        self.count(family, labels, 1);
        let labels = labels.iter().map(|label| HeldLabel::from(*label)).collect();
        Held {
            core: Rc::clone(self),
            family,
            labels,
        }
    }

    /// Sixteen random bytes: a visitor, a request, a trace.
    #[must_use]
    pub fn random16(&self) -> [u8; 16] {
        self.entropy.borrow_mut().next16()
    }

    /// Eight random bytes: a span.
    #[must_use]
    pub fn random8(&self) -> [u8; 8] {
        self.entropy.borrow_mut().next8()
    }

    /// A new request id, as a field's value.
    #[must_use]
    pub fn mint_request_id(&self) -> HeaderValue {
        self.slab
            .borrow_mut()
            .value(&trace::mint_request_id(self.random16()))
    }

    /// Told which names (routes, squads, flags, variants, backends, servers) the settings have after a swap.
    ///
    /// Numbers of gone names stay until there are [`metrics::GONE_LABELS_MAX`] of them, then the oldest fold into `_other`.
    pub fn keep(&self, live: &HashSet<Arc<str>>) {
        self.tally.borrow_mut().keep(live);
        self.shapes.borrow_mut().clear();
    }

    /// Hands over log lines that waited long enough.
    pub fn tick(&self) {
        let dropped = match self.log.borrow_mut().as_mut() {
            Some(log) => log.tick(clock::steady()),
            None => 0,
        };
        self.dropped(dropped);
    }

    /// Hands over all log lines: the core ends.
    pub fn flush(&self) {
        let dropped = match self.log.borrow_mut().as_mut() {
            Some(log) => log.flush(),
            None => 0,
        };
        self.dropped(dropped);
    }

    /// A copy of this core's numbers.
    #[must_use]
    pub fn tally(&self) -> TallySnapshot {
        self.tally.borrow().snapshot()
    }

    /// Answers scrapes and hands over old log lines, as a task of the core, until nobody can ask any more.
    pub async fn serve(self: Rc<Self>, mut requests: mpsc::Receiver<TallyRequest>) {
        let mut tick = tokio::time::interval(log::LINE_AGE_MAX / 2);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => request.answer(&self.tally.borrow()),
                    None => break,
                },
                _ = tick.tick() => self.tick(),
            }
        }
        self.flush();
    }

    fn dropped(&self, lines: u64) {
        if lines > 0 {
            let lines = i64::try_from(lines).unwrap_or(i64::MAX);
            self.count(Family::LogLinesDropped, &[Label::Word("queue_full")], lines);
        }
    }
}

/// One more in a gauge, until it is dropped.
#[must_use]
pub struct Held {
    core: Rc<Core>,
    family: Family,
    labels: smallvec::SmallVec<[HeldLabel; 2]>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let labels: smallvec::SmallVec<[Label<'_>; 2]> =
            self.labels.iter().map(HeldLabel::as_label).collect();
        self.core.count(self.family, &labels, -1);
    }
}

/// A label that outlives its snapshot.
#[derive(Debug, Clone)]
enum HeldLabel {
    Word(&'static str),
    Name(Arc<str>),
    Number(u16),
}

impl HeldLabel {
    const fn as_label(&self) -> Label<'_> {
        match self {
            Self::Word(word) => Label::Word(word),
            Self::Name(name) => Label::Name(name),
            Self::Number(number) => Label::Number(*number),
        }
    }
}

impl From<Label<'_>> for HeldLabel {
    fn from(label: Label<'_>) -> Self {
        match label {
            Label::Word(word) => Self::Word(word),
            Label::Name(name) => Self::Name(Arc::clone(name)),
            Label::Number(number) => Self::Number(number),
        }
    }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
