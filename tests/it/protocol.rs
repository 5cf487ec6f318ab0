//! HTTP as it should go: every pair of protocols, bodies, trailers, interim answers, early answers.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

use crate::{
    backend::{Body, Server, Speaks, channel, echo, empty, full, hello, mirror, read_head, with_trailers},
    client::{Http, field, status, tls},
    world::{World, within},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_comes_through_on_both_versions_and_is_logged() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    for http in Http::BOTH {
        let answer = world.client(http).await.get("/page?x=1").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "old"));
        let protocol = match http {
            Http::One => "HTTP/1.1",
            Http::Two => "HTTP/2",
        };
        let line = world.logged(|line| line["protocol"] == protocol).await;
        assert_eq!(line["path"], "/page");
        assert_eq!(line["backend"], "legacy");
    }
}

/// Behind `/`: a mirror. Behind `/echo/*`: an echo. Both speak `speaks`.
async fn pair_of(speaks: Speaks) -> World {
    World::new()
        .server("mirror", Server::new(speaks, mirror))
        .server("echo", Server::new(speaks, echo))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_version_reaches_every_backend_protocol_with_bodies_both_ways() {
    for speaks in Speaks::ALL {
        let world = pair_of(speaks).await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let seen = client.post("/a/b?c=d%20e", "some body").await.seen();
            assert_eq!(seen.get("method"), "POST");
            assert_eq!(seen.get("target"), "/a/b?c=d%20e");
            assert_eq!(seen.get("body"), "some body");
            let spoken = match speaks {
                Speaks::Http1 | Speaks::TlsHttp1 => "HTTP/1.1",
                Speaks::H2c | Speaks::TlsHttp2 => "HTTP/2.0",
            };
            assert_eq!(seen.get("version"), spoken, "{speaks:?}");
            let body = Bytes::from(vec![b'x'; 300_000]);
            let answer = client.post("/echo/", body.clone()).await;
            assert_eq!(answer.body, body, "{speaks:?} {http:?}");
        }
        assert!(world.backend("mirror").requests() >= 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_on_both_sides() {
    let world = World::new()
        .top("cores = 1")
        .backend("legacy", hello("old"))
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for _ in 0..20 {
            assert_eq!(client.get("/").await.text(), "old");
        }
    }
    assert_eq!(world.backend("legacy").connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::new().backend("legacy", mirror).start().await;
    let mut raw = world.raw(Http::One).await;
    let requests: String = (0..10)
        .map(|at| format!("GET /{at} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        .collect();
    raw.send(requests).await;
    for at in 0..10 {
        let (head, body) = raw.answer().await;
        assert_eq!(status(&head), 200);
        assert!(body.contains(&format!("\"target\":\"/{at}\"")), "{body}");
    }
}

/// Knows HEAD and ranges, of ten letters.
async fn letters(request: Request<Incoming>) -> Response<Body> {
    let range = request.headers().get("range").cloned();
    let mut response = match range {
        Some(range) if range == "bytes=2-4" => {
            let mut response = Response::new(full("cde"));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let part = HeaderValue::from_static("bytes 2-4/10");
            response.headers_mut().insert("content-range", part);
            response
        }
        _ if request.method() == Method::HEAD => {
            let mut response = Response::new(empty());
            response
                .headers_mut()
                .insert("content-length", HeaderValue::from_static("10"));
            response
        }
        _ => Response::new(full("abcdefghij")),
    };
    response
        .headers_mut()
        .insert("etag", HeaderValue::from_static("\"e1\""));
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_answers_keep_their_length_and_ranges_pass() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .server("legacy", Server::new(speaks, letters))
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let head = client.request(&Method::HEAD, "/", empty());
            let head = client.ask(head).await;
            assert_eq!(
                (head.header("content-length"), head.body.len()),
                ("10", 0),
                "{speaks:?} {http:?}"
            );
            assert_eq!(head.header("etag"), "\"e1\"");
            let part = client.get_with("/", &[("range", "bytes=2-4")]).await;
            assert_eq!((part.status.as_u16(), part.text()), (206, "cde"));
            assert_eq!(part.header("content-range"), "bytes 2-4/10");
            assert_eq!(client.get("/").await.text(), "abcdefghij");
        }
    }
}

/// A gRPC method in shape: reads the message, answers with one, and says how it went in trailers.
async fn grpc(request: Request<Incoming>) -> Response<Body> {
    let te = request.headers().get("te").cloned();
    let collected = request.into_body().collect().await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("grpc-message", HeaderValue::from_static("fine"));
    if let Some(value) = collected
        .trailers()
        .and_then(|trailers| trailers.get("x-checksum"))
    {
        trailers.insert("x-checksum", value.clone());
    }
    let mut response = Response::new(with_trailers(collected.to_bytes(), trailers));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    if let Some(te) = te {
        response.headers_mut().insert("x-te", te);
    }
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_call_with_trailers_both_ways_passes_over_http2() {
    for speaks in [Speaks::H2c, Speaks::TlsHttp2] {
        let world = World::new()
            .server("legacy", Server::new(speaks, grpc))
            .start()
            .await;
        let mut client = world.client(Http::Two).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("abc"));
        let mut request = client.request(
            &Method::POST,
            "/shop.Cart/Add",
            with_trailers(&b"\0\0\0\0\x02hi"[..], trailers),
        );
        let fields = request.headers_mut();
        fields.insert("content-type", HeaderValue::from_static("application/grpc"));
        fields.insert("te", HeaderValue::from_static("trailers"));
        let answer = client.ask(request).await;
        assert_eq!(&answer.body[..], b"\0\0\0\0\x02hi");
        assert_eq!(answer.header("x-te"), "trailers");
        let trailers = answer.trailers.expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["grpc-message"], "fine");
        assert_eq!(trailers["x-checksum"], "abc");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_failure_without_a_body_keeps_its_status() {
    let failing = async |_: Request<Incoming>| {
        let mut response = Response::new(empty());
        let fields = response.headers_mut();
        fields.insert("content-type", HeaderValue::from_static("application/grpc"));
        fields.insert("grpc-status", HeaderValue::from_static("5"));
        response
    };
    let failing = move |request| failing(request);
    let world = World::new().backend_h2c("legacy", failing).start().await;
    let mut client = world.client(Http::Two).await;
    let answer = client.post("/shop.Cart/Add", "x").await;
    assert_eq!(answer.header("grpc-status"), "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_between_all_versions_for_clients_that_take_them() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .server("legacy", Server::new(speaks, grpc))
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let mut request = client.request(&Method::POST, "/", full("x"));
            request
                .headers_mut()
                .insert("te", HeaderValue::from_static("trailers"));
            let answer = client.ask(request).await;
            // hyper's HTTP/1.1 server sends only trailers that a `Trailer` field announced, and this backend announces none
            if speaks == Speaks::H2c {
                assert_eq!(
                    answer.trailers.as_ref().expect("trailers")["grpc-status"],
                    "0",
                    "{http:?}"
                );
            }
            assert_eq!(answer.header("x-te"), "trailers", "{speaks:?} {http:?}");
        }
    }
}

/// What a raw backend was told, and what it shall do.
struct Script {
    heads: mpsc::UnboundedReceiver<String>,
    go: mpsc::UnboundedSender<&'static str>,
}

/// A raw backend that tells each head it reads, and then writes whatever it is told to write.
fn scripted() -> (Server, Script) {
    let (told, heads) = mpsc::unbounded_channel();
    let (go, orders) = mpsc::unbounded_channel::<&'static str>();
    let orders = Arc::new(tokio::sync::Mutex::new(orders));
    let server = Server::raw(move |mut tcp, _| {
        let (told, orders) = (told.clone(), Arc::clone(&orders));
        async move {
            while let Some(head) = read_head(&mut tcp).await {
                let _ = told.send(head);
                loop {
                    let Some(text) = orders.lock().await.recv().await else {
                        return;
                    };
                    if text.is_empty() {
                        break;
                    }
                    tcp.write_all(text.as_bytes()).await.unwrap();
                }
            }
        }
    });
    (server, Script { heads, go })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_gets_100_continue_only_after_the_backend_said_so() {
    let said = Arc::new(AtomicBool::new(false));
    let (head_seen, heads) = oneshot::channel();
    let (go, gone) = oneshot::channel::<()>();
    let parts = Arc::new(std::sync::Mutex::new(Some((head_seen, gone))));
    let saying = Arc::clone(&said);
    let server = Server::raw(move |mut tcp, _| {
        let parts = parts.lock().unwrap().take();
        let said = Arc::clone(&saying);
        async move {
            let (head_seen, gone) = parts.expect("one connection");
            let head = read_head(&mut tcp).await.unwrap();
            let _ = head_seen.send(head);
            let _ = gone.await;
            said.store(true, Ordering::SeqCst);
            tcp.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            let mut body = [0; 5];
            tcp.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            let _ = tcp.read_u8().await;
        }
    });
    let world = World::new().server("legacy", server).start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let head = within("the head at the backend", heads).await.unwrap();
    assert_eq!(field(&head, "expect"), Some("100-continue"), "{head}");
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), raw.wire.read_u8()).await;
    assert!(early.is_err(), "100 before the backend said so");
    go.send(()).unwrap();
    assert_eq!(status(&raw.head().await), 100);
    assert!(said.load(Ordering::SeqCst));
    raw.send("hello").await;
    assert_eq!(raw.answer().await.1, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_instead_of_100_continue_reaches_the_client_and_the_body_is_never_sent() {
    for refusal in ["417 Expectation Failed", "413 Content Too Large"] {
        let (server, mut script) = scripted();
        let world = World::new().server("legacy", server).start().await;
        let mut raw = world.raw(Http::One).await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .await;
        within("the head", script.heads.recv()).await.unwrap();
        let answer = format!("HTTP/1.1 {refusal}\r\nContent-Length: 2\r\n\r\nno");
        script.go.send(answer.leak()).unwrap();
        let (head, body) = raw.answer().await;
        assert_eq!(
            (status(&head), body.as_str()),
            (refusal[..3].parse().unwrap(), "no")
        );
        assert_eq!(
            field(&head, "connection"),
            Some("close"),
            "nobody knows whether the body comes: {head}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_hints_reach_clients_of_both_versions_before_the_answer() {
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (server, mut script) = scripted();
    let world = World::new()
        .top("cores = 1")
        .server("legacy", server)
        .start()
        .await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    within("the head", script.heads.recv()).await.unwrap();
    script.go.send(HINTS).unwrap();
    let hints = raw.head().await;
    assert_eq!(status(&hints), 103);
    assert_eq!(field(&hints, "link"), Some("</a.css>; rel=preload"));
    script.go.send(ANSWER).unwrap();
    script.go.send("").unwrap();
    assert_eq!(raw.answer().await.1, "ok");

    let tls = tls(world.https(), &world.ca(), Http::Two).await;
    let (mut send, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("https://{}/", world.authority()))
        .body(())
        .unwrap();
    let (mut answer, _) = send.send_request(request, true).unwrap();
    within("the head", script.heads.recv()).await.unwrap();
    script.go.send(HINTS).unwrap();
    let hints = within("hints", poll_fn(|cx| answer.poll_informational(cx)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hints.status(), 103);
    assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
    script.go.send(ANSWER).unwrap();
    script.go.send("").unwrap();
    assert_eq!(within("the answer", answer).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_arrive_one_by_one_at_once() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let (sender, body) = channel();
        let body = Arc::new(std::sync::Mutex::new(vec![body]));
        let (another, more) = channel();
        body.lock().unwrap().push(more);
        let handler = move |_| {
            let body = body.lock().unwrap().remove(0);
            let mut response = Response::new(body);
            let kind = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert("content-type", kind);
            std::future::ready(response)
        };
        let world = World::new()
            .server("legacy", Server::new(speaks, handler))
            .start()
            .await;
        for (http, sender) in Http::BOTH.into_iter().zip([sender, another]) {
            let mut client = world.client(http).await;
            let request = client.request(&Method::GET, "/events", empty());
            let mut response = client.send(request).await.unwrap();
            for number in 0..5 {
                let event = format!("data: {number}\n\n");
                sender.send(Ok(Bytes::from(event.clone()))).await.unwrap();
                // the next event is only made once this one has arrived
                let frame = within("an event", response.body_mut().frame())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(frame.into_data().unwrap(), event);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_to_a_large_upload_reaches_the_client() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let refuse = |_: Request<Incoming>| {
            let mut response = Response::new(full("too large"));
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            std::future::ready(response)
        };
        let world = World::new()
            .server("legacy", Server::new(speaks, refuse))
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let (sender, body) = channel();
            let feeding = tokio::spawn(async move {
                let piece = Bytes::from(vec![0; 64 * 1024]);
                while sender.send(Ok(piece.clone())).await.is_ok() {}
            });
            let request = client.request(&Method::POST, "/", body);
            let answer = client.ask(request).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text()),
                (413, "too large"),
                "{speaks:?} {http:?}"
            );
            feeding.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_clients_get_an_answer_that_ends_with_the_connection() {
    let world = World::new().backend("legacy", |_: Request<Incoming>| {
        std::future::ready(Response::new(with_trailers("streamed", HeaderMap::new())))
    });
    let world = world.start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
    let answer = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nstreamed"), "{answer}");
    assert!(field(&answer, "transfer-encoding").is_none(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_of_one_connection_are_answered_at_once() {
    let world = World::new().backend("legacy", mirror).start().await;
    let client = world.client(Http::Two).await;
    let asking = (0..100).map(|at| {
        let mut client = client.another();
        async move {
            let answer = client.post(&format!("/{at}"), format!("body {at}")).await;
            assert_eq!(answer.version, Version::HTTP_2);
            let seen = answer.seen();
            assert_eq!(seen.get("target"), format!("/{at}"));
            assert_eq!(seen.get("body"), format!("body {at}"));
        }
    });
    futures_util::future::join_all(asking).await;
}
