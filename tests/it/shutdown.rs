//! How the router begins and ends: busy ports, drains, signals.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    backend::{Body, empty, full, hello},
    client::{self, Client, Http, status, until},
    process::Program,
    world::{Builder, PATIENCE, World, within},
};

/// A backend whose answers to `/slow` wait for a word.
fn patient() -> (Builder, watch::Sender<bool>) {
    let (go, gone) = watch::channel(false);
    let answer = move |request: Request<Incoming>| {
        let mut gone = gone.clone();
        async move {
            if request.uri().path() == "/slow" {
                let _ = gone.wait_for(|gone| *gone).await;
            }
            Response::<Body>::new(full("done"))
        }
    };
    (World::new().backend("legacy", answer), go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_everything_under_way_finish_and_then_ends() {
    let (site, go) = patient();
    let mut world = site
        .operator("[limits]\ndrain_delay = \"50ms\"\ndrain_timeout = \"10s\"")
        .start()
        .await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut two = world.client(Http::Two).await;
    let request = two.request(&Method::GET, "/slow", empty());
    let mut asking = two.another();
    let asking = tokio::spawn(async move { asking.ask(request).await });
    let mut idle = world.client(Http::One).await;
    idle.get("/").await;
    until("both at the backend", async || {
        world.backend("legacy").requests() == 3
    })
    .await;
    world.drain().await;
    idle.ended().await.unwrap();
    until("closed doors", async || {
        client::Wire::connect(world.https()).await.is_err()
    })
    .await;
    assert!(!asking.is_finished());
    go.send(true).unwrap();
    let (head, body) = raw.answer().await;
    assert_eq!((status(&head), body.as_str()), (200, "done"));
    assert_eq!(client::field(&head, "connection"), Some("close"), "{head}");
    assert_eq!(within("the answer", asking).await.unwrap().text(), "done");
    let _ = two.ended().await;
    world.ended().await;
    assert!(
        client::Wire::connect(world.https()).await.is_err(),
        "nobody listens any longer"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_fails_first_while_everyone_is_still_served() {
    let (site, _go) = patient();
    let mut world = site
        .operator("[limits]\ndrain_delay = \"1s\"\ndrain_timeout = \"5s\"")
        .start()
        .await;
    assert_eq!(world.admin("/readyz").await.status, 200);
    assert_eq!(world.admin("/healthz").await.status, 200);
    world.drain().await;
    until("a failing readyz", async || {
        world.admin("/readyz").await.status == 503
    })
    .await;
    for http in Http::BOTH {
        assert_eq!(
            world.client(http).await.get("/").await.text(),
            "done",
            "still served"
        );
    }
    assert_eq!(world.admin("/healthz").await.status, 200, "alive, if not ready");
    world.ended().await;
}

/// A frame of HTTP/2: its type, flags and payload.
async fn frame(raw: &mut client::Raw) -> (u8, u8, Vec<u8>) {
    let head = raw.bytes(9).await;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    (head[3], head[4], raw.bytes(length).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_connection_gets_goaway_twice() {
    let (site, _go) = patient();
    let world = site.start().await;
    let mut raw = world.raw(Http::Two).await;
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    while frame(&mut raw).await.0 != 4 {} // its settings
    world.drain().await;
    let mut last_streams = Vec::new();
    while last_streams.len() < 2 {
        let (kind, flags, payload) = frame(&mut raw).await;
        match kind {
            6 if flags == 0 => {
                let mut answer = b"\0\0\x08\x06\x01\0\0\0\0".to_vec();
                answer.extend(payload);
                raw.send(answer).await;
            }
            7 => {
                assert_eq!(payload[4..8], [0; 4], "NO_ERROR");
                last_streams.push(u32::from_be_bytes(payload[..4].try_into().unwrap()));
            }
            _ => {}
        }
    }
    assert_eq!(
        last_streams,
        [0x7fff_ffff, 0],
        "first: all that is under way; then: what was taken"
    );
    raw.rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_end_is_cut_when_the_window_is_over() {
    let (site, _go) = patient();
    let mut world = site
        .operator("[limits]\ndrain_delay = \"20ms\"\ndrain_timeout = \"300ms\"")
        .start()
        .await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let two = world.client(Http::Two).await;
    let request = two.request(&Method::GET, "/slow", empty());
    let mut asking = two.another();
    let asking = tokio::spawn(async move { asking.try_ask(request).await });
    until("both at the backend", async || {
        world.backend("legacy").requests() == 2
    })
    .await;
    let began = banyan::clock::steady();
    world.drain().await;
    world.ended().await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(raw.rest().await, "");
    assert!(within("an end", asking).await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_never_ask_do_not_hold_a_drain_up() {
    let (site, _go) = patient();
    let mut world = site
        .operator("[limits]\ndrain_delay = \"20ms\"\ndrain_timeout = \"12s\"")
        .start()
        .await;
    let _private = world.raw_private().await;
    let _plain = client::tcp(world.addresses.http[0]).await;
    let _tls = world.raw(Http::One).await;
    let two = world.client(Http::Two).await;
    two.another().get("/").await;
    let began = banyan::clock::steady();
    world.drain().await;
    world.ended().await;
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_everything_at_once() {
    let (site, _go) = patient();
    let mut world = site.start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    until("it at the backend", async || {
        world.backend("legacy").requests() == 1
    })
    .await;
    let plane = world.plane();
    let began = banyan::clock::steady();
    tokio::task::spawn_blocking(move || plane.stop()).await.unwrap();
    world.ended().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(raw.rest().await, "");
}

/// How to connect to a router that may be gone.
struct Way {
    http: Http,
    address: SocketAddr,
    ca: PathBuf,
    authority: String,
}

impl Way {
    async fn connect(&self) -> Option<Client> {
        let tcp = TcpStream::connect(self.address).await.ok()?;
        let tls = client::try_tls(tcp, &self.ca, self.http).await.ok()?;
        Client::try_over(tls, self.http, "https", self.authority.clone())
            .await
            .ok()
    }
}

/// A stream that began after the server's GOAWAY: the server says by it that nothing was done (RFC 9113 section 6.8). That this
/// is so, the backend's count shows.
fn turned_away(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| error.is_go_away() && error.is_remote())
}

/// Asks without a pause, on a new connection whenever the old one was closed in order, until nobody listens any more.
/// Requests that were sent and not answered are counted as lost.
async fn ask_until_the_end(way: Way, answered: &AtomicUsize, lost: &AtomicUsize) {
    while let Some(mut client) = way.connect().await {
        loop {
            let request = client.request(&Method::GET, "/", empty());
            match client.try_ask(request).await {
                Ok(answer) => {
                    assert_eq!(answer.text(), "done");
                    answered.fetch_add(1, Ordering::SeqCst);
                    if answer.header("connection") == "close" {
                        break;
                    }
                }
                Err(error) if error.is_canceled() || error.is_closed() || turned_away(&error) => break,
                Err(error) => {
                    eprintln!("lost: {error:?}");
                    lost.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_loses_not_one_request() {
    let (site, _go) = patient();
    let mut world = site
        .operator("[limits]\ndrain_delay = \"100ms\"\ndrain_timeout = \"10s\"")
        .start()
        .await;
    let (answered, lost) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut load = JoinSet::new();
    for at in 0..8 {
        let (address, ca, authority) = (world.https(), world.ca(), world.authority());
        let (answered, lost) = (Arc::clone(&answered), Arc::clone(&lost));
        let way = Way {
            http: Http::BOTH[at % 2],
            address,
            ca,
            authority,
        };
        load.spawn(async move { ask_until_the_end(way, &answered, &lost).await });
    }
    until("load", async || answered.load(Ordering::SeqCst) > 300).await;
    world.drain().await;
    world.ended().await;
    let ended = async { while load.join_next().await.is_some_and(|joined| joined.is_ok()) {} };
    within("the clients' end", ended).await;
    assert_eq!(
        lost.load(Ordering::SeqCst),
        0,
        "of {}",
        answered.load(Ordering::SeqCst)
    );
    assert_eq!(
        world.backend("legacy").requests(),
        answered.load(Ordering::SeqCst)
    );
}

/// Starts a router that can't be started, and returns what it says.
async fn failure(listen: &str) -> String {
    let site = World::new().backend("legacy", hello("old")).listen(listen);
    match site.try_start().await {
        Ok(_) => panic!("it started"),
        Err((error, _)) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_port_is_named_with_the_setting_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    for setting in ["https", "http", "private"] {
        let said = failure(&format!("{setting} = [\"{address}\"]\n")).await;
        assert!(said.contains(&format!("listen.{setting}")), "{said}");
        assert!(
            said.contains(&address.to_string()) && said.contains("in use"),
            "{said}"
        );
    }
    let said = failure(&format!("https = [\"127.0.0.1:0\"]\nadmin = \"{address}\"\n")).await;
    assert!(said.contains("listen.admin") && said.contains("in use"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_routers_never_share_a_port() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    let said = failure(&format!("https = [\"{}\"]\n", world.https())).await;
    assert!(said.contains("listen.https") && said.contains("in use"), "{said}");
    let said = failure(&format!("private = [\"{}\"]\n", world.addresses.private[0])).await;
    assert!(said.contains("listen.private"), "{said}");
    for _ in 0..10 {
        assert_eq!(world.client(Http::One).await.get("/").await.text(), "old");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_ends_with_status_0_after_sigterm_and_finishes_what_is_under_way() {
    let (site, go) = patient();
    let mut program =
        Program::start(site.operator("[limits]\ndrain_delay = \"50ms\"\ndrain_timeout = \"10s\"")).await;
    let client = program.client(Http::Two).await;
    client.another().get("/").await;
    let request = client.request(&Method::GET, "/slow", empty());
    let mut asking = client.another();
    let asking = tokio::spawn(async move { asking.ask(request).await });
    until("it at the backend", async || {
        program.backend("legacy").requests() == 2
    })
    .await;
    program.signal("TERM");
    until("closed doors", async || {
        client::Wire::connect(program.https).await.is_err()
    })
    .await;
    go.send(true).unwrap();
    assert_eq!(within("the answer", asking).await.unwrap().text(), "done");
    drop(client);
    assert_eq!(program.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_ends_the_program_at_once() {
    let (site, _go) = patient();
    let mut program =
        Program::start(site.operator("[limits]\ndrain_delay = \"50ms\"\ndrain_timeout = \"60s\"")).await;
    let client = program.client(Http::Two).await;
    let request = client.request(&Method::GET, "/slow", empty());
    let mut asking = client.another();
    tokio::spawn(async move { asking.try_ask(request).await });
    until("it at the backend", async || {
        program.backend("legacy").requests() == 1
    })
    .await;
    program.signal("TERM");
    until("closed doors", async || {
        client::Wire::connect(program.https).await.is_err()
    })
    .await;
    let began = banyan::clock::steady();
    program.signal("TERM");
    assert_eq!(program.ended().await, Some(0));
    assert!(began.elapsed() < PATIENCE / 2);
}
