//! Equal, unreachable and foreign claims.

use http::Method;

use super::{Clash, covers, example_url, never_starts_with, outside, unreachable};
use crate::route::{
    Claim, Conditions, PathRule, RouteId, Table, ValueTest,
    tests::{pattern, template},
};

fn with(claim: Claim, conditions: Conditions) -> Claim {
    Claim { conditions, ..claim }
}

fn header(test: ValueTest) -> Conditions {
    Conditions {
        headers: vec![("x-a".parse().unwrap(), test)],
        ..Conditions::default()
    }
}

fn methods(list: &[Method]) -> Conditions {
    Conditions {
        methods: list.to_vec(),
        ..Conditions::default()
    }
}

fn on(claim: Claim, host: &str) -> Claim {
    Claim {
        hosts: vec![host.to_owned()],
        ..claim
    }
}

fn like(text: &str) -> ValueTest {
    ValueTest::Like(text.to_owned())
}

#[track_caller]
fn check_equal(claims: &[Claim], example: Option<&str>) {
    let (_, clashes) = Table::build(claims);
    let expected: Vec<Clash> = example
        .map(|example| Clash::Equal {
            first: RouteId(0),
            second: RouteId(1),
            example: example.to_owned(),
        })
        .into_iter()
        .collect();
    assert_eq!(clashes, expected);
}

#[test]
fn two_templates_that_differ_only_in_names_are_equal() {
    check_equal(&[template("/c/{slug}"), template("/c/{id}")], Some("/c/id"));
    check_equal(&[template("/c/*"), template("/c/*")], Some("/c"));
    check_equal(&[template("/c/{slug}"), template("/c/new")], None);
    check_equal(&[template("/c"), template("/c/")], None);
    check_equal(&[template("/c/{a}"), template("/c/*")], None);
}

#[test]
fn conditions_tell_equal_paths_apart_when_they_exclude_each_other() {
    let both = |a: Conditions, b: Conditions| [with(template("/c"), a), with(template("/c"), b)];
    let (get, head, post) = ([Method::GET], [Method::HEAD], [Method::POST]);
    let reads_and_writes = [Method::GET, Method::POST];
    check_equal(&both(methods(&get), methods(&post)), None);
    check_equal(&both(methods(&reads_and_writes), methods(&post)), Some("/c"));
    check_equal(&both(methods(&head), methods(&get)), Some("/c"));
    check_equal(&both(header(like("1")), header(like("2"))), None);
    check_equal(&both(header(like("1*")), header(like("2*"))), None);
    check_equal(&both(header(like("1*")), header(like("12"))), Some("/c"));
    check_equal(&both(header(like("1*")), header(like("*2"))), Some("/c"));
    check_equal(
        &both(
            header(like("1")),
            header(ValueTest::OneOf(vec!["2".to_owned(), "1".to_owned()])),
        ),
        Some("/c"),
    );
    check_equal(&both(header(ValueTest::Present), header(ValueTest::Absent)), None);
    check_equal(&both(header(ValueTest::Present), header(like("1"))), Some("/c"));
    check_equal(&both(header(like("1")), methods(&[Method::PUT])), Some("/c"));
    check_equal(&both(header(like("1")), Conditions::default()), None);
}

#[test]
fn hosts_tell_equal_paths_apart() {
    let on = |host| on(template("/"), host);
    check_equal(&[on("a.example.com"), on("b.example.com")], None);
    check_equal(&[on("a.example.com"), on("*.example.com")], None);
    check_equal(&[on("*.example.org"), on("*.example.com")], None);
    check_equal(&[on("*.example.com"), on("*.example.com")], Some("/"));
    check_equal(&[on("a.example.com"), template("/")], None);
}

#[test]
fn ordered_routes_of_one_order_must_not_meet() {
    check_equal(&[pattern("/a*", 1), pattern("*b", 1)], Some("/ab"));
    check_equal(&[pattern("/a*", 1), pattern("*b", 2)], None);
    check_equal(&[pattern("/a*", 1), pattern("/b*", 1)], None);
    check_equal(&[pattern("/?", 1), pattern("/a", 1)], Some("/a"));
    check_equal(&[pattern("/*.css", 1), pattern("/*.js", 1)], None);
    let ordered = Claim {
        order: Some(1),
        ..template("/x/{id}")
    };
    check_equal(&[pattern("/x/*.css", 1), ordered.clone()], Some("/x/.css"));
    check_equal(&[with(pattern("/x/*.css", 1), header(like("1"))), ordered], None);
}

#[track_caller]
fn check_unreachable(claims: &[Claim], example: Option<&str>) {
    let (table, clashes) = Table::build(claims);
    assert_eq!(clashes, []);
    let expected: Vec<Clash> = example
        .map(|example| Clash::Unreachable {
            route: RouteId(1),
            by: RouteId(0),
            example: example.to_owned(),
        })
        .into_iter()
        .collect();
    assert_eq!(unreachable(&table), expected);
}

#[test]
fn a_route_that_an_earlier_one_covers_is_unreachable() {
    check_unreachable(&[pattern("*", 1), template("/a")], Some("/a"));
    check_unreachable(&[pattern("/a*", 1), pattern("/a/b*", 2)], Some("/a/b"));
    check_unreachable(&[pattern("/a/b*", 1), pattern("/a*", 2)], None);
    check_unreachable(&[pattern("/guides/*", 1), template("/guides/*")], None);
    check_unreachable(&[pattern("/guides*", 1), template("/guides/*")], Some("/guides"));
    check_unreachable(&[pattern("/a/?*", 1), template("/a/{id}")], Some("/a/id"));
    check_unreachable(&[pattern("/a/?", 1), template("/a/{id}")], None);
    check_unreachable(
        &[pattern("*.css", 1), pattern("/static/*.css", 2)],
        Some("/static/.css"),
    );
    check_unreachable(&[pattern("*.css", 1), pattern("/static/*", 2)], None);
    let ordered = Claim {
        order: Some(1),
        ..template("/a/{id}/*")
    };
    check_unreachable(&[ordered.clone(), template("/a/{id}/x")], Some("/a/id/x"));
    check_unreachable(&[ordered, template("/a/*")], None);
}

#[test]
fn conditions_keep_the_routes_behind_them_reachable() {
    let get = || methods(&[Method::GET]);
    check_unreachable(&[with(pattern("*", 1), get()), template("/a")], None);
    check_unreachable(
        &[with(pattern("*", 1), get()), with(template("/a"), get())],
        Some("/a"),
    );
    check_unreachable(
        &[
            with(pattern("*", 1), get()),
            with(template("/a"), methods(&[Method::HEAD])),
        ],
        Some("/a"),
    );
    check_unreachable(
        &[
            with(pattern("*", 1), methods(&[Method::HEAD])),
            with(template("/a"), get()),
        ],
        None,
    );
    check_unreachable(&[on(pattern("*", 1), "a.example.com"), template("/a")], None);
    check_unreachable(
        &[
            on(pattern("*", 1), "*.example.com"),
            on(template("/a"), "a.example.com"),
        ],
        Some("/a"),
    );
    check_unreachable(
        &[
            on(pattern("*", 1), "a.example.com"),
            on(template("/a"), "*.example.com"),
        ],
        None,
    );
}

#[test]
fn a_pattern_that_no_canonical_path_fits_takes_nothing() {
    for text in ["/a//b", "/a/../b", "/./*", "//", "*/.."] {
        let (table, _) = Table::build(&[pattern(text, 1)]);
        assert_eq!(
            unreachable(&table),
            [Clash::Nothing { route: RouteId(0) }],
            "{text}"
        );
        assert_eq!(example_url(&PathRule::Pattern(text.to_owned())), text);
    }
}

#[track_caller]
fn check_outside(allowed: &[&str], claim: &PathRule, example: Option<&str>) {
    assert_eq!(outside(allowed, claim).as_deref(), example);
    if let [one] = allowed {
        assert_eq!(covers(one, claim), example.is_none());
    }
}

#[test]
fn a_claim_is_covered_when_all_its_paths_are_allowed() {
    let path = |text: &str| PathRule::Template(text.to_owned());
    let wild = |text: &str| PathRule::Pattern(text.to_owned());
    check_outside(&["/courses/*"], &path("/courses/{slug}"), None);
    check_outside(&["/courses/*"], &path("/courses"), None);
    check_outside(&["/courses/*"], &path("/courses/*"), None);
    check_outside(&["/courses/*"], &wild("/courses/*.css"), None);
    check_outside(&["/courses/*"], &wild("/courses*"), Some("/coursesz"));
    check_outside(&["/courses/*"], &path("/{a}/x"), Some("/z/x"));
    check_outside(&["/courses/{slug}"], &path("/courses/*"), Some("/courses"));
    check_outside(&["/courses/{slug}"], &path("/courses/new"), None);
    check_outside(&["/*.css"], &wild("/a/*.css"), None);
    check_outside(&["/a", "/a/", "/a/?*"], &path("/a/*"), None);
    check_outside(&["/a", "/a/?*"], &path("/a/*"), Some("/a/"));
    check_outside(&[], &path("/a"), Some("/a"));
    check_outside(&["not a path %"], &path("/a"), Some("/a"));
    check_outside(&["/*"], &path("/a*"), Some("/a*"));
}

#[test]
fn a_question_too_long_to_decide_is_answered_as_not_covered() {
    let allowed = format!("/*a{}", "?".repeat(40));
    let claim = PathRule::Pattern(format!("/*a{}", "?".repeat(20) + &"?".repeat(19) + "b*c"));
    assert!(outside(&[&allowed], &claim).is_some());
}

#[test]
fn a_claim_whose_paths_never_begin_with_a_prefix_is_known() {
    let path = |text: &str| PathRule::Template(text.to_owned());
    let wild = |text: &str| PathRule::Pattern(text.to_owned());
    for (claim, start, never) in [
        (path("/courses/*"), "/courses", false),
        (path("/courses"), "/courses", false),
        (path("/{any}/x"), "/courses", false),
        (path("/*"), "/courses", false),
        (path("/a/{x}"), "/a/b", false),
        (path("/coursesx/*"), "/courses", true),
        (path("/a/{x}"), "/a/b/c", true),
        (path("/{x}/b"), "/a/c", true),
        (wild("*.css"), "/static", false),
        (wild("/a*/x"), "/b", true),
        (wild("/a*"), "/a", false),
        (wild("/ab*"), "/a", true),
    ] {
        assert_eq!(never_starts_with(&claim, start), never, "{claim:?} {start}");
    }
}
