//! One direction of a tunnel: read a piece, write it, keep only what the receiver did not take.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{frames::FrameTracker, io::TunnelIo};

/// The most that a direction holds: what one read brought and the receiver has not taken.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Pieces moved before other work on the core gets its turn.
const PIECES_PER_TURN: usize = 16;

/// Which side a direction failed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    Reading,
    Writing,
}

/// One direction. An idle one holds no buffer.
#[derive(Debug, Default)]
pub(super) struct Pump {
    /// Read but not yet written, from `held_at` on.
    held: Vec<u8>,
    held_at: usize,
    /// Written since the last flush.
    unflushed: bool,
    /// The reader has seen the end.
    ended: bool,
    /// The end was passed on.
    finished: bool,
    /// Bytes passed on, without what was injected.
    pub(super) bytes: u64,
    frames: Option<FrameTracker>,
    /// What to send at the next boundary, and then nothing more.
    farewell: Option<Vec<u8>>,
    /// Everything that still comes is read and thrown away.
    discarding: bool,
}

impl Pump {
    /// A direction of raw bytes or, with `frames`, of WebSocket frames.
    pub(super) fn new(frames: bool) -> Self {
        Self {
            frames: frames.then(FrameTracker::default),
            ..Self::default()
        }
    }

    /// Sends `farewell` at the next frame boundary, unless a Close has gone by; then only listens.
    pub(super) fn close_with(&mut self, farewell: Vec<u8>) {
        if self.frames.as_ref().is_some_and(FrameTracker::close_seen) || self.ended {
            self.discarding = true;
        } else {
            self.farewell = Some(farewell);
        }
    }

    /// Whether the sender of this direction has said that it is done: a Close frame, or the end of its bytes.
    pub(super) fn sender_done(&self) -> bool {
        self.ended || self.frames.as_ref().is_some_and(FrameTracker::close_seen)
    }

    /// Whether the farewell has left, and nothing else is to be sent.
    pub(super) fn said_farewell(&self) -> bool {
        self.discarding && self.held.is_empty() && !self.unflushed
    }

    /// Whether the sender ended inside a frame, so that no farewell can follow.
    pub(super) fn torn(&self) -> bool {
        self.ended && self.farewell.is_some()
    }

    /// The receiver is gone: from now on only listens to the sender.
    pub(super) fn abandon(&mut self) {
        self.held = Vec::new();
        self.held_at = 0;
        self.farewell = None;
        self.unflushed = false;
        self.discarding = true;
    }

    /// Moves what can be moved. Ready when the end was passed on; `moved` is set when anything came or went.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TunnelIo,
        to: &mut TunnelIo,
        moved: &mut bool,
    ) -> Poll<Result<(), Failed>> {
        for _ in 0..PIECES_PER_TURN {
            if self.finished {
                return Poll::Ready(Ok(()));
            }
            self.farewell_if_due();
            ready!(self.poll_drain(cx, to, moved)).map_err(|_| Failed::Writing)?;
            if self.ended {
                // After a farewell the receiver still has to answer it: it is shut down when both directions are done.
                let end = match (self.discarding, self.unflushed) {
                    (true, true) => Pin::new(&mut *to).poll_flush(cx),
                    (true, false) => Poll::Ready(Ok(())),
                    (false, _) => Pin::new(&mut *to).poll_shutdown(cx),
                };
                ready!(end).map_err(|_| Failed::Writing)?;
                self.unflushed = false;
                self.finished = true;
                return Poll::Ready(Ok(()));
            }
            let mut scratch = [const { MaybeUninit::uninit() }; PIECE_BYTES_MAX];
            let mut piece = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut *from).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) if self.discarding => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failed::Reading)),
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Failed::Writing)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
            *moved = true;
            if piece.filled().is_empty() {
                self.ended = true;
            } else {
                self.take(cx, piece.filled(), to).map_err(|_| Failed::Writing)?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn farewell_if_due(&mut self) {
        if self.farewell.is_none() || !self.held.is_empty() {
            return;
        }
        if self.frames.as_ref().is_none_or(FrameTracker::at_boundary)
            && let Some(farewell) = self.farewell.take()
        {
            self.held = farewell;
            self.held_at = 0;
            self.discarding = true;
        }
    }

    /// Passes `piece` on; what the receiver does not take at once is held.
    fn take(&mut self, cx: &mut Context<'_>, piece: &[u8], to: &mut TunnelIo) -> io::Result<()> {
        let stop = self.farewell.is_some();
        let n = match &mut self.frames {
            Some(frames) => frames.advance(piece, stop && !self.discarding),
            None => piece.len(),
        };
        if self.discarding {
            return Ok(());
        }
        let (forward, behind) = piece.split_at(n);
        let mut farewell = None;
        if let (Some(frames), false) = (&mut self.frames, behind.is_empty()) {
            // Frames behind the boundary are thrown away, but a Close among them still counts as the sender's answer or wish.
            frames.advance(behind, false);
            self.discarding = true;
            farewell = self.farewell.take();
        }
        self.bytes += forward.len() as u64;
        let mut rest = forward;
        while !rest.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => {
                    self.unflushed = true;
                    rest = rest.split_at(n.min(rest.len())).1;
                }
                Poll::Pending => break,
            }
        }
        self.held = rest.to_vec();
        self.held.extend(farewell.unwrap_or_default());
        self.held_at = 0;
        Ok(())
    }

    fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut TunnelIo,
        moved: &mut bool,
    ) -> Poll<io::Result<()>> {
        while let Some((_, rest)) = self.held.split_at_checked(self.held_at)
            && !rest.is_empty()
        {
            let n = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *moved = true;
            self.unflushed = true;
            self.held_at += n;
        }
        self.held = Vec::new();
        self.held_at = 0;
        Poll::Ready(Ok(()))
    }
}
