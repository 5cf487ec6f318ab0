//! A bearer token: found in the request, taken apart, its signature checked (RFC 6750, RFC 7515, RFC 8725).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    TOKEN_BYTES_MAX, TokenProfile,
    denied::{BadToken, Denied},
    json,
    keys::{Algorithm, KeySet},
};
use crate::fields::{Fields, Known};

/// The bearer token of a request. Another scheme is not ours to judge and counts as none, but for `DPoP` (RFC 9449): its tokens are
/// bound to a key that nobody checks here.
///
/// # Errors
/// [`Denied::SeveralCredentials`] for more than one `Authorization`; [`BadToken::TooLarge`]; [`BadToken::Malformed`] for what is no token.
pub(super) fn find(headers: &Fields) -> Result<Option<&str>, Denied> {
    let mut fields = headers.get_all(Known::AUTHORIZATION);
    let (field, None) = (fields.next(), fields.next()) else {
        return Err(Denied::SeveralCredentials);
    };
    let Some((scheme, rest)) = field.map(|field| split_scheme(field.as_bytes())) else {
        return Ok(None);
    };
    if scheme.eq_ignore_ascii_case(b"dpop") {
        return Err(Denied::BadToken(BadToken::Bound));
    }
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    if rest.len() > TOKEN_BYTES_MAX {
        return Err(Denied::BadToken(BadToken::TooLarge));
    }
    std::str::from_utf8(rest)
        .ok()
        .filter(|token| is_token(token))
        .map(Some)
        .ok_or(Denied::BadToken(BadToken::Malformed))
}

/// The scheme and what follows its spaces. A tab counts as a space here, so that `Bearer<tab>…` is a bad token, not no token.
fn split_scheme(field: &[u8]) -> (&[u8], &[u8]) {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t') || !byte.is_ascii();
    let end = field.iter().position(is_space).unwrap_or(field.len());
    let (scheme, rest) = field.split_at_checked(end).unwrap_or((field, &[]));
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    (scheme, rest.get(spaces..).unwrap_or(&[]))
}

/// The characters of RFC 6750 section 2.1; `=` at the end alone.
fn is_token(token: &str) -> bool {
    let text = token.trim_end_matches('=');
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'/');
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether it is a signed token by its form (RFC 7515 section 7.1): three parts. Such a one is never asked about.
pub(super) fn is_signed(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Checks header and signature, and gives the claims, which nobody has judged yet.
pub(super) fn open(token: &str, keys: &KeySet, profile: TokenProfile) -> Result<Value, BadToken> {
    open_as(token, keys, |typ| match typ {
        None => profile == TokenProfile::Jwt,
        Some(typ) => is_access_token(typ, profile),
    })
}

/// [`open`] for a token of another kind: `fits` says whether its `typ` is one of that.
pub(super) fn open_as(
    token: &str,
    keys: &KeySet,
    fits: impl Fn(Option<&str>) -> bool,
) -> Result<Value, BadToken> {
    if token
        .bytes()
        .any(|byte| matches!(byte, b'=' | b'~' | b'+' | b'/'))
    {
        return Err(BadToken::Malformed); // opaque tokens alone have them
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BadToken::Malformed);
    };
    let (alg, kid) = read_header(&part(header)?, fits)?;
    let signed = token
        .get(..header.len() + 1 + payload.len())
        .ok_or(BadToken::Malformed)?;
    keys.verify(alg, kid.as_deref(), signed.as_bytes(), signature)?;
    part(payload)
}

/// One part: base64url without padding around a JSON object.
fn part(text: &str) -> Result<Value, BadToken> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadToken::Malformed)?;
    json::parse(&bytes)
        .ok()
        .filter(Value::is_object)
        .ok_or(BadToken::Malformed)
}

/// Algorithm and key name of a header. Keys inside the header (`jwk`, `jku`, `x5c`, `x5u`) are not even looked at.
fn read_header(
    header: &Value,
    fits: impl Fn(Option<&str>) -> bool,
) -> Result<(Algorithm, Option<String>), BadToken> {
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err(BadToken::Critical);
    }
    let alg = match header.get("alg") {
        Some(Value::String(alg)) => Algorithm::named(alg).ok_or(BadToken::Algorithm)?,
        _ => return Err(BadToken::Algorithm),
    };
    match header.get("typ") {
        None if fits(None) => {}
        Some(Value::String(typ)) if fits(Some(typ)) => {}
        _ => return Err(BadToken::Type),
    }
    match header.get("kid") {
        None => Ok((alg, None)),
        Some(Value::String(kid)) => Ok((alg, Some(kid.clone()))),
        Some(_) => Err(BadToken::Malformed),
    }
}

/// `at+jwt` (RFC 9068 section 4), for providers that write no such thing also `JWT`, with or without `application/`; media types
/// ignore case.
fn is_access_token(typ: &str, profile: TokenProfile) -> bool {
    let known: &[&str] = match profile {
        TokenProfile::Rfc9068 => &["at+jwt", "application/at+jwt"],
        TokenProfile::Jwt => &["at+jwt", "application/at+jwt", "JWT", "application/jwt"],
    };
    known.iter().any(|known| typ.eq_ignore_ascii_case(known))
}
