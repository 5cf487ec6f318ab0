//! What has its say before a rollout, over real sockets: other flags, layers, staff; and what time and a reload make of one.

use std::{collections::BTreeMap, time::Duration};

use banyan::{clock, observe::log::rfc3339};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

use crate::{
    backend::{Body, mirror},
    client::{Answer, Client, Http, until},
    issuer::{GOOD, gate},
    program::run,
    world::{Builder, World},
};

const TWO: &str = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n";

/// The flags of a site with a route `/<key>` for each, which answers `x-flags` with what the backend was told.
fn site(flags: &[(&str, &str)]) -> Builder {
    let mut world = World::new().backend("web", told);
    let mut routes = String::new();
    for (key, text) in flags {
        world = world.flag(key, &format!("{TWO}{text}"));
        routes += &format!(
            "[[routes]]\npath = \"/{key}\"\nbackend = \"web\"\nauth = \"optional\"\nflags = [\"{key}\"]\n"
        );
    }
    let all: Vec<String> = flags.iter().map(|(key, _)| format!("\"{key}\"")).collect();
    routes += &format!(
        "[[routes]]\npath = \"/all\"\nbackend = \"web\"\nflags = [{}]\n",
        all.join(", ")
    );
    world.operator(&gate("keys.json")).routes(&routes)
}

async fn told(request: Request<Incoming>) -> Response<Body> {
    let told = request.headers().get("banyan-flags").cloned();
    let mut response = mirror(request).await;
    let told = told.unwrap_or_else(|| HeaderValue::from_static(""));
    response.headers_mut().insert("x-flags", told);
    response
}

async fn start(builder: Builder) -> World {
    std::fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let mut client = world.client(Http::Two).await;
    let bearer = format!("Bearer {}", GOOD.token("EdDSA", "early", &[]));
    until("the issuer's keys", async || {
        let answer = client.get_with("/cart", &[("authorization", &bearer)]).await;
        answer.status == 200
    })
    .await;
    world
}

async fn ask(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut all = vec![("accept", "text/html")];
    all.extend(fields);
    let answer = client.get_with(path, &all).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn told_of(answer: &Answer) -> BTreeMap<String, String> {
    let pairs = answer
        .header("x-flags")
        .split(", ")
        .filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, variant)| (key.to_owned(), variant.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_waits_for_what_it_requires_and_staff_do_not() {
    let staff =
        "[[rules]]\nstaff = true\nif = { in = [\"staff\", { var = \"user.roles\" }] }\nserve = \"new\"\n";
    let cart = format!("requires = [\"account\"]\n{staff}[rollout]\nnew = 100\n");
    let account = |share: u32| format!("[rollout]\nnew = {share}\n");
    let world = start(site(&[("cart", &cart), ("account", &account(0))])).await;
    let mut client = world.client(Http::Two).await;
    let visitor = ask(&mut client, "/cart", &[]).await;
    assert_eq!(told_of(&visitor)["cart"], "legacy");
    let token = format!("Bearer {}", GOOD.token("EdDSA", "alice", &["staff"]));
    let alice = ask(&mut client, "/cart", &[("authorization", &token)]).await;
    assert_eq!(told_of(&alice)["cart"], "new");

    world.write("flags/account.toml", &format!("{TWO}{}", account(100)));
    world.reload().await;
    assert_eq!(told_of(&ask(&mut client, "/cart", &[]).await)["cart"], "new");
    world.write(
        "flags/account.toml",
        &format!("state = \"disabled\"\n{TWO}{}", account(100)),
    );
    world.reload().await;
    assert_eq!(told_of(&ask(&mut client, "/cart", &[]).await)["cart"], "legacy");
    let reasons = world
        .metric("banyan_flag_decisions_total{flag=\"cart\",variant=\"legacy\",reason=\"PREREQUISITE\"}")
        .await;
    assert!(reasons >= 2.0, "{reasons}");
    // taken away, it is kept: a flag is never left to what isn't there
    std::fs::remove_file(world.folder().join("flags/account.toml")).unwrap();
    let status = world.reload().await;
    assert!(status.problems.has_errors(), "{status:?}");
    assert_eq!(told_of(&ask(&mut client, "/cart", &[]).await)["cart"], "legacy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_of_a_layer_share_visitors_out() {
    let member = "layer = \"checkout\"\n[rollout]\nnew = 100\n";
    let layers = "[layers.checkout]\nholdout = 10.0\nflags = { cart = 50.0, pay = 40.0 }\n";
    let world = start(site(&[("cart", member), ("pay", member)]).operator(layers)).await;
    let mut client = world.client(Http::Two).await;
    let mut counts = BTreeMap::new();
    for _ in 0..400 {
        let told = told_of(&ask(&mut client, "/all", &[]).await);
        *counts
            .entry((told["cart"].clone(), told["pay"].clone()))
            .or_insert(0_u32) += 1;
    }
    let count = |cart: &str, pay: &str| {
        f64::from(
            counts
                .get(&(cart.to_owned(), pay.to_owned()))
                .copied()
                .unwrap_or(0),
        )
    };
    assert_eq!(count("new", "new") as u32, 0, "nobody meets both: {counts:?}");
    for (found, p) in [
        (count("new", "legacy"), 0.5),
        (count("legacy", "new"), 0.4),
        (count("legacy", "legacy"), 0.1),
    ] {
        let sigma = (400.0_f64 * p * (1.0 - p)).sqrt();
        assert!((found - 400.0 * p).abs() <= 5.0 * sigma, "{counts:?}");
    }
    let shown = world.admin("/api/flags/pay").await;
    let shown: serde_json::Value = serde_json::from_str(shown.text()).unwrap();
    assert_eq!(
        shown["layer"],
        serde_json::json!({"name": "checkout", "from": 50.0, "to": 90.0})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_comes_into_force_by_itself_and_explain_tells() {
    let soon = clock::wall().secs() + 3;
    let scheduled = format!("[[rollout.schedule]]\nat = {}\nnew = 100\n", rfc3339(soon));
    let world = start(site(&[("cart", &scheduled)])).await;
    let mut client = world.client(Http::Two).await;
    let before = ask(&mut client, "/cart", &[]).await;
    let still = clock::wall().secs() < soon;
    assert!(!still || told_of(&before)["cart"] == "legacy", "{before:?}");
    while clock::wall().secs() <= soon {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(told_of(&ask(&mut client, "/cart", &[]).await)["cart"], "new");
    let shown = run(world.folder(), &["explain", "https://localhost/cart"]);
    assert!(
        shown
            .out
            .contains("by its schedule now legacy 0.000 %, new 100.000 %"),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_split_without_another_epoch_is_told() {
    let flag = |epoch: u32, new: u32| {
        format!(
            "variants = [\"legacy\", \"new\", \"newer\"]\ndefault = \"legacy\"\nepoch = {epoch}\n[rollout]\nnew = 10\n\
             newer = 10\nsplit = {{ new = {new}, newer = {} }}\n",
            100 - new
        )
    };
    let world = World::new()
        .backend("web", mirror)
        .flag("cart", &flag(1, 50))
        .routes("[[routes]]\npath = \"/\"\nbackend = \"web\"\nflags = [\"cart\"]\n")
        .start()
        .await;
    let reload = async |epoch, new| {
        world.write("flags/cart.toml", &flag(epoch, new));
        let status = world.reload().await;
        assert_eq!(status.diff.flags.changed, ["cart"]);
        (status.diff.resplit.clone(), status.diff.to_string())
    };
    let (resplit, told) = reload(1, 60).await;
    assert_eq!(resplit, ["cart"]);
    assert_eq!(
        told,
        "flags ~ cart; visitors split anew without another `epoch`: cart"
    );
    assert_eq!(reload(2, 70).await, (vec![], "flags ~ cart".to_owned()));
}

#[test]
fn check_and_explain_tell_of_other_flags_and_layers() {
    let folder = tempfile::tempdir().unwrap();
    let cart = format!("{TWO}requires = [\"account\"]\nlayer = \"checkout\"\n[rollout]\nnew = 100\n");
    let files = [
        (
            "banyan.toml",
            "hosts = [\"example.com\"]\n[listen]\nhttps = [\"127.0.0.1:0\"]\n[layers.checkout]\nholdout = 100\nflags = { cart = 0 }\n"
                .to_owned(),
        ),
        (
            "routes/shop.toml",
            "squad = \"shop\"\n[backends.web]\nservers = [\"http://127.0.0.1:9\"]\n[[routes]]\npath = \"/*\"\nbackend = \"web\"\nflags = [\"cart\"]\n"
                .to_owned(),
        ),
        ("flags/cart.toml", cart),
        ("flags/account.toml", format!("{TWO}[rollout]\nnew = 100\n")),
    ];
    for (file, text) in &files {
        let file = folder.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let ran = run(folder.path(), &["check", "--strict"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = run(
        folder.path(),
        &["explain", "https://example.com/", "--header", "accept: text/html"],
    );
    assert!(
        ran.out.contains("legacy, LAYER") && ran.out.contains("requires `account`, which will do as new"),
        "{ran:?}"
    );
    assert!(ran.out.contains("of layer `checkout` is not its own"), "{ran:?}");
    std::fs::write(
        folder.path().join("flags/account.toml"),
        format!("{TWO}requires = [\"cart\"]\n"),
    )
    .unwrap();
    let ran = run(folder.path(), &["check"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.err.contains("it requires itself: account → cart → account"),
        "{ran:?}"
    );
}
