//! The access log as CloudFront writes it, read by a parser of its own.

use std::{collections::BTreeMap, fs};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::{
    backend::{Body, echo, empty, full},
    client::{Http, until},
    world::World,
};

/// Names in CloudFront's order, as its documentation has them.
const FIELDS: [&str; 33] = [
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-result-type",
    "x-edge-request-id",
    "x-host-header",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "fle-status",
    "fle-encrypted-fields",
    "c-port",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
];

type Line = BTreeMap<String, String>;

/// A file: two lines of head, then a line of 33 fields for each request.
fn parse(text: &str) -> Vec<Line> {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#Version: 1.0"));
    let names = lines.next().unwrap().strip_prefix("#Fields: ").unwrap();
    assert_eq!(names.split(' ').collect::<Vec<_>>(), FIELDS);
    let read = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 33, "{line:?}");
        let clean = |field: &&str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_graphic());
        assert!(fields.iter().all(clean), "{line:?}");
        FIELDS
            .iter()
            .zip(fields)
            .map(|(name, field)| ((*name).to_owned(), unescaped(field)))
            .collect()
    };
    lines.map(read).collect()
}

fn unescaped(field: &str) -> String {
    let mut parts = field.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn backend(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/echo" => echo(request).await,
        "/part" => {
            let mut response = Response::new(full("0123456789"));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = HeaderValue::from_static("bytes 10-19/100");
            response.headers_mut().insert("content-range", range);
            response
        }
        "/gone" => {
            let mut response = Response::new(full("gone"));
            *response.status_mut() = StatusCode::GONE;
            response
        }
        _ => {
            let mut response = Response::new(full("hello"));
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert("content-type", kind);
            response
        }
    }
}

async fn world() -> World {
    World::new()
        .backend("app", backend)
        .servers("dead", &["http://127.0.0.1:1".to_owned()])
        .operator("format = \"cloudfront\"\nlocation = \"SEL50 P1\"\n")
        .start()
        .await
}

/// Waits for a line about that path.
async fn line(world: &World, path: &str) -> Line {
    let mut found = None;
    until("a line", async || {
        let text = fs::read_to_string(world.folder().join("log/access.log")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        if whole.lines().count() > 1 {
            found = parse(whole).into_iter().find(|line| line["cs-uri-stem"] == path);
        }
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[track_caller]
fn check(line: &Line, wanted: &[(&str, &str)]) {
    for (name, value) in wanted {
        assert_eq!(line[*name], *value, "{name} of {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_says_what_happened() {
    let world = world().await;
    let host = world.authority();
    let mut client = world.client(Http::Two).await;
    let fields = [
        ("user-agent", "Mozilla/5.0 (X11; \"Linux\")"),
        ("referer", "https://example.com/a%20b?c"),
        ("cookie", "session=secret"),
        ("x-forwarded-for", "192.0.2.1, 192.0.2.2"),
    ];
    let answer = client.get_with("/a/b%20c?d=e&f=%41", &fields).await;
    assert_eq!(answer.status, 200);
    let read = line(&world, "/a/b%20c").await;
    check(
        &read,
        &[
            ("x-edge-location", "SEL50 P1"),
            ("c-ip", "127.0.0.1"),
            ("cs-method", "GET"),
            ("cs(Host)", "localhost"),
            ("sc-status", "200"),
            ("cs(Referer)", "https://example.com/a%20b?c"),
            ("cs(User-Agent)", "Mozilla/5.0 (X11; \"Linux\")"),
            ("cs-uri-query", "d=e&f=%41"),
            ("cs(Cookie)", "-"),
            ("x-edge-result-type", "Miss"),
            ("x-edge-request-id", answer.header("x-request-id")),
            ("x-host-header", &host),
            ("cs-protocol", "https"),
            ("x-forwarded-for", "192.0.2.1, 192.0.2.2"),
            ("ssl-protocol", "TLSv1.3"),
            ("x-edge-response-result-type", "Miss"),
            ("cs-protocol-version", "HTTP/2.0"),
            ("fle-status", "-"),
            ("fle-encrypted-fields", "-"),
            ("x-edge-detailed-result-type", "Miss"),
            ("sc-content-type", "text/html; charset=utf-8"),
            ("sc-content-len", "5"),
            ("sc-range-start", "-"),
            ("sc-range-end", "-"),
        ],
    );
    assert!(read["ssl-cipher"].starts_with("TLS_AES_"), "{read:?}");
    let number = |name: &str| read[name].parse::<u64>().unwrap();
    assert!((100..400).contains(&number("sc-bytes")), "{read:?}");
    assert!((150..500).contains(&number("cs-bytes")), "{read:?}");
    assert!(number("c-port") > 1023, "{read:?}");
    let seconds = |name: &str| read[name].parse::<f64>().unwrap();
    assert!(
        seconds("time-to-first-byte") <= seconds("time-taken") + 0.001,
        "{read:?}"
    );
    assert!(seconds("time-taken") < 10.0, "{read:?}");
    let today = banyan::clock::wall().secs();
    let said = humantime(&read["date"], &read["time"]);
    assert!(today.abs_diff(said) < 60, "{read:?}");
}

/// Seconds since 1970 of a date and time in UTC.
fn humantime(date: &str, time: &str) -> u64 {
    let numbers = |text: &str, between: char| -> Vec<u64> {
        text.split(between).map(|part| part.parse().unwrap()).collect()
    };
    let (date, time) = (numbers(date, '-'), numbers(time, ':'));
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut days: u64 = (1970..date[0])
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum();
    let february = if leap(date[0]) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days += months
        .iter()
        .take(usize::try_from(date[1]).unwrap() - 1)
        .sum::<u64>()
        + date[2]
        - 1;
    days * 86_400 + time[0] * 3_600 + time[1] * 60 + time[2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_end_has_its_word() {
    let world = world().await;
    let mut client = world.client(Http::One).await;
    client.get("/part").await;
    client.get("/gone").await;
    client.get("/dead/x").await;
    client.post("/echo", "0123456789").await;
    client.get("/%2e%2e%2f").await;
    let head = client.request(&Method::HEAD, "/head", empty());
    client.ask(head).await;
    world.plain().await.get("/plain").await;
    check(
        &line(&world, "/part").await,
        &[
            ("sc-status", "206"),
            ("sc-content-len", "10"),
            ("sc-range-start", "10"),
            ("sc-range-end", "19"),
            ("sc-content-type", "-"),
            ("cs-protocol-version", "HTTP/1.1"),
        ],
    );
    let results = |whole, answer, detail| {
        [
            ("x-edge-result-type", whole),
            ("x-edge-response-result-type", answer),
            ("x-edge-detailed-result-type", detail),
        ]
    };
    check(&line(&world, "/gone").await, &results("Error", "Error", "Error"));
    let dead = line(&world, "/dead/x").await;
    check(&dead, &results("Error", "Error", "OriginConnectError"));
    check(
        &dead,
        &[
            ("sc-status", "502"),
            ("sc-content-type", "application/problem+json"),
        ],
    );
    let plain = line(&world, "/plain").await;
    check(&plain, &results("Redirect", "Redirect", "Redirect"));
    check(
        &plain,
        &[
            ("cs-protocol", "http"),
            ("ssl-protocol", "-"),
            ("ssl-cipher", "-"),
        ],
    );
    let echoed = line(&world, "/echo").await;
    check(&echoed, &[("cs-method", "POST"), ("sc-status", "200")]);
    assert!(echoed["cs-bytes"].parse::<u64>().unwrap() > 30, "{echoed:?}");
    let head = line(&world, "/head").await;
    check(&head, &[("cs-method", "HEAD"), ("sc-content-len", "5")]);
    check(
        &line(&world, "/%2e%2e%2f").await,
        &[
            ("sc-status", "400"),
            ("x-edge-detailed-result-type", "InvalidRequest"),
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_heads_make_no_other_lines() {
    let world = world().await;
    let mut raw = world.raw(Http::One).await;
    let target = "/%09'\"\\|~^{}[]?`\\|~^{}[]'";
    raw.send(format!(
        "GET {target} HTTP/1.1\r\nhost: localhost\r\nuser-agent: a\tb\u{e9} %09\r\nreferer: \t \r\n\r\n"
    ))
    .await;
    raw.answer().await;
    let (path, query) = target.split_once('?').unwrap();
    let read = line(&world, path).await;
    check(
        &read,
        &[
            ("cs-uri-query", query),
            ("cs(User-Agent)", "a\tb\u{e9} %09"),
            ("cs(Referer)", "-"),
            ("sc-status", "400"),
        ],
    );
}
