//! Reading from a stream: small reads through one buffer per core, large ones straight into the connection's own.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::stream::{Stream, append, copied};

/// Bytes of a read that goes through the core's buffer. A head fits, and so does one TLS record.
const SMALL: usize = 16 * 1024;
/// Bytes of a read straight into a connection's buffer, once it has shown that it sends much.
const BULK: usize = 64 * 1024;
/// A bulk read that brings less than this goes back to small ones.
const BULK_MIN: usize = 4 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SMALL].into_boxed_slice());
}

/// What a connection has received and nobody has taken yet. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) buffer: BytesMut,
    bulk: bool,
}

impl Intake {
    /// Reads once, and tells how many bytes came; 0 is the end.
    ///
    /// At most 64 KiB are added. The kernel's readiness is cleared by a short read, so asking again costs no system call.
    pub(super) fn poll_fill(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.bulk {
            self.poll_bulk(stream, cx)
        } else {
            self.poll_small(stream, cx)
        }
    }

    /// Lets go of a buffer that holds nothing.
    pub(super) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.bulk = false;
        }
    }

    fn poll_small(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(stream).poll_read(cx, &mut read))?;
            let filled = read.filled();
            if self.buffer.is_empty() {
                // exactly as large as needed: what is sliced out of it may live as long as the exchange
                self.buffer = copied(filled);
            } else {
                append(&mut self.buffer, filled);
            }
            self.bulk = filled.len() == SMALL;
            Poll::Ready(Ok(filled.len()))
        })
    }

    fn poll_bulk(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(BULK);
        let mut room = (&mut self.buffer).limit(BULK); // what is more than this would be written in two goes
        let count = ready!(pin!(stream.read_buf(&mut room)).poll(cx))?;
        self.bulk = count >= BULK_MIN;
        Poll::Ready(Ok(count))
    }
}

/// Whether an error on reading means that the peer ended its side. TLS reports a missing `close_notify` that way.
pub(super) fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}
