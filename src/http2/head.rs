//! What is asked of a head in either direction.

use http::{HeaderMap, header::CONTENT_LENGTH};

use crate::wire::Malformed;

/// Why a head did not become a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// A person may want to know: it is answered.
    Answer(Malformed),
    /// Malformed as RFC 9113 section 8.1.1 means it: the stream is reset with `PROTOCOL_ERROR`.
    Reset(&'static str),
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
