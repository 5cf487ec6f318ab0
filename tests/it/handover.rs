//! A new program takes over from the one that runs: nobody notices, and one that can't changes nothing.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::watch, task::JoinSet};

use crate::{
    backend::{Body, empty, full},
    client::{self, Answer, Client, Http, Raw, Wire, until},
    websocket::{self, WebSocket},
    world::{Builder, World, within},
};

/// A site that hands over.
pub const HANDOVER: &str = "[handover]\nsocket = \"handover.sock\"\n";

/// One generation of the program. Killed when dropped.
pub struct Generation {
    /// The process.
    pub child: Child,
    said: PathBuf,
    folder: PathBuf,
}

impl Generation {
    pub fn command(config: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_banyan"));
        command.args(["run", "--config"]).arg(config);
        command
    }

    /// What `command` starts, which says what it says in a file of its own.
    pub fn spawn(command: &mut Command, config: &Path) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let folder = config.parent().unwrap().to_path_buf();
        let said = folder.join(format!("log/stderr.{}", NEXT.fetch_add(1, Ordering::SeqCst)));
        let errors = fs::File::create(&said).unwrap();
        let child = command.env("NO_COLOR", "1").stderr(errors).spawn().unwrap();
        Self { child, said, folder }
    }

    /// Starts one on these files, and waits until it serves.
    pub async fn start(config: &Path) -> Self {
        let mut generation = Self::spawn(&mut Self::command(config), config);
        generation.serves().await;
        generation
    }

    pub async fn serves(&mut self) {
        until("the program's word that it serves", async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.text());
            self.text().contains("https=\"")
        })
        .await;
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    pub async fn says(&self, words: &str) {
        until(words, async || self.text().contains(words)).await;
    }

    pub fn listener(&self, name: &str) -> SocketAddr {
        let text = self.text();
        let (_, after) = text.split_once(&format!("{name}=\"")).unwrap();
        after.split_once('"').unwrap().0.parse().unwrap()
    }

    pub async fn client(&self, http: Http) -> Client {
        let way = Way::to(self, "https", Some(http));
        within("a connection", way.connect()).await.expect("a connection")
    }

    pub async fn private(&self) -> Client {
        let way = Way::to(self, "private", None);
        within("a connection", way.connect()).await.expect("a connection")
    }

    pub async fn admin(&self, path: &str) -> Answer {
        let way = Way::to(self, "admin", None);
        let mut client = within("a connection", way.connect()).await.expect("a connection");
        client.get(path).await
    }

    pub async fn metric(&self, series: &str) -> f64 {
        let page = self.admin("/metrics").await;
        let lines = page.text().lines().filter(|line| line.starts_with(series));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// Memory resident, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub async fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        until("the program's end", async || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        })
        .await;
        code.unwrap().code()
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// How to connect to whichever generation listens.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    http: Option<Http>,
    ca: PathBuf,
}

impl Way {
    fn to(generation: &Generation, listener: &str, http: Option<Http>) -> Self {
        Self {
            address: generation.listener(listener),
            http,
            ca: generation.folder.join("state/dev-ca/ca.pem"),
        }
    }

    async fn connect(&self) -> Option<Client> {
        let tcp = TcpStream::connect(self.address).await.ok()?;
        let authority = format!("localhost:{}", self.address.port());
        match self.http {
            None => Client::try_over(tcp, Http::One, "http", authority).await.ok(),
            Some(http) => {
                let tls = client::try_tls(tcp, &self.ca, http).await.ok()?;
                Client::try_over(tls, http, "https", authority).await.ok()
            }
        }
    }
}

/// What came of a load.
#[derive(Debug, Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicUsize,
    lost: AtomicUsize,
    /// WebSockets that were asked to close, in the way that is promised.
    closed: AtomicUsize,
    /// WebSockets that are open.
    open: AtomicUsize,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn lose(&self, what: &str) {
        eprintln!("lost: {what}");
        self.lost.fetch_add(1, Ordering::SeqCst);
    }

    /// Asks without a pause, on connections of `each` requests; a new one whenever the old one was closed in order.
    async fn ask(self: Arc<Self>, way: Way, each: usize) {
        while self.goes_on() {
            let Some(mut client) = way.connect().await else {
                self.lose("a connection");
                continue;
            };
            for _ in 0..each {
                let request = client.request(&Method::GET, "/", empty());
                match client.try_ask(request).await {
                    Ok(answer) if answer.text() == "page" => {
                        self.answered.fetch_add(1, Ordering::SeqCst);
                        if answer.header("connection") == "close" || !self.goes_on() {
                            break;
                        }
                    }
                    Ok(answer) => self.lose(&format!("{answer:?}")),
                    Err(error) if error.is_canceled() || error.is_closed() || turned_away(&error) => break,
                    Err(error) => {
                        self.lose(&format!("{error:?}"));
                        break;
                    }
                }
            }
        }
    }

    /// Keeps a WebSocket open, and opens it again whenever it is asked to close.
    async fn converse(self: Arc<Self>, address: SocketAddr) {
        while self.goes_on() {
            let raw = Raw {
                wire: Wire::Tcp(client::tcp(address).await),
            };
            let mut socket = WebSocket::over_raw(raw, "/socket").await;
            self.open.fetch_add(1, Ordering::SeqCst);
            let mut heard = 0;
            while self.goes_on() {
                socket.send("again").await;
                match socket.next().await {
                    Some(message) if message.is_text() => heard += 1,
                    Some(tokio_tungstenite::tungstenite::Message::Close(Some(frame)))
                        if u16::from(frame.code) == 1012 =>
                    {
                        self.closed.fetch_add(1, Ordering::SeqCst);
                        while socket.next().await.is_some() {}
                        break;
                    }
                    other => {
                        self.lose(&format!("a WebSocket after {heard} messages: {other:?}"));
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await; // a conversation, no flood
            }
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A stream that began after the server's GOAWAY: the server says by it that nothing was done (RFC 9113 section 6.8).
fn turned_away(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| error.is_go_away() && error.is_remote())
}

const SOCKETS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hand_overs_under_traffic_lose_nothing() {
    let site = World::new()
        .backend("legacy", websocket::backend)
        .settings("legacy", "idle_timeout = \"500ms\"")
        .top("cores = 2")
        .operator("[limits]\ndrain_delay = \"50ms\"\ntunnel_idle_timeout = \"5m\"")
        .operator(&format!("{HANDOVER}window = \"6s\"\n"));
    let config = site.write();
    let mut now = Generation::start(&config).await;
    let private = now.listener("private");
    now.private().await.get("/").await;
    until("idle connections are closed", async || {
        site.server_of("legacy").open() == 0
    })
    .await;
    let before = now.descriptors();
    let load = Arc::new(Load::default());
    let mut all = JoinSet::new();
    for http in [Http::One, Http::Two, Http::One, Http::Two] {
        all.spawn(Arc::clone(&load).ask(Way::to(&now, "https", Some(http)), usize::MAX));
    }
    all.spawn(Arc::clone(&load).ask(Way::to(&now, "private", None), usize::MAX));
    all.spawn(Arc::clone(&load).ask(Way::to(&now, "private", None), 1));
    for _ in 0..SOCKETS {
        all.spawn(Arc::clone(&load).converse(private));
    }
    until("a load", async || load.open.load(Ordering::SeqCst) == SOCKETS).await;
    let warm = now.memory();
    for generation in 2..=4 {
        let answered = load.answered.load(Ordering::SeqCst);
        let mut next = Generation::start(&config).await;
        assert_eq!(next.listener("private"), private);
        assert_eq!(now.ended().await, Some(0), "{}", now.text());
        assert!(now.text().contains("handed over"), "{}", now.text());
        assert_eq!(
            next.metric("banyan_handover_generation").await,
            f64::from(generation)
        );
        until("the load at the new one", async || {
            load.answered.load(Ordering::SeqCst) > answered + 200
                && load.open.load(Ordering::SeqCst) == SOCKETS
        })
        .await;
        let connections = async |state: &str| {
            let series = format!("banyan_handover_connections{{state=\"{state}\"}}");
            next.metric(&series).await
        };
        until("the last word of the one before", async || {
            connections("drained").await >= SOCKETS as f64 && connections("open").await == 0.0
        })
        .await;
        assert_eq!(connections("cut").await, 0.0);
        std::mem::swap(&mut now, &mut next);
    }
    let memory = now.memory();
    load.stop.store(true, Ordering::SeqCst);
    while let Some(joined) = all.join_next().await {
        joined.unwrap();
    }
    assert_eq!(load.lost.load(Ordering::SeqCst), 0, "{load:?}");
    assert_eq!(load.closed.load(Ordering::SeqCst), 3 * SOCKETS);
    assert!(memory < warm + warm / 2, "{memory} bytes, {warm} before");
    until("descriptors as before", async || now.descriptors() <= before).await;
    now.signal("TERM");
    assert_eq!(now.ended().await, Some(0));
    assert!(TcpStream::connect(private).await.is_err(), "the port is closed");
    assert!(!config.with_file_name("handover.sock").exists());
}

/// A backend whose answers to `/slow` wait for a word.
pub fn patient() -> (Builder, watch::Sender<bool>) {
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

/// Says something to the program that runs, as a new one does.
fn say(stream: &mut UnixStream, message: &Value) {
    let text = message.to_string();
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    stream.write_all(&length).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
}

/// What it answers; sockets that come beside are closed.
fn hear(stream: &mut UnixStream) -> Value {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut text = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn knock(config: &Path) -> UnixStream {
    let stream = UnixStream::connect(config.with_file_name("handover.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn hello() -> Value {
    json!({ "say": "hello", "protocol": 1, "pid": 1, "version": "0" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_does_not_become_ready_changes_nothing() {
    let site = World::new()
        .backend("legacy", websocket::backend)
        .top("cores = 1")
        .operator(&format!("{HANDOVER}timeout = \"700ms\"\n"));
    let config = site.write();
    let now = Generation::start(&config).await;
    let raw = Raw {
        wire: Wire::Tcp(client::tcp(now.listener("private")).await),
    };
    let mut socket = WebSocket::over_raw(raw, "/socket").await;
    let text = fs::read_to_string(&config).unwrap();
    // its files are wrong
    let other = config.with_file_name("other.toml");
    fs::write(&other, format!("nonsense = 1\n{text}")).unwrap();
    let mut wrong = Generation::spawn(&mut Generation::command(&other), &config);
    assert_eq!(wrong.ended().await, Some(3), "{}", wrong.text());
    // it has the sockets, and another one that it wants is somebody else's
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let private = format!("private = [\"127.0.0.1:0\", \"{address}\"]");
    fs::write(&other, text.replace("private = [\"127.0.0.1:0\"]", &private)).unwrap();
    let mut late = Generation::spawn(&mut Generation::command(&other), &config);
    assert_eq!(late.ended().await, Some(1), "{}", late.text());
    assert!(late.text().contains("in use"), "{}", late.text());
    let failed = async || now.metric("banyan_handovers_total{outcome=\"failed\"}").await;
    until("a failed hand-over", async || failed().await == 1.0).await;
    // it hangs with the sockets in its hands, until its time is over
    let mut hangs = knock(&config);
    say(&mut hangs, &hello());
    let welcome = hear(&mut hangs);
    assert_eq!(
        (&welcome["say"], &welcome["generation"]),
        (&json!("welcome"), &json!(1))
    );
    let mut sockets = vec![0; 1];
    hangs.read_exact(&mut sockets).unwrap();
    let refused = hear(&mut hangs);
    assert_eq!(refused["say"], "refused");
    assert!(refused["why"].as_str().unwrap().contains("too long"), "{refused}");
    // it dies with the state in its hands
    let mut dies = knock(&config);
    say(&mut dies, &hello());
    hear(&mut dies);
    dies.read_exact(&mut sockets).unwrap();
    say(&mut dies, &json!({ "say": "ready" }));
    assert_eq!(hear(&mut dies)["say"], "state");
    drop(dies);
    until("three failed hand-overs", async || failed().await == 3.0).await;
    // it speaks another language
    let mut stranger = knock(&config);
    say(
        &mut stranger,
        &json!({ "say": "hello", "protocol": 99, "pid": 1, "version": "9" }),
    );
    assert!(
        hear(&mut stranger)["why"]
            .as_str()
            .unwrap()
            .contains("protocol 1")
    );
    assert_eq!(now.private().await.get("/").await.text(), "page");
    socket.echo("still here").await;
    let mode = fs::metadata(config.with_file_name("handover.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_generation_waits_for_the_first_to_end() {
    let (site, go) = patient();
    let site = site.operator(&format!("{HANDOVER}window = \"60s\"\n"));
    let config = site.write();
    let mut first = Generation::start(&config).await;
    let mut client = first.private().await;
    let slow = client.request(&Method::GET, "/slow", empty());
    let slow = tokio::spawn(async move { client.ask(slow).await });
    until("it at the backend", async || {
        site.server_of("legacy").requests() == 1
    })
    .await;
    let second = Generation::start(&config).await;
    first.says("handed over").await;
    let mut third = Generation::spawn(&mut Generation::command(&config), &config);
    assert_eq!(third.ended().await, Some(1), "{}", third.text());
    assert!(third.text().contains("two generations"), "{}", third.text());
    assert_eq!(
        second.metric("banyan_handovers_total{outcome=\"refused\"}").await,
        1.0
    );
    until("a word of the one before", async || {
        second.metric("banyan_handover_connections{state=\"open\"}").await == 1.0
    })
    .await;
    go.send(true).unwrap();
    let answer = within("the answer", slow).await.unwrap();
    assert_eq!((answer.text(), answer.header("connection")), ("done", "close"));
    assert_eq!(first.ended().await, Some(0));
    second.says("the program before has ended").await;
    let third = Generation::start(&config).await;
    assert_eq!(third.private().await.get("/").await.text(), "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_nobody_keeps_is_replaced() {
    let (site, _go) = patient();
    let site = site.operator(HANDOVER);
    let config = site.write();
    drop(UnixListener::bind(config.with_file_name("handover.sock")).unwrap());
    let first = Generation::start(&config).await;
    assert_eq!(first.metric("banyan_handover_generation").await, 1.0);
    let second = Generation::start(&config).await;
    assert_eq!(second.metric("banyan_handover_generation").await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_user_is_turned_away() {
    let (site, _go) = patient();
    let site = site.operator(HANDOVER);
    let config = site.write();
    let now = Generation::start(&config).await;
    let socket = config.with_file_name("handover.sock");
    for (path, mode) in [(socket.as_path(), 0o666), (config.parent().unwrap(), 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  print(s.recv(4096))";
    let ran = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "python3",
            "-c",
            script,
        ])
        .arg(&socket)
        .output();
    let ran = match ran {
        Ok(ran) if ran.status.success() => ran,
        other => return eprintln!("skipped: nobody can be another user here: {other:?}"),
    };
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("another user"), "{said}");
    assert_eq!(
        now.metric("banyan_handovers_total{outcome=\"refused\"}").await,
        1.0
    );
}

/// `GET path` with these cookies, and those that it leaves.
async fn visit(client: &mut Client, path: &str, cookies: &mut Vec<String>) -> u16 {
    let carried = cookies.join("; ");
    let mut fields = vec![("accept", "text/html")];
    if !cookies.is_empty() {
        fields.push(("cookie", carried.as_str()));
    }
    let answer = client.get_with(path, &fields).await;
    for set in answer.headers.get_all("set-cookie") {
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        let name = pair.split('=').next().unwrap().to_owned();
        cookies.retain(|cookie| cookie.split('=').next() != Some(&name));
        cookies.push(pair);
    }
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_keeps_the_place_and_what_is_used_up_stays_so() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (site, _go) = patient();
    let site = site
        .servers("dead", &[format!("http://{gone}")])
        .settings(
            "dead",
            "[backends.dead.breaker]\nfailures = 1\npause = \"60s\"\npause_max = \"60s\"",
        )
        .routes(
            "[[routes]]\npath = \"/shop/*\"\nbackend = \"legacy\"\nroom = \"shop\"\n\
             [[routes]]\npath = \"/once\"\nbackend = \"legacy\"\n\
             limits = { rates = [{ by = \"address\", requests = 1, per = \"1h\" }] }\n\
             [[routes]]\npath = \"/dead\"\nbackend = \"dead\"\n",
        )
        .operator(&format!("[rooms.shop]\ninside = 1\nidle = \"60s\"\n{HANDOVER}"));
    let config = site.write();
    let mut first = Generation::start(&config).await;
    let mut people = [Vec::new(), Vec::new(), Vec::new()];
    let mut client = first.client(Http::Two).await;
    assert_eq!(visit(&mut client, "/shop/", &mut people[0]).await, 200);
    let waits = visit(&mut client, "/shop/", &mut people[1]).await;
    assert_ne!(waits, 200);
    assert_eq!(client.get("/once").await.status, 200);
    assert_eq!(client.get("/once").await.status, 429);
    client.get("/dead").await;
    let open = async |generation: &Generation| {
        let series = "banyan_backend_breaker_open{backend=\"dead\"";
        until("metrics of the breaker", async || {
            generation.metric(series).await == 1.0
        })
        .await;
    };
    open(&first).await;
    drop(client);
    let second = Generation::start(&config).await;
    assert_eq!(first.ended().await, Some(0));
    assert!(
        second.text().contains("rooms=1 backends=1 routes="),
        "{}",
        second.text()
    );
    let mut client = second.client(Http::Two).await;
    assert_eq!(client.get("/once").await.status, 429);
    open(&second).await;
    assert_eq!(visit(&mut client, "/shop/", &mut people[2]).await, waits);
    assert_eq!(visit(&mut client, "/shop/", &mut people[1]).await, waits);
    assert_eq!(visit(&mut client, "/shop/", &mut people[0]).await, 200);
    let told: Value = serde_json::from_str(second.admin("/api/rooms").await.text()).unwrap();
    let room = &told["rooms"][0];
    assert_eq!((&room["inside"], &room["waiting"]), (&json!(1), &json!(2)));
    assert_eq!(room["tickets_refused"], 0);
}
