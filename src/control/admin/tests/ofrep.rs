//! Flags for programs on the admin listener.

use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};

use super::site::{Told, ask, view};

async fn post(path: &str, fields: &[(&str, &str)], body: &str) -> Told {
    let mut request = Request::post(path)
        .header(header::HOST, "127.0.0.1")
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    ask(&view(), request.body(Body::from(body.to_owned())).unwrap()).await
}

fn json_of(told: &Told) -> Value {
    serde_json::from_str(&told.text).unwrap()
}

#[tokio::test]
async fn one_flag_is_answered_for_a_context() {
    let path = "/ofrep/v1/evaluate/flags/course-reviews";
    let told = post(path, &[], r#"{"context":{"targetingKey":"u1"}}"#).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    let body = json_of(&told);
    assert_eq!(body["key"], "course-reviews");
    assert!(body["metadata"].is_object() && body["reason"].is_string());
    let none = post("/ofrep/v1/evaluate/flags/none", &[], "{}").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    assert_eq!(json_of(&none)["errorCode"], "FLAG_NOT_FOUND");
    let broken = post(path, &[], "{").await;
    assert_eq!(
        (broken.status, json_of(&broken)["errorCode"].clone()),
        (StatusCode::BAD_REQUEST, json!("PARSE_ERROR"))
    );
    let form = Request::post(path)
        .header(header::HOST, "127.0.0.1")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(
        ask(&view(), form).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

#[tokio::test]
async fn all_flags_are_answered_and_not_twice() {
    let path = "/ofrep/v1/evaluate/flags";
    let body = r#"{"context":{"targetingKey":"u1"}}"#;
    let told = post(path, &[], body).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    assert_eq!(
        json_of(&told)["eventStreams"][0]["endpoint"]["requestUri"],
        "/ofrep/v1/events"
    );
    let tag = told.headers[header::ETAG].to_str().unwrap();
    let again = post(path, &[("if-none-match", tag)], body).await;
    assert_eq!(
        (again.status, again.text.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    let behind = format!("{path}?flagConfigEtag={:032x}", 7);
    let newer = post(&behind, &[("if-none-match", tag)], body).await;
    assert_eq!(
        newer.status,
        StatusCode::OK,
        "an edge that is behind can't say that nothing changed"
    );
}
