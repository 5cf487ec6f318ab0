//! The gate as a whole: answers to clients, roles by pointer, and what it remembers.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::{
    Auth, BadToken, Denied, Gate, GateSettings, Identity, KeySet, Requirement, TokenMemory, What, permit,
    test_issuer::{NOW, gate, issuer, needs, required, settings},
};
use crate::clock::UnixTime;
use crate::fields::Fields;

fn bearer(token: &str) -> Fields {
    let mut headers = Fields::new();
    headers.insert("authorization", format!("Bearer {token}"));
    headers
}

#[track_caller]
fn check_answer(denied: &Denied, status: StatusCode, challenge: &str, sentence: &str) {
    assert_eq!(denied.status(), status);
    assert_eq!(denied.www_authenticate(), challenge);
    assert_eq!(denied.to_string(), sentence);
}

#[test]
fn every_denial_has_its_answer() {
    check_answer(
        &Denied::Missing,
        StatusCode::UNAUTHORIZED,
        r#"Bearer realm="banyan""#,
        "somebody must be signed in, and nobody is",
    );
    check_answer(
        &Denied::NoKeys,
        StatusCode::SERVICE_UNAVAILABLE,
        r#"Bearer realm="banyan""#,
        "no key of the issuer has been read yet",
    );
    check_answer(
        &Denied::Unverified,
        StatusCode::SERVICE_UNAVAILABLE,
        r#"Bearer realm="banyan""#,
        "the token's signature is to be verified first, and too many others are",
    );
    check_answer(
        &Denied::SeveralCredentials,
        StatusCode::BAD_REQUEST,
        r#"Bearer realm="banyan", error="invalid_request", error_description="more than one Authorization field""#,
        "the request has more than one Authorization field",
    );
    check_answer(
        &Denied::BadToken(BadToken::Expired),
        StatusCode::UNAUTHORIZED,
        r#"Bearer realm="banyan", error="invalid_token", error_description="the token has expired""#,
        "the token has expired",
    );
    let challenge = r#"Bearer realm="banyan", error="insufficient_scope", error_description="a role that this needs is missing""#;
    let lacking = |wanted: &[&str]| {
        let need = needs(What::Role, false, wanted).remove(0);
        Denied::Lacking(Box::new(need))
    };
    check_answer(
        &lacking(&["admin"]),
        StatusCode::FORBIDDEN,
        challenge,
        "the role `admin` is missing",
    );
    check_answer(
        &lacking(&["admin", "editor"]),
        StatusCode::FORBIDDEN,
        challenge,
        "one of the roles `admin`, `editor` is missing",
    );
}

#[track_caller]
fn check_roles(pointer: &str, claims: &serde_json::Value, expected: &[&str]) {
    let gate = Gate::new(&GateSettings {
        roles_claim: pointer.to_owned(),
        ..settings()
    });
    let headers = bearer(&issuer().good_token("ed", claims));
    let identity = gate
        .check(
            &required(&[]),
            &headers,
            &issuer().keys(),
            NOW,
            &TokenMemory::new(),
        )
        .unwrap()
        .unwrap();
    assert_eq!(identity.roles, expected);
}

#[test]
fn roles_are_found_by_pointer_or_name() {
    let nested = json!({ "realm_access": { "roles": ["a", "b"] } });
    check_roles("/realm_access/roles", &nested, &["a", "b"]);
    check_roles("realm_access.roles", &nested, &["a", "b"]);
    check_roles("/realm_access/nothing", &nested, &[]);
    check_roles("roles", &json!({}), &["member", "editor"]);
    check_roles("/scope", &json!({ "scope": "read  write" }), &["read", "write"]);
    let spaced = json!({ "https://example.test/roles": ["c"] });
    check_roles("https://example.test/roles", &spaced, &["c"]);
    check_roles("/https:~1~1example.test~1roles", &spaced, &["c"]);
}

#[test]
fn an_identity_carries_the_claims() {
    let headers = bearer(&issuer().good_token("ec", &json!({ "plan": { "tier": 2 } })));
    let identity = gate()
        .check(
            &required(&[]),
            &headers,
            &issuer().keys(),
            NOW,
            &TokenMemory::new(),
        )
        .unwrap()
        .unwrap();
    assert_eq!(identity.subject, "alice");
    assert_eq!(identity.claims["plan"]["tier"], 2);
    assert_eq!(identity.expires, UnixTime::from_secs(NOW.secs() + 300));
}

#[test]
fn without_keys_nobody_is_told_that_a_token_is_bad() {
    let headers = bearer(&issuer().good_token("ed", &json!({})));
    let verdict = gate().check(
        &required(&[]),
        &headers,
        &KeySet::none(),
        NOW,
        &TokenMemory::new(),
    );
    assert_eq!(verdict, Err(Denied::NoKeys));
}

#[test]
fn a_remembered_token_is_the_same_identity() {
    let memory = TokenMemory::new();
    let headers = bearer(&issuer().good_token("rsa", &json!({})));
    let check = |now: UnixTime| gate().check(&required(&[]), &headers, &issuer().keys(), now, &memory);
    let (first, second) = (check(NOW).unwrap().unwrap(), check(NOW).unwrap().unwrap());
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert_eq!(memory.len(), 1);
    let late = UnixTime::from_secs(NOW.secs() + 330);
    assert_eq!(check(late), Err(Denied::BadToken(BadToken::Expired)));
}

#[test]
fn a_remembered_token_still_needs_the_route_s_role() {
    let memory = TokenMemory::new();
    let headers = bearer(&issuer().good_token("ed", &json!({})));
    let check = |roles: &[&str]| gate().check(&required(roles), &headers, &issuer().keys(), NOW, &memory);
    assert!(check(&["editor"]).is_ok());
    assert!(matches!(check(&["admin"]), Err(Denied::Lacking(_))));
}

#[test]
fn a_remembered_token_is_judged_anew_when_keys_or_settings_change() {
    let memory = TokenMemory::new();
    let headers = bearer(&issuer().good_token("ed", &json!({})));
    let check = |gate: &Gate, keys: &KeySet| gate.check(&required(&[]), &headers, keys, NOW, &memory);
    assert!(check(&gate(), &issuer().keys()).is_ok());
    let only_rsa = json!({ "keys": [issuer().jwk("rsa")] }).to_string();
    let (only_rsa, _) = KeySet::parse(&only_rsa).unwrap();
    assert_eq!(
        check(&gate(), &only_rsa),
        Err(Denied::BadToken(BadToken::UnknownKey))
    );
    let elsewhere = Gate::new(&GateSettings {
        audiences: vec!["elsewhere".to_owned()],
        ..settings()
    });
    assert_eq!(
        check(&elsewhere, &issuer().keys()),
        Err(Denied::BadToken(BadToken::Audience))
    );
    let patient = Gate::new(&GateSettings {
        leeway: Duration::ZERO,
        ..settings()
    });
    assert!(check(&patient, &issuer().keys()).is_ok());
    assert_eq!(memory.len(), 2);
}

#[test]
fn failures_are_not_remembered() {
    let memory = TokenMemory::new();
    let headers = bearer(&issuer().good_token("ed", &json!({ "aud": "elsewhere" })));
    assert!(
        gate()
            .check(&required(&[]), &headers, &issuer().keys(), NOW, &memory)
            .is_err()
    );
    assert!(memory.is_empty());
}

#[test]
fn in_turns_only_what_was_not_seen_waits() {
    let (memory, good) = (TokenMemory::in_turns(), issuer().good_token("ed", &json!({})));
    let (gate, requirement, keys) = (gate(), required(&[]), issuer().keys());
    let check = |token: &str| gate.check(&requirement, &bearer(token), &keys, NOW, &memory);
    assert_eq!(check(&good), Err(Denied::Unverified));
    assert!(memory.in_turn(|| check(&good)).is_ok());
    assert!(check(&good).is_ok(), "it was seen");
    let bad = good[..good.len() - 8].to_owned() + "AAAAAAAA";
    assert_eq!(
        check(&bad),
        Err(Denied::Unverified),
        "a turn ends with what it was for"
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        memory.in_turn(|| panic!("in a turn"))
    }));
    assert!(panicked.is_err());
    assert_eq!(check(&bad), Err(Denied::Unverified), "even if that panics");
    assert!(
        memory
            .in_turn(|| check(&bad))
            .is_err_and(|denied| denied != Denied::Unverified)
    );
    assert_eq!(
        gate.check(&requirement, &Fields::new(), &keys, NOW, &memory),
        Err(Denied::Missing),
        "who brings none does not wait"
    );
}

#[test]
fn a_pretended_identity_meets_the_same_rule() {
    let editor = Identity::pretended("alice", &["editor".to_owned()]);
    assert_eq!(permit(&required(&["editor"]), Some(&editor), NOW), Ok(()));
    assert_eq!(permit(&required(&[]), None, NOW), Err(Denied::Missing));
    assert!(matches!(
        permit(&required(&["admin"]), Some(&editor), NOW),
        Err(Denied::Lacking(_))
    ));
    for auth in [Auth::None, Auth::Optional] {
        assert_eq!(permit(&Requirement::of(auth), None, NOW), Ok(()));
        let mistaken = Requirement {
            auth,
            ..required(&["admin"])
        };
        assert_eq!(permit(&mistaken, None, NOW), Err(Denied::Missing));
    }
}
