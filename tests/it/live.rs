//! The admin listener's live figures, from the real binary's parts: what visitors were given, and how backends answered.

use http::Response;
use serde_json::Value;

use crate::{
    backend::{full, hello},
    client::{Http, until},
    world::World,
};

const FLAG: &str = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 100.0\n";
const ROUTES: &str = "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n\
    [[routes]]\npath = \"/courses/{slug}\"\nflag = \"move\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n";

/// The last event `live`.
async fn live(world: &World) -> Value {
    let told = world.admin("/api/live?once=true").await;
    let data = told.text().lines().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_and_failures_of_both_sides_are_told_within_seconds() {
    let failing = |_| async { Response::builder().status(500).body(full("no")).unwrap() };
    let world = World::new()
        .backend("legacy", hello("old"))
        .backend("new", failing)
        .flag("move", FLAG)
        .routes(ROUTES)
        .start()
        .await;
    // what came before the first look is nobody's second
    until("the first second", async || {
        live(&world).await["minute_seconds"] != 0
    })
    .await;
    let mut client = world.client(Http::Two).await;
    for _ in 0..5 {
        assert_eq!(client.get("/courses/rust").await.status, 500);
        assert_eq!(client.get("/plain").await.status, 200);
    }
    until("figures", async || {
        live(&world).await["flags"]["move"]["minute"]["new"]["SPLIT"] == 5
    })
    .await;
    until("failures", async || {
        let backends = &live(&world).await["backends"];
        let of = |name: &str, what: &str| backends[name]["minute"][what].clone();
        of("new", "requests") == 5
            && of("new", "failed") == 5
            && of("legacy", "requests") == 5
            && of("legacy", "failed") == 0
            && of("legacy", "p99_ms").is_number()
    })
    .await;
    let answers = world
        .metric("banyan_backend_answers_total{backend=\"new\",class=\"5xx\"}")
        .await;
    assert!((answers - 5.0).abs() < f64::EPSILON, "{answers}");
    let page = world.admin("/flags/move").await;
    assert!(page.text().contains("data-backend=\"new\""), "{}", page.text());
}
