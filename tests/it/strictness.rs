//! What is refused on the wire, and what happens to those who are slow, large or many.

use std::time::Duration;

use http::Method;
use tokio::io::AsyncReadExt;

use crate::{
    backend::{channel, echo, empty, hello, mirror},
    client::{Http, Raw, field, status, until},
    world::World,
};

/// Requests that two readers could understand differently, and what they are answered.
const MALFORMED: [(&str, &str, u16); 26] = [
    (
        "length and chunked",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        400,
    ),
    (
        "two equal lengths in one",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3, 3\r\n\r\nabc",
        400,
    ),
    (
        "a signed length",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc",
        400,
    ),
    (
        "a hexadecimal length",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x3\r\n\r\nabc",
        400,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "chunked with a tab",
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "an unknown coding",
        "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "chunked in HTTP/1.0",
        "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("bare LF", "GET / HTTP/1.1\nHost: localhost\n\n", 400),
    (
        "bare CR in a value",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        400,
    ),
    (
        "a folded line",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
        400,
    ),
    (
        "a space before the colon",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n",
        400,
    ),
    (
        "a field without a colon",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n",
        400,
    ),
    ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
    (
        "two hosts",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        400,
    ),
    (
        "a host with a path",
        "GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
        400,
    ),
    (
        "absolute form of another host",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
    ),
    (
        "a NUL in a value",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        400,
    ),
    (
        "a control character in the target",
        "GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
    ),
    ("a fragment", "GET /#x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: localhost\r\n\r\n", 505),
    (
        "the preface of HTTP/2 in HTTP/1.1",
        "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        505,
    ),
    ("a bad method", "G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (
        "a space before the request",
        " GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_requests_are_refused_and_closed_over_tls_and_privately() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    for (name, request, expected) in MALFORMED {
        for mut raw in [world.raw(Http::One).await, world.raw_private().await] {
            // what follows must not be read as a second request
            raw.send(format!(
                "{request}GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
            ))
            .await;
            let answer = raw.rest().await;
            assert_eq!(status(&answer), expected, "{name}: {answer}");
            assert_eq!(field(&answer, "connection"), Some("close"), "{name}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{name}: {answer}");
        }
    }
    assert_eq!(world.backend("legacy").requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_chunk_ends_in_400_and_a_close_without_a_second_request() {
    let world = World::new().backend("legacy", mirror).start().await;
    for body in [
        "3 \r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcX0\r\n\r\n",
        "-1\r\n\r\n",
    ] {
        let mut raw = world.raw(Http::One).await;
        raw.send(format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{body}GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
        ))
        .await;
        let answer = raw.rest().await;
        assert_eq!(status(&answer), 400, "{body:?}: {answer}");
        assert!(!answer.contains("smuggled"), "{body:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_ours_is_misdirected() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET / HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    assert_eq!(status(&raw.head().await), 421);
}

/// A world whose limits are `limits`.
async fn limited(limits: &str) -> World {
    World::new()
        .operator(&format!("[limits]\ndrain_delay = \"50ms\"\n{limits}"))
        .backend("legacy", mirror)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_head_is_a_408_and_a_close() {
    let world = limited("head_timeout = \"150ms\"").await;
    for mut raw in [world.raw(Http::One).await, world.raw_private().await] {
        let began = banyan::clock::steady();
        raw.send("GET / HTTP/1.1\r\nHo").await;
        let answer = raw.rest().await;
        assert_eq!(status(&answer), 408, "{answer}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    let line = world.logged(|line| line["status"] == 408).await;
    assert_eq!(line["status"], 408);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_is_a_408_and_a_close() {
    let world = limited("body_timeout = \"150ms\"").await;
    let mut raw = world.raw(Http::One).await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    let answer = raw.rest().await;
    assert_eq!(status(&answer), 408, "{answer}");
    // and over HTTP/2, where the stream alone pays
    let mut client = world.client(Http::Two).await;
    let (sender, body) = channel();
    let request = client.request(&Method::POST, "/", body);
    let answer = client.try_ask(request).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 408));
    drop(sender);
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_without_a_word() {
    let world = limited("idle_timeout = \"150ms\"").await;
    for mut raw in [world.raw(Http::One).await, world.raw_private().await] {
        assert_eq!(raw.rest().await, "");
    }
    let mut raw = world.raw(Http::One).await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(status(&raw.answer().await.0), 200);
    assert_eq!(raw.rest().await, "");
    let mut client = world.client(Http::Two).await;
    client.get("/").await;
    client.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_off() {
    let world = World::new()
        .operator("[limits]\ndrain_delay = \"50ms\"\nwrite_timeout = \"200ms\"")
        .backend("legacy", |_| {
            std::future::ready(http::Response::new(crate::backend::full(vec![0; 64 << 20])))
        })
        .start()
        .await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let line = world.logged(|line| line["path"] == "/").await;
    assert_eq!(line["aborted"], "client", "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_beyond_the_limits_are_431_and_414() {
    let world = limited("head_bytes_max = \"8KiB\"\nuri_bytes_max = \"2KiB\"\nheaders_max = 20").await;
    let large = format!("X: {}\r\n", "x".repeat(10_000));
    let many = "X: x\r\n".repeat(30);
    let long = "x".repeat(3000);
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{large}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
    ] {
        let mut raw = world.raw(Http::One).await;
        raw.send(&request).await;
        let answer = raw.rest().await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
    let mut client = world.client(Http::Two).await;
    let value = "x".repeat(10_000);
    assert_eq!(client.get_with("/", &[("x", &value)]).await.status, 431);
    assert_eq!(client.get_with("/", &[("x", "x"); 30]).await.status, 431);
    assert_eq!(client.get(&format!("/{long}")).await.status, 414);
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_maximum_wait_until_one_is_closed() {
    let world = World::new()
        .top("cores = 1")
        .operator("[limits]\ndrain_delay = \"50ms\"\nconnections_max = 2")
        .backend("legacy", hello("old"))
        .start()
        .await;
    let mut first = world.private(Http::One).await;
    let mut second = world.private(Http::One).await;
    assert_eq!(first.get("/").await.text(), "old");
    assert_eq!(second.get("/").await.text(), "old");
    let mut third: Raw = world.raw_private().await;
    third.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let early = tokio::time::timeout(Duration::from_millis(150), third.wire.read_u8()).await;
    assert!(early.is_err(), "a third connection was served");
    first.abort();
    drop(first);
    assert_eq!(third.answer().await.1, "old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_a_connections_share_find_it_closed_in_peace() {
    let world = limited("requests_per_connection_max = 3").await;
    let mut client = world.client(Http::One).await;
    for at in 1..=3 {
        let answer = client.get("/").await;
        let expected = if at == 3 { "close" } else { "" };
        assert_eq!(answer.header("connection"), expected);
    }
    client.ended().await.unwrap();
    let mut client = world.client(Http::Two).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, 200);
    }
    client.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_resets_ends_the_connection() {
    let world = limited("resets_per_second_max = 10").await;
    let client = world.client(Http::Two).await;
    let flooding = async {
        for _ in 0..2000 {
            let request = client.request(&Method::GET, "/", empty());
            let mut another = client.another();
            let _ = tokio::time::timeout(Duration::from_micros(200), another.send(request)).await;
            if client.is_closed() {
                return true;
            }
        }
        false
    };
    let closed = crate::world::within("the connection's end", flooding).await;
    if !closed {
        until("the connection's end", async || client.is_closed()).await;
    }
    assert_eq!(world.client(Http::Two).await.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_be_as_slow_as_it_likes_while_it_moves() {
    let world = World::new()
        .operator("[limits]\ndrain_delay = \"50ms\"\nbody_timeout = \"300ms\"")
        .backend("legacy", echo)
        .start()
        .await;
    let mut raw = world.raw(Http::One).await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
        .await;
    for _ in 0..10 {
        raw.send("x").await;
        tokio::time::sleep(Duration::from_millis(60)).await; // the slowness under test: longer than the limit in sum
    }
    assert_eq!(raw.answer().await.1, "xxxxxxxxxx");
}
