//! Signing in at an identity provider that behaves, and at one that does not.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};

use crate::{
    backend::mirror,
    client::{Answer, Http, until},
    issuer::{GOOD, OTHER},
    provider::{Browser, Lie, Provider, SECRET, form, merge},
    world::World,
};

const ROUTES: &str = r#"
[[routes]]
path = "/public/*"
backend = "app"
[[routes]]
path = "/account/*"
auth = "required"
backend = "app"
[[routes]]
path = "/staff"
auth = "required"
roles = ["staff"]
backend = "app"
[[routes]]
path = "/maybe"
auth = "optional"
backend = "app"
"#;

/// A world in which people can sign in.
pub async fn world(provider: &Provider, session: &str) -> World {
    let world = World::new()
        .backend("app", mirror)
        .routes(ROUTES)
        .operator(&provider.gate(session))
        .start()
        .await;
    ready(&world).await;
    world
}

/// Waits until the router has read what the provider says of itself.
pub async fn ready(world: &World) {
    until("a way to sign in", async || {
        let mut nobody = Browser::new(world).await;
        nobody.open("/.banyan/login").await.status == 302
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_sends_people_to_sign_in_and_has_them_back() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = Browser::new(&world).await;
    let location = browser.begin("/account/orders?page=2&q=a%20b").await;
    let asked = form(location.split_once('?').unwrap().1);
    assert_eq!(
        (&*asked["response_type"], &*asked["client_id"]),
        ("code", "banyan")
    );
    assert_eq!(
        (&*asked["code_challenge_method"], asked["code_challenge"].len()),
        ("S256", 43)
    );
    assert_eq!((asked["state"].len(), asked["nonce"].len()), (43, 43));
    assert_eq!(asked["scope"], "openid profile email");
    let callback = format!("https://{}/.banyan/callback", world.authority());
    assert_eq!(asked["redirect_uri"], callback);

    let back = browser.open(&provider.sign_in(&location, "alice")).await;
    assert_eq!(
        (back.status.as_u16(), back.header("location")),
        (303, "/account/orders?page=2&q=a%20b")
    );
    for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "no-referrer")] {
        assert_eq!(back.header(name), value, "{back:?}");
    }
    assert_eq!(
        browser.jar.len(),
        1,
        "the sign-in's own cookie is gone: {:?}",
        browser.jar.keys()
    );

    let seen = browser.open("/account/orders?page=2").await.seen();
    assert_eq!(
        (seen.header("banyan-user"), seen.header("banyan-roles")),
        ("alice".into(), "member".into())
    );
    assert!(!seen.has("cookie") && !seen.has("authorization"), "{seen:?}");
    let told = seen.0.to_string();
    assert!(!told.contains("secret") && !told.contains("refresh"), "{told}");
    assert_eq!(browser.open("/staff").await.status, 403);
    assert_eq!(
        browser.fetch("/maybe").await.seen().header("banyan-user"),
        "alice"
    );

    let me = browser.fetch("/.banyan/me").await;
    assert_eq!(
        (me.status.as_u16(), me.header("cache-control")),
        (200, "no-store")
    );
    let me: Value = serde_json::from_slice(&me.body).unwrap();
    assert_eq!(
        (&me["subject"], &me["roles"], &me["name"]),
        (&json!("alice"), &json!(["member"]), &json!("앨리스"))
    );
    assert!(me["ends"].as_str().unwrap() > me["signed_in"].as_str().unwrap());

    let log = std::fs::read_to_string(world.folder().join("log/access.log")).unwrap_or_default();
    assert!(!log.contains("code-1") && !log.contains(&asked["state"]), "{log}");
    assert!(!world.admin("/metrics").await.text().contains(SECRET));
}

/// Method and fields of a request, and the status that it gets.
type Asking<'c> = (&'c Method, &'c [(&'c str, &'c str)], u16);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_pages_are_sent_and_everything_else_is_told() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = Browser::new(&world).await;
    let page = ("sec-fetch-mode", "navigate");
    let cases: [Asking<'_>; 11] = [
        (&Method::GET, &[page, ("sec-fetch-dest", "document")], 302),
        (&Method::HEAD, &[page, ("sec-fetch-dest", "document")], 302),
        (&Method::GET, &[page, ("sec-fetch-dest", "iframe")], 401),
        (
            &Method::GET,
            &[page, ("sec-fetch-dest", "document"), ("sec-purpose", "prefetch")],
            401,
        ),
        (
            &Method::POST,
            &[page, ("sec-fetch-dest", "document"), ("accept", "text/html")],
            401,
        ),
        (
            &Method::GET,
            &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
            401,
        ),
        (&Method::GET, &[("accept", "text/event-stream")], 401),
        (&Method::GET, &[("accept", "text/html")], 302),
        (
            &Method::GET,
            &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")],
            401,
        ),
        (&Method::GET, &[("accept", "application/json")], 401),
        (
            &Method::GET,
            &[("accept", "text/html"), ("authorization", "Bearer rubbish")],
            401,
        ),
    ];
    for (method, fields, expected) in cases {
        let answer = browser.ask(method, "/account/x", fields, "").await;
        assert_eq!(answer.status.as_u16(), expected, "{method} {fields:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let told = browser.fetch("/account/x").await;
    assert_eq!(told.header("content-type"), "application/problem+json");
    assert_eq!(browser.fetch("/.banyan/me").await.status, 401);
    assert_eq!(
        browser.fetch("/.banyan/login").await.status,
        401,
        "no script begins a sign-in"
    );
    let mut private = world.private(Http::One).await;
    assert_eq!(private.get("/.banyan/login").await.status, 404);
    assert_eq!(world.backend("app").requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_led_away_and_cookies_do_not_pile_up() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = Browser::new(&world).await;
    for to in [
        "//evil.test",
        "/%5cevil.test",
        "https://evil.test",
        "/%252fevil.test",
        "/.banyan/logout",
        "",
    ] {
        let away = browser.open(&format!("/.banyan/login?to={to}")).await;
        let back = provider.sign_in(away.header("location"), "alice");
        let back = browser.open(&back).await;
        assert_eq!(
            (back.status.as_u16(), back.header("location")),
            (303, "/"),
            "{to}"
        );
        browser.jar.clear();
    }
    let mut ways = Vec::new();
    for page in 0..8 {
        ways.push(browser.begin(&format!("/account/{page}")).await);
        assert!(browser.jar.len() <= 3, "{:?}", browser.jar.keys());
        let longest = browser.jar.values().map(String::len).max();
        assert!(longest.unwrap() < 1_000);
    }
    let (oldest, newest) = (&ways[0], &ways[7]);
    let late = browser.open(&provider.sign_in(oldest, "alice")).await;
    assert_eq!(late.status, 400, "it gave way");
    assert!(late.text().contains("/.banyan/login?to="), "{}", late.text());
    let back = browser.open(&provider.sign_in(newest, "alice")).await;
    assert_eq!(
        (back.status.as_u16(), back.header("location")),
        (303, "/account/7")
    );
}

/// ID tokens that must sign nobody in: what is wrong, and how the provider does it.
fn lies() -> Vec<(&'static str, Lie)> {
    fn claims(change: Value) -> Lie {
        Arc::new(move |_, claims| {
            merge(claims, &change);
            None
        })
    }
    fn header(change: Value) -> Lie {
        Arc::new(move |header, _| {
            merge(header, &change);
            None
        })
    }
    let now = banyan::clock::wall().secs();
    vec![
        ("another issuer", claims(json!({ "iss": "https://evil.test" }))),
        ("no issuer", claims(json!({ "iss": null }))),
        ("another audience", claims(json!({ "aud": "somebody-else" }))),
        (
            "somebody else is meant too",
            claims(json!({ "aud": ["banyan", "evil"], "azp": "banyan" })),
        ),
        ("another party", claims(json!({ "azp": "evil" }))),
        ("no audience", claims(json!({ "aud": [] }))),
        ("no subject", claims(json!({ "sub": null }))),
        ("an empty subject", claims(json!({ "sub": "" }))),
        ("no iat", claims(json!({ "iat": null }))),
        ("from the future", claims(json!({ "iat": now + 3600 }))),
        ("from yesterday", claims(json!({ "iat": now - 86_400 }))),
        ("no exp", claims(json!({ "exp": null }))),
        ("expired", claims(json!({ "exp": now - 3600 }))),
        ("exp is a text", claims(json!({ "exp": (now + 300).to_string() }))),
        ("no nonce", claims(json!({ "nonce": null }))),
        ("another nonce", claims(json!({ "nonce": "n-0S6_WzA2Mj" }))),
        ("a logout token", claims(json!({ "events": {} }))),
        ("an access token", header(json!({ "typ": "at+jwt" }))),
        ("alg none", header(json!({ "alg": "none" }))),
        (
            "public key as secret",
            header(json!({ "alg": "HS256", "kid": "good-EdDSA" })),
        ),
        ("an extension", header(json!({ "crit": ["x"], "x": 1 }))),
        ("a key that nobody knows", header(json!({ "kid": "new" }))),
        (
            "a bad signature",
            Arc::new(|header, claims| {
                let token = GOOD.signed("ES256", header, claims);
                Some(token[..token.len() - 6].to_owned() + "AAAAAA")
            }),
        ),
        (
            "another's key",
            Arc::new(|header, claims| Some(OTHER.signed("ES256", header, claims))),
        ),
        ("no token", Arc::new(|_, _| Some("not.a.token".to_owned()))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_of_the_provider_signs_anybody_in() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    for (what, lie) in lies() {
        provider.behave(|behaviour| behaviour.lie = Some(lie));
        let mut browser = Browser::new(&world).await;
        let back = browser.sign_in(&provider, "/account/x", "alice").await;
        assert_eq!(back.status, 502, "{what}: {back:?}");
        assert!(browser.jar.is_empty(), "{what}: {:?}", browser.jar.keys());
        assert_eq!(browser.fetch("/account/x").await.status, 401, "{what}");
    }
    assert_eq!(world.backend("app").requests(), 0);
    provider.behave(|behaviour| behaviour.lie = None);
    let mut browser = Browser::new(&world).await;
    assert_eq!(
        browser.sign_in(&provider, "/account/x", "alice").await.status,
        303
    );
}

/// What is changed of an address, the status that it gets, and how it is changed.
type Change<'c> = (&'c str, u16, &'c dyn Fn(&str) -> String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_must_be_the_answer_to_what_was_asked() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let cut = |back: &str, name: &str| {
        let (path, query) = back.split_once('?').unwrap();
        let kept = query
            .split('&')
            .filter(|pair| !pair.starts_with(&format!("{name}=")));
        format!("{path}?{}", kept.collect::<Vec<_>>().join("&"))
    };
    let cases: [Change<'_>; 10] = [
        ("no state", 400, &|back| cut(back, "state")),
        ("another state", 400, &|back| cut(back, "state") + "&state=AAAA"),
        ("two states", 400, &|back| format!("{back}&state=AAAA")),
        ("two codes", 400, &|back| format!("{back}&code=other")),
        ("no code", 400, &|back| cut(back, "code")),
        ("another issuer", 400, &|back| {
            cut(back, "iss") + "&iss=https%3A%2F%2Fevil.test"
        }),
        ("no issuer, though it always says", 400, &|back| cut(back, "iss")),
        ("code and error", 400, &|back| {
            format!("{back}&error=access_denied")
        }),
        ("declined", 403, &|back| {
            cut(back, "code") + "&error=access_denied"
        }),
        ("malformed", 400, &|back| format!("{back}&x=%zz")),
    ];
    for (what, status, change) in cases {
        let mut browser = Browser::new(&world).await;
        let location = browser.begin("/account/x").await;
        let back = change(&provider.sign_in(&location, "alice"));
        let answer = browser.open(&back).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        assert!(!browser.jar.contains_key("__Host-banyan-session"), "{what}");
        assert!(
            answer
                .header("content-security-policy")
                .contains("frame-ancestors 'none'")
        );
    }
    assert_eq!(
        provider.asked("authorization_code"),
        0,
        "the provider is not asked before all of that is right"
    );

    // a code is worth nothing to another browser, and nothing twice
    let (mut one, mut other) = (Browser::new(&world).await, Browser::new(&world).await);
    let back = provider.sign_in(&one.begin("/account/x").await, "alice");
    assert_eq!(
        other.open(&back).await.status,
        400,
        "signed in by somebody else's link"
    );
    let kept = one.jar.clone();
    assert_eq!(one.open(&back).await.status, 303);
    assert_eq!(one.open(&back).await.status, 400, "its cookie is gone");
    one.jar = kept;
    assert_eq!(
        one.open(&back).await.status,
        403,
        "and the provider knows the code"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_counts_whole_and_on_its_own_host_alone() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = Browser::new(&world).await;
    browser.sign_in(&provider, "/account/x", "alice").await;
    let session = browser.jar["__Host-banyan-session"].clone();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = session.clone().into_bytes();
        change(&mut bytes);
        String::from_utf8(bytes).unwrap()
    };
    let middle = session.len() / 2;
    let bad = [
        changed(&|bytes| bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' }),
        changed(&|bytes| bytes.truncate(middle)),
        changed(&|bytes| bytes[0] = b'2'),
        session.replacen(".own.", ".else.", 1),
        session.replacen(".own.", ".own..", 1),
        "x".to_owned(),
        "1.own.".to_owned(),
        format!("1.own.{}", "A".repeat(6_000)),
    ];
    for cookie in bad {
        browser
            .jar
            .insert("__Host-banyan-session".to_owned(), cookie.clone());
        assert_eq!(browser.fetch("/account/x").await.status, 401, "{cookie}");
        assert!(
            !browser.fetch("/maybe").await.seen().has("banyan-user"),
            "{cookie}"
        );
    }
    browser
        .jar
        .insert("__Host-banyan-login-0".to_owned(), session.clone());
    browser.jar.insert("__Host-banyan-session".to_owned(), session);
    assert_eq!(browser.fetch("/account/x").await.status, 200);
    // a bad token never falls back to a good session
    let bearer = [("authorization", "Bearer rubbish")];
    assert_eq!(
        browser.ask(&Method::GET, "/account/x", &bearer, "").await.status,
        401
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_rotate_are_found() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    let mut browser = Browser::new(&world).await;
    assert_eq!(
        browser.sign_in(&provider, "/account/x", "alice").await.status,
        303
    );
    provider.behave(|behaviour| behaviour.signs = &OTHER);
    let mut other = Browser::new(&world).await;
    assert_eq!(other.sign_in(&provider, "/account/x", "bob").await.status, 303);
    assert_eq!(
        browser.fetch("/account/x").await.status,
        200,
        "who is in stays in"
    );
}

async fn timed(asking: impl Future<Output = Answer>) -> (Answer, Duration) {
    let began = banyan::clock::steady();
    let answer = asking.await;
    (answer, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_slow_or_down_harms_nobody_else() {
    let provider = Provider::start();
    let world = world(&provider, "").await;
    provider.behave(|behaviour| behaviour.takes = Duration::from_secs(60));
    let mut browser = Browser::new(&world).await;
    let location = browser.begin("/account/x").await;
    let back = provider.sign_in(&location, "alice");
    let mut other = Browser::new(&world).await;
    let (slow, public) = tokio::join!(timed(browser.open(&back)), timed(other.open("/public/x")));
    assert_eq!((slow.0.status.as_u16(), public.0.status.as_u16()), (503, 200));
    assert!(
        slow.1 < Duration::from_secs(7) && public.1 < Duration::from_secs(2),
        "{slow:?} {public:?}"
    );
    assert!(slow.0.headers.contains_key("retry-after"));
    provider.behave(|behaviour| (behaviour.takes, behaviour.fails) = (Duration::ZERO, Some(500)));
    assert_eq!(
        browser.sign_in(&provider, "/account/x", "alice").await.status,
        503
    );
    provider.behave(|behaviour| behaviour.fails = Some(401));
    assert_eq!(
        browser.sign_in(&provider, "/account/x", "alice").await.status,
        503,
        "it does not know us"
    );
    assert_eq!(browser.open("/public/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_says_it_is_somebody_else_is_not_asked() {
    let provider = Provider::start();
    provider.says("issuer", json!("https://evil.test"));
    let site = World::new().backend("app", mirror).routes(ROUTES);
    let world = site.operator(&provider.gate("")).start().await;
    let mut browser = Browser::new(&world).await;
    let sent = browser.open("/account/x").await;
    assert_eq!(sent.status, 302);
    assert_eq!(browser.open(sent.header("location")).await.status, 503);
    assert_eq!(browser.open("/public/x").await.status, 200);
    assert_eq!(browser.fetch("/account/x").await.status, 401);
}
