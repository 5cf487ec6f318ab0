//! Signs addresses as programs in front of `CloudFront` do, with keys that are made when the tests run.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// A pair of keys.
pub enum Signer {
    /// RSA of 2048 bits; signs with SHA-256.
    Rsa(Box<RsaKeyPair>),
    /// ECDSA on P-256; signs with SHA-256.
    P256(Box<EcdsaKeyPair>),
}

/// In the group `videos`, as `RSA1`.
pub static RSA: LazyLock<Signer> =
    LazyLock::new(|| Signer::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())));
/// In the group `videos`, as `EC1`.
pub static P256: LazyLock<Signer> = LazyLock::new(p256);
/// In the group `papers`, as `OTHER1`.
pub static OTHER: LazyLock<Signer> = LazyLock::new(p256);
/// In no group.
pub static STRANGER: LazyLock<Signer> = LazyLock::new(p256);

fn p256() -> Signer {
    Signer::P256(Box::new(
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
    ))
}

impl Signer {
    /// The public key in PEM.
    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(key) => key.public_key().as_der().unwrap(),
            Self::P256(key) => key.public_key().as_der().unwrap(),
        };
        let text = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// The signature of a text, as it stands in an address.
    pub fn sign(&self, text: &str) -> String {
        let random = SystemRandom::new();
        let bytes = match self {
            Self::Rsa(key) => {
                let mut bytes = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut bytes)
                    .unwrap();
                bytes
            }
            Self::P256(key) => key.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
        };
        safe(&bytes)
    }
}

/// `CloudFront`'s base64.
pub fn safe(bytes: &[u8]) -> String {
    STANDARD
        .encode(bytes)
        .replace('+', "-")
        .replace('=', "_")
        .replace('/', "~")
}

/// The policy of an end alone.
pub fn canned(address: &str, until: u64) -> String {
    format!(
        "{{\"Statement\":[{{\"Resource\":\"{address}\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{until}}}}}}}]}}"
    )
}

/// The parameters of a canned policy for `address`, signed.
pub fn parameters(signer: &Signer, id: &str, address: &str, until: u64) -> String {
    let signature = signer.sign(&canned(address, until));
    format!("Expires={until}&Signature={signature}&Key-Pair-Id={id}&Hash-Algorithm=SHA256")
}
