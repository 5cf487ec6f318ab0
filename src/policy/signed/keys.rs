//! Public keys by their ids, and whether one of them made a signature.

use std::fmt;

use aws_lc_rs::{
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        RSA_PKCS1_2048_8192_SHA256,
    },
};
use x509_parser::pem::parse_x509_pem;

/// Most keys in one group.
pub const KEYS_MAX: usize = 100;

/// Longest file with a public key, in bytes: one of 8192 bits takes 1,500.
pub const KEY_BYTES_MAX: u64 = 16 * 1024;

/// Longest id of a key, in bytes. `CloudFront`'s have 14.
pub const ID_BYTES_MAX: usize = 64;

/// Keys that may sign, under a name that routes use.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyGroup {
    /// Its name.
    pub name: String,
    /// Each id with its key.
    pub keys: Vec<(String, PublicKey)>,
}

impl KeyGroup {
    pub(super) fn key(&self, id: &str) -> Option<&PublicKey> {
        let mut keys = self.keys.iter();
        keys.find(|(known, _)| known == id).map(|(_, key)| key)
    }
}

/// Whether a text can be the id of a key: letters, digits, `-` and `_`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A public key: its kind tells the algorithm, whatever a request says.
#[derive(Clone)]
pub struct PublicKey {
    /// The key itself, to tell two apart.
    der: Box<[u8]>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2); a request says which hash.
    Rsa {
        sha1: ParsedPublicKey,
        sha256: ParsedPublicKey,
    },
    /// ECDSA on P-256, always with SHA-256; signatures in DER.
    P256(ParsedPublicKey),
}

/// A hash that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// None is named: SHA-1 for RSA, as `CloudFront` has always had it, SHA-256 for ECDSA.
    Unsaid,
    /// `SHA1`.
    Sha1,
    /// `SHA256`.
    Sha256,
}

/// Why a file holds no key that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Longer than [`KEY_BYTES_MAX`].
    #[error("it is longer than any public key")]
    TooLong,
    /// A private key, which has no business here.
    #[error("it holds a private key")]
    Private,
    /// Not one block `PUBLIC KEY` in PEM.
    #[error("it is not one public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
    NoPublicKey,
    /// Another kind of key, or a weak one.
    #[error("it is neither an RSA key of 2048 to 8192 bits nor an ECDSA key on P-256")]
    Kind,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unverified {
    /// The hash never goes with this kind of key.
    Algorithm,
    /// The key did not make it.
    Signature,
}

impl PublicKey {
    /// Reads a public key from PEM.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn from_pem(text: &[u8]) -> Result<Self, BadKey> {
        if text.len() as u64 > KEY_BYTES_MAX {
            return Err(BadKey::TooLong);
        }
        if memchr::memmem::find(text, b"PRIVATE KEY").is_some() {
            return Err(BadKey::Private);
        }
        let (rest, pem) = parse_x509_pem(text).map_err(|_| BadKey::NoPublicKey)?;
        if pem.label != "PUBLIC KEY" || memchr::memmem::find(rest, b"-----BEGIN").is_some() {
            return Err(BadKey::NoPublicKey);
        }
        let der = pem.contents;
        let kind = match ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &der) {
            Ok(key) => Kind::P256(key),
            Err(_) => rsa(&der).ok_or(BadKey::Kind)?,
        };
        Ok(Self {
            der: der.into(),
            kind,
        })
    }

    /// Whether the key made `signature` of `message`.
    pub(super) fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> Result<(), Unverified> {
        let key = match (&self.kind, hash) {
            (Kind::Rsa { sha1, .. }, Hash::Unsaid | Hash::Sha1) => sha1,
            (Kind::Rsa { sha256, .. }, Hash::Sha256) => sha256,
            (Kind::P256(key), Hash::Unsaid | Hash::Sha256) => key,
            (Kind::P256(_), Hash::Sha1) => return Err(Unverified::Algorithm),
        };
        key.verify_sig(message, signature)
            .map_err(|_| Unverified::Signature)
    }
}

/// Both bounds of the length are the library's own.
fn rsa(der: &[u8]) -> Option<Kind> {
    Some(Kind::Rsa {
        sha1: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, der).ok()?,
        sha256: ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).ok()?,
    })
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Rsa { .. } => "RSA ",
            Kind::P256(_) => "P-256 ",
        })?;
        let sum = digest::digest(&digest::SHA256, &self.der);
        let mut begin = sum.as_ref().iter().take(4);
        begin.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
