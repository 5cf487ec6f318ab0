//! A kept body: a few pieces that every answer shares, and how they are collected while it arrives.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use super::NotKept;
use crate::body::{Body, BodyError};

/// Bytes of a piece. What is received comes in smaller ones, which may each pin a read buffer of their connection.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes of the first piece's first room: most answers are small.
const FIRST_BYTES: usize = 4 * 1024;

/// A body's pieces; cloning shares them.
#[derive(Clone, Default)]
pub struct Chunks {
    pieces: Arc<[Bytes]>,
    len: u64,
}

impl Chunks {
    /// These pieces, in this order.
    #[must_use]
    pub fn new(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        Self {
            len: pieces.iter().map(|piece| piece.len() as u64).sum(),
            pieces: pieces.into(),
        }
    }

    /// How many bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// All of it, to be sent. Nothing is copied.
    #[must_use]
    pub fn body(&self) -> Body {
        match &*self.pieces {
            [] => Body::Empty,
            [only] => Body::Full(only.clone()),
            _ => self.range(0, self.len),
        }
    }

    /// Its bytes from `from` to before `to`, to be sent. Nothing is copied; what is beyond its end is left out.
    #[must_use]
    pub fn range(&self, from: u64, to: u64) -> Body {
        let to = to.min(self.len);
        let mut skip = from.min(to);
        let left = to - skip;
        if left == 0 {
            return Body::Empty;
        }
        let mut at = 0;
        while let Some(piece) = self.pieces.get(at).filter(|piece| piece.len() as u64 <= skip) {
            skip -= piece.len() as u64;
            at += 1;
        }
        let mut sending = Sending {
            chunks: self.clone(),
            at,
            skip: usize::try_from(skip).unwrap_or(usize::MAX),
            left,
        };
        match sending.next() {
            Some(only) if sending.left == 0 => Body::Full(only),
            Some(_) => {
                (sending.at, sending.skip, sending.left) = (at, usize::try_from(skip).unwrap_or(0), left);
                Body::Wrapped(Box::pin(sending))
            }
            None => Body::Empty,
        }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {} pieces", self.len, self.pieces.len())
    }
}

/// A kept body on its way out.
struct Sending {
    chunks: Chunks,
    /// The next piece.
    at: usize,
    /// Bytes of it that are not wanted.
    skip: usize,
    /// Bytes that are to come.
    left: u64,
}

impl Iterator for Sending {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let piece = self.chunks.pieces.get(self.at).filter(|_| self.left > 0)?;
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let begin = self.skip.min(piece.len());
        let end = begin.saturating_add(left).min(piece.len());
        (self.at, self.skip) = (self.at + 1, 0);
        self.left -= (end - begin) as u64;
        Some(piece.slice(begin..end))
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.get_mut().next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What answers that are being collected may take together, and take.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) most: AtomicU64,
    pub(super) taken: AtomicU64,
}

/// An answer's body that is being collected, counted against the bound on all of them until it is dropped.
#[derive(Debug)]
pub struct Collecting {
    room: Arc<Room>,
    /// The most that is kept of one.
    entry_max: u64,
    done: Vec<Bytes>,
    last: BytesMut,
    len: u64,
}

impl Collecting {
    pub(super) fn new(room: &Arc<Room>, entry_max: u64) -> Option<Self> {
        let (most, taken) = (&room.most, &room.taken);
        (taken.load(Ordering::Relaxed) < most.load(Ordering::Relaxed)).then(|| Self {
            room: Arc::clone(room),
            entry_max,
            done: Vec::new(),
            last: BytesMut::new(),
            len: 0,
        })
    }

    /// How many bytes there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a piece, which is copied: the one received may pin a much larger buffer.
    ///
    /// # Errors
    /// [`NotKept::Large`] and [`NotKept::Full`]; it is of no use then.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), NotKept> {
        let more = piece.len() as u64;
        if self.len.saturating_add(more) > self.entry_max {
            return Err(NotKept::Large);
        }
        let taken = self.room.taken.fetch_add(more, Ordering::Relaxed);
        self.len += more; // given back on drop, whatever comes of it
        if taken.saturating_add(more) > self.room.most.load(Ordering::Relaxed) {
            return Err(NotKept::Full);
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let free = PIECE_BYTES.saturating_sub(self.last.len());
            let (now, later) = rest.split_at_checked(free).unwrap_or((rest, &[]));
            if self.last.is_empty() {
                self.last.reserve(FIRST_BYTES.max(now.len()));
            }
            self.last.extend_from_slice(now);
            if self.last.len() >= PIECE_BYTES {
                self.end_piece();
            }
            rest = later;
        }
        Ok(())
    }

    /// All of it.
    #[must_use]
    pub fn finish(mut self) -> Chunks {
        self.end_piece();
        Chunks::new(std::mem::take(&mut self.done))
    }

    /// A piece has no spare room, so that what is counted is what it takes.
    fn end_piece(&mut self) {
        let piece = std::mem::take(&mut self.last);
        self.done.push(Bytes::from(Box::<[u8]>::from(&*piece)));
    }
}

impl Drop for Collecting {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.len, Ordering::Relaxed);
    }
}
