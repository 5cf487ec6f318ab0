//! Any `Cookie` field: never a panic, never a visitor without its key's signature, never an own cookie left over.
#![no_main]

use std::time::Duration;

use banyan::{
    clock::UnixTime,
    fields::{Fields, Known},
    visitor::{Keys, OWN_PREFIX, SigningKey, VisitorSettings, cookies, remove_own_cookies},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut headers = Fields::new();
    for field in data.split(|&byte| byte == b'\n') {
        headers.append(Known::COOKIE, field);
    }
    let settings = VisitorSettings {
        keys: vec![SigningKey {
            id: "k1".to_owned(),
            secret: vec![1; 32],
        }],
        max_age: Duration::from_secs(180 * 86_400),
        ..VisitorSettings::default()
    };
    let keys = Keys::new(&settings).expect("these settings are good");
    let now = UnixTime::from_secs(1_700_000_000);
    // The fuzzer can't guess an HMAC.
    assert_eq!(keys.identify(&headers, now).visitor, None);
    let others = |headers: &Fields| {
        let all = cookies(headers).map(|(name, value)| (name.to_owned(), value.to_owned()));
        all.filter(|(name, _)| {
            !name
                .to_ascii_lowercase()
                .starts_with(&OWN_PREFIX.to_ascii_lowercase())
        })
        .collect::<Vec<_>>()
    };
    let before = others(&headers);
    remove_own_cookies(&mut headers);
    assert_eq!(others(&headers), before);
    assert_eq!(cookies(&headers).count(), before.len());
});
