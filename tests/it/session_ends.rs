//! How sessions are checked at the provider, and how they end: by their time, by either side's sign-out, for streams too.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    backend::{Body, channel, empty, mirror},
    client::{Http, until},
    issuer::OTHER,
    provider::{Browser, Provider, form},
    session::{ready, world},
    websocket::{self, WebSocket},
    world::{World, within},
};

/// Sessions that are checked after a second.
const SHORT: &str = "check = \"1s\"\nidle = \"1m\"";

async fn pause() {
    tokio::time::sleep(Duration::from_millis(1_200)).await;
}

async fn signed_in(world: &World, provider: &Provider) -> Browser {
    let mut browser = Browser::new(world).await;
    let back = browser.sign_in(provider, "/account/x", "alice").await;
    assert_eq!(back.status, 303, "{back:?}");
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_check_a_session_once() {
    let provider = Provider::start();
    let world = world(&provider, SHORT).await;
    let mut browser = signed_in(&world, &provider).await;
    let old = browser.jar.clone();
    pause().await;
    provider.behave(|behaviour| behaviour.takes = Duration::from_millis(300));
    let mut asking = Vec::new();
    for _ in 0..12 {
        let mut other = browser.again(&world).await;
        asking.push(tokio::spawn(async move {
            (other.fetch("/account/x").await, other.jar)
        }));
    }
    for asked in asking {
        let (answer, jar) = asked.await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            answer.header("cache-control"),
            "private, no-store",
            "a cookie is in it"
        );
        assert_ne!(jar, old, "each answer brings the new cookie");
        browser.jar = jar;
    }
    assert_eq!(provider.asked("refresh_token"), 1, "a refresh token counts once");
    // the next check goes by the new token, and a browser that never got it is led there
    provider.behave(|behaviour| behaviour.takes = Duration::ZERO);
    pause().await;
    assert_eq!(browser.fetch("/account/x").await.status, 200);
    browser.jar = old;
    assert_eq!(browser.again(&world).await.fetch("/account/x").await.status, 200);
    pause().await;
    assert_eq!(browser.again(&world).await.fetch("/account/x").await.status, 200);
    assert_eq!(provider.asked("refresh_token"), 3);
    assert!(
        world
            .metric("banyan_session_checks_total{outcome=\"renewed\"}")
            .await
            >= 3.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_at_the_provider_holds_after_a_check() {
    let provider = Provider::start();
    provider.behave(|behaviour| behaviour.roles = json!(["staff"]));
    let world = world(&provider, SHORT).await;
    let mut browser = signed_in(&world, &provider).await;
    assert_eq!(browser.fetch("/staff").await.status, 200);
    provider.behave(|behaviour| behaviour.roles = json!([]));
    pause().await;
    assert_eq!(browser.fetch("/staff").await.status, 403);
    provider.behave(|behaviour| (behaviour.roles, behaviour.renews_id_token) = (json!(["staff"]), false));
    pause().await;
    assert_eq!(browser.fetch("/staff").await.status, 403, "nothing new was said");
    assert_eq!(browser.fetch("/account/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_brings_the_new_cookie_too() {
    let provider = Provider::start();
    let world = world(&provider, SHORT).await;
    let mut browser = signed_in(&world, &provider).await;
    let old = browser.jar.clone();
    pause().await;
    let refused = browser.fetch("/staff").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("cache-control"), "private, no-store");
    assert_ne!(
        browser.jar, old,
        "or the next edge would use a refresh token twice"
    );
    assert_eq!(provider.asked("refresh_token"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_is_not_right_ends_the_session() {
    let provider = Provider::start();
    let world = world(&provider, SHORT).await;
    let lies: [(&str, Value); 4] = [
        ("another person", json!({ "sub": "mallory" })),
        ("another issuer", json!({ "iss": "https://evil.test" })),
        ("another audience", json!({ "aud": "evil" })),
        ("expired", json!({ "exp": 1 })),
    ];
    for (what, lie) in lies {
        let mut browser = signed_in(&world, &provider).await;
        let change = lie.clone();
        provider.behave(|behaviour| {
            behaviour.lie = Some(std::sync::Arc::new(move |_, claims| {
                crate::provider::merge(claims, &change);
                None
            }));
        });
        pause().await;
        assert_eq!(browser.fetch("/account/x").await.status, 401, "{what}");
        assert_eq!(browser.open("/account/x").await.status, 302, "{what}");
        assert!(!browser.fetch("/maybe").await.seen().has("banyan-user"), "{what}");
        provider.behave(|behaviour| behaviour.lie = None);
    }
    // it says that the session is over
    let mut browser = signed_in(&world, &provider).await;
    provider.forget();
    pause().await;
    assert_eq!(browser.fetch("/account/x").await.status, 401);
    let me = browser.fetch("/.banyan/me").await;
    assert_eq!(
        (me.status.as_u16(), me.header("content-type")),
        (401, "application/problem+json")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_provider_is_silent_only_who_must_be_known_waits() {
    let provider = Provider::start();
    let world = world(&provider, SHORT).await;
    let mut browser = signed_in(&world, &provider).await;
    provider.behave(|behaviour| behaviour.fails = Some(503));
    pause().await;
    assert_eq!(browser.open("/account/x").await.status, 503);
    assert_eq!(browser.open("/public/x").await.status, 200);
    assert!(!browser.open("/maybe").await.seen().has("banyan-user"));
    assert_eq!(browser.fetch("/.banyan/me").await.status, 503);
    provider.behave(|behaviour| behaviour.fails = None);
    until("the session to go on", async || {
        browser.fetch("/account/x").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_refresh_token_a_check_is_a_new_sign_in() {
    let provider = Provider::start();
    provider.behave(|behaviour| behaviour.refreshes = false);
    let world = world(&provider, SHORT).await;
    let mut browser = signed_in(&world, &provider).await;
    assert_eq!(browser.fetch("/account/x").await.status, 200);
    pause().await;
    assert_eq!(browser.fetch("/account/x").await.status, 401);
    assert_eq!(
        browser.sign_in(&provider, "/account/x", "alice").await.status,
        303
    );
    assert_eq!(provider.asked("refresh_token"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_its_time_is_over() {
    let provider = Provider::start();
    let world = world(&provider, "absolute = \"2s\"\nidle = \"2s\"\ncheck = \"1s\"").await;
    let mut browser = signed_in(&world, &provider).await;
    pause().await;
    assert_eq!(browser.fetch("/account/x").await.status, 200);
    pause().await;
    assert_eq!(browser.fetch("/account/x").await.status, 401);
    let line = world.logged(|line| line["status"] == 401).await;
    assert_eq!(line["route"], "/account/*");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_out_is_out_here_and_at_the_provider() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = signed_in(&world, &provider).await;
    let (session, own) = (browser.jar.clone(), format!("https://{}", world.authority()));
    let foreign: [&[(&str, &str)]; 5] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[],
    ];
    for fields in foreign {
        let refused = browser.ask(&Method::POST, "/.banyan/logout", fields, "").await;
        assert_eq!(refused.status, 403, "{fields:?}");
    }
    assert_eq!(
        browser.open("/.banyan/logout").await.status,
        200,
        "by GET nothing happens"
    );
    assert_eq!(browser.fetch("/account/x").await.status, 200);

    let fields = [("origin", own.as_str())];
    let left = browser
        .ask(&Method::POST, "/.banyan/logout?to=/public/bye", &fields, "")
        .await;
    assert_eq!(left.status, 303);
    let location = left.header("location").to_owned();
    let (end, query) = location.split_once('?').unwrap();
    assert_eq!(end, format!("{}/leave", provider.url()));
    let asked = form(query);
    assert_eq!(
        (&*asked["client_id"], &*asked["logout_hint"]),
        ("banyan", "alice")
    );
    assert_eq!(asked["post_logout_redirect_uri"], format!("{own}/.banyan/logout"));
    assert!(browser.jar.is_empty(), "{:?}", browser.jar.keys());

    let back = browser
        .open(&format!("/.banyan/logout?state={}", asked["state"]))
        .await;
    assert_eq!(
        (back.status.as_u16(), back.header("location")),
        (303, "/public/bye")
    );
    let forged = browser.open("/.banyan/logout?state=1.own.AAAA").await;
    assert_eq!((forged.status.as_u16(), forged.header("location")), (200, ""));
    browser.jar = session;
    assert_eq!(
        browser.fetch("/account/x").await.status,
        401,
        "a copy of the cookie is worth nothing"
    );
}

async fn sign_out(world: &World, token: &str) -> u16 {
    let mut client = world.client(Http::One).await;
    let answer = client
        .post("/.banyan/backchannel-logout", format!("logout_token={token}"))
        .await;
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    answer.status.as_u16()
}

/// Logout tokens that sign nobody out, and what is wrong with each.
fn bad_logout_tokens(provider: &Provider) -> [(&'static str, String); 17] {
    let now = banyan::clock::wall().secs();
    let event = "http://schemas.openid.net/event/backchannel-logout";
    [
        (
            "another issuer",
            provider.logout_token(&json!({ "iss": "https://evil.test" })),
        ),
        (
            "another audience",
            provider.logout_token(&json!({ "aud": "evil" })),
        ),
        ("expired", provider.logout_token(&json!({ "exp": now - 3600 }))),
        ("no exp", provider.logout_token(&json!({ "exp": null }))),
        ("no iat", provider.logout_token(&json!({ "iat": null }))),
        (
            "from the future",
            provider.logout_token(&json!({ "iat": now + 3600 })),
        ),
        ("no events", provider.logout_token(&json!({ "events": null }))),
        (
            "another event",
            provider.logout_token(&json!({ "events": { "other": {} } })),
        ),
        (
            "an event that is no object",
            provider.logout_token(&json!({ "events": { event: true } })),
        ),
        ("a nonce", provider.logout_token(&json!({ "nonce": "n" }))),
        (
            "nobody",
            provider.logout_token(&json!({ "sub": null, "sid": null })),
        ),
        ("no jti", provider.logout_token(&json!({ "jti": null }))),
        (
            "alg none",
            provider.logout_token_of(&OTHER, "none", &json!({}), &json!({})),
        ),
        (
            "public key as secret",
            provider.logout_token_of(&OTHER, "HS256", &json!({ "kid": "good-EdDSA" }), &json!({})),
        ),
        (
            "another's key",
            provider.logout_token_of(&OTHER, "ES256", &json!({ "kid": "good-ES256" }), &json!({})),
        ),
        (
            "an ID token",
            provider.logout_token_of(
                &crate::issuer::GOOD,
                "ES256",
                &json!({ "typ": "at+jwt" }),
                &json!({}),
            ),
        ),
        ("rubbish", "x".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_signs_people_out_by_its_back_channel() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = signed_in(&world, &provider).await;
    for (what, token) in bad_logout_tokens(&provider) {
        assert_eq!(sign_out(&world, &token).await, 400, "{what}");
        assert_eq!(browser.fetch("/account/x").await.status, 200, "{what}");
    }
    let other = provider.logout_token(&json!({ "sub": "bob" }));
    assert_eq!(sign_out(&world, &other).await, 200);
    let elsewhere = provider.logout_token(&json!({ "sid": "sid-of-another-browser" }));
    assert_eq!(sign_out(&world, &elsewhere).await, 200);
    assert_eq!(
        browser.fetch("/account/x").await.status,
        200,
        "neither is this one's"
    );

    let this = provider.logout_token(&json!({ "sid": "sid-alice", "sub": null }));
    assert_eq!(sign_out(&world, &this).await, 200);
    assert_eq!(browser.fetch("/account/x").await.status, 401);
    assert_eq!(sign_out(&world, &this).await, 400, "a logout token counts once");
    // on every core and after a change of settings
    for _ in 0..4 {
        assert_eq!(browser.again(&world).await.fetch("/account/x").await.status, 401);
    }
    world.write("flags/other.toml", "variants = [\"a\", \"b\"]\ndefault = \"a\"\n");
    world.reload().await;
    assert_eq!(browser.fetch("/account/x").await.status, 401);
    // who signs in again is in, until all of a user's sessions end
    assert_eq!(
        browser.sign_in(&provider, "/account/x", "alice").await.status,
        303
    );
    assert_eq!(browser.fetch("/account/x").await.status, 200);
    assert_eq!(sign_out(&world, &provider.logout_token(&json!({}))).await, 200);
    assert_eq!(browser.fetch("/account/x").await.status, 401);
    let mut client = world.client(Http::Two).await;
    assert_eq!(client.get("/.banyan/backchannel-logout").await.status, 405);
    until("a metric", async || {
        world.metric("banyan_sessions_revoked").await >= 3.0
    })
    .await;
}

const STREAMS: &str = r#"
[[routes]]
path = "/account/*"
auth = "required"
backend = "app"
[[routes]]
path = "/events"
auth = "required"
backend = "events"
[[routes]]
path = "/ws"
auth = "required"
backend = "ws"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_and_event_streams_end_with_their_session() {
    let events = |_: Request<Incoming>| async {
        let (feed, body) = channel();
        tokio::spawn(async move {
            while feed.send(Ok(Bytes::from_static(b"data: 1\n\n"))).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut response: Response<Body> = Response::new(body);
        let media = HeaderValue::from_static("text/event-stream; charset=utf-8");
        response.headers_mut().insert("content-type", media);
        response
    };
    let provider = Provider::start();
    let world = World::new()
        .backend("app", mirror)
        .backend("events", events)
        .backend("ws", websocket::backend)
        .routes(STREAMS)
        .operator(&provider.gate(""))
        .start()
        .await;
    ready(&world).await;
    let browser = signed_in(&world, &provider).await;
    let cookies = browser.cookies();
    let (_, mut socket) = WebSocket::open_as(&world, "/ws", &cookies).await;
    socket.echo("hello").await;
    let mut client = world.client(Http::One).await;
    let mut request = client.request(&Method::GET, "/events", empty());
    request.headers_mut().insert("cookie", cookies.parse().unwrap());
    let mut stream = client.send(request).await.unwrap();
    assert_eq!(stream.status(), 200);
    let first = within("an event", stream.body_mut().frame()).await.unwrap();
    assert!(first.is_ok());

    assert_eq!(sign_out(&world, &provider.logout_token(&json!({}))).await, 200);
    let end = within("the stream's end", stream.into_body().collect()).await;
    assert!(end.is_ok(), "in good order: {end:?}");
    assert_eq!(within("the socket's end", socket.closed()).await, 1012);
}
