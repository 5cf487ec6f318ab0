//! Frames as bytes: reading their headers and payloads, writing ours (RFC 9113 sections 4 and 6).

use h2::Reason;

use crate::stream::append;

/// A frame's header.
pub const HEADER_BYTES: usize = 9;

/// The largest frame that we take, and write: the protocol's own default.
pub const FRAME_BYTES_MAX: usize = 16 * 1024;

/// The largest window (RFC 9113 section 6.9.1).
pub const WINDOW_MAX: i64 = (1 << 31) - 1;

/// What a frame is for.
pub mod kind {
    #![allow(missing_docs, reason = "the RFC's own names")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![allow(missing_docs, reason = "the RFC's own names")]
    pub const END_STREAM: u8 = 0x1;
    pub const ACK: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// The settings that we look at or send (RFC 9113 section 6.5.2, RFC 8441 section 3).
pub mod setting {
    #![allow(missing_docs, reason = "the RFC's own names")]
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload.
    pub length: usize,
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
}

impl Header {
    /// The header at the beginning of `bytes`, if it is whole.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, d, e, f, g] = *bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
        })
    }

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The payload without padding, of a frame that may have it.
    ///
    /// # Errors
    /// No room for the padding's length (RFC 9113 section 4.2); padding longer than the frame (section 6.1).
    pub fn unpadded<'p>(&self, payload: &'p [u8]) -> Result<&'p [u8], Reason> {
        if !self.has(flag::PADDED) {
            return Ok(payload);
        }
        let (padding, behind) = payload.split_first().ok_or(Reason::FRAME_SIZE_ERROR)?;
        let length = behind.len().checked_sub(usize::from(*padding));
        length
            .and_then(|length| behind.get(..length))
            .ok_or(Reason::PROTOCOL_ERROR)
    }

    /// A HEADERS frame's part of the header block, and the stream that it depends on, if it says so.
    ///
    /// # Errors
    /// As [`Header::unpadded`]; no room for the fields that its flags announce.
    pub fn fragment<'p>(&self, payload: &'p [u8]) -> Result<(&'p [u8], Option<u32>), Reason> {
        let announced = usize::from(self.has(flag::PADDED)) + 5 * usize::from(self.has(flag::PRIORITY));
        if payload.len() < announced {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        let block = self.unpadded(payload)?;
        if !self.has(flag::PRIORITY) {
            return Ok((block, None));
        }
        let (priority, block) = block.split_first_chunk::<5>().ok_or(Reason::PROTOCOL_ERROR)?;
        Ok((block, Some(dependency(*priority))))
    }
}

/// The stream that a priority depends on (RFC 9113 section 6.3).
#[must_use]
pub const fn dependency([a, b, c, d, _weight]: [u8; 5]) -> u32 {
    u32::from_be_bytes([a & 0x7f, b, c, d])
}

/// The settings of a SETTINGS frame, one after the other. `None`: the payload is cut.
#[must_use]
pub fn settings(payload: &[u8]) -> Option<impl Iterator<Item = (u16, u32)> + '_> {
    let (all, rest) = payload.as_chunks::<6>();
    rest.is_empty().then(|| {
        all.iter().map(|[a, b, c, d, e, f]| {
            let value = u32::from_be_bytes([*c, *d, *e, *f]);
            (u16::from_be_bytes([*a, *b]), value)
        })
    })
}

/// A frame's header as bytes.
#[must_use]
pub const fn header_bytes(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEADER_BYTES] {
    let [.., a, b, c] = length.to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// Writes a frame's header.
pub fn header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&header_bytes(length, kind, flags, stream));
}

/// Writes a whole frame.
pub fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.reserve(HEADER_BYTES + payload.len());
    header(out, payload.len(), kind, flags, stream);
    append(out, payload);
}

/// Writes SETTINGS.
pub fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    header(out, settings.len() * 6, kind::SETTINGS, 0, 0);
    for (setting, value) in settings {
        out.extend_from_slice(&setting.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Writes RST_STREAM.
pub fn put_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    frame(out, kind::RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes());
}

/// Writes WINDOW_UPDATE.
pub fn put_window_update(out: &mut Vec<u8>, stream: u32, bytes: u32) {
    frame(out, kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
}

/// Writes GOAWAY.
pub fn put_goaway(out: &mut Vec<u8>, last_stream: u32, reason: Reason) {
    header(out, 8, kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&u32::from(reason).to_be_bytes());
}

/// Makes one or more frames of the header block that stands in `out` behind room for a frame's header at `begin`.
pub fn finish_block(out: &mut Vec<u8>, begin: usize, stream: u32, end_stream: bool) {
    let block = begin + HEADER_BYTES;
    let length = out.len().saturating_sub(block);
    let end = if end_stream { flag::END_STREAM } else { 0 };
    if length <= FRAME_BYTES_MAX {
        let header = header_bytes(length, kind::HEADERS, end | flag::END_HEADERS, stream);
        if let Some(place) = out.get_mut(begin..block) {
            place.copy_from_slice(&header);
        }
        return;
    }
    let whole = out.split_off(block);
    out.truncate(begin);
    let mut pieces = whole.chunks(FRAME_BYTES_MAX).enumerate().peekable();
    while let Some((number, piece)) = pieces.next() {
        let last = if pieces.peek().is_none() {
            flag::END_HEADERS
        } else {
            0
        };
        let (kind, flags) = match number {
            0 => (kind::HEADERS, end | last),
            _ => (kind::CONTINUATION, last),
        };
        frame(out, kind, flags, stream, piece);
    }
}

#[cfg(test)]
mod tests {
    use h2::Reason;
    use proptest::prelude::*;

    use super::{FRAME_BYTES_MAX, HEADER_BYTES, Header, finish_block, flag, frame, kind, settings};

    proptest! {
        #[test]
        fn a_header_is_read_as_it_was_written(length in 0..1_usize << 24, kind: u8, flags: u8, stream in 0..1_u32 << 31) {
            let header = Header { length, kind, flags, stream };
            let mut out = Vec::new();
            super::header(&mut out, length, kind, flags, stream);
            prop_assert_eq!(Header::parse(&out), Some(header));
            prop_assert_eq!(Header::parse(&out[..HEADER_BYTES - 1]), None);
        }

        #[test]
        fn no_payload_breaks_it(flags: u8, payload: Vec<u8>) {
            let header = Header { length: payload.len(), kind: kind::HEADERS, flags, stream: 1 };
            if let Ok((block, _)) = header.fragment(&payload) {
                prop_assert!(block.len() <= payload.len());
            }
            if let Some(settings) = settings(&payload) {
                prop_assert_eq!(settings.count() * 6, payload.len());
            }
        }

        #[test]
        fn a_block_of_any_length_becomes_frames(length in 0..50_000_usize, end: bool) {
            let mut out = b"before".to_vec();
            out.extend([0; HEADER_BYTES]);
            out.extend((0..length).map(|at| at as u8));
            finish_block(&mut out, 6, 3, end);
            let (mut rest, mut block, mut number) = (&out[6..], Vec::<u8>::new(), 0);
            while let Some(header) = Header::parse(rest) {
                let (whole, behind) = rest.split_at(HEADER_BYTES + header.length);
                block.extend(&whole[HEADER_BYTES..]);
                rest = behind;
                prop_assert!(header.length <= FRAME_BYTES_MAX && header.stream == 3);
                let first = number == 0;
                prop_assert_eq!(header.kind, if first { kind::HEADERS } else { kind::CONTINUATION });
                prop_assert_eq!(header.has(flag::END_STREAM), first && end);
                prop_assert_eq!(header.has(flag::END_HEADERS), rest.is_empty());
                number += 1;
            }
            prop_assert!(block.len() == length && rest.is_empty() && out.starts_with(b"before"));
        }
    }

    #[test]
    fn padding_and_priority_are_taken_off() {
        let header = |flags| Header {
            length: 0,
            kind: kind::HEADERS,
            flags,
            stream: 1,
        };
        let both = header(flag::PADDED | flag::PRIORITY);
        assert_eq!(
            both.fragment(&[2, 0x80, 0, 0, 7, 16, b'a', 0, 0]),
            Ok((&b"a"[..], Some(7)))
        );
        for short in [&[][..], &[1], &[0, 1, 2, 3, 4]] {
            assert_eq!(both.fragment(short), Err(Reason::FRAME_SIZE_ERROR));
        }
        for padded_away in [&[1, 0, 0, 0, 0, 0][..], &[9, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(both.fragment(padded_away), Err(Reason::PROTOCOL_ERROR));
        }
        assert_eq!(header(0).unpadded(b"a"), Ok(&b"a"[..]));
        let mut out = Vec::new();
        frame(&mut out, kind::PING, flag::ACK, 0, &[7; 8]);
        assert_eq!(out, [0, 0, 8, 6, 1, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]);
    }
}
