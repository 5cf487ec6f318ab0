//! Reads header blocks.

use std::ops::Range;

use bytes::BytesMut;

use super::{
    huffman,
    table::{Entry, Name, Pseudo, Table},
};
use crate::fields::Known;

/// Why a header block can't be read. Nothing behind it on the connection can be, either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable(pub &'static str);

/// Who takes the fields of a block.
pub trait Sink {
    /// Where strings are decoded to. It is only appended to; [`Sink::field`] may cut off what the field appended.
    fn bytes(&mut self) -> &mut BytesMut;

    /// Whether values are still wanted. If not, [`Sink::field`] is called with an empty value where that spares work.
    fn wants_values(&self) -> bool;

    /// Takes a field: where in the bytes its name (empty unless it is [`Name::Text`]) and its value lie.
    ///
    /// # Errors
    /// A value that makes the whole block unreadable.
    fn field(&mut self, name: Name, text: Range<usize>, value: Range<usize>) -> Result<(), Undecodable>;
}

/// Reads the header blocks of a connection, all of them and in order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// The size that the writer may set at most.
    limit: usize,
    /// The size that it has set.
    size_max: usize,
}

impl Decoder {
    /// A reader that remembers at most `limit` bytes (`SETTINGS_HEADER_TABLE_SIZE`).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            table: Table::default(),
            limit,
            size_max: limit,
        }
    }

    /// Reads one whole block.
    ///
    /// # Errors
    /// [`Undecodable`]: the connection is over.
    pub fn decode(&mut self, block: &[u8], sink: &mut impl Sink) -> Result<(), Undecodable> {
        let mut rest = block;
        let mut may_resize = true;
        while let Some(&first) = rest.first() {
            if first & 0xe0 == 0x20 {
                self.resize(&mut rest, may_resize)?;
                continue;
            }
            may_resize = false;
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                self.indexed(index, sink)?;
            } else if first & 0x40 != 0 {
                let index = integer(&mut rest, 6)?;
                self.literal(index, true, &mut rest, sink)?;
            } else {
                let index = integer(&mut rest, 4)?;
                self.literal(index, false, &mut rest, sink)?;
            }
        }
        Ok(())
    }

    /// RFC 7541 section 6.3; only at the beginning of a block (section 4.2).
    fn resize(&mut self, rest: &mut &[u8], allowed: bool) -> Result<(), Undecodable> {
        let size = integer(rest, 5)?;
        if !allowed || size > self.limit {
            return Err(Undecodable("table size"));
        }
        self.size_max = size;
        self.table.shrink(size);
        Ok(())
    }

    fn indexed(&self, index: usize, sink: &mut impl Sink) -> Result<(), Undecodable> {
        let entry = self.table.get(index).ok_or(UNKNOWN_INDEX)?;
        let wanted = sink.wants_values();
        let bytes = sink.bytes();
        let begin = bytes.len();
        if wanted {
            bytes.extend_from_slice(entry.text);
            bytes.extend_from_slice(entry.value);
        }
        let (end, middle) = (bytes.len(), (begin + entry.text.len()).min(bytes.len()));
        sink.field(entry.name, begin..middle, middle..end)
    }

    fn literal(
        &mut self,
        index: usize,
        remember: bool,
        rest: &mut &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), Undecodable> {
        let bytes = sink.bytes();
        let begin = bytes.len();
        let name = if index == 0 {
            string(rest, bytes)?;
            let name = name_of(bytes.get(begin..).unwrap_or_default())?;
            if name != Name::Text {
                bytes.truncate(begin);
            }
            name
        } else {
            let entry = self.table.get(index).ok_or(UNKNOWN_INDEX)?;
            bytes.extend_from_slice(entry.text);
            entry.name
        };
        let middle = bytes.len();
        string(rest, bytes)?;
        let end = bytes.len();
        let value = bytes.get(middle..).unwrap_or_default();
        if !is_value(value) {
            return Err(Undecodable("octet in a value"));
        }
        if remember {
            let text = bytes.get(begin..middle).unwrap_or_default();
            self.table.insert(Entry { name, text, value }, self.size_max);
        }
        sink.field(name, begin..middle, middle..end)
    }
}

const UNKNOWN_INDEX: Undecodable = Undecodable("unknown index");

/// Field values have no control characters but tabs (RFC 9113 section 8.2.1).
fn is_value(text: &[u8]) -> bool {
    // All of them are looked at, so that this is done many at a time.
    let wrong = |byte: u8| u8::from(byte < 0x20) & u8::from(byte != b'\t') | u8::from(byte == 0x7f);
    text.iter().fold(0, |any, byte| any | wrong(*byte)) == 0
}

/// What a literal name is: a token without upper case, or a pseudo-header field that exists (RFC 9113 sections 8.2.1 and 8.3).
fn name_of(text: &[u8]) -> Result<Name, Undecodable> {
    if text.first() == Some(&b':') {
        return Pseudo::find(text)
            .map(Name::Pseudo)
            .ok_or(Undecodable("unknown pseudo-header field"));
    }
    if text.is_empty() || !text.iter().all(|byte| is_name_byte(*byte)) {
        return Err(Undecodable("field name"));
    }
    Ok(Known::find(text).map_or(Name::Text, Name::Known))
}

const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'.' | b'^' | b'`' | b'|' | b'~')
}

/// Decodes a string behind `bytes` (RFC 7541 section 5.2).
fn string(rest: &mut &[u8], bytes: &mut BytesMut) -> Result<(), Undecodable> {
    let coded = rest.first().is_some_and(|first| first & 0x80 != 0);
    let length = integer(rest, 7)?;
    let (string, behind) = rest
        .split_at_checked(length)
        .ok_or(Undecodable("cut within a string"))?;
    *rest = behind;
    if coded {
        huffman::decode(string, bytes).ok_or(Undecodable("Huffman code"))
    } else {
        bytes.extend_from_slice(string);
        Ok(())
    }
}

/// RFC 7541 section 5.1. Longer than four bytes is no length or index that could be honest.
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Result<usize, Undecodable> {
    const WRONG: Undecodable = Undecodable("integer");
    let (first, mut behind) = rest.split_first().ok_or(WRONG)?;
    let mask = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        for shift in [0, 7, 14, 21] {
            let (byte, more) = behind.split_first().ok_or(WRONG)?;
            behind = more;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *rest = behind;
                return Ok(value);
            }
        }
        return Err(WRONG);
    }
    *rest = behind;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::{Decoder, Name, Sink, Undecodable};

    /// Writes every field down.
    #[derive(Default)]
    struct Notes {
        bytes: BytesMut,
        fields: Vec<(String, String)>,
    }

    impl Sink for Notes {
        fn bytes(&mut self) -> &mut BytesMut {
            &mut self.bytes
        }
        fn wants_values(&self) -> bool {
            true
        }
        fn field(&mut self, name: Name, text: Range<usize>, value: Range<usize>) -> Result<(), Undecodable> {
            let read = |range: Range<usize>| String::from_utf8_lossy(&self.bytes[range]).into_owned();
            let name = match name {
                Name::Pseudo(pseudo) => pseudo.as_str().to_owned(),
                Name::Known(known) => known.as_str().to_owned(),
                Name::Text => read(text),
            };
            let value = read(value);
            self.fields.push((name, value));
            Ok(())
        }
    }

    fn decode(decoder: &mut Decoder, hex: &str) -> Result<String, Undecodable> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let block: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let mut notes = Notes::default();
        decoder.decode(&block, &mut notes)?;
        let lines = notes.fields.iter().map(|(name, value)| format!("{name}={value}"));
        Ok(lines.collect::<Vec<_>>().join(" "))
    }

    /// RFC 7541 appendices C.3 and C.4: three requests, plain and in Huffman code.
    #[test]
    fn the_examples_of_the_rfc_hold() {
        let said = [
            ":method=GET :scheme=http :path=/ :authority=www.example.com",
            ":method=GET :scheme=http :path=/ :authority=www.example.com cache-control=no-cache",
            ":method=GET :scheme=https :path=/index.html :authority=www.example.com custom-key=custom-value",
        ];
        for blocks in [
            [
                "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                "8286 84be 5808 6e6f 2d63 6163 6865",
                "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
            ],
            [
                "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
                "8286 84be 5886 a8eb 1064 9cbf",
                "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
            ],
        ] {
            let mut decoder = Decoder::new(4096);
            for (block, said) in blocks.into_iter().zip(said) {
                assert_eq!(decode(&mut decoder, block).as_deref(), Ok(said));
            }
        }
    }

    #[test]
    fn a_table_is_resized_at_a_block_s_beginning_and_no_further_than_allowed() {
        let mut decoder = Decoder::new(100);
        assert!(decode(&mut decoder, "40 01 61 01 62").is_ok());
        assert_eq!(decode(&mut decoder, "be").as_deref(), Ok("a=b"));
        assert_eq!(decode(&mut decoder, "20 3f45 82").as_deref(), Ok(":method=GET")); // to 0 and 100
        assert_eq!(decode(&mut decoder, "be"), Err(super::UNKNOWN_INDEX));
        assert_eq!(decode(&mut decoder, "82 20"), Err(Undecodable("table size")));
        assert_eq!(decode(&mut decoder, "3f46"), Err(Undecodable("table size")));
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        for (block, why) in [
            ("80", "unknown index"),
            ("be", "unknown index"),
            ("ff ff ff ff ff 00", "integer"),
            ("ff", "integer"),
            ("00 01", "cut within a string"),
            ("00 00 00", "field name"),
            ("00 01 41 00", "field name"),
            ("00 01 20 00", "field name"),
            ("00 03 61 3a 62 00", "field name"),
            ("00 02 3a 61 00", "unknown pseudo-header field"),
            ("00 01 61 01 0d", "octet in a value"),
            ("00 01 61 01 7f", "octet in a value"),
            ("00 01 61 81 ff", "Huffman code"),
        ] {
            assert_eq!(
                decode(&mut Decoder::new(4096), block),
                Err(Undecodable(why)),
                "{block}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it_and_the_table_keeps_its_bound(blocks: Vec<Vec<u8>>) {
            let mut decoder = Decoder::new(256);
            for block in blocks {
                if decoder.decode(&block, &mut Notes::default()).is_err() {
                    break;
                }
            }
        }
    }
}
