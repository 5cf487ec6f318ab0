//! Whatever somebody else has put into a browser before a sign-in, or brings into it, says nothing about who is signed in after it.

use serde_json::Value;

use crate::{
    provider::{Browser, Provider},
    session::world,
    world::World,
};

const SESSION: &str = "__Host-banyan-session";

async fn signed_in(world: &World, provider: &Provider, subject: &str) -> Browser {
    let mut browser = Browser::new(world).await;
    let back = browser.sign_in(provider, "/account/x", subject).await;
    assert_eq!(back.status, 303, "{back:?}");
    browser
}

async fn who(browser: &mut Browser) -> Option<String> {
    let me = browser.fetch("/.banyan/me").await;
    let me: Value = serde_json::from_slice(&me.body).unwrap();
    me["subject"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_planted_does_not_become_the_victims() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut mallory = signed_in(&world, &provider, "mallory").await;
    let planted = mallory.jar[SESSION].clone();

    let mut alice = Browser::new(&world).await;
    alice.jar.insert(SESSION.to_owned(), planted.clone());
    let away = alice.open("/.banyan/login?to=/account/x").await;
    assert!(!alice.jar.contains_key(SESSION), "a sign-in begins with nobody");
    let back = alice
        .open(&provider.sign_in(away.header("location"), "alice"))
        .await;
    assert_eq!(back.status, 303);
    assert_ne!(alice.jar[SESSION], planted);
    assert_eq!(who(&mut alice).await.as_deref(), Some("alice"));
    assert_eq!(
        alice.open("/account/x").await.seen().header("banyan-user"),
        "alice"
    );
    assert_eq!(
        who(&mut mallory).await.as_deref(),
        Some("mallory"),
        "and gained nothing by it"
    );

    // planted between begin and end: it is replaced all the same
    let mut alice = Browser::new(&world).await;
    let away = alice.begin("/account/x").await;
    alice.jar.insert(SESSION.to_owned(), planted.clone());
    assert_eq!(alice.open(&provider.sign_in(&away, "alice")).await.status, 303);
    assert_eq!(who(&mut alice).await.as_deref(), Some("alice"));
    assert_eq!(alice.jar.len(), 1, "{:?}", alice.jar.keys());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_way_back_signs_nobody_in() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut mallory = Browser::new(&world).await;
    let back = provider.sign_in(&mallory.begin("/account/x").await, "mallory");
    for before in ["nobody", "a sign-in under way", "bob"] {
        let mut victim = match before {
            "bob" => signed_in(&world, &provider, "bob").await,
            _ => Browser::new(&world).await,
        };
        if before == "a sign-in under way" {
            victim.begin("/account/y").await;
        }
        assert_eq!(victim.open(&back).await.status, 400, "{before}");
        assert_eq!(
            who(&mut victim).await,
            None,
            "{before}: a sign-in that failed leaves nobody"
        );
    }
    assert_eq!(
        mallory.open(&back).await.status,
        303,
        "the code was not spent on them"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_of_before_a_sign_in_is_not_kept_after_it() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = signed_in(&world, &provider, "alice").await;
    let before = browser.jar[SESSION].clone();
    let away = browser.open("/.banyan/login?to=/account/x").await;
    assert!(!browser.jar.contains_key(SESSION));
    let back = browser
        .open(&provider.sign_in(away.header("location"), "bob"))
        .await;
    assert_eq!(back.status, 303);
    assert_ne!(browser.jar[SESSION], before);
    assert_eq!(who(&mut browser).await.as_deref(), Some("bob"));

    // the same person again, and a sign-in that is called off
    let away = browser.open("/.banyan/login?to=/account/x").await;
    let back = provider.sign_in(away.header("location"), "bob");
    let declined = back.replace("code=", "error=access_denied&was=");
    assert_eq!(browser.open(&declined).await.status, 403);
    assert_eq!(who(&mut browser).await, None);
    assert!(browser.jar.is_empty(), "{:?}", browser.jar.keys());
}
