//! Override links, from being made to being called back.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    super::{
        BadOverride, BadWish, FLAGS_MAX, FOR_DEFAULT, FOR_MAX, LinkId, OVERRIDE_COOKIE, OVERRIDE_PATH,
        REVOKED_MAX, Revoked, RevokedFull, TO_BYTES_MAX, TOKEN_BYTES_MAX, Wish, is_local, override_tokens,
    },
    carrying, keys_of, table,
};
use crate::clock::UnixTime;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const HOST: &str = "www.example.com";

fn wish<'a>(flags: &[(&'a str, &'a str)]) -> Wish<'a> {
    Wish {
        flags: flags.to_vec(),
        host: HOST,
        to: "/checkout",
        lasts: FOR_DEFAULT,
    }
}

fn later(secs: u64) -> UnixTime {
    UnixTime::from_secs(NOW.secs() + secs)
}

#[track_caller]
fn check(token: &str, host: &str, now: UnixTime, revoked: &Revoked, expected: Result<(), BadOverride>) {
    let opened = keys_of(&["b", "a"]).open_override(token, host, now, revoked);
    assert_eq!(opened.map(|_| ()), expected);
}

#[test]
fn a_token_counts_for_its_host_until_it_ends_or_is_called_back() {
    let minted = keys_of(&["a"])
        .mint_override(&wish(&[("cart", "new"), ("search", "b")]), NOW, [7; 20])
        .unwrap();
    let (token, none) = (minted.token.as_str(), Revoked::default());
    let forced = keys_of(&["a"]).open_override(token, HOST, NOW, &none).unwrap();
    assert_eq!(forced.variant_of("cart"), Some("new"));
    assert_eq!(forced.variant_of("search"), Some("b"));
    assert_eq!(forced.variant_of("other"), None);
    assert_eq!((&*forced.to, forced.link), ("/checkout", minted.link));
    check(token, HOST, later(8 * 3600 - 1), &none, Ok(()));
    check(token, HOST, later(8 * 3600), &none, Err(BadOverride::Expired));
    check(token, "example.com", NOW, &none, Err(BadOverride::OtherHost));
    let called_back = none.and(minted.link, NOW).unwrap();
    check(token, HOST, NOW, &called_back, Err(BadOverride::Revoked));
    check(token, HOST, NOW, &Revoked::Everything, Err(BadOverride::Revoked));
    assert_eq!(
        keys_of(&["b"]).open_override(token, HOST, NOW, &none),
        Err(BadOverride::UnknownKey)
    );
    assert!(
        !format!("{minted:?}").contains(token),
        "who reads a log must not be let in"
    );
}

#[test]
fn a_cookie_of_a_visitor_opens_nothing() {
    let keys = keys_of(&["a"]);
    let visitor = keys.mint([1; 16], NOW);
    let set = keys.set_cookie(&visitor, NOW);
    let value = set.to_str().unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
    check(&value, HOST, NOW, &Revoked::default(), Err(BadOverride::Damaged));
}

#[track_caller]
fn check_wish(change: impl FnOnce(&mut Wish<'_>), expected: BadWish) {
    let mut wish = wish(&[("cart", "new")]);
    change(&mut wish);
    assert_eq!(keys_of(&["a"]).mint_override(&wish, NOW, [7; 20]), Err(expected));
}

#[test]
fn what_must_not_be_is_not_made() {
    check_wish(|wish| wish.flags.clear(), BadWish::Flags);
    check_wish(|wish| wish.flags.push(("cart", "old")), BadWish::Flags);
    check_wish(|wish| wish.flags.push(("a\nb", "old")), BadWish::Flags);
    check_wish(|wish| wish.flags.push(("a=b", "old")), BadWish::Flags);
    check_wish(|wish| wish.flags.push(("", "old")), BadWish::Flags);
    let many = ["0", "1", "2", "3", "4", "5", "6", "7", "8"];
    check_wish(
        |wish| wish.flags = many.map(|key| (key, "new")).to_vec(),
        BadWish::Flags,
    );
    check_wish(|wish| wish.host = "", BadWish::Host);
    check_wish(|wish| wish.host = "WWW.example.com", BadWish::Host);
    check_wish(|wish| wish.host = "a\nb", BadWish::Host);
    check_wish(|wish| wish.to = "//evil.example", BadWish::To);
    check_wish(|wish| wish.lasts = Duration::ZERO, BadWish::For);
    check_wish(|wish| wish.lasts = FOR_MAX + Duration::from_secs(1), BadWish::For);
}

#[test]
fn the_largest_link_fits_a_cookie() {
    let name = |at: usize| format!("{at}{}", "n".repeat(62));
    let names: Vec<String> = (0..FLAGS_MAX).map(name).collect();
    let to = format!("/{}", "t".repeat(TO_BYTES_MAX - 1));
    let host = "h".repeat(253);
    let largest = Wish {
        flags: names.iter().map(|name| (name.as_str(), name.as_str())).collect(),
        host: &host,
        to: &to,
        lasts: FOR_MAX,
    };
    let keys = keys_of(&["a"]);
    let minted = keys.mint_override(&largest, NOW, [7; 20]).unwrap();
    assert!(minted.token.len() <= TOKEN_BYTES_MAX);
    let forced = keys
        .open_override(&minted.token, &host, NOW, &Revoked::default())
        .unwrap();
    let set = keys.set_override(&minted.token, &forced, NOW);
    assert!(set.len() < 4096 && set.to_str().unwrap().contains("; Max-Age=604800; Path=/; Secure"));
}

#[test]
fn only_local_addresses_are_led_on_to() {
    let rows = table("local.tsv");
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let [verdict, to] = row.as_slice() else {
            panic!("{row:?}")
        };
        let to: String = serde_json::from_str(&format!("\"{to}\"")).unwrap();
        assert_eq!(is_local(&to), verdict == "local", "{to:?}");
    }
    assert!(is_local(OVERRIDE_PATH));
    assert!(!is_local(&format!("/{}", "t".repeat(TO_BYTES_MAX))));
}

#[test]
fn the_cookie_is_read_before_the_field() {
    let mut headers = carrying(&[
        "a=b; __Host-banyan-override=one; c=d",
        "__Host-banyan-override=two",
    ]);
    headers.insert("banyan-override", "three");
    assert_eq!(
        override_tokens(&headers).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    let named_alike = carrying(&["x__Host-banyan-override=one; __Host-banyan-override2=two"]);
    assert_eq!(override_tokens(&named_alike).count(), 0);
    let flood = vec!["__Host-banyan-override=x"; 50].join("; ");
    assert_eq!(override_tokens(&carrying(&[&flood])).count(), 2);
    let end = keys_of(&["a"]).end_override();
    assert!(
        end.to_str()
            .unwrap()
            .starts_with("__Host-banyan-override=; Max-Age=0; Path=/; Secure")
    );
    assert!(end.to_str().unwrap().starts_with(OVERRIDE_COOKIE));
}

#[test]
fn links_that_have_ended_leave_the_list_and_one_too_many_is_refused() {
    let link = |ends: u32, number: u8| LinkId::new(ends, [number; 8]);
    let revoked = Revoked::default()
        .and(link(100, 1), UnixTime::from_secs(50))
        .unwrap()
        .and(link(200, 2), UnixTime::from_secs(150))
        .unwrap();
    assert!(!revoked.has(link(100, 1)) && revoked.has(link(200, 2)));
    let many = (0..REVOKED_MAX as u32).map(|at| link(1000 + at, 3));
    let full = Revoked::of(many, UnixTime::from_secs(0));
    assert_eq!(full.and(link(500, 9), UnixTime::from_secs(0)), Err(RevokedFull));
    assert!(
        full.and(link(1000, 3), UnixTime::from_secs(0)).is_ok(),
        "it is there already"
    );
    assert!(
        full.and(link(9000, 9), UnixTime::from_secs(1000)).is_ok(),
        "one has ended"
    );
    assert_eq!(
        Revoked::Everything.and(link(1, 1), NOW).unwrap(),
        Revoked::Everything,
        "what can't be read is not made less"
    );
}

proptest! {
    #[test]
    fn an_id_is_read_as_it_is_written(ends: u32, random: [u8; 8]) {
        let link = LinkId::new(ends, random);
        prop_assert_eq!(link.to_string().parse(), Ok(link));
    }

    #[test]
    fn a_changed_token_never_forces(at in 0_usize..200, to in "[ -~]") {
        let keys = keys_of(&["a"]);
        let good = keys.mint_override(&wish(&[("cart", "new")]), NOW, [7; 20]).unwrap().token;
        let mut bad = good.clone();
        let at = at % bad.len();
        bad.replace_range(at..=at, &to);
        prop_assume!(bad != good);
        prop_assert!(keys.open_override(&bad, HOST, NOW, &Revoked::default()).is_err());
    }

    #[test]
    fn any_text_forces_nothing(text in "(1\\.a\\.)?[ -~]{0,200}") {
        prop_assert!(keys_of(&["a"]).open_override(&text, HOST, NOW, &Revoked::default()).is_err());
    }

    #[test]
    fn what_is_local_stays_on_its_host(to in "/[/\\\\.%a-z0-9?#@:\t\n ]{0,20}") {
        if is_local(&to) {
            let base = http::Uri::from_static("https://www.example.com");
            let next: http::Uri = format!("{}{}", "https://www.example.com", to.split('#').next().unwrap()).parse().unwrap();
            prop_assert_eq!(next.host(), base.host());
            prop_assert!(!to.starts_with("//") && !to.contains('\\') && to.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
