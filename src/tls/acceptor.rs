//! The TLS handshake with a client, under a deadline.

use std::{fmt, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    AlertDescription, CipherSuite, Error as RustlsError, HandshakeKind, InvalidMessage, ProtocolVersion,
    ServerConfig,
    crypto::aws_lc_rs::Ticketer,
    server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache},
    sign::CertifiedKey,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    stream::{Socket, Stream},
    tls::{ALPN_H2, ALPN_HTTP1, certs::CertStore},
};

/// Sessions kept for TLS 1.2 clients that know session ids but no tickets, about 200 bytes each. The oldest go first.
pub const SESSIONS_MAX: usize = 4096;
/// Tickets given after a TLS 1.3 handshake: a browser opens a second connection now and then, and uses each once.
const TICKETS: usize = 2;

/// What is needed to answer a TLS handshake. Cheap to clone; all cores share one.
///
/// Sharing takes no lock that matters: the certificates are behind an [`ArcSwap`]; the ticket keys are behind a
/// `RwLock` inside rustls that is only written when they rotate, every six hours; the session cache's mutex is taken
/// by TLS 1.2 handshakes without a ticket alone. None of them is on the path of a request, and all cores must share
/// the keys, or a client that comes back on another core could not resume.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    certs: Arc<Resolver>,
}

impl ServerTls {
    /// Builds what all handshakes share. TLS 1.2 and 1.3, no early data (a replayed request must not exist).
    ///
    /// # Errors
    /// When the system has no randomness for the ticket keys.
    pub fn new(certs: CertStore) -> Result<Self, RustlsError> {
        let certs = Arc::new(Resolver {
            store: ArcSwap::from_pointee(certs),
        });
        let mut config = ServerConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certs) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
        config.ticketer = Ticketer::new()?;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        config.send_tls13_tickets = TICKETS;
        config.max_early_data_size = 0;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certs,
        })
    }

    /// Shows `certs` to every handshake from now on. Open connections keep what they have.
    pub fn swap(&self, certs: CertStore) {
        self.certs.store.store(Arc::new(certs));
    }

    /// The certificates in use, for metrics and as the `previous` of the next [`CertStore::read`].
    #[must_use]
    pub fn certs(&self) -> Arc<CertStore> {
        self.certs.store.load_full()
    }

    /// Answers one handshake within `timeout`.
    ///
    /// # Errors
    /// [`TlsError`]; the socket is closed, after an alert where TLS knows one for the case.
    pub async fn accept(&self, tcp: TcpStream, timeout: Duration) -> Result<(Stream, TlsFacts), TlsError> {
        let stream = tokio::time::timeout(timeout, self.shake(tcp))
            .await
            .map_err(|_| TlsError::Timeout)??;
        let (_, connection) = stream.get_ref();
        let facts = TlsFacts {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
                _ => TlsVersion::Tls13,
            },
            alpn_h2: connection.alpn_protocol() == Some(ALPN_H2),
            cipher: connection
                .negotiated_cipher_suite()
                .and_then(|suite| openssl_name(suite.suite())),
            sni: connection.server_name().map(Arc::from),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        Ok((Stream::tls_server(stream), facts))
    }

    async fn shake(&self, tcp: TcpStream) -> Result<TlsStream<Socket>, TlsError> {
        let mut socket = Socket::new(tcp);
        match socket.peek().await {
            Ok([first, ..]) if first.is_ascii_uppercase() => {
                answer_plain_http(socket.tcp()).await;
                Err(TlsError::NotTls)
            }
            _ => self
                .acceptor
                .accept(socket)
                .await
                .map_err(|error| TlsError::from_io(&error)),
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// Tells somebody who left the `s` out of `https` what is wrong, as a browser can show it.
async fn answer_plain_http(tcp: &mut TcpStream) {
    // What has come since is taken first: closing a socket with unread bytes resets it, and the answer would be lost.
    let mut taken = [0; 4096];
    let _ = tcp.try_read(&mut taken);
    let _ = tcp.write_all(PLAIN_HTTP.as_bytes()).await;
    let _ = tcp.shutdown().await;
}

/// The answer to a request without TLS.
const PLAIN_HTTP: &str = "HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 61\r\n\
    connection: close\r\n\r\n\
    This port speaks HTTPS. Ask for the same address by https://\n";

/// What a handshake settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// Which TLS.
    pub version: TlsVersion,
    /// HTTP/2 was agreed on; otherwise HTTP/1.1, also when the client named nothing.
    pub alpn_h2: bool,
    /// The cipher suite, as OpenSSL and so most logs call it.
    pub cipher: Option<&'static str>,
    /// The host that the client asked for, lower case.
    pub sni: Option<Arc<str>>,
    /// An earlier session was taken up again, without a certificate being shown.
    pub resumed: bool,
}

/// The suites that are spoken, all that rustls has.
const fn openssl_name(suite: CipherSuite) -> Option<&'static str> {
    Some(match suite {
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    })
}

/// Versions of TLS that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    /// As OpenTelemetry's `tls.protocol.version` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// It took too long.
    #[error("the handshake took too long")]
    Timeout,
    /// The client went away in the middle: a health probe, a scanner, a closed tab.
    #[error("the client closed the connection during the handshake")]
    Closed,
    /// What came was not TLS, most often plain HTTP.
    #[error("the client does not speak TLS")]
    NotTls,
    /// The client did not like the certificate (an unknown CA, a wrong name, expired).
    #[error("the client refused the certificate: {0}")]
    CertificateRefused(String),
    /// There is no certificate that this client could use.
    #[error("no certificate for this client")]
    NoCertificate,
    /// No version, suite or protocol in common, or a broken message.
    #[error("{0}")]
    Failed(String),
}

impl TlsError {
    /// A word from a fixed set, for a metric label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::CertificateRefused(_) => "certificate_refused",
            Self::NoCertificate => "no_certificate",
            Self::Failed(_) => "failed",
        }
    }

    fn from_io(error: &io::Error) -> Self {
        let Some(tls) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<RustlsError>())
        else {
            return Self::Closed;
        };
        match tls {
            RustlsError::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            RustlsError::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA),
            ) => Self::CertificateRefused(format!("{alert:?}")),
            RustlsError::General(text) if text.contains("no server certificate chain") => Self::NoCertificate,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Answers rustls' question for a certificate from the store that is in use at that moment.
#[derive(Debug)]
struct Resolver {
    store: ArcSwap<CertStore>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let store = self.store.load();
        let pair = store.find(hello.server_name(), hello.signature_schemes())?;
        Some(Arc::clone(&pair.certified))
    }
}
