//! A session as the browser carries it: one sealed cookie, bounded, and what it says.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    super::{
        claims::roles_at,
        identity::{Identity, is_name},
        source::Source,
    },
    Mark, NoSession, Purpose, SEAL_NONCE_BYTES, Sessions,
    seal::sealed_bytes,
};
use crate::clock::UnixTime;

/// The session cookie's name. `__Host-` makes browsers demand `Secure`, `Path=/` and no `Domain`, so no sub-domain can plant one.
pub const SESSION_COOKIE: &str = "__Host-banyan-session";
/// Most bytes of the cookie, its name and what is said about it included. Browsers keep 4,096 at least.
pub const COOKIE_BYTES_MAX: usize = 3_800;

/// Room for name and attributes.
const AROUND_BYTES: usize = SESSION_COOKIE.len() + 80;
/// Most bytes of what is sealed.
const TEXT_BYTES_MAX: usize = (COOKIE_BYTES_MAX - AROUND_BYTES) / 4 * 3 - 48;
const _: () = assert!(sealed_bytes(TEXT_BYTES_MAX) + AROUND_BYTES <= COOKIE_BYTES_MAX);

/// What of an ID token is about the token and not about the person; the cookie has no room for it.
const ABOUT_THE_TOKEN: [&str; 13] = [
    "iss", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "c_hash", "s_hash", "sid", "typ",
];
/// What is kept of the claims when they do not all fit; the claim with the roles is, too.
const KEPT: [&str; 6] = ["sub", "acr", "amr", "auth_time", "groups", "scope"];

/// Someone who signed in.
pub struct Session {
    /// Who it is; its time is over when the session's is.
    pub identity: Arc<Identity>,
    /// When the sign-in began.
    pub began: UnixTime,
    /// When the provider last vouched for it.
    pub checked: UnixTime,
    /// What ends it: the provider's session, the user, itself.
    pub marks: [Mark; 3],
    id: [u8; 16],
    provider_session: Option<String>,
    refresh: Option<String>,
}

/// Never a token.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("began", &self.began)
            .field("checked", &self.checked)
            .finish_non_exhaustive()
    }
}

/// A session that a request brought, and what its browser is to be told.
#[derive(Debug, Clone)]
pub struct Brought {
    /// The session.
    pub session: Arc<Session>,
    /// The cookie that takes the place of the one that it came in.
    pub set_cookie: Option<HeaderValue>,
}

/// Even without all that can be left out, a session has no room in a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claims are too large for a cookie")]
pub struct TooLarge;

/// What is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The session's own id.
    i: String,
    /// When it began, in milliseconds.
    b: u64,
    /// When it was checked.
    c: u64,
    /// The provider's `sid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<String>,
    /// The refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<String>,
    /// Claims about the person.
    a: Map<String, Value>,
}

impl Session {
    /// Whether the provider gave something to check it with.
    #[must_use]
    pub const fn can_be_checked(&self) -> bool {
        self.refresh.is_some()
    }

    /// What it is checked with. For the provider alone.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.refresh.as_deref()
    }
}

impl Sessions {
    /// Begins the session of someone whom the provider vouched for in these claims, judged before.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn begin(
        &self,
        host: &str,
        claims: &Value,
        refresh: Option<String>,
        (began, checked): (UnixTime, UnixTime),
        (id, nonce): ([u8; 16], [u8; SEAL_NONCE_BYTES]),
    ) -> Result<Brought, TooLarge> {
        let provider_session = claims.get("sid").and_then(Value::as_str).map(str::to_owned);
        let written = Written {
            i: URL_SAFE_NO_PAD.encode(id),
            b: began.millis,
            c: checked.millis,
            p: provider_session.filter(|sid| is_name(sid)),
            r: refresh,
            a: about_the_person(claims),
        };
        self.seal_session(host, written, nonce)
    }

    /// The session that follows on `session` after the provider vouched for it again, perhaps with other claims.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn renew(
        &self,
        host: &str,
        session: &Session,
        claims: Option<&Value>,
        refresh: Option<String>,
        checked: UnixTime,
        nonce: [u8; SEAL_NONCE_BYTES],
    ) -> Result<Brought, TooLarge> {
        let written = Written {
            i: URL_SAFE_NO_PAD.encode(session.id),
            b: session.began.millis,
            c: checked.millis,
            p: session.provider_session.clone(),
            r: refresh.or_else(|| session.refresh.clone()),
            a: renewed(&session.identity.claims, claims),
        };
        self.seal_session(host, written, nonce)
    }

    fn seal_session(
        &self,
        host: &str,
        mut written: Written,
        nonce: [u8; SEAL_NONCE_BYTES],
    ) -> Result<Brought, TooLarge> {
        let text = loop {
            let text = serde_json::to_vec(&written).map_err(|_| TooLarge)?;
            if text.len() <= TEXT_BYTES_MAX {
                break text;
            }
            // without a claim something may be refused, never granted; without a refresh token a check is a new sign-in
            if let Some(largest) = self.largest(&written.a) {
                written.a.remove(&largest);
            } else if written.r.take().is_none() {
                return Err(TooLarge);
            }
        };
        let session = self.read(written).ok_or(TooLarge)?;
        let value = self
            .ring
            .seal(Purpose::Session, host, text, nonce)
            .ok_or(TooLarge)?;
        let lasts = self.settings.absolute.as_secs();
        Ok(Brought {
            session: Arc::new(session),
            set_cookie: Some(set_cookie(SESSION_COOKIE, &value, lasts)),
        })
    }

    /// The claim that takes most room and may be left out.
    fn largest(&self, claims: &Map<String, Value>) -> Option<String> {
        let roles = self.roles_claim.split('/').nth(1).unwrap_or_default();
        let spare = claims
            .iter()
            .filter(|(name, _)| !KEPT.contains(&name.as_str()) && *name != roles);
        let (name, _) = spare.max_by_key(|(name, value)| name.len() + value.to_string().len())?;
        Some(name.clone())
    }

    /// Opens a session cookie.
    pub(super) fn open(&self, cookie: &str, host: &str) -> Result<Session, NoSession> {
        if cookie.len() > COOKIE_BYTES_MAX {
            return Err(NoSession::Damaged);
        }
        let text = self.ring.open(Purpose::Session, host, cookie)?;
        let written: Written = serde_json::from_slice(&text).map_err(|_| NoSession::Damaged)?;
        self.read(written).ok_or(NoSession::Damaged)
    }

    fn read(&self, written: Written) -> Option<Session> {
        let id = URL_SAFE_NO_PAD.decode(&written.i).ok()?;
        let (began, checked) = (UnixTime { millis: written.b }, UnixTime { millis: written.c });
        let claims = Value::Object(written.a);
        let subject = claims.get("sub")?.as_str().filter(|subject| is_name(subject))?;
        let provider_session = written.p;
        let own = Mark::own(&id);
        let identity = Identity {
            subject: subject.to_owned(),
            roles: roles_at(&claims, &self.roles_claim).ok()?,
            expires: self.ends(began, checked),
            claims,
            source: Source::Session,
        };
        Some(Session {
            marks: [
                provider_session
                    .as_deref()
                    .map_or_else(|| Mark::nameless(&identity.subject), Mark::sid),
                Mark::subject(&identity.subject),
                own,
            ],
            identity: Arc::new(identity),
            began,
            checked,
            id: id.try_into().ok()?,
            provider_session,
            refresh: written.r,
        })
    }

    /// The `Set-Cookie` value that ends a browser's session.
    #[must_use]
    pub fn forget_cookie() -> HeaderValue {
        set_cookie(SESSION_COOKIE, "", 0)
    }
}

/// What is said of a person after a check. A check is no sign-in (OpenID Connect Core section 12.2): when they signed in is what it was,
/// and how they did stays too where nothing new is said of it.
fn renewed(before: &Value, claims: Option<&Value>) -> Map<String, Value> {
    let Some(claims) = claims else {
        return about_the_person(before);
    };
    let mut now = about_the_person(claims);
    for name in ["acr", "amr", "auth_time"] {
        if let Some(value) = before.get(name)
            && (name == "auth_time" || !now.contains_key(name))
        {
            now.insert(name.to_owned(), value.clone());
        }
    }
    now
}

fn about_the_person(claims: &Value) -> Map<String, Value> {
    let members = claims.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| !ABOUT_THE_TOKEN.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A cookie of the gate's. `Lax`, so that it comes along with links from mail and search, and with the way back from the provider.
pub(super) fn set_cookie(name: &str, value: &str, lasts: u64) -> HeaderValue {
    let text = format!("{name}={value}; Max-Age={lasts}; Path=/; Secure; HttpOnly; SameSite=Lax");
    // A sealed text is base64url and dots, so this can't fail.
    let mut field = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    field.set_sensitive(true);
    field
}
