//! Laws of what browsers carry: it opens for one purpose on one host, fits into a cookie, and says no more than the provider said.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Brought, COOKIE_BYTES_MAX, Mark, NoSession, Purpose, Revocations, Ring, SESSION_COOKIE, SIGN_IN_COOKIES,
    SIGN_IN_LASTS, SessionSettings, Sessions, SignIn, Wish, free_place, under_way,
};
use crate::{
    clock::UnixTime,
    fields::Fields,
    gate::{
        Accept, Auth, Denied, Gate, GateSettings, KeySet, Requirement, Source, TokenMemory,
        lookup::{LegacySettings, Terms},
        test_issuer::{NOW, settings},
    },
    name::BackendName,
    visitor::SigningKey,
};

const HOST: &str = "www.example.test";

fn key(id: &str) -> SigningKey {
    SigningKey {
        id: id.to_owned(),
        secret: format!("{id:0<32}").into_bytes(),
    }
}

fn sessions(keys: &[SigningKey]) -> Arc<Sessions> {
    let session = SessionSettings {
        client_id: "banyan".to_owned(),
        client_secret: None,
        scopes: vec!["openid".to_owned()],
        absolute: Duration::from_secs(1000),
        idle: Duration::from_secs(100),
        check: Duration::from_secs(10),
        keys: keys.to_vec(),
    };
    Arc::new(Sessions::new(
        &settings(),
        &session,
        &[],
        Arc::new(Revocations::default()),
    ))
}

fn begun(sessions: &Sessions, claims: &Value, refresh: Option<&str>) -> Brought {
    let refresh = refresh.map(str::to_owned);
    sessions
        .begin(HOST, claims, refresh, (NOW, NOW), ([7; 16], [9; 12]))
        .unwrap()
}

fn value(brought: &Brought) -> String {
    let cookie = brought.set_cookie.as_ref().unwrap().to_str().unwrap();
    assert!(cookie.len() <= COOKIE_BYTES_MAX, "{}", cookie.len());
    let value = cookie
        .strip_prefix(SESSION_COOKIE)
        .unwrap()
        .strip_prefix('=')
        .unwrap();
    value.split(';').next().unwrap().to_owned()
}

fn request(host: &str, cookies: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    fields.insert("host", host);
    for (name, value) in cookies {
        fields.append("cookie", format!("{name}={value}"));
    }
    fields
}

fn after(secs: u64) -> UnixTime {
    UnixTime {
        millis: NOW.millis + secs * 1000,
    }
}

#[track_caller]
fn check(sessions: &Sessions, fields: &Fields, now: UnixTime, expected: Result<&str, NoSession>) {
    let memory = TokenMemory::new();
    for round in ["opened", "remembered"] {
        let found = sessions.find(fields, now, &memory);
        let found = found.as_ref().map(|session| session.identity.subject.as_str());
        assert_eq!(found.map_err(|why| *why), expected, "{round}");
    }
}

#[test]
fn a_session_counts_until_its_time_is_over() {
    let sessions = sessions(&[key("a")]);
    let claims = json!({ "sub": "alice", "roles": ["member"], "nonce": "n", "sid": "s" });
    let (plain, checked) = (
        begun(&sessions, &claims, None),
        begun(&sessions, &claims, Some("r")),
    );
    let of = |brought: &Brought| request(HOST, &[(SESSION_COOKIE, &value(brought))]);
    check(&sessions, &of(&plain), after(9), Ok("alice"));
    check(&sessions, &of(&plain), after(10), Err(NoSession::CheckDue));
    check(&sessions, &of(&checked), after(10), Err(NoSession::Unchecked));
    check(&sessions, &of(&checked), after(100), Err(NoSession::Ended));
    assert_eq!(
        plain.session.identity.claims,
        json!({ "sub": "alice", "roles": ["member"] })
    );

    let now = after(95);
    let renewed = sessions
        .renew(HOST, &checked.session, None, None, now, [1; 12])
        .unwrap();
    assert_eq!(renewed.session.identity.expires, after(195));
    assert_eq!(renewed.session.refresh_token(), Some("r"));
    let late = sessions
        .renew(HOST, &renewed.session, None, None, after(990), [1; 12])
        .unwrap();
    assert_eq!(
        late.session.identity.expires,
        after(1000),
        "not longer than it may live"
    );
    sessions.revoked.end(Mark::sid("s"), NOW, after(1000));
    check(&sessions, &of(&plain), after(5), Err(NoSession::Revoked));
    check(&sessions, &request(HOST, &[]), NOW, Err(NoSession::Absent));
}

#[test]
fn a_session_opens_with_its_keys_on_its_host() {
    let (old, both) = (sessions(&[key("a")]), sessions(&[key("b"), key("a")]));
    let cookie = value(&begun(&old, &json!({ "sub": "alice" }), None));
    let of = |host: &str| request(host, &[(SESSION_COOKIE, &cookie)]);
    check(&old, &of(HOST), NOW, Ok("alice"));
    for host in ["WWW.example.TEST", "www.example.test:8443", "www.example.test."] {
        check(&old, &of(host), NOW, Ok("alice"));
    }
    check(&old, &of("example.test"), NOW, Err(NoSession::Damaged));
    check(&both, &of(HOST), NOW, Ok("alice"));
    check(&sessions(&[key("b")]), &of(HOST), NOW, Err(NoSession::UnknownKey));
    let mut other = key("a");
    other.secret = vec![7; 32];
    check(&sessions(&[other]), &of(HOST), NOW, Err(NoSession::Damaged));
    check(&sessions(&[]), &of(HOST), NOW, Err(NoSession::UnknownKey));
    let (good, bad) = (cookie.as_str(), "1.a.AAAA");
    check(
        &old,
        &request(HOST, &[(SESSION_COOKIE, bad), (SESSION_COOKIE, good)]),
        NOW,
        Ok("alice"),
    );
    assert!(
        value(&begun(&both, &json!({ "sub": "bob" }), None)).starts_with("1.b."),
        "the first key seals"
    );
}

#[test]
fn a_session_bars_nobody_from_where_nobody_must_be_known() {
    let at = sessions(&[key("a")]);
    let gate = Gate::new(&settings()).with_sessions(Some(Arc::clone(&at)));
    let cookie = value(&begun(&at, &json!({ "sub": "alice" }), None));
    let fields = request(HOST, &[(SESSION_COOKIE, &cookie)]);
    let ask = |auth: Auth, now: UnixTime| {
        let requirement = Requirement::of(auth);
        let checked = gate.check(&requirement, &fields, &KeySet::none(), now, &TokenMemory::new());
        checked.map(|identity| identity.is_some())
    };
    assert_eq!(ask(Auth::Required, NOW), Ok(true));
    assert_eq!(ask(Auth::None, NOW), Ok(false));
    assert_eq!(ask(Auth::Optional, after(2000)), Ok(false));
    assert_eq!(
        ask(Auth::Required, after(2000)),
        Err(Denied::NoSession(NoSession::Ended))
    );
}

#[test]
fn a_session_wins_over_the_legacy_cookie_until_it_has_ended() {
    let at = sessions(&[key("a")]);
    let second = Duration::from_secs(1);
    let legacy = LegacySettings {
        backend: BackendName::new("legacy").unwrap(),
        path: "/session".to_owned(),
        host: None,
        cookies: vec!["PHPSESSID".to_owned()],
        id: "/id".to_owned(),
        roles: None,
        claims: None,
        prefix: String::new(),
        terms: Terms {
            timeout: second,
            remember: second,
            remember_nobody: second,
        },
    };
    let gate = Gate::new(&GateSettings {
        legacy: Some(legacy),
        ..settings()
    })
    .with_sessions(Some(Arc::clone(&at)));
    let plain = value(&begun(&at, &json!({ "sub": "alice" }), None));
    let checked = value(&begun(&at, &json!({ "sub": "alice" }), Some("r")));
    let ask = |accept: &[Source], session: &str, now: UnixTime| {
        let fields = request(HOST, &[("PHPSESSID", "1"), (SESSION_COOKIE, session)]);
        let requirement = Requirement {
            accept: Accept::of(accept),
            ..Requirement::of(Auth::Required)
        };
        let found = gate.check(&requirement, &fields, &KeySet::none(), now, &TokenMemory::new());
        match found {
            Ok(identity) => identity.unwrap().subject.clone(),
            Err(denied) => denied.as_str().to_owned(),
        }
    };
    let both = [Source::Legacy, Source::Session];
    assert_eq!(ask(&both, &plain, NOW), "alice");
    assert_eq!(ask(&[Source::Legacy], &plain, NOW), "not_asked");
    assert_eq!(ask(&both, "damaged", NOW), "not_asked");
    assert_eq!(ask(&both, &plain, after(2000)), "not_asked");
    let waits = |why: NoSession| why.as_str().to_owned();
    assert_eq!(ask(&both, &plain, after(10)), waits(NoSession::CheckDue));
    assert_eq!(ask(&both, &checked, after(10)), waits(NoSession::Unchecked));
    assert_eq!(
        ask(&[Source::Session], &plain, after(2000)),
        waits(NoSession::Ended)
    );
}

#[test]
fn what_does_not_fit_is_left_out_and_never_the_roles() {
    let sessions = sessions(&[key("a")]);
    let long = "x".repeat(3000);
    let claims = json!({ "sub": "alice", "roles": ["member"], "picture": long, "name": "Alice" });
    let brought = begun(&sessions, &claims, Some("r"));
    value(&brought);
    assert_eq!(brought.session.identity.roles, ["member"]);
    assert_eq!(brought.session.identity.claims["name"], "Alice");
    assert!(brought.session.can_be_checked());
    let brought = begun(&sessions, &json!({ "sub": "alice" }), Some(&long));
    assert!(!brought.session.can_be_checked(), "a check is a new sign-in then");
    let roles: Vec<String> = (0..500).map(|number| format!("role-{number}")).collect();
    let claims = json!({ "sub": "alice", "roles": roles });
    let refused = sessions.begin(HOST, &claims, None, (NOW, NOW), ([7; 16], [9; 12]));
    assert!(refused.is_err(), "roles are never dropped");
}

#[test]
fn sign_ins_under_way_are_few_and_end() {
    let sessions = sessions(&[key("a")]);
    let mut jar: Vec<(&str, String)> = Vec::new();
    for number in 0..5_u8 {
        let now = after(u64::from(number));
        let pairs: Vec<(&str, &str)> = jar.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let place = free_place(&sessions, &request(HOST, &pairs), HOST, now);
        let sign_in = SignIn::begin("/to", Wish::default(), now, &[number; 96]);
        let cookie = sessions.set_sign_in(&sign_in, place, HOST, [number; 12]).unwrap();
        let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
        let name = SIGN_IN_COOKIES.into_iter().find(|known| *known == name).unwrap();
        jar.retain(|(known, _)| *known != name);
        jar.push((name, rest.split(';').next().unwrap().to_owned()));
    }
    let pairs: Vec<(&str, &str)> = jar.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let fields = request(HOST, &pairs);
    let state = |number: u8| {
        let text = serde_json::to_value(SignIn::begin("/", Wish::default(), NOW, &[number; 96])).unwrap();
        format!("code=c&state={}", text["s"].as_str().unwrap())
    };
    for number in 0..5 {
        let found = under_way(&sessions, &fields, HOST, &state(number), after(5));
        assert_eq!(found.is_some(), number >= 2, "{number}");
    }
    let late = after(5 + SIGN_IN_LASTS.as_secs());
    assert!(under_way(&sessions, &fields, HOST, &state(4), late).is_none());
    assert!(under_way(&sessions, &fields, "other.test", &state(4), after(5)).is_none());
}

proptest! {
    #[test]
    fn nothing_opens_for_another_purpose_or_host(text in proptest::collection::vec(any::<u8>(), 0..200), nonce: [u8; 12]) {
        let ring = Ring::new(&[key("a")]);
        let purposes = [Purpose::Session, Purpose::SignIn, Purpose::SignOut];
        for purpose in purposes {
            let sealed = ring.seal(purpose, HOST, text.clone(), nonce).unwrap();
            for other in purposes {
                let opened = ring.open(other, HOST, &sealed).ok();
                prop_assert_eq!(opened, (other == purpose).then(|| text.clone()));
                prop_assert!(ring.open(other, "other.test", &sealed).is_err());
            }
        }
    }

    #[test]
    fn no_change_of_a_cookie_opens(at in 0_usize..400, with: u8) {
        let sessions = sessions(&[key("a")]);
        let cookie = value(&begun(&sessions, &json!({ "sub": "alice", "roles": ["member"] }), Some("r")));
        let mut bytes = cookie.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = with;
        if let Ok(changed) = String::from_utf8(bytes) && changed != cookie {
            prop_assert!(sessions.open(&changed, HOST).is_err());
        }
    }

    #[test]
    fn whatever_the_claims_a_cookie_is_bounded(
        claims in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{0,400}", 0..30),
        refresh in proptest::option::of("[!-~]{0,3000}"),
    ) {
        let sessions = sessions(&[key("a")]);
        let mut all = json!({ "sub": "alice" });
        for (name, text) in claims {
            if !["sub", "roles", "sid"].contains(&name.as_str()) {
                all[name] = json!(text);
            }
        }
        if let Ok(brought) = sessions.begin(HOST, &all, refresh, (NOW, NOW), ([7; 16], [9; 12])) {
            prop_assert!(brought.set_cookie.as_ref().unwrap().len() <= COOKIE_BYTES_MAX);
            let opened = sessions.open(&value(&brought), HOST).unwrap();
            prop_assert_eq!(&opened.identity, &brought.session.identity);
            prop_assert_eq!(opened.refresh_token(), brought.session.refresh_token());
        }
    }
}
