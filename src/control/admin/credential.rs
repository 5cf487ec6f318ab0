//! What a request brings to show who asks: a bearer token, Banyan's own or the gate's issuer's.

use http::{HeaderMap, header};

use super::{refusal::Refusal, session::Ground, tokens::PREFIX};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known},
    gate::{Accept, Auth, BadToken, Denied, Requirement, Source, TOKEN_BYTES_MAX, TokenMemory},
    snapshot::Snapshot,
};

/// What a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought<'r> {
    /// No token. Another scheme is not ours to judge.
    Nothing,
    /// A token, not yet judged.
    Token(&'r str),
}

/// Finds the token of a request.
pub(super) fn brought(headers: &HeaderMap) -> Result<Brought<'_>, Refusal> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (field, None) = (fields.next(), fields.next()) else {
        return Err(Refusal::SeveralCredentials);
    };
    let Some(field) = field.map(http::HeaderValue::as_bytes) else {
        return Ok(Brought::Nothing);
    };
    let end = field.iter().position(|byte| !byte.is_ascii_alphanumeric());
    let (scheme, rest) = field.split_at(end.unwrap_or(field.len()));
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(Brought::Nothing);
    }
    let token = std::str::from_utf8(rest)
        .map_err(|_| Refusal::BadCredential)?
        .trim_matches(' ');
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Err(Refusal::BadCredential);
    }
    Ok(Brought::Token(token))
}

/// On what the bearer of a token of the gate's issuer stands. The gate's own code judges it, as on any route.
pub(super) fn by_gate(at: &Snapshot, token: &str, now: UnixTime) -> Result<Ground, Refusal> {
    let (Some(gate), true, false) = (&at.gate, at.admin.counts_roles(), token.starts_with(PREFIX)) else {
        return Err(Refusal::BadCredential);
    };
    let mut fields = Fields::new();
    fields.append(Known::AUTHORIZATION, format!("Bearer {token}"));
    let somebody = Requirement {
        accept: Accept::of(&[Source::Bearer]),
        ..Requirement::of(Auth::Required)
    };
    match gate
        .gate
        .check(&somebody, &fields, &gate.keys.load(), now, &TokenMemory::new())
    {
        Ok(Some(identity)) => Ok(Ground::Roles {
            subject: identity.subject.clone(),
            roles: identity.roles.clone(),
            expires: identity.expires,
        }),
        Err(Denied::NoKeys) => Err(Refusal::KeysMissing),
        Err(Denied::BadToken(BadToken::UnknownKey)) => {
            gate.wanted.notify_one();
            Err(Refusal::BadCredential)
        }
        Ok(None) | Err(_) => Err(Refusal::BadCredential),
    }
}
