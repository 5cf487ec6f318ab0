//! One end of a tunnel: a whole HTTP/1.1 connection, or one HTTP/2 stream.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::{Stream, append, copied};

/// The most that one write hands to an HTTP/2 stream: one frame of the size that every peer takes.
const WRITE_BYTES_MAX: usize = 16 * 1024;

/// One end of a tunnel. Dropping it closes the socket, or resets the stream with `CANCEL`.
#[derive(Debug)]
pub struct TunnelIo(Kind);

#[derive(Debug)]
enum Kind {
    Http1 {
        stream: Stream,
        /// What came behind the head that changed the protocol.
        leftover: BytesMut,
    },
    Http2 {
        send: SendStream<Bytes>,
        recv: RecvStream,
        /// The rest of a DATA frame that was larger than the reader's buffer.
        held: Bytes,
    },
    Piped(Box<dyn Pipe>),
}

/// A pipe of another kind.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug> Pipe for T {}

impl TunnelIo {
    /// A connection that spoke HTTP/1.1, with the bytes already read behind its last head.
    #[must_use]
    pub fn http1(stream: Stream, leftover: BytesMut) -> Self {
        Self(Kind::Http1 { stream, leftover })
    }

    /// What somebody else made a pipe of: the stream of a client's extended CONNECT (RFC 8441).
    pub(crate) fn piped(pipe: impl Pipe + 'static) -> Self {
        Self(Kind::Piped(Box::new(pipe)))
    }

    /// The stream of an extended CONNECT of ours: END_STREAM is the end of one direction, a reset the failure of both.
    #[must_use]
    pub fn http2(send: SendStream<Bytes>, recv: RecvStream) -> Self {
        Self(Kind::Http2 {
            send,
            recv,
            held: Bytes::new(),
        })
    }
}

impl AsyncRead for TunnelIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Http1 { stream, leftover } if leftover.is_empty() => Pin::new(stream).poll_read(cx, buf),
            Kind::Http1 { leftover, .. } => {
                hand_out(leftover, buf);
                if leftover.is_empty() {
                    *leftover = BytesMut::new(); // a tunnel lives long: give the head's buffer back
                }
                Poll::Ready(Ok(()))
            }
            Kind::Http2 { recv, held, .. } => {
                while held.is_empty() {
                    match ready!(recv.poll_data(cx)) {
                        Some(data) => *held = data.map_err(io_error)?,
                        None => return Poll::Ready(Ok(())),
                    }
                }
                let n = hand_out(held, buf);
                recv.flow_control().release_capacity(n).map_err(io_error)?;
                Poll::Ready(Ok(()))
            }
            Kind::Piped(pipe) => Pin::new(pipe).poll_read(cx, buf),
        }
    }
}

/// Moves as much as fits.
fn hand_out(from: &mut impl Buf, to: &mut ReadBuf<'_>) -> usize {
    let chunk = from.chunk();
    let n = chunk.len().min(to.remaining());
    let (part, _) = chunk.split_at(n);
    append(to, part);
    from.advance(n);
    n
}

impl AsyncWrite for TunnelIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Http1 { stream, .. } => Pin::new(stream).poll_write(cx, buf),
            Kind::Http2 { send, .. } => {
                if buf.is_empty() {
                    return Poll::Ready(Ok(0));
                }
                send.reserve_capacity(buf.len().min(WRITE_BYTES_MAX));
                let mut room = send.capacity();
                while room == 0 {
                    room = match ready!(send.poll_capacity(cx)) {
                        Some(room) => room.map_err(io_error)?,
                        None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                    };
                }
                let (part, _) = buf.split_at(room.min(buf.len()).min(WRITE_BYTES_MAX));
                send.send_data(copied(part).freeze(), false).map_err(io_error)?;
                Poll::Ready(Ok(part.len()))
            }
            Kind::Piped(pipe) => Pin::new(pipe).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Http1 { stream, .. } => Pin::new(stream).poll_flush(cx),
            Kind::Piped(pipe) => Pin::new(pipe).poll_flush(cx),
            Kind::Http2 { .. } => Poll::Ready(Ok(())), // the connection's own task writes
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Http1 { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Kind::Http2 { send, .. } => {
                send.reserve_capacity(0);
                Poll::Ready(send.send_data(Bytes::new(), true).map_err(io_error))
            }
            Kind::Piped(pipe) => Pin::new(pipe).poll_shutdown(cx),
        }
    }
}

fn io_error(error: h2::Error) -> io::Error {
    if error.is_io() {
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}
