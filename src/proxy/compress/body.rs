//! A body that is compressed on its way: as it comes, a bounded piece at a time, and nothing held back when the backend pauses.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};

use super::{
    encoder::{Encoder, EncoderError, Then},
    place::Place,
};
use crate::{
    body::{Body, BodyError},
    policy::compress::strip_digests,
};

/// Bytes compressed before the core's other work has its turn: about a millisecond of Brotli, the slowest.
const TURN_BYTES: usize = 32 * 1024;
/// Bytes that a piece counts as, however small it is: calling an encoder costs something too.
const PIECE_BYTES_LEAST: usize = 64;
/// With this much made, it is passed on.
const OUT_BYTES: usize = 16 * 1024;

/// A body that is compressed.
pub(super) struct Compressed {
    inner: Body,
    stage: Stage,
    /// What came and was not compressed yet.
    rest: Bytes,
    /// What was made and not passed on yet.
    out: Vec<u8>,
    /// The encoder holds bytes that did not come out yet.
    unflushed: bool,
    /// Bytes compressed since others last had their turn.
    spent: usize,
    turn: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

enum Stage {
    Open(Encoder, Place),
    /// The encoder is done and its memory free. What trails is still to be passed on.
    Ended(Option<HeaderMap>),
}

type FramePoll = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Compressed {
    /// `inner`, compressed by `encoder`.
    pub(super) fn body(inner: Body, encoder: Encoder, place: Place) -> Body {
        Body::Wrapped(Box::pin(Self {
            inner,
            stage: Stage::Open(encoder, place),
            rest: Bytes::new(),
            out: Vec::new(),
            unflushed: false,
            spent: 0,
            turn: None,
        }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> FramePoll {
        loop {
            if let Stage::Ended(trailers) = &mut self.stage {
                let frame = match mem::take(&mut self.out) {
                    out if out.is_empty() => trailers.take().map(Frame::trailers),
                    out => Some(Frame::data(out.into())),
                };
                return Poll::Ready(frame.map(Ok));
            }
            if self.out.len() >= OUT_BYTES || (self.turn.is_some() && !self.out.is_empty()) {
                return self.pass_on();
            }
            if let Some(turn) = &mut self.turn {
                ready!(turn.as_mut().poll(cx));
                self.turn = None;
                self.spent = 0;
            }
            let step = if !self.rest.is_empty() {
                self.compress_some()
            } else if self.inner.is_end_stream() {
                self.end(None)
            } else {
                match Pin::new(&mut self.inner).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.take(frame),
                    Poll::Ready(Some(Err(error))) => Err(error),
                    Poll::Ready(None) => self.end(None),
                    Poll::Pending => match self.flush() {
                        Ok(()) => return self.pass_on(),
                        Err(error) => Err(error),
                    },
                }
            };
            if let Err(error) = step {
                self.stage = Stage::Ended(None);
                self.out = Vec::new();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), BodyError> {
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Ok(())
            }
            Err(frame) => self.end(frame.into_trailers().ok()),
        }
    }

    /// Compresses a piece of what came, or gives others their turn first.
    fn compress_some(&mut self) -> Result<(), BodyError> {
        let left = TURN_BYTES.saturating_sub(self.spent);
        if left == 0 {
            // not by waking ourselves at once: whoever polls many of us would only poll again
            self.turn = Some(Box::pin(tokio::task::yield_now()));
            // so that no work and no memory heaps up: without it Brotli gathers half a MiB before it does most of its work
            return self.flush();
        }
        let piece = self.rest.split_to(left.min(self.rest.len()));
        self.spent += piece.len().max(PIECE_BYTES_LEAST);
        self.run(&piece, Then::GoOn)
    }

    /// Gets everything out of the encoder.
    fn flush(&mut self) -> Result<(), BodyError> {
        if self.unflushed {
            self.run(&[], Then::Flush)?;
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), BodyError> {
        self.run(&[], Then::Finish)?;
        let trailers = trailers.map(|mut trailers| {
            strip_digests(&mut trailers);
            trailers
        });
        self.stage = Stage::Ended(trailers);
        Ok(())
    }

    fn run(&mut self, input: &[u8], then: Then) -> Result<(), BodyError> {
        let Stage::Open(encoder, place) = &mut self.stage else {
            return Ok(());
        };
        let before = self.out.len();
        let ran = encoder.run(input, then, &mut self.out);
        ran.map_err(|EncoderError(which)| BodyError::Encoder(which))?;
        place.before += input.len() as u64;
        place.after += (self.out.len() - before) as u64;
        self.unflushed = then == Then::GoOn;
        Ok(())
    }

    /// What was made. Pending: nothing was, the backend pauses.
    fn pass_on(&mut self) -> FramePoll {
        if self.out.is_empty() {
            self.spent = 0; // others have their turn now
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.out).into()))))
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        self.get_mut().poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Ended(None)) && self.out.is_empty()
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
