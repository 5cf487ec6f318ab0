//! Puts answers into a connection's output, frame by frame.

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};

use super::{
    conn::Conn,
    frame::{self, FRAME_BYTES_MAX, HEADER_BYTES, flag, kind},
    stream::{Handle, Sending, Stream},
};
use crate::fields::{Fields, Known, KnownSet};

/// Bytes of one answer that are taken in a row while others wait.
pub(super) const TURN_BYTES: usize = 32 * 1024;

/// Fields that have no place in HTTP/2 (RFC 9113 section 8.2.2).
const CONNECTION_FIELDS: KnownSet = KnownSet::of(&[
    Known::CONNECTION,
    Known::KEEP_ALIVE,
    Known::PROXY_CONNECTION,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
]);

/// What is said about an answer's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// What its fields say, if they do.
    AsIs,
    /// Nothing.
    Untold,
    /// This.
    Told(u64),
}

/// What became of data that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it is on its way.
    All,
    /// Others come first, or the output is full: the future is polled when it is its turn.
    Later,
    /// The client gives no room: the future is polled when it does.
    NoWindow,
    /// There is no such stream any more.
    Gone,
}

impl Conn {
    /// Whether the head of an answer may be put in now. If not, the stream's future is polled when it may.
    pub(super) fn poll_room(&mut self, at: Handle) -> bool {
        if self.has_room() || self.streams.get(at).is_none() {
            return true;
        }
        self.wait(at, false);
        false
    }

    /// Writes the head of the final answer. False: nobody waits for it.
    pub(super) fn answer(
        &mut self,
        at: Handle,
        status: StatusCode,
        fields: &Fields,
        length: Length,
        date: &[u8],
        end: bool,
    ) -> bool {
        let Some(stream) = answerable(self.streams.get_mut(at)) else {
            return false;
        };
        stream.sending = if end { Sending::Ended } else { Sending::Body };
        let begin = self.begin_block(48 * fields.len() + 64);
        self.encoder.begin(&mut self.out, status);
        self.fields(fields, length);
        if let Length::Told(length) = length {
            let mut text = itoa::Buffer::new();
            let text = text.format(length).as_bytes();
            self.encoder.known(&mut self.out, Known::CONTENT_LENGTH, text);
        }
        if !fields.contains_key(Known::DATE) {
            self.encoder.known(&mut self.out, Known::DATE, date);
        }
        frame::finish_block(&mut self.out, begin, at.id, end);
        true
    }

    /// Writes an interim answer, unless the final one has begun or too much waits already.
    pub(super) fn inform(&mut self, at: Handle, status: StatusCode, fields: &Fields) {
        // 101 has no meaning here (RFC 9113 section 8.6).
        let meant = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        if !meant || !self.has_room() || answerable(self.streams.get_mut(at)).is_none() {
            return;
        }
        let begin = self.begin_block(48 * fields.len());
        self.encoder.begin(&mut self.out, status);
        self.fields(fields, Length::AsIs);
        frame::finish_block(&mut self.out, begin, at.id, false);
        self.ready.wake_task();
    }

    fn begin_block(&mut self, bytes: usize) -> usize {
        let begin = self.out.len();
        self.out.reserve(HEADER_BYTES + bytes);
        self.out.extend_from_slice(&[0; HEADER_BYTES]);
        begin
    }

    fn fields(&mut self, fields: &Fields, length: Length) {
        for (name, value) in fields.iter() {
            let value = value.as_bytes();
            match name.known {
                Some(known) if CONNECTION_FIELDS.has(known) => {}
                Some(Known::TE) if value != b"trailers" => {}
                Some(Known::CONTENT_LENGTH) if length != Length::AsIs => {}
                Some(known) => self.encoder.known(&mut self.out, known, value),
                None => self.encoder.other(&mut self.out, name.as_str().as_bytes(), value),
            }
        }
    }

    /// Writes as much of `piece` as there is room for, and takes it off; of `turn`, too. `last`: nothing comes behind it.
    pub(super) fn send(&mut self, at: Handle, piece: &mut Bytes, last: bool, turn: &mut usize) -> Sent {
        loop {
            let has_room = self.has_room() && *turn > 0;
            let room = self.send_window.room();
            let Some(stream) = sendable(self.streams.get_mut(at)) else {
                return Sent::Gone;
            };
            // The windows first: whose time for one runs out must learn that there is none whenever it asks.
            if stream.send_window.room() == 0 {
                stream.starved = true;
                return Sent::NoWindow;
            }
            if room == 0 {
                self.wait(at, true);
                return Sent::NoWindow;
            }
            if !has_room {
                self.wait(at, false);
                return Sent::Later;
            }
            let count = room
                .min(stream.send_window.room())
                .min(FRAME_BYTES_MAX)
                .min(piece.len());
            stream.send_window.use_up(count);
            let end = last && count == piece.len();
            if end {
                stream.sending = Sending::Ended;
            }
            self.send_window.use_up(count);
            let flags = if end { flag::END_STREAM } else { 0 };
            let (part, _) = piece.split_at_checked(count).unwrap_or_default();
            frame::frame(&mut self.out, kind::DATA, flags, at.id, part);
            self.expect_updates();
            self.ready.wake_task();
            piece.advance(count);
            *turn = turn.saturating_sub(count);
            if piece.is_empty() {
                return Sent::All;
            }
        }
    }

    /// Ends an answer behind what was sent of it.
    pub(super) fn end(&mut self, at: Handle) {
        if let Some(stream) = sendable(self.streams.get_mut(at)) {
            stream.sending = Sending::Ended;
            frame::frame(&mut self.out, kind::DATA, flag::END_STREAM, at.id, &[]);
            self.expect_updates();
            self.ready.wake_task();
        }
    }

    /// Ends an answer with trailers.
    pub(super) fn end_with(&mut self, at: Handle, trailers: &HeaderMap) {
        let trailers = Fields::from(trailers);
        let Some(stream) = sendable(self.streams.get_mut(at)) else {
            return;
        };
        stream.sending = Sending::Ended;
        let begin = self.begin_block(48 * trailers.len());
        self.encoder.begin_trailers(&mut self.out);
        self.fields(&trailers, Length::AsIs);
        frame::finish_block(&mut self.out, begin, at.id, true);
        self.ready.wake_task();
    }

    /// Has the stream's future polled when there is room, or first when there is a window.
    fn wait(&mut self, at: Handle, for_window: bool) {
        if let Some(stream) = self.streams.get_mut(at)
            && !std::mem::replace(&mut stream.queued, true)
        {
            let queue = if for_window {
                &mut self.starved
            } else {
                &mut self.waiting
            };
            queue.push_back(at.slot);
        }
    }

    /// The slot whose turn it is to be polled, if there is room for what it has.
    pub(super) fn next_waiting(&mut self) -> Option<usize> {
        if !self.has_room() {
            return None;
        }
        let slot = self.waiting.pop_front()?;
        if let Some(at) = self.streams.at(slot)
            && let Some(stream) = self.streams.get_mut(at)
        {
            stream.queued = false;
        }
        Some(slot)
    }
}

fn answerable(stream: Option<&mut Stream>) -> Option<&mut Stream> {
    stream.filter(|stream| stream.sending == Sending::Head)
}

fn sendable(stream: Option<&mut Stream>) -> Option<&mut Stream> {
    stream.filter(|stream| stream.sending == Sending::Body)
}
