//! Tokens by what is good or wrong about them, for the table of attacks.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::issuer::{GOOD, Issuer, OTHER};

/// The token of this kind.
pub fn token(kind: &str) -> String {
    let now = banyan::clock::wall().secs();
    let with = |claims: Value| GOOD.token_with("EdDSA", &claims);
    let signed = |more: Value| GOOD.signed("EdDSA", &header(&more), &claims());
    match kind {
        "member" => GOOD.token("EdDSA", "alice", &["member"]),
        "admin" => GOOD.token("ES256", "root", &["admin"]),
        "none" => with(json!({ "sub": "carol" })),
        "odd" => with(json!({ "sub": "a,b é", "roles": ["x,admin", "한"] })),
        "line-subject" => with(json!({ "sub": "a\r\nBanyan-Roles: admin" })),
        "nul-subject" => with(json!({ "sub": "a\0b" })),
        "line-role" => with(json!({ "roles": ["member\nBanyan-Roles: admin"] })),
        "garbage" => "x.y".to_owned(),
        "email" => with(json!({ "sub": null, "email": "alice@example.test" })),
        "emails" => {
            with(json!({ "sub": null, "email": "alice@evil.test@example.test", "email_verified": true }))
        }
        "elsewhere" => with(json!({ "aud": "app" })),
        "lookalike-issuer" => with(json!({ "iss": "https://evilid.example.test" })),
        "longer-audience" => with(json!({ "aud": "edge.evil.test" })),
        "two-issuers" => with(json!({ "iss": ["https://id.example.test", "https://evil.test"] })),
        "assertion" => signed(json!({ "typ": "banyan+jwt" })),
        "id-token" => signed(json!({ "typ": "JWT" })),
        "logout-token" => signed(json!({ "typ": "logout+jwt" })),
        "text-exp" => with(json!({ "exp": "99999999999" })),
        "text-nbf" => with(json!({ "nbf": "0" })),
        "milliseconds" => with(json!({ "exp": (now + 600) * 1000 })),
        "just-over" => with(json!({ "exp": now - 59 })),
        "from-tomorrow" => with(json!({ "iat": now + 86_400 })),
        "bound" => with(json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } })),
        other => forged(other),
    }
}

/// Those whose signature, or what is said about it, is wrong.
fn forged(kind: &str) -> String {
    let signed = |more: Value| GOOD.signed("EdDSA", &header(&more), &claims());
    let by_another = |more: Value| OTHER.signed("EdDSA", &header(&more), &claims());
    match kind {
        "HS256" => GOOD.confused("HS256"),
        "HS256-jwk" => shared(&jwk(&GOOD, 2).to_string(), &claims()),
        "HS256-text" => shared(jwk(&GOOD, 2)["x"].as_str().unwrap(), &claims()),
        "HS256-rsa" => shared(jwk(&GOOD, 0)["n"].as_str().unwrap(), &claims()),
        "HS256-jwks" => shared(&GOOD.jwks(), &claims()),
        "HS256-empty" => shared("", &claims()),
        "none-alg" => GOOD.confused("none"),
        "other-alg" => signed(json!({ "alg": "XS256" })),
        "small-alg" => signed(json!({ "alg": "eddsa" })),
        "list-alg" => signed(json!({ "alg": ["EdDSA"] })),
        "five-parts" => format!("{}.a.b", GOOD.token("EdDSA", "alice", &["admin"])),
        "no-signature" => {
            let token = GOOD.token("EdDSA", "alice", &["admin"]);
            token[..=token.rfind('.').unwrap()].to_owned()
        }
        "embedded-jwk" => by_another(json!({ "jwk": jwk(&OTHER, 2) })),
        "named-keys" => by_another(json!({ "jku": "https://evil.test/jwks", "x5u": "https://evil.test/x" })),
        "path-kid" => by_another(json!({ "kid": "../../../../dev/null" })),
        "crit" => signed(json!({ "crit": ["exp"] })),
        other => panic!("no token {other}"),
    }
}

fn header(more: &Value) -> Value {
    let mut header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "good-EdDSA" });
    for (name, value) in more.as_object().unwrap() {
        header[name] = value.clone();
    }
    header
}

fn claims() -> Value {
    let now = banyan::clock::wall().secs();
    json!({
        "iss": "https://id.example.test", "aud": "edge", "sub": "alice", "iat": now - 10, "exp": now + 600,
        "client_id": "app", "jti": "n1", "roles": ["admin"],
    })
}

fn jwk(issuer: &Issuer, at: usize) -> Value {
    let keys: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    keys["keys"][at].clone()
}

/// A token made with some writing of a public key as a shared secret.
fn shared(secret: &str, claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "good-EdDSA" });
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        message.as_bytes(),
    );
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}
