//! What waits to be written: heads and small pieces gathered into one buffer, a large piece beside it uncopied.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::encode;
use crate::stream::Stream;

/// A piece up to this size is copied behind what waits already; a larger one is written from where it lies.
const COPY_MAX: usize = 4 * 1024;
/// With this much waiting, nothing more is taken: back pressure.
const FULL: usize = 16 * 1024;
/// Room of a buffer from the start: a head and a small body.
const ROOM: usize = 4 * 1024;
/// A written-out buffer larger than this is freed.
const KEEP_MAX: usize = 2 * FULL;
/// Empty buffers that a core keeps for its connections: as many as are written to at one time, seldom more than a few.
const SPARE_MAX: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// How a piece of a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    /// As it is.
    Plain,
    /// As one chunk (RFC 9112 section 7.1).
    Chunk,
}

/// Bytes on their way out, in order: `small`, `large`, `tail`.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    small: Vec<u8>,
    sent: usize,
    large: Bytes,
    tail: &'static [u8],
    unflushed: bool,
    written: u64,
}

impl Outbox {
    /// Where a head is written. Only while [`Outbox::has_room`].
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        if self.small.capacity() == 0 {
            let spare = SPARE.with_borrow_mut(Vec::pop);
            self.small = spare.unwrap_or_else(|| Vec::with_capacity(ROOM));
        }
        &mut self.small
    }

    /// Whether more may be put in.
    pub(super) fn has_room(&self) -> bool {
        self.large.is_empty() && self.tail.is_empty() && self.small.len() < FULL
    }

    /// Whether all is written and flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.large.is_empty() && self.tail.is_empty() && !self.unflushed
    }

    /// Bytes that the stream has taken, ever.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Puts a piece of a body in. Only while [`Outbox::has_room`].
    pub(super) fn push(&mut self, data: Bytes, wrap: Wrap) {
        if data.is_empty() {
            return; // an empty chunk would be the last one
        }
        if wrap == Wrap::Chunk {
            encode::chunk_size(self.text(), data.len());
        }
        let tail: &'static [u8] = match wrap {
            Wrap::Plain => b"",
            Wrap::Chunk => b"\r\n",
        };
        if data.len() <= COPY_MAX {
            let small = self.text();
            small.extend_from_slice(&data);
            small.extend_from_slice(tail);
        } else {
            self.large = data;
            self.tail = tail;
        }
    }

    /// Puts the last chunk in, with what trails. Only while [`Outbox::has_room`].
    pub(super) fn push_last_chunk(&mut self, trailers: Option<&HeaderMap>) {
        self.text().extend_from_slice(b"0\r\n");
        if let Some(trailers) = trailers {
            encode::fields(&mut self.small, trailers);
        }
        self.small.extend_from_slice(b"\r\n");
    }

    /// Writes all that waits, and flushes.
    ///
    /// # Errors
    /// As the stream; also [`io::ErrorKind::WriteZero`].
    pub(super) fn poll_send(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.small.len() || !self.large.is_empty() || !self.tail.is_empty() {
            let head = self.small.get(self.sent..).unwrap_or_default();
            let count = if self.large.is_empty() && self.tail.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, head))?
            } else {
                let parts = [
                    IoSlice::new(head),
                    IoSlice::new(&self.large),
                    IoSlice::new(self.tail),
                ];
                let parts = if head.is_empty() {
                    parts.get(1..)
                } else {
                    parts.get(..)
                };
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, parts.unwrap_or_default()))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        self.written += count as u64;
        let from_small = count.min(self.small.len() - self.sent);
        self.sent += from_small;
        if self.sent == self.small.len() {
            self.sent = 0;
            give_back(std::mem::take(&mut self.small));
        }
        let count = count - from_small;
        let from_large = count.min(self.large.len());
        self.large.advance(from_large);
        self.tail = self.tail.get(count - from_large..).unwrap_or_default();
        if self.large.is_empty() {
            self.large = Bytes::new(); // an emptied slice would still hold its buffer
        }
    }
}

/// Keeps an emptied buffer for whoever writes next on this core.
fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    if (ROOM..=KEEP_MAX).contains(&buffer.capacity()) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(buffer);
            }
        });
    }
}
