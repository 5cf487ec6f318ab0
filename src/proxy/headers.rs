//! What is taken from and added to messages on their way: hop-by-hop fields, who forwarded it, which flags chose it.

use std::{
    fmt::{self, Write},
    net::IpAddr,
};

use http::{HeaderMap, HeaderName, Version};
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::{
    fields::{Fields, Known, KnownSet, Value},
    visitor::OWN_PREFIX,
};

/// Hop-by-hop fields (RFC 9110 section 7.6.1) beside those that `Connection` names. `Trailer` is none: it describes the message.
const HOP_BY_HOP: KnownSet = KnownSet::of(&[
    Known::CONNECTION,
    Known::KEEP_ALIVE,
    Known::PROXY_CONNECTION,
    Known::PROXY_AUTHENTICATE,
    Known::PROXY_AUTHORIZATION,
    Known::TE,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
]);

/// End-to-end fields that a `Connection` must not take away: removing them would change what the message means.
const NEVER_NAMED: KnownSet = KnownSet::of(&[
    Known::HOST,
    Known::CONTENT_LENGTH,
    Known::CONTENT_TYPE,
    Known::AUTHORIZATION,
    Known::COOKIE,
    Known::SET_COOKIE,
    Known::CACHE_CONTROL,
    Known::X_FORWARDED_FOR,
]);

/// Takes hop-by-hop fields away, those that `Connection` names among them.
pub fn strip_hop_by_hop(headers: &mut Fields) {
    for name in named_by_connection(headers) {
        headers.remove(&*name);
    }
    headers.remove_all(HOP_BY_HOP);
}

/// The fields that `Connection` names and that may go. `close` and `keep-alive` alone, as most say, allocate nothing.
fn named_by_connection(headers: &Fields) -> Vec<String> {
    let values = headers
        .get_all(Known::CONNECTION)
        .filter_map(|value| value.to_str().ok());
    let options = values.flat_map(|value| value.split(',')).map(str::trim);
    options
        .filter(|option| !option.eq_ignore_ascii_case("close") && !option.eq_ignore_ascii_case("keep-alive"))
        .filter(|option| Known::find(option.as_bytes()).is_none_or(|known| !NEVER_NAMED.has(known)))
        .map(str::to_ascii_lowercase)
        .collect()
}

/// Takes every field away that a client may not send: what only Banyan says, and twins of what matters. What is said about the way
/// of a request goes too, unless the peer is `trusted` to know it.
pub fn strip_forged(headers: &mut Fields, trusted: bool) {
    crate::gate::machine::conceal(headers);
    headers.retain(|name, _| match name.known {
        Some(known) => !NEVER_PASSED.has(known) && (trusted || !ABOUT_THE_WAY.has(known)),
        None => {
            let name = name.as_str();
            !is_forged(name) && (trusted || !is_about_the_way(name))
        }
    });
}

fn is_forged(name: &str) -> bool {
    crate::gate::is_reserved_header(name)
        || is_twin(name)
        || is_override(&crate::gate::fold_name(name))
        || Known::find(name.as_bytes()).is_some_and(|known| NEVER_PASSED.has(known))
}

/// Fields with which a client would have a framework or server serve another path or method than the one that was judged, or skip a
/// step of its own. `name` is folded.
fn is_override(name: &str) -> bool {
    const OVERRIDES: [&str; 23] = [
        // Symfony and Zend on IIS: another path (CVE-2018-14773)
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
        "x-override-url",
        // Rails, Express, Spring, Yii and others: another method
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-method",
        // Next.js: skips middleware, another path (CVE-2025-29927)
        "x-middleware-subrequest",
        "x-middleware-subrequest-id",
        "x-middleware-rewrite",
        "x-middleware-next",
        "x-middleware-invoke",
        "x-middleware-override-headers",
        "x-middleware-set-cookie",
        "x-matched-path",
        "x-now-route-matches",
        "x-invoke-path",
        "x-invoke-query",
        "x-invoke-status",
        "x-invoke-output",
        // Rack::Sendfile: which files are sent (CVE-2025-61780)
        "x-accel-mapping",
        "x-sendfile-type",
    ];
    name.starts_with("x-") && OVERRIDES.contains(&name)
}

/// What only Banyan says, and fields that frameworks act on as if an operator had set them: `Proxy` is read by CGI programs as a
/// setting (CVE-2016-5385, "httpoxy"), `X-Middleware-Subrequest` made Next.js skip its checks (CVE-2025-29927; `is_override` has its
/// kin), `HTTP2-Settings` belongs to a protocol change that is never passed on.
const NEVER_PASSED: KnownSet = KnownSet::of(&[
    Known::BANYAN_FLAGS,
    Known::BANYAN_FORCED,
    Known::BANYAN_IDENTITY,
    Known::BANYAN_OVERRIDE,
    Known::BANYAN_ROLES,
    Known::BANYAN_USER,
    Known::PROXY,
    Known::X_MIDDLEWARE_SUBREQUEST,
    Known::X_ORIGINAL_URL,
    Known::X_REWRITE_URL,
    Known::HTTP2_SETTINGS,
]);

/// What is said about the way of a request, with every `X-Forwarded-*`. Backends act on all of them.
const ABOUT_THE_WAY: KnownSet = KnownSet::of(&[
    Known::FORWARDED,
    Known::X_REAL_IP,
    Known::X_CLIENT_IP,
    Known::X_CLUSTER_CLIENT_IP,
    Known::TRUE_CLIENT_IP,
    Known::X_ORIGINAL_HOST,
    Known::X_FORWARDED_FOR,
    Known::X_FORWARDED_HOST,
    Known::X_FORWARDED_PORT,
    Known::X_FORWARDED_PROTO,
]);

fn is_about_the_way(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || Known::find(name.as_bytes()).is_some_and(|known| ABOUT_THE_WAY.has(known))
}

/// Fields that CGI and WSGI servers can't tell from one that matters: they read `_`, and some any
/// other separator, as `-` (CVE-2025-64484).
fn is_twin(name: &str) -> bool {
    const MATTER: KnownSet = KnownSet::of(&[
        Known::AUTHORIZATION,
        Known::CONNECTION,
        Known::CONTENT_LENGTH,
        Known::CONTENT_TYPE,
        Known::COOKIE,
        Known::HOST,
        Known::PROXY,
        Known::TRACEPARENT,
        Known::TRANSFER_ENCODING,
        Known::X_REQUEST_ID,
    ]);
    let folded = crate::gate::fold_name(name);
    folded != name && {
        is_about_the_way(&folded) || Known::find(folded.as_bytes()).is_some_and(|known| MATTER.has(known))
    }
}

/// Takes Banyan's own cookies out of a backend's answer: only Banyan says who a visitor is.
pub fn strip_own_cookies(headers: &mut Fields) {
    let own = |value: Value<'_>| {
        value
            .as_bytes()
            .trim_ascii_start()
            .starts_with(OWN_PREFIX.as_bytes())
    };
    if headers.get_all(Known::SET_COOKIE).any(own) {
        headers.retain(|name, value| !(name == Known::SET_COOKIE && own(value)));
    }
}

/// Takes cookies out of an answer over plain HTTP that may only be set over TLS (RFC 6265bis section 4.1.3); browsers compare the
/// prefixes of names without regard to case.
pub fn strip_secure_cookies(headers: &mut Fields) {
    let secure = |value: Value<'_>| {
        let cookie = value.as_bytes().trim_ascii_start();
        [&b"__host-"[..], b"__secure-"].into_iter().any(|prefix| {
            let name = cookie.get(..prefix.len()).unwrap_or_default();
            name.eq_ignore_ascii_case(prefix)
        })
    };
    if headers.get_all(Known::SET_COOKIE).any(secure) {
        headers.retain(|name, value| !(name == Known::SET_COOKIE && secure(value)));
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
pub(super) fn remove_all(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
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
pub fn client_address(headers: &Fields, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let mut client = peer;
    for value in headers.get_all(Known::X_FORWARDED_FOR).rev() {
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
pub fn set_forwarded(headers: &mut Fields, arrival: &Arrival<'_>, trusted: &[IpNet]) {
    let keep = is_trusted(arrival.peer, trusted);
    let peer = arrival.peer.to_canonical();
    let proto = if arrival.secure { "https" } else { "http" };
    let mut peer_text = PeerText::default();
    let _ = write!(peer_text, "{peer}");
    let peer = Peer {
        text: peer_text.as_str(),
        is_v6: peer.is_ipv6(),
    };
    extend(headers, Known::X_FORWARDED_FOR, keep, |text| {
        text.extend_from_slice(peer.text.as_bytes())
    });
    extend(headers, Known::FORWARDED, keep, |text| {
        forwarded_element(text, &peer, proto, arrival.host)
    });
    if keep && headers.contains_key(Known::X_FORWARDED_PROTO) {
        return;
    }
    headers.insert(Known::X_FORWARDED_PROTO, proto);
    headers.insert(Known::X_FORWARDED_HOST, arrival.host);
    headers.insert(Known::X_FORWARDED_PORT, itoa::Buffer::new().format(arrival.port));
}

struct Peer<'a> {
    text: &'a str,
    is_v6: bool,
}

/// RFC 7239 section 4: an IPv6 address and a host with a port need quotes.
fn forwarded_element(text: &mut Vec<u8>, peer: &Peer<'_>, proto: &str, host: &str) {
    let token = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let quote = if token { "" } else { "\"" };
    let (before, after) = if peer.is_v6 {
        ("for=\"[", "]\"")
    } else {
        ("for=", "")
    };
    for part in [
        before, peer.text, after, ";host=", quote, host, quote, ";proto=", proto,
    ] {
        text.extend_from_slice(part.as_bytes());
    }
}

/// Sets a field to what `add` writes, after what is there if that is kept.
fn extend(headers: &mut Fields, name: Known, keep: bool, add: impl FnOnce(&mut Vec<u8>)) {
    let mut kept = Vec::new();
    if keep {
        for value in headers.get_all(name).filter_map(|value| value.to_str().ok()) {
            kept.extend_from_slice(value.as_bytes());
            kept.extend_from_slice(b", ");
        }
    }
    headers.insert_with(name, |text| {
        text.extend_from_slice(&kept);
        add(text);
    });
}

/// An address while it is written: the longest, IPv4 within IPv6, has 45 characters.
#[derive(Default)]
struct PeerText {
    bytes: SmallVec<[u8; 48]>,
}

impl PeerText {
    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes).unwrap_or_default()
    }
}

impl Write for PeerText {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.bytes.extend_from_slice(part.as_bytes());
        Ok(())
    }
}

/// Takes one from `Max-Forwards`, which counts hops for OPTIONS (RFC 9110 section 7.6.2). What is no number stays as it is.
pub fn count_forward(headers: &mut Fields) {
    let left = headers
        .get(Known::MAX_FORWARDS)
        .and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    if let Some(left) = left {
        headers.insert(
            Known::MAX_FORWARDS,
            itoa::Buffer::new().format(left.saturating_sub(1)),
        );
    }
}

/// Hops through Banyan that a request may make: a squad that calls another through the private listener, a few times over.
pub const HOPS_MAX: usize = 8;

/// Adds this hop to `Via` (RFC 9110 section 7.6.3). `Err` when the request has been here [`HOPS_MAX`] times already.
///
/// # Errors
/// [`Looping`].
pub fn add_via(headers: &mut Fields, version: Version) -> Result<(), Looping> {
    let hop = match version {
        Version::HTTP_10 => "1.0 banyan",
        Version::HTTP_2 => "2.0 banyan",
        Version::HTTP_3 => "3.0 banyan",
        _ => "1.1 banyan",
    };
    let before = headers
        .get_all(Known::VIA)
        .filter_map(|value| value.to_str().ok());
    let hops = before
        .flat_map(|value| value.split(','))
        .filter(|hop| hop.trim().ends_with(" banyan"))
        .count();
    if hops >= HOPS_MAX {
        return Err(Looping);
    }
    extend(headers, Known::VIA, true, |text| {
        text.extend_from_slice(hop.as_bytes())
    });
    Ok(())
}

/// A request that has been here too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looping;

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
