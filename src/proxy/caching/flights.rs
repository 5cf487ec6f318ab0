//! Requests of one core for the same answer: the first asks, the others wait for what comes of it.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use http::StatusCode;
use tokio::sync::watch;

use super::arriving::Arriving;
use crate::{
    cache::store::{Entry, KeyHash},
    observe::record::Side,
    proxy::{
        edge::Edge,
        refusal::{Refusal, Retry},
    },
};

/// Answers that a core waits for at once. Requests for further ones are not collapsed.
pub const FLIGHTS_MAX: usize = 4096;
/// Longest time that a request waits for another's answer. Then it asks by itself.
pub const FOLLOW_TIME_MAX: Duration = Duration::from_secs(30);

/// What came of the first's asking.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Nothing yet.
    Open,
    /// Its answer is arriving.
    Arriving(Rc<Arriving>),
    /// What was kept is kept anew.
    Kept(Arc<Entry>),
    /// Its answer is for itself alone: everybody asks.
    Released,
    /// There is none, and why.
    Failed(Rc<Failure>),
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
    pub fn of(refusal: &Refusal) -> Rc<Self> {
        Rc::new(Self {
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

/// What a core waits for just now.
#[derive(Debug, Default)]
pub struct Flights(RefCell<HashMap<KeyHash, watch::Receiver<Outcome>>>);

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
    edge: Rc<Edge>,
    key: KeyHash,
    says: watch::Sender<Outcome>,
}

impl Flights {
    /// Joins the flight of `key`, or begins one.
    pub fn join(edge: &Rc<Edge>, key: KeyHash) -> Part {
        let mut open = edge.flights.0.borrow_mut();
        if let Some(flight) = open.get(&key) {
            return Part::Follows(flight.clone());
        }
        if open.len() >= FLIGHTS_MAX {
            return Part::Alone;
        }
        let (says, hears) = watch::channel(Outcome::Open);
        open.insert(key, hears);
        Part::Leads(Lead {
            edge: Rc::clone(edge),
            key,
            says,
        })
    }

    /// Begins the flight of `key`, unless there is one.
    pub fn begin(edge: &Rc<Edge>, key: KeyHash) -> Option<Lead> {
        match Self::join(edge, key) {
            Part::Leads(lead) => Some(lead),
            Part::Follows(_) | Part::Alone => None,
        }
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
        self.edge.flights.0.borrow_mut().remove(&self.key);
    }
}

/// Waits for the first's answer. `None`: the first went away, or takes too long (`true`).
pub async fn wait(mut flight: watch::Receiver<Outcome>) -> Result<Outcome, bool> {
    let landed = flight.wait_for(|outcome| !matches!(outcome, Outcome::Open));
    match tokio::time::timeout(FOLLOW_TIME_MAX, landed).await {
        Ok(Ok(outcome)) => Ok(outcome.clone()),
        Ok(Err(_)) => Err(false),
        Err(_) => Err(true),
    }
}
