//! Answers that are compressed, seen by clients: who gets what, when it arrives, and what stays as it is.

use std::{fs, io::Read, path::Path, time::Duration};

use banyan::policy::compress::{Encoding, negotiate};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::{
    backend::{Body, BoxError, Server, Speaks, channel, empty, full, with_trailers},
    client::{Answer, Client, Http, field, status, until},
    world::{Builder, World, within},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    accept: Vec<String>,
    offers: Option<Vec<String>>,
    gets: Option<String>,
}

#[test]
fn each_row_of_the_table_gets_what_it_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/compress/accept_encoding.toml");
    let table: Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let by_name = |name: &String| {
        Encoding::ALL
            .into_iter()
            .find(|encoding| encoding.as_str() == name)
    };
    let mut wrong = Vec::new();
    for case in &table.cases {
        let offers = case.offers.as_ref().map_or_else(
            || Encoding::ALL.to_vec(),
            |names| names.iter().filter_map(by_name).collect(),
        );
        let got = negotiate(case.accept.iter().map(String::as_bytes), &offers).map(Encoding::as_str);
        if got != case.gets.as_deref() {
            wrong.push(format!("{case:?}: {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        table.cases.len() >= 60,
        "only {} rows were run",
        table.cases.len()
    );
}

/// Decodes as much as has come.
fn decoded(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = match encoding {
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_end(&mut out),
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        _ => return bytes.to_vec(),
    };
    drop(read); // an error is the end of what has come: what counts is what could be read
    out
}

fn page() -> String {
    let lines = (0..700).map(|at| format!("<li><a href=\"/courses/{at}\">Course number {at}</a></li>\n"));
    lines.collect()
}

/// What each path answers.
async fn site(request: Request<Incoming>) -> Response<Body> {
    let html = "text/html; charset=utf-8";
    let (status, kind, more, body): (u16, &str, &[(&str, &str)], Body) = match request.uri().path() {
        "/page" => (
            200,
            html,
            &[
                ("etag", "\"v1\""),
                ("accept-ranges", "bytes"),
                ("repr-digest", "sha-256=:abc=:"),
                ("vary", "Origin"),
            ],
            full(page()),
        ),
        "/missing" => (404, "application/problem+json", &[], full(page())),
        "/small" => (200, html, &[], full("small")),
        "/image" => (200, "image/png", &[], full(page())),
        "/encoded" => (200, html, &[("content-encoding", "x-own")], full(page())),
        "/fixed" => (
            200,
            html,
            &[("cache-control", "max-age=60, no-transform")],
            full(page()),
        ),
        "/part" => (
            206,
            html,
            &[("content-range", "bytes 0-39999/90000")],
            full(page()),
        ),
        "/none" => (204, html, &[], empty()),
        "/same" => (304, html, &[("etag", "\"v1\"")], empty()),
        "/trailers" => {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-checksum", HeaderValue::from_static("1"));
            trailers.insert("content-digest", HeaderValue::from_static("sha-256=:abc=:"));
            (
                200,
                html,
                &[("trailer", "x-checksum")],
                with_trailers(page(), trailers),
            )
        }
        other => panic!("{other}"),
    };
    let mut response = Response::builder().status(status).header("content-type", kind);
    for (name, value) in more {
        response = response.header(*name, *value);
    }
    let body = if request.method() == Method::HEAD && request.uri().path() != "/trailers" {
        response = response.header("content-length", page().len());
        empty()
    } else {
        body
    };
    response.body(body).unwrap()
}

const ROUTES: &str = "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\ncompress = true\n";

fn compressing(speaks: Speaks) -> Builder {
    World::new()
        .server("legacy", Server::new(speaks, site))
        .routes(ROUTES)
}

const ALL: (&str, &str) = ("accept-encoding", "gzip, deflate, br, zstd");

async fn head(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = client.request(&Method::HEAD, path, empty());
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    client.ask(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_arrives_encoded_as_its_client_likes_it() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = compressing(speaks).start().await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            for (accept, encoding) in [
                ("gzip, br, zstd", "br"),
                ("zstd, gzip", "zstd"),
                ("gzip", "gzip"),
                ("deflate", ""),
            ] {
                let answer = client.get_with("/page", &[("accept-encoding", accept)]).await;
                assert_eq!(answer.header("content-encoding"), encoding, "{http:?} {speaks:?}");
                assert!(
                    decoded(encoding, &answer.body) == page().as_bytes(),
                    "{http:?} {speaks:?} {encoding}"
                );
                let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
                assert_eq!(vary, ["Origin", "Accept-Encoding"]);
                let encoded = !encoding.is_empty();
                assert_eq!(answer.header("etag"), if encoded { "W/\"v1\"" } else { "\"v1\"" });
                for gone in ["content-length", "accept-ranges", "repr-digest"] {
                    assert_eq!(
                        answer.headers.contains_key(gone),
                        !encoded,
                        "{gone} {http:?} {speaks:?}"
                    );
                }
                if encoded {
                    assert!(
                        answer.body.len() * 5 < page().len(),
                        "{encoding}: {} bytes",
                        answer.body.len()
                    );
                }
            }
            let answer = client.get_with("/missing", &[ALL]).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("content-encoding")),
                (404, "br")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_head_is_the_head_of_the_answer_to_get() {
    let world = compressing(Speaks::Http1).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let (eager, plain) = ([ALL].as_slice(), [].as_slice());
        for (path, fields) in [("/page", eager), ("/page", plain), ("/trailers", eager)] {
            let get = client.get_with(path, fields).await;
            let head = head(&mut client, path, fields).await;
            assert!(head.body.is_empty());
            let lines = |answer: &Answer| {
                let mut headers = answer.headers.clone();
                for changing in ["x-request-id", "date", "transfer-encoding", "trailer"] {
                    headers.remove(changing);
                }
                let mut lines: Vec<String> = headers.iter().map(|line| format!("{line:?}")).collect();
                lines.sort();
                lines
            };
            assert_eq!(lines(&head), lines(&get), "{http:?} {path} {fields:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_to_be_compressed_passes_as_it_is() {
    let world = compressing(Speaks::Http1).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for (path, status, encoding, vary) in [
            ("/small", 200, "", ""),
            ("/image", 200, "", ""),
            ("/encoded", 200, "x-own", ""),
            ("/fixed", 200, "", ""),
            ("/part", 206, "", ""),
            ("/none", 204, "", ""),
        ] {
            let answer = client.get_with(path, &[ALL]).await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(answer.header("content-encoding"), encoding, "{path}");
            assert_eq!(answer.header("vary"), vary, "{path}");
            if answer.body.len() > 10 {
                assert!(answer.text() == page(), "{path}");
                assert_eq!(
                    answer.header("content-length"),
                    page().len().to_string(),
                    "{path}"
                );
            }
        }
        for barred in [("range", "bytes=0-99"), ("cache-control", "no-transform")] {
            let answer = client.get_with("/page", &[ALL, barred]).await;
            assert_eq!(answer.header("content-encoding"), "", "{barred:?}");
            assert_eq!(answer.header("etag"), "\"v1\"");
            assert!(answer.text() == page() && answer.headers.get_all("vary").iter().count() == 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_304_names_the_validator_that_the_client_has() {
    let world = compressing(Speaks::Http1).start().await;
    let mut client = world.client(Http::Two).await;
    for (known, told) in [("W/\"v1\"", "W/\"v1\""), ("\"v1\"", "\"v1\"")] {
        let answer = client.get_with("/same", &[ALL, ("if-none-match", known)]).await;
        assert_eq!(answer.status, 304);
        assert_eq!(answer.header("etag"), told);
        assert_eq!(answer.header("vary"), "Accept-Encoding");
        assert_eq!(answer.header("content-encoding"), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_1_0_client_gets_it_as_it_is() {
    let world = compressing(Speaks::Http1).start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET /page HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
        .await;
    let (head, body) = raw.answer().await;
    assert_eq!(status(&head), 200);
    assert_eq!(field(&head, "content-encoding"), None);
    assert!(body == page());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_says_nothing_of_it_is_left_alone() {
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n\
        [[routes]]\npath = \"/missing\"\nbackend = \"legacy\"\ncompress = false\n";
    let world = World::new().backend("legacy", site).routes(routes).start().await;
    let mut client = world.client(Http::Two).await;
    for path in ["/page", "/missing"] {
        let answer = client.get_with(path, &[ALL]).await;
        assert!(answer.text() == page() && answer.header("content-encoding").is_empty());
        assert!(
            !answer
                .headers
                .get_all("vary")
                .iter()
                .any(|value| value == "Accept-Encoding")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_say_how() {
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n\
        compress = { encodings = [\"gzip\", \"br\"], types = [\"image/*\"], min = 1 }\n\
        [[routes]]\npath = \"/small\"\nbackend = \"legacy\"\n[routes.compress]\nmin = 5\nmax = 5\n";
    let world = World::new().backend("legacy", site).routes(routes).start().await;
    let mut client = world.client(Http::Two).await;
    for (path, encoding) in [("/page", ""), ("/image", "gzip"), ("/small", "br")] {
        let answer = client.get_with(path, &[ALL]).await;
        assert_eq!(answer.header("content-encoding"), encoding, "{path}");
    }
    let answer = client.get_with("/image", &[("accept-encoding", "zstd")]).await;
    assert_eq!(answer.header("content-encoding"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_but_for_digests_of_other_bytes() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = compressing(speaks).start().await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let answer = client.get_with("/trailers", &[ALL, ("te", "trailers")]).await;
            assert!(
                decoded("br", &answer.body) == page().as_bytes(),
                "{http:?} {speaks:?}"
            );
            let trailers = answer
                .trailers
                .unwrap_or_else(|| panic!("no trailers: {http:?} {speaks:?}"));
            assert_eq!(trailers.get("x-checksum").unwrap(), "1");
            assert!(!trailers.contains_key("content-digest"));
        }
    }
}

type Feed = mpsc::Sender<Result<Bytes, BoxError>>;

/// A backend whose answers, of this type, are fed piece by piece.
fn fed(speaks: Speaks, kind: &'static str) -> (Server, mpsc::UnboundedReceiver<Feed>) {
    let (feeds, receiver) = mpsc::unbounded_channel();
    let server = Server::new(speaks, move |_| {
        let (feed, body) = channel();
        feeds.send(feed).unwrap();
        let response = Response::builder()
            .header("content-type", kind)
            .header("etag", "\"v1\"");
        std::future::ready(response.body(body).unwrap())
    });
    (server, receiver)
}

async fn ask(client: &mut Client, accept: &'static str) -> Response<Incoming> {
    let mut request = client.request(&Method::GET, "/", empty());
    request
        .headers_mut()
        .insert("accept-encoding", HeaderValue::from_static(accept));
    client.send(request).await.unwrap()
}

/// Reads until all of `expected` can be decoded.
async fn read_until(response: &mut Response<Incoming>, encoding: &str, got: &mut Vec<u8>, expected: &[u8]) {
    let reading = async {
        while decoded(encoding, got) != expected {
            let frame = response.body_mut().frame().await.expect("more").unwrap();
            got.extend_from_slice(&frame.into_data().unwrap());
        }
    };
    within("a piece that was sent", reading).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_piece_arrives_before_the_next_one_is_sent() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let (server, mut feeds) = fed(speaks, "text/html");
        let world = World::new().server("legacy", server).routes(ROUTES).start().await;
        for http in Http::BOTH {
            for encoding in ["br", "zstd", "gzip"] {
                let mut client = world.client(http).await;
                let mut response = ask(&mut client, encoding).await;
                assert_eq!(response.headers()["content-encoding"], encoding);
                let feed = feeds.recv().await.unwrap();
                let (mut sent, mut got) = (Vec::new(), Vec::new());
                for at in 0..5 {
                    let piece = Bytes::from(format!("<p>piece number {at}</p>"));
                    sent.extend_from_slice(&piece);
                    feed.send(Ok(piece)).await.unwrap();
                    read_until(&mut response, encoding, &mut got, &sent).await;
                }
                drop(feed);
                let rest = within("the end", response.into_body().collect()).await.unwrap();
                got.extend_from_slice(&rest.to_bytes());
                assert_eq!(decoded(encoding, &got), sent, "{http:?} {speaks:?} {encoding}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_not_touched() {
    let (server, mut feeds) = fed(Speaks::Http1, "text/event-stream");
    let routes =
        "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\ncompress = { types = [\"text/*\"], min = 0 }\n";
    let world = World::new().server("legacy", server).routes(routes).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let mut response = ask(&mut client, "gzip, br, zstd").await;
        assert!(!response.headers().contains_key("content-encoding"));
        assert!(!response.headers().contains_key("vary"));
        assert_eq!(response.headers()["etag"], "\"v1\"");
        let feed = feeds.recv().await.unwrap();
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for at in 0..3 {
            let event = Bytes::from(format!("data: {at}\n\n"));
            sent.extend_from_slice(&event);
            feed.send(Ok(event)).await.unwrap();
            read_until(&mut response, "", &mut got, &sent).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let (server, mut feeds) = fed(speaks, "text/html");
        let world = World::new().server("legacy", server).routes(ROUTES).start().await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let mut response = ask(&mut client, "gzip").await;
            let feed = feeds.recv().await.unwrap();
            feed.send(Ok(Bytes::from_static(b"the first half")))
                .await
                .unwrap();
            read_until(&mut response, "gzip", &mut Vec::new(), b"the first half").await;
            feed.send(Err("broken".into())).await.unwrap();
            let rest = within("an end", response.into_body().collect()).await;
            assert!(rest.is_err(), "{http:?} {speaks:?}");
        }
        until("no place is taken", async || {
            world.metric("banyan_compressing{").await == 0.0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_answers_go_out_as_they_are() {
    let (server, mut feeds) = fed(Speaks::Http1, "text/html");
    let world = World::new()
        .server("legacy", server)
        .top("cores = 1")
        .operator("[limits]\ncompressing_max = 1\ndrain_delay = \"50ms\"")
        .routes(ROUTES)
        .start()
        .await;
    let mut clients = Vec::new();
    for encoding in ["zstd", ""] {
        let mut client = world.client(Http::One).await;
        let mut response = ask(&mut client, "zstd").await;
        let told = response
            .headers()
            .get("content-encoding")
            .map_or("", |value| value.to_str().unwrap());
        assert_eq!(told, encoding);
        assert_eq!(response.headers()["vary"], "Accept-Encoding");
        assert_eq!(
            response.headers()["etag"],
            if encoding.is_empty() { "\"v1\"" } else { "W/\"v1\"" }
        );
        let feed = feeds.recv().await.unwrap();
        feed.send(Ok(Bytes::from_static(b"something"))).await.unwrap();
        read_until(&mut response, encoding, &mut Vec::new(), b"something").await;
        clients.push((client, response, feed));
    }
    assert_eq!(world.metric("banyan_compressing{encoding=\"zstd\"}").await, 1.0);
    assert_eq!(world.metric("banyan_compressions_refused_total{").await, 1.0);
    drop(clients);
    until("the place is free again", async || {
        world.metric("banyan_compressing{encoding=\"zstd\"}").await == 0.0
    })
    .await;
    let mut client = world.client(Http::One).await;
    assert_eq!(
        ask(&mut client, "zstd").await.headers()["content-encoding"],
        "zstd"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_explanation_tells_what_a_request_would_get() {
    let world = compressing(Speaks::Http1).start().await;
    for (header, told) in [
        ("", "nothing for"),
        ("&header=Accept-Encoding:zstd,gzip", "zstd for"),
    ] {
        let explained = world.admin(&format!("/api/explain?url=/page{header}")).await;
        let explained: serde_json::Value = serde_json::from_str(explained.text()).unwrap();
        let text = explained["compress"].as_str().unwrap();
        assert!(text.starts_with(told), "{text}");
        assert!(
            text.contains("br, zstd, gzip; 61 media types; 1000 to 10000000 bytes"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_counted_before_and_after() {
    let world = compressing(Speaks::Http1).start().await;
    let answer = world.client(Http::Two).await.get_with("/page", &[ALL]).await;
    let line = world.logged(|line| line["path"] == "/page").await;
    assert_eq!(line["bytes_out"], answer.body.len());
    let label = "{encoding=\"br\"}";
    let before = world
        .metric(&format!("banyan_compression_input_bytes_total{label}"))
        .await;
    let after = world
        .metric(&format!("banyan_compression_output_bytes_total{label}"))
        .await;
    assert_eq!(
        (before as usize, after as usize),
        (page().len(), answer.body.len())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_leave_other_requests_their_turn() {
    let world = World::new()
        .backend("legacy", |request: Request<Incoming>| {
            let size = if request.uri().path() == "/large" {
                9_000_000
            } else {
                2_000
            };
            let noise = (0..size).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 13) as u8 % 64 + b' ');
            let response = Response::builder().header("content-type", "text/plain");
            std::future::ready(response.body(full(noise.collect::<Vec<u8>>())).unwrap())
        })
        .top("cores = 1")
        .routes(ROUTES)
        .start()
        .await;
    let large = world.client(Http::Two).await;
    let mut downloads = Vec::new();
    for _ in 0..4 {
        let mut client = large.another();
        downloads.push(tokio::spawn(
            async move { client.get_with("/large", &[ALL]).await },
        ));
    }
    let mut quick = world.client(Http::One).await;
    let mut answered = 0;
    while !downloads.iter().all(tokio::task::JoinHandle::is_finished) {
        let answer = within(
            "a small answer",
            quick.get_with("/", &[("accept-encoding", "gzip")]),
        )
        .await;
        assert_eq!(answer.header("content-encoding"), "gzip");
        answered += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for download in downloads {
        let answer = download.await.unwrap();
        assert_eq!(decoded("br", &answer.body).len(), 9_000_000);
    }
    assert!(answered >= 10, "{answered} small answers meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_shown_instead_and_what_the_route_adds_come_before_the_encoding() {
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\ncompress = true\n\
        errors = [{ status = [404], page = \"/page\" }]\n\
        [routes.response]\nset = { ETag = '\"v2\"' }\n[routes.cors]\norigins = [\"https://app.example.com\"]\n";
    let world = World::new().backend("legacy", site).routes(routes).start().await;
    let mut client = world.client(Http::Two).await;
    let browser = [
        ALL,
        ("accept", "text/html"),
        ("origin", "https://app.example.com"),
    ];
    let answer = client.get_with("/missing", &browser).await;
    assert_eq!(answer.status.as_u16(), 404);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("content-encoding"), "br");
    assert!(decoded("br", &answer.body) == page().as_bytes());
    assert_eq!(answer.header("etag"), "W/\"v2\"");
    let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
    let all: Vec<&str> = vary.iter().filter_map(|value| value.to_str().ok()).collect();
    let all = all.join(", ").to_ascii_lowercase();
    assert!(all.contains("origin") && all.contains("accept-encoding"), "{all}");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example.com"
    );
}
