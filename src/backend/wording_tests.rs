//! Which fields a backend's requests may bear, and what becomes of a head.

use http::{Method, Version};

use super::{FixedField, HostNamed, NoFixedField, Wording};
use crate::{
    backend::{Scheme, Server, ServerAddress},
    fields::Fields,
    message::Head,
};

fn server(scheme: Scheme, host: &str, port: u16) -> Server {
    let host = host.to_owned();
    Server::new(ServerAddress { scheme, host, port })
}

fn head(target: &str, fields: &[(&str, &str)]) -> Head {
    let mut headers = Fields::new();
    for (name, value) in fields {
        headers.append(*name, value);
    }
    Head::new(Method::GET, target, Version::HTTP_11, headers)
}

#[track_caller]
fn check(wording: &Wording, given: &[(&str, &str)], expected: &[(&str, &str)]) {
    let mut head = head("/a?b=c", given);
    wording.word(&mut head);
    wording.address(&mut head.headers, &server(Scheme::Https, "api.internal", 443));
    let mut got: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .collect();
    got.sort();
    let got: Vec<(&str, &str)> = got
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(got, expected);
}

fn wording(host: HostNamed, fields: &[(&str, &str)]) -> Wording {
    Wording {
        path: None,
        host,
        fields: fields
            .iter()
            .map(|(name, value)| FixedField::new(name, value).unwrap())
            .collect(),
    }
}

#[test]
fn a_path_stands_in_front_of_path_and_query() {
    let worded = |path: &str, target| {
        let wording = Wording {
            path: Some(path.into()),
            ..wording(HostNamed::Visitor, &[])
        };
        let mut head = head(target, &[]);
        wording.word(&mut head);
        head.target().to_owned()
    };
    assert_eq!(worded("/public", "/"), "/public/");
    assert_eq!(worded("/public", "/a%20b?x=/../y"), "/public/a%20b?x=/../y");
    assert_eq!(worded("/a/b", "/c/"), "/a/b/c/");
}

#[test]
fn the_host_is_the_visitors_the_servers_or_a_name() {
    let asked = [
        ("host", "www.example.com"),
        ("x-forwarded-host", "www.example.com"),
    ];
    let told = |host| [("host", host), ("x-forwarded-host", "www.example.com")];
    check(
        &wording(HostNamed::Visitor, &[]),
        &asked[..1],
        &[("host", "www.example.com")],
    );
    check(&wording(HostNamed::Server, &[]), &asked, &told("api.internal"));
    let name = HostNamed::Name("other.example:8443".into());
    check(&wording(name, &[]), &asked, &told("other.example:8443"));
    // nobody has said it yet
    check(
        &wording(HostNamed::Server, &[]),
        &asked[..1],
        &told("api.internal"),
    );
}

#[test]
fn a_server_says_its_port_unless_it_is_the_usual_one() {
    let authority = |scheme, host, port| server(scheme, host, port).authority.to_string();
    assert_eq!(authority(Scheme::Http, "a.internal", 80), "a.internal");
    assert_eq!(authority(Scheme::Http, "a.internal", 443), "a.internal:443");
    assert_eq!(authority(Scheme::Https, "a.internal", 443), "a.internal");
    assert_eq!(authority(Scheme::Https, "a.internal", 80), "a.internal:80");
    assert_eq!(authority(Scheme::H2c, "a.internal", 80), "a.internal");
    assert_eq!(authority(Scheme::Http, "::1", 80), "[::1]");
    assert_eq!(authority(Scheme::Http, "::1", 3000), "[::1]:3000");
}

#[test]
fn fields_overwrite_the_visitors_and_their_twins() {
    let given = [
        ("accept-language", "ko"),
        ("x_edge_secret", "forged"),
        ("x-edge.secret", "forged"),
        ("x-edge-secret", "forged"),
        ("x-edge-secret", "forged again"),
        ("x-edge-secrets", "another field"),
    ];
    let wording = wording(
        HostNamed::Visitor,
        &[("X-Edge-Secret", "true one"), ("accept-language", "en")],
    );
    let expected = [
        ("accept-language", "en"),
        ("x-edge-secret", "true one"),
        ("x-edge-secrets", "another field"),
    ];
    check(&wording, &given, &expected);
}

#[test]
fn values_are_never_shown() {
    let wording = wording(HostNamed::Visitor, &[("X-Edge-Secret", "hunter2")]);
    let shown = format!("{wording:?} {wording:#?}");
    assert!(
        shown.contains("x-edge-secret: ***") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn what_others_say_can_not_be_set() {
    // CloudFront's list, `X-Edge-` aside, in its order
    let cloudfront = "Cache-Control Connection Content-Length Cookie Host If-Match If-Modified-Since If-None-Match If-Range \
        If-Unmodified-Since Max-Forwards Pragma Proxy-Authenticate Proxy-Authorization Proxy-Connection Range Request-Range TE \
        Trailer Transfer-Encoding Upgrade Via X-Amz-Security-Token X-Real-Ip";
    let own = "Banyan-User Banyan-Roles Banyan-Identity Banyan-Flags banyan_user Banyan.Anything Keep-Alive Expect Forwarded \
        X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X_Forwarded_For X-Request-Id traceparent tracestate \
        X-Original-URL X-Rewrite-Url True-Client-IP Proxy X-Middleware-Subrequest HTTP2-Settings Sec-WebSocket-Key content_length";
    for name in cloudfront.split_whitespace().chain(own.split_whitespace()) {
        let refused = FixedField::new(name, "v");
        assert!(matches!(refused, Err(NoFixedField::NotYours(_))), "{name}");
    }
    for name in [
        "X-Edge-Secret",
        "Authorization",
        "Accept-Encoding",
        "X-Forwarded-Prefix",
        "User-Agent",
        "X-Api-Key",
    ] {
        assert!(FixedField::new(name, "v").is_ok(), "{name}");
    }
    for name in ["", "a b", "a:", "é"] {
        assert_eq!(FixedField::new(name, "v"), Err(NoFixedField::BadName), "{name}");
    }
    for value in ["a\nb", " a", "a ", "a\r", "\u{7f}", "ü"] {
        assert_eq!(
            FixedField::new("x", value),
            Err(NoFixedField::BadValue),
            "{value:?}"
        );
    }
    assert_eq!(FixedField::new("x", ""), Err(NoFixedField::Empty));
    assert_eq!(
        FixedField::new("x", &"v".repeat(4097)),
        Err(NoFixedField::TooLong)
    );
}
