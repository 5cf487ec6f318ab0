//! The issuer's public keys: which of a JWKS can be trusted with a signature, and which one a token means.

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::{denied::BadToken, json};

/// Most keys in one JWKS. A set with more is refused whole.
pub const KEYS_MAX: usize = 64;

/// Most bytes of one JWKS. A larger one is refused.
pub const KEYS_BYTES_MAX: usize = 256 * 1024;

/// Bits of an RSA key: fewer can be broken (NIST SP 800-131A), more cost too much to check.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A signature algorithm that tokens may use. There are no others: no HMAC, no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA PKCS#1 v1.5 with SHA-256 (RFC 7518 section 3.3).
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).
    Es256,
    /// Ed25519 (RFC 8037), also under its newer name `Ed25519` (RFC 9864).
    EdDsa,
}

impl Algorithm {
    /// The algorithm that an `alg` names, compared exactly.
    #[must_use]
    pub fn named(alg: &str) -> Option<Self> {
        match alg {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }

    const fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// The keys that may sign tokens, and a digest of the text that they came from.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    digest: [u8; 32],
}

#[derive(Debug, Clone)]
struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    public: DecodingKey,
}

/// A key of a JWKS that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in `keys`, counted from 0.
    pub index: usize,
    /// Its `kid`, if that is a text.
    pub kid: Option<String>,
    /// Why, from a fixed set.
    pub why: &'static str,
}

/// Why a JWKS is refused whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// More than [`KEYS_BYTES_MAX`].
    #[error("a key set has at most {KEYS_BYTES_MAX} bytes, this one has {0}")]
    TooLarge(usize),
    /// No JSON, or a member that appears twice.
    #[error("the key set is not JSON: {0}")]
    Json(String),
    /// No object with a list `keys` (RFC 7517 section 5).
    #[error("the key set has no list `keys`")]
    NoList,
    /// More than [`KEYS_MAX`].
    #[error("a key set has at most {KEYS_MAX} keys, this one has {0}")]
    TooMany(usize),
    /// No key can be used.
    #[error("none of the {} keys can be used{}", .0.len(), first_reason(.0))]
    NoneUsable(Vec<SkippedKey>),
}

fn first_reason(skipped: &[SkippedKey]) -> String {
    skipped
        .first()
        .map_or_else(String::new, |key| format!(" (the first: {})", key.why))
}

/// A JSON Web Key as it is written (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Value>,
}

impl KeySet {
    /// No keys: what stands until the first set is read. Every token is then [`super::Denied::NoKeys`].
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a JWKS. Keys that can't be used are left out and listed.
    ///
    /// # Errors
    /// [`BadKeys`] if the text is too large, no JWKS, or has no key that can be used.
    pub fn parse(jwks_json: &str) -> Result<(Self, Vec<SkippedKey>), BadKeys> {
        if jwks_json.len() > KEYS_BYTES_MAX {
            return Err(BadKeys::TooLarge(jwks_json.len()));
        }
        let value = json::parse(jwks_json.as_bytes()).map_err(|error| BadKeys::Json(error.to_string()))?;
        let list = value
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(BadKeys::NoList)?;
        if list.len() > KEYS_MAX {
            return Err(BadKeys::TooMany(list.len()));
        }
        let mut keys: Vec<Key> = Vec::new();
        let mut skipped = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let why = match read_key(entry) {
                Ok(key)
                    if keys
                        .iter()
                        .any(|other| other.kid.is_some() && other.means_the_same(&key)) =>
                {
                    "another key before it has its `kid`"
                }
                Ok(key) => {
                    keys.push(key);
                    continue;
                }
                Err(why) => why,
            };
            let kid = entry.get("kid").and_then(Value::as_str).map(str::to_owned);
            skipped.push(SkippedKey { index, kid, why });
        }
        if keys.is_empty() {
            return Err(BadKeys::NoneUsable(skipped));
        }
        let digest = sha256(&[jwks_json.as_bytes()]);
        Ok((Self { keys, digest }, skipped))
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// SHA-256 of the text: the same keys have the same digest, so reading them again changes nothing.
    pub(super) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether one of the keys made `signature` (base64url) of `message`.
    ///
    /// A token that names a key gets that one only; a token that names none gets the only key of its algorithm.
    pub(super) fn verify(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &str,
    ) -> Result<(), BadToken> {
        let key = self.find(alg, kid)?;
        match jsonwebtoken::crypto::verify(signature, message, &key.public, alg.library()) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(BadToken::Signature),
        }
    }

    fn find(&self, alg: Algorithm, kid: Option<&str>) -> Result<&Key, BadToken> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm == alg && (kid.is_none() || key.kid.as_deref() == kid));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(BadToken::UnknownKey),
            (None, _) if kid.is_some() && self.keys.iter().any(|key| key.kid.as_deref() == kid) => {
                Err(BadToken::Algorithm)
            }
            (None, _) => Err(BadToken::UnknownKey),
        }
    }
}

impl Key {
    fn means_the_same(&self, other: &Self) -> bool {
        self.kid == other.kid && self.algorithm == other.algorithm
    }
}

fn read_key(entry: &Value) -> Result<Key, &'static str> {
    let written = WrittenKey::deserialize(entry).map_err(|_| "it is not a JSON Web Key")?;
    if written.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return Err("its `use` is not `sig`");
    }
    if written
        .key_ops
        .as_ref()
        .is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
    {
        return Err("its `key_ops` lack `verify`");
    }
    if written.d.is_some() {
        return Err("it holds its private part, so anyone who reads it can sign");
    }
    let (algorithm, public) = match (written.kty.as_str(), written.crv.as_deref()) {
        ("RSA", _) => (Algorithm::Rs256, rsa(written.n.as_deref(), written.e.as_deref())?),
        ("EC", Some("P-256")) => (
            Algorithm::Es256,
            p256(written.x.as_deref(), written.y.as_deref())?,
        ),
        ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, ed25519(written.x.as_deref())?),
        ("EC" | "OKP", _) => return Err("its curve is neither P-256 nor Ed25519"),
        ("oct", _) => return Err("it is a shared secret"),
        _ => return Err("its `kty` is not known"),
    };
    if written
        .alg
        .as_deref()
        .is_some_and(|alg| Algorithm::named(alg) != Some(algorithm))
    {
        return Err("its `alg` is none of RS256, ES256 and EdDSA, or not that of its type");
    }
    Ok(Key {
        kid: written.kid,
        algorithm,
        public,
    })
}

fn rsa(n: Option<&str>, e: Option<&str>) -> Result<DecodingKey, &'static str> {
    const BAD: &str = "its `n` or `e` is not a public RSA key";
    let (n, e) = (number(n).ok_or(BAD)?, number(e).ok_or(BAD)?);
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("it has fewer than 2048 or more than 8192 bits");
    }
    // With an exponent of 1 everything would be its own signature.
    if e.as_slice() == [1] || e.last().is_none_or(|byte| byte % 2 == 0) {
        return Err("its exponent is unsafe");
    }
    RsaPublicKeyComponents { n: &n, e: &e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| BAD)?;
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

/// A whole number, big-endian, in base64url: its bytes without leading zeros.
fn number(text: Option<&str>) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text?).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let (_, rest) = bytes.split_at_checked(zeros)?;
    (!rest.is_empty()).then(|| rest.to_vec())
}

fn p256(x: Option<&str>, y: Option<&str>) -> Result<DecodingKey, &'static str> {
    const BAD: &str = "its `x` and `y` are no point of P-256";
    let mut point = vec![4];
    point.extend(coordinate(x).ok_or(BAD)?);
    point.extend(coordinate(y).ok_or(BAD)?);
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| BAD)?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn ed25519(x: Option<&str>) -> Result<DecodingKey, &'static str> {
    const BAD: &str = "its `x` is no Ed25519 key";
    let point = coordinate(x).ok_or(BAD)?;
    ParsedPublicKey::new(&ED25519, point).map_err(|_| BAD)?;
    Ok(DecodingKey::from_ed_der(&point))
}

fn coordinate(text: Option<&str>) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text?).ok()?.try_into().ok()
}

/// SHA-256 of the parts one after the other.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut sum = [0; 32];
    // SHA-256 is 32 bytes, so both sides always have the same length.
    for (to, from) in sum.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    sum
}
