//! So many at once, and a line of those who wait for a seat: first by class, then by turn.
//!
//! Seats are counted in one atomic for all cores. The line itself is behind a lock, which nobody takes while there is a free seat and
//! nobody waits.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::pot::Bound;
use crate::clock;

/// What a line is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Seats.
    pub seats: u32,
    /// Who may wait at once, at most [`WAITING_MAX`].
    pub waiting: u32,
    /// How long anybody waits.
    pub patience: Duration,
}

/// The longest line that can be said.
pub const WAITING_MAX: u32 = 10_000;
/// How long anybody waits unless said otherwise: longer than this a person thinks that nothing happens.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Seats handed on before their pace is believed.
const PACE_AFTER: u32 = 8;

/// Who is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Class {
    /// What must go on whatever else waits: a payment.
    High,
    /// What a person waits for.
    #[default]
    Normal,
    /// What can wait: a report.
    Low,
    /// What a browser fetches in case that somebody wants it.
    Prefetch,
    /// What nobody waits for.
    Crawler,
}

impl Class {
    /// As settings, log and explain write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Prefetch => "prefetch",
            Self::Crawler => "crawler",
        }
    }
}

/// There is no seat, and waiting makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Seats and the line in front of them.
#[derive(Debug, Default)]
pub struct Line {
    /// As last heard: a seat that comes free is handed on only while no more are taken.
    seats: AtomicU32,
    taken: AtomicU32,
    waiting: AtomicU32,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By class and turn.
    order: BTreeMap<(Class, u64), oneshot::Sender<Seat>>,
    turns: u64,
    handed: Pace,
}

/// How fast seats come free while somebody waits.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    mean: Duration,
    seen: u32,
}

impl Pace {
    fn note(&mut self, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            let gap = now.saturating_duration_since(last);
            // the first is taken as it is, later ones weigh an eighth
            self.mean = match self.seen {
                0 => gap,
                _ => (self.mean * 7 + gap) / 8,
            };
            self.seen = self.seen.saturating_add(1);
        }
    }

    /// How long who has `ahead` before them will wait, as far as can be told.
    fn wait(&self, ahead: usize, now: Instant) -> Option<Duration> {
        if self.seen < PACE_AFTER {
            return None;
        }
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let silent = self
            .last
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        Some(self.mean.max(silent).saturating_mul(ahead.saturating_add(1)))
    }
}

/// A seat, given back (or handed to who waits) when it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Line>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.hand_on();
        }
    }
}

/// A place in the line, given up when it is dropped.
#[derive(Debug)]
pub struct Turn {
    line: Arc<Line>,
    key: (Class, u64),
    seat: oneshot::Receiver<Seat>,
}

impl Turn {
    /// Waits for the seat. Whoever calls bounds the wait by [`Terms::patience`].
    ///
    /// # Errors
    /// [`Full`]: somebody of a better class took the place.
    pub async fn seat(&mut self) -> Result<Seat, Full> {
        (&mut self.seat).await.map_err(|_| Full)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queue = self.line.queue();
        if queue.order.remove(&self.key).is_some() {
            self.line.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// What who comes gets.
#[derive(Debug)]
pub enum Entry {
    /// A seat.
    Seat(Seat),
    /// A place in the line.
    Turn(Turn),
}

impl Line {
    /// A seat, or a place in the line.
    ///
    /// # Errors
    /// [`Full`]: the line is as long as it may be and nobody in it is of a lesser class, or it moves too slowly for one more.
    pub fn enter(self: &Arc<Self>, class: Class, terms: Terms, now: Instant) -> Result<Entry, Full> {
        if self.seats.load(Ordering::Relaxed) != terms.seats {
            self.seats.store(terms.seats, Ordering::Relaxed);
        }
        if self.waiting.load(Ordering::SeqCst) == 0
            && let Some(seat) = self.take()
        {
            return Ok(Entry::Seat(seat));
        }
        if terms.waiting == 0 {
            return Err(Full);
        }
        self.line_up(class, terms, now)
    }

    /// Seats taken now.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Its bounds by `terms`: what, how much of it is used, and how much there may be.
    #[must_use]
    pub fn bounds(&self, terms: Terms) -> [Bound; 2] {
        [
            ("in_flight", u64::from(self.taken()), u64::from(terms.seats)),
            ("queue", u64::from(self.waiting()), u64::from(terms.waiting)),
        ]
    }

    fn take(self: &Arc<Self>) -> Option<Seat> {
        let seats = self.seats.load(Ordering::Relaxed);
        let one_more = |taken: u32| (taken < seats).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more);
        taken.ok().map(|_| Seat(Arc::clone(self)))
    }

    fn line_up(self: &Arc<Self>, class: Class, terms: Terms, now: Instant) -> Result<Entry, Full> {
        let mut queue = self.queue();
        // counted first: whoever gives a seat back from here on looks into the line
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let placed = self.place(&mut queue, class, terms, now);
        if !matches!(placed, Ok(Entry::Turn(_))) {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        placed
    }

    fn place(
        self: &Arc<Self>,
        queue: &mut Queue,
        class: Class,
        terms: Terms,
        now: Instant,
    ) -> Result<Entry, Full> {
        if queue.order.is_empty() {
            if let Some(seat) = self.take() {
                return Ok(Entry::Seat(seat));
            }
            queue.handed.last = Some(now); // the silence before nobody waited tells nothing
        }
        queue.turns += 1;
        let key = (class, queue.turns);
        let ahead = queue.order.range(..key).count();
        if queue
            .handed
            .wait(ahead, now)
            .is_some_and(|wait| wait > terms.patience)
        {
            return Err(Full);
        }
        if queue.order.len() >= terms.waiting.min(WAITING_MAX) as usize {
            let last = queue.order.keys().next_back().copied();
            if last.is_none_or(|last| last < key) {
                return Err(Full);
            }
            queue.order.pop_last(); // who is told by the end of the channel
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        let (sender, seat) = oneshot::channel();
        queue.order.insert(key, sender);
        let line = Arc::clone(self);
        Ok(Entry::Turn(Turn { line, key, seat }))
    }

    /// Hands free seats to those who wait, the first first.
    fn hand_on(self: &Arc<Self>) {
        let mut queue = self.queue();
        while !queue.order.is_empty() {
            let Some(mut seat) = self.take() else { return };
            queue.handed.note(clock::steady());
            loop {
                let Some((_, sender)) = queue.order.pop_first() else {
                    drop(queue); // giving a seat back may want the line
                    drop(seat);
                    return;
                };
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                match sender.send(seat) {
                    Ok(()) => break,
                    Err(back) => seat = back, // gone just now
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
