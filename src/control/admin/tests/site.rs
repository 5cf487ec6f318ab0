//! A small site in memory, as the admin listener sees it, and a client for its answers.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::{
    clock::UnixTime,
    config::{self, Sources, admin::hex},
    control::{
        admin::{Door, endpoints, tokens::hash},
        cache::Cache,
        edit::Editor,
        history::History,
        plane::{Handle, View},
        status::{Outcome, Status},
    },
    gate::assertion::Signer,
    observe::{Observer, metrics::Facts},
    snapshot::{
        compile::{Means, compile},
        live::Live,
    },
    visitor::{SigningKey, VisitorSettings},
};

const OPERATOR: &str = r#"
hosts = ["www.example.com"]
[listen]
https = ["127.0.0.1:0"]
[squads.learn]
paths = ["/*"]
[squads.legacy]
paths = ["/*"]
[squads.pay]
paths = ["/*"]
"#;

const LEARN: &str = r#"
squad = "learn"
[backends.learn-web]
servers = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
[backends.learn-web.health]
path = "/healthz"
[[routes]]
path = "/courses/{slug}"
methods = ["GET"]
backend = "learn-web"
[[routes]]
path = "/courses/{slug}/reviews/*"
flag = "course-reviews"
backends = { legacy = "legacy-web", new = "learn-web" }
[[routes]]
pattern = "/static/*.css"
order = 10
backend = "learn-web"
"#;

const LEGACY: &str = r#"
squad = "legacy"
[backends.legacy-web]
servers = ["http://127.0.0.1:3"]
[[routes]]
path = "/*"
backend = "legacy-web"
"#;

const FLAG: &str = r#"
description = "New reviews"
squad = "learn"
state = "enabled"
variants = ["legacy", "new"]
default = "legacy"
[[rules]]
name = "preview"
if = { "==" = [{ var = "request.headers.x-preview" }, "yes"] }
serve = "new"
[rollout]
new = 30.0
"#;

fn sources() -> Sources {
    Sources::empty("/site")
        .with("banyan.toml", OPERATOR)
        .with("routes/learn.toml", LEARN)
        .with("routes/legacy.toml", LEGACY)
        .with("flags/course-reviews.toml", FLAG)
}

/// The token that may change the site.
const WRITER: &str = "bny_writer";

/// The site, well; whoever brings [`WRITER`] may change it.
pub(in crate::control) fn view() -> View {
    view_with(&writer())
}

fn writer() -> String {
    let hash = hex(&hash(WRITER));
    let ends = "2999-01-01T00:00:00Z";
    format!("[[admin.tokens]]\nname = \"writer\"\nscope = \"write\"\nhash = \"{hash}\"\nexpires = {ends}\n")
}

/// The site, well, with more in `banyan.toml`: tables.
pub(in crate::control::admin) fn view_with(operator: &str) -> View {
    let sources = sources().with("banyan.toml", &format!("{OPERATOR}{operator}"));
    of(&sources, &sources)
}

/// The site in a folder, where it can be changed. Nothing puts changes in force.
pub(super) fn view_in(folder: &Path) -> View {
    let sources = sources().with("banyan.toml", &format!("{OPERATOR}{}", writer()));
    for (file, text) in sources.iter() {
        let file = folder.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &**text).unwrap();
    }
    let sources = Sources::read(folder);
    of(&sources, &sources)
}

/// What the listener says to an order with JSON; no `version`: none is named.
pub(super) async fn tell(view: &View, method: &str, target: &str, version: &str, body: &str) -> Told {
    let mut request = Request::builder()
        .method(method.to_ascii_uppercase().as_str())
        .uri(target)
        .header(header::HOST, "127.0.0.1")
        .header(header::AUTHORIZATION, format!("Bearer {WRITER}"))
        .header(header::CONTENT_TYPE, "application/json");
    if !version.is_empty() {
        request = request.header(header::IF_MATCH, version);
    }
    ask(view, request.body(Body::from(body.to_owned())).unwrap()).await
}

/// The site after somebody saved `text` as `file`.
pub(super) fn view_after(file: &str, text: &str) -> View {
    of(&sources().with(file, text), &sources())
}

fn of(new: &Sources, last_good: &Sources) -> View {
    let isolated = config::isolate(new, last_good, &|_| None);
    let settings = isolated
        .settings
        .unwrap_or_else(|| panic!("{:?}", isolated.problems));
    let visitors = VisitorSettings {
        keys: vec![SigningKey {
            id: "test".to_owned(),
            secret: vec![7; 32],
        }],
        max_age: std::time::Duration::from_secs(86_400),
        ..VisitorSettings::default()
    };
    let means = Means {
        previous: None,
        visitors: &visitors,
        sessions: &[],
        tls: &|_| Err("no https here".to_owned()),
    };
    let snapshot = compile(&settings, 1, &means).unwrap();
    let stale: Vec<String> = isolated.using_old.into_iter().chain(isolated.left_out).collect();
    let status = Status {
        at: UnixTime::from_secs(1_795_228_666),
        outcome: if stale.is_empty() {
            Outcome::Applied
        } else {
            Outcome::Partial
        },
        problems: Arc::new(isolated.problems),
        stale,
        ..Status::default()
    };
    let state = tempfile::tempdir().unwrap();
    let address = "127.0.0.1:9901".parse().unwrap();
    let (metrics, _) = Observer::start(None, Arc::new(Facts::default())).unwrap().split();
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let live = Arc::new(Live::new(Arc::new(snapshot)));
    let in_force = Arc::new(ArcSwap::from_pointee(isolated.sources));
    let editor = Editor::new(&new.folder.join("banyan.toml"), History::in_memory(), in_force);
    View {
        plane: Handle::idle(Arc::clone(&live)),
        live,
        editor: Arc::new(editor),
        status: Arc::new(ArcSwap::from_pointee(status)),
        metrics,
        ready: Arc::new(AtomicBool::new(true)),
        signer: Arc::new(Signer::from_pkcs8(key.as_ref()).unwrap()),
        links: Arc::default(),
        door: Arc::new(Door::new(state.path(), Some(address), Arc::default())),
        cache: Arc::new(Cache::new(&settings)),
        pulse: Arc::default(),
        folder: Path::new("/site").into(),
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(in crate::control::admin) struct Told {
    pub(in crate::control::admin) status: StatusCode,
    pub(in crate::control::admin) headers: HeaderMap,
    pub(in crate::control::admin) text: String,
}

/// What the listener says to `request`.
pub(super) async fn ask(view: &View, request: Request<Body>) -> Told {
    let answer = TowerToHyperService::new(endpoints::router(view.clone()))
        .call(request)
        .await
        .unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Told {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// What the listener says to a plain GET.
pub(super) async fn get(view: &View, target: &str) -> Told {
    ask(
        view,
        Request::get(target)
            .header(header::HOST, "127.0.0.1")
            .body(Body::empty())
            .unwrap(),
    )
    .await
}
