//! What a backend is told about how a request came.

use super::{Arrival, set_forwarded};
use crate::fields::Fields;

/// Sets the fields for a request from `peer`, which sent `before` as its `X-Forwarded-For` and `Forwarded`.
#[track_caller]
fn check(peer: &str, trusted: &[&str], before: &str, port: u16, expected: &[(&str, &str)]) {
    let mut headers = Fields::new();
    headers.insert("host", "www.example.com:8443");
    if !before.is_empty() {
        for name in ["x-forwarded-for", "forwarded"] {
            headers.insert(name, before);
        }
    }
    let arrival = Arrival {
        peer: peer.parse().unwrap(),
        port,
        secure: true,
        host: "www.example.com:8443",
    };
    let trusted: Vec<_> = trusted.iter().map(|net| net.parse().unwrap()).collect();
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

#[test]
fn cookies_that_want_tls_are_taken_out_whatever_their_case() {
    let mut fields = Fields::new();
    for cookie in [
        "a=b",
        "__Host-a=b",
        " __hOST-b=c",
        "__Secure-d=e; Secure",
        "__Host",
        "_-Host-f=g",
        "",
    ] {
        fields.append("set-cookie", cookie);
    }
    fields.append("x-other", "__Host-a=b");
    super::strip_secure_cookies(&mut fields);
    let left: Vec<&str> = fields
        .iter()
        .filter_map(|(_, value)| value.to_str().ok())
        .collect();
    assert_eq!(left, ["a=b", "__Host", "_-Host-f=g", "", "__Host-a=b"]);
}
