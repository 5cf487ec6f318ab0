//! What a backend's table says of its requests: path, host, fields, how long they may take, how often they are tried.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;

use crate::{
    backend::{Body, Server, Speaks, channel, drain, echo, empty, full, mirror, read_head},
    client::{Answer, Http, Seen, until},
    program::run,
    world::{World, within},
};

fn host(seen: &Seen, speaks: Speaks) -> String {
    match speaks {
        Speaks::Http1 | Speaks::TlsHttp1 => seen.header("host"),
        Speaks::H2c | Speaks::TlsHttp2 => seen.get("authority").to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn path_host_and_fields_reach_every_kind_of_server() {
    for speaks in Speaks::ALL {
        let world = World::new()
            .server("legacy", Server::new(speaks, mirror))
            .settings(
                "legacy",
                "path = \"/public\"\nhost = \"api.example.com\"\nheaders = { X-Secret = \"s3cret\", User-Agent = \"Banyan\" }",
            )
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let fields = [
                ("x-secret", "forged"),
                ("x_secret", "forged"),
                ("user-agent", "me"),
            ];
            let seen = client.get_with("/a//b?c=d", &fields).await.seen();
            assert_eq!(seen.get("target"), "/public/a/b?c=d");
            assert_eq!(host(&seen, speaks), "api.example.com");
            assert_eq!(seen.header("x-forwarded-host"), world.authority());
            assert!(seen.header("forwarded").contains(&world.authority()));
            assert_eq!(seen.all("x-secret"), ["s3cret"]);
            assert!(!seen.has("x_secret"));
            assert_eq!(seen.all("user-agent"), ["Banyan"]);
            assert_eq!(client.get("/").await.seen().get("target"), "/public/");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_is_asked_by_its_own_name() {
    for speaks in [Speaks::Http1, Speaks::TlsHttp2] {
        let (one, other) = (Server::new(speaks, mirror), Server::new(speaks, mirror));
        let names = [&one, &other].map(|server| server.url().split("://").nth(1).unwrap().to_owned());
        let ca = if speaks.is_tls() {
            "ca = \"backend-ca.pem\"\n"
        } else {
            ""
        };
        let world = World::new()
            .servers("legacy", &[one.url(), other.url()])
            .settings("legacy", &format!("{ca}host = \"server\""))
            .start()
            .await;
        let mut client = world.client(Http::Two).await;
        let mut found = std::collections::BTreeSet::new();
        until("both servers", async || {
            let seen = client.get("/").await.seen();
            let host = host(&seen, speaks);
            assert!(names.contains(&host), "{host} is none of {names:?}");
            assert_eq!(seen.header("x-forwarded-host"), world.authority());
            found.insert(host);
            found.len() == 2
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_server_is_asked_by_its_own_name_too() {
    let good = Server::new(Speaks::Http1, mirror);
    let world = World::new()
        .servers("legacy", &["http://127.0.0.1:1".to_owned(), good.url()])
        .settings("legacy", "host = \"server\"\npath = \"/once\"")
        .start()
        .await;
    for _ in 0..8 {
        let seen = world.client(Http::One).await.get("/x").await.seen();
        assert_eq!(seen.header("host"), good.address.to_string());
        assert_eq!(seen.get("target"), "/once/x");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_visitors_host_is_kept_where_a_trusted_proxy_said_the_protocol_alone() {
    let world = World::new()
        .top("trusted_proxies = [\"127.0.0.1\"]")
        .backend("legacy", mirror)
        .settings("legacy", "host = \"api.example.com\"")
        .start()
        .await;
    let fields = [("x-forwarded-proto", "https")];
    let seen = world.client(Http::One).await.get_with("/", &fields).await.seen();
    assert_eq!(seen.header("x-forwarded-host"), world.authority());
    let fields = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.example.com"),
    ];
    let seen = world.client(Http::One).await.get_with("/", &fields).await.seen();
    assert_eq!(seen.header("x-forwarded-host"), "www.example.com");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_bring_host_and_fields_and_their_own_path() {
    let strict = |request: Request<Incoming>| {
        let bears = request
            .headers()
            .get("x-secret")
            .is_some_and(|value| value == "s3cret");
        let named = request
            .headers()
            .get("host")
            .is_some_and(|value| value == "api.example.com");
        let mut response = Response::new(full("ok"));
        let check = request.uri().path() == "/healthz";
        if !bears || !named || !(check || request.uri().path().starts_with("/public/")) {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        std::future::ready(response)
    };
    let world = World::new()
        .backend("legacy", strict)
        .settings(
            "legacy",
            "path = \"/public\"\nhost = \"api.example.com\"\nheaders = { X-Secret = \"s3cret\" }",
        )
        .settings(
            "legacy",
            "health = { path = \"/healthz\", interval = \"20ms\", unhealthy_after = 1 }",
        )
        .start()
        .await;
    until("some checks", async || world.backend("legacy").requests() > 5).await;
    assert_eq!(world.client(Http::One).await.get("/").await.status, 200);
    let page: serde_json::Value = serde_json::from_str(world.admin("/api/backends").await.text()).unwrap();
    assert_eq!(page["backends"][0]["servers"][0]["health"], "healthy", "{page}");
}

/// A literal secret and one from the environment appear nowhere that anybody can read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_fields_are_shown_nowhere() {
    let world = World::new()
        .backend("legacy", mirror)
        .settings("legacy", "headers = { X-Plain = \"hunter2hunter2\" }")
        .start()
        .await;
    let seen = world.client(Http::One).await.get("/page").await.seen();
    assert_eq!(seen.header("x-plain"), "hunter2hunter2");
    for page in [
        "/",
        "/?url=/page",
        "/api/backends",
        "/api/routes",
        "/api/status",
        "/api/explain?url=/page",
        "/metrics",
    ] {
        let shown = world.admin(page).await;
        assert_eq!(shown.status, 200, "{page}");
        assert!(!shown.text().contains("hunter2"), "{page} shows it");
    }
    assert!(
        world
            .admin("/api/explain?url=/page")
            .await
            .text()
            .contains("x-plain")
    );
    let explained = run(world.folder(), &["explain", "/page"]);
    assert!(explained.out.contains("with x-plain"), "{}", explained.out);
    let routes = world.read("routes/world.toml").replace("X-Plain", "Via");
    world.write("routes/world.toml", &routes);
    let checked = run(world.folder(), &["check"]);
    assert!(checked.err.contains("`Via` can't be set here"), "{}", checked.err);
    let status = world.reload().await;
    let told = format!("{:?}", status.problems);
    for text in [&explained.out, &explained.err, &checked.out, &checked.err, &told] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    let log = fs::read_to_string(world.folder().join("log/access.log")).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_value_is_in_force_after_a_reload() {
    let world = World::new()
        .backend("legacy", mirror)
        .settings("legacy", "headers = { X-Secret = \"first\" }")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(client.get("/").await.seen().header("x-secret"), "first");
    let routes = world.read("routes/world.toml").replace("\"first\"", "\"other\"");
    world.write("routes/world.toml", &routes);
    world.reload().await;
    assert_eq!(client.get("/").await.seen().header("x-secret"), "other");
}

/// 504 within time, from a server that takes the request and says nothing in one of several ways.
async fn check_504(server: Server) {
    let world = World::new()
        .server("legacy", server)
        .settings("legacy", "total_timeout = \"150ms\"")
        .start()
        .await;
    for http in Http::BOTH {
        let began = banyan::clock::steady();
        let answer = world.client(http).await.get("/").await;
        let took = began.elapsed();
        assert_eq!(answer.status, 504, "{answer:?}");
        let told = answer.header("proxy-status");
        assert!(
            told.contains("error=http_response_timeout; details=\"total\""),
            "{told}"
        );
        assert!(
            took >= Duration::from_millis(150) && took < Duration::from_secs(3),
            "{took:?}"
        );
    }
    until("the server is let go", async || {
        let server = world.backend("legacy");
        server.open() == 0 || matches!(server.speaks, Speaks::H2c)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_begin_in_all_the_time_is_a_504() {
    let silent = Server::raw(|mut tcp, _| async move {
        let _ = drain(&mut tcp).await;
    });
    check_504(silent).await;
    // interim answers start the first byte's clock anew, but not this one
    let hinting = Server::raw(|mut tcp, _| async move {
        while tcp
            .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .await
            .is_ok()
        {
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    check_504(hinting).await;
    check_504(Server::new(Speaks::H2c, |_| std::future::pending())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_goes_on_for_too_long_is_cut_off_and_never_whole() {
    let drips = || {
        |_: Request<Incoming>| async {
            let (sender, body) = channel();
            tokio::spawn(async move {
                while sender.send(Ok(Bytes::from_static(b"drip "))).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            Response::new(body)
        }
    };
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .server("legacy", Server::new(speaks, drips()))
            .settings("legacy", "total_timeout = \"300ms\"")
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let began = banyan::clock::steady();
            let request = client.request(&Method::GET, "/", empty());
            let response = client.send(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let read = within("the end of the answer", Answer::read(response)).await;
            assert!(read.is_err(), "{speaks:?} {http:?}");
            let took = began.elapsed();
            assert!(
                took >= Duration::from_millis(250) && took < Duration::from_secs(3),
                "{took:?}"
            );
        }
        let line = world.logged(|line| !line["aborted"].is_null()).await;
        assert_eq!(line["aborted"], "backend", "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_in_time_is_left_alone() {
    let world = World::new()
        .backend("legacy", echo)
        .settings("legacy", "total_timeout = \"10s\"")
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for _ in 0..3 {
            let text = "x".repeat(300_000);
            let answer = client.post("/", text.clone()).await;
            assert_eq!(answer.body.len(), text.len());
        }
    }
}

/// A visitor who takes the time to send a body must not make the server look sick. What a core thinks of a server shows where there
/// is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_say_nothing_against_the_server() {
    let (patient, well) = (echo_all("patient"), Arc::new(AtomicBool::new(false)));
    let telling = Arc::clone(&well);
    let other = move |_: Request<Incoming>| {
        let mut response = Response::new(full("other"));
        if !telling.load(Ordering::SeqCst) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        std::future::ready(response)
    };
    let servers = [
        Server::new(Speaks::Http1, patient),
        Server::new(Speaks::Http1, other),
    ];
    let world = World::new()
        .top("cores = 1")
        .servers("legacy", &servers.each_ref().map(Server::url))
        .settings("legacy", "total_timeout = \"100ms\"")
        .settings(
            "legacy",
            "health = { path = \"/healthz\", interval = \"100ms\", unhealthy_after = 1, healthy_after = 1 }",
        )
        .start()
        .await;
    let health = async |wanted: &str| {
        until(wanted, async || {
            let told = world.admin("/api/backends").await;
            let told: serde_json::Value = serde_json::from_str(told.text()).unwrap();
            told["backends"][0]["servers"][1]["health"] == wanted
        })
        .await;
    };
    health("unhealthy").await;
    let mut sending = world.client(Http::Two).await;
    for _ in 0..5 {
        let (sender, body) = channel();
        let request = sending.request(&Method::POST, "/", body);
        let answer = sending.ask(request).await;
        assert_eq!(answer.status, 504, "{answer:?}");
        drop(sender);
    }
    well.store(true, Ordering::SeqCst);
    health("healthy").await;
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..30 {
        found.insert(sending.get("/").await.text().to_owned());
    }
    assert_eq!(found.len(), 2, "the patient one was left alone: {found:?}");
}

/// Reads a request's whole body before it answers with `text`.
fn echo_all(
    text: &'static str,
) -> impl Fn(Request<Incoming>) -> futures_util::future::BoxFuture<'static, Response<Body>> + Send + Sync {
    move |request| {
        Box::pin(async move {
            let _ = http_body_util::BodyExt::collect(request.into_body()).await;
            Response::new(full(text))
        })
    }
}

/// How many attempts the log tells of, where nobody listens.
async fn attempts(settings: &str) -> u64 {
    let world = World::new()
        .servers("legacy", &["http://127.0.0.1:1".to_owned()])
        .settings("legacy", settings)
        .start()
        .await;
    let answer = world.client(Http::One).await.get("/").await;
    assert_eq!(answer.status, 502);
    let line = world.logged(|line| line["path"] == "/").await;
    line["attempts"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_tried_as_often_as_the_backend_says() {
    assert_eq!(attempts("").await, 3);
    assert_eq!(attempts("attempts = 1").await, 1);
    assert_eq!(attempts("attempts = 5").await, 5);
}

/// With one attempt there is no second for a request that meets a connection which its server has just closed: it gets a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_attempt_is_enough_where_servers_close_idle_connections() {
    let closes = Server::raw(|mut tcp, _| async move {
        if read_head(&mut tcp).await.is_some() {
            let _ = tcp
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            // without a FIN until the next request is on its way
            if read_head(&mut tcp).await.is_some() {
                drop(tcp);
            }
        }
    });
    let world = World::new()
        .top("cores = 1")
        .server("legacy", closes)
        .settings("legacy", "attempts = 1")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..2 {
        assert_eq!(client.get("/").await.text(), "ok");
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
}
