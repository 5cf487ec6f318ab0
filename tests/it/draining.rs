//! A side that is switched off gives up its open WebSockets, streams and downloads; the other side's never notice.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use banyan::clock;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    backend::{Body, channel, empty, full},
    client::{Answer, Client, Http, field, until},
    websocket::{self, WebSocket},
    world::{Builder, World, within},
};

/// Who asks for `side=new` gets it.
const FLAG: &str = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\ndrain = \"2s\"\n\
    [[rules]]\nif = { \"==\" = [{ var = \"request.query.side\" }, \"new\"] }\nserve = \"new\"\n";

const ROUTES: &str =
    "[[routes]]\npath = \"/*\"\nflag = \"live\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n";

const WINDOW: Duration = Duration::from_secs(2);
/// How much later than promised a busy machine may be.
const SLACK: Duration = Duration::from_secs(2);

/// Half of all visitors get it.
const HALF: &str =
    "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\ndrain = \"2s\"\n[rollout]\nnew = 50.0\n";

fn disabled(flag: &str) -> String {
    format!("state = \"disabled\"\n{flag}")
}

/// Streams of a backend that are open now.
type Open = Arc<AtomicUsize>;

/// `/events` and `/download` go on for ever, `/page` ends after a second, WebSockets echo; `x-side` says who answers.
fn side(
    name: &'static str,
    open: Open,
) -> impl Fn(Request<Incoming>) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>
+ Send
+ Sync
+ 'static {
    move |request| {
        let open = Arc::clone(&open);
        Box::pin(async move {
            let (media, pieces) = match request.uri().path() {
                "/events" => ("text/event-stream; charset=utf-8", usize::MAX),
                "/download" => ("application/octet-stream", usize::MAX),
                "/page" => ("text/html", 20),
                _ => ("", 0),
            };
            let mut response = if pieces == 0 {
                websocket::backend(request).await
            } else {
                let (sender, body) = channel();
                tokio::spawn(async move {
                    open.fetch_add(1, Ordering::SeqCst);
                    for _ in 0..pieces {
                        if sender.send(Ok(Bytes::from_static(b"data: x\n\n"))).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
                let mut response = Response::new(body);
                let fields = response.headers_mut();
                fields.insert("content-type", HeaderValue::from_static(media));
                response
            };
            let fields = response.headers_mut();
            fields.insert("x-side", HeaderValue::from_static(name));
            response
        })
    }
}

fn site(open: &Open) -> Builder {
    World::new()
        .backend("legacy", side("legacy", Arc::default()))
        .backend("new", side("new", Arc::clone(open)))
        .flag("live", FLAG)
        .routes(ROUTES)
}

async fn get(client: &mut Client, target: &str) -> Response<Incoming> {
    let request = client.request(&Method::GET, target, empty());
    client.send(request).await.unwrap()
}

/// Reads to the end, and says whether that came in good order.
async fn read(response: Response<Incoming>) -> Result<usize, hyper::Error> {
    let (mut body, mut bytes) = (response.into_body(), 0);
    while let Some(frame) = within("the next piece", body.frame()).await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

async fn drained(world: &World, variant: &str) -> f64 {
    let series = format!("banyan_drained_exchanges_total{{flag=\"live\",variant=\"{variant}\"}}");
    world.metric(&series).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_closes_the_websockets_of_the_killed_side_only() {
    let world = site(&Open::default()).start().await;
    let (mut new, mut legacy) = (Vec::new(), Vec::new());
    for http in [Http::One, Http::Two, Http::One, Http::Two] {
        new.push(WebSocket::open(&world, http, "/live?side=new").await);
        legacy.push(WebSocket::open(&world, http, "/live").await);
    }
    for socket in new.iter_mut().chain(&mut legacy) {
        socket.echo("before").await;
    }
    let killed = clock::steady();
    world.write("flags/live.toml", &disabled(FLAG));
    for socket in &mut new {
        assert_eq!(socket.closed().await, 1012);
    }
    let took = killed.elapsed();
    assert!(took < WINDOW + SLACK, "{took:?}");
    for socket in &mut legacy {
        socket.echo("after").await;
    }
    until("the killed side's connections are closed", async || {
        world.backend("new").open() == 0
    })
    .await;
    assert_eq!(drained(&world, "new").await, 4.0);
    assert_eq!(drained(&world, "legacy").await, 0.0);
    let line = world.logged(|line| line["drained"] == true).await;
    assert_eq!(
        (&line["outcome"], &line["feature_flag.result.variant"]),
        (&"tunnelled".into(), &"new".into())
    );
    // whoever comes back while it is off is led to the other side, and to the new one again when it is on
    let requests = world.backend("new").requests();
    WebSocket::open(&world, Http::One, "/live?side=new")
        .await
        .echo("x")
        .await;
    assert_eq!(world.backend("new").requests(), requests);
    world.write("flags/live.toml", FLAG);
    world.reload().await;
    let mut back = WebSocket::open(&world, Http::One, "/live?side=new").await;
    assert_eq!(world.backend("new").requests(), requests + 1);
    tokio::time::sleep(WINDOW + Duration::from_millis(500)).await;
    back.echo("it stays").await;
    for socket in &mut legacy {
        socket.echo("still").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_ends_streams_in_order_cuts_downloads_and_lets_pages_finish() {
    for http in [Http::One, Http::Two] {
        let open = Open::default();
        let world = site(&open).start().await;
        let mut clients = Vec::new();
        let mut reading = BTreeMap::new();
        for what in [
            "/events?side=new",
            "/download?side=new",
            "/page?side=new",
            "/events",
            "/download",
        ] {
            let mut client = world.client(http).await;
            let response = get(&mut client, what).await;
            let expected = if what.ends_with("new") { "new" } else { "legacy" };
            assert_eq!(response.headers()["x-side"], expected);
            reading.insert(what, tokio::spawn(read(response)));
            clients.push(client);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let killed = clock::steady();
        world.write("flags/live.toml", &disabled(FLAG));
        let page = reading.remove("/page?side=new").unwrap().await.unwrap();
        assert_eq!(page.unwrap(), 20 * 9, "it had time enough");
        let events = reading.remove("/events?side=new").unwrap().await.unwrap();
        assert!(events.is_ok(), "{events:?}");
        let took = killed.elapsed();
        assert!(took < WINDOW + SLACK, "{took:?}");
        let download = reading.remove("/download?side=new").unwrap().await.unwrap();
        let error = download.expect_err("what is not whole is no whole answer");
        let took = killed.elapsed();
        assert!((WINDOW..WINDOW + SLACK).contains(&took), "{took:?}");
        if http == Http::Two {
            let told = format!("{error:?}");
            assert!(told.contains("CANCEL"), "{told}");
        }
        assert!(reading.values().all(|legacy| !legacy.is_finished()));
        until("the killed side's streams are closed", async || {
            open.load(Ordering::SeqCst) == 0
        })
        .await;
        assert_eq!(drained(&world, "new").await, 2.0);
        assert_eq!(drained(&world, "legacy").await, 0.0);
        let cut = world.logged(|line| line["path"] == "/download").await;
        assert_eq!(
            (&cut["drained"], &cut["aborted"]),
            (&true.into(), &"banyan".into())
        );
        // the connection that the events came by is as good as ever
        let next = get(&mut clients[0], "/page?side=new").await;
        assert_eq!(next.headers()["x-side"], "legacy");
        for legacy in reading.values() {
            legacy.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_led_to_the_same_backend_all_the_same_stays() {
    let world = site(&Open::default()).start().await;
    let mut socket = WebSocket::open(&world, Http::One, "/live?side=new").await;
    // everybody gets it, and the flag is done with
    let routes = world
        .read("routes/world.toml")
        .replace(ROUTES.lines().nth(2).unwrap(), "")
        .replace(ROUTES.lines().nth(3).unwrap(), "backend = \"new\"");
    world.write("routes/world.toml", &routes);
    fs::remove_file(world.folder().join("flags/live.toml")).unwrap();
    world.reload().await;
    assert_eq!(
        get(&mut world.client(Http::One).await, "/").await.headers()["x-side"],
        "new"
    );
    tokio::time::sleep(WINDOW + Duration::from_millis(500)).await;
    socket.echo("it stays").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_of_nothing_and_rules_that_are_gone_are_kills_too() {
    let world = site(&Open::default()).start().await;
    let mut socket = WebSocket::open(&world, Http::Two, "/live?side=new").await;
    socket.echo("before").await;
    let without_rule =
        "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\ndrain = \"300ms\"\n[rollout]\n";
    world.write("flags/live.toml", &format!("{without_rule}new = 0.001\n"));
    world.reload().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    socket.echo("somebody can still get it").await;
    world.write("flags/live.toml", &format!("{without_rule}new = 0.0\n"));
    assert_eq!(socket.closed().await, 1012);
}

/// The visitor cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie");
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_brings_the_same_visitors_back() {
    let world = site(&Open::default()).flag("live", HALF).start().await;
    let mut sides = BTreeMap::new();
    let mut client = world.client(Http::Two).await;
    while sides.values().filter(|side| *side == "new").count() < 4 || sides.len() < 8 {
        let page = client.get_with("/other", &[("accept", "text/html")]).await;
        sides.insert(cookie(&page), page.header("x-side").to_owned());
    }
    let open = async |expected: Option<&str>| {
        let mut sockets = Vec::new();
        for (cookie, side) in &sides {
            let (head, socket) = WebSocket::open_as(&world, "/live", cookie).await;
            assert_eq!(field(&head, "x-side"), Some(expected.unwrap_or(side)));
            sockets.push((side.clone(), socket));
        }
        sockets
    };
    for (side, socket) in &mut open(None).await {
        socket.echo(side).await;
    }
    let mut sockets = open(None).await;
    world.write("flags/live.toml", &disabled(HALF));
    for (side, socket) in &mut sockets {
        match side.as_str() {
            "new" => assert_eq!(socket.closed().await, 1012),
            _ => socket.echo("after").await,
        }
    }
    drop(open(Some("legacy")).await);
    world.write("flags/live.toml", HALF);
    world.reload().await;
    drop(open(None).await);
}

/// How long a change of a flag's file takes to be what a kept connection's next request gets: 50 changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_is_in_force_at_once_on_every_core() {
    let world = World::new()
        .top("cores = 4")
        .backend("legacy", |_| async { Response::new(full("legacy")) })
        .backend("new", |_| async { Response::new(full("new")) })
        .flag("live", FLAG)
        .routes(ROUTES)
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(world.client(Http::One).await);
    }
    let mut took = Vec::new();
    for change in 0..50 {
        let (text, expected) = match change % 2 {
            0 => (disabled(FLAG), "legacy"),
            _ => (FLAG.to_owned(), "new"),
        };
        let began = clock::steady();
        world.write("flags/live.toml", &text);
        until("the change", async || {
            clients[0].get("/?side=new").await.text() == expected
        })
        .await;
        took.push(began.elapsed());
        for client in &mut clients {
            assert_eq!(
                client.get("/?side=new").await.text(),
                expected,
                "every core has it"
            );
        }
    }
    took.sort_unstable();
    let (median, last) = (took[took.len() / 2], took[took.len() - 1]);
    println!("50 changes of a file: median {median:?}, slowest {last:?}");
    // 250 ms are promised on a quiet machine; this one builds and tests beside it
    assert!(last < Duration::from_secs(3), "{took:?}");
}
