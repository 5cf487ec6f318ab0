//! System calls for each proxied request, counted by strace: budgets that hold on any machine.
//!
//! The floor is four that carry bytes (receive and send, on each side) and a wait for each side that has to answer. Requests
//! that come at once share waits, so there the budget of waits is a bound and not what is found.
//! To measure anew: `cargo test --test it syscalls -- --nocapture` prints what is found beside each budget. A change that saves
//! some lowers the number here; one that needs more says why.

use std::{collections::BTreeMap, fs, io, path::PathBuf, time::Duration};

use tokio::task::JoinSet;

use crate::{
    backend::hello,
    client::{Client, Http},
    process::Program,
    world::{World, within},
};

/// What a request may cost in calls, by class.
#[derive(Debug, Clone, Copy)]
struct Budget {
    receive: usize,
    send: usize,
    wait: usize,
    other: usize,
}

const HTTP1: Budget = Budget {
    receive: 2,
    send: 2,
    wait: 2,
    other: 0,
};
const TLS_HTTP1: Budget = HTTP1;
const TLS_HTTP2: Budget = HTTP1;

/// Requests in one count, one after another.
const REQUESTS: usize = 200;
/// Connections that ask at once, together as often.
const AT_ONCE: usize = 8;
/// Calls with bytes that belong to no request: none that is known.
const SLACK: usize = REQUESTS / 20;
/// Waits and others that belong to no request: the core looks around each second and hands log lines over in batches, and does
/// so more often during a count that a busy machine draws out.
const SLACK_BY_TIME: usize = REQUESTS / 2;
/// Requests before the count, on each connection: certificates, settings, first connections to the backend.
const WARM_UP: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxied_request_keeps_its_budget_of_system_calls() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let site = World::new().top("cores = 1").backend("legacy", hello("here"));
    let program = match Program::start_traced(site, &trace).await {
        Ok(program) => program,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            assert!(
                !missing || std::env::var_os("CI").is_none(),
                "strace is missing: {error}"
            );
            return println!(
                "SKIPPED: system calls are counted by strace, which can't be used here: {error}"
            );
        }
    };
    let traced = Traced {
        thread: program.thread("banyan-core-0").await.to_string(),
        trace,
    };
    let mut found = Vec::new();
    for (name, budget) in [
        ("HTTP/1.1", HTTP1),
        ("TLS, HTTP/1.1", TLS_HTTP1),
        ("TLS, HTTP/2", TLS_HTTP2),
    ] {
        for at_once in [1, AT_ONCE] {
            let mut clients = Vec::new();
            for _ in 0..at_once {
                clients.push(match name {
                    "HTTP/1.1" => program.private().await,
                    "TLS, HTTP/1.1" => program.client(Http::One).await,
                    _ => program.client(Http::Two).await,
                });
            }
            let clients = ask(clients, WARM_UP).await;
            let before = traced.quiet().await;
            let clients = ask(clients, REQUESTS / at_once).await;
            let after = traced.quiet().await;
            drop(clients);
            let counts = traced.count(before, after);
            println!("{name}, {at_once} at once, {REQUESTS} requests: {counts:?}; a request may: {budget:?}");
            found.push((name, at_once, budget, counts));
        }
    }
    for (name, at_once, budget, counts) in found {
        for (class, most, slack) in [
            ("receive", budget.receive, SLACK),
            ("send", budget.send, SLACK),
            ("wait", budget.wait, SLACK_BY_TIME),
            ("other", budget.other, SLACK_BY_TIME),
        ] {
            let calls: usize = counts.get(class).map_or(0, |calls| calls.values().sum());
            assert!(
                calls <= most * REQUESTS + slack,
                "{name}, {at_once} at once: {class} {calls} for {REQUESTS} requests, budget {most} each: {counts:?}"
            );
        }
    }
}

/// Has each client ask so often, one request after another, all clients at once.
async fn ask(clients: Vec<Client>, times: usize) -> Vec<Client> {
    let mut asking = JoinSet::new();
    for mut client in clients {
        asking.spawn(async move {
            for _ in 0..times {
                assert_eq!(client.get("/").await.text(), "here");
            }
            client
        });
    }
    within("all answers", asking.join_all()).await
}

/// Calls by class and name.
type Counts = BTreeMap<&'static str, BTreeMap<String, usize>>;

/// One thread's part of what strace writes.
struct Traced {
    thread: String,
    trace: PathBuf,
}

impl Traced {
    /// Waits until the thread has nothing to do, and returns how many calls it has made.
    async fn quiet(&self) -> usize {
        let mut before = None;
        let quiet = async {
            loop {
                let now = self.calls().len();
                if before.replace(now) == Some(now) {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        within("the core's rest", quiet).await
    }

    fn count(&self, from: usize, to: usize) -> Counts {
        let mut counts = Counts::new();
        for name in self.calls().drain(from..to) {
            let class = match name.as_str() {
                "recvfrom" | "recvmsg" | "read" | "readv" => "receive",
                "sendto" | "sendmsg" | "writev" => "send", // `write` wakes a thread: sockets are not written to by it
                "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => "wait",
                _ => "other",
            };
            *counts.entry(class).or_default().entry(name).or_default() += 1;
        }
        counts
    }

    /// Names of the calls that the thread has made, without waits that ended because time was up.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.trace).unwrap();
        let whole = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        let lines = whole.lines().filter_map(|line| {
            let call = line.strip_prefix(&self.thread)?.strip_prefix(' ')?.trim_start();
            // What another thread's call came into stands on two lines, the second one `<... name resumed>` and the rest.
            let resumed = call.strip_prefix("<... ");
            let (name, rest) =
                resumed.map_or_else(|| call.split_once('('), |call| call.split_once(" resumed>"))?;
            let counts = if name.starts_with("epoll_") && name.contains("wait") {
                !rest.ends_with("<unfinished ...>") && (rest.ends_with(", 0) = 0") || !rest.ends_with("= 0"))
            } else {
                resumed.is_none()
            };
            counts.then(|| name.to_owned())
        });
        lines.collect()
    }
}
