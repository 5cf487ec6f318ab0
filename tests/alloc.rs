//! What a request may allocate: budgets that hold on any machine.
//!
//! To measure anew: `cargo test --test alloc -- --nocapture --test-threads=1` prints what is found beside each budget. A change
//! that saves some lowers the number here; one that needs more says why.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what can't be set up fails the test"
)]

#[path = "../benches/pipes.rs"]
mod pipes;
#[path = "../benches/raw.rs"]
mod raw;
#[path = "../benches/site.rs"]
mod site;
#[path = "../benches/ways.rs"]
mod ways;

use std::{sync::Arc, time::Duration};

use banyan::{
    clock::{Moment, steady},
    name::{Place, RoomName},
    room::{Admission, Comer, Room, RoomSettings},
};
use pipes::{Bench, By, What};
use raw::Line::{Http1, Http2};
use ways::{Asking, Way};

// Decisions.
const DECIDE: u64 = 0;
const DECIDE_FLAGGED: u64 = 0;
// What the many flags say is one list; the 200 flags that the site has beside them cost nothing.
const DECIDE_TWENTY: u64 = 1;
const DECIDE_SIGNED_IN: u64 = 0;
const DECIDE_IN_SESSION: u64 = 0;

// A proxied exchange, from the client's version to the backend's. Towards backends, `h2` and the map
// that it wants of a head are most of HTTP/2's.
const HTTP1_TO_HTTP1: u64 = 13;
const HTTP2_TO_HTTP1: u64 = 13;
const HTTP1_TO_HTTP2: u64 = 26;
const HTTP2_TO_HTTP2: u64 = 26;

// An answer from the cache: the request, the record, the answer's fields.
const HTTP1_HIT: u64 = 10;
const HTTP2_HIT: u64 = 10;
// What it costs beside that to know who asks, by a token or a session that was seen before: the signed statement outgrows the room
// that a head has for what is added to it.
const KNOWN: u64 = 1;

// A side alone.
const HTTP1_SERVER: u64 = 4;
const HTTP2_SERVER: u64 = 4;
const HTTP1_CLIENT: u64 = 3;
const HTTP2_CLIENT: u64 = 15;

/// Routes of the site that decisions are asked of.
const ROUTES: usize = 1_000;
/// Exchanges in one window. What happens once in many (a log batch handed over, a table grown) is not in the least of several.
const WINDOW: u32 = 16;
const WINDOWS: u32 = 16;

#[test]
fn a_decision_allocates_only_what_it_must() {
    for way in Way::ALL {
        let site = site::snapshot(&site::settings(&way.site(ROUTES)));
        let asking = Asking::new(way, &site, ROUTES);
        let budget = match way {
            Way::Flagged => DECIDE_FLAGGED,
            Way::Twenty => DECIDE_TWENTY,
            Way::SignedIn => DECIDE_SIGNED_IN,
            Way::InSession => DECIDE_IN_SESSION,
            Way::Exact | Way::Slug | Way::Rest | Way::CatchAll | Way::Pattern => DECIDE,
        };
        let counted = allocation_counter::measure(|| asking.decide_times(1));
        check(way.name(), counted.count_total, budget);
    }
}

/// Head and answer of a small GET with a browser's fields, both connections kept alive, access log and metrics on. The ends
/// allocate nothing, so all of it is the router's (and that of `h2` and tokio within it).
#[test]
fn a_proxied_exchange_keeps_its_budget() {
    check_router(Http1, Http1, HTTP1_TO_HTTP1);
    check_router(Http2, Http1, HTTP2_TO_HTTP1);
    check_router(Http1, Http2, HTTP1_TO_HTTP2);
    check_router(Http2, Http2, HTTP2_TO_HTTP2);
}

/// Against the very same request for a route that asks nobody. Backends are told who it is, in three fields that were written before.
#[test]
fn who_was_seen_before_costs_hardly_an_allocation() {
    for by in [By::Token, By::Session] {
        let (guarded, open) = (least(What::Guarded(by)), least(What::Open(by)));
        println!("{by:?}: {guarded} allocations, {open} where nobody is asked");
        check(&format!("{by:?}"), guarded.saturating_sub(open), KNOWN);
    }
}

#[track_caller]
fn check_router(front: raw::Line, back: raw::Line, budget: u64) {
    let what = What::Router(front, back);
    check(&format!("{what:?}"), least(what), budget);
}

/// The same, answered from the cache: no backend has a part in it.
#[test]
fn a_hit_keeps_its_budget() {
    for (line, budget) in [(Http1, HTTP1_HIT), (Http2, HTTP2_HIT)] {
        let what = What::Hit(line);
        check(&format!("{what:?}"), least(what), budget);
    }
}

#[test]
fn each_side_alone_keeps_its_budget() {
    let cases = [
        (What::Server(Http1), HTTP1_SERVER),
        (What::Server(Http2), HTTP2_SERVER),
        (What::Client(Http1), HTTP1_CLIENT),
        (What::Client(Http2), HTTP2_CLIENT),
    ];
    for (what, budget) in cases {
        check(&format!("{what:?}"), least(what), budget);
    }
}

/// A hundred thousand people wait and look: each carries a number, and the room keeps nothing of any of them.
#[test]
fn who_waits_costs_a_room_no_memory() {
    let room = Room::new(
        RoomSettings {
            name: RoomName::new("checkout").expect("a name"),
            place: Place {
                file: Arc::from("banyan.toml"),
                line: 1,
            },
            inside: 100,
            idle: Duration::from_secs(300),
            claim: Duration::from_secs(90),
            opens: None,
            bypass: Vec::new(),
            flags: Vec::new(),
        },
        None,
    );
    let now = Moment {
        steady: steady(),
        wall_micros: 1_800_000_000_000_000,
    };
    let come = |ticket| room.admit(Comer::Visitor(ticket), now, [7; 16]);
    (0..100).for_each(|_| assert!(matches!(come(None), Admission::Inside { .. })));
    let counted = allocation_counter::measure(|| {
        for _ in 0..100_000 {
            let Admission::Waiting(wait) = come(None) else {
                continue; // counted below
            };
            assert!(matches!(come(wait.ticket), Admission::Waiting(_)));
        }
    });
    assert_eq!(room.count(now).waiting, 100_000);
    check("100,000 who wait", counted.count_total, 0);
}

/// Allocations per exchange, rounded down, in the window that had the fewest.
fn least(what: What) -> u64 {
    let mut bench = Bench::new(what);
    let counted = (0..WINDOWS).map(|_| allocation_counter::measure(|| bench.exchanges(WINDOW)).count_total);
    counted.min().unwrap_or_default() / u64::from(WINDOW)
}

#[track_caller]
fn check(what: &str, found: u64, budget: u64) {
    println!("{what}: {found} allocations, budget {budget}");
    assert!(
        found <= budget,
        "{what} allocates {found} times; its budget is {budget}"
    );
}
