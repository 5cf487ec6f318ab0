//! WebSockets: a client over HTTP/1.1's upgrade and HTTP/2's extended CONNECT (RFC 8441), and a backend that speaks both.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::{body::Incoming, ext::Protocol};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::{
    backend::{Body, empty, full},
    client::{Client, Http, Raw, field, status},
    world::{World, within},
};

/// The example of RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The `Sec-WebSocket-Accept` that answers `key`.
fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(context.finish())
}

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A client's end.
pub struct WebSocket {
    stream: WebSocketStream<Box<dyn Duplex>>,
    /// The HTTP/2 connection that it is a stream of ends with it.
    _client: Option<Client>,
}

impl WebSocket {
    /// Opens one, which must work.
    pub async fn open(world: &World, http: Http, path: &str) -> Self {
        match http {
            Http::One => Self::on(world.raw(Http::One).await, path).await,
            Http::Two => {
                let mut client = world.client(Http::Two).await;
                let response = Self::connect(&mut client, path).await.unwrap();
                assert_eq!(response.status(), 200, "{response:?}");
                let upgraded = within("the tunnel", hyper::upgrade::on(response)).await.unwrap();
                Self::over(Box::new(TokioIo::new(upgraded)), Some(client)).await
            }
        }
    }

    /// Opens one on this HTTP/1.1 connection, which must work.
    pub async fn on(mut raw: Raw, path: &str) -> Self {
        raw.send(request(path)).await;
        let head = raw.head().await;
        assert_eq!(status(&head), 101, "{head}");
        assert_eq!(
            field(&head, "sec-websocket-accept"),
            Some(accept(KEY.as_bytes()).as_str())
        );
        Self::over(Box::new(raw.wire), None).await
    }

    /// Opens one over HTTP/1.1 with this cookie, from a page of the same site; also the head that answers.
    pub async fn open_as(world: &World, path: &str, cookie: &str) -> (String, Self) {
        let mut raw = world.raw(Http::One).await;
        let asked = request(path).replace(
            "Connection:",
            &format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\nConnection:"),
        );
        raw.send(asked).await;
        let head = raw.head().await;
        assert_eq!(status(&head), 101, "{head}");
        (head, Self::over(Box::new(raw.wire), None).await)
    }

    /// Asks for one over HTTP/2.
    ///
    /// # Errors
    /// The stream broke.
    pub async fn connect(client: &mut Client, path: &str) -> hyper::Result<Response<Incoming>> {
        // the server's settings must have arrived before an extended CONNECT may be sent
        client.get("/settings").await;
        let mut request = client.request(&Method::CONNECT, path, empty());
        request
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let version = HeaderValue::from_static("13");
        request.headers_mut().insert("sec-websocket-version", version);
        client.send(request).await
    }

    async fn over(io: Box<dyn Duplex>, client: Option<Client>) -> Self {
        let stream = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
        Self {
            stream,
            _client: client,
        }
    }

    /// Sends a message.
    pub async fn send(&mut self, message: impl Into<Message>) {
        within("room for a message", self.stream.send(message.into()))
            .await
            .unwrap();
    }

    /// The next message; `None` when the connection is over.
    pub async fn next(&mut self) -> Option<Message> {
        within("a message", self.stream.next()).await.and_then(Result::ok)
    }

    /// Sends `text` and expects it back.
    pub async fn echo(&mut self, text: &str) {
        self.send(text).await;
        assert_eq!(self.next().await, Some(Message::text(text)));
    }

    /// The code of the Close that comes next, and the end after it.
    pub async fn closed(&mut self) -> u16 {
        let Some(Message::Close(Some(frame))) = self.next().await else {
            panic!("no close")
        };
        while self.next().await.is_some() {}
        frame.code.into()
    }
}

/// The head of an HTTP/1.1 client's handshake.
pub fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// Echoes messages over WebSockets, and answers everything else with `page`.
pub async fn backend(mut request: Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(full("page"));
    let extended = request
        .extensions()
        .get::<Protocol>()
        .is_some_and(|protocol| protocol.as_str() == "websocket");
    let upgrade = request
        .headers()
        .get("upgrade")
        .is_some_and(|protocol| protocol == "websocket");
    if extended {
        *response.body_mut() = empty();
    } else if upgrade {
        let key = request.headers()["sec-websocket-key"].as_bytes();
        let accept = HeaderValue::try_from(accept(key)).unwrap();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.body_mut() = empty();
        let fields = response.headers_mut();
        fields.insert("sec-websocket-accept", accept);
        fields.insert("connection", HeaderValue::from_static("Upgrade"));
        fields.insert("upgrade", HeaderValue::from_static("websocket"));
    } else {
        return response;
    }
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        // a Close is answered by the stream itself, while the next message is waited for
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_close() && socket.send(message).await.is_err() {
                return;
            }
        }
        let _ = socket.into_inner().shutdown().await; // over HTTP/2 an end, where dropping it would be a reset
    });
    response
}
