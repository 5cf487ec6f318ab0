//! Whatever is in a head, a line has 33 fields; and what each kind of end is called.

use http::{HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::{
    fields::Fields,
    message::Head,
    observe::{details::Details, record::ErrorPage},
};

fn record() -> Record {
    let mut record = Record::begin(
        clock::steady(),
        1_795_165_687_000_042,
        Listener::Https,
        [203, 0, 113, 7].into(),
    );
    record.target = Some("/a?b".into());
    record.status = Some(StatusCode::OK);
    record.outcome = Outcome::Forwarded;
    record
}

fn fields_of(record: &Record) -> Vec<String> {
    let (mut stamp, mut line) = (Vec::new(), Vec::new());
    write_stamp(second(record), "SEL 1", &mut stamp);
    write(record, &stamp, &mut line);
    let line = String::from_utf8(line).unwrap();
    let line = line.strip_suffix('\n').unwrap();
    line.split('\t').map(str::to_owned).collect()
}

/// The field of that name.
fn field(record: &Record, name: &str) -> String {
    let names = FILE_HEAD
        .lines()
        .nth(1)
        .unwrap()
        .strip_prefix("#Fields: ")
        .unwrap();
    let at = names.split(' ').position(|known| known == name).unwrap();
    fields_of(record).swap_remove(at)
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            bytes.push(u8::from_str_radix(str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    bytes
}

#[test]
fn the_head_of_a_file_names_33_fields() {
    let names = FILE_HEAD
        .lines()
        .nth(1)
        .unwrap()
        .strip_prefix("#Fields: ")
        .unwrap();
    assert_eq!(names.split(' ').count(), 33, "{names}");
    assert!(!names.contains("  ") && FILE_HEAD.ends_with('\n'));
}

#[test]
fn times_are_those_of_the_end() {
    let mut record = record();
    record.timings.total = Duration::from_micros(86_400_999_500);
    record.timings.first_byte = Some(Duration::from_micros(1_234_499));
    assert_eq!(field(&record, "date"), "2026-11-21");
    assert_eq!(field(&record, "time"), "09:08:07");
    assert_eq!(field(&record, "time-taken"), "86401.000");
    assert_eq!(field(&record, "time-to-first-byte"), "1.234");
    assert_eq!(field(&record, "x-edge-location"), "SEL%201");
}

#[test]
fn details_fill_what_only_this_format_shows() {
    let mut record = record();
    record.host = Some(HeaderValue::from_static("[2001:DB8::1]:8443"));
    record.bytes_out = 100;
    record.bytes_in = 7;
    record.details_of_wire = Some(Box::new(Details {
        client_port: Some(50_000),
        forwarded_for: Some(HeaderValue::from_static("192.0.2.1, 192.0.2.2")),
        head_bytes_in: 400,
        head_bytes_out: 200,
        content_type: Some(HeaderValue::from_static("text/html; charset=utf-8")),
        content_length: Some(100),
        range: Some((0, 99)),
    }));
    for (name, wanted) in [
        ("sc-bytes", "300"),
        ("cs-bytes", "407"),
        ("c-port", "50000"),
        ("x-forwarded-for", "192.0.2.1,%20192.0.2.2"),
        ("sc-content-type", "text/html;%20charset=utf-8"),
        ("sc-content-len", "100"),
        ("sc-range-start", "0"),
        ("sc-range-end", "99"),
        ("cs(Host)", "%5B2001:DB8::1%5D"),
        ("x-host-header", "%5B2001:DB8::1%5D:8443"),
        ("cs(Cookie)", "-"),
    ] {
        assert_eq!(field(&record, name), wanted, "{name}");
    }
    record.host = Some(HeaderValue::from_static("WWW.example.com:8443"));
    assert_eq!(field(&record, "cs(Host)"), "www.example.com");
    assert_eq!(field(&record, "x-host-header"), "WWW.example.com:8443");
}

#[track_caller]
fn check(change: impl FnOnce(&mut Record), result: [&str; 3]) {
    let mut record = record();
    change(&mut record);
    let names = [
        "x-edge-result-type",
        "x-edge-response-result-type",
        "x-edge-detailed-result-type",
    ];
    assert_eq!(names.map(|name| field(&record, name)), result);
}

#[test]
fn each_end_has_a_word_of_cloudfronts() {
    let refused = |reason, side| {
        move |record: &mut Record| {
            record.outcome = Outcome::Refused { reason, side };
            record.status = Some(StatusCode::BAD_GATEWAY);
        }
    };
    let with = |outcome, status: u16| {
        move |record: &mut Record| {
            record.outcome = outcome;
            record.status = Some(StatusCode::from_u16(status).unwrap());
        }
    };
    check(|_| {}, ["Miss"; 3]);
    check(with(Outcome::Forwarded, 304), ["Miss"; 3]);
    check(with(Outcome::Forwarded, 404), ["Error"; 3]);
    check(with(Outcome::Tunnelled, 101), ["Miss"; 3]);
    check(with(Outcome::Answered, 301), ["FunctionGeneratedResponse"; 3]);
    let plain = |record: &mut Record| {
        with(Outcome::Answered, 301)(record);
        record.listener = Listener::Http;
    };
    check(plain, ["Redirect"; 3]);
    check(
        refused("connection_limit_reached", Side::Backend),
        ["LimitExceeded"; 3],
    );
    for (reason, detail) in [
        ("dns_error", "OriginDnsError"),
        ("connection_refused", "OriginConnectError"),
        ("tls_certificate_error", "OriginConnectError"),
        ("http_response_timeout", "OriginCommError"),
        ("http_protocol_error", "OriginInvalidResponseError"),
        ("http_response_header_section_size", "OriginHeaderTooBigError"),
        ("http_request_denied", "Error"),
    ] {
        check(refused(reason, Side::Backend), ["Error", "Error", detail]);
    }
    check(
        refused("http_request_error", Side::Client),
        ["Error", "Error", "InvalidRequest"],
    );
    let aborted = |side| move |record: &mut Record| record.aborted = Some(side);
    check(aborted(Side::Client), ["Error", "Miss", "ClientCommError"]);
    check(aborted(Side::Backend), ["Error", "Miss", "OriginCommError"]);
    let shown = |record: &mut Record| {
        record.error_page = Some(ErrorPage {
            error: StatusCode::NOT_FOUND,
            shown: Some("file"),
        });
    };
    check(shown, ["Error"; 3]);
}

fn value() -> impl Strategy<Value = Option<HeaderValue>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    proptest::option::of(
        bytes.prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static("\t"))),
    )
}

proptest! {
    #[test]
    fn a_line_has_33_fields_whatever_is_in_the_head(
        method in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}",
        target in ".{0,60}",
        host in value(), referer in value(), agent in value(), id in value(), kind in value(),
        forwarded in proptest::collection::vec(value(), 0..3),
        location in ".{0,12}",
        total in any::<u32>(),
        status in proptest::option::of(100_u16..999),
        numbers in any::<(u64, u64, Option<u64>, Option<(u64, u64)>)>(),
    ) {
        let mut fields = Fields::new();
        for value in forwarded.into_iter().flatten() {
            fields.append("x-forwarded-for", value);
        }
        let mut record = record();
        record.method = Method::from_bytes(method.as_bytes()).unwrap();
        record.target = Some(target.as_str().into());
        let mut details = Details::of(&Head::new(record.method.clone(), "/", Version::HTTP_11, fields), None);
        (record.host, record.referer, record.user_agent, record.request_id) = (host, referer, agent, id);
        record.status = status.and_then(|status| StatusCode::from_u16(status).ok());
        record.timings.total = Duration::from_micros(u64::from(total));
        (record.bytes_in, record.bytes_out) = (numbers.0 >> 8, numbers.1 >> 8);
        details.content_type = kind;
        details.content_length = numbers.2;
        details.range = numbers.3;
        record.details_of_wire = Some(Box::new(details));
        let (mut stamp, mut line) = (Vec::new(), Vec::new());
        write_stamp(second(&record), &location, &mut stamp);
        write(&record, &stamp, &mut line);
        let (last, rest) = line.split_last().unwrap();
        prop_assert_eq!(*last, b'\n');
        prop_assert!(rest.iter().all(|byte| matches!(byte, b'!'..=b'~' | b'\t')));
        let read: Vec<&str> = str::from_utf8(rest).unwrap().split('\t').collect();
        prop_assert_eq!(read.len(), 33);
        prop_assert!(read.iter().all(|field| !field.is_empty()));
        let path = target.split_once('?').map_or(target.as_str(), |(path, _)| path);
        if !path.is_empty() {
            prop_assert_eq!(decoded(read[7]), path.as_bytes());
        }
        if let Some(agent) = record.user_agent.as_ref().filter(|agent| !agent.is_empty()) {
            prop_assert_eq!(decoded(read[10]), agent.as_bytes());
        }
    }
}
