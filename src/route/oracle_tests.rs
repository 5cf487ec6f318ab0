//! The fast table agrees with a plain scan over all claims, written straight from the design.

use std::cmp::Ordering;

use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;

use super::{Claim, Conditions, PathRule, Probe, Table, ValueTest, example_url, tests};

// === the plain scan ===

fn takes_path(rule: &PathRule, path: &str) -> bool {
    match rule {
        PathRule::Pattern(text) => {
            let text = text.strip_prefix('/').unwrap_or(text);
            wild(text.as_bytes(), &path.as_bytes()[1..])
        }
        PathRule::Template(text) => {
            let mut wanted = text[1..].split('/');
            let mut given = path[1..].split('/');
            loop {
                match (wanted.next(), given.next()) {
                    (Some("*"), _) | (None, None) => return true,
                    (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => {}
                    (Some(text), Some(segment)) if text == segment => {}
                    _ => return false,
                }
            }
        }
    }
}

fn wild(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => wild(rest, text) || (!text.is_empty() && wild(pattern, &text[1..])),
        (Some((b'?', rest)), Some((_, left))) => wild(rest, left),
        (Some((a, rest)), Some((b, left))) => a == b && wild(rest, left),
        _ => false,
    }
}

fn holds(test: &ValueTest, value: Option<&str>) -> bool {
    match (test, value) {
        (ValueTest::Present, value) => value.is_some(),
        (ValueTest::Absent, value) => value.is_none(),
        (_, None) => false,
        (ValueTest::Like(text), Some(value)) => wild(text.as_bytes(), value.as_bytes()),
        (ValueTest::OneOf(list), Some(value)) => {
            list.iter().any(|text| wild(text.as_bytes(), value.as_bytes()))
        }
    }
}

fn takes(claim: &Claim, ask: &Ask) -> bool {
    let host = |wanted: &String| match wanted.strip_prefix('*') {
        Some(end) => ask.host.ends_with(end) && !ask.host[..ask.host.len() - end.len()].contains('.'),
        None => *wanted == ask.host,
    };
    let methods = &claim.conditions.methods;
    takes_path(&claim.path, &ask.path)
        && (claim.hosts.is_empty() || claim.hosts.iter().any(host))
        && (methods.is_empty()
            || methods.contains(&ask.method)
            || (ask.method == Method::HEAD && methods.contains(&Method::GET)))
        && claim
            .conditions
            .headers
            .iter()
            .all(|(_, test)| holds(test, ask.header.as_deref()))
        && claim
            .conditions
            .query
            .iter()
            .all(|(_, test)| holds(test, ask.query.as_deref()))
        && claim
            .conditions
            .cookies
            .iter()
            .all(|(_, test)| holds(test, ask.cookie.as_deref()))
}

fn more_specific(a: &str, b: &str) -> Ordering {
    let kind = |segment: Option<&str>| match segment {
        None => 0,
        Some("*") => 2,
        Some(name) if name.starts_with('{') => 1,
        Some(_) => 0,
    };
    let (mut a, mut b) = (a[1..].split('/'), b[1..].split('/'));
    loop {
        let (x, y) = (a.next(), b.next());
        match kind(x).cmp(&kind(y)) {
            Ordering::Equal if x.is_none() && y.is_none() => return Ordering::Equal,
            Ordering::Equal => {}
            other => return other,
        }
    }
}

fn asks(claim: &Claim) -> (usize, bool) {
    let c = &claim.conditions;
    let count = usize::from(!claim.hosts.is_empty())
        + usize::from(!c.methods.is_empty())
        + c.headers.len()
        + c.query.len()
        + c.cookies.len();
    let exact = !claim.hosts.is_empty() && !claim.hosts.iter().any(|host| host.starts_with('*'));
    (count, exact)
}

/// Before or after: `a` is tried first when `Less`.
fn precedence(a: &Claim, b: &Claim) -> Ordering {
    match (a.order, b.order) {
        (Some(x), Some(y)) => x.cmp(&y),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => more_specific(a.path.as_str(), b.path.as_str()),
    }
    .then_with(|| asks(b).cmp(&asks(a)))
}

fn scan(claims: &[Claim], ask: &Ask) -> Option<usize> {
    (0..claims.len())
        .filter(|at| takes(&claims[*at], ask))
        .min_by(|a, b| precedence(&claims[*a], &claims[*b]).then(a.cmp(b)))
}

// === random sites and requests ===

#[derive(Debug, Clone)]
struct Ask {
    host: String,
    method: Method,
    path: String,
    query: Option<String>,
    header: Option<String>,
    cookie: Option<String>,
}

fn template() -> impl Strategy<Value = String> {
    let segment = prop_oneof![3 => "[ab]", 2 => Just("{}".to_owned())];
    (proptest::collection::vec(segment, 0..4), 0..3_u8).prop_map(|(segments, end)| {
        let mut text = String::new();
        for (at, segment) in segments.iter().enumerate() {
            text.push('/');
            text.push_str(&segment.replace("{}", &format!("{{p{at}}}")));
        }
        match end {
            0 => text.push_str("/*"),
            1 => text.push('/'),
            _ if text.is_empty() => text.push('/'),
            _ => {}
        }
        text
    })
}

fn value_test() -> impl Strategy<Value = ValueTest> {
    prop_oneof![
        Just(ValueTest::Present),
        Just(ValueTest::Absent),
        "[12?*]{1,2}".prop_map(ValueTest::Like),
        proptest::collection::vec("[12]", 1..3).prop_map(ValueTest::OneOf),
    ]
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let some = || proptest::option::weighted(0.2, value_test());
    let methods = proptest::sample::subsequence(vec![Method::GET, Method::POST, Method::HEAD], 0..3);
    (methods, proptest::bool::weighted(0.3), some(), some(), some()).prop_map(
        |(methods, by_method, header, query, cookie)| Conditions {
            methods: if by_method { methods } else { Vec::new() },
            headers: header
                .map(|test| ("x-h".parse().unwrap(), test))
                .into_iter()
                .collect(),
            query: query.map(|test| ("q".to_owned(), test)).into_iter().collect(),
            cookies: cookie.map(|test| ("c".to_owned(), test)).into_iter().collect(),
        },
    )
}

fn one_claim() -> impl Strategy<Value = Claim> {
    let rule = prop_oneof![
        5 => (template(), proptest::option::weighted(0.3, 0..4))
            .prop_map(|(text, order)| (PathRule::Template(text), order)),
        2 => ("[ab/*?.]{1,6}", 0..4).prop_map(|(text, order)| (PathRule::Pattern(text), Some(order))),
    ];
    let hosts = prop_oneof![
        4 => Just(vec![]),
        1 => Just(vec!["www.e.com".to_owned()]),
        1 => Just(vec!["*.e.com".to_owned(), "e.com".to_owned()]),
    ];
    (rule, hosts, conditions()).prop_map(|((path, order), hosts, conditions)| Claim {
        hosts,
        conditions,
        ..tests::claim(path, order)
    })
}

fn path() -> impl Strategy<Value = String> {
    (proptest::collection::vec("[abc]|ab|a\\.b", 0..5), any::<bool>()).prop_map(|(segments, slash)| {
        let end = if slash || segments.is_empty() { "/" } else { "" };
        segments
            .iter()
            .map(|segment| format!("/{segment}"))
            .collect::<String>()
            + end
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let value = || proptest::option::of("[123]{1,2}");
    let hosts = prop_oneof![
        Just("www.e.com"),
        Just("e.com"),
        Just("a.e.com"),
        Just("a.b.e.com")
    ];
    let methods = prop_oneof![
        Just(Method::GET),
        Just(Method::POST),
        Just(Method::HEAD),
        Just(Method::PUT)
    ];
    (hosts, methods, path(), value(), value(), value()).prop_map(
        |(host, method, path, query, header, cookie)| Ask {
            host: host.to_owned(),
            method,
            path,
            query,
            header,
            cookie,
        },
    )
}

fn find(table: &Table, ask: &Ask) -> Option<usize> {
    let mut headers = HeaderMap::new();
    if let Some(value) = &ask.header {
        headers.insert("x-h", HeaderValue::from_str(value).unwrap());
    }
    if let Some(value) = &ask.cookie {
        headers.insert(
            "cookie",
            HeaderValue::from_str(&format!("z=1; c={value}")).unwrap(),
        );
    }
    let query = ask.query.as_ref().map(|value| format!("z=1&q={value}"));
    let probe = Probe {
        host: &ask.host,
        method: &ask.method,
        path: &ask.path,
        query: query.as_deref(),
        headers: &headers.into(),
    };
    table.find(&probe).map(|found| found.route.index())
}

/// The routes that may take a request of whose fields nothing is known.
fn may_take(table: &Table, ask: &Ask) -> Vec<usize> {
    let query = ask.query.as_ref().map(|value| format!("z=1&q={value}"));
    let probe = Probe {
        host: &ask.host,
        method: &ask.method,
        path: &ask.path,
        query: query.as_deref(),
        headers: &HeaderMap::new().into(),
    };
    let mut may = Vec::new();
    table.may_take(&probe, |route| may.push(route.index()));
    may
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_table_agrees_with_a_plain_scan(
        claims in proptest::collection::vec(one_claim(), 0..16),
        asks in proptest::collection::vec(ask(), 40),
    ) {
        let (table, _) = Table::build(&claims);
        for ask in asks {
            prop_assert_eq!(find(&table, &ask), scan(&claims, &ask), "{:?}", ask);
        }
    }

    #[test]
    fn many_templates_agree_with_a_plain_scan(
        texts in proptest::collection::vec(template(), 0..40),
        asks in proptest::collection::vec(ask(), 40),
    ) {
        let claims: Vec<Claim> = texts.iter().map(|text| tests::template(text)).collect();
        let (table, _) = Table::build(&claims);
        for ask in asks {
            prop_assert_eq!(find(&table, &ask), scan(&claims, &ask), "{:?}", ask);
        }
    }

    #[test]
    fn routes_are_listed_in_the_order_in_which_they_are_tried(
        claims in proptest::collection::vec(one_claim(), 0..16),
        asks in proptest::collection::vec(ask(), 40),
    ) {
        let (table, _) = Table::build(&claims);
        let listed = table.in_order_of_trial();
        for ask in asks {
            let taking = (0..claims.len()).filter(|at| takes(&claims[*at], &ask));
            let rank = |at: &usize| listed.iter().position(|id| id.index() == *at).unwrap_or(usize::MAX);
            prop_assert_eq!(find(&table, &ask), taking.min_by_key(rank), "{:?}", ask);
        }
    }

    #[test]
    fn whatever_fields_a_request_brings_its_route_is_one_that_may_take_it(
        claims in proptest::collection::vec(one_claim(), 0..16),
        asks in proptest::collection::vec(ask(), 40),
    ) {
        let (table, _) = Table::build(&claims);
        for ask in asks {
            let may = may_take(&table, &ask);
            let values = [None, Some("1".to_owned()), Some("23".to_owned()), ask.header.clone(), ask.cookie.clone()];
            for header in &values {
                for cookie in &values {
                    let brings = Ask { header: header.clone(), cookie: cookie.clone(), ..ask.clone() };
                    let found = scan(&claims, &brings);
                    prop_assert!(found.is_none_or(|found| may.contains(&found)), "{:?} {:?}", brings, may);
                }
            }
            let fits = |at: &usize| scan(&claims[*at..=*at], &ask).is_some();
            let open = |at: &usize| claims[*at].conditions.headers.is_empty() && claims[*at].conditions.cookies.is_empty();
            let last = may.iter().position(open);
            prop_assert!(last.is_none_or(|last| last + 1 == may.len() && fits(&may[last])), "{:?} {:?}", ask, may);
        }
    }

    #[test]
    fn an_example_is_taken_by_its_own_rule(claim in one_claim()) {
        let example = example_url(&claim.path);
        let canonical = super::canonical(&example, super::EncodedSlash::Refuse);
        if canonical.as_deref() == Ok(example.as_str()) {
            prop_assert!(takes_path(&claim.path, &example), "{}", example);
        } else {
            prop_assert_eq!(example, claim.path.as_str());
        }
    }

    #[test]
    fn clashes_are_never_false_alarms(
        claims in proptest::collection::vec(one_claim(), 0..12),
        asks in proptest::collection::vec(ask(), 60),
    ) {
        let (table, mut clashes) = Table::build(&claims);
        clashes.extend(super::unreachable(&table));
        let at = |id: &super::RouteId| &claims[id.index()];
        for clash in &clashes {
            match clash {
                super::Clash::Equal { first, second, example } => {
                    prop_assert!(takes_path(&at(first).path, example), "{:?}", clash);
                    prop_assert!(takes_path(&at(second).path, example), "{:?}", clash);
                    prop_assert_eq!(precedence(at(first), at(second)), Ordering::Equal);
                }
                super::Clash::Unreachable { route, by, example } => {
                    prop_assert!(takes_path(&at(route).path, example), "{:?}", clash);
                    prop_assert!(takes_path(&at(by).path, example), "{:?}", clash);
                    for ask in &asks {
                        prop_assert!(find(&table, ask) != Some(route.index()), "{:?} {:?}", clash, ask);
                    }
                }
                super::Clash::Nothing { route } => {
                    for ask in &asks {
                        prop_assert!(!takes_path(&at(route).path, &ask.path), "{:?} {:?}", clash, ask);
                    }
                }
                super::Clash::NoOrder { .. } | super::Clash::Wrong { .. } | super::Clash::TooLarge { .. } => prop_assert!(false, "{:?}", clash),
            }
        }
    }

    #[test]
    fn what_is_covered_is_never_outside(
        allowed in proptest::collection::vec(one_claim(), 0..3),
        claim in one_claim(),
        asks in proptest::collection::vec(ask(), 60),
    ) {
        let texts: Vec<&str> = allowed.iter().map(|claim| claim.path.as_str()).collect();
        let inside = |path: &str| texts.iter().any(|text| {
            let template = PathRule::Template((*text).to_owned());
            let rule = match super::Template::parse(text) {
                Ok(_) => template,
                Err(_) => PathRule::Pattern((*text).to_owned()),
            };
            takes_path(&rule, path)
        });
        match super::outside(&texts, &claim.path) {
            None => for ask in &asks {
                prop_assert!(!takes_path(&claim.path, &ask.path) || inside(&ask.path), "{:?}", ask);
            },
            Some(example) => {
                prop_assert!(takes_path(&claim.path, &example), "{}", example);
                prop_assert!(!inside(&example), "{}", example);
            }
        }
    }
}
