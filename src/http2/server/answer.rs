//! One stream: its request to the service, the service's answer back.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use h2::Reason;
use http::{Method, StatusCode};
use http_body::Body as _;

use super::{
    body::{Pipe, RequestBody},
    conn::{Asked, Begun, Shared},
    send::{Length, Sent, TURN_BYTES},
    stream::Handle,
};
use crate::{
    body::{Body, BodyError},
    clock,
    fields::Fields,
    limits::Limits,
    message::{Request, Response},
    tunnel::{self, TunnelIo, idle::IdleTimer},
    wire::{Drain, Interim, Service},
};

/// What all streams of a connection work with.
pub(super) struct World<S> {
    pub(super) conn: Shared,
    pub(super) service: Rc<S>,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
}

/// Answers one request. Dropped when the client resets the stream, and with it the service's future.
pub(super) async fn exchange<S: Service>(world: Rc<World<S>>, begun: Begun) {
    let Begun { at, asked, bodiless } = begun;
    let passed = match asked {
        Asked::Request(passed) => passed,
        Asked::Refused(malformed, head_only) => {
            let answer = world.service.refuse(malformed);
            return respond(&world, at, answer, head_only, false).await;
        }
    };
    let head_only = passed.head.method == Method::HEAD;
    let upgrades = passed.head.upgrade.is_some();
    let body = if bodiless || upgrades {
        Body::Empty
    } else {
        let patience = world.limits.body_timeout;
        let conn = Rc::clone(&world.conn);
        Body::Http2Request(RequestBody::new(conn, at, passed.expects, patience))
    };
    let answer = {
        let mut interim = InterimSender(Rc::clone(&world.conn), at);
        let request = Request {
            head: passed.head,
            body,
        };
        world.service.call(request, &mut interim).await
    };
    respond(&world, at, answer, head_only, upgrades).await;
}

struct InterimSender(Shared, Handle);

impl Interim for InterimSender {
    fn send(&mut self, status: StatusCode, headers: &Fields) {
        self.0.borrow_mut().inform(self.1, status, headers);
    }
}

/// Sends `answer`, or joins the tunnel that it carries.
async fn respond<S>(world: &World<S>, at: Handle, answer: Response, head_only: bool, upgrades: bool) {
    let Response {
        status,
        headers,
        body,
    } = answer;
    poll_fn(|_| match world.conn.borrow_mut().poll_room(at) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
    let begin = |status: StatusCode, length: Length, end: bool| {
        with_date(|date| {
            let mut conn = world.conn.borrow_mut();
            conn.answer(at, status, &headers, length, date, end)
        })
    };
    match body {
        Body::Tunnel(back) if upgrades => {
            let pipe = Pipe::new(Rc::clone(&world.conn), at);
            if begin(StatusCode::OK, Length::Untold, false) {
                let front = TunnelIo::piped(pipe);
                tunnel::join(front, back, &world.limits, world.drain.clone()).await;
            }
        }
        Body::Tunnel(_) => {}                // nobody asked for it: the stream is reset
        _ if status.is_informational() => {} // so it is
        body => {
            let bodiless = head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            let length = match body.size_hint().exact() {
                _ if status == StatusCode::NO_CONTENT => Length::Untold,
                Some(length) if !bodiless => Length::Told(length),
                _ => Length::AsIs,
            };
            let end = bodiless || body.is_end_stream();
            if begin(status, length, end) && !end {
                drop(headers);
                let mut sender = Sender::new(Rc::clone(&world.conn), at, body, world.limits.write_timeout);
                poll_fn(|cx| sender.poll(cx)).await;
            }
        }
    }
}

/// A body on its way out. Holds one piece.
struct Sender {
    conn: Shared,
    at: Handle,
    body: Body,
    piece: Bytes,
    /// Time that the client may give no window.
    patience: Duration,
    stall: Option<IdleTimer>,
}

impl Sender {
    fn new(conn: Shared, at: Handle, body: Body, patience: Duration) -> Self {
        Self {
            conn,
            at,
            body,
            piece: Bytes::new(),
            patience,
            stall: None,
        }
    }

    /// Ready when the answer has ended, one way or the other.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut turn = TURN_BYTES;
        loop {
            if !self.piece.is_empty() {
                // not while the connection is borrowed: the body may be a request's
                let last = self.body.is_end_stream();
                let before = self.piece.len();
                let sent = self
                    .conn
                    .borrow_mut()
                    .send(self.at, &mut self.piece, last, &mut turn);
                if let Some(stall) = &mut self.stall
                    && self.piece.len() < before
                {
                    stall.touch();
                }
                match sent {
                    Sent::All if last => return Poll::Ready(()),
                    Sent::All => {}
                    Sent::Gone => return Poll::Ready(()),
                    Sent::Later => return Poll::Pending,
                    Sent::NoWindow => return self.poll_stall(cx),
                }
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    self.conn.borrow_mut().end(self.at);
                    return Poll::Ready(());
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "an answer broke off");
                    let reason = match error {
                        BodyError::Recalled => Reason::CANCEL, // nothing is wrong with it, it is only not wanted any more
                        _ => Reason::INTERNAL_ERROR,
                    };
                    self.conn.borrow_mut().reset(self.at, reason);
                    return Poll::Ready(());
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.piece = data,
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        self.conn.borrow_mut().end_with(self.at, &trailers);
                        return Poll::Ready(());
                    }
                },
            }
        }
    }

    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stall = self.stall.get_or_insert_with(|| IdleTimer::new(self.patience));
        let stalled = stall.poll(cx);
        if stalled.is_ready() {
            self.conn.borrow_mut().reset(self.at, Reason::CANCEL);
        }
        stalled
    }
}

/// Hands out the date as HTTP writes it (RFC 9110 section 6.6.1), made once a second on each core.
fn with_date<T>(take: impl FnOnce(&[u8]) -> T) -> T {
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = clock::wall().secs();
    LAST.with_borrow_mut(|(made, text)| {
        if *made != now || text.is_empty() {
            *text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
            *made = now;
        }
        take(text.as_bytes())
    })
}
