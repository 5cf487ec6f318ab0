//! Backends to put behind the router: well-behaved ones made of hyper and a handler, and raw ones that write any bytes.

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

/// Any error of a body.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// A body in either direction.
pub type Body = BoxBody<Bytes, BoxError>;

type Reply = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Reply + Send + Sync>;

/// What a backend speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1 over TCP: `http://`.
    Http1,
    /// HTTP/2 over TCP, known beforehand: `h2c://`.
    H2c,
    /// HTTP/1.1 over TLS: `https://`.
    TlsHttp1,
    /// HTTP/2 over TLS: `https://`.
    TlsHttp2,
}

impl Speaks {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Http1, Self::H2c, Self::TlsHttp1, Self::TlsHttp2];

    /// Whether it is over TLS, with [`CA`].
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::TlsHttp1 | Self::TlsHttp2)
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Http1 => "http",
            Self::H2c => "h2c",
            Self::TlsHttp1 | Self::TlsHttp2 => "https",
        }
    }
}

/// A server on a port of its own. Dropping it closes the port and every connection at once.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it speaks.
    pub speaks: Speaks,
    accepting: AbortHandle,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
}

impl Server {
    /// A well-behaved server whose requests are answered by `handler`.
    pub fn new<F, R>(speaks: Speaks, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        Self::accept(listener("127.0.0.1:0"), speaks, move |tcp, counts| {
            serve(tcp, speaks, Arc::clone(&handler), counts)
        })
    }

    /// A well-behaved HTTP/1.1 server at `address`, whose requests are answered by `handler`.
    pub fn at<F, R>(address: &str, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        Self::accept(listener(address), Speaks::Http1, move |tcp, counts| {
            serve(tcp, Speaks::Http1, Arc::clone(&handler), counts)
        })
    }

    /// A server of plain TCP: `script` gets each connection and its number (from 0), and may do anything to it.
    pub fn raw<F, R>(script: F) -> Self
    where
        F: Fn(TcpStream, usize) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::accept(listener("127.0.0.1:0"), Speaks::Http1, move |tcp, counts| {
            script(tcp, counts.connections.load(Ordering::SeqCst) - 1)
        })
    }

    /// An HTTP/2 server over TCP that does not offer extended CONNECT (RFC 8441).
    pub fn h2c_without_connect<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        Self::accept(listener("127.0.0.1:0"), Speaks::H2c, move |tcp, counts| {
            speak_http2(tcp, Arc::clone(&handler), counts, false)
        })
    }

    fn accept<F, R>(listener: TcpListener, speaks: Speaks, each: F) -> Self
    where
        F: Fn(TcpStream, Arc<Counts>) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let counting = Arc::clone(&counts);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new(); // aborted when this task is
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    return;
                };
                let _ = tcp.set_nodelay(true);
                counting.connections.fetch_add(1, Ordering::SeqCst);
                let open = Open::new(&counting);
                let connection = each(tcp, Arc::clone(&counting));
                connections.spawn(async move {
                    let _open = open;
                    connection.await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            speaks,
            accepting: accepting.abort_handle(),
            counts,
        }
    }

    /// As `servers = [...]` wants it.
    pub fn url(&self) -> String {
        let host = if self.speaks.is_tls() {
            "localhost"
        } else {
            "127.0.0.1"
        };
        format!("{}://{host}:{}", self.speaks.scheme(), self.address.port())
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Requests that reached the handler so far. Raw servers count none.
    pub fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Open(Arc<Counts>);

impl Open {
    fn new(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

fn listener(address: &str) -> TcpListener {
    let listener = std::net::TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    TcpListener::from_std(listener).unwrap()
}

async fn serve(tcp: TcpStream, speaks: Speaks, handler: Handler, counts: Arc<Counts>) {
    match speaks {
        Speaks::Http1 => speak_http1(tcp, handler, counts).await,
        Speaks::H2c => speak_http2(tcp, handler, counts, true).await,
        Speaks::TlsHttp1 => {
            if let Ok(tls) = acceptor(b"http/1.1").accept(tcp).await {
                speak_http1(tls, handler, counts).await;
            }
        }
        Speaks::TlsHttp2 => {
            if let Ok(tls) = acceptor(b"h2").accept(tcp).await {
                speak_http2(tls, handler, counts, true).await;
            }
        }
    }
}

async fn speak_http1(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handler: Handler,
    counts: Arc<Counts>,
) {
    let service = service_fn(move |request| {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        let reply = handler(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let _ = builder
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades()
        .await; // a peer that went away is no news
}

async fn speak_http2(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handler: Handler,
    counts: Arc<Counts>,
    connect: bool,
) {
    let service = service_fn(move |request| {
        counts.requests.fetch_add(1, Ordering::SeqCst);
        let reply = handler(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    if connect {
        builder.enable_connect_protocol();
    }
    let _ = builder.serve_connection(TokioIo::new(io), service).await;
}

/// The authority that signed the certificate of TLS backends, as PEM.
pub static CA: LazyLock<String> = LazyLock::new(|| AUTHORITY.ca.clone());

struct Authority {
    ca: String,
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: Vec<u8>,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    Authority {
        ca: ca.pem(),
        chain: vec![leaf.der().clone()],
        key: key.serialize_der(),
    }
});

fn acceptor(alpn: &[u8]) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(AUTHORITY.key.clone()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(AUTHORITY.chain.clone(), key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

// Handlers and what they are made of.

/// Answers everything with `text`.
pub fn hello(
    text: &'static str,
) -> impl Fn(Request<Incoming>) -> std::future::Ready<Response<Body>> + Send + Sync + 'static {
    move |_| std::future::ready(Response::new(full(text)))
}

/// Answers with the request's own body, as it comes, trailers too.
pub async fn echo(request: Request<Incoming>) -> Response<Body> {
    Response::new(request.into_body().map_err(Into::into).boxed())
}

/// Answers with the request as JSON: `method`, `target`, `version`, `headers` (a list of `[name, value]`), `body` as text.
pub async fn mirror(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        serde_json::json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
    };
    let seen = serde_json::json!({
        "method": head.method.as_str(),
        "target": head.uri.path_and_query().map(ToString::to_string),
        "authority": head.uri.authority().map(ToString::to_string),
        "version": format!("{:?}", head.version),
        "headers": head.headers.iter().map(pair).collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(&body),
    });
    let mut response = Response::new(full(seen.to_string()));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body of known length.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A body of unknown length that ends with `trailers`.
pub fn with_trailers(bytes: impl Into<Bytes>, trailers: HeaderMap) -> Body {
    let frames: [Result<_, BoxError>; 2] = [Ok(Frame::data(bytes.into())), Ok(Frame::trailers(trailers))];
    BodyExt::boxed(StreamBody::new(stream::iter(frames)))
}

/// A body that is fed piece by piece; it ends when the sender is dropped, and breaks with an `Err`.
pub fn channel() -> (mpsc::Sender<Result<Bytes, BoxError>>, Body) {
    let (sender, receiver) = mpsc::channel::<Result<Bytes, BoxError>>(1);
    let frames = stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    (sender, BodyExt::boxed(StreamBody::new(frames)))
}

// For raw servers.

/// Reads up to the empty line that ends a head; `None` when the peer closes before.
pub async fn read_head(io: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Makes the socket's end a reset (RST) instead of an orderly FIN.
pub fn reset(tcp: TcpStream) {
    let _ = socket2::SockRef::from(&tcp).set_linger(Some(std::time::Duration::ZERO));
    drop(tcp);
}

/// Reads and throws away until the peer closes; how many bytes there were.
pub async fn drain(io: &mut (impl AsyncRead + Unpin)) -> io::Result<u64> {
    tokio::io::copy(io, &mut tokio::io::sink()).await
}
