//! Any bytes as HTTP/2 frames: no panic, and no payload read beyond its frame.
#![no_main]

use banyan::http2::server::frame::{HEADER_BYTES, Header, header_bytes, settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Some(header) = Header::parse(rest) {
        let again = header_bytes(header.length, header.kind, header.flags, header.stream);
        assert_eq!(Header::parse(&again), Some(header));
        let Some(payload) = rest.get(HEADER_BYTES..HEADER_BYTES + header.length) else {
            return;
        };
        if let Ok((block, _)) = header.fragment(payload) {
            assert!(block.len() <= payload.len());
        }
        if let Some(settings) = settings(payload) {
            assert_eq!(settings.count() * 6, payload.len());
        }
        rest = &rest[HEADER_BYTES + header.length..];
    }
});
