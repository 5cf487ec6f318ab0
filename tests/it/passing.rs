//! `[routes.forward]` over real sockets: what of a visitor's headers, cookies and queries reaches a backend that tells all it got.

use std::collections::BTreeSet;

use banyan::{config::Sources, snapshot::diff::Diff};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;

use crate::{
    backend::{Body, Server, Speaks, full, mirror, read_head, with_trailers},
    client::{Client, Http, Seen, status, until},
    issuer::{GOOD, gate},
    offline::compiled,
    websocket::{self, WebSocket},
    world::World,
};

const ROUTES: &str = r#"
[[routes]]
path = "/none/*"
backend = "app"
forward = { headers = "none", cookies = "none", query = "none" }

[[routes]]
path = "/only/*"
backend = "app"
[routes.forward]
headers = { only = ["accept", "X-Tenant", "X-App-*"] }
cookies = { only = ["session", "ab_*"] }
query = { only = ["page", "filter[*]"] }

[[routes]]
path = "/except/*"
backend = "app"
[routes.forward]
headers = { except = ["Referer", "X-Debug-*"] }
cookies = { except = ["_g?", "theme"] }
query = { except = ["utm_*"] }

[[routes]]
path = "/*"
backend = "app"
"#;

/// A browser's request with everything in it.
const FIELDS: [(&str, &str); 13] = [
    ("accept", "text/html"),
    ("accept-encoding", "br, gzip"),
    ("accept-language", "ko"),
    ("authorization", "Bearer x"),
    ("cache-control", "no-cache"),
    (
        "cookie",
        "theme=dark; session=s1; _ga=7; ab_new=1; Session=no; _gid=2; ab_cart=b=c",
    ),
    ("if-none-match", "\"1\""),
    ("origin", "https://localhost"),
    ("referer", "https://localhost/"),
    ("user-agent", "Mozilla/5.0"),
    ("x-app-version", "7"),
    ("x-debug-trace", "1"),
    ("x-tenant", "inf"),
];
const QUERY: &str = "utm_source=a&page=2&&filter%5Bx%5D=%2f&UTM_x=1&flag&utm_medium=b&page=3";

/// What Banyan says itself.
const OWN: [&str; 9] = [
    "forwarded",
    "host",
    "traceparent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

fn names(seen: &Seen) -> BTreeSet<String> {
    let pairs = seen.0["headers"].as_array().unwrap().iter();
    let names = pairs.map(|pair| pair[0].as_str().unwrap().to_owned());
    names.filter(|name| !OWN.contains(&name.as_str())).collect()
}

/// Asks with all of it; the names of the fields that the backend got, Banyan's own aside.
#[track_caller]
fn check(seen: &Seen, target: &str, cookie: &str, fields: &[&str]) {
    assert_eq!(seen.get("target"), target);
    assert_eq!(seen.header("cookie"), cookie);
    let mut expected: BTreeSet<String> = fields.iter().map(|name| (*name).to_owned()).collect();
    if !cookie.is_empty() {
        expected.insert("cookie".to_owned());
    }
    assert_eq!(names(seen), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_gets_what_its_route_forwards_and_nothing_else() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .server("app", Server::new(speaks, mirror))
            .routes(ROUTES)
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let mut ask =
                async |path: &str| client.get_with(&format!("{path}?{QUERY}"), &FIELDS).await.seen();
            let seen = ask("/none/a").await;
            let always = ["accept-encoding", "cache-control", "if-none-match", "user-agent"];
            check(&seen, "/none/a", "", &always);
            assert_eq!(seen.header("user-agent"), "Banyan");
            assert_eq!(seen.header("accept-encoding"), "identity");
            let seen = ask("/only/a").await;
            let listed = [&always[..], &["accept", "x-app-version", "x-tenant"]].concat();
            let query = "page=2&filter%5Bx%5D=%2f&page=3";
            check(
                &seen,
                &format!("/only/a?{query}"),
                "ab_cart=b=c; ab_new=1; session=s1",
                &listed,
            );
            let seen = ask("/except/a").await;
            let others = FIELDS.map(|(name, _)| name);
            let others: Vec<&str> = others
                .into_iter()
                .filter(|name| !["referer", "x-debug-trace"].contains(name))
                .collect();
            let query = "page=2&&filter%5Bx%5D=%2f&UTM_x=1&flag&page=3";
            check(
                &seen,
                &format!("/except/a?{query}"),
                "Session=no; _gid=2; ab_cart=b=c; ab_new=1; session=s1",
                &others,
            );
            assert_eq!(seen.header("user-agent"), "Mozilla/5.0");
            assert_eq!(seen.header("accept-encoding"), "br, gzip");
            let seen = ask("/a").await;
            check(
                &seen,
                &format!("/a?{QUERY}"),
                FIELDS[5].1,
                &FIELDS.map(|(name, _)| name),
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_on_the_wire_are_those_that_are_left() {
    let server = Server::raw(async |mut tcp, _| {
        while let Some(head) = read_head(&mut tcp).await {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
            if tcp.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let world = World::new().server("app", server).routes(ROUTES).start().await;
    let mut raw = world.raw(Http::One).await;
    // a path that is normalised, two `Cookie` fields, an odd query
    raw.send(
        "GET /only/x/../%61?a=1&page=%2F+&=&page&filter%5b?%5d=x HTTP/1.1\r\nHost: localhost\r\n\
         Cookie: session=2;x=1;ab_=;\r\nX-TENANT: a  b\r\nCookie:  session=\"1 2\"; ab_a=x\r\n\r\n",
    )
    .await;
    let (head, seen) = raw.answer().await;
    assert_eq!(status(&head), 200);
    let mut lines = seen.lines();
    assert_eq!(
        lines.next(),
        Some("GET /only/a?page=%2F+&page&filter%5b?%5d=x HTTP/1.1")
    );
    let cookies: Vec<&str> = seen.lines().filter(|line| line.starts_with("cookie")).collect();
    assert_eq!(cookies, ["cookie: ab_=; ab_a=x; session=2; session=\"1 2\""]);
    assert!(seen.contains("\r\nx-tenant: a  b\r\n"), "{seen}");
    raw.send(
        "GET /none/a? HTTP/1.1\r\nHost: localhost\r\nCookie: a=1\r\nTE: trailers\r\nX-Tenant: 1\r\n\r\n",
    )
    .await;
    let (_, seen) = raw.answer().await;
    assert!(seen.starts_with("GET /none/a HTTP/1.1\r\n"), "{seen}");
    assert!(!seen.contains("cookie") && !seen.contains("x-tenant"), "{seen}");
    assert!(seen.contains("\r\nte: trailers\r\n"), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_keeps_what_tells_how_to_read_it_and_loses_unlisted_trailers() {
    let trailing = async |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        let text = format!(
            "{:?} {:?} {trailers:?}",
            head.headers.get("content-type"),
            body.to_bytes()
        );
        Response::new(full(text))
    };
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .server("app", Server::new(speaks, trailing))
            .routes(ROUTES)
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            for (path, expected) in [("/none/a", "{}"), ("/only/a", "{\"x-app-sum\": \"1\"}")] {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-app-sum", HeaderValue::from_static("1"));
                trailers.insert("x-sum", HeaderValue::from_static("2"));
                let mut request = client.request(&Method::POST, path, with_trailers("a=1", trailers));
                let fields = request.headers_mut();
                fields.insert("content-type", HeaderValue::from_static("text/x"));
                fields.insert("trailer", HeaderValue::from_static("x-app-sum, x-sum"));
                let answer = client.ask(request).await;
                assert_eq!(
                    answer.text(),
                    format!("Some(\"text/x\") b\"a=1\" {expected}"),
                    "{speaks:?} {http:?} {path}"
                );
            }
        }
    }
}

/// Sets two cookies, and one that is not its to set.
async fn baker(_: Request<Incoming>) -> Response<Body> {
    let mut response = Response::new(full("x"));
    for cookie in ["a=1; Path=/", "__Host-banyan=forged", "b=2"] {
        response
            .headers_mut()
            .append("set-cookie", HeaderValue::from_static(cookie));
    }
    response
}

const MOVING: &str =
    "squad = \"world\"\nvariants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 50.0\n";

fn set_cookies(answer: &crate::client::Answer) -> Vec<String> {
    let values = answer.headers.get_all("set-cookie").iter();
    values
        .map(|value| value.to_str().unwrap().split('=').next().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_set_no_cookies_where_none_are_forwarded_but_banyans_own() {
    let world = World::new()
        .backend("legacy", baker)
        .backend("new", baker)
        .routes(
            "[[routes]]\npath = \"/none\"\nflag = \"moving\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n\
             forward = { cookies = \"none\" }\n\
             [[routes]]\npath = \"/some\"\nbackend = \"legacy\"\nforward = { cookies = { only = [\"a\"] } }\n\
             [[routes]]\npath = \"/all\"\nbackend = \"legacy\"\n",
        )
        .flag("moving", MOVING)
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let first = client.get_with("/none", &[("sec-fetch-mode", "navigate")]).await;
        assert_eq!(set_cookies(&first), ["__Host-banyan"]);
        assert!(!first.header("set-cookie").contains("forged"));
        assert_eq!(
            set_cookies(&client.get_with("/none", &[("sec-fetch-mode", "cors")]).await),
            [""; 0]
        );
        assert_eq!(set_cookies(&client.get("/some").await), ["a", "b"]);
        assert_eq!(set_cookies(&client.get("/all").await), ["a", "b"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_hints_set_no_cookies_either() {
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nSet-Cookie: a=1\r\n\r\n";
    let server = Server::raw(async |mut tcp, _| {
        while read_head(&mut tcp).await.is_some() {
            let answer = format!("{HINTS}HTTP/1.1 200 OK\r\nSet-Cookie: b=1\r\nContent-Length: 0\r\n\r\n");
            if tcp.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let world = World::new().server("app", server).routes(ROUTES).start().await;
    let mut raw = world.raw(Http::One).await;
    for (path, cookies) in [("/none/a", false), ("/only/a", true)] {
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        for wanted in [103, 200] {
            let head = raw.head().await;
            assert_eq!(status(&head), wanted);
            assert_eq!(
                head.to_lowercase().contains("set-cookie"),
                cookies,
                "{path}: {head}"
            );
        }
    }
}

/// Opens WebSockets for those who say which version they speak.
async fn versioned(request: Request<Incoming>) -> Response<Body> {
    let version = request.headers().get("sec-websocket-version");
    if version.is_none_or(|version| version != "13") {
        return Response::new(full("no version"));
    }
    websocket::backend(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_open_where_no_headers_pass() {
    for speaks in Speaks::ALL {
        let world = World::new()
            .server("app", Server::new(speaks, versioned))
            .routes(ROUTES)
            .start()
            .await;
        for http in Http::BOTH {
            let mut socket = WebSocket::open(&world, http, "/none/live").await;
            socket.echo("hello").await;
        }
    }
}

const JUDGED: &str = r#"
[[routes]]
path = "/account"
auth = "required"
backend = "app"
forward = { headers = "none", cookies = "none", query = "none" }

[[routes]]
path = "/beta"
auth = "none"
backend = "app"
query = { preview = "yes" }
cookies = { beta = true }
headers = { X-Tenant = "inf" }
forward = { headers = "none", cookies = "none", query = "none" }

[[routes]]
path = "/moving/none"
auth = "none"
flag = "moving"
backends = { legacy = "legacy", new = "new" }
forward = { headers = "none", cookies = "none", query = "none" }

[[routes]]
path = "/moving/all"
auth = "none"
flag = "moving"
backends = { legacy = "legacy", new = "new" }
"#;

/// Asks `/account` until the issuer's keys are known.
async fn known(client: &mut Client, bearer: &str) -> Seen {
    let mut found = None;
    until("the issuer's keys", async || {
        let answer = client
            .get_with("/account?a=1", &[("authorization", bearer), ("cookie", "a=1")])
            .await;
        found = (answer.status == 200).then(|| answer.seen());
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_decided_by_what_the_visitor_sent() {
    let builder = World::new()
        .backend("app", mirror)
        .backend("legacy", mirror)
        .backend("new", mirror)
        .routes(JUDGED)
        .flag("moving", MOVING)
        .operator(&gate("keys.json"));
    std::fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let bearer = format!("Bearer {}", GOOD.token("EdDSA", "mina", &[]));
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        // the gate
        let seen = known(&mut client, &bearer).await;
        assert!(!seen.has("authorization") && !seen.has("cookie"));
        assert_eq!(
            (seen.header("banyan-user").as_str(), seen.get("target")),
            ("mina", "/account")
        );
        // the route's own conditions
        let fields = [("cookie", "beta=1"), ("x-tenant", "inf")];
        let seen = client.get_with("/beta?preview=yes", &fields).await.seen();
        assert!(!seen.has("x-tenant") && !seen.has("cookie"));
        assert_eq!(seen.get("target"), "/beta");
        assert_eq!(client.get("/beta?preview=yes").await.status, 404);
        // the flag: a visitor stays where the cookie puts him, whether the backend sees cookies or not
        for _ in 0..8 {
            let first = client
                .get_with("/moving/none", &[("sec-fetch-mode", "navigate")])
                .await;
            let cookie = first.header("set-cookie").split(';').next().unwrap().to_owned();
            let flags = first.seen().header("banyan-flags");
            for path in ["/moving/none", "/moving/all"] {
                let seen = client.get_with(path, &[("cookie", &cookie)]).await.seen();
                assert_eq!(seen.header("banyan-flags"), flags);
                assert!(!seen.has("cookie"), "Banyan's own cookie is nobody else's");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_list_holds_for_the_next_request() {
    let world = World::new().backend("app", mirror).routes(ROUTES).start().await;
    let mut client = world.client(Http::Two).await;
    let fields = [("cookie", "theme=dark; session=1")];
    assert_eq!(
        client.get_with("/only/a", &fields).await.seen().header("cookie"),
        "session=1"
    );
    let text = world
        .read("routes/world.toml")
        .replace("only = [\"session\", \"ab_*\"]", "only = [\"theme\"]");
    world.write("routes/world.toml", &text);
    world.reload().await;
    assert_eq!(
        client.get_with("/only/a", &fields).await.seen().header("cookie"),
        "theme=dark"
    );
}

#[test]
fn a_changed_list_is_a_changed_route() {
    let snapshot = |routes: &str| {
        let text = format!("squad = \"world\"\n[backends.app]\nservers = [\"http://127.0.0.1:1\"]\n{routes}");
        let sources = Sources::empty("/site")
            .with("banyan.toml", "listen.admin = \"127.0.0.1:0\"\n")
            .with("routes/world.toml", &text);
        compiled(&sources)
    };
    let (old, new) = (snapshot(ROUTES), snapshot(&ROUTES.replace("ab_*", "ba_*")));
    assert_eq!(Diff::between(&old, &new).routes.changed, ["world /only/*"]);
    assert!(Diff::between(&old, &snapshot(ROUTES)).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_what_does_not_pass() {
    let builder = World::new()
        .servers("app", &["http://127.0.0.1:1".to_owned()])
        .routes(ROUTES);
    builder.write();
    let arguments = [
        "explain",
        "/only/a?page=1&token=secret",
        "--header",
        "X-Key: secret",
        "--cookie",
        "theme=secret",
    ];
    let folder = builder.folder().to_owned();
    let running = tokio::task::spawn_blocking(move || crate::program::run(&folder, &arguments));
    let ran = running.await.unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for line in [
        "  forwards  headers only accept, X-Tenant, X-App-* (not x-key); User-Agent becomes Banyan\n",
        "  forwards  cookies only session, ab_* (not theme)\n",
        "  forwards  query only page, filter[*] (not token)\n",
    ] {
        assert!(ran.out.contains(line), "{line}{}", ran.out);
    }
    assert_eq!(
        ran.out.matches("secret").count(),
        1,
        "in the address asked alone: {}",
        ran.out
    );
}
