//! What a decision costs, and what a reload costs, on sites of 10, 1,000 and 10,000 routes: `cargo bench --bench decide`.
//!
//! Figures of one run compare with each other, not with those of another day: look at the ratios. What must not grow is
//! counted in `tests/instructions.rs`.
#![expect(
    clippy::expect_used,
    reason = "a benchmark that can't begin has nothing to say"
)]

mod site;
mod ways;

use std::time::Duration;

use banyan::{clock, config, snapshot::Snapshot};
use ways::{Asking, Way};

const SIZES: [usize; 3] = [10, 1_000, 10_000];
/// 250 are what one CloudFront distribution takes.
const PATTERNS: [usize; 4] = [10, 250, 1_000, 10_000];
const ROUNDS: u32 = 9;
const DECISIONS: u32 = 20_000;

fn main() {
    println!("a site read + compiled, best of 3:");
    let templates: Vec<_> = SIZES.iter().map(|count| build(Way::Exact, *count)).collect();
    let patterns: Vec<_> = PATTERNS.iter().map(|count| build(Way::Pattern, *count)).collect();
    println!("\none decision, best of {ROUNDS} rounds of {DECISIONS}:");
    for way in Way::ALL {
        let sites = if way == Way::Pattern {
            &patterns
        } else {
            &templates
        };
        let mut first = None;
        for (count, site) in sites {
            let asking = Asking::new(way, site, *count);
            let each =
                best(ROUNDS, || asking.decide_times(DECISIONS)).as_nanos() as f64 / f64::from(DECISIONS);
            let ratio = each / *first.get_or_insert(each);
            println!(
                "  {:<10} {count:>6} routes {each:>8.0} ns   {ratio:>5.2} of the smallest",
                way.name()
            );
        }
    }
}

fn build(way: Way, count: usize) -> (usize, Snapshot) {
    let sources = way.site(count);
    let reading = best(3, || drop(config::load_sources(&sources, &|_| None)));
    let settings = site::settings(&sources);
    let compiling = best(3, || drop(site::snapshot(&settings)));
    println!(
        "  {:<8} {count:>6} routes {reading:>10.1?} + {compiling:>10.1?}",
        way.name()
    );
    (count, site::snapshot(&settings))
}

fn best(rounds: u32, mut work: impl FnMut()) -> Duration {
    let timed = (0..rounds).map(|_| {
        let began = clock::steady();
        work();
        clock::steady().saturating_duration_since(began)
    });
    timed.min().unwrap_or_default()
}
