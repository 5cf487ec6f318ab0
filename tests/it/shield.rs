//! What keeps a failing or busy backend from everybody else: fallbacks with a budget, retries, deadlines, lines, rates.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use banyan::clock;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;

use crate::{
    backend::{Body, Server, Speaks, channel, drain, empty, full, hello, mirror, read_head, reset},
    client::{Http, until},
    websocket::{self, WebSocket},
    world::{Builder, World, within},
};

/// A route that falls back, with room for all.
const ROOMY: &str = "[[routes]]\npath = \"/*\"\nbackend = \"new\"\n\
    fallback = { backend = \"legacy\", per_second = 100000, at_once = 100000 }\n";

async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn failed(status: u16) -> Response<Body> {
    let mut response = Response::new(full("failed"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn status(status: u16) -> impl Fn(Request<Incoming>) -> std::future::Ready<Response<Body>> + Send + Sync {
    move |_| std::future::ready(failed(status))
}

/// Counts each body that comes, by its text.
fn counting(
    seen: &Arc<Mutex<Vec<String>>>,
) -> impl Fn(Request<Incoming>) -> BodyReply + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    move |request| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            let body = http_body_util::BodyExt::collect(request.into_body())
                .await
                .unwrap();
            let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            seen.lock().unwrap().push(text);
            Response::new(full("legacy"))
        })
    }
}

type BodyReply = std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Servers that lie, each in its own way.
fn liars() -> Vec<(&'static str, Server)> {
    let says = |answer: &'static [u8]| {
        Server::raw(move |mut tcp, _| async move {
            if read_head(&mut tcp).await.is_some() {
                let _ = tcp.write_all(answer).await;
            }
        })
    };
    let resets = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        reset(tcp);
    });
    let hangs = Server::raw(|mut tcp, _| async move {
        let _ = drain(&mut tcp).await;
    });
    let trickles = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " {
            let _ = tcp.write_all(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        let _ = drain(&mut tcp).await;
    });
    let storms = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        for _ in 0..1_000 {
            let _ = tcp.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await;
        }
        let _ = drain(&mut tcp).await;
    });
    let giant = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nX-Giant: ").await;
        let _ = tcp.write_all(&vec![b'a'; 200_000]).await;
        let _ = drain(&mut tcp).await;
    });
    vec![
        ("resets", resets),
        ("hangs", hangs),
        ("half-closes", says(b"HTTP/1.1 200 OK\r\nContent-Le")),
        ("speaks nonsense", says(b"hello there\r\n\r\n")),
        (
            "two lengths",
            says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
        ),
        ("trickles", trickles),
        ("interim storm", storms),
        ("giant head", giant),
        ("answers 503", Server::new(Speaks::Http1, status(503))),
        ("answers 502", Server::new(Speaks::H2c, status(502))),
    ]
}

fn world(new: Server, legacy: Server, routes: &str) -> Builder {
    World::new()
        .server("new", new)
        .settings("new", "first_byte_timeout = \"200ms\"")
        .server("legacy", legacy)
        .routes(routes)
}

/// `count` requests, so many at a time on connections of their own.
async fn many(world: &World, count: usize, at_once: usize, method: &Method) -> Vec<(u16, String, Duration)> {
    let next = AtomicUsize::new(0);
    let one = |at: usize| {
        let next = &next;
        async move {
            let http = if at.is_multiple_of(2) {
                Http::One
            } else {
                Http::Two
            };
            let mut client = world.client(http).await;
            let mut answers = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return answers;
                }
                let began = clock::steady();
                let body = if method == Method::GET {
                    empty()
                } else {
                    full(number.to_string())
                };
                let request = client.request(method, &format!("/{number}"), body);
                let answer = client.ask(request).await;
                answers.push((
                    answer.status.as_u16(),
                    answer.text().to_owned(),
                    clock::steady().duration_since(began),
                ));
                if client.is_closed() {
                    client = world.client(http).await;
                }
            }
        }
    };
    join_all((0..at_once).map(one))
        .await
        .into_iter()
        .flatten()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_new_backend_does_to_a_thousand_reads_legacy_answers_them_all() {
    for (how, liar) in liars() {
        let legacy = Server::new(Speaks::Http1, hello("legacy"));
        let world = world(liar, legacy, ROOMY).start().await;
        let answers = many(&world, 100, 10, &Method::GET).await;
        assert_eq!(answers.len(), 100);
        for (status, text, _) in &answers {
            assert_eq!((*status, text.as_str()), (200, "legacy"), "{how}");
        }
        assert_eq!(world.backend("legacy").requests(), 100, "{how}");
    }
    let legacy = Server::new(Speaks::Http1, hello("legacy"));
    let world = World::new()
        .servers("new", &[nobody().await])
        .server("legacy", legacy)
        .routes(ROOMY)
        .start()
        .await;
    let answers = many(&world, 1_000, 20, &Method::GET).await;
    assert!(
        answers
            .iter()
            .all(|(status, text, _)| (*status, text.as_str()) == (200, "legacy"))
    );
    assert_eq!(world.backend("legacy").requests(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_writes_are_delivered_once_each_over_both_sides() {
    // it takes each request whole, acts on it, and then says one of three things; now and then nobody is there at all
    let (new, legacy) = (
        Arc::<Mutex<Vec<String>>>::default(),
        Arc::<Mutex<Vec<String>>>::default(),
    );
    let acts = Arc::clone(&new);
    let turn = AtomicUsize::new(0);
    let handler = move |request: Request<Incoming>| {
        let (acts, turn) = (Arc::clone(&acts), turn.fetch_add(1, Ordering::SeqCst));
        async move {
            let body = http_body_util::BodyExt::collect(request.into_body())
                .await
                .unwrap();
            let text = String::from_utf8(body.to_bytes().to_vec()).unwrap();
            acts.lock().unwrap().push(text);
            let mut response = Response::new(full("new"));
            match turn % 4 {
                0 => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
                1 => tokio::time::sleep(Duration::from_millis(400)).await, // longer than anybody waits
                _ => {}
            }
            response
        }
    };
    let server = Server::new(Speaks::Http1, handler);
    let (there, gone) = (server.url(), nobody().await);
    let world = World::new()
        .servers("new", &[there, gone])
        .settings("new", "first_byte_timeout = \"100ms\"\nattempts = 1")
        .server("legacy", Server::new(Speaks::Http1, counting(&legacy)))
        .routes(ROOMY)
        .start()
        .await;
    let answers = many(&world, 1_000, 20, &Method::POST).await;
    assert_eq!(answers.len(), 1_000);
    until("the slow ones have come to their end", async || {
        new.lock().unwrap().len() + legacy.lock().unwrap().len() == 1_000
    })
    .await;
    let mut all: Vec<usize> = new
        .lock()
        .unwrap()
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    all.extend(
        legacy
            .lock()
            .unwrap()
            .iter()
            .map(|text| text.parse::<usize>().unwrap()),
    );
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..1_000), "each once");
    assert!(!legacy.lock().unwrap().is_empty() && !new.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_kept_for_the_fallback_up_to_its_cap() {
    let legacy = Arc::<Mutex<Vec<String>>>::default();
    let world = world(
        Server::new(Speaks::Http1, |request: Request<Incoming>| async {
            let _ = http_body_util::BodyExt::collect(request.into_body()).await;
            failed(503)
        }),
        Server::new(Speaks::Http1, counting(&legacy)),
        "[[routes]]\npath = \"/*\"\nbackend = \"new\"\nfallback = { backend = \"legacy\", body_max = \"10KiB\" }\n",
    )
    .start()
    .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let put = |client: &crate::client::Client, size: usize| {
            let body = full(Bytes::from(vec![b'x'; size]));
            client.request(&Method::PUT, "/", body)
        };
        let request = put(&client, 10 * 1024);
        assert_eq!(client.ask(request).await.text(), "legacy");
        let request = put(&client, 10 * 1024 + 1);
        assert_eq!(
            client.ask(request).await.status,
            503,
            "it has no fallback, and is passed on whole"
        );
        let request = client.request(&Method::POST, "/", full("x"));
        assert_eq!(client.ask(request).await.status, 503, "it may have been acted on");
    }
    let seen: Vec<usize> = legacy.lock().unwrap().iter().map(String::len).collect();
    assert_eq!(seen, [10 * 1024, 10 * 1024]);
    until("nothing is kept any more", async || {
        world.metric("banyan_kept_body_bytes").await == 0.0
    })
    .await;
    assert!(
        world
            .metric("banyan_failovers_refused_total{backend=\"new\",to=\"legacy\",why=\"body\"}")
            .await
            >= 2.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_is_told_of_and_counts_against_the_new_side() {
    let world = World::new()
        .backend("new", status(503))
        .backend("legacy", hello("legacy"))
        .routes(
            "[[routes]]\npath = \"/*\"\nflag = \"pages\"\nbackends = { legacy = \"legacy\", new = \"new\" }\n\
             fallback = \"legacy\"\n",
        )
        .flag("pages", "variants = [\"legacy\", \"new\"]\ndefault = \"new\"\n")
        .start()
        .await;
    let answer = world.client(Http::Two).await.get("/a").await;
    assert_eq!(answer.text(), "legacy");
    let told = answer.header("proxy-status");
    assert_eq!(
        told,
        "banyan; next-hop=\"legacy\"; details=\"fallback from new: status_503\""
    );
    let line = world.logged(|line| line["path"] == "/a").await;
    assert_eq!(line["failover_from"], "new", "{line}");
    let counted = world
        .metric("banyan_flag_failovers_total{flag=\"pages\",variant=\"new\"}")
        .await;
    assert!((counted - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_never_sees_more_than_the_budget() {
    let slow = |_: Request<Incoming>| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Response::new(full("legacy"))
    };
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"new\"\n\
        fallback = { backend = \"legacy\", per_second = 30, at_once = 5 }\n";
    let world = World::new()
        .servers("new", &[nobody().await])
        .backend("legacy", slow)
        .routes(routes)
        .start()
        .await;
    let began = clock::steady();
    let answers = many(&world, 600, 30, &Method::GET).await;
    let took = clock::steady().duration_since(began).as_secs_f64();
    let fell_back = answers.iter().filter(|(status, ..)| *status == 200).count();
    assert_eq!(world.backend("legacy").requests(), fell_back);
    assert!(
        fell_back as f64 <= 30.0 + 30.0 * took + 1.0,
        "{fell_back} in {took} s"
    );
    assert!(fell_back >= 5);
    for (status, ..) in answers.iter().filter(|(status, ..)| *status != 200) {
        assert_eq!(*status, 503);
    }
    let refused = world.metric("banyan_failovers_refused_total").await;
    assert!((refused - (600 - fell_back) as f64).abs() < f64::EPSILON);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_deadline_is_shared_by_all_and_told() {
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"new\"\n\
        timeouts = { total = \"600ms\", first_byte = \"200ms\" }\nfallback = \"legacy\"\n\
        [[routes]]\npath = \"/late/*\"\nbackend = \"hangs\"\ntimeouts = { total = \"300ms\" }\nfallback = \"legacy\"\n";
    let hangs = |_: Request<Incoming>| std::future::pending::<Response<Body>>();
    let world = World::new()
        .backend("new", hangs)
        .backend("hangs", hangs)
        .backend("legacy", mirror)
        .routes(routes)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let seen = client.get("/a").await.seen();
    let left: u64 = seen.header("banyan-timeout").parse().unwrap();
    assert!((1..=400).contains(&left), "{left} ms after 200 of 600");
    let began = clock::steady();
    assert_eq!(client.get("/late/a").await.status, 504);
    let took = clock::steady().duration_since(began);
    assert!((280..900).contains(&took.as_millis()), "{took:?}");
    assert_eq!(
        world.backend("legacy").requests(),
        1,
        "there was no time left for it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backend_says_so_at_once_and_nobody_else_notices() {
    let (send, hold) = tokio::sync::watch::channel(false);
    let holds = move |_: Request<Incoming>| {
        let mut hold = hold.clone();
        async move {
            let _ = hold.wait_for(|done| *done).await;
            Response::new(full("at last"))
        }
    };
    let world = World::new()
        .backend("hung", holds)
        .settings("hung", "in_flight_max = 20")
        .backend("quick", hello("quick"))
        .routes("[[routes]]\npath = \"/hung/*\"\nbackend = \"hung\"\n[[routes]]\npath = \"/*\"\nbackend = \"quick\"\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let open = (0..20).map(|_| {
        let mut client = client.another();
        tokio::spawn(async move { client.get("/hung/a").await.status })
    });
    let open: Vec<_> = open.collect();
    until("all seats are taken", async || {
        world.backend("hung").requests() == 20
    })
    .await;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = clock::steady();
        let answer = client.get("/hung/b").await;
        slowest = slowest.max(clock::steady().duration_since(began));
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "1");
        assert!(answer.header("proxy-status").contains("connection_limit_reached"));
        assert_eq!(client.get("/a").await.text(), "quick");
    }
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
    assert_eq!(world.backend("hung").requests(), 20);
    assert!(world.metric("banyan_shed_total{of=\"hung\",why=\"full\"}").await >= 50.0);
    send.send(true).unwrap();
    for answered in join_all(open).await {
        assert_eq!(answered.unwrap(), 200);
    }
    assert_eq!(
        client.get("/hung/c").await.text(),
        "at last",
        "the seats came back"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_served_by_priority_and_not_for_ever() {
    let order = Arc::<Mutex<Vec<String>>>::default();
    let noting = Arc::clone(&order);
    let slow = move |request: Request<Incoming>| {
        noting.lock().unwrap().push(request.uri().path().to_owned());
        async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            Response::new(full("slow"))
        }
    };
    let routes = "[[routes]]\npath = \"/pay/*\"\nbackend = \"slow\"\nlimits = { priority = \"high\" }\n\
        [[routes]]\npath = \"/*\"\nbackend = \"slow\"\n";
    let world = World::new()
        .backend("slow", slow)
        .settings("slow", "in_flight_max = 1\nqueue_max = 3\nqueue_timeout = \"2s\"")
        .routes(routes)
        .start()
        .await;
    let client = world.client(Http::Two).await;
    let ask = |path: &'static str, fields: &'static [(&'static str, &'static str)]| {
        let mut client = client.another();
        tokio::spawn(async move { client.get_with(path, fields).await.status.as_u16() })
    };
    let waiting = async |count: f64| {
        until("they wait", async || {
            world.metric("banyan_waiting{of=\"slow\"}").await == count
        })
        .await;
    };
    let first = ask("/first", &[]);
    until("the seat is taken", async || {
        world.backend("slow").requests() == 1
    })
    .await;
    let crawler = ask("/crawler", &[("user-agent", "Googlebot/2.1")]);
    let prefetch = ask("/prefetch", &[("sec-purpose", "prefetch")]);
    let person = ask("/person", &[]);
    let pays = ask("/pay/1", &[]);
    let answers = join_all([first, crawler, prefetch, person, pays]).await;
    let answers: Vec<u16> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        answers.iter().filter(|status| **status == 503).count(),
        1,
        "{answers:?}"
    );
    let order = order.lock().unwrap().clone();
    let place = |path: &str| order.iter().position(|seen| seen == path);
    assert_eq!(order.len(), 4, "{order:?}");
    assert!(
        place("/pay/1") < place("/person") || place("/person") == Some(1),
        "{order:?}"
    );
    waiting(0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_squad_has_its_own_seats() {
    let hangs = |_: Request<Incoming>| std::future::pending::<Response<Body>>();
    let world = World::new()
        .operator("[squads.world]\nin_flight_max = 5\n[squads.other]\n")
        .backend("hung", hangs)
        .backend("quick", hello("quick"))
        .routes("[[routes]]\npath = \"/hung/*\"\nbackend = \"hung\"\n[[routes]]\npath = \"/own/*\"\nbackend = \"quick\"\n")
        .squad("other", "[[routes]]\npath = \"/other/*\"\nbackend = \"quick\"\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let open: Vec<_> = (0..5)
        .map(|_| {
            let mut client = client.another();
            tokio::spawn(async move { client.get("/hung/a").await })
        })
        .collect();
    until("all seats are taken", async || {
        world.backend("hung").requests() == 5
    })
    .await;
    assert_eq!(client.get("/own/a").await.status, 503);
    assert_eq!(client.get("/other/a").await.text(), "quick");
    assert!(world.metric("banyan_shed_total{of=\"world\",why=\"full\"}").await >= 1.0);
    open.iter().for_each(tokio::task::JoinHandle::abort);
    drop(open);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_hold_over_all_cores_and_say_when_to_come_back() {
    let routes = "[[routes]]\npath = \"/*\"\nbackend = \"pages\"\n\
        limits = { rates = [{ by = \"address\", requests = 6, per = \"1m\" }] }\n\
        [[routes]]\npath = \"/keys/*\"\nbackend = \"pages\"\n\
        limits = { rates = [{ by = \"header:x-api-key\", requests = 2, per = \"1m\", burst = 2 }] }\n";
    let world = World::new()
        .top("cores = 2")
        .backend("pages", hello("pages"))
        .routes(routes)
        .start()
        .await;
    let mut served = 0;
    for at in 0..20 {
        let http = if at % 2 == 0 { Http::One } else { Http::Two };
        let answer = world.client(http).await.get("/a").await;
        if answer.status == 200 {
            served += 1;
            continue;
        }
        assert_eq!(answer.status, 429);
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=10).contains(&wait), "{wait}");
    }
    assert_eq!(served, 6);
    let mut client = world.client(Http::Two).await;
    for key in ["one", "two"] {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(
                client
                    .get_with("/keys/a", &[("x-api-key", key)])
                    .await
                    .status
                    .as_u16(),
            );
        }
        assert_eq!(statuses, [200, 200, 429], "{key}");
    }
    world.reload().await;
    assert_eq!(
        client.get("/a").await.status,
        429,
        "a new snapshot forgets nobody"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_can_not_hold_everything() {
    let (sender, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let streams = move |_: Request<Incoming>| {
        let body = body.lock().unwrap().take().unwrap_or_else(|| full("short"));
        std::future::ready(Response::new(body))
    };
    let world = World::new()
        .backend("pages", streams)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"pages\"\nlimits = { address_max = 1 }\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    let mut other = client.another();
    let request = client.request(&Method::GET, "/export", empty());
    let export = client.send(request).await.unwrap();
    let answer = other.get("/a").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "1"));
    drop(sender);
    drop(export);
    until("the place is free again", async || {
        other.get("/a").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_stay_a_share_of_what_goes_well() {
    let world = World::new()
        .servers("dead", &[nobody().await, nobody().await])
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"dead\"\nretries = { share = 10, reserve = 7 }\n")
        .start()
        .await;
    let mut client = world.client(Http::Two).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.status, 502);
    }
    let retries = world
        .metric("banyan_backend_retries_total{backend=\"dead\"}")
        .await;
    assert!((retries - 7.0).abs() < f64::EPSILON, "{retries}");
    assert!(
        world
            .metric("banyan_retries_refused_total{backend=\"dead\"}")
            .await
            >= 43.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_closed_meanwhile_costs_nobody_an_error() {
    // it closes each connection just as the second request comes
    let closes = Server::raw(|mut tcp, _| async move {
        if read_head(&mut tcp).await.is_some() {
            let _ = tcp
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            let _ = read_head(&mut tcp).await;
        }
    });
    let world = World::new()
        .server("pages", closes)
        .settings("pages", "attempts = 1")
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"pages\"\nretries = { share = 0, reserve = 0 }\n")
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..50 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_websocket_ends_as_its_route_says() {
    let world = World::new()
        .backend("chat", websocket::backend)
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"chat\"\ntimeouts = { websocket_idle = \"300ms\" }\n")
        .start()
        .await;
    let mut socket = WebSocket::open(&world, Http::One, "/").await;
    socket.echo("here").await;
    assert!(within("the end", socket.next()).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_gives_its_seat_back_and_cancels_the_work() {
    let hangs = Server::raw(|mut tcp, _| async move {
        let _ = drain(&mut tcp).await;
    });
    let world = World::new()
        .server("hung", hangs)
        .settings("hung", "in_flight_max = 1")
        .routes("[[routes]]\npath = \"/*\"\nbackend = \"hung\"\n")
        .start()
        .await;
    for _ in 0..3 {
        let mut client = world.client(Http::One).await;
        let open = tokio::spawn(async move {
            let _ = client.get("/").await;
        });
        until("it is asked", async || world.backend("hung").open() == 1).await;
        open.abort();
        until("nobody works for it", async || world.backend("hung").open() == 0).await;
    }
}
