//! Runs one HTTP/1.1 connection to a backend's server: no task, no channel, polled inside the exchange that uses it.
//!
//! A connection is owned by the exchange that it serves. When the answer has been read to its end and nothing forbids using
//! it again, it goes [`Home`]; in every other case dropping it closes it, which also cancels the server's work.

mod download;
mod exchange;
mod head;
mod upload;

use std::{
    fmt, io,
    rc::Rc,
    task::{Context, Poll, Waker},
};

pub use self::download::ResponseBody;
use self::{exchange::Exchange, upload::Upload};
use super::{
    head::Bounds,
    intake::{Intake, is_end},
    outbox::Outbox,
    timer::Timer,
};
use crate::{
    body::{Body, BodyError},
    message::{Head, Response},
    stream::Stream,
    wire::{ExchangeTimeouts, Interim, SendCause, SendError, Sent},
};

/// Interim answers that a server may send ahead of its final one.
pub const INTERIM_MAX: usize = 16;

/// Where a connection goes that can be used again.
pub trait Home {
    /// Takes it back. Called when the last byte of the answer has been read, at most once for each exchange.
    fn keep(&self, connection: Connection);
}

/// A connection to a server with no exchange on it.
#[derive(Debug)]
pub struct Connection(Box<Wire>);

/// What a connection holds, idle or busy.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    intake: Intake,
    outbox: Outbox,
    timer: Timer,
    bounds: Bounds,
    exchanges: u64,
}

impl Connection {
    /// A connection over `stream`, which is open and has carried nothing yet.
    ///
    /// `response_head_bytes_max` bounds an answer's head, `headers_max` its field lines.
    #[must_use]
    pub fn new(stream: Stream, response_head_bytes_max: usize, headers_max: usize) -> Self {
        Self(Box::new(Wire {
            stream,
            intake: Intake::default(),
            outbox: Outbox::default(),
            timer: Timer::default(),
            bounds: Bounds {
                head_bytes_max: response_head_bytes_max,
                uri_bytes_max: response_head_bytes_max,
                headers_max,
            },
            exchanges: 0,
        }))
    }

    /// Exchanges that it has carried.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.0.exchanges
    }

    /// Whether it can carry an exchange, as far as can be told without waiting: nothing unread, no end, no error.
    ///
    /// A server may close at any moment, so an exchange on a used connection can still fail with
    /// [`SendCause::Closed`]. Cheap: no system call unless the kernel has reported something.
    pub fn is_idle_and_clean(&mut self) -> bool {
        self.poll_closed(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    /// Ready once an idle connection is no good any more: the server closed it, or sent what nobody asked for.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.0.intake.buffer.is_empty() {
            return Poll::Ready(());
        }
        self.0.intake.poll_fill(&mut self.0.stream, cx).map(|_| ())
    }

    /// Sends a request and waits for the head of its final answer.
    ///
    /// `head` has an origin-form target, `host`, and no field that belongs to a connection, except `te`. A body without
    /// `content-length` is sent in chunks. The request's body is read and sent while the answer is awaited, and further
    /// while the answer's body is read. With `expect: 100-continue` the body is not touched until the server says so,
    /// answers, or says nothing for a second. Its [`Upgrade`](crate::wire::Upgrade) is asked for; when the
    /// server agrees the answer is a 101 with [`Body::Tunnel`].
    ///
    /// Dropping the future, or the answer's body before its end, closes the connection.
    ///
    /// # Errors
    /// [`SendError`]: what happened, whether the server may have acted, and the body if it is still whole.
    pub async fn send(
        self,
        head: &Head,
        body: Body,
        interim: &mut dyn Interim,
        timeouts: ExchangeTimeouts,
        home: Rc<dyn Home>,
    ) -> Result<Response, SendError> {
        let mut wire = self.0;
        wire.exchanges += 1;
        wire.timer.restart();
        let written_before = wire.outbox.written();
        let asked = head::write(wire.outbox.text(), head, &body);
        let upload = match Upload::new(body, &asked) {
            Ok(upload) => upload,
            Err(body) => {
                return Err(SendError {
                    cause: SendCause::RequestBody(BodyError::Incomplete),
                    sent: Sent::Nothing,
                    body: Some(body),
                });
            }
        };
        let mut exchange = Exchange::new(wire, upload, asked, timeouts);
        let answered = std::future::poll_fn(|cx| exchange.poll(interim, cx)).await;
        match answered {
            Ok(answer) => exchange.finish(answer, home),
            Err(cause) => Err(exchange.fail(cause, written_before)),
        }
    }
}

impl Wire {
    /// Reads once; 0 is the end. Over TLS an end without `close_notify` is an error, since anybody can forge it.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.intake.poll_fill(&mut self.stream, cx)
    }

    /// Gives an idle connection's buffers back, all but a small one.
    fn rest(mut self: Box<Self>) -> Connection {
        self.intake.release();
        self.timer.restart();
        Connection(self)
    }
}

/// An error on reading, as the end of an exchange.
fn closed(error: io::Error) -> SendCause {
    SendCause::Closed((!is_end(&error)).then_some(error))
}

impl fmt::Debug for dyn Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Home")
    }
}

#[cfg(test)]
mod behaviour_tests;
#[cfg(test)]
mod responses_tests;
#[cfg(test)]
mod world;
