//! What stands between `h2` and the byte stream: writes are gathered, and each received frame is looked at.
//!
//! `h2` flushes behind every DATA frame. Here a flush only marks the bytes as due; whoever polls the connection pushes them out
//! when that poll is done: one TLS record batch and one system call for all that was ready.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use crate::stream::{Stream, append};

/// Gathered writes. More waits inside `h2`.
const OUT_BYTES_MAX: usize = 64 * 1024;

/// What is read at once when `h2` asks for less than is held back.
const SCRATCH_BYTES: usize = 4 * 1024;

/// A connection's byte stream. Cloned: one for `h2`, one for the task that polls it.
#[derive(Debug, Clone)]
pub(super) struct Socket(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    stream: Stream,
    frames: Frames,
    /// Received, but not to be passed on before more has come.
    held: BytesMut,
    /// Received and judged, but there was no room.
    ready: BytesMut,
    out: BytesMut,
    /// Bytes written since the beginning.
    written: u64,
}

impl Socket {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            stream,
            frames: Frames::new(),
            held: BytesMut::new(),
            ready: BytesMut::new(),
            out: BytesMut::new(),
            written: 0,
        })))
    }

    /// Writes what was gathered. Pending: the peer doesn't take it.
    pub(super) fn poll_push(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_push(cx))?;
        Pin::new(&mut inner.stream).poll_flush(cx)
    }

    /// Bytes written so far: whether the peer takes anything at all.
    pub(super) fn written(&self) -> u64 {
        self.0.borrow().written
    }

    /// Whether the peer's SETTINGS came.
    pub(super) fn settings_seen(&self) -> bool {
        self.0.borrow().frames.settings_seen
    }

    /// Whether the peer sent a GOAWAY.
    pub(super) fn going_away(&self) -> bool {
        self.0.borrow().frames.going_away
    }
}

impl Inner {
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(n);
            self.written += n as u64;
        }
        if self.out.capacity() > 0 {
            self.out = BytesMut::new(); // an idle connection holds no buffer
        }
        Poll::Ready(Ok(()))
    }

    /// Room for at least one byte of `wanted` more.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        if self.out.len() + wanted > OUT_BYTES_MAX
            && self.poll_push(cx)?.is_pending()
            && self.out.len() >= OUT_BYTES_MAX
        {
            return Poll::Pending;
        }
        Poll::Ready(Ok(OUT_BYTES_MAX.saturating_sub(self.out.len()).min(wanted)))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while buf.remaining() > 0 {
            if !self.ready.is_empty() {
                let n = self.ready.len().min(buf.remaining());
                append(buf, &self.ready.split_to(n));
                return Poll::Ready(Ok(()));
            }
            if buf.remaining() <= self.held.len() {
                ready!(self.poll_read_aside(cx))?;
                continue;
            }
            let start = buf.filled().len();
            append(buf, &self.held);
            let before = buf.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(cx, buf);
            if !matches!(read, Poll::Ready(Ok(()))) || buf.filled().len() == before {
                buf.set_filled(start); // what is held stays held; at the end of bytes it is not worth anything
                return read;
            }
            let fresh = buf.filled_mut().get_mut(start..).unwrap_or_default();
            let passed = self.frames.judge(fresh);
            self.held.clear();
            append(&mut self.held, fresh.split_at(passed).1);
            buf.set_filled(start + passed);
            if self.held.is_empty() {
                self.held = BytesMut::new();
            }
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads behind what is held, and passes to `ready` what is whole then.
    fn poll_read_aside(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH_BYTES];
        let mut piece = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        append(&mut self.held, piece.filled());
        let passed = self.frames.judge(&self.held);
        self.ready = self.held.split_to(passed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.borrow_mut();
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        let room = ready!(inner.poll_room(cx, wanted))?;
        let mut left = room;
        for buf in bufs {
            let (part, _) = buf.split_at(left.min(buf.len()));
            append(&mut inner.out, part);
            left -= part.len();
        }
        Poll::Ready(Ok(room))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // see the module's note: `Socket::poll_push` does it
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.borrow_mut();
        ready!(inner.poll_push(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}
