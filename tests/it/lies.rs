//! Servers that lie, as a table: what each does, what a visitor gets, with a fallback and without, and how long that takes at most.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    fmt::Write,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use banyan::clock;
use futures_util::future::join_all;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    backend::{Body, Server, Speaks, drain, empty, full, read_head, reset},
    client::{Client, Http, field, until},
    world::{World, within},
};

/// Every deadline of the liars' backends but the whole exchange's.
const DEADLINE: Duration = Duration::from_millis(300);
/// The whole exchange's, which is all that ends what never pauses for long.
const TOTAL: Duration = Duration::from_millis(1_500);
/// What a machine may take on top that runs all of the tests at once, with the program unoptimised.
const SLACK: Duration = Duration::from_secs(2);

/// The bodies of requests that a server has read to their end: it may have acted on them.
type Noted = Arc<Mutex<Vec<String>>>;

/// A server, and whatever must live as long as it does.
struct Liar {
    url: String,
    _lives: Box<dyn Any + Send>,
}

impl From<Server> for Liar {
    fn from(server: Server) -> Self {
        Self {
            url: server.url(),
            _lives: Box::new(server),
        }
    }
}

/// A row of the table. What comes back is `legacy` or `own` (200, and whose body it is), a status, or `broken`: an answer that had
/// begun and that nobody can take for whole. With a `|`, it is a matter of chance: a reset may come before a request was sent or after.
struct Lie {
    /// What it does.
    name: &'static str,
    starts: fn(&Noted) -> Liar,
    /// GET on a route with a fallback.
    get: &'static str,
    /// POST on a route with a fallback.
    post: &'static str,
    /// GET on a route without one.
    alone: &'static str,
    /// Which deadline is paid, if any.
    pays: Duration,
}

const NOTHING: Duration = Duration::ZERO;

#[rustfmt::skip]
fn lies() -> Vec<Lie> {
    let row = |name, starts, get, post, alone, pays| Lie { name, starts, get, post, alone, pays };
    vec![
        row("nobody listens",                  nobody,                           "legacy", "legacy", "502", NOTHING),
        row("a full backlog: SYNs are lost",   full_backlog,                     "legacy", "legacy", "504", DEADLINE),
        row("resets each connection at once",  resets_at_once,                   "legacy", "502|legacy", "502", NOTHING),
        row("hangs before the head",           |n| after(n, hold).into(),        "legacy", "504",    "504", DEADLINE),
        row("hangs within the head",           |n| says(n, HALF_A_HEAD, hold),   "legacy", "504",    "504", DEADLINE),
        row("hangs after the head",            |n| says(n, LONG, hold),          "broken", "broken", "broken", DEADLINE),
        row("resets before the head",          |n| after(n, rst).into(),         "legacy", "502",    "502", NOTHING),
        row("resets within the head",          |n| says(n, HALF_A_HEAD, rst),    "legacy", "502",    "502", NOTHING),
        row("half-closes before the head",     |n| after(n, half_close).into(),  "legacy", "502",    "502", NOTHING),
        row("half-closes within the head",     |n| says(n, HALF_A_HEAD, half_close), "legacy", "502", "502", NOTHING),
        row("half-closes within the body",     |n| says(n, LONG, half_close),    "broken", "broken", "broken", NOTHING),
        row("trickles its head",               |n| after(n, trickles_head).into(), "legacy", "504",  "504", DEADLINE),
        row("trickles its body",               |n| after(n, trickles_body).into(), "broken", "broken", "broken", TOTAL),
        row("a body shorter than its length",  |n| says(n, LONG, close),         "broken", "broken", "broken", NOTHING),
        row("a body longer than its length",   |n| says(n, TOO_LONG, close),     "own",    "own",    "own", NOTHING),
        row("two lengths",                     |n| says(n, TWO_LENGTHS, close),  "legacy", "502",    "502", NOTHING),
        row("a length and chunks",             |n| says(n, LENGTH_AND_CHUNKS, close), "legacy", "502", "502", NOTHING),
        row("a negative length",               |n| says(n, NEGATIVE, close),     "legacy", "502",    "502", NOTHING),
        row("chunks that never end",           |n| says(n, NO_LAST_CHUNK, close), "broken", "broken", "broken", NOTHING),
        row("a chunk of no size",              |n| says(n, BAD_CHUNK, close),    "broken", "broken", "broken", NOTHING),
        row("a storm of 103s",                 |n| after(n, storm).into(),       "legacy", "502",    "502", NOTHING),
        row("a 101 that nobody asked for",     |n| says(n, UNASKED, hold),       "legacy", "502",    "502", NOTHING),
        row("a field of 200,000 bytes",        |n| after(n, giant_field).into(), "legacy", "502",    "502", NOTHING),
        row("10,000 fields",                   |n| after(n, many_fields).into(), "legacy", "502",    "502", NOTHING),
        row("nonsense",                        |n| says(n, b"hello there\r\n\r\n", close), "legacy", "502", "502", NOTHING),
        row("TLS where HTTP was asked",        |n| says(n, b"\x15\x03\x01\x00\x02\x02\x28\r\n\r\n", close), "legacy", "502", "502", NOTHING),
        row("503",                             |n| answers(n, Speaks::Http1, 503).into(), "legacy", "503", "503", NOTHING),
        row("504 over HTTP/2",                 |n| answers(n, Speaks::H2c, 504).into(), "legacy", "504", "504", NOTHING),
        row("HTTP/1 where HTTP/2 was asked",   |_| h2c(HTTP1_TO_HTTP2),          "legacy", "legacy", "502", NOTHING),
        row("goes away before any stream",     |_| h2c(GOAWAY),                  "legacy", "legacy", "502", NOTHING),
        row("a TLS handshake that hangs",      |_| tls(hold_unread),             "legacy", "legacy", "504", DEADLINE),
        row("plain text where TLS was asked",  |_| tls(plain_text),              "legacy", "legacy", "502", NOTHING),
    ]
}

const HALF_A_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Le";
const LONG: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nown";
const TOO_LONG: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nownHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
const TWO_LENGTHS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc";
const LENGTH_AND_CHUNKS: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
const NEGATIVE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nown";
const NO_LAST_CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nown\r\n";
const BAD_CHUNK: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nown\r\nxyz\r\nrest\r\n0\r\n\r\n";
const UNASKED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const HTTP1_TO_HTTP2: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
/// SETTINGS, and GOAWAY with 0 as the last stream that was or will be looked at.
const GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";

// What is done to a connection once its request was read.

async fn hold(mut tcp: TcpStream) {
    let _ = drain(&mut tcp).await;
}

async fn rst(tcp: TcpStream) {
    reset(tcp);
}

async fn close(tcp: TcpStream) {
    drop(tcp);
}

async fn half_close(mut tcp: TcpStream) {
    let _ = tcp.shutdown().await; // its own direction alone
    let _ = drain(&mut tcp).await;
}

async fn trickle(tcp: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes.iter().cycle() {
        if tcp.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(DEADLINE / 6).await;
    }
}

async fn trickles_head(mut tcp: TcpStream) {
    let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await;
    trickle(&mut tcp, b"a").await;
}

async fn trickles_body(mut tcp: TcpStream) {
    let _ = tcp
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        .await;
    trickle(&mut tcp, b"a").await;
}

async fn repeats(mut tcp: TcpStream, first: &[u8], again: &[u8], times: usize) {
    let _ = tcp.write_all(first).await;
    for _ in 0..times {
        if tcp.write_all(again).await.is_err() {
            return;
        }
    }
    hold(tcp).await;
}

async fn storm(tcp: TcpStream) {
    repeats(tcp, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 100_000).await;
}

async fn giant_field(tcp: TcpStream) {
    repeats(tcp, b"HTTP/1.1 200 OK\r\nX-Giant: ", &[b'a'; 1_000], 200).await;
}

async fn many_fields(tcp: TcpStream) {
    repeats(tcp, b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 10_000).await;
}

async fn hold_unread(tcp: TcpStream) {
    hold(tcp).await;
}

async fn plain_text(mut tcp: TcpStream) {
    let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    hold(tcp).await;
}

// The servers.

/// Reads a request whole and notes its body; whether there was one.
async fn take(tcp: &mut TcpStream, noted: &Noted) -> bool {
    let Some(head) = read_head(tcp).await else {
        return false;
    };
    let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    if tcp.read_exact(&mut body).await.is_err() {
        return false;
    }
    if !body.is_empty() {
        noted.lock().unwrap().push(String::from_utf8(body).unwrap());
    }
    true
}

/// Reads each connection's request, and then does `then` to it.
fn after<F, R>(noted: &Noted, then: F) -> Server
where
    F: Fn(TcpStream) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let noted = Arc::clone(noted);
    Server::raw(move |mut tcp, _| {
        let noted = Arc::clone(&noted);
        async move {
            if take(&mut tcp, &noted).await {
                then(tcp).await;
            }
        }
    })
}

/// Reads each connection's request, writes `bytes`, and then does `then`.
fn says<F, R>(noted: &Noted, bytes: &'static [u8], then: F) -> Liar
where
    F: Fn(TcpStream) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let speak = move |mut tcp: TcpStream| async move {
        let _ = tcp.write_all(bytes).await;
        then(tcp).await;
    };
    after(noted, speak).into()
}

/// Reads each request, and answers it with `status`.
fn answers(noted: &Noted, speaks: Speaks, status: u16) -> Server {
    let noted = Arc::clone(noted);
    Server::new(speaks, move |request: Request<Incoming>| {
        let noted = Arc::clone(&noted);
        async move { answer(request, &noted, status, "own").await }
    })
}

async fn answer(
    request: Request<Incoming>,
    noted: &Noted,
    status: u16,
    text: &'static str,
) -> Response<Body> {
    if let Ok(body) = request.into_body().collect().await {
        let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        noted
            .lock()
            .unwrap()
            .extend(Some(text).filter(|text| !text.is_empty()));
    }
    let mut response = Response::new(full(text));
    *response.status_mut() = status.try_into().unwrap();
    response
}

fn nobody(_: &Noted) -> Liar {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Liar {
        url: format!("http://{}", listener.local_addr().unwrap()),
        _lives: Box::new(()),
    }
}

/// Nobody accepts, and there is room for nobody more: what knocks is not even refused.
fn full_backlog(_: &Noted) -> Liar {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let knocks: Vec<_> = (0..4)
        .map(|_| {
            let knock = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            knock.set_nonblocking(true).unwrap();
            let _ = knock.connect(&address.into());
            knock
        })
        .collect();
    Liar {
        url: format!("http://{address}"),
        _lives: Box::new((socket, knocks)),
    }
}

fn resets_at_once(_: &Noted) -> Liar {
    Server::raw(|tcp, _| async move { reset(tcp) }).into()
}

/// Writes `bytes` as soon as it was spoken to as an HTTP/2 server is.
fn h2c(bytes: &'static [u8]) -> Liar {
    let server = Server::raw(move |mut tcp, _| async move {
        if read_head(&mut tcp).await.is_some() {
            let _ = tcp.write_all(bytes).await;
            hold(tcp).await;
        }
    });
    Liar {
        url: server.url().replace("http://", "h2c://"),
        _lives: Box::new(server),
    }
}

fn tls<F, R>(then: F) -> Liar
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let server = Server::raw(move |tcp, _| then(tcp));
    Liar {
        url: format!("https://localhost:{}", server.address.port()),
        _lives: Box::new(server),
    }
}

// The world that they are in.

fn backend(name: &str, url: &str) -> String {
    let (deadline, total) = (DEADLINE.as_millis(), TOTAL.as_millis());
    format!(
        "[backends.{name}]\nservers = [\"{url}\"]\nconnect_timeout = \"{deadline}ms\"\n\
         first_byte_timeout = \"{deadline}ms\"\nbetween_bytes_timeout = \"{deadline}ms\"\ntotal_timeout = \"{total}ms\"\n"
    )
}

fn route(name: &str, falls_back: bool) -> String {
    let fallback = if falls_back {
        "fallback = { backend = \"legacy\", per_second = 100000, at_once = 100000 }\n"
    } else {
        ""
    };
    format!("[[routes]]\npath = \"/{name}/*\"\nbackend = \"{name}\"\n{fallback}")
}

fn legacy(noted: &Noted) -> Server {
    let noted = Arc::clone(noted);
    Server::new(Speaks::Http1, move |request: Request<Incoming>| {
        let noted = Arc::clone(&noted);
        async move { answer(request, &noted, 200, "legacy").await }
    })
}

/// What came back, in the table's words.
async fn outcome(client: &mut Client, request: Request<Body>) -> String {
    match client.try_ask(request).await {
        Ok(answer) if answer.status == 200 => answer.text().to_owned(),
        Ok(answer) => answer.status.as_str().to_owned(),
        Err(_) => "broken".to_owned(),
    }
}

/// One after another by both versions, each on a connection of its own: what came of them, and how long each took.
async fn asked(
    world: &World,
    method: &Method,
    path: &str,
    times: usize,
) -> (BTreeSet<String>, Vec<Duration>) {
    let (mut outcomes, mut took) = (BTreeSet::new(), Vec::new());
    for at in 0..times {
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let body = if *method == Method::POST {
                full(format!("{path} {at} {http:?}"))
            } else {
                empty()
            };
            let request = client.request(method, path, body);
            let began = clock::steady();
            outcomes.insert(outcome(&mut client, request).await);
            took.push(clock::steady().duration_since(began));
        }
    }
    (outcomes, took)
}

/// Asks of a row, of which backends are three, so that no kind of request profits by what another taught the router.
async fn play(world: &World, at: usize, lie: &Lie) -> Result<(), String> {
    let (alone, alone_took) = asked(world, &Method::GET, &format!("/alone{at}/a"), 1).await;
    let (post, post_took) = asked(world, &Method::POST, &format!("/post{at}/a"), 1).await;
    let (get, get_took) = asked(world, &Method::GET, &format!("/get{at}/a"), 8).await;
    let mut wrong = String::new();
    for (what, found, expected) in [
        ("GET", &get, lie.get),
        ("POST", &post, lie.post),
        ("GET without fallback", &alone, lie.alone),
    ] {
        if !found
            .iter()
            .all(|found| expected.split('|').any(|one| one == found))
        {
            let _ = write!(wrong, "; {what}: {found:?}, not {expected}");
        }
    }
    // three attempts, of which each may pay a deadline but the whole exchange's, and the pauses between them
    let most = (lie.pays * 3).min(TOTAL) + SLACK;
    let slowest = alone_took
        .iter()
        .chain(&post_took)
        .chain(&get_took)
        .max()
        .unwrap();
    if *slowest > most {
        let _ = write!(wrong, "; took {slowest:?}, more than {most:?}");
    }
    // five failures in a row, by whichever core sees them: then the backend is known to be sick
    let paid = get_took
        .iter()
        .filter(|took| lie.pays > NOTHING && **took >= lie.pays)
        .count();
    if lie.get == "legacy" && paid > 5 {
        let _ = write!(wrong, "; {paid} of {} GETs waited for it", get_took.len());
    }
    println!(
        "{:34} GET {get:?} POST {post:?} alone {alone:?} slowest {slowest:?}, paid {paid}",
        lie.name
    );
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("{}{wrong}", lie.name))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_a_server_does_the_visitor_gets_what_the_table_says_in_time() {
    let (lies, by_liars, by_legacy) = (lies(), Noted::default(), Noted::default());
    let (mut liars, mut files) = (Vec::new(), String::new());
    for (at, lie) in lies.iter().enumerate() {
        for kind in ["alone", "post", "get"] {
            let liar = (lie.starts)(&by_liars);
            let name = format!("{kind}{at}");
            files.push_str(&backend(&name, &liar.url));
            files.push_str(&route(&name, kind != "alone"));
            liars.push(liar);
        }
    }
    let world = World::new()
        .server("legacy", legacy(&by_legacy))
        .routes(&files)
        .start()
        .await;
    let rows = lies.iter().enumerate().map(|(at, lie)| play(&world, at, lie));
    let wrong: Vec<String> = join_all(rows).await.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let twice = twice(&[&by_liars, &by_legacy]);
    assert!(twice.is_empty(), "delivered more than once: {twice:?}");
}

/// Bodies that were read to their end more than once.
fn twice(noted: &[&Noted]) -> Vec<String> {
    let mut times = HashMap::<String, usize>::new();
    for noted in noted {
        for text in noted.lock().unwrap().iter() {
            *times.entry(text.clone()).or_default() += 1;
        }
    }
    times.retain(|_, times| *times > 1);
    times.into_keys().collect()
}

/// Answers one connection, and resets the next.
fn flapping(noted: &Noted) -> Server {
    let noted = Arc::clone(noted);
    Server::raw(move |mut tcp, at| {
        let noted = Arc::clone(&noted);
        async move {
            if at % 2 == 1 {
                return reset(tcp);
            }
            if take(&mut tcp, &noted).await {
                let own = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nown";
                let _ = tcp.write_all(own).await;
            }
        }
    })
}

/// A backend whose servers are all of the liars that can be stood in for, and one that is now there and now not.
fn mixed(noted: &Noted) -> (Vec<Liar>, Vec<String>) {
    let fit = lies().into_iter().filter(|lie| lie.get == "legacy");
    let mut liars: Vec<Liar> = fit.map(|lie| (lie.starts)(noted)).collect();
    liars.push(flapping(noted).into());
    let urls = liars.iter().map(|liar| liar.url.clone()).collect();
    (liars, urls)
}

const MIXED: &str = "connect_timeout = \"100ms\"\nfirst_byte_timeout = \"100ms\"\npick = \"round-robin\"\n\
    [backends.new.eject]\nfailures = 5\nerror_share = 0.0\nslow = 0.0\npause = \"100ms\"\npause_max = \"200ms\"\n";

/// `count` requests from 20 clients of both versions: what came back for each number.
async fn many(world: &World, count: usize, method: &Method) -> HashMap<usize, String> {
    let next = AtomicUsize::new(0);
    let one = |at: usize| {
        let next = &next;
        async move {
            let http = Http::BOTH[at % 2];
            let (mut client, mut found) = (world.client(http).await, Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return found;
                }
                if client.is_closed() {
                    client = world.client(http).await;
                }
                let body = if *method == Method::POST {
                    full(number.to_string())
                } else {
                    empty()
                };
                let request = client.request(method, &format!("/{number}"), body);
                found.push((number, outcome(&mut client, request).await));
            }
        }
    };
    let found = join_all((0..20).map(one)).await;
    found.into_iter().flatten().collect()
}

fn counted(found: &HashMap<usize, String>) -> HashMap<&str, usize> {
    let mut counts = HashMap::new();
    for outcome in found.values() {
        *counts.entry(outcome.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_among_all_the_liars_are_all_answered() {
    let noted = Noted::default();
    let (_liars, urls) = mixed(&noted);
    let world = World::new()
        .servers("new", &urls)
        .settings("new", MIXED)
        .server("legacy", legacy(&noted))
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"new\"\nfallback = { backend = \"legacy\", per_second = 100000, at_once = 1000 }\n")
        .start()
        .await;
    let found = many(&world, 1_000, &Method::GET).await;
    let counts = counted(&found);
    println!("1,000 GETs: {counts:?}");
    assert_eq!(
        counts.get("legacy").unwrap_or(&0) + counts.get("own").unwrap_or(&0),
        1_000,
        "{counts:?}"
    );
    assert!(counts["legacy"] > 0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_writes_among_all_the_liars_are_never_delivered_twice() {
    let (by_liars, by_legacy) = (Noted::default(), Noted::default());
    let (_liars, urls) = mixed(&by_liars);
    let world = World::new()
        .servers("new", &urls)
        .settings("new", MIXED)
        .server("legacy", legacy(&by_legacy))
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"new\"\nfallback = { backend = \"legacy\", per_second = 100000, at_once = 1000 }\n")
        .start()
        .await;
    let found = many(&world, 1_000, &Method::POST).await;
    println!("1,000 POSTs: {:?}", counted(&found));
    let twice = twice(&[&by_liars, &by_legacy]);
    assert!(twice.is_empty(), "delivered more than once: {twice:?}");
    let (liars, legacy) = (
        by_liars.lock().unwrap().clone(),
        by_legacy.lock().unwrap().clone(),
    );
    for (number, outcome) in &found {
        let number = number.to_string();
        match outcome.as_str() {
            "legacy" => assert!(legacy.contains(&number), "{number} was answered, and is nowhere"),
            "own" => assert!(liars.contains(&number), "{number} was answered, and is nowhere"),
            "502" | "503" | "504" => assert!(
                !legacy.contains(&number),
                "{number} was done by legacy, and its visitor was told that it failed"
            ),
            other => panic!("{number}: {other}"),
        }
    }
    assert_eq!(found.len(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_sees_no_more_than_its_budget_however_its_stand_ins_fail() {
    const AT_ONCE: usize = 3;
    let (now, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (under_way, highest) = (Arc::clone(&now), Arc::clone(&most));
    let slow = move |_: Request<Incoming>| {
        let under_way = Arc::clone(&under_way);
        highest.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(Duration::from_millis(15)).await;
            under_way.fetch_sub(1, Ordering::SeqCst);
            Response::new(full("legacy"))
        }
    };
    let noted = Noted::default();
    let (_liars, urls) = mixed(&noted);
    let world = World::new()
        .servers("new", &urls)
        .settings("new", MIXED)
        .backend("legacy", slow)
        .routes(&format!(
            "[[routes]]\npath = \"/*\"\nbackend = \"new\"\n\
             fallback = {{ backend = \"legacy\", per_second = 50, at_once = {AT_ONCE} }}\n"
        ))
        .start()
        .await;
    let began = clock::steady();
    let found = within("a thousand answers", many(&world, 1_000, &Method::GET)).await;
    let took = clock::steady().duration_since(began).as_secs_f64();
    let (reached, most) = (world.backend("legacy").requests(), most.load(Ordering::SeqCst));
    println!(
        "legacy saw {reached} in {took:.2} s, {most} at once; {:?}",
        counted(&found)
    );
    assert!(most <= AT_ONCE, "{most} at once");
    assert!(
        reached as f64 <= 50.0 + 50.0 * took + 1.0,
        "{reached} in {took} s"
    );
    assert!(reached >= AT_ONCE, "{reached}");
    until("each refusal is counted", async || {
        world.metric("banyan_failovers_refused_total").await > 0.0
    })
    .await;
}
