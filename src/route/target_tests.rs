//! The canonical form, by table and by law.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{EncodedSlash, canonical, has_encoded_slash, split_target};

#[test]
fn each_path_in_the_table_has_its_canonical_form_or_its_refusal() {
    let rows = crate::route::tests::rows("canonical_paths.tsv");
    assert!(rows.len() > 100, "only {} rows", rows.len());
    for row in rows {
        let opt = match row.get(2).map(String::as_str) {
            Some("keep") => EncodedSlash::Keep,
            _ => EncodedSlash::Refuse,
        };
        let seen = match canonical(&row[0], opt) {
            Ok(path) => path.into_owned(),
            Err(why) => format!("!{}", why.as_str()),
        };
        assert_eq!(seen, row[1], "{:?}", row[0]);
    }
}

#[test]
fn a_canonical_path_is_borrowed() {
    for path in ["/", "/a/b/", "/kr/%EA%B0%95", "/.a/..b/..."] {
        assert!(
            matches!(canonical(path, EncodedSlash::Refuse), Ok(Cow::Borrowed(same)) if same == path),
            "{path}"
        );
    }
    assert!(matches!(
        canonical("/a%2Fb", EncodedSlash::Keep),
        Ok(Cow::Borrowed(_))
    ));
}

#[test]
fn raw_control_characters_are_refused() {
    for byte in (1..0x20).chain([0x7f]) {
        let path = format!("/a{}b", char::from(byte));
        assert_eq!(
            canonical(&path, EncodedSlash::Keep).unwrap_err().as_str(),
            "control_character"
        );
    }
    assert_eq!(canonical("/\0", EncodedSlash::Keep).unwrap_err().as_str(), "nul");
}

#[test]
fn an_escaped_slash_is_seen() {
    assert!(has_encoded_slash("/a%2Fb") && has_encoded_slash("/%5C") && !has_encoded_slash("/a/b%20"));
}

#[test]
fn a_target_is_split_at_its_first_question_mark() {
    assert_eq!(split_target("/a?b=c?d"), ("/a", Some("b=c?d")));
    assert_eq!(split_target("/a?"), ("/a", Some("")));
    assert_eq!(split_target("/a"), ("/a", None));
}

fn paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-c]".prop_map(String::from),
        Just("/".to_owned()),
        Just(".".to_owned()),
        Just("%2e".to_owned()),
        Just("%2F".to_owned()),
        Just("%5c".to_owned()),
        Just("%61".to_owned()),
        Just("%ea".to_owned()),
        Just(";".to_owned()),
        any::<char>().prop_map(String::from),
        "%[0-9a-fA-F]{2}".prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn a_canonical_path_is_its_own_canonical_form(path in paths(), keep in any::<bool>()) {
        let opt = if keep { EncodedSlash::Keep } else { EncodedSlash::Refuse };
        if let Ok(once) = canonical(&path, opt) {
            let twice = canonical(&once, opt).unwrap();
            prop_assert!(matches!(twice, Cow::Borrowed(_)), "{path:?} -> {once:?}");
            prop_assert_eq!(&*twice, &*once);
            prop_assert!(once.is_ascii() && !once.contains("//"), "{once:?}");
            prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."), "{once:?}");
        }
    }

    #[test]
    fn what_is_kept_only_adds_to_what_is_taken(path in paths()) {
        if let Ok(strict) = canonical(&path, EncodedSlash::Refuse) {
            prop_assert_eq!(strict, canonical(&path, EncodedSlash::Keep).unwrap());
        }
    }
}
