//! Who is asking: the visitor behind a signed cookie. Pure: no socket, no clock, no randomness of its own.
//!
//! [`Keys::identify`] reads the cookie, [`may_mint`] says whether a request without one may get one, [`Keys::mint`]
//! makes the visitor and [`Keys::set_cookie`] the field that carries it back; [`Keys::adopt`] makes the one that a signed-in
//! user is on every device. Beside it browsers carry [`Pins`], which keep them on a variant, and [`Forced`], the variants that
//! an override link puts them on, and a [`Slip`] for each waiting room. [`remove_own_cookies`] keeps Banyan's own cookies from every backend.

mod consent;
mod cookies;
mod keys;
mod memory;
mod navigation;
mod override_link;
mod pins;
mod revoked;
mod slip;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use consent::{Consent, Kept};
pub use cookies::{OWN_PREFIX, cookies, remove_own_cookies};
pub use keys::{BadKeys, COOKIE_NAME, Keys, MAX_AGE_MAX, Seen, SeenState, Visitor};
pub use memory::COOKIES_REMEMBERED;
pub use navigation::{is_crawler, is_page_part, is_prefetch, may_mint};
pub use override_link::{
    BadOverride, BadWish, FLAGS_MAX, FOR_DEFAULT, FOR_MAX, Forced, Minted, OVERRIDE_COOKIE, OVERRIDE_PATH,
    TO_BYTES_MAX, TOKEN_BYTES_MAX, Wish, is_local, override_tokens,
};
pub use pins::{BadPins, PINS_COOKIE, PINS_MAX, Pin, Pins};
pub use revoked::{LinkId, REVOKED_MAX, Revoked, RevokedFull};
pub use slip::{BadSlip, Slip};

/// `[visitor]` in `banyan.toml`.
#[derive(Clone)]
pub struct VisitorSettings {
    /// Signing keys: the first signs, all verify. Each has an id of one to eight characters and at least 32 bytes.
    pub keys: Vec<SigningKey>,
    /// How long a cookie lives. 180 days unless said otherwise, at most 400.
    pub max_age: Duration,
    /// Whether it lives that long, or as long as the browser runs.
    pub consent: Consent,
    /// Makes the ids of signed-in users. `None`: the last of `keys` does.
    pub adopt_secret: Option<Vec<u8>>,
}

impl Default for VisitorSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            max_age: Duration::from_secs(180 * 86_400), // half a year: longer than any rollout
            consent: Consent::Days,
            adopt_secret: None,
        }
    }
}

/// A secret with a name.
#[derive(Clone, PartialEq, Eq)]
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
            .field("consent", &self.consent)
            .finish_non_exhaustive()
    }
}
