//! Sites of any size, made up in memory.

use std::{fmt::Write, sync::Arc, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use banyan::{
    clock::UnixTime,
    config::{self, Sources, settings::Settings},
    gate::{KeySet, session::SESSION_COOKIE},
    snapshot::{
        Snapshot,
        compile::{self, Means},
    },
    visitor::{SigningKey, VisitorSettings},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

const OPERATOR: &str = r#"
hosts = ["www.example.com"]
[listen]
https = ["127.0.0.1:0"]
[gate]
issuer = "https://id.example.com/"
audience = "edge"
jwks = "keys.json"
client_id = "banyan"
default_auth = "none"
[squads.all]
paths = ["/*"]
"#;

const FLAG: &str = r#"
variants = ["legacy", "new"]
default = "legacy"
[[rules]]
if = { in = ["staff", { var = "user.roles" }] }
serve = "new"
[rollout]
new = 30.0
"#;

const ROLLOUT: &str = r#"
variants = ["legacy", "new"]
default = "legacy"
[rollout]
new = 30.0
"#;

/// Flags that the route `/twenty/*` asks.
pub(super) const TWENTY: usize = 20;
/// Flags that no route asks.
const UNUSED: usize = 200;

/// The routes that every site has.
const ALWAYS: &str = r#"
squad = "all"
[backends.legacy]
servers = ["http://127.0.0.1:9"]
[backends.new]
servers = ["http://127.0.0.1:9"]
[[routes]]
path = "/*"
backend = "legacy"
[[routes]]
path = "/moving/{slug}"
flag = "moving"
backends = { legacy = "legacy", new = "new" }
[[routes]]
path = "/kept/{slug}"
backend = "new"
[routes.cache]
ttl = { default = "1h" }
[[routes]]
path = "/account/*"
auth = "required"
accept = ["session", "bearer"]
backend = "new"
[[routes]]
path = "/public/*"
backend = "new"
"#;

/// The files of a site with `count` templates beside the few routes that every site has: a third exact, a third with a
/// `{slug}`, a third with a last `/*`.
pub(super) fn templates(count: usize) -> Sources {
    of_rules((0..count).map(|at| format!("path = \"{}\"", template(at))))
}

/// The template with this number.
pub(super) fn template(at: usize) -> String {
    let section = at / 50;
    match at % 3 {
        0 => format!("/section-{section:03}/page-{at:05}"),
        1 => format!("/section-{section:03}/item-{at:05}/{{slug}}"),
        _ => format!("/section-{section:03}/tree-{at:05}/*"),
    }
}

/// The files of a site with these path rules, as TOML, beside the routes that every site has.
pub(super) fn of_rules(rules: impl Iterator<Item = String>) -> Sources {
    let mut routes = ALWAYS.to_owned();
    let twenty: Vec<String> = (0..TWENTY).map(|at| format!("\"twenty-{at}\"")).collect();
    let twenty = twenty.join(", ");
    let _ = write!(
        routes,
        "[[routes]]\npath = \"/twenty/*\"\nbackend = \"legacy\"\nflags = [{twenty}]\n"
    );
    for rule in rules {
        let _ = write!(routes, "[[routes]]\n{rule}\nbackend = \"new\"\n");
    }
    let mut sources = Sources::empty("/site")
        .with("banyan.toml", OPERATOR)
        .with("flags/moving.toml", FLAG)
        .with("routes/all.toml", &routes);
    for at in 0..TWENTY {
        sources.insert(&format!("flags/twenty-{at}.toml"), ROLLOUT);
    }
    for at in 0..UNUSED {
        sources.insert(&format!("flags/unused-{at}.toml"), FLAG);
    }
    sources
}

/// Reads a site, as a start and every reload do.
pub(super) fn settings(sources: &Sources) -> Settings {
    let loaded = config::load_sources(sources, &|_| None);
    loaded.settings.expect("the site is good")
}

/// Compiles a site, as a start and every reload do.
pub(super) fn snapshot(settings: &Settings) -> Snapshot {
    let visitors = VisitorSettings {
        keys: vec![SigningKey {
            id: "k1".to_owned(),
            secret: vec![7; 32],
        }],
        max_age: Duration::from_secs(180 * 86_400),
        ..VisitorSettings::default()
    };
    let means = Means {
        previous: None,
        visitors: &visitors,
        sessions: &visitors.keys,
        tls: &|_| Err("no TLS here".to_owned()),
    };
    compile::compile(settings, 1, &means).expect("the site compiles")
}

/// Gives the gate a key, and makes a token that it signed, good at `now`.
pub(super) fn token(site: &Snapshot, now: UnixTime) -> String {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any 32 bytes are a seed");
    let x = URL_SAFE_NO_PAD.encode(key.public_key());
    let jwks = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"{x}"}}]}}"#);
    let (keys, _) = KeySet::parse(&jwks).expect("it is a key set");
    let gate = site.gate.as_ref().expect("every site has a gate");
    gate.keys.store(Arc::new(keys));
    let claims = json!({
        "iss": "https://id.example.com/", "aud": "edge", "sub": "alice", "client_id": "app", "jti": "1",
        "iat": now.secs() - 10, "exp": now.secs() + 3_600, "roles": ["member", "staff"], "scope": "orders:read orders:write",
    });
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","kid":"ed","typ":"at+jwt"}"#);
    let message = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// The session cookie of somebody who signed in at `now`, of about 1 kB, as `name=value`.
pub(super) fn session(site: &Snapshot, now: UnixTime) -> String {
    let gate = site.gate.as_ref().expect("every site has a gate");
    let sessions = gate.gate.sessions().expect("people can sign in");
    let claims = json!({
        "sub": "f3a1c8e2-6a55-4a0e-9c3f-0d1b2e3f4a5b", "sid": "0f9e8d7c-6b5a", "name": "Alice Example", "email": "alice@example.com",
        "roles": ["member", "staff", "editor"], "groups": ["/company/sales", "/company/sales/north", "/company/everybody"],
        "acr": "1", "auth_time": now.secs(), "picture": "https://id.example.com/pictures/f3a1c8e2-6a55-4a0e-9c3f-0d1b2e3f4a5b.png",
    });
    let refresh = Some("x".repeat(120));
    let begun = sessions.begin(
        "www.example.com",
        &claims,
        refresh,
        (now, now),
        ([1; 16], [2; 12]),
    );
    let cookie = begun.expect("it fits").set_cookie.expect("a cookie");
    let text = cookie.to_str().expect("a text");
    assert!(text.starts_with(SESSION_COOKIE));
    text.split(';').next().unwrap_or_default().to_owned()
}
