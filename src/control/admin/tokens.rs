//! Secrets that let somebody in: how one is made, what is kept of it, and whether it is the one that was brought.

use std::{fmt, io};

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::config::admin::AdminToken;

/// How a token of Banyan's own begins, so that scanners of source code know a leaked one.
pub const PREFIX: &str = "bny_";

/// Random bytes of a secret. As many can't be guessed, so a plain SHA-256 keeps them: slow hashes are for what people think up.
const SECRET_BYTES: usize = 32;

/// A secret, shown only to whom it is for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one, as a token is written.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn token() -> io::Result<Self> {
        Self::random().map(|random| Self(format!("{PREFIX}{}", random.0)))
    }

    /// A new one: 43 characters that can stand in an address and in a cookie.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; SECRET_BYTES];
        rand::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The text, for whom it is made.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// An address that ends with it.
    pub(super) fn within(&self, before: &str) -> Self {
        Self(format!("{before}{}", self.0))
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 of what somebody brought.
#[must_use]
pub fn hash(text: &str) -> [u8; 32] {
    let mut sum = [0; 32];
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    // SHA-256 is 32 bytes, so both sides always have the same length.
    for (to, from) in sum.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    sum
}

/// Whether two hashes are the same; takes as long when they differ in the first byte as in the last.
pub(super) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// The token of this hash. All are looked at, whichever it is.
pub(super) fn find<'t>(tokens: &'t [AdminToken], hash: &[u8; 32]) -> Option<&'t AdminToken> {
    let mut found = None;
    for token in tokens {
        if same(&token.hash, hash) {
            found = Some(token);
        }
    }
    found
}
