//! Tokens and what becomes of them: a table of requests, and the law that no byte of a token can change.

use std::{fmt::Write as _, fs, path::Path};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Accept, Auth, Denied, Gate, GateSettings, Requirement, Source, TokenMemory, TokenProfile,
    test_issuer::{NOW, encode, gate, good_claims, good_header, issuer, merge, required, settings},
};
use crate::fields::Fields;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// One request. Whatever is not said is as in a good one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// `rsa`, `ec` or `ed`: which key signs.
    #[serde(default = "ed")]
    key: String,
    /// Changes of the header, or with `header_text` all of it.
    header: Option<String>,
    header_text: Option<String>,
    /// Changes of the claims, or with `claims_text` all of them.
    claims: Option<String>,
    claims_text: Option<String>,
    /// `Authorization` fields; `{token}`, `{header}`, `{claims}` and `{signature}` stand for the token and its parts.
    #[serde(default = "bearer")]
    fields: Vec<String>,
    #[serde(default = "yes")]
    auth: String,
    #[serde(default)]
    roles: Vec<String>,
    accept: Option<Vec<Source>>,
    /// `tokens` of `[gate]`, where it is not the usual one.
    tokens: Option<String>,
    /// `pass`, `anonymous`, or the word of the denial.
    expect: String,
}

fn ed() -> String {
    "ed".to_owned()
}

fn bearer() -> Vec<String> {
    vec!["Bearer {token}".to_owned()]
}

fn yes() -> String {
    "required".to_owned()
}

fn changed(mut good: Value, change: Option<&str>, whole: Option<&str>) -> String {
    if let Some(text) = whole {
        return text.to_owned();
    }
    if let Some(change) = change {
        merge(&mut good, &serde_json::from_str(change).unwrap());
    }
    good.to_string()
}

fn outcome(case: &Case) -> String {
    let header = changed(
        good_header(&case.key),
        case.header.as_deref(),
        case.header_text.as_deref(),
    );
    let claims = changed(good_claims(), case.claims.as_deref(), case.claims_text.as_deref());
    let token = issuer().token(&case.key, &header, &claims);
    let signature = token.rsplit('.').next().unwrap();
    let mut headers = HeaderMap::new();
    for field in &case.fields {
        let text = field
            .replace("{token}", &token)
            .replace("{header}", &encode(&header))
            .replace("{claims}", &encode(&claims))
            .replace("{signature}", signature)
            .replace("{much}", &"a".repeat(super::TOKEN_BYTES_MAX));
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(text.as_bytes()).unwrap());
    }
    let roles: Vec<&str> = case.roles.iter().map(String::as_str).collect();
    let requirement = Requirement {
        auth: match case.auth.as_str() {
            "none" => Auth::None,
            "optional" => Auth::Optional,
            "required" => Auth::Required,
            other => panic!("no auth {other}"),
        },
        accept: match &case.accept {
            Some(sources) => Accept::of(sources),
            None => Accept::default(),
        },
        ..required(&roles)
    };
    let gate = match case.tokens.as_deref() {
        None => gate(),
        Some("jwt") => Gate::new(&GateSettings {
            profile: TokenProfile::Jwt,
            ..settings()
        }),
        Some(other) => panic!("no tokens {other}"),
    };
    let memory = TokenMemory::new();
    let check = || {
        gate.check(
            &requirement,
            &Fields::from(&headers),
            &issuer().keys(),
            NOW,
            &memory,
        )
    };
    let verdict = check();
    assert_eq!(check(), verdict, "{}: the memory changes the verdict", case.name);
    match verdict {
        Ok(Some(_)) => "pass".to_owned(),
        Ok(None) => "anonymous".to_owned(),
        Err(denied) => denied.as_str().to_owned(),
    }
}

#[track_caller]
fn check_table(file: &str, cases_min: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/tables/gate")
        .join(file);
    let table: Table = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut wrong = String::new();
    for case in &table.case {
        let got = outcome(case);
        if got != case.expect {
            writeln!(wrong, "{}: expected {}, got {got}", case.name, case.expect).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{file}:\n{wrong}");
    assert!(
        table.case.len() >= cases_min,
        "{file} has {} cases only",
        table.case.len()
    );
}

#[test]
fn tokens_are_judged_as_the_table_says() {
    check_table("tokens.toml", 90);
}

#[test]
fn requests_are_judged_as_the_table_says() {
    check_table("requests.toml", 20);
}

#[test]
fn no_key_of_the_set_can_be_used_as_a_shared_secret() {
    // CVE-2026-34950 and its like: HS256 over the public key, in every form that it is known in.
    for kind in ["rsa", "ec", "ed"] {
        let jwk = issuer().jwk(kind);
        for secret in [jwk.to_string(), jwk["n"].to_string(), jwk["x"].to_string()] {
            let message = format!(
                "{}.{}",
                encode(json!({ "alg": "HS256", "kid": kind }).to_string()),
                encode(good_claims().to_string())
            );
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
            let token = format!("{message}.{}", encode(tag));
            assert_eq!(denied_word(&token), "token_algorithm");
        }
    }
}

fn denied_word(token: &str) -> &'static str {
    match denial(token.as_bytes()) {
        Some(denied) => denied.as_str(),
        None => "pass",
    }
}

/// Why a token is denied on a route that asks for one; `None` if it is not.
fn denial(token: &[u8]) -> Option<Denied> {
    let mut headers = HeaderMap::new();
    let field = HeaderValue::from_bytes(&[b"Bearer ", token].concat()).ok()?;
    headers.insert(AUTHORIZATION, field);
    let requirement = required(&[]);
    gate()
        .check(
            &requirement,
            &headers.into(),
            &issuer().keys(),
            NOW,
            &TokenMemory::new(),
        )
        .err()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_token_with_one_byte_changed_is_denied(
        kind in prop::sample::select(vec!["rsa", "ec", "ed"]),
        at in any::<prop::sample::Index>(),
        to in 0x20_u8..=0xff,
    ) {
        let mut token = issuer().good_token(kind, &json!({})).into_bytes();
        prop_assert_eq!(denial(&token), None);
        let at = at.index(token.len());
        prop_assume!(token[at] != to && to != 0x7f);
        token[at] = to;
        prop_assert!(denial(&token).is_some());
    }

    #[test]
    fn any_bytes_get_a_verdict(field in prop::collection::vec(any::<u8>(), 0..200)) {
        denial(&field);
    }
}
