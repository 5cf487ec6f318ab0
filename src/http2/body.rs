//! What an HTTP/2 peer sends after its head, under flow control.

use std::{
    any::Any,
    fmt,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{
    HeaderMap,
    header::{CONTENT_LENGTH, HOST},
};
use http_body::{Frame, SizeHint};

use super::{
    head::{fields, head_bytes},
    send::{BodySender, SendFailure},
};
use crate::{body::BodyError, tunnel::idle::IdleTimer};

/// Bytes of trailers. `h2` cuts off what is beyond its own, larger limit, so ours must come first.
const TRAILERS_BYTES_MAX: usize = 16 * 1024;

/// A body being received. A piece's window is given back when the next one is asked for: a slow reader slows the sender.
pub struct ReceivedBody {
    recv: RecvStream,
    /// Bytes that `content-length` still promises. `h2` resets the stream when the promise is broken.
    remaining: Option<u64>,
    /// Bytes handed out whose window was not given back yet.
    unreleased: usize,
    patience: Duration,
    silence: Option<IdleTimer>,
    /// The request's body, where this is the answer's: it goes on being sent while the answer is read.
    upload: Option<Box<BodySender>>,
    /// Dropped with the body.
    guard: Option<Box<dyn Any>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Data,
    Trailers,
    Done,
}

impl ReceivedBody {
    /// A body with the length of its `content-length`, whose pieces must not be further apart than `patience`.
    pub(super) fn new(recv: RecvStream, length: Option<u64>, patience: Duration) -> Self {
        Self {
            recv,
            remaining: length,
            unreleased: 0,
            patience,
            silence: None,
            upload: None,
            guard: None,
            stage: Stage::Data,
        }
    }

    pub(super) fn carry(&mut self, upload: Option<Box<BodySender>>, guard: Box<dyn Any>) {
        self.upload = upload;
        self.guard = Some(guard);
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.release();
        if let Err(error) = self.poll_upload(cx) {
            self.finish();
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match self.poll_received(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if self.stage != Stage::Done => {
                let silence = self.silence.get_or_insert_with(|| IdleTimer::new(self.patience));
                ready!(silence.poll(cx));
                Some(Err(BodyError::TimedOut))
            }
            Poll::Pending => None,
        };
        if let Some(silence) = &mut self.silence {
            silence.touch();
        }
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            self.finish();
        }
        Poll::Ready(frame)
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while self.stage == Stage::Data {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    if let Some(remaining) = &mut self.remaining {
                        *remaining = remaining.saturating_sub(data.len() as u64);
                    }
                    self.unreleased = data.len();
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(body_error(error)))),
                None => self.stage = Stage::Trailers,
            }
        }
        if self.stage == Stage::Done {
            return Poll::Ready(None);
        }
        let trailers = ready!(self.recv.poll_trailers(cx)).map_err(body_error);
        Poll::Ready(match trailers {
            Ok(Some(trailers)) => Some(check_trailers(&trailers).map(|()| Frame::trailers(trailers))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        match upload.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Err(SendFailure::Body(error))) => Err(error),
            Poll::Ready(Err(SendFailure::Stalled)) => Err(BodyError::TimedOut),
            // A server may answer without reading everything: what matters now is the rest of its answer.
            Poll::Ready(Ok(()) | Err(SendFailure::Reset)) => {
                self.upload = None;
                Ok(())
            }
        }
    }

    fn release(&mut self) {
        let bytes = std::mem::take(&mut self.unreleased);
        if bytes > 0 {
            // Fails only for more than was received.
            let _ = self.recv.flow_control().release_capacity(bytes);
        }
    }

    fn finish(&mut self) {
        self.stage = Stage::Done;
        self.upload = None;
        self.guard = None;
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stage == Stage::Done || self.recv.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for ReceivedBody {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for ReceivedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedBody")
            .field("remaining", &self.remaining)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// What must not stand behind a body (RFC 9110 section 6.5.1): it would change how the message is framed or routed.
pub(super) fn check_trailers(trailers: &HeaderMap) -> Result<(), BodyError> {
    if trailers.contains_key(CONTENT_LENGTH) || trailers.contains_key(HOST) {
        return Err(BodyError::Malformed("a field that has no place in trailers"));
    }
    if head_bytes(trailers) > TRAILERS_BYTES_MAX {
        return Err(BodyError::Malformed("trailers too large"));
    }
    fields(trailers).map_err(|_| BodyError::Malformed("space around a trailer's value"))
}

fn body_error(error: h2::Error) -> BodyError {
    if error.is_remote() || error.is_io() {
        BodyError::Incomplete
    } else if error.is_reset() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        BodyError::Malformed("more or less DATA than content-length, or bad trailers")
    } else {
        BodyError::Http2(error)
    }
}
