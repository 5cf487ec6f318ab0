//! What the gate asks of others: a legacy application and an introspection endpoint that are well, slow, down, lying, redirecting, huge.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;

use crate::{
    backend::{Body, Server, Speaks, full, mirror},
    client::{Answer, Client, Http, until},
    issuer::{GOOD, OTHER, gate},
    program,
    world::{Builder, World},
};

/// What somebody who is asked says.
#[derive(Clone)]
enum Says {
    /// This status, `Location` and body.
    This(u16, String),
    /// The same after a while.
    Late(Duration, u16, String),
}

/// Somebody who is asked, and what they heard.
struct Oracle {
    server: Server,
    says: Arc<Mutex<Says>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

#[derive(Debug, Clone)]
struct Heard {
    line: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Heard {
    fn field(&self, name: &str) -> &str {
        let mut fields = self.fields.iter().filter(|(known, _)| known == name);
        let found = fields.next().map_or("", |(_, value)| value.as_str());
        assert!(fields.next().is_none(), "{name} twice: {self:?}");
        found
    }
}

impl Oracle {
    fn new(says: Says) -> Self {
        Self::over(Speaks::Http1, says)
    }

    fn over(speaks: Speaks, says: Says) -> Self {
        let (says, heard) = (Arc::new(Mutex::new(says)), Arc::<Mutex<Vec<_>>>::default());
        let (saying, hearing) = (Arc::clone(&says), Arc::clone(&heard));
        let server = Server::new(speaks, move |request: Request<Incoming>| {
            let (says, hearing) = (saying.lock().unwrap().clone(), Arc::clone(&hearing));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                hearing.lock().unwrap().push(Heard {
                    line: format!("{} {}", head.method, head.uri.path_and_query().unwrap()),
                    fields: head
                        .headers
                        .iter()
                        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                        .collect(),
                    body: String::from_utf8_lossy(&body).into_owned(),
                });
                match says {
                    Says::This(status, body) => said(status, body),
                    Says::Late(after, status, body) => {
                        tokio::time::sleep(after).await;
                        said(status, body)
                    }
                }
            }
        });
        Self { server, says, heard }
    }

    #[expect(clippy::needless_pass_by_value, reason = "texts and JSON as they are written")]
    fn say(&self, status: u16, body: impl ToString) {
        *self.says.lock().unwrap() = Says::This(status, body.to_string());
    }

    fn asked(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    fn last(&self) -> Heard {
        self.heard.lock().unwrap().last().unwrap().clone()
    }
}

fn said(status: u16, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if (300..400).contains(&status) {
        let elsewhere = http::HeaderValue::from_static("/login");
        response.headers_mut().insert("location", elsewhere);
    }
    response
        .headers_mut()
        .insert("set-cookie", http::HeaderValue::from_static("PHPSESSID=renewed"));
    response
}

fn alice() -> serde_json::Value {
    json!({ "user": { "id": "alice", "roles": ["member"], "plan": "pro" } })
}

const ROUTES: &str = r#"
[[routes]]
path = "/public"
auth = "none"
backend = "app"
[[routes]]
path = "/account"
auth = "required"
accept = ["bearer", "legacy"]
backend = "app"
[[routes]]
path = "/staff"
auth = "required"
roles = ["staff"]
accept = ["legacy"]
backend = "app"
[[routes]]
path = "/maybe"
auth = "optional"
accept = ["legacy"]
backend = "app"
[[routes]]
path = "/trial"
auth = "required"
roles = ["staff"]
accept = ["legacy"]
report_only = true
backend = "app"
[[routes]]
path = "/token"
auth = "required"
backend = "app"
[[routes]]
path = "/machine"
auth = "required"
accept = ["key"]
backend = "app"
"#;

/// The same for a gate that has no legacy application to ask.
pub fn without_legacy() -> String {
    let routes = ROUTES.replace("\"bearer\", \"legacy\"", "\"bearer\"");
    routes.replace("accept = [\"legacy\"]\n", "")
}

fn site(oracle: &Oracle, more: &str) -> Builder {
    let gate = format!(
        "[gate]\ndefault_auth = \"none\"\n[gate.legacy]\nbackend = \"legacy\"\npath = \"/api/session?x=1\"\n\
         cookies = [\"PHPSESSID\", \"remember\"]\nid = \"/user/id\"\nroles = \"/user/roles\"\nclaims = \"/user\"\n{more}\n"
    );
    World::new()
        .top("cores = 1")
        .backend("app", mirror)
        .servers("legacy", &[oracle.server.url()])
        .routes(ROUTES)
        .operator(&gate)
}

async fn with_cookie(client: &mut Client, path: &str, cookie: &str) -> Answer {
    client.get_with(path, &[("cookie", cookie)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_in_at_legacy_is_signed_in_here() {
    let legacy = Oracle::new(Says::This(200, alice().to_string()));
    let world = site(&legacy, "").start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let fields = [
            ("cookie", "a=b; PHPSESSID=1; c=d"),
            ("user-agent", "visitor"),
            ("authorization", "Basic YTpi"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-secret", "x"),
        ];
        let answer = client.get_with("/account", &fields).await;
        assert!(!answer.header("set-cookie").contains("renewed"), "{answer:?}");
        let seen = answer.seen();
        assert_eq!(seen.header("banyan-user"), "alice");
        assert_eq!(seen.header("banyan-roles"), "member");
        assert_eq!(seen.header("cookie"), "a=b; PHPSESSID=1; c=d");
    }
    assert_eq!(legacy.asked(), 1, "and is asked about once");
    let heard = legacy.last();
    assert_eq!(heard.line, "GET /api/session?x=1");
    assert_eq!(heard.field("cookie"), "PHPSESSID=1");
    assert_eq!(heard.field("host"), "localhost");
    assert_eq!(heard.field("x-forwarded-proto"), "https");
    assert_eq!(heard.field("user-agent"), "banyan");
    for name in ["authorization", "x-secret", "x-forwarded-for"] {
        assert_eq!(heard.field(name), "", "{heard:?}");
    }
    let mut client = world.client(Http::Two).await;
    assert_eq!(
        with_cookie(&mut client, "/staff", "PHPSESSID=1").await.status,
        403
    );
    let seen = with_cookie(&mut client, "/maybe", "PHPSESSID=1").await.seen();
    assert_eq!(seen.header("banyan-user"), "alice");
    let told = program::run(
        world.folder(),
        &["explain", "/account", "--cookie", "PHPSESSID=77"],
    );
    assert!(
        told.out.contains("GET /api/session?x=1 of backend `legacy`"),
        "{}{}",
        told.out,
        told.err
    );
    assert!(
        !told.out.contains("77") && told.out.contains("401"),
        "{}",
        told.out
    );
    assert_eq!(client.get("/account").await.status, 401);
    assert_eq!(
        with_cookie(&mut client, "/account", "phpsessid=1").await.status,
        401
    );
    assert_eq!(legacy.asked(), 1, "who brings no such cookie is not asked about");
    with_cookie(&mut client, "/account", "PHPSESSID=2").await.seen();
    with_cookie(&mut client, "/account", "remember=1; PHPSESSID=1")
        .await
        .seen();
    assert_eq!(legacy.asked(), 3, "other values are other questions");
    let outcomes = "banyan_lookups_total{whom=\"legacy\",outcome=\"somebody\"}";
    assert_eq!(world.metric(outcomes).await, 3.0);
    until("the measure of answers", async || {
        world.metric("banyan_lookup_answers{kind=\"somebody\"}").await == 3.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_asks_and_forgives_what_comes_of_it() {
    let legacy = Oracle::new(Says::This(200, alice().to_string()));
    let world = site(&legacy, "").start().await;
    let mut client = world.client(Http::Two).await;
    let seen = with_cookie(&mut client, "/trial", "PHPSESSID=1").await.seen();
    assert_eq!(
        seen.header("banyan-user"),
        "alice",
        "who has too few roles is still who they are"
    );
    legacy.say(503, "");
    let seen = with_cookie(&mut client, "/trial", "PHPSESSID=2").await.seen();
    assert!(!seen.has("banyan-user"), "{seen:?}");
    assert_eq!(legacy.asked(), 2);
    assert_eq!(
        with_cookie(&mut client, "/staff", "PHPSESSID=2").await.status,
        503
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_with_one_cookie_are_one_question() {
    let legacy = Oracle::new(Says::Late(Duration::from_millis(300), 200, alice().to_string()));
    let world = site(&legacy, "").start().await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let client = world.client(Http::Two).await;
        for _ in 0..100 {
            let mut client = client.another();
            waiting.push(tokio::spawn(async move {
                with_cookie(&mut client, "/account", "PHPSESSID=1").await.status
            }));
        }
    }
    for one in waiting {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(legacy.asked(), 1);
    let joined = "banyan_lookups_total{whom=\"legacy\",outcome=\"joined\"}";
    assert!(world.metric(joined).await > 900.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_is_finished_also_when_its_first_asker_leaves() {
    let legacy = Oracle::new(Says::Late(Duration::from_millis(300), 200, alice().to_string()));
    let world = site(&legacy, "").start().await;
    let mut leaver = world.client(Http::Two).await;
    let leaving = with_cookie(&mut leaver, "/account", "PHPSESSID=1");
    let left = tokio::time::timeout(Duration::from_millis(100), leaving).await;
    assert!(left.is_err());
    drop(leaver);
    let mut client = world.client(Http::Two).await;
    with_cookie(&mut client, "/account", "PHPSESSID=1").await.seen();
    assert_eq!(legacy.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_and_a_sign_in_at_legacy_count_within_the_stated_time() {
    let legacy = Oracle::new(Says::This(200, alice().to_string()));
    let short = "timeout = \"500ms\"\nremember = \"1s\"\nremember_nobody = \"600ms\"";
    let world = site(&legacy, short).start().await;
    let mut client = world.client(Http::Two).await;
    with_cookie(&mut client, "/account", "PHPSESSID=1").await.seen();
    legacy.say(401, "");
    with_cookie(&mut client, "/account", "PHPSESSID=1").await.seen();
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let out = with_cookie(&mut client, "/account", "PHPSESSID=1").await;
    assert_eq!(out.status, 401);
    legacy.say(200, alice());
    tokio::time::sleep(Duration::from_millis(650)).await;
    with_cookie(&mut client, "/account", "PHPSESSID=1").await.seen();
    assert_eq!(legacy.asked(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_nobody_there_is_nobody_here() {
    let legacy = Oracle::new(Says::This(401, String::new()));
    let world = site(&legacy, "").start().await;
    let mut client = world.client(Http::Two).await;
    let table = [
        (401, String::new()),
        (403, alice().to_string()),
        (302, String::new()),
        (307, alice().to_string()),
        (200, "{}".to_owned()),
        (200, json!({ "user": null }).to_string()),
        (200, json!({ "user": { "id": 0 } }).to_string()),
    ];
    for (number, (status, body)) in table.iter().enumerate() {
        legacy.say(*status, body);
        let cookie = format!("PHPSESSID={number}");
        let answer = with_cookie(&mut client, "/account", &cookie).await;
        assert_eq!(answer.status, 401, "{status} {body}");
        let seen = with_cookie(&mut client, "/maybe", &cookie).await.seen();
        assert!(!seen.has("banyan-user"), "{status} {body}");
        assert_eq!(legacy.asked(), number + 1, "nobody is remembered too");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_nothing_lets_nobody_in_and_is_not_remembered() {
    let legacy = Oracle::new(Says::This(500, String::new()));
    let world = site(&legacy, "").start().await;
    let mut client = world.client(Http::Two).await;
    let huge = format!(
        "{{\"user\":{{\"id\":\"alice\",\"x\":\"{}\"}}}}",
        "x".repeat(80_000)
    );
    let table = [
        (500, alice().to_string(), "status"),
        (404, String::new(), "status"),
        (204, String::new(), "status"),
        (200, "<html>".to_owned(), "malformed"),
        (200, huge, "too_large"),
        (
            200,
            r#"{"user":{"id":"alice","id":"root"}}"#.to_owned(),
            "malformed",
        ),
    ];
    for (number, (status, body, why)) in table.iter().enumerate() {
        let cookie = format!("PHPSESSID={number}");
        legacy.say(*status, body);
        let answer = with_cookie(&mut client, "/account", &cookie).await;
        assert_eq!(answer.status, 503, "{status} {why}");
        assert!(!answer.header("www-authenticate").contains("error"), "{answer:?}");
        let counted = format!("banyan_lookups_total{{whom=\"legacy\",outcome=\"{why}\"}}");
        assert!(world.metric(&counted).await >= 1.0, "{counted}");
        legacy.say(200, alice()); // at once, as nothing was remembered
        with_cookie(&mut client, "/account", &cookie).await.seen();
    }
    let line = world.logged(|line| line["status"] == 503).await;
    assert_eq!(line["gate"], "legacy_unanswered", "{line}");
    let whole = std::fs::read_to_string(world.folder().join("log/access.log")).unwrap();
    assert!(!whole.contains("PHPSESSID"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_legacy_costs_its_deadline_and_then_nothing() {
    let legacy = Oracle::new(Says::Late(Duration::from_secs(30), 200, alice().to_string()));
    let world = site(&legacy, "timeout = \"300ms\"").start().await;
    let mut client = world.client(Http::Two).await;
    let ask = async |client: &mut Client, path: &str, number: usize| {
        let began = banyan::clock::steady();
        let answer = with_cookie(client, path, &format!("PHPSESSID={number}")).await;
        (answer.status.as_u16(), began.elapsed())
    };
    for number in 0..5 {
        let (status, took) = ask(&mut client, "/account", number).await;
        assert_eq!(status, 503);
        assert!(
            took >= Duration::from_millis(280) && took < Duration::from_secs(3),
            "{took:?}"
        );
    }
    for number in 5..30 {
        let (status, took) = ask(&mut client, "/account", number).await;
        assert_eq!(status, 503);
        assert!(took < Duration::from_millis(250), "asking pauses: {took:?}");
    }
    assert_eq!(legacy.asked(), 5);
    assert_eq!(ask(&mut client, "/maybe", 1).await.0, 200, "open pages stay open");
    assert_eq!(ask(&mut client, "/public", 1).await.0, 200);
    assert!(
        world
            .metric("banyan_lookups_total{whom=\"legacy\",outcome=\"paused\"}")
            .await
            >= 25.0
    );
    legacy.say(200, alice());
    until("the end of the pause", async || {
        with_cookie(&mut client, "/account", "PHPSESSID=9").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_legacy_that_is_down_takes_nobody_along_who_is_known() {
    let legacy = Oracle::new(Says::This(200, alice().to_string()));
    let world = site(&legacy, "").start().await;
    let mut client = world.client(Http::Two).await;
    with_cookie(&mut client, "/account", "PHPSESSID=1").await.seen();
    drop(legacy);
    let mut number = 100;
    until("nobody to ask", async || {
        number += 1; // what was under way may still be answered
        let cookie = format!("PHPSESSID={number}");
        with_cookie(&mut client, "/account", &cookie).await.status == 503
    })
    .await;
    for number in 2..20 {
        let answer = with_cookie(&mut client, "/account", &format!("PHPSESSID={number}")).await;
        assert_eq!(answer.status, 503);
        let open = with_cookie(&mut client, "/maybe", &format!("PHPSESSID={number}")).await;
        assert!(!open.seen().has("banyan-user"));
    }
    with_cookie(&mut client, "/account", "PHPSESSID=1").await.seen();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_is_no_reason_to_ask_about_the_cookie() {
    let legacy = Oracle::new(Says::This(200, alice().to_string()));
    let world = site(&legacy, "").start().await;
    let mut client = world.client(Http::Two).await;
    for bad in ["Bearer a.b.c", "Bearer opaque", "Bearer bnk_x", "Bearer"] {
        let fields = [("cookie", "PHPSESSID=1"), ("authorization", bad)];
        let answer = client.get_with("/account", &fields).await;
        assert_eq!(answer.status, 401, "{bad}");
    }
    assert_eq!(legacy.asked(), 0);
}

// Introspection.

fn active() -> serde_json::Value {
    json!({ "active": true, "sub": "bob", "aud": "edge", "token_type": "Bearer", "roles": ["member"], "scope": "read" })
}

fn introspecting(url: &str, more: &str) -> Builder {
    let introspection = format!(
        "[gate]\naudience = \"edge\"\ndefault_auth = \"none\"\nca = \"backend-ca.pem\"\n[gate.introspection]\nurl = \"{url}/oauth2/introspect\"\n\
         client_id = \"edge:1\"\nclient_secret = \"se cret\"\n{more}\n"
    );
    World::new()
        .top("cores = 1")
        .backend("app", mirror)
        .routes(&without_legacy())
        .operator(&introspection)
}

async fn with_token(client: &mut Client, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    client.get_with("/token", &[("authorization", &bearer)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opaque_token_is_worth_what_its_server_says() {
    for speaks in [Speaks::Http1, Speaks::TlsHttp1, Speaks::TlsHttp2] {
        let server = Oracle::over(speaks, Says::This(200, active().to_string()));
        let world = introspecting(&server.server.url(), "").start().await;
        let mut client = world.client(Http::Two).await;
        for _ in 0..3 {
            let seen = with_token(&mut client, "opaque~1+/=").await.seen();
            assert_eq!(seen.header("banyan-user"), "bob");
        }
        assert_eq!(server.asked(), 1, "{speaks:?}");
        let heard = server.last();
        assert_eq!(heard.line.split(' ').next(), Some("POST"));
        assert!(heard.line.ends_with("/oauth2/introspect"), "{heard:?}");
        assert_eq!(
            heard.body,
            "token=opaque%7E1%2B%2F%3D&token_type_hint=access_token"
        );
        assert_eq!(heard.field("authorization"), "Basic ZWRnZSUzQTE6c2UrY3JldA==");
        assert_eq!(heard.field("content-type"), "application/x-www-form-urlencoded");
        assert_eq!(heard.field("cookie"), "");
        server.say(200, json!({ "active": false }));
        let answer = with_token(&mut client, "other").await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.header("www-authenticate").contains("invalid_token"),
            "{answer:?}"
        );
        assert_eq!(with_token(&mut client, "other").await.status, 401);
        assert_eq!(
            server.asked(),
            2,
            "that it is worth nothing is remembered for a while"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_about_tokens_that_lie_let_nobody_in() {
    let server = Oracle::new(Says::This(200, active().to_string()));
    let world = introspecting(&server.server.url(), "").start().await;
    let mut client = world.client(Http::Two).await;
    let change = |name: &str, value: serde_json::Value| {
        let mut answer = active();
        answer[name] = value;
        answer.to_string()
    };
    let now = banyan::clock::wall().secs();
    let table = [
        (200, change("aud", json!("elsewhere")), 401),
        (200, change("exp", json!(now - 1)), 401),
        (200, change("token_type", json!("refresh_token")), 401),
        (200, change("cnf", json!({ "jkt": "x" })), 401),
        (200, change("sub", json!("")), 401),
        (200, change("active", json!("true")), 503),
        (200, "{\"active\":true,\"active\":false}".to_owned(), 503),
        (302, active().to_string(), 503),
        (401, active().to_string(), 503),
        (500, String::new(), 503),
    ];
    for (number, (status, body, expected)) in table.iter().enumerate() {
        server.say(*status, body);
        let answer = with_token(&mut client, &format!("t{number}")).await;
        assert_eq!(answer.status.as_u16(), *expected, "{status} {body}");
        if *expected == 503 {
            server.say(200, active());
            with_token(&mut client, &format!("t{number}")).await.seen();
        }
    }
    assert!(
        server
            .heard
            .lock()
            .unwrap()
            .iter()
            .all(|heard| heard.line.contains("introspect"))
    );
    assert!(
        world
            .metric("banyan_lookups_total{whom=\"introspection\",outcome=\"redirected\"}")
            .await
            >= 1.0
    );
    assert!(
        world
            .metric("banyan_lookups_total{whom=\"introspection\",outcome=\"client_refused\"}")
            .await
            >= 1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_never_counts_beyond_its_end() {
    let server = Oracle::new(Says::This(200, String::new()));
    let world = introspecting(&server.server.url(), "").start().await;
    let mut client = world.client(Http::Two).await;
    let mut answer = active();
    answer["exp"] = json!(banyan::clock::wall().secs() + 2);
    server.say(200, &answer);
    with_token(&mut client, "short").await.seen();
    until("the token's end", async || {
        with_token(&mut client, "short").await.status == 401
    })
    .await;
    assert!(server.asked() <= 3, "{}", server.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_endpoint_is_told_no_token() {
    let server = Oracle::over(Speaks::TlsHttp1, Says::This(200, active().to_string()));
    let builder = introspecting(&server.server.url(), "");
    let world = builder.operator("").start().await;
    world.write(
        "banyan.toml",
        &world.read("banyan.toml").replace("ca = \"backend-ca.pem\"\n", ""),
    );
    world.reload().await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(with_token(&mut client, "opaque").await.status, 503);
    assert_eq!(server.asked(), 0);
}

// The issuer's keys.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_key_names_cost_the_issuer_one_request_at_most() {
    let provider = Oracle::new(Says::This(200, GOOD.jwks()));
    let world = World::new()
        .backend("app", mirror)
        .routes(&without_legacy())
        .operator(&gate(&format!("{}/jwks", provider.server.url())))
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let good = GOOD.token("EdDSA", "early", &[]);
    until("the issuer's keys", async || {
        with_token(&mut client, &good).await.status == 200
    })
    .await;
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let client = world.client(Http::Two).await; // on whichever core
        for _ in 0..50 {
            let (mut client, bad) = (client.another(), OTHER.token("EdDSA", "mallory", &[]));
            waiting.push(tokio::spawn(
                async move { with_token(&mut client, &bad).await.status },
            ));
        }
    }
    for one in waiting {
        assert_eq!(one.await.unwrap(), 401);
    }
    assert!(provider.asked() <= 2, "{}", provider.asked());
    assert!(
        world
            .metric("banyan_gate_keys_fetches_total{outcome=\"good\"}")
            .await
            >= 1.0
    );
    assert!(world.metric("banyan_gate_keys_fetched_timestamp_seconds").await > 1.0e9);
}
