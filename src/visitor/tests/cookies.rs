//! Cookies read and taken out.

use proptest::prelude::*;

use super::super::{OWN_PREFIX, cookies, remove_own_cookies};
use super::table;
use crate::fields::{Fields, Known};

fn fields(values: &[&str]) -> Fields {
    let mut headers = Fields::new();
    for value in values {
        headers.append(Known::COOKIE, value);
    }
    headers
}

#[track_caller]
fn check(values: &[&str], expected: &[(&str, &str)]) {
    let headers = fields(values);
    assert_eq!(cookies(&headers).collect::<Vec<_>>(), expected);
}

#[test]
fn cookies_are_read_in_order() {
    check(&[], &[]);
    check(&["a=1"], &[("a", "1")]);
    check(
        &["a=1; b=2;c=3", "d=4"],
        &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
    );
    check(
        &["a=1=2; b=\"x y\"; c="],
        &[("a", "1=2"), ("b", "\"x y\""), ("c", "")],
    );
    check(&[" ; nothing;; a = 1 ;", ""], &[("a", "1")]);
    check(&["=1"], &[("", "1")]);
}

#[test]
fn a_cookie_that_is_not_utf8_is_passed_over() {
    let mut headers = Fields::new();
    headers.insert(Known::COOKIE, b"a=\xff; b=2");
    assert_eq!(cookies(&headers).collect::<Vec<_>>(), [("b", "2")]);
}

#[test]
fn own_cookies_are_taken_out_and_others_stay() {
    let table = table("remove_own.tsv");
    assert_eq!(table.len(), 23);
    for row in table {
        let [before, after] = row.as_slice() else {
            panic!("{row:?}")
        };
        let mut headers = fields(&before.split(" | ").collect::<Vec<_>>());
        headers.insert("x-other", "kept");
        remove_own_cookies(&mut headers);
        let left: Vec<&str> = headers
            .get_all(Known::COOKIE)
            .map(|value| value.to_str().unwrap())
            .collect();
        let expected: Vec<&str> = after.split(" | ").filter(|field| *field != "-").collect();
        assert_eq!(left, expected, "{before:?}");
        assert_eq!(headers.get("x-other").unwrap(), "kept");
    }
}

#[test]
fn bytes_that_are_not_utf8_stay() {
    let mut headers = Fields::new();
    headers.insert(Known::COOKIE, b"a=\xff; __Host-banyan=x; b=\xfe");
    remove_own_cookies(&mut headers);
    assert_eq!(headers.get(Known::COOKIE).unwrap().as_bytes(), b"a=\xff; b=\xfe");
}

#[test]
fn nothing_to_take_out_allocates_nothing() {
    let mut headers = fields(&["theme=dark; session=0123456789; __Host-other=1", "b=2"]);
    let counted = allocation_counter::measure(|| {
        remove_own_cookies(&mut headers);
        std::hint::black_box(cookies(&headers).count());
    });
    assert_eq!(counted.count_total, 0);
}

proptest! {
    #[test]
    fn no_own_cookie_is_ever_left(pieces in prop::collection::vec("[ -~&&[^;]]{0,6}|[ \t]?__Host-banyan[a-z=-]{0,4}", 0..8)) {
        let text = pieces.join(";");
        let mut headers = Fields::new();
        headers.insert(Known::COOKIE, &text);
        remove_own_cookies(&mut headers);
        let left = headers.get(Known::COOKIE).map_or("", |value| value.to_str().unwrap());
        prop_assert!(left.split(';').all(|piece| !piece.trim().starts_with(OWN_PREFIX)), "{left:?}");
        let others = |text: &str| -> Vec<String> {
            let pieces = text.split(';').map(|piece| piece.trim().to_owned());
            pieces.filter(|piece| !piece.is_empty() && !piece.starts_with(OWN_PREFIX)).collect()
        };
        prop_assert_eq!(others(left), others(&text));
    }
}
