//! Under which name the listener was asked, and whether one of its own pages did: what keeps other web pages out.

use std::net::{IpAddr, Ipv6Addr};

use http::{header, uri::Authority};

use super::refusal::Refusal;

/// What sort of name the listener was asked under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Under {
    /// An address or localhost: plain HTTP.
    OwnName,
    /// One of `[admin] hosts`: through a proxy that speaks TLS.
    Proxy,
}

/// Probes say `ok` and nothing else, and balancers ask them under names of their own.
pub(super) fn admit<B>(request: &http::Request<B>, hosts: &[String]) -> Result<Under, Refusal> {
    if matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz") {
        return Ok(Under::OwnName);
    }
    let mut fields = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (fields.next(), fields.next()) else {
        return Err(Refusal::NoHost);
    };
    let strange = || Refusal::StrangeHost(String::from_utf8_lossy(host.as_bytes()).into_owned());
    let authority: Authority = host.as_bytes().try_into().map_err(|_| strange())?;
    let asked = under(authority.host(), hosts).ok_or_else(strange)?;
    // RFC 9112 section 3.2.2: a host inside the target counts for more than the field.
    match request.uri().host() {
        Some(named) if under(named, hosts) != Some(asked) => Err(strange()),
        Some(_) | None => Ok(asked),
    }
}

/// What sort of name it is; `None`: one that a stranger's DNS may have pointed here.
fn under(host: &str, hosts: &[String]) -> Option<Under> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if is_own_name(&name) {
        return Some(Under::OwnName);
    }
    hosts.contains(&name).then_some(Under::Proxy)
}

/// An IP literal, or localhost (RFC 6761 section 6.3).
fn is_own_name(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(inside) = inside {
        return inside.parse::<Ipv6Addr>().is_ok();
    }
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}

/// Whether the browser says that a page of this listener itself asks. `Sec-Fetch-Site` decides where there is one, as no page can
/// write it; browsers leave it out on plain HTTP to other machines, and then the field that tells where a request is from must name
/// the host that was asked, port and all. A request that says neither isn't a browser's, and has no use for a session.
pub(super) fn is_own_page<B>(request: &http::Request<B>, under: Under) -> bool {
    let mut sites = request.headers().get_all("sec-fetch-site").iter();
    match (sites.next(), sites.next()) {
        (Some(site), None) => return site == "same-origin",
        (Some(_), Some(_)) => return false,
        (None, _) => {}
    }
    let mut from = request.headers().get_all(header::ORIGIN).iter();
    let (Some(from), None, Some(host)) = (from.next(), from.next(), request.headers().get(header::HOST))
    else {
        return false;
    };
    let scheme = match under {
        Under::OwnName => "http://",
        Under::Proxy => "https://",
    };
    let from = from.as_bytes().strip_prefix(scheme.as_bytes());
    from.is_some_and(|from| from.eq_ignore_ascii_case(host.as_bytes()))
}
