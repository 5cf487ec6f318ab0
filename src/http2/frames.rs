//! What goes by on a connection's receiving side, seen frame by frame before `h2` gets it.

use std::{collections::BTreeSet, time::Instant};

use super::{names::Names, rate::Rate};

/// A frame's header (RFC 9113 section 4.1).
const HEADER_BYTES: usize = 9;

/// What a client sends before its first frame (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;

/// The largest frame that we allow a peer, the protocol's own default. `h2` ends the connection at a larger one.
const FRAME_BYTES_MAX: usize = 16 * 1024;

/// CONTINUATION frames in one header block. `h2` has its own, similar bound.
const CONTINUATIONS_MAX: usize = 16;

/// PING, SETTINGS, PRIORITY and unknown frames per second: far above a gRPC client that measures its bandwidth, far below a flood.
const CONTROL_FRAMES_PER_SECOND_MAX: u32 = 1000;

/// Streams followed until their end. A client that begins more of them without an end has most of them refused.
const UNFINISHED_MAX: usize = 1024;

mod kind {
    pub(super) const HEADERS: u8 = 1;
    pub(super) const DATA: u8 = 0;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

mod flag {
    pub(super) const END_STREAM: u8 = 0x1;
    pub(super) const ACK: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const PADDED: u8 = 0x8;
    pub(super) const PRIORITY: u8 = 0x20;
}

/// What a peer does that ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flood {
    /// Streams opened and reset (CVE-2023-44487).
    Resets,
    /// Frames that cost us and carry nothing.
    Control,
    /// A header block in too many pieces.
    Continuations,
}

/// Watches the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Payload (or preface) bytes that still belong to what has been judged.
    left: usize,
    /// The peer is a client: its trailers are looked into.
    client: bool,
    /// Streams whose head has come and whose end has not.
    unfinished: BTreeSet<u32>,
    names: Names,
    resets: Rate,
    control: Rate,
    /// Set once, never cleared.
    pub(super) flood: Option<Flood>,
    /// The peer's first SETTINGS came.
    pub(super) settings_seen: bool,
    /// The peer takes no new streams.
    pub(super) going_away: bool,
}

struct Header {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frames {
    /// What a client sends us, its preface first.
    pub(super) fn from_client(resets_per_second_max: u32) -> Self {
        Self {
            left: PREFACE_BYTES,
            client: true,
            resets: Rate::new(resets_per_second_max),
            ..Self::from_server()
        }
    }

    /// What a server answers us.
    pub(super) fn from_server() -> Self {
        Self {
            left: 0,
            client: false,
            unfinished: BTreeSet::new(),
            names: Names::default(),
            resets: Rate::new(u32::MAX),
            control: Rate::new(CONTROL_FRAMES_PER_SECOND_MAX),
            flood: None,
            settings_seen: false,
            going_away: false,
        }
    }

    /// Judges `bytes` and returns how many of them may be passed on; the rest needs more behind it first.
    ///
    /// Only what is cut within a frame's header, or a header block that isn't whole yet, is kept back. Trailers with
    /// pseudo-header fields lose their END_STREAM flag, which makes `h2` treat them as the stream error that they are.
    pub(super) fn judge(&mut self, bytes: &mut [u8], now: Instant) -> usize {
        let mut at = 0;
        loop {
            let here = bytes.len() - at;
            let skipped = self.left.min(here);
            self.left -= skipped;
            at += skipped;
            let Some(header) = bytes.get(at..).and_then(Header::parse) else {
                return at;
            };
            let plain = header.kind != kind::HEADERS || header.length > FRAME_BYTES_MAX;
            if plain || !self.client || self.flood.is_some() {
                self.count(&header, now);
                self.left = HEADER_BYTES + header.length;
                continue;
            }
            let Some((whole, block)) = self.header_block(bytes.get(at..).unwrap_or_default()) else {
                if self.flood.is_some() {
                    continue;
                }
                return at;
            };
            let pseudo = self.names.pseudo_in(&block).unwrap_or(false);
            if self.begins_trailers(&header)
                && pseudo
                && let Some(flags) = bytes.get_mut(at + 4)
            {
                *flags &= !flag::END_STREAM;
            }
            self.left = whole;
        }
    }

    /// Whether `header`, of a HEADERS frame, is not its stream's first.
    fn begins_trailers(&mut self, header: &Header) -> bool {
        let end = header.flags & flag::END_STREAM != 0;
        if self.unfinished.contains(&header.stream) {
            if end {
                self.unfinished.remove(&header.stream);
            }
            return true;
        }
        if !end {
            self.unfinished.insert(header.stream);
        }
        if self.unfinished.len() > UNFINISHED_MAX {
            self.unfinished.pop_first();
        }
        false
    }

    fn count(&mut self, header: &Header, now: Instant) {
        let (allowed, flood) = match header.kind {
            kind::WINDOW_UPDATE | kind::CONTINUATION => return,
            kind::DATA => {
                if header.flags & flag::END_STREAM != 0 {
                    self.unfinished.remove(&header.stream);
                }
                return;
            }
            kind::RST_STREAM => {
                self.unfinished.remove(&header.stream);
                (self.resets.allows(now), Flood::Resets)
            }
            kind::GOAWAY => {
                self.going_away = true;
                return;
            }
            other => {
                self.settings_seen |= other == kind::SETTINGS && header.flags & flag::ACK == 0;
                (self.control.allows(now), Flood::Control)
            }
        };
        if !allowed {
            self.flood = Some(flood);
        }
    }

    /// The header block at the beginning of `bytes`, and the bytes of its frames; `None` if it isn't whole.
    fn header_block(&mut self, bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
        let mut block = Vec::new();
        let mut rest = bytes;
        for number in 0..=CONTINUATIONS_MAX {
            let header = Header::parse(rest)?;
            if number > 0 && (header.kind != kind::CONTINUATION || header.length > FRAME_BYTES_MAX) {
                break; // `h2` knows what to do with that
            }
            let (frame, behind) = rest.split_at_checked(HEADER_BYTES + header.length)?;
            block.extend_from_slice(header.fragment(frame).unwrap_or_default());
            rest = behind;
            if header.flags & flag::END_HEADERS != 0 {
                return Some((bytes.len() - rest.len(), block));
            }
            if number == CONTINUATIONS_MAX {
                self.flood = Some(Flood::Continuations);
                return None;
            }
        }
        Some((bytes.len() - rest.len(), block))
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
        })
    }

    /// The part of `frame`, a HEADERS or CONTINUATION, that belongs to the header block (RFC 9113 section 6.2).
    fn fragment<'a>(&self, frame: &'a [u8]) -> Option<&'a [u8]> {
        let mut payload = frame.get(HEADER_BYTES..)?;
        if self.kind == kind::HEADERS {
            if self.flags & flag::PADDED != 0 {
                let (padding, behind) = payload.split_first()?;
                payload = behind.get(..behind.len().checked_sub(usize::from(*padding))?)?;
            }
            if self.flags & flag::PRIORITY != 0 {
                payload = payload.get(5..)?;
            }
        }
        Some(payload)
    }
}
