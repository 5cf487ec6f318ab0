//! `banyan explain --live` and what the admin API takes for it: the decision of the router that runs, with what only it knows.

use std::fs;

use serde_json::{Value, json};

use crate::{
    backend::mirror,
    client::{Http, until},
    issuer::{GOOD, gate},
    program::{Ran, run},
    world::World,
};

const ROUTES: &str = r#"
[[routes]]
path = "/staff"
auth = "required"
backend = "app"
require = { groups = ["staff"] }
[[routes]]
path = "/old/*"
auth = "none"
backend = "app"
[[routes]]
path = "/*"
auth = "none"
backend = "app"
"#;

const LEGACY: &str = r#"
default_accept = ["bearer", "legacy"]
[gate.legacy]
backend = "app"
path = "/who"
cookies = ["SID"]
id = "/id"
[[gate.demand]]
path = "/old/*"
"#;

async fn world() -> World {
    let builder = World::new()
        .backend("app", mirror)
        .routes(ROUTES)
        .operator(&(gate("keys.json") + LEGACY));
    fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let mut client = world.client(Http::Two).await;
    let bearer = format!(
        "Bearer {}",
        GOOD.token_with("EdDSA", &json!({ "groups": ["staff"] }))
    );
    until("the issuer's keys", async || {
        let answer = client.get_with("/staff", &[("authorization", &bearer)]).await;
        answer.status == 200
    })
    .await;
    world
}

fn live(world: &World, arguments: &[&str]) -> Ran {
    let admin = world.addresses.admin.unwrap().to_string();
    let all = [&["explain"], arguments, &["--live", "--admin", &admin]].concat();
    run(world.folder(), &all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_router_says_what_it_would_do() {
    let world = world().await;
    let token = GOOD.token_with("EdDSA", &json!({ "groups": ["staff"] }));
    fs::remove_file(world.folder().join("keys.json")).unwrap(); // only the router knows them now
    let offline = run(world.folder(), &["explain", "/staff", "--token", &token]);
    assert!(offline.err.contains("keys.json"), "{offline:?}");
    let told = live(&world, &["/staff", "--token", &token]);
    assert!(told.out.contains("passes as alice"), "{told:?}");
    assert!(!told.out.contains(&token));
    let guest = GOOD.token_with("EdDSA", &json!({ "groups": ["guests"] }));
    let told = live(&world, &["/staff", "--token", &guest]);
    assert!(
        told.out
            .contains("the group `staff` is missing  (routes/world.toml:"),
        "{told:?}"
    );
    let told = live(&world, &["/staff", "--user", "u", "--claim", "groups=staff"]);
    assert!(told.out.contains("passes as u"), "{told:?}");
    let told = live(&world, &["/staff", "--user", "u", "--claim", "groups"]);
    assert_eq!(told.code, Some(2), "{told:?}");
    let told = live(&world, &["/staff", "--token", &token, "--keys", "keys.json"]);
    assert_eq!(told.code, Some(2), "{told:?}");

    // what is no part of any file
    let admin = world.addresses.admin.unwrap().to_string();
    let drill = [
        "drill", "start", "/*", "--what", "delay=1s", "--reason", "x", "--admin", &admin,
    ];
    let started = run(world.folder(), &drill);
    assert_eq!(started.code, Some(0), "{started:?}");
    let told = live(&world, &["https://localhost/x?y=1", "-m", "post", "-H", "X-A: 1"]);
    assert!(
        told.out.contains("DRILL") && told.out.contains("delay"),
        "{told:?}"
    );
    let offline = run(world.folder(), &["explain", "/x"]);
    assert!(!offline.out.contains("delay"), "{offline:?}");
    let json = live(&world, &["/x", "--json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["drills"].as_array().unwrap().len(), 1, "{json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_demands_is_asked_about() {
    let world = world().await;
    let asked = "GET /who of backend `app`";
    let arguments = ["explain", "/old/x", "--cookie", "SID=1"];
    let told = run(world.folder(), &arguments);
    assert!(told.out.contains(asked), "{told:?}");
    let told = live(&world, &arguments[1..]);
    assert!(told.out.contains(asked), "{told:?}");
    let told = run(world.folder(), &["explain", "/new/x", "--cookie", "SID=1"]);
    assert!(!told.out.contains(asked), "nobody is asked about that: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_api_takes_claims() {
    let world = world().await;
    let verdict = async |query: &str| {
        let answer = world.admin(&format!("/api/explain?url=/staff&{query}")).await;
        let told: Value = serde_json::from_str(answer.text()).unwrap();
        (
            answer.status.as_u16(),
            told["gate"]["verdict"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        verdict("user=u&claim=groups%3Dstaff").await,
        (200, "passes".to_owned())
    );
    assert_eq!(
        verdict("user=u&claim=groups%3Dguests&claim=groups%3Dstaff")
            .await
            .1,
        "passes"
    );
    assert_eq!(
        verdict("user=u&claim=groups%3Dguests").await.1,
        "the group `staff` is missing"
    );
    assert_eq!(verdict("claim=groups%3Dstaff").await.0, 400, "whose?");
    assert_eq!(verdict("user=u&claim=groups").await.0, 400);
}
