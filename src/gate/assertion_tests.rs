//! Assertions: what a backend reads, how it can check it, and how often one is signed.

use std::sync::Arc;

use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use serde_json::{Value, json};

use super::{
    Identity, KeySet,
    assertion::{AssertionMemory, IDENTITY, ROLES, Signer, USER},
    keys::Algorithm,
    test_issuer::NOW,
};
use crate::fields::Fields;
use crate::{clock::UnixTime, name::BackendName};

fn signer() -> Signer {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Signer::from_pkcs8(key.as_ref()).unwrap()
}

fn alice() -> Arc<Identity> {
    Arc::new(Identity::pretended(
        "alice",
        &["member".to_owned(), "a,b".to_owned()],
    ))
}

fn backend(name: &str) -> BackendName {
    BackendName::new(name).unwrap()
}

fn after(seconds: u64) -> UnixTime {
    UnixTime::from_secs(NOW.secs() + seconds)
}

/// Header and claims, checked with the published key set as a backend would.
fn read(token: &str, signer: &Signer) -> (Value, Value) {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let (keys, skipped) = KeySet::parse(&signer.jwks()).unwrap();
    assert!(skipped.is_empty());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let header = json(header);
    keys.verify(
        Algorithm::EdDsa,
        header["kid"].as_str(),
        signed.as_bytes(),
        signature,
    )
    .unwrap();
    (header, json(claims))
}

#[test]
fn a_backend_can_check_what_it_is_told() {
    let signer = signer();
    let (header, mut claims) = read(&signer.sign(&alice(), &backend("shop"), NOW), &signer);
    let number = claims["jti"].take();
    assert_eq!(number.as_str().unwrap().len(), 22);
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["typ"], "banyan+jwt");
    assert_eq!(
        claims,
        json!({
            "iss": "banyan", "aud": "shop", "sub": "alice", "roles": ["member", "a,b"],
            "iat": NOW.secs(), "exp": NOW.secs() + 60, "jti": null, "source": "bearer",
        })
    );
}

#[test]
fn the_key_is_named_by_its_thumbprint() {
    // RFC 8037 appendix A.1 to A.3; the PKCS#8 frame around the seed is that of RFC 8410 section 7.
    let frame = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ];
    let seed = [
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ];
    let signer = Signer::from_pkcs8(&[frame.as_slice(), &seed].concat()).unwrap();
    let jwks: Value = serde_json::from_str(&signer.jwks()).unwrap();
    assert_eq!(
        jwks["keys"][0]["x"],
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    );
    assert_eq!(
        jwks["keys"][0]["kid"],
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
}

#[test]
fn a_key_of_another_kind_signs_nothing() {
    assert!(Signer::from_pkcs8(b"").is_err());
    let ec = rcgen::KeyPair::generate().unwrap();
    assert!(Signer::from_pkcs8(&ec.serialize_der()).is_err());
}

#[test]
fn an_assertion_is_signed_again_at_half_its_life() {
    let (signer, memory, alice) = (signer(), AssertionMemory::new(), alice());
    let at = |now: UnixTime, who: &Arc<Identity>, name: &str| {
        let mut headers = Fields::new();
        signer.announce(&mut headers, who, &backend(name), now, &memory);
        headers.get(IDENTITY).unwrap().as_bytes().to_vec()
    };
    let first = at(NOW, &alice, "shop");
    assert_eq!(at(after(29), &alice, "shop"), first);
    let second = at(after(30), &alice, "shop");
    assert_ne!(second, first);
    assert_eq!(at(after(59), &alice, "shop"), second);
    assert_ne!(at(after(29), &alice, "shop"), second, "the clock was set back");
    assert_ne!(at(NOW, &alice, "legacy"), first);
    let bob = Arc::new(Identity::pretended("bob", &[]));
    assert_ne!(at(NOW, &bob, "shop"), first);
    let (mine, theirs) = (at(after(100), &alice, "shop"), at(after(101), &bob, "shop"));
    assert_eq!(at(after(102), &alice, "shop"), mine, "others do not push it out");
    assert_eq!(at(after(103), &bob, "shop"), theirs);
}

#[test]
fn an_identity_never_gets_the_assertion_of_one_that_is_gone() {
    let (signer, memory) = (signer(), AssertionMemory::new());
    for n in 0..2000 {
        let subject = format!("user-{n}");
        let who = Arc::new(Identity::pretended(&subject, &[]));
        let mut headers = Fields::new();
        signer.announce(&mut headers, &who, &backend("shop"), NOW, &memory);
        if n % 100 == 0 {
            let (_, claims) = read(headers.get(IDENTITY).unwrap().to_str().unwrap(), &signer);
            assert_eq!(claims["sub"], subject.as_str());
        }
    }
}

#[test]
fn forged_fields_are_written_over() {
    let (signer, memory) = (signer(), AssertionMemory::new());
    let mut headers = Fields::new();
    for name in [USER, ROLES, IDENTITY] {
        headers.append(name, "admin");
        headers.append(name, "root");
    }
    let nobody_special = Arc::new(Identity::pretended("bob", &[]));
    signer.announce(&mut headers, &nobody_special, &backend("shop"), NOW, &memory);
    assert_eq!(headers.get_all(USER).collect::<Vec<_>>(), ["bob"]);
    assert!(headers.get(ROLES).is_none());
    assert_eq!(headers.get_all(IDENTITY).count(), 1);
    signer.announce(&mut headers, &alice(), &backend("shop"), NOW, &memory);
    assert_eq!(headers.get_all(ROLES).collect::<Vec<_>>(), ["member, a%2Cb"]);
}
