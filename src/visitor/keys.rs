//! The visitor cookie: `1.<key id>.<id>.<day>.<signature>`, checked, made and sent back; `s` after the day: for a session.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aws_lc_rs::{constant_time, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;

use super::{Consent, Kept, VisitorSettings, cookies, memory, override_link::Seal};
use crate::{clock::UnixTime, fields::Fields};

/// The visitor cookie's name. `__Host-` makes browsers demand `Secure`, `Path=/` and no `Domain` (RFC 6265bis
/// section 4.1.3.2), so no sub-domain can plant one.
pub const COOKIE_NAME: &str = "__Host-banyan";

/// The longest life that browsers grant a cookie (RFC 6265bis section 5.5).
pub const MAX_AGE_MAX: Duration = Duration::from_secs(400 * DAY_SECS);

const DAY_SECS: u64 = 86_400;
const VERSION: &str = "1";
/// 128 bits in base64url without padding.
pub(super) const TEXT_BYTES: usize = 22;
const SIGNATURE_BYTES: usize = 16;
pub(super) const KEY_ID_BYTES_MAX: usize = 8;
/// After the day of a cookie that lives as long as the browser runs.
const SESSION: &str = "s";
/// What the key is for that makes ids of users.
const ADOPTING: &str = "banyan adopted visitor 1";
const SECRET_BYTES_MIN: usize = 32;
/// Copies of the cookie that are looked at in one request: a flood of them must not buy a flood of HMACs.
pub(super) const COPIES_MAX: usize = 8;
/// Days that another edge's clock may be ahead.
const AHEAD_DAYS_MAX: u64 = 1;

/// Numbers for [`Keys`]; 0 is nobody's.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A visitor: a pseudonymous id that the browser keeps.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visitor {
    id: [u8; TEXT_BYTES],
    day: u32,
    kept: Kept,
}

impl Visitor {
    /// The id: 22 characters of base64url, 128 random bits.
    #[must_use]
    pub fn id(&self) -> &str {
        str::from_utf8(&self.id).unwrap_or_default()
    }

    /// The day its cookie was signed, counted from 1970: the day first seen, until the cookie is refreshed.
    #[must_use]
    pub fn signed_day(&self) -> u32 {
        self.day
    }

    /// How long the browser keeps the cookie.
    #[must_use]
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// The same visitor with a cookie that is kept so long.
    #[must_use]
    pub fn to_be_kept(self, kept: Kept) -> Self {
        Self { kept, ..self }
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor")
            .field("id", &self.id())
            .field("day", &self.day)
            .field("kept", &self.kept)
            .finish()
    }
}

/// What [`Keys::identify`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The visitor, if a cookie is valid.
    pub visitor: Option<Visitor>,
    /// How the cookie was.
    pub state: SeenState,
}

/// How the visitor cookie was. All but the valid ones mean: a new visitor, counted, never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenState {
    /// There is none.
    Absent,
    /// Good.
    Valid,
    /// Good, but older than a quarter of its life or signed by a key that no longer signs: send it anew.
    ValidRefresh,
    /// Not of the right form, or its signature is wrong.
    Damaged,
    /// Of the right form, signed by a key that isn't known (any more).
    UnknownKey,
    /// Rightly signed, longer ago than it may live.
    Expired,
    /// Rightly signed, but later than tomorrow.
    FromFuture,
    /// Not looked at: a declared crawler sent it, which stays on the default and out of what is counted of visitors.
    Crawler,
}

impl SeenState {
    /// The word for logs and metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Valid => "valid",
            Self::ValidRefresh => "valid_refresh",
            Self::Damaged => "damaged",
            Self::UnknownKey => "unknown_key",
            Self::Expired => "expired",
            Self::FromFuture => "from_future",
            Self::Crawler => "crawler",
        }
    }
}

/// Why settings can't sign cookies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// No key is given.
    #[error("the visitor cookie needs at least one signing key")]
    None,
    /// An id is empty, too long, or not of letters, digits, `-` and `_`.
    #[error("key id {0:?} must be one to {KEY_ID_BYTES_MAX} letters, digits, `-` or `_`")]
    Id(String),
    /// Two keys have the same id.
    #[error("key id {0:?} is used twice; a cookie must tell which key signed it")]
    Twice(String),
    /// The secret that makes the ids of users is too short.
    #[error("`adopt_secret` has {0} bytes, at least {SECRET_BYTES_MIN} are needed")]
    ShortAdopt(usize),
    /// The secret is too short.
    #[error("the secret of key {id:?} has {bytes} bytes, at least {SECRET_BYTES_MIN} are needed")]
    Short {
        /// Which key.
        id: String,
        /// Length of its secret.
        bytes: usize,
    },
    /// The cookie's life is shorter than a day or longer than browsers keep it.
    #[error("the visitor cookie lives between 1 and 400 days, not {0} seconds")]
    MaxAge(u64),
}

/// The keys that sign and check visitor cookies. The first signs, all check.
pub struct Keys {
    pub(super) signing: Key,
    checking: Vec<Key>,
    max_age: Duration,
    consent: Consent,
    /// Makes ids of users.
    adopting: hmac::Key,
    /// Tells these keys from all others of this process.
    number: u64,
}

/// A key for each purpose, all from one secret.
pub(super) struct Key {
    pub(super) id: Box<str>,
    key: hmac::Key,
    pub(super) seal: Seal,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("signing", &self.signing.id)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Prepares the keys.
    ///
    /// # Errors
    /// [`BadKeys`] tells which key or setting can't be used.
    pub fn new(settings: &VisitorSettings) -> Result<Self, BadKeys> {
        let secs = settings.max_age.as_secs();
        if secs < DAY_SECS || settings.max_age > MAX_AGE_MAX {
            return Err(BadKeys::MaxAge(secs));
        }
        let mut keys: Vec<Key> = Vec::with_capacity(settings.keys.len());
        for given in &settings.keys {
            if !is_key_id(&given.id) {
                return Err(BadKeys::Id(given.id.clone()));
            }
            if keys.iter().any(|key| *key.id == *given.id) {
                return Err(BadKeys::Twice(given.id.clone()));
            }
            if given.secret.len() < SECRET_BYTES_MIN {
                return Err(BadKeys::Short {
                    id: given.id.clone(),
                    bytes: given.secret.len(),
                });
            }
            let key = hmac::Key::new(hmac::HMAC_SHA256, &given.secret);
            keys.push(Key {
                id: given.id.as_str().into(),
                seal: Seal::derived(&key).ok_or(BadKeys::None)?,
                key,
            });
        }
        let adopting = match &settings.adopt_secret {
            Some(secret) if secret.len() < SECRET_BYTES_MIN => return Err(BadKeys::ShortAdopt(secret.len())),
            Some(secret) => hmac::Key::new(hmac::HMAC_SHA256, secret),
            None => keys.last().ok_or(BadKeys::None)?.key.clone(),
        };
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or(BadKeys::None)?;
        Ok(Self {
            signing,
            checking: keys.collect(),
            max_age: settings.max_age,
            consent: settings.consent.clone(),
            adopting: derived(&adopting, ADOPTING),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Who the visitor cookie says is asking. One pass over the `Cookie` fields, nothing is allocated.
    ///
    /// Of several copies the first valid one counts; of several bad ones the first tells the state. At most eight
    /// copies are looked at.
    #[must_use]
    pub fn identify(&self, headers: &Fields, now: UnixTime) -> Seen {
        let mut state = SeenState::Absent;
        let copies = cookies(headers)
            .filter(|(name, _)| *name == COOKIE_NAME)
            .take(COPIES_MAX);
        for (_, value) in copies {
            match self.check(value, now) {
                Ok(seen) => return seen,
                Err(bad) if state == SeenState::Absent => state = bad,
                Err(_) => {}
            }
        }
        Seen { visitor: None, state }
    }

    /// A new visitor. `entropy` must come from a cryptographic source: it is the id.
    #[must_use]
    pub fn mint(&self, entropy: [u8; 16], now: UnixTime) -> Visitor {
        Visitor {
            id: encode(entropy),
            day: u32::try_from(now.days()).unwrap_or(u32::MAX),
            kept: Kept::Days,
        }
    }

    /// The visitor that this user is on every device: a keyed hash of the user's id, so that nobody reads the user from it.
    #[must_use]
    pub fn adopt(&self, user: &str, now: UnixTime) -> Visitor {
        let tag = hmac::sign(&self.adopting, user.as_bytes());
        self.mint(tag.as_ref().first_chunk().copied().unwrap_or_default(), now)
    }

    /// How long the browser that sent `headers` may keep its cookies.
    #[must_use]
    pub fn kept(&self, headers: &Fields) -> Kept {
        self.consent.kept(headers)
    }

    /// The `Set-Cookie` value that gives the browser this visitor's cookie, signed now by the first key.
    ///
    /// The day inside becomes today's, so that a refreshed cookie isn't refreshed again by the next response: responses
    /// with `Set-Cookie` can't be stored by shared caches (RFC 9111 section 7.3).
    #[must_use]
    pub fn set_cookie(&self, visitor: &Visitor, now: UnixTime) -> HeaderValue {
        let mark = match visitor.kept {
            Kept::Days => "",
            Kept::Session => SESSION,
        };
        let body = format!(
            "{VERSION}.{}.{}.{}{mark}",
            self.signing.id,
            visitor.id(),
            now.days()
        );
        let signature = self.signing.sign(COOKIE_NAME, &[&body]);
        let value = format!("{body}.{}", str::from_utf8(&signature).unwrap_or_default());
        self.cookie(COOKIE_NAME, &value, visitor.kept)
    }

    /// A `Set-Cookie` value of a cookie of ours.
    pub(super) fn cookie(&self, name: &str, value: &str, kept: Kept) -> HeaderValue {
        let max_age = match kept {
            Kept::Days => format!("; Max-Age={}", self.max_age.as_secs()),
            Kept::Session => String::new(),
        };
        let text = format!("{name}={value}{max_age}; Path=/; Secure; HttpOnly; SameSite=Lax");
        // Ids, digits and base64url are all visible ASCII, so this can't fail.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    fn check(&self, value: &str, now: UnixTime) -> Result<Seen, SeenState> {
        let form = Form::parse(value).ok_or(SeenState::Damaged)?;
        let key = self.by_id(form.key_id).ok_or(SeenState::UnknownKey)?;
        if !memory::knows(self.number, value) {
            let signature = key.sign(COOKIE_NAME, &[form.body]);
            constant_time::verify_slices_are_equal(&signature, form.signature.as_bytes())
                .map_err(|_| SeenState::Damaged)?;
            memory::keep(self.number, value);
        }
        let (day, today) = (u64::from(form.visitor.day), now.days());
        if day > today.saturating_add(AHEAD_DAYS_MAX) {
            return Err(SeenState::FromFuture);
        }
        let age = Duration::from_secs(today.saturating_sub(day).saturating_mul(DAY_SECS));
        if age > self.max_age {
            return Err(SeenState::Expired);
        }
        let stale = age > self.max_age / 4 || key.id != self.signing.id;
        let state = if stale {
            SeenState::ValidRefresh
        } else {
            SeenState::Valid
        };
        Ok(Seen {
            visitor: Some(form.visitor),
            state,
        })
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Key> {
        std::iter::once(&self.signing)
            .chain(&self.checking)
            .find(|key| *key.id == *id)
    }
}

impl Key {
    /// The first 128 bits of HMAC-SHA256 (RFC 2104 section 5) over the cookie's name and the parts of its body. The name is
    /// signed too, so that no other signed text of the same key can pass for a visitor.
    pub(super) fn sign(&self, name: &str, parts: &[&str]) -> [u8; TEXT_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(name.as_bytes());
        context.update(b"=");
        for part in parts {
            context.update(part.as_bytes());
        }
        let tag = context.sign();
        let mut first = [0; SIGNATURE_BYTES];
        for (to, from) in first.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        encode(first)
    }
}

/// A cookie of the right form, not yet checked.
struct Form<'v> {
    /// All that is signed.
    body: &'v str,
    key_id: &'v str,
    visitor: Visitor,
    signature: &'v str,
}

impl<'v> Form<'v> {
    fn parse(value: &'v str) -> Option<Self> {
        let (body, signature) = value.rsplit_once('.')?;
        let mut parts = body.split('.');
        let (version, key_id, id, day) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none() && version == VERSION && is_key_id(key_id);
        let (day, kept) = match day.strip_suffix(SESSION) {
            Some(day) => (day, Kept::Session),
            None => (day, Kept::Days),
        };
        // One spelling of a day: no sign, no leading zero, so that one visitor has one cookie text.
        let digits = day.bytes().all(|byte| byte.is_ascii_digit()) && (day == "0" || !day.starts_with('0'));
        if !whole || !digits || !id.bytes().all(is_base64url) {
            return None;
        }
        let visitor = Visitor {
            id: id.as_bytes().try_into().ok()?,
            day: day.parse().ok()?,
            kept,
        };
        Some(Self {
            body,
            key_id,
            visitor,
            signature,
        })
    }
}

/// A key for one purpose. `purpose` is no beginning of a cookie of ours, so that no signature is ever a key.
pub(super) fn derived(secret: &hmac::Key, purpose: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(secret, purpose.as_bytes()).as_ref())
}

pub(super) fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

pub(super) fn is_key_id(id: &str) -> bool {
    (1..=KEY_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_base64url)
}

fn encode(bits: [u8; 16]) -> [u8; TEXT_BYTES] {
    let mut text = [b'A'; TEXT_BYTES];
    // 16 bytes are exactly 22 characters, so the slice always fits.
    let _ = URL_SAFE_NO_PAD.encode_slice(bits, &mut text);
    text
}
