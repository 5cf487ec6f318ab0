//! TLS as a byte stream whose bytes are copied in pieces.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::pieces::{PIECE_BYTES, append};

/// Bytes of records that wait to be sent at most, and so what one write takes: a connection's full output (64 KiB and a frame over
/// it) with all headers. With rustls' own 64 KiB every full write was followed by a tiny one.
pub(super) const RECORDS_BYTES_MAX: usize = 84 * 1024;
/// Pieces that one write hands on.
const PIECES_MAX: usize = RECORDS_BYTES_MAX / PIECE_BYTES;

/// A TLS connection of tokio-rustls, of either side.
#[derive(Debug)]
pub struct Secure<T> {
    tls: T,
    /// What came behind bytes that were read; the next read tells.
    error: Option<io::Error>,
}

impl<T> Secure<T> {
    /// A connection whose handshake is done.
    #[must_use]
    pub const fn new(tls: T) -> Self {
        Self { tls, error: None }
    }
}

impl<T: AsyncBufRead + Unpin> AsyncRead for Secure<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            let stop = match Pin::new(&mut this.tls).poll_fill_buf(cx) {
                Poll::Ready(Ok([])) => break,
                Poll::Ready(Ok(data)) => {
                    let now = data.len().min(buf.remaining());
                    append(buf, data.get(..now).unwrap_or_default());
                    Pin::new(&mut this.tls).consume(now);
                    continue;
                }
                other => other.map_ok(|_| ()),
            };
            if buf.filled().len() == before {
                return stop;
            }
            if let Poll::Ready(Err(error)) = stop {
                this.error = Some(error);
            }
            break;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Secure<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.len() > PIECE_BYTES {
            return self.poll_write_vectored(cx, &[IoSlice::new(buf)]);
        }
        Pin::new(&mut self.get_mut().tls).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tls = Pin::new(&mut self.get_mut().tls);
        if bufs.iter().all(|buf| buf.len() <= PIECE_BYTES) {
            return tls.poll_write_vectored(cx, bufs);
        }
        let mut pieces = [IoSlice::new(&[]); PIECES_MAX];
        let all = bufs.iter().flat_map(|buf| buf.chunks(PIECE_BYTES));
        let mut count = 0;
        for (place, piece) in pieces.iter_mut().zip(all) {
            *place = IoSlice::new(piece);
            count += 1;
        }
        tls.poll_write_vectored(cx, pieces.get(..count).unwrap_or_default())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "secure_tests.rs"]
mod tests;
