//! One stream of a client: its request to the service, the service's answer back.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, server::SendResponse};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, DATE, EXPECT},
};
use http_body::Body as _;

use super::{
    ReceivedBody,
    head::{self, Rejected},
    rate::Rate,
    send::{BodySender, SendFailure},
    strip_connection_fields,
};
use crate::{
    body::Body,
    clock,
    fields::Fields,
    limits::Limits,
    message::{Request, Response},
    tunnel::{self, TunnelIo},
    wire::{Drain, Interim, Service, Upgrade},
};

/// What the streams of one connection share.
pub(super) struct Shared<S> {
    pub(super) service: Rc<S>,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
    /// Streams that we had to reset because of what the client sent (CVE-2025-8671).
    pub(super) resets: RefCell<Rate>,
    pub(super) too_many_resets: Cell<bool>,
}

/// The half of a stream that answers, shared by the interim answers, `100-continue`, and the final answer.
type Responder = Rc<RefCell<SendResponse<Bytes>>>;

/// Answers one request. Ends early, and so drops the service's future, when the client resets the stream.
pub(super) async fn exchange<S: Service>(
    request: http::Request<RecvStream>,
    responder: SendResponse<Bytes>,
    shared: Rc<Shared<S>>,
) {
    let (mut head, recv) = request.into_parts();
    let responder = Rc::new(RefCell::new(responder));
    let answers_head = head.method == Method::HEAD;
    match head::judge(&mut head, &shared.limits) {
        Ok(()) => {}
        Err(Rejected::Answer(malformed)) => {
            let answer = shared.service.refuse(malformed);
            return respond(answer, answers_head, &responder, None, &shared).await;
        }
        Err(Rejected::Reset(_)) => {
            responder.borrow_mut().send_reset(Reason::PROTOCOL_ERROR);
            if !shared.resets.borrow_mut().allows(clock::steady()) {
                shared.too_many_resets.set(true);
            }
            return;
        }
    }
    let (body, for_tunnel) = match head.extensions.get::<Upgrade>() {
        Some(_) => (Body::Empty, Some(recv)),
        None => (
            request_body(recv, &head.headers, &responder, &shared.limits),
            None,
        ),
    };
    let answer = {
        let mut interim = InterimSender(Rc::clone(&responder));
        let request = Request::from(http::Request::from_parts(head, body));
        let mut call = pin!(shared.service.call(request, &mut interim));
        poll_fn(|cx| {
            if responder.borrow_mut().poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            call.as_mut().poll(cx).map(Some)
        })
        .await
    };
    if let Some(answer) = answer {
        respond(answer, answers_head, &responder, for_tunnel, &shared).await;
    }
}

fn request_body(recv: RecvStream, headers: &HeaderMap, responder: &Responder, limits: &Limits) -> Body {
    if recv.is_end_stream() {
        return Body::Empty;
    }
    let length = head::content_length(headers).unwrap_or_default();
    let mut body = ReceivedBody::new(recv, length, limits.body_timeout);
    if headers.contains_key(EXPECT) {
        let responder = Rc::clone(responder);
        body.on_first_poll(move || inform(&responder, StatusCode::CONTINUE, HeaderMap::new()));
    }
    Body::Http2(body)
}

struct InterimSender(Responder);

impl Interim for InterimSender {
    fn send(&mut self, status: StatusCode, headers: &Fields) {
        inform(&self.0, status, headers.to_map());
    }
}

fn inform(responder: &Responder, status: StatusCode, mut headers: HeaderMap) {
    // 101 has no meaning here (RFC 9113 section 8.6).
    if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    strip_connection_fields(&mut headers);
    let mut interim = http::Response::new(());
    *interim.status_mut() = status;
    *interim.headers_mut() = headers;
    // It fails when the final answer or a reset came first; then nobody waits for it.
    let _ = responder.borrow_mut().send_informational(interim);
}

/// Sends `answer`, or joins the tunnel that it carries.
async fn respond<S>(
    answer: Response,
    answers_head: bool,
    responder: &Responder,
    for_tunnel: Option<RecvStream>,
    shared: &Shared<S>,
) {
    let body = answer.body;
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = answer.status;
    head.version = http::Version::HTTP_2;
    head.headers = answer.headers.to_map();
    strip_connection_fields(&mut head.headers);
    if !head.headers.contains_key(DATE) {
        head.headers.insert(DATE, date());
    }
    match (body, for_tunnel) {
        (Body::Tunnel(back), Some(recv)) => {
            head.status = StatusCode::OK;
            head.headers.remove(CONTENT_LENGTH);
            if let Some(send) = start(http::Response::from_parts(head, ()), false, responder) {
                tunnel::join(
                    TunnelIo::http2(send, recv),
                    back,
                    &shared.limits,
                    shared.drain.clone(),
                )
                .await;
            }
        }
        (Body::Tunnel(_), None) => responder.borrow_mut().send_reset(Reason::INTERNAL_ERROR),
        _ if head.status.is_informational() => responder.borrow_mut().send_reset(Reason::INTERNAL_ERROR),
        (body, _) => {
            let bodiless =
                answers_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            if head.status == StatusCode::NO_CONTENT {
                head.headers.remove(CONTENT_LENGTH);
            } else if let (false, Some(length)) = (bodiless, body.size_hint().exact()) {
                head.headers.insert(CONTENT_LENGTH, length.into());
            }
            let end = bodiless || body.is_end_stream();
            if let (Some(send), false) = (start(http::Response::from_parts(head, ()), end, responder), end) {
                send_body(BodySender::new(send, body, shared.limits.write_timeout)).await;
            }
        }
    }
}

fn start(head: http::Response<()>, end: bool, responder: &Responder) -> Option<SendStream<Bytes>> {
    responder.borrow_mut().send_response(head, end).ok()
}

async fn send_body(mut sender: BodySender) {
    match poll_fn(|cx| sender.poll(cx)).await {
        Ok(()) | Err(SendFailure::Reset) => {}
        Err(SendFailure::Body(_)) => sender.reset(Reason::INTERNAL_ERROR),
        Err(SendFailure::Stalled) => sender.reset(Reason::CANCEL),
    }
}

/// The date as HTTP writes it (RFC 9110 section 6.6.1), made once a second.
fn date() -> HeaderValue {
    thread_local! {
        static LAST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
    }
    let now = clock::wall().secs();
    LAST.with_borrow_mut(|last| match last {
        Some((second, value)) if *second == now => value.clone(),
        _ => {
            let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now));
            let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
            *last = Some((now, value.clone()));
            value
        }
    })
}
