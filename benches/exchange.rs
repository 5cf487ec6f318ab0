//! What one whole exchange costs without a kernel: time and allocations, both sides over memory: `cargo bench --bench exchange`.
//!
//! The ends that ask and answer speak ready-made bytes and allocate nothing. The time holds their work too, and that of counting
//! allocations; figures of one run compare with each other. Budgets are in `tests/alloc.rs`.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that can't begin has nothing to say"
)]

mod pipes;
mod raw;
mod site;

use std::time::Duration;

use banyan::clock;
use pipes::{Bench, By, What};
use raw::Line::{Http1, Http2};

const ROUNDS: u32 = 9;
const EXCHANGES: u32 = 5_000;

fn main() {
    println!("one exchange of 1 KiB, best of {ROUNDS} rounds of {EXCHANGES}:");
    let cases = [
        What::Server(Http1),
        What::Server(Http2),
        What::Client(Http1),
        What::Client(Http2),
        What::Router(Http1, Http1),
        What::Router(Http2, Http1),
        What::Router(Http1, Http2),
        What::Router(Http2, Http2),
        What::Hit(Http1),
        What::Hit(Http2),
    ];
    for what in cases {
        let (nanos, allocations, bytes) = measured(what);
        let what = format!("{what:?}");
        println!(
            "  {what:<24} {nanos:>8.0} ns {allocations:>7.2} allocations of {bytes:>7.0} bytes together"
        );
    }
    println!("\nthe same request for a route that asks who it is, and for one that asks nobody:");
    for by in [By::Token, By::Session] {
        // in turns, so that both meet the same machine
        let (mut guarded, mut open) = (Bench::new(What::Guarded(by)), Bench::new(What::Open(by)));
        let least = |bench: &mut Bench| best(1, bench);
        let (mut asks, mut none) = (f64::MAX, f64::MAX);
        for _ in 0..4 * ROUNDS {
            asks = asks.min(least(&mut guarded));
            none = none.min(least(&mut open));
        }
        let counted = [&mut guarded, &mut open].map(|bench| allocations(bench).0);
        println!(
            "  {by:?}: {asks:.0} ns and {none:.0} ns: {:.0} ns more, ratio {:.3}; {:.2} and {:.2} allocations",
            asks - none,
            asks / none,
            counted[0],
            counted[1],
        );
    }
}

fn measured(what: What) -> (f64, f64, f64) {
    let mut bench = Bench::new(what);
    let nanos = best(ROUNDS, &mut bench);
    let (count, bytes) = allocations(&mut bench);
    (nanos, count, bytes)
}

/// Nanoseconds of one exchange, in the best round.
fn best(rounds: u32, bench: &mut Bench) -> f64 {
    let time = (0..rounds).map(|_| {
        let began = clock::steady();
        bench.exchanges(EXCHANGES);
        clock::steady().saturating_duration_since(began)
    });
    time.min().unwrap_or(Duration::ZERO).as_nanos() as f64 / f64::from(EXCHANGES)
}

/// Allocations of one exchange, and their bytes.
fn allocations(bench: &mut Bench) -> (f64, f64) {
    let counted = allocation_counter::measure(|| bench.exchanges(EXCHANGES));
    let each = |count: u64| count as f64 / f64::from(EXCHANGES);
    (each(counted.count_total), each(counted.bytes_total))
}
