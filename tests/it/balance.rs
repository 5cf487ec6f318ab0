//! Servers that are chosen, left alone, checked and found: from outside.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;

use crate::{
    backend::{Body, Server, Speaks, channel, empty, full, hello},
    client::{Client, Http, until},
    resolver::{Dns, Mood, Zone},
    world::World,
};

/// A server that answers by its name after `pause`, and with 500 while `sick`.
fn named(name: &'static str, pause: Duration, sick: &Arc<AtomicBool>) -> Server {
    let sick = Arc::clone(sick);
    Server::new(Speaks::Http1, move |_: Request<Incoming>| {
        let sick = sick.load(Ordering::SeqCst);
        async move {
            tokio::time::sleep(pause).await;
            let mut response = Response::new(full(name));
            if sick {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    })
}

fn well() -> Arc<AtomicBool> {
    Arc::default()
}

async fn shares(client: &mut Client, asks: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..asks {
        *shares.entry(client.get("/").await.text().to_owned()).or_default() += 1;
    }
    shares
}

fn lines(servers: &[&Server], more: &str) -> String {
    let lines: Vec<String> = servers
        .iter()
        .map(|server| format!("{{ url = \"{}\"{more} }}", server.url()))
        .collect();
    lines.join(", ")
}

/// A squad's file with one backend, to which everything leads.
fn site(backend: &str) -> String {
    format!("[backends.app]\n{backend}\n[[routes]]\npath = \"/*\"\nbackend = \"app\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_are_taken_by_weight() {
    let (one, two) = (
        named("one", Duration::ZERO, &well()),
        named("two", Duration::ZERO, &well()),
    );
    let servers = format!("{{ url = \"{}\", weight = 3 }}, \"{}\"", one.url(), two.url());
    let world = World::new()
        .routes(&site(&format!("servers = [{servers}]\npick = \"round-robin\"")))
        .top("cores = 1")
        .start()
        .await;
    let shares = shares(&mut world.client(Http::One).await, 40).await;
    assert_eq!((shares["one"], shares["two"]), (30, 10), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_leads_to_one_server_until_that_leaves() {
    let all: Vec<Server> = ["one", "two", "three", "four"]
        .map(|name| named(name, Duration::ZERO, &well()))
        .into();
    let text = |servers: &[&Server]| {
        let pick = "pick = { hash = \"cookie:cart\" }";
        format!(
            "squad = \"world\"\n{}",
            site(&format!("servers = [{}]\n{pick}", lines(servers, "")))
        )
    };
    let world = World::new()
        .routes(text(&all.iter().collect::<Vec<_>>()).trim_start_matches("squad = \"world\"\n"))
        .start()
        .await;
    let ask = async |world: &World, cart: usize| {
        let mut client = world.client(Http::Two).await;
        let mut request = client.request(&Method::GET, "/", empty());
        let cookie = format!("a=b; cart=c{cart}");
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        client.ask(request).await.text().to_owned()
    };
    let mut before = Vec::new();
    for cart in 0..30 {
        let first = ask(&world, cart).await;
        assert_eq!(ask(&world, cart).await, first, "the same again");
        before.push(first);
    }
    let mut names = before.clone();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4, "all have carts: {before:?}");
    world.write("routes/world.toml", &text(&[&all[0], &all[1], &all[3]]));
    world.reload().await;
    for (cart, was) in before.iter().enumerate() {
        let now = ask(&world, cart).await;
        assert!(now == *was || was == "three", "{cart} moved from {was} to {now}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_zone_is_preferred_until_it_is_sick() {
    let (near, far) = (
        named("near", Duration::ZERO, &well()),
        named("far", Duration::ZERO, &well()),
    );
    let servers = format!(
        "servers = [{}, {}]",
        lines(&[&near], ", zone = \"a\""),
        lines(&[&far], ", zone = \"b\"")
    );
    let world = World::new()
        .routes(&site(&servers))
        .top("zone = \"a\"")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    assert_eq!(shares(&mut client, 20).await.get("far"), None);
    drop(near);
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "far");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_a_share_is_ejected_and_comes_back() {
    let sick = Arc::new(AtomicBool::new(true));
    let (bad, good) = (
        named("bad", Duration::ZERO, &sick),
        named("good", Duration::ZERO, &well()),
    );
    let eject = "[backends.app.eject]\nfailures = 1000\nerror_share = 50.0\nrequests = 10\npause = \"300ms\"\npause_max = \"1s\"";
    let servers = lines(&[&bad, &good], "");
    let world = World::new()
        .routes(&site(&format!(
            "servers = [{servers}]\npick = \"round-robin\"\n{eject}"
        )))
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let label = bad.url();
    let ejected =
        format!("banyan_server_ejections_total{{backend=\"app\",server=\"{label}\",reason=\"error-share\"}}");
    until("it is ejected", async || {
        shares(&mut client, 20).await;
        world.metric(&ejected).await >= 1.0
    })
    .await;
    let told = world.admin("/api/backends").await;
    assert!(
        told.text().contains("too large a share of failures") || told.text().contains("\"tried\""),
        "{}",
        told.text()
    );
    sick.store(false, Ordering::SeqCst);
    until("it is back", async || {
        shares(&mut client, 10).await.contains_key("bad")
    })
    .await;
    assert!(world.metric("banyan_server_picks_total").await > 20.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_passed_over() {
    let (slow, fast) = (
        named("slow", Duration::from_millis(80), &well()),
        named("fast", Duration::ZERO, &well()),
    );
    let world = World::new()
        .servers("app", &[slow.url(), fast.url()])
        .top("cores = 1")
        .start()
        .await;
    let shares = shares(&mut world.client(Http::One).await, 100).await;
    assert!(shares.get("slow").is_none_or(|slow| *slow <= 5), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_costs_nothing_and_lets_one_probe_through() {
    let (asked, sick) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
    let (counting, telling) = (Arc::clone(&asked), Arc::clone(&sick));
    let server = Server::new(Speaks::Http1, move |_| {
        counting.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(full("well"));
        if telling.load(Ordering::SeqCst) {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        std::future::ready(response)
    });
    let breaker = "[backends.app.breaker]\nfailures = 5\npause = \"500ms\"\npause_max = \"500ms\"";
    let world = World::new()
        .routes(&site(&format!("servers = [\"{}\"]\n{breaker}", server.url())))
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.status, 503);
    }
    assert!(asked.load(Ordering::SeqCst) <= 7, "{asked:?} of 50 came through");
    let refused = client.get("/").await;
    assert!(
        refused.header("proxy-status").contains("breaker-open"),
        "{refused:?}"
    );
    until("its being open is told, once a second", async || {
        world.metric("banyan_backend_breaker_open{backend=\"app\"}").await == 1.0
    })
    .await;
    sick.store(false, Ordering::SeqCst);
    until("it is closed", async || client.get("/").await.status == 200).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200);
    }
}

/// A seat is taken and the breaker open: nobody waits for the seat, and whoever has somewhere to fall back to does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_meets_an_open_breaker_waits_for_no_seat() {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let server = Server::new(Speaks::Http1, move |_| {
        counting.fetch_add(1, Ordering::SeqCst);
        let mut response = Response::new(body.lock().unwrap().take().unwrap_or_else(|| full("more")));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        std::future::ready(response)
    });
    let legacy = Server::new(Speaks::Http1, hello("legacy"));
    let (server, legacy) = (server.url(), legacy.url());
    let routes = format!(
        "[backends.app]\nservers = [\"{server}\"]\nin_flight_max = 1\nqueue_max = 10\nqueue_timeout = \"60s\"\n\
        [backends.app.breaker]\nfailures = 1\npause = \"60s\"\npause_max = \"60s\"\n\
        [backends.legacy]\nservers = [\"{legacy}\"]\n\
        [[routes]]\npath = \"/*\"\nbackend = \"app\"\n\
        [[routes]]\npath = \"/moved/*\"\nbackend = \"app\"\nfallback = \"legacy\"\n"
    );
    let world = World::new().routes(&routes).start().await;
    let mut client = world.client(Http::Two).await;
    let holding = client.request(&Method::GET, "/held", empty());
    let held = client.another().send(holding).await.unwrap();
    assert_eq!(held.status(), 503, "its body goes on, and so does its seat");
    let refused = client.get("/").await;
    assert_eq!(refused.status, 503);
    assert!(
        refused.header("proxy-status").contains("breaker-open"),
        "{refused:?}"
    );
    let moved = client.post("/moved/there", "once").await;
    assert_eq!((moved.status.as_u16(), moved.text()), (200, "legacy"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    drop((held, sender));
}

async fn check_out_and_back(health: &str, server: Server, well: &AtomicBool) {
    let other = Server::new(server.speaks, hello("other"));
    let health = format!(
        "[backends.app.health]\ninterval = \"100ms\"\nhealthy_after = 1\nunhealthy_after = 1\n{health}"
    );
    let servers = format!("servers = [\"{}\"]", server.url());
    let world = World::new()
        .routes(&site(&format!("{servers}\n{health}")))
        .start()
        .await;
    let series = "banyan_server_healthy{backend=\"app\"";
    for good in [false, true] {
        well.store(good, Ordering::SeqCst);
        until(&format!("{good}"), async || {
            let told = world.admin("/api/backends").await;
            told.text().contains(if good {
                "\"state\":\"healthy\""
            } else {
                "\"state\":\"unhealthy\""
            })
        })
        .await;
    }
    assert!(world.metric(series).await >= 0.0);
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_reads_statuses_and_text() {
    let well = Arc::new(AtomicBool::new(true));
    let telling = Arc::clone(&well);
    let server = Server::new(Speaks::Http1, move |_| {
        let text = if telling.load(Ordering::SeqCst) {
            "all is well"
        } else {
            "all is lost"
        };
        let mut response = Response::new(full(text));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        std::future::ready(response)
    });
    check_out_and_back(
        "path = \"/\"\nstatus = \"200-299, 418\"\nbody = \"is well\"",
        server,
        &well,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_speaks_grpc() {
    let well = Arc::new(AtomicBool::new(true));
    let telling = Arc::clone(&well);
    let server = Server::new(Speaks::H2c, move |request: Request<Incoming>| {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let status = if telling.load(Ordering::SeqCst) { 1 } else { 2 };
        let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [Ok(Frame::data(message)), Ok(Frame::trailers(trailers))];
        let body: Body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert("content-type", "application/grpc".parse().unwrap());
        std::future::ready(response)
    });
    check_out_and_back("ask = \"grpc\"\nservice = \"shop.Cart\"", server, &well).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_leads_where_its_answers_do() {
    let dns = Dns::new().await;
    let (one, two) = (
        Server::at("127.0.0.11:0", hello("one")),
        named("unused", Duration::ZERO, &well()),
    );
    let port = one.address.port();
    let second = Server::at(&format!("127.0.0.12:{port}"), hello("two"));
    drop(two);
    dns.point("web.test", &["127.0.0.11"]);
    let world = World::new()
        .servers("app", &[format!("http://web.test:{port}")])
        .operator(&dns.settings())
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    assert_eq!(client.get("/").await.text(), "one");
    dns.be(Mood::Dead);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(client.get("/").await.text(), "one", "the last good answer stays");
    dns.be(Mood::Broken);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.get("/").await.text(), "one");
    dns.be(Mood::Well);
    dns.point("web.test", &["127.0.0.12"]);
    let told = async || {
        world
            .admin("/api/backends")
            .await
            .text()
            .contains("\"addresses\":[\"127.0.0.12\"]")
    };
    until("the new address is known", told).await;
    drop(one); // its kept connection is dead as well
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "two");
    }
    assert!(dns.asked() > 4);
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_enter_and_leave_with_answers_and_no_request_fails() {
    let dns = Dns::new().await;
    let one = Server::at("127.0.0.21:0", hello("one"));
    let port = one.address.port();
    let two = Server::at(&format!("127.0.0.22:{port}"), hello("two"));
    dns.point("each.test", &["127.0.0.21"]);
    let servers = format!(
        "servers = [{{ url = \"http://each.test:{port}\", resolve = \"each\" }}]\npick = \"round-robin\""
    );
    let world = World::new()
        .routes(&site(&servers))
        .operator(&dns.settings())
        .top("cores = 1")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(shares(&mut client, 4).await["one"], 4);
    dns.point("each.test", &["127.0.0.21", "127.0.0.22"]);
    until("both serve", async || shares(&mut client, 8).await.len() == 2).await;
    dns.point("each.test", &["127.0.0.22"]);
    until("one has left", async || {
        let shares = shares(&mut client, 8).await;
        assert!(
            shares.keys().all(|name| name == "one" || name == "two"),
            "{shares:?}"
        );
        !shares.contains_key("one")
    })
    .await;
    drop(one);
    assert_eq!(shares(&mut client, 8).await["two"], 8);
    drop(two);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_name_their_servers_and_ports() {
    let dns = Dns::new().await;
    let (one, spare) = (
        named("one", Duration::ZERO, &well()),
        named("spare", Duration::ZERO, &well()),
    );
    dns.point("a.test", &["127.0.0.1"]);
    dns.set(
        "_web._tcp.test",
        Zone {
            services: vec![
                (10, 5, one.address.port(), "a.test".to_owned()),
                (20, 5, spare.address.port(), "a.test".to_owned()),
            ],
            ..Zone::default()
        },
    );
    let world = World::new()
        .routes(&site(
            "servers = [{ url = \"http://_web._tcp.test\", resolve = \"srv\" }]",
        ))
        .operator(&dns.settings())
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    assert_eq!(shares(&mut client, 6).await["one"], 6, "the best priority alone");
    let name_that_is_not = World::new()
        .servers("app", &["http://nowhere.test".to_owned()])
        .operator(&dns.settings())
        .start()
        .await;
    let lost = name_that_is_not.client(Http::One).await.get("/").await;
    assert!(lost.header("proxy-status").contains("dns_error"), "{lost:?}");
}
