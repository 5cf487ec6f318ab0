//! The admin listener as its clients meet it: requests by table, the document against the answers, freshness, bounds.

mod cache;
mod contract;
mod live;
mod ofrep;
pub(super) mod site;
mod sockets;

use std::{collections::BTreeMap, path::Path, sync::atomic::Ordering};

use http::{Method, Request, StatusCode, header};
use serde::Deserialize;

use crate::{
    backend::{breaker::Millis, health::Health},
    config::admin::hex,
    control::admin::tokens::hash,
};
pub(in crate::control) use site::view;
use site::{Told, ask, get, view_with};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    request: String,
    #[serde(default = "own_host")]
    host: String,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(default)]
    body_bytes: usize,
    status: u16,
    #[serde(default)]
    holds: Vec<String>,
}

fn own_host() -> String {
    "127.0.0.1:9901".to_owned()
}

#[tokio::test]
async fn requests_are_answered_as_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables/admin/requests.toml");
    let table: Table = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(table.case.len() > 40);
    for case in table.case {
        let (method, target) = case.request.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target);
        if !case.host.is_empty() {
            request = request.header(header::HOST, &case.host);
        }
        for (name, value) in &case.fields {
            request = request.header(name, value);
        }
        let told = ask(&view(), request.body(vec![b'x'; case.body_bytes].into()).unwrap()).await;
        assert_eq!(
            told.status.as_u16(),
            case.status,
            "{} as {:?}: {}",
            case.request,
            case.host,
            told.text
        );
        for wanted in &case.holds {
            assert!(
                told.text.contains(wanted.as_str()),
                "{}: no {wanted:?} in {}",
                case.request,
                told.text
            );
        }
        check_fields(&told, &case.request);
    }
}

#[track_caller]
fn check_fields(told: &Told, request: &str) {
    let value = |name: &str| {
        told.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    assert_eq!(value("cache-control"), "no-store", "{request}");
    assert_eq!(value("x-content-type-options"), "nosniff", "{request}");
    assert_eq!(value("x-frame-options"), "DENY", "{request}");
    assert_eq!(value("referrer-policy"), "no-referrer", "{request}");
    assert!(
        value("content-security-policy").starts_with("default-src 'none'; "),
        "{request}"
    );
    assert!(!value("content-security-policy").contains("unsafe"), "{request}");
    assert!(
        !told
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control-")),
        "{request}"
    );
    let refused = told.status.is_client_error();
    assert_eq!(
        refused,
        value("content-type") == "application/problem+json",
        "{request}"
    );
    match told.status {
        StatusCode::METHOD_NOT_ALLOWED => assert!(!value("allow").is_empty(), "{request}"),
        StatusCode::UNAUTHORIZED => {} // the router names the methods to whoever asks
        _ => assert!(value("allow").is_empty(), "{request}"),
    }
}

#[tokio::test]
async fn a_flag_is_not_given_to_those_whose_flags_one_may_not_change() {
    let ends = "2999-01-01T00:00:00Z";
    let hash = hex(&hash("bny_learn"));
    let view = view_with(&format!(
        "[[admin.tokens]]\nname = \"learn\"\nscope = \"write\"\nsquads = [\"learn\"]\nhash = \"{hash}\"\nexpires = {ends}\n"
    ));
    let set = async |squad: &str| {
        let request = Request::patch("/api/flags/course-reviews")
            .header(header::HOST, "127.0.0.1")
            .header(header::AUTHORIZATION, "Bearer bny_learn")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, "*");
        let body = format!("{{\"set\":{{\"squad\":{squad}}}}}");
        ask(&view, request.body(body.into()).unwrap()).await.status
    };
    assert_eq!(set("\"pay\"").await, StatusCode::FORBIDDEN);
    assert_eq!(set("null").await, StatusCode::FORBIDDEN);
    assert_ne!(set("\"learn\"").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn readiness_ends_when_draining_begins_and_life_goes_on() {
    let view = view();
    view.ready.store(false, Ordering::Relaxed);
    let told = get(&view, "/readyz").await;
    assert_eq!(
        (told.status, told.text.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    );
    assert_eq!(get(&view, "/healthz").await.status, StatusCode::OK);
    assert!(get(&view, "/").await.text.contains("Draining"));
}

#[tokio::test]
async fn who_has_the_answer_is_not_sent_it_again_until_it_changes() {
    let view = view();
    for path in [
        "/api/status",
        "/api/routes",
        "/api/flags",
        "/api/backends",
        "/api/squads",
    ] {
        let first = get(&view, path).await;
        let tag = first.headers.get(header::ETAG).unwrap().clone();
        assert!(tag.to_str().unwrap().starts_with("\"1-"), "{tag:?}");
        for known in [
            tag.to_str().unwrap().to_owned(),
            format!("\"0\", W/{}", tag.to_str().unwrap()),
            "*".to_owned(),
        ] {
            let again = ask_knowing(&view, path, &known).await;
            assert_eq!(
                (again.status, again.text.as_str()),
                (StatusCode::NOT_MODIFIED, ""),
                "{path} {known}"
            );
            assert_eq!(again.headers.get(header::ETAG), Some(&tag));
        }
        assert_eq!(ask_knowing(&view, path, "\"1-0\"").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_server_that_falls_ill_makes_a_new_answer_of_the_same_version() {
    let view = view();
    let paths = ["/api/status", "/api/backends"];
    let mut tags = Vec::new();
    for path in paths {
        tags.push(
            get(&view, path)
                .await
                .headers
                .get(header::ETAG)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    view.live.current().backends[0].roster().servers[0].set_health(
        Health::Unhealthy,
        "status 500".to_owned(),
        Millis::default(),
    );
    for (path, tag) in paths.iter().zip(&tags) {
        assert_eq!(
            ask_knowing(&view, path, tag).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    assert!(get(&view, "/").await.text.contains("status 500"));
}

async fn ask_knowing(view: &crate::control::plane::View, path: &str, tag: &str) -> Told {
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(header::HOST, "127.0.0.1");
    ask(
        view,
        request
            .header(header::IF_NONE_MATCH, tag)
            .body(Vec::new().into())
            .unwrap(),
    )
    .await
}

#[tokio::test]
async fn a_broken_file_is_told_with_its_place_and_a_way_to_mend_it() {
    let text = "squad = \"learn\"\n[[routes]]\npath = \"/x\"\nbackend = \"legacy-wbe\"\n";
    let view = site::view_after("routes/learn.toml", text);
    let page = get(&view, "/").await.text;
    assert!(
        page.contains("The last good version of <code>routes/learn.toml</code> serves on"),
        "{page}"
    );
    assert!(
        page.contains("routes/learn.toml:4:11") && page.contains("did you mean `legacy-web`?"),
        "{page}"
    );
    assert!(page.contains("(1 error)"));
    let status = get(&view, "/api/status").await.text;
    assert!(
        status.contains(r#""stale":["routes/learn.toml"],"left_out":[]"#),
        "{status}"
    );
    let squads = get(&view, "/api/squads").await.text;
    assert!(squads.contains(r#""stale":["routes/learn.toml"]"#), "{squads}");

    let view = site::view_after("routes/pay.toml", "squad = \"pay\"\nnonsense = 1\n");
    let page = get(&view, "/").await.text;
    assert!(
        page.contains("Nothing of <code>routes/pay.toml</code> is in force"),
        "{page}"
    );
    assert!(get(&view, "/api/squads").await.text.contains(r#""name":"pay""#));
}

#[tokio::test]
async fn no_cookie_or_secret_is_told() {
    for path in [
        "/api/explain?url=/courses/rust/reviews&visitor=BBBBBBBBBBBBBBBBBBBBBA",
        "/api/identity/jwks",
        "/",
    ] {
        let told = get(&view(), path).await;
        assert!(!told.text.contains("__Host-banyan="), "{path}");
        assert!(!told.text.contains("\"d\":"), "{path}");
        assert!(!told.headers.contains_key(header::SET_COOKIE), "{path}");
    }
}

#[tokio::test]
async fn the_page_brings_nothing_from_elsewhere_and_nothing_inline() {
    let page = get(&view(), "/?url=/courses/rust/reviews").await.text;
    for foreign in [
        "<style",
        " style=",
        " onclick",
        " onload",
        "javascript:",
        "src=\"http",
        "href=\"//",
        "href=\"http",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    for asset in ["/assets/style.css", "/assets/script.js", "/assets/banyan.svg"] {
        assert!(page.contains(asset), "{asset}");
        let told = get(&view(), asset).await;
        assert!(
            told.status == StatusCode::OK && !told.text.contains("http://") || asset.ends_with("svg"),
            "{asset}"
        );
    }
}
