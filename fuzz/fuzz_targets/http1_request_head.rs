//! Any bytes as an HTTP/1.1 request head: no panic, and the same reading in two pieces as in one.
#![no_main]

use banyan::http1::head::{Bounds, RequestHead, RequestParser};
use banyan::wire::Malformed;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds { head_bytes_max: 4096, uri_bytes_max: 1024, headers_max: 32 };

fn read(first: &[u8], second: &[u8]) -> Result<Option<RequestHead>, Malformed> {
    let mut parser = RequestParser::default();
    let mut input = BytesMut::from(first);
    if let Some(head) = parser.parse(&mut input, &BOUNDS)? {
        return Ok(Some(head));
    }
    input.extend_from_slice(second);
    parser.parse(&mut input, &BOUNDS)
}

fuzz_target!(|data: (u16, &[u8])| {
    let (cut, bytes) = data;
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(format!("{:?}", read(bytes, b"")), format!("{:?}", read(first, second)));
});
