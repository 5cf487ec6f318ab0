//! Who may ask the admin listener at all, and the fields that every answer bears.
//!
//! The listener is for people and programs that can reach it, not for web pages that make a browser reach it: a page of a
//! stranger can let its name resolve to this address (DNS rebinding), so names other than localhost are refused; it can ask
//! without reading the answer, which changes nothing as nothing here does; and it can't read an answer, as no CORS field lets it.

use std::net::{IpAddr, Ipv6Addr};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header, uri::Authority};

use super::refusal::Refusal;

/// Largest body of a request, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Only what this listener serves itself, no inline script or style, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const FIELDS: [(HeaderName, &str); 7] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Lets a request in, or not; and sees that its answer bears what it must.
pub(super) async fn pass(request: Request, next: Next) -> Response {
    let mut response = match admit(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in FIELDS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn admit(request: &http::Request<Body>) -> Result<(), Refusal> {
    admit_host(request)?;
    match request.body().size_hint().exact() {
        Some(bytes) if usize::try_from(bytes).is_ok_and(|bytes| bytes <= BODY_BYTES_MAX) => Ok(()),
        Some(_) => Err(Refusal::TooLarge),
        None => Err(Refusal::Lengthless),
    }
}

/// Probes say `ok` and nothing else, and balancers ask them under names of their own.
fn admit_host(request: &http::Request<Body>) -> Result<(), Refusal> {
    if matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz") {
        return Ok(());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refusal::NoHost);
    };
    let strange = || Refusal::StrangeHost(String::from_utf8_lossy(host.as_bytes()).into_owned());
    let authority: Authority = host.as_bytes().try_into().map_err(|_| strange())?;
    let named = request.uri().host().unwrap_or_else(|| authority.host());
    if is_own_name(authority.host()) && is_own_name(named) {
        Ok(())
    } else {
        Err(strange())
    }
}

/// Whether a host can't have been pointed here by a stranger's DNS: an IP literal, or localhost (RFC 6761 section 6.3).
fn is_own_name(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(inside) = inside {
        return inside.parse::<Ipv6Addr>().is_ok();
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok()
}
