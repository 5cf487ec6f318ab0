//! The body of a message on its way through: where its bytes come from, and how it can fail.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{http1, http2, tunnel::Tunnel};

/// Why a body did not arrive whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender closed or reset its side before the end that its framing promised.
    #[error("the sender stopped before the end of the body")]
    Incomplete,
    /// The framing is wrong: a bad chunk, too much data, a bad trailer.
    #[error("the body's framing is wrong: {0}")]
    Malformed(&'static str),
    /// Nothing came for longer than the limit allows.
    #[error("nothing came for too long")]
    TimedOut,
    /// The receiver went away, so nobody wants the rest.
    #[error("the receiver went away")]
    Cancelled,
    /// Its sender is to be left: what picked it was switched off.
    #[error("the side that sends it was switched off")]
    Recalled,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// HTTP/2 failed.
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// It could not be encoded for its receiver: what failed.
    #[error("{0} failed to encode it")]
    Encoder(&'static str),
}

/// A request's or response's body. It lives on one core and is read by one task.
pub enum Body {
    /// No bytes at all.
    Empty,
    /// One piece that is already here.
    Full(Bytes),
    /// What an HTTP/1.1 client sends us.
    Http1Request(http1::RequestBody),
    /// What an HTTP/1.1 server answers.
    Http1Response(http1::ResponseBody),
    /// What an HTTP/2 client sends us.
    Http2Request(http2::RequestBody),
    /// What an HTTP/2 server answers.
    Http2(http2::ReceivedBody),
    /// The far end of a connection that changed its protocol (status 101, or 200 to an extended CONNECT): no body but a pipe.
    Tunnel(Box<Tunnel>),
    /// A link of the chain that wraps another body: counts, compression, later limits and rewriting.
    Wrapped(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>),
}

impl Body {
    /// A body of bytes that are here already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }

    /// Waits for the next frame: data or trailers. `None` is the end.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(self), cx)).await
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            body @ Self::Full(_) => match std::mem::replace(body, Self::Empty) {
                Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Http1Request(body) => body.poll_frame(cx),
            Self::Http1Response(body) => body.poll_frame(cx),
            Self::Http2Request(body) => body.poll_frame(cx),
            Self::Http2(body) => body.poll_frame(cx),
            Self::Wrapped(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Tunnel(_) => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Http1Request(body) => body.is_end_stream(),
            Self::Http1Response(body) => body.is_end_stream(),
            Self::Http2Request(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Wrapped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Tunnel(_) => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Http1Request(body) => body.size_hint(),
            Self::Http1Response(body) => body.size_hint(),
            Self::Http2Request(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Wrapped(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Body::Empty",
            Self::Full(_) => "Body::Full",
            Self::Http1Request(_) => "Body::Http1Request",
            Self::Http1Response(_) => "Body::Http1Response",
            Self::Http2Request(_) => "Body::Http2Request",
            Self::Http2(_) => "Body::Http2",
            Self::Tunnel(_) => "Body::Tunnel",
            Self::Wrapped(_) => "Body::Wrapped",
        })
    }
}
