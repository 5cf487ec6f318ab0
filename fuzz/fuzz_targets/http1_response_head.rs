//! Any bytes as an HTTP/1.1 response head: no panic, and the same reading in two pieces as in one.
#![no_main]

use banyan::http1::head::{Bounds, ResponseHead, ResponseParser, ResponseRefusal};
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds { head_bytes_max: 4096, uri_bytes_max: 4096, headers_max: 32 };

fn read(first: &[u8], second: &[u8]) -> Result<Option<ResponseHead>, ResponseRefusal> {
    let mut parser = ResponseParser::default();
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
