//! A session that was there before a sign-in: it ends where the sign-in begins, and what comes after is another (GHSA-f24x-5g9q-753f).

use banyan::gate::session::SESSION_COOKIE;

use crate::{
    provider::{Browser, Provider},
    session::world,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planted_session_does_not_survive_a_sign_in() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut attacker = Browser::new(&world).await;
    let location = attacker.begin("/account/x").await;
    attacker.open(&provider.sign_in(&location, "mallory")).await;
    let planted = attacker.jar[SESSION_COOKIE].clone();

    let mut victim = Browser::new(&world).await;
    victim.jar.insert(SESSION_COOKIE.to_owned(), planted.clone());
    let away = victim.open("/.banyan/login?to=/account/x").await;
    assert!(
        !victim.jar.contains_key(SESSION_COOKIE),
        "it is still there: {away:?}"
    );
    victim.jar.insert(SESSION_COOKIE.to_owned(), planted.clone()); // planted again, while the sign-in is under way
    let back = provider.sign_in(away.header("location"), "alice");
    assert_eq!(victim.open(&back).await.status, 303);
    assert_ne!(victim.jar[SESSION_COOKIE], planted);
    let seen = victim.open("/account/x").await.seen();
    assert_eq!(seen.header("banyan-user"), "alice");
}
