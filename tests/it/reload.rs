//! Files that change while requests are under way.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use banyan::control::status::Outcome;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use rcgen::{CertificateParams, Issuer, KeyPair};
use tokio::task::JoinSet;

use crate::{
    backend::{Body, empty, hello},
    client::{self, Client, Http, until},
    websocket::{self, WebSocket},
    world::{World, within},
};

/// A page or a WebSocket, and who it is from.
async fn signed(request: Request<Incoming>, from: &'static str) -> Response<Body> {
    let mut response = websocket::backend(request).await;
    response
        .headers_mut()
        .insert("x-from", HeaderValue::from_static(from));
    response
}

/// Clients that ask without a pause until they are told to stop; each of their requests must be answered.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Load {
    fn new() -> Self {
        Self {
            stop: Arc::default(),
            asked: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    fn pages(&mut self, mut client: Client) {
        let (stop, asked) = (Arc::clone(&self.stop), Arc::clone(&self.asked));
        self.tasks.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let answer = client.get("/load").await;
                assert_eq!((answer.status.as_u16(), answer.text()), (200, "page"));
                asked.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    fn messages(&mut self, mut socket: WebSocket, echoed: &Arc<AtomicUsize>) {
        let (stop, echoed) = (Arc::clone(&self.stop), Arc::clone(echoed));
        self.tasks.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                socket.echo("are you there").await;
                echoed.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(joined) = within("the load's end", self.tasks.join_next()).await {
            joined.expect("a client that lost nothing");
        }
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_under_load_lose_not_one_request() {
    let route = |backend: &str| format!("[[routes]]\npath = \"/*\"\nbackend = \"{backend}\"\n");
    let world = World::new()
        .backend("one", |request| signed(request, "one"))
        .backend("two", |request| signed(request, "two"))
        .routes(&route("one"))
        .start()
        .await;
    let mut load = Load::new();
    let echoed = Arc::<AtomicUsize>::default();
    for http in Http::BOTH {
        load.messages(WebSocket::open(&world, http, "/live").await, &echoed);
    }
    let asked_before = world.backend("one").requests() + world.backend("two").requests();
    for _ in 0..3 {
        load.pages(world.client(Http::One).await);
    }
    let shared = world.client(Http::Two).await;
    for _ in 0..4 {
        load.pages(shared.another());
    }
    load.pages(world.private(Http::One).await);
    let mut probe = world.client(Http::One).await;
    let text = world.read("routes/world.toml");
    let mut probed = 0;
    for at in 0..50 {
        let now = if at % 2 == 0 { "two" } else { "one" };
        let mut changed = text.replace("backend = \"one\"", &format!("backend = \"{now}\""));
        for extra in 0..at {
            changed.push_str(&format!(
                "[[routes]]\npath = \"/extra-{extra}\"\nbackend = \"one\"\n"
            ));
        }
        world.write("routes/world.toml", &changed);
        let status = world.reload().await;
        assert!(status.stale.is_empty(), "{:?}", status.problems);
        let request = probe.request(&Method::GET, "/probe", empty());
        assert_eq!(
            probe.ask(request).await.header("x-from"),
            now,
            "reload {at} is not in force"
        );
        probed += 1;
    }
    let asked = load.end().await;
    assert!(
        asked > 100 && echoed.load(Ordering::SeqCst) > 50,
        "there was no load: {asked}"
    );
    let reached = world.backend("one").requests() + world.backend("two").requests();
    assert_eq!(
        reached - asked_before,
        asked + probed,
        "each request reaches a backend once"
    );
    let lines = asked + probed;
    until("every request in the log", async || {
        let log = world.log();
        log.iter()
            .filter(|line| line["path"] == "/load" || line["path"] == "/probe")
            .count()
            == lines
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_file_is_in_force_within_a_moment_by_itself() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    let mut client = world.client(Http::One).await;
    assert_eq!(client.get("/").await.status, 200);
    let text = world.read("routes/world.toml");
    let began = banyan::clock::steady();
    world.write("routes/world.toml", &text.replace("\"/*\"", "\"/only\""));
    until("the change", async || client.get("/").await.status == 404).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_keeps_its_last_good_version_while_anothers_change_applies() {
    let route = |path: &str| format!("[[routes]]\npath = \"{path}\"\nbackend = \"legacy\"\n");
    let world = World::new()
        .backend("legacy", hello("old"))
        .squad("learn", &route("/learn/*"))
        .squad("shop", &route("/shop/*"))
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let mut status_of = async |path: &str| client.get(path).await.status.as_u16();
    assert_eq!(
        (status_of("/learn/x").await, status_of("/shop/x").await),
        (200, 200)
    );

    world.write("routes/learn.toml", "squad = \"learn\"\n[[routes]\n");
    world.write(
        "routes/shop.toml",
        &format!("squad = \"shop\"\n{}", route("/store/*")),
    );
    let status = world.reload().await;
    assert_eq!(status.outcome, Outcome::Partial);
    assert!(
        status.stale.iter().any(|file| file.contains("learn")),
        "{:?}",
        status.stale
    );
    assert_eq!(status_of("/learn/x").await, 200, "the last good version serves");
    assert_eq!(
        (status_of("/shop/x").await, status_of("/store/x").await),
        (404, 200)
    );

    world.write(
        "routes/learn.toml",
        &format!("squad = \"learn\"\n{}", route("/study/*")),
    );
    let status = world.reload().await;
    assert!(status.stale.is_empty(), "{:?}", status.stale);
    assert_eq!(
        (status_of("/learn/x").await, status_of("/study/x").await),
        (404, 200)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_operator_file_changes_nothing() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    let mut client = world.client(Http::One).await;
    world.write("banyan.toml", "hosts = [\n");
    let status = world.reload().await;
    assert!(
        status.outcome == Outcome::Refused || !status.stale.is_empty(),
        "{status:?}"
    );
    assert_eq!(client.get("/").await.text(), "old");
    assert_eq!(world.client(Http::Two).await.get("/").await.text(), "old");
}

/// A new authority, and a pair for `localhost` that it signed.
pub fn pair() -> (String, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    (ca, format!("{}{}", leaf.pem(), key.serialize_pem()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_to_new_connections_while_old_ones_stay() {
    let (first_ca, first) = pair();
    let (second_ca, second) = pair();
    let site = World::new().backend("legacy", hello("old"));
    let (first_file, second_file) = (site.folder().join("first.pem"), site.folder().join("second.pem"));
    fs::write(&first_file, first_ca).unwrap();
    fs::write(&second_file, second_ca).unwrap();
    fs::create_dir_all(site.folder().join("certs")).unwrap();
    fs::write(site.folder().join("certs/site.pem"), first).unwrap();
    let world = site.start().await;
    let connect = async |ca| client::try_tls(client::tcp(world.https()).await, ca, Http::One).await;
    let old = connect(&first_file).await.expect("the first certificate");
    let mut old = Client::over(old, Http::One, "https", world.authority()).await;
    assert_eq!(old.get("/").await.text(), "old");
    assert!(connect(&second_file).await.is_err());

    world.write("certs/site.pem", &second);
    until("the second certificate", async || {
        connect(&second_file).await.is_ok()
    })
    .await;
    assert!(connect(&first_file).await.is_err());
    assert_eq!(old.get("/").await.text(), "old", "the old connection stays");

    world.write("certs/site.pem", "no certificate at all\n");
    world.reload().await;
    assert!(connect(&second_file).await.is_ok(), "a bad pair changes nothing");
    assert_eq!(old.get("/").await.text(), "old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_unchanged_backends_survive_a_reload() {
    let world = World::new()
        .top("cores = 1")
        .backend("legacy", hello("old"))
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let text = world.read("routes/world.toml");
    for at in 0..5 {
        assert_eq!(client.get("/").await.text(), "old");
        let more = format!("{text}[[routes]]\npath = \"/extra-{at}\"\nbackend = \"legacy\"\n");
        world.write("routes/world.toml", &more);
        world.reload().await;
    }
    assert_eq!(world.backend("legacy").connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_under_way_ends_with_the_routes_that_it_began_with() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let slow = move |_: Request<Incoming>| {
        let mut gone = gone.clone();
        async move {
            let _ = gone.wait_for(|gone| *gone).await;
            Response::new(crate::backend::full("slow"))
        }
    };
    let world = World::new().backend("legacy", slow).start().await;
    let mut client = world.client(Http::One).await;
    let request = client.request(&Method::GET, "/", empty());
    let asking = tokio::spawn(async move { client.ask(request).await });
    until("the request at the backend", async || {
        world.backend("legacy").requests() == 1
    })
    .await;
    world.write("routes/world.toml", "squad = \"world\"\n");
    world.reload().await;
    assert_eq!(world.client(Http::One).await.get("/").await.status, 404);
    go.send(true).unwrap();
    assert_eq!(within("the answer", asking).await.unwrap().text(), "slow");
}
