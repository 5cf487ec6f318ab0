//! Any bytes as HTTP/2 header blocks: no panic, and what was read is read again once it is written anew.
#![no_main]

use std::ops::Range;

use banyan::{
    fields::Known,
    http2::server::hpack::{Decoder, Encoder, Name, Sink, Undecodable},
};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

/// Keeps every field.
#[derive(Default)]
struct Kept {
    bytes: BytesMut,
    fields: Vec<(Option<Known>, Vec<u8>, Vec<u8>)>,
}

impl Sink for Kept {
    fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    fn wants_values(&self) -> bool {
        self.bytes.len() < 1 << 16
    }

    fn field(&mut self, name: Name, text: Range<usize>, value: Range<usize>) -> Result<(), Undecodable> {
        let known = match name {
            Name::Known(known) => Some(known),
            Name::Text => None,
            Name::Pseudo(_) => return Ok(()),
        };
        if known.is_some() || !text.is_empty() {
            let (text, value) = (self.bytes[text].to_vec(), self.bytes[value].to_vec());
            self.fields.push((known, text, value));
        }
        Ok(())
    }
}

fuzz_target!(|blocks: Vec<&[u8]>| {
    let mut decoder = Decoder::new(4096);
    let (mut encoder, mut again) = (Encoder::default(), Decoder::new(4096));
    for block in blocks {
        let mut kept = Kept::default();
        if decoder.decode(block, &mut kept).is_err() {
            return;
        }
        let mut out = Vec::new();
        encoder.begin_trailers(&mut out);
        for (known, text, value) in &kept.fields {
            match known {
                Some(known) => encoder.known(&mut out, *known, value),
                None => encoder.other(&mut out, text, value),
            }
        }
        let mut read = Kept::default();
        assert_eq!(again.decode(&out, &mut read), Ok(()));
        assert_eq!(read.fields, kept.fields);
    }
});
