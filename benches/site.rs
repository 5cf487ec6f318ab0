//! Sites of any size, made up in memory.

use std::{fmt::Write, time::Duration};

use banyan::{
    config::{self, Sources, settings::Settings},
    snapshot::{
        Snapshot,
        compile::{self, Means},
    },
    visitor::{SigningKey, VisitorSettings},
};

const OPERATOR: &str = r#"
hosts = ["www.example.com"]
[listen]
https = ["127.0.0.1:0"]
[gate]
issuer = "https://id.example.com/"
audience = "edge"
jwks = "keys.json"
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
backend = "legacy"
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
        sessions: &[],
        tls: &|_| Err("no TLS here".to_owned()),
    };
    compile::compile(settings, 1, &means).expect("the site compiles")
}
