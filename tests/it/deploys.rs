//! Backends that list their servers by version: who gets which, what moves visitors on, and where assets are looked for.

use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::{
    backend::{Body, Server, Speaks, empty, full},
    client::{Answer, Client, Http, until},
    world::World,
};

/// The hash that a version's build wrote into the names of its files.
fn hash(version: &str) -> String {
    format!("{version}c0ffee42")
}

/// An application of this version: a page, a call, a script and a lazy chunk. Every other path is an HTML page that says 404.
fn app(version: &'static str) -> Server {
    Server::new(Speaks::Http1, move |request: Request<Incoming>| {
        std::future::ready(served(version, &request))
    })
}

fn served(version: &str, request: &Request<Incoming>) -> Response<Body> {
    let own = hash(version);
    let path = request.uri().path();
    let (status, media, text) = match path.rsplit('/').next().unwrap_or_default() {
        "" => (200, "text/html", format!("<script src=/assets/main.{own}.js>")),
        "call" => (200, "application/json", format!("\"{version}\"")),
        "spa.c0ffee42.js" => (200, "text/html; charset=utf-8", "<html>the first page".to_owned()),
        file if file == format!("main.{own}.js") || file == format!("lazy.{own}.js") => {
            (200, "text/javascript", format!("{version} {file}"))
        }
        _ => (404, "text/html", format!("<html>{version} has no {path}")),
    };
    let mut response = Response::new(full(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    let fields = response.headers_mut();
    fields.insert("content-type", HeaderValue::from_static(media));
    fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
    let told = request.headers().get("x-deployment-id").cloned();
    fields.insert("x-told", told.unwrap_or(HeaderValue::from_static("nothing")));
    response
}

const ROUTES: &str = "[[routes]]\npath = \"/*\"\nbackend = \"shop\"\n";

/// `[backends.shop]` of these versions: name, state, server.
fn shop(versions: &[(&str, &str, &Server)]) -> String {
    let mut text = String::from("[backends.shop]\nsticky = { path = \"/_v/{version}/*\" }\n");
    for (name, state, server) in versions {
        let url = server.url();
        text.push_str(&format!(
            "[[backends.shop.versions]]\nname = \"{name}\"\nstate = \"{state}\"\nservers = [\"{url}\"]\n"
        ));
    }
    text
}

async fn deploy(world: &World, versions: &[(&str, &str, &Server)], routes: &str) {
    let text = format!("squad = \"world\"\n{}{routes}", shop(versions));
    world.write("routes/world.toml", &text);
    let status = world.reload().await;
    assert!(status.stale.is_empty(), "{:?}", status.problems);
}

/// A browser of one tab, with the cookies that it was given.
struct Browser {
    client: Client,
    cookie: Option<String>,
}

impl Browser {
    async fn new(world: &World, http: Http) -> Self {
        Self {
            client: world.client(http).await,
            cookie: None,
        }
    }

    async fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut fields = fields.to_vec();
        let cookie = self.cookie.clone();
        fields.extend(cookie.iter().map(|cookie| ("cookie", cookie.as_str())));
        let answer = self.client.get_with(path, &fields).await;
        if let Some(set) = version_cookie(&answer) {
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        answer
    }

    async fn page(&mut self) -> Answer {
        self.get("/", PAGE).await
    }

    /// A script's request, as a page makes it.
    async fn part(&mut self, path: &str) -> Answer {
        self.get(path, PART).await
    }
}

const PAGE: &[(&str, &str)] = &[("sec-fetch-mode", "navigate"), ("accept", "text/html,*/*")];
const PART: &[(&str, &str)] = &[
    ("sec-fetch-mode", "no-cors"),
    ("sec-fetch-dest", "script"),
    ("accept", "*/*"),
];

fn version_cookie(answer: &Answer) -> Option<&str> {
    let mut cookies = answer.headers.get_all("set-cookie").iter();
    cookies.find_map(|set| {
        set.to_str()
            .ok()
            .filter(|set| set.starts_with("__Host-banyan-version-"))
    })
}

fn version_of(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{page:?}");
    page.header("banyan-version").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_its_assets_its_calls_and_its_lazy_chunks_are_of_one_version() {
    let (one, two) = (app("v1"), app("v2"));
    let both = shop(&[("v1", "live", &one), ("v2", "live", &two)]);
    let world = World::new().routes(&both).routes(ROUTES).start().await;
    let mut visitors = Vec::new();
    for at in 0..40 {
        let mut visitor = Browser::new(&world, Http::BOTH[at % 2]).await;
        let page = visitor.page().await;
        let version = version_of(&page);
        let set = version_cookie(&page).expect("a page sets the cookie");
        for part in ["Max-Age=3600", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(set.contains(part), "{set}");
        }
        assert!(!set.contains("Domain"), "{set}");
        visitors.push((visitor, version));
    }
    let ones = visitors.iter().filter(|(_, version)| version == "v1").count();
    assert!((5..=35).contains(&ones), "{ones} of 40 are on v1");
    for (visitor, version) in &mut visitors {
        let own = hash(version);
        for file in [format!("main.{own}.js"), format!("lazy.{own}.js")] {
            let asset = visitor.part(&format!("/assets/{file}")).await;
            assert_eq!(asset.text(), format!("{version} {file}"));
            assert_eq!(asset.header("proxy-status"), "", "it was there at once");
        }
        assert_eq!(visitor.part("/api/call").await.text(), format!("\"{version}\""));
        let again = visitor.page().await;
        assert_eq!(version_of(&again), *version);
        assert_eq!(version_cookie(&again), None, "it is young");
    }

    // the deploy goes on: v1 is drained
    deploy(&world, &[("v1", "draining", &one), ("v2", "live", &two)], ROUTES).await;
    for (visitor, version) in &mut visitors {
        let lazy = format!("lazy.{}.js", hash(version));
        assert_eq!(
            visitor.part(&format!("/assets/{lazy}")).await.text(),
            format!("{version} {lazy}")
        );
        assert_eq!(version_of(&visitor.page().await), *version, "who is on it stays");
    }
    for _ in 0..20 {
        let page = Browser::new(&world, Http::One).await.page().await;
        assert_eq!(version_of(&page), "v2", "nobody new");
    }

    // and v1 is gone
    deploy(&world, &[("v2", "live", &two)], ROUTES).await;
    for (visitor, version) in &mut visitors {
        let call = visitor.part("/api/call").await;
        assert_eq!((call.text(), call.header("banyan-version")), ("\"v2\"", "v2"));
        let page = visitor.page().await;
        assert_eq!(version_of(&page), "v2");
        assert_eq!(
            version_cookie(&page).is_some(),
            version == "v1",
            "moved on by a page"
        );
    }
    let moved = world
        .metric("banyan_version_picks_total{backend=\"shop@v2\",by=\"moved\"}")
        .await;
    assert!(moved >= ones as f64, "{moved}");
    let line = world.logged(|line| line["version_by"] == "moved").await;
    assert_eq!(
        (&line["version"], &line["backend"]),
        (&"v2".into(), &"shop@v2".into()),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_then_the_query_then_the_path_then_the_cookie_say_the_version() {
    let (one, two, three) = (app("v1"), app("v2"), app("v3"));
    let all = shop(&[
        ("v1", "draining", &one),
        ("v2", "live", &two),
        ("v3", "draining", &three),
    ]);
    let world = World::new().routes(&all).routes(ROUTES).start().await;
    let mut browser = Browser::new(&world, Http::Two).await;
    assert_eq!(version_of(&browser.page().await), "v2");
    let header = [("x-deployment-id", "v1")];
    for (path, fields, wanted) in [
        ("/_v/v3/call?dpl=v2", &header[..], "\"v1\""),
        ("/_v/v1/call?a=b&dpl=v3", &[], "\"v3\""),
        ("/_v/v1/call", &[], "\"v1\""),
        ("/call", &[], "\"v2\""),
        // what is no version counts for nothing
        ("/call?dpl=v9", &[("x-deployment-id", "shop@v1")], "\"v2\""),
        (
            "/call?dpl=../v1",
            &[("x-deployment-id", "http://10.0.0.1")],
            "\"v2\"",
        ),
    ] {
        let answer = browser.get(path, fields).await;
        assert_eq!(answer.text(), wanted, "{path} {fields:?}");
        let told = fields.first().map_or("nothing", |(_, value)| *value);
        assert_eq!(
            answer.header("x-told"),
            told,
            "the backend gets the field as it came"
        );
        assert_eq!(
            version_cookie(&answer),
            None,
            "a version that drains takes nobody"
        );
    }
    let request = browser.client.request(&Method::POST, "/call?dpl=v1", full("x"));
    assert_eq!(
        browser.client.ask(request).await.text(),
        "\"v1\"",
        "calls that change something too"
    );

    let explained = world
        .admin("/api/explain?url=https://localhost/call?dpl%3Dv3")
        .await;
    let text = explained.text();
    assert!(
        text.contains("v3: the query says so; of v1 (draining), v2 (live), v3 (draining)"),
        "{text}"
    );
    let listed: serde_json::Value = serde_json::from_str(world.admin("/api/backends").await.text()).unwrap();
    let backends = listed["backends"].as_array().unwrap();
    let names: Vec<&str> = backends
        .iter()
        .map(|backend| backend["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["shop", "shop@v1", "shop@v2", "shop@v3"]);
    assert_eq!(backends[1]["version"]["state"], "draining");
    let page = world.admin("/").await;
    assert!(page.text().contains("id=\"backend-shop@v1\""), "{}", page.text());
    assert!(!page.text().contains("id=\"backend-shop\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_asset_is_looked_for_elsewhere_once_and_never_answered_by_a_page() {
    let (one, two) = (app("v1"), app("v2"));
    let both = shop(&[("v1", "draining", &one), ("v2", "live", &two)]);
    let world = World::new().routes(&both).routes(ROUTES).start().await;
    let mut client = world.client(Http::One).await;
    let old = format!("/assets/lazy.{}.js", hash("v1"));
    let found = client.get_with(&old, PART).await;
    assert_eq!(
        (found.status.as_u16(), found.text()),
        (200, "v1 lazy.v1c0ffee42.js")
    );
    assert_eq!(
        found.header("proxy-status"),
        "banyan; next-hop=\"shop@v1\"; details=\"missing at shop@v2\""
    );
    let line = world.logged(|line| line["path"] == old.as_str()).await;
    assert_eq!(line["backend"], "shop@v1", "{line}");
    assert_eq!(line["asset_missing_at"], "shop@v2", "{line}");
    assert_eq!(line["version"], "v2", "{line}");
    let head = client.request(&Method::HEAD, &old, empty());
    assert_eq!(client.ask(head).await.status, 200);

    // nobody has it: each was asked once, and the browser is shown no page
    for (path, fields) in [
        ("/assets/made-up.c0ffee42.js", PART),
        ("/assets/made-up.c0ffee42.js", PAGE),
        ("/assets/spa.c0ffee42.js", PART),
    ] {
        let before = (one.requests(), two.requests());
        let nowhere = client.get_with(path, fields).await;
        assert_eq!(nowhere.status, 404, "{nowhere:?}");
        assert_eq!(nowhere.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(nowhere.header("cache-control"), "no-store");
        assert!(!nowhere.text().contains('<'), "{}", nowhere.text());
        assert_eq!((one.requests() - before.0, two.requests() - before.1), (1, 1));
    }
    // what is no asset, or is no question, is the own version's affair alone
    let before = one.requests();
    assert_eq!(
        client.get_with("/nowhere", PAGE).await.header("content-type"),
        "text/html"
    );
    let post = client.request(&Method::POST, &old, full("x"));
    assert_eq!(client.ask(post).await.header("content-type"), "text/html");
    assert_eq!(one.requests(), before);
    for (outcome, count) in [("found", 2.0), ("nowhere", 3.0)] {
        let series = format!("banyan_assets_looked_for_total{{backend=\"shop@v2\",outcome=\"{outcome}\"}}");
        assert_eq!(world.metric(&series).await, count, "{series}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asset_is_looked_for_on_the_flags_other_side() {
    let (legacy, new) = (app("v1"), app("v2"));
    let flag = "variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = 100.0\n";
    let by_flag = |more: &str| {
        format!(
            "[[routes]]\npath = \"/*\"\nflag = \"moving\"\nbackends = {{ legacy = \"legacy\", new = \"new\" }}\n{more}"
        )
    };
    let world = World::new()
        .servers("legacy", &[legacy.url()])
        .servers("new", &[new.url()])
        .flag("moving", flag)
        .routes(&by_flag("assets = \"hashed\"\n"))
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let page = client.get_with("/", PAGE).await;
    assert!(page.text().contains(&hash("v2")), "{}", page.text());
    let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
    let fields = [PART, &[("cookie", cookie.as_str())]].concat();
    let old = format!("/assets/main.{}.js", hash("v1"));
    let found = client.get_with(&old, &fields).await;
    assert_eq!(found.text(), "v1 main.v1c0ffee42.js");
    assert_eq!(page.header("banyan-version"), "", "nobody lists versions");
    let nowhere = client.get_with("/assets/made-up.c0ffee42.js", &fields).await;
    assert_eq!(nowhere.header("content-type"), "text/plain; charset=utf-8");
    assert!(
        world.metric("banyan_flag_failovers_total").await == 0.0,
        "an old page's script says nothing against the new side"
    );

    // a route that says nothing is as it was
    let text = world
        .read("routes/world.toml")
        .replace("assets = \"hashed\"\n", "");
    world.write("routes/world.toml", &text);
    world.reload().await;
    assert_eq!(
        client.get_with(&old, &fields).await.header("content-type"),
        "text/html"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_answers_of_two_versions_are_never_mixed() {
    let (one, two) = (app("v1"), app("v2"));
    let both = shop(&[("v1", "live", &one), ("v2", "live", &two)]);
    let routes = format!("{ROUTES}cache = \"standard\"\n");
    let world = World::new().routes(&both).routes(&routes).start().await;
    let mut client = world.client(Http::Two).await;
    for round in 0..3 {
        for version in ["v1", "v2"] {
            let answer = client.get_with("/call", &[("x-deployment-id", version)]).await;
            assert_eq!(answer.text(), format!("\"{version}\""));
            assert_eq!(answer.header("banyan-version"), version);
            let status = answer.header("cache-status");
            assert_eq!(status.contains("hit"), round > 0, "{round} {status}");
        }
    }
    let old = format!("/assets/lazy.{}.js", hash("v1"));
    for _ in 0..2 {
        let found = client.get_with(&old, &[("x-deployment-id", "v2")]).await;
        assert_eq!(found.text(), "v1 lazy.v1c0ffee42.js");
    }
    for _ in 0..2 {
        let nowhere = client.get("/assets/made-up.c0ffee42.js").await;
        assert_eq!(nowhere.header("content-type"), "text/plain; charset=utf-8");
        assert!(!nowhere.header("cache-status").contains("hit"), "{nowhere:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_of_a_version_whose_servers_are_dead_are_moved_on() {
    let (one, two) = (app("v1"), app("v2"));
    let first = shop(&[("v1", "live", &one), ("v2", "draining", &two)]);
    let world = World::new().routes(&first).routes(ROUTES).start().await;
    let mut visitor = Browser::new(&world, Http::One).await;
    assert_eq!(version_of(&visitor.page().await), "v1");
    deploy(&world, &[("v1", "draining", &one), ("v2", "live", &two)], ROUTES).await;
    assert_eq!(version_of(&visitor.page().await), "v1");
    drop(one);
    until("the visitor is on v2", async || {
        let page = visitor.page().await;
        page.status == 200 && page.header("banyan-version") == "v2"
    })
    .await;
    assert_eq!(version_of(&visitor.page().await), "v2", "and stays there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_under_load_fails_no_request() {
    let (one, two) = (app("v1"), app("v2"));
    let first = shop(&[("v1", "live", &one)]);
    let world = World::new().routes(&first).routes(ROUTES).start().await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut visitors = tokio::task::JoinSet::new();
    for at in 0..6 {
        let (stop, client) = (stop.clone(), world.client(Http::BOTH[at % 2]).await);
        visitors.spawn(async move {
            let mut browser = Browser { client, cookie: None };
            let mut pages = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                browser.cookie = browser.cookie.filter(|_| pages % 5 != 0); // somebody new now and then
                let version = version_of(&browser.page().await);
                let file = format!("lazy.{}.js", hash(&version));
                let lazy = browser.part(&format!("/assets/{file}")).await;
                // its version may be taken out in this moment; then it is nowhere
                let known = (lazy.status.as_u16(), lazy.text()) == (200, &format!("{version} {file}"));
                let gone = lazy.status == 404 && lazy.header("content-type").starts_with("text/plain");
                assert!(known || gone, "{lazy:?}");
                let call = browser.part("/api/call").await;
                assert_eq!(call.status, 200, "{call:?}");
                pages += 1;
            }
            pages
        });
    }
    for _ in 0..6 {
        for versions in [
            &[("v1", "live", &one), ("v2", "live", &two)][..],
            &[("v1", "draining", &one), ("v2", "live", &two)],
            &[("v2", "live", &two)],
            &[("v2", "draining", &two), ("v1", "live", &one)],
            &[("v1", "live", &one)],
        ] {
            deploy(&world, versions, ROUTES).await;
        }
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let pages: i32 = visitors.join_all().await.into_iter().sum();
    assert!(pages > 50, "there was no load: {pages}");
}
