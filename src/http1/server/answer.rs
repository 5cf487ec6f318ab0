//! Writes an answer: the head and what of the body is ready in one go, then the rest as it comes.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame};

use super::{super::encode, super::outbox::Wrap, Shared};
use crate::{
    body::{Body, BodyError},
    fields::{Fields, Known},
    message::Response,
};

/// What the request decided about how its answer is written.
pub(super) struct Plan {
    /// The answer to HEAD: no body.
    pub(super) head_only: bool,
    /// HTTP/1.1: chunks are understood.
    pub(super) modern: bool,
    /// This is the last answer.
    pub(super) close: bool,
    /// The client takes trailers.
    pub(super) trailers: bool,
    /// The protocol that the connection changes to.
    pub(super) switched: Option<String>,
}

impl Plan {
    /// For an answer after which nothing can be read.
    pub(super) const fn closing() -> Self {
        Self {
            head_only: false,
            modern: true,
            close: true,
            trailers: false,
            switched: None,
        }
    }
}

/// How writing an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it is written.
    Sent,
    /// All of it is written, and only closing tells the client so.
    SentThenClose,
    /// The client is gone, or the body broke off: the connection must not look like a whole answer.
    Cut,
}

/// How the end of the answer's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is no body.
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Writes `response`.
pub(super) async fn send(
    conn: &Shared,
    response: Response,
    plan: Plan,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> Ended {
    let Response {
        status,
        headers,
        body,
    } = response;
    let framing = framing(status, &headers, &body, &plan);
    let close = plan.close || framing == Framing::UntilClose;
    {
        let mut conn = conn.borrow_mut();
        let out = conn.begin_answer();
        head(out, status, &headers, framing, close, &plan);
    }
    drop(headers);
    let mut writer = Writer {
        conn,
        body,
        framing,
        trailers: plan.trailers,
        ended: matches!(framing, Framing::None),
        broken: false,
    };
    let sent = poll_fn(|cx| match writer.poll(cx) {
        Poll::Ready(ended) => Poll::Ready(ended),
        Poll::Pending => stopped.as_mut().poll(cx).map(|()| Ended::Cut),
    })
    .await;
    match sent {
        Ended::Sent if framing == Framing::UntilClose => Ended::SentThenClose,
        sent => sent,
    }
}

fn framing(status: StatusCode, headers: &Fields, body: &Body, plan: &Plan) -> Framing {
    let bodiless = plan.head_only
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    if bodiless {
        return Framing::None;
    }
    let told = match headers.get(Known::CONTENT_LENGTH) {
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
        None => body.size_hint().exact(),
    };
    match told {
        Some(length) => Framing::Length(length),
        None if plan.modern => Framing::Chunked,
        None => Framing::UntilClose,
    }
}

fn head(out: &mut Vec<u8>, status: StatusCode, headers: &Fields, framing: Framing, close: bool, plan: &Plan) {
    out.reserve(256 + headers.len() * 48);
    encode::status_line(out, status);
    for (name, value) in headers.iter() {
        if name.is_in(encode::CONNECTION_FIELDS) {
            continue;
        }
        if name == Known::CONTENT_LENGTH {
            // written below, once; without a body it describes what HEAD or 304 leave out (RFC 9110 section 8.6)
            let describes =
                framing == Framing::None && !status.is_informational() && status != StatusCode::NO_CONTENT;
            if !describes {
                continue;
            }
        }
        encode::field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    match framing {
        Framing::Length(length) => encode::content_length(out, length),
        Framing::Chunked => encode::field(out, b"transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    if !headers.contains_key(Known::DATE) {
        encode::date(out);
    }
    match &plan.switched {
        Some(protocol) => {
            encode::field(out, b"connection", b"upgrade");
            encode::field(out, b"upgrade", protocol.as_bytes());
        }
        None if close => encode::field(out, b"connection", b"close"),
        None if !plan.modern => encode::field(out, b"connection", b"keep-alive"),
        None => {}
    }
    out.extend_from_slice(b"\r\n");
}

struct Writer<'a> {
    conn: &'a Shared,
    body: Body,
    framing: Framing,
    trailers: bool,
    ended: bool,
    broken: bool,
}

impl Writer<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let hungry = self.gather(cx);
            let mut conn = self.conn.borrow_mut();
            match conn.poll_flush(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Ended::Cut),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if self.broken => return Poll::Ready(Ended::Cut),
                Poll::Ready(Ok(())) if self.ended => return Poll::Ready(Ended::Sent),
                Poll::Ready(Ok(())) if hungry => {
                    return conn.poll_watch_answer(cx).map(|_| Ended::Cut);
                }
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    /// Takes from the body what is ready and fits. True if the body makes us wait.
    fn gather(&mut self, cx: &mut Context<'_>) -> bool {
        while !self.ended && !self.broken && self.conn.borrow().has_room() {
            // not while the connection is borrowed: the body may read the request's rest from it
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame),
                Poll::Ready(Some(Err(error))) => self.fail(&error),
                Poll::Ready(None) => self.end(None),
                Poll::Pending => return true,
            }
        }
        false
    }

    fn take(&mut self, frame: Frame<bytes::Bytes>) {
        let frame = match frame.into_data() {
            Ok(data) => return self.take_data(data),
            Err(frame) => frame,
        };
        if let Ok(trailers) = frame.into_trailers() {
            self.end(Some(&trailers));
        }
    }

    fn take_data(&mut self, data: bytes::Bytes) {
        let wrap = match &mut self.framing {
            Framing::Chunked => Wrap::Chunk,
            Framing::UntilClose | Framing::None => Wrap::Plain,
            Framing::Length(left) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    Wrap::Plain
                }
                None => return self.fail(&BodyError::Malformed("longer than its content-length")),
            },
        };
        self.conn.borrow_mut().push(data, wrap);
        if self.framing == Framing::Length(0) && self.body.is_end_stream() {
            self.ended = true;
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        match self.framing {
            Framing::Length(left) if left > 0 => {
                return self.fail(&BodyError::Incomplete);
            }
            Framing::Chunked => {
                let trailers = trailers.filter(|_| self.trailers);
                self.conn.borrow_mut().push_last_chunk(trailers);
            }
            Framing::Length(_) | Framing::UntilClose | Framing::None => {}
        }
        self.ended = true;
    }

    fn fail(&mut self, error: &BodyError) {
        tracing::debug!(%error, "an answer broke off");
        self.broken = true;
    }
}
