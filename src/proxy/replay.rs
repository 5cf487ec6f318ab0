//! Keeps the beginning of a request's body while it goes out, so that it can be sent to a second backend.

use std::{
    cell::{Cell, RefCell},
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::{
    body::{Body, BodyError},
    clock,
    shield::pot::Growing,
};

/// Bytes of all requests' bodies that one core keeps at one time. Beyond it a request that has a body has no second backend.
pub(super) const KEPT_BYTES_ALL_MAX: usize = 16 * 1024 * 1024;

/// Bytes that a core keeps now.
pub(super) type Kept = Rc<Cell<usize>>;

/// A body that was handed out once and may be wanted again.
pub(super) struct Replay(Option<Rc<RefCell<Source>>>);

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}

/// The body, and what went out of it.
struct Source {
    rest: Body,
    bytes: BytesMut,
    trailers: Option<HeaderMap>,
    max: usize,
    /// It can't be sent again: too much went out, it broke, or nobody will want it.
    lost: bool,
    all: Kept,
    /// The same, as it counts at its backend and squad.
    shares: Growing,
}

impl Source {
    fn lose(&mut self) {
        self.lost = true;
        self.all.set(self.all.get().saturating_sub(self.bytes.len()));
        self.bytes = BytesMut::new();
        self.trailers = None;
        self.shares.end();
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.lost {
            return;
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        let Some(data) = frame.data_ref() else { return };
        let all = self.all.get() + data.len();
        let fits = self.bytes.len() + data.len() <= self.max && all <= KEPT_BYTES_ALL_MAX;
        if !fits || !self.shares.grow(data.len() as u64, clock::steady()) {
            return self.lose();
        }
        self.all.set(all);
        self.bytes.extend_from_slice(data); // a copy: what came may be a small part of a large buffer
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.lose();
    }
}

impl Replay {
    /// The body to send first, and what sends it again as long as at most `max` bytes of it have gone out and its `shares` can grow.
    pub(super) fn of(body: Body, max: usize, all: &Kept, shares: impl FnOnce() -> Growing) -> (Self, Body) {
        if http_body::Body::is_end_stream(&body) {
            return (Self(None), Body::Empty);
        }
        let source = Rc::new(RefCell::new(Source {
            rest: body,
            bytes: BytesMut::new(),
            trailers: None,
            max,
            lost: false,
            all: Rc::clone(all),
            shares: shares(),
        }));
        let first = Body::Wrapped(Box::pin(Kepts(Rc::clone(&source))));
        (Self(Some(source)), first)
    }

    /// The whole body once more; `None`: it can't be had. The first one ends here.
    pub(super) fn again(self) -> Option<Body> {
        let Some(source) = self.0 else {
            return Some(Body::Empty);
        };
        let mut source = source.borrow_mut();
        if source.lost {
            return None;
        }
        let rest = std::mem::replace(&mut source.rest, Body::Empty);
        let bytes = source.bytes.split().freeze();
        source.all.set(source.all.get().saturating_sub(bytes.len()));
        source.shares.end();
        let trailers = source.trailers.take();
        source.lost = true;
        if bytes.is_empty() && trailers.is_none() {
            return Some(rest);
        }
        Some(Body::Wrapped(Box::pin(Again {
            bytes: Some(bytes).filter(|bytes| !bytes.is_empty()),
            trailers,
            rest,
        })))
    }

    /// Nobody will want it again: what goes out from here on is not kept.
    pub(super) fn forget(self) {
        if let Some(source) = self.0 {
            source.borrow_mut().lose();
        }
    }
}

/// The body on its first way out.
struct Kepts(Rc<RefCell<Source>>);

impl http_body::Body for Kepts {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let source = &mut *self.0.borrow_mut();
        let polled = Pin::new(&mut source.rest).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => source.keep(frame),
            Poll::Ready(Some(Err(_))) => source.lose(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.borrow().rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.borrow().rest.size_hint()
    }
}

/// What went out before, and the rest.
struct Again {
    bytes: Option<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Body,
}

impl http_body::Body for Again {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(bytes) = this.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match this.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(here));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(here));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use http_body::{Body as _, Frame};
    use proptest::prelude::*;

    use super::{Kept, Replay};
    use crate::{
        body::{Body, BodyError},
        shield::pot::{Growing, Pot},
    };

    struct Script(std::collections::VecDeque<Frame<Bytes>>);

    impl http_body::Body for Script {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            std::task::Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    async fn all(mut body: Body) -> (Vec<u8>, Option<HeaderMap>) {
        let (mut bytes, mut trailers) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.unwrap().into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        (bytes, trailers)
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    proptest! {
        /// Wherever the first way breaks off, the second has it all or says that it can't, and what was kept is given back.
        #[test]
        fn a_body_goes_out_again_whole_or_not_at_all(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10),
            read in 0usize..12,
            max in 0usize..300,
            squad_max in 0u64..400,
            trailing: bool,
        ) {
            let mut frames: std::collections::VecDeque<_> =
                pieces.iter().map(|piece| Frame::data(Bytes::from(piece.clone()))).collect();
            let mut sent = HeaderMap::new();
            sent.insert("x-checksum", "1".parse().unwrap());
            if trailing {
                frames.push_back(Frame::trailers(sent.clone()));
            }
            let kept = Kept::default();
            let pot = std::sync::Arc::<Pot>::default();
            let shares = || {
                let mut shares = Growing::default();
                shares.and(&pot, Some(squad_max));
                shares
            };
            let (replay, mut first) = Replay::of(Body::Wrapped(Box::pin(Script(frames))), max, &kept, shares);
            run(async {
                for _ in 0..read {
                    let _ = first.frame().await;
                }
            });
            let gone: usize = pieces.iter().take(read).map(Vec::len).sum();
            prop_assert!(kept.get() <= max);
            prop_assert_eq!(pot.used(), kept.get() as u64);
            let max = max.min(squad_max as usize);
            match replay.again() {
                Some(again) => {
                    prop_assert!(gone <= max);
                    let (bytes, trailers) = run(all(again));
                    prop_assert_eq!(bytes, pieces.concat());
                    prop_assert_eq!(trailers, trailing.then_some(sent));
                    prop_assert!(first.is_end_stream(), "the first one ends there");
                }
                None => prop_assert!(gone > max),
            }
            drop(first);
            prop_assert_eq!((kept.get(), pot.used()), (0, 0));
        }
    }
}
