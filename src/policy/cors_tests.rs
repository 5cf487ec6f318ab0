//! Origins as the table says, and what a preflight may ask at all.

use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::{ASKED_NAMES_MAX, Announced, Origin};
use crate::fields::Fields;

#[test]
fn origins_are_taken_as_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables/response/origins.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        rows += 1;
        let [entry, asked, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line:?}");
        };
        let got = match (Origin::parse(entry), asked) {
            (Err(reason), "!") => reason,
            (Err(reason), _) => panic!("{entry:?} {reason}"),
            (Ok(origin), asked) => match origin.takes(asked) {
                true => "yes",
                false => "no",
            },
        };
        if got != expected {
            wrong.push(format!("{line}: {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows >= 80, "only {rows} rows");
}

proptest! {
    #[test]
    fn what_is_taken_below_a_name_is_a_name_below_it(asked in "https://[a-zA-Z0-9.:/?#@\\\\%_ -]{0,12}(\\.example\\.org|example\\.org)[a-z.:/0-9]{0,3}") {
        let origin = Origin::parse("https://*.example.org").unwrap();
        if origin.takes(&asked) {
            let host = asked.strip_prefix("https://").unwrap();
            prop_assert!(host.ends_with(".example.org") && host.len() > ".example.org".len());
            prop_assert!(host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b)), "{host}");
        }
    }

    #[test]
    fn an_origin_that_is_read_is_written_and_read_again_as_the_same(text in "(https?|app)://(\\*\\.)?[a-zA-Z0-9-]{1,8}(\\.[a-z]{1,5}){0,2}(:[0-9]{1,5})?") {
        if let Ok(origin) = Origin::parse(&text) {
            prop_assert_eq!(Origin::parse(&origin.to_string()), Ok(origin));
        }
    }
}

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        fields.append(&name, HeaderValue::from_str(value).unwrap());
    }
    fields
}

#[track_caller]
fn check(method: &Method, list: &[(&str, &str)], expected: Option<(&str, Option<&[&str]>)>) {
    let fields = fields(list);
    let announced = Announced::read(method, &fields);
    let got = announced
        .as_ref()
        .map(|announced| (announced.method.as_str(), announced.names.as_deref()));
    assert_eq!(got, expected, "{method} {list:?}");
}

#[test]
fn a_preflight_is_told_from_every_other_options() {
    const FROM: (&str, &str) = ("origin", "https://a.example");
    const METHOD: (&str, &str) = ("access-control-request-method", "PUT");
    let options = Method::OPTIONS;
    check(&options, &[FROM, METHOD], Some(("PUT", Some(&[]))));
    check(&options, &[METHOD], None);
    check(&options, &[FROM], None);
    check(&Method::GET, &[FROM, METHOD], None);
    check(&options, &[FROM, ("access-control-request-method", "a b")], None);
    check(&options, &[FROM, ("access-control-request-method", "")], None);
    check(&options, &[FROM, METHOD, METHOD], None);
    let two = [FROM, FROM, METHOD];
    check(&options, &two, Some(("PUT", Some(&[]))));
    assert_eq!(
        Announced::read(&options, &fields(&two)).unwrap().origin,
        None,
        "which of them?"
    );
}

#[test]
fn the_names_that_a_preflight_asks_for_are_tokens_and_not_too_many() {
    const FROM: (&str, &str) = ("origin", "https://a.example");
    const METHOD: (&str, &str) = ("access-control-request-method", "PUT");
    let ask = |names: &str, expected: Option<&[&str]>| {
        let list = [FROM, METHOD, ("access-control-request-headers", names)];
        check(&Method::OPTIONS, &list, Some(("PUT", expected)));
    };
    ask("content-type", Some(&["content-type"]));
    ask("a,b ,, c", Some(&["a", "b", "c"]));
    ask("", Some(&[]));
    ask("a b", None);
    ask("a;b", None);
    ask("a, \"b\"", None);
    let many = vec!["a"; ASKED_NAMES_MAX];
    ask(&many.join(","), Some(&many));
    ask(&format!("{},a", many.join(",")), None);
    let two = [
        FROM,
        METHOD,
        ("access-control-request-headers", "a"),
        ("access-control-request-headers", "b"),
    ];
    check(&Method::OPTIONS, &two, Some(("PUT", Some(&["a", "b"]))));
}
