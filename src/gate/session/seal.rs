//! Seals what browsers carry for the gate: one key ring, a purpose and a host bound into every text (AES-256-GCM-SIV, RFC 8452).

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::NoSession;
use crate::visitor::SigningKey;

/// Bytes of a nonce that sealing takes.
pub const SEAL_NONCE_BYTES: usize = NONCE_LEN;

const VERSION: &str = "1";
/// What the keys are for: whoever has another secret's text can't pass it for one of these.
const SEALING: &str = "banyan sessions 1";
const KEY_ID_BYTES_MAX: usize = 8;
const TAG_BYTES: usize = 16;

/// Numbers for [`Ring`]; 0 is nobody's.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// What a sealed text is for. One that was made for one purpose opens for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The session cookie.
    Session,
    /// The cookie of a sign-in that is under way.
    SignIn,
    /// The `state` of a sign-out at the provider.
    SignOut,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::SignIn => "sign-in",
            Self::SignOut => "sign-out",
        }
    }
}

/// The keys: the first seals, all open. Without any, nothing is sealed and nothing opens.
pub struct Ring {
    keys: Vec<(Box<str>, LessSafeKey)>,
    /// Tells this ring from all others of this process.
    pub(super) number: u64,
}

impl Ring {
    /// A ring of these secrets. A secret that makes no key is left out, which `config` prevents.
    #[must_use]
    pub fn new(secrets: &[SigningKey]) -> Self {
        let key = |given: &SigningKey| {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &given.secret);
            let derived = hmac::sign(&secret, SEALING.as_bytes());
            let key = UnboundKey::new(&AES_256_GCM_SIV, derived.as_ref()).ok()?;
            let id = given.id.as_str();
            let fits = (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && !id.contains('.');
            fits.then(|| (id.into(), LessSafeKey::new(key)))
        };
        Self {
            keys: secrets.iter().filter_map(key).collect(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Seals `text` for `purpose` on `host` (lower case, without port). `None`: there is no key. `nonce` must be random.
    #[must_use]
    pub fn seal(
        &self,
        purpose: Purpose,
        host: &str,
        text: Vec<u8>,
        nonce: [u8; NONCE_LEN],
    ) -> Option<String> {
        let (id, key) = self.keys.first()?;
        let mut sealed = text;
        let used = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(used, Aad::from(bound(purpose, host, id)), &mut sealed)
            .ok()?;
        let bytes = [&nonce[..], &sealed].concat();
        Some(format!("{VERSION}.{id}.{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Opens what was sealed for `purpose` on `host`.
    ///
    /// # Errors
    /// [`NoSession::Damaged`] or [`NoSession::UnknownKey`].
    pub fn open(&self, purpose: Purpose, host: &str, sealed: &str) -> Result<Vec<u8>, NoSession> {
        let mut parts = sealed.splitn(3, '.');
        let (Some(VERSION), Some(id), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoSession::Damaged);
        };
        let key = self.keys.iter().find(|(known, _)| **known == *id);
        let (_, key) = key.ok_or(NoSession::UnknownKey)?;
        let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoSession::Damaged)?;
        let (nonce, sealed) = bytes
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(NoSession::Damaged)?;
        let used = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(used, Aad::from(bound(purpose, host, id)), sealed);
        opened.map(|text| text.to_vec()).map_err(|_| NoSession::Damaged)
    }
}

/// Bytes of what a text of so many bytes is sealed to, at most.
pub(super) const fn sealed_bytes(text: usize) -> usize {
    VERSION.len() + KEY_ID_BYTES_MAX + 2 + (4 * (NONCE_LEN + text + TAG_BYTES)).div_ceil(3)
}

fn bound(purpose: Purpose, host: &str, key_id: &str) -> Vec<u8> {
    // No part holds a line end, so no two of them make the same text.
    format!("{SEALING}\n{}\n{host}\n{key_id}", purpose.as_str()).into_bytes()
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|(id, _)| id);
        f.debug_list().entries(ids).finish()
    }
}
