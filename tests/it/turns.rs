//! A flood of tokens that nobody has seen: they wait for their turn or are turned away, and everybody else is served meanwhile.

use std::fs;

use http::Method;
use serde_json::json;

use crate::{
    backend::{empty, mirror},
    client::{Answer, Client, Http, until},
    issuer::{GOOD, gate},
    world::{World, within},
};

const ROUTES: &str = r#"
[[routes]]
path = "/account"
auth = "required"
backend = "app"
[[routes]]
path = "/trial"
auth = "required"
roles = ["nobody"]
report_only = true
backend = "app"
[[routes]]
path = "/*"
backend = "app"
"#;
/// As many as one connection may ask at once.
const AT_ONCE: usize = 100;

/// Asks with a token, on a stream of its own.
async fn asked(client: &Client, path: &str, token: &str) -> Answer {
    let mut client = client.another();
    let bearer = format!("Bearer {token}");
    client.get_with(path, &[("authorization", &bearer)]).await
}

/// A token whose signature is wrong in a way that no other's is.
fn forged(number: usize) -> String {
    let token = GOOD.token_with("ES256", &json!({ "jti": format!("n{number}") }));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let last = if signature.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{last}{}", &signature[1..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unseen_tokens_waits_and_others_do_not() {
    let builder = World::new()
        .backend("app", mirror)
        .routes(ROUTES)
        .operator(&gate("keys.json"));
    fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let client = world.client(Http::Two).await; // all on one core
    let known = GOOD.token("EdDSA", "alice", &[]);
    until("the issuer's keys", async || {
        asked(&client, "/account", &known).await.status == 200
    })
    .await;
    let at_once = "banyan_gate_verifications_total{outcome=\"at_once\"}";
    assert!(world.metric(at_once).await >= 1.0);

    let mut turned_away = None;
    for round in 0..20 {
        let tokens: Vec<String> = (0..AT_ONCE)
            .map(|number| forged(round * AT_ONCE + number))
            .collect();
        let flood = tokens.iter().map(|token| asked(&client, "/account", token));
        let flood = futures_util::future::join_all(flood);
        let others = async {
            for _ in 0..10 {
                assert_eq!(
                    asked(&client, "/account", &known).await.status,
                    200,
                    "a known token"
                );
                assert_eq!(client.another().get("/open").await.status, 200, "a public route");
            }
        };
        let (answers, ()) = within("a flood", async { tokio::join!(flood, others) }).await;
        for answer in answers {
            let told = answer.header("proxy-status").to_owned();
            match answer.status.as_u16() {
                401 => assert!(told.contains("token_signature"), "{told}"),
                503 => {
                    assert!(told.contains("token_unverified"), "{told}");
                    turned_away = Some(answer);
                }
                other => panic!("{other}: {answer:?}"),
            }
        }
        if turned_away.is_some() {
            break;
        }
    }
    let turned_away = turned_away.expect("nobody was turned away");
    assert_eq!(turned_away.header("cache-control"), "no-store");
    for outcome in ["waited", "too_many"] {
        let series = format!("banyan_gate_verifications_total{{outcome=\"{outcome}\"}}");
        assert!(world.metric(&series).await > 0.0, "{outcome}");
    }
    // when it is over, who was turned away is let in, and a dry run forgave nothing that it shouldn't
    for (path, who) in [("/account", "bob"), ("/trial", "carol")] {
        let fresh = GOOD.token("RS256", who, &[]);
        let seen = asked(&client, path, &fresh).await.seen();
        assert_eq!(seen.header("banyan-user"), who);
    }
    assert_eq!(world.metric("banyan_gate_verifications_waiting").await, 0.0);
    let request = client.request(&Method::GET, "/account", empty());
    assert_eq!(client.another().ask(request).await.status, 401);
}
