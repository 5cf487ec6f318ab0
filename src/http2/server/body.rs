//! The body of a request, and the pipe that a stream becomes.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::Reason;
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    conn::{Conn, Shared},
    send::{Sent, TURN_BYTES},
    stream::{Handle, Sending},
};
use crate::{
    body::BodyError,
    fields::Fields,
    stream::{append, copied},
    tunnel::idle::IdleTimer,
};

impl Conn {
    /// Takes what came of a body. `Ok(None)`: its end.
    fn poll_received(
        &mut self,
        at: Handle,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<BytesMut>, BodyError>> {
        let Some(stream) = self.streams.get_mut(at) else {
            return Poll::Ready(Err(BodyError::Incomplete));
        };
        if !stream.received.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut stream.received))));
        }
        if stream.received_all {
            return Poll::Ready(Ok(None));
        }
        let known = stream.reader.as_ref();
        if !known.is_some_and(|reader| reader.will_wake(cx.waker())) {
            stream.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn take_trailers(&mut self, at: Handle) -> Option<Result<HeaderMap, BodyError>> {
        self.streams.get_mut(at)?.trailers.take()
    }

    /// Nobody reads the body any more.
    fn abandon(&mut self, at: Handle) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        stream.unread = true;
        stream.reader = None;
        let rest = std::mem::take(&mut stream.received);
        self.give_back(rest.len());
    }
}

/// What an HTTP/2 client sends after its request's head.
///
/// A piece's window is given back when the next one is asked for: a slow reader slows the sender. The first poll sends
/// `100 Continue` if the client waits for it. Dropped, what still comes is thrown away.
pub struct RequestBody {
    conn: Shared,
    at: Handle,
    /// Bytes handed out whose window was not given back yet.
    unreleased: usize,
    continue_owed: bool,
    patience: Duration,
    silence: Option<IdleTimer>,
    done: bool,
}

impl RequestBody {
    /// The body of a stream, whose pieces must not be further apart than `patience`.
    pub(super) fn new(conn: Shared, at: Handle, continue_owed: bool, patience: Duration) -> Self {
        Self {
            conn,
            at,
            unreleased: 0,
            continue_owed,
            patience,
            silence: None,
            done: false,
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let received = match self.poll_received(cx) {
            Poll::Ready(received) => received,
            Poll::Pending => {
                let silence = self.silence.get_or_insert_with(|| IdleTimer::new(self.patience));
                ready!(silence.poll(cx));
                Err(BodyError::TimedOut)
            }
        };
        if let Some(silence) = &mut self.silence {
            silence.touch();
        }
        let frame = match received {
            Ok(Some(data)) => {
                self.unreleased = data.len();
                return Poll::Ready(Some(Ok(Frame::data(data.freeze()))));
            }
            Ok(None) => self.conn.borrow_mut().take_trailers(self.at),
            Err(error) => Some(Err(error)),
        };
        self.done = true;
        Poll::Ready(frame.map(|trailers| trailers.map(Frame::trailers)))
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<BytesMut>, BodyError>> {
        let mut conn = self.conn.borrow_mut();
        if std::mem::take(&mut self.continue_owed) {
            conn.inform(self.at, StatusCode::CONTINUE, &Fields::new());
        }
        conn.release(self.at, std::mem::take(&mut self.unreleased));
        conn.poll_received(self.at, cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let ended = |conn: &Conn| {
            let stream = conn.streams.get(self.at);
            stream.is_some_and(|stream| {
                stream.received_all && stream.received.is_empty() && stream.trailers.is_none()
            })
        };
        self.done || ended(&self.conn.borrow())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let conn = self.conn.borrow();
        let stream = conn.streams.get(self.at);
        let left = stream.and_then(|stream| Some(stream.promised? + stream.received.len() as u64));
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Ok(mut conn) = self.conn.try_borrow_mut() {
            conn.release(self.at, self.unreleased);
            conn.abandon(self.at);
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("stream", &self.at.id)
            .finish_non_exhaustive()
    }
}

/// The stream of an extended CONNECT as a pipe (RFC 8441): END_STREAM is the end of one direction, a reset the failure of both.
/// Dropped before both directions have ended, it resets the stream: with `NO_ERROR` if ours has ended (RFC 9113 section 8.1), with
/// `CANCEL` if it was cut.
pub(super) struct Pipe {
    conn: Shared,
    at: Handle,
}

impl Pipe {
    pub(super) fn new(conn: Shared, at: Handle) -> Self {
        Self { conn, at }
    }

    fn read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut conn = self.conn.borrow_mut();
        let received = ready!(conn.poll_received(self.at, cx));
        let Some(mut data) = received.map_err(|_| lost())? else {
            return match conn.take_trailers(self.at) {
                Some(Err(_)) => Poll::Ready(Err(lost())),
                Some(Ok(_)) | None => Poll::Ready(Ok(())),
            };
        };
        let count = data.len().min(buf.remaining());
        let rest = data.split_off(count);
        append(buf, &data);
        if let Some(stream) = conn.streams.get_mut(self.at)
            && !rest.is_empty()
        {
            stream.received = rest;
        }
        conn.release(self.at, count);
        Poll::Ready(Ok(()))
    }

    /// Takes what there is room for. Pending: the stream's future is polled when there is.
    fn write(&self, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut turn = TURN_BYTES;
        let mut piece = copied(buf).freeze();
        let sent = self.conn.borrow_mut().send(self.at, &mut piece, false, &mut turn);
        match (sent, buf.len() - piece.len()) {
            (Sent::Gone, _) => Poll::Ready(Err(lost())),
            (Sent::Later | Sent::NoWindow, 0) => Poll::Pending,
            (_, count) => Poll::Ready(Ok(count)),
        }
    }

    fn shutdown(&self) -> io::Result<()> {
        let mut conn = self.conn.borrow_mut();
        let there = conn.streams.get(self.at).is_some();
        conn.end(self.at);
        if there { Ok(()) } else { Err(lost()) }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // the connection's own task writes
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown())
    }
}

fn lost() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Ok(mut conn) = self.conn.try_borrow_mut() else {
            return;
        };
        let ended = conn
            .streams
            .get(self.at)
            .is_some_and(|stream| stream.sending == Sending::Ended);
        let reason = if ended { Reason::NO_ERROR } else { Reason::CANCEL };
        conn.reset(self.at, reason);
        conn.abandon(self.at);
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("stream", &self.at.id)
            .finish_non_exhaustive()
    }
}
