//! Any `Authorization` field, and any claims under a good signature: a verdict, and the same one again.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use banyan::{
    clock::UnixTime,
    fields::{Fields, Known},
    gate::{
        Accept, Auth, Gate, GateSettings, KeySet, KeySource, LIFETIME, ROLES_TOLD_BYTES_MAX, Requirement, Source,
        TokenMemory, TokenProfile, escape,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed"));

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key());
    let text = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"{x}"}}]}}"#);
    KeySet::parse(&text).expect("it is a key set").0
});

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    Gate::new(&GateSettings {
        issuer: "i".to_owned(),
        audiences: vec!["a".to_owned()],
        keys: KeySource::File("keys.json".into()),
        roles_claim: "/roles".to_owned(),
        leeway: Duration::from_secs(30),
        default_auth: None,
        ca: None,
        legacy: None,
        introspection: None,
        default_accept: Accept::default(),
        groups_claim: "/groups".to_owned(),
        profile: TokenProfile::Jwt,
        max_lifetime: LIFETIME,
        demands: Vec::new(),
        strip: Vec::new(),
        session: None,
    })
});

fn judge(field: &[u8]) {
    let mut headers = Fields::new();
    headers.insert(Known::AUTHORIZATION, field);
    if headers.is_empty() {
        return;
    }
    let requirement = Requirement {
        accept: Accept::of(&[Source::Bearer, Source::Key]),
        ..Requirement::of(Auth::Required)
    };
    let memory = TokenMemory::new();
    let verdict = GATE.check(&requirement, &headers, &KEYS, NOW, &memory);
    assert_eq!(GATE.check(&requirement, &headers, &KEYS, NOW, &memory), verdict);
    if let Ok(Some(identity)) = verdict {
        assert!(identity.expires.millis + 30_000 > NOW.millis);
        assert_eq!(identity.user_field(), escape(&identity.subject).as_str());
        assert!(
            identity
                .roles_field()
                .is_none_or(|field| field.len() <= ROLES_TOLD_BYTES_MAX)
        );
    }
}

fuzz_target!(|bytes: &[u8]| {
    judge(bytes);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"ed"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let signature = URL_SAFE_NO_PAD.encode(KEY.sign(message.as_bytes()));
    judge(format!("Bearer {message}.{signature}").as_bytes());
});
