//! Which answers are compressed, for whom, and what becomes of their heads.

use http::{HeaderMap, HeaderValue, StatusCode, Version};

use super::{Asked, Compression, Encoding, MediaTypes, Verdict, encode, freshen, strip_digests, vary};
use crate::fields::Fields;

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(*name, value);
    }
    fields
}

/// A request that takes everything.
fn eager() -> Asked {
    let accept = fields(&[("accept-encoding", "gzip, br, zstd")]);
    Asked::of(&Compression::default(), Version::HTTP_11, &accept)
}

const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

#[track_caller]
fn judged(lines: &[(&str, &str)], expected: Verdict) {
    let verdict = Compression::default().judge(&eager(), StatusCode::OK, &fields(lines), None);
    assert_eq!(verdict, expected, "{lines:?}");
}

const fn brotli(length: Option<u64>) -> Verdict {
    Verdict::Compress {
        encoding: Encoding::Brotli,
        length,
    }
}

#[test]
fn what_is_listed_and_of_a_good_size_is_compressed() {
    judged(&[HTML], brotli(None));
    judged(&[HTML, ("content-length", "1000")], brotli(Some(1_000)));
    judged(&[HTML, ("content-length", "10000000")], brotli(Some(10_000_000)));
    judged(
        &[("content-type", "Application/JSON ;charset=utf-8")],
        brotli(None),
    );
    for kind in [
        "application/problem+json",
        "font/ttf",
        "image/svg+xml",
        "vnd.apple.mpegurl",
    ] {
        judged(&[("content-type", kind)], brotli(None));
    }
    judged(&[HTML, ("cache-control", "private, max-age=60")], brotli(None));
}

#[test]
fn what_must_stay_as_it_is_stays() {
    let untouched = |more: &[(&str, &str)]| {
        let lines: Vec<_> = [HTML].iter().chain(more).copied().collect();
        judged(&lines, Verdict::Untouched);
    };
    untouched(&[("content-length", "999")]);
    untouched(&[("content-length", "10000001")]);
    untouched(&[("content-length", "many")]);
    untouched(&[("content-length", "0")]);
    untouched(&[("content-encoding", "gzip")]);
    untouched(&[("content-encoding", "identity")]);
    untouched(&[("content-range", "bytes 0-1999/4000")]);
    untouched(&[("cache-control", "public, No-Transform")]);
    untouched(&[("cache-control", "public"), ("cache-control", "no-transform")]);
    untouched(&[("content-type", "text/plain")]); // two of them
    judged(&[], Verdict::Untouched);
    for kind in [
        "image/png",
        "text/event-stream",
        "text/event-stream; charset=utf-8",
        "text/html2",
        "",
        ";",
    ] {
        judged(&[("content-type", kind)], Verdict::Untouched);
    }
}

#[test]
fn a_status_without_content_of_its_own_stays_as_it_is() {
    let judged = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        Compression::default().judge(&eager(), status, &fields(&[HTML]), None)
    };
    for status in [101, 103, 204, 205, 206, 304] {
        assert_eq!(judged(status), Verdict::Untouched, "{status}");
    }
    for status in [200, 201, 301, 403, 404, 410, 422, 500, 503] {
        assert_eq!(judged(status), brotli(None), "{status}");
    }
}

#[test]
fn a_length_that_only_the_body_knows_counts_as_well() {
    let judge =
        |length| Compression::default().judge(&eager(), StatusCode::OK, &fields(&[HTML]), Some(length));
    assert_eq!(judge(0), Verdict::Untouched);
    assert_eq!(judge(999), Verdict::Untouched);
    assert_eq!(judge(1_000), brotli(Some(1_000)));
}

#[test]
fn a_client_that_may_not_get_it_compressed_is_told_that_others_do() {
    let check = |version, lines: &[(&str, &str)], expected| {
        let asked = Asked::of(&Compression::default(), version, &fields(lines));
        let judged = Compression::default().judge(&asked, StatusCode::OK, &fields(&[HTML]), None);
        assert_eq!(judged, expected, "{version:?} {lines:?}");
    };
    let takes = ("accept-encoding", "br");
    check(Version::HTTP_11, &[takes], brotli(None));
    check(Version::HTTP_2, &[takes], brotli(None));
    check(Version::HTTP_10, &[takes], Verdict::AsItIs);
    check(Version::HTTP_11, &[], Verdict::AsItIs);
    check(Version::HTTP_11, &[("accept-encoding", "")], Verdict::AsItIs);
    check(
        Version::HTTP_2,
        &[takes, ("range", "bytes=0-10")],
        Verdict::AsItIs,
    );
    check(
        Version::HTTP_2,
        &[takes, ("cache-control", "no-transform")],
        Verdict::AsItIs,
    );
    check(
        Version::HTTP_2,
        &[takes, ("cache-control", "no-cache")],
        brotli(None),
    );
}

#[test]
fn a_list_of_types_may_name_all_of_a_kind_but_never_events() {
    let types = MediaTypes::new(["Text/*", "application/x-Thing"]).unwrap();
    let takes = |kind: &str| types.take(&fields(&[("content-type", kind)]));
    assert!(takes("text/html") && takes("TEXT/x-odd; a=b") && takes("application/X-thing"));
    assert!(!takes("text") && !takes("texts/html") && !takes("application/json"));
    assert!(!takes("text/event-stream"));
    for bad in [
        "text",
        "text/",
        "/html",
        "*/*",
        "te xt/html",
        "text/h*",
        "text/html; q=1",
        "",
        "text/event-stream",
    ] {
        let (named, _) = MediaTypes::new(["text/css", bad]).unwrap_err();
        assert_eq!(named, bad);
    }
    assert!(MediaTypes::default().len() > 46);
}

#[test]
fn what_was_said_of_the_bytes_before_goes() {
    let mut head = fields(&[
        HTML,
        ("content-length", "4000"),
        ("accept-ranges", "bytes"),
        ("content-md5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
        ("digest", "sha-256=abc"),
        ("repr-digest", "sha-256=:abc=:"),
        ("content-digest", "sha-256=:abc=:"),
        ("etag", "\"v1\""),
        ("last-modified", "Wed, 21 Oct 2026 07:28:00 GMT"),
    ]);
    encode(&mut head, Encoding::Zstd);
    let left: Vec<(&str, &[u8])> = head
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let expected: [(&str, &[u8]); 4] = [
        ("content-type", b"text/html; charset=utf-8"),
        ("etag", b"W/\"v1\""),
        ("last-modified", b"Wed, 21 Oct 2026 07:28:00 GMT"),
        ("content-encoding", b"zstd"),
    ];
    assert_eq!(left, expected);

    let mut trailers = HeaderMap::new();
    for name in ["repr-digest", "content-digest", "x-checksum"] {
        trailers.insert(name, HeaderValue::from_static("x"));
    }
    strip_digests(&mut trailers);
    assert_eq!(
        trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(),
        ["x-checksum"]
    );
}

#[test]
fn a_strong_validator_becomes_weak_and_one_that_is_none_goes() {
    let check = |before: &str, after: Option<&str>| {
        let mut head = fields(&[("etag", before)]);
        encode(&mut head, Encoding::Gzip);
        let tag = head.get("etag").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(tag.as_deref(), after, "{before}");
    };
    check("\"\"", Some("W/\"\""));
    check("\"a-b\"", Some("W/\"a-b\""));
    check("W/\"a-b\"", Some("W/\"a-b\""));
    for invalid in [
        "a-b", "'a-b'", "\"a-b", "\"a\"b\"", "\"a b\"", "w/\"a\"", "W/a", "\"a\"b", "W/\"a\"b", "\"\"\"\"",
        "",
    ] {
        check(invalid, None);
    }
}

#[test]
fn vary_is_said_once() {
    let check = |before: &[&str], after: &[&str]| {
        let lines: Vec<_> = before.iter().map(|value| ("vary", *value)).collect();
        let mut head = fields(&lines);
        vary(&mut head);
        let values: Vec<String> = head
            .get_all("vary")
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(values, after);
    };
    check(&[], &["Accept-Encoding"]);
    check(&["Origin"], &["Origin", "Accept-Encoding"]);
    check(&["Origin, accept-encoding"], &["Origin, accept-encoding"]);
    check(
        &["Origin", "ACCEPT-ENCODING , Cookie"],
        &["Origin", "ACCEPT-ENCODING , Cookie"],
    );
    check(&["*"], &["*"]);
    check(&["x-accept-encoding"], &["x-accept-encoding", "Accept-Encoding"]);
}

#[test]
fn a_304_speaks_of_the_answer_that_the_client_has() {
    let compression = Compression::default();
    let check = |known: &str, tag: &str, expected: &str, varies: bool| {
        let request = fields(&[("accept-encoding", "br"), ("if-none-match", known)]);
        let asked = Asked::of(&compression, Version::HTTP_11, &request);
        let mut head = fields(&[("etag", tag)]);
        freshen(&mut head, &asked, &compression);
        assert_eq!(head.get("etag").unwrap(), expected, "{known}");
        assert_eq!(head.contains_key("vary"), varies, "{known}");
    };
    check("W/\"v1\"", "\"v1\"", "W/\"v1\"", true);
    check("\"v0\", W/\"v1\"", "\"v1\"", "W/\"v1\"", true);
    check("W/\"v0\" ,W/\"v1\"", "\"v1\"", "W/\"v1\"", true);
    check("\"v1\"", "\"v1\"", "\"v1\"", false);
    check("W/\"v1\", \"v1\"", "\"v1\"", "\"v1\"", false);
    check("W/\"v0\"", "\"v1\"", "\"v1\"", false);
    check("W/\"v1\"", "W/\"v1\"", "W/\"v1\"", false);
    check("*", "\"v1\"", "\"v1\"", false);
    check("W/\"v1", "\"v1\"", "\"v1\"", false);

    let mut typed = fields(&[HTML]);
    freshen(&mut typed, &eager(), &compression);
    assert!(typed.contains_key("vary"));
}
