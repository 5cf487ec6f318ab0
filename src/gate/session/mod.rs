//! Sessions of people who signed in at the identity provider (OpenID Connect). Pure: keys, time, randomness and answers come in.
//!
//! `sign_in` begins a sign-in and judges where it comes back, `tokens` judges what the provider signs about it, `cookie` is the session
//! as the browser carries it, sealed by `seal`, `wish` what a page asks of a sign-in, `revoked` what was ended before its time, `about` what the provider says of itself,
//! `form` how all of that is written into addresses. [`Sessions::find`] is what a request asks.

mod about;
mod cookie;
pub mod form;
mod memory;
mod revoked;
mod seal;
mod sign_in;
#[cfg(test)]
mod tests;
mod tokens;
mod wish;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

pub use self::{
    about::{ABOUT_BYTES_MAX, About, BadAbout},
    cookie::{Brought, COOKIE_BYTES_MAX, SESSION_COOKIE, Session, TooLarge},
    memory::SessionMemory,
    revoked::{Carried, LOGOUTS_MAX, Mark, REVOKED_SESSIONS_MAX, Revocations},
    seal::{Purpose, Ring, SEAL_NONCE_BYTES},
    sign_in::{
        Answered, BadReturn, SIGN_IN_COOKIES, SIGN_IN_ENTROPY, SIGN_IN_LASTS, SignIn, address, free_place,
        return_target, under_way,
    },
    tokens::{BadLogout, LogoutToken, judge_logout, judge_renewed, judge_signed_in},
    wish::{KINDS_BYTES_MAX, SIGN_IN_AGE_MIN, Wish},
};
use super::{GateSettings, Identity, TokenMemory};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
    visitor::{SigningKey, cookies},
};

/// How long a core remembers that the provider could not be asked about a session, before it is asked again.
pub const SILENCE_LASTS: Duration = Duration::from_secs(3);
/// Copies of a cookie that are looked at in one request.
const COPIES_MAX: usize = 2;

/// `[gate]` with a `client_id`, and `[gate.session]`.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// This edge's name at the provider.
    pub client_id: String,
    /// Its secret there. `None`: it has none, and its codes are bound to it by PKCE alone.
    pub client_secret: Option<String>,
    /// What is asked for; `openid` among it.
    pub scopes: Vec<String>,
    /// A session ends this long after its sign-in, whatever is done with it.
    pub absolute: Duration,
    /// A session ends this long after it was last checked.
    pub idle: Duration,
    /// A session that is used is checked at the provider this often.
    pub check: Duration,
    /// The first seals, all open. Empty: Banyan's own.
    pub keys: Vec<SigningKey>,
}

impl fmt::Debug for SessionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSettings")
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("absolute", &self.absolute)
            .field("idle", &self.idle)
            .field("check", &self.check)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// Why a request has no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoSession {
    /// It brings no session cookie.
    Absent,
    /// Not of the right form, changed on its way, or sealed for another host or purpose.
    Damaged,
    /// Sealed by a key that isn't known (any more).
    UnknownKey,
    /// Its time is over, since its sign-in or since it was last used.
    Ended,
    /// It was ended by a sign-out, here or at the provider.
    Revoked,
    /// It is to be checked at the provider, who gave nothing to do that with but a new sign-in.
    CheckDue,
    /// It is to be checked at the provider first.
    Unchecked,
    /// The provider says that it is over.
    Refused,
    /// It is to be checked, and the provider does not answer.
    Silent,
}

impl NoSession {
    /// A fixed word, for logs, metric labels and `Proxy-Status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "session_absent",
            Self::Damaged => "session_damaged",
            Self::UnknownKey => "session_key_unknown",
            Self::Ended => "session_ended",
            Self::Revoked => "session_revoked",
            Self::CheckDue => "session_check_due",
            Self::Unchecked => "session_unchecked",
            Self::Refused => "session_refused",
            Self::Silent => "provider_silent",
        }
    }

    /// A sentence.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Absent => "there is no session",
            Self::Damaged => "the session cookie is damaged",
            Self::UnknownKey => "the session cookie's key is not known",
            Self::Ended => "the session has ended",
            Self::Revoked => "the session was signed out",
            Self::CheckDue => "the session is due for a new sign-in",
            Self::Unchecked => "the session is to be checked at the identity provider first",
            Self::Refused => "the identity provider says that the session is over",
            Self::Silent => "the session is to be checked, and the identity provider does not answer",
        }
    }
}

impl From<NoSession> for super::Denied {
    fn from(why: NoSession) -> Self {
        match why {
            NoSession::Absent => Self::Missing,
            why => Self::NoSession(why),
        }
    }
}

/// What opens and seals sessions.
#[derive(Debug)]
pub struct Sessions {
    /// What the files say.
    pub settings: SessionSettings,
    /// The keys.
    pub ring: Ring,
    /// What was ended before its time; carried over from snapshot to snapshot.
    pub revoked: Arc<Revocations>,
    roles_claim: String,
}

impl Sessions {
    /// Sessions of a gate. `own` seals where the settings name no key.
    #[must_use]
    pub fn new(
        gate: &GateSettings,
        settings: &SessionSettings,
        own: &[SigningKey],
        revoked: Arc<Revocations>,
    ) -> Self {
        let keys = match settings.keys.as_slice() {
            [] => own,
            keys => keys,
        };
        Self {
            ring: Ring::new(keys),
            settings: settings.clone(),
            revoked,
            roles_claim: gate.roles_claim.clone(),
        }
    }

    /// The session of a request.
    ///
    /// # Errors
    /// [`NoSession`] says why there is none that counts now. Of several copies of the cookie the first good one counts.
    pub fn find(
        &self,
        headers: &Fields,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Result<Arc<Session>, NoSession> {
        let brought = self.brought(headers, now, memory).1?;
        let session = Arc::clone(&brought.session);
        memory.sessions.lets_in(brought);
        Ok(session)
    }

    /// The session that let a request in as `identity`, and what is to be told to its browser: [`Sessions::find`] has just found it.
    #[must_use]
    pub fn that_let_in(
        &self,
        identity: &Arc<Identity>,
        headers: &Fields,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Option<Brought> {
        let anew = || {
            let brought = self.brought(headers, now, memory).1.ok()?;
            Arc::ptr_eq(&brought.session.identity, identity).then_some(brought)
        };
        memory.sessions.of_last(identity).or_else(anew)
    }

    /// The session of a request and what is to be told to its browser, or why there is none, beside the cookie that was looked at.
    pub fn brought<'h>(
        &self,
        headers: &'h Fields,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> (&'h str, Result<Brought, NoSession>) {
        let mut found = ("", Err(NoSession::Absent));
        if !headers.present().has(Known::COOKIE) {
            return found;
        }
        let host = host_of(headers);
        let copies = cookies(headers).filter(|(name, _)| *name == SESSION_COOKIE);
        for (_, cookie) in copies.take(COPIES_MAX) {
            let opened = self
                .recall_or_open(cookie, &host, now, memory)
                .and_then(|brought| self.judge(&brought.session, now).map(|()| brought));
            let first = found.0.is_empty();
            if opened.is_ok() || first {
                let good = opened.is_ok();
                found = (cookie, opened);
                if good {
                    break;
                }
            }
        }
        found
    }

    /// The session that is to be checked, with its cookie, where [`Sessions::find`] says [`NoSession::Unchecked`].
    pub fn unchecked<'h>(
        &self,
        headers: &'h Fields,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Option<(&'h str, Arc<Session>)> {
        let (cookie, Err(NoSession::Unchecked)) = self.brought(headers, now, memory) else {
            return None;
        };
        let brought = self.recall_or_open(cookie, &host_of(headers), now, memory).ok()?;
        Some((cookie, brought.session))
    }

    fn recall_or_open(
        &self,
        cookie: &str,
        host: &str,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Result<Brought, NoSession> {
        if let Some(known) = memory.sessions.recall(self.ring.number, host, cookie, now) {
            return known;
        }
        let session = Arc::new(self.open(cookie, host)?);
        let brought = Brought {
            session,
            set_cookie: None,
        };
        memory
            .sessions
            .keep(self.ring.number, host, cookie, Ok(brought.clone()));
        Ok(brought)
    }

    /// Whether a session counts now.
    ///
    /// # Errors
    /// [`NoSession`] says why it does not; [`NoSession::Unchecked`] asks for a check at the provider.
    pub fn judge(&self, session: &Session, now: UnixTime) -> Result<(), NoSession> {
        if now >= session.identity.expires {
            return Err(NoSession::Ended);
        }
        if self.revoked.has(&session.marks, session.began) {
            return Err(NoSession::Revoked);
        }
        if now < later(session.checked, self.settings.check) {
            return Ok(());
        }
        Err(match session.can_be_checked() {
            true => NoSession::Unchecked,
            false => NoSession::CheckDue,
        })
    }

    /// Notes what the provider said of the session in `cookie`: the session that follows on it, or why none does.
    pub fn note(
        &self,
        headers: &Fields,
        cookie: &str,
        said: Result<Brought, NoSession>,
        now: UnixTime,
        memory: &TokenMemory,
    ) {
        let host = host_of(headers);
        match said {
            Err(NoSession::Silent) => {
                memory
                    .sessions
                    .keep_silent(self.ring.number, &host, cookie, later(now, SILENCE_LASTS));
            }
            said => memory.sessions.keep(self.ring.number, &host, cookie, said),
        }
    }

    /// When a session that was checked then ends, if nothing more comes of it.
    fn ends(&self, began: UnixTime, checked: UnixTime) -> UnixTime {
        later(began, self.settings.absolute).min(later(checked, self.settings.idle))
    }

    /// Until when it is to be remembered that a session was ended now.
    #[must_use]
    pub fn forget(&self, now: UnixTime) -> UnixTime {
        later(now, self.settings.absolute)
    }
}

/// The host that a request names: lower case, without port and last dot. What is sealed is bound to it.
#[must_use]
pub fn host_of(headers: &Fields) -> Cow<'_, str> {
    let text = headers
        .get(Known::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let end = if text.starts_with('[') {
        text.find(']').map(|at| at + 1)
    } else {
        text.find(':')
    };
    let name = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

pub(super) fn later(time: UnixTime, by: Duration) -> UnixTime {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    UnixTime {
        millis: time.millis.saturating_add(by),
    }
}
