//! Lists applied: tables, and what holds for every list and every request.

use std::collections::BTreeMap;

use http::{Method, Version};
use proptest::prelude::*;

use super::{BadName, Forward, Names, Of, Which, names, query};
use crate::{
    fields::{Fields, Known},
    message::Head,
};

/// The rows of `tests/tables/forward/<name>`, split at tabs, without comments.
fn table(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/tests/tables/forward/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let rows = text
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.is_empty());
    rows.map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// `all`, `none`, `only a b*`, `except a b*`.
fn which(of: Of, text: &str) -> Which {
    let (word, list) = text.split_once(' ').unwrap_or((text, ""));
    let names = || Names::compile(of, &list.split(' ').collect::<Vec<_>>()).unwrap();
    match word {
        "all" => Which::All,
        "none" => Which::Nothing,
        "only" => Which::Only(names()),
        "except" => Which::Except(names()),
        other => panic!("{other}"),
    }
}

fn forward(of: Of, which: Which) -> Forward {
    let mut forward = Forward {
        headers: Which::All,
        cookies: Which::All,
        query: Which::All,
    };
    match of {
        Of::Headers => forward.headers = which,
        Of::Cookies => forward.cookies = which,
        Of::Query => forward.query = which,
    }
    forward
}

fn head(target: &str, fields: &[(&str, &str)]) -> Head {
    let mut headers = Fields::new();
    for (name, value) in fields {
        headers.append(*name, value);
    }
    Head::new(Method::GET, target, Version::HTTP_11, headers)
}

/// `Cookie` fields after a list has been applied to them.
fn cookies_after(which: Which, before: &[&str]) -> Vec<String> {
    let fields: Vec<_> = before.iter().map(|value| ("cookie", *value)).collect();
    let mut head = head("/?cookie=1", &fields);
    head.headers.append("x-other", "kept");
    forward(Of::Cookies, which).apply(&mut head);
    assert_eq!(
        (head.target(), head.headers.get("x-other").unwrap().as_bytes()),
        ("/?cookie=1", &b"kept"[..])
    );
    let left = head.headers.get_all(Known::COOKIE);
    left.map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn target_after(which: Which, before: &str) -> String {
    let mut head = head(before, &[("cookie", "a=1")]);
    forward(Of::Query, which).apply(&mut head);
    assert_eq!(head.headers.get(Known::COOKIE).unwrap(), "a=1");
    head.target().to_owned()
}

#[test]
fn header_fields_pass_as_the_table_says() {
    let rows = table("headers.tsv");
    assert!(rows.len() >= 80, "only {} rows", rows.len());
    let of = Of::Headers;
    for row in rows {
        let [name, none, only, except] = row.as_slice() else {
            panic!("{row:?}")
        };
        let written = name.to_ascii_uppercase();
        let lists = [
            (which(of, "none"), none),
            (which(of, "only x-nothing-like-it"), none),
            (which(of, &format!("only {written}")), only),
            (
                which(of, &format!("only {}*", &written[..written.len() - 1])),
                only,
            ),
            (which(of, &format!("except {written}")), except),
            (which(of, "except *"), except),
            (which(of, "except x-nothing-like-it"), &"pass".to_owned()),
        ];
        for (which, expected) in lists {
            let said = which.to_string();
            let mut head = head("/", &[(name, "1"), (name, "2")]);
            forward(of, which).apply(&mut head);
            let left: Vec<_> = head
                .headers
                .get_all(name.as_str())
                .map(|value| value.to_str().unwrap())
                .collect();
            let expected = match expected.as_str() {
                "pass" => vec!["1", "2"],
                "gone" => vec![],
                other => vec![other],
            };
            assert_eq!(left, expected, "{name} under {said}");
        }
    }
}

#[test]
fn a_backend_is_told_of_no_encoding_that_the_visitor_did_not_name() {
    let mut head = head("/", &[("x-tenant", "1")]);
    forward(Of::Headers, Which::Nothing).apply(&mut head);
    let left: Vec<_> = head
        .headers
        .iter()
        .map(|(name, _)| name.as_str().to_owned())
        .collect();
    assert_eq!(left, ["user-agent"]);
}

#[test]
fn cookies_pass_as_the_table_says() {
    let rows = table("cookies.tsv");
    assert!(rows.len() >= 40, "only {} rows", rows.len());
    for row in rows {
        let [list, before, after] = row.as_slice() else {
            panic!("{row:?}")
        };
        let fields = |text: &str| -> Vec<String> {
            let fields = text.split(" | ").filter(|field| *field != "-");
            fields.map(str::to_owned).collect()
        };
        let before = fields(before);
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        assert_eq!(
            cookies_after(which(Of::Cookies, list), &before),
            fields(after),
            "{row:?}"
        );
    }
}

#[test]
fn query_parameters_pass_as_the_table_says() {
    let rows = table("query.tsv");
    assert!(rows.len() >= 40, "only {} rows", rows.len());
    for row in rows {
        let [list, before, after] = row.as_slice() else {
            panic!("{row:?}")
        };
        assert_eq!(&target_after(which(Of::Query, list), before), after, "{row:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_pass_whole() {
    let mut head = head("/", &[]);
    head.headers.insert(Known::COOKIE, b"b=\xff; a=\xfe\xff; \xff=1");
    let names = Names::compile(Of::Cookies, &["a", "b"]).unwrap();
    forward(Of::Cookies, Which::Only(names)).apply(&mut head);
    assert_eq!(
        head.headers.get(Known::COOKIE).unwrap().as_bytes(),
        b"a=\xfe\xff; b=\xff"
    );
}

#[track_caller]
fn refused(of: Of, name: &str, bad: BadName) {
    assert_eq!(Names::compile(of, &["good", name]), Err((1, bad)), "{name:?}");
}

#[test]
fn names_that_nothing_could_have_are_refused() {
    for of in [Of::Headers, Of::Cookies, Of::Query] {
        refused(of, "", BadName::Length);
        refused(of, &"a".repeat(names::NAME_BYTES_MAX + 1), BadName::Length);
        refused(
            of,
            &("a".repeat(names::WILD_CHARACTERS_MAX + 1) + "*"),
            BadName::WildLength,
        );
        assert!(Names::compile(of, &["?".repeat(names::WILD_CHARACTERS_MAX)]).is_ok());
        assert!(Names::compile(of, &["a".repeat(names::NAME_BYTES_MAX)]).is_ok());
        for bad in [' ', '=', '\n'] {
            refused(of, &format!("a{bad}"), BadName::Character(bad));
        }
    }
    refused(Of::Headers, "x:y", BadName::Character(':'));
    refused(Of::Headers, "x-ä", BadName::Character('ä'));
    refused(Of::Cookies, "a;b", BadName::Character(';'));
    refused(Of::Query, "a&b", BadName::Character('&'));
    refused(Of::Query, "a#", BadName::Character('#'));
}

#[test]
fn lists_have_bounds() {
    let many =
        |count: usize, end: &str| -> Vec<String> { (0..count).map(|at| format!("n{at}{end}")).collect() };
    for of in [Of::Headers, Of::Cookies, Of::Query] {
        let compile = |list: &[String]| Names::compile(of, list).map(|_| ());
        assert_eq!(compile(&many(names::NAMES_MAX, "")), Ok(()));
        assert_eq!(
            compile(&many(names::NAMES_MAX + 1, "")),
            Err((names::NAMES_MAX, BadName::TooMany))
        );
        assert_eq!(compile(&many(names::WILD_NAMES_MAX, "*")), Ok(()));
        let wild = names::WILD_NAMES_MAX;
        assert_eq!(compile(&many(wild + 1, "?")), Err((wild, BadName::TooMany)));
    }
}

#[test]
fn a_list_costs_next_to_no_memory() {
    let list = Forward {
        headers: which(Of::Headers, "only accept x-tenant x-app-*"),
        cookies: which(Of::Cookies, "only session ab_*"),
        query: which(Of::Query, "except utm_*"),
    };
    let fields = [
        ("accept", "text/html"),
        ("accept-encoding", "br"),
        ("user-agent", "x"),
        ("x-app-version", "7"),
        (
            "cookie",
            "theme=dark; session=0123456789abcdef; ab_cart=b; _ga=GA1.1.1",
        ),
    ];
    let count = |target: &str| {
        let mut head = head(target, &fields);
        allocation_counter::measure(|| list.apply(&mut head)).count_total
    };
    assert_eq!(count("/?page=2"), 0, "nothing of the query goes");
    assert!(
        count("/?page=2&utm_source=x") <= 4,
        "what is left of the query, and the new target"
    );
}

#[test]
fn explain_names_what_is_left_out_and_never_a_value() {
    let list = Forward {
        headers: which(Of::Headers, "only accept"),
        cookies: which(Of::Cookies, "none"),
        query: which(Of::Query, "except utm_*"),
    };
    let head = head(
        "/",
        &[
            ("accept", "a"),
            ("x-key", "secret"),
            ("accept-encoding", "br"),
            ("cookie", "a=secret; secret; b=1; a=2"),
        ],
    );
    let told = list.told(
        &head.headers,
        Some("utm_source=secret&page=secret&utm_source=secret"),
    );
    let told: Vec<String> = told
        .into_iter()
        .map(|(part, what)| format!("{part} {what}"))
        .collect();
    assert_eq!(
        told,
        [
            "headers only accept (not x-key, accept-encoding); User-Agent becomes Banyan; Accept-Encoding becomes identity",
            "cookies none (not a, one without a name, b); Set-Cookie is taken out of the answer",
            "query all but utm_* (not utm_source)",
        ]
    );
}

/// A plain reading of `*` and `?`.
fn fits(wild: &[u8], name: &[u8]) -> bool {
    match (wild.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if fits(rest, name) => true,
        (Some((b'*', _)), Some((_, after))) => fits(wild, after),
        (Some((b'?', rest)), Some((_, after))) => fits(rest, after),
        (Some((a, rest)), Some((b, after))) if a == b => fits(rest, after),
        _ => false,
    }
}

/// Few letters, so that names meet.
fn name_like() -> impl Strategy<Value = String> {
    "[ab_*?]{1,6}"
}

fn cookie_like() -> impl Strategy<Value = String> {
    "[ab_]{0,4}(=[ab=\" %,]{0,4})?[ ]?|[ -~&&[^;]]{0,8}"
}

fn list() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(name_like(), 1..5)
}

fn pieces(text: &str) -> Vec<String> {
    let pieces = text.split(';').map(|piece| piece.trim_matches(' ').to_owned());
    pieces.filter(|piece| !piece.is_empty()).collect()
}

fn name_of(piece: &str) -> &str {
    piece.split('=').next().unwrap_or_default().trim_end_matches(' ')
}

fn counts(pieces: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for piece in pieces {
        *counts.entry(piece).or_default() += 1;
    }
    counts
}

proptest! {
    #[test]
    fn wildcards_mean_what_they_say(wild in name_like(), name in "[ab_]{0,8}") {
        let names = Names::compile(Of::Cookies, &[&wild]).unwrap();
        prop_assert_eq!(names.has(name.as_bytes()), fits(wild.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn cookies_that_pass_are_those_that_came_sorted_and_whole(list in list(), fields in prop::collection::vec(prop::collection::vec(cookie_like(), 0..6), 0..3)) {
        let fields: Vec<String> = fields.iter().map(|pieces| pieces.join(";")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let came: Vec<String> = fields.iter().flat_map(|field| pieces(field)).collect();
        let names = Names::compile(Of::Cookies, &list).unwrap();
        let listed = |piece: &String| list.iter().any(|wild| fits(wild.as_bytes(), name_of(piece).as_bytes()));
        for (which, lets) in [(Which::Only(names.clone()), true), (Which::Except(names), false)] {
            let left = cookies_after(which, &fields);
            prop_assert!(left.len() <= 1, "one field: {:?}", left);
            let left: Vec<String> = left.iter().flat_map(|field| pieces(field)).collect();
            // a stable sort of what passes: nothing invented, nothing split, those of one name in order
            let mut expected: Vec<String> = came.iter().filter(|piece| listed(piece) == lets).cloned().collect();
            expected.sort_by(|a, b| name_of(a).as_bytes().cmp(name_of(b).as_bytes()));
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn only_and_except_share_all_cookies_between_them(list in list(), field in prop::collection::vec(cookie_like(), 0..8)) {
        let field = field.join(";");
        let names = Names::compile(Of::Cookies, &list).unwrap();
        let of = |which| cookies_after(which, &[&field]).iter().flat_map(|left| pieces(left)).collect::<Vec<_>>();
        let both = of(Which::Only(names.clone())).into_iter().chain(of(Which::Except(names)));
        prop_assert_eq!(counts(both), counts(pieces(&field)));
    }

    #[test]
    fn what_is_left_of_a_query_is_parts_of_it_in_order(list in prop::collection::vec("[ab%62*?]{1,5}", 1..5), text in "[ab%612=&+;?]{0,24}") {
        let names = Names::compile(Of::Query, &list).unwrap();
        let only = Which::Only(names.clone());
        let except = Which::Except(names);
        for which in [&only, &except] {
            let left = query::kept(which, &text);
            let mut rest = text.split('&');
            for parameter in left.as_deref().into_iter().flat_map(|left| left.split('&')) {
                prop_assert!(rest.any(|came| came == parameter), "{parameter:?} of {left:?} did not come so");
            }
            // and once more changes nothing
            if let Some(left) = &left {
                let again = query::kept(which, left);
                prop_assert_eq!(again.as_deref(), Some(&**left));
            }
        }
        let of = |which| {
            let left = query::kept(which, &text).map(|left| left.into_owned());
            left.map_or_else(Vec::new, |left| left.split('&').map(str::to_owned).collect::<Vec<_>>())
        };
        prop_assert_eq!(counts(of(&only).into_iter().chain(of(&except))), counts(text.split('&').map(str::to_owned)));
    }
}
