//! Writes header blocks.
//!
//! Values that come again with every answer go into the table, so that they cost one byte and one comparison; all others are
//! written as they are. Huffman's code would make an answer's head a little shorter and cost more than the rest of its writing.

use std::collections::VecDeque;

use http::StatusCode;

use super::{
    ENTRY_BYTES, huffman,
    table::{Name, STATIC},
};
use crate::fields::{KNOWN, Known, KnownSet};

/// The size that a reader's table has until it is told otherwise (RFC 9113 section 6.5.2).
const READER_BYTES: usize = 4096;

/// What our side remembers at most, however much the reader offers: the values that one site's answers repeat.
const TABLE_BYTES_MAX: usize = 2048;

/// A value longer than this isn't remembered.
const VALUE_BYTES_MAX: usize = 256;

/// Fields whose values repeat from answer to answer.
const REPEATING: KnownSet = KnownSet::of(&[
    Known::ACCEPT_RANGES,
    Known::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    Known::ACCESS_CONTROL_ALLOW_ORIGIN,
    Known::ALLOW,
    Known::ALT_SVC,
    Known::CACHE_CONTROL,
    Known::CONTENT_ENCODING,
    Known::CONTENT_LANGUAGE,
    Known::CONTENT_SECURITY_POLICY,
    Known::CONTENT_TYPE,
    Known::DATE,
    Known::REFERRER_POLICY,
    Known::SERVER,
    Known::STRICT_TRANSPORT_SECURITY,
    Known::VARY,
    Known::VIA,
    Known::X_CONTENT_TYPE_OPTIONS,
    Known::X_FRAME_OPTIONS,
    Known::X_POWERED_BY,
    Known::X_XSS_PROTECTION,
]);

/// The static index of `:status`, by which its value is written where it has no index of its own.
const STATUS_INDEX: usize = 8;

/// How a literal begins (RFC 7541 section 6.2): the pattern of its first byte, and the bits left for the index.
#[derive(Debug, Clone, Copy)]
struct Literal(u8, u32);

const REMEMBERED: Literal = Literal(0x40, 6);
const PLAIN: Literal = Literal(0x00, 4);
/// Not to be remembered by anybody on the way (RFC 7541 section 7.1.3).
const SECRET: Literal = Literal(0x10, 4);

#[derive(Debug)]
struct Entry {
    name: Known,
    value: Box<[u8]>,
}

impl Entry {
    fn size(&self) -> usize {
        self.name.as_str().len() + self.value.len() + ENTRY_BYTES
    }
}

/// Writes the header blocks of a connection, all of them and in order.
#[derive(Debug)]
pub struct Encoder {
    /// Newest first.
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
    /// The size that the reader's table has.
    reader: usize,
    /// A smaller size that the reader is still to be told.
    announce: Option<usize>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_BYTES_MAX,
            reader: READER_BYTES,
            announce: None,
        }
    }
}

impl Encoder {
    /// The reader allows a table of this size (`SETTINGS_HEADER_TABLE_SIZE`). More than before is not made use of.
    pub fn allow(&mut self, bytes: usize) {
        if bytes < self.reader {
            self.reader = bytes;
            self.announce = Some(bytes);
            self.size_max = self.size_max.min(bytes);
            self.shrink(self.size_max);
        }
    }

    /// Begins a block that answers: with its status.
    pub fn begin(&mut self, out: &mut Vec<u8>, status: StatusCode) {
        self.begin_trailers(out);
        let indexed = match status.as_u16() {
            200 => 0x88,
            204 => 0x89,
            206 => 0x8a,
            304 => 0x8b,
            400 => 0x8c,
            404 => 0x8d,
            500 => 0x8e,
            _ => {
                integer(out, PLAIN, STATUS_INDEX);
                let length = out.len();
                out.push(0);
                huffman::encode(status.as_str().as_bytes(), out);
                let coded = out.len() - length - 1;
                if let (Some(place), Ok(coded)) = (out.get_mut(length), u8::try_from(coded)) {
                    *place = 0x80 | coded;
                }
                return;
            }
        };
        out.push(indexed);
    }

    /// Begins any other block.
    pub fn begin_trailers(&mut self, out: &mut Vec<u8>) {
        if let Some(size) = self.announce.take() {
            integer(out, Literal(0x20, 5), size);
        }
    }

    /// Writes a field with a number.
    pub fn known(&mut self, out: &mut Vec<u8>, name: Known, value: &[u8]) {
        if !REPEATING.has(name) || value.len() > VALUE_BYTES_MAX {
            let secret = name == Known::SET_COOKIE;
            return literal(out, if secret { SECRET } else { PLAIN }, name, value);
        }
        let found = self
            .entries
            .iter()
            .position(|entry| entry.name == name && *entry.value == *value);
        if let Some(age) = found {
            return integer(out, Literal(0x80, 7), STATIC.len() + 1 + age);
        }
        let entry = Entry {
            name,
            value: value.into(),
        };
        let size = entry.size();
        if size > self.size_max {
            return literal(out, PLAIN, name, value);
        }
        literal(out, REMEMBERED, name, value);
        self.shrink(self.size_max - size);
        self.entries.push_front(entry);
        self.size += size;
    }

    /// Writes a field of any other name, which is in lower case.
    pub fn other(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        integer(out, PLAIN, 0);
        string(out, name);
        string(out, value);
    }

    fn shrink(&mut self, size_max: usize) {
        while self.size > size_max {
            let Some(oldest) = self.entries.pop_back() else {
                return;
            };
            self.size -= oldest.size();
        }
    }
}

/// Writes a literal by the static index of its name, if that has one.
fn literal(out: &mut Vec<u8>, how: Literal, name: Known, value: &[u8]) {
    match static_index(name) {
        Some(index) => integer(out, how, index),
        None => {
            integer(out, how, 0);
            string(out, name.as_str().as_bytes());
        }
    }
    string(out, value);
}

/// By the number of a name: the first static index that has it, or 0.
static STATIC_INDEX: [u8; KNOWN] = static_indices();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "runs at compile time only: a wrong index would not compile"
)]
const fn static_indices() -> [u8; KNOWN] {
    let mut indices = [0; KNOWN];
    let mut at = STATIC.len();
    while at > 0 {
        if let Name::Known(known) = STATIC[at - 1].0 {
            indices[known.number() as usize] = at as u8;
        }
        at -= 1;
    }
    indices
}

fn static_index(name: Known) -> Option<usize> {
    let index = STATIC_INDEX.get(usize::from(name.number())).copied()?;
    (index > 0).then_some(usize::from(index))
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    integer(out, Literal(0, 7), text.len());
    out.extend_from_slice(text);
}

/// RFC 7541 section 5.1.
fn integer(out: &mut Vec<u8>, Literal(pattern, bits): Literal, value: usize) {
    let mask = (1_usize << bits) - 1;
    if value < mask {
        out.push(pattern | low_byte(value));
        return;
    }
    out.push(pattern | low_byte(mask));
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(low_byte(rest & 0x7f | 0x80));
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

/// For values of at most eight bits.
fn low_byte(value: usize) -> u8 {
    let [byte, ..] = value.to_le_bytes();
    byte
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use bytes::BytesMut;
    use http::StatusCode;
    use proptest::prelude::*;

    use super::{
        super::{Decoder, Name, Sink, Undecodable},
        Encoder, REPEATING, TABLE_BYTES_MAX,
    };
    use crate::fields::Known;

    #[derive(Default)]
    struct Read {
        bytes: BytesMut,
        fields: Vec<(String, Vec<u8>)>,
    }

    impl Sink for Read {
        fn bytes(&mut self) -> &mut BytesMut {
            &mut self.bytes
        }
        fn wants_values(&self) -> bool {
            true
        }
        fn field(&mut self, name: Name, text: Range<usize>, value: Range<usize>) -> Result<(), Undecodable> {
            let name = match name {
                Name::Pseudo(pseudo) => pseudo.as_str().to_owned(),
                Name::Known(known) => known.as_str().to_owned(),
                Name::Text => String::from_utf8(self.bytes[text].to_vec()).unwrap(),
            };
            self.fields.push((name, self.bytes[value].to_vec()));
            Ok(())
        }
    }

    fn read(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut read = Read::default();
        decoder.decode(block, &mut read).unwrap();
        read.fields
    }

    #[test]
    fn every_status_is_read_back() {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(4096));
        for status in 100..1000 {
            let mut out = Vec::new();
            encoder.begin(&mut out, StatusCode::from_u16(status).unwrap());
            let said = vec![(":status".to_owned(), status.to_string().into_bytes())];
            assert_eq!(read(&mut decoder, &out), said);
        }
    }

    #[test]
    fn what_comes_again_is_one_byte() {
        let mut encoder = Encoder::default();
        let mut out = Vec::new();
        encoder.known(&mut out, Known::CONTENT_TYPE, b"text/html");
        let first = out.len();
        encoder.known(&mut out, Known::CONTENT_TYPE, b"text/html");
        assert_eq!(out[first..], [0xbe]);
        encoder.known(&mut out, Known::X_REQUEST_ID, b"1");
        encoder.known(&mut out, Known::CONTENT_TYPE, b"text/html");
        assert_eq!(out.last(), Some(&0xbe));
    }

    #[test]
    fn a_reader_that_wants_no_table_gets_none() {
        let mut encoder = Encoder::default();
        let mut out = Vec::new();
        encoder.known(&mut out, Known::SERVER, b"a");
        encoder.allow(0);
        encoder.allow(8192);
        out.clear();
        encoder.begin(&mut out, StatusCode::OK);
        encoder.known(&mut out, Known::SERVER, b"a");
        encoder.known(&mut out, Known::SERVER, b"a");
        assert_eq!(out[..2], [0x20, 0x88]);
        let server = ("server".to_owned(), b"a".to_vec());
        let mut decoder = Decoder::new(4096);
        assert_eq!(read(&mut decoder, &out)[1..], [server.clone(), server]);
    }

    proptest! {
        #[test]
        fn blocks_are_read_back_and_the_table_keeps_its_bound(
            blocks in prop::collection::vec(prop::collection::vec((0..4_usize, "[ -~]{0,300}"), 0..20), 0..20),
            limits: Vec<u16>,
        ) {
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(4096));
            let mut limits = limits.into_iter();
            for block in blocks {
                if let Some(limit) = limits.next() {
                    encoder.allow(usize::from(limit));
                }
                let mut out = Vec::new();
                let mut said = vec![(":status".to_owned(), b"404".to_vec())];
                encoder.begin(&mut out, StatusCode::NOT_FOUND);
                for (name, value) in block {
                    let known = [Known::SERVER, Known::CONTENT_TYPE, Known::ETAG].get(name);
                    match known {
                        Some(known) => encoder.known(&mut out, *known, value.as_bytes()),
                        None => encoder.other(&mut out, b"x-other", value.as_bytes()),
                    }
                    let name = known.map_or("x-other", |known| known.as_str());
                    said.push((name.to_owned(), value.into_bytes()));
                }
                prop_assert_eq!(read(&mut decoder, &out), said);
                prop_assert!(encoder.size <= TABLE_BYTES_MAX.min(encoder.reader));
            }
        }
    }

    #[test]
    fn secrets_and_what_changes_are_not_remembered() {
        for name in [
            Known::SET_COOKIE,
            Known::ETAG,
            Known::X_REQUEST_ID,
            Known::CONTENT_LENGTH,
        ] {
            assert!(!REPEATING.has(name));
        }
        let mut out = Vec::new();
        Encoder::default().known(&mut out, Known::SET_COOKIE, b"a=b");
        assert_eq!(out[..2], [0x1f, 55 - 15]);
    }
}
