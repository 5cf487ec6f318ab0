//! Flags for pages and programs over real sockets, by OpenFeature's protocol.

use std::{net::SocketAddr, time::Duration};

use banyan::clock;
use bytes::Bytes;
use http::{Method, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::{
    backend::{channel, empty, full, hello, mirror},
    client::{self, Answer, Client, Http, until},
    issuer::{GOOD, gate},
    process::Program,
    world::{Builder, World, within},
};

const BULK: &str = "/.banyan/ofrep/v1/evaluate/flags";
const EVENTS: &str = "/.banyan/ofrep/v1/events";
const INSIDE: &str = "/ofrep/v1/evaluate/flags";

fn flag(public: bool, rest: &str) -> String {
    format!("public = {public}\nvariants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n{rest}")
}

fn site() -> Builder {
    let routes = "[[routes]]\npath = \"/half\"\nflag = \"half\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n\
        [[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n";
    World::new()
        .backend("legacy", hello("legacy"))
        .backend("new", hello("new"))
        .routes(routes)
        .flag("half", &flag(true, "[rollout]\nnew = 50.0\n"))
        .flag("ramp", &flag(true, "[rollout]\nnew = 0.0\n"))
        .flag("secret", &flag(false, "[rollout]\nnew = 50.0\n"))
}

/// Asks as a page does.
async fn ask(client: &mut Client, path: &str, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut request = client.request(&Method::POST, path, full(body));
    for (name, value) in fields {
        let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    client.ask(request).await
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn context(key: &str) -> String {
    json!({ "context": { "targetingKey": key } }).to_string()
}

/// The variant of a flag in a bulk answer.
fn variant(answer: &Answer, key: &str) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = json_of(answer);
    let flags = body["flags"].as_array().unwrap();
    let flag = flags.iter().find(|flag| flag["key"] == key).expect("the flag");
    flag["variant"].as_str().unwrap_or_default().to_owned()
}

/// A new visitor's cookie, and the side that its first page came from.
async fn arrive(client: &mut Client, path: &str) -> (String, String) {
    let page = client.get_with(path, &[("accept", "text/html")]).await;
    let set = page.header("set-cookie").to_owned();
    (set.split(';').next().unwrap().to_owned(), page.text().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_learns_what_routing_gives_its_visitor_whatever_it_says() {
    let world = site().start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let mut sides = std::collections::BTreeSet::new();
        for _ in 0..32 {
            let (cookie, side) = arrive(&mut client, "/half").await;
            let told = ask(
                &mut client,
                BULK,
                &[("cookie", &cookie)],
                context("somebody-else"),
            )
            .await;
            assert_eq!(variant(&told, "half"), side);
            assert_eq!(told.header("set-cookie"), "");
            assert_eq!(told.header("cache-control"), "no-store");
            let one = ask(
                &mut client,
                &format!("{BULK}/half"),
                &[("cookie", &cookie)],
                context("x"),
            )
            .await;
            assert_eq!(json_of(&one)["value"], side.as_str());
            sides.insert(side);
        }
        assert_eq!(sides.len(), 2, "both sides occur");
        let nobody = ask(&mut client, BULK, &[], context("somebody-else")).await;
        assert_eq!(
            variant(&nobody, "half"),
            "legacy",
            "a script without a cookie gets the default"
        );
        assert_eq!(nobody.header("set-cookie"), "");
        assert!(!nobody.text().contains("secret"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_learns_what_the_gate_gives_its_user() {
    let routes = "[[routes]]\npath = \"/staff\"\nauth = \"optional\"\nflag = \"staff\"\n\
        backends = { legacy = \"legacy\", new = \"new\" }\n[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n";
    let rule = "[[rules]]\nif = { in = [\"staff\", { var = \"user.roles\" }] }\nserve = \"new\"\n";
    let builder = World::new()
        .backend("legacy", hello("legacy"))
        .backend("new", hello("new"))
        .routes(routes)
        .flag("staff", &flag(true, rule))
        .operator(&gate("keys.json"));
    std::fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let mut client = world.client(Http::Two).await;
    let bearer = |roles: &[&str]| format!("Bearer {}", GOOD.token("EdDSA", "mina", roles));
    let staff = bearer(&["staff"]);
    until("the issuer's keys", async || {
        client
            .get_with("/staff", &[("authorization", &staff)])
            .await
            .text()
            == "new"
    })
    .await;
    let forged = r#"{"context":{"targetingKey":"v","user":{"id":"x","roles":["staff"]}}}"#;
    for (credential, expected) in [(staff.clone(), "new"), (bearer(&["guest"]), "legacy")] {
        let fields = [("authorization", credential.as_str())];
        let page = client.get_with("/staff", &fields).await;
        let told = ask(&mut client, BULK, &fields, forged).await;
        assert_eq!(
            (page.text(), variant(&told, "staff").as_str()),
            (expected, expected)
        );
    }
    assert_eq!(
        variant(&ask(&mut client, BULK, &[], forged).await, "staff"),
        "legacy"
    );
    let bad = ask(&mut client, BULK, &[("authorization", "Bearer x.y.z")], forged).await;
    assert_eq!(bad.status, 401, "a bad credential never counts as none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_question_is_said_in_the_protocols_words() {
    let world = site().start().await;
    let half = format!("{BULK}/half");
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for (path, fields, body, status, code) in [
            (BULK, &[][..], "{", 400, "PARSE_ERROR"),
            (BULK, &[], "[]", 400, "INVALID_CONTEXT"),
            (
                &half,
                &[],
                r#"{"context":{"targetingKey":1}}"#,
                400,
                "INVALID_CONTEXT",
            ),
            (
                "/.banyan/ofrep/v1/evaluate/flags/none",
                &[],
                "{}",
                404,
                "FLAG_NOT_FOUND",
            ),
            (
                "/.banyan/ofrep/v1/evaluate/flags/secret",
                &[],
                "{}",
                404,
                "FLAG_NOT_FOUND",
            ),
            (BULK, &[("sec-fetch-site", "cross-site")], "{}", 403, ""),
            (BULK, &[("origin", "https://evil.example")], "{}", 403, ""),
        ] {
            let answer = ask(&mut client, path, fields, body).await;
            let told = json_of(&answer);
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(told["errorCode"].as_str().unwrap_or_default(), code, "{answer:?}");
            assert!(told["errorDetails"].is_string());
        }
        let large = ask(&mut client, BULK, &[], vec![b' '; 64 * 1024 + 1]).await;
        assert_eq!(large.status, 413);
        let mut client = world.client(http).await;
        let got = client.get(BULK).await;
        assert_eq!((got.status.as_u16(), got.header("allow")), (405, "POST"));
        assert_eq!(client.get("/.banyan/ofrep/v1/nothing").await.status, 404);
        let inside = ask(&mut client, INSIDE, &[], "{}").await;
        assert_eq!(inside.text(), "legacy", "on a public host that is a route's");
    }
    let mut plain = world.plain().await;
    assert_eq!(ask(&mut plain, BULK, &[], "{}").await.status, 307);
    let mut raw = world.raw(Http::One).await;
    raw.send(format!(
        "POST {BULK} HTTP/1.1\r\nhost: other.example\r\ncontent-length: 2\r\n\r\n{{}}"
    ))
    .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 421 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_ends_is_given_up() {
    let world = site().start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send(format!(
        "POST {BULK} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{"
    ))
    .await;
    assert!(raw.head().await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_say_whom_they_ask_about_on_the_private_listener() {
    let world = site().backend("other", mirror).start().await;
    for http in Http::BOTH {
        let mut client = world.private(http).await;
        let told = ask(&mut client, INSIDE, &[], context("v1")).await;
        let flags = json_of(&told)["flags"].as_array().unwrap().len();
        assert_eq!(flags, 3, "all of them, public or not");
        let mut sides = std::collections::BTreeSet::new();
        for n in 0..32 {
            let one = ask(
                &mut client,
                &format!("{INSIDE}/secret"),
                &[],
                context(&format!("v{n}")),
            )
            .await;
            sides.insert(json_of(&one)["variant"].as_str().unwrap().to_owned());
        }
        assert_eq!(sides.len(), 2);
        let unkeyed = ask(&mut client, &format!("{INSIDE}/secret"), &[], "{}").await;
        assert_eq!(json_of(&unkeyed)["errorCode"], "TARGETING_KEY_MISSING");
        let foreign = ask(&mut client, INSIDE, &[("origin", "https://evil.example")], "{}").await;
        assert_eq!(foreign.status, 200, "where a program runs is nobody's business");
    }
    let decisions = world.metric("banyan_flag_decisions_total{flag=\"secret\"").await;
    assert!(
        decisions >= 64.0,
        "questions about one flag are counted: {decisions}"
    );
}

/// A stream of changes.
async fn listen(client: &mut Client, path: &str, fields: &[(&str, &str)]) -> Response<Incoming> {
    let mut request = client.request(&Method::GET, path, empty());
    for (name, value) in fields {
        let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

/// The next piece of a stream; empty at its end.
async fn piece(stream: &mut Response<Incoming>) -> String {
    match within("a piece of a stream", stream.body_mut().frame()).await {
        None => String::new(),
        Some(frame) => String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap(),
    }
}

fn id_of(piece: &str) -> String {
    let line = piece.lines().find_map(|line| line.strip_prefix("id: "));
    line.unwrap_or_else(|| panic!("an id in {piece:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_reaches_a_connected_page_within_a_second() {
    let world = site().start().await;
    for (http, share) in [(Http::One, 100.0), (Http::Two, 0.0)] {
        let mut client = world.client(http).await;
        let (cookie, _) = arrive(&mut client, "/half").await;
        let before = ask(&mut client, BULK, &[("cookie", &cookie)], "{}").await;
        let tag = before.header("etag").to_owned();
        let known = [("cookie", cookie.as_str()), ("if-none-match", &tag)];
        let unchanged = ask(&mut client, BULK, &known, "{}").await;
        assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
        assert_eq!(unchanged.header("etag"), tag);

        let mut listening = world.client(http).await;
        let mut stream = listen(&mut listening, EVENTS, &[]).await;
        let hello = piece(&mut stream).await;
        let mut again = world.client(http).await;
        let mut replayed = listen(&mut again, EVENTS, &[("last-event-id", &id_of(&hello))]).await;
        assert!(
            !piece(&mut replayed).await.contains("data:"),
            "who knows it is told nothing"
        );

        world.write("flags/secret.toml", &flag(false, "[rollout]\nnew = 51.0\n"));
        world.reload().await;
        let saved = clock::steady();
        world.write(
            "flags/ramp.toml",
            &flag(true, &format!("[rollout]\nnew = {share:?}\n")),
        );
        let news = piece(&mut stream).await;
        let took = saved.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(news.contains("refetchEvaluation"), "{news:?}");
        let path = format!("{BULK}?flagConfigEtag={}", id_of(&news));
        let after = ask(&mut client, &path, &known, "{}").await;
        assert_eq!(
            variant(&after, "ramp"),
            if share > 0.0 { "new" } else { "legacy" }
        );

        let old = id_of(&hello);
        let mut late = world.client(http).await;
        let mut missed = listen(&mut late, EVENTS, &[("last-event-id", &old)]).await;
        assert!(
            piece(&mut missed).await.contains("refetchEvaluation"),
            "who missed it is told"
        );
        let mut inside = world.private(http).await;
        let mut programs = listen(&mut inside, "/ofrep/v1/events", &[]).await;
        assert_ne!(
            id_of(&piece(&mut programs).await),
            id_of(&news),
            "programs may read other flags"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_streams_so_that_pages_come_back_elsewhere() {
    let mut world = site().start().await;
    let mut clients = Vec::new();
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let mut stream = listen(&mut client, EVENTS, &[]).await;
        piece(&mut stream).await;
        clients.push((client, stream));
    }
    let began = clock::steady();
    world.drain().await;
    for (_, stream) in &mut clients {
        assert_eq!(piece(stream).await, "", "the end, in order");
    }
    drop(clients);
    world.ended().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_its_share_of_streams() {
    let world = site().top("cores = 1").start().await;
    let (mut kept, mut connections) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let client = world.client(Http::Two).await;
        for _ in 0..64 {
            let mut client = client.another();
            kept.push(listen(&mut client, EVENTS, &[]).await);
        }
        connections.push(client);
    }
    assert_eq!(kept.len(), 512);
    assert_eq!(
        world.metric("banyan_flag_streams_open{listener=\"https\"").await,
        512.0
    );
    let mut client = world.client(Http::Two).await;
    let refused = client.get(EVENTS).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (429, "2")
    );
    assert!(json_of(&refused)["errorDetails"].is_string());
    kept.truncate(500);
    until("a seat that was given back", async || {
        let request = client.request(&Method::GET, EVENTS, empty());
        client.send(request).await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_has_its_share_of_questions_and_others_have_theirs() {
    let world = site().top("cores = 1").start().await;
    let (mut unfinished, mut connections) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let client = world.client(Http::Two).await;
        for _ in 0..64 {
            let (sender, body) = channel();
            let mut client = client.another();
            let request = client.request(&Method::POST, BULK, body);
            let asking = tokio::spawn(async move { client.send_patiently(request).await });
            unfinished.push((sender, asking));
        }
        connections.push(client);
    }
    let mut client = world.client(Http::One).await;
    let mut refused = ask(&mut client, BULK, &[], "{}").await;
    until("a refusal", async || {
        refused = ask(&mut client, BULK, &[], "{}").await;
        refused.status == 429
    })
    .await;
    assert_eq!(refused.header("retry-after"), "2");
    let mut other = from("127.0.0.9", world.https(), &world.ca()).await;
    assert_eq!(ask(&mut other, BULK, &[], "{}").await.status, 200);
    for (sender, asking) in unfinished {
        drop(sender);
        let answer = within("an answer", asking).await.unwrap().unwrap();
        assert!([200, 408].contains(&answer.status().as_u16()), "{answer:?}");
    }
    assert_eq!(
        ask(&mut client, BULK, &[], "{}").await.status,
        200,
        "seats come back"
    );
}

/// A TLS connection from an address of this machine's own choice.
async fn from(source: &str, to: SocketAddr, ca: &std::path::Path) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    let tcp = within("a TCP connection", socket.connect(to)).await.unwrap();
    let tls = client::try_tls(tcp, ca, Http::One).await.unwrap();
    Client::over(tls, Http::One, "https", format!("localhost:{}", to.port())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_pages_cost_less_than_64_mib() {
    const PAGES: u64 = 1000;
    let site = site();
    let ca = site.folder().join("state/dev-ca/ca.pem");
    let program = Program::start(site).await;
    let before = program.pss();
    let mut pages = Vec::new();
    for n in 0..PAGES {
        let mut client = from(&format!("127.0.0.{}", 2 + n % 8), program.https, &ca).await;
        let stream = listen(&mut client, EVENTS, &[]).await;
        pages.push((client, stream));
    }
    let each = (program.pss().saturating_sub(before)) / PAGES;
    println!("{each} bytes for each of {PAGES} idle pages");
    assert!(each * PAGES < 64 * 1024 * 1024, "{each} bytes each");
}
