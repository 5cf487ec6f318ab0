//! What comes out of an encoder is what went in, however it is cut into pieces, and a flush brings out all of it so far.

use std::io::Read;

use proptest::prelude::*;

use super::{Encoder, Then};
use crate::policy::compress::Encoding;

/// What can be read of `encoded`, and whether that is all there will ever be.
pub(crate) fn decode(encoding: Encoding, encoded: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let read = match encoding {
        Encoding::Brotli => brotli::Decompressor::new(encoded, 4096).read_to_end(&mut out),
        Encoding::Zstd => zstd::stream::read::Decoder::new(encoded)
            .unwrap()
            .read_to_end(&mut out),
        Encoding::Gzip => flate2::read::GzDecoder::new(encoded).read_to_end(&mut out),
    };
    (out, read.is_ok())
}

/// A piece and what follows it.
fn pieces() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let noise = proptest::collection::vec(any::<u8>(), 0..3_000);
    let text = proptest::collection::vec(prop_oneof![Just(b' '), b'a'..b'f'], 0..20_000);
    let same = (any::<u8>(), 0..200_000_usize).prop_map(|(byte, count)| vec![byte; count]);
    let piece = prop_oneof![3 => noise, 3 => text, 1 => same, 1 => Just(Vec::new())];
    proptest::collection::vec((piece, any::<bool>()), 0..12)
}

fn encoding() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(Encoding::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_comes_out_decodes_to_what_went_in(encoding in encoding(), pieces in pieces(), told in any::<bool>()) {
        let whole: Vec<u8> = pieces.iter().flat_map(|(piece, _)| piece.clone()).collect();
        let mut encoder = Encoder::new(encoding, told.then_some(whole.len() as u64)).unwrap();
        let (mut given, mut out) = (0, Vec::new());
        for (piece, flush) in &pieces {
            encoder.run(piece, if *flush { Then::Flush } else { Then::GoOn }, &mut out).unwrap();
            given += piece.len();
            if *flush {
                let (read, ended) = decode(encoding, &out);
                prop_assert!(read == whole[..given], "{:?}: a flush brings out everything", encoding);
                prop_assert!(!ended);
            }
        }
        encoder.run(&[], Then::Finish, &mut out).unwrap();
        prop_assert!(decode(encoding, &out) == (whole, true), "{:?}", encoding);
    }
}

#[test]
fn a_body_shorter_than_was_told_is_no_whole_one() {
    let mut encoder = Encoder::new(Encoding::Zstd, Some(1_000)).unwrap();
    let mut out = Vec::new();
    encoder.run(b"only this", Then::GoOn, &mut out).unwrap();
    assert!(encoder.run(&[], Then::Finish, &mut out).is_err());
}

#[test]
fn each_encoding_is_what_it_is_called() {
    let page = "<li class=\"course\"><a href=\"/courses/rust\">Rust</a></li>\n".repeat(200);
    for (encoding, begins) in [
        (Encoding::Zstd, [0x28, 0xb5, 0x2f].as_slice()),
        (Encoding::Gzip, &[0x1f, 0x8b, 0x08]),
        (Encoding::Brotli, &[]),
    ] {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(encoding, None).unwrap();
        encoder.run(page.as_bytes(), Then::Finish, &mut out).unwrap();
        assert!(out.starts_with(begins), "{encoding:?}: {:?}", &out[..4]);
        assert!(
            out.len() * 20 < page.len(),
            "{encoding:?}: {} of {}",
            out.len(),
            page.len()
        );
    }
}

#[test]
fn flushing_again_and_again_brings_out_nothing_new() {
    for encoding in Encoding::ALL {
        let (mut encoder, mut out) = (Encoder::new(encoding, None).unwrap(), Vec::new());
        for _ in 0..3 {
            encoder.run(b"", Then::Flush, &mut out).unwrap();
        }
        encoder.run(b"some", Then::Flush, &mut out).unwrap();
        for _ in 0..3 {
            encoder.run(b"", Then::Flush, &mut out).unwrap();
        }
        assert_eq!(decode(encoding, &out), (b"some".to_vec(), false), "{encoding:?}");
        assert!(out.len() < 100, "{encoding:?}: {} bytes", out.len());
    }
}
