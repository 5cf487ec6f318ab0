//! Requests for the same answer on several cores: one asks, all read along, and nobody gets what is another's.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use banyan::clock;
use futures_util::future::join_all;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;

use crate::{
    backend::{Body, channel, empty, full},
    client::{Answer, Client, Http},
    world::{Builder, World, within},
};

/// Each connection is a core's at random: of so many, both have some.
const CONNECTIONS: usize = 24;

fn world<F, R>(app: F) -> Builder
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    World::new()
        .top("cores = 2")
        .backend("app", app)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"app\"\ncache = \"standard\"\n")
}

async fn clients(world: &World) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(world.client(Http::Two).await);
    }
    clients
}

/// What is said of an answer by its path, after a while; its number is its body.
async fn slow(request: Request<Incoming>) -> Response<Body> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let language = request.headers().get("accept-language");
    let language = language.map_or("", |value| value.to_str().unwrap()).to_owned();
    let mut response = Response::new(full(format!("{number} {language}")));
    let said: &[(&str, &str)] = match request.uri().path() {
        "/own" => &[("cache-control", "private, max-age=60")],
        "/cookie" => &[("cache-control", "max-age=60"), ("set-cookie", "session=secret")],
        "/language" => &[("cache-control", "max-age=60"), ("vary", "accept-language")],
        _ => &[("cache-control", "max-age=60")],
    };
    for (name, value) in said {
        response
            .headers_mut()
            .append(*name, HeaderValue::from_static(value));
    }
    response
}

fn distinct(answers: &[Answer]) -> usize {
    let mut texts: Vec<&str> = answers.iter().map(Answer::text).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_misses_on_all_cores_are_one_request() {
    let world = world(slow).start().await;
    let clients = clients(&world).await;
    let all = (0..1000).map(|number| {
        let mut client = clients[number % CONNECTIONS].another();
        async move { client.get("/shared").await }
    });
    let answers = within("a thousand answers", join_all(all)).await;
    assert_eq!(distinct(&answers), 1);
    assert_eq!(world.backend("app").requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_shared_releases_the_waiting_of_all_cores_at_once() {
    let world = world(slow).start().await;
    let clients = clients(&world).await;
    for path in ["/own", "/cookie"] {
        let began = clock::steady();
        let all = (0..240).map(|number| {
            let mut client = clients[number % CONNECTIONS].another();
            async move { client.get(path).await }
        });
        let answers = within("all answers", join_all(all)).await;
        assert_eq!(distinct(&answers), 240, "each got its own");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "not one after the other"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_on_another_core_gets_another_language() {
    let world = world(slow)
        .routes("[[routes]]\npath = \"/language\"\nbackend = \"app\"\n[routes.cache]\nunkeyed_headers = { only = [\"accept-language\"] }\n")
        .start()
        .await;
    let clients = clients(&world).await;
    let all = (0..240).map(|number| {
        let mut client = clients[number % CONNECTIONS].another();
        let language = ["de", "en", "fr", "ja", "ko"][number % 5];
        async move {
            let answer = client
                .get_with("/language", &[("accept-language", language)])
                .await;
            assert!(answer.text().ends_with(language), "{language}: {}", answer.text());
            answer
        }
    });
    let answers = within("all answers", join_all(all)).await;
    assert_eq!(distinct(&answers), 5);
    assert!(
        world.backend("app").requests() <= 10,
        "{}",
        world.backend("app").requests()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_on_all_cores_read_along_and_the_first_may_go_away() {
    let (piece, body) = channel();
    let body = Mutex::new(Some(body));
    let streams = move |_: Request<Incoming>| {
        let mut response = Response::new(body.lock().unwrap().take().unwrap());
        response
            .headers_mut()
            .insert("cache-control", HeaderValue::from_static("max-age=60"));
        std::future::ready(response)
    };
    let world = world(streams).start().await;
    let mut first = world.client(Http::One).await;
    let request = first.request(&Method::GET, "/stream", empty());
    let response = within("the head", first.send(request)).await.unwrap();
    piece.send(Ok("one ".into())).await.unwrap();
    let mut followers = Vec::new();
    for mut client in clients(&world).await {
        let request = client.request(&Method::GET, "/stream", empty());
        let head = within("the head, long before the end", client.send(request))
            .await
            .unwrap();
        let status = head.headers()["cache-status"].to_str().unwrap();
        assert!(status.contains("collapsed"), "{status}");
        followers.push((client, head));
    }
    drop((response, first));
    piece.send(Ok("two".into())).await.unwrap();
    drop(piece);
    for (client, head) in followers {
        let answer = within("the whole", Answer::read(head)).await.unwrap();
        assert_eq!(answer.text(), "one two");
        drop(client);
    }
    let mut later = world.client(Http::One).await;
    assert_eq!(later.get("/stream").await.text(), "one two");
    assert_eq!(world.backend("app").requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_holds_nobody_back_and_loses_nothing() {
    const BYTES: usize = 8 * 1024 * 1024;
    let large = |_: Request<Incoming>| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut response = Response::new(full(vec![b'x'; BYTES]));
        response
            .headers_mut()
            .insert("cache-control", HeaderValue::from_static("max-age=60"));
        response
    };
    let world = world(large).start().await;
    let mut lazy = Vec::new();
    for number in 0..8 {
        let mut client = world.client(Http::One).await;
        let request = client.request(&Method::GET, "/large", empty());
        lazy.push(tokio::spawn(async move {
            (client.send(request).await.unwrap(), client, number)
        }));
    }
    let lazy: Vec<_> = within("their heads", join_all(lazy)).await;
    let mut quick = world.client(Http::One).await;
    let answer = within("all of it, while others don't read", quick.get("/large")).await;
    assert_eq!(answer.body.len(), BYTES);
    for one in lazy {
        let (head, client, number) = one.unwrap();
        let answer = within("all of it, later", Answer::read(head)).await.unwrap();
        assert_eq!(answer.body.len(), BYTES, "{number}");
        drop(client);
    }
    assert_eq!(world.backend("app").requests(), 1);
}
