//! Who is asking: the visitor behind a signed cookie. Pure: no socket, no clock, no randomness of its own.
//!
//! [`Keys::identify`] reads the cookie, [`may_mint`] says whether a request without one may get one, [`Keys::mint`]
//! makes the visitor and [`Keys::set_cookie`] the field that carries it back. [`remove_own_cookies`] keeps Banyan's
//! own cookies from every backend.

mod cookies;
mod keys;
mod memory;
mod navigation;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use cookies::{OWN_PREFIX, cookies, remove_own_cookies};
pub use keys::{BadKeys, COOKIE_NAME, Keys, MAX_AGE_MAX, Seen, SeenState, Visitor};
pub use memory::COOKIES_REMEMBERED;
pub use navigation::{is_crawler, may_mint};

/// `[visitor]` in `banyan.toml`.
#[derive(Clone)]
pub struct VisitorSettings {
    /// Signing keys: the first signs, all verify. Each has an id of one to eight characters and at least 32 bytes.
    pub keys: Vec<SigningKey>,
    /// How long a cookie lives. 180 days unless said otherwise, at most 400.
    pub max_age: Duration,
}

/// A secret with a name.
#[derive(Clone)]
pub struct SigningKey {
    /// Its id inside cookies.
    pub id: String,
    /// The secret.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for VisitorSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VisitorSettings")
            .field("keys", &self.keys)
            .field("max_age", &self.max_age)
            .finish()
    }
}
