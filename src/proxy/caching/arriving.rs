//! An answer that is arriving: whoever waits for it reads along, on whichever core, and it is kept when it is whole.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};

use super::flights::Lead;
use crate::{
    backend::under_way::UnderWay,
    body::{Body, BodyError},
    cache::store::{Collecting, New, Selected, Store, Terms, Times},
    fields::Fields,
};

/// Bytes that wait for the first reader of an answer that turned out too large to be kept.
const WINDOW_BYTES: u64 = 256 * 1024;

/// An answer whose head is here.
#[derive(Debug)]
pub struct Arriving {
    /// Its status.
    pub status: StatusCode,
    /// Its fields as they are kept.
    pub fields: Fields,
    /// What it was chosen by.
    pub selected: Selected,
    /// Its times.
    pub times: Times,
    /// Its terms.
    pub terms: Terms,
    /// Bytes of its body, if it says.
    pub length: Option<u64>,
    /// Bytes of it that are held for those who read more slowly than the first, where it is not kept.
    lag_max: u64,
    flow: Mutex<Flow>,
}

/// The body on its way. Cores share it, each for as long as it takes to hand on a piece.
#[derive(Debug, Default)]
struct Flow {
    /// Number of the first piece that is here.
    first: u64,
    pieces: VecDeque<Bytes>,
    bytes: u64,
    /// It is over: whole or not.
    end: Option<bool>,
    /// It is not kept: pieces go when everybody has read them.
    passing: bool,
    seats: Vec<Option<Seat>>,
    source: Option<Waker>,
}

/// Where a reader is.
#[derive(Debug, Default)]
struct Seat {
    /// Number of its next piece.
    at: u64,
    /// Bytes that are here and that it has not read.
    unread: u64,
    waker: Option<Waker>,
}

impl Flow {
    fn wakers(&mut self) -> Vec<Waker> {
        let seats = self.seats.iter_mut().flatten();
        seats.filter_map(|seat| seat.waker.take()).collect()
    }

    /// Lets go of what everybody has read, and of what is too much to be held for the slowest.
    fn trim(&mut self, lag_max: u64) {
        let slowest = self.seats.iter().flatten().map(|seat| seat.at).min();
        while self.passing && (self.bytes > lag_max || slowest.is_some_and(|at| at > self.first)) {
            let Some(gone) = self.pieces.pop_front() else {
                return;
            };
            self.first += 1;
            self.bytes -= gone.len() as u64;
        }
    }

    /// The next piece for a seat; `None`: it isn't here, or not any longer (`true`).
    fn next(&mut self, seat: usize) -> Result<Bytes, bool> {
        let Some(seat) = self.seats.get_mut(seat).and_then(Option::as_mut) else {
            return Err(true);
        };
        let place = seat.at.checked_sub(self.first).ok_or(true)?;
        let place = usize::try_from(place).map_err(|_| false)?;
        let piece = self.pieces.get(place).cloned().ok_or(false)?;
        seat.at += 1;
        seat.unread = seat.unread.saturating_sub(piece.len() as u64);
        Ok(piece)
    }
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

impl Arriving {
    /// An answer of which nothing but the head is here. `lag_max`: bytes of it that are held for the slower, where it is not kept.
    #[must_use]
    pub fn new(
        status: StatusCode,
        fields: Fields,
        selected: Selected,
        when: (Times, Terms),
        length: Option<u64>,
        lag_max: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            status,
            fields,
            selected,
            times: when.0,
            terms: when.1,
            length,
            lag_max: lag_max.max(WINDOW_BYTES),
            flow: Mutex::default(),
        })
    }

    /// The body from its beginning. `None`: that has gone already.
    #[must_use]
    pub fn read(self: &Arc<Self>) -> Option<Body> {
        let mut flow = self.flow();
        if flow.first > 0 {
            return None;
        }
        let seat = Some(Seat {
            unread: flow.bytes,
            ..Seat::default()
        });
        let free = flow.seats.iter().position(Option::is_none);
        let number = free.unwrap_or(flow.seats.len());
        match flow.seats.get_mut(number) {
            Some(place) => *place = seat,
            None => flow.seats.push(seat),
        }
        let reader = Reading {
            arriving: Arc::clone(self),
            seat: number,
            left: self.length,
        };
        Some(Body::Wrapped(Box::pin(reader)))
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next piece may be taken. The first who is still here sets the pace, and is never held back by others. False: nobody
    /// wants it.
    fn wants_more(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut flow = self.flow();
        if !flow.passing {
            return Poll::Ready(true);
        }
        flow.trim(self.lag_max);
        let Some(first) = flow.seats.iter().flatten().next() else {
            return Poll::Ready(false);
        };
        if first.unread < WINDOW_BYTES {
            return Poll::Ready(true);
        }
        flow.source = Some(cx.waker().clone());
        Poll::Pending
    }

    /// From here on it is not kept.
    fn pass(&self) {
        self.flow().passing = true;
    }

    fn push(&self, piece: Bytes) {
        let mut flow = self.flow();
        let more = piece.len() as u64;
        flow.bytes += more;
        flow.seats
            .iter_mut()
            .flatten()
            .for_each(|seat| seat.unread += more);
        flow.pieces.push_back(piece);
        flow.trim(self.lag_max);
        let wakers = flow.wakers();
        drop(flow);
        wake(wakers);
    }

    fn end(&self, whole: bool) {
        let mut flow = self.flow();
        flow.end = Some(whole);
        let wakers = flow.wakers();
        drop(flow);
        wake(wakers);
    }
}

/// What an answer's body is kept by.
#[derive(Debug)]
pub struct Keeping {
    /// Where.
    pub store: Arc<Store>,
    /// Under which key.
    pub key: super::key::Keyed,
    /// What of the answer is kept beside head and body.
    pub labels: crate::cache::store::Labels,
    /// When it was asked for.
    pub stamp: crate::cache::store::Stamp,
}

/// Takes an answer in to its end, whoever reads it or goes away, and keeps it.
pub async fn take_in(
    arriving: Arc<Arriving>,
    mut body: Body,
    mut collecting: Option<Collecting>,
    keeping: Keeping,
    mut lead: Option<Lead>,
    _under_way: UnderWay,
) {
    let _source = Source(Arc::clone(&arriving));
    // who has the last piece may ask again at once, on another core: by then the answer is kept
    let mut last = None;
    let mut left = arriving.length;
    loop {
        if !poll_fn(|cx| arriving.wants_more(cx)).await {
            return;
        }
        match body.frame().await {
            None => break,
            Some(Err(_)) => {
                last.into_iter().for_each(|piece| arriving.push(piece));
                return arriving.end(false); // what came is not whole (RFC 9111 section 3.3)
            }
            Some(Ok(frame)) => {
                let Ok(piece) = frame.into_data() else { continue };
                let fits = collecting.as_mut().is_none_or(|all| all.push(&piece).is_ok());
                if !fits {
                    collecting = None;
                    lead = None; // nobody else joins
                    arriving.pass();
                }
                left = left.map(|left| left.saturating_sub(piece.len() as u64));
                if left != Some(0) {
                    arriving.push(piece);
                } else if let Some(before) = last.replace(piece) {
                    arriving.push(before);
                }
            }
        }
    }
    if let Some(collecting) = collecting {
        let new = New {
            status: arriving.status,
            fields: arriving.fields.clone(),
            body: collecting.finish(),
            selected: arriving.selected.clone(),
            times: arriving.times,
            terms: arriving.terms,
            labels: keeping.labels,
            stamp: keeping.stamp,
        };
        let kept = keeping.store.keep(&keeping.key.as_key(), new);
        if let Err(why) = kept {
            tracing::debug!(%why, target = keeping.key.as_key().target, "an answer is not kept");
        }
    }
    drop(lead); // who comes now finds it in the store
    last.into_iter().for_each(|piece| arriving.push(piece));
    arriving.end(true);
}

/// Who takes it in. Where that ends too early, with its core, nobody waits for more.
struct Source(Arc<Arriving>);

impl Drop for Source {
    fn drop(&mut self) {
        let is_over = self.0.flow().end.is_some();
        if !is_over {
            self.0.end(false);
        }
    }
}

/// A reader of it.
struct Reading {
    arriving: Arc<Arriving>,
    seat: usize,
    left: Option<u64>,
}

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut flow = this.arriving.flow();
        let piece = match flow.next(this.seat) {
            Ok(piece) => piece,
            Err(true) => return Poll::Ready(Some(Err(BodyError::Incomplete))), // seen by its client, who may ask again
            Err(false) => {
                return match flow.end {
                    Some(true) => {
                        this.left = Some(0);
                        Poll::Ready(None)
                    }
                    Some(false) => Poll::Ready(Some(Err(BodyError::Incomplete))),
                    None => {
                        if let Some(Some(seat)) = flow.seats.get_mut(this.seat) {
                            seat.waker = Some(cx.waker().clone());
                        }
                        Poll::Pending
                    }
                };
            }
        };
        let source = flow.source.take();
        drop(flow);
        source.into_iter().for_each(Waker::wake);
        this.left = this.left.map(|left| left.saturating_sub(piece.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut flow = self.arriving.flow();
        let seat = flow.seats.get_mut(self.seat).and_then(Option::take);
        let source = flow.source.take();
        drop(flow);
        drop(seat);
        source.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
#[path = "arriving_tests.rs"]
mod tests;
