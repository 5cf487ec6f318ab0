//! Precedence, by table, and against a plain scan written straight from the design.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;

use super::{OTHER_METHODS_MAX, PassedOver, Probe, RouteId, Table};
use crate::route::{Claim, Clash, Conditions, PathRule, ValueTest, Why, split_target, tests};

/// A request that lives long enough to be probed.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) host: String,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: crate::fields::Fields,
}

impl Ask {
    pub(super) fn probe(&self) -> Probe<'_> {
        let (path, query) = split_target(&self.target);
        Probe {
            host: &self.host,
            method: &self.method,
            path,
            query,
            headers: &self.headers,
        }
    }

    fn get(target: &str) -> Self {
        Self::parse(&format!("GET {target}"))
    }

    fn parse(text: &str) -> Self {
        let mut parts = text.split(" | ");
        let (method, target) = parts.next().unwrap().split_once(' ').unwrap();
        let (host, target) = match target.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap()),
            None => ("www.example.com", target),
        };
        let mut headers = HeaderMap::new();
        for field in parts {
            let (name, value) = field.split_once(':').unwrap();
            headers.append(
                HeaderName::try_from(name.trim()).unwrap(),
                HeaderValue::from_bytes(value.trim().as_bytes()).unwrap(),
            );
        }
        Self {
            host: host.to_owned(),
            method: method.parse().unwrap(),
            target: target.to_owned(),
            headers: headers.into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sites {
    site: Vec<Site>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Site {
    name: String,
    routes: Vec<Row>,
    ask: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    path: Option<String>,
    pattern: Option<String>,
    order: Option<i32>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    headers: toml::Table,
    #[serde(default)]
    query: toml::Table,
    #[serde(default)]
    cookies: toml::Table,
}

impl Row {
    fn claim(&self) -> Claim {
        let path = match (&self.path, &self.pattern) {
            (Some(text), None) => PathRule::Template(text.clone()),
            (None, Some(text)) => PathRule::Pattern(text.clone()),
            _ => panic!("{}: either path or pattern", self.name),
        };
        let tests = |table: &toml::Table| -> Vec<(String, ValueTest)> {
            table
                .iter()
                .map(|(name, value)| (name.clone(), value_test(value)))
                .collect()
        };
        Claim {
            hosts: self.hosts.clone(),
            conditions: Conditions {
                methods: self
                    .methods
                    .iter()
                    .map(|method| method.parse().unwrap())
                    .collect(),
                headers: tests(&self.headers)
                    .into_iter()
                    .map(|(name, test)| (name.parse().unwrap(), test))
                    .collect(),
                query: tests(&self.query),
                cookies: tests(&self.cookies),
            },
            ..tests::claim(path, self.order)
        }
    }
}

fn value_test(value: &toml::Value) -> ValueTest {
    match value {
        toml::Value::Boolean(true) => ValueTest::Present,
        toml::Value::Boolean(false) => ValueTest::Absent,
        toml::Value::String(text) => ValueTest::Like(text.clone()),
        toml::Value::Array(list) => ValueTest::OneOf(
            list.iter()
                .map(|text| text.as_str().unwrap().to_owned())
                .collect(),
        ),
        other => panic!("{other}"),
    }
}

#[test]
fn each_request_in_the_table_finds_its_route() {
    let sites: Sites = toml::from_str(&tests::table("precedence.toml")).unwrap();
    let mut asked = 0;
    for site in sites.site {
        let claims: Vec<Claim> = site.routes.iter().map(Row::claim).collect();
        let (table, clashes) = Table::build(&claims);
        assert_eq!(clashes, [], "{}", site.name);
        for line in &site.ask {
            let (ask, expected) = line.split_once(" => ").unwrap();
            let ask = Ask::parse(ask);
            let seen = match table.find(&ask.probe()) {
                Some(found) => &site.routes[found.route.index()].name,
                None => "none",
            };
            assert_eq!(seen, expected, "{}: {line}", site.name);
            asked += 1;
        }
    }
    assert!(asked > 80, "only {asked} requests");
}

#[test]
fn a_watch_hears_every_route_that_was_passed_over_and_why() {
    let beta = Claim {
        conditions: Conditions {
            cookies: vec![("beta".to_owned(), ValueTest::Present)],
            ..Conditions::default()
        },
        ..tests::pattern("/shop*", 1)
    };
    let posts = Claim {
        conditions: Conditions {
            methods: vec![Method::POST],
            ..Conditions::default()
        },
        ..tests::template("/shop/{id}")
    };
    let elsewhere = Claim {
        hosts: vec!["shop.example.com".to_owned()],
        ..tests::template("/shop/*")
    };
    let (table, clashes) = Table::build(&[tests::template("/*"), beta, posts, elsewhere]);
    assert_eq!(clashes, []);
    let mut trail: Vec<PassedOver<'_>> = Vec::new();
    let found = table.find_watched(&Ask::get("/shop/7").probe(), &mut trail);
    assert_eq!(found.unwrap().route, RouteId(0));
    let trail: Vec<_> = trail
        .into_iter()
        .map(|passed| (passed.route.0, passed.why))
        .collect();
    assert_eq!(
        trail,
        [(1, Why::Cookie("beta")), (2, Why::Method), (3, Why::Host)]
    );
}

#[test]
fn params_of_the_winner_are_told_on_demand() {
    let (table, _) = Table::build(&[tests::template("/courses/{slug}/*"), tests::pattern("/x/*", 1)]);
    assert_eq!(
        table.params(RouteId(0), "/courses/rust/a/b"),
        [("slug", "rust"), ("*", "a/b")]
    );
    assert_eq!(table.params(RouteId(1), "/x/a"), []);
    assert_eq!(table.params(RouteId(9), "/x/a"), []);
}

#[test]
fn a_wrong_claim_is_told_and_left_out() {
    let (table, clashes) = Table::build(&[
        tests::template("/a*"),
        tests::pattern("/a b", 1),
        tests::template("/ab"),
    ]);
    assert!(
        matches!(
            &clashes[..],
            [
                Clash::Wrong {
                    route: RouteId(0),
                    ..
                },
                Clash::Wrong {
                    route: RouteId(1),
                    ..
                }
            ]
        ),
        "{clashes:?}"
    );
    assert_eq!(table.find(&Ask::get("/ab").probe()).unwrap().route, RouteId(2));
    assert_eq!(table.find(&Ask::get("/ac").probe()), None);
}

#[test]
fn a_pattern_without_an_order_is_told_and_comes_last_of_the_ordered() {
    let (table, clashes) = Table::build(&[
        tests::claim(PathRule::Pattern("/a*".to_owned()), None),
        tests::pattern("/ab*", 7),
        tests::template("/ac"),
    ]);
    assert_eq!(clashes, [Clash::NoOrder { route: RouteId(0) }]);
    assert_eq!(table.find(&Ask::get("/abc").probe()).unwrap().route, RouteId(1));
    assert_eq!(table.find(&Ask::get("/ac").probe()).unwrap().route, RouteId(0));
}

#[test]
fn two_tables_can_be_asked_in_turn_on_one_thread() {
    let (first, _) = Table::build(&[tests::pattern("/a*", 1)]);
    let (second, _) = Table::build(&[tests::pattern("/b*", 1), tests::pattern("/a?", 2)]);
    for _ in 0..3 {
        assert_eq!(first.find(&Ask::get("/a1").probe()).unwrap().route, RouteId(0));
        assert_eq!(second.find(&Ask::get("/a1").probe()).unwrap().route, RouteId(1));
        assert_eq!(first.find(&Ask::get("/b").probe()), None);
    }
}

#[test]
fn ten_thousand_routes_are_all_found() {
    let mut claims = Vec::new();
    for n in 0..2_500 {
        claims.push(tests::template(&format!("/squad{}/page{n}", n % 50)));
        claims.push(tests::template(&format!("/squad{}/page{n}/{{id}}", n % 50)));
        claims.push(tests::template(&format!("/squad{}/page{n}/{{id}}/*", n % 50)));
        claims.push(tests::pattern(&format!("/static/{n}/*.css"), n));
    }
    let (table, clashes) = Table::build(&claims);
    assert_eq!(clashes, []);
    assert_eq!(crate::route::unreachable(&table), []);
    for n in (0..2_500).step_by(97) {
        let at = u32::try_from(n * 4).unwrap();
        let squad = n % 50;
        for (path, route) in [
            (format!("/squad{squad}/page{n}"), at),
            (format!("/squad{squad}/page{n}/7"), at + 1),
            (format!("/squad{squad}/page{n}/7/x/y"), at + 2),
            (format!("/static/{n}/a/b.css"), at + 3),
        ] {
            let found = table.find(&Ask::get(&path).probe());
            assert_eq!(found.map(|found| found.route), Some(RouteId(route)), "{path}");
        }
    }
}

/// Builds a table, with how long that took.
fn timed(texts: impl Iterator<Item = String>) -> (Table, Vec<Clash>, Duration) {
    let claims: Vec<Claim> = (0..)
        .zip(texts)
        .map(|(order, text)| tests::pattern(&text, order))
        .collect();
    let began = crate::clock::steady();
    let (table, clashes) = Table::build(&claims);
    (
        table,
        clashes,
        crate::clock::steady().saturating_duration_since(began),
    )
}

#[test]
fn five_thousand_patterns_compile_within_a_second_into_a_bounded_automaton() {
    let pattern = |at: usize| format!("/squad-{}/*/page-{at:04}-??.html", at % 40);
    let (table, clashes, took) = timed((0..5_000).map(pattern));
    assert_eq!(clashes, []);
    let bytes = table.ordered().automaton_bytes().unwrap();
    println!("5,000 patterns: {took:?}, {bytes} bytes");
    // an unoptimised build takes ten times as long as a release
    let most = if cfg!(debug_assertions) { 10 } else { 1 };
    assert!(took < Duration::from_secs(most), "{took:?}");
    assert!(bytes < 64 * 1024 * 1024, "{bytes} bytes");
    for at in (0..5_000).step_by(499) {
        let path = format!("/squad-{}/a/b/page-{at:04}-x1.html", at % 40);
        let found = table.find(&Ask::get(&path).probe());
        assert_eq!(found.map(|found| found.route.index()), Some(at), "{path}");
    }
}

#[test]
fn patterns_built_to_explode_are_refused_with_their_size() {
    let pattern = |at: usize| format!("*{at}{}", "*a?b".repeat(60));
    let (table, clashes, took) = timed((0..5_000).map(pattern));
    let [Clash::TooLarge { steps, most, .. }] = clashes[..] else {
        panic!("{} clashes", clashes.len());
    };
    assert!(steps > 1_000_000 && most == 200_000, "{steps} {most}");
    assert_eq!(table.ordered().automaton_bytes(), None);
    assert_eq!(crate::route::unreachable(&table), []);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// What is just let in keeps its memory, however hostile the path is.
#[test]
fn the_worst_patterns_that_are_let_in_stay_bounded() {
    let pattern = |at: usize| {
        format!(
            "*{}{}",
            char::from(b'a' + u8::try_from(at % 26).unwrap()),
            "*a?b".repeat(60)
        )
    };
    let (table, clashes, _) = timed((0..75).map(pattern));
    assert!(
        !clashes
            .iter()
            .any(|clash| matches!(clash, Clash::TooLarge { .. })),
        "{clashes:?}"
    );
    let path = format!("/{}", "abxaab".repeat(300));
    let ask = Ask::get(&path);
    let began = crate::clock::steady();
    let seen = allocation_counter::measure(|| {
        assert!(table.find(&ask.probe()).is_none_or(|found| found.route.0 < 75))
    });
    println!(
        "the worst path: {:?}",
        crate::clock::steady().saturating_duration_since(began)
    );
    assert!(seen.bytes_max < 64 * 1024 * 1024, "{} bytes", seen.bytes_max);
}

#[test]
fn finding_a_route_does_not_allocate() {
    let (table, _) = Table::build(&[
        tests::template("/*"),
        tests::template("/about"),
        tests::template("/courses/{slug}/reviews"),
        tests::pattern("/static/*.css", 1),
    ]);
    for (path, route) in [
        ("/about", 1),
        ("/courses/rust/reviews", 2),
        ("/static/a/b.css", 3),
        ("/x/y", 0),
    ] {
        let ask = Ask::get(path);
        let probe = ask.probe();
        let _ = table.find(&probe); // this thread's automaton states are worked out once
        let mut found = None;
        let seen = allocation_counter::measure(|| found = table.find(&probe));
        assert_eq!(found.map(|found| found.route), Some(RouteId(route)));
        assert_eq!(seen.count_total, 0, "{path}");
    }
}

#[test]
fn a_name_beside_static_segments_costs_at_most_one_allocation() {
    let (table, _) = Table::build(&[
        tests::template("/c/{slug}"),
        tests::template("/c/new"),
        tests::template("/*"),
    ]);
    let ask = Ask::get("/c/new");
    let seen = allocation_counter::measure(|| assert!(table.find(&ask.probe()).is_some()));
    assert!(seen.count_total <= 1, "{}", seen.count_total);
}

#[test]
fn what_is_no_path_finds_no_route() {
    let (table, _) = Table::build(&[tests::template("/*"), tests::pattern("/*", 1)]);
    for target in ["*", "", "x"] {
        assert_eq!(table.find(&Ask::get(target).probe()), None, "{target:?}");
    }
}

#[track_caller]
fn check_other_methods(table: &Table, ask: &str, expected: &[&str]) {
    let ask = Ask::parse(ask);
    assert_eq!(table.find(&ask.probe()), None, "{ask:?}");
    let methods = table.other_methods(&ask.probe());
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    assert_eq!(names, expected, "{ask:?}");
}

#[test]
fn methods_that_would_have_found_a_route_are_told_in_the_order_of_trial() {
    let by = |path: &str, methods: &[&str]| {
        let mut claim = tests::template(path);
        claim.conditions.methods = methods.iter().map(|method| method.parse().unwrap()).collect();
        claim
    };
    let mut hosted = by("/a/{x}", &["PUT"]);
    hosted.hosts = vec!["api.example.com".to_owned()];
    let mut with_header = by("/a/{x}", &["PATCH"]);
    with_header.conditions.headers = vec![("x-a".parse().unwrap(), ValueTest::Present)];
    let mut pattern = tests::pattern("/a/*.css", 1);
    pattern.conditions.methods = vec![Method::OPTIONS, Method::GET];
    let (table, _) = Table::build(&[
        by("/*", &["DELETE"]),
        by("/a/{x}", &["GET", "POST"]),
        hosted,
        with_header,
        pattern,
    ]);
    check_other_methods(&table, "PURGE /a/b", &["GET", "POST", "DELETE"]);
    check_other_methods(&table, "PURGE /a/b | x-a: 1", &["PATCH", "GET", "POST", "DELETE"]);
    check_other_methods(
        &table,
        "PURGE //api.example.com/a/b",
        &["PUT", "GET", "POST", "DELETE"],
    );
    check_other_methods(&table, "PURGE /a/b.css", &["OPTIONS", "GET", "POST", "DELETE"]);
    check_other_methods(&table, "GET /", &["DELETE"]);
    let (table, _) = Table::build(&[tests::template("/a")]);
    check_other_methods(&table, "GET /b", &[]);
    let many: Vec<String> = (0..40).map(|at| format!("M{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (table, _) = Table::build(&[by("/a", &many)]);
    check_other_methods(&table, "GET /a", &many[..OTHER_METHODS_MAX]);
}
