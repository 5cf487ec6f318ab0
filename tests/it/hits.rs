//! Hits from outside: a request that is known again gets what any other would, and log, metrics, page and API say what the cache was.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    backend::{Body, empty, full},
    client::{Answer, Http},
    program::run,
    world::{Builder, World, within},
};

/// Answers with a number of its own, tagged, and with another page for each coding that it is asked for.
async fn pages(request: Request<Incoming>) -> Response<Body> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    let coding = request.headers().get("accept-encoding").cloned();
    let coding = coding.unwrap_or(HeaderValue::from_static("none"));
    let mut response = Response::new(full(format!("page {number} for {coding:?}")));
    for (name, value) in [
        ("cache-control", "max-age=600"),
        ("etag", "\"one\""),
        ("vary", "accept-encoding"),
        ("cache-tag", "page"),
    ] {
        response
            .headers_mut()
            .append(name, HeaderValue::from_static(value));
    }
    if request.uri().path().starts_with("/own") {
        let own = HeaderValue::from_static("private");
        response.headers_mut().insert("cache-control", own);
    }
    response
}

fn world(cache: &str) -> Builder {
    let routes = format!("[[routes]]\npath = \"/*\"\nbackend = \"web\"\n{cache}\n");
    World::new()
        .top("cores = 1")
        .backend("web", pages)
        .routes(&routes)
}

const STANDARD: &str = "cache = \"standard\"";

fn told(answer: &Answer) -> String {
    let told = answer.header("cache-status");
    let ttl = told.split("; ").filter(|part| !part.starts_with("ttl="));
    ttl.collect::<Vec<_>>().join("; ")
}

/// A target, fields, and what `Cache-Status` says.
type Other<'o> = (&'o str, &'o [(&'o str, &'o str)], &'o str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_known_again_is_answered_as_any_other() {
    for http in Http::BOTH {
        let world = world("[routes.cache]\nheaders = [\"x-theme\"]\npersonal_cookies = [\"own\"]")
            .start()
            .await;
        let mut client = world.client(http).await;
        let first = client.get("/a?b=1").await;
        for _ in 0..3 {
            let again = client.get("/a?b=1").await;
            assert_eq!(
                (told(&again).as_str(), again.text()),
                ("banyan; hit", first.text())
            );
            assert_eq!(again.header("age"), "0");
            assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
        }
        let others: [Other<'_>; 7] = [
            ("/a?b=2", &[], "banyan; fwd=uri-miss; fwd-status=200; stored"),
            (
                "/a?b=1",
                &[("x-theme", "dark")],
                "banyan; fwd=uri-miss; fwd-status=200; stored",
            ),
            (
                "/a?b=1",
                &[("accept-encoding", "gzip")],
                "banyan; fwd=vary-miss; fwd-status=200; stored",
            ),
            (
                "/a?b=1",
                &[("authorization", "Bearer x")],
                "banyan; fwd=bypass; detail=authorization",
            ),
            (
                "/a?b=1",
                &[("cookie", "own=1")],
                "banyan; fwd=bypass; detail=personal-cookie",
            ),
            (
                "/a?b=1",
                &[("if-match", "\"two\"")],
                "banyan; fwd=bypass; detail=precondition",
            ),
            (
                "/a?b=1",
                &[("cache-control", "no-store")],
                "banyan; fwd=bypass; detail=request-no-store",
            ),
        ];
        for (target, fields, wanted) in others {
            let other = client.get_with(target, fields).await;
            assert_eq!(told(&other), wanted, "{target} {fields:?} {http:?}");
            assert_ne!(other.text(), first.text(), "{target} {fields:?}");
        }
        let part = client.get_with("/a?b=1", &[("range", "bytes=0-3")]).await;
        assert_eq!((part.status.as_u16(), part.text()), (206, "page"));
        let known = client.get_with("/a?b=1", &[("if-none-match", "\"one\"")]).await;
        assert_eq!(known.status.as_u16(), 304);
        let head = client.ask(client.request(&Method::HEAD, "/a?b=1", empty())).await;
        assert_eq!((told(&head).as_str(), head.text()), ("banyan; hit", ""));
        for (fields, wanted) in [
            (&[][..], first.text()),
            (&[("accept-encoding", "GZIP;q=1")], "gzip"),
        ] {
            let hit = client.get_with("/a?b=1", fields).await;
            assert_eq!(told(&hit), "banyan; hit", "{fields:?}");
            assert!(hit.text().contains(wanted), "{hit:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_again_is_forgotten_with_what_is_purged_or_changed() {
    let world = world(STANDARD).start().await;
    let mut client = world.client(Http::One).await;
    let first = client.get("/a").await;
    assert_eq!(client.get("/a").await.text(), first.text());
    let admin = world.addresses.admin.unwrap().to_string();
    let purge = |how: &[&str]| {
        let order = [&["cache", "purge", "--tag", "page", "--admin", &admin], how].concat();
        assert_eq!(run(world.folder(), &order).code, Some(0));
    };
    purge(&["--hard"]);
    let last = client.get("/a").await;
    assert_ne!(last.text(), first.text());
    assert_eq!(client.get("/a").await.text(), last.text());
    purge(&[]);
    let stale = client.get("/a").await;
    assert_eq!(told(&stale), "banyan; hit; detail=stale-while-revalidate");
    assert_eq!(stale.text(), last.text());
    let routes = world.read("routes/world.toml");
    world.write(
        "routes/world.toml",
        &routes.replace(
            STANDARD,
            "cache = \"standard\"\n[routes.forward]\nquery = \"none\"",
        ),
    );
    world.reload().await;
    assert_ne!(
        client.get("/a").await.text(),
        last.text(),
        "another route has answers of its own"
    );
    world.write("routes/world.toml", &routes.replace(STANDARD, ""));
    world.reload().await;
    assert_eq!(client.get("/a").await.header("cache-status"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_metrics_and_page_say_what_the_cache_was() {
    let world = world(STANDARD).start().await;
    let mut client = world.client(Http::One).await;
    let body = client.get("/a").await.body.len();
    for target in ["/a", "/a", "/own"] {
        client.get(target).await;
    }
    client.get_with("/a", &[("authorization", "Bearer x")]).await;
    client.post("/a", "x").await;
    let wanted = [
        ("/a", "miss", json!("uri-miss"), Value::Null),
        ("/a", "hit", Value::Null, Value::Null),
        ("/own", "miss", json!("uri-miss"), json!("private")),
        ("/a", "bypass", json!("bypass"), json!("authorization")),
        ("/a", "bypass", json!("method"), Value::Null),
    ];
    for (path, result, forwarded, detail) in wanted {
        world
            .logged(|line| {
                line["path"] == path
                    && line["cache"] == result
                    && line["cache_fwd"] == forwarded
                    && line["cache_detail"] == detail
            })
            .await;
    }
    let of = |name: &str, result: &str| format!("{name}{{http_route=\"/*\",result=\"{result}\"}}");
    for (result, count) in [("hit", 2.0), ("miss", 2.0), ("bypass", 2.0)] {
        let found = world.metric(&of("banyan_cache_requests_total", result)).await;
        assert_eq!(found, count, "{result}");
    }
    let sent = world.metric(&of("banyan_cache_sent_bytes_total", "hit")).await;
    assert_eq!(sent, 2.0 * body as f64);
    within("the page's figures", async {
        loop {
            let told: Value = serde_json::from_str(world.admin("/api/cache").await.text()).unwrap();
            let used = &told["routes"][0];
            if (&used["hit"], &used["miss"], &used["bypass"]) == (&json!(2), &json!(2), &json!(2)) {
                assert_eq!(used["route"], "/*");
                assert_eq!(used["bytes_saved"], json!(2 * body));
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let page = world.admin("/cache").await;
    assert!(page.text().contains("<b>33.3 %</b>"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_foretells_what_a_request_meets() {
    let world = world("[routes.cache]\npersonal_cookies = [\"own\"]")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let admin = world.addresses.admin.unwrap().to_string();
    let explain = |arguments: &[&str]| {
        let all = [&["cache", "explain", "/a", "--admin", &admin], arguments].concat();
        let ran = run(world.folder(), &all);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    assert_eq!(first(&explain(&[])), "Cache-Status: banyan; fwd=uri-miss");
    client.get("/a").await;
    let told = explain(&[]);
    assert!(
        first(&told).starts_with("Cache-Status: banyan; hit; ttl="),
        "{told}"
    );
    assert!(told.contains("why    what is kept is fresh\n"), "{told}");
    assert!(told.contains("key    localhost/a\n"), "{told}");
    assert_eq!(
        first(&explain(&["--header", "accept-encoding: br"])),
        "Cache-Status: banyan; fwd=vary-miss"
    );
    assert_eq!(
        first(&explain(&["--cookie", "own=1"])),
        "Cache-Status: banyan; fwd=bypass; detail=personal-cookie"
    );
    assert_eq!(
        first(&explain(&["--header", "authorization: Bearer x"])),
        "Cache-Status: banyan; fwd=bypass; detail=authorization"
    );
}
