//! The generator: one thread that asks a proxy in one of five ways, and reads the proxy's accounts meanwhile.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use banyan::clock;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, mpsc},
    task::{LocalSet, spawn_local},
    time::sleep,
};

use super::{
    account::{Account, Memory},
    browser::What,
    http1::Http1,
    http2::Http2,
    runtime,
    wire::{Connector, Wire},
};

/// Time for all connections to stand, and for idle ones to be made.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// Time for a proxy to come to rest before its memory is read.
const REST: Duration = Duration::from_millis(1500);
/// Connections made at once where many are made.
const MAKERS: usize = 16;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Line {
    /// HTTP/1.1 without TLS.
    Plain,
    /// HTTP/1.1 over TLS.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
}

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Way {
    /// One request; its head is reported.
    Once,
    /// Each answer is followed by the next request.
    Closed {
        /// Kept-alive connections.
        connections: usize,
        /// Requests at once on each.
        streams: usize,
    },
    /// Requests are due at fixed times, whether or not earlier ones were answered; latency counts from when one was due.
    Open {
        /// Kept-alive connections.
        connections: usize,
        /// Requests a second.
        rate: u32,
    },
    /// A connection for each request.
    Handshakes {
        /// With the session of an earlier one.
        resumed: bool,
    },
    /// Connections that have asked once and stay open.
    Idle {
        /// How many.
        connections: usize,
    },
}

/// What the generator is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) line: Line,
    pub(super) what: What,
    pub(super) way: Way,
    pub(super) cookie: String,
    /// Whose accounts are read; 0: nobody's.
    pub(super) process: u32,
    pub(super) warm_millis: u64,
    pub(super) measure_millis: u64,
}

/// What the generator tells.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    /// What went wrong: then nothing else counts.
    pub(super) error: Option<String>,
    /// Requests answered.
    pub(super) requests: u64,
    /// How long was measured.
    pub(super) seconds: f64,
    /// CPU time of the proxy, in microseconds.
    pub(super) cpu_micros: f64,
    /// The kernel's part of it.
    pub(super) system_share: f64,
    /// The busiest thread's part of it.
    pub(super) busiest_share: f64,
    /// Latencies in microseconds, at 50, 99 and 99.9 %.
    pub(super) latency: [f64; 3],
    /// The part of all connections that resumed a session.
    pub(super) resumed_share: f64,
    /// The proxy's memory before and after, in bytes; after counts all connections.
    pub(super) memory: [u64; 2],
    /// The proxy's largest memory so far, in bytes.
    pub(super) memory_peak: u64,
    /// The answer's head.
    pub(super) head: String,
    /// Where two cores are compared with one: CPU µs per request and requests a second on one.
    pub(super) one_core: [f64; 2],
}

#[derive(Default)]
struct Counts {
    requests: Cell<u64>,
    connected: Cell<usize>,
    resumed: Cell<u64>,
    failed: RefCell<Option<String>>,
    latencies: RefCell<Vec<f64>>,
}

impl Counts {
    fn answered(&self, count: usize) {
        self.requests.set(self.requests.get() + count as u64);
    }

    fn check(&self) -> io::Result<()> {
        self.failed
            .borrow()
            .clone()
            .map_or(Ok(()), |why| Err(io::Error::other(why)))
    }
}

/// Asks as planned and prints what it found.
pub(super) fn run(plan: &str) {
    let plan: Plan = serde_json::from_str(plan).expect("a plan");
    let told = LocalSet::new().block_on(&runtime(), measure(plan));
    let told = told.unwrap_or_else(|error| Told {
        error: Some(error.to_string()),
        ..Told::default()
    });
    println!("{}", serde_json::to_string(&told).expect("numbers and texts"));
}

async fn measure(plan: Plan) -> io::Result<Told> {
    let alpn: Option<&[u8]> = match plan.line {
        Line::Plain => None,
        Line::Http1 => Some(b"http/1.1"),
        Line::Http2 => Some(b"h2"),
    };
    let connector = Connector::new(plan.address, alpn, false)?;
    let (plan, counts) = (Rc::new(plan), Rc::<Counts>::default());
    match plan.way {
        Way::Once => return once(&connector, &plan).await,
        Way::Idle { connections } => return idle(&connector, &plan, connections).await,
        Way::Closed { connections, streams } => {
            for _ in 0..connections {
                begin(
                    &counts,
                    keep_asking(connector.clone(), Rc::clone(&plan), streams, Rc::clone(&counts)),
                );
            }
            all_connected(&counts, connections).await?;
        }
        Way::Open { connections, rate } => {
            let (due, jobs) = mpsc::unbounded_channel();
            let jobs = Rc::new(Mutex::new(jobs));
            for _ in 0..connections {
                let work = ask_when_due(
                    connector.clone(),
                    Rc::clone(&plan),
                    Rc::clone(&jobs),
                    Rc::clone(&counts),
                );
                begin(&counts, work);
            }
            all_connected(&counts, connections).await?;
            std::thread::spawn(move || pace(rate, &due));
        }
        Way::Handshakes { resumed } => {
            for _ in 0..MAKERS {
                // each with tickets of its own, so that there always is one
                let connector = Connector::new(plan.address, alpn, resumed)?;
                begin(
                    &counts,
                    keep_connecting(connector, Rc::clone(&plan), Rc::clone(&counts)),
                );
            }
        }
    }
    window(&plan, &counts).await
}

/// Waits until it is warm, then looks at everything twice.
async fn window(plan: &Plan, counts: &Counts) -> io::Result<Told> {
    sleep(Duration::from_millis(plan.warm_millis)).await;
    counts.check()?;
    counts.latencies.borrow_mut().clear();
    let (requests, resumed, began) = (counts.requests.get(), counts.resumed.get(), clock::steady());
    let (before, memory) = (Account::of(plan.process), Memory::from_now_on(plan.process));
    sleep(Duration::from_millis(plan.measure_millis)).await;
    let spent = Account::of(plan.process).since(&before);
    let (requests, resumed, took) = (
        counts.requests.get() - requests,
        counts.resumed.get() - resumed,
        began.elapsed(),
    );
    counts.check()?;
    if requests == 0 {
        return Err(io::Error::other("no answer in time"));
    }
    let after = Memory::of(plan.process);
    let mut latencies = counts.latencies.take();
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| {
        latencies
            .get((latencies.len() as f64 * part) as usize)
            .copied()
            .unwrap_or_default()
    };
    Ok(Told {
        requests,
        seconds: took.as_secs_f64(),
        cpu_micros: spent.micros,
        system_share: spent.system_share,
        busiest_share: spent.busiest_share,
        latency: [at(0.5), at(0.99), at(0.999)],
        resumed_share: resumed as f64 / requests as f64,
        memory: [memory.proportional, after.proportional],
        memory_peak: after.peak,
        ..Told::default()
    })
}

fn begin(counts: &Rc<Counts>, work: impl Future<Output = io::Result<()>> + 'static) {
    let counts = Rc::clone(counts);
    spawn_local(async move {
        if let Err(error) = work.await {
            counts.failed.borrow_mut().get_or_insert(error.to_string());
        }
    });
}

async fn all_connected(counts: &Counts, connections: usize) -> io::Result<()> {
    let began = clock::steady();
    while counts.connected.get() < connections {
        counts.check()?;
        if began.elapsed() > CONNECT_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn once(connector: &Connector, plan: &Plan) -> io::Result<Told> {
    let (wire, _) = connector.connect().await?;
    let mut told = Told {
        requests: 1,
        ..Told::default()
    };
    if plan.line == Line::Http2 {
        let _ = ask_on(wire, plan).await?;
    } else {
        let mut client = Http1::new(wire, plan.what, &plan.cookie);
        expect_bytes(client.exchange().await?, 1, plan)?;
        told.head = client.last_head();
    }
    Ok(told)
}

/// One request on a new connection, which is handed back.
async fn ask_on(wire: Wire, plan: &Plan) -> io::Result<Wire> {
    if plan.line != Line::Http2 {
        let mut client = Http1::new(wire, plan.what, &plan.cookie);
        expect_bytes(client.exchange().await?, 1, plan)?;
        return Ok(client.into_wire());
    }
    let mut client = Http2::new(wire, plan.what, &plan.cookie);
    client.ask();
    let mut bytes = 0;
    loop {
        let (answers, more) = client.pump().await?;
        bytes += more;
        if answers > 0 {
            expect_bytes(bytes, 1, plan)?;
            return Ok(client.into_wire());
        }
    }
}

fn expect_bytes(bytes: usize, answers: usize, plan: &Plan) -> io::Result<()> {
    if bytes < answers * plan.what.answer_bytes() {
        return Err(io::Error::other(format!("{answers} answers of {bytes} bytes")));
    }
    Ok(())
}

async fn keep_asking(
    connector: Connector,
    plan: Rc<Plan>,
    streams: usize,
    counts: Rc<Counts>,
) -> io::Result<()> {
    let (wire, _) = connector.connect().await?;
    counts.connected.set(counts.connected.get() + 1);
    if plan.line != Line::Http2 {
        let mut client = Http1::new(wire, plan.what, &plan.cookie);
        loop {
            expect_bytes(client.exchange().await?, 1, &plan)?;
            counts.answered(1);
        }
    }
    let mut client = Http2::new(wire, plan.what, &plan.cookie);
    let (mut bytes, mut answered) = (0, 0);
    for _ in 0..streams {
        client.ask();
    }
    loop {
        let (answers, more) = client.pump().await?;
        bytes += more;
        answered += answers;
        expect_bytes(bytes, answered, &plan)?;
        counts.answered(answers);
        for _ in 0..answers {
            client.ask();
        }
    }
}

type Jobs = Rc<Mutex<mpsc::UnboundedReceiver<Instant>>>;

async fn ask_when_due(
    connector: Connector,
    plan: Rc<Plan>,
    jobs: Jobs,
    counts: Rc<Counts>,
) -> io::Result<()> {
    let (wire, _) = connector.connect().await?;
    let mut client = Http1::new(wire, plan.what, &plan.cookie);
    counts.connected.set(counts.connected.get() + 1);
    loop {
        let due = jobs.lock().await.recv().await;
        let Some(due) = due else {
            return Ok(());
        };
        client.exchange().await?;
        counts.answered(1);
        counts
            .latencies
            .borrow_mut()
            .push(due.elapsed().as_secs_f64() * 1e6);
    }
}

/// Says when requests are due, from a thread of its own: the runtime's timer knows whole milliseconds only.
fn pace(rate: u32, due: &mpsc::UnboundedSender<Instant>) {
    let begin = clock::steady();
    let mut sent = 0_u32;
    loop {
        let at = begin + Duration::from_secs(1) * sent / rate;
        std::thread::sleep(at.saturating_duration_since(clock::steady()));
        if due.send(at).is_err() {
            return;
        }
        sent += 1;
    }
}

async fn keep_connecting(connector: Connector, plan: Rc<Plan>, counts: Rc<Counts>) -> io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    loop {
        let (wire, resumed) = connector.connect().await?;
        let mut wire = ask_on(wire, &plan).await?;
        counts.answered(1);
        counts.resumed.set(counts.resumed.get() + u64::from(resumed));
        // a peer that was faster to close is no failure
        let _ = wire.shutdown().await;
    }
}

async fn idle(connector: &Connector, plan: &Rc<Plan>, connections: usize) -> io::Result<Told> {
    let first = ask_on(connector.connect().await?.0, plan).await?;
    sleep(REST).await;
    let before = Memory::of(plan.process);
    let kept = Rc::new(RefCell::new(Vec::with_capacity(connections)));
    let counts = Rc::<Counts>::default();
    for _ in 0..MAKERS {
        let (connector, plan, kept, counts_of) = (
            connector.clone(),
            Rc::clone(plan),
            Rc::clone(&kept),
            Rc::clone(&counts),
        );
        let work = async move {
            while counts_of.connected.get() < connections {
                counts_of.connected.set(counts_of.connected.get() + 1);
                let wire = ask_on(connector.connect().await?.0, &plan).await?;
                kept.borrow_mut().push(wire);
            }
            Ok(())
        };
        begin(&counts, work);
    }
    let began = clock::steady();
    while kept.borrow().len() < connections {
        counts.check()?;
        if began.elapsed() > CONNECT_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    sleep(REST).await;
    let after = Memory::of(plan.process);
    drop(first);
    Ok(Told {
        requests: connections as u64,
        memory: [before.proportional, after.proportional],
        memory_peak: after.peak,
        ..Told::default()
    })
}
