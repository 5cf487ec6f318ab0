//! The gate over real sockets: who comes in, what others are told, and what a backend learns.

use std::sync::{Arc, Mutex};

use http::{Method, Response};
use serde_json::json;

use crate::{
    backend::{Server, Speaks, empty, full, mirror},
    client::{Answer, Client, Http, until},
    issuer::{ALGORITHMS, GOOD, Issuer, OTHER, gate, opened},
    world::{Builder, World},
};

const ROUTES: &str = r#"
[[routes]]
path = "/public/*"
backend = "app"
[[routes]]
path = "/maybe"
auth = "optional"
backend = "app"
[[routes]]
path = "/account"
auth = "required"
backend = "app"
[[routes]]
path = "/staff"
auth = "required"
roles = ["staff", "admin"]
backend = "app"
[[routes]]
path = "/beta"
auth = "optional"
flag = "beta"
backends = { legacy = "app", new = "beta" }
"#;

const BETA: &str = r#"
variants = ["legacy", "new"]
default = "legacy"
[[rules]]
if = { in = ["staff", { var = "user.roles" }] }
serve = "new"
"#;

fn site() -> Builder {
    World::new()
        .backend("app", mirror)
        .backend("beta", mirror)
        .routes(ROUTES)
        .flag("beta", BETA)
}

/// A world that trusts `GOOD` by a file, with its keys read.
async fn world() -> World {
    let builder = site().operator(&gate("keys.json"));
    std::fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    knows(&world, &GOOD).await;
    world
}

/// Waits until the keys of `issuer` are in force.
async fn knows(world: &World, issuer: &Issuer) {
    let token = issuer.token("EdDSA", "early", &[]);
    let mut client = world.client(Http::Two).await;
    until("the issuer's keys", async || {
        ask(&mut client, "/account", &token).await.status == 200
    })
    .await;
}

async fn ask(client: &mut Client, path: &str, token: &str) -> Answer {
    client
        .get_with(path, &[("authorization", &format!("Bearer {token}"))])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_every_algorithm_come_in_and_the_backend_is_told_who() {
    let world = world().await;
    let jwks = world.admin("/api/identity/jwks").await;
    assert_eq!(jwks.status, 200, "{jwks:?}");
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for algorithm in ALGORITHMS {
            let answer = ask(
                &mut client,
                "/account",
                &GOOD.token(algorithm, "alice", &["member", "editor"]),
            )
            .await;
            let seen = answer.seen();
            assert_eq!(seen.header("banyan-user"), "alice", "{algorithm}");
            assert_eq!(seen.header("banyan-roles").replace(' ', ""), "member,editor");
            let told = opened(&seen.header("banyan-identity"), jwks.text());
            assert_eq!((&told["sub"], &told["aud"]), (&json!("alice"), &json!("app")));
            assert_eq!(told["roles"], json!(["member", "editor"]));
            assert!(told["exp"].as_u64().unwrap() > banyan::clock::wall().secs());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_brings_nothing_is_asked_for_a_bearer_token() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    let answer = client.get("/account").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"banyan\"");
    assert!(
        answer.header("proxy-status").contains("http_request_denied"),
        "{answer:?}"
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let basic = client
        .get_with("/account", &[("authorization", "Basic YTpi")])
        .await;
    assert_eq!(basic.status, 401);
    let line = world.logged(|line| line["status"] == 401).await;
    assert_eq!(
        (&line["route"], &line["squad"]),
        (&json!("/account"), &json!("world"))
    );
    assert_eq!(
        world.backend("app").requests(),
        1,
        "only the one that waited for keys"
    );
}

/// Tokens that must open nothing, each with what is wrong with it.
fn bad_tokens() -> Vec<(&'static str, String)> {
    let now = banyan::clock::wall().secs();
    vec![
        (
            "expired",
            GOOD.token_with("EdDSA", &json!({ "iat": now - 7200, "exp": now - 3600 })),
        ),
        ("not yet", GOOD.token_with("EdDSA", &json!({ "nbf": now + 3600 }))),
        (
            "another issuer",
            GOOD.token_with("EdDSA", &json!({ "iss": "https://evil.example" })),
        ),
        (
            "another audience",
            GOOD.token_with("EdDSA", &json!({ "aud": "somebody-else" })),
        ),
        ("another's key", OTHER.token("RS256", "alice", &["admin"])),
        ("alg none", GOOD.confused("none")),
        ("public key as secret", GOOD.confused("HS256")),
        ("no token at all", "x".to_owned()),
        (
            "signature cut",
            GOOD.token("ES256", "alice", &[])
                .rsplit_once('.')
                .unwrap()
                .0
                .to_owned()
                + ".",
        ),
        ("claims exchanged", {
            let (mine, admin) = (
                GOOD.token("EdDSA", "a", &[]),
                GOOD.token("EdDSA", "a", &["admin"]),
            );
            let (mine, admin): (Vec<_>, Vec<_>) = (mine.split('.').collect(), admin.split('.').collect());
            format!("{}.{}.{}", mine[0], admin[1], mine[2])
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_worth_nothing_are_refused_wherever_somebody_looks() {
    let world = world().await;
    let bad = bad_tokens();
    let mut client = world.client(Http::Two).await;
    let before = world.backend("app").requests();
    for (what, token) in &bad {
        for path in ["/account", "/staff", "/maybe"] {
            let answer = ask(&mut client, path, token).await;
            assert_eq!(answer.status, 401, "{what} {path}");
            let challenge = answer.header("www-authenticate");
            assert!(
                challenge.starts_with("Bearer realm=\"banyan\", error=\"invalid_token\""),
                "{what}: {challenge}"
            );
        }
    }
    let good = GOOD.token("EdDSA", "alice", &["admin"]);
    let twice = [
        ("authorization", format!("Bearer {good}")),
        ("authorization", format!("Bearer {}", bad[0].1)),
    ];
    let twice: Vec<(&str, &str)> = twice
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let answer = client.get_with("/account", &twice).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.header("www-authenticate").contains("invalid_request"),
        "{answer:?}"
    );
    assert_eq!(
        world.backend("app").requests(),
        before,
        "nothing reached the backend"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_the_roles_is_enough_and_none_is_forbidden() {
    let world = world().await;
    let mut client = world.client(Http::One).await;
    let answer = ask(&mut client, "/staff", &GOOD.token("ES256", "bob", &["member"])).await;
    assert_eq!(answer.status, 403);
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && !challenge.contains("staff"),
        "{challenge}"
    );
    assert_eq!(
        ask(
            &mut client,
            "/staff",
            &GOOD.token("ES256", "bob", &["member", "admin"])
        )
        .await
        .status,
        200
    );
    let html = client.get_with("/staff", &[("accept", "text/html")]).await;
    assert_eq!(
        (html.status.as_u16(), html.header("content-type")),
        (401, "text/html; charset=utf-8")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn optional_names_who_is_known_and_lets_others_pass() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    let seen = client.get("/maybe").await.seen();
    assert!(!seen.has("banyan-user") && !seen.has("banyan-identity"));
    let seen = ask(&mut client, "/maybe", &GOOD.token("RS256", "carol", &[]))
        .await
        .seen();
    assert_eq!(seen.header("banyan-user"), "carol");
    assert!(!seen.has("banyan-roles"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_identity_never_reaches_a_backend() {
    let world = world().await;
    let forged = [
        ("banyan-user", "root"),
        ("Banyan-Roles", "admin"),
        ("banyan-identity", "a.b.c"),
        ("banyan-flags", "beta=new"),
        ("banyan_user", "root"),
        ("BANYAN-Anything", "1"),
    ];
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for path in ["/public/page", "/maybe"] {
            // HTTP/2 has lower-case names only.
            let lower: Vec<(String, &str)> = forged
                .iter()
                .map(|(name, value)| (name.to_lowercase(), *value))
                .collect();
            let fields: Vec<(&str, &str)> = lower
                .iter()
                .map(|(name, value)| (name.as_str(), *value))
                .collect();
            let seen = client.get_with(path, &fields).await.seen();
            for (name, _) in &lower {
                assert!(!seen.has(name), "{name} came through on {path}");
            }
        }
    }
    let mut private = world.private(Http::One).await;
    let seen = private
        .get_with("/public/page", &[("banyan-user", "root")])
        .await
        .seen();
    assert!(!seen.has("banyan-user"), "nor from inside the network");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_sees_the_roles_of_a_token_and_of_nothing_else() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    let staff = ask(&mut client, "/beta", &GOOD.token("ES256", "dora", &["staff"]))
        .await
        .seen();
    assert_eq!(staff.header("banyan-flags"), "beta=new");
    let member = ask(&mut client, "/beta", &GOOD.token("ES256", "dora", &["member"]))
        .await
        .seen();
    assert_eq!(member.header("banyan-flags"), "beta=legacy");
    let forged = client
        .get_with("/beta", &[("banyan-roles", "staff")])
        .await
        .seen();
    assert_eq!(forged.header("banyan-flags"), "beta=legacy");
    assert_eq!(world.backend("beta").requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_by_a_change_of_their_file() {
    let world = world().await;
    world.write("keys.json", &OTHER.jwks());
    knows(&world, &OTHER).await;
    let mut client = world.client(Http::Two).await;
    let old = ask(&mut client, "/account", &GOOD.token("ES256", "alice", &[])).await;
    assert_eq!(
        old.status, 401,
        "a withdrawn key opens nothing, nor does what it opened before"
    );
    world.write("keys.json", "not a key set");
    world.reload().await;
    assert_eq!(
        ask(&mut client, "/account", &OTHER.token("ES256", "alice", &[]))
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_fetched_from_an_address() {
    let served = Arc::new(Mutex::new(GOOD.jwks()));
    let keys = Arc::clone(&served);
    let provider = Server::new(Speaks::Http1, move |_| {
        std::future::ready(Response::new(full(keys.lock().unwrap().clone())))
    });
    let world = site()
        .operator(&gate(&format!("{}/jwks", provider.url())))
        .start()
        .await;
    knows(&world, &GOOD).await;
    assert!(provider.requests() >= 1);
    let mut client = world.client(Http::Two).await;
    for algorithm in ALGORITHMS {
        assert_eq!(
            ask(&mut client, "/account", &GOOD.token(algorithm, "eve", &[]))
                .await
                .status,
            200
        );
    }
    drop(provider);
    assert_eq!(
        ask(&mut client, "/account", &GOOD.token("RS256", "eve", &[]))
            .await
            .status,
        200,
        "the last keys stay"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_key_nobody_comes_in_and_nobody_is_called_a_liar() {
    let world = site().operator(&gate("missing.json")).start().await;
    let mut client = world.client(Http::Two).await;
    let answer = ask(&mut client, "/account", &GOOD.token("ES256", "alice", &[])).await;
    assert_eq!(answer.status, 503);
    assert!(
        !answer.header("www-authenticate").contains("invalid_token"),
        "{answer:?}"
    );
    assert_eq!(client.get("/public/x").await.status, 200);
    assert_eq!(client.get("/account").await.status, 401);
    let request = client.request(&Method::GET, "/maybe", empty());
    assert_eq!(client.ask(request).await.status, 200);
}
