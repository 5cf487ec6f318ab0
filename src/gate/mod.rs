//! May they come in: what a route asks for, and whether a request brings it. Pure: keys and time come in as values.

mod denied;
mod keys;

mod claims;
mod json;
mod token;

mod identity;
mod memory;

pub mod session;

pub mod assertion;

#[cfg(test)]
mod assertion_tests;
#[cfg(test)]
mod identity_tests;
#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod test_issuer;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod token_tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub(crate) use self::memory::Recent;
use self::session::{NoSession, SessionSettings, Sessions};
pub use self::{
    denied::{BadToken, Denied},
    identity::{Identity, NAME_BYTES_MAX, ROLES_TOLD_BYTES_MAX, ROLES_TOLD_MAX, escape, is_reserved_header},
    keys::{Algorithm, BadKeys, KEYS_BYTES_MAX, KEYS_MAX, KeySet, SkippedKey},
    memory::{TOKENS_BYTES_MAX, TOKENS_MAX, TokenMemory},
};
use crate::{clock::UnixTime, fields::Fields};

/// Most bytes of a token. A longer one is denied unread.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How far ahead a token's end may be. One that ends later has its `exp` in milliseconds, or should not exist.
pub const LIFETIME_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// `[gate]` in `banyan.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateSettings {
    /// The `iss` that a token must bear.
    pub issuer: String,
    /// The `aud` values of which a token must bear one. Never empty.
    pub audiences: Vec<String>,
    /// Where the issuer's keys come from.
    pub keys: KeySource,
    /// JSON pointer of the claim that lists roles; `/roles` unless said otherwise.
    pub roles_claim: String,
    /// Clock difference allowed, 30 s unless said otherwise.
    pub leeway: Duration,
    /// What a route that says nothing asks for. `None`: each route must say.
    pub default_auth: Option<Auth>,
    /// Sessions of people who sign in at the issuer, if they may.
    pub session: Option<SessionSettings>,
}

/// Where a JWKS comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, absolute by now.
    File(PathBuf),
    /// An http or https address.
    Url(String),
}

/// What a route asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Whether someone must be known.
    pub auth: Auth,
    /// Any of these roles; empty asks for none. Only with [`Auth::Required`].
    pub roles: Vec<String>,
}

/// Whether a route wants to know who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Nobody looks.
    None,
    /// Whoever brings a credential must bring a valid one; others pass unnamed.
    Optional,
    /// Nobody passes without.
    Required,
}

/// The gate: what the site expects of a token, ready to use.
#[derive(Debug, Clone)]
pub struct Gate {
    settings: GateSettings,
    /// SHA-256 of the settings that a verdict depends on, so that no other settings reuse it.
    digest: [u8; 32],
    sessions: Option<Arc<Sessions>>,
}

impl Gate {
    /// A gate for these settings.
    #[must_use]
    pub fn new(settings: &GateSettings) -> Self {
        let judged = serde_json::json!([
            settings.issuer,
            settings.audiences,
            settings.roles_claim,
            settings.leeway.as_millis().to_string(),
        ]);
        Self {
            settings: settings.clone(),
            digest: keys::sha256(&[judged.to_string().as_bytes()]),
            sessions: None,
        }
    }

    /// The same gate, which knows people by these sessions too.
    #[must_use]
    pub fn with_sessions(self, sessions: Option<Arc<Sessions>>) -> Self {
        Self { sessions, ..self }
    }

    /// What the site expects.
    #[must_use]
    pub const fn settings(&self) -> &GateSettings {
        &self.settings
    }

    /// The sessions by which it knows people, if it does.
    #[must_use]
    pub const fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.sessions.as_ref()
    }

    /// Whether a request may come in, and who it is if the route wants to know.
    ///
    /// # Errors
    /// [`Denied`]. A bad token is always denied where somebody looks: it never counts as no token.
    pub fn check(
        &self,
        requirement: &Requirement,
        headers: &Fields,
        keys: &KeySet,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Result<Option<Arc<Identity>>, Denied> {
        let identity = match requirement.auth {
            Auth::None => None,
            Auth::Optional | Auth::Required => match token::find(headers)? {
                Some(token) => Some(self.identify(token, keys, now, memory)?),
                None => self.in_session(requirement.auth, headers, now, memory)?,
            },
        };
        permit(requirement, identity.as_deref())?;
        Ok(identity)
    }

    /// Who is known by a session. A browser sends its cookie always, so one that has ended bars nobody from where nobody must be known.
    fn in_session(
        &self,
        auth: Auth,
        headers: &Fields,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Result<Option<Arc<Identity>>, Denied> {
        let Some(sessions) = &self.sessions else {
            return Ok(None);
        };
        match sessions.find(headers, now, memory) {
            Ok(session) => Ok(Some(Arc::clone(&session.identity))),
            Err(NoSession::Absent) => Ok(None),
            Err(why) if auth == Auth::Required || why == NoSession::Unchecked => Err(why.into()),
            Err(_) => Ok(None),
        }
    }

    fn identify(
        &self,
        token: &str,
        keys: &KeySet,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Result<Arc<Identity>, Denied> {
        if keys.is_empty() {
            return Err(Denied::NoKeys);
        }
        // Only what the token itself says is remembered; what the route asks for is looked at every time.
        let key = keys::sha256(&[&self.digest, keys.digest(), token.as_bytes()]);
        if let Some(identity) = memory.recall(&key, now) {
            return Ok(identity);
        }
        let claims = token::open(token, keys).map_err(Denied::BadToken)?;
        let identity = claims::judge(&self.settings, claims, now).map_err(Denied::BadToken)?;
        let identity = Arc::new(identity);
        memory.keep(key, Arc::clone(&identity), token.len());
        Ok(identity)
    }
}

/// Whether someone (or nobody) has what a route asks for: the part of the decision that needs no token.
///
/// # Errors
/// [`Denied::Missing`] or [`Denied::MissingRole`].
pub fn permit(requirement: &Requirement, identity: Option<&Identity>) -> Result<(), Denied> {
    let Requirement { auth, roles } = requirement;
    let Some(identity) = identity else {
        // Roles without `required` are a mistake that the settings refuse; were it missed, nobody would pass by it.
        return if *auth == Auth::Required || !roles.is_empty() {
            Err(Denied::Missing)
        } else {
            Ok(())
        };
    };
    if roles.is_empty() || roles.iter().any(|role| identity.roles.contains(role)) {
        Ok(())
    } else {
        Err(Denied::MissingRole {
            wanted: roles.clone(),
        })
    }
}
