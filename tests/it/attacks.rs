//! What has got around other gates, one request after another over real sockets, with a backend that tells all that it got; and the law
//! behind it: no request that a backend receives was judged as another.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use banyan::{
    config::Sources,
    fields::Fields,
    gate::{KeySet, TokenMemory},
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance, decide},
    },
};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    backend::{Body, empty, mirror},
    client::{Answer, Client, Http, Seen, field, status, until},
    forged::token,
    issuer::{GOOD, gate},
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
path = "/moved/*"
strip_prefix = "/moved"
add_prefix = "/public/new"
backend = "app"
[[routes]]
path = "/locked/*"
auth = "required"
strip_prefix = "/locked"
backend = "app"
[[routes]]
path = "/fixed/*"
auth = "required"
rewrite = "/public/index.html"
backend = "app"
[[routes]]
path = "/*"
backend = "app"
"#;

/// Hosts of the site: one, and all that are one label below another.
const HOSTS: &str = r#"["localhost", "*.wild.test"]"#;

fn operator() -> String {
    let own = r#"
strip = ["X-Remote-User", "X-Amzn-Oidc-*"]
[[gate.demand]]
path = "/vault/*"
"#;
    gate("keys.json") + own
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

/// The same request for HTTP/2, where one can be made of it: its heads hold no fragment, no way of the connection's own, one host.
fn over_http2(case: &Case, client: &Client) -> Option<Request<Body>> {
    let plain = case.target.starts_with('/')
        && !case.target.contains('#')
        && !case.fields.iter().any(|line| line.starts_with("Connection"));
    let target = case.target.replace("{member}", &token("member"));
    let uri = format!("https://{}{target}", case.host).parse().ok();
    let uri: Uri =
        uri.filter(|uri: &Uri| plain && uri.authority().is_some_and(|host| host.as_str() == case.host))?;
    let mut request = client.request(&Method::GET, "/", empty());
    *request.method_mut() = case.method.parse().unwrap();
    *request.uri_mut() = uri;
    let bearer = case
        .token
        .as_ref()
        .map(|kind| format!("Authorization: Bearer {}", token(kind)));
    for line in case.fields.iter().chain(&bearer) {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some(request)
}

/// An answer's head as HTTP/1.1 has it.
fn as_text(answer: &Answer) -> String {
    let fields = answer.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    format!(
        "HTTP/2 {}\r\n{}",
        answer.status.as_u16(),
        fields.collect::<String>()
    )
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
        .hosts(HOSTS)
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
    assert!(table.case.len() >= 130, "{} cases only", table.case.len());
    let (mut all, mut by_two) = (String::new(), 0);
    for case in &table.case {
        let mut raw = world.raw(Http::One).await;
        raw.send(request(case)).await;
        let (head, body) = raw.answer().await;
        if let Some(wrong) = wrong(case, &head, &body) {
            writeln!(all, "{} ({}): {wrong}", case.row, case.target).unwrap();
        }
        if let Some(request) = over_http2(case, &client) {
            by_two += 1;
            let answer = client.ask(request).await;
            if let Some(wrong) = wrong(case, &as_text(&answer), answer.text()) {
                writeln!(all, "{} ({}) over HTTP/2: {wrong}", case.row, case.target).unwrap();
            }
        }
    }
    assert!(by_two >= table.case.len() / 2, "{by_two} cases only over HTTP/2");
    assert!(all.is_empty(), "{all}");
}

/// The site without sockets and without anybody signed in.
fn site() -> Snapshot {
    let backends = "squad = \"world\"\nbackends.app.servers = [\"http://127.0.0.1:1\"]\n";
    let sources = Sources::empty("/site")
        .with(
            "banyan.toml",
            &format!("hosts = {HOSTS}\nlisten.https = \"127.0.0.1:0\"\n{}", operator()),
        )
        .with("routes/world.toml", &format!("{backends}{ROUTES}"));
    compiled(&sources)
}

/// A path as a careless backend reads it: decoded as often as anything changes, `\` as `/`, no parameters, no dots, no capitals.
fn carelessly(path: &str) -> String {
    let mut text = path.to_lowercase();
    for _ in 0..4 {
        for (code, plain) in [
            ("%c0%ae", "."),
            ("%c0%af", "/"),
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

/// Somebody's tokens, good at [`NOW`]: nobody's, a member's, an administrator's.
fn tokens() -> [Option<String>; 3] {
    let of = |role: &str| {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "good-EdDSA" });
        let claims = json!({
            "iss": "https://id.example.test", "aud": "edge", "sub": role, "iat": NOW.secs() - 10, "exp": NOW.secs() + 600,
            "client_id": "app", "jti": "n1", "roles": [role],
        });
        format!("Bearer {}", GOOD.signed("EdDSA", &header, &claims))
    };
    [None, Some(of("member")), Some(of("admin"))]
}

/// What is decided of a request, and what its backend gets: route, path as judged, target as sent, roles.
type Sent = (usize, String, String, Option<Vec<String>>);

fn sent(
    target: &str,
    host: &str,
    method: &Method,
    headers: &Fields,
    at: &Snapshot,
    memory: &TokenMemory,
) -> Option<Sent> {
    let ask = Ask {
        entrance: Entrance::Public,
        method,
        host,
        target,
        headers,
        client: None,
        credential: Credential::Fields(memory),
        entropy: [0; 16],
    };
    let decision = decide(&ask, NOW, at, &mut ()).ok()?;
    let (route, judged) = (decision.route, decision.path.to_string());
    let roles = decision.identity.as_ref().map(|identity| identity.roles.clone());
    let rewritten = decision.forwarded.is_some();
    let settled = decision.settle();
    let sent = settled.target.unwrap_or_else(|| target.to_owned());
    let (path, query) = sent
        .split_once('?')
        .map_or((&*sent, None), |(path, query)| (path, Some(query)));
    assert!(rewritten || path == judged, "what was judged is what is sent");
    assert_eq!(
        query,
        target.split_once('?').map(|(_, query)| query),
        "queries are nobody's business"
    );
    Some((route.0 as usize, judged, sent, roles))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn no_request_that_a_backend_receives_was_judged_as_another(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "/", "/vault", "/public", "/files", "/admin", "/locked", "/moved", "/account", "vault", "VAULT", "x", ".", "..", "%2e",
            "%2E", "%2f", "%2F", "%5c", "\\", ";", ";a=b", "%3b", "%25", "%252f", "%252e", "%76ault", "%61dmin", "//", "?", "%3f", "#",
            "%23", "%00", "%zz", "%", "~", "%7e", "é", "%c3%a9", "%c0%ae", "%c0%af", "%09", "%0d%0a", ":", "@", "*",
        ]), 0..8),
        (who, method) in (0..3_usize, prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::OPTIONS])),
        noise in prop::sample::subsequence(vec![
            ("x-original-url", "/public/x"), ("x-rewrite-url", "/public/x"), ("x-forwarded-uri", "/public/x"),
            ("x-forwarded-prefix", "/public"), ("x-forwarded-host", "a.wild.test"), ("x-http-method-override", "OPTIONS"),
            ("user-agent", "GoogleHC/1.0"), ("banyan-user", "root"), ("banyan_roles", "admin"), ("x-remote-user", "root"),
            ("cookie", "__Host-banyan-session=1.k1.AAAA"),
        ], 0..4),
    ) {
        thread_local! {
            static SITE: (Snapshot, TokenMemory, [Option<String>; 3]) = {
                let site = site();
                let gate = site.gate.as_ref().unwrap();
                gate.keys.store(Arc::new(KeySet::parse(&GOOD.jwks()).unwrap().0));
                (site, TokenMemory::new(), tokens())
            };
        }
        let target = format!("/{}", pieces.concat());
        SITE.with(|(at, memory, tokens)| {
            let mut plain = Fields::new();
            if let Some(token) = &tokens[who] {
                plain.insert("authorization", token);
            }
            let mut noisy = plain.clone();
            for (name, value) in noise {
                noisy.insert(name, value);
            }
            let decided = sent(&target, "localhost", &method, &noisy, at, memory);
            prop_assert_eq!(&decided, &sent(&target, "localhost", &method, &plain, at, memory), "fields changed it");
            let Some((route, judged, sent_on, roles)) = decided else { return Ok(()) };
            let below = |path: &str, root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
            // what asks for somebody got somebody
            let named = below(&judged, "/locked") || below(&judged, "/fixed") || judged == "/account" || below(&judged, "/vault");
            prop_assert!(!named || roles.is_some(), "{} passed unnamed", judged);
            let is_admin = roles.as_ref().is_some_and(|roles| roles.iter().any(|role| role == "admin"));
            prop_assert!(!judged.starts_with("/admin/") || is_admin, "{} passed without the role", judged);
            // nor does a backend that reads carelessly find what the operator keeps for those who are known
            let path = sent_on.split('?').next().unwrap();
            let rewritten = path != judged;
            prop_assert!(
                rewritten || !below(&carelessly(path), "/vault") || roles.is_some(),
                "{} was let through unnamed, and may be read as {}", path, carelessly(path)
            );
            // sent once more, what a backend got is judged as it was
            if !rewritten {
                let again = sent(&sent_on, "localhost", &method, &plain, at, memory);
                prop_assert_eq!(again, Some((route, judged, sent_on, roles)));
            }
            Ok(())
        })?;
    }
}
