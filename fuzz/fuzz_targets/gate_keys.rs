//! Any text as a JWKS: it is read within its bounds or refused, and the same text always gives the same keys.
#![no_main]

use banyan::gate::{KEYS_MAX, KeySet};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((keys, skipped)) = KeySet::parse(text) {
        assert!(!keys.is_empty());
        assert!(keys.len() + skipped.len() <= KEYS_MAX);
        assert!(KeySet::parse(text).is_ok_and(|(again, _)| again.len() == keys.len()));
    }
});
