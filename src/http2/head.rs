//! A request's head, judged: what `h2` lets through and we don't.

use bytes::BytesMut;
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST},
    request::Parts,
};

use crate::{
    limits::Limits,
    wire::{Malformed, Upgrade},
};

/// Why a head did not become a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// A person may want to know: it is answered.
    Answer(Malformed),
    /// Malformed as RFC 9113 section 8.1.1 means it: the stream is reset with `PROTOCOL_ERROR`.
    Reset(&'static str),
}

const fn answer(status: StatusCode, what: &'static str) -> Rejected {
    Rejected::Answer(Malformed { status, what })
}

const fn bad(what: &'static str) -> Rejected {
    Rejected::Answer(Malformed::bad(what))
}

/// Judges the head and brings it into the form that a [`Service`](crate::wire::Service) gets, whatever the HTTP version.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn judge(head: &mut Parts, limits: &Limits) -> Result<(), Rejected> {
    within_limits(head, limits)?;
    fields(&head.headers)?;
    content_length(&head.headers)?;
    let upgrade = head
        .extensions
        .remove::<Protocol>()
        .map(|protocol| extended_connect(&protocol, &head.headers))
        .transpose()?;
    match head.method {
        Method::CONNECT if upgrade.is_none() => {
            return Err(answer(
                StatusCode::METHOD_NOT_ALLOWED,
                "CONNECT without a protocol",
            ));
        }
        Method::TRACE => return Err(answer(StatusCode::METHOD_NOT_ALLOWED, "TRACE")),
        _ => {}
    }
    if head
        .headers
        .get(EXPECT)
        .is_some_and(|expect| !expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(answer(StatusCode::EXPECTATION_FAILED, "unknown expectation"));
    }
    one_host(head)?;
    origin_form(head)?;
    join_cookies(&mut head.headers)?;
    if let Some(upgrade) = upgrade {
        head.extensions.insert(upgrade);
    }
    Ok(())
}

fn within_limits(head: &Parts, limits: &Limits) -> Result<(), Rejected> {
    if head
        .uri
        .path_and_query()
        .is_some_and(|path| path.as_str().len() > limits.uri_bytes_max)
    {
        return Err(answer(StatusCode::URI_TOO_LONG, "target too long"));
    }
    let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if head.headers.len() > limits.headers_max {
        return Err(answer(too_large, "too many fields"));
    }
    if head_bytes(&head.headers) > limits.head_bytes_max {
        return Err(answer(too_large, "head too large"));
    }
    Ok(())
}

/// The size of the fields as HTTP/1.1 would write them.
pub(super) fn head_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// RFC 9113 section 8.2.1: what a value must not contain. `h2` has refused the control characters.
pub(super) fn fields(headers: &HeaderMap) -> Result<(), Rejected> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    for value in headers.values() {
        if blank(value.as_bytes().first()) || blank(value.as_bytes().last()) {
            return Err(Rejected::Reset("space around a value"));
        }
    }
    Ok(())
}

/// At most one, of digits only. `h2` compares it with the DATA that comes.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Rejected> {
    let mut all = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(Rejected::Reset("repeated content-length"));
    }
    let digits = value.as_bytes().iter().all(u8::is_ascii_digit);
    let length = value.to_str().ok().and_then(|value| value.parse().ok());
    match (digits, length) {
        (true, Some(length)) => Ok(Some(length)),
        _ => Err(Rejected::Reset("malformed content-length")),
    }
}

/// RFC 8441 section 4: the protocol is a token, as in `Upgrade`.
fn extended_connect(protocol: &Protocol, headers: &HeaderMap) -> Result<Upgrade, Rejected> {
    const TOKEN_BYTES_MAX: usize = 64;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte);
    let name = protocol.as_str();
    if name.is_empty() || name.len() > TOKEN_BYTES_MAX || !name.bytes().all(token) {
        return Err(Rejected::Reset("malformed :protocol"));
    }
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(bad("content-length on a CONNECT"));
    }
    // Another protocol, `h2c` above all, would open a way past routes and gate (RFC 9220 section 3 names 501 for this).
    if !name.eq_ignore_ascii_case("websocket") {
        return Err(answer(StatusCode::NOT_IMPLEMENTED, "connect-protocol"));
    }
    Ok(Upgrade::Http2("websocket".to_owned()))
}

/// One authority, wherever it stands, ends up as the only `host` (RFC 9113 section 8.3.1).
fn one_host(head: &mut Parts) -> Result<(), Rejected> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad("repeated host"));
    }
    let host = match (head.uri.authority(), host) {
        (Some(authority), Some(host))
            if !authority
                .as_str()
                .as_bytes()
                .eq_ignore_ascii_case(host.as_bytes()) =>
        {
            return Err(bad("host unlike :authority"));
        }
        (Some(authority), _) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| bad("malformed authority"))?
        }
        (None, Some(host)) => host.clone(),
        (None, None) => return Err(bad("no authority")),
    };
    if !authority_is_valid(host.as_bytes()) {
        return Err(bad("malformed authority"));
    }
    head.headers.insert(HOST, host);
    Ok(())
}

/// RFC 3986 section 3.2 without user information: a name, an IPv4 or a bracketed IPv6 address, and perhaps a port.
pub(super) fn authority_is_valid(authority: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(authority) else {
        return false;
    };
    let (host_is_valid, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, behind)) => (address.parse::<std::net::Ipv6Addr>().is_ok(), behind),
            None => return false,
        },
        None => {
            let (host, port) = text.find(':').map_or((text, ""), |colon| text.split_at(colon));
            let part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&byte);
            (
                !host.is_empty() && host.bytes().all(part) && escapes_are_whole(host),
                port,
            )
        }
    };
    let port_is_valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0)
        });
    host_is_valid && port_is_valid
}

fn escapes_are_whole(host: &str) -> bool {
    host.split('%').skip(1).all(|escape| {
        let mut hex = escape.bytes();
        let mut digit = || hex.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        digit() && digit()
    })
}

/// The target as HTTP/1.1 would say it: a path with its query, or `*` for OPTIONS.
fn origin_form(head: &mut Parts) -> Result<(), Rejected> {
    if head
        .uri
        .scheme()
        .is_some_and(|scheme| !matches!(scheme.as_str(), "http" | "https"))
    {
        return Err(bad("unknown scheme"));
    }
    let Some(target) = head.uri.path_and_query().cloned() else {
        return Err(Rejected::Reset("no :path"));
    };
    let text = target.as_str();
    let visible = text
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#');
    let starred = text == "*" && head.method == Method::OPTIONS;
    if !visible || !(text.starts_with('/') || starred) {
        return Err(bad("malformed :path"));
    }
    head.uri = Uri::from(target);
    Ok(())
}

/// RFC 9113 section 8.2.3: crumbs become one field before anybody else sees them.
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Rejected> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return Ok(());
    }
    let mut joined = BytesMut::new();
    for crumb in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    let joined =
        HeaderValue::from_maybe_shared(joined.freeze()).map_err(|_| Rejected::Reset("malformed cookie"))?;
    headers.insert(COOKIE, joined);
    Ok(())
}
