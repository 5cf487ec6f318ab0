//! What one client's connection holds, and everything that is polled on it.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};

use super::{
    super::{
        chunked::{Chunked, Piece},
        decode::Decoder,
        head::{BodyKind, Bounds, RequestHead, RequestParser},
        intake::{Intake, is_end},
        outbox::{Outbox, Wrap},
        timer::Timer,
    },
    FAILURE_GRACE, HALF_CLOSE_SILENCE,
};
use crate::{body::BodyError, limits::Limits, stream::Stream, wire::Malformed};

const TIMED_OUT_HEAD: Malformed = Malformed {
    status: StatusCode::REQUEST_TIMEOUT,
    what: "head-timeout",
};
const TIMED_OUT_BODY: Malformed = Malformed {
    status: StatusCode::REQUEST_TIMEOUT,
    what: "body-timeout",
};

type FramePoll = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// What comes next on an idle connection.
pub(super) enum Next {
    Request(RequestHead),
    Refused(Malformed),
    Closed,
}

/// What the watch over a client has seen while a service works.
pub(super) enum Watch {
    /// Nobody is there any more.
    Gone,
    /// The request's body failed, and the service did nothing about it.
    Failed(Malformed),
}

/// Where the current request's body stands.
#[derive(Debug)]
enum Receiving {
    Done,
    Underway(Decoder),
    Failed(Malformed),
}

/// One client's connection, shared between the loop that serves it and the request body that reads from it.
#[derive(Debug)]
pub(super) struct Conn {
    stream: Stream,
    intake: Intake,
    outbox: Outbox,
    parser: RequestParser,
    bounds: Bounds,
    body_timeout: Duration,
    write_timeout: Duration,
    read_timer: Timer,
    write_timer: Timer,
    receiving: Receiving,
    serial: u64,
    /// A poll of the body has registered for reading; nobody else may, or its wake-up would be lost.
    body_waits: bool,
    continue_owed: bool,
    head_begun: bool,
    answering: bool,
    ended: bool,
}

impl Conn {
    pub(super) fn new(stream: Stream, limits: &Limits) -> Self {
        Self {
            stream,
            intake: Intake::default(),
            outbox: Outbox::default(),
            parser: RequestParser::default(),
            bounds: Bounds {
                head_bytes_max: limits.head_bytes_max,
                uri_bytes_max: limits.uri_bytes_max,
                headers_max: limits.headers_max,
            },
            body_timeout: limits.body_timeout,
            write_timeout: limits.write_timeout,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            receiving: Receiving::Done,
            serial: 0,
            body_waits: false,
            continue_owed: false,
            head_begun: false,
            answering: false,
            ended: false,
        }
    }

    /// Waits for the next request head: silently for its first byte, sternly for the rest.
    pub(super) fn poll_next(
        &mut self,
        limits: &Limits,
        draining: Pin<&mut impl Future<Output = ()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        self.answering = false;
        loop {
            if !self.intake.buffer.is_empty() {
                if !self.head_begun {
                    self.head_begun = true;
                    self.read_timer.restart();
                }
                match self.parser.parse(&mut self.intake.buffer, &self.bounds) {
                    Ok(Some(head)) => {
                        self.head_begun = false;
                        self.read_timer.restart();
                        return Poll::Ready(Next::Request(head));
                    }
                    Ok(None) => {}
                    Err(malformed) => return Poll::Ready(Next::Refused(malformed)),
                }
            }
            if self.ended {
                return Poll::Ready(Next::Closed);
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Closed),
                Poll::Pending => break,
            }
        }
        if self.head_begun {
            let out_of_time = self.read_timer.poll_after(limits.head_timeout, cx);
            return out_of_time.map(|()| Next::Refused(TIMED_OUT_HEAD));
        }
        self.intake.release();
        if draining.poll(cx).is_ready() {
            return Poll::Ready(Next::Closed);
        }
        let idle = self.read_timer.poll_after(limits.idle_timeout, cx);
        idle.map(|()| Next::Closed)
    }

    /// Gets ready for the body of the request whose head was just taken. Returns what its reader must show.
    pub(super) fn expect_body(&mut self, kind: BodyKind, continue_owed: bool) -> u64 {
        self.receiving = match kind {
            BodyKind::Empty => Receiving::Done,
            BodyKind::Length(length) => Receiving::Underway(Decoder::Length(length)),
            BodyKind::Chunked => Receiving::Underway(Decoder::Chunked(Chunked::default())),
        };
        self.continue_owed = continue_owed;
        self.serial += 1;
        self.serial
    }

    /// The next frame of the body, read from the client if it is not here yet.
    pub(super) fn poll_body(&mut self, serial: u64, cx: &mut Context<'_>) -> FramePoll {
        if serial != self.serial {
            return Poll::Ready(Some(Err(BodyError::Cancelled)));
        }
        loop {
            let Receiving::Underway(decoder) = &mut self.receiving else {
                return Poll::Ready(None);
            };
            match decoder.decode(&mut self.intake.buffer) {
                Ok(Piece::Data(data)) => {
                    if decoder.is_done() {
                        self.finish_body();
                    }
                    return self.body_frame(Frame::data(data));
                }
                Ok(Piece::Trailers(trailers)) => {
                    self.finish_body();
                    return self.body_frame(Frame::trailers(trailers));
                }
                Ok(Piece::End) => {
                    self.finish_body();
                    return Poll::Ready(None);
                }
                Ok(Piece::NeedMore) => {}
                Err(what) => return self.fail_body(BodyError::Malformed(what), Malformed::bad(what)),
            }
            if self.ended {
                return self.fail_body(BodyError::Incomplete, Malformed::bad("body-incomplete"));
            }
            if let Poll::Ready(Err(error)) = self.poll_ask_for_body(cx) {
                return self.fail_body(error.into(), Malformed::bad("body-incomplete"));
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(_)) => self.read_timer.restart(),
                Poll::Ready(Err(error)) => {
                    return self.fail_body(error.into(), Malformed::bad("body-incomplete"));
                }
                Poll::Pending => break,
            }
        }
        self.body_waits = true;
        match self.read_timer.poll_after(self.body_timeout, cx) {
            Poll::Ready(()) => self.fail_body(BodyError::TimedOut, TIMED_OUT_BODY),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether the body that `serial` reads has nothing more to give.
    pub(super) fn body_is_done(&self, serial: u64) -> bool {
        serial == self.serial && matches!(self.receiving, Receiving::Done)
    }

    pub(super) fn body_size_hint(&self, serial: u64) -> SizeHint {
        match &self.receiving {
            Receiving::Underway(decoder) if serial == self.serial => decoder.size_hint(),
            Receiving::Done if serial == self.serial => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }

    /// The reader of the body is gone: nobody waits for its wake-up any more.
    pub(super) fn abandon_body(&mut self, serial: u64) {
        if serial == self.serial && self.body_waits {
            self.body_waits = false;
            self.read_timer.restart();
        }
    }

    /// Looks after the client while nothing of the answer is to be written: pushes interim answers out, notices its end.
    ///
    /// `silence` is how long a client that has ended its side still gets.
    pub(super) fn poll_watch(&mut self, silence: Duration, cx: &mut Context<'_>) -> Poll<Watch> {
        if let Poll::Ready(Err(_)) = self.poll_flush(cx) {
            return Poll::Ready(Watch::Gone);
        }
        if let Receiving::Failed(malformed) = self.receiving
            && !self.answering
        {
            let out_of_time = self.read_timer.poll_after(FAILURE_GRACE, cx);
            return out_of_time.map(|()| Watch::Failed(malformed));
        }
        if self.body_waits {
            return Poll::Pending;
        }
        while !self.ended && self.intake.buffer.len() < self.bounds.head_bytes_max {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Watch::Gone),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.ended {
            return self.read_timer.poll_after(silence, cx).map(|()| Watch::Gone);
        }
        Poll::Pending
    }

    /// As [`Conn::poll_watch`], while an answer is under way and its body has nothing to give.
    pub(super) fn poll_watch_answer(&mut self, cx: &mut Context<'_>) -> Poll<Watch> {
        self.poll_watch(HALF_CLOSE_SILENCE, cx)
    }

    /// Where the head of an answer is written. From here on `100 Continue` can't be sent any more.
    pub(super) fn begin_answer(&mut self) -> &mut Vec<u8> {
        self.answering = true;
        if self.ended {
            self.read_timer.restart();
        }
        self.outbox.text()
    }

    /// Where an interim answer is written, unless too much waits already.
    pub(super) fn interim_text(&mut self, bytes_max: usize) -> Option<&mut Vec<u8>> {
        let text = self.outbox.text();
        (!self.answering && text.len() < bytes_max).then_some(text)
    }

    /// Whether `100 Continue` is owed; it isn't any more afterwards.
    pub(super) fn take_continue(&mut self) -> bool {
        std::mem::take(&mut self.continue_owed)
    }

    pub(super) fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    pub(super) fn push(&mut self, data: Bytes, wrap: Wrap) {
        if self.ended {
            self.read_timer.restart(); // the answer is not silent
        }
        self.outbox.push(data, wrap);
    }

    pub(super) fn push_last_chunk(&mut self, trailers: Option<&HeaderMap>) {
        self.outbox.push_last_chunk(trailers);
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// As the stream, and [`io::ErrorKind::TimedOut`] for a client that does not read.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let before = self.outbox.written();
        let sent = self.outbox.poll_send(&mut self.stream, cx);
        if sent.is_ready() || self.outbox.written() != before {
            self.write_timer.restart();
        }
        if sent.is_pending() && self.write_timer.poll_after(self.write_timeout, cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        sent
    }

    /// Whether the client has nothing more to say that was not heard.
    pub(super) fn is_clean(&self) -> bool {
        self.intake.buffer.is_empty() && matches!(self.receiving, Receiving::Done)
    }

    /// Whether the next request could not be found on this connection, as far as is known before the answer.
    pub(super) fn must_close(&self) -> bool {
        let unasked = self.continue_owed; // the client may send the body or not: nobody can tell
        let much_unread = match &self.receiving {
            Receiving::Done => false,
            Receiving::Failed(_) => true,
            Receiving::Underway(Decoder::Length(left)) => {
                // what nobody has begun to read, and is too much to throw away
                !self.body_waits
                    && *left > (super::linger::DISCARD_BYTES_MAX + self.intake.buffer.len()) as u64
            }
            Receiving::Underway(_) => false,
        };
        unasked || much_unread || (self.ended && self.intake.buffer.is_empty())
    }

    /// Throws away what is left of the body, up to `bytes_max` more from the socket.
    pub(super) fn poll_discard(
        &mut self,
        left: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BodyError>> {
        if matches!(self.receiving, Receiving::Failed(_)) {
            return Poll::Ready(Err(BodyError::Incomplete));
        }
        loop {
            match self.poll_body(self.serial, cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Ok(frame))) => {
                    let size = frame.data_ref().map_or(0, Bytes::len);
                    *left = left.checked_sub(size).ok_or(BodyError::Cancelled)?;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ends an exchange: what still reads its body gets [`BodyError::Cancelled`].
    pub(super) fn end_exchange(&mut self) {
        self.serial += 1;
        self.body_waits = false;
        self.continue_owed = false;
        self.read_timer.restart();
    }

    /// Throws away whatever comes, up to `left` bytes, for a connection that is being closed. Ready at the client's end.
    pub(super) fn poll_drop_input(&mut self, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ended {
            *left = left.saturating_sub(self.intake.buffer.len());
            self.intake.buffer.clear();
            if *left == 0 {
                return Poll::Pending; // a close with bytes unread is a reset: the client gets its time to read first
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.stream), cx)
    }

    pub(super) fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.intake.buffer)
    }

    /// Reads once. The end of the stream is noted, not returned.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let filled = match self.intake.poll_fill(&mut self.stream, cx) {
            Poll::Ready(Err(error)) if is_end(&error) => Poll::Ready(Ok(0)),
            filled => filled,
        };
        if let Poll::Ready(Ok(0)) = filled {
            self.ended = true;
            self.read_timer.restart();
        }
        filled
    }

    /// Tells a client that waits for it to go on, and pushes that out.
    fn poll_ask_for_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.answering {
            return Poll::Ready(Ok(()));
        }
        if self.take_continue() && self.intake.buffer.is_empty() {
            self.outbox
                .text()
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.poll_flush(cx)
    }

    fn finish_body(&mut self) {
        self.receiving = Receiving::Done;
        self.continue_owed = false;
    }

    fn body_frame(&mut self, frame: Frame<Bytes>) -> FramePoll {
        self.body_waits = false;
        self.continue_owed = false;
        self.read_timer.restart();
        Poll::Ready(Some(Ok(frame)))
    }

    fn fail_body(&mut self, error: BodyError, malformed: Malformed) -> FramePoll {
        self.body_waits = false;
        self.read_timer.restart();
        self.receiving = Receiving::Failed(malformed);
        Poll::Ready(Some(Err(error)))
    }
}
