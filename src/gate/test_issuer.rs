//! An issuer for tests: one key of each kind, made once per test run, and tokens signed by them.

use std::{sync::OnceLock, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Accept, Auth, Gate, GateSettings, KeySet, KeySource, Need, Requirement, TokenProfile, What};
use crate::{clock::UnixTime, name::Place};

/// The time that every test of the gate starts at.
pub(super) const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

#[derive(Debug)]
pub(super) struct Issuer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

pub(super) fn issuer() -> &'static Issuer {
    static ISSUER: OnceLock<Issuer> = OnceLock::new();
    ISSUER.get_or_init(|| Issuer {
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        ed: Ed25519KeyPair::generate().unwrap(),
    })
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    /// The public key of `rsa`, `ec` or `ed` as a JWK, with that as its `kid`.
    pub(super) fn jwk(&self, kind: &str) -> Value {
        match kind {
            "rsa" => {
                let public = self.rsa.public_key();
                let (n, e) = (
                    public.modulus().big_endian_without_leading_zero(),
                    public.exponent().big_endian_without_leading_zero(),
                );
                json!({ "kty": "RSA", "kid": "rsa", "n": encode(n), "e": encode(e) })
            }
            "ec" => {
                let point = self.ec.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            "ed" => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encode(self.ed.public_key().as_ref()) })
            }
            other => panic!("no key {other}"),
        }
    }

    pub(super) fn jwks(&self) -> String {
        json!({ "keys": [self.jwk("rsa"), self.jwk("ec"), self.jwk("ed")] }).to_string()
    }

    pub(super) fn keys(&self) -> KeySet {
        KeySet::parse(&self.jwks()).unwrap().0
    }

    pub(super) fn signature(&self, kind: &str, message: &[u8]) -> String {
        let random = SystemRandom::new();
        match kind {
            "rsa" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                encode(signature)
            }
            "ec" => encode(self.ec.sign(&random, message).unwrap()),
            "ed" => encode(self.ed.sign(message)),
            other => panic!("no key {other}"),
        }
    }

    /// A token of these two texts, whatever they are.
    pub(super) fn token(&self, kind: &str, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.signature(kind, message.as_bytes());
        format!("{message}.{signature}")
    }

    /// A good token with the claims changed as `change` (RFC 7396) says.
    pub(super) fn good_token(&self, kind: &str, change: &Value) -> String {
        let mut claims = good_claims();
        merge(&mut claims, change);
        self.token(kind, &good_header(kind).to_string(), &claims.to_string())
    }
}

pub(super) fn good_header(kind: &str) -> Value {
    let alg = match kind {
        "rsa" => "RS256",
        "ec" => "ES256",
        _ => "EdDSA",
    };
    json!({ "alg": alg, "typ": "at+jwt", "kid": kind })
}

pub(super) fn good_claims() -> Value {
    json!({
        "iss": "https://id.example.test/", "aud": "https://api.example.test", "sub": "alice",
        "iat": NOW.secs() - 10, "exp": NOW.secs() + 300, "roles": ["member", "editor"],
        "client_id": "app", "jti": "n1",
    })
}

/// JSON merge patch, first level: `null` removes.
pub(super) fn merge(target: &mut Value, change: &Value) {
    let members = target.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

pub(super) fn settings() -> GateSettings {
    GateSettings {
        issuer: "https://id.example.test/".to_owned(),
        audiences: vec!["https://api.example.test".to_owned(), "shop".to_owned()],
        keys: KeySource::File("keys.json".into()),
        roles_claim: "/roles".to_owned(),
        leeway: Duration::from_secs(30),
        default_auth: None,
        ca: None,
        legacy: None,
        introspection: None,
        default_accept: Accept::default(),
        groups_claim: "/groups".to_owned(),
        profile: TokenProfile::Rfc9068,
        max_lifetime: super::LIFETIME,
        demands: Vec::new(),
        strip: Vec::new(),
        session: None,
    }
}

pub(super) fn gate() -> Gate {
    Gate::new(&settings())
}

pub(super) fn required(roles: &[&str]) -> Requirement {
    Requirement {
        needs: needs(What::Role, false, roles),
        ..Requirement::of(Auth::Required)
    }
}

/// One need of these names, or none where there are no names.
pub(super) fn needs(what: What, all: bool, names: &[&str]) -> Vec<Need> {
    let need = Need {
        what,
        all,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        place: Place {
            file: "routes/web.toml".into(),
            line: 7,
        },
    };
    if names.is_empty() { Vec::new() } else { vec![need] }
}
