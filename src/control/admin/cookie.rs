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

/// The values that a browser sends.
pub(super) fn all(headers: &HeaderMap, under: Under) -> impl Iterator<Item = &str> {
    let fields = headers.get_all(header::COOKIE).iter();
    let pairs = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'));
    let named = pairs.filter_map(move |pair| {
        let (own, value) = pair.trim().split_once('=')?;
        (own == name(under) && !value.is_empty()).then_some(value)
    });
    named.take(TRIED_MAX)
}

/// Has a browser keep it.
pub(super) fn set(secret: &Secret, under: Under) -> Result<HeaderValue, Refusal> {
    write(secret.reveal(), AGE_MAX.as_secs(), under)
}

/// Has a browser forget it.
pub(super) fn forget(under: Under) -> Result<HeaderValue, Refusal> {
    write("", 0, under)
}

fn write(value: &str, max_age: u64, under: Under) -> Result<HeaderValue, Refusal> {
    let secure = match under {
        Under::OwnName => "",
        Under::Proxy => "; Secure",
    };
    let text = format!(
        "{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}",
        name(under)
    );
    let mut field = HeaderValue::try_from(text).map_err(|error| Refusal::Internal(error.to_string()))?;
    field.set_sensitive(true);
    Ok(field)
}
