//! Accepts connections on one core, within limits, and finds out what they speak.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::{
    edge::{Edge, Peer},
    exchange::Exchanges,
};
use crate::{
    http1, http2,
    limits::Limits,
    observe::{
        metrics::{Family, Label},
        record::{Listener, TlsFacts},
    },
    stream::Stream,
    tls::acceptor::ServerTls,
    wire::Phase,
};

/// How long a core that is out of descriptors waits before it accepts again.
const BREATHER: Duration = Duration::from_millis(50);

/// One socket of one core.
#[derive(Debug)]
pub struct Door {
    /// The socket.
    pub socket: TcpListener,
    /// What is spoken there.
    pub listener: Listener,
    /// TLS, on an https listener.
    pub tls: Option<Arc<ServerTls>>,
    /// Connections that may be open here at once.
    pub room: Rc<Semaphore>,
}

/// Accepts until the core drains.
pub async fn accept(door: Door, edge: Rc<Edge>) {
    let mut drain = edge.drain.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.reached(Phase::Draining) => break,
            accepted = door.socket.accept() => accepted,
        };
        match accepted {
            Ok((tcp, address)) => {
                // The seat comes second: a door that held one while nobody knocks would keep it from the others.
                let seat = tokio::select! {
                    biased;
                    seat = LocalPermit::take(Rc::clone(&door.room)) => seat,
                    () = drain.reached(Phase::Draining) => break,
                };
                let peer = Peer {
                    listener: door.listener,
                    address,
                    port: local_port(&tcp),
                    tls: None,
                };
                begin(tcp, peer, &door, &edge, seat);
            }
            Err(error) => {
                failed(&edge, door.listener, "accept");
                if !is_the_peers(&error) {
                    tracing::warn!(%error, listener = door.listener.as_str(), "accept failed");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }
    if drain.phase() != Phase::HandedOver {
        take_the_last(&door, &edge); // else they are in the other program's queue as well
    }
}

/// What is begun here doesn't hold the door: the socket must close with a drain's begin, however long connections last.
fn begin(tcp: TcpStream, peer: Peer, door: &Door, edge: &Rc<Edge>, seat: LocalPermit) {
    let (tls, edge) = (door.tls.clone(), Rc::clone(edge));
    tokio::task::spawn_local(async move {
        serve(tcp, peer, tls, &edge).await;
        drop(seat);
    });
}

/// Connections that the kernel has accepted already would be reset with the socket: they are served to their first answer.
fn take_the_last(door: &Door, edge: &Rc<Edge>) {
    while let Some(Ok((tcp, address))) = door.socket.accept().now_or_never() {
        let Ok(permit) = door.room.try_acquire() else {
            return;
        };
        permit.forget();
        let peer = Peer {
            listener: door.listener,
            address,
            port: local_port(&tcp),
            tls: None,
        };
        begin(tcp, peer, door, edge, LocalPermit(Rc::clone(&door.room)));
    }
}

/// A seat on a core. (tokio's owned permits want an `Arc`; nothing here leaves the core.)
struct LocalPermit(Rc<Semaphore>);

impl LocalPermit {
    async fn take(room: Rc<Semaphore>) -> Self {
        if let Ok(permit) = room.acquire().await {
            permit.forget();
        }
        Self(room)
    }
}

impl Drop for LocalPermit {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

fn local_port(tcp: &TcpStream) -> u16 {
    tcp.local_addr().map_or(0, |address| address.port())
}

/// A connection that its client gave up before it was accepted is no trouble of ours.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn serve(tcp: TcpStream, mut peer: Peer, tls: Option<Arc<ServerTls>>, edge: &Rc<Edge>) {
    let _ = tcp.set_nodelay(true);
    let limits = Arc::clone(&edge.view.load().limits);
    match (peer.listener, tls) {
        (Listener::Https, Some(tls)) => {
            // Boxed: what a handshake needs would stay in the connection's task for as long as that lasts.
            let (stream, facts) = match Box::pin(tls.accept(tcp, limits.handshake_timeout)).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, peer = %peer.address, "handshake failed");
                    return failed(edge, peer.listener, "handshake");
                }
            };
            let http2 = facts.alpn_h2;
            let resumed = if facts.resumed { "true" } else { "false" };
            let labels = [Label::Word(facts.version.as_str()), Label::Word(resumed)];
            edge.observe.count(Family::TlsHandshakes, &labels, 1);
            peer.tls = Some(Rc::new(TlsFacts {
                version: facts.version.as_str(),
                cipher: facts.cipher,
                server_name: facts.sni,
                resumed: facts.resumed,
            }));
            speak(stream, http2, peer, edge, &limits).await;
        }
        (Listener::Https, None) => {}
        (Listener::Http, _) => speak(Stream::Tcp(tcp), false, peer, edge, &limits).await,
        (Listener::Private, _) => {
            let mut drain = edge.drain.clone();
            let knocking = tokio::time::timeout(limits.idle_timeout, knocks_with_http2(&tcp));
            let knocked = tokio::select! {
                knocked = knocking => knocked,
                () = drain.idle_is_over() => return,
            };
            let Ok(Ok(http2)) = knocked else { return };
            speak(Stream::Tcp(tcp), http2, peer, edge, &limits).await;
        }
    }
}

fn failed(edge: &Edge, listener: Listener, stage: &'static str) {
    edge.observe.count(
        Family::ConnectionFailures,
        &[Label::Word(listener.as_str()), Label::Word(stage)],
        1,
    );
}

async fn speak(stream: Stream, http2: bool, peer: Peer, edge: &Rc<Edge>, limits: &Limits) {
    let protocol = if http2 { "http/2" } else { "http/1.1" };
    let labels = [Label::Word(peer.listener.as_str()), Label::Word(protocol)];
    edge.observe.count(Family::Connections, &labels, 1);
    let _open = edge.observe.hold(Family::ConnectionsOpen, &labels);
    let service = Exchanges {
        edge: Rc::clone(edge),
        peer,
    };
    // Boxed: a connection holds what its own protocol needs, not the larger of the two.
    if http2 {
        let serving = http2::server::serve(stream, Rc::new(service), limits, edge.drain.clone());
        Box::pin(serving).await;
    } else {
        Box::pin(http1::server::serve(stream, &service, limits, edge.drain.clone())).await;
    }
}

/// Whether the first bytes are HTTP/2's preface (RFC 9113 section 3.4). Three tell: no method that we take begins with `PRI`.
async fn knocks_with_http2(tcp: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI";
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = tcp.peek(&mut first).await?;
        let Some(seen) = first.get(..seen) else {
            return Ok(false);
        };
        if seen.is_empty() || !PREFACE.starts_with(seen) {
            return Ok(false);
        }
        if seen.len() == PREFACE.len() {
            return Ok(true);
        }
        // Peeking again would return the same bytes at once: wait for the rest to arrive.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
