//! What observing an exchange costs by itself, without the exchange: `cargo bench --bench observe`.
//!
//! Under callgrind with `--toggle-collect='observe::counted*'` the same functions give instructions.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that can't begin has nothing to say"
)]

#[expect(dead_code, reason = "other benchmarks measure more with it")]
mod pipes;
mod raw;
mod site;

use std::{hint::black_box, time::Duration};

use banyan::{
    body::Body,
    clock,
    message::{Head, Request},
    observe::{
        Observer,
        record::{Outcome, Record},
    },
    proxy::exchange::{self, Exchanges},
    wire::{Drain, Phase},
};
use futures_util::FutureExt;
use http::StatusCode;
use pipes::{Bench, What};
use raw::Line::Http1;
use tokio::sync::watch;

const ROUNDS: u32 = 9;
const TIMES: u32 = 5_000;

fn main() {
    let rounds = if std::env::args().any(|word| word == "--once") {
        1
    } else {
        ROUNDS
    };
    let seen = Seen::new();
    println!("one record: {} bytes", size_of::<Record>());
    measure("begin, note, follow, finish", rounds, || counted_exchange(&seen));
    measure("finish", rounds, || counted_finish(&seen));
    let mut bench = Bench::new(What::Router(Http1, Http1));
    measure("a whole exchange", rounds, || counted_whole(&mut bench));
}

fn measure(what: &str, rounds: u32, mut work: impl FnMut()) {
    work();
    let time = (0..rounds).map(|_| {
        let began = clock::steady();
        for _ in 0..TIMES {
            work();
        }
        clock::steady().saturating_duration_since(began)
    });
    let nanos = time.min().unwrap_or(Duration::ZERO).as_nanos() as f64 / f64::from(TIMES);
    let counted = allocation_counter::measure(|| (0..TIMES).for_each(|_| work()));
    let each = |count: u64| count as f64 / f64::from(TIMES);
    println!(
        "  {what:<28} {nanos:>8.0} ns {:>7.2} allocations of {:>7.0} bytes together",
        each(counted.count_total),
        each(counted.bytes_total),
    );
}

#[inline(never)]
fn counted_exchange(seen: &Seen) {
    let mut following = exchange::begin(&seen.head, &seen.exchanges.peer, &seen.exchanges.edge);
    seen.note(&mut following.record);
    let mut body = following.follow(Body::full(&b"hello"[..]), None);
    let _ = black_box(body.frame().now_or_never());
}

#[inline(never)]
fn counted_finish(seen: &Seen) {
    seen.exchanges.edge.observe.finish(black_box(&seen.record));
}

#[inline(never)]
fn counted_whole(bench: &mut Bench) {
    bench.exchanges(1);
}

/// A core, and a request as it would see it.
struct Seen {
    exchanges: Exchanges,
    head: Head,
    record: Record,
    _observer: Observer,
    _phase: watch::Sender<Phase>,
}

impl Seen {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let local = tokio::task::LocalSet::new();
        let (phase, drain) = Drain::channel();
        let made = local.block_on(&runtime.expect("a runtime"), pipes::router(Http1, drain));
        let (exchanges, observer) = made;
        let request = http::Request::builder()
            .uri("/section-001/item-00061/some-course?page=2")
            .header("host", "www.example.com")
            .header(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .header(
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            )
            .header("accept-language", "en-GB,en;q=0.5")
            .header("cookie", "theme=dark; basket=3")
            .header("referer", "https://www.example.com/section-001")
            .body(Body::Empty)
            .expect("a request");
        let head = Request::from(request).head;
        let mut following = exchange::begin(&head, &exchanges.peer, &exchanges.edge);
        let mut seen = Self {
            record: following.record.clone(),
            exchanges,
            head,
            _observer: observer,
            _phase: phase,
        };
        seen.note(&mut following.record);
        seen.record = following.record.clone();
        seen
    }

    /// What a request on its way would note.
    fn note(&self, record: &mut Record) {
        let at = self.exchanges.edge.view.load();
        let rule = at.rules.last().expect("a route");
        let backend = at.backends.first().expect("a backend");
        record.timings.decide = Some(Duration::from_micros(5));
        record.timings.first_byte = Some(Duration::from_micros(1_500));
        record.route = Some(rule.name.clone());
        record.squad = Some(rule.squad.clone());
        record.visitor = Some("absent");
        record.gate = Some("open");
        record.backend = Some(backend.settings.name.shared());
        record.server = backend
            .roster()
            .servers
            .first()
            .map(|server| server.label.clone());
        record.attempts = 1;
        record.status = Some(StatusCode::OK);
        record.outcome = Outcome::Forwarded;
    }
}
