//! Asking every core for its numbers without holding one of them up.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};

use super::{
    family::Family,
    tally::TallySnapshot,
    totals::{Series, Totals},
};

/// Requests that may wait at one core: scrapes by two Prometheus servers and a page.
pub(super) const REQUESTS_MAX: usize = 4;
/// How long a scrape waits for a core; then it shows what the core said last.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Somebody wants a core's numbers.
#[derive(Debug)]
pub struct TallyRequest(pub oneshot::Sender<TallySnapshot>);

/// The lines to all cores, and what each said last: a silent core must not look like a counter that began anew.
#[derive(Debug, Default)]
pub struct Scraper {
    cores: Vec<(mpsc::Sender<TallyRequest>, Arc<TallySnapshot>)>,
}

impl Scraper {
    /// Adds a core, and returns where its requests come out.
    pub fn add(&mut self) -> mpsc::Receiver<TallyRequest> {
        let (ask, asked) = mpsc::channel(REQUESTS_MAX);
        self.cores.push((ask, Arc::default()));
        asked
    }

    /// Asks all cores at once, and waits for each no longer than `within`.
    pub async fn gather(&mut self, within: Duration) -> Gathered {
        let answers = self.cores.iter().map(|(ask, _)| {
            let (give, take) = oneshot::channel();
            let _ = ask.try_send(TallyRequest(give)); // a full or closed line drops `give`, and `take` ends at once
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
