//! Key sets: which keys are taken, which are left out and why.

use serde_json::{Value, json};

use super::{
    BadKeys, BadToken, KEYS_BYTES_MAX, KEYS_MAX, KeySet,
    keys::Algorithm,
    test_issuer::{encode, issuer, merge},
};

/// A set with `kind` changed by `change`, and behind it a key that is always good.
#[track_caller]
fn check(kind: &str, change: &Value, why: Option<&str>) {
    let mut key = issuer().jwk(kind);
    merge(&mut key, change);
    let mut spare = issuer().jwk("ed");
    merge(&mut spare, &json!({ "kid": "spare" }));
    let text = json!({ "keys": [key, spare] }).to_string();
    let (keys, skipped) = KeySet::parse(&text).unwrap();
    let whys: Vec<&str> = skipped.iter().map(|key| key.why).collect();
    assert_eq!(whys, why.into_iter().collect::<Vec<_>>());
    assert_eq!(keys.len(), 2 - skipped.len());
}

#[test]
fn keys_for_signatures_are_taken() {
    for kind in ["rsa", "ec", "ed"] {
        check(kind, &json!({}), None);
        check(
            kind,
            &json!({ "use": "sig", "key_ops": ["verify"], "x5c": ["…"] }),
            None,
        );
    }
    check("rsa", &json!({ "alg": "RS256" }), None);
    check("ec", &json!({ "alg": "ES256" }), None);
    check("ed", &json!({ "alg": "EdDSA" }), None);
    check("ed", &json!({ "alg": "Ed25519" }), None);
}

#[test]
fn keys_for_other_things_are_left_out() {
    for kind in ["rsa", "ec", "ed"] {
        check(kind, &json!({ "use": "enc" }), Some("its `use` is not `sig`"));
        check(
            kind,
            &json!({ "key_ops": ["sign", "encrypt"] }),
            Some("its `key_ops` lack `verify`"),
        );
        check(
            kind,
            &json!({ "d": "AAAA" }),
            Some("it holds its private part, so anyone who reads it can sign"),
        );
        for alg in ["HS256", "none", "PS256", "RS512", "ES384", ""] {
            check(
                kind,
                &json!({ "alg": alg }),
                Some("its `alg` is none of RS256, ES256 and EdDSA, or not that of its type"),
            );
        }
    }
    check(
        "ec",
        &json!({ "alg": "RS256" }),
        Some("its `alg` is none of RS256, ES256 and EdDSA, or not that of its type"),
    );
}

#[test]
fn keys_of_other_kinds_are_left_out() {
    check(
        "ed",
        &json!({ "kty": "oct", "k": "c2VjcmV0" }),
        Some("it is a shared secret"),
    );
    check("ed", &json!({ "kty": "AKP" }), Some("its `kty` is not known"));
    check("ed", &json!({ "kty": null }), Some("it is not a JSON Web Key"));
    check("ed", &json!({ "kid": 7 }), Some("it is not a JSON Web Key"));
    let curve = Some("its curve is neither P-256 nor Ed25519");
    check("ed", &json!({ "crv": "X25519" }), curve);
    check("ed", &json!({ "crv": "Ed448" }), curve);
    check("ed", &json!({ "crv": null }), curve);
    check("ec", &json!({ "crv": "P-384" }), curve);
    check("ec", &json!({ "crv": "secp256k1" }), curve);
}

#[test]
fn keys_that_are_none_are_left_out() {
    let point = Some("its `x` and `y` are no point of P-256");
    check("ec", &json!({ "x": encode([7; 32]) }), point);
    check("ec", &json!({ "x": encode([7; 31]) }), point);
    check("ec", &json!({ "y": null }), point);
    check("ec", &json!({ "y": "not base64!" }), point);
    check(
        "ed",
        &json!({ "x": encode([7; 33]) }),
        Some("its `x` is no Ed25519 key"),
    );
    check("ed", &json!({ "x": null }), Some("its `x` is no Ed25519 key"));
    let number = Some("its `n` or `e` is not a public RSA key");
    check("rsa", &json!({ "n": null }), number);
    check("rsa", &json!({ "n": "" }), number);
    check("rsa", &json!({ "n": "AA" }), number);
    let bits = Some("it has fewer than 2048 or more than 8192 bits");
    check("rsa", &json!({ "n": encode([0x7f; 256]) }), bits);
    check("rsa", &json!({ "n": encode([0xff; 128]) }), bits);
    check("rsa", &json!({ "n": encode([0xff; 1025]) }), bits);
    check("rsa", &json!({ "e": "AQ" }), Some("its exponent is unsafe"));
    check("rsa", &json!({ "e": "Ag" }), Some("its exponent is unsafe"));
}

#[test]
fn a_kid_is_taken_once_per_algorithm() {
    check(
        "rsa",
        &json!({ "kid": "spare" }),
        None, // another algorithm, so no doubt which one is meant
    );
    let text = json!({ "keys": [issuer().jwk("ed"), issuer().jwk("ed")] }).to_string();
    let (keys, skipped) = KeySet::parse(&text).unwrap();
    assert_eq!((keys.len(), skipped.len()), (1, 1));
    assert_eq!(skipped[0].index, 1);
    assert_eq!(skipped[0].kid.as_deref(), Some("ed"));
    assert_eq!(skipped[0].why, "another key before it has its `kid`");
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    assert_eq!(KeySet::parse(text).unwrap_err().to_string(), expected);
}

#[test]
fn texts_that_are_no_key_set_are_refused() {
    check_refused("{}", "the key set has no list `keys`");
    check_refused("[]", "the key set has no list `keys`");
    check_refused(r#"{"keys": {}}"#, "the key set has no list `keys`");
    check_refused(r#"{"keys": []}"#, "none of the 0 keys can be used");
    check_refused(
        r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#,
        "none of the 1 keys can be used (the first: it is a shared secret)",
    );
    check_refused(
        r#"{"keys": [], "keys": []}"#,
        "the key set is not JSON: a member appears twice at line 1 column 24",
    );
    check_refused(
        "<html>",
        "the key set is not JSON: expected value at line 1 column 1",
    );
}

#[test]
fn a_key_set_is_bounded() {
    let many = json!({ "keys": vec![issuer().jwk("ed"); KEYS_MAX + 1] }).to_string();
    assert_eq!(KeySet::parse(&many).unwrap_err(), BadKeys::TooMany(KEYS_MAX + 1));
    let full = json!({ "keys": vec![issuer().jwk("ed"); KEYS_MAX] }).to_string();
    assert!(KeySet::parse(&full).is_ok());
    let large = " ".repeat(KEYS_BYTES_MAX + 1);
    assert_eq!(
        KeySet::parse(&large).unwrap_err(),
        BadKeys::TooLarge(KEYS_BYTES_MAX + 1)
    );
}

#[test]
fn a_token_without_kid_gets_the_only_key_of_its_algorithm() {
    let signature = issuer().signature("ed", b"message");
    let verify =
        |kid: Option<&str>, keys: &KeySet| keys.verify(Algorithm::EdDsa, kid, b"message", &signature);
    assert_eq!(verify(None, &issuer().keys()), Ok(()));
    let mut unnamed = issuer().jwk("ed");
    merge(&mut unnamed, &json!({ "kid": null }));
    let two = json!({ "keys": [unnamed, issuer().jwk("ed")] }).to_string();
    let (two, skipped) = KeySet::parse(&two).unwrap();
    assert_eq!((two.len(), skipped.len()), (2, 0));
    assert_eq!(verify(None, &two), Err(BadToken::UnknownKey));
    assert_eq!(verify(Some("ed"), &two), Ok(()));
    assert_eq!(verify(None, &KeySet::none()), Err(BadToken::UnknownKey));
}
