//! Drills from outside: started by API and command line, seen in answers, log, metrics and on the page, and over in time.

use std::{path::Path, time::Duration};

use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    backend::{full, hello},
    client::{self, Answer, Client, Http, until},
    program::run,
    world::World,
};

async fn order(world: &World, path: &str, body: &Value, bearer: bool) -> Answer {
    let address = world.addresses.admin.unwrap();
    let mut client = Client::over(client::tcp(address).await, Http::One, "http", address.to_string()).await;
    let mut request = client.request(&Method::POST, path, full(body.to_string()));
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if bearer {
        headers.insert("authorization", HeaderValue::try_from(world.bearer()).unwrap());
    }
    client.ask(request).await
}

async fn start(world: &World, mut order_of: Value) -> Value {
    order_of["reason"] = "game day".into();
    let answer = order(world, "/api/drills", &order_of, true).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(answer.text()).unwrap()
}

async fn end(world: &World, drill: &Value) {
    let path = format!("/api/drills/{}/end", drill["id"].as_str().unwrap());
    let answer = order(world, &path, &json!({ "reason": "seen enough" }), true).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// 64 KiB, in one piece.
async fn large(_: Request<Incoming>) -> Response<crate::backend::Body> {
    Response::new(full(vec![b'x'; 64 * 1024]))
}

async fn site() -> World {
    World::new()
        .backend("learn", hello("courses"))
        .backend("large", large)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_put_in_where_it_shall_and_nowhere_else() {
    let world = site().await;
    let mut client = world.client(Http::One).await;
    let drill = start(&world, json!({ "route": "/*", "what": "abort=503", "for": "1m" })).await;
    let answer = client.get("/a").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.header("proxy-status"),
        "banyan; error=destination_unavailable; details=\"drill\""
    );
    assert_eq!(client.get("/large/a").await.status, 200, "another route");
    let line = world.logged(|line| line["path"] == "/a").await;
    assert_eq!(
        (&line["drill"], &line["details"], &line["side"]),
        (&"abort".into(), &"drill".into(), &"banyan".into())
    );
    until("metrics of it", async || {
        world.metric("banyan_drills_active").await == 1.0
    })
    .await;
    assert_eq!(
        world
            .metric("banyan_drill_faults_total{route=\"/*\",what=\"abort\"}")
            .await,
        1.0
    );
    let page = world.admin("/").await;
    assert!(
        page.text()
            .contains("<p class=\"drill\" role=\"alert\"><b>Drill d1</b>"),
        "{}",
        page.text()
    );
    let told = world.admin("/api/explain?url=/a").await;
    assert!(told.text().contains("d1: abort=503 for 100 %"), "{}", told.text());
    end(&world, &drill).await;
    assert_eq!(client.get("/a").await.text(), "courses");
    assert!(!world.admin("/").await.text().contains("class=\"drill\""));

    let drill = start(&world, json!({ "path": "/large/*", "what": "delay=400ms" })).await;
    let began = banyan::clock::steady();
    let answer = client.get("/large/b").await;
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(
        (answer.status.as_u16(), answer.header("proxy-status")),
        (200, "banyan; details=\"drill-delay\"")
    );
    end(&world, &drill).await;

    for http in Http::BOTH {
        let drill = start(&world, json!({ "route": "/large/*", "what": "cut=1000B" })).await;
        let mut cut = world.client(http).await;
        let request = cut.request(&Method::GET, "/large/c", full(""));
        assert!(cut.try_ask(request).await.is_err(), "{http:?}: it breaks off");
        end(&world, &drill).await;
        let drill = start(&world, json!({ "route": "/large/*", "what": "throttle=64KiB" })).await;
        let mut slow = world.client(http).await;
        let began = banyan::clock::steady();
        assert_eq!(slow.get("/large/d").await.body.len(), 64 * 1024);
        let took = began.elapsed();
        assert!(
            took > Duration::from_millis(700) && took < Duration::from_secs(4),
            "{http:?}: {took:?}"
        );
        end(&world, &drill).await;
    }
    world
        .logged(|line| line["drill"] == "cut" && line["bytes_out"] == 1000)
        .await;
    world.logged(|line| line["drill"] == "throttle").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_meets_its_share_its_field_or_its_visitor_and_a_field_alone_starts_none() {
    let world = site().await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(client.get_with("/a", &[("x-drill", "yes")]).await.status, 200);
    let drill = start(
        &world,
        json!({ "route": "/*", "what": "abort=500", "header": "X-Drill: yes" }),
    )
    .await;
    assert_eq!(client.get_with("/a", &[("x-drill", "yes")]).await.status, 500);
    assert_eq!(client.get_with("/a", &[("x-drill", "no")]).await.status, 200);
    assert_eq!(client.get("/a").await.status, 200);
    end(&world, &drill).await;
    let drill = start(&world, json!({ "route": "/*", "what": "abort=500", "share": 25 })).await;
    let mut met = 0;
    for _ in 0..400 {
        met += u32::from(client.get("/a").await.status == 500);
    }
    assert!((50..160).contains(&met), "{met} of 400");
    let told: Value = serde_json::from_str(world.admin("/api/drills").await.text()).unwrap();
    assert_eq!(told["drills"][0]["met"], met, "{told}");
    end(&world, &drill).await;
    let drill = start(
        &world,
        json!({ "route": "/*", "what": "abort=500", "visitor": "nobody" }),
    )
    .await;
    assert_eq!(client.get("/a").await.status, 200);
    end(&world, &drill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drills_end_by_themselves_and_are_bounded_and_asked_for_by_somebody_known() {
    let world = site().await;
    start(&world, json!({ "route": "/*", "what": "abort=503", "for": "1s" })).await;
    let mut client = world.client(Http::One).await;
    assert_eq!(client.get("/a").await.status, 503);
    until("the drill's end", async || client.get("/a").await.status == 200).await;
    until("metrics of it", async || {
        world.metric("banyan_drills_active").await == 0.0
    })
    .await;
    let whole = json!({ "route": "/*", "what": "abort=503", "reason": "x" });
    assert_eq!(order(&world, "/api/drills", &whole, false).await.status, 401);
    for (name, value, status) in [
        ("for", json!("2h"), 400),
        ("for", json!("0s"), 400),
        ("what", json!("abort=200"), 400),
        ("what", json!("delay=31s"), 400),
        ("share", json!(0), 400),
        ("share", json!(101), 400),
        ("reason", json!(" "), 400),
        ("path", json!("/a"), 400),
        ("route", json!("/nothing"), 404),
        ("header", json!("no colon"), 400),
        ("whom", json!("all"), 400),
    ] {
        let mut body = whole.clone();
        body[name] = value.clone();
        let answer = order(&world, "/api/drills", &body, true).await;
        assert_eq!(answer.status, status, "{name} {value}: {}", answer.text());
    }
    assert_eq!(
        order(&world, "/api/drills/d99/end", &json!({}), true)
            .await
            .status,
        404
    );
    for _ in 0..8 {
        start(&world, json!({ "route": "/*", "what": "delay=1ms" })).await;
    }
    let answer = order(&world, "/api/drills", &whole, true).await;
    assert!(
        answer.status != 200 && answer.text().contains("8 drills"),
        "{}",
        answer.text()
    );
    // a change of the files changes nothing of them
    world.write(
        "routes/world.toml",
        &format!("{}\n# more\n", world.read("routes/world.toml")),
    );
    world.reload().await;
    let told: Value = serde_json::from_str(world.admin("/api/drills").await.text()).unwrap();
    assert_eq!(told["drills"].as_array().unwrap().len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_starts_lists_and_stops_drills() {
    let world = site().await;
    let config = world.folder().join("banyan.toml");
    let admin = world.addresses.admin.unwrap().to_string();
    let banyan = |arguments: &[&str]| {
        let common = ["--config", config.to_str().unwrap(), "--admin", &admin];
        let all: Vec<String> = ["drill"]
            .iter()
            .chain(&common)
            .chain(arguments)
            .map(|&part| part.to_owned())
            .collect();
        async move { tokio::task::spawn_blocking(move || run_all(&all)).await.unwrap() }
    };
    let (code, out) = banyan(&["list"]).await;
    assert_eq!((code, out.as_str()), (0, "no drill is under way\n"));
    let (code, out) = banyan(&[
        "start",
        "/*",
        "--what",
        "abort=418",
        "--for",
        "1m",
        "--reason",
        "game day",
        "--by",
        "mina",
    ])
    .await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("d1  abort=418 on /*, 100.0 %"), "{out}");
    assert_eq!(world.client(Http::One).await.get("/a").await.status, 418);
    let (_, out) = banyan(&["list"]).await;
    assert!(
        out.contains("1 met") && out.contains("for mina: game day"),
        "{out}"
    );
    let (code, _) = banyan(&["stop", "d1"]).await;
    assert_eq!(code, 0);
    assert_eq!(world.client(Http::One).await.get("/a").await.status, 200);
    assert_eq!(banyan(&["stop", "d1"]).await.0, 1);
    assert_eq!(
        banyan(&["start", "/*", "--what", "melt", "--reason", "x"])
            .await
            .0,
        2
    );
    assert_eq!(
        banyan(&["start", "/*", "--what", "abort=500"]).await.0,
        2,
        "a reason is asked for"
    );
}

fn run_all(arguments: &[String]) -> (i32, String) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = run(Path::new("."), &arguments);
    (ran.code.unwrap_or(-1), ran.out)
}
