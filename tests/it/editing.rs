//! Flags are changed through the API, the command line and the files, and the history tells all of it.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path};

use banyan::clock::steady;

use http::{Method, Request};
use serde_json::{Value, json};

use crate::{
    backend::{full, hello},
    client::{self, Answer, Client, Http, until},
    program::run,
    world::World,
};

const FLAG: &str =
    "# ours\nvariants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 100.0 # all\n";

async fn world() -> World {
    let routes =
        "[[routes]]\npath = \"/*\"\nflag = \"pay\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n";
    World::new()
        .backend("legacy", hello("legacy"))
        .backend("new", hello("new"))
        .routes(routes)
        .flag("pay", FLAG)
        .start()
        .await
}

/// The admin listener, and what lets in there.
#[derive(Clone)]
struct Door {
    admin: SocketAddr,
    bearer: String,
}

impl Door {
    fn of(world: &World) -> Self {
        Self {
            admin: world.addresses.admin.unwrap(),
            bearer: world.bearer(),
        }
    }
}

async fn send(
    door: &Door,
    method: Method,
    target: &str,
    version: Option<&str>,
    body: &Value,
) -> (Answer, Value) {
    let tcp = client::tcp(door.admin).await;
    let mut client = Client::over(tcp, Http::One, "http", door.admin.to_string()).await;
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", door.admin.to_string())
        .header("authorization", &door.bearer)
        .header("content-type", "application/json");
    if let Some(version) = version {
        request = request.header("if-match", version);
    }
    let answer = client.ask(request.body(full(body.to_string())).unwrap()).await;
    let told = serde_json::from_str(answer.text()).unwrap();
    (answer, told)
}

async fn post(world: &World, target: &str, version: &str, body: Value) -> (Answer, Value) {
    send(&Door::of(world), Method::POST, target, Some(version), &body).await
}

async fn tag(world: &World) -> String {
    world.admin("/api/flags/pay").await.header("etag").to_owned()
}

async fn history(world: &World) -> Vec<Value> {
    let told: Value = serde_json::from_str(world.admin("/api/history?limit=200").await.text()).unwrap();
    told["entries"].as_array().unwrap().clone()
}

fn field<'v>(entries: &'v [Value], name: &str) -> Vec<&'v str> {
    entries
        .iter()
        .map(|entry| entry[name].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_decides_the_next_request_and_a_restore_the_one_after() {
    let world = world().await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(client.get("/").await.text(), "new");
    let mut slowest = std::time::Duration::ZERO;
    for _ in 0..5 {
        let began = steady();
        let (answer, told) = post(
            &world,
            "/api/flags/pay/kill",
            "*",
            json!({ "reason": "it burns" }),
        )
        .await;
        assert_eq!(
            (answer.status.as_u16(), &told["in_force"]),
            (200, &json!(true)),
            "{told}"
        );
        assert_eq!(client.get("/").await.text(), "legacy");
        slowest = slowest.max(began.elapsed());
        let tag = tag(&world).await;
        assert_eq!(tag, format!("\"{}\"", told["version"].as_str().unwrap()));
        let (answer, told) = post(&world, "/api/flags/pay/restore", &tag, json!({})).await;
        assert_eq!(answer.status, 200, "{told}");
        assert_eq!(told["flag"]["state"], "enabled");
        assert_eq!(client.get("/").await.text(), "new");
    }
    println!("from the order to the first request that is decided by it: {slowest:?} at most");
    assert!(slowest < std::time::Duration::from_secs(2), "{slowest:?}");
    let text = world.read("flags/pay.toml");
    assert!(
        text.starts_with("# ours\n") && text.contains("new = 100.0 # all"),
        "{text}"
    );
    let entries = history(&world).await;
    assert_eq!(entries.len(), 10);
    assert_eq!(
        (&entries[1]["reason"], &entries[1]["how"]),
        (&json!("it burns"), &json!("api"))
    );
    assert!(
        entries[1]["diff"]
            .as_str()
            .unwrap()
            .contains("+ state = \"disabled\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_what_it_was_made_for() {
    let world = world().await;
    let door = Door::of(&world);
    let patch = json!({ "description": "Pay", "rollout": { "new": 5.0 } });
    let (answer, told) = send(&door, Method::PATCH, "/api/flags/pay", None, &patch).await;
    assert_eq!(answer.status, 428, "{told}");
    let seen = tag(&world).await;
    let (answer, told) = send(&door, Method::PATCH, "/api/flags/pay", Some(&seen), &patch).await;
    assert_eq!(answer.status, 200, "{told}");
    assert_eq!(told["flag"]["variants"][1]["share"], 5.0);
    let (answer, told) = post(&world, "/api/flags/pay/ramp", &seen, json!({ "share": 7.0 })).await;
    assert_eq!(answer.status, 409, "{told}");
    assert!(told["conflict"]["theirs"].as_str().unwrap().contains("new = 5.0"));
    assert!(told["conflict"]["yours"].as_str().unwrap().contains("new = 7.0"));
    let seen = tag(&world).await;
    let (answer, told) = post(&world, "/api/flags/pay/ramp", &seen, json!({ "share": 700.0 })).await;
    assert_eq!(answer.status, 422, "{told}");
    assert!(
        told["problems"][0]["place"]
            .as_str()
            .unwrap()
            .starts_with("flags/pay.toml:"),
        "{told}"
    );
    let (answer, _) = post(&world, "/api/flags/pay/undo", &seen, json!({})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.read("flags/pay.toml"), FLAG);
    let (answer, _) = post(&world, "/api/flags/none/kill", "*", json!({})).await;
    assert_eq!(answer.status, 404);
    let (answer, _) = post(&world, "/api/flags/pay/ramp", "*", json!({ "shares": 1 })).await;
    assert_eq!(answer.status, 400, "what isn't known isn't looked past");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_set() {
    let world = world().await;
    let points = json!([{ "at": "2026-12-01T08:00:00Z", "shares": { "new": 25.0 } }]);
    let (answer, told) = post(
        &world,
        "/api/flags/pay/schedule",
        "*",
        json!({ "schedule": points }),
    )
    .await;
    assert_eq!(answer.status, 200, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_can_be_tried_as_somebody() {
    let world = world().await;
    let door = Door::of(&world);
    let body = json!({ "flag": "pay", "visitor": "AAAAAAAAAAAAAAAAAAAAAA" });
    let (answer, told) = send(&door, Method::POST, "/api/decide", None, &body).await;
    assert_eq!(
        (answer.status.as_u16(), &told["flag"]["variant"]),
        (200, &json!("new")),
        "{told}"
    );
    let body = json!({ "url": "/x", "at": "2026-12-01T08:00:00Z", "user": "mina", "roles": ["staff"] });
    let (_, told) = send(&door, Method::POST, "/api/decide", None, &body).await;
    assert_eq!(told["request"]["backend"]["backend"], "new", "{told}");
    for (body, status) in [
        (json!({}), 400),
        (json!({ "flag": "none" }), 404),
        (json!({ "flag": "pay", "at": "soon" }), 400),
    ] {
        let (answer, _) = send(&door, Method::POST, "/api/decide", None, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_in_an_editor_is_in_the_history_too() {
    let world = world().await;
    world.write("flags/pay.toml", &FLAG.replace("100.0", "99.0"));
    until("an entry of the saved file", async || {
        history(&world).await.len() == 1
    })
    .await;
    let entries = history(&world).await;
    assert_eq!(entries[0]["how"], "file");
    let tag = tag(&world).await;
    let (answer, told) = post(&world, "/api/flags/pay/undo", &tag, json!({ "by": "mina" })).await;
    assert_eq!(answer.status, 200, "{told}");
    assert_eq!(world.read("flags/pay.toml"), FLAG);
    assert_eq!(history(&world).await[0]["who"], "command line for mina");
}

fn flag(world: &Path, admin: Option<SocketAddr>, arguments: &[&str]) -> crate::program::Ran {
    let mut all = vec!["flag".to_owned()];
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    all.extend(admin.map(|admin| format!("--admin={admin}")));
    run(world, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_changes_flags_through_the_router_and_without_it() {
    let mut world = world().await;
    let (folder, admin) = (world.folder().to_owned(), world.addresses.admin);
    let ran = flag(
        &folder,
        admin,
        &["ramp", "pay", "25", "--by=jo", "--reason=Monday"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("changed and in force"), "{ran:?}");
    assert!(
        flag(&folder, admin, &["list"])
            .out
            .contains("legacy 75 %, new 25 %")
    );
    assert_eq!(flag(&folder, admin, &["kill", "pay"]).code, Some(0));
    assert!(flag(&folder, admin, &["show", "pay"]).out.contains("disabled"));
    assert_eq!(flag(&folder, admin, &["restore", "pay"]).code, Some(0));
    assert_eq!(flag(&folder, admin, &["ramp", "pay", "new=250"]).code, Some(3));
    assert_eq!(flag(&folder, admin, &["ramp", "pay", "much"]).code, Some(2));
    assert_eq!(flag(&folder, admin, &["kill", "none"]).code, Some(1));
    let told = flag(&folder, admin, &["history", "pay"]).out;
    assert!(
        told.contains("pay by command line for jo (cli): Monday") && told.contains("+ new = 25.0"),
        "{told}"
    );
    let refused = flag(&folder, None, &["kill", "pay"]);
    assert_eq!(
        refused.code,
        Some(1),
        "the router that runs has the history: {refused:?}"
    );

    world.drain().await;
    world.ended().await;
    let ran = flag(
        &folder,
        None,
        &["set", "pay", "description=By hand", "rollout.new=30"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("no router answers"), "{ran:?}");
    assert!(flag(&folder, None, &["list"]).out.contains("new 30 %"));
    assert_eq!(flag(&folder, None, &["undo", "pay"]).code, Some(0));
    let told = flag(&folder, None, &["history", "--json"]).out;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["entries"].as_array().unwrap().len(), 5);
    assert_eq!(flag(&folder, None, &["ramp", "pay", "250"]).code, Some(3));
    assert_eq!(flag(&folder, None, &["link", "pay", "new"]).code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_at_once_leave_a_valid_file_and_one_story() {
    let world = world().await;
    let (folder, door) = (world.folder().to_owned(), Door::of(&world));
    let mut running = tokio::task::JoinSet::new();
    for number in 0..180_u32 {
        let door = door.clone();
        running.spawn(async move {
            let body = json!({ "share": f64::from(number) / 4.0, "by": format!("api {number}") });
            let (answer, _) = send(&door, Method::POST, "/api/flags/pay/ramp", Some("*"), &body).await;
            answer.status.as_u16()
        });
    }
    for number in 0..10 {
        let (folder, admin) = (folder.clone(), door.admin);
        running.spawn_blocking(move || {
            let ran = flag(
                &folder,
                Some(admin),
                &["ramp", "pay", &format!("{}.1", 80 + number)],
            );
            if ran.code == Some(0) { 200 } else { 409 }
        });
        let text = FLAG.replace("100.0", &format!("{}.7", 60 + number));
        world.write("flags/pay.toml", &text);
    }
    let statuses: Vec<u16> = running.join_all().await;
    let ends: BTreeSet<u16> = statuses.iter().copied().collect();
    assert!(ends.is_subset(&BTreeSet::from([200, 409])), "{ends:?}");
    until("the last change in force", async || {
        let tag = tag(&world).await;
        let entries = history(&world).await;
        field(&entries, "after_version")[0] == tag.trim_matches('"')
    })
    .await;
    let entries = history(&world).await;
    for pair in entries.windows(2) {
        assert_eq!(pair[0]["before_version"], pair[1]["after_version"]);
    }
    let orders = field(&entries, "how")
        .iter()
        .filter(|how| **how != "file")
        .count();
    let made = statuses.iter().filter(|status| **status == 200).count();
    assert!(orders <= made && orders + 12 >= made, "{orders} of {made}");
    let status = world.reload().await;
    assert!(status.stale.is_empty(), "{:?}", status.problems);
    assert!(fs::read_dir(folder.join("flags")).unwrap().count() == 1);
}
