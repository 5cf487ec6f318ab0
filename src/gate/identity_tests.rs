//! What backends are told: fields that can't be forged, split or broken.

use proptest::prelude::*;

use super::{Identity, ROLES_TOLD_BYTES_MAX, ROLES_TOLD_MAX, escape, is_reserved_header};

#[track_caller]
fn check(subject: &str, roles: &[&str], user: &str, told: Option<&str>) {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let identity = Identity::pretended(subject, &roles);
    assert_eq!(identity.user_field(), user);
    let field = identity.roles_field();
    assert_eq!(field.as_ref().map(|field| field.to_str().unwrap()), told);
}

#[test]
fn plain_names_stay_as_they_are() {
    check(
        "auth0|12a",
        &["member", "orders:read"],
        "auth0|12a",
        Some("member, orders:read"),
    );
    check("alice@example.test", &[], "alice@example.test", None);
}

#[test]
fn other_names_are_percent_encoded() {
    check(
        "김",
        &["운영 자"],
        "%EA%B9%80",
        Some("%EC%9A%B4%EC%98%81%20%EC%9E%90"),
    );
    check("a%41", &["50%"], "a%2541", Some("50%25"));
    check("a\r\nb: c", &["\0"], "a%0D%0Ab:%20c", Some("%00"));
}

#[test]
fn a_role_with_a_comma_stays_one() {
    check(
        "a,b",
        &["member,admin", "x;y", "\"z\\"],
        "a%2Cb",
        Some("member%2Cadmin, x%3By, %22z%5C"),
    );
}

#[test]
fn only_so_many_roles_are_told() {
    let roles: Vec<String> = (0..=ROLES_TOLD_MAX).map(|n| n.to_string()).collect();
    let field = Identity::pretended("a", &roles).roles_field().unwrap();
    assert_eq!(field.to_str().unwrap().split(", ").count(), ROLES_TOLD_MAX);
    let long: Vec<String> = (0..40).map(|n| format!("{n}{}", "가".repeat(80))).collect();
    let field = Identity::pretended("a", &long).roles_field().unwrap();
    assert!(field.len() <= ROLES_TOLD_BYTES_MAX);
    assert_eq!(field.to_str().unwrap().split(", ").count(), 5);
}

#[test]
fn fields_of_banyan_are_reserved_in_every_spelling() {
    for name in [
        "banyan-user",
        "Banyan-Roles",
        "banyan_user",
        "BANYAN_identity",
        "banyan-",
        "banyan-anything",
    ] {
        assert!(is_reserved_header(name), "{name}");
    }
    for name in ["banyan", "banyans-user", "x-banyan-user", "user", "", "banya-n"] {
        assert!(!is_reserved_header(name), "{name}");
    }
}

proptest! {
    #[test]
    fn what_is_escaped_can_be_read_back(text in any::<String>()) {
        let escaped = escape(&text);
        prop_assert!(escaped.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
        let mut bytes = Vec::new();
        let mut parts = escaped.split('%');
        bytes.extend(parts.next().unwrap().bytes());
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend(part[2..].bytes());
        }
        prop_assert_eq!(bytes, text.into_bytes());
    }
}
