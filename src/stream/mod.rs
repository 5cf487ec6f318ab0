//! The byte streams that a connection may run over, as one type.

mod pieces;
mod secure;
mod socket;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::TcpStream,
};

use self::secure::{RECORDS_BYTES_MAX, Secure};
pub use self::{
    pieces::{append, copied},
    socket::{AHEAD_BYTES, Socket},
};

/// A connected byte stream: TCP, TLS over TCP on either side, or memory (tests and benchmarks).
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS that a client opened to us.
    TlsServer(Box<Secure<tokio_rustls::server::TlsStream<Socket>>>),
    /// TLS that we opened to a server.
    TlsClient(Box<Secure<tokio_rustls::client::TlsStream<Socket>>>),
    /// A pipe in memory.
    Memory(DuplexStream),
}

impl Stream {
    /// TLS that a client opened to us.
    #[must_use]
    pub fn tls_server(mut tls: tokio_rustls::server::TlsStream<Socket>) -> Self {
        tls.get_mut().1.set_buffer_limit(Some(RECORDS_BYTES_MAX));
        Self::TlsServer(Box::new(Secure::new(tls)))
    }

    /// TLS that we opened to a server.
    #[must_use]
    pub fn tls_client(mut tls: tokio_rustls::client::TlsStream<Socket>) -> Self {
        tls.get_mut().1.set_buffer_limit(Some(RECORDS_BYTES_MAX));
        Self::TlsClient(Box::new(Secure::new(tls)))
    }
}

macro_rules! each {
    ($self:expr, $io:ident => $call:expr) => {
        match $self {
            Self::Tcp($io) => $call,
            Self::TlsServer($io) => $call,
            Self::TlsClient($io) => $call,
            Self::Memory($io) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, io => io.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}
