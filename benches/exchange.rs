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
use pipes::{Bench, What};
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
        let mut bench = Bench::new(what);
        let time = (0..ROUNDS).map(|_| {
            let began = clock::steady();
            bench.exchanges(EXCHANGES);
            clock::steady().saturating_duration_since(began)
        });
        let nanos = time.min().unwrap_or(Duration::ZERO).as_nanos() as f64 / f64::from(EXCHANGES);
        let counted = allocation_counter::measure(|| bench.exchanges(EXCHANGES));
        let each = |count: u64| count as f64 / f64::from(EXCHANGES);
        println!(
            "  {:<24} {nanos:>8.0} ns {:>7.2} allocations of {:>7.0} bytes together",
            format!("{what:?}"),
            each(counted.count_total),
            each(counted.bytes_total),
        );
    }
}
