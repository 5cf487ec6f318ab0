//! Flags over real sockets: shares, stickiness, cookies, kill and restore.

use std::{collections::BTreeMap, fs};

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

use crate::{
    backend::{Body, mirror},
    client::{Answer, Client, Http, until},
    world::{Builder, World},
};

/// [`mirror`] that says in `x-side` who answers.
fn side(
    name: &'static str,
) -> impl Fn(Request<Incoming>) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>
+ Send
+ Sync
+ 'static {
    move |request| {
        Box::pin(async move {
            let mut response = mirror(request).await;
            response
                .headers_mut()
                .insert("x-side", HeaderValue::from_static(name));
            response
        })
    }
}

fn flag(share: f64) -> String {
    format!("variants = [\"legacy\", \"new\"]\ndefault = \"legacy\"\n[rollout]\nnew = {share:?}\n")
}

fn site(shares: &[(&str, f64)]) -> Builder {
    let mut world = World::new()
        .backend("legacy", side("legacy"))
        .backend("new", side("new"));
    let mut routes = "[[routes]]\npath = \"/*\"\nbackend = \"legacy\"\n".to_owned();
    for (name, share) in shares {
        world = world.flag(name, &flag(*share));
        routes += &format!(
            "[[routes]]\npath = \"/{name}/*\"\nflag = \"{name}\"\nbackends = {{ legacy = \"legacy\", new = \"new\" }}\n"
        );
    }
    world.routes(&routes)
}

/// The visitor cookie that an answer sets, as a browser sends it back.
fn cookie(answer: &Answer) -> Option<String> {
    let mut set = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap());
    let ours = set.find(|value| value.starts_with("__Host-banyan="))?;
    Some(ours.split(';').next().unwrap().to_owned())
}

async fn visit(client: &mut Client, path: &str, cookie: Option<&str>) -> Answer {
    let mut fields = vec![("accept", "text/html")];
    fields.extend(cookie.map(|cookie| ("cookie", cookie)));
    let answer = client.get_with(path, &fields).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Fresh visitors: each one's cookie with the side of the first page.
async fn crowd(world: &World, path: &str, size: usize) -> BTreeMap<String, String> {
    let mut client = world.client(Http::Two).await;
    let mut sides = BTreeMap::new();
    for _ in 0..size {
        let answer = visit(&mut client, path, None).await;
        let cookie = cookie(&answer).expect("a cookie with the first page");
        sides.insert(cookie, answer.header("x-side").to_owned());
    }
    assert_eq!(sides.len(), size, "every visitor is another one");
    sides
}

/// The sides of the same visitors now.
async fn again(world: &World, path: &str, crowd: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut client = world.client(Http::Two).await;
    let mut sides = BTreeMap::new();
    for cookie in crowd.keys() {
        let answer = visit(&mut client, path, Some(cookie)).await;
        sides.insert(cookie.clone(), answer.header("x-side").to_owned());
    }
    sides
}

fn new_ones(crowd: &BTreeMap<String, String>) -> usize {
    crowd.values().filter(|side| *side == "new").count()
}

/// Whether `count` of `size` is within five standard deviations of `share` percent: it fails once in two million runs.
#[track_caller]
fn close(count: usize, size: usize, share: f64) {
    let p = share / 100.0;
    let size = size as f64;
    let off = (count as f64 - size * p).abs();
    let sigma = (size * p * (1.0 - p)).sqrt();
    assert!(
        off <= 5.0 * sigma,
        "{count} of {size} at {share} %: {off} off, sigma {sigma}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_of_0_30_and_100_percent_are_what_visitors_get() {
    let world = site(&[("none", 0.0), ("some", 30.0), ("all", 100.0)])
        .start()
        .await;
    let some = crowd(&world, "/some/page", 500).await;
    close(new_ones(&some), 500, 30.0);
    assert_eq!(
        again(&world, "/some/other", &some).await,
        some,
        "page two agrees with page one"
    );
    assert_eq!(new_ones(&again(&world, "/all/page", &some).await), 500);
    assert_eq!(new_ones(&again(&world, "/none/page", &some).await), 0);
    assert_eq!(
        visit(&mut world.client(Http::One).await, "/all/x", None)
            .await
            .header("x-side"),
        "new"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_flags_of_one_share_split_visitors_independently() {
    let world = site(&[("one", 50.0), ("two", 50.0)]).start().await;
    let one = crowd(&world, "/one", 400).await;
    let two = again(&world, "/two", &one).await;
    let both = one
        .iter()
        .filter(|(cookie, side)| *side == "new" && two[*cookie] == "new")
        .count();
    close(both, 400, 25.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_keeps_a_side_over_a_restart() {
    let first = site(&[("some", 50.0)]).start().await;
    let before = crowd(&first, "/some", 60).await;
    let key = fs::read(first.folder().join("state/visitor.key")).unwrap();
    drop(first);
    let builder = site(&[("some", 50.0)]);
    fs::create_dir_all(builder.folder().join("state")).unwrap();
    fs::write(builder.folder().join("state/visitor.key"), key).unwrap();
    let second = builder.start().await;
    assert_eq!(again(&second, "/some", &before).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growing_share_only_adds_and_a_shrinking_one_takes_the_last_away() {
    let world = site(&[("some", 10.0)]).start().await;
    let at_10 = crowd(&world, "/some", 150).await;
    let mut known = vec![at_10.clone()];
    for share in [40.0, 80.0] {
        world.write("flags/some.toml", &flag(share));
        world.reload().await;
        known.push(again(&world, "/some", &at_10).await);
    }
    for pair in known.windows(2) {
        for (cookie, side) in &pair[0] {
            assert!(
                side == "legacy" || pair[1][cookie] == "new",
                "{cookie} was taken back"
            );
        }
        assert!(new_ones(&pair[0]) < new_ones(&pair[1]));
    }
    for (at, share) in [(1, 40.0), (0, 10.0)] {
        world.write("flags/some.toml", &flag(share));
        world.reload().await;
        assert_eq!(
            again(&world, "/some", &at_10).await,
            known[at],
            "back at {share} %"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_flag_moves_everyone_at_once_and_restoring_brings_the_same_ones_back() {
    let world = site(&[("some", 60.0)]).start().await;
    let before = crowd(&world, "/some", 60).await;
    let mut open = world.client(Http::Two).await;
    let (newcomer, _) = before.iter().find(|(_, side)| *side == "new").unwrap();
    world.write(
        "flags/some.toml",
        &format!("state = \"disabled\"\n{}", flag(60.0)),
    );
    world.reload().await;
    let answer = visit(&mut open, "/some", Some(newcomer)).await;
    assert_eq!(
        answer.header("x-side"),
        "legacy",
        "the next request on an open connection"
    );
    assert_eq!(new_ones(&again(&world, "/some", &before).await), 0);
    world.write("flags/some.toml", &flag(60.0));
    world.reload().await;
    assert_eq!(again(&world, "/some", &before).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_flag_file_changes_nobody() {
    let world = site(&[("some", 100.0)]).start().await;
    let before = crowd(&world, "/some", 5).await;
    world.write("flags/some.toml", "variants = [\"legacy\"\n");
    let status = world.reload().await;
    assert!(
        status.problems.has_errors() && status.stale == ["flags/some.toml"],
        "{status:?}"
    );
    assert_eq!(again(&world, "/some", &before).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cookie_is_for_this_host_alone_and_no_script_reads_it() {
    let world = site(&[("some", 50.0)]).start().await;
    let mut client = world.client(Http::Two).await;
    let answer = visit(&mut client, "/some", None).await;
    let set = answer.header("set-cookie").to_owned();
    let attributes: Vec<&str> = set.split("; ").skip(1).collect();
    for wanted in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=15552000"] {
        assert!(attributes.contains(&wanted), "{wanted} is missing in {set}");
    }
    assert!(!set.contains("Domain"), "{set}");
    let seen = visit(
        &mut client,
        "/some",
        Some(&format!("a=b; {}; c=d", cookie(&answer).unwrap())),
    )
    .await;
    assert_eq!(
        seen.headers.get("set-cookie"),
        None,
        "a good cookie is not sent again"
    );
    assert_eq!(
        seen.seen().header("cookie"),
        "a=b; c=d",
        "Banyan's own cookies never reach a backend"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_people_on_pages_of_a_flag_get_a_cookie() {
    let world = site(&[("some", 99.999)]).start().await;
    let mut client = world.client(Http::Two).await;
    let without: [(&str, &[(&str, &str)]); 6] = [
        ("/plain", &[("accept", "text/html")]),
        ("/some", &[("accept", "application/json")]),
        ("/some", &[("accept", "text/html"), ("sec-fetch-mode", "cors")]),
        (
            "/some",
            &[
                ("accept", "text/html"),
                ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1)"),
            ],
        ),
        (
            "/some",
            &[
                ("accept", "text/html"),
                ("sec-fetch-mode", "navigate"),
                ("sec-purpose", "prefetch;prerender"),
            ],
        ),
        ("/some", &[("accept", "text/html"), ("purpose", "prefetch")]),
    ];
    for (path, fields) in without {
        let answer = client.get_with(path, fields).await;
        assert_eq!(cookie(&answer), None, "{path} {fields:?}");
        assert_eq!(
            answer.header("x-side"),
            "legacy",
            "{fields:?}: who is nobody stays where it is safe"
        );
    }
    let private = world
        .private(Http::One)
        .await
        .get_with("/some", &[("accept", "text/html")])
        .await;
    assert_eq!(cookie(&private), None, "nor does a backend's call");
    assert!(cookie(&visit(&mut client, "/some", None).await).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_cookie_is_a_new_visitor_and_is_counted() {
    let world = site(&[("some", 50.0)]).start().await;
    let mut client = world.client(Http::Two).await;
    let good = cookie(&visit(&mut client, "/some", None).await).unwrap();
    let mut parts: Vec<String> = good.split('.').map(ToOwned::to_owned).collect();
    let letter = if parts[2].starts_with('A') { "B" } else { "A" };
    parts[2].replace_range(..1, letter);
    let answer = visit(&mut client, "/some", Some(&parts.join("."))).await;
    let fresh = cookie(&answer).expect("a cookie of its own");
    assert!(fresh != good && !fresh.contains(&parts[2]));
    assert_eq!(
        world
            .metric("banyan_visitor_cookies_total{state=\"damaged\"}")
            .await,
        1.0
    );
    let line = world.logged(|line| line["visitor"] == "damaged").await;
    assert_eq!(line["status"], 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_is_told_every_flag_of_its_route() {
    let world = World::new()
        .backend("legacy", side("legacy"))
        .backend("new", side("new"))
        .flag("picks", &flag(100.0))
        .flag(
            "colour",
            "variants = { warm = \"#f00\", cold = \"#00f\" }\ndefault = \"cold\"\n",
        )
        .flag("off", &format!("state = \"disabled\"\n{}", flag(100.0)))
        .routes(
            "[[routes]]\npath = \"/*\"\nflag = \"picks\"\nflags = [\"colour\", \"off\"]\n\
             backends = { legacy = \"legacy\", new = \"new\" }\n\
             [[routes]]\npath = \"/plain\"\nbackend = \"legacy\"\n",
        )
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let answer = visit(&mut client, "/page", None).await;
    assert_eq!(answer.header("x-side"), "new");
    assert_eq!(
        answer.seen().header("banyan-flags"),
        "picks=new, colour=cold, off=legacy"
    );
    assert!(
        !client
            .get_with("/plain", &[("banyan-flags", "picks=new")])
            .await
            .seen()
            .has("banyan-flags")
    );
    let line = world.logged(|line| line["path"] == "/page").await;
    assert_eq!(
        (line["flag"].as_str(), line["variant"].as_str()),
        (Some("picks"), Some("new"))
    );
    assert_eq!(line["flags"], "colour=cold, off=legacy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_cookie_lives_can_be_said_without_a_key() {
    let world = site(&[("some", 50.0)])
        .operator("[visitor]\nmax_age = \"30d\"")
        .start()
        .await;
    let answer = visit(&mut world.client(Http::Two).await, "/some", None).await;
    assert!(
        answer.header("set-cookie").contains("Max-Age=2592000"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edges_that_share_a_key_agree_on_every_visitor() {
    let keys = "[[visitor.keys]]\nid = \"a\"\nsecret = \"0123456789abcdef0123456789abcdef\"";
    let one = site(&[("some", 50.0)]).operator(keys).start().await;
    let two = site(&[("some", 50.0)]).operator(keys).start().await;
    let crowd = crowd(&one, "/some", 40).await;
    assert_eq!(again(&two, "/some", &crowd).await, crowd);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crawler_gets_the_default_and_no_cookie_whatever_it_brings() {
    let world = site(&[("some", 50.0)]).start().await;
    let sides = crowd(&world, "/some/page", 20).await;
    let (new, _) = sides.iter().find(|(_, side)| *side == "new").unwrap();
    let mut client = world.client(Http::Two).await;
    assert_eq!(
        visit(&mut client, "/some/x", Some(new)).await.header("x-side"),
        "new"
    );
    let agent = (
        "user-agent",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    );
    for fields in [
        vec![agent, ("accept", "text/html")],
        vec![agent, ("accept", "text/html"), ("cookie", new)],
    ] {
        let answer = client.get_with("/some/crawled", &fields).await;
        assert_eq!(answer.header("x-side"), "legacy");
        assert_eq!(cookie(&answer), None);
    }
    world
        .logged(|line| line["path"] == "/some/crawled" && line["visitor"] == "crawler")
        .await;
    let crawlers = "banyan_visitor_cookies_total{state=\"crawler\"}";
    until("both are counted", async || world.metric(crawlers).await == 2.0).await;
}
