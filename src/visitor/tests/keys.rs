//! The signed cookie, from minting to expiry.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::COOKIE};
use proptest::prelude::*;

use super::super::{BadKeys, Keys, SeenState, SigningKey, Visitor, VisitorSettings};
use crate::clock::UnixTime;

const DAY: Duration = Duration::from_secs(86_400);
const ENTROPY: [u8; 16] = [7; 16];

fn key(id: &str, byte: u8) -> SigningKey {
    SigningKey {
        id: id.to_owned(),
        secret: vec![byte; 32],
    }
}

fn settings(keys: Vec<SigningKey>) -> VisitorSettings {
    VisitorSettings {
        keys,
        max_age: 180 * DAY,
        ..VisitorSettings::default()
    }
}

fn keys() -> Keys {
    Keys::new(&settings(vec![key("k1", 1)])).unwrap()
}

fn day(day: u64) -> UnixTime {
    UnixTime::from_secs(day * 86_400 + 5)
}

/// The cookie pair that a browser sends back.
fn pair(set_cookie: &HeaderValue) -> String {
    set_cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}

fn minted(keys: &Keys, on: u64) -> String {
    pair(&keys.set_cookie(&keys.mint(ENTROPY, day(on)), day(on)))
}

fn seen(keys: &Keys, cookies: &[&str], on: u64) -> (Option<Visitor>, SeenState) {
    let mut headers = HeaderMap::new();
    for cookie in cookies {
        headers.append(COOKIE, HeaderValue::from_str(cookie).unwrap());
    }
    let seen = keys.identify(&headers.into(), day(on));
    (seen.visitor, seen.state)
}

#[track_caller]
fn check(keys: &Keys, cookies: &[&str], on: u64, state: SeenState) {
    let (visitor, got) = seen(keys, cookies, on);
    assert_eq!(got, state);
    let valid = matches!(state, SeenState::Valid | SeenState::ValidRefresh);
    assert_eq!(visitor.is_some(), valid);
}

#[test]
fn a_visitor_comes_back() {
    let keys = keys();
    let visitor = keys.mint(ENTROPY, day(20_000));
    assert_eq!(visitor.id(), "BwcHBwcHBwcHBwcHBwcHBw");
    let cookie = minted(&keys, 20_000);
    let (back, state) = seen(&keys, &[&format!("theme=dark; {cookie}; n=1")], 20_010);
    assert_eq!((back, state), (Some(visitor), SeenState::Valid));
}

#[test]
fn the_cookie_is_set_as_promised() {
    let keys = keys();
    let cookie = keys.set_cookie(&keys.mint(ENTROPY, day(20_000)), day(20_000));
    // The signature was computed with Python's hmac.
    assert_eq!(
        cookie.to_str().unwrap(),
        "__Host-banyan=1.k1.BwcHBwcHBwcHBwcHBwcHBw.20000.O3C_G-nwUMvXR_hLbIIgaQ; \
         Max-Age=15552000; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
}

#[test]
fn a_cookie_lives_its_life() {
    let keys = keys();
    let cookie = minted(&keys, 20_000);
    check(&keys, &[], 20_000, SeenState::Absent);
    check(&keys, &["theme=dark"], 20_000, SeenState::Absent);
    check(&keys, &[&cookie], 20_000, SeenState::Valid);
    check(&keys, &[&cookie], 20_045, SeenState::Valid);
    check(&keys, &[&cookie], 20_046, SeenState::ValidRefresh);
    check(&keys, &[&cookie], 20_180, SeenState::ValidRefresh);
    check(&keys, &[&cookie], 20_181, SeenState::Expired);
    check(&keys, &[&cookie], 19_999, SeenState::Valid);
    check(&keys, &[&cookie], 19_998, SeenState::FromFuture);
}

#[test]
fn a_refreshed_cookie_keeps_the_visitor_and_rests() {
    let keys = keys();
    let (visitor, _) = seen(&keys, &[&minted(&keys, 20_000)], 20_100);
    let visitor = visitor.unwrap();
    let refreshed = pair(&keys.set_cookie(&visitor, day(20_100)));
    let (again, state) = seen(&keys, &[&refreshed], 20_101);
    assert_eq!((again.unwrap().id(), state), (visitor.id(), SeenState::Valid));
}

#[test]
fn keys_rotate() {
    let old = keys();
    let both = Keys::new(&settings(vec![key("k2", 2), key("k1", 1)])).unwrap();
    let new = Keys::new(&settings(vec![key("k2", 2)])).unwrap();
    let cookie = minted(&old, 20_000);
    check(&both, &[&cookie], 20_000, SeenState::ValidRefresh);
    check(&new, &[&cookie], 20_000, SeenState::UnknownKey);
    let (visitor, _) = seen(&both, &[&cookie], 20_000);
    let moved = pair(&both.set_cookie(&visitor.unwrap(), day(20_000)));
    check(&new, &[&moved], 20_000, SeenState::Valid);
}

#[test]
fn another_secret_under_the_same_id_is_damage() {
    let other = Keys::new(&settings(vec![key("k1", 9)])).unwrap();
    check(&other, &[&minted(&keys(), 20_000)], 20_000, SeenState::Damaged);
}

#[test]
fn of_several_copies_the_first_valid_one_counts() {
    let keys = keys();
    let first = minted(&keys, 20_000);
    let second = pair(&keys.set_cookie(&keys.mint([8; 16], day(20_000)), day(20_000)));
    let (visitor, state) = seen(
        &keys,
        &["__Host-banyan=junk", &format!("{first}; {second}")],
        20_000,
    );
    assert_eq!(
        (visitor, state),
        (Some(keys.mint(ENTROPY, day(20_000))), SeenState::Valid)
    );
    check(
        &keys,
        &["__Host-banyan=junk; __Host-banyan=1.zz.BwcHBwcHBwcHBwcHBwcHBw.1.x"],
        1,
        SeenState::Damaged,
    );
    let flood = "__Host-banyan=junk; ".repeat(8) + &first;
    check(&keys, &[&flood], 20_000, SeenState::Damaged);
}

#[test]
fn forms_that_are_not_ours_are_damage() {
    let keys = keys();
    let body = "1.k1.BwcHBwcHBwcHBwcHBwcHBw.20000";
    for value in [
        "",
        ".",
        "1",
        "....",
        "......",
        "1.k1",
        body,
        "2.k1.BwcHBwcHBwcHBwcHBwcHBw.20000.x",
        "1..BwcHBwcHBwcHBwcHBwcHBw.20000.x",
        "1.k1.short.20000.x",
        "1.k1.BwcHBwcHBwcHBwcHBwcHBw.020000.x",
        "1.k1.BwcHBwcHBwcHBwcHBwcHBw.+20000.x",
        "1.k1.BwcHBwcHBwcHBwcHBwcHBw..x",
        "1.k1.BwcHBwcHBwcHBwcHBwcHBw.99999999999.x",
        "1.k1.BwcHBwcHBwcHBwcHBwcHB=.20000.x",
        "1.k1.BwcHBwcHBwcHBwcHBwcHBw.20000.",
        "1.123456789.BwcHBwcHBwcHBwcHBwcHBw.20000.x",
    ] {
        check(
            &keys,
            &[&format!("__Host-banyan={value}")],
            20_000,
            SeenState::Damaged,
        );
    }
    // A quoted copy isn't ours either: Banyan never quotes.
    let quoted = minted(&keys, 20_000).replace("__Host-banyan=", "__Host-banyan=\"") + "\"";
    check(&keys, &[&quoted], 20_000, SeenState::Damaged);
    let other_case = minted(&keys, 20_000).replace("__Host", "__host");
    check(&keys, &[&other_case], 20_000, SeenState::Absent);
}

#[test]
fn identifying_allocates_nothing() {
    let keys = keys();
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, format!("a=1; {}", minted(&keys, 20_000)).parse().unwrap());
    let headers = headers.into();
    assert!(keys.identify(&headers, day(20_000)).visitor.is_some()); // the first on a core makes room to remember them
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(keys.identify(&headers, day(20_000)));
    });
    assert_eq!(counted.count_total, 0);
}

#[test]
fn what_one_set_of_keys_remembers_is_nothing_to_another() {
    let before = keys();
    let cookie = minted(&before, 20_000);
    check(&before, &[&cookie], 20_000, SeenState::Valid);
    check(&before, &[&cookie], 20_000, SeenState::Valid);
    let other_secret = Keys::new(&settings(vec![key("k1", 2)])).unwrap();
    check(&other_secret, &[&cookie], 20_000, SeenState::Damaged);
    check(&before, &[&cookie], 20_181, SeenState::Expired);
}

#[test]
fn keys_that_cannot_sign_are_refused() {
    let check = |given: VisitorSettings, text: &str| {
        assert_eq!(Keys::new(&given).unwrap_err().to_string(), text);
    };
    check(
        settings(vec![]),
        "the visitor cookie needs at least one signing key",
    );
    check(
        settings(vec![key("a.b", 1)]),
        "key id \"a.b\" must be one to 8 letters, digits, `-` or `_`",
    );
    check(
        settings(vec![key("k", 1), key("k", 2)]),
        "key id \"k\" is used twice; a cookie must tell which key signed it",
    );
    let short = SigningKey {
        id: "k".to_owned(),
        secret: vec![1; 31],
    };
    check(
        settings(vec![short]),
        "the secret of key \"k\" has 31 bytes, at least 32 are needed",
    );
    for max_age in [Duration::from_secs(60), 401 * DAY] {
        let given = VisitorSettings {
            keys: vec![key("k", 1)],
            max_age,
            ..VisitorSettings::default()
        };
        assert_eq!(Keys::new(&given).unwrap_err(), BadKeys::MaxAge(max_age.as_secs()));
    }
}

#[test]
fn secrets_are_never_shown() {
    assert!(!format!("{:?} {:?}", keys(), settings(vec![key("k1", 1)])).contains("[1"));
}

proptest! {
    #[test]
    fn tampering_with_any_byte_is_never_valid(entropy: [u8; 16], at: prop::sample::Index, byte in 0x21_u8..0x7f) {
        let keys = keys();
        let cookie = pair(&keys.set_cookie(&keys.mint(entropy, day(20_000)), day(20_000)));
        prop_assert_eq!(seen(&keys, &[&cookie], 20_000).1, SeenState::Valid); // and is remembered from now on
        let (name, value) = cookie.split_once('=').unwrap();
        let mut value = value.as_bytes().to_vec();
        let at = at.index(value.len());
        prop_assume!(value[at] != byte);
        value[at] = byte;
        let tampered = format!("{name}={}", str::from_utf8(&value).unwrap());
        let (visitor, state) = seen(&keys, &[&tampered], 20_000);
        prop_assert_eq!(visitor, None);
        // A changed key id is a key that isn't known; `;` cuts the value short.
        let key_id = at == 2 || at == 3;
        prop_assert!(state == SeenState::Damaged || key_id && state == SeenState::UnknownKey, "{:?}", state);
    }

    #[test]
    fn junk_is_never_valid(value in "[ -~]{0,80}") {
        prop_assert_eq!(seen(&keys(), &[&format!("__Host-banyan={value}")], 20_000).0, None);
    }
}
