//! Patterns, by the table that was computed from AWS's documentation.

use super::Pattern;
use crate::route::{EncodedSlash, canonical, split_target};

#[test]
fn each_pattern_in_the_table_takes_what_cloudfront_takes() {
    let rows = crate::route::tests::rows("cloudfront_patterns.tsv");
    assert_eq!(rows.len(), 54);
    for row in rows {
        let (path, _) = split_target(&row[1]);
        let pattern = Pattern::parse(&row[0]).unwrap();
        let seen = match canonical(path, EncodedSlash::Refuse) {
            Ok(path) if pattern.takes(&path) => "yes",
            Ok(_) => "no",
            Err(_) => "refused",
        };
        assert_eq!(seen, row[2], "{} {}", row[0], row[1]);
    }
}

#[test]
fn an_encoded_slash_that_is_kept_separates_nothing() {
    let path = canonical("/admin%2Fusers", EncodedSlash::Keep).unwrap();
    assert!(!Pattern::parse("/admin/*").unwrap().takes(&path));
}

#[test]
fn a_quotation_mark_takes_its_canonical_spelling() {
    let path = canonical("/say/\"hi\"", EncodedSlash::Refuse).unwrap();
    assert!(Pattern::parse("/say/\"*\"").unwrap().takes(&path));
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Pattern::parse(text).unwrap_err().to_string(), expected);
}

#[test]
fn a_wrong_pattern_says_how_to_mend_it() {
    check("", "a pattern can't be empty; write `*` for every path");
    check(
        &"a".repeat(256),
        "a pattern has at most 255 characters, this one has 256; shorten it with `*`",
    );
    check(
        "/a b",
        "' ' can't stand in a pattern; write `?` for any one character, `*` for any text, or use `path`",
    );
    assert!(Pattern::parse(&"a".repeat(255)).is_ok());
    for wrong in [
        "/%41", "/강의", "/(a)", "/a;b", "/{x}", "/a#b", "/a,b", "/a=b", "/a!",
    ] {
        assert!(Pattern::parse(wrong).is_err(), "{wrong}");
    }
}
