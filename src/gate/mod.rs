//! May they come in: what a route asks for, and whether a request brings it. Pure: keys and time come in as values.

mod denied;
mod keys;

mod claims;
mod json;
mod token;

mod identity;
mod memory;
mod requirement;
mod source;

pub mod csrf;
mod demand;

pub mod session;

pub mod lookup;
pub mod machine;

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
mod requirement_tests;
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
    demand::Demand,
    denied::{BadToken, Denied},
    identity::{
        Identity, NAME_BYTES_MAX, ROLES_TOLD_BYTES_MAX, ROLES_TOLD_MAX, escape, fold_name, is_reserved_header,
    },
    keys::{Algorithm, BadKeys, KEYS_BYTES_MAX, KEYS_MAX, KeySet, SkippedKey},
    memory::{TOKENS_BYTES_MAX, TOKENS_MAX, TokenMemory},
    requirement::{Accept, Need, Requirement, What, permit},
    source::Source,
};
use crate::{clock::UnixTime, fields::Fields};

/// Most bytes of a token. A longer one is denied unread.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// How far ahead a token's end may be unless the operator says otherwise. One that ends later has its `exp` in milliseconds, or is
/// none that should be sent with each request.
pub const LIFETIME: Duration = Duration::from_secs(86_400);

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
    /// Certificate authorities beside the system's, for the issuer and for introspection; absolute by now.
    pub ca: Option<PathBuf>,
    /// Who is asked about the legacy application's cookies.
    pub legacy: Option<lookup::LegacySettings>,
    /// Who is asked about opaque tokens.
    pub introspection: Option<lookup::IntrospectionSettings>,
    /// What a route that says nothing of it takes.
    pub default_accept: Accept,
    /// JSON pointer of the claim that lists groups; `/groups` unless said otherwise.
    pub groups_claim: String,
    /// How strictly access tokens are read.
    pub profile: TokenProfile,
    /// How far ahead a token's end may be; [`LIFETIME`] unless said otherwise.
    pub max_lifetime: Duration,
    /// What is asked of parts of the site, whatever routes say.
    pub demands: Vec<Demand>,
    /// Names of fields, folded as [`fold_name`] does, that no client may send; a last `*` stands for any end.
    pub strip: Vec<Box<str>>,
    /// Sessions of people who sign in at the issuer, if they may.
    pub session: Option<SessionSettings>,
}

/// How strictly access tokens are read. Everything else is checked in the same way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenProfile {
    /// RFC 9068: `typ` is `at+jwt`; `client_id`, `iat` and `jti` are there.
    #[default]
    Rfc9068,
    /// For providers that don't follow it: `typ` may be `JWT` or missing, and so may those three.
    Jwt,
}

/// Where a JWKS comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, absolute by now.
    File(PathBuf),
    /// An http or https address.
    Url(String),
    /// Nowhere: no issuer is trusted, and no signed token counts.
    Nowhere,
}

/// Whether a route wants to know who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Auth {
    /// Nobody looks.
    #[default]
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
    legacy: Option<Arc<lookup::Legacy>>,
    introspection: Option<Arc<lookup::Introspection>>,
    machines: Arc<machine::Machines>,
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
            settings.max_lifetime.as_millis().to_string(),
            settings.profile == TokenProfile::Rfc9068,
        ]);
        Self {
            settings: settings.clone(),
            digest: keys::sha256(&[judged.to_string().as_bytes()]),
            legacy: settings.legacy.as_ref().map(lookup::Legacy::new).map(Arc::new),
            introspection: settings
                .introspection
                .as_ref()
                .map(lookup::Introspection::new)
                .map(Arc::new),
            machines: Arc::default(),
            sessions: None,
        }
    }

    /// The same gate, which knows these machines.
    #[must_use]
    pub fn with_machines(mut self, machines: Arc<machine::Machines>) -> Self {
        self.machines = machines;
        self
    }

    /// The machines that it knows.
    #[must_use]
    pub const fn machines(&self) -> &Arc<machine::Machines> {
        &self.machines
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
            Auth::Optional | Auth::Required => self.recognise(requirement, headers, keys, now, memory)?,
        };
        permit(requirement, identity.as_deref(), now)?;
        Ok(identity)
    }

    /// Whose credentials a request brings: the one in `Authorization` wins over cookies, a session over the legacy application's cookies.
    /// A session that has ended leaves it to those.
    fn recognise(
        &self,
        requirement: &Requirement,
        headers: &Fields,
        keys: &KeySet,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Result<Option<Arc<Identity>>, Denied> {
        let accept = requirement.accept;
        if let Some(token) = token::find(headers)? {
            let is_key = token.starts_with(machine::PREFIX);
            let kind = if is_key { Source::Key } else { Source::Bearer };
            return match is_key {
                _ if !accept.has(kind) => Err(Denied::NotAccepted(kind)),
                true => self.machines.find(token, now).map(Some),
                false => self.identify(token, keys, now, memory).map(Some),
            };
        }
        let session = match accept.has(Source::Session) {
            true => self.in_session(requirement.auth, headers, now, memory),
            false => Ok(None),
        };
        // one that is only to be checked first has not ended
        let is_settled = matches!(
            session,
            Ok(Some(_))
                | Err(Denied::NoSession(
                    NoSession::Unchecked | NoSession::CheckDue | NoSession::Silent
                ))
        );
        match &self.legacy {
            Some(legacy) if !is_settled && accept.has(Source::Legacy) => {
                match legacy.find(headers, memory.answers(), now)? {
                    Some(identity) => Ok(Some(identity)),
                    None => session,
                }
            }
            _ => session,
        }
    }

    /// What would be asked of others before a request could be decided, were nothing known yet. For who explains.
    #[must_use]
    pub fn question(
        &self,
        requirement: &Requirement,
        headers: &Fields,
        now: UnixTime,
    ) -> Option<Box<lookup::Question>> {
        match self.check(requirement, headers, &KeySet::none(), now, &TokenMemory::new()) {
            Err(Denied::Ask(question)) => Some(question),
            Ok(_) | Err(_) => None,
        }
    }

    /// What the operator demands at this path (canonical) of this host (lower case), whatever a route says.
    pub fn demands(&self, path: &str, host: &str) -> impl Iterator<Item = &Demand> {
        demand::about(&self.settings.demands, path, host)
    }

    /// Whether the operator names any field that no client may send.
    #[must_use]
    pub const fn strips_any(&self) -> bool {
        !self.settings.strip.is_empty()
    }

    /// Whether the operator lets no client send a field of this name.
    #[must_use]
    pub fn strips(&self, name: &str) -> bool {
        let folded = fold_name(name);
        self.settings.strip.iter().any(|own| match own.strip_suffix('*') {
            Some(start) => folded.starts_with(start),
            None => **own == *folded,
        })
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
        let is_unsigned = self.settings.keys == KeySource::Nowhere || !token::is_signed(token);
        if is_unsigned {
            return match &self.introspection {
                Some(introspection) => introspection.find(token, memory.answers(), now),
                None => Err(Denied::BadToken(BadToken::Malformed)),
            };
        }
        if keys.is_empty() {
            return Err(Denied::NoKeys);
        }
        // Only what the token itself says is remembered; what the route asks for is looked at every time.
        let key = keys::sha256(&[&self.digest, keys.digest(), token.as_bytes()]);
        if let Some(identity) = memory.recall(&key, now) {
            return Ok(identity);
        }
        if !memory.may_verify() {
            return Err(Denied::Unverified);
        }
        let claims = token::open(token, keys, self.settings.profile).map_err(Denied::BadToken)?;
        let identity = claims::judge(&self.settings, claims, now).map_err(Denied::BadToken)?;
        let identity = Arc::new(identity);
        memory.keep(key, Arc::clone(&identity), token.len());
        Ok(identity)
    }
}
