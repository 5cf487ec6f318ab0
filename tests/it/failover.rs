//! Routes with a second backend: what fails over, what does not, and what the second is asked.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::{
    backend::{Body, Server, Speaks, channel, drain, empty, full, hello, mirror, read_head, reset},
    client::{Http, until},
    issuer::{GOOD, gate, opened},
    program::run,
    websocket::{self, WebSocket},
    world::{Builder, World},
};

const ROUTES: &str = "[[routes]]\npath = \"/*\"\nbackend = \"first\"\nfailover = { backend = \"second\" }\n\
    [[routes]]\npath = \"/missing/*\"\nbackend = \"first\"\nfailover = { backend = \"second\", on = [404] }\n\
    [[routes]]\npath = \"/dead-only/*\"\nbackend = \"first\"\nfailover = { backend = \"second\", on = [] }\n\
    [[routes]]\npath = \"/alone/*\"\nbackend = \"first\"\n";

/// Answers with the status that the last segment of the path says.
async fn as_asked(request: Request<Incoming>) -> Response<Body> {
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    let status = last.parse().unwrap_or(200);
    let mut response = Response::new(full("first"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn pair(first: Server) -> Builder {
    World::new()
        .server("first", first)
        .backend("second", hello("second"))
        .routes(ROUTES)
}

/// A raw server that reads a head and writes `answer`, then closes in order.
fn says(answer: &'static [u8]) -> Server {
    Server::raw(move |mut tcp, _| async move {
        if read_head(&mut tcp).await.is_some() {
            let _ = tcp.write_all(answer).await;
        }
    })
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Both versions get the second's answer, and the log says why.
async fn check(first: impl Fn() -> Server, settings: &str, cause: &str) {
    for http in Http::BOTH {
        let world = pair(first()).settings("first", settings).start().await;
        check_world(&world, http, cause).await;
    }
}

async fn check_world(world: &World, http: Http, cause: &str) {
    let mut client = world.client(http).await;
    for method in [Method::GET, Method::OPTIONS, Method::HEAD] {
        let path = format!("/{http:?}/{method}");
        let request = client.request(&method, &path, empty());
        let answer = client.ask(request).await;
        let body = if method == Method::HEAD { "" } else { "second" };
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (200, body),
            "{http:?} {method} {cause}: {answer:?}"
        );
        let line = world.logged(|line| line["path"] == path.as_str()).await;
        assert_eq!(line["backend"], "second", "{line}");
        assert_eq!(line["failover_from"], "first", "{line}");
        assert_eq!(line["failover_cause"], cause, "{line}");
        assert_eq!(line["outcome"], "forwarded", "{line}");
    }
    let series = format!("banyan_failovers_total{{backend=\"first\",to=\"second\",cause=\"{cause}\"}}");
    assert!(world.metric(&series).await >= 3.0, "{series}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_backend_is_stood_in_for() {
    let world = World::new()
        .servers("first", &[nobody().await])
        .backend("second", hello("second"))
        .routes(ROUTES)
        .start()
        .await;
    let answer = world.client(Http::One).await.get("/a").await;
    assert_eq!(answer.text(), "second");
    let line = world.logged(|line| line["path"] == "/a").await;
    assert_eq!(line["failover_cause"], "connection_refused", "{line}");
    assert_eq!(
        line["attempts"], 4,
        "three at the first, one at the second: {line}"
    );
    assert!(
        line["server"]
            .as_str()
            .unwrap()
            .contains(&world.backend("second").url()),
        "{line}"
    );
    let mut client = world.client(Http::Two).await;
    for _ in 0..20 {
        assert_eq!(client.get("/b").await.text(), "second");
    }
    assert_eq!(client.post("/c", "x").await.status, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_known_to_be_sick_costs_no_further_time_and_comes_back() {
    let sick = Arc::new(AtomicBool::new(true));
    let telling = Arc::clone(&sick);
    let first = move |_: Request<Incoming>| {
        let sick = telling.load(Ordering::SeqCst);
        async move {
            if sick {
                std::future::pending::<()>().await;
            }
            Response::new(full("first"))
        }
    };
    let world = World::new()
        .top("cores = 1")
        .backend("first", first)
        .settings("first", "first_byte_timeout = \"200ms\"")
        .backend("second", hello("second"))
        .routes(ROUTES)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..5 {
        assert_eq!(client.get("/slow").await.text(), "second");
    }
    assert_eq!(client.get("/known").await.text(), "second");
    let line = world.logged(|line| line["path"] == "/known").await;
    assert_eq!(line["failover_cause"], "destination_unavailable", "{line}");
    assert_eq!(line["attempts"], 1, "{line}");
    assert!(line["total_us"].as_u64().unwrap() < 200_000, "{line}");
    sick.store(false, Ordering::SeqCst);
    until("the first is asked again", async || {
        client.get("/").await.text() == "first"
    })
    .await;
    assert_eq!(client.get("/").await.text(), "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_backends_that_are_sick_are_both_asked() {
    let world = World::new()
        .top("cores = 1")
        .servers("first", &[nobody().await])
        .servers("second", &[nobody().await])
        .routes(ROUTES)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 502);
    }
    assert_eq!(client.get("/last").await.status, 502);
    let line = world.logged(|line| line["path"] == "/last").await;
    assert_eq!(line["attempts"], 6, "three each: {line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_never_answers_is_stood_in_for() {
    let hangs = || {
        Server::raw(|mut tcp, _| async move {
            let _ = drain(&mut tcp).await;
        })
    };
    check(hangs, "first_byte_timeout = \"50ms\"", "http_response_timeout").await;
    check(hangs, "total_timeout = \"50ms\"", "http_response_timeout").await;
    let silent = || Server::new(Speaks::H2c, |_| std::future::pending());
    check(silent, "first_byte_timeout = \"50ms\"", "http_response_timeout").await;
    check(silent, "total_timeout = \"50ms\"", "http_response_timeout").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_breaks_off_or_lies_before_its_answer_is_stood_in_for() {
    let resets = || {
        Server::raw(|mut tcp, _| async move {
            read_head(&mut tcp).await;
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await;
            reset(tcp);
        })
    };
    check(resets, "", "connection_terminated").await;
    let ends = || says(b"HTTP/1.1 200 OK\r\nContent-Le");
    check(ends, "", "connection_terminated").await;
    check(|| says(b"hello there\r\n\r\n"), "", "http_protocol_error").await;
    let lies = || says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc");
    check(lies, "", "http_protocol_error").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_counts_as_a_failure_is_dropped_whichever_http_is_spoken() {
    for speaks in Speaks::ALL {
        let fails = |_: Request<Incoming>| async {
            // more than one piece, and the last one never comes
            let (sender, body) = channel();
            tokio::spawn(async move {
                let _ = sender.send(Ok(Bytes::from_static(b"first"))).await;
                sender.closed().await;
            });
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert("x-first", "1".parse().unwrap());
            response
        };
        let world = World::new()
            .server("first", Server::new(speaks, fails))
            .settings("first", "idle_max = 0") // an answer to HEAD is whole, and its connection would be kept
            .server("second", Server::new(speaks, hello("second")))
            .routes(ROUTES)
            .start()
            .await;
        for http in Http::BOTH {
            check_world(&world, http, "status_503").await;
        }
        let answer = world.client(Http::Two).await.get("/x").await;
        assert!(!answer.headers.contains_key("x-first"), "{answer:?}");
        if !matches!(speaks, Speaks::H2c | Speaks::TlsHttp2) {
            until("the unread answers' connections are closed", async || {
                world.backend("first").open() == 0
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_statuses_that_a_route_names_count() {
    let world = pair(Server::new(Speaks::Http1, as_asked)).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for (path, body) in [
            ("/200", "first"),
            ("/404", "first"),
            ("/501", "first"),
            ("/500", "second"),
            ("/502", "second"),
            ("/503", "second"),
            ("/504", "second"),
            ("/missing/404", "second"),
            ("/missing/500", "first"),
            ("/dead-only/500", "first"),
            ("/alone/500", "first"),
        ] {
            let answer = client.get(path).await;
            assert_eq!(answer.text(), body, "{path}: {answer:?}");
            let asked: u16 = path.rsplit('/').next().unwrap().parse().unwrap();
            let status = if body == "first" { asked } else { 200 };
            assert_eq!(answer.status, status, "{path}");
        }
    }
    let line = world.logged(|line| line["path"] == "/404").await;
    assert!(line["failover_from"].is_null(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_change_something_or_has_a_body_never_goes_twice() {
    let world = pair(Server::new(Speaks::Http1, as_asked)).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = client.request(&method, "/503", empty());
            let answer = client.ask(request).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text()),
                (503, "first"),
                "{method}"
            );
        }
        let request = client.request(&Method::GET, "/503", full("a body"));
        let answer = client.ask(request).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (503, "first"));
    }
    assert_eq!(world.backend("second").requests(), 0);
    assert!(world.metric("banyan_failovers_total{").await.abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_begun_is_never_replaced() {
    let breaks = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    let world = pair(breaks).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let request = client.request(&Method::GET, "/", empty());
        assert!(client.try_ask(request).await.is_err());
    }
    assert_eq!(world.backend("second").requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seconds_answer_counts_whatever_it_is() {
    let sick = |_: Request<Incoming>| async {
        let mut response = Response::new(full("also sick"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    };
    let world = World::new()
        .backend("first", as_asked)
        .backend("second", sick)
        .servers("dead", &[nobody().await])
        .routes(ROUTES)
        .routes("[[routes]]\npath = \"/both/*\"\nbackend = \"first\"\nfailover = { backend = \"dead\" }\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let answer = client.get("/503").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (500, "also sick"));
    let answer = client.get("/both/503").await;
    assert_eq!(answer.status, 502);
    let told = answer.header("proxy-status");
    assert!(
        told.contains("connection_refused") && told.contains("next-hop=\"dead\""),
        "{told}"
    );
    let line = world.logged(|line| line["path"] == "/both/503").await;
    assert_eq!(line["backend"], "dead", "{line}");
    assert_eq!(line["failover_from"], "first", "{line}");
    assert_eq!(line["failover_cause"], "status_503", "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_are_counted_where_they_were_made() {
    let world = World::new()
        .servers("first", &[nobody().await])
        .settings("first", "attempts = 2")
        .backend("second", hello("second"))
        .routes(ROUTES)
        .start()
        .await;
    world.client(Http::One).await.get("/a").await;
    let line = world.logged(|line| line["path"] == "/a").await;
    assert_eq!(line["attempts"], 3, "{line}");
    let of = |backend: &str| format!("banyan_backend_retries_total{{backend=\"{backend}\"}}");
    assert!((world.metric(&of("first")).await - 1.0).abs() < f64::EPSILON);
    assert!(world.metric(&of("second")).await.abs() < f64::EPSILON);
}

/// What each backend is asked must be right for it, and nothing of the first's must reach the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_backend_is_asked_in_its_own_words() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let seen = Arc::<Mutex<Vec<Value>>>::default();
        let noting = Arc::clone(&seen);
        let first = move |request: Request<Incoming>| {
            let noting = Arc::clone(&noting);
            async move {
                let answer = mirror(request).await;
                let body = http_body_util::BodyExt::collect(answer.into_body())
                    .await
                    .unwrap();
                let told = serde_json::from_slice(&body.to_bytes()).unwrap();
                noting.lock().unwrap().push(told);
                let mut response = Response::new(full("failed"));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        };
        let builder = World::new()
            .server("first", Server::new(speaks, first))
            .settings("first", "path = \"/one\"\nhost = \"server\"\nheaders = { X-Secret = \"one\", X-One = \"1\", Accept-Language = \"en\" }")
            .server("second", Server::new(speaks, mirror))
            .settings("second", "path = \"/two\"\nhost = \"two.example\"\nheaders = { X-Secret = \"two\" }")
            .operator(&gate("keys.json"))
            .routes("[[routes]]\npath = \"/*\"\nauth = \"required\"\nbackend = \"first\"\nfailover = { backend = \"second\" }\n");
        std::fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
        let world = builder.start().await;
        let keys = world.admin("/api/identity/jwks").await;
        let token = GOOD.token("EdDSA", "ann", &[]);
        let bearer = format!("Bearer {token}");
        let fields = [
            ("authorization", bearer.as_str()),
            ("x-secret", "forged"),
            ("x-one", "visitor's"),
            ("accept-language", "ko"),
        ];
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            until("the issuer's keys", async || {
                client.get_with("/k", &fields).await.status == 200
            })
            .await;
            seen.lock().unwrap().clear();
            let second = client.get_with("/a/b?c=d", &fields).await.seen();
            let first = crate::client::Seen(seen.lock().unwrap().pop().unwrap());
            assert_eq!(first.get("target"), "/one/a/b?c=d");
            assert_eq!(second.get("target"), "/two/a/b?c=d");
            let host = |seen: &crate::client::Seen| match speaks {
                Speaks::Http1 => seen.header("host"),
                _ => seen.get("authority").to_owned(),
            };
            assert_eq!(host(&first), world.backend("first").address.to_string());
            assert_eq!(host(&second), "two.example");
            assert_eq!(first.all("x-secret"), ["one"]);
            assert_eq!(second.all("x-secret"), ["two"]);
            assert_eq!(first.all("x-one"), ["1"]);
            assert_eq!(second.all("x-one"), ["visitor's"]);
            assert_eq!(first.all("accept-language"), ["en"]);
            assert_eq!(second.all("accept-language"), ["ko"]);
            for (seen, audience) in [(&first, "first"), (&second, "second")] {
                assert_eq!(seen.header("x-forwarded-host"), world.authority());
                let claims = opened(&seen.header("banyan-identity"), keys.text());
                assert_eq!(claims["aud"], audience, "{claims}");
                assert_eq!(seen.header("banyan-user"), "ann");
                assert_eq!(seen.all("via").len(), 1);
                assert!(seen.header("via").ends_with(" banyan"), "{}", seen.header("via"));
                assert!(
                    !seen.header("via").contains(','),
                    "one hop: {}",
                    seen.header("via")
                );
            }
            assert_eq!(first.header("x-request-id"), second.header("x-request-id"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_that_is_the_second_backend_itself_is_not_asked_twice() {
    let asked = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&asked);
    let old = move |_: Request<Incoming>| {
        counting.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(full("old"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        std::future::ready(response)
    };
    let world = World::new()
        .backend("old", old)
        .servers("new", &[nobody().await])
        .flag("move", "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[[rules]]\nif = { \"==\" = [{ var = \"request.path\" }, \"/moved/new\"] }\nserve = \"new\"\n")
        .routes("[[routes]]\npath = \"/moved/*\"\nflag = \"move\"\nbackends = { legacy = \"old\", new = \"new\" }\nfailover = { backend = \"old\" }\n")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let answer = client.get("/moved/old").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "old"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let line = world.logged(|line| line["path"] == "/moved/old").await;
    assert!(line["failover_from"].is_null(), "{line}");
    // the new one is dead, so the old one answers, as far as it can
    let answer = client.get("/moved/new").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "old"));
    let line = world.logged(|line| line["path"] == "/moved/new").await;
    assert_eq!(
        (&line["variant"], &line["failover_from"]),
        (&"new".into(), &"new".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_finds_the_second_backend_too() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .servers("first", &[nobody().await])
            .server("second", Server::new(speaks, websocket::backend))
            .settings("second", "total_timeout = \"300ms\"")
            .routes(ROUTES)
            .start()
            .await;
        for http in Http::BOTH {
            let mut socket = WebSocket::open(&world, http, "/ws").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            socket.echo("still there").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_and_the_admin_listener_tell_who_stands_by() {
    let world = pair(Server::new(Speaks::Http1, as_asked)).start().await;
    let explain = |arguments: &[&str]| {
        let ran = run(world.folder(), &[&["explain", "/page"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    let told = explain(&[]);
    let line = "  failover  on 500, 502, 503, 504, no answer to second: http://";
    assert!(told.contains(line), "{told}");
    assert!(!explain(&["--method", "POST"]).contains("failover"));
    let told: Value = serde_json::from_str(&explain(&["--json"])).unwrap();
    assert_eq!(told["failover"]["goes"]["backend"], "second", "{told}");
    let routes: Value = serde_json::from_str(world.admin("/api/routes").await.text()).unwrap();
    let all = routes["routes"].as_array().unwrap().iter();
    let one = |path: &str| all.clone().find(|route| route["path"] == path).unwrap();
    let missing = &one("/missing/*")["target"]["failover"];
    assert_eq!(
        (&missing["backend"], &missing["on"]),
        (&"second".into(), &serde_json::json!([404]))
    );
    assert!(one("/alone/*")["target"]["failover"].is_null());
    let backends: Value = serde_json::from_str(world.admin("/api/backends").await.text()).unwrap();
    let second = &backends["backends"][1];
    assert_eq!(second["name"], "second", "{backends}");
    assert_eq!(second["routes"].as_array().unwrap().len(), 3, "{second}");
}
