//! What is taken from and added to messages on their way: hop-by-hop fields, who forwarded it, which flags chose it.

use std::{
    fmt::{self, Write},
    net::IpAddr,
};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use ipnet::IpNet;

use crate::visitor::OWN_PREFIX;
use smallvec::SmallVec;

/// Names for [`HeaderMap`] look-ups that `http` has no constant for.
pub mod names {
    use http::HeaderName;

    /// `X-Forwarded-For`.
    pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    /// `X-Forwarded-Proto`.
    pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    /// `X-Forwarded-Host`.
    pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
    /// `X-Forwarded-Port`.
    pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
    /// `Forwarded` (RFC 7239).
    pub const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
    /// `X-Request-Id`.
    pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    /// `traceparent` (W3C Trace Context).
    pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
    /// `tracestate` (W3C Trace Context).
    pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
    /// `Banyan-Flags`.
    pub const BANYAN_FLAGS: HeaderName = HeaderName::from_static("banyan-flags");
    /// `Proxy`: never passed, since CGI servers would read it as a setting (CVE-2016-5385, "httpoxy").
    pub const PROXY: HeaderName = HeaderName::from_static("proxy");
}

/// Hop-by-hop fields (RFC 9110 section 7.6.1) beside those that `Connection` names. `Trailer` is none: it describes the message.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// End-to-end fields that a `Connection` must not take away: removing them would change what the message means.
const NEVER_NAMED: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    names::X_FORWARDED_FOR,
];

/// Takes hop-by-hop fields away, those that `Connection` names among them.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let options = values.flat_map(|value| value.split(','));
    options
        .filter_map(|option| HeaderName::from_bytes(option.trim().as_bytes()).ok())
        .filter(|name| !NEVER_NAMED.contains(name))
        .collect()
}

/// Takes every field away that a client may not send: what only Banyan says, and twins of what matters. What is said about the way
/// of a request goes too, unless the peer is `trusted` to know it.
pub fn strip_forged(headers: &mut HeaderMap, trusted: bool) {
    remove_all(headers, |name| {
        is_forged(name) || (!trusted && is_about_the_way(name))
    });
}

fn is_forged(name: &str) -> bool {
    crate::gate::is_reserved_header(name) || NEVER_PASSED.contains(&name) || is_twin(name)
}

/// Fields that frameworks act on as if an operator had set them: `Proxy` is read by CGI programs as a setting (CVE-2016-5385,
/// "httpoxy"), `X-Middleware-Subrequest` made Next.js skip its checks (CVE-2025-29927), `HTTP2-Settings` belongs to a protocol
/// change that is never passed on.
const NEVER_PASSED: [&str; 3] = ["proxy", "x-middleware-subrequest", "http2-settings"];

/// What is said about the way of a request: `X-Forwarded-*` and its kin. Backends act on all of them.
fn is_about_the_way(name: &str) -> bool {
    const KIN: [&str; 8] = [
        "forwarded",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "true-client-ip",
        "x-original-url",
        "x-original-host",
        "x-rewrite-url",
    ];
    name.starts_with("x-forwarded-") || KIN.contains(&name)
}

/// Fields that CGI and WSGI servers can't tell from one that matters: they read `_` as `-` (CVE-2025-64484).
fn is_twin(name: &str) -> bool {
    const MATTER: [&str; 10] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "proxy",
        "traceparent",
        "transfer-encoding",
        "x-request-id",
    ];
    name.contains('_') && {
        let folded = name.replace('_', "-");
        is_about_the_way(&folded) || MATTER.contains(&folded.as_str())
    }
}

/// Takes Banyan's own cookies out of a backend's answer: only Banyan says who a visitor is.
pub fn strip_own_cookies(headers: &mut HeaderMap) {
    let own = |value: &HeaderValue| {
        value
            .as_bytes()
            .trim_ascii_start()
            .starts_with(OWN_PREFIX.as_bytes())
    };
    if !headers.get_all(header::SET_COOKIE).iter().any(own) {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter(|value| !own(value))
        .cloned()
        .collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
}

/// What trailers may not say (RFC 9110 section 6.5.1): framing, routing, who asks, how the content is read.
pub fn strip_from_trailers(trailers: &mut HeaderMap) {
    const HEADS_ONLY: [&str; 20] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "max-forwards",
        "set-cookie",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-request-id",
    ];
    remove_all(trailers, |name| {
        is_forged(name) || is_about_the_way(name) || HEADS_ONLY.contains(&name)
    });
}

/// Removing nothing allocates nothing.
fn remove_all(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let found: Vec<HeaderName> = headers
        .keys()
        .filter(|name| unwanted(name.as_str()))
        .cloned()
        .collect();
    for name in found {
        headers.remove(name);
    }
}

/// How a request came to us, as the fields for the backend tell it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The peer of the connection.
    pub peer: IpAddr,
    /// The port that it connected to.
    pub port: u16,
    /// Over TLS.
    pub secure: bool,
    /// The `Host` field as sent.
    pub host: &'a str,
}

/// The client's address: the peer's, or, behind trusted proxies, the last one in `X-Forwarded-For` that is not trusted.
#[must_use]
pub fn client_address(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let mut client = peer;
    for value in headers.get_all(names::X_FORWARDED_FOR).iter().rev() {
        let Ok(text) = value.to_str() else { return client };
        for part in text.rsplit(',') {
            let Some(address) = parse_address(part.trim()) else {
                return client;
            };
            client = address;
            if !is_trusted(address, trusted) {
                return client;
            }
        }
    }
    client
}

fn parse_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let socket = text.parse::<std::net::SocketAddr>().ok()?;
    Some(socket.ip().to_canonical())
}

/// Whether `peer` is one of the configured proxies.
#[must_use]
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|net| net.contains(&peer))
}

/// Sets `X-Forwarded-*` and `Forwarded`. What an untrusted peer sent is replaced; a trusted one's is kept and added to.
pub fn set_forwarded(headers: &mut HeaderMap, arrival: &Arrival<'_>, trusted: &[IpNet]) {
    let keep = is_trusted(arrival.peer, trusted);
    let peer = arrival.peer.to_canonical();
    let proto = if arrival.secure { "https" } else { "http" };
    extend(headers, names::X_FORWARDED_FOR, keep, |text| {
        let _ = write!(text, "{peer}");
    });
    extend(headers, names::FORWARDED, keep, |text| {
        forwarded_element(text, peer, proto, arrival.host)
    });
    if keep && headers.contains_key(names::X_FORWARDED_PROTO) {
        return;
    }
    headers.insert(names::X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    let host = headers
        .get(header::HOST)
        .filter(|host| *host == arrival.host)
        .cloned();
    if let Some(host) = host.or_else(|| HeaderValue::from_str(arrival.host).ok()) {
        headers.insert(names::X_FORWARDED_HOST, host);
    }
    headers.insert(names::X_FORWARDED_PORT, port(arrival.port));
}

/// The usual ports are text already.
fn port(number: u16) -> HeaderValue {
    match number {
        80 => HeaderValue::from_static("80"),
        443 => HeaderValue::from_static("443"),
        other => HeaderValue::from(other),
    }
}

/// RFC 7239 section 4: an IPv6 address and a host with a port need quotes.
fn forwarded_element(text: &mut dyn Write, peer: IpAddr, proto: &str, host: &str) {
    let _ = match peer {
        IpAddr::V4(address) => write!(text, "for={address}"),
        IpAddr::V6(address) => write!(text, "for=\"[{address}]\""),
    };
    let token = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let quote = if token { "" } else { "\"" };
    let _ = write!(text, ";host={quote}{host}{quote};proto={proto}");
}

/// Sets a field to what `add` writes, after what is there if that is kept. Written beside the heap and copied once.
fn extend(headers: &mut HeaderMap, name: HeaderName, keep: bool, add: impl FnOnce(&mut dyn Write)) {
    let mut text = Text::default();
    if keep {
        for value in headers
            .get_all(&name)
            .iter()
            .filter_map(|value| value.to_str().ok())
        {
            text.0.extend_from_slice(value.as_bytes());
            text.0.extend_from_slice(b", ");
        }
    }
    add(&mut text);
    if let Ok(value) = HeaderValue::from_bytes(&text.0) {
        headers.insert(name, value);
    }
}

/// A field's value while it is written.
#[derive(Default)]
struct Text(SmallVec<[u8; 128]>);

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0.extend_from_slice(part.as_bytes());
        Ok(())
    }
}

/// Takes one from `Max-Forwards`, which counts hops for OPTIONS (RFC 9110 section 7.6.2). What is no number stays as it is.
pub fn count_forward(headers: &mut HeaderMap) {
    let left = headers
        .get(header::MAX_FORWARDS)
        .and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    if let Some(left) = left {
        headers.insert(header::MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
}

/// Hops through Banyan that a request may make: a squad that calls another through the private listener, a few times over.
pub const HOPS_MAX: usize = 8;

/// Adds this hop to `Via` (RFC 9110 section 7.6.3). `Err` when the request has been here [`HOPS_MAX`] times already.
///
/// # Errors
/// [`Looping`].
pub fn add_via(headers: &mut HeaderMap, version: Version) -> Result<(), Looping> {
    let protocol = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    };
    let Some(_) = headers.get(header::VIA) else {
        let value = match protocol {
            "2.0" => HeaderValue::from_static("2.0 banyan"),
            "1.0" => HeaderValue::from_static("1.0 banyan"),
            _ => HeaderValue::from_static("1.1 banyan"),
        };
        headers.insert(header::VIA, value);
        return Ok(());
    };
    let before = headers
        .get_all(header::VIA)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let hops = before
        .flat_map(|value| value.split(','))
        .filter(|hop| hop.trim().ends_with(" banyan"))
        .count();
    if hops >= HOPS_MAX {
        return Err(Looping);
    }
    extend(headers, header::VIA, true, |text| {
        let _ = write!(text, "{protocol} banyan");
    });
    Ok(())
}

/// A request that has been here too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looping;

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
