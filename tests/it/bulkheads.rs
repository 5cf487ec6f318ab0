//! What one backend or squad may have at once, who is blamed for what took too long, and when who is refused may come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::{io::AsyncWriteExt, sync::Semaphore, task::JoinHandle};

use crate::{
    backend::{Server, Speaks, channel, drain, full, hello, read_head},
    client::{Answer, Client, Http, until},
    world::World,
};

/// A server that answers once `free` is true.
fn held(free: &Arc<AtomicBool>) -> Server {
    let free = Arc::clone(free);
    Server::new(Speaks::Http1, move |_: Request<Incoming>| {
        let free = Arc::clone(&free);
        async move {
            while !free.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Response::new(full("at last"))
        }
    })
}

fn open(client: &Client, path: &'static str, count: usize) -> Vec<JoinHandle<StatusCode>> {
    let one = |_| {
        let mut client = client.another();
        tokio::spawn(async move { client.get(path).await.status })
    };
    (0..count).map(one).collect()
}

/// Asks fifty times and expects to be sent away each time, at once, by `of`.
async fn sent_away(client: &mut Client, path: &str, why: &str) {
    let mut took = Vec::new();
    for _ in 0..50 {
        let began = banyan::clock::steady();
        let answer = client.get(path).await;
        took.push(began.elapsed());
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), "1");
        let told = answer.header("proxy-status");
        assert!(
            told.contains("error=connection_limit_reached") && told.contains(why),
            "{told}"
        );
    }
    took.sort_unstable();
    let median = took[took.len() / 2];
    assert!(median < Duration::from_millis(50), "{median:?}: that is a wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_a_backend_are_bounded_over_all_its_servers() {
    let free = Arc::<AtomicBool>::default();
    let (one, two) = (held(&free), held(&free));
    let world = World::new()
        .servers("hung", &[one.url(), two.url()])
        .settings("hung", "connections_all_max = 3")
        .backend("quick", hello("quick"))
        .routes("[[routes]]\npath = \"/hung/*\"\nbackend = \"hung\"\n[[routes]]\npath = \"/*\"\nbackend = \"quick\"\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let waiting = open(&client, "/hung/a", 3);
    until("all connections are taken", async || {
        one.requests() + two.requests() == 3
    })
    .await;
    sent_away(&mut client, "/hung/b", "connections").await;
    assert_eq!(client.get("/a").await.text(), "quick");
    assert_eq!(one.requests() + two.requests(), 3);
    let told = world.admin("/api/explain?url=/hung/a").await;
    let bound = "3 connections for backend hung (3 now)";
    assert!(told.text().contains(bound), "{}", told.text());
    let shed = world
        .metric("banyan_shed_total{of=\"hung\",why=\"connections\"}")
        .await;
    assert!((shed - 50.0).abs() < f64::EPSILON, "{shed}");
    let labels = "{kind=\"backend\",name=\"hung\",what=\"connections\"}";
    until("it is told", async || {
        world.metric(&format!("banyan_bulkhead_used{labels}")).await == 3.0
            && world.metric(&format!("banyan_bulkhead_max{labels}")).await == 3.0
    })
    .await;
    free.store(true, Ordering::SeqCst);
    for answered in join_all(waiting).await {
        assert_eq!(answered.unwrap(), 200);
    }
    assert_eq!(
        client.get("/hung/c").await.text(),
        "at last",
        "kept connections serve on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_a_squad_are_bounded_over_all_its_backends() {
    let free = Arc::<AtomicBool>::default();
    let (one, two, other) = (held(&free), held(&free), held(&free));
    let routes = format!(
        "[backends.one]\nservers = [\"{}\"]\n[backends.two]\nservers = [\"{}\"]\n\
         [[routes]]\npath = \"/one/*\"\nbackend = \"one\"\n[[routes]]\npath = \"/two/*\"\nbackend = \"two\"\n",
        one.url(),
        two.url()
    );
    let world = World::new()
        .operator("[squads.learn]\nconnections_max = 2\n[squads.other]\n[squads.world]\n")
        .squad("learn", &routes)
        .squad(
            "other",
            &format!(
                "[backends.other]\nservers = [\"{}\"]\n[[routes]]\npath = \"/other/*\"\nbackend = \"other\"\n",
                other.url()
            ),
        )
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let mut waiting = open(&client, "/one/a", 1);
    waiting.extend(open(&client, "/two/a", 1));
    until("both are taken", async || one.requests() + two.requests() == 2).await;
    sent_away(&mut client, "/two/b", "connections").await;
    waiting.extend(open(&client, "/other/a", 5));
    until("another squad has its own", async || other.requests() == 5).await;
    assert!(
        world
            .metric("banyan_shed_total{of=\"learn\",why=\"connections\"}")
            .await
            >= 50.0
    );
    let squads = world.admin("/api/squads").await;
    assert!(
        squads.text().contains("\"what\":\"connections\""),
        "{}",
        squads.text()
    );
    free.store(true, Ordering::SeqCst);
    for answered in join_all(waiting).await {
        assert_eq!(answered.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_sends_its_requests_to_another_and_nobody_waits_where_all_are_full() {
    let free = Arc::<AtomicBool>::default();
    let (one, two) = (held(&free), held(&free));
    let world = World::new()
        .servers("hung", &[one.url(), two.url()])
        .settings("hung", "connections_max = 1")
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"hung\"\nretries = { share = 0, reserve = 0 }\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let waiting = open(&client, "/a", 2);
    until("one each", async || (one.requests(), two.requests()) == (1, 1)).await;
    sent_away(&mut client, "/b", "connections").await;
    free.store(true, Ordering::SeqCst);
    for answered in join_all(waiting).await {
        assert_eq!(answered.unwrap(), 200);
    }
}

async fn put(client: &mut Client, size: usize) -> Answer {
    let request = client.request(&Method::PUT, "/", full(Bytes::from(vec![b'x'; size])));
    client.ask(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_bodies_is_bounded_by_backend_and_squad() {
    let bounds = [
        (
            "kept_max = \"4KiB\"",
            "[squads.world]\n",
            "backend\",name=\"new\"",
        ),
        (
            "attempts = 1",
            "[squads.world]\nkept_max = \"4KiB\"\n",
            "squad\",name=\"world\"",
        ),
    ];
    for (backend, squad, labels) in bounds {
        let fails = |request: Request<Incoming>| async {
            let _ = http_body_util::BodyExt::collect(request.into_body()).await;
            let mut response = Response::new(full("failed"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        };
        let world = World::new()
            .operator(squad)
            .backend("new", fails)
            .settings("new", backend)
            .backend("legacy", hello("legacy"))
            .routes("[[routes]]\npath = \"/*\"\nbackend = \"new\"\nfallback = \"legacy\"\n")
            .start()
            .await;
        let mut client = world.client(Http::One).await;
        for _ in 0..3 {
            assert_eq!(
                put(&mut client, 4 * 1024).await.text(),
                "legacy",
                "what was kept was given back"
            );
        }
        assert_eq!(
            put(&mut client, 4 * 1024 + 1).await.status,
            503,
            "it is passed on, without a fallback"
        );
        let series = format!("banyan_bulkhead_max{{kind=\"{labels},what=\"kept_bytes\"}}");
        until("it is told", async || world.metric(&series).await == 4_096.0).await;
        let used = series.replace("_max", "_used");
        until("all is given back", async || world.metric(&used).await == 0.0).await;
        let refused = "banyan_failovers_refused_total{backend=\"new\",to=\"legacy\",why=\"body\"}";
        assert!((world.metric(refused).await - 1.0).abs() < f64::EPSILON);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_hangs_has_a_deadline_of_its_own() {
    for settings in ["tls_timeout = \"150ms\"", "connect_timeout = \"150ms\""] {
        let silent = Server::raw(|mut tcp, _| async move {
            let _ = drain(&mut tcp).await;
        });
        let url = silent.url().replace("http://", "https://");
        let world = World::new()
            .servers("silent", &[url])
            .settings("silent", settings)
            .settings("silent", "attempts = 1\nca = \"backend-ca.pem\"")
            .routes("[[routes]]\npath = \"/*\"\nbackend = \"silent\"\n")
            .start()
            .await;
        let began = banyan::clock::steady();
        let answer = world.client(Http::Two).await.get("/").await;
        let took = began.elapsed();
        assert_eq!(answer.status, 504, "{answer:?}");
        let told = answer.header("proxy-status");
        assert!(
            told.contains("error=connection_timeout; details=\"tls-timeout\""),
            "{told}"
        );
        assert!((150..1_500).contains(&took.as_millis()), "{took:?}");
        let line = world.logged(|line| line["status"] == 504).await;
        assert_eq!(line["details"], "tls-timeout", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_says_when_to_come_back_and_not_to_all_the_same() {
    let sick = |_: Request<Incoming>| async {
        let mut response = Response::new(full("sick"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    };
    let world = World::new()
        .backend("sick", sick)
        .settings(
            "sick",
            "breaker = { failures = 1, pause = \"60s\", pause_max = \"60s\" }",
        )
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"sick\"\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(client.get("/").await.text(), "sick");
    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let answer = client.get("/").await;
        assert!(
            answer.header("proxy-status").contains("breaker-open"),
            "{answer:?}"
        );
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((50..=91).contains(&wait), "{wait}");
        waits.insert(wait);
    }
    assert!(waits.len() > 3, "all would come back together: {waits:?}");
    assert_eq!(world.backend("sick").requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_answers_is_to_blame_and_who_never_got_the_request_is_not() {
    let hangs = |request: Request<Incoming>| async move {
        let hung = request.uri().path().starts_with("/hung");
        let _ = http_body_util::BodyExt::collect(request.into_body()).await;
        if hung {
            std::future::pending::<()>().await;
        }
        Response::new(full("well"))
    };
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"app\"\ntimeouts = { total = \"200ms\" }\n";
    for (whole, blamed) in [(true, true), (false, false)] {
        let world = World::new()
            .backend("app", hangs)
            .settings(
                "app",
                "breaker = { failures = 2, pause = \"60s\", pause_max = \"60s\" }",
            )
            .routes(routes)
            .start()
            .await;
        let mut client = world.client(Http::Two).await;
        for _ in 0..3 {
            let (sender, slow) = channel();
            let body = if whole { full("all of it") } else { slow };
            let mut other = client.another();
            let request = other.request(&Method::POST, "/hung/a", body);
            let status = other.ask(request).await.status;
            assert!([503, 504].contains(&status.as_u16()), "{status}");
            drop(sender);
        }
        let after = client.get("/a").await;
        assert_eq!(after.status == 503, blamed, "whole: {whole}: {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_connection_leads_back_to_the_server_that_a_key_is_hashed_to() {
    // each closes its connections just as the second request comes
    let closes = |name: &'static str| {
        Server::raw(move |mut tcp, _| async move {
            if read_head(&mut tcp).await.is_some() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                let _ = tcp.write_all(answer.as_bytes()).await;
                let _ = read_head(&mut tcp).await;
            }
        })
    };
    let (one, two, three) = (closes("one"), closes("two"), closes("three"));
    let world = World::new()
        .servers("app", &[one.url(), two.url(), three.url()])
        .settings("app", "pick = { hash = \"header:x-key\" }")
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\n")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for key in ["a", "b", "c", "d"] {
        let home = client.get_with("/", &[("x-key", key)]).await.text().to_owned();
        for _ in 0..10 {
            let answer = client.get_with("/", &[("x-key", key)]).await;
            assert_eq!(answer.text(), home, "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adaptive_limit_falls_while_answers_wait_behind_each_other() {
    let workers = Arc::new(Semaphore::new(4));
    let works = move |_: Request<Incoming>| {
        let workers = Arc::clone(&workers);
        async move {
            let _worker = workers.acquire_owned().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            Response::new(full("done"))
        }
    };
    let world = World::new()
        .backend("app", works)
        .settings("app", "adaptive = { min = 4, max = 200 }")
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let limit = async || {
        world
            .metric("banyan_bulkhead_max{kind=\"backend\",name=\"app\",what=\"in_flight\"}")
            .await
    };
    for _ in 0..40 {
        assert_eq!(client.get("/").await.status, 200);
    }
    until("it is told", async || limit().await == 200.0).await;
    let stop = Arc::<AtomicBool>::default();
    let flood = |_| {
        let (mut client, stop) = (client.another(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut sent_away = 0;
            while !stop.load(Ordering::SeqCst) {
                let answer = client.get("/").await;
                if answer.status == 503 {
                    assert_eq!(answer.header("retry-after"), "1");
                    assert!(answer.header("proxy-status").contains("details=\"full\""));
                    sent_away += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            sent_away
        })
    };
    let crowd: Vec<_> = (0..100).map(flood).collect();
    until("the limit falls", async || limit().await < 60.0).await;
    assert!(limit().await >= 4.0);
    let backends = world.admin("/api/backends").await;
    assert!(backends.text().contains("in quiet times"), "{}", backends.text());
    until("somebody was sent away", async || {
        world.metric("banyan_shed_total{of=\"app\",why=\"full\"}").await > 0.0
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let sent_away: usize = join_all(crowd).await.into_iter().map(Result::unwrap).sum();
    assert!(sent_away > 0);
}
