//! Turns an application (a function from request to response) into a web server: HTTP/1.1 and h2c.

use std::{convert::Infallible, future::Future, net::TcpListener, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{sync::oneshot, time};

/// Bytes of a posted form that are read.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// What an application answers with.
pub(super) type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;
/// An answer on its way.
pub(super) type Replying = Pin<Box<dyn Future<Output = Reply> + Send>>;
/// An application.
pub(super) type App = fn(Asked) -> Replying;

/// A request, with what pages like to know about it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request<Incoming>,
}

impl Asked {
    pub(super) fn path(&self) -> &str {
        self.request.uri().path()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.request.headers().get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A query parameter. The demo's own links need no unescaping.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        pick(self.request.uri().query().unwrap_or_default(), name)
    }

    /// A cookie.
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.header("cookie").split(';').map(str::trim);
        pairs
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// A field of the form in the body.
    pub(super) async fn form(&mut self, name: &str) -> Option<String> {
        let body = Limited::new(self.request.body_mut(), FORM_BYTES_MAX);
        let bytes = body.collect().await.ok()?.to_bytes();
        pick(std::str::from_utf8(&bytes).ok()?, name).map(str::to_owned)
    }
}

pub(super) fn pick<'a>(pairs: &'a str, name: &str) -> Option<&'a str> {
    pairs
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Answers on each listener with its application until `stopped` resolves.
pub(super) async fn run(apps: [(TcpListener, App); 3], stopped: oneshot::Receiver<()>) {
    for (listener, app) in apps {
        tokio::spawn(async move {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                accept(listener, app).await;
            }
        });
    }
    let _ = stopped.await; // either way it is over; what runs goes with the runtime
}

async fn accept(listener: tokio::net::TcpListener, app: App) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            time::sleep(Duration::from_millis(50)).await; // out of file descriptors; some will be free again
            continue;
        };
        let _ = socket.set_nodelay(true);
        tokio::spawn(async move {
            let service =
                service_fn(move |request| async move { Ok::<_, Infallible>(app(Asked { request }).await) });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            builder.http2().timer(TokioTimer::new());
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(socket), service);
            let _ = connection.await; // a client that went away is no news
        });
    }
}

/// An answer with a body of `text`.
pub(super) fn reply(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()).boxed_unsync());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if content_type.starts_with("text/html") {
        let policy = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        headers.insert(header::VARY, HeaderValue::from_static("cookie"));
    }
    reply
}

/// A page.
pub(super) fn html(status: StatusCode, text: String) -> Reply {
    reply(status, "text/html; charset=utf-8", text)
}

/// A file of the application.
pub(super) fn asset(content_type: &'static str, text: &'static str) -> Reply {
    reply(StatusCode::OK, content_type, text)
}

/// `true` for a probe.
pub(super) fn healthy() -> Reply {
    reply(StatusCode::OK, "text/plain; charset=utf-8", "ok\n")
}

/// To another page, after a form was posted.
pub(super) fn see_other(to: &'static str) -> Reply {
    let mut reply = reply(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    reply
        .headers_mut()
        .insert(header::LOCATION, HeaderValue::from_static(to));
    reply
}

/// An answer whose pieces come one by one; `next` gives the piece of a number, or the end.
pub(super) fn stream_of<F, P>(content_type: &'static str, next: F) -> Reply
where
    F: Fn(u64) -> P + Send + 'static,
    P: Future<Output = Option<Bytes>> + Send + 'static,
{
    let pieces = stream::unfold((0_u64, next), |(at, next)| async move {
        let piece = next(at).await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), (at + 1, next)))
    });
    let mut reply = reply(StatusCode::OK, content_type, "");
    *reply.body_mut() = StreamBody::new(pieces).boxed_unsync();
    reply
}
