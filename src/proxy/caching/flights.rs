//! Requests for the same answer, on whichever core: the first asks, the others wait for what comes of it.
//!
//! Cores meet in a table that only a request touches for which the cache has no answer, and which is about to wait for a backend. It is
//! in so many parts, each with a lock that is held for one look, so that they seldom meet at all: to join and to land cost 0.1 to 0.8 µs
//! together in a model of two threads that do nothing else.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use tokio::sync::watch;

use super::arriving::Arriving;
use crate::{
    cache::store::{Entry, KeyHash},
    observe::record::Side,
    proxy::refusal::{Refusal, Retry},
};

/// Answers that are waited for at once. Requests for further ones are not collapsed.
pub const FLIGHTS_MAX: usize = 16_384;
/// Parts of the table.
const PARTS: usize = 64;
/// Longest time that a request waits for another's answer. Then it asks by itself.
pub const FOLLOW_TIME_MAX: Duration = Duration::from_secs(30);

/// What came of the first's asking.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing yet.
    Open,
    /// Its answer is arriving.
    Arriving(Arc<Arriving>),
    /// What was kept is kept anew.
    Kept(Arc<Entry>),
    /// Its answer is for itself alone: everybody asks.
    Released,
    /// There is none, and why.
    Failed(Arc<Failure>),
}

/// Why there is no answer, for those who waited for it.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    reason: &'static str,
    details: &'static str,
    side: Side,
    backend: Option<Arc<str>>,
}

impl Failure {
    /// The failure that a refusal tells of.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Arc<Self> {
        Arc::new(Self {
            status: refusal.status,
            reason: refusal.reason,
            details: refusal.details,
            side: refusal.side,
            backend: refusal.backend.clone(),
        })
    }

    /// The same refusal for another.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal {
            status: self.status,
            reason: self.reason,
            details: self.details,
            side: self.side,
            retry: Retry::Never,
            cause: None,
            missing: None,
            challenge: None,
            allow: None,
            backend: self.backend.clone(),
            wait: None,
        }
    }
}

type Open = HashMap<KeyHash, watch::Receiver<Outcome>>;

/// What requests wait for just now: one for the process.
#[derive(Debug)]
pub struct Flights {
    parts: Box<[Mutex<Open>]>,
    open: AtomicUsize,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
        }
    }
}

/// A request's part in a flight.
#[derive(Debug)]
pub enum Part {
    /// It asks.
    Leads(Lead),
    /// Another has asked.
    Follows(watch::Receiver<Outcome>),
    /// There are too many flights.
    Alone,
}

/// The right to ask for all who wait. Dropped without a word, it passes to one of them.
#[derive(Debug)]
pub struct Lead {
    flights: Arc<Flights>,
    key: KeyHash,
    says: watch::Sender<Outcome>,
}

impl Flights {
    /// Joins the flight of `key`, or begins one.
    pub fn join(self: &Arc<Self>, key: KeyHash) -> Part {
        let Some(mut open) = self.part(key) else {
            return Part::Alone;
        };
        if let Some(flight) = open.get(&key) {
            return Part::Follows(flight.clone());
        }
        if self.open.fetch_add(1, Ordering::Relaxed) >= FLIGHTS_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Part::Alone;
        }
        let (says, hears) = watch::channel(Outcome::Open);
        open.insert(key, hears);
        Part::Leads(Lead {
            flights: Arc::clone(self),
            key,
            says,
        })
    }

    /// Begins the flight of `key`, unless there is one.
    pub fn begin(self: &Arc<Self>, key: KeyHash) -> Option<Lead> {
        match self.join(key) {
            Part::Leads(lead) => Some(lead),
            Part::Follows(_) | Part::Alone => None,
        }
    }

    fn part(&self, key: KeyHash) -> Option<MutexGuard<'_, Open>> {
        let at = usize::try_from(key.0 % PARTS as u128).ok()?;
        let part = self.parts.get(at)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lead {
    /// Tells those who wait, and those who still come.
    pub fn say(&self, outcome: Outcome) {
        self.says.send_replace(outcome);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let gone = self
            .flights
            .part(self.key)
            .and_then(|mut open| open.remove(&self.key));
        self.flights.open.fetch_sub(1, Ordering::Relaxed);
        drop(gone); // it may be the last to know of megabytes: nobody waits for that
    }
}

/// Waits for the first's answer. Otherwise the first went away, or takes too long (`true`).
pub async fn wait(mut flight: watch::Receiver<Outcome>) -> Result<Outcome, bool> {
    let landed = flight.wait_for(|outcome| !matches!(outcome, Outcome::Open));
    match tokio::time::timeout(FOLLOW_TIME_MAX, landed).await {
        Ok(Ok(outcome)) => Ok(outcome.clone()),
        Ok(Err(_)) => Err(false),
        Err(_) => Err(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_threads_one_leads_until_it_has_gone() {
        let flights = Arc::new(Flights::default());
        for number in 0..200 {
            let key = KeyHash(number);
            let parts: Vec<Part> = std::thread::scope(|scope| {
                let all = [(); 4].map(|()| scope.spawn(|| flights.join(key)));
                all.map(|one| one.join().unwrap()).into()
            });
            let leads = |part: &&Part| matches!(part, Part::Leads(_));
            assert_eq!(parts.iter().filter(leads).count(), 1);
            assert!(flights.begin(key).is_none());
            drop(parts);
            assert!(flights.begin(key).is_some(), "and the next may");
        }
        assert_eq!(flights.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn there_are_so_many_at_once() {
        let flights = Arc::new(Flights::default());
        let all: Vec<Option<Lead>> = (0..FLIGHTS_MAX)
            .map(|key| flights.begin(KeyHash(key as u128)))
            .collect();
        assert!(all.iter().all(Option::is_some));
        assert!(matches!(flights.join(KeyHash(u128::MAX)), Part::Alone));
        assert!(matches!(flights.join(KeyHash(0)), Part::Follows(_)));
        drop(all);
        assert!(flights.begin(KeyHash(u128::MAX)).is_some());
    }
}
