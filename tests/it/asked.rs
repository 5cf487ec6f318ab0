//! What routes and the operator ask of people, over sockets: what is missing is said, a dry run lets pass, and backends and logs learn
//! what they are to learn.

use std::fs;

use serde_json::{Value, json};

use crate::{
    backend::mirror,
    client::{Answer, Client, Http, until},
    issuer::{GOOD, gate, opened},
    program::run,
    world::World,
};

const ROUTES: &str = r#"
[[routes]]
path = "/account"
auth = "required"
backend = "app"
[[routes]]
path = "/orders"
auth = "required"
backend = "app"
require = { all_scopes = ["orders:read", "orders:list"], claims = { tenant = ["a", "b"] } }
[[routes]]
path = "/staff"
auth = "required"
backend = "app"
require = { groups = ["staff", "board"] }
[[routes]]
path = "/money"
auth = "required"
backend = "app"
require = { max_age = "5m", acr = "mfa" }
[[routes]]
path = "/own"
auth = "required"
backend = "app"
forward_authorization = true
[[routes]]
path = "/trial"
auth = "required"
roles = ["admin"]
report_only = true
backend = "app"
[[routes]]
path = "/secret/trial"
auth = "required"
roles = ["admin"]
report_only = true
backend = "app"
[[routes]]
path = "/*"
auth = "none"
backend = "app"
"#;

const DEMAND: &str = r#"
[[gate.demand]]
path = "/secret/*"
require = { scopes = "secrets" }
"#;

async fn world() -> World {
    let builder = World::new()
        .backend("app", mirror)
        .routes(ROUTES)
        .operator(&(gate("keys.json") + DEMAND));
    fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let mut client = world.client(Http::Two).await;
    until("the issuer's keys", async || {
        ask(&mut client, "/account", json!({})).await.status == 200
    })
    .await;
    world
}

async fn ask(client: &mut Client, path: &str, claims: Value) -> Answer {
    let bearer = format!("Bearer {}", GOOD.token_with("EdDSA", &claims));
    client.get_with(path, &[("authorization", &bearer)]).await
}

#[track_caller]
fn check(answer: &Answer, status: u16, missing: &str, challenge: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let problem: Value = serde_json::from_str(answer.text()).unwrap();
    assert_eq!(problem["missing"], missing);
    assert!(
        answer.header("www-authenticate").contains(challenge),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    let answer = ask(
        &mut client,
        "/orders",
        json!({ "scope": "orders:read", "tenant": "a" }),
    )
    .await;
    let scopes = "error=\"insufficient_scope\", error_description=\"the token has too little scope\", \
                  scope=\"orders:read orders:list\"";
    check(
        &answer,
        403,
        "all of the scopes `orders:read`, `orders:list` is missing",
        scopes,
    );
    let both = "orders:list orders:read";
    let answer = ask(&mut client, "/orders", json!({ "scope": both, "tenant": ["c"] })).await;
    check(
        &answer,
        403,
        "the claim `tenant` with one of the values `a`, `b` is missing",
        "insufficient_scope",
    );
    let good = ask(
        &mut client,
        "/orders",
        json!({ "scope": both, "tenant": ["c", "b"] }),
    )
    .await;
    assert_eq!(good.status, 200);
    let answer = ask(&mut client, "/staff", json!({ "groups": ["guests"] })).await;
    check(
        &answer,
        403,
        "one of the groups `staff`, `board` is missing",
        "insufficient_scope",
    );
    let now = banyan::clock::wall().secs();
    let old = json!({ "acr": "mfa", "auth_time": now - 600 });
    let answer = ask(&mut client, "/money", old).await;
    check(
        &answer,
        401,
        "a sign-in not longer than 300 s ago is missing",
        "error=\"insufficient_user_authentication\", error_description=\"a more recent sign-in is needed\", max_age=\"300\"",
    );
    let weak = json!({ "acr": "pwd", "auth_time": now - 60 });
    let answer = ask(&mut client, "/money", weak).await;
    check(
        &answer,
        401,
        "a sign-in of the kind `mfa` is missing",
        "acr_values=\"mfa\"",
    );
    let good = ask(
        &mut client,
        "/money",
        json!({ "acr": "mfa", "auth_time": now - 60 }),
    )
    .await;
    assert_eq!(good.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_lets_pass_and_counts() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    let seen = client.get("/trial").await.seen();
    assert!(!seen.has("banyan-user"));
    let bad = client
        .get_with("/trial", &[("authorization", "Bearer x")])
        .await
        .seen();
    assert!(
        !bad.has("banyan-user") && bad.has("authorization"),
        "nothing changes for who passes"
    );
    let seen = ask(&mut client, "/trial", json!({ "roles": ["member"] }))
        .await
        .seen();
    assert_eq!(seen.header("banyan-user"), "alice");
    let line = world.logged(|line| line["would_deny"] == "role_missing").await;
    assert_eq!((&line["path"], &line["status"]), (&json!("/trial"), &json!(200)));
    let user = line["user"].as_str().unwrap();
    assert!(user.len() == 22 && user != "alice", "{user}");
    let series =
        "banyan_gate_decisions_total{http_route=\"/trial\",reason=\"credential_missing\",mode=\"report\"}";
    until("the count", async || world.metric(series).await >= 1.0).await;
    // what the operator demands holds all the same
    assert_eq!(client.get("/secret/trial").await.status, 401);
    assert_eq!(
        ask(&mut client, "/secret/trial", json!({ "roles": ["admin"] }))
            .await
            .status,
        403
    );
    assert_eq!(
        ask(&mut client, "/secret/trial", json!({ "scope": "secrets" }))
            .await
            .status,
        200
    );
    assert_eq!(ask(&mut client, "/Secret/x", json!({})).await.status, 403);
    assert_eq!(client.get("/secrets").await.status, 200);
    let series = "banyan_gate_decisions_total{http_route=\"/*\",reason=\"scope_missing\",mode=\"enforce\"}";
    until("the count", async || world.metric(series).await >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_gets_the_credential_only_where_its_route_asks_for_it() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    let seen = ask(&mut client, "/account", json!({})).await.seen();
    assert!(!seen.has("authorization"));
    let jwks = world.admin("/api/identity/jwks").await;
    let first = opened(&seen.header("banyan-identity"), jwks.text());
    assert_eq!((&first["aud"], &first["sub"]), (&json!("app"), &json!("alice")));
    assert_eq!(
        (first["jti"].as_str().unwrap().len(), &first["source"]),
        (22, &json!("bearer"))
    );
    let other = ask(&mut client, "/account", json!({ "sub": "bob" })).await.seen();
    assert_ne!(
        opened(&other.header("banyan-identity"), jwks.text())["jti"],
        first["jti"]
    );
    assert!(
        ask(&mut client, "/own", json!({}))
            .await
            .seen()
            .has("authorization")
    );
    let open = client
        .get_with("/open", &[("authorization", "Basic YTpi")])
        .await
        .seen();
    assert_eq!(open.header("authorization"), "Basic YTpi");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_the_line_that_decides() {
    let world = world().await;
    let folder = world.folder();
    let token = GOOD.token_with("EdDSA", &json!({ "groups": ["guests"] }));
    let told = run(folder, &["explain", "/staff", "--token", &token]);
    assert!(
        told.out
            .contains("one of the groups `staff`, `board` is missing  (routes/world.toml:"),
        "{told:?}"
    );
    assert!(!told.out.contains(&token));
    let told = run(folder, &["explain", "/staff", "--token", "x.y.z"]);
    assert!(
        told.out.contains("refused   401: the token is malformed"),
        "{told:?}"
    );
    let told = run(
        folder,
        &["explain", "/staff", "--user", "u", "--claim", "groups=staff"],
    );
    assert!(told.out.contains("passes as u"), "{told:?}");
    let told = run(folder, &["explain", "/secret/x", "--user", "u"]);
    assert!(
        told.out.contains("the scope `secrets` is missing  (banyan.toml:")
            && told
                .out
                .contains("the operator demands auth required at /secret/* (banyan.toml:"),
        "{told:?}"
    );
    let told = run(folder, &["explain", "/trial", "--user", "u"]);
    assert!(
        told.out
            .contains("passes, as the route only reports; it would be denied: the role `admin` is missing"),
        "{told:?}"
    );
}
