//! An answer that is arriving: whoever waits for it reads along, and it is kept when it is whole.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
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

/// Bytes that wait for the slowest reader of an answer that turned out too large to be kept.
const WINDOW_BYTES: usize = 256 * 1024;

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
    flow: RefCell<Flow>,
}

/// The body on its way.
#[derive(Debug, Default)]
struct Flow {
    /// Number of the first piece that is here.
    first: u64,
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// It is over: whole or not.
    end: Option<bool>,
    /// It is not kept: pieces go when everybody has read them.
    passing: bool,
    /// Which piece each reader is at.
    readers: Vec<Option<u64>>,
    waiting: Vec<Waker>,
    source: Option<Waker>,
}

impl Flow {
    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }

    fn trim(&mut self) {
        let slowest = self.readers.iter().flatten().min().copied();
        while self.passing && slowest.is_some_and(|at| at > self.first) {
            self.first += 1;
            let gone = self.pieces.pop_front();
            self.bytes -= gone.map_or(0, |piece| piece.len());
        }
    }
}

impl Arriving {
    /// An answer of which nothing but the head is here.
    #[must_use]
    pub fn new(
        status: StatusCode,
        fields: Fields,
        selected: Selected,
        when: (Times, Terms),
        length: Option<u64>,
    ) -> Rc<Self> {
        Rc::new(Self {
            status,
            fields,
            selected,
            times: when.0,
            terms: when.1,
            length,
            flow: RefCell::default(),
        })
    }

    /// The body from its beginning. `None`: that has gone already.
    #[must_use]
    pub fn read(self: &Rc<Self>) -> Option<Body> {
        let mut flow = self.flow.borrow_mut();
        if flow.first > 0 {
            return None;
        }
        let seat = match flow.readers.iter().position(Option::is_none) {
            Some(seat) => seat,
            None => {
                flow.readers.push(None);
                flow.readers.len() - 1
            }
        };
        if let Some(place) = flow.readers.get_mut(seat) {
            *place = Some(0);
        }
        let reader = Reading {
            arriving: Rc::clone(self),
            seat,
            at: 0,
            left: self.length,
        };
        Some(Body::Wrapped(Box::pin(reader)))
    }

    /// Whether the next piece may be taken: not while a slow reader has too many before it. False: nobody wants it.
    fn wants_more(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut flow = self.flow.borrow_mut();
        if !flow.passing {
            return Poll::Ready(true);
        }
        flow.trim();
        if flow.readers.iter().all(Option::is_none) {
            return Poll::Ready(false);
        }
        if flow.bytes < WINDOW_BYTES {
            return Poll::Ready(true);
        }
        flow.source = Some(cx.waker().clone());
        Poll::Pending
    }

    fn push(&self, piece: Bytes) {
        let mut flow = self.flow.borrow_mut();
        flow.bytes += piece.len();
        flow.pieces.push_back(piece);
        flow.wake();
    }

    fn end(&self, whole: bool) {
        let mut flow = self.flow.borrow_mut();
        flow.end = Some(whole);
        flow.wake();
    }
}

/// What an answer's body is kept by.
#[derive(Debug)]
pub struct Keeping {
    /// Where.
    pub store: std::sync::Arc<Store>,
    /// Under which key.
    pub key: super::key::Keyed,
    /// What of the answer is kept beside head and body.
    pub labels: crate::cache::store::Labels,
    /// When it was asked for.
    pub stamp: crate::cache::store::Stamp,
}

/// Takes an answer in to its end, whoever reads it or goes away, and keeps it.
pub async fn take_in(
    arriving: Rc<Arriving>,
    mut body: Body,
    mut collecting: Option<Collecting>,
    keeping: Keeping,
    mut lead: Option<Lead>,
    _under_way: UnderWay,
) {
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
                    arriving.flow.borrow_mut().passing = true;
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

/// A reader of it.
struct Reading {
    arriving: Rc<Arriving>,
    seat: usize,
    /// The next piece.
    at: u64,
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
        let mut flow = this.arriving.flow.borrow_mut();
        let place = usize::try_from(this.at.saturating_sub(flow.first)).unwrap_or(usize::MAX);
        if let Some(piece) = flow.pieces.get(place).cloned() {
            this.at += 1;
            if let Some(seat) = flow.readers.get_mut(this.seat) {
                *seat = Some(this.at);
            }
            if let Some(source) = flow.source.take() {
                source.wake();
            }
            this.left = this.left.map(|left| left.saturating_sub(piece.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match flow.end {
            Some(true) => {
                this.left = Some(0);
                Poll::Ready(None)
            }
            Some(false) => Poll::Ready(Some(Err(BodyError::Incomplete))),
            None => {
                if !flow.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    flow.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
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
        let mut flow = self.arriving.flow.borrow_mut();
        if let Some(seat) = flow.readers.get_mut(self.seat) {
            *seat = None;
        }
        if let Some(source) = flow.source.take() {
            source.wake();
        }
    }
}
