//! What a session does to the answers that it gets: a newer cookie, and an end to streams and tunnels when it ends itself.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::{
    body::{Body, BodyError},
    clock,
    fields::{Fields, Known},
    gate::session::{Brought, Sessions},
    message::Response,
    tunnel::{Call, Recall},
};

/// How often something open looks whether its session was signed out.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Time that a WebSocket has to close after its session's end.
const FAREWELL: Duration = Duration::from_secs(5);

/// A request's hold on the session that let it in.
#[derive(Debug)]
pub struct Lease {
    brought: Brought,
    sessions: Arc<Sessions>,
}

impl Lease {
    pub(super) const fn new(brought: Brought, sessions: Arc<Sessions>) -> Self {
        Self { brought, sessions }
    }

    /// Whether the session is over: by its time, or signed out.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let (session, now) = (&self.brought.session, clock::wall());
        now >= session.identity.expires || self.sessions.revoked.has(&session.marks, session.began)
    }

    /// Writes the newer cookie, and ends with the session what stays open.
    pub(super) fn write(&mut self, response: &mut Response) {
        if let Some(cookie) = self.brought.set_cookie.take() {
            response.headers.append(Known::SET_COOKIE, cookie);
            if !matches!(response.body, Body::Tunnel(_)) {
                keep_private(&mut response.headers);
            }
        }
        match &mut response.body {
            Body::Tunnel(tunnel) => tunnel.recall_by(self.watch()),
            body if is_events(&response.headers) && http_body::Body::size_hint(body).exact().is_none() => {
                let inner = std::mem::replace(body, Body::Empty);
                *body = Body::Wrapped(Box::pin(Until {
                    inner,
                    watch: self.watch(),
                }));
            }
            _ => {}
        }
    }

    fn watch(&self) -> Watch {
        Watch {
            lease: Self {
                brought: self.brought.clone(),
                sessions: Arc::clone(&self.sessions),
            },
            next: None,
            over: false,
        }
    }
}

/// Whoever stored the cookie with the answer would hand it to others.
fn keep_private(fields: &mut Fields) {
    fields.insert(Known::CACHE_CONTROL, "private, no-store");
    for others in ["cdn-cache-control", "surrogate-control"] {
        fields.remove(others); // RFC 9213: they would be heard instead
    }
}

fn is_events(fields: &Fields) -> bool {
    fields.get(Known::CONTENT_TYPE).is_some_and(|media| {
        let media = media.as_bytes().split(|byte| *byte == b';').next();
        media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
    })
}

/// Looks again and again whether the session is over.
struct Watch {
    lease: Lease,
    next: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl Watch {
    /// Ready when it is.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(next) = &mut self.next
                && next.as_mut().poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            if self.lease.is_over() {
                return Poll::Ready(());
            }
            let now = clock::wall().millis;
            let left = self
                .lease
                .brought
                .session
                .identity
                .expires
                .millis
                .saturating_sub(now);
            let wait = LOOK_EVERY.min(Duration::from_millis(left.saturating_add(1)));
            self.next = Some(Box::pin(sleep(wait)));
        }
    }
}

impl Recall for Watch {
    fn poll(&mut self, cx: &mut Context<'_>) -> Call {
        if !self.over {
            if self.poll_over(cx).is_pending() {
                return Call::Stay;
            }
            self.over = true;
            self.next = Some(Box::pin(sleep(FAREWELL)));
        }
        let next = self.next.as_mut().map(|next| next.as_mut().poll(cx));
        match next.is_some_and(|polled| polled.is_pending()) {
            true => Call::Leave,
            false => Call::Cut,
        }
    }
}

/// An event stream that ends with its session, in good order: who reads it comes back, and is told to sign in.
struct Until {
    inner: Body,
    watch: Watch,
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.watch.over || this.watch.poll_over(cx).is_ready() {
            this.watch.over = true;
            this.inner = Body::Empty; // the server's connection ends here
            return Poll::Ready(None);
        }
        Pin::new(&mut this.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
