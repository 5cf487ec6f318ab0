//! What a decision and an exchange cost in instructions, counted by valgrind, so that it is the same on a busy machine.
//!
//! The test runs its own binary again under callgrind, which counts only inside [`decisions`], [`matched`] and
//! [`exchanges`] and writes one total for each call.
//! Ratios hold in every profile; the absolute budget is that of an unoptimised build, several times what a release needs.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what can't be set up fails the test"
)]

#[expect(dead_code, reason = "other programs measure more with it")]
#[path = "../benches/pipes.rs"]
mod pipes;
#[path = "../benches/raw.rs"]
mod raw;
#[path = "../benches/site.rs"]
mod site;
#[path = "../benches/ways.rs"]
mod ways;

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use banyan::{
    cache::store::{
        Chunks, How, Key, KeyHash, Labels, New, Reader, Selected, Store, StoreSettings, Terms, Times,
        What as Purged,
    },
    clock::UnixTime,
    fields::Fields,
    gate::TokenMemory,
    route::{PathRule, pattern::PATTERN_CHARS_MAX},
    snapshot::{
        Snapshot,
        decide::{Ask, Credential, Entrance, decide},
    },
};
use pipes::{Bench, What};
use raw::Line::{Http1, Http2};
use ways::{Asking, Way};

/// Set to the number of routes: be what is counted.
const COUNTED: &str = "BANYAN_COUNTED_ROUTES";
const SMALL: usize = 10;
const LARGE: usize = 10_000;
/// Decisions in one count.
const TIMES: u32 = 100;
/// What a decision among [`LARGE`] may cost, as a multiple of one among [`SMALL`].
const RATIO_MAX: f64 = 2.0;
/// Set to the number of patterns: be what is counted, decisions among them.
const COUNTED_BEHAVIOURS: &str = "BANYAN_COUNTED_BEHAVIOURS";
/// As many as a CloudFront distribution may have.
const BEHAVIOURS: usize = 75;
/// What a decision among [`BEHAVIOURS`] may cost, as a multiple of one with a single one.
const BEHAVIOURS_RATIO_MAX: f64 = 1.3;
/// Exchanges in one count, after as many as it takes until what is made once is made.
const EXCHANGES: u32 = 200;
/// Set: be what is counted, exchanges.
const COUNTED_EXCHANGES: &str = "BANYAN_COUNTED_EXCHANGES";
/// Exchanges over memory, by what the client and the backend speak, and what one may cost, unoptimised: a release build needs about a
/// tenth. The ends that ask and answer are in it, with ready-made bytes.
const EXCHANGE_BUDGETS: [(What, u64); 10] = [
    (What::Server(Http1), 80_000),
    (What::Server(Http2), 116_000),
    (What::Client(Http1), 42_000),
    (What::Client(Http2), 101_000),
    (What::Router(Http1, Http1), 500_000),
    (What::Router(Http2, Http1), 525_000),
    (What::Router(Http1, Http2), 500_000),
    (What::Router(Http2, Http2), 525_000),
    (What::Hit(Http1), 340_000),
    (What::Hit(Http2), 340_000),
];
/// Set: be what is counted, looks into the cache.
const COUNTED_LOOKS: &str = "BANYAN_COUNTED_LOOKS";
/// Answers that are kept: more than lie at hand on a core.
const KEPT: usize = 4_000;
/// Looks in one count.
const LOOKS: usize = 1_000;
/// What a look may cost, unoptimised: at what lies at hand, at what doesn't, and at the first after a purge of something else.
const LOOK_BUDGETS: [(&str, u64); 3] = [
    ("at hand", 4_000),
    ("in the table", 32_000),
    ("after a purge", 60_000),
];
/// What a decision may cost at all, unoptimised.
const INSTRUCTIONS_MAX: u64 = 400_000;
/// What a decision with twenty rollouts in it may cost, unoptimised.
const TWENTY_MAX: u64 = 110_000;

#[test]
fn ten_thousand_routes_cost_at_most_twice_as_much_as_ten() {
    if let Ok(routes) = std::env::var(COUNTED) {
        return be_counted(routes.parse().expect("a number of routes"));
    }
    let (Some(small), Some(large)) = (count(SMALL), count(LARGE)) else {
        assert!(std::env::var_os("CI").is_none(), "valgrind is missing");
        return println!("SKIPPED: instructions are counted by valgrind, which is not installed");
    };
    for way in Way::ALL {
        let (few, many) = (small[way.name()], large[way.name()]);
        let ratio = many as f64 / few as f64;
        println!(
            "{:<10} {few:>8} {many:>8} instructions, ratio {ratio:.2}",
            way.name()
        );
        assert!(
            ratio <= RATIO_MAX,
            "{}: {few} instructions became {many}",
            way.name()
        );
        let most = if way == Way::Twenty {
            TWENTY_MAX
        } else {
            INSTRUCTIONS_MAX
        };
        assert!(many <= most, "{}: {many} instructions", way.name());
    }
}

#[test]
fn seventy_five_behaviours_cost_hardly_more_than_one() {
    if let Ok(behaviours) = std::env::var(COUNTED_BEHAVIOURS) {
        let behaviours = behaviours.parse().expect("a number of behaviours");
        let rule = |at| format!("pattern = \"{}\"\norder = {at}", behaviour(at));
        let site = site::snapshot(&site::settings(&site::of_rules((0..behaviours).map(rule))));
        let last = behaviours - 1;
        let taken = behaviour(last).replace('*', "some/of/it").replace('?', "7");
        for (path, route) in [
            (taken, behaviour(last)),
            ("/nobody/wants/this/one".to_owned(), "/*".to_owned()),
        ] {
            lookups(&site, &path, &route, 1); // what is worked out once
            matched(&site, &path, &route);
        }
        return;
    }
    let count = |behaviours: usize| {
        let test = "seventy_five_behaviours_cost_hardly_more_than_one";
        totals("matched", test, (COUNTED_BEHAVIOURS, &behaviours.to_string()))
    };
    let (Some(one), Some(many)) = (count(1), count(BEHAVIOURS)) else {
        assert!(std::env::var_os("CI").is_none(), "valgrind is missing");
        return println!("SKIPPED: instructions are counted by valgrind, which is not installed");
    };
    assert_eq!((one.len(), many.len()), (2, 2));
    for (what, (one, many)) in ["taken", "left over"].iter().zip(one.into_iter().zip(many)) {
        let ratio = many as f64 / one as f64;
        println!("{what:<10} {one:>8} {many:>8} instructions, ratio {ratio:.2}");
        assert!(
            ratio <= BEHAVIOURS_RATIO_MAX,
            "{what}: {one} instructions became {many}"
        );
    }
}

/// A pattern as long as one may be, with both wildcards.
fn behaviour(at: usize) -> String {
    let (start, end) = (format!("/squad-{at:02}/"), "*/page-??.html");
    let filling = "a-long-segment/".chars().cycle();
    let filling: String = filling
        .take(PATTERN_CHARS_MAX - start.len() - end.len())
        .collect();
    format!("{start}{filling}{end}")
}

/// What callgrind counts: it knows the function by its name.
#[inline(never)]
fn matched(site: &Snapshot, path: &str, route: &str) {
    lookups(site, path, route, TIMES);
}

fn lookups(site: &Snapshot, path: &str, route: &str, times: u32) {
    let (headers, tokens) = (Fields::default(), TokenMemory::new());
    let ask = Ask {
        entrance: Entrance::Public,
        method: &http::Method::GET,
        host: "www.example.com",
        target: path,
        headers: &headers,
        client: None,
        credential: Credential::Fields(&tokens),
        entropy: [3; 16],
    };
    for _ in 0..times {
        let decision = decide(&ask, UnixTime::from_secs(1_800_000_000), site, &mut ());
        let decision = decision.unwrap_or_else(|_| panic!("{path} is refused"));
        let rule = site.rule(decision.route).expect("its rule");
        assert_eq!(&*rule.name, route);
    }
}

#[test]
fn an_exchange_keeps_its_budget() {
    if std::env::var_os(COUNTED_EXCHANGES).is_some() {
        for (what, _) in EXCHANGE_BUDGETS {
            exchanges(&mut Bench::new(what));
        }
        return;
    }
    let counted = totals(
        "exchanges",
        "an_exchange_keeps_its_budget",
        (COUNTED_EXCHANGES, "1"),
    );
    let Some(totals) = counted else {
        assert!(std::env::var_os("CI").is_none(), "valgrind is missing");
        return println!("SKIPPED: instructions are counted by valgrind, which is not installed");
    };
    assert_eq!(totals.len(), EXCHANGE_BUDGETS.len());
    for ((what, budget), total) in EXCHANGE_BUDGETS.into_iter().zip(totals) {
        let one = total / u64::from(EXCHANGES);
        println!("{what:?}: {one} instructions, budget {budget}");
        assert!(
            one <= budget,
            "{what:?} takes {one} instructions; its budget is {budget}"
        );
    }
}

/// What callgrind counts: it knows the function by its name.
#[inline(never)]
fn exchanges(bench: &mut Bench) {
    bench.exchanges(EXCHANGES);
}

#[test]
fn a_look_into_the_cache_keeps_its_budget() {
    if std::env::var_os(COUNTED_LOOKS).is_some() {
        let store = Store::new(&StoreSettings::default());
        let keys: Vec<KeyHash> = (0..KEPT).map(|number| kept(&store, number)).collect();
        let reader = store.reader();
        let few: Vec<KeyHash> = (0..LOOKS).map(|at| keys[at % 16]).collect();
        let spread: Vec<KeyHash> = (0..LOOKS).map(|at| keys[(at * 7) % KEPT]).collect();
        uncounted(&reader, &few);
        looks(&reader, &few);
        looks(&reader, &spread);
        uncounted(&reader, &spread);
        store.purge(&Purged::Tag("another"), How::Hard);
        looks(&reader, &spread);
        return;
    }
    let test = "a_look_into_the_cache_keeps_its_budget";
    let Some(totals) = totals("looks", test, (COUNTED_LOOKS, "1")) else {
        assert!(std::env::var_os("CI").is_none(), "valgrind is missing");
        return println!("SKIPPED: instructions are counted by valgrind, which is not installed");
    };
    assert_eq!(totals.len(), LOOK_BUDGETS.len());
    for ((what, budget), total) in LOOK_BUDGETS.into_iter().zip(totals) {
        let one = total / LOOKS as u64;
        println!("{what}: {one} instructions, budget {budget}");
        assert!(
            one <= budget,
            "a look {what} takes {one} instructions; its budget is {budget}"
        );
    }
}

fn kept(store: &Store, number: usize) -> KeyHash {
    let target = format!("/courses/{number}");
    let key = Key {
        hash: KeyHash::of(["www.example.com", &target]),
        host: "www.example.com",
        target: &target,
        rest: "",
    };
    let (none, time) = (std::time::Duration::ZERO, UnixTime::from_secs(1_800_000_000));
    let new = New {
        status: http::StatusCode::OK,
        fields: Fields::new(),
        body: Chunks::new(vec![bytes::Bytes::from(vec![0; 1_024])]),
        selected: Selected::default(),
        times: Times {
            asked: time,
            answered: time,
            initial_age: none,
            lifetime: none,
            while_revalidate: none,
            if_error: none,
        },
        terms: Terms::default(),
        labels: Labels::default(),
        stamp: store.stamp(),
    };
    store.keep(&key, new).expect("room for it");
    key.hash
}

/// What callgrind counts: it knows the function by its name.
#[inline(never)]
fn looks(reader: &Reader, keys: &[KeyHash]) {
    uncounted(reader, keys);
}

fn uncounted(reader: &Reader, keys: &[KeyHash]) {
    for key in keys {
        let found = reader.look(*key).expect("what was kept");
        assert_eq!(found.variants().count(), 1);
    }
}

/// Sites are made, and asked once, outside of what is counted.
fn be_counted(routes: usize) {
    let [templates, patterns] = [Way::Exact, Way::Pattern].map(|way| grown(way, routes));
    for way in Way::ALL {
        let site = if way == Way::Pattern {
            &patterns
        } else {
            &templates
        };
        decisions(&Asking::new(way, site, routes));
    }
}

/// A site with that many routes, all but the first copied: to read ten thousand from TOML under valgrind takes minutes.
fn grown(way: Way, routes: usize) -> Snapshot {
    let mut settings = site::settings(&way.site(1));
    let first = settings.routes.last().expect("the first route").clone();
    settings.routes.extend((1..routes).map(|at| {
        let mut route = first.clone();
        match way {
            Way::Pattern => {
                route.claim.path = PathRule::Pattern(ways::pattern(at));
                route.claim.order = i32::try_from(at).ok();
            }
            _ => route.claim.path = PathRule::Template(site::template(at)),
        }
        route
    }));
    site::snapshot(&settings)
}

/// What callgrind counts: it knows the function by its name.
#[inline(never)]
fn decisions(asking: &Asking<'_>) {
    asking.decide_times(TIMES);
}

/// Instructions of one decision by [`Way::name`]; `None` without valgrind.
fn count(routes: usize) -> Option<BTreeMap<&'static str, u64>> {
    let test = "ten_thousand_routes_cost_at_most_twice_as_much_as_ten";
    let totals = totals("decisions", test, (COUNTED, &routes.to_string()))?;
    assert_eq!(totals.len(), Way::ALL.len());
    let each = totals.into_iter().map(|total| total / u64::from(TIMES));
    Some(Way::ALL.iter().map(|way| way.name()).zip(each).collect())
}

/// Runs `test` of this program under callgrind, told to be counted by `set`. A total for each call of `function`, in order; `None`
/// without valgrind.
fn totals(function: &str, test: &str, set: (&str, &str)) -> Option<Vec<u64>> {
    let folder = tempfile::tempdir().expect("a folder");
    let this = std::env::current_exe().expect("this program");
    let counted = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--toggle-collect=instructions::{function}"))
        .arg(format!("--dump-after=instructions::{function}"))
        .arg(format!("--callgrind-out-file={}/out", folder.path().display()))
        .arg(this)
        .args(["--exact", test])
        .env(set.0, set.1)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&counted.stderr);
    assert!(counted.status.success(), "{said}");
    let dumps = (1..).map(|number| folder.path().join(format!("out.{number}")));
    let totals = dumps
        .take_while(|dump| dump.exists())
        .map(|dump| total(&dump).unwrap_or_else(|| panic!("nothing was counted: {said}")));
    Some(totals.collect())
}

/// The line `summary: <instructions>` of a callgrind file.
fn total(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("summary: "))?;
    line.trim().parse().ok()
}
