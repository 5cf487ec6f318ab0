//! Any override token: never a panic, never a variant without its key's seal; and what is led on to stays on its host.
#![no_main]

use banyan::{
    clock::UnixTime,
    fields::{Fields, Known},
    visitor::{Keys, LinkId, Revoked, SigningKey, VisitorSettings, is_local, override_tokens},
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
    let now = UnixTime::from_secs(1_700_000_000);
    let mut headers = Fields::new();
    headers.append(Known::COOKIE, data);
    headers.append(Known::BANYAN_OVERRIDE, data);
    for token in override_tokens(&headers) {
        // The fuzzer can't guess a seal.
        assert!(keys.open_override(token, "h", now, &Revoked::default()).is_err());
    }
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(link) = text.parse::<LinkId>() {
        assert_eq!(link.to_string(), text);
    }
    if is_local(text) {
        assert!(text.starts_with('/') && !text.starts_with("//") && !text.contains(['\\', '\n', '\r', '\t', ' ']));
    }
});
