//! TCP as TLS likes it: few system calls, and nothing held while idle.
//!
//! rustls asks for 4 KiB at a time, and writes one record with the call that is meant for many pieces. Here a read takes all that is
//! there, up to [`AHEAD_BYTES`], through a buffer of the core; what TLS did not ask for yet waits in the connection, as long as there
//! is any.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::append;

/// Most bytes that one read takes from the kernel: four whole records and their headers.
pub const AHEAD_BYTES: usize = 66 * 1024;

/// What was received beyond this stays in the buffer that it came in; less is copied out of it.
const COPY_MAX: usize = 16 * 1024;

/// Empty buffers that a core keeps for the next reads. More are needed only while many connections have not taken what came.
const SPARE_MAX: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A TCP connection under TLS.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    /// Received, and not asked for yet.
    ahead: Vec<u8>,
    /// How much of it was received.
    filled: usize,
    /// How much of that has been taken.
    taken: usize,
}

impl Socket {
    /// A connection that has carried nothing yet.
    #[must_use]
    pub const fn new(tcp: TcpStream) -> Self {
        Self {
            tcp,
            ahead: Vec::new(),
            filled: 0,
            taken: 0,
        }
    }

    /// Waits until something was received, and shows its beginning without taking it; empty is the end.
    ///
    /// # Errors
    /// As the socket.
    pub async fn peek(&mut self) -> io::Result<&[u8]> {
        if self.ahead.is_empty() {
            std::future::poll_fn(|cx| self.poll_ahead(cx, None)).await?;
        }
        Ok(self.ahead.get(self.taken..self.filled).unwrap_or_default())
    }

    /// The connection underneath.
    #[must_use]
    pub const fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    /// Receives once. What `buf` has no room for waits.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, buf: Option<&mut ReadBuf<'_>>) -> Poll<io::Result<()>> {
        let mut room = spare();
        let mut read = ReadBuf::new(&mut room);
        let polled = Pin::new(&mut self.tcp).poll_read(cx, &mut read);
        let received = read.filled();
        let now = buf.map_or(0, |buf| {
            let now = received.len().min(buf.remaining());
            append(buf, received.get(..now).unwrap_or_default());
            now
        });
        let (filled, rest) = (received.len(), received.get(now..).unwrap_or_default());
        if rest.len() > COPY_MAX {
            (self.ahead, self.filled, self.taken) = (room, filled, now);
            return polled;
        }
        if !rest.is_empty() {
            self.ahead = Vec::with_capacity(rest.len());
            append(&mut self.ahead, rest);
            (self.filled, self.taken) = (rest.len(), 0);
        }
        give_back(room);
        polled
    }
}

/// A buffer of [`AHEAD_BYTES`].
fn spare() -> Vec<u8> {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| vec![0; AHEAD_BYTES])
}

/// Keeps a buffer of [`spare`] for the next read; frees any other.
fn give_back(room: Vec<u8>) {
    SPARE.with_borrow_mut(|spare| {
        if room.len() == AHEAD_BYTES && spare.len() < SPARE_MAX {
            spare.push(room);
        }
    });
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return this.poll_ahead(cx, Some(buf));
        }
        let ahead = this.ahead.get(this.taken..this.filled).unwrap_or_default();
        let now = ahead.len().min(buf.remaining());
        append(buf, ahead.get(..now).unwrap_or_default());
        this.taken += now;
        if this.taken == this.filled {
            give_back(std::mem::take(&mut this.ahead));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tcp = Pin::new(&mut self.get_mut().tcp);
        match bufs {
            [only] => tcp.poll_write(cx, only),
            _ => tcp.poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
