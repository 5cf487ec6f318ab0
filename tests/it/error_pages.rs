//! Browsers are shown pages instead of errors; everybody else gets the error itself.

use std::{fs, os::unix::fs::symlink, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    backend::{Body, empty, full, mirror, with_trailers},
    client::{Answer, Client, Http, Seen, until},
    world::{Builder, World},
};

const BROWSER: [(&str, &str); 1] = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

/// A backend that fails by the number in its path: `/fails/404`, with a session's cookie.
async fn fails(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let status = path.rsplit('/').next().and_then(|last| last.parse().ok());
    let status = status.unwrap_or(StatusCode::OK);
    let mut response = Response::new(full(format!("{{\"own\":{}}}", status.as_u16())));
    *response.status_mut() = status;
    for (name, value) in [
        ("content-type", "application/json"),
        ("etag", "\"own\""),
        ("content-security-policy", "default-src 'none'"),
        ("set-cookie", "session=; Max-Age=0"),
        ("retry-after", "7"),
        ("www-authenticate", "Bearer"),
        ("x-own", "yes"),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// A backend with pages: good ones, and such as can't be shown.
async fn pages(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "large" => Response::new(full(vec![b'x'; 300 * 1024])),
        "slow" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Response::new(full("late"))
        }
        "missing" => {
            let mut response = Response::new(full("no such page"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
        "broken" => {
            let (sender, body) = crate::backend::channel();
            let _ = sender.send(Ok(Bytes::from_static(b"<h1>hal"))).await;
            let _ = sender.send(Err("gone".into())).await;
            Response::new(body)
        }
        "moved" => {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::FOUND;
            response
        }
        other => {
            let mut response = Response::new(full(format!("<h1>{other}</h1>")));
            for (name, value) in [
                ("content-type", "text/html"),
                ("cache-control", "max-age=60"),
                ("etag", "\"page\""),
                ("set-cookie", "session=nobody"),
            ] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    }
}

const ROUTES: &str = r#"
[[routes]]
path = "/fails/*"
backend = "fails"
errors = [
  { status = [404, 410], page = "/pages/nothing" },
  { status = [500], file = "errors/500.html" },
  { status = [418], page = "/pages/tea", answer_status = 200 },
  { status = [501], page = "/pages/large" },
  { status = [502], page = "/pages/slow" },
  { status = [503], page = "/pages/missing" },
  { status = [504], page = "/pages/broken" },
  { status = [505], page = "/pages/moved" },
  { status = [506], page = "/nowhere" },
]

[[routes]]
path = "/pages/*"
backend = "pages"
errors = [{ status = [404], file = "errors/500.html" }]

[[routes]]
path = "/dead"
backend = "dead"
"#;

const SITE: &str = r#"
[[errors]]
status = [404, 502]
file = "errors/site.html"
answer_status = 404
"#;

fn builder() -> Builder {
    let builder = World::new()
        .backend("fails", fails)
        .backend("pages", pages)
        .servers("dead", &["http://127.0.0.1:1".to_owned()])
        .routes(ROUTES)
        .operator(SITE);
    for (file, text) in [
        ("routes/errors/500.html", "<h1>broken</h1>"),
        ("errors/site.html", "<h1>site</h1>"),
    ] {
        let file = builder.folder().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    builder
}

/// What the mirror saw, whatever the status is.
fn seen(answer: &Answer) -> Seen {
    Seen(serde_json::from_str(answer.text()).unwrap())
}

fn own(status: u16) -> String {
    format!("{{\"own\":{status}}}")
}

#[track_caller]
fn is_own(answer: &Answer, status: u16) {
    assert_eq!((answer.status.as_u16(), answer.text()), (status, &*own(status)));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("etag"), "\"own\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sees_the_page_and_a_script_the_error() {
    let world = builder().start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let answer = client.get_with("/fails/404", &BROWSER).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, "<h1>nothing</h1>"));
        assert_eq!(answer.header("content-type"), "text/html");
        assert_eq!(answer.header("content-length"), "16");
        for (name, kept) in [
            ("retry-after", "7"),
            ("www-authenticate", "Bearer"),
            ("x-own", "yes"),
        ] {
            assert_eq!(answer.header(name), kept, "{name}");
        }
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert_eq!(
            cookies,
            ["session=; Max-Age=0"],
            "the error's own, not the page's"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "it has a cookie");
        assert_eq!(answer.header("vary"), "accept, sec-fetch-mode");
        for gone in ["etag", "content-security-policy"] {
            assert!(!answer.headers.contains_key(gone), "{gone}: {answer:?}");
        }
        for fields in [
            &[("accept", "*/*")][..],
            &[("accept", "application/json")],
            &[("accept", "application/json, text/html;q=0.9")],
            &[("accept", "text/html"), ("sec-fetch-mode", "cors")],
            &[("accept", "text/html;q=0")],
            &[],
        ] {
            is_own(&client.get_with("/fails/404", fields).await, 404);
        }
        is_own(&client.get_with("/fails/403", &BROWSER).await, 403);
        let good = client.get_with("/fails/200", &BROWSER).await;
        assert_eq!((good.status.as_u16(), good.text()), (200, &*own(200)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_shown_for_the_routes_errors_and_for_banyans_own() {
    let world = builder().start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let answer = client.get_with("/fails/500", &BROWSER).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (500, "<h1>broken</h1>"));
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        let dead = client.get_with("/dead", &BROWSER).await;
        assert_eq!((dead.status.as_u16(), dead.text()), (404, "<h1>site</h1>"));
        assert!(
            dead.header("proxy-status").contains("connection_refused"),
            "{dead:?}"
        );
        assert_eq!(dead.header("cache-control"), "no-store");
        assert!(!dead.header("x-request-id").is_empty());
        let nowhere = client.get_with("/nowhere", &BROWSER).await;
        assert_eq!((nowhere.status.as_u16(), nowhere.text()), (404, "<h1>site</h1>"));
        let script = client.get("/dead").await;
        assert_eq!(script.status, 502);
        assert_eq!(script.header("content-type"), "application/problem+json");
    }
    let line = world
        .logged(|line| line["path"] == "/dead" && line["status"] == 404)
        .await;
    assert_eq!(
        (
            &line["error_status"],
            &line["error_page"],
            &line["outcome"],
            &line["bytes_out"]
        ),
        (&json!(502), &json!("file"), &json!("refused"), &json!(13))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_status_and_other_methods() {
    let world = builder().start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let answer = client.get_with("/fails/418", &BROWSER).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "<h1>tea</h1>"));
        for (target, length, status) in [("/fails/418", "12", 200), ("/fails/500", "15", 500)] {
            let head = asked(&mut client, &Method::HEAD, target).await;
            assert_eq!((head.status.as_u16(), head.text()), (status, ""), "{target}");
            let told = head.headers.get("content-length");
            assert!(told.is_none_or(|told| told == length), "{target}: {told:?}");
        }
        let posted = asked(&mut client, &Method::POST, "/fails/410").await;
        assert_eq!((posted.status.as_u16(), posted.text()), (410, "<h1>nothing</h1>"));
    }
    let line = world.logged(|line| line["path"] == "/fails/418").await;
    assert_eq!(
        (
            &line["status"],
            &line["error_status"],
            &line["error_page"],
            &line["route"]
        ),
        (&json!(200), &json!(418), &json!("page"), &json!("/fails/*"))
    );
    let lines = world.log();
    assert!(
        lines.iter().all(|line| line["route"] != "/pages/*"),
        "a page that nobody asked for is in the log: {lines:?}"
    );
}

async fn asked(client: &mut Client, method: &Method, target: &str) -> Answer {
    let mut request = client.request(method, target, empty());
    for (name, value) in BROWSER {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    client.ask(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_fails_leaves_the_error_as_it_was() {
    let world = builder().start().await;
    let mut client = world.client(Http::Two).await;
    for status in [501, 502, 503, 504, 505, 506] {
        is_own(
            &client.get_with(&format!("/fails/{status}"), &BROWSER).await,
            status,
        );
    }
    let asked = world.backend("pages").requests();
    assert_eq!(
        asked, 5,
        "each page is asked for once, and none gets a page of its own"
    );
    let line = world.logged(|line| line["path"] == "/fails/503").await;
    assert_eq!(
        (&line["status"], &line["error_page"]),
        (&json!(503), &json!("failed"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_error_is_not_lost_when_its_page_fails() {
    let long = |_| async {
        let (sender, body) = crate::backend::channel();
        tokio::spawn(async move {
            for _ in 0..100 {
                let _ = sender.send(Ok(Bytes::from(vec![b'e'; 10_000]))).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    let world = World::new()
        .backend("long", long)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"long\"\nerrors = [{ status = [502], page = \"/page\" }]\n")
        .start()
        .await;
    for http in Http::BOTH {
        let answer = world.client(http).await.get_with("/x", &BROWSER).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.body.len(), 1_000_000);
        assert!(answer.body.iter().all(|byte| *byte == b'e'));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_and_its_page_fit_through_one_connection() {
    let one = |request: Request<Incoming>| async move {
        if request.uri().path() == "/page" {
            return Response::new(full("<h1>one</h1>"));
        }
        let mut response = Response::new(with_trailers("the error", HeaderMap::new())); // chunked
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    };
    let world = World::new()
        .top("cores = 1")
        .backend("one", one)
        .settings("one", "connections_max = 1")
        .routes(
            "[[routes]]\npath = \"/*\"\nbackend = \"one\"\nerrors = [{ status = [404], page = \"/page\" }]\n",
        )
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    for _ in 0..5 {
        let answer = client.get_with("/x", &BROWSER).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (404, "<h1>one</h1>"));
    }
    assert_eq!(world.backend("one").connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_asked_for_as_nobody_and_in_the_visitors_generation() {
    let not_found = |request: Request<Incoming>| async move {
        let mut response = Response::new(full("none"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        let flags = request.headers().get("banyan-flags").cloned();
        response.headers_mut().insert("x-flags", flags.unwrap());
        response
    };
    let world = World::new()
        .backend("old", mirror)
        .backend("new", mirror)
        .backend("none", not_found)
        .flag(
            "move",
            "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 50.0\n",
        )
        .routes(
            "[[routes]]\npath = \"/*\"\nflag = \"move\"\nbackends = { legacy = \"none\", new = \"none\" }\n\
             errors = [{ status = [404], page = \"/pages/404?x=y\" }]\n\
             [[routes]]\npath = \"/pages/*\"\nflag = \"move\"\nbackends = { legacy = \"old\", new = \"new\" }\n",
        )
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let fields = [
        BROWSER[0],
        ("accept-language", "ko"),
        ("user-agent", "a browser"),
        ("authorization", "Bearer secret"),
        ("cookie", "session=secret"),
        ("x-secret", "secret"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-1"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let answer = client.get_with("/lost", &fields).await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.header("set-cookie").starts_with("__Host-banyan="),
        "{answer:?}"
    );
    let first = seen(&answer);
    assert_eq!(
        (first.get("method"), first.get("target"), first.get("body")),
        ("GET", "/pages/404?x=y", "")
    );
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    for gone in ["cookie", "authorization", "if-none-match", "range"] {
        assert!(!first.has(gone), "{gone}");
    }
    for (name, value) in [
        ("accept-language", "ko"),
        ("user-agent", "a browser"),
        ("banyan-flags", answer.header("x-flags")),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-request-id", answer.header("x-request-id")),
    ] {
        assert_eq!(first.header(name), value, "{name}");
    }
    for _ in 0..24 {
        let fresh = client.get_with("/lost", &BROWSER).await;
        assert_eq!(seen(&fresh).header("banyan-flags"), fresh.header("x-flags"));
        let cookie = fresh.header("set-cookie").split(';').next().unwrap();
        let again = client.get_with("/lost", &[BROWSER[0], ("cookie", cookie)]).await;
        assert_eq!(seen(&again).header("banyan-flags"), fresh.header("x-flags"));
    }
    assert!(world.backend("old").requests() > 0 && world.backend("new").requests() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_page_is_shown_soon_and_a_lost_one_stays() {
    let world = builder().start().await;
    let mut client = world.client(Http::One).await;
    assert_eq!(
        client.get_with("/fails/500", &BROWSER).await.text(),
        "<h1>broken</h1>"
    );
    world.write("routes/errors/500.html", "<h1>mended</h1>");
    until("the new page", async || {
        client.get_with("/fails/500", &BROWSER).await.text() == "<h1>mended</h1>"
    })
    .await;
    fs::remove_file(world.folder().join("routes/errors/500.html")).unwrap();
    let status = world.reload().await;
    assert_eq!(status.stale, ["routes/world.toml"]);
    assert_eq!(
        client.get_with("/fails/500", &BROWSER).await.text(),
        "<h1>mended</h1>"
    );
    fs::write(world.folder().join("secret.html"), "secret").unwrap();
    symlink("../../secret.html", world.folder().join("routes/errors/500.html")).unwrap();
    let status = world.reload().await;
    assert_eq!(
        status.stale,
        ["routes/world.toml"],
        "a link out of the folder is not followed"
    );
    assert_eq!(
        client.get_with("/fails/500", &BROWSER).await.text(),
        "<h1>mended</h1>"
    );
    fs::remove_file(world.folder().join("routes/errors/500.html")).unwrap();
    world.write("routes/errors/500.html", "<h1>back</h1>");
    assert!(world.reload().await.stale.is_empty());
    assert_eq!(
        client.get_with("/fails/500", &BROWSER).await.text(),
        "<h1>back</h1>"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_and_check_say_what_will_be_shown() {
    let builder = builder();
    builder.write();
    let explained = crate::program::run(builder.folder(), &["explain", "/fails/404"]);
    for part in [
        "errors    404, 410: browsers see page /pages/nothing, by route /pages/*  (routes/world.toml:",
        "errors    418: browsers see page /pages/tea, by route /pages/*, answered with 200  (",
        "errors    506: browsers see page /nowhere, which fails: no route takes it  (",
        "errors    404, 502: browsers see file errors/site.html, answered with 404  (banyan.toml:",
    ] {
        assert!(
            explained.out.contains(part),
            "{part:?} is missing in {explained:?}"
        );
    }
    let json = crate::program::run(builder.folder(), &["explain", "--json", "/nowhere"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["error_pages"][0]["shows"], "file errors/site.html");
    let checked = crate::program::run(builder.folder(), &["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let warned =
        "warning[error-page-out-of-reach]: the error page /nowhere is never shown: no route takes it";
    assert!(checked.err.contains(warned), "{checked:?}");
    assert_eq!(checked.err.matches("warning[").count(), 1, "{checked:?}");
}
