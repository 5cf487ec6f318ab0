//! Requests over loopback: straight to a backend, through a plain hyper proxy, and through the router: `cargo bench --bench load`.
//!
//! The first is the limit of client and backend, the second what most people would write. CPU time is that of the threads
//! that stand between (Linux tells it); a closed loop of 32 connections asks, rounds take turns, medians are shown. Only
//! ratios of one run count. The router runs as its users run it: access log, metrics, a table of 200 routes.
#![expect(
    clippy::expect_used,
    reason = "a benchmark that can't begin has nothing to say"
)]

use std::{
    cell::RefCell, fmt::Write as _, fs, net::SocketAddr, path::Path, rc::Rc, sync::mpsc, time::Duration,
};

use banyan::{
    clock,
    serve::{self, Running},
};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
};

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);
const REQUEST: &[u8] =
    b"GET /page-00100 HTTP/1.1\r\nhost: www.example.com\r\nuser-agent: load/1\r\naccept: */*\r\n\r\n";
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1024\r\n\r\n";
const BODY_BYTES: usize = 1024;

fn main() {
    let backend = on_thread("backend", answer_all);
    let hyper = on_thread("plain-hyper", move |listener| proxy_all(listener, backend));
    let folder = tempfile::tempdir().expect("a folder");
    let router = start_router(folder.path(), backend);
    let banyan = *router.addresses.private.first().expect("a listener");
    let ways = [
        ("direct", backend, None),
        ("plain hyper", hyper, Some("plain-hyper")),
        ("banyan", banyan, Some("banyan-core")),
    ];
    let mut found: [Vec<(f64, f64)>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, address, threads), found) in ways.iter().zip(&mut found) {
            let before = threads.map_or(0.0, cpu_micros);
            let requests = load(*address) as f64;
            let cpu = threads.map_or(0.0, cpu_micros) - before;
            found.push((requests / ROUND.as_secs_f64(), cpu / requests));
        }
    }
    println!("{CONNECTIONS} connections, 1 KiB, median of {ROUNDS} rounds:");
    for ((name, ..), found) in ways.iter().zip(&found) {
        let rate = median(found.iter().map(|(rate, _)| *rate));
        let cpu = median(found.iter().map(|(_, cpu)| *cpu));
        println!("  {name:<12} {rate:>8.0} requests/s {cpu:>7.1} µs of CPU between");
    }
    router.plane().stop();
    router.wait();
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// CPU time so far of this program's threads whose names begin so.
fn cpu_micros(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let nanos = tasks.flatten().filter_map(|task| {
        let comm = fs::read_to_string(task.path().join("comm")).ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanos = times.split_whitespace().next()?.parse::<u64>().ok()?;
        comm.starts_with(name).then_some(nanos)
    });
    nanos.sum::<u64>() as f64 / 1000.0
}

/// Asks for [`ROUND`], from this thread; returns the number of answers.
fn load(address: SocketAddr) -> u64 {
    let runtime = runtime();
    let asked = Rc::new(RefCell::new(0));
    LocalSet::new().block_on(&runtime, async {
        let end = clock::steady() + ROUND;
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| spawn_local(ask(address, end, Rc::clone(&asked))))
            .collect();
        for task in tasks {
            task.await.expect("a whole answer to each request");
        }
    });
    asked.take()
}

async fn ask(address: SocketAddr, end: std::time::Instant, asked: Rc<RefCell<u64>>) {
    let mut stream = connect(address).await;
    let mut buffer = vec![0; 16 * 1024];
    while clock::steady() < end {
        stream.write_all(REQUEST).await.expect("a request");
        let (mut filled, mut wanted) = (0, usize::MAX);
        while filled < wanted {
            let more = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await;
            filled += more.ok().filter(|more| *more > 0).expect("more of the answer");
            let read = buffer.get(..filled).unwrap_or_default();
            if let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                assert!(
                    read.starts_with(b"HTTP/1.1 200 "),
                    "{}",
                    String::from_utf8_lossy(read)
                );
                wanted = head + 4 + BODY_BYTES;
            }
        }
        *asked.borrow_mut() += 1;
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    stream
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// Runs `work` with a listener on a thread of its own, until the program ends.
fn on_thread<F: Future<Output = ()>>(
    name: &str,
    work: impl FnOnce(TcpListener) -> F + Send + 'static,
) -> SocketAddr {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let begun = thread.spawn(move || {
        LocalSet::new().block_on(&runtime(), async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tell.send(address).expect("somebody waits");
            work(listener).await;
        });
    });
    begun.expect("a thread");
    told.recv().expect("an address")
}

/// A backend that answers every head alike.
async fn answer_all(listener: TcpListener) {
    let answer: Rc<[u8]> = [HEAD.as_bytes(), &[b'x'; BODY_BYTES]].concat().into();
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = Rc::clone(&answer);
        stream.set_nodelay(true).expect("a socket");
        spawn_local(async move {
            let (mut buffer, mut filled) = (vec![0; 16 * 1024], 0);
            while let Ok(more @ 1..) = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await {
                filled += more;
                if buffer.get(..filled).unwrap_or_default().ends_with(b"\r\n\r\n") {
                    filled = 0;
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

type Idle = Rc<RefCell<Vec<SendRequest<Incoming>>>>;

/// hyper on both sides, kept-alive connections, and nothing else: no routes, no checks, no forwarding fields, no log.
async fn proxy_all(listener: TcpListener, backend: SocketAddr) {
    let idle = Idle::default();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a socket");
        let idle = Rc::clone(&idle);
        let service = service_fn(move |request| forward(request, backend, Rc::clone(&idle)));
        spawn_local(async move {
            // a client that goes away ends its connection
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn forward(
    request: Request<Incoming>,
    backend: SocketAddr,
    idle: Idle,
) -> hyper::Result<Response<Incoming>> {
    let kept = idle.borrow_mut().pop();
    let mut sender = match kept {
        Some(sender) => sender,
        None => {
            let (sender, connection) = handshake(TokioIo::new(connect(backend).await)).await?;
            spawn_local(connection);
            sender
        }
    };
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    idle.borrow_mut().push(sender);
    Ok(answer)
}

/// The router on one core, with its plain listener.
fn start_router(folder: &Path, backend: SocketAddr) -> Running {
    let mut routes = format!(
        "squad = \"all\"\n[backends.pages]\nservers = [\"http://{backend}\"]\n[[routes]]\npath = \"/*\"\nbackend = \"pages\"\n"
    );
    for at in 0..200 {
        let _ = write!(
            routes,
            "[[routes]]\npath = \"/page-{at:05}\"\nbackend = \"pages\"\n"
        );
    }
    let operator = "cores = 1\n[listen]\nprivate = [\"127.0.0.1:0\"]\n[log]\nto = \"access.log\"\n[squads.all]\npaths = [\"/*\"]\n";
    fs::create_dir(folder.join("routes")).expect("a folder");
    fs::write(folder.join("routes/all.toml"), routes).expect("a file");
    fs::write(folder.join("banyan.toml"), operator).expect("a file");
    serve::start(&folder.join("banyan.toml")).expect("a router")
}
