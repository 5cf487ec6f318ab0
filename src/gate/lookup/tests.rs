//! Questions: which requests ask one, how answers are read, how long they count, when asking pauses.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::test_issuer::NOW, ANSWERS_MAX, COOKIES_BYTES_MAX, Circuit, FAILURES_MAX, Heard, Hidden,
    Introspection, IntrospectionSettings, Legacy, LegacySettings, PAUSE_MAX, Terms, Whom,
};
use crate::{
    clock::{self, UnixTime},
    fields::{Fields, Known},
    gate::{Auth, BadToken, Denied, Requirement, Source, TokenMemory, lookup::Question},
    name::BackendName,
};

const TERMS: Terms = Terms {
    timeout: Duration::from_secs(1),
    remember: Duration::from_secs(10),
    remember_nobody: Duration::from_secs(2),
};

fn legacy_settings() -> LegacySettings {
    LegacySettings {
        backend: BackendName::new("legacy").unwrap(),
        path: "/api/session".to_owned(),
        host: None,
        cookies: vec!["PHPSESSID".to_owned(), "remember".to_owned()],
        id: "/user/id".to_owned(),
        roles: Some("/user/roles".to_owned()),
        claims: Some("/user".to_owned()),
        prefix: "old:".to_owned(),
        terms: TERMS,
    }
}

fn legacy() -> Arc<Legacy> {
    Arc::new(Legacy::new(&legacy_settings()))
}

fn introspection() -> Arc<Introspection> {
    Arc::new(Introspection::new(&IntrospectionSettings {
        authority: "iam.example.com".to_owned(),
        target: "/introspect".to_owned(),
        backend: BackendName::new("gate-introspection").unwrap(),
        client_id: "edge".to_owned(),
        client_secret: Hidden("s: %".to_owned()),
        require_audience: true,
        issuer: "https://id.example.test/".to_owned(),
        audiences: vec!["shop".to_owned()],
        roles_claim: "/roles".to_owned(),
        leeway: Duration::from_secs(30),
        terms: TERMS,
    }))
}

fn cookies(text: &str) -> Fields {
    let mut fields = Fields::new();
    fields.append(Known::COOKIE, text);
    fields
}

fn later(seconds: u64) -> UnixTime {
    UnixTime::from_secs(NOW.secs() + seconds)
}

#[track_caller]
fn question(denied: Denied) -> Question {
    match denied {
        Denied::Ask(question) => *question,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_named_cookies_are_asked_about() {
    let memory = TokenMemory::new();
    let find = |text: &str| legacy().find(&cookies(text), memory.answers(), NOW);
    for none in ["a=b", "xPHPSESSID=1", "phpsessid=1", "PHPSESSID", "a=PHPSESSID=1"] {
        assert_eq!(find(none), Ok(None), "{none}");
    }
    let asked = question(find("a=b; PHPSESSID=12 ;c=d;remember=x; PHPSESSID=3").unwrap_err());
    let wording = asked.wording();
    assert_eq!(
        wording.fields,
        [(Known::COOKIE, "PHPSESSID=12; remember=x; PHPSESSID=3".to_owned())]
    );
    assert_eq!(
        (wording.target.as_str(), wording.is_post),
        ("/api/session", false)
    );
    let same = question(find("PHPSESSID=12; z=1; remember=x; PHPSESSID=3").unwrap_err());
    assert_eq!(asked.key(), same.key(), "other cookies make no other question");
    let other = question(find("PHPSESSID=12; remember=x;").unwrap_err());
    assert_ne!(asked.key(), other.key());
    let shown = format!("{asked:?} {:?} {asked}", asked.wording());
    assert!(!shown.contains("12"), "{shown}");
    let large = format!("PHPSESSID={}", "x".repeat(COOKIES_BYTES_MAX));
    assert_eq!(find(&large), Err(Denied::BadToken(BadToken::TooLarge)));
}

#[track_caller]
fn check_legacy(status: u16, body: &str, expected: &str) {
    let heard = legacy().read(status, body.as_bytes());
    let said = match &heard {
        Heard::Somebody(identity) => format!("{} {}", identity.subject, identity.roles.join(",")),
        other => other.as_str().to_owned(),
    };
    assert_eq!(said, expected, "{status} {body}");
}

#[test]
fn what_the_legacy_application_says_is_read_in_one_way() {
    check_legacy(
        200,
        r#"{"user":{"id":"alice","roles":["a","b"]}}"#,
        "old:alice a,b",
    );
    check_legacy(200, r#"{"user":{"id":42,"roles":"a b"}}"#, "old:42 a,b");
    check_legacy(200, r#"{"user":{"id":42}}"#, "old:42 ");
    for nobody in [
        "{}",
        r#"{"user":null}"#,
        r#"{"user":{"id":null}}"#,
        r#"{"user":{"id":0}}"#,
        r#"{"user":{"id":""}}"#,
        r#"{"user":{"id":false}}"#,
        "[]",
    ] {
        check_legacy(200, nobody, "nobody");
    }
    for unknown in [
        "",
        "<html>sign in</html>",
        r#"{"user":{"id":"a","id":"b"}}"#,
        r#"{"user":{"id":1.5}}"#,
        r#"{"user":{"id":-1}}"#,
        r#"{"user":{"id":true}}"#,
        r#"{"user":{"id":["a"]}}"#,
        r#"{"user":{"id":"a\nb"}}"#,
        r#"{"user":{"id":"a","roles":[1]}}"#,
        r#"{"user":{"id":"a","roles":{}}}"#,
    ] {
        check_legacy(200, unknown, "malformed");
    }
    for status in [401, 403] {
        check_legacy(status, r#"{"user":{"id":"alice"}}"#, "nobody");
    }
    for status in [301, 302, 303, 307, 308] {
        check_legacy(status, "", "redirected");
    }
    for status in [100, 201, 204, 206, 304, 400, 404, 429, 500, 502, 503, 504] {
        check_legacy(status, r#"{"user":{"id":"alice"}}"#, "status");
    }
}

#[test]
fn an_answer_counts_for_its_time_from_when_it_was_asked() {
    let memory = TokenMemory::new();
    let (legacy, answers) = (legacy(), memory.answers());
    let find = |text: &str, now| legacy.find(&cookies(text), answers, now);
    let asked = question(find("PHPSESSID=1", NOW).unwrap_err());
    let alice = asked.read(200, br#"{"user":{"id":"alice","plan":"pro"}}"#, NOW);
    answers.note(&asked, alice, NOW);
    let found = find("PHPSESSID=1", later(9)).unwrap().unwrap();
    assert_eq!((found.source, found.expires), (Source::Legacy, later(10)));
    assert_eq!(found.claims["plan"], "pro");
    assert_eq!(found.claims["sub"], "old:alice");
    assert!(matches!(find("PHPSESSID=1", later(10)), Err(Denied::Ask(_))));
    assert!(matches!(find("PHPSESSID=2", NOW), Err(Denied::Ask(_))));
    let long_ago = UnixTime::from_secs(NOW.secs() - 3600);
    assert!(
        matches!(find("PHPSESSID=1", long_ago), Err(Denied::Ask(_))),
        "the clock was set back"
    );

    let asked = question(find("PHPSESSID=2", NOW).unwrap_err());
    answers.note(&asked, asked.read(401, b"", NOW), NOW);
    assert_eq!(find("PHPSESSID=2", later(1)), Ok(None));
    assert!(matches!(find("PHPSESSID=2", later(2)), Err(Denied::Ask(_))));

    let asked = question(find("PHPSESSID=3", NOW).unwrap_err());
    answers.note(&asked, asked.read(500, b"", NOW), NOW);
    assert!(
        matches!(find("PHPSESSID=3", NOW), Err(Denied::Ask(_))),
        "nobody knows"
    );

    let changed = Arc::new(Legacy::new(&LegacySettings {
        id: "/other".to_owned(),
        ..legacy_settings()
    }));
    let found = changed.find(&cookies("PHPSESSID=1"), answers, NOW);
    assert!(matches!(found, Err(Denied::Ask(_))), "read by other settings");
}

#[test]
fn two_cores_know_a_cookie_by_other_keys() {
    let (one, two) = (TokenMemory::new(), TokenMemory::new());
    let key = |memory: &TokenMemory| {
        *question(
            legacy()
                .find(&cookies("PHPSESSID=1"), memory.answers(), NOW)
                .unwrap_err(),
        )
        .key()
    };
    assert_ne!(key(&one), key(&two));
}

#[test]
fn made_up_cookies_push_out_no_user() {
    let memory = TokenMemory::new();
    let (legacy, answers) = (legacy(), memory.answers());
    let ask = |text: &str| question(legacy.find(&cookies(text), answers, NOW).unwrap_err());
    let asked = ask("PHPSESSID=user");
    answers.note(&asked, asked.read(200, br#"{"user":{"id":"alice"}}"#, NOW), NOW);
    for n in 0..3 * ANSWERS_MAX {
        let asked = ask(&format!("PHPSESSID={n}"));
        answers.note(&asked, Heard::Nobody("nobody"), NOW);
        assert!(answers.len().1 <= ANSWERS_MAX);
    }
    assert!(
        legacy
            .find(&cookies("PHPSESSID=user"), answers, NOW)
            .unwrap()
            .is_some()
    );
}

fn told(change: &Value) -> Heard {
    let mut answer = json!({
        "active": true, "iss": "https://id.example.test/", "aud": "shop", "sub": "alice", "token_type": "Bearer",
        "exp": NOW.secs() + 300, "iat": NOW.secs(), "scope": "read", "roles": ["member"],
    });
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => _ = answer.as_object_mut().unwrap().remove(name),
            value => answer[name] = value.clone(),
        }
    }
    introspection().read(200, answer.to_string().as_bytes(), NOW)
}

#[track_caller]
fn check_told(change: &Value, expected: Result<&str, BadToken>) {
    let expected = expected.map_err(Heard::Refused);
    match (told(change), expected) {
        (Heard::Somebody(identity), Ok(subject)) => assert_eq!(identity.subject, subject),
        (heard, Err(wanted)) => assert_eq!(heard, wanted, "{change}"),
        (heard, Ok(_)) => panic!("{change}: {heard:?}"),
    }
}

#[test]
fn an_active_token_is_judged_by_what_is_said_of_it() {
    check_told(&json!({}), Ok("alice"));
    check_told(
        &json!({ "iss": null, "exp": null, "iat": null, "token_type": null }),
        Ok("alice"),
    );
    check_told(&json!({ "aud": ["x", "shop"], "azp": "edge" }), Ok("alice"));
    check_told(&json!({ "active": false }), Err(BadToken::Inactive));
    check_told(&json!({ "iss": "https://evil.example" }), Err(BadToken::Issuer));
    check_told(
        &json!({ "iss": ["https://id.example.test/"] }),
        Err(BadToken::Issuer),
    );
    check_told(&json!({ "aud": null }), Err(BadToken::Audience));
    check_told(&json!({ "aud": "elsewhere" }), Err(BadToken::Audience));
    check_told(&json!({ "aud": [] }), Err(BadToken::Audience));
    check_told(&json!({ "exp": NOW.secs() }), Err(BadToken::Expired));
    check_told(&json!({ "exp": "soon" }), Err(BadToken::Time));
    check_told(&json!({ "nbf": NOW.secs() + 100 }), Err(BadToken::NotYetValid));
    check_told(&json!({ "iat": NOW.secs() + 100 }), Err(BadToken::IssuedInFuture));
    check_told(&json!({ "sub": null }), Err(BadToken::Subject));
    check_told(&json!({ "sub": "a\u{0}b" }), Err(BadToken::Subject));
    check_told(&json!({ "token_type": "refresh_token" }), Err(BadToken::Type));
    check_told(&json!({ "token_type": "DPoP" }), Err(BadToken::Type));
    check_told(&json!({ "typ": "ID" }), Err(BadToken::Type));
    check_told(&json!({ "cnf": { "jkt": "x" } }), Err(BadToken::Bound));
    check_told(&json!({ "roles": 1 }), Err(BadToken::Roles));
}

#[test]
fn an_answer_that_says_nothing_is_no_verdict() {
    let read = |status, body: &str| introspection().read(status, body.as_bytes(), NOW);
    for (status, body, why) in [
        (401, "", "client_refused"),
        (403, "", "client_refused"),
        (302, "", "redirected"),
        (404, "", "status"),
        (500, r#"{"active":true}"#, "status"),
        (200, "", "malformed"),
        (200, "{}", "malformed"),
        (200, r#"{"active":"true"}"#, "malformed"),
        (200, r#"{"active":1}"#, "malformed"),
        (200, r#"{"active":false,"active":true}"#, "malformed"),
        (200, "<html>", "malformed"),
    ] {
        assert_eq!(read(status, body), Heard::Unknown(why), "{status} {body}");
    }
}

#[test]
fn a_token_is_asked_about_as_the_rfc_says_and_never_counts_beyond_its_end() {
    let memory = TokenMemory::new();
    let (introspection, answers) = (introspection(), memory.answers());
    let find = |token: &str, now| introspection.find(token, answers, now);
    let asked = question(find("opaque+1/=", NOW).unwrap_err());
    let wording = asked.wording();
    assert_eq!(
        wording.body,
        "token=opaque%2B1%2F%3D&token_type_hint=access_token"
    );
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "edge:s%3A+%25");
    assert_eq!(
        wording.fields[0],
        (Known::AUTHORIZATION, format!("Basic {basic}"))
    );
    assert_eq!(wording.host.as_deref(), Some("iam.example.com"));
    answers.note(&asked, told(&json!({ "exp": NOW.secs() + 3 })), NOW);
    assert_eq!(find("opaque+1/=", later(2)).unwrap().subject, "alice");
    assert!(matches!(find("opaque+1/=", later(3)), Err(Denied::Ask(_))));
    answers.note(&asked, told(&json!({ "active": false })), later(3));
    assert_eq!(
        find("opaque+1/=", later(4)),
        Err(Denied::BadToken(BadToken::Inactive))
    );
}

#[test]
fn asked_in_vain_nobody_is_let_in_and_open_pages_stay_open() {
    let memory = TokenMemory::new();
    let legacy = question(
        legacy()
            .find(&cookies("PHPSESSID=1"), memory.answers(), NOW)
            .unwrap_err(),
    );
    let token = question(introspection().find("opaque", memory.answers(), NOW).unwrap_err());
    let (required, optional) = (Requirement::of(Auth::Required), Requirement::of(Auth::Optional));
    assert_eq!(
        legacy.unanswered(&required),
        Err(Denied::Unanswered(Whom::Legacy))
    );
    assert_eq!(legacy.unanswered(&optional), Ok(None));
    for requirement in [&required, &optional] {
        let denied = token.unanswered(requirement).unwrap_err();
        assert_eq!(denied, Denied::Unanswered(Whom::Introspection));
        assert_eq!(denied.status(), 503);
    }
}

#[test]
fn asking_pauses_after_failures_in_a_row() {
    let begin = clock::steady();
    let at = |millis| begin + Duration::from_millis(millis);
    let mut circuit = Circuit::default();
    for _ in 1..FAILURES_MAX {
        circuit = circuit.failed(at(0));
        assert!(circuit.admit(at(0)).is_some());
    }
    let open = circuit.failed(at(0));
    assert_eq!(open.admit(at(999)), None);
    let tried = open.admit(at(1000)).unwrap();
    assert_eq!(
        tried.admit(at(1000)),
        None,
        "one tries, the others wait for what comes of it"
    );
    let again = tried.failed(at(1100));
    assert_eq!(again.admit(at(3099)), None, "the next pause is longer");
    assert!(again.admit(at(3100)).is_some());
    assert_eq!(Circuit::answered().admit(at(3100)), Some(Circuit::default()));
    let mut circuit = again;
    for _ in 0..40 {
        circuit = circuit.failed(at(5000));
    }
    let end: Instant = at(5000) + PAUSE_MAX;
    assert!(circuit.admit(end).is_some());
}

proptest! {
    #[test]
    fn any_answer_is_read(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
        legacy().read(status, &body);
        let heard = introspection().read(status, &body, NOW);
        prop_assert!(!matches!(heard, Heard::Somebody(_)));
    }

    #[test]
    fn nobody_is_somebody_without_an_id(id in prop::sample::select(vec!["null", "false", "0", "\"\"", "{}", "[]", "-3", "true"])) {
        let body = format!("{{\"user\":{{\"id\":{id}}}}}");
        prop_assert!(!matches!(legacy().read(200, body.as_bytes()), Heard::Somebody(_)));
    }
}
