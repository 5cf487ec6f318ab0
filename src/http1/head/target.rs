//! Request targets: origin-form as it came, absolute-form reduced to it, the rest refused (RFC 9112 section 3.2).

use bytes::Bytes;
use http::{Method, Uri, uri::PathAndQuery};

use super::host::{Authority, authority};
use crate::wire::Malformed;

/// Makes the `Uri` that a service sees: path and query as received, or `*`.
///
/// # Errors
/// A target of no known form, with an octet that no URI has, or that contradicts `host`.
pub(super) fn reduce(method: &Method, target: Bytes, host: Authority<'_>) -> Result<Uri, Malformed> {
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(Malformed::bad("target-octet"));
    }
    let reduced = if target.first() == Some(&b'/') {
        target
    } else if target.as_ref() == b"*" {
        if method != Method::OPTIONS {
            return Err(Malformed::bad("target-asterisk"));
        }
        target
    } else {
        absolute(method, &target, host)?
    };
    let path = PathAndQuery::from_maybe_shared(reduced).map_err(|_| Malformed::bad("target-octet"))?;
    Ok(Uri::from(path))
}

fn absolute(method: &Method, target: &Bytes, host: Authority<'_>) -> Result<Bytes, Malformed> {
    let (scheme_len, port_default) = if starts_with(target, b"http://") {
        (7, 80)
    } else if starts_with(target, b"https://") {
        (8, 443)
    } else {
        return Err(Malformed::bad("target-form"));
    };
    let rest = target.slice(scheme_len..);
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (name, path) = rest.split_at_checked(end).ok_or(Malformed::bad("target-form"))?;
    let named = authority(name).ok_or(Malformed::bad("target-authority"))?;
    if !named.same_as(host, port_default) {
        return Err(Malformed::bad("target-unlike-host"));
    }
    Ok(match path.first() {
        None if method == Method::OPTIONS => Bytes::from_static(b"*"), // RFC 9112 section 3.2.4
        None => Bytes::from_static(b"/"),
        Some(b'?') => [b"/", path].concat().into(),
        Some(_) => rest.slice(end..),
    })
}

fn starts_with(target: &[u8], scheme: &[u8]) -> bool {
    target
        .get(..scheme.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}
