//! What a backend is told about how a request came.

use http::{HeaderMap, HeaderValue, header};

use super::{Arrival, set_forwarded};
use crate::fields::Fields;

/// Sets the fields for a request from `peer`, which sent `before` as its `X-Forwarded-For` and `Forwarded`.
#[track_caller]
fn check(peer: &str, trusted: &[&str], before: &str, port: u16, expected: &[(&str, &str)]) {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("www.example.com:8443"));
    if !before.is_empty() {
        for name in ["x-forwarded-for", "forwarded"] {
            headers.insert(name, HeaderValue::from_str(before).unwrap());
        }
    }
    let arrival = Arrival {
        peer: peer.parse().unwrap(),
        port,
        secure: true,
        host: "www.example.com:8443",
    };
    let trusted: Vec<_> = trusted.iter().map(|net| net.parse().unwrap()).collect();
    let mut headers = Fields::from(headers);
    set_forwarded(&mut headers, &arrival, &trusted);
    for (name, value) in expected {
        assert_eq!(headers.get(*name).unwrap(), value, "{name}");
    }
}

#[test]
fn a_stranger_s_fields_are_replaced() {
    let expected = [
        ("x-forwarded-for", "192.0.2.7"),
        (
            "forwarded",
            "for=192.0.2.7;host=\"www.example.com:8443\";proto=https",
        ),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.example.com:8443"),
        ("x-forwarded-port", "443"),
    ];
    check("192.0.2.7", &[], "203.0.113.9", 443, &expected);
    check("192.0.2.7", &[], "", 80, &[("x-forwarded-port", "80")]);
    check("192.0.2.7", &[], "", 8443, &[("x-forwarded-port", "8443")]);
}

#[test]
fn a_trusted_peer_s_fields_are_added_to_however_long_they_are() {
    let long = "203.0.113.9, ".repeat(40) + "203.0.113.10";
    let expected = [
        ("x-forwarded-for", &*format!("{long}, 2001:db8::7")),
        (
            "forwarded",
            &*format!("{long}, for=\"[2001:db8::7]\";host=\"www.example.com:8443\";proto=https"),
        ),
    ];
    check("2001:db8::7", &["2001:db8::/32"], &long, 443, &expected);
}
