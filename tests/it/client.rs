//! Clients: HTTP/1.1 and HTTP/2 by hyper over TLS or plain TCP, and one that writes and reads raw bytes.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    backend::{Body, empty, full},
    world::{PATIENCE, within},
};

/// Which HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    Two,
}

impl Http {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::One, Self::Two];

    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::One => b"http/1.1",
            Self::Two => b"h2",
        }
    }
}

/// An answer read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its version.
    pub version: Version,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What followed the body.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// Reads the rest of `response`.
    ///
    /// # Errors
    /// The body broke off.
    pub async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Self {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: collected.to_bytes(),
            trailers,
        })
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A field's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What [`crate::backend::mirror`] saw.
    pub fn seen(&self) -> Seen {
        assert_eq!(self.status, 200, "{self:?}");
        Seen(serde_json::from_slice(&self.body).unwrap())
    }
}

/// A request as the backend saw it.
#[derive(Debug)]
pub struct Seen(pub serde_json::Value);

impl Seen {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<String> {
        let pairs = self.0["headers"].as_array().unwrap().iter();
        pairs
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str().unwrap().to_owned())
            .collect()
    }

    /// The value of a field that stands there at most once; empty when it doesn't.
    pub fn header(&self, name: &str) -> String {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name}: {all:?}");
        all.into_iter().next().unwrap_or_default()
    }

    /// Whether the field is there.
    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// `method`, `target`, `body`, …
    pub fn get(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }
}

/// A connection to the router, for one request after another (HTTP/1.1) or at once (HTTP/2, by [`Client::another`]).
#[derive(Debug)]
pub struct Client {
    send: Send,
    authority: String,
    scheme: &'static str,
    driver: Option<JoinHandle<hyper::Result<()>>>,
}

#[derive(Debug)]
enum Send {
    One(conn::http1::SendRequest<Body>),
    Two(conn::http2::SendRequest<Body>),
}

impl Client {
    /// Speaks `http` over `io`.
    pub async fn over<I>(io: I, http: Http, scheme: &'static str, authority: String) -> Self
    where
        I: AsyncRead + AsyncWrite + Unpin + std::marker::Send + 'static,
    {
        Self::try_over(io, http, scheme, authority).await.unwrap()
    }

    /// [`Client::over`] a connection that may be closed already.
    ///
    /// # Errors
    /// It is.
    pub async fn try_over<I>(
        io: I,
        http: Http,
        scheme: &'static str,
        authority: String,
    ) -> hyper::Result<Self>
    where
        I: AsyncRead + AsyncWrite + Unpin + std::marker::Send + 'static,
    {
        let io = TokioIo::new(io);
        let (send, driver) = match http {
            Http::One => {
                let (send, connection) = conn::http1::handshake(io).await?;
                (Send::One(send), tokio::spawn(connection.with_upgrades()))
            }
            Http::Two => {
                let mut builder = conn::http2::Builder::new(TokioExecutor::new());
                builder
                    .initial_stream_window_size(1 << 20)
                    .initial_connection_window_size(4 << 20);
                let (send, connection) = builder.handshake(io).await?;
                (Send::Two(send), tokio::spawn(connection))
            }
        };
        Ok(Self {
            send,
            authority,
            scheme,
            driver: Some(driver),
        })
    }

    /// A second handle on the same HTTP/2 connection, for requests at the same time.
    pub fn another(&self) -> Self {
        let Send::Two(send) = &self.send else {
            panic!("HTTP/1.1 has one request at a time")
        };
        Self {
            send: Send::Two(send.clone()),
            authority: self.authority.clone(),
            scheme: self.scheme,
            driver: None,
        }
    }

    /// A request for `target`, ready to be changed. HTTP/1.1 gets `Host`, HTTP/2 `:authority`.
    pub fn request(&self, method: &Method, target: &str, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        match self.send {
            Send::One(_) => {
                *request.uri_mut() = target.parse().unwrap();
                let host = HeaderValue::from_str(&self.authority).unwrap();
                request.headers_mut().insert("host", host);
            }
            Send::Two(_) => {
                let uri = format!("{}://{}{target}", self.scheme, self.authority);
                *request.uri_mut() = uri.parse().unwrap();
            }
        }
        request
    }

    /// Sends, and waits for the answer's head.
    ///
    /// # Errors
    /// The connection or stream broke.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        within("an answer's head", self.send_patiently(request)).await
    }

    /// [`Client::send`] whose deadline is the caller's.
    ///
    /// # Errors
    /// The connection or stream broke.
    pub async fn send_patiently(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match &mut self.send {
            Send::One(send) => {
                send.ready().await?;
                send.send_request(request).await
            }
            Send::Two(send) => {
                send.ready().await?;
                send.send_request(request).await
            }
        }
    }

    /// Sends, and reads the whole answer.
    ///
    /// # Errors
    /// The connection or stream broke, before or in the answer.
    pub async fn try_ask(&mut self, request: Request<Body>) -> hyper::Result<Answer> {
        let response = self.send(request).await?;
        within("an answer's body", Answer::read(response)).await
    }

    /// [`Client::try_ask`] that must work.
    pub async fn ask(&mut self, request: Request<Body>) -> Answer {
        self.try_ask(request).await.unwrap()
    }

    /// `GET target`.
    pub async fn get(&mut self, target: &str) -> Answer {
        let request = self.request(&Method::GET, target, empty());
        self.ask(request).await
    }

    /// `GET target` with some fields.
    pub async fn get_with(&mut self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = self.request(&Method::GET, target, empty());
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request
                .headers_mut()
                .append(name, HeaderValue::from_str(value).unwrap());
        }
        self.ask(request).await
    }

    /// `POST target` with `body`.
    pub async fn post(&mut self, target: &str, body: impl Into<Bytes>) -> Answer {
        let request = self.request(&Method::POST, target, full(body));
        self.ask(request).await
    }

    /// Whether no further request can be sent.
    pub fn is_closed(&self) -> bool {
        match &self.send {
            Send::One(send) => send.is_closed(),
            Send::Two(send) => send.is_closed(),
        }
    }

    /// Waits until the connection has ended.
    ///
    /// # Errors
    /// It did not end in order.
    pub async fn ended(&mut self) -> hyper::Result<()> {
        let driver = self.driver.take().expect("the first handle of its connection");
        within("the connection's end", driver).await.unwrap()
    }

    /// Ends the connection at once, whatever is under way.
    pub fn abort(&self) {
        self.driver
            .as_ref()
            .expect("the first handle of its connection")
            .abort();
    }
}

/// A client's end of a connection, TLS or not.
#[derive(Debug)]
pub enum Wire {
    /// As it is.
    Tcp(TcpStream),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Plain TCP, where perhaps nobody listens.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        within("an answer to a knock", TcpStream::connect(address))
            .await
            .map(Self::Tcp)
    }
}

/// Opens TCP.
pub async fn tcp(address: SocketAddr) -> TcpStream {
    let tcp = within("a TCP connection", TcpStream::connect(address))
        .await
        .unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

/// Opens TLS as `localhost`, trusting the authority in `ca` alone, offering `http`.
pub async fn tls(address: SocketAddr, ca: &Path, http: Http) -> TlsStream<TcpStream> {
    try_tls(tcp(address).await, ca, http).await.unwrap()
}

/// TLS over an open connection.
///
/// # Errors
/// What the handshake failed of.
pub async fn try_tls(tcp: TcpStream, ca: &Path, http: Http) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&fs::read(ca).unwrap()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![http.alpn().to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    within("a TLS handshake", connecting).await
}

/// A client that writes bytes and reads what comes.
#[derive(Debug)]
pub struct Raw {
    /// Its connection.
    pub wire: Wire,
}

impl Raw {
    /// Sends `bytes`.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Sends `bytes` to a peer that may have closed.
    ///
    /// # Errors
    /// It has.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let sending = async {
            self.wire.write_all(bytes.as_ref()).await?;
            self.wire.flush().await
        };
        within("room to send", sending).await
    }

    /// The next head, with its empty line.
    pub async fn head(&mut self) -> String {
        let head = within("a head", crate::backend::read_head(&mut self.wire)).await;
        head.expect("the peer closed before a whole head")
    }

    /// The next answer: its head, and its body by `Content-Length` (none: no body).
    pub async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        within("a body", self.wire.read_exact(&mut body)).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// Everything until the peer closes. A reset counts as a close.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = within("the peer to close", self.wire.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Exactly `count` bytes.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within("some bytes", self.wire.read_exact(&mut bytes))
            .await
            .unwrap();
        bytes
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        match self.wire {
            Wire::Tcp(tcp) => crate::backend::reset(tcp),
            Wire::Tls(tls) => crate::backend::reset(tls.into_inner().0),
        }
    }
}

/// The value of a field in a head.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The status in a head.
pub fn status(head: &str) -> u16 {
    let mut words = head.split(' ');
    let status = words
        .nth(1)
        .and_then(|status| status.trim().get(..3)?.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {head:?}"))
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Waits until `ready` says so, for [`PATIENCE`] at most: for things that tell nobody when they change.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !ready().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "never came: {what}");
}
