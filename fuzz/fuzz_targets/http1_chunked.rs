//! Any bytes as a chunked body: no panic, never more data than bytes, and the same reading in two pieces as in one.
#![no_main]

use banyan::http1::chunked::{Chunked, Piece};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

fn read(first: &[u8], second: &[u8]) -> Result<(Vec<u8>, bool), &'static str> {
    let mut decoder = Chunked::default();
    let mut input = BytesMut::new();
    let mut data = Vec::new();
    for part in [first, second] {
        input.extend_from_slice(part);
        loop {
            match decoder.decode(&mut input)? {
                Piece::NeedMore => break,
                Piece::Data(piece) => data.extend_from_slice(&piece),
                Piece::Trailers(_) | Piece::End => return Ok((data, true)),
            }
        }
    }
    Ok((data, false))
}

fuzz_target!(|data: (u16, &[u8])| {
    let (cut, bytes) = data;
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = read(bytes, b"");
    assert!(whole.as_ref().is_ok_and(|(data, _)| data.len() <= bytes.len()) || whole.is_err());
    assert_eq!(whole, read(first, second));
});
