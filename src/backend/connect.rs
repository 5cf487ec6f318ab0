//! Opens a connection to a server: name, TCP, TLS, each in its time.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Scheme, Server, ServerAddress, server::TlsClient};
use crate::{
    clock,
    stream::{Socket, Stream},
};

/// Addresses of one name that are tried for one connection, at most.
const ADDRESSES_MAX: usize = 6;

/// How long an address has for itself before the next one is tried beside it (RFC 8305 section 5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("the name {0} has no address")]
    Dns(String),
    /// Somebody said no.
    #[error("connection refused by {0}")]
    Refused(SocketAddr),
    /// No connection in time, name and TCP together.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    /// There is a connection, but TLS did not come about in time.
    #[error("no TLS handshake within {0:?}")]
    TlsTimedOut(Duration),
    /// TLS failed: the certificate is not trusted, the protocol not spoken.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// As many connections are open as the backend's `connections_max` allows.
    #[error("all {0} connections to the server are taken")]
    Full(usize),
    /// As many connections are open as the backend (or squad) of this name may have in all.
    #[error("all connections of {0} are taken")]
    FullWhole(Arc<str>),
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
    /// The far end's address; `None`: it is over memory.
    pub peer: Option<IpAddr>,
}

/// How long a connection may take to come about.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Name and TCP.
    pub connect: Duration,
    /// TLS. `None`: what is left of the first.
    pub tls: Option<Duration>,
}

/// Connects to `server` within `patience`.
///
/// # Errors
/// [`ConnectError`] says how far it came.
pub async fn connect(
    server: &Server,
    tls: Option<&TlsClient>,
    patience: Patience,
) -> Result<Connected, ConnectError> {
    let (address, began) = (&server.address, clock::steady());
    let (tcp, peer) = match tokio::time::timeout(patience.connect, reach(server)).await {
        Ok(reached) => reached?,
        Err(_) if server.addresses().is_empty() => return Err(ConnectError::Dns(address.host.clone())),
        Err(_) => return Err(ConnectError::TimedOut(patience.connect)),
    };
    let peer = Some(peer);
    if address.scheme != Scheme::Https {
        return Ok(Connected {
            stream: Stream::Tcp(tcp),
            http2: address.scheme == Scheme::H2c,
            peer,
        });
    }
    let spent = clock::steady().saturating_duration_since(began);
    let (left, told) = match patience.tls {
        Some(tls) => (tls, tls),
        None => (patience.connect.saturating_sub(spent), patience.connect),
    };
    let secured = tokio::time::timeout(left, secure(address, tls, tcp, peer)).await;
    secured.unwrap_or(Err(ConnectError::TlsTimedOut(told)))
}

async fn reach(server: &Server) -> Result<(TcpStream, IpAddr), ConnectError> {
    let address = &server.address;
    // just after the start the control plane may still be asking for the name
    let reached = dial(&address.host, &server.names.wait().await, address.port).await?;
    reached.0.set_nodelay(true).map_err(ConnectError::Io)?;
    Ok(reached)
}

async fn secure(
    address: &ServerAddress,
    tls: Option<&TlsClient>,
    tcp: TcpStream,
    peer: Option<IpAddr>,
) -> Result<Connected, ConnectError> {
    let missing = || ConnectError::Tls(io::Error::other("no TLS settings for this backend"));
    let config = tls.ok_or_else(missing)?;
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connector = TlsConnector::from(Arc::clone(&config.0));
    let stream = connector
        .connect(name, Socket::new(tcp))
        .await
        .map_err(ConnectError::Tls)?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Connected {
        stream: Stream::tls_client(stream),
        http2,
        peer,
    })
}

/// Tries the addresses of a name, IPv6 and IPv4 by turns, the next one whenever one fails or takes its time; the first connection
/// wins (RFC 8305, "Happy Eyeballs").
async fn dial(host: &str, addresses: &[IpAddr], port: u16) -> Result<(TcpStream, IpAddr), ConnectError> {
    let mut next = by_turns(addresses).into_iter();
    let first = next.next().ok_or_else(|| ConnectError::Dns(host.to_owned()))?;
    if next.len() == 0 {
        return dial_at(first, port).await;
    }
    let mut attempts = FuturesUnordered::new();
    attempts.push(dial_at(first, port));
    loop {
        let ended = match next.len() {
            0 => attempts.next().await,
            _ => match tokio::time::timeout(ATTEMPT_DELAY, attempts.next()).await {
                Ok(ended) => ended,
                Err(_) => {
                    attempts.extend(next.next().map(|ip| dial_at(ip, port)));
                    continue;
                }
            },
        };
        match (ended, next.next()) {
            (Some(Ok(connected)), _) => return Ok(connected),
            (_, Some(ip)) => attempts.push(dial_at(ip, port)),
            (Some(Err(error)), None) if attempts.is_empty() => return Err(error),
            (Some(Err(_)), None) => {}
            (None, None) => return Err(ConnectError::Dns(host.to_owned())),
        }
    }
}

/// IPv6 first, then by turns, each kind in its own order (RFC 8305 section 4).
fn by_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let of_kind = |v6: bool| addresses.iter().copied().filter(move |ip| ip.is_ipv6() == v6);
    let (mut six, mut four) = (of_kind(true), of_kind(false));
    let mut order = Vec::with_capacity(addresses.len().min(ADDRESSES_MAX));
    loop {
        let pair = [six.next(), four.next()];
        if pair == [None, None] || order.len() >= ADDRESSES_MAX {
            order.truncate(ADDRESSES_MAX);
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

async fn dial_at(ip: IpAddr, port: u16) -> Result<(TcpStream, IpAddr), ConnectError> {
    let tcp = dial_one(SocketAddr::new(ip, port)).await?;
    Ok((tcp, ip))
}

async fn dial_one(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    TcpStream::connect(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused(address),
            _ => ConnectError::Io(error),
        })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::net::TcpListener;

    use super::{ADDRESSES_MAX, ATTEMPT_DELAY, ConnectError, by_turns, dial};
    use crate::clock;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn kinds_of_addresses_take_turns() {
        let order = by_turns(&ips(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"]));
        assert_eq!(order, ips(&["fd00::1", "10.0.0.1", "10.0.0.2", "10.0.0.3"]));
        let many: Vec<IpAddr> = (0..50).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        assert_eq!(by_turns(&many).len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn a_refused_address_costs_nothing() {
        let there = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let port = there.local_addr().unwrap().port();
        let began = clock::steady();
        let (_, peer) = dial("web", &ips(&["127.0.0.1", "127.0.0.3", "127.0.0.2"]), port)
            .await
            .unwrap();
        assert_eq!(peer, ips(&["127.0.0.2"])[0]);
        assert!(began.elapsed() < ATTEMPT_DELAY);
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_costs_a_quarter_of_a_second() {
        let there = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = there.local_addr().unwrap().port();
        // 240.0.0.0/4 goes nowhere: either no answer ever, or no route at once
        let (_, peer) = dial("web", &ips(&["240.0.0.1", "127.0.0.1"]), port)
            .await
            .unwrap();
        assert_eq!(peer, ips(&["127.0.0.1"])[0]);
    }

    #[tokio::test]
    async fn when_all_refuse_the_last_says_so() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let refused = dial("web", &ips(&["127.0.0.1", "127.0.0.2"]), port).await;
        assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
        assert!(matches!(dial("web", &[], port).await, Err(ConnectError::Dns(_))));
    }
}
