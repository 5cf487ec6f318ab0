//! An identity provider for tests: keys of each kind, their JWKS, and tokens good and bad.

use std::sync::LazyLock;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    },
};
use banyan::clock;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The `iss` of its tokens.
pub const ISSUER: &str = "https://id.example.test";
/// The `aud` of its tokens.
pub const AUDIENCE: &str = "edge";
/// The algorithms that are accepted.
pub const ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// A provider with one key of each kind, named `<name>-<algorithm>`.
#[derive(Debug)]
pub struct Issuer {
    name: &'static str,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

/// The provider that the edge trusts.
pub static GOOD: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("good"));
/// One that it does not, or not yet.
pub static OTHER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("other"));

/// `[gate]` that trusts it by the keys at `jwks`.
pub fn gate(jwks: &str) -> String {
    format!(
        "[gate]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\njwks = \"{jwks}\"\ndefault_auth = \"none\""
    )
}

impl Issuer {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The name of its key of this kind.
    pub fn kid(&self, algorithm: &str) -> String {
        format!("{}-{algorithm}", self.name)
    }

    /// Its public keys.
    pub fn jwks(&self) -> String {
        let public = self.rsa.public_key();
        let (n, e) = (
            public.modulus().big_endian_without_leading_zero(),
            public.exponent().big_endian_without_leading_zero(),
        );
        let point = self.ec.public_key().as_ref();
        let key = self.ed.public_key().as_ref();
        json!({ "keys": [
            { "kty": "RSA", "kid": self.kid("RS256"), "n": encode(n), "e": encode(e) },
            { "kty": "EC", "crv": "P-256", "kid": self.kid("ES256"), "x": encode(&point[1..33]), "y": encode(&point[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": self.kid("EdDSA"), "x": encode(key) },
        ] })
        .to_string()
    }

    /// A good token.
    pub fn token(&self, algorithm: &str, subject: &str, roles: &[&str]) -> String {
        self.token_with(algorithm, &json!({ "sub": subject, "roles": roles }))
    }

    /// A token with some claims instead of good ones.
    pub fn token_with(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": self.kid(algorithm) });
        self.signed(algorithm, &header, &merged(claims))
    }

    /// A token with any header, signed as `algorithm` says.
    pub fn signed(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match algorithm {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
            "ES256" => self
                .ec
                .sign(&random, message.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            "EdDSA" => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
            // A public key used as a shared secret: the classic confusion.
            "HS256" => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.ed.public_key().as_ref());
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", encode(signature))
    }

    /// A token that is unsigned, or signed as no provider would: `none` or `HS256`.
    pub fn confused(&self, algorithm: &str) -> String {
        let header = json!({ "alg": algorithm, "typ": "at+jwt", "kid": self.kid("EdDSA") });
        self.signed(
            algorithm,
            &header,
            &merged(&json!({ "sub": "mallory", "roles": ["admin"] })),
        )
    }
}

fn merged(claims: &Value) -> Value {
    let now = clock::wall().secs();
    let mut good = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now - 10, "exp": now + 3600, "client_id": "app", "jti": "n1" });
    for (name, value) in claims.as_object().unwrap() {
        good[name] = value.clone();
    }
    good
}

/// The claims of a token signed by the Ed25519 key in `jwks`; it fails the test when the signature is not that key's.
#[track_caller]
pub fn opened(token: &str, jwks: &str) -> Value {
    let jwks: Value = serde_json::from_str(jwks).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = decode(jwks["keys"][0]["x"].as_str().unwrap());
    UnparsedPublicKey::new(&ED25519, key)
        .verify(message.as_bytes(), &decode(signature))
        .expect("the signature is the published key's");
    let (_, claims) = message.split_once('.').unwrap();
    serde_json::from_slice(&decode(claims)).unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
