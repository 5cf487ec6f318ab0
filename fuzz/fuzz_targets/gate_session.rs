//! Any `Cookie` field, any text under a good seal, and any change to a good cookie: a verdict, the same one again, and nobody let in by
//! what was not sealed here for this host and purpose. Texts to begin with are in `fuzz/seeds/gate_session`.
#![no_main]

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use banyan::{
    clock::UnixTime,
    fields::{Fields, Known},
    gate::{
        Accept, GateSettings, KeySource, LIFETIME, TokenMemory, TokenProfile,
        session::{
            COOKIE_BYTES_MAX, NoSession, Purpose, Revocations, SESSION_COOKIE, SIGN_IN_COOKIES, SessionSettings, Sessions,
            SignIn, free_place, under_way,
        },
    },
    visitor::{SigningKey, is_local},
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const HOST: &str = "localhost";

static SESSIONS: LazyLock<Sessions> = LazyLock::new(|| {
    let session = SessionSettings {
        client_id: "banyan".to_owned(),
        client_secret: None,
        scopes: vec!["openid".to_owned()],
        absolute: Duration::from_secs(43_200),
        idle: Duration::from_secs(3_600),
        check: Duration::from_secs(300),
        keys: vec![SigningKey {
            id: "k1".to_owned(),
            secret: vec![7; 32],
        }],
    };
    let gate = GateSettings {
        issuer: "https://i".to_owned(),
        audiences: vec!["a".to_owned()],
        keys: KeySource::Nowhere,
        roles_claim: "/roles".to_owned(),
        leeway: Duration::from_secs(30),
        default_auth: None,
        ca: None,
        legacy: None,
        introspection: None,
        default_accept: Accept::default(),
        groups_claim: "/groups".to_owned(),
        profile: TokenProfile::Jwt,
        max_lifetime: LIFETIME,
        demands: Vec::new(),
        strip: Vec::new(),
        session: Some(session.clone()),
    };
    Sessions::new(&gate, &session, &[], Arc::new(Revocations::default()))
});

/// A cookie that lets in.
static GOOD: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({ "sub": "alice", "roles": ["member"] });
    let begun = SESSIONS.begin(HOST, &claims, Some("refresh".to_owned()), (NOW, NOW), ([1; 16], [2; 12]));
    let field = begun.expect("it fits").set_cookie.expect("a cookie");
    let text = field.to_str().expect("a text");
    let (_, value) = text.split_once('=').expect("a name");
    value.split(';').next().expect("a value").to_owned()
});

fn headers(host: &str, cookie: &[u8]) -> Fields {
    let mut headers = Fields::new();
    headers.insert(Known::HOST, host);
    for field in cookie.split(|byte| *byte == b'\n') {
        headers.append(Known::COOKIE, field);
    }
    headers
}

/// Whether a session cookie counts: twice the same, from memory too.
fn session(headers: &Fields) -> Result<(), NoSession> {
    let memory = TokenMemory::new();
    let found = SESSIONS.find(headers, NOW, &memory);
    let again = SESSIONS.find(headers, NOW, &memory);
    assert_eq!(found.as_ref().map(|_| ()), again.as_ref().map(|_| ()));
    let session = found?;
    let identity = &session.identity;
    assert!(identity.expires > NOW && !identity.subject.is_empty());
    assert!(session.checked.millis + 300_000 > NOW.millis);
    let late = UnixTime::from_secs(identity.expires.secs() + 1);
    assert!(SESSIONS.find(headers, late, &memory).is_err(), "it outlives its end");
    Ok(())
}

/// The sign-in that comes back with this state.
fn sign_in(headers: &Fields, state: &str) -> Option<SignIn> {
    assert!(free_place(&SESSIONS, headers, HOST, NOW) < SIGN_IN_COOKIES.len());
    let (place, sign_in) = under_way(&SESSIONS, headers, HOST, &format!("code=c&state={state}"), NOW)?;
    assert!(place < SIGN_IN_COOKIES.len() && is_local(sign_in.to()));
    Some(sign_in)
}

fuzz_target!(|data: &[u8]| {
    let state = std::str::from_utf8(data).unwrap_or("s");
    // as it is: nobody guesses a seal
    let plain = headers(HOST, data);
    assert!(session(&plain).is_err());
    assert!(sign_in(&plain, state).is_none());
    assert!(SESSIONS.open_sign_out(state, HOST).is_none());
    for name in [SESSION_COOKIE, SIGN_IN_COOKIES[0]] {
        let cookie = [name.as_bytes(), b"=", data].concat();
        assert!(session(&headers(HOST, &cookie)).is_err());
        assert!(sign_in(&headers(HOST, &cookie), state).is_none());
    }
    // sealed by us, for each purpose: it opens for that one and this host alone
    for purpose in [Purpose::Session, Purpose::SignIn, Purpose::SignOut] {
        let sealed = SESSIONS.ring.seal(purpose, HOST, data.to_vec(), [3; 12]).expect("a key");
        let pair = |name: &str| format!("{name}={sealed}").into_bytes();
        let as_session = headers(HOST, &pair(SESSION_COOKIE));
        let found = session(&as_session);
        assert!(found.is_err() || (purpose == Purpose::Session && sealed.len() <= COOKIE_BYTES_MAX));
        assert!(session(&headers("elsewhere.test", &pair(SESSION_COOKIE))).is_err());
        let begun = sign_in(&headers(HOST, &pair(SIGN_IN_COOKIES[1])), state);
        assert!(begun.is_none() || purpose == Purpose::SignIn);
        if let Some(to) = SESSIONS.open_sign_out(&sealed, HOST) {
            assert!(purpose == Purpose::SignOut && is_local(&to));
        }
    }
    // a good one, changed at one place
    if let [at, at_too, byte, ..] = *data {
        let mut changed = GOOD.clone().into_bytes();
        let at = usize::from(u16::from_be_bytes([at, at_too])) % changed.len();
        changed[at] = byte;
        let same = changed == GOOD.as_bytes();
        let cookie = [SESSION_COOKIE.as_bytes(), b"=", &changed].concat();
        assert_eq!(session(&headers(HOST, &cookie)).is_ok(), same);
    }
});
