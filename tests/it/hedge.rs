//! A second server for what takes longer than nearly all answers of its route.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::{
    backend::{Server, Speaks, full},
    client::{Client, Http, until},
    world::World,
};

/// Longer than anything takes on a busy machine, and than anybody may wait.
const SLOW: Duration = Duration::from_secs(20);

/// A server that answers by its name, or not for long while it is slow.
fn named(name: &'static str, slow: &Arc<AtomicBool>) -> Server {
    let slow = Arc::clone(slow);
    Server::new(Speaks::Http1, move |_: Request<Incoming>| {
        let slow = slow.load(Ordering::SeqCst);
        async move {
            if slow {
                tokio::time::sleep(SLOW).await;
            }
            Response::new(full(name))
        }
    })
}

/// One core, which asks by turns.
async fn world(servers: &[&Server], hedge: &str, more: &str) -> World {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    World::new()
        .top("cores = 1")
        .servers("app", &urls)
        .settings("app", "pick = \"round-robin\"")
        .settings("app", more)
        .routes(&format!(
            "[[routes]]\npath = \"/*\"\nbackend = \"app\"\n{hedge}\n"
        ))
        .start()
        .await
}

/// So many answers that it is known how long they take.
async fn learn(client: &mut Client) {
    for _ in 0..60 {
        assert_eq!(client.get("/").await.status, 200);
    }
}

async fn hedges(world: &World, outcome: &str) -> f64 {
    let series = format!("banyan_hedges_total{{backend=\"app\",outcome=\"{outcome}\"}}");
    world.metric(&series).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_answers_where_the_first_takes_long() {
    let (one_slow, two_slow) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (one, two) = (named("one", &one_slow), named("two", &two_slow));
    let world = world(
        &[&one, &two],
        "hedge = { share = 10, reserve = 100, min_delay = \"20ms\" }",
        "in_flight_max = 4",
    )
    .await;
    for http in Http::BOTH {
        one_slow.store(false, Ordering::SeqCst);
        let mut client = world.client(http).await;
        learn(&mut client).await;
        one_slow.store(true, Ordering::SeqCst);
        let mut won = 0;
        for _ in 0..10 {
            let began = banyan::clock::steady();
            let answer = client.get("/hedged").await;
            assert!(began.elapsed() < SLOW / 4, "{:?}", began.elapsed());
            assert_eq!(answer.text(), "two");
            match answer.header("proxy-status") {
                "" => {}
                told => {
                    assert_eq!(told, "banyan; next-hop=\"app\"; details=\"hedge won\"");
                    won += 1;
                }
            }
        }
        assert!(won >= 4, "by turns: {won}");
        let request = client.request(&Method::HEAD, "/head", crate::backend::empty());
        assert_eq!(client.ask(request).await.status, 200);
    }
    let line = world.logged(|line| line["hedge"] == "won").await;
    assert_eq!(line["server"], two.url(), "the one that answered: {line}");
    assert_eq!(line["attempts"], 1, "{line}");
    assert!(hedges(&world, "won").await >= 8.0);
    let told = world.admin("/api/explain?url=/hedged").await;
    assert!(
        told.text().contains("a second server after ") && told.text().contains("ms, for 10 % of requests"),
        "{}",
        told.text()
    );
    assert!(world.metric("banyan_backend_retries_total").await.abs() < f64::EPSILON);
    // whoever lost was called back, and its seat is free
    until("nothing is under way", async || {
        world
            .metric("banyan_backend_requests_in_flight{backend=\"app\"}")
            .await
            == 0.0
            && world
                .metric("banyan_bulkhead_used{kind=\"backend\",name=\"app\",what=\"in_flight\"}")
                .await
                == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_may_still_be_faster_and_says_so() {
    let asleep = Arc::<AtomicBool>::default();
    let pauses = |name: &'static str, pause: Duration| {
        let asleep = Arc::clone(&asleep);
        Server::new(Speaks::Http1, move |_: Request<Incoming>| {
            let pause = if asleep.load(Ordering::SeqCst) {
                pause
            } else {
                Duration::ZERO
            };
            async move {
                tokio::time::sleep(pause).await;
                Response::new(full(name))
            }
        })
    };
    let (one, two) = (pauses("one", Duration::from_millis(600)), pauses("two", SLOW));
    let world = world(&[&one, &two], "hedge = { share = 10, reserve = 100 }", "").await;
    let mut client = world.client(Http::One).await;
    learn(&mut client).await;
    asleep.store(true, Ordering::SeqCst);
    let mut words = Vec::new();
    for _ in 0..4 {
        let answer = client.get("/").await;
        assert_eq!(answer.text(), "one");
        words.push(answer.header("proxy-status").to_owned());
    }
    assert!(
        words.iter().any(|told| told.ends_with("details=\"hedge lost\"")),
        "{words:?}"
    );
    assert!(
        words.iter().any(|told| told.ends_with("details=\"hedge won\"")),
        "{words:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_sent_twice_than_the_budget_allows() {
    let slow = Arc::<AtomicBool>::default();
    let (one, two) = (named("one", &slow), named("two", &slow));
    let world = world(
        &[&one, &two],
        "hedge = { share = 0, reserve = 3 }",
        "first_byte_timeout = \"150ms\"\nattempts = 1\neject = { failures = 1000, statuses = \"500\", error_share = 0 }",
    )
    .await;
    let mut client = world.client(Http::Two).await;
    learn(&mut client).await;
    let before = one.requests() + two.requests();
    slow.store(true, Ordering::SeqCst);
    for _ in 0..12 {
        assert_eq!(client.get("/").await.status, StatusCode::GATEWAY_TIMEOUT);
    }
    assert_eq!(one.requests() + two.requests() - before, 12 + 3);
    assert!((hedges(&world, "failed").await - 3.0).abs() < f64::EPSILON);
    assert!((hedges(&world, "budget").await - 9.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_a_body_or_nobody_else_to_ask_is_asked_once() {
    let slow = Arc::<AtomicBool>::default();
    let alone = named("alone", &slow);
    let hedge = "hedge = { share = 10, reserve = 100 }\ntimeouts = { first_byte = \"200ms\" }";
    let once = "attempts = 1\neject = { failures = 1000, statuses = \"500\", error_share = 0 }";
    let single = world(&[&alone], hedge, once).await;
    let mut client = single.client(Http::Two).await;
    learn(&mut client).await;
    slow.store(true, Ordering::SeqCst);
    assert_eq!(client.get("/").await.status, 504);
    assert_eq!(alone.requests(), 61);

    slow.store(false, Ordering::SeqCst);
    let (one, two) = (named("one", &slow), named("two", &slow));
    let pair = world(&[&one, &two], hedge, once).await;
    let mut client = pair.client(Http::Two).await;
    learn(&mut client).await;
    slow.store(true, Ordering::SeqCst);
    for (method, body) in [(Method::POST, ""), (Method::GET, "x"), (Method::DELETE, "")] {
        let request = client.request(&method, "/", full(body));
        assert_eq!(client.ask(request).await.status, 504, "{method}");
    }
    assert_eq!(one.requests() + two.requests(), 60 + 3);
    assert!(pair.metric("banyan_hedges_total").await.abs() < f64::EPSILON);
}
