//! A canonical path is its own canonical form, whatever came in.
#![no_main]

use banyan::route::{EncodedSlash, canonical};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for encoded_slash in [EncodedSlash::Refuse, EncodedSlash::Keep] {
        if let Ok(once) = canonical(text, encoded_slash) {
            let twice = canonical(&once, encoded_slash).expect("a canonical path is not refused");
            assert_eq!(once, twice);
        }
    }
});
