//! Opens a connection to a server: name, TCP, TLS, within one deadline.

use std::{io, net::SocketAddr, time::Duration};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Scheme, ServerAddress, server::TlsClient};
use crate::stream::{Socket, Stream};

/// Addresses of one name that are tried, at most.
const ADDRESSES_MAX: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("the name {0} could not be resolved: {1}")]
    Dns(String, #[source] io::Error),
    /// Somebody said no.
    #[error("connection refused by {0}")]
    Refused(SocketAddr),
    /// No answer in time, name, TCP and TLS together.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    /// TLS failed: the certificate is not trusted, the protocol not spoken.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// As many connections are open as the backend's `connections_max` allows.
    #[error("all {0} connections to the server are taken")]
    Full(usize),
    /// Any other failure of the network.
    #[error("the network failed: {0}")]
    Io(#[source] io::Error),
    /// HTTP/2 did not come about.
    #[error("HTTP/2 failed to start: {0}")]
    Http2(String),
}

/// A connection, and whether HTTP/2 was agreed on.
#[derive(Debug)]
pub struct Connected {
    /// Its bytes.
    pub stream: Stream,
    /// HTTP/2 is spoken on it.
    pub http2: bool,
}

/// Connects to `address` within `timeout`.
///
/// # Errors
/// [`ConnectError`] says how far it came.
pub async fn connect(
    address: &ServerAddress,
    tls: Option<&TlsClient>,
    timeout: Duration,
) -> Result<Connected, ConnectError> {
    match tokio::time::timeout(timeout, open(address, tls)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ConnectError::TimedOut(timeout)),
    }
}

async fn open(address: &ServerAddress, tls: Option<&TlsClient>) -> Result<Connected, ConnectError> {
    let tcp = dial(address).await?;
    tcp.set_nodelay(true).map_err(ConnectError::Io)?;
    match address.scheme {
        Scheme::Http => Ok(Connected {
            stream: Stream::Tcp(tcp),
            http2: false,
        }),
        Scheme::H2c => Ok(Connected {
            stream: Stream::Tcp(tcp),
            http2: true,
        }),
        Scheme::Https => secure(address, tls, tcp).await,
    }
}

async fn secure(
    address: &ServerAddress,
    tls: Option<&TlsClient>,
    tcp: TcpStream,
) -> Result<Connected, ConnectError> {
    let missing = || ConnectError::Tls(io::Error::other("no TLS settings for this backend"));
    let config = tls.ok_or_else(missing)?;
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = TlsConnector::from(std::sync::Arc::clone(&config.0));
    let stream = connector
        .connect(name, Socket::new(tcp))
        .await
        .map_err(ConnectError::Tls)?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Connected {
        stream: Stream::tls_client(stream),
        http2,
    })
}

/// Tries the addresses of a name in the order that the resolver gives them.
async fn dial(address: &ServerAddress) -> Result<TcpStream, ConnectError> {
    if let Ok(ip) = address.host.parse::<std::net::IpAddr>() {
        return dial_one(SocketAddr::new(ip, address.port)).await;
    }
    let dns = |error| ConnectError::Dns(address.host.clone(), error);
    let found = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(dns)?;
    let mut last = dns(io::Error::new(io::ErrorKind::NotFound, "no address"));
    for one in found.take(ADDRESSES_MAX) {
        match dial_one(one).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn dial_one(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    TcpStream::connect(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused(address),
            _ => ConnectError::Io(error),
        })
}
