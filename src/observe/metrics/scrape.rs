//! Asking every core for its numbers without holding one of them up.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::{
    family::Family,
    tally::{Tally, TallySnapshot},
    totals::{Series, Totals},
};

/// Requests that may wait at one core: scrapes by two Prometheus servers, and the figures of every second.
pub(super) const REQUESTS_MAX: usize = 4;
/// How long a scrape waits for a core; then it shows what the core said last.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Somebody wants a core's numbers.
#[derive(Debug)]
pub struct TallyRequest {
    /// Where they go.
    pub answer: oneshot::Sender<TallySnapshot>,
    /// Which metrics; `None`: all.
    pub families: Option<&'static [Family]>,
}

impl TallyRequest {
    /// Gives what is asked for of `tally`. Nobody may want it any longer.
    pub fn answer(self, tally: &Tally) {
        let said = match self.families {
            Some(families) => tally.snapshot_of(families),
            None => tally.snapshot(),
        };
        drop(self.answer.send(said));
    }
}

/// The lines to all cores, and what each said last: a silent core must not look like a counter that began anew.
#[derive(Debug, Default)]
pub struct Scraper {
    families: Option<&'static [Family]>,
    cores: Vec<(mpsc::Sender<TallyRequest>, Arc<TallySnapshot>)>,
}

impl Scraper {
    /// Adds a core, and returns where its requests come out.
    pub fn add(&mut self) -> mpsc::Receiver<TallyRequest> {
        let (ask, asked) = mpsc::channel(REQUESTS_MAX);
        self.cores.push((ask, Arc::default()));
        asked
    }

    /// Another that asks the same cores for a few metrics only.
    #[must_use]
    pub fn only(&self, families: &'static [Family]) -> Self {
        let lines = self.cores.iter().map(|(ask, _)| (ask.clone(), Arc::default()));
        Self {
            families: Some(families),
            cores: lines.collect(),
        }
    }

    /// Asks all cores at once, and waits for each no longer than `within`.
    pub async fn gather(&mut self, within: Duration) -> Gathered {
        let families = self.families;
        let answers = self.cores.iter().map(|(ask, _)| {
            let (answer, take) = oneshot::channel();
            let _ = ask.try_send(TallyRequest { answer, families }); // a full or closed line drops `answer`, and `take` ends at once
            tokio::time::timeout(within, take)
        });
        let answers = join_all(answers).await;
        let mut silent = 0;
        for ((_, last), said) in self.cores.iter_mut().zip(answers) {
            match said {
                Ok(Ok(said)) => *last = Arc::new(said),
                Ok(Err(_)) | Err(_) => silent += 1,
            }
        }
        Gathered {
            said: self.cores.iter().map(|(_, last)| Arc::clone(last)).collect(),
            silent,
        }
    }
}

/// What all cores said.
#[derive(Debug)]
pub struct Gathered {
    said: Vec<Arc<TallySnapshot>>,
    silent: i64,
}

impl Gathered {
    /// All of it merged. With thousands of routes this takes a while, so not where somebody waits for a thread.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for said in &self.said {
            totals.merge(&said.totals());
        }
        let cores = i64::try_from(self.said.len()).unwrap_or(i64::MAX);
        totals.add(Series::new(Family::Cores, &[]), cores);
        totals.add(Series::new(Family::CoresSilent, &[]), self.silent);
        totals
    }
}
