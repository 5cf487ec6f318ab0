//! One HTTP/2 connection to a server, shared by the exchanges of a core.

use std::{cell::Cell, future::poll_fn, pin::Pin, rc::Rc, task::Poll, time::Duration};

use bytes::Bytes;
use h2::{client::SendRequest, ext::Protocol};
use http::{
    HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY},
    uri,
};
use http_body::Body as _;
use tokio::time::timeout;

use super::{
    CONNECTION_WINDOW_BYTES, HEADER_TABLE_BYTES, ReceivedBody, SEND_BYTES_MAX, STREAM_WINDOW_BYTES,
    response::judge,
    send::BodySender,
    socket::Socket,
    strip_connection_fields,
    waiting::{Patience, Waiting},
};
use crate::{
    body::Body,
    fields::Known,
    message::{Head, Response},
    stream::Stream,
    tunnel::{Tunnel, TunnelIo, idle::IdleTimer},
    wire::{ExchangeTimeouts, Interim, SendCause, SendError, Sent, Upgrade},
};

/// Streams that are remembered for a second after their reset, so that what the server sent before it heard of that is thrown away.
/// The HTTP/2 crate's 50 are fewer than one page's reader can cancel by leaving it.
const RESETS_REMEMBERED_MAX: usize = 1024;

/// Frames for streams that are no longer remembered, each answered by a reset, until the connection is given up with everything on
/// it. The HTTP/2 crate counts them over the connection's whole life, and its 1,024 are reached by visitors who leave pages.
const LATE_FRAMES_MAX: usize = 65_536;

/// How a connection to a server is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// Bytes of an answer's head. More is an error.
    pub response_head_bytes_max: usize,
    /// Time until the server's SETTINGS must have come.
    pub handshake_timeout: Duration,
    /// Time that the server may leave unread what we write. Then the connection is closed.
    pub write_timeout: Duration,
}

/// A connection on which exchanges can be begun. Cloned for each of its users.
#[derive(Debug, Clone)]
pub struct Client {
    sender: SendRequest<Bytes>,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: Socket,
    settings: ClientSettings,
    closed: Cell<bool>,
    /// Exchanges under way.
    open: Cell<usize>,
}

/// One exchange under way, for [`Client::has_room`].
struct Place(Rc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

/// Begins HTTP/2 on `stream`, and waits for the server's SETTINGS: with them it is known how many streams it takes, whether it
/// takes tunnels, and that it speaks HTTP/2 at all. The second value is the connection's own work; it must be spawned.
///
/// # Errors
/// The server closed, spoke something else, or was too slow. Nothing was asked of it then.
pub async fn handshake(
    stream: Stream,
    settings: ClientSettings,
) -> Result<(Client, impl Future<Output = ()> + 'static), SendCause> {
    let socket = Socket::new(stream);
    // What is beyond our own limit should reach us, so that it can be named.
    let list_bytes = u32::try_from(settings.response_head_bytes_max * 2).unwrap_or(u32::MAX);
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(list_bytes)
        .header_table_size(HEADER_TABLE_BYTES)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BYTES_MAX)
        .max_concurrent_reset_streams(RESETS_REMEMBERED_MAX)
        .max_local_error_reset_streams(Some(LATE_FRAMES_MAX));
    let begin = async {
        let (sender, mut connection) = builder
            .handshake::<_, Bytes>(socket.clone())
            .await
            .map_err(failed)?;
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx).map_err(failed)?.is_ready();
            let written = socket.poll_push(cx);
            match (ended, written) {
                (_, Poll::Ready(Err(error))) => Poll::Ready(Err(SendCause::Closed(Some(error)))),
                (true, _) => Poll::Ready(Err(SendCause::Closed(None))),
                _ if socket.settings_seen() => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        })
        .await?;
        Ok::<_, SendCause>((sender, connection))
    };
    let (sender, connection) = timeout(settings.handshake_timeout, begin)
        .await
        .map_err(|_| SendCause::FirstByteTimeout)??;
    let shared = Rc::new(Shared {
        socket,
        settings,
        closed: Cell::new(false),
        open: Cell::new(0),
    });
    let work = drive(connection, Rc::clone(&shared));
    Ok((Client { sender, shared }, work))
}

fn failed(error: h2::Error) -> SendCause {
    match error.is_io() {
        true => SendCause::Closed(error.into_io()),
        false => SendCause::Http2(error),
    }
}

async fn drive(mut connection: h2::client::Connection<Socket, Bytes>, shared: Rc<Shared>) {
    let mut unwritten: Option<IdleTimer> = None;
    let mut written = 0;
    poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx).is_ready();
        match shared.socket.poll_push(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) => unwritten = None,
            Poll::Pending => {
                let timer = unwritten.get_or_insert_with(|| IdleTimer::new(shared.settings.write_timeout));
                let now = shared.socket.written();
                if std::mem::replace(&mut written, now) != now {
                    timer.touch();
                }
                if timer.poll(cx).is_ready() {
                    return Poll::Ready(());
                }
            }
        }
        if ended { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    shared.closed.set(true);
}

impl Client {
    /// Whether new exchanges may begin: the connection lives, and the server has not sent GOAWAY.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.shared.closed.get() && !self.shared.socket.going_away()
    }

    /// Whether the server takes one more stream now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.open.get() < self.sender.current_max_send_streams()
    }

    /// Exchanges under way.
    #[must_use]
    pub fn open_exchanges(&self) -> usize {
        self.shared.open.get()
    }

    /// Sends one request and waits for its answer's head; the bodies of both go on as the answer's body is read.
    ///
    /// `head` is as [`Service`](crate::wire::Service) gets it, without hop-by-hop fields. An [`Upgrade`] on it becomes an extended
    /// CONNECT (RFC 8441); agreed, the answer is a 101 with a [`Body::Tunnel`], whatever the front speaks.
    ///
    /// # Errors
    /// See [`SendError`]. Dropping the future, or the answer's body, resets the stream with `CANCEL`.
    pub async fn send(
        &self,
        head: &Head,
        scheme: &str,
        body: Body,
        interim: &mut dyn Interim,
        timeouts: ExchangeTimeouts,
    ) -> Result<Response, SendError> {
        let nothing = |cause, body| SendError {
            cause,
            sent: Sent::Nothing,
            body: Some(body),
        };
        if !self.is_open() {
            return Err(nothing(SendCause::Closed(None), body));
        }
        let upgrade = head.upgrade.as_ref();
        let request = match self.request(head, scheme, upgrade) {
            Ok(request) => request,
            Err(cause) => return Err(nothing(cause, body)),
        };
        let mut sender = self.sender.clone();
        match timeout(timeouts.first_byte, poll_fn(|cx| sender.poll_ready(cx))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(nothing(SendCause::Http2(error), body)),
            Err(_) => return Err(nothing(SendCause::FirstByteTimeout, body)),
        }
        self.shared.open.set(self.shared.open.get() + 1);
        let place = Place(Rc::clone(&self.shared));
        let end = upgrade.is_none() && body.is_end_stream();
        let (answer, send) = match sender.send_request(request, end) {
            Ok(begun) => begun,
            Err(error) => return Err(nothing(SendCause::Http2(error), body)),
        };
        let (upload, tunnel) = match (end, upgrade) {
            (true, _) => (None, None),
            (false, Some(upgrade)) => (None, Some((upgrade, send))),
            (false, None) => (
                Some(Box::new(BodySender::new(send, body, timeouts.first_byte))),
                None,
            ),
        };
        let patience = Patience {
            first_byte: timeouts.first_byte,
            continuation: head.headers.contains_key(Known::EXPECT),
            head_bytes_max: self.shared.settings.response_head_bytes_max,
        };
        let mut waiting = Waiting::new(answer, upload, patience);
        let answered = poll_fn(|cx| waiting.poll(cx, interim)).await.and_then(|answer| {
            let (answer, recv) = answer.into_parts();
            let length = judge(&answer, patience.head_bytes_max)?;
            Ok((answer, recv, length))
        });
        match (answered, tunnel) {
            (Ok((answer, recv, _)), Some((upgrade, send))) if answer.status.is_success() => Ok(open_tunnel(
                answer,
                upgrade,
                head,
                TunnelIo::http2(send, recv),
                place,
            )),
            (Ok((answer, recv, length)), _) => {
                let bodiless = head.method == Method::HEAD
                    || matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
                    || recv.is_end_stream();
                if bodiless {
                    return Ok(response(answer, Body::Empty));
                }
                let mut body = ReceivedBody::new(recv, length, timeouts.between_bytes);
                body.carry(waiting.into_upload(), Box::new(place));
                Ok(response(answer, Body::Http2(body)))
            }
            (Err(failure), _) => Err(waiting.into_error(failure)),
        }
    }

    /// The request as HTTP/2 says it (RFC 9113 section 8.3.1).
    fn request(
        &self,
        head: &Head,
        scheme: &str,
        upgrade: Option<&Upgrade>,
    ) -> Result<Request<()>, SendCause> {
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = head.headers.to_map();
        let headers = request.headers_mut();
        strip_connection_fields(headers);
        let host = headers
            .remove(HOST)
            .ok_or(SendCause::Malformed("a request without host"))?;
        *request.method_mut() = head.method.clone();
        if let Some(upgrade) = upgrade {
            if !self.sender.is_extended_connect_protocol_enabled() {
                return Err(SendCause::Unsupported("tunnels over HTTP/2 (RFC 8441)"));
            }
            match upgrade {
                Upgrade::Http1(protocol) if protocol != "websocket" => {
                    return Err(SendCause::Unsupported("this upgrade over HTTP/2"));
                }
                Upgrade::Http1(_) => drop(request.headers_mut().remove(SEC_WEBSOCKET_KEY)),
                Upgrade::Http2(_) => {}
            }
            *request.method_mut() = Method::CONNECT;
            request
                .extensions_mut()
                .insert(Protocol::from(upgrade.protocol()));
        }
        let mut parts = uri::Parts::default();
        parts.scheme = scheme.parse().ok();
        parts.authority = uri::Authority::try_from(host.as_bytes()).ok();
        parts.path_and_query = uri::PathAndQuery::try_from(head.target()).ok();
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|_| SendCause::Malformed("a request's target"))?;
        Ok(request)
    }
}

/// What a front of either version can use: 101, and the proof that an HTTP/1.1 client waits for.
fn open_tunnel(
    mut answer: http::response::Parts,
    upgrade: &Upgrade,
    head: &Head,
    io: TunnelIo,
    place: Place,
) -> Response {
    answer.status = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers.remove(CONTENT_LENGTH);
    let key = head
        .headers
        .get(Known::SEC_WEBSOCKET_KEY)
        .and_then(|key| key.to_str().ok());
    if let (Upgrade::Http1(_), Some(key)) = (upgrade, key)
        && let Ok(accept) = HeaderValue::from_str(&crate::websocket::accept(key.trim().as_bytes()))
    {
        answer.headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    let mut tunnel = Tunnel::new(io, upgrade.protocol().to_owned());
    tunnel.on_end(move |_| drop(place));
    response(answer, Body::Tunnel(Box::new(tunnel)))
}

fn response(head: http::response::Parts, body: Body) -> Response {
    Response {
        status: head.status,
        headers: head.headers.into(),
        body,
    }
}
