//! Sends a request's body: what is ready, as fast as the server takes it, never more than a little ahead.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::{
    super::outbox::Wrap,
    Wire,
    head::{Asked, Framing},
};
use crate::body::{Body, BodyError};

/// A request's body on its way out.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    framing: Framing,
    phase: Phase,
    /// A body that was whole at the start, for another try elsewhere.
    whole: Option<Bytes>,
    taken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Only the head goes out; the body waits for `100 Continue`.
    Held,
    Sending,
    /// The body is at its end; what waits must still be written.
    Flushing,
    Done,
    /// The server takes no more. What it answers can still be read.
    Refused,
}

/// What an upload waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// For nothing: it is over.
    Over,
    /// For the server to take more.
    ForServer,
    /// For the client to send more.
    ForClient,
    /// For the server's `100 Continue`.
    ForContinue,
}

impl Upload {
    /// # Errors
    /// The body, if it can't be as long as the head says.
    pub(super) fn new(body: Body, asked: &Asked) -> Result<Self, Body> {
        let told = match asked.framing {
            Framing::Length(length) => length,
            Framing::None => 0,
            Framing::Chunked => body.size_hint().lower(),
        };
        if body.size_hint().exact().is_some_and(|length| length != told) {
            return Err(body);
        }
        let whole = match &body {
            Body::Full(bytes) => Some(bytes.clone()),
            _ => None,
        };
        let phase = match asked.framing {
            Framing::None => Phase::Flushing,
            _ if asked.waits_for_continue => Phase::Held,
            _ => Phase::Sending,
        };
        Ok(Self {
            body,
            framing: asked.framing,
            phase,
            whole,
            taken: false,
        })
    }

    /// Sends what it can, and tells what it waits for then.
    ///
    /// # Errors
    /// The body failed. A server that takes no more is no error: the upload is over then, and not [`Upload::is_complete`].
    pub(super) fn poll(
        &mut self,
        wire: &mut Wire,
        refused: &mut Option<io::Error>,
        cx: &mut Context<'_>,
    ) -> Result<Waits, BodyError> {
        loop {
            let mut hungry = false;
            while self.phase == Phase::Sending && wire.outbox.has_room() {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(frame)) => self.take(frame?, wire)?,
                    Poll::Ready(None) => self.end(None, wire)?,
                    Poll::Pending => {
                        hungry = true;
                        break;
                    }
                }
            }
            if matches!(self.phase, Phase::Done | Phase::Refused) {
                return Ok(Waits::Over);
            }
            match wire.outbox.poll_send(&mut wire.stream, cx) {
                Poll::Pending => return Ok(Waits::ForServer),
                Poll::Ready(Err(error)) => {
                    self.phase = Phase::Refused;
                    *refused = Some(error);
                }
                Poll::Ready(Ok(())) if self.phase == Phase::Flushing => {
                    self.phase = Phase::Done;
                    self.body = Body::Empty;
                }
                Poll::Ready(Ok(())) if self.phase == Phase::Held => return Ok(Waits::ForContinue),
                Poll::Ready(Ok(())) if hungry => return Ok(Waits::ForClient),
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    /// The server wants the body, or is asked no longer.
    pub(super) fn release(&mut self) {
        if self.phase == Phase::Held {
            self.phase = Phase::Sending;
        }
    }

    /// Whether the body is held back.
    pub(super) fn is_held(&self) -> bool {
        self.phase == Phase::Held
    }

    /// Whether the whole request has been written.
    pub(super) fn is_complete(&self) -> bool {
        self.phase == Phase::Done
    }

    /// The body, if not one byte of it was taken or all of it is still here.
    pub(super) fn into_body(self) -> Option<Body> {
        match self.whole {
            Some(bytes) => Some(Body::Full(bytes)),
            None if self.taken => None,
            None => Some(self.body),
        }
    }

    fn take(&mut self, frame: Frame<Bytes>, wire: &mut Wire) -> Result<(), BodyError> {
        self.taken = true;
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => return self.end(Some(&trailers), wire),
                Err(_) => return Ok(()),
            },
        };
        let wrap = match &mut self.framing {
            Framing::Chunked => Wrap::Chunk,
            Framing::None => Wrap::Plain,
            Framing::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(BodyError::Malformed("longer than its content-length"))?;
                Wrap::Plain
            }
        };
        wire.outbox.push(data, wrap);
        if self.framing == Framing::Length(0) {
            self.phase = Phase::Flushing;
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<&http::HeaderMap>, wire: &mut Wire) -> Result<(), BodyError> {
        match self.framing {
            Framing::Length(left) if left > 0 => return Err(BodyError::Incomplete),
            Framing::Chunked => wire.outbox.push_last_chunk(trailers),
            Framing::Length(_) | Framing::None => {}
        }
        self.phase = Phase::Flushing;
        Ok(())
    }
}
