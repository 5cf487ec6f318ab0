//! What the provider signs about a sign-in, judged: ID tokens (OpenID Connect Core sections 3.1.3.7 and 12.2) and logout tokens
//! (OpenID Connect Back-Channel Logout section 2.6).

use std::time::Duration;

use serde_json::Value;

use super::{
    super::{
        GateSettings, KeySet,
        claims::{judge_times, time_of},
        denied::BadToken,
        identity::is_name,
        token::open_as,
    },
    Mark, later,
};
use crate::clock::UnixTime;

/// How old an ID token or a logout token may be when it comes: it was made for this very moment.
const AGE_MAX: Duration = Duration::from_secs(600);

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Judges the ID token of a sign-in: its claims, if all is right. `client` is our name at the provider.
///
/// # Errors
/// [`BadToken`] says what is not.
pub fn judge_signed_in(
    gate: &GateSettings,
    client: &str,
    token: &str,
    nonce: &str,
    keys: &KeySet,
    now: UnixTime,
) -> Result<Value, BadToken> {
    let claims = judge_id_token(gate, client, token, keys, now)?;
    match claims.get("nonce") {
        Some(Value::String(given)) if given == nonce => Ok(claims),
        _ => Err(BadToken::Nonce),
    }
}

/// Judges the ID token that came with a renewal: it must be about the same person.
///
/// # Errors
/// [`BadToken`].
pub fn judge_renewed(
    gate: &GateSettings,
    client: &str,
    token: &str,
    subject: &str,
    keys: &KeySet,
    now: UnixTime,
) -> Result<Value, BadToken> {
    let claims = judge_id_token(gate, client, token, keys, now)?;
    if claims.get("sub").and_then(Value::as_str) != Some(subject) {
        return Err(BadToken::Subject);
    }
    Ok(claims)
}

fn judge_id_token(
    gate: &GateSettings,
    client: &str,
    token: &str,
    keys: &KeySet,
    now: UnixTime,
) -> Result<Value, BadToken> {
    if token.len() > super::super::TOKEN_BYTES_MAX {
        return Err(BadToken::TooLarge);
    }
    let is_plain = |typ: Option<&str>| {
        typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("application/jwt"))
    };
    let claims = open_as(token, keys, is_plain)?;
    judge_sender(gate, client, &claims, now)?;
    if claims.get("events").is_some() {
        return Err(BadToken::Type);
    }
    let subject = claims.get("sub").and_then(Value::as_str);
    if !subject.is_some_and(is_name) {
        return Err(BadToken::Subject);
    }
    Ok(claims)
}

/// What both kinds of token have in common: from whom, for whom, when.
fn judge_sender(gate: &GateSettings, client: &str, claims: &Value, now: UnixTime) -> Result<(), BadToken> {
    if claims.get("iss").and_then(Value::as_str) != Some(gate.issuer.as_str()) {
        return Err(BadToken::Issuer);
    }
    // Nobody else may be meant as well: an audience that isn't known can't be trusted.
    let for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(list)) => !list.is_empty() && list.iter().all(|one| one == client),
        _ => false,
    };
    let party = claims.get("azp");
    if !for_us || party.is_some_and(|party| party != client) {
        return Err(BadToken::Audience);
    }
    judge_times(claims, gate, now)?;
    let issued = time_of(claims, "iat")?.ok_or(BadToken::Time)?;
    if later(later(issued, AGE_MAX), gate.leeway) < now {
        return Err(BadToken::Expired);
    }
    Ok(())
}

/// Whom a logout token signs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// One session at the provider.
    pub sid: Option<String>,
    /// A user, everywhere, where no session is named.
    pub subject: Option<String>,
    /// The token's own name.
    pub jti: String,
    /// When its time is over.
    pub expires: UnixTime,
}

impl LogoutToken {
    /// What it ends.
    pub fn marks(&self) -> impl Iterator<Item = Mark> {
        let subject = self.subject.as_deref();
        let whole = match (&self.sid, subject) {
            (Some(sid), subject) => [Some(Mark::sid(sid)), subject.map(Mark::nameless)],
            (None, subject) => [subject.map(Mark::subject), None],
        };
        whole.into_iter().flatten()
    }
}

/// Why a logout token counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLogout {
    /// It is no good token at all.
    Token(BadToken),
    /// It is not about a back-channel logout.
    Event,
    /// It bears a nonce, as only ID tokens do.
    Nonce,
    /// It names neither a session nor a user, or names them wrongly.
    Whom,
    /// It has no name of its own.
    Jti,
}

impl BadLogout {
    /// A fixed word for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token(why) => why.as_str(),
            Self::Event => "logout_event",
            Self::Nonce => "logout_nonce",
            Self::Whom => "logout_whom",
            Self::Jti => "logout_jti",
        }
    }
}

/// Judges a logout token.
///
/// # Errors
/// [`BadLogout`].
pub fn judge_logout(
    gate: &GateSettings,
    client: &str,
    token: &str,
    keys: &KeySet,
    now: UnixTime,
) -> Result<LogoutToken, BadLogout> {
    if token.len() > super::super::TOKEN_BYTES_MAX {
        return Err(BadLogout::Token(BadToken::TooLarge));
    }
    let is_logout = |typ: Option<&str>| {
        typ.is_none_or(|typ| {
            ["logout+jwt", "application/logout+jwt", "JWT"]
                .iter()
                .any(|known| typ.eq_ignore_ascii_case(known))
        })
    };
    let claims = open_as(token, keys, is_logout).map_err(BadLogout::Token)?;
    judge_sender(gate, client, &claims, now).map_err(BadLogout::Token)?;
    let event = claims.get("events").and_then(|events| events.get(LOGOUT_EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(BadLogout::Event);
    }
    if claims.get("nonce").is_some() {
        return Err(BadLogout::Nonce);
    }
    let name = |key: &str| match claims.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if is_name(text) => Ok(Some(text.clone())),
        Some(_) => Err(BadLogout::Whom),
    };
    let (sid, subject) = (name("sid")?, name("sub")?);
    if sid.is_none() && subject.is_none() {
        return Err(BadLogout::Whom);
    }
    let expires = time_of(&claims, "exp").ok().flatten();
    Ok(LogoutToken {
        sid,
        subject,
        jti: name("jti").map_err(|_| BadLogout::Jti)?.ok_or(BadLogout::Jti)?,
        expires: later(expires.unwrap_or(now), gate.leeway),
    })
}
