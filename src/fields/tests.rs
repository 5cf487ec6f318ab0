//! Fields behave as `http`'s map does, but for keeping the order of all lines.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{Fields, Key, Known, KnownSet, Received};

fn received(lines: &[(&str, &str)]) -> Fields {
    let text: String = lines
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = BytesMut::from(text.as_str());
    let mut noted = Received::with_capacity(lines.len());
    let mut at = 0;
    for (name, value) in lines {
        let value_at = at + name.len() + 2;
        noted
            .note(
                &head,
                &head[at..at + name.len()],
                &head[value_at..value_at + value.len()],
            )
            .unwrap();
        at = value_at + value.len() + 2;
    }
    noted.into_fields(head)
}

fn texts(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes())))
        .collect()
}

#[track_caller]
fn check(fields: &Fields, expected: &[(&str, &str)]) {
    let found = texts(fields);
    let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_came_is_found_in_order_whatever_its_case() {
    let fields = received(&[
        ("Host", "a"),
        ("X-Thing", "1"),
        ("COOKIE", "b"),
        ("x-thing", "2"),
        ("Empty", ""),
    ]);
    check(
        &fields,
        &[
            ("host", "a"),
            ("x-thing", "1"),
            ("cookie", "b"),
            ("x-thing", "2"),
            ("empty", ""),
        ],
    );
    assert_eq!(fields.get(Known::HOST).unwrap(), "a");
    let all: Vec<_> = fields
        .get_all("x-thing")
        .rev()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(all, ["2", "1"]);
    assert!(
        fields.contains_key(Known::COOKIE)
            && !fields.contains_key(Known::TE)
            && !fields.contains_key("other")
    );
}

#[test]
fn what_is_set_takes_the_place_of_what_came() {
    let mut fields = received(&[("via", "1.1 x"), ("a", "1"), ("via", "1.1 y")]);
    fields.insert(Known::VIA, "1.1 banyan");
    fields.append("b", "2");
    fields.append("b", "3");
    check(
        &fields,
        &[("a", "1"), ("via", "1.1 banyan"), ("b", "2"), ("b", "3")],
    );
    fields.remove("b");
    fields.remove(Known::VIA);
    check(&fields, &[("a", "1")]);
    assert!(!fields.contains_key(Known::VIA));
}

#[test]
fn a_value_that_would_break_the_head_is_never_set() {
    for bad in ["a\r\nb: c", "a\n", "\0", "\x7f"] {
        let mut fields = received(&[("location", "/")]);
        fields.insert(Known::LOCATION, bad);
        fields.append("other", bad);
        check(&fields, &[]);
    }
}

#[test]
fn names_are_taken_away_together() {
    let mut fields = received(&[("te", "trailers"), ("host", "a"), ("upgrade", "x"), ("zz", "1")]);
    fields.remove_all(KnownSet::of(&[Known::TE, Known::UPGRADE]));
    check(&fields, &[("host", "a"), ("zz", "1")]);
    assert!(!fields.present().has(Known::TE) && fields.present().has(Known::HOST));
}

#[test]
fn a_field_is_rewritten_in_its_place() {
    let mut fields = received(&[("Cookie", "ab"), ("host", "h"), ("cookie", "x")]);
    fields.append(Known::COOKIE, "cd");
    let reverse = |old: &[u8], new: &mut Vec<u8>| {
        if old != b"x" {
            new.extend(old.iter().rev());
        }
    };
    fields.rewrite(Known::COOKIE, reverse);
    check(&fields, &[("cookie", "ba"), ("host", "h"), ("cookie", "dc")]);
    fields.rewrite(Known::COOKIE, |_, _| {});
    check(&fields, &[("host", "h")]);
    assert!(!fields.contains_key(Known::COOKIE));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(&'static str, String),
    Append(&'static str, String),
    Remove(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["host", "cookie", "x-a", "x-b", "set-cookie", "te"]);
    prop_oneof![
        (name(), "[ -~]{0,12}").prop_map(|(name, value)| Step::Insert(name, value)),
        (name(), "[ -~]{0,12}").prop_map(|(name, value)| Step::Append(name, value)),
        name().prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn each_field_has_the_values_that_a_map_would_have(steps in prop::collection::vec(step(), 0..24)) {
        let (mut fields, mut map) = (received(&[("Host", "h"), ("X-A", "1")]), HeaderMap::new());
        map.insert("host", HeaderValue::from_static("h"));
        map.insert("x-a", HeaderValue::from_static("1"));
        for step in &steps {
            match step {
                Step::Insert(name, value) => {
                    fields.insert(*name, value);
                    map.insert(*name, HeaderValue::from_str(value).unwrap());
                }
                Step::Append(name, value) => {
                    fields.append(*name, value);
                    map.append(*name, HeaderValue::from_str(value).unwrap());
                }
                Step::Remove(name) => {
                    fields.remove(*name);
                    map.remove(*name);
                }
            }
        }
        prop_assert_eq!(fields.to_map(), map.clone());
        prop_assert_eq!(fields.len(), map.len());
        for name in map.keys().map(HeaderName::as_str).chain(["absent"]) {
            prop_assert_eq!(fields.contains_key(name), map.contains_key(name));
            prop_assert_eq!(Key::known(name).is_some_and(|known| fields.present().has(known)), Key::known(name).is_some() && map.contains_key(name));
        }
        prop_assert_eq!(Fields::from(&map).to_map(), map);
    }
}
