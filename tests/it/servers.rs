//! Servers by what is known of them: checked by TCP alone, too few that are well, new ones, slow ones, and names whose DNS is slow.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use banyan::clock;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::{
    backend::{Server, Speaks, full, hello},
    client::{Client, Http, until},
    resolver::{Dns, Mood},
    world::World,
};

fn site(backend: &str) -> String {
    format!("[backends.app]\n{backend}\n[[routes]]\npath = \"/*\"\nbackend = \"app\"\n")
}

/// How many of `asks` requests each server answered, by its name.
async fn shares(client: &mut Client, asks: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..asks {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        *shares.entry(answer.text().to_owned()).or_default() += 1;
    }
    shares
}

async fn states(world: &World, backend: &str) -> Vec<String> {
    let told: serde_json::Value = serde_json::from_str(world.admin("/api/backends").await.text()).unwrap();
    let backends = told["backends"].as_array().unwrap();
    let backend = backends.iter().find(|found| found["name"] == backend).unwrap();
    let servers = backend["servers"].as_array().unwrap();
    servers
        .iter()
        .map(|server| server["state"].as_str().unwrap().to_owned())
        .collect()
}

/// Answers with `name`, and to checks as `well` says.
fn checked(name: &'static str, well: bool) -> Server {
    Server::new(Speaks::Http1, move |request: Request<Incoming>| {
        let mut response = Response::new(full(name));
        if !well && request.uri().path() == "/healthz" {
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        }
        std::future::ready(response)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_by_tcp_asks_for_a_connection_and_nothing_else() {
    let server = Server::new(Speaks::Http1, hello("here"));
    let address = server.address;
    let world = World::new()
        .routes(&site(&format!(
            "servers = [\"{}\"]\n[backends.app.health]\nask = \"tcp\"\ninterval = \"50ms\"\nhealthy_after = 1\nunhealthy_after = 2",
            server.url()
        )))
        .start()
        .await;
    let is = async |state: &str| states(&world, "app").await == [state];
    until("it was looked at a few times", async || server.connections() > 3).await;
    assert!(is("healthy").await);
    assert_eq!(server.requests(), 0, "nothing was asked");
    drop(server);
    until("it is out", async || is("unhealthy").await).await;
    let again = Server::at(&address.to_string(), hello("back"));
    until("it is back", async || is("healthy").await).await;
    assert_eq!(world.client(Http::One).await.get("/").await.text(), "back");
    assert_eq!(again.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_too_few_are_well_all_are_asked() {
    let servers = [
        checked("well", true),
        checked("one", false),
        checked("two", false),
        checked("three", false),
    ];
    let urls: Vec<String> = servers.iter().map(Server::url).collect();
    let health = "[backends.NAME.health]\npath = \"/healthz\"\ninterval = \"50ms\"\nunhealthy_after = 1\n";
    let backend = |name: &str, panic_below: &str| {
        let health = health.replace("NAME", name);
        format!(
            "[backends.{name}]\nservers = {urls:?}\npick = \"round-robin\"\n{panic_below}\n{health}\
             [[routes]]\npath = \"/{name}/*\"\nbackend = \"{name}\"\n"
        )
    };
    let world = World::new()
        .routes(&backend("calm", ""))
        .routes(&backend("panics", "panic_below = 50.0"))
        .routes(&backend("bears", "panic_below = 20.0"))
        .start()
        .await;
    for name in ["calm", "panics", "bears"] {
        until("three of four are out", async || {
            let states = states(&world, name).await;
            states.iter().filter(|state| *state == "unhealthy").count() == 3
        })
        .await;
    }
    let mut client = world.client(Http::Two).await;
    for (name, expected) in [("calm", 1), ("panics", 4), ("bears", 1)] {
        let mut seen = BTreeMap::<String, usize>::new();
        for _ in 0..40 {
            let answer = client.get(&format!("/{name}/a")).await;
            *seen.entry(answer.text().to_owned()).or_default() += 1;
        }
        assert_eq!(seen.len(), expected, "{name}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_enters_takes_its_share_by_and_by() {
    let (old, new) = (
        Server::new(Speaks::Http1, hello("old")),
        Server::new(Speaks::Http1, hello("new")),
    );
    let text = |servers: &[&Server], slow_start: &str| {
        let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
        site(&format!(
            "servers = {urls:?}\npick = \"round-robin\"\n{slow_start}"
        ))
    };
    for (slow_start, at_first) in [("slow_start = \"60s\"", 0..10), ("", 19..22)] {
        let world = World::new()
            .top("cores = 1")
            .routes(&text(&[&old], slow_start))
            .start()
            .await;
        let mut client = world.client(Http::One).await;
        assert_eq!(shares(&mut client, 4).await["old"], 4);
        let both = format!("squad = \"world\"\n{}", text(&[&old, &new], slow_start));
        world.write("routes/world.toml", &both);
        world.reload().await;
        let seen = shares(&mut client, 40).await;
        let share = seen.get("new").copied().unwrap_or_default();
        assert!(at_first.contains(&share), "{slow_start}: {seen:?}");
    }
    let second = "slow_start = \"1s\"";
    let world = World::new()
        .top("cores = 1")
        .routes(&text(&[&old], second))
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    shares(&mut client, 4).await;
    let both = format!("squad = \"world\"\n{}", text(&[&old, &new], second));
    world.write("routes/world.toml", &both);
    world.reload().await;
    until("its whole share", async || {
        shares(&mut client, 40).await.get("new") == Some(&20)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_far_slower_than_the_others_is_out_until_it_is_no_more() {
    let pause = Arc::new(AtomicU64::new(80));
    let slowly = Arc::clone(&pause);
    let slow = Server::new(Speaks::Http1, move |_: Request<Incoming>| {
        let pause = Duration::from_millis(slowly.load(Ordering::SeqCst));
        async move {
            tokio::time::sleep(pause).await;
            Response::new(full("slow"))
        }
    });
    let (one, two) = (
        Server::new(Speaks::Http1, hello("one")),
        Server::new(Speaks::Http1, hello("two")),
    );
    let eject = "[backends.app.eject]\nslow = 3.0\nrequests = 5\nwindow = \"5s\"\npause = \"500ms\"\npause_max = \"1s\"";
    let urls = [slow.url(), one.url(), two.url()];
    let world = World::new()
        .routes(&site(&format!(
            "servers = {urls:?}\npick = \"round-robin\"\n{eject}"
        )))
        .top("cores = 1")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let ejected = format!(
        "banyan_server_ejections_total{{backend=\"app\",server=\"{}\",reason=\"slow\"}}",
        slow.url()
    );
    until("it is ejected for its slowness", async || {
        shares(&mut client, 15).await;
        world.metric(&ejected).await >= 1.0
    })
    .await;
    for other in [&one, &two] {
        let of_other = ejected.replace(&slow.url(), &other.url());
        assert!(
            world.metric(&of_other).await.abs() < f64::EPSILON,
            "only the slow one"
        );
    }
    pause.store(0, Ordering::SeqCst);
    until("it has its share again", async || {
        shares(&mut client, 30).await.get("slow") >= Some(&8)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_dns_delays_the_first_request_and_no_other() {
    const LATE: Duration = Duration::from_millis(300);
    let dns = Dns::new().await;
    dns.be(Mood::Late(LATE));
    let (named, plain) = (
        Server::new(Speaks::Http1, hello("named")),
        Server::new(Speaks::Http1, hello("plain")),
    );
    dns.point("late.test", &["127.0.0.1"]);
    let routes = format!(
        "[backends.named]\nservers = [\"http://late.test:{}\"]\n[backends.plain]\nservers = [\"{}\"]\n\
         [[routes]]\npath = \"/named/*\"\nbackend = \"named\"\n[[routes]]\npath = \"/*\"\nbackend = \"plain\"\n",
        named.address.port(),
        plain.url()
    );
    let world = World::new()
        .routes(&routes)
        .operator(&dns.settings())
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    assert_eq!(client.get("/a").await.text(), "plain");
    assert_eq!(client.get("/named/a").await.text(), "named", "it is waited for");
    let (asked, mut quick, mut all) = (dns.asked(), 0, 0);
    until("a few more questions", async || {
        for path in ["/named/a", "/a"] {
            let began = clock::steady();
            assert_eq!(client.get(path).await.status, 200);
            quick += usize::from(clock::steady().duration_since(began) < LATE / 2);
            all += 1;
        }
        dns.asked() >= asked + 4
    })
    .await;
    assert!(quick * 100 >= all * 98, "{quick} of {all} did not wait for DNS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_moves_back_and_forth_under_load_costs_no_request() {
    let dns = Dns::new().await;
    let one = Server::at("127.0.0.41:0", hello("one"));
    let port = one.address.port();
    let two = Server::at(&format!("127.0.0.42:{port}"), hello("two"));
    dns.point("moves.test", &["127.0.0.41"]);
    let backend = |name: &str, resolve: &str| {
        format!(
            "[backends.{name}]\nservers = [{{ url = \"http://moves.test:{port}\", resolve = \"{resolve}\" }}]\n\
             [[routes]]\npath = \"/{name}/*\"\nbackend = \"{name}\"\n"
        )
    };
    let world = World::new()
        .routes(&backend("one", "one"))
        .routes(&backend("each", "each"))
        .operator(&dns.settings())
        .start()
        .await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for (path, http) in [
        ("/one/a", Http::One),
        ("/one/b", Http::Two),
        ("/each/a", Http::One),
        ("/each/b", Http::Two),
    ] {
        let (mut client, stop) = (world.client(http).await, Arc::clone(&stop));
        load.spawn(async move {
            let mut asked = 0;
            while !stop.load(Ordering::SeqCst) {
                let answer = if asked % 2 == 0 {
                    client.get(path).await
                } else {
                    client.post(path, "x").await
                };
                assert!(answer.status == 200, "request {asked} of {path}: {answer:?}");
                asked += 1;
            }
            asked
        });
    }
    for turn in 0..6 {
        let (address, name) = if turn % 2 == 0 {
            ("127.0.0.42", "two")
        } else {
            ("127.0.0.41", "one")
        };
        dns.point("moves.test", &[address]);
        // where the name is one server, its kept connections go on for a while: answers vary
        let mut client = world.client(Http::One).await;
        until("the name has moved", async || {
            client.get("/each/c").await.text() == name
        })
        .await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut asked = 0;
    while let Some(done) = load.join_next().await {
        asked += done.unwrap();
    }
    assert!(asked > 100, "{asked}: there was no load");
    assert!(one.requests() > 0 && two.requests() > 0);
}
