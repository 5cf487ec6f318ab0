//! The floor: TLS, or nothing, in front of a byte copy. It knows no HTTP, and has a connection to the backend for each client.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, thread};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
};
use tokio_rustls::TlsAcceptor;

use super::{end_with_parent, runtime, wire::provider};

/// Bytes copied at once: what fits four TLS records.
const PIECE: usize = 64 * 1024;

/// What the relay is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Relay {
    pub(super) tls: SocketAddr,
    pub(super) plain: SocketAddr,
    pub(super) backend: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) threads: usize,
}

/// Relays until whoever started it is gone.
pub(super) fn run(relay: &str) {
    let relay: Relay = serde_json::from_str(relay).expect("a relay");
    let acceptor = acceptor(&relay).expect("a certificate and its key");
    end_with_parent();
    let threads: Vec<_> = (0..relay.threads)
        .map(|_| {
            let (relay, acceptor) = (relay.clone(), acceptor.clone());
            thread::spawn(move || LocalSet::new().block_on(&runtime(), serve(relay, acceptor)))
        })
        .collect();
    for thread in threads {
        thread.join().expect("it never ends").expect("sockets");
    }
}

fn acceptor(relay: &Relay) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let certificates = CertificateDer::pem_file_iter(&relay.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&relay.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(relay: Relay, acceptor: TlsAcceptor) -> io::Result<()> {
    let backend = relay.backend;
    let plain = listener(relay.plain)?;
    spawn_local(async move {
        while let Ok((stream, _)) = plain.accept().await {
            spawn_local(async move { copy(stream, backend).await });
        }
    });
    let tls = listener(relay.tls)?;
    loop {
        let (stream, _) = tls.accept().await?;
        let acceptor = acceptor.clone();
        spawn_local(async move {
            stream.set_nodelay(true)?;
            copy(acceptor.accept(stream).await?, backend).await
        });
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

async fn copy(mut client: impl AsyncRead + AsyncWrite + Unpin, backend: SocketAddr) -> io::Result<()> {
    let mut backend = TcpStream::connect(backend).await?;
    backend.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, PIECE, PIECE).await?;
    Ok(())
}
