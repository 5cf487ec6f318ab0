//! What is known of each stream while it is open.

use std::task::Waker;

use bytes::BytesMut;
use http::HeaderMap;

use super::flow::{ReceiveWindow, SendWindow};
use crate::body::BodyError;

/// A stream, as those hold it who work for it: the stream may be gone, and its slot another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) slot: usize,
    pub(super) id: u32,
}

/// How far our answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// The head is still to come.
    Head,
    /// The body is under way.
    Body,
    /// END_STREAM was written.
    Ended,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) sending: Sending,
    pub(super) send_window: SendWindow,
    /// The answer waits for the stream's own window.
    pub(super) starved: bool,
    /// The answer waits in one of the connection's queues.
    pub(super) queued: bool,
    /// END_STREAM was received.
    pub(super) received_all: bool,
    pub(super) receive_window: ReceiveWindow,
    /// Received, and not taken by a reader yet.
    pub(super) received: BytesMut,
    pub(super) trailers: Option<Result<HeaderMap, BodyError>>,
    /// Bytes that `content-length` still promises.
    pub(super) promised: Option<u64>,
    /// Nobody reads the body (any more).
    pub(super) unread: bool,
    /// Who waits for more of the body.
    pub(super) reader: Option<Waker>,
}

impl Stream {
    /// Wakes who reads the body.
    pub(super) fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Slots that a connection without streams keeps.
const SLOTS_KEPT: usize = 2;

/// The open streams of a connection. Without any it holds next to no memory.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: Vec<Option<Stream>>,
    /// The number of each slot's stream, 0 for none: looked through for every frame.
    ids: Vec<u32>,
    open: usize,
}

impl Streams {
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn find(&self, id: u32) -> Option<Handle> {
        let slot = self.ids.iter().position(|other| *other == id)?;
        Some(Handle { slot, id })
    }

    pub(super) fn insert(&mut self, stream: Stream) -> Handle {
        let id = stream.id;
        let slot = match self.ids.iter().position(|id| *id == 0) {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.ids.push(0);
                self.ids.len() - 1
            }
        };
        if let (Some(place), Some(number)) = (self.slots.get_mut(slot), self.ids.get_mut(slot)) {
            *place = Some(stream);
            *number = id;
            self.open += 1;
        }
        Handle { slot, id }
    }

    pub(super) fn get(&self, at: Handle) -> Option<&Stream> {
        let stream = self.slots.get(at.slot)?.as_ref();
        stream.filter(|stream| stream.id == at.id)
    }

    pub(super) fn get_mut(&mut self, at: Handle) -> Option<&mut Stream> {
        let stream = self.slots.get_mut(at.slot)?.as_mut();
        stream.filter(|stream| stream.id == at.id)
    }

    /// The stream in a slot.
    pub(super) fn at(&self, slot: usize) -> Option<Handle> {
        let stream = self.slots.get(slot)?.as_ref()?;
        Some(Handle { slot, id: stream.id })
    }

    pub(super) fn remove(&mut self, at: Handle) -> Option<Stream> {
        self.get(at)?;
        let stream = self.slots.get_mut(at.slot)?.take();
        *self.ids.get_mut(at.slot)? = 0;
        self.open -= 1;
        if self.open == 0 {
            self.slots.truncate(SLOTS_KEPT);
            self.slots.shrink_to(SLOTS_KEPT);
            self.ids.truncate(SLOTS_KEPT);
        }
        stream
    }

    /// All of them, with their slots.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Stream)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(slot, stream)| stream.as_mut().map(|stream| (slot, stream)))
    }
}
