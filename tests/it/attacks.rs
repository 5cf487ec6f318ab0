//! What has got around other gates, one request after another over real sockets, with a backend that tells all that it got; and the law
//! behind it: no request that a backend receives was judged as another.

use std::{fmt::Write as _, fs, path::Path};

use banyan::{
    config::Sources,
    fields::Fields,
    gate::TokenMemory,
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance, decide},
    },
};
use http::Method;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    backend::mirror,
    client::{Http, Seen, field, status, until},
    issuer::{GOOD, OTHER, gate},
    offline::{NOW, compiled},
    world::World,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// See the head of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    row: String,
    target: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default = "localhost")]
    host: String,
    token: Option<String>,
    #[serde(default)]
    fields: Vec<String>,
    expect: Option<u16>,
    #[serde(default)]
    expect_any: Vec<u16>,
    sees: Option<String>,
    #[serde(default)]
    lacks: Vec<String>,
    #[serde(default)]
    has: Vec<String>,
    by: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

fn localhost() -> String {
    "localhost".to_owned()
}

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
path = "/session"
auth = "required"
accept = ["session"]
backend = "app"
[[routes]]
path = "/admin/*"
auth = "required"
roles = ["admin"]
backend = "app"
[[routes]]
path = "/files/*"
allow_encoded_slash = true
backend = "app"
[[routes]]
path = "/*"
backend = "app"
"#;

fn operator() -> String {
    let own = r#"
strip = ["X-Remote-User", "X-Amzn-Oidc-*"]
[[gate.demand]]
path = "/vault/*"
"#;
    gate("keys.json") + own
}

fn token(kind: &str) -> String {
    let header = |more: Value| {
        let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "good-EdDSA" });
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        header
    };
    let now = banyan::clock::wall().secs();
    let claims = json!({
        "iss": "https://id.example.test", "aud": "edge", "sub": "alice", "iat": now - 10, "exp": now + 600,
        "client_id": "app", "jti": "n1", "roles": ["admin"],
    });
    let with = |claims: Value| GOOD.token_with("EdDSA", &claims);
    match kind {
        "member" => GOOD.token("EdDSA", "alice", &["member"]),
        "admin" => GOOD.token("ES256", "root", &["admin"]),
        "none" => with(json!({ "sub": "carol" })),
        "odd" => with(json!({ "sub": "a,b é", "roles": ["x,admin", "한"] })),
        "garbage" => "x.y".to_owned(),
        "email" => with(json!({ "sub": null, "email": "alice@example.test" })),
        "elsewhere" => with(json!({ "aud": "app" })),
        "assertion" => GOOD.signed("EdDSA", &header(json!({ "typ": "banyan+jwt" })), &claims),
        "text-exp" => with(json!({ "exp": "99999999999" })),
        "HS256" => GOOD.confused("HS256"),
        "none-alg" => GOOD.confused("none"),
        "five-parts" => format!("{}.a.b", GOOD.token("EdDSA", "alice", &["admin"])),
        "embedded-jwk" => {
            let theirs: Value = serde_json::from_str(&OTHER.jwks()).unwrap();
            OTHER.signed("EdDSA", &header(json!({ "jwk": theirs["keys"][2] })), &claims)
        }
        "crit" => GOOD.signed("EdDSA", &header(json!({ "crit": ["exp"] })), &claims),
        "bound" => with(json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } })),
        other => panic!("no token {other}"),
    }
}

fn request(case: &Case) -> String {
    let target = case.target.replace("{member}", &token("member"));
    let mut text = format!("{} {target} HTTP/1.1\r\nHost: {}\r\n", case.method, case.host);
    if let Some(kind) = &case.token {
        write!(text, "Authorization: Bearer {}\r\n", token(kind)).unwrap();
    }
    for line in &case.fields {
        write!(text, "{line}\r\n").unwrap();
    }
    text + "\r\n"
}

/// What is wrong with an answer.
fn wrong(case: &Case, head: &str, body: &str) -> Option<String> {
    let got = status(head);
    if case.expect != Some(got) && !case.expect_any.contains(&got) {
        return Some(format!("got {got}: {head}{body}"));
    }
    if let Some(word) = &case.by
        && !field(head, "proxy-status").is_some_and(|told| told.contains(word))
    {
        return Some(format!("not by {word}: {head}"));
    }
    if got != 200 {
        return None;
    }
    let seen = Seen(serde_json::from_str(body).unwrap());
    if case
        .sees
        .as_ref()
        .is_some_and(|target| seen.get("target") != target)
    {
        return Some(format!("the backend saw {}", seen.get("target")));
    }
    let fields = seen.0["headers"].as_array().unwrap();
    let text = |pair: &Value, at: usize| pair[at].as_str().unwrap().to_lowercase();
    let folded = |pair: &Value| text(pair, 0).replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    if let Some(pair) = fields.iter().find(|pair| case.lacks.contains(&folded(pair))) {
        return Some(format!("the backend got {pair}"));
    }
    let is_there = |wanted: &&String| {
        let (name, value) = wanted.split_once(": ").unwrap();
        fields
            .iter()
            .any(|pair| pair[0] == name && pair[1].as_str().unwrap() == value)
    };
    let missing = case.has.iter().find(|wanted| !is_there(wanted))?;
    Some(format!("the backend did not get {missing}: {fields:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_around_the_gate() {
    let builder = World::new()
        .backend("app", mirror)
        .routes(ROUTES)
        .operator(&operator());
    fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let mut client = world.client(Http::Two).await;
    let bearer = format!("Bearer {}", token("member"));
    until("the issuer's keys", async || {
        let answer = client.get_with("/account", &[("authorization", &bearer)]).await;
        answer.status == 200
    })
    .await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/gate/attacks.toml");
    let table: Table = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(table.case.len() >= 60, "{} cases only", table.case.len());
    let mut all = String::new();
    for case in &table.case {
        let mut raw = world.raw(Http::One).await;
        raw.send(request(case)).await;
        let (head, body) = raw.answer().await;
        if let Some(wrong) = wrong(case, &head, &body) {
            writeln!(all, "{} ({}): {wrong}", case.row, case.target).unwrap();
        }
    }
    assert!(all.is_empty(), "{all}");
}

/// The site without sockets and without anybody signed in.
fn site() -> Snapshot {
    let backends = "squad = \"world\"\nbackends.app.servers = [\"http://127.0.0.1:1\"]\n";
    let sources = Sources::empty("/site")
        .with(
            "banyan.toml",
            &format!(
                "hosts = [\"localhost\"]\nlisten.https = \"127.0.0.1:0\"\n{}",
                operator()
            ),
        )
        .with("routes/world.toml", &format!("{backends}{ROUTES}"));
    compiled(&sources)
}

/// A path as a careless backend reads it: decoded as often as anything changes, `\` as `/`, no parameters, no dots, no capitals.
fn carelessly(path: &str) -> String {
    let mut text = path.to_lowercase();
    for _ in 0..4 {
        for (code, plain) in [
            ("%2f", "/"),
            ("%5c", "/"),
            ("%2e", "."),
            ("%3b", ";"),
            ("%25", "%"),
            ("\\", "/"),
        ] {
            text = text.replace(code, plain);
        }
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        match segment.split(';').next().unwrap() {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    format!("/{}", kept.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_request_that_a_backend_receives_was_judged_as_another(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "/", "/vault", "/public", "/files", "/admin", "vault", "VAULT", "x", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "\\",
            ";", ";a=b", "%3b", "%25", "%252f", "%76ault", "//", "?", "#", "%00", "%zz", "~", "%7e", "é",
        ]), 0..7),
    ) {
        thread_local! {
            static SITE: Snapshot = site();
        }
        let target = format!("/{}", pieces.concat());
        let memory = TokenMemory::new();
        let headers = Fields::new();
        let ask = Ask {
            entrance: Entrance::Public,
            method: &Method::GET,
            host: "localhost",
            target: &target,
            headers: &headers,
            client: None,
            credential: Credential::Fields(&memory),
            entropy: [0; 16],
        };
        SITE.with(|at| {
            let Ok(decision) = decide(&ask, NOW, at, &mut ()) else { return Ok(()) };
            let judged = decision.path.to_string();
            let query = decision.query.map(str::to_owned);
            let settled = decision.settle();
            let sent = settled.target.unwrap_or_else(|| target.clone());
            let (path, sent_query) = sent.split_once('?').map_or((&*sent, None), |(path, query)| (path, Some(query)));
            prop_assert_eq!(path, &*judged, "what was judged is what is sent");
            prop_assert_eq!(sent_query, query.as_deref());
            let read = carelessly(path);
            prop_assert!(
                read != "/vault" && !read.starts_with("/vault/"),
                "{} was let through unnamed, and may be read as {}", sent, read
            );
            Ok(())
        })?;
    }
}
