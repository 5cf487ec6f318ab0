//! Pages that ask for a recent sign-in or a stronger one: people are sent to sign in that way, once or twice, and never round and round.

use std::{sync::Arc, time::Duration};

use banyan::clock;
use http::Method;
use serde_json::{Value, json};

use crate::{
    backend::mirror,
    client::Answer,
    provider::{Browser, Provider, form, merge},
    session::ready,
    world::World,
};

const ROUTES: &str = r#"
[[routes]]
path = "/account/*"
auth = "required"
backend = "app"
[[routes]]
path = "/vault/*"
auth = "required"
backend = "app"
require = { acr = ["mfa", "phr"] }
[[routes]]
path = "/pay"
auth = "required"
backend = "app"
require = { max_age = "5m" }
[[routes]]
path = "/both/*"
auth = "required"
backend = "app"
require = { max_age = "5m", acr = ["mfa", "phr"] }
[[routes]]
path = "/never/*"
auth = "required"
backend = "app"
require = { acr = "mfa" }
[[routes]]
path = "/now"
auth = "required"
backend = "app"
require = { max_age = "5s" }
"#;

const DEMANDS: &str = r#"
[[gate.demand]]
path = "/both/*"
require = { max_age = "1m", acr = "phr" }
[[gate.demand]]
path = "/never/*"
require = { acr = "phr" }
"#;

async fn world(provider: &Provider, session: &str) -> World {
    let world = World::new()
        .backend("app", mirror)
        .routes(ROUTES)
        .operator(&format!("{}\n{DEMANDS}", provider.gate(session)))
        .start()
        .await;
    ready(&world).await;
    world
}

/// What ID tokens say from now on.
fn vouch(provider: &Provider, claims: Value) {
    provider.behave(|behaviour| {
        behaviour.lie = Some(Arc::new(move |_, token| {
            merge(token, &claims);
            None
        }));
    });
}

/// Where the browser is sent by the provider's own address, and what is asked of it there.
fn asked(answer: &Answer) -> std::collections::BTreeMap<String, String> {
    assert_eq!(answer.status, 302, "{answer:?}");
    form(answer.header("location").split_once('?').unwrap().1)
}

async fn plain(world: &World, provider: &Provider) -> Browser {
    let mut browser = Browser::new(world).await;
    let back = browser.sign_in(provider, "/account/x", "alice").await;
    assert_eq!(back.status, 303, "{back:?}");
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_asks_for_a_stronger_sign_in_leads_to_one() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = plain(&world, &provider).await;

    let told = browser.fetch("/vault/x").await;
    assert_eq!(told.status, 401, "calls are told");
    let challenge = told.header("www-authenticate");
    assert!(
        challenge.contains("insufficient_user_authentication")
            && challenge.contains("acr_values=\"mfa phr\""),
        "{challenge}"
    );
    let page = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let own = format!("https://{}", world.authority());
    let posted = [page[0], page[1], ("origin", own.as_str())];
    let posted = browser.ask(&Method::POST, "/vault/x", &posted, "").await;
    assert_eq!(posted.status, 401, "nothing that was sent is sent again");

    let sent = browser.open("/vault/x?a=1").await;
    assert_eq!(
        sent.header("location"),
        "/.banyan/login?to=%2Fvault%2Fx%3Fa%3D1&acr_values=mfa%20phr"
    );
    let away = browser.open(sent.header("location")).await;
    let wanted = asked(&away);
    assert_eq!(wanted["acr_values"], "mfa phr");
    assert!(
        !wanted.contains_key("prompt") && !wanted.contains_key("max_age"),
        "{wanted:?}"
    );
    vouch(&provider, json!({ "acr": "phr" }));
    let back = browser
        .open(&provider.sign_in(away.header("location"), "alice"))
        .await;
    assert_eq!(
        (back.status.as_u16(), back.header("location")),
        (303, "/vault/x?a=1")
    );
    assert_eq!(browser.open("/vault/x?a=1").await.status, 200);
    assert_eq!(
        world
            .metric("banyan_sign_ins_total{outcome=\"stepped_up\"}")
            .await,
        1.0
    );

    // nobody yet: the first sign-in is the right one
    let mut other = Browser::new(&world).await;
    let first = other.begin("/vault/x").await;
    assert_eq!(form(first.split_once('?').unwrap().1)["acr_values"], "mfa phr");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_comes_back_without_it_is_asked_once_more_and_then_no_more() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = plain(&world, &provider).await;
    for (page, claims, why) in [
        ("/vault/x", json!({ "acr": "0" }), "sign_in_too_weak"),
        ("/vault/x", json!({}), "sign_in_too_weak"),
        (
            "/pay",
            json!({ "auth_time": clock::wall().secs() - 3_600 }),
            "sign_in_too_old",
        ),
        ("/pay", json!({}), "sign_in_too_old"),
    ] {
        vouch(&provider, claims);
        let first = browser.begin(page).await;
        let again = browser.open(&provider.sign_in(&first, "alice")).await;
        let wanted = asked(&again);
        assert_eq!(wanted["prompt"], "login", "{wanted:?}");
        assert_ne!(wanted["state"], form(first.split_once('?').unwrap().1)["state"]);
        assert!(
            !browser.jar.contains_key("__Host-banyan-session"),
            "not in before that"
        );
        let told = browser
            .open(&provider.sign_in(again.header("location"), "alice"))
            .await;
        assert_eq!(told.status, 403, "one page, no way round: {told:?}");
        assert!(told.text().contains(why), "{}", told.text());
        assert!(
            told.text().contains("href=\"/.banyan/login?to=%2F"),
            "{}",
            told.text()
        );
        assert!(!told.headers.contains_key("location"), "{told:?}");
        assert_eq!(browser.jar.len(), 1, "{:?}", browser.jar.keys());
        assert_eq!(
            browser.open("/account/x").await.status,
            200,
            "elsewhere it is a good sign-in"
        );
        assert_eq!(browser.fetch(page).await.status, 401);
    }
    // the second time it does
    vouch(&provider, json!({ "auth_time": clock::wall().secs() - 3_600 }));
    let first = browser.begin("/pay").await;
    assert_eq!(form(first.split_once('?').unwrap().1)["max_age"], "300");
    let again = browser.open(&provider.sign_in(&first, "alice")).await;
    vouch(&provider, json!({ "auth_time": clock::wall().secs() }));
    let back = browser
        .open(&provider.sign_in(again.header("location"), "alice"))
        .await;
    assert_eq!((back.status.as_u16(), back.header("location")), (303, "/pay"));
    assert_eq!(browser.open("/pay").await.status, 200);

    // it says by itself that it can't
    let away = browser.begin("/vault/x").await;
    let state = form(away.split_once('?').unwrap().1)["state"].clone();
    let issuer = form(provider.sign_in(&away, "alice").split_once('?').unwrap().1)["iss"].clone();
    let issuer = issuer.replace(':', "%3A").replace('/', "%2F");
    let answer =
        format!("/.banyan/callback?state={state}&error=unmet_authentication_requirements&iss={issuer}");
    let told = browser.open(&answer).await;
    assert_eq!(told.status, 403);
    assert!(told.text().contains("sign_in_too_weak"), "{}", told.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn route_and_operator_are_asked_for_together_and_what_no_sign_in_can_bring_never() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = plain(&world, &provider).await;
    let away = browser.begin("/both/x").await;
    let wanted = form(away.split_once('?').unwrap().1);
    assert_eq!((&*wanted["max_age"], &*wanted["acr_values"]), ("60", "phr"));
    vouch(
        &provider,
        json!({ "acr": "phr", "auth_time": clock::wall().secs() }),
    );
    assert_eq!(browser.open(&provider.sign_in(&away, "alice")).await.status, 303);
    assert_eq!(browser.open("/both/x").await.status, 200);

    // `mfa` by the route and `phr` by the operator: nobody is sent round for that
    assert_eq!(browser.open("/never/x").await.status, 401);
    // five seconds are over before anybody is back
    vouch(&provider, json!({ "auth_time": clock::wall().secs() - 60 }));
    let mut late = plain(&world, &provider).await;
    assert_eq!(late.open("/now").await.status, 401);
    // a link may ask for nonsense, and gets a plain sign-in
    let link = "/.banyan/login?to=/account/x&max_age=-1&acr_values=%22";
    let wanted = asked(&late.open(link).await);
    assert!(
        !wanted.contains_key("max_age") && !wanted.contains_key("acr_values"),
        "{wanted:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_is_no_sign_in_and_forgets_none() {
    let provider = Provider::start();
    let world = world(&provider, "check = \"1s\"\nidle = \"1m\"").await;
    let signed_in = clock::wall().secs() - 290;
    vouch(&provider, json!({ "acr": "phr", "auth_time": signed_in }));
    let mut browser = plain(&world, &provider).await;
    assert_eq!(browser.fetch("/pay").await.status, 200);
    assert_eq!(browser.fetch("/vault/x").await.status, 200);
    // the next ID token says nothing of the sign-in
    vouch(&provider, json!({}));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(browser.fetch("/vault/x").await.status, 200);
    assert_eq!(provider.asked("refresh_token"), 1);
    // it says that it was just now, which it was not
    vouch(
        &provider,
        json!({ "acr": "0", "auth_time": clock::wall().secs() }),
    );
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(
        browser.fetch("/vault/x").await.status,
        401,
        "what it says now holds"
    );
    crate::client::until("the sign-in to be too old", async || {
        browser.fetch("/pay").await.status == 401
    })
    .await;
}
