//! A small site in memory, as the admin listener sees it, and a client for its answers.

use std::sync::{Arc, atomic::AtomicBool};

use arc_swap::ArcSwap;
use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::{
    clock::UnixTime,
    config::{self, Sources},
    control::{
        admin::endpoints,
        plane::View,
        publish::{Outcome, Status},
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

/// The site, well.
pub(in crate::control) fn view() -> View {
    of(&sources(), &sources())
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
    };
    let means = Means {
        previous: None,
        visitors: &visitors,
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
    let (metrics, _) = Observer::start(None, Arc::new(Facts::default())).unwrap().split();
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    View {
        live: Arc::new(Live::new(Arc::new(snapshot))),
        status: Arc::new(ArcSwap::from_pointee(status)),
        metrics,
        ready: Arc::new(AtomicBool::new(true)),
        signer: Arc::new(Signer::from_pkcs8(key.as_ref()).unwrap()),
        pulse: Arc::default(),
        folder: std::path::Path::new("/site").into(),
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
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
