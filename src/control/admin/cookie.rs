//! The cookie of a browser's session.

use http::{HeaderMap, HeaderValue, header};

use super::{host::Under, refusal::Refusal, session::AGE_MAX, tokens::Secret};

/// Cookies of this name that are looked at: another program on this host can set more, since cookies know no ports.
const TRIED_MAX: usize = 4;

/// Its name. `__Host-` binds a cookie to one host, but browsers take it with `Secure` alone, which they drop on plain HTTP to other
/// machines: so it is for who comes through a proxy with TLS.
const fn name(under: Under) -> &'static str {
    match under {
        Under::OwnName => "banyan-admin",
        Under::Proxy => "__Host-banyan-admin",
    }
}

/// The name of the cookie of a sign-in under way at the identity provider.
const fn name_under_way(under: Under) -> &'static str {
    match under {
        Under::OwnName => "banyan-admin-login",
        Under::Proxy => "__Host-banyan-admin-login",
    }
}

/// The values that a browser sends of its session's.
pub(super) fn all(headers: &HeaderMap, under: Under) -> impl Iterator<Item = &str> {
    values(headers, name(under))
}

/// The values that a browser sends of a sign-in under way.
pub(super) fn under_way(headers: &HeaderMap, under: Under) -> impl Iterator<Item = &str> {
    values(headers, name_under_way(under))
}

fn values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    let fields = headers.get_all(header::COOKIE).iter();
    let pairs = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'));
    let named = pairs.filter_map(move |pair| {
        let (own, value) = pair.trim().split_once('=')?;
        (own == name && !value.is_empty()).then_some(value)
    });
    named.take(TRIED_MAX)
}

/// Has a browser keep it.
pub(super) fn set(secret: &Secret, under: Under) -> Result<HeaderValue, Refusal> {
    write(name(under), secret.reveal(), AGE_MAX.as_secs(), "Strict", under)
}

/// Has a browser forget it.
pub(super) fn forget(under: Under) -> Result<HeaderValue, Refusal> {
    write(name(under), "", 0, "Strict", under)
}

/// Has a browser keep a sign-in under way. `Lax`: it must come along on the way back from the provider.
pub(super) fn set_under_way(sealed: &str, max_age: u64, under: Under) -> Result<HeaderValue, Refusal> {
    write(name_under_way(under), sealed, max_age, "Lax", under)
}

fn write(
    name: &str,
    value: &str,
    max_age: u64,
    same_site: &str,
    under: Under,
) -> Result<HeaderValue, Refusal> {
    let secure = match under {
        Under::OwnName => "",
        Under::Proxy => "; Secure",
    };
    let text = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite={same_site}{secure}");
    let mut field = HeaderValue::try_from(text).map_err(|error| Refusal::Internal(error.to_string()))?;
    field.set_sensitive(true);
    Ok(field)
}
