//! May they come in: what a route asks for, and whether a request brings it. Pure: keys and time come in as values.

mod denied;
mod keys;

mod claims;
mod json;
mod token;

mod identity;
mod memory;

pub mod lookup;
pub mod machine;
mod requirement;
mod source;

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

pub use self::{
    denied::{BadToken, Denied},
    identity::{Identity, NAME_BYTES_MAX, ROLES_TOLD_BYTES_MAX, ROLES_TOLD_MAX, escape, is_reserved_header},
    keys::{Algorithm, BadKeys, KEYS_BYTES_MAX, KEYS_MAX, KeySet, SkippedKey},
    memory::{TOKENS_BYTES_MAX, TOKENS_MAX, TokenMemory},
    requirement::Accept,
    source::Source,
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
    /// Certificate authorities beside the system's, for the issuer and for introspection; absolute by now.
    pub ca: Option<PathBuf>,
    /// Who is asked about the legacy application's cookies.
    pub legacy: Option<lookup::LegacySettings>,
    /// Who is asked about opaque tokens.
    pub introspection: Option<lookup::IntrospectionSettings>,
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

/// What a route asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Whether someone must be known.
    pub auth: Auth,
    /// Any of these roles; empty asks for none. Only with [`Auth::Required`].
    pub roles: Vec<String>,
    /// By what somebody may show who they are.
    pub accept: Accept,
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
    legacy: Option<Arc<lookup::Legacy>>,
    introspection: Option<Arc<lookup::Introspection>>,
    machines: Arc<machine::Machines>,
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
            legacy: settings.legacy.as_ref().map(lookup::Legacy::new).map(Arc::new),
            introspection: settings
                .introspection
                .as_ref()
                .map(lookup::Introspection::new)
                .map(Arc::new),
            machines: Arc::default(),
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
            Auth::Optional | Auth::Required => {
                self.recognise(requirement.accept, headers, keys, now, memory)?
            }
        };
        permit(requirement, identity.as_deref())?;
        Ok(identity)
    }

    /// Whose credentials a request brings. The one in `Authorization` wins over cookies; where neither tokens nor keys are accepted
    /// that field is the backend's business.
    fn recognise(
        &self,
        accept: Accept,
        headers: &Fields,
        keys: &KeySet,
        now: UnixTime,
        memory: &TokenMemory,
    ) -> Result<Option<Arc<Identity>>, Denied> {
        if (accept.has(Source::Bearer) || accept.has(Source::Key))
            && let Some(token) = token::find(headers)?
        {
            let (wanted, is_key) = match token.starts_with(machine::PREFIX) {
                true => (Source::Key, true),
                false => (Source::Bearer, false),
            };
            return match (accept.has(wanted), is_key) {
                (false, _) => Err(Denied::NotAccepted(wanted)),
                (true, true) => self.machines.find(token, now).map(Some),
                (true, false) => self.identify(token, keys, now, memory).map(Some),
            };
        }
        match &self.legacy {
            Some(legacy) if accept.has(Source::Legacy) => legacy.find(headers, memory.answers(), now),
            _ => Ok(None),
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
    let Requirement { auth, roles, .. } = requirement;
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
