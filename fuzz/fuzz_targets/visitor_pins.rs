//! Any pins cookie: never a panic, never a pin without its key's signature.
#![no_main]

use banyan::{
    clock::UnixTime,
    fields::{Fields, Known},
    visitor::{Keys, PINS_COOKIE, SigningKey, VisitorSettings},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let settings = VisitorSettings {
        keys: vec![SigningKey {
            id: "k1".to_owned(),
            secret: vec![1; 32],
        }],
        ..VisitorSettings::default()
    };
    let keys = Keys::new(&settings).expect("these settings are good");
    let visitor = keys.mint([7; 16], UnixTime::from_secs(1_700_000_000));
    let mut headers = Fields::new();
    for value in data.split(|&byte| byte == b'\n') {
        headers.append(Known::COOKIE, [PINS_COOKIE.as_bytes(), b"=", value].concat());
    }
    // The fuzzer can't guess an HMAC.
    if let Ok(pins) = keys.pins(&headers, &visitor) {
        assert!(pins.is_empty());
    }
});
