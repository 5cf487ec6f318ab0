//! How values are compared.

use super::{decoded, host_takes, is_like};

#[track_caller]
fn check(wanted: &str, value: &str, expected: bool) {
    assert_eq!(is_like(wanted.as_bytes(), value.as_bytes()), expected);
}

#[test]
fn a_star_is_any_text_and_a_question_mark_one_character() {
    check("", "", true);
    check("", "a", false);
    check("*", "", true);
    check("a*c", "abc", true);
    check("a*c", "ac", true);
    check("a*c", "abcd", false);
    check("*a*b", "xaxb", true);
    check("*a*b", "xbxa", false);
    check("?", "", false);
    check("??", "가나", true);
    check("a?", "a", false);
    check("*.*", "a.b.c", true);
    check("**a", "ba", true);
}

#[test]
fn a_hostile_value_costs_no_more_than_the_product_of_both_lengths() {
    check(&"*a".repeat(60), &"a".repeat(4000), true);
    check(&("*a".repeat(60) + "b"), &"a".repeat(4000), false);
}

#[test]
fn a_wildcard_host_is_exactly_one_more_label() {
    assert!(host_takes("*.example.com", "a.example.com"));
    assert!(!host_takes("*.example.com", "example.com"));
    assert!(!host_takes("*.example.com", "a.b.example.com"));
    assert!(!host_takes("*.example.com", ".example.com"));
    assert!(host_takes("example.com", "EXAMPLE.com"));
}

#[test]
fn a_query_value_is_decoded_once() {
    assert_eq!(&*decoded("a+b%20c%2Bd%2525"), b"a b c+d%25");
    assert_eq!(&*decoded("%zz%4"), b"%zz%4");
}
