//! Fields of answers and who may read them: the tables of `tests/tables/response`, then over real sockets.

use std::{collections::BTreeMap, fs, path::Path};

use banyan::{
    config::{Sources, load_sources},
    fields::Fields,
    gate::TokenMemory,
    policy::{
        cors::{Announced, Verdict, write_preflight},
        response::{Answered, Made},
    },
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance, Stop, decide},
        preflight::Preflight,
        prove,
    },
    visitor::OWN_PREFIX,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde::Deserialize;

use crate::{
    backend::{Body, Server, Speaks, empty, full, hello},
    client::{Answer, Client, Http, until},
    issuer::{GOOD, gate},
    offline::{NOW, Row, compiled},
    websocket::{self, WebSocket},
    world::World,
};

/// A table file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The site's files by path.
    site: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `GET /path?query`.
    request: String,
    #[serde(default = "www")]
    host: String,
    /// The request's.
    #[serde(default)]
    fields: Vec<(String, String)>,
    /// The backend's answer; without it Banyan answered.
    backend: Option<Vec<(String, String)>>,
    /// It did not come over TLS.
    #[serde(default)]
    plain: bool,
    /// What the preflight comes to.
    preflight: Option<String>,
    /// The status of a refusal before any route.
    refused: Option<u16>,
    /// The answer's fields in order.
    expect: Vec<String>,
}

fn www() -> String {
    "www.example.com".to_owned()
}

fn fields(list: &[(String, String)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        fields.append(&name, HeaderValue::from_str(value).unwrap());
    }
    fields
}

impl Case {
    /// What is wrong, if anything.
    fn run(&self, at: &Snapshot) -> Option<String> {
        let (method, target) = self.request.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = fields(&self.fields);
        let memory = TokenMemory::new();
        let ask = Ask {
            entrance: Entrance::Public,
            method: &method,
            host: &self.host,
            target,
            headers: &request,
            client: None,
            credential: Credential::Fields(&memory),
            entropy: [0; 16],
        };
        let decided = decide(&ask, NOW, at, &mut ());
        let mut answer = fields(self.backend.as_deref().unwrap_or_default());
        let (mut preflight, mut refused) = (None, None);
        let route = match &decided {
            Ok(decision) => Some(decision.route),
            Err(stop) => stop.route(),
        };
        match &decided {
            Err(Stop::Preflight(Preflight { answer: told, .. })) => {
                let announced = Announced::read(&method, &request).unwrap();
                write_preflight(&announced, told.ok(), &mut answer);
                preflight = Some(told.map_or_else(|why| why.as_str(), |_| "allowed"));
            }
            Err(Stop::Ambiguous(_)) => refused = Some(400),
            Err(Stop::NoRoute) => refused = Some(404),
            Err(Stop::UnknownHost) => refused = Some(421),
            Err(
                Stop::Method { status, .. } | Stop::ToHttps { status, .. } | Stop::Redirect { status, .. },
            ) => {
                refused = Some(status.as_u16());
            }
            Ok(_) | Err(Stop::Denied { .. } | Stop::PlainHttp { .. } | Stop::Barred { .. }) => {}
        }
        let rules = route.and_then(|route| at.rule(route)?.policy.response.as_ref());
        if let Some(rules) = rules {
            let verdict = match preflight {
                Some(_) => Verdict::Silent,
                None => rules.judge(&method, &request),
            };
            let made = match self.backend {
                Some(_) => Made::ByBackend,
                None => Made::ByBanyan,
            };
            let answered = Answered {
                made,
                secure: !self.plain,
                verdict: &verdict,
                own_cookies: OWN_PREFIX,
            };
            rules.apply(&answered, &mut answer);
        }
        let lines = answer
            .iter()
            .map(|(name, value)| format!("{}: {}", name.as_str(), value.to_str().unwrap()));
        let got = (preflight.map(str::to_owned), refused, lines.collect::<Vec<_>>());
        let expected = (self.preflight.clone(), self.refused, self.expect.clone());
        (got != expected).then(|| format!("{}\n  expected {expected:?}\n  got      {got:?}", self.name))
    }
}

#[track_caller]
fn check_table(file: &str, cases_min: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tables/response")
        .join(file);
    let table: Table = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let site = table.site.iter();
    let site = site.fold(Sources::empty("/site"), |site, (path, text)| {
        site.with(path, text)
    });
    let at = compiled(&site);
    let wrong: Vec<String> = table.cases.iter().filter_map(|case| case.run(&at)).collect();
    assert!(
        wrong.is_empty(),
        "{file}, {} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(table.cases.len() >= cases_min, "{} cases", table.cases.len());
}

#[test]
fn who_may_read_an_answer_is_as_the_table_says() {
    check_table("cors.toml", 50);
}

#[test]
fn the_fields_of_an_answer_are_as_the_table_says() {
    check_table("rules.toml", 18);
}

#[test]
fn explain_says_what_a_route_does_to_answers() {
    let text = fs::read_to_string("tests/tables/response/rules.toml").unwrap();
    let table: Table = toml::from_str(&text).unwrap();
    let site = table.site.iter();
    let at = compiled(&site.fold(Sources::empty("/site"), |site, (path, text)| {
        site.with(path, text)
    }));
    let explained = |method: &str, target: &str, headers: &[(&str, &str)]| {
        let row = Row {
            method: method.to_owned(),
            host: www(),
            target: target.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Row::default()
        };
        let text = row.explained(NOW, &at).to_string();
        let lines = text.lines().filter(|line| line.starts_with("  answer"));
        lines.map(|line| format!("{}\n", line.trim())).collect::<String>()
    };
    assert_eq!(
        explained("GET", "/own", &[]),
        "answer    takes `x-powered-by` away\n\
         answer    takes `server` away\n\
         answer    takes `set-cookie` away\n\
         answer    cache-control: no-store\n\
         answer    x-set: ours\n\
         answer    x-frame-options: DENY, unless the backend says it\n\
         answer    x-default: ours, unless the backend says it\n\
         answer    link: </a.css>; rel=preload, beside the backend's\n\
         answer    set-cookie: seen=1; Secure, beside the backend's\n"
    );
    let from = ("origin", APP);
    let rules = "answer    takes `access-control-allow-origin` away\n\
                 answer    takes `vary` away\n\
                 answer    scripts of https://app.example.com may read GET, HEAD, POST\n";
    let more = "answer    security fields of the preset `standard`\n\
                answer    strict-transport-security: max-age=31536000, over TLS, unless the backend says it\n\
                answer    vary: Accept\n";
    let allowed = "answer    access-control-allow-origin: https://app.example.com\n";
    assert_eq!(
        explained("GET", "/all", &[from]),
        format!("{rules}{allowed}{more}")
    );
    assert_eq!(explained("GET", "/all", &[]), format!("{rules}{more}"));
    assert_eq!(
        explained(
            "OPTIONS",
            "/all",
            &[from, ("access-control-request-method", "PUT")]
        ),
        format!("{rules}{more}answered  204: a preflight, without leave: its method is not in `methods`\n")
    );
    assert_eq!(
        explained(
            "OPTIONS",
            "/all",
            &[from, ("access-control-request-method", "POST")]
        ),
        format!("{rules}{more}answered  204: a preflight: the request that it announces may be sent\n")
    );
    assert_eq!(explained("GET", "/nothing", &[from]), "");
}

#[test]
fn a_squad_tests_its_preflights() {
    let site = |status: u16| {
        let squad = format!(
            "squad = \"learn\"\nbackends.web.servers = [\"http://10.0.0.1:3000\"]\n[[routes]]\npath = \"/a\"\nbackend = \"web\"\n\
             cors = {{ origins = [\"{APP}\"] }}\n[[tests]]\nrequest = \"OPTIONS /a\"\n\
             headers = {{ Origin = \"{APP}\", Access-Control-Request-Method = \"POST\" }}\n\
             expect = {{ status = {status}, route = \"/a\" }}\n"
        );
        let operator = "listen.https = \"127.0.0.1:0\"\n";
        let site = Sources::empty("/site").with("banyan.toml", operator);
        let site = site.with("routes/learn.toml", &squad);
        let loaded = load_sources(&site, &|_| None);
        prove::run(&loaded.settings.unwrap().tests, &compiled(&site))
    };
    assert_eq!(site(204), []);
    assert_eq!(site(200).len(), 1);
}

// === over sockets ===

const APP: &str = "https://app.example.com";

/// Says what a careless backend says, with the status that the path names.
async fn careless(request: Request<Incoming>) -> Response<Body> {
    let status = request
        .uri()
        .path()
        .rsplit('/')
        .next()
        .and_then(|status| status.parse().ok());
    let status = http::StatusCode::from_u16(status.unwrap_or(200)).unwrap();
    let body = match status.as_u16() {
        204 | 304 => empty(),
        _ => full("body"),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    for (name, value) in [
        ("x-powered-by", "PHP"),
        ("access-control-allow-origin", "*"),
        ("set-cookie", "a=b"),
        ("set-cookie", "__Host-banyan=forged"),
        ("etag", "\"1\""),
    ] {
        fields.append(name, HeaderValue::from_static(value));
    }
    response
}

const ROUTES: &str = r#"
[[routes]]
path = "/*"
auth = "none"
backend = "app"
[routes.response]
remove = ["X-Powered-By"]
set = { Cache-Control = "no-store" }
add = { Link = "</a.css>; rel=preload" }
security = "standard"
hsts = { max_age = "1d" }
server_timing = 100
[routes.cors]
origins = ["https://app.example.com"]
methods = ["GET", "PUT"]
headers = ["X-Tenant"]
credentials = true

[[routes]]
path = "/account"
auth = "required"
backend = "app"
[routes.response]
set = { X-Secret = "for those who came in" }
security = "standard"
[routes.cors]
origins = ["https://app.example.com"]
credentials = true

[[routes]]
path = "/gone"
auth = "none"
backend = "gone"
response = { set = { X-Own = "1" }, hsts = {} }
cors = { origins = ["*"] }

[[routes]]
path = "/live"
auth = "none"
backend = "live"
[routes.response]
set = { X-Own = "1" }
security = "standard"
server_timing = 100

[[routes]]
path = "/plain/*"
auth = "none"
backend = "app"
"#;

/// A world with a gate that knows its issuer.
async fn world() -> World {
    let builder = World::new()
        .backend("app", careless)
        .server("live", Server::new(Speaks::Http1, websocket::backend))
        .servers("gone", &["http://127.0.0.1:1".to_owned()])
        .routes(ROUTES)
        .operator(&gate("keys.json"));
    fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let token = format!("Bearer {}", GOOD.token("EdDSA", "early", &[]));
    let mut client = world.client(Http::Two).await;
    until("the issuer's keys", async || {
        client
            .get_with("/account", &[("authorization", &token)])
            .await
            .status
            == 200
    })
    .await;
    world
}

async fn ask(client: &mut Client, method: &Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut request = client.request(method, path, empty());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).unwrap());
    }
    client.ask(request).await
}

/// All values of a field.
fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_a_backend_bears_what_the_route_says() {
    let world = world().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let from = [("origin", APP)];
        for (method, path, status) in [
            (Method::GET, "/a", 200),
            (Method::HEAD, "/a", 200),
            (Method::GET, "/a/204", 204),
            (Method::GET, "/a/304", 304),
            (Method::PUT, "/a/500", 500),
        ] {
            let answer = ask(&mut client, &method, path, &from).await;
            let fields = &answer.headers;
            assert_eq!(answer.status, status, "{http:?} {method} {path}");
            for (name, expected) in [
                ("x-powered-by", &[][..]),
                ("cache-control", &["no-store"]),
                ("link", &["</a.css>; rel=preload"]),
                ("x-content-type-options", &["nosniff"]),
                ("x-frame-options", &["SAMEORIGIN"]),
                ("strict-transport-security", &["max-age=86400"]),
                ("access-control-allow-origin", &[APP]),
                ("access-control-allow-credentials", &["true"]),
                ("vary", &["Origin"]),
                ("set-cookie", &["a=b"]),
                ("etag", &["\"1\""]),
            ] {
                assert_eq!(all(fields, name), expected, "{http:?} {method} {path}: {name}");
            }
            let timing = answer.header("server-timing");
            assert!(timing.starts_with("banyan;dur="), "{timing}");
            assert!(timing.contains(", backend;dur="), "{timing}");
        }
        let other = ask(
            &mut client,
            &Method::GET,
            "/a",
            &[("origin", "https://evil.example")],
        )
        .await;
        assert!(
            !other.headers.contains_key("access-control-allow-origin"),
            "{other:?}"
        );
        assert_eq!(other.header("vary"), "Origin");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_says_nothing_passes_what_the_backend_says() {
    let world = world().await;
    for http in Http::BOTH {
        let answer = ask(
            &mut world.client(http).await,
            &Method::GET,
            "/plain/x",
            &[("origin", APP)],
        )
        .await;
        assert_eq!(answer.header("x-powered-by"), "PHP");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        for name in [
            "vary",
            "server-timing",
            "x-frame-options",
            "strict-transport-security",
        ] {
            assert!(!answer.headers.contains_key(name), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tls_nobody_is_told_to_come_back_over_tls() {
    let world = world().await;
    for http in Http::BOTH {
        let answer = ask(
            &mut world.private(http).await,
            &Method::GET,
            "/a",
            &[("origin", APP)],
        )
        .await;
        assert_eq!(answer.header("x-frame-options"), "SAMEORIGIN");
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert!(!answer.headers.contains_key("strict-transport-security"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_from_elsewhere_can_read_why_it_was_turned_away() {
    let world = world().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let denied = ask(&mut client, &Method::GET, "/account", &[("origin", APP)]).await;
        assert_eq!(denied.status, 401);
        assert_eq!(denied.header("content-type"), "application/problem+json");
        assert_eq!(denied.header("access-control-allow-origin"), APP);
        assert_eq!(denied.header("access-control-allow-credentials"), "true");
        assert_eq!(denied.header("vary"), "Origin");
        assert_eq!(denied.header("x-content-type-options"), "nosniff");
        assert_eq!(denied.header("strict-transport-security"), "max-age=31536000");
        assert!(!denied.headers.contains_key("x-secret"), "{denied:?}");
        let stranger = ask(
            &mut client,
            &Method::GET,
            "/account",
            &[("origin", "https://evil.example")],
        )
        .await;
        assert_eq!(stranger.status, 401);
        assert!(!stranger.headers.contains_key("access-control-allow-origin"));

        let broken = ask(&mut client, &Method::GET, "/gone", &[("origin", APP)]).await;
        assert_eq!(broken.status, 502);
        assert_eq!(broken.header("access-control-allow-origin"), "*");
        assert_eq!(broken.header("strict-transport-security"), "max-age=31536000");
        assert!(!broken.headers.contains_key("x-own"));

        let ambiguous = ask(&mut client, &Method::GET, "/a%2Fb", &[("origin", APP)]).await;
        assert_eq!(ambiguous.status, 400);
        assert!(
            !ambiguous.headers.contains_key("access-control-allow-origin"),
            "no route was found"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_are_answered_at_the_edge_and_reach_no_backend() {
    let world = world().await;
    let before = world.backend("app").requests();
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let announce = |method: &'static str, origin: &'static str| {
            [
                ("origin", origin),
                ("access-control-request-method", method),
                ("access-control-request-headers", "x-tenant"),
            ]
        };
        let leave = ask(&mut client, &Method::OPTIONS, "/a", &announce("PUT", APP)).await;
        assert_eq!((leave.status.as_u16(), leave.body.len()), (204, 0));
        for (name, expected) in [
            ("access-control-allow-origin", APP),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "x-tenant"),
            ("access-control-allow-credentials", "true"),
            ("strict-transport-security", "max-age=86400"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(all(&leave.headers, name), [expected], "{http:?} {name}");
        }
        assert!(leave.header("vary").starts_with("Origin, "), "{leave:?}");
        assert!(leave.headers.contains_key("x-request-id"));
        for (name, none) in [("cache-control", "link"), ("set-cookie", "content-type")] {
            assert!(
                !leave.headers.contains_key(name) && !leave.headers.contains_key(none),
                "{leave:?}"
            );
        }
        for (method, origin) in [("DELETE", APP), ("PUT", "https://evil.example")] {
            let none = ask(&mut client, &Method::OPTIONS, "/a", &announce(method, origin)).await;
            assert_eq!(none.status, 204);
            assert!(
                !none
                    .headers
                    .keys()
                    .any(|name| name.as_str().starts_with("access-control")),
                "{none:?}"
            );
        }
        // a preflight brings no credential, so it is answered before the gate, which the request itself then meets
        let gated = [("origin", APP), ("access-control-request-method", "POST")];
        let gated = ask(&mut client, &Method::OPTIONS, "/account", &gated).await;
        assert_eq!(
            (
                gated.status.as_u16(),
                gated.header("access-control-allow-methods")
            ),
            (204, "POST")
        );
        let request = ask(&mut client, &Method::POST, "/account", &[("origin", APP)]).await;
        assert_eq!(request.status, 401);
        // what announces nothing is no preflight: the gate asks who it is
        let bare = ask(&mut client, &Method::OPTIONS, "/account", &[("origin", APP)]).await;
        assert_eq!(bare.status, 401);
    }
    assert_eq!(world.backend("app").requests(), before);
    let line = world
        .logged(|line| line["method"] == "OPTIONS" && line["status"] == 204)
        .await;
    assert_eq!(
        (line["route"].as_str(), line["outcome"].as_str()),
        (Some("/*"), Some("answered")),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_of_a_route_without_cors_goes_to_its_backend() {
    let world = world().await;
    let before = world.backend("app").requests();
    for http in Http::BOTH {
        let announce = [("origin", APP), ("access-control-request-method", "PUT")];
        let answer = ask(
            &mut world.client(http).await,
            &Method::OPTIONS,
            "/plain/x",
            &announce,
        )
        .await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "body"));
    }
    assert_eq!(world.backend("app").requests(), before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tunnels_are_left_alone() {
    let world = world().await;
    let mut raw = world.raw(Http::One).await;
    raw.send(websocket::request("/live")).await;
    let head = raw.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    for name in [
        "x-own",
        "x-content-type-options",
        "server-timing",
        "strict-transport-security",
    ] {
        assert!(!head.contains(name), "{name}: {head}");
    }
    for http in Http::BOTH {
        let mut socket = WebSocket::open(&world, http, "/live").await;
        socket.echo("hello").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn banyans_own_cookie_outlives_a_route_that_removes_cookies() {
    let world = World::new()
        .backend("legacy", careless)
        .backend("new", hello("new"))
        .routes(
            "[[routes]]\npath = \"/*\"\nflag = \"moving\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n\
             response = { remove = [\"Set-Cookie\"] }\n",
        )
        .flag(
            "moving",
            "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 0.001\n",
        )
        .start()
        .await;
    for http in Http::BOTH {
        let navigation = [("sec-fetch-mode", "navigate")];
        let answer = ask(&mut world.client(http).await, &Method::GET, "/", &navigation).await;
        let cookies = all(&answer.headers, "set-cookie");
        assert!(
            matches!(cookies[..], [own] if own.starts_with("__Host-banyan=") && !own.contains("forged")),
            "{cookies:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_what_the_next_answer_says() {
    let world = World::new()
        .backend("legacy", careless)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\nresponse = { set = { X-Own = \"one\" } }\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(client.get("/").await.header("x-own"), "one");
    let routes = world.read("routes/world.toml");
    world.write("routes/world.toml", &routes.replace("\"one\"", "\"two\""));
    world.reload().await;
    assert_eq!(client.get("/").await.header("x-own"), "two");
    world.write(
        "routes/world.toml",
        &routes.replace("\"one\"", "\"a\\r\\nX-Evil: 1\""),
    );
    world.reload().await;
    let answer = client.get("/").await;
    assert_eq!(answer.header("x-own"), "two", "what was refused changes nothing");
    assert!(!answer.headers.contains_key("x-evil"));
}
