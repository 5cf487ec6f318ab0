//! The syntax of `host`: an authority without user information (RFC 9110 section 7.2, RFC 3986 section 3.2).

use std::net::Ipv6Addr;

/// Longest name that DNS knows, and room for a port.
const HOST_BYTES_MAX: usize = 255;

/// A host and a port, if it has one. Borrowed from the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    pub(super) host: &'a [u8],
    pub(super) port: Option<u16>,
}

/// Reads `text` as `host [":" port]`, or tells that it is none.
///
/// Stricter than RFC 3986 where readers disagree: no `%`, no comma, no empty port, no zone in an address.
pub(super) fn authority(text: &[u8]) -> Option<Authority<'_>> {
    let (host, rest) = if text.first() == Some(&b'[') {
        let end = text.iter().position(|byte| *byte == b']')?;
        let (host, rest) = text.split_at_checked(end + 1)?;
        let address = std::str::from_utf8(host.get(1..end)?).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        (host, rest)
    } else {
        let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        let (host, rest) = text.split_at_checked(end)?;
        if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.iter().all(in_name) {
            return None;
        }
        (host, rest)
    };
    let port = match rest.split_first() {
        None => None,
        Some((b':', digits)) if digits.iter().all(u8::is_ascii_digit) => {
            Some(std::str::from_utf8(digits).ok()?.parse().ok()?)
        }
        Some(_) => return None,
    };
    Some(Authority { host, port })
}

/// `unreserved` and `sub-delims` of RFC 3986, without the comma that would make a list.
fn in_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte)
}

impl Authority<'_> {
    /// Whether both name the same place when `port_default` is what no port means.
    pub(super) fn same_as(self, other: Self, port_default: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(port_default) == other.port.unwrap_or(port_default)
    }
}
