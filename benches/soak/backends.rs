//! Two servers on a thread of their own: one that never fails, one that is restarted every few seconds.

use std::{convert::Infallible, net::SocketAddr, sync::mpsc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode, body::Incoming, ext::Protocol, header::HeaderValue, service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

/// Bytes of a page.
pub(super) const PAGE: usize = 1024;
/// Bytes of `/big`.
pub(super) const BIG: usize = 1 << 20;
/// Between two restarts.
const UP: Duration = Duration::from_secs(7);
/// How long a restart takes.
const DOWN: Duration = Duration::from_millis(300);

/// Where they are.
pub(super) struct Backends {
    /// The one that never fails.
    pub(super) steady: SocketAddr,
    /// The one that is restarted.
    pub(super) moody: SocketAddr,
}

impl Backends {
    /// Starts both, until the program ends.
    pub(super) fn start() -> Self {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let steady = listen("127.0.0.1:0".parse().expect("an address")).await;
                let moody = listen("127.0.0.1:0".parse().expect("an address")).await;
                let address = |listener: &TcpListener| listener.local_addr().expect("an address");
                let both = Self {
                    steady: address(&steady),
                    moody: address(&moody),
                };
                let again = both.moody;
                tell.send(both).expect("somebody waits");
                tokio::join!(serve(steady), serve_by_turns(moody, again));
            });
        });
        told.recv().expect("two addresses")
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).await.expect("a port")
}

async fn serve_by_turns(mut listener: TcpListener, address: SocketAddr) {
    loop {
        // Its connections end with the future that holds them.
        let _ = tokio::time::timeout(UP, serve(listener)).await;
        tokio::time::sleep(DOWN).await;
        listener = listen(address).await;
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        connections.spawn(async move {
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http2().enable_connect_protocol();
            let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service_fn(answer));
            let _ = serving.await; // clients and routers may go away
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    static BYTES: [u8; BIG] = [b'x'; BIG];
    let body = |bytes: &'static [u8]| Response::new(Full::new(Bytes::from_static(bytes)));
    let path = request.uri().path();
    if path.ends_with("/live") {
        return Ok(live(request));
    }
    if path.ends_with("/big") {
        return Ok(body(&BYTES));
    }
    if path.ends_with("/upload") {
        let mut count = 0;
        while let Some(Ok(frame)) = request.body_mut().frame().await {
            count += frame.data_ref().map_or(0, Bytes::len);
        }
        return Ok(Response::new(Full::from(count.to_string())));
    }
    Ok(body(BYTES.get(..PAGE).unwrap_or_default()))
}

/// A WebSocket that says what it hears.
fn live(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.extensions().get::<Protocol>().is_none() {
        let Some(key) = request.headers().get("sec-websocket-key") else {
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        };
        let accept = HeaderValue::try_from(accept(key.as_bytes())).expect("a value");
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let fields = response.headers_mut();
        fields.insert("sec-websocket-accept", accept);
        fields.insert("connection", HeaderValue::from_static("Upgrade"));
        fields.insert("upgrade", HeaderValue::from_static("websocket"));
    }
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_close() && socket.send(message).await.is_err() {
                return;
            }
        }
        let _ = socket.into_inner().shutdown().await;
    });
    response
}

/// The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 section 4.2.2).
fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(context.finish())
}
