//! What a token says, judged against what the site expects of it (RFC 7519 section 4.1, RFC 8725, RFC 9068 section 4).

use serde_json::Value;

use super::{
    GateSettings, TokenProfile,
    denied::BadToken,
    identity::{Identity, is_name},
    source::Source,
};
use crate::clock::UnixTime;

/// Judges the claims of a token whose signature is good.
pub(super) fn judge(settings: &GateSettings, claims: Value, now: UnixTime) -> Result<Identity, BadToken> {
    if claims.get("iss").and_then(Value::as_str) != Some(settings.issuer.as_str()) {
        return Err(BadToken::Issuer);
    }
    if !is_for(&claims, &settings.audiences) {
        return Err(BadToken::Audience);
    }
    let expires = judge_times(&claims, settings, now)?;
    // An ID token is for who asked for it, a logout token for one purpose: neither is a key to anything else (RFC 9068 section 5,
    // OpenID Connect Back-Channel Logout section 2.4), and `typ` alone does not always tell.
    if ["nonce", "at_hash", "c_hash", "events"]
        .iter()
        .any(|claim| claims.get(claim).is_some())
    {
        return Err(BadToken::Type);
    }
    let is_dpop = |kind: &Value| {
        kind.as_str()
            .is_none_or(|kind| !kind.eq_ignore_ascii_case("bearer"))
    };
    if claims.get("cnf").is_some() || claims.get("token_type").is_some_and(is_dpop) {
        return Err(BadToken::Bound);
    }
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .filter(|subject| is_name(subject))
        .ok_or(BadToken::Subject)?
        .to_owned();
    judge_party(&claims, settings.profile)?;
    let roles = roles_at(&claims, &settings.roles_claim)?;
    Ok(Identity {
        subject,
        roles,
        claims,
        expires,
        source: Source::Bearer,
    })
}

/// Who asked for the token, and its number: `client_id` and `jti` are required (RFC 9068 section 2.2), and two names of one party agree.
fn judge_party(claims: &Value, profile: TokenProfile) -> Result<(), BadToken> {
    let text = |claim: &str, bad: BadToken| match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) if is_name(text) => Ok(Some(text)),
        Some(_) => Err(bad),
    };
    let client = text("client_id", BadToken::Client)?;
    let number = text("jti", BadToken::Number)?;
    if let (Some(client), Some(party)) = (client, text("azp", BadToken::Client)?)
        && client != party
    {
        return Err(BadToken::Client);
    }
    match (profile, client, number) {
        (TokenProfile::Jwt, ..) | (TokenProfile::Rfc9068, Some(_), Some(_)) => Ok(()),
        (TokenProfile::Rfc9068, None, _) => Err(BadToken::Client),
        (TokenProfile::Rfc9068, _, None) => Err(BadToken::Number),
    }
}

/// `aud` is one text or a list of texts with one of ours. A list of several needs to say who asked for it (`azp`, OpenID Connect Core
/// section 3.1.3.7, or `client_id`).
pub(super) fn is_for(claims: &Value, ours: &[String]) -> bool {
    let is_ours = |audience: &Value| {
        audience
            .as_str()
            .is_some_and(|text| ours.iter().any(|our| our == text))
    };
    let azp = match claims.get("azp") {
        None => None,
        Some(Value::String(party)) if !party.is_empty() => Some(party),
        Some(_) => return false,
    };
    match claims.get("aud") {
        Some(text @ Value::String(_)) => is_ours(text),
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string)
                && list.iter().any(is_ours)
                && (list.len() == 1 || azp.is_some() || claims.get("client_id").is_some())
        }
        _ => false,
    }
}

/// Checks `exp`, `nbf` and `iat`; gives `exp`.
pub(super) fn judge_times(
    claims: &Value,
    settings: &GateSettings,
    now: UnixTime,
) -> Result<UnixTime, BadToken> {
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let leeway = millis(settings.leeway);
    let latest = now.millis.saturating_add(leeway);
    let expires = time_of(claims, "exp")?.ok_or(BadToken::Time)?;
    let not_before = time_of(claims, "nbf")?;
    let issued = time_of(claims, "iat")?;
    if expires.millis.saturating_add(leeway) <= now.millis {
        return Err(BadToken::Expired);
    }
    if expires.millis > latest.saturating_add(millis(settings.max_lifetime)) {
        return Err(BadToken::LivesTooLong);
    }
    if settings.profile == TokenProfile::Rfc9068 && issued.is_none() {
        return Err(BadToken::Time);
    }
    if not_before.is_some_and(|from| from.millis > latest) {
        return Err(BadToken::NotYetValid);
    }
    if issued.is_some_and(|at| at.millis > latest) {
        return Err(BadToken::IssuedInFuture);
    }
    Ok(expires)
}

/// A `NumericDate`: seconds since 1970, perhaps with a fraction (RFC 7519 section 2). A text is none (CVE-2026-25537).
pub(super) fn time_of(claims: &Value, name: &str) -> Result<Option<UnixTime>, BadToken> {
    claims
        .get(name)
        .map(|value| seconds(value).ok_or(BadToken::Time))
        .transpose()
}

/// A `NumericDate` as a time.
pub(super) fn seconds(value: &Value) -> Option<UnixTime> {
    /// Seconds above which a number is no time at all (the year 33658), and below which its milliseconds are exact.
    const SECONDS_MAX: f64 = 1e12;
    if let Some(seconds) = value.as_u64() {
        return Some(UnixTime::from_secs(seconds));
    }
    let seconds = value
        .as_f64()
        .filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))?;
    Some(UnixTime {
        millis: (seconds * 1000.0) as u64,
    })
}

/// The roles: a list of texts, or one text with spaces between them. A claim that is not there gives no roles.
pub(super) fn roles_at(claims: &Value, claim: &str) -> Result<Vec<String>, BadToken> {
    let roles: Vec<String> = match find(claims, claim) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text
            .split(' ')
            .filter(|role| !role.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::Array(list)) => list
            .iter()
            .map(|role| role.as_str().map(str::to_owned).ok_or(BadToken::Roles))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(BadToken::Roles),
    };
    if roles.iter().all(|role| is_name(role)) {
        Ok(roles)
    } else {
        Err(BadToken::Roles)
    }
}

/// A claim by JSON pointer (`/realm_access/roles`, RFC 6901), or, without the slash, by name or by names with dots between.
pub(super) fn find<'a>(claims: &'a Value, claim: &str) -> Option<&'a Value> {
    if claim.starts_with('/') {
        return claims.pointer(claim);
    }
    claims
        .get(claim)
        .or_else(|| claim.split('.').try_fold(claims, |value, name| value.get(name)))
}
