//! Takes in what a client sends, frame by frame.

use std::time::Instant;

use h2::Reason;

use super::{
    super::{body::check_trailers, head::Rejected},
    conn::{Asked, Conn, Fault, Leaving},
    flow::Overflow,
    frame::{FRAME_BYTES_MAX, HEADER_BYTES, Header, flag, kind},
    head::Collected,
    stream::Handle,
};
use crate::{body::BodyError, stream::append};

/// What a client sends before its first frame (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// CONTINUATION frames in one header block.
const CONTINUATIONS_MAX: usize = 16;

/// A header block whose end has not come.
#[derive(Debug)]
pub(super) struct Block {
    header: Header,
    dependency: Option<u32>,
    bytes: Vec<u8>,
    continuations: usize,
}

/// A DATA frame whose end has not come.
#[derive(Debug)]
pub(super) struct Payload {
    /// Its stream, unless what comes is only thrown away.
    at: Option<Handle>,
    left: usize,
    end: bool,
}

pub(super) type Done = Result<(), Fault>;

pub(super) const fn connection(reason: Reason) -> Fault {
    Fault::Connection(reason)
}

pub(super) const PROTOCOL: Fault = Fault::Connection(Reason::PROTOCOL_ERROR);

/// A frame too small or too large for what it is (RFC 9113 section 4.2).
pub(super) const FRAME_SIZE: Fault = Fault::Connection(Reason::FRAME_SIZE_ERROR);

impl Conn {
    /// Takes in what came. Returns how many bytes are done with; the rest needs more behind it.
    ///
    /// DATA is taken in as it comes; of all else whole frames.
    pub(super) fn take_in(&mut self, bytes: &[u8], now: Instant) -> usize {
        let mut at = 0;
        while self.leaving < Leaving::Now {
            let rest = bytes.get(at..).unwrap_or_default();
            let taken = self.take_one(rest, now);
            let taken = match taken {
                Ok(None) => return at,
                Ok(Some(taken)) => taken,
                Err((taken, fault)) => {
                    self.fail(fault);
                    taken
                }
            };
            at += taken;
        }
        bytes.len()
    }

    fn fail(&mut self, fault: Fault) {
        let fault = match fault {
            Fault::Stream(id, reason) => self.reset_for_fault(id, reason),
            fault @ Fault::Connection(_) => Err(fault),
        };
        if let Err(Fault::Connection(reason) | Fault::Stream(_, reason)) = fault {
            self.leave_now(reason);
        }
    }

    /// Takes one step. `Ok(None)`: more bytes are needed. `Err`: what was wrong with the bytes that it took.
    fn take_one(&mut self, bytes: &[u8], now: Instant) -> Result<Option<usize>, (usize, Fault)> {
        if bytes.is_empty() {
            return Ok(None);
        }
        if self.preface < PREFACE.len() {
            return self.take_preface(bytes).map(Some).map_err(|fault| (0, fault));
        }
        if self.payload.is_some() {
            let (taken, done) = self.take_payload(bytes);
            return done.map(|()| Some(taken)).map_err(|fault| (taken, fault));
        }
        let Some(header) = Header::parse(bytes) else {
            return Ok(None);
        };
        self.judge(&header).map_err(|fault| (0, fault))?;
        if header.kind == kind::DATA && !header.has(flag::PADDED) {
            let begun = self.begin_data(&header, 0, now);
            return begun
                .map(|()| Some(HEADER_BYTES))
                .map_err(|fault| (HEADER_BYTES, fault));
        }
        let whole = HEADER_BYTES + header.length;
        let Some(payload) = bytes.get(HEADER_BYTES..whole) else {
            return Ok(None);
        };
        let done = self.take_frame(&header, payload, now);
        done.map(|()| Some(whole)).map_err(|fault| (whole, fault))
    }

    fn take_preface(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let expected = PREFACE.get(self.preface..).unwrap_or_default();
        let count = expected.len().min(bytes.len());
        if bytes.get(..count) != expected.get(..count) {
            return Err(PROTOCOL);
        }
        self.preface += count;
        Ok(count)
    }

    /// What can be told by a frame's header alone.
    fn judge(&self, header: &Header) -> Done {
        if header.length > FRAME_BYTES_MAX {
            return Err(FRAME_SIZE);
        }
        let settings = header.kind == kind::SETTINGS && !header.has(flag::ACK);
        if !self.settings_seen && !settings {
            return Err(PROTOCOL);
        }
        match &self.block {
            Some(block) if header.kind != kind::CONTINUATION || header.stream != block.header.stream => {
                Err(PROTOCOL)
            }
            Some(block) if block.bytes.len() + header.length > self.bounds.block_bytes_max() => {
                Err(connection(Reason::ENHANCE_YOUR_CALM))
            }
            None if header.kind == kind::CONTINUATION => Err(PROTOCOL),
            _ => Ok(()),
        }
    }

    fn take_frame(&mut self, header: &Header, payload: &[u8], now: Instant) -> Done {
        match header.kind {
            kind::DATA => self.padded_data(header, payload, now),
            kind::HEADERS => self.headers(header, payload),
            kind::CONTINUATION => self.continuation(header, payload),
            kind::RST_STREAM => self.rst_stream(header, payload, now),
            kind::WINDOW_UPDATE => self.window_update(header, payload, now),
            kind::PUSH_PROMISE => Err(PROTOCOL),
            other => {
                if !self.control.allows(now) {
                    return Err(connection(Reason::ENHANCE_YOUR_CALM));
                }
                match other {
                    kind::SETTINGS => self.settings(header, payload),
                    kind::PING => self.ping(header, payload),
                    kind::PRIORITY => self.priority(header, payload),
                    kind::GOAWAY => Self::goaway(header, payload),
                    _ => Ok(()),
                }
            }
        }
    }

    fn headers(&mut self, header: &Header, payload: &[u8]) -> Done {
        if header.stream == 0 || header.stream.is_multiple_of(2) {
            return Err(PROTOCOL);
        }
        let (fragment, dependency) = header.fragment(payload).map_err(connection)?;
        if header.has(flag::END_HEADERS) {
            return self.whole_block(header, dependency, fragment);
        }
        self.block = Some(Block {
            header: *header,
            dependency,
            bytes: fragment.to_vec(),
            continuations: 0,
        });
        Ok(())
    }

    fn continuation(&mut self, header: &Header, payload: &[u8]) -> Done {
        let Some(block) = &mut self.block else {
            return Err(PROTOCOL);
        };
        block.bytes.reserve_exact(payload.len()); // sixteen times at most: nothing to grow ahead for
        block.bytes.extend_from_slice(payload);
        block.continuations += 1;
        if !header.has(flag::END_HEADERS) {
            return if block.continuations < CONTINUATIONS_MAX {
                Ok(())
            } else {
                Err(connection(Reason::ENHANCE_YOUR_CALM))
            };
        }
        match self.block.take() {
            Some(block) => self.whole_block(&block.header, block.dependency, &block.bytes),
            None => Ok(()),
        }
    }

    fn whole_block(&mut self, header: &Header, dependency: Option<u32>, block: &[u8]) -> Done {
        let id = header.stream;
        let open = self.streams.find(id);
        let trailing = id <= self.last_stream;
        // Strings are decoded at the full length that their code could have.
        let (bytes, fields) = if trailing {
            (0, 0)
        } else {
            (self.extent.0 + block.len() / 2 + 64, self.extent.1)
        };
        let mut collected = Collected::with_capacity(self.bounds, trailing, bytes, fields);
        self.decoder.decode(block, &mut collected).map_err(|_| PROTOCOL)?;
        match open {
            Some(at) => self.trailers(at, header, collected),
            None if !trailing => self.head(header, dependency, collected),
            None if self.is_forgotten(id) => Ok(()),
            None => Err(connection(Reason::STREAM_CLOSED)),
        }
    }

    fn head(&mut self, header: &Header, dependency: Option<u32>, collected: Collected) -> Done {
        let id = header.stream;
        if self.leaving >= Leaving::Told {
            return Ok(()); // it was told that this stream will not be looked at
        }
        self.last_stream = id;
        if dependency == Some(id) {
            return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR));
        }
        if self.streams.open() >= self.streams_max {
            return Err(Fault::Stream(id, Reason::REFUSED_STREAM));
        }
        self.extent = collected.extent();
        let asks_head = collected.asks_head();
        let bodiless = header.has(flag::END_STREAM);
        match collected.finish(bodiless) {
            Ok(passed) => self.begin(id, Asked::Request(Box::new(passed)), bodiless),
            Err(Rejected::Answer(malformed)) => {
                self.begin(id, Asked::Refused(malformed, asks_head), bodiless);
            }
            Err(Rejected::Reset(_)) => return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR)),
        }
        Ok(())
    }

    fn trailers(&mut self, at: Handle, header: &Header, collected: Collected) -> Done {
        let wrong = Fault::Stream(at.id, Reason::PROTOCOL_ERROR);
        let Some(stream) = self.streams.get_mut(at) else {
            return Ok(());
        };
        if stream.received_all {
            return if self.is_forgotten(at.id) {
                Ok(())
            } else {
                Err(PROTOCOL)
            };
        }
        if !header.has(flag::END_STREAM) || stream.promised.is_some_and(|left| left > 0) {
            return Err(wrong);
        }
        let trailers = collected.finish_trailers().map_err(|_| wrong)?;
        stream.trailers = Some(match trailers {
            Ok(trailers) => check_trailers(&trailers).map(|()| trailers),
            Err(what) => Err(BodyError::Malformed(what)),
        });
        stream.received_all = true;
        stream.wake_reader();
        Ok(())
    }

    fn padded_data(&mut self, header: &Header, payload: &[u8], now: Instant) -> Done {
        let data = header.unpadded(payload).map_err(connection)?;
        let padding = payload.len() - data.len();
        let begun = self.begin_data(header, padding, now);
        let taken = self.take_payload(data).1;
        match self.streams.find(header.stream) {
            Some(at) => self.release(at, padding),
            None => self.give_back(padding),
        }
        begun.and(taken)
    }

    /// A DATA frame of which `padding` bytes are none.
    fn begin_data(&mut self, header: &Header, padding: usize, now: Instant) -> Done {
        let (id, end) = (header.stream, header.has(flag::END_STREAM));
        let left = header.length - padding;
        if id == 0 || (id > self.last_stream && self.leaving < Leaving::Told) {
            return Err(PROTOCOL);
        }
        if left == 0 && !end && !self.control.allows(now) {
            return Err(connection(Reason::ENHANCE_YOUR_CALM));
        }
        self.receive_window
            .receive(header.length)
            .map_err(|Overflow| connection(Reason::FLOW_CONTROL_ERROR))?;
        let mut payload = Payload { at: None, left, end };
        let judged = self.judge_data(id, header.length, left);
        if let Ok(at) = judged {
            payload.at = at;
        }
        self.payload = Some(payload);
        if left == 0 {
            self.take_payload(&[]).1?;
        }
        judged.map(|_| ())
    }

    /// The stream that DATA is for; `Ok(None)` if it is none any more.
    fn judge_data(&mut self, id: u32, bytes: usize, data: usize) -> Result<Option<Handle>, Fault> {
        let Some(at) = self.streams.find(id) else {
            let ignored = id > self.last_stream || self.is_forgotten(id);
            return if ignored {
                Ok(None)
            } else {
                Err(Fault::Stream(id, Reason::STREAM_CLOSED))
            };
        };
        let forgotten = self.is_forgotten(id);
        let Some(stream) = self.streams.get_mut(at) else {
            return Ok(None);
        };
        if stream.received_all {
            return if forgotten {
                Ok(None)
            } else {
                Err(Fault::Stream(id, Reason::STREAM_CLOSED))
            };
        }
        let window = stream.receive_window.receive(bytes);
        window.map_err(|Overflow| Fault::Stream(id, Reason::FLOW_CONTROL_ERROR))?;
        if stream.promised.is_some_and(|left| left < data as u64) {
            return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR));
        }
        Ok(Some(at))
    }

    /// Takes in what came of a DATA frame. Returns how many bytes of it.
    fn take_payload(&mut self, bytes: &[u8]) -> (usize, Done) {
        let Some(payload) = &mut self.payload else {
            return (0, Ok(()));
        };
        let count = payload.left.min(bytes.len());
        payload.left -= count;
        let (at, end) = (payload.at, payload.left == 0 && payload.end);
        if payload.left == 0 {
            self.payload = None;
        }
        let stream = at.and_then(|at| self.streams.get_mut(at));
        let Some(stream) = stream.filter(|stream| !stream.received_all) else {
            self.give_back(count);
            return (count, Ok(()));
        };
        if !stream.unread {
            append(&mut stream.received, bytes.get(..count).unwrap_or_default());
        }
        if let Some(promised) = &mut stream.promised {
            *promised = promised.saturating_sub(count as u64); // not before it is here: it tells the body's size
        }
        let (id, unread) = (stream.id, stream.unread);
        let short = end && stream.promised.is_some_and(|left| left > 0);
        stream.received_all = end;
        stream.wake_reader();
        if unread {
            self.give_back(count);
        }
        let done = match short {
            true => Err(Fault::Stream(id, Reason::PROTOCOL_ERROR)),
            false => Ok(()),
        };
        (count, done)
    }

    fn rst_stream(&mut self, header: &Header, payload: &[u8], now: Instant) -> Done {
        if header.stream == 0 {
            return Err(PROTOCOL);
        }
        if payload.len() != 4 {
            return Err(FRAME_SIZE);
        }
        if header.stream > self.last_stream && self.leaving < Leaving::Told {
            return Err(PROTOCOL);
        }
        if !self.resets.allows(now) {
            return Err(connection(Reason::ENHANCE_YOUR_CALM));
        }
        if let Some(at) = self.streams.find(header.stream) {
            self.remove(at);
        }
        Ok(())
    }
}
