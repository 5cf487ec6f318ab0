//! A sign-in under way: what the browser carries to the provider and back, and what is looked at when it comes back (RFC 6749 section
//! 4.1, RFC 7636, RFC 9207, OpenID Connect Core section 3.1.2).

use std::time::Duration;

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::{
    super::keys::sha256,
    About, NoSession, Purpose, SEAL_NONCE_BYTES, Sessions, Wish,
    cookie::set_cookie,
    form::{is_repeated, pairs, single, with_query},
    later,
    wish::KINDS_BYTES_MAX,
};
use crate::{
    clock::UnixTime,
    fields::Fields,
    visitor::{cookies, is_local},
};

/// The cookies of sign-ins under way: so many at once, the oldest gives way. Pages that are opened together can't pile up more.
pub const SIGN_IN_COOKIES: [&str; 3] = [
    "__Host-banyan-login-0",
    "__Host-banyan-login-1",
    "__Host-banyan-login-2",
];
/// Time for a sign-in.
pub const SIGN_IN_LASTS: Duration = Duration::from_secs(600);
/// Random bytes that a sign-in takes: 256 bits each for state, nonce and verifier.
pub const SIGN_IN_ENTROPY: usize = 96;

/// The longest address that a sign-in leads on to. Longer ones lead to `/`.
const TO_BYTES_MAX: usize = 400;
/// Most bytes of such a cookie: 1,000, and room for what is asked of the sign-in.
const COOKIE_BYTES_MAX: usize = 1_000 + KINDS_BYTES_MAX * 4 / 3 + 60;

/// A sign-in under way, as its cookie has it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// What the provider gives back, so that nobody is signed in by somebody else's link.
    s: String,
    /// What the ID token must bear.
    n: String,
    /// What redeems the code (RFC 7636).
    v: String,
    /// Where it leads on to.
    t: String,
    /// When it began, in milliseconds.
    b: u64,
    /// What is asked of it.
    #[serde(default, skip_serializing_if = "Wish::is_nothing")]
    w: Wish,
    /// The provider came back without that once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    a: bool,
}

/// Never what is inside.
impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignIn")
    }
}

/// What a browser brings back from the provider.
#[derive(Clone, PartialEq, Eq)]
pub enum Answered {
    /// A code to redeem.
    Code(String),
    /// The provider, or the person, says no.
    Declined,
    /// The provider can't have anybody sign in as is asked.
    Unmet,
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Code(_) => "Code",
            Self::Declined => "Declined",
            Self::Unmet => "Unmet",
        })
    }
}

/// Why what a browser brings back counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadReturn {
    /// No form of an answer: something is missing, or there twice.
    Malformed,
    /// No sign-in of this browser has that state: it took too long, was done before, or never began here.
    State,
    /// Another provider answers than was asked (RFC 9207), or this one doesn't say who it is although it always does.
    Issuer,
}

impl BadReturn {
    /// A fixed word for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "return_malformed",
            Self::State => "state",
            Self::Issuer => "issuer",
        }
    }
}

impl SignIn {
    /// Begins one that leads on to `to`, and is to be as wished.
    #[must_use]
    pub fn begin(to: &str, wish: Wish, now: UnixTime, entropy: &[u8; SIGN_IN_ENTROPY]) -> Self {
        let mut parts = entropy
            .chunks(SIGN_IN_ENTROPY / 3)
            .map(|part| URL_SAFE_NO_PAD.encode(part));
        let mut next = || parts.next().unwrap_or_default();
        Self {
            s: next(),
            n: next(),
            v: next(),
            t: return_target(to).to_owned(),
            b: now.millis,
            w: wish,
            a: false,
        }
    }

    /// The same once more, after the provider came back without what is wished: now it is to ask whoever sits there, whatever it knows of
    /// them. `None`: that was done.
    #[must_use]
    pub fn again(&self, now: UnixTime, entropy: &[u8; SIGN_IN_ENTROPY]) -> Option<Self> {
        let next = || Self {
            a: true,
            ..Self::begin(&self.t, self.w.clone(), now, entropy)
        };
        (!self.a).then(next)
    }

    /// What is asked of it.
    #[must_use]
    pub const fn wish(&self) -> &Wish {
        &self.w
    }

    /// Where it leads on to: looked at once more, where it counts.
    #[must_use]
    pub fn to(&self) -> &str {
        return_target(&self.t)
    }

    /// What the ID token must bear.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.n
    }

    /// What redeems its code.
    #[must_use]
    pub fn verifier(&self) -> &str {
        &self.v
    }

    fn has_state(&self, state: &str) -> bool {
        constant_time::verify_slices_are_equal(self.s.as_bytes(), state.as_bytes()).is_ok()
    }

    /// Whether its time is over.
    fn is_over(&self, now: UnixTime) -> bool {
        let began = UnixTime { millis: self.b };
        now >= later(began, SIGN_IN_LASTS) || began > later(now, Duration::from_secs(60))
    }

    /// Judges what a browser brings back.
    ///
    /// # Errors
    /// [`BadReturn`]. The provider is asked nothing before this is good.
    pub fn judge(query: &str, about: &About, issuer: &str) -> Result<Answered, BadReturn> {
        let pairs = pairs(query).ok_or(BadReturn::Malformed)?;
        let names = ["code", "state", "iss", "error"];
        if names.iter().any(|name| is_repeated(&pairs, name)) {
            return Err(BadReturn::Malformed);
        }
        match single(&pairs, "iss") {
            Some(named) if named != issuer => return Err(BadReturn::Issuer),
            None if about.says_issuer => return Err(BadReturn::Issuer),
            _ => {}
        }
        match (single(&pairs, "code"), single(&pairs, "error")) {
            (Some(code), None) if !code.is_empty() => Ok(Answered::Code(code.to_owned())),
            // OpenID Connect Core Unmet Authentication Requirements 1.0
            (None, Some("unmet_authentication_requirements")) => Ok(Answered::Unmet),
            (None, Some(_)) => Ok(Answered::Declined),
            _ => Err(BadReturn::Malformed),
        }
    }
}

impl Sessions {
    /// The `Set-Cookie` value of a sign-in under way, at this place of [`SIGN_IN_COOKIES`].
    #[must_use]
    pub fn set_sign_in(
        &self,
        sign_in: &SignIn,
        place: usize,
        host: &str,
        nonce: [u8; SEAL_NONCE_BYTES],
    ) -> Option<HeaderValue> {
        let sealed = self.seal_sign_in(sign_in, host, nonce)?;
        let name = SIGN_IN_COOKIES.get(place)?;
        Some(set_cookie(name, &sealed, SIGN_IN_LASTS.as_secs()))
    }

    /// A sign-in under way as a text that only this edge reads, for `host`.
    #[must_use]
    pub fn seal_sign_in(
        &self,
        sign_in: &SignIn,
        host: &str,
        nonce: [u8; SEAL_NONCE_BYTES],
    ) -> Option<String> {
        let text = serde_json::to_vec(sign_in).ok()?;
        self.ring.seal(Purpose::SignIn, host, text, nonce)
    }

    /// The sign-in in such a text, if its time is not over and `query` bears its state.
    #[must_use]
    pub fn answered_sign_in(&self, sealed: &str, host: &str, query: &str, now: UnixTime) -> Option<SignIn> {
        let pairs = pairs(query)?;
        let state = single(&pairs, "state")?;
        let sign_in = self.open_sign_in(sealed, host).ok()?;
        (!sign_in.is_over(now) && sign_in.has_state(state)).then_some(sign_in)
    }

    /// The `Set-Cookie` value that ends one.
    #[must_use]
    pub fn forget_sign_in(place: usize) -> Option<HeaderValue> {
        SIGN_IN_COOKIES.get(place).map(|name| set_cookie(name, "", 0))
    }

    fn sign_ins(&self, headers: &Fields, host: &str, now: UnixTime) -> Vec<(usize, SignIn)> {
        let mut found = Vec::new();
        for (name, value) in cookies(headers) {
            let place = SIGN_IN_COOKIES.iter().position(|known| *known == name);
            let Some(place) = place.filter(|_| found.len() < SIGN_IN_COOKIES.len()) else {
                continue;
            };
            if let Ok(sign_in) = self.open_sign_in(value, host)
                && !sign_in.is_over(now)
            {
                found.push((place, sign_in));
            }
        }
        found
    }

    fn open_sign_in(&self, value: &str, host: &str) -> Result<SignIn, NoSession> {
        if value.len() > COOKIE_BYTES_MAX {
            return Err(NoSession::Damaged);
        }
        let text = self.ring.open(Purpose::SignIn, host, value)?;
        serde_json::from_slice(&text).map_err(|_| NoSession::Damaged)
    }

    /// The `state` of a sign-out at the provider, which leads on to `to`.
    #[must_use]
    pub fn seal_sign_out(&self, to: &str, host: &str, nonce: [u8; SEAL_NONCE_BYTES]) -> Option<String> {
        let to = return_target(to).as_bytes().to_vec();
        self.ring.seal(Purpose::SignOut, host, to, nonce)
    }

    /// Where a sign-out leads on to, if we sent it.
    #[must_use]
    pub fn open_sign_out(&self, state: &str, host: &str) -> Option<String> {
        if state.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let to = self.ring.open(Purpose::SignOut, host, state).ok()?;
        Some(return_target(str::from_utf8(&to).ok()?).to_owned())
    }
}

/// The sign-in of this browser that has the state in `query`, and its place.
#[must_use]
pub fn under_way(
    sessions: &Sessions,
    headers: &Fields,
    host: &str,
    query: &str,
    now: UnixTime,
) -> Option<(usize, SignIn)> {
    let pairs = pairs(query)?;
    let state = single(&pairs, "state")?;
    let mut all = sessions.sign_ins(headers, host, now).into_iter();
    all.find(|(_, sign_in)| sign_in.has_state(state))
}

/// The place for one more sign-in of this browser: a free one, or that of the oldest.
#[must_use]
pub fn free_place(sessions: &Sessions, headers: &Fields, host: &str, now: UnixTime) -> usize {
    let all = sessions.sign_ins(headers, host, now);
    let free = (0..SIGN_IN_COOKIES.len()).find(|place| !all.iter().any(|(taken, _)| taken == place));
    let oldest = || {
        all.iter()
            .min_by_key(|(_, sign_in)| sign_in.b)
            .map(|(place, _)| *place)
    };
    free.or_else(oldest).unwrap_or_default()
}

/// Where a browser is sent to sign in.
#[must_use]
pub fn address(about: &About, sessions: &Sessions, sign_in: &SignIn, redirect_uri: &str) -> String {
    let settings = &sessions.settings;
    let scope = settings.scopes.join(" ");
    let challenge = URL_SAFE_NO_PAD.encode(sha256(&[sign_in.v.as_bytes()]));
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", settings.client_id.as_str()),
        ("redirect_uri", redirect_uri),
        ("scope", &scope),
        ("state", &sign_in.s),
        ("nonce", &sign_in.n),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let offline = settings.scopes.iter().any(|scope| scope == "offline_access");
    match (sign_in.a, offline) {
        (false, false) => {}
        (true, false) => pairs.push(("prompt", "login")),
        (again, true) => pairs.push(("prompt", if again { "login consent" } else { "consent" })), // OpenID Connect Core section 11 wants it
    }
    let wished = sign_in.w.pairs();
    pairs.extend(wished.iter().map(|(name, value)| (*name, value.as_str())));
    with_query(&about.authorization, &pairs)
}

/// `to`, if that is an address of this host and not too long; otherwise `/`.
#[must_use]
pub fn return_target(to: &str) -> &str {
    match is_local(to) && to.len() <= TO_BYTES_MAX {
        true => to,
        false => "/",
    }
}
