//! What one connection holds, shared by the task that drives it and the streams' futures that answer on it.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, sync::Arc};

use bytes::BytesMut;
use h2::Reason;

use super::{
    super::{CONNECTION_WINDOW_BYTES, HEADER_TABLE_BYTES, STREAM_WINDOW_BYTES, rate::Rate},
    flow::{ReceiveWindow, SendWindow},
    frame::{self, setting},
    head::{Bounds, Passed},
    hpack::{Decoder, Encoder},
    receive::{Block, Payload},
    stream::{Handle, Sending, Stream, Streams},
    tasks::Ready,
};
use crate::{body::BodyError, clock, limits::Limits, wire::Malformed};

/// PING, SETTINGS, PRIORITY, unknown and empty frames per second: far above a gRPC client that measures its bandwidth, far below
/// a flood. WINDOW_UPDATE counts too, beyond what the DATA that we sent explains.
const CONTROL_FRAMES_PER_SECOND_MAX: u32 = 1000;

/// Streams that a client may still begin after the first GOAWAY: what may have been on its way, several times over.
const LATE_STREAMS_MAX: u32 = 1000;

/// Streams that we have reset lately, whose frames may still be on their way and mean nothing.
const FORGOTTEN_MAX: usize = 256;

/// Bytes that wait to be written. With this much, nothing more is taken from answers, nor read from the client.
pub(super) const OUT_BYTES_MAX: usize = 64 * 1024;

/// What the PING behind the first GOAWAY carries.
pub(super) const FAREWELL: [u8; 8] = *b"farewell";

/// The window that a connection begins with (RFC 9113 section 6.9.2).
const FIRST_WINDOW_BYTES: u32 = 65_535;

pub(super) type Shared = Rc<RefCell<Conn>>;

/// What a client does that ends its stream or its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Connection(Reason),
    Stream(u32, Reason),
}

/// How far a connection is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaving {
    No,
    /// The first GOAWAY is sent, with a PING behind it: what crosses it is still taken.
    Asked,
    /// The second GOAWAY is sent; streams that exist are finished.
    Told,
    /// Everything is cut; only the GOAWAY is still to be written.
    Now,
}

/// What a stream begins with.
#[derive(Debug)]
pub(super) enum Asked {
    Request(Box<Passed>),
    /// It never became a request. True: it asked for a head only.
    Refused(Malformed, bool),
}

/// A stream that nobody works for yet.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) at: Handle,
    pub(super) asked: Asked,
    /// END_STREAM came with the head.
    pub(super) bodiless: bool,
}

#[derive(Debug)]
pub(super) struct Conn {
    /// Frames to be written.
    pub(super) out: Vec<u8>,
    pub(super) ready: Arc<Ready>,
    pub(super) bounds: Bounds,
    pub(super) streams: Streams,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// The window that the client's streams begin with.
    pub(super) first_window: u32,
    /// Answers that wait for room in `out`, or for their turn.
    pub(super) waiting: VecDeque<usize>,
    /// Answers that wait for the connection's window.
    pub(super) starved: VecDeque<usize>,
    pub(super) streams_max: usize,
    pub(super) requests_left: u64,
    /// Streams begun since the client was told to go elsewhere.
    late: u32,
    /// The last stream that was begun.
    pub(super) last_stream: u32,
    pub(super) leaving: Leaving,
    /// RST_STREAM from the client (CVE-2023-44487).
    pub(super) resets: Rate,
    /// Streams that we had to reset because of what the client sent (CVE-2025-8671).
    faults: Rate,
    pub(super) control: Rate,
    /// WINDOW_UPDATE frames that the DATA we sent explains.
    pub(super) updates_due: u32,
    forgotten: VecDeque<u32>,
    /// SETTINGS that the client still has to acknowledge.
    pub(super) settings_due: u32,
    /// The client's SETTINGS came.
    pub(super) settings_seen: bool,
    /// Bytes of the preface that came.
    pub(super) preface: usize,
    /// The header block that is being received.
    pub(super) block: Option<Block>,
    /// The DATA frame that is being received.
    pub(super) payload: Option<Payload>,
    /// What the last head needed: the next one is like it.
    pub(super) extent: (usize, usize),
    pub(super) begun: Vec<Begun>,
    /// Slots whose streams are gone, and whose futures must go.
    pub(super) dropped: Vec<usize>,
}

impl Conn {
    pub(super) fn new(limits: &Limits, ready: Arc<Ready>) -> Self {
        let bounds = Bounds::of(limits);
        let mut out = Vec::with_capacity(128);
        frame::put_settings(
            &mut out,
            &[
                (setting::MAX_CONCURRENT_STREAMS, limits.streams_max),
                (setting::INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES),
                (setting::MAX_HEADER_LIST_SIZE, bounds.list_bytes()),
                (setting::ENABLE_CONNECT_PROTOCOL, 1),
            ],
        );
        frame::put_window_update(&mut out, 0, CONNECTION_WINDOW_BYTES - FIRST_WINDOW_BYTES);
        Self {
            out,
            ready,
            bounds,
            streams: Streams::default(),
            encoder: Encoder::default(),
            decoder: Decoder::new(HEADER_TABLE_BYTES as usize),
            send_window: SendWindow::new(FIRST_WINDOW_BYTES),
            receive_window: ReceiveWindow::new(CONNECTION_WINDOW_BYTES),
            first_window: FIRST_WINDOW_BYTES,
            waiting: VecDeque::new(),
            starved: VecDeque::new(),
            streams_max: usize::try_from(limits.streams_max).unwrap_or(usize::MAX),
            requests_left: limits.requests_per_connection_max,
            late: 0,
            last_stream: 0,
            leaving: Leaving::No,
            resets: Rate::new(limits.resets_per_second_max),
            faults: Rate::new(limits.resets_per_second_max),
            control: Rate::new(CONTROL_FRAMES_PER_SECOND_MAX),
            updates_due: 0,
            forgotten: VecDeque::new(),
            settings_due: 1,
            settings_seen: false,
            preface: 0,
            block: None,
            payload: None,
            extent: (256, 8),
            begun: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// Whether more of the answers may be put in.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < OUT_BYTES_MAX
    }

    /// Whether a head or a frame's header has begun and not ended, beside what is in `held`.
    pub(super) fn mid_head(&self) -> bool {
        self.block.is_some()
    }

    /// Opens a stream for `asked`.
    pub(super) fn begin(&mut self, id: u32, asked: Asked, bodiless: bool) {
        let promised = match &asked {
            Asked::Request(passed) => passed.length,
            Asked::Refused(..) => None,
        };
        let at = self.streams.insert(Stream {
            id,
            sending: Sending::Head,
            send_window: SendWindow::new(self.first_window),
            starved: false,
            queued: false,
            received_all: bodiless,
            receive_window: ReceiveWindow::new(STREAM_WINDOW_BYTES),
            received: BytesMut::new(),
            trailers: None,
            promised,
            unread: matches!(asked, Asked::Refused(..)),
            reader: None,
        });
        self.begun.push(Begun { at, asked, bodiless });
        self.requests_left = self.requests_left.saturating_sub(1);
        if self.leaving == Leaving::Asked {
            self.late += 1;
            if self.late > LATE_STREAMS_MAX {
                self.tell(); // who never says that it has heard is not waited for
            }
        }
        if self.requests_left == 0 {
            self.leave();
        }
    }

    /// Takes no new streams, and ends when the last one has ended: GOAWAY twice (RFC 9113 section 6.8).
    pub(super) fn leave(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Asked;
            frame::put_goaway(&mut self.out, u32::MAX >> 1, Reason::NO_ERROR);
            frame::frame(&mut self.out, frame::kind::PING, 0, 0, &FAREWELL);
        }
    }

    /// The client has seen the first GOAWAY: from here on no stream is begun.
    pub(super) fn tell(&mut self) {
        if self.leaving == Leaving::Asked {
            self.leaving = Leaving::Told;
            frame::put_goaway(&mut self.out, self.last_stream, Reason::NO_ERROR);
        }
    }

    /// Cuts everything.
    pub(super) fn leave_now(&mut self, reason: Reason) {
        if self.leaving == Leaving::Now {
            return;
        }
        self.leaving = Leaving::Now;
        frame::put_goaway(&mut self.out, self.last_stream, reason);
        self.cut();
    }

    /// Lets go of all streams.
    pub(super) fn cut(&mut self) {
        self.leaving = Leaving::Now;
        let open: Vec<Handle> = self
            .streams
            .iter_mut()
            .map(|(slot, stream)| Handle { slot, id: stream.id })
            .collect();
        for at in open {
            self.remove(at);
        }
        self.block = None;
        self.payload = None;
    }

    /// Ends a stream because of what the client sent, or refuses to begin it.
    ///
    /// # Errors
    /// It was one too many of them.
    pub(super) fn reset_for_fault(&mut self, id: u32, reason: Reason) -> Result<(), Fault> {
        if let Some(at) = self.streams.find(id) {
            self.remove(at);
        }
        frame::put_reset(&mut self.out, id, reason);
        self.forget(id);
        if self.faults.allows(clock::steady()) {
            Ok(())
        } else {
            Err(Fault::Connection(Reason::ENHANCE_YOUR_CALM))
        }
    }

    /// Ends a stream on our own account. Its future goes on until it ends by itself.
    pub(super) fn reset(&mut self, at: Handle, reason: Reason) {
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        if stream.sending == Sending::Ended && stream.received_all {
            return;
        }
        stream.sending = Sending::Ended;
        if !stream.received_all {
            stream.received_all = true;
            stream.trailers = Some(Err(BodyError::Cancelled));
        }
        let buffered = stream.received.len();
        stream.received = BytesMut::new();
        stream.wake_reader();
        self.give_back(buffered);
        frame::put_reset(&mut self.out, at.id, reason);
        self.forget(at.id);
    }

    /// The future in `slot` has ended: so must its stream.
    pub(super) fn finish(&mut self, slot: usize) {
        let Some(at) = self.streams.at(slot) else {
            return;
        };
        let reason = match self.streams.get(at) {
            Some(stream) if stream.sending != Sending::Ended => Reason::INTERNAL_ERROR,
            _ => Reason::NO_ERROR, // all is said; the rest of the request is not wanted (RFC 9113 section 8.1)
        };
        self.reset(at, reason);
        self.remove_ended(at);
    }

    /// Forgets a stream, and has its future dropped.
    pub(super) fn remove(&mut self, at: Handle) {
        if self.remove_ended(at) {
            self.dropped.push(at.slot);
        }
    }

    fn remove_ended(&mut self, at: Handle) -> bool {
        let Some(mut stream) = self.streams.remove(at) else {
            return false;
        };
        stream.wake_reader();
        if stream.queued {
            self.waiting.retain(|slot| *slot != at.slot);
            self.starved.retain(|slot| *slot != at.slot);
        }
        self.give_back(stream.received.len());
        true
    }

    fn forget(&mut self, id: u32) {
        if self.forgotten.len() >= FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(id);
    }

    /// Whether we have reset the stream lately.
    pub(super) fn is_forgotten(&self, id: u32) -> bool {
        self.forgotten.contains(&id)
    }

    /// Gives the client room on the connection for bytes that are done with.
    pub(super) fn give_back(&mut self, bytes: usize) {
        if bytes > 0
            && let Some(room) = self.receive_window.release(bytes)
        {
            frame::put_window_update(&mut self.out, 0, room);
            self.ready.wake_task();
        }
    }

    /// As [`Conn::give_back`], for bytes that were taken off a stream: that gets room too.
    pub(super) fn release(&mut self, at: Handle, bytes: usize) {
        self.give_back(bytes);
        let Some(stream) = self.streams.get_mut(at) else {
            return;
        };
        if bytes > 0
            && !stream.received_all
            && let Some(room) = stream.receive_window.release(bytes)
        {
            frame::put_window_update(&mut self.out, at.id, room);
            self.ready.wake_task();
        }
    }
}
