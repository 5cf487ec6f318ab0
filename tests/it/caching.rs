//! The shared cache from outside: what is kept, for whom, what a miss costs when a thousand come at once, and what the backend never sees.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use banyan::clock;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use crate::{
    backend::{Body, channel, empty, full},
    client::{Answer, Http},
    program::run,
    world::{Builder, World, within},
};

/// Answers with the number of the request and what it saw; the first segment of the path says what may be kept.
async fn app(request: Request<Incoming>) -> Response<Body> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    let first = request
        .uri()
        .path()
        .split('/')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let mut said: Vec<(&'static str, &'static str)> = match first.as_str() {
        "own" => vec![("cache-control", "private, max-age=60")],
        "cookie" => vec![("cache-control", "max-age=60"), ("set-cookie", "session=secret")],
        "plain" => vec![],
        _ => vec![("cache-control", "max-age=60"), ("etag", "\"one\"")],
    };
    if first == "language" {
        said.push(("vary", "accept-language"));
    }
    if matches!(first.as_str(), "own" | "slow") {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut names: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    names.sort();
    let mut response = Response::new(full(format!("{number} {} {}", request.uri(), names.join("|"))));
    for (name, value) in said {
        response
            .headers_mut()
            .append(name, HeaderValue::from_static(value));
    }
    // what isn't read costs the connection
    let _ = http_body_util::BodyExt::collect(request.into_body()).await;
    response
}

fn world(cache: &str) -> Builder {
    World::new().top("cores = 1").backend("app", app).routes(&format!(
        "[[routes]]\npath = \"/*\"\nbackend = \"app\"\n{cache}\n"
    ))
}

const STANDARD: &str = "cache = \"standard\"";

fn status_of(answer: &Answer) -> &str {
    answer.header("cache-status")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_unless_a_route_says_so() {
    let world = world("").start().await;
    let mut client = world.client(Http::One).await;
    let (first, second) = (client.get("/kept").await, client.get("/kept").await);
    assert_ne!(first.text(), second.text());
    assert_eq!(status_of(&second), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_kept_is_asked_for_once_whatever_is_wanted_of_it() {
    for http in Http::BOTH {
        let world = world(STANDARD).start().await;
        let mut client = world.client(http).await;
        let first = client.get("/kept?a=1").await;
        assert!(
            status_of(&first).starts_with("banyan; fwd=uri-miss; fwd-status=200; ttl="),
            "{first:?}"
        );
        assert!(status_of(&first).contains("; stored"), "{first:?}");
        let again = client.get("/kept?a=1").await;
        assert_eq!(again.text(), first.text());
        assert!(status_of(&again).starts_with("banyan; hit; ttl="), "{again:?}");
        assert_eq!(again.header("age"), "0");
        let part = client.get_with("/kept?a=1", &[("range", "bytes=0-1")]).await;
        assert_eq!((part.status.as_u16(), part.text()), (206, &first.text()[..2]));
        let known = client
            .get_with("/kept?a=1", &[("if-none-match", "W/\"one\"")])
            .await;
        assert_eq!((known.status.as_u16(), known.text()), (304, ""));
        let head = client.request(&Method::HEAD, "/kept?a=1", empty());
        let head = client.ask(head).await;
        assert_eq!(head.header("content-length"), first.body.len().to_string());
        assert_ne!(client.get("/kept?a=2").await.text(), first.text());
        assert_eq!(world.backend("app").requests(), 2, "{http:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_somebodys_own_is_never_kept() {
    let world = world("[routes.cache]\npersonal_cookies = [\"PHPSESSID\"]")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for (path, why) in [
        ("/own", "private"),
        ("/cookie", "set-cookie"),
        ("/plain", "no-freshness"),
    ] {
        let (first, second) = (client.get(path).await, client.get(path).await);
        assert_ne!(first.text(), second.text(), "{path}");
        assert!(
            status_of(&second).ends_with(&format!("detail={why}")),
            "{second:?}"
        );
    }
    let kept = client.get("/kept").await;
    let own = client.get_with("/kept", &[("cookie", "PHPSESSID=1")]).await;
    assert_ne!(own.text(), kept.text());
    assert_eq!(status_of(&own), "banyan; fwd=bypass; detail=personal-cookie");
    assert!(
        own.text().contains("cookie=PHPSESSID=1"),
        "it goes past whole: {}",
        own.text()
    );
    let bearer = client.get_with("/kept", &[("authorization", "Bearer x")]).await;
    assert_eq!(status_of(&bearer), "banyan; fwd=bypass; detail=authorization");
    assert_eq!(
        client.get("/kept").await.text(),
        kept.text(),
        "and leaves nothing behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_in_the_key_never_reaches_the_backend() {
    let world = world("[routes.cache]\nheaders = [\"x-theme\"]\ncookies = { only = [\"lang\"] }\nquery = { only = [\"a\"] }")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let evil = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-for", "6.6.6.6"),
        ("forwarded", "host=evil.example"),
        ("x-host", "evil.example"),
        ("x-theme", "dark"),
        ("cookie", "lang=de; tracker=evil"),
        ("tracestate", "evil=1"),
        ("accept", "evil/evil"),
        ("user-agent", "evil"),
        ("if-none-match", "\"evil\""),
        ("content-type", "evil/evil"),
    ];
    let poisoned = client.get_with("/kept?a=1&b=evil", &evil).await;
    assert!(!poisoned.text().contains("evil"), "{}", poisoned.text());
    assert!(poisoned.text().contains("cookie=lang=de|"), "{}", poisoned.text());
    assert!(poisoned.text().contains("x-theme=dark"), "{}", poisoned.text());
    assert!(!poisoned.text().contains("127.0.0.1|") || !poisoned.text().contains("x-forwarded-for"));
    let same = client
        .get_with(
            "/kept?a=1&b=2",
            &[("x-theme", "dark"), ("cookie", "other=1; lang=de")],
        )
        .await;
    assert_eq!(same.text(), poisoned.text());
    for other in [("x-theme", "light"), ("cookie", "lang=en")] {
        let answer = client.get_with("/kept?a=1", &[other]).await;
        assert_ne!(answer.text(), poisoned.text(), "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_misses_are_one_request_and_one_of_them_may_go_away() {
    let world = world(STANDARD).start().await;
    let mut first = world.client(Http::Two).await;
    let leaving = first.request(&Method::GET, "/slow", empty());
    let leaving = tokio::spawn(async move { first.send(leaving).await.map(drop) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(world.client(Http::Two).await); // a hundred streams on each
    }
    let all: Vec<_> = (0..1000)
        .map(|number| {
            let mut client = clients[number % 10].another();
            async move { client.get("/slow").await }
        })
        .collect();
    let all = tokio::spawn(within("a thousand answers", join_all(all)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    leaving.abort();
    let answers = all.await.unwrap();
    assert!(answers.iter().all(|answer| answer.text() == answers[0].text()));
    let collapsed = answers
        .iter()
        .filter(|answer| status_of(answer).contains("; collapsed"))
        .count();
    assert!(
        collapsed >= 900,
        "the last may come to what is kept already: {collapsed}"
    );
    let asked = world.backend("app").requests();
    assert!(
        asked <= 2,
        "one, and one more if the first of them left before its answer came: {asked}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_that_can_not_be_shared_release_all_who_waited_at_once() {
    let world = world(STANDARD).start().await;
    let client = world.client(Http::Two).await;
    let began = clock::steady();
    let all = (0..200).map(|_| {
        let mut client = client.another();
        async move { client.get("/own").await }
    });
    let answers = within("two hundred answers", join_all(all)).await;
    let took = began.elapsed();
    let mut texts: Vec<&str> = answers.iter().map(Answer::text).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), 200, "each got its own");
    assert!(took < Duration::from_secs(2), "not one after the other: {took:?}");
    let again = clock::steady();
    world.client(Http::Two).await.get("/own").await;
    assert!(
        again.elapsed() < Duration::from_millis(390),
        "nobody waits for a key that is known"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_read_along_while_the_answer_arrives() {
    let (piece, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let streams = move |_: Request<Incoming>| {
        let mut response = Response::new(body.lock().unwrap().take().unwrap());
        response
            .headers_mut()
            .insert("cache-control", HeaderValue::from_static("max-age=60"));
        std::future::ready(response)
    };
    let world = World::new()
        .top("cores = 1")
        .backend("app", streams)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\ncache = \"standard\"\n")
        .start()
        .await;
    let mut first = world.client(Http::One).await;
    let request = first.request(&Method::GET, "/stream", empty());
    let response = first.send(request).await.unwrap();
    piece.send(Ok("one ".into())).await.unwrap();
    let mut second = world.client(Http::One).await;
    let request = second.request(&Method::GET, "/stream", empty());
    let follower = within("the head, long before the end", second.send(request))
        .await
        .unwrap();
    assert!(
        follower.headers()["cache-status"]
            .to_str()
            .unwrap()
            .contains("collapsed")
    );
    drop((response, first)); // who asked goes away
    piece.send(Ok("two".into())).await.unwrap();
    drop(piece);
    assert_eq!(Answer::read(follower).await.unwrap().text(), "one two");
    let mut third = world.client(Http::One).await;
    assert_eq!(third.get("/stream").await.text(), "one two");
    assert_eq!(world.backend("app").requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn languages_and_variants_never_share_bytes() {
    let world = World::new()
        .top("cores = 1")
        .backend("old", app)
        .backend("new", app)
        .routes("[[routes]]\npath = \"/*\"\nflag = \"moving\"\nbackends = { legacy = \"old\", new = \"new\" }\ncache = \"standard\"\n")
        .flag(
            "moving",
            "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[[rules]]\nname = \"a\"\nif = { \"==\" = [{ var = \"request.headers.x-side\" }, \"new\"] }\nserve = \"new\"\n",
        )
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let english = client.get_with("/language", &[("accept-language", "en")]).await;
    let legacy = client.get("/kept").await;
    assert!(
        legacy.text().contains("banyan-flags=moving=legacy"),
        "{}",
        legacy.text()
    );
    assert_eq!(client.get("/kept").await.text(), legacy.text());
    assert!(
        !english.text().contains("accept-language"),
        "not asked for: {}",
        english.text()
    );
    let new = client.get_with("/kept", &[("x-side", "new")]).await;
    assert!(new.text().contains("banyan-flags=moving=new"), "{}", new.text());
    assert_eq!(client.get("/kept").await.text(), legacy.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsafe_method_drops_what_it_changes() {
    let world = world(STANDARD).start().await;
    let mut client = world.client(Http::One).await;
    let before = client.get("/kept").await;
    assert_eq!(client.get("/kept").await.text(), before.text());
    let posted = client.post("/kept", "x").await;
    assert_eq!(status_of(&posted), "banyan; fwd=method");
    assert_ne!(client.get("/kept").await.text(), before.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_core_has_kept_the_next_request_finds_whatever_others_post_elsewhere() {
    let world = World::new()
        .top("cores = 2")
        .backend("app", app)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\ncache = \"standard\"\n")
        .start()
        .await;
    let client = world.client(Http::Two).await;
    let address = |key: usize| format!("/kept?key={key}");
    for key in 0..100 {
        let (mut one, mut other) = (client.another(), world.client(Http::One).await);
        let first = one.get(&address(key)).await;
        let second = other.get(&address(key)).await;
        assert!(status_of(&second).starts_with("banyan; hit"), "{second:?}");
        assert_eq!(second.text(), first.text());
    }
    let posts = (0..10).map(|poster| {
        let mut client = client.another();
        async move {
            for number in 0..50 {
                let posted = client.post(&format!("/elsewhere/{poster}/{number}"), "x").await;
                assert!(posted.status.is_success(), "{posted:?}");
            }
        }
    });
    within("500 answers", join_all(posts)).await;
    let mut client = world.client(Http::One).await;
    for key in 0..100 {
        let again = client.get(&address(key)).await;
        assert!(status_of(&again).starts_with("banyan; hit"), "{key}: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_backend_is_stood_in_for_by_what_is_kept() {
    let dead = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let telling = std::sync::Arc::clone(&dead);
    let fails = move |_: Request<Incoming>| {
        let dead = telling.load(Ordering::SeqCst);
        let mut response = Response::new(full(if dead { "broken" } else { "well" }));
        if dead {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        let lasts = HeaderValue::from_static("max-age=1, stale-if-error=60");
        response.headers_mut().insert("cache-control", lasts);
        std::future::ready(response)
    };
    let world = World::new()
        .top("cores = 1")
        .backend("app", fails)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\ncache = \"standard\"\n")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    assert_eq!(client.get("/a").await.text(), "well");
    dead.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let stale = client.get("/a").await;
    assert_eq!((stale.status.as_u16(), stale.text()), (200, "well"));
    assert!(
        status_of(&stale).contains("fwd=stale; fwd-status=503"),
        "{stale:?}"
    );
    assert!(status_of(&stale).ends_with("detail=stale-if-error"), "{stale:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_tells_the_key_and_why() {
    let world = world("[routes.cache]\nheaders = [\"X-Theme\"]").start().await;
    let asked = ["explain", "https://localhost/kept?a=1", "--header", "X-Evil: 1"];
    let text = run(world.folder(), &asked).out;
    assert!(text.contains("key localhost/kept?a=1; header x-theme"), "{text}");
    assert!(text.contains("not sent to the backend: x-evil"), "{text}");
}
