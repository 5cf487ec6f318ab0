//! Any query, cookies and policy: a verdict, the same one again, and none of a signature's parameters left for a backend.
#![no_main]

use std::sync::{Arc, LazyLock};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use banyan::{
    clock::UnixTime,
    policy::signed::{
        Address, Asked, Grant, KeyGroup, Presented, PublicKey, Trust, Unsigned, is_parameter, without_parameters,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use libfuzzer_sys::fuzz_target;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

static KEY: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"));

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let der: PublicKeyX509Der<'_> = KEY.public_key().as_der().expect("it has a public half");
    let text = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
    let key = PublicKey::from_pem(pem.as_bytes()).expect("it is a key");
    Trust::new(vec![Arc::new(KeyGroup {
        name: "fuzz".to_owned(),
        keys: vec![("K".to_owned(), key)],
    })])
});

fn judge(path: &str, query: Option<&str>, cookies: &[(&str, &str)]) -> Result<u64, Unsigned> {
    let asked = Asked {
        address: Address {
            host: "h",
            path,
            received: path,
            query,
        },
        client: None,
        now: NOW,
    };
    let presented = Presented::find(query, cookies.iter().copied())?;
    TRUST.judge(&presented, &asked).map(|granted| granted.until)
}

fn safe(bytes: &[u8]) -> String {
    STANDARD.encode(bytes).replace('+', "-").replace('=', "_").replace('/', "~")
}

fuzz_target!(|parts: (&str, &str, &[u8])| {
    let (path, query, policy) = parts;
    let left: Vec<&str> = without_parameters(query).collect();
    assert!(!left.iter().any(|piece| is_parameter(piece.split('=').next().unwrap_or_default())));
    assert_eq!(judge(path, Some(query), &[]), judge(path, Some(query), &[]));
    let cookie = ("CloudFront-Policy", query);
    assert!(judge(path, None, &[cookie]).is_err());
    // Under a good signature a policy is read: it says no more than `Grant` understands, and is over when it says so.
    let signature = KEY.sign(&SystemRandom::new(), policy).expect("it signs");
    let signed = format!("Policy={}&Signature={}&Key-Pair-Id=K", safe(policy), safe(signature.as_ref()));
    let verdict = judge(path, Some(&signed), &[]);
    match Grant::parse(policy) {
        Ok(grant) => assert!(verdict.map_or(true, |until| until == grant.until && until > NOW.secs())),
        Err(_) => assert!(verdict.is_err()),
    }
});
