//! Sends a body over one stream, no faster than the peer takes it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body as _;

use super::strip_connection_fields;
use crate::{
    body::{Body, BodyError},
    tunnel::idle::IdleTimer,
};

/// Why a body was not sent whole.
#[derive(Debug)]
pub(super) enum SendFailure {
    /// It failed where it came from.
    Body(BodyError),
    /// The peer reset the stream, or the connection ended.
    Reset,
    /// The peer gave no room for too long.
    Stalled,
}

/// A body on its way out. Holds one piece; `h2` holds at most [`super::SEND_BYTES_MAX`] more.
#[derive(Debug)]
pub(super) struct BodySender {
    send: SendStream<Bytes>,
    body: Body,
    piece: Bytes,
    /// Time without room for a single byte.
    patience: Duration,
    stall: Option<IdleTimer>,
    taken: bool,
}

impl BodySender {
    pub(super) fn new(send: SendStream<Bytes>, body: Body, patience: Duration) -> Self {
        Self {
            send,
            body,
            piece: Bytes::new(),
            patience,
            stall: None,
            taken: false,
        }
    }

    /// Ends the stream here.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.send.send_reset(reason);
    }

    /// Whether the body was asked for anything.
    pub(super) fn is_taken(&self) -> bool {
        self.taken
    }

    /// The body, if nobody has asked it for anything yet.
    pub(super) fn into_untaken(self) -> Option<Body> {
        (!self.taken).then_some(self.body)
    }

    /// Ready when the whole body has been handed to `h2`.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendFailure>> {
        if self.send.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(SendFailure::Reset));
        }
        loop {
            if !self.piece.is_empty() {
                match self.poll_piece(cx) {
                    Poll::Ready(Ok(false)) => continue,
                    Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.taken = true;
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    return Poll::Ready(
                        self.send
                            .send_data(Bytes::new(), true)
                            .map_err(|_| SendFailure::Reset),
                    );
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(SendFailure::Body(error))),
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            match frame.into_data() {
                Ok(data) => self.piece = data,
                Err(frame) => {
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    strip_connection_fields(&mut trailers);
                    return Poll::Ready(self.send.send_trailers(trailers).map_err(|_| SendFailure::Reset));
                }
            }
        }
    }

    /// Hands on as much of the piece as there is room for. True: it was the body's last.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, SendFailure>> {
        self.send.reserve_capacity(self.piece.len());
        let mut room = self.send.capacity();
        if room == 0 {
            room = match self.send.poll_capacity(cx) {
                Poll::Ready(Some(room)) => room.map_err(|_| SendFailure::Reset)?,
                Poll::Ready(None) => return Poll::Ready(Err(SendFailure::Reset)),
                Poll::Pending => {
                    let stall = self.stall.get_or_insert_with(|| IdleTimer::new(self.patience));
                    return stall.poll(cx).map(|()| Err(SendFailure::Stalled));
                }
            };
        }
        if let Some(stall) = &mut self.stall {
            stall.touch();
        }
        let part = self.piece.split_to(room.min(self.piece.len()));
        let last = self.piece.is_empty() && self.body.is_end_stream();
        self.send.send_data(part, last).map_err(|_| SendFailure::Reset)?;
        Poll::Ready(Ok(last))
    }
}
