//! What the HTTP versions have in common: the service that they call, how an interim answer travels, and when to stop.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::StatusCode;
use tokio::sync::watch;

use crate::{
    body::Body,
    fields::Fields,
    message::{Request, Response},
};

/// Sends interim (1xx) answers to the client while the final one is still on its way.
pub trait Interim {
    /// Sends `status` with `headers` at once. A client that can't take it (HTTP/1.0) gets nothing.
    fn send(&mut self, status: StatusCode, headers: &Fields);
}

/// Throws interim answers away: where nobody waits for them.
#[derive(Debug, Clone, Copy)]
pub struct NoInterim;

impl Interim for NoInterim {
    fn send(&mut self, _status: StatusCode, _headers: &Fields) {}
}

/// Why a message was refused before it became a request. The server answers with [`Malformed::status`] and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// What the client is told.
    pub status: StatusCode,
    /// What was wrong, in a few words, from a fixed set: for the log and a metric label.
    pub what: &'static str,
}

impl Malformed {
    /// A plain 400.
    #[must_use]
    pub const fn bad(what: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            what,
        }
    }
}

/// What answers requests. It lives on one core, so its futures need not be `Send`.
pub trait Service {
    /// Answers one request. Never fails: a failure is an answer too.
    ///
    /// Dropping the future means that the client has gone; all work behind it stops.
    fn call(&self, request: Request, interim: &mut dyn Interim) -> impl Future<Output = Response>;

    /// Makes the answer to a message that never became a request, and counts it.
    fn refuse(&self, malformed: Malformed) -> Response;
}

/// Makes a future in the memory where it will stay.
///
/// `Box::pin(future)` makes it on the stack and copies all of its room, kilobytes of a request's future, of which only the
/// arguments hold anything yet: a twentieth of a request's time outside the kernel.
pub(crate) fn pin_in_place<F>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

/// Time that a quiet connection gets for one more request once a drain has begun: many times a round trip.
pub const LAST_REQUEST_GRACE: Duration = Duration::from_millis(500);

/// How far a shutdown has come, as each connection of a core sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing ends.
    Serving,
    /// Finish what is under way, take nothing new, close.
    Draining,
    /// As [`Phase::Draining`], while another program takes what is new from the same sockets.
    HandedOver,
    /// The window is over: close now.
    Stopped,
}

/// A core's view of the shutdown. Cloned for each of its connections.
#[derive(Debug, Clone)]
pub struct Drain(watch::Receiver<Phase>);

impl Drain {
    /// A signal and its view. The sender is kept by the core.
    #[must_use]
    pub fn channel() -> (watch::Sender<Phase>, Self) {
        let (sender, receiver) = watch::channel(Phase::Serving);
        (sender, Self(receiver))
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until the phase is at least `phase`. A vanished sender counts as [`Phase::Stopped`].
    pub async fn reached(&mut self, phase: Phase) {
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }

    /// As [`Drain::reached`], for who polls it often.
    #[must_use]
    pub fn until(&self, phase: Phase) -> Quiet {
        let mut drain = self.clone();
        self.quiet(async move { drain.reached(phase).await })
    }

    /// As [`Drain::idle_is_over`], for who polls it often.
    #[must_use]
    pub fn until_idle_is_over(&self) -> Quiet {
        let mut drain = self.clone();
        self.quiet(async move { drain.idle_is_over().await })
    }

    fn quiet(&self, waiting: impl Future<Output = ()> + 'static) -> Quiet {
        Quiet {
            waiting: Box::pin(waiting),
            phases: self.0.clone(),
            asked: None,
        }
    }

    /// Waits until a connection on which nothing is under way may be closed: [`LAST_REQUEST_GRACE`] after a drain's begin, since
    /// its client may be sending a request at that very moment; or at once when everything stops.
    pub async fn idle_is_over(&mut self) {
        self.reached(Phase::Draining).await;
        let _ = tokio::time::timeout(LAST_REQUEST_GRACE, self.reached(Phase::Stopped)).await;
    }
}

/// Waits for a phase, and costs next to nothing to be polled again while none has changed: connections do so at every step.
pub struct Quiet {
    waiting: Pin<Box<dyn Future<Output = ()>>>,
    phases: watch::Receiver<Phase>,
    /// Who will be woken.
    asked: Option<Waker>,
}

impl Future for Quiet {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let told = this
            .asked
            .as_ref()
            .is_some_and(|asked| asked.will_wake(cx.waker()));
        if told && !this.phases.has_changed().unwrap_or(true) {
            return Poll::Pending;
        }
        this.asked = Some(cx.waker().clone());
        this.waiting.as_mut().poll(cx)
    }
}

impl fmt::Debug for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quiet")
    }
}

/// What a client asked its connection to become. Present: the transport can do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// HTTP/1.1 `Upgrade: <protocol>` with `Connection: upgrade` (RFC 9110 section 7.8), lower case.
    Http1(String),
    /// HTTP/2 extended CONNECT with `:protocol` (RFC 8441).
    Http2(String),
}

impl Upgrade {
    /// The protocol asked for, in lower case.
    #[must_use]
    pub fn protocol(&self) -> &str {
        match self {
            Self::Http1(protocol) | Self::Http2(protocol) => protocol,
        }
    }
}

/// How long a server may take, for one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeTimeouts {
    /// From the request's last byte to the first of the answer's head. Interim answers start it anew.
    pub first_byte: Duration,
    /// Between two pieces of the answer's body.
    pub between_bytes: Duration,
}

/// Why an exchange with a server failed before its answer's head was there.
#[derive(Debug)]
pub struct SendError {
    /// What happened.
    pub cause: SendCause,
    /// How much of the request may have reached the server.
    pub sent: Sent,
    /// The request's body, if not one byte of it was taken: then the exchange can be tried again elsewhere.
    pub body: Option<Body>,
}

/// How much of a request may have reached a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Certainly nothing that the server acted on (not written, or HTTP/2 `REFUSED_STREAM` or past a GOAWAY).
    Nothing,
    /// Something.
    Something,
}

/// What ended an exchange with a server early.
#[derive(Debug, thiserror::Error)]
pub enum SendCause {
    /// The server closed or reset the connection before its answer's head was whole.
    #[error("the server closed the connection before it answered")]
    Closed(#[source] Option<std::io::Error>),
    /// The answer's head did not come in time.
    #[error("the server did not answer in time")]
    FirstByteTimeout,
    /// The answer breaks HTTP: what, in a few words from a fixed set.
    #[error("the server's answer is malformed: {0}")]
    Malformed(&'static str),
    /// The answer's head is larger than the limit.
    #[error("the server's answer has too large a head")]
    HeadTooLarge,
    /// The server does not do what the request needs (a tunnel over HTTP/2 without RFC 8441).
    #[error("the server does not support {0}")]
    Unsupported(&'static str),
    /// The client's body failed while it was passed on.
    #[error("the request's body failed: {0}")]
    RequestBody(#[source] crate::body::BodyError),
    /// HTTP/2 failed.
    #[error(transparent)]
    Http2(h2::Error),
}
