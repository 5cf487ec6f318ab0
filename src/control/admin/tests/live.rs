//! `/api/live` as its listeners meet it: events as they happen, seats of its own, and an end.

use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::site::{get, view};
use crate::control::{
    admin::{endpoints, stay::STREAM_AGE_MAX},
    live::{Changed, Figures, LISTENERS_MAX},
    plane::View,
};

async fn listen(view: &View) -> http::Response<axum::body::Body> {
    let request = Request::get("/api/live").header(header::HOST, "127.0.0.1");
    let service = TowerToHyperService::new(endpoints::router(view.clone()));
    service
        .call(request.body(axum::body::Body::empty()).unwrap())
        .await
        .unwrap()
}

/// The next piece of an answer; `None`: it has ended.
async fn next(answer: &mut http::Response<axum::body::Body>) -> Option<String> {
    let frame = answer.body_mut().frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn each_second_and_each_change_is_told() {
    let view = view();
    let mut answer = listen(&view).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let first = next(&mut answer).await.unwrap();
    assert!(
        first.starts_with("retry: 2000\n\nevent: live\ndata: {"),
        "{first}"
    );
    view.pulse.tell(Figures {
        beat: 5,
        point: true,
        changed: Changed::Some(vec!["cart".to_owned()]),
        version: 7,
        ..Figures::default()
    });
    let told = next(&mut answer).await.unwrap();
    let events: Vec<&str> = told
        .matches("event: flag\n")
        .chain(told.matches("event: live\n"))
        .collect();
    assert_eq!(events.len(), 2);
    assert!(
        told.contains("data: {\"key\":\"cart\",\"snapshot\":7}\n\n"),
        "{told}"
    );
    assert!(told.ends_with("event: point\ndata: {\"beat\":5}\n\n"), "{told}");
}

#[tokio::test]
async fn one_more_than_the_most_listeners_is_refused_until_one_goes() {
    let view = view();
    let mut heard = Vec::new();
    for _ in 0..LISTENERS_MAX {
        heard.push(listen(&view).await);
    }
    assert_eq!(listen(&view).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(heard.pop());
    assert_eq!(listen(&view).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_it_is_old_and_gives_its_seat_back() {
    let view = view();
    let mut answer = listen(&view).await;
    next(&mut answer).await.unwrap();
    let ended = tokio::time::timeout(STREAM_AGE_MAX + Duration::from_secs(1), next(&mut answer)).await;
    assert_eq!(ended.unwrap(), None);
    drop(answer);
    assert_eq!(view.pulse.seats.available_permits(), LISTENERS_MAX);
}

#[tokio::test]
async fn one_event_can_be_asked_for() {
    let told = get(&view(), "/api/live?once=true").await;
    assert_eq!(told.text.matches("event: ").count(), 1);
}
