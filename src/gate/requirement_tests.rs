//! What is asked and who has it, in a table; and the laws of asking for more.

use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Accept, Denied, Identity, Need, Requirement, Source, What, permit,
    test_issuer::{NOW, needs, required},
};
use crate::clock::UnixTime;

fn somebody(claims: Value) -> Identity {
    let mut identity = Identity::pretended("alice", &["member".to_owned(), "editor".to_owned()]);
    identity.claims = claims;
    identity
}

fn asking(what: What, all: bool, names: &[&str]) -> Requirement {
    Requirement {
        needs: needs(what, all, names),
        ..required(&[])
    }
}

#[track_caller]
fn check(asked: &Requirement, claims: Value, expected: &str) {
    let got = match permit(asked, Some(&somebody(claims)), NOW) {
        Ok(()) => "passes",
        Err(denied) => denied.as_str(),
    };
    assert_eq!(got, expected);
}

#[test]
fn any_is_one_and_all_is_each() {
    let nothing = || json!({});
    check(
        &asking(What::Role, false, &["admin", "editor"]),
        nothing(),
        "passes",
    );
    check(
        &asking(What::Role, true, &["member", "editor"]),
        nothing(),
        "passes",
    );
    check(
        &asking(What::Role, true, &["member", "admin"]),
        nothing(),
        "role_missing",
    );
    check(
        &asking(What::Role, false, &["Editor", "edit", ""]),
        nothing(),
        "role_missing",
    );
    let mut empty = asking(What::Role, true, &["member"]);
    empty.needs[0].names.clear();
    check(&empty, nothing(), "role_missing");
}

#[test]
fn groups_are_found_where_the_issuer_lists_them() {
    let group = |pointer: &str, names: &[&str]| asking(What::Group(pointer.into()), false, names);
    check(
        &group("/groups", &["staff"]),
        json!({ "groups": ["staff"] }),
        "passes",
    );
    check(
        &group("/realm/groups", &["staff"]),
        json!({ "realm": { "groups": ["staff"] } }),
        "passes",
    );
    check(
        &group("/realm/groups", &["staff"]),
        json!({ "groups": ["staff"] }),
        "group_missing",
    );
    check(
        &group("/groups", &["admin"]),
        json!({ "groups": "a admin" }),
        "group_missing",
    );
    check(
        &group("/groups", &["admin"]),
        json!({ "groups": ["a,admin", "a admin"] }),
        "group_missing",
    );
    check(
        &group("/groups", &["admin"]),
        json!({ "groups": { "admin": true } }),
        "group_missing",
    );
    let machine = Identity {
        source: Source::Key,
        ..somebody(json!({ "groups": ["staff"] }))
    };
    assert_eq!(
        permit(&group("/realm/groups", &["staff"]), Some(&machine), NOW),
        Ok(())
    );
}

#[test]
fn scopes_are_words_or_a_list() {
    let scope = |all: bool, names: &[&str]| asking(What::Scope, all, names);
    check(&scope(false, &["b"]), json!({ "scope": "a b" }), "passes");
    check(&scope(true, &["a", "b"]), json!({ "scope": "b a" }), "passes");
    check(
        &scope(true, &["a", "c"]),
        json!({ "scope": "a b" }),
        "scope_missing",
    );
    check(
        &scope(false, &["a"]),
        json!({ "scope": "ab a:b" }),
        "scope_missing",
    );
    check(&scope(false, &["a"]), json!({ "scp": ["a"] }), "passes");
    check(
        &scope(false, &["a"]),
        json!({ "scope": "b", "scp": "a" }),
        "scope_missing",
    );
    check(&scope(false, &["a"]), json!({ "scope": 7 }), "scope_missing");
}

#[test]
fn a_claim_is_a_value_or_has_it() {
    let claim = |name: &str, names: &[&str]| asking(What::Claim(name.into()), false, names);
    check(&claim("tenant", &["a", "b"]), json!({ "tenant": "b" }), "passes");
    check(
        &claim("tenant", &["b"]),
        json!({ "tenant": ["a", "b"] }),
        "passes",
    );
    check(
        &claim("tenant", &["b"]),
        json!({ "tenant": "a b" }),
        "claim_missing",
    );
    check(&claim("/org/id", &["7"]), json!({ "org": { "id": 7 } }), "passes");
    check(
        &claim("verified", &["true"]),
        json!({ "verified": true }),
        "passes",
    );
    check(
        &claim("verified", &["true"]),
        json!({ "verified": false }),
        "claim_missing",
    );
    check(
        &claim("tenant", &["null"]),
        json!({ "tenant": null }),
        "claim_missing",
    );
}

#[test]
fn a_sign_in_can_be_too_old_or_too_weak() {
    let mut recent = asking(What::Age(Duration::from_secs(300)), false, &["-"]);
    recent.needs[0].names.clear();
    let ago = |seconds: u64| json!({ "auth_time": NOW.secs() - seconds });
    check(&recent, ago(0), "passes");
    check(&recent, ago(300), "passes");
    check(&recent, ago(301), "sign_in_too_old");
    check(&recent, json!({}), "sign_in_too_old");
    check(&recent, json!({ "auth_time": "1800000000" }), "sign_in_too_old");
    check(
        &recent,
        json!({ "auth_time": NOW.secs() + 31 }),
        "sign_in_too_old",
    );
    let strong = asking(What::Acr, false, &["mfa", "phr"]);
    check(&strong, json!({ "acr": "phr" }), "passes");
    check(&strong, json!({ "acr": "pwd" }), "sign_in_too_weak");
    check(&strong, json!({ "acr": ["mfa"] }), "sign_in_too_weak");
    let lacking = |asked: &Requirement| Denied::Lacking(Box::new(asked.needs[0].clone()));
    for (asked, part) in [(&recent, "max_age=\"300\""), (&strong, "acr_values=\"mfa phr\"")] {
        let denied = lacking(asked);
        let challenge = denied.www_authenticate();
        let challenge = challenge.to_str().unwrap();
        assert_eq!(denied.status(), StatusCode::UNAUTHORIZED);
        assert!(challenge.contains("error=\"insufficient_user_authentication\"") && challenge.contains(part));
    }
    let denied = lacking(&asking(What::Scope, true, &["a", "b"]));
    assert_eq!(denied.status(), StatusCode::FORBIDDEN);
    assert!(
        denied
            .www_authenticate()
            .to_str()
            .unwrap()
            .ends_with("scope=\"a b\"")
    );
    assert_eq!(denied.to_string(), "all of the scopes `a`, `b` is missing");
}

#[test]
fn sources_are_a_set() {
    let both = Accept::of(&[Source::Session, Source::Key]);
    assert!(both.has(Source::Key) && !both.has(Source::Bearer));
    assert_eq!(both.and(Accept::default()), Accept::of(&[Source::Session]));
    assert!(both.and(Accept::of(&[Source::Legacy])).is_empty());
    assert_eq!(both.to_string(), "key, session");
}

fn need() -> impl Strategy<Value = Need> {
    let what = prop_oneof![
        Just(What::Role),
        Just(What::Scope),
        Just(What::Group("/groups".into())),
        Just(What::Claim("tenant".into())),
        Just(What::Acr),
        (0_u64..600).prop_map(|seconds| What::Age(Duration::from_secs(seconds))),
    ];
    let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "member"]), 1..3);
    (what, any::<bool>(), names).prop_map(|(what, all, names)| needs(what, all, &names).remove(0))
}

fn claims() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(vec!["a", "b", "c", "a b", "a,b"]);
    (word(), prop::collection::vec(word(), 0..3), word(), 0_u64..700, word()).prop_map(|(scope, groups, tenant, ago, acr)| {
        json!({ "scope": scope, "groups": groups, "tenant": tenant, "auth_time": NOW.secs() - ago, "acr": acr })
    })
}

proptest! {
    #[test]
    fn asking_for_more_lets_in_nobody_else(
        first in prop::collection::vec(need(), 0..4),
        more in prop::collection::vec(need(), 0..4),
        claims in claims(),
        late in 0_u64..1000,
    ) {
        let now = UnixTime::from_secs(NOW.secs() + late);
        let identity = somebody(claims);
        let less = Requirement { needs: first.clone(), ..required(&[]) };
        let both = Requirement { needs: [first, more.clone()].concat(), ..required(&[]) };
        let other = Requirement { needs: more, ..required(&[]) };
        let passes = |asked: &Requirement| permit(asked, Some(&identity), now).is_ok();
        prop_assert_eq!(passes(&both), passes(&less) && passes(&other));
        prop_assert_eq!(permit(&both, None, now), Err(Denied::Missing));
    }
}
