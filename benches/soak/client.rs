//! Connections to the router, and what can be asked on them. Each failure is a text that says what was missed.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::spawn_local,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What came of it.
pub(super) type Done<T = ()> = Result<T, String>;
/// A request's body.
pub(super) type Body = Full<Bytes>;

/// Makes an error say what was tried.
pub(super) fn failed<E: std::fmt::Debug>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}

/// How connections to the router are made.
pub(super) struct Dialer {
    https: SocketAddr,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Dialer {
    /// Trusts the authority in that file.
    pub(super) fn new(https: SocketAddr, authority: &Path) -> Self {
        let pem = fs::read(authority).expect("the authority's certificate");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots
                .add(certificate.expect("a certificate"))
                .expect("an authority");
        }
        let speaks = |protocol: &[u8]| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let builder = builder.expect("TLS 1.3").with_root_certificates(roots.clone());
            let mut config = builder.with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Self {
            https,
            http1: speaks(b"http/1.1"),
            http2: speaks(b"h2"),
        }
    }

    /// A TCP connection on which nothing was said; `receive` bytes may wait in it, if that is given.
    pub(super) async fn tcp(&self, receive: Option<u32>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(self.https).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// TLS on which HTTP/1.1 was agreed.
    pub(super) async fn tls(&self, receive: Option<u32>) -> Done<TlsStream<TcpStream>> {
        self.secure(&self.http1, receive).await
    }

    async fn secure(&self, tls: &TlsConnector, receive: Option<u32>) -> Done<TlsStream<TcpStream>> {
        let tcp = self.tcp(receive).await.map_err(failed("connect"))?;
        let name = ServerName::try_from("localhost").map_err(failed("name"))?;
        tls.connect(name, tcp).await.map_err(failed("TLS"))
    }

    /// An HTTP/1.1 connection.
    pub(super) async fn http1(&self) -> Done<http1::SendRequest<Body>> {
        let tls = self.tls(None).await?;
        let begun = http1::handshake(TokioIo::new(tls)).await;
        let (sender, connection) = begun.map_err(failed("HTTP/1.1"))?;
        spawn_local(connection);
        Ok(sender)
    }

    /// An HTTP/2 connection.
    pub(super) async fn http2(&self) -> Done<http2::SendRequest<Body>> {
        let tls = self.secure(&self.http2, None).await?;
        let begun = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await;
        let (sender, connection) = begun.map_err(failed("HTTP/2"))?;
        spawn_local(connection);
        Ok(sender)
    }

    /// A request for either version.
    pub(super) fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Body> {
        let uri = format!("https://localhost:{}{path}", self.https.port());
        let request = Request::builder().method(method).uri(uri);
        let request = request.header("user-agent", "soak/1").header("accept", "*/*");
        request.body(Full::new(body)).expect("a request")
    }

    /// The same in the form that HTTP/1.1 asks for.
    pub(super) fn request1(&self, method: Method, path: &str, body: Bytes) -> Request<Body> {
        let mut request = self.request(method, path, body);
        *request.uri_mut() = path.parse().expect("a path");
        let host = format!("localhost:{}", self.https.port());
        request
            .headers_mut()
            .insert("host", host.parse().expect("a name"));
        request
    }
}

/// Reads an answer to its end: it must be a 200.
pub(super) async fn whole(response: Response<Incoming>) -> Done<usize> {
    let (head, mut body) = response.into_parts();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(failed("body"))?;
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    match head.status.as_u16() {
        200 => Ok(bytes),
        status => Err(format!("status {status}")),
    }
}

/// That so many bytes came as were to come.
pub(super) fn of_length(bytes: usize, expected: usize) -> Done {
    if bytes == expected {
        return Ok(());
    }
    Err(format!("{bytes} bytes instead of {expected}"))
}

/// Waits for a while.
pub(super) async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
