//! Serves one client's HTTP/1.1 connection: requests in order, one at a time, in one task.
//!
//! # A client that goes away
//! While the service works, the connection keeps an eye on the client. A reset cancels the request at once: the service's
//! future is dropped. The end of the client's stream (FIN, `close_notify`) is ambiguous, for it may still read: the service
//! then has [`HALF_CLOSE_GRACE`] to begin its answer, and a begun answer may fall silent for [`HALF_CLOSE_SILENCE`].
//! Every failed or stuck write cancels too. Pipelined bytes are read ahead up to one head's size; then the client is
//! no longer watched until its next request is taken.
//!
//! # A body that fails
//! The service sees the [`BodyError`](crate::body::BodyError) and has [`FAILURE_GRACE`] to answer; else the connection
//! answers 400 or 408 by [`Service::refuse`]. Either way it closes afterwards.

mod answer;
mod body;
mod conn;
mod linger;

use std::{cell::RefCell, future::Future, pin::Pin, pin::pin, rc::Rc, task::Poll, time::Duration};

use http::{StatusCode, Version};

pub use self::body::RequestBody;
use self::{
    answer::{Ended, Plan},
    conn::{Conn, Next, Watch},
};
use super::{
    encode,
    head::{BodyKind, RequestHead},
};
use crate::{
    body::Body,
    fields::{Fields, Known},
    limits::Limits,
    message::{Request, Response},
    stream::Stream,
    tunnel::{self, Tunnel, TunnelIo},
    wire::{Drain, Interim, Malformed, Phase, Service, pin_in_place},
};

/// How long a service may take to begin its answer once the client has ended its side.
pub const HALF_CLOSE_GRACE: Duration = Duration::from_secs(1);
/// How long a begun answer may bring nothing once the client has ended its side.
pub const HALF_CLOSE_SILENCE: Duration = Duration::from_secs(10);
/// How long a service may take to answer once the request's body has failed.
pub const FAILURE_GRACE: Duration = Duration::from_secs(1);

type Shared = Rc<RefCell<Conn>>;

/// Serves `stream` until it is closed by either side, by a limit, or by `drain`.
///
/// Draining closes a connection that stays idle for half a second, and lets what is under way end with `connection: close`.
pub async fn serve<S: Service>(stream: Stream, service: &S, limits: &Limits, drain: Drain) {
    let conn = Rc::new(RefCell::new(Conn::new(stream, limits)));
    let mut draining = pin!(drain.until_idle_is_over());
    let mut stopped = pin!(drain.until(Phase::Stopped));
    let mut served = 0_u64;
    loop {
        let next =
            std::future::poll_fn(|cx| conn.borrow_mut().poll_next(limits, draining.as_mut(), cx)).await;
        let head = match next {
            Next::Request(head) => head,
            Next::Refused(malformed) => {
                refuse(&conn, service, malformed, stopped.as_mut()).await;
                return;
            }
            Next::Closed => return linger::shutdown(&conn).await,
        };
        served += 1;
        let last = served >= limits.requests_per_connection_max;
        let exchange = Exchange {
            conn: &conn,
            service,
            drain: &drain,
            last,
        };
        // Boxed: an idle connection doesn't hold the room that a request needs, and busy ones share what is warm.
        match pin_in_place(|| exchange.run(head, stopped.as_mut())).await {
            After::NextRequest => {}
            After::Close => return,
            After::Linger => return linger::close(&conn, stopped.as_mut()).await,
            After::Tunnel(back) => {
                if let Ok(conn) = Rc::try_unwrap(conn) {
                    let (stream, leftover) = conn.into_inner().into_parts();
                    tunnel::join(TunnelIo::http1(stream, leftover), back, limits, drain.clone()).await;
                }
                return;
            }
        }
    }
}

async fn refuse<S: Service>(
    conn: &Shared,
    service: &S,
    malformed: Malformed,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) {
    let plan = Plan::closing();
    let response = service.refuse(malformed);
    if answer::send(conn, response, plan, stopped.as_mut()).await == Ended::Sent {
        linger::close(conn, stopped).await;
    }
}

/// What becomes of a connection after an exchange.
enum After {
    NextRequest,
    Close,
    Linger,
    Tunnel(Box<Tunnel>),
}

struct Exchange<'a, S> {
    conn: &'a Shared,
    service: &'a S,
    drain: &'a Drain,
    last: bool,
}

impl<S: Service> Exchange<'_, S> {
    async fn run(&self, head: RequestHead, mut stopped: Pin<&mut impl Future<Output = ()>>) -> After {
        let asked = Asked::of(&head);
        let response = match self.call(head, stopped.as_mut()).await {
            Called::Answered(response) => response,
            Called::Gone => return After::Close,
            Called::Failed(malformed) => {
                refuse(self.conn, self.service, malformed, stopped).await;
                return After::Close;
            }
        };
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(response, asked, stopped).await;
        }
        let plan = self.plan(&asked);
        let close = plan.close;
        match answer::send(self.conn, response, plan, stopped.as_mut()).await {
            Ended::Cut => After::Close,
            Ended::Sent if close && asked.close && self.conn.borrow().is_clean() => {
                linger::shutdown(self.conn).await;
                After::Close
            }
            Ended::Sent if close => After::Linger,
            Ended::SentThenClose => After::Linger,
            Ended::Sent => match linger::discard_body(self.conn, stopped).await {
                Ok(()) => After::NextRequest,
                Err(_) => After::Linger,
            },
        }
    }

    /// Polls the service, and beside it the client. When this returns, the service's future is gone.
    async fn call(&self, head: RequestHead, mut stopped: Pin<&mut impl Future<Output = ()>>) -> Called {
        let mut interim = InterimSender {
            conn: Rc::clone(self.conn),
            understood: head.head.version == Version::HTTP_11,
        };
        let request = self.request(head);
        let mut call = pin!(self.service.call(request, &mut interim));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(response) = call.as_mut().poll(cx) {
                return Poll::Ready(Called::Answered(response));
            }
            match self.conn.borrow_mut().poll_watch(HALF_CLOSE_GRACE, cx) {
                Poll::Ready(Watch::Gone) => return Poll::Ready(Called::Gone),
                Poll::Ready(Watch::Failed(malformed)) => return Poll::Ready(Called::Failed(malformed)),
                Poll::Pending => {}
            }
            stopped.as_mut().poll(cx).map(|()| Called::Gone)
        })
        .await
    }

    fn request(&self, head: RequestHead) -> Request {
        let body = match head.body {
            BodyKind::Empty => Body::Empty,
            BodyKind::Length(_) | BodyKind::Chunked => {
                let serial = self
                    .conn
                    .borrow_mut()
                    .expect_body(head.body, head.expects_continue);
                Body::Http1Request(RequestBody::new(Rc::clone(self.conn), serial))
            }
        };
        Request {
            head: head.head,
            body,
        }
    }

    fn plan(&self, asked: &Asked) -> Plan {
        let close = asked.close
            || self.last
            || self.drain.phase() >= Phase::Draining
            || self.conn.borrow().must_close();
        Plan {
            head_only: asked.head_only,
            modern: asked.modern,
            close,
            trailers: asked.trailers,
            switched: None,
        }
    }

    async fn switch(
        &self,
        mut response: Response,
        asked: Asked,
        stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> After {
        let body = std::mem::replace(&mut response.body, Body::Empty);
        let (Body::Tunnel(back), Some(protocol)) = (body, asked.upgrade) else {
            // nobody asked for it, or nothing is behind it: a fault of ours, not the client's
            let fault = Response::new(StatusCode::BAD_GATEWAY, Body::Empty);
            let _ = answer::send(self.conn, fault, Plan::closing(), stopped).await;
            return After::Close;
        };
        if let Some(accept) = asked.websocket_accept
            && !response.headers.contains_key(Known::SEC_WEBSOCKET_ACCEPT)
        {
            response.headers.insert(Known::SEC_WEBSOCKET_ACCEPT, accept);
        }
        let plan = Plan {
            switched: Some(protocol),
            close: false,
            ..Plan::closing()
        };
        match answer::send(self.conn, response, plan, stopped).await {
            Ended::Sent => After::Tunnel(back),
            Ended::SentThenClose | Ended::Cut => After::Close,
        }
    }
}

/// What calling the service came to.
enum Called {
    Answered(Response),
    Gone,
    Failed(Malformed),
}

/// What of a request decides how its answer is written.
struct Asked {
    head_only: bool,
    modern: bool,
    close: bool,
    trailers: bool,
    upgrade: Option<String>,
    websocket_accept: Option<String>,
}

impl Asked {
    fn of(head: &RequestHead) -> Self {
        let asked = &head.head;
        let upgrade = asked
            .upgrade
            .as_ref()
            .map(|upgrade| upgrade.protocol().to_owned());
        let key = asked.headers.get(Known::SEC_WEBSOCKET_KEY);
        let websocket_accept = match (&upgrade, key) {
            (Some(_), Some(key)) => Some(crate::websocket::accept(key.as_bytes())),
            _ => None,
        };
        Self {
            head_only: asked.method == http::Method::HEAD,
            modern: asked.version == Version::HTTP_11,
            close: !head.persistent,
            trailers: head.takes_trailers,
            upgrade,
            websocket_accept,
        }
    }
}

/// Bytes of interim answers that may wait for a client that does not read.
const INTERIM_BYTES_MAX: usize = 64 * 1024;

/// Writes interim answers ahead of the final one.
struct InterimSender {
    conn: Shared,
    understood: bool,
}

impl Interim for InterimSender {
    fn send(&mut self, status: StatusCode, headers: &Fields) {
        if !self.understood || !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let mut conn = self.conn.borrow_mut();
        if status == StatusCode::CONTINUE && !conn.take_continue() {
            return; // sent already, or never waited for
        }
        let Some(out) = conn.interim_text(INTERIM_BYTES_MAX) else {
            return;
        };
        encode::status_line(out, status);
        for (name, value) in headers.iter() {
            let framing = name == Known::CONTENT_LENGTH || name.is_in(encode::CONNECTION_FIELDS);
            if !framing {
                encode::field(out, name.as_str().as_bytes(), value.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod abort_tests;
#[cfg(test)]
mod behaviour_tests;
#[cfg(test)]
mod requests_tests;
#[cfg(test)]
mod world;
