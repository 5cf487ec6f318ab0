//! Redirects that Banyan answers itself: from plain HTTP to https, and where a route says so.

use std::net::IpAddr;

use http::StatusCode;

use crate::{body::Body, fields::Known, message::Response};

/// To the same address on https. `host` has no port and no brackets; `port` is that of https, `None` its own.
#[must_use]
pub fn to_https(status: StatusCode, host: &str, target: &str, port: Option<u16>) -> Response {
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    let location = match port {
        Some(port) => format!("https://{host}:{port}{target}"),
        None => format!("https://{host}{target}"),
    };
    to(status, &location)
}

/// To `location`.
#[must_use]
pub fn to(status: StatusCode, location: &str) -> Response {
    let mut response = Response::new(status, Body::Empty);
    response.headers.insert(Known::LOCATION, location);
    response
}
