//! What browsers carry beside the visitor cookie, over real sockets: pins, override links, users as visitors, consent.

use std::{collections::BTreeMap, fs};

use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::{
    backend::{Body, empty, full, mirror},
    client::{self, Answer, Client, Http, until},
    issuer::{GOOD, gate},
    world::{Builder, World},
};

/// [`mirror`] that says in `x-side` who answers, and that anybody may keep it.
fn side(
    name: &'static str,
) -> impl Fn(Request<Incoming>) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>
+ Send
+ Sync
+ 'static {
    move |request| {
        Box::pin(async move {
            let mut response = mirror(request).await;
            let headers = response.headers_mut();
            headers.insert("x-side", HeaderValue::from_static(name));
            headers.insert("cache-control", HeaderValue::from_static("public, max-age=60"));
            response
        })
    }
}

fn flag(more: &str, share: f64) -> String {
    format!("variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n{more}\n[rollout]\nnew = {share:?}\n")
}

fn site(more: &str, share: f64) -> Builder {
    World::new()
        .backend("legacy", side("legacy"))
        .backend("new", side("new"))
        .flag("cart", &flag(more, share))
        .routes(
            "[[routes]]\npath = \"/*\"\nflag = \"cart\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n\
             [[routes]]\npath = \"/plain\"\nbackend = \"legacy\"\n",
        )
}

/// A browser that keeps the cookies of one host.
#[derive(Default, Clone)]
struct Browser {
    jar: BTreeMap<String, String>,
}

impl Browser {
    async fn ask(
        &mut self,
        client: &mut Client,
        method: Method,
        path: &str,
        more: &[(&str, &str)],
    ) -> Answer {
        let mut request = client.request(&method, path, empty());
        let cookies: Vec<String> = self
            .jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let own = [("accept", "text/html"), ("cookie", cookies.as_str())];
        for (name, value) in own.iter().chain(more).filter(|(_, value)| !value.is_empty()) {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let answer = client.ask(request).await;
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            match set.contains("Max-Age=0") {
                true => self.jar.remove(name),
                false => self.jar.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    async fn visit(&mut self, client: &mut Client, path: &str) -> Answer {
        let answer = self.ask(client, Method::GET, path, &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    async fn side(&mut self, client: &mut Client) -> String {
        self.visit(client, "/page").await.header("x-side").to_owned()
    }

    fn has(&self, name: &str) -> bool {
        self.jar.contains_key(name)
    }
}

const PINS: &str = "__Host-banyan-pins";
const OVERRIDE: &str = "__Host-banyan-override";

/// Gives the admin listener an order.
async fn order(world: &World, path: &str, body: &Value) -> (u16, Value) {
    let address = world.addresses.admin.unwrap();
    let tcp = client::tcp(address).await;
    let mut client = Client::over(tcp, Http::One, "http", address.to_string()).await;
    let mut request = client.request(&Method::POST, path, full(body.to_string()));
    let fields = request.headers_mut();
    fields.insert("content-type", HeaderValue::from_static("application/json"));
    fields.insert("authorization", world.bearer().parse().unwrap());
    let answer = client.ask(request).await;
    let told = serde_json::from_str(answer.text()).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    (answer.status.as_u16(), told)
}

/// A link for `variant` of the cart: the path and query that a browser asks, and its id.
async fn link(world: &World, variant: &str, to: &str) -> (String, String) {
    let wanted = json!({ "variant": variant, "for": "1h", "reason": "a look", "to": to });
    let (status, told) = order(world, "/api/flags/cart/links", &wanted).await;
    assert_eq!(status, 200, "{told}");
    let url = told["url"].as_str().unwrap();
    let local = url.strip_prefix(&format!("https://{}", world.authority()));
    (
        local.expect(url).to_owned(),
        told["id"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_visitor_stays_when_the_share_shrinks_and_moves_with_the_epoch() {
    let world = site("sticky = true", 60.0).start().await;
    let mut client = world.client(Http::Two).await;
    let mut crowd: Vec<(Browser, String)> = Vec::new();
    for _ in 0..30 {
        let mut browser = Browser::default();
        let side = browser.side(&mut client).await;
        assert_eq!(
            browser.has(PINS),
            side == "new",
            "the default is nowhere to be kept"
        );
        let answer = browser.visit(&mut client, "/page").await;
        assert!(
            !answer.headers.contains_key("set-cookie"),
            "once is enough: {answer:?}"
        );
        crowd.push((browser, side));
    }
    let everybody = async |crowd: &mut Vec<(Browser, String)>, wanted: fn(&str) -> String| {
        let mut client = world.client(Http::Two).await;
        for (browser, before) in crowd {
            assert_eq!(browser.side(&mut client).await, wanted(before));
        }
    };
    world.write("flags/cart.toml", &flag("sticky = true", 0.0));
    world.reload().await;
    everybody(&mut crowd, str::to_owned).await;
    assert!(
        world
            .metric("banyan_flag_decisions_total{flag=\"cart\",variant=\"new\",reason=\"PIN\"}")
            .await
            > 0.0
    );
    world.write(
        "flags/cart.toml",
        &flag("sticky = true\nstate = \"disabled\"", 0.0),
    );
    world.reload().await;
    everybody(&mut crowd, |_| "legacy".to_owned()).await;
    world.write("flags/cart.toml", &flag("sticky = true", 0.0));
    world.reload().await;
    everybody(&mut crowd, str::to_owned).await;
    let (browser, _) = crowd.iter().find(|(_, side)| side == "new").unwrap();
    let mut thief = Browser::default();
    thief.side(&mut client).await;
    thief.jar.insert(PINS.to_owned(), browser.jar[PINS].clone());
    assert_eq!(
        thief.side(&mut client).await,
        "legacy",
        "pins are for whom they were made"
    );
    let ignored = "banyan_carried_ignored_total{cookie=\"pins\",cause=\"damaged\"}";
    assert_eq!(world.metric(ignored).await, 1.0);
    world.write("flags/cart.toml", &flag("sticky = true\nepoch = 2", 0.0));
    world.reload().await;
    everybody(&mut crowd, |_| "legacy".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_puts_a_browser_on_a_variant_and_shows_a_way_out() {
    let world = site("", 0.0).start().await;
    let mut client = world.client(Http::Two).await;
    let (path, _) = link(&world, "new", "/page?a=b").await;
    let mut browser = Browser::default();
    let answer = browser.ask(&mut client, Method::GET, &path, &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/page?a=b")
    );
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert_eq!(answer.header("cache-control"), "no-store");
    for wanted in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=3"] {
        assert!(answer.header("set-cookie").contains(wanted), "{answer:?}");
    }
    let answer = browser.visit(&mut client, "/page").await;
    assert_eq!(answer.header("x-side"), "new");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    let seen = answer.seen();
    assert_eq!(seen.header("banyan-forced"), "1");
    assert!(!seen.has("cookie") && !seen.has("banyan-override"));
    let line = world.logged(|line| line["path"] == "/page").await;
    assert_eq!(line["variant"], "new");
    let plain = browser.visit(&mut client, "/plain").await;
    assert_eq!(plain.header("cache-control"), "public, max-age=60");
    assert!(!plain.seen().has("banyan-forced"));
    let page = browser.visit(&mut client, "/.banyan/override").await;
    assert!(
        page.text().contains("<b>cart</b> is <b>new</b></li>"),
        "{}",
        page.text()
    );
    let other_site = [("sec-fetch-site", "cross-site")];
    let refused = browser
        .ask(&mut client, Method::POST, "/.banyan/override/exit", &other_site)
        .await;
    assert_eq!(refused.status, 403);
    assert_eq!(browser.side(&mut client).await, "new");
    let own = [("sec-fetch-site", "same-origin")];
    let left = browser
        .ask(&mut client, Method::POST, "/.banyan/override/exit", &own)
        .await;
    assert_eq!(
        (left.status.as_u16(), left.header("location")),
        (303, "/.banyan/override")
    );
    assert!(!browser.has(OVERRIDE));
    assert_eq!(browser.side(&mut client).await, "legacy");
    let page = browser.visit(&mut client, "/.banyan/override/exit").await;
    assert!(page.text().contains("Nothing is forced here"));
    let forced = "banyan_flag_decisions_total{flag=\"cart\",variant=\"new\",reason=\"OVERRIDE\"}";
    assert_eq!(world.metric(forced).await, 2.0);
    let token = path.split_once("t=").unwrap().1;
    let log = fs::read_to_string(world.folder().join("log/access.log")).unwrap();
    assert!(
        log.contains("/.banyan/override") && !log.contains(token),
        "the log lets nobody in"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kill_switch_beats_a_link_and_a_revoked_one_never_counts_again() {
    let world = site("", 0.0).start().await;
    let mut client = world.client(Http::One).await;
    let (path, id) = link(&world, "new", "/page").await;
    let token = path.split_once("t=").unwrap().1.to_owned();
    let header = [("banyan-override", token.as_str())];
    let side = async |client: &mut Client| {
        client
            .get_with("/page", &header)
            .await
            .header("x-side")
            .to_owned()
    };
    assert_eq!(side(&mut client).await, "new", "programs bring it in a field");
    world.write("flags/cart.toml", &flag("state = \"disabled\"", 0.0));
    world.reload().await;
    assert_eq!(side(&mut client).await, "legacy");
    world.write("flags/cart.toml", &flag("", 0.0));
    world.reload().await;
    assert_eq!(side(&mut client).await, "new");
    let revoke = format!("/api/links/{id}/revoke");
    assert_eq!(order(&world, &revoke, &json!({ "reason": "" })).await.0, 400);
    let (status, told) = order(&world, &revoke, &json!({ "reason": "seen enough" })).await;
    assert_eq!((status, told["id"].as_str()), (200, Some(id.as_str())));
    assert_eq!(side(&mut client).await, "legacy", "from the next request on");
    let mut browser = Browser::default();
    assert_eq!(
        browser.ask(&mut client, Method::GET, &path, &[]).await.status,
        403
    );
    assert!(browser.jar.is_empty());
    let ignored = "banyan_carried_ignored_total{cookie=\"override\",cause=\"revoked\"}";
    assert_eq!(world.metric(ignored).await, 2.0);
    let state: Vec<(&str, Vec<u8>)> = ["visitor.key", "revoked.json"]
        .map(|name| (name, fs::read(world.folder().join("state").join(name)).unwrap()))
        .into();
    drop(world);
    let again = site("", 0.0);
    fs::create_dir_all(again.folder().join("state")).unwrap();
    for (name, bytes) in state {
        fs::write(again.folder().join("state").join(name), bytes).unwrap();
    }
    let again = again.start().await;
    let mut client = again.client(Http::One).await;
    assert_eq!(side(&mut client).await, "legacy", "nor after a restart");
    let (path, _) = link(&again, "new", "/page").await;
    let token = path.split_once("t=").unwrap().1;
    again.write("state/revoked.json", "[");
    again.reload().await;
    let answer = client.get_with("/page", &[("banyan-override", token)]).await;
    assert_eq!(
        answer.header("x-side"),
        "legacy",
        "a list that can't be read lets nobody in"
    );
    assert_eq!(order(&again, &revoke, &json!({ "reason": "more" })).await.0, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_makes_no_sense_is_not_made() {
    let world = site("", 0.0)
        .hosts("[\"localhost\", \"other.example\"]")
        .start()
        .await;
    let bad: [(&str, Value); 7] = [
        (
            "/api/flags/none/links",
            json!({ "variant": "new", "reason": "r" }),
        ),
        (
            "/api/flags/cart/links",
            json!({ "variant": "newer", "reason": "r" }),
        ),
        ("/api/flags/cart/links", json!({ "variant": "new" })),
        (
            "/api/flags/cart/links",
            json!({ "variant": "new", "reason": "r", "for": "8d" }),
        ),
        (
            "/api/flags/cart/links",
            json!({ "variant": "new", "reason": "r", "for": "1 hour" }),
        ),
        (
            "/api/flags/cart/links",
            json!({ "variant": "new", "reason": "r", "to": "//evil.example" }),
        ),
        (
            "/api/flags/cart/links",
            json!({ "variant": "new", "reason": "r", "host": "evil.example" }),
        ),
    ];
    for (path, wanted) in bad {
        let (status, told) = order(&world, path, &wanted).await;
        assert!(matches!(status, 400 | 404), "{wanted}: {told}");
    }
    let unknown = order(
        &world,
        "/api/links/ffffffff0000000000000001/revoke",
        &json!({ "reason": "r" }),
    )
    .await;
    assert_eq!(unknown.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_host_or_of_nobody_forces_nothing() {
    let world = site("", 0.0)
        .hosts("[\"localhost\", \"other.example\"]")
        .start()
        .await;
    let wanted = json!({ "variant": "new", "reason": "r", "host": "other.example" });
    let (_, elsewhere) = order(&world, "/api/flags/cart/links", &wanted).await;
    let elsewhere = elsewhere["url"]
        .as_str()
        .unwrap()
        .split_once("t=")
        .unwrap()
        .1
        .to_owned();
    let (here, _) = link(&world, "new", "/page").await;
    let here = here.split_once("t=").unwrap().1;
    let mut tampered = here.to_owned();
    let place = here.len() - 5..here.len() - 4;
    let other = if &here[place.clone()] == "A" { "B" } else { "A" };
    tampered.replace_range(place, other);
    let mut client = world.client(Http::Two).await;
    for token in [elsewhere.as_str(), &tampered, "", "x", "1.own.AAAA"] {
        let mut browser = Browser::default();
        browser.jar.insert(OVERRIDE.to_owned(), token.to_owned());
        assert_eq!(browser.side(&mut client).await, "legacy", "{token}");
        let path = format!("/.banyan/override?t={token}");
        assert_eq!(
            Browser::default()
                .ask(&mut client, Method::GET, &path, &[])
                .await
                .status,
            403
        );
    }
    let forged = client.get_with("/page", &[("banyan-forced", "1")]).await;
    assert!(!forged.seen().has("banyan-forced"));
    let posted = Browser::default()
        .ask(
            &mut client,
            Method::POST,
            &format!("/.banyan/override?t={here}"),
            &[],
        )
        .await;
    assert_eq!(
        (posted.status.as_u16(), posted.header("allow")),
        (405, "GET, HEAD")
    );
    let private = world.private(Http::One).await.get("/.banyan/override").await;
    assert_eq!(private.status, 404, "it is for browsers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_signs_in_is_one_visitor_on_every_device_and_stays_it() {
    let builder = World::new()
        .backend("legacy", side("legacy"))
        .backend("new", side("new"))
        .flag("cart", &flag("identity = \"adopt\"\nsticky = true", 50.0))
        .routes(
            "[[routes]]\npath = \"/*\"\nflag = \"cart\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n\
             [[routes]]\npath = \"/account\"\nauth = \"required\"\nbackend = \"legacy\"\n",
        )
        .operator(&gate("keys.json"));
    fs::write(builder.folder().join("keys.json"), GOOD.jwks()).unwrap();
    let world = builder.start().await;
    let mut client = world.client(Http::Two).await;
    let token = |user: &str| format!("Bearer {}", GOOD.token("EdDSA", user, &[]));
    until("the issuer's keys", async || {
        let mut client = world.client(Http::Two).await;
        let fields = [
            ("authorization", token("early")),
            ("accept", "text/css".to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = client.get_with("/account", &fields).await;
        assert!(
            !answer.headers.contains_key("set-cookie"),
            "what is no page gets no cookie"
        );
        answer.status == 200
    })
    .await;
    let mut devices = vec![Browser::default(); 6];
    let mut ids = Vec::new();
    for device in &mut devices {
        device.side(&mut client).await;
        let signed_in = [("authorization", token("alice"))];
        let signed_in: Vec<(&str, &str)> = signed_in
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = device.ask(&mut client, Method::GET, "/account", &signed_in).await;
        assert!(answer.headers.contains_key("set-cookie"), "{answer:?}");
        let answer = device.ask(&mut client, Method::GET, "/account", &signed_in).await;
        assert!(!answer.headers.contains_key("set-cookie"), "once: {answer:?}");
        ids.push(device.jar["__Host-banyan"].split('.').nth(2).unwrap().to_owned());
        let again = device.visit(&mut client, "/page").await;
        let moved = again.headers.get_all("set-cookie").iter();
        assert!(
            !moved
                .into_iter()
                .any(|set| set.as_bytes().starts_with(b"__Host-banyan=")),
            "signed out, still the same"
        );
    }
    assert!(
        ids.iter().all(|id| *id == ids[0] && !id.contains("alice")),
        "{ids:?}"
    );
    assert_eq!(
        world.metric("banyan_carried_ignored_total{cookie=\"pins\"").await,
        0.0,
        "pins move over to the user's visitor"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_consent_cookies_end_with_the_browser() {
    let consent = "[visitor]\nconsent = { cookie = \"consent\", value = \"yes\" }";
    let world = site("sticky = true", 99.999).operator(consent).start().await;
    let mut client = world.client(Http::Two).await;
    let mut browser = Browser::default();
    let first = browser.visit(&mut client, "/page").await;
    let sets = |answer: &Answer| -> Vec<String> {
        let sets = answer.headers.get_all("set-cookie").iter();
        sets.map(|set| set.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(sets(&first).len(), 2, "{first:?}");
    assert!(
        sets(&first).iter().all(|set| !set.contains("Max-Age")),
        "{first:?}"
    );
    let id = |browser: &Browser| browser.jar["__Host-banyan"].split('.').nth(2).unwrap().to_owned();
    let before = id(&browser);
    assert_eq!(
        sets(&browser.visit(&mut client, "/page").await),
        Vec::<String>::new()
    );
    browser.jar.insert("consent".to_owned(), "yes".to_owned());
    let agreed = browser.visit(&mut client, "/page").await;
    assert_eq!(sets(&agreed).len(), 2);
    assert!(
        sets(&agreed).iter().all(|set| set.contains("Max-Age=15552000")),
        "{agreed:?}"
    );
    assert_eq!(
        sets(&browser.visit(&mut client, "/page").await),
        Vec::<String>::new()
    );
    browser.jar.insert("consent".to_owned(), "no".to_owned());
    let withdrawn = browser.visit(&mut client, "/page").await;
    assert!(sets(&withdrawn).len() == 2 && sets(&withdrawn).iter().all(|set| !set.contains("Max-Age")));
    assert_eq!(id(&browser), before, "all the while the same visitor");
}
