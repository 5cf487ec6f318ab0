//! Backends that misbehave and servers that die.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;

use crate::{
    backend::{Server, Speaks, channel, drain, empty, full, hello, read_head, reset},
    client::{Http, until},
    world::World,
};

/// A raw server that reads a head and writes `answer`, then closes in order.
fn says(answer: &'static [u8]) -> Server {
    Server::raw(move |mut tcp, _| async move {
        if read_head(&mut tcp).await.is_some() {
            let _ = tcp.write_all(answer).await;
        }
    })
}

/// Asks for `/` by both versions and expects Banyan's own answer: its status and `details`.
async fn check_refusal(server: Server, expected: u16, details: &str) {
    let world = World::new().server("legacy", server).start().await;
    for http in Http::BOTH {
        let answer = world.client(http).await.get("/").await;
        let told = answer.header("proxy-status").to_owned();
        assert_eq!(answer.status.as_u16(), expected, "{http:?} {told}");
        assert!(told.contains(details), "{http:?}: {told} has no {details}");
    }
}

/// Asks for `/` by both versions: the head comes, the body must break.
async fn check_broken(server: Server) {
    let world = World::new().server("legacy", server).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let request = client.request(&Method::GET, "/", empty());
        let answer = client.try_ask(request).await;
        assert!(answer.is_err(), "{http:?} took it for whole: {answer:?}");
    }
    let line = world.logged(|line| !line["aborted"].is_null()).await;
    assert_eq!(line["aborted"], "backend", "{line}");
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_connections_is_a_502() {
    let world = World::new().servers("legacy", &[nobody().await]).start().await;
    let answer = world.client(Http::One).await.get("/").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.header("proxy-status").contains("error=connection_refused"),
        "{answer:?}"
    );
    let line = world.logged(|line| line["status"] == 502).await;
    assert_eq!(line["backend"], "legacy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_and_hangs_is_a_504_in_time() {
    let hangs = Server::raw(|mut tcp, _| async move {
        let _ = drain(&mut tcp).await;
    });
    let world = World::new()
        .server("legacy", hangs)
        .settings("legacy", "first_byte_timeout = \"150ms\"")
        .start()
        .await;
    for http in Http::BOTH {
        let began = banyan::clock::steady();
        let answer = world.client(http).await.get("/").await;
        let took = began.elapsed();
        assert_eq!(answer.status, 504);
        assert!(answer.header("proxy-status").contains("first-byte"), "{answer:?}");
        assert!(
            took >= Duration::from_millis(150) && took < Duration::from_secs(3),
            "{took:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_in_the_head_is_a_502() {
    let server = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await;
        reset(tcp);
    });
    check_refusal(server, 502, "closed-early").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_in_the_head_is_a_502() {
    check_refusal(says(b"HTTP/1.1 200 OK\r\nContent-Le"), 502, "closed-early").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_in_the_body_is_never_a_whole_answer() {
    let server = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        let _ = tcp
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            .await;
        reset(tcp);
    });
    check_broken(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_shorter_than_its_length_is_never_a_whole_answer() {
    check_broken(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_without_its_last_chunk_is_never_a_whole_answer() {
    check_broken(says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_chunk_is_never_a_whole_answer() {
    check_broken(says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\nrest\r\n0\r\n\r\n",
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_body_that_is_reset_is_never_a_whole_answer() {
    let breaks = |_: Request<Incoming>| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            let _ = sender.send(Ok(Bytes::from_static(b"half"))).await;
            let _ = sender.send(Err("broken".into())).await;
        });
        Response::new(body)
    };
    check_broken(Server::new(Speaks::H2c, breaks)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_beyond_the_length_are_nobodys_answer() {
    let server = Server::raw(|mut tcp, _| async move {
        while read_head(&mut tcp).await.is_some() {
            let lie: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            if tcp.write_all(lie).await.is_err() {
                return;
            }
        }
    });
    let world = World::new()
        .top("cores = 1")
        .server("legacy", server)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..5 {
        assert_eq!(client.get("/").await.text(), "ok");
    }
    assert_eq!(
        world.backend("legacy").connections(),
        5,
        "a connection with unasked bytes is not used again"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unasked_101_is_a_502() {
    check_refusal(
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        502,
        "http_protocol_error",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_head_is_a_502() {
    let server = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\n").await;
        let line = format!("X: {}\r\n", "x".repeat(8000));
        for _ in 0..20 {
            if tcp.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
        let _ = drain(&mut tcp).await;
    });
    check_refusal(server, 502, "response-head-too-large").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_ambiguous_heads_are_502s() {
    let answers: [&[u8]; 8] = [
        b"hello there\r\n\r\n",
        b"\x16\x03\x01\x00\x00\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    ];
    for answer in answers {
        check_refusal(says(answer), 502, "http_protocol_error").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_trickles_in_arrives_whole() {
    let server = Server::raw(|mut tcp, _| async move {
        while read_head(&mut tcp).await.is_some() {
            for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" {
                tcp.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    let world = World::new().server("legacy", server).start().await;
    for http in Http::BOTH {
        assert_eq!(world.client(http).await.get("/").await.text(), "hello");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_stops_in_the_middle_is_cut_off_in_time() {
    let server = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        let _ = tcp
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            .await;
        let _ = drain(&mut tcp).await;
    });
    let world = World::new()
        .server("legacy", server)
        .settings("legacy", "between_bytes_timeout = \"150ms\"")
        .start()
        .await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        let request = client.request(&Method::GET, "/", empty());
        assert!(client.try_ask(request).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_after_each_answer_costs_no_request() {
    let server = Server::raw(|mut tcp, _| async move {
        read_head(&mut tcp).await;
        // no `connection: close`: Banyan takes the connection for one that can be used again
        let _ = tcp
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    });
    let world = World::new().server("legacy", server).start().await;
    for http in Http::BOTH {
        let mut client = world.client(http).await;
        for at in 0..100 {
            let answer = client.get("/").await;
            assert_eq!(
                (answer.status.as_u16(), answer.text()),
                (200, "ok"),
                "{http:?}, request {at}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_never_sent_twice_and_a_get_is() {
    let (posts, gets) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counts = (Arc::clone(&posts), Arc::clone(&gets));
    // Never answers a POST, and answers one GET for each connection.
    let server = Server::raw(move |mut tcp, _| {
        let (posts, gets) = counts.clone();
        async move {
            let mut answered = false;
            while let Some(head) = read_head(&mut tcp).await {
                if head.starts_with("POST") {
                    posts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                gets.fetch_add(1, Ordering::SeqCst);
                if std::mem::replace(&mut answered, true) {
                    return;
                }
                let _ = tcp
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
        }
    });
    let world = World::new()
        .top("cores = 1")
        .server("legacy", server)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for at in 1..=5 {
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(client.post("/", "x").await.status, 502);
        assert_eq!(posts.load(Ordering::SeqCst), at, "a POST was sent again");
    }
    let before = gets.load(Ordering::SeqCst);
    for _ in 0..5 {
        assert_eq!(
            client.get("/").await.status,
            200,
            "a kept connection was closed on it"
        );
    }
    assert!(gets.load(Ordering::SeqCst) > before + 5, "no GET was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_server_refuses_another_is_asked() {
    let good = Server::new(Speaks::Http1, hello("alive"));
    let world = World::new()
        .servers("legacy", &[nobody().await, good.url()])
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..30 {
        assert_eq!(client.get("/").await.text(), "alive");
        assert_eq!(
            client.post("/", "x").await.text(),
            "alive",
            "nothing had been sent, so a POST may go on too"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_a_server_hangs_up_on_is_asked_of_another_and_a_write_is_not() {
    let posts = Arc::<AtomicUsize>::default();
    let counting = Arc::clone(&posts);
    let hangs_up = Server::raw(move |mut tcp, _| {
        let counting = Arc::clone(&counting);
        async move {
            if read_head(&mut tcp)
                .await
                .is_some_and(|head| head.starts_with("POST"))
            {
                counting.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let well = Server::new(Speaks::Http1, hello("well"));
    let settings = "pick = \"round-robin\"\n[backends.legacy.eject]\nfailures = 1000\nerror_share = 0.0";
    let world = World::new()
        .top("cores = 1")
        .servers("legacy", &[hangs_up.url(), well.url()])
        .settings("legacy", settings)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "well");
    }
    let mut failed = 0;
    for _ in 0..20 {
        let answer = client.post("/", "x").await;
        failed += usize::from(answer.status == 502);
    }
    assert_eq!(failed, 10, "every other one met it");
    assert_eq!(
        posts.load(Ordering::SeqCst),
        failed,
        "and none of them went twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_costs_no_get() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let (one, other) = (
            Server::new(speaks, hello("one")),
            Server::new(speaks, hello("other")),
        );
        let world = World::new()
            .servers("legacy", &[one.url(), other.url()])
            .start()
            .await;
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let mut load = tokio::task::JoinSet::new();
        for at in 0..6 {
            let mut client = world.client(Http::BOTH[at % 2]).await;
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            load.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let answer = client.get("/").await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        until("load", async || asked.load(Ordering::SeqCst) > 200).await;
        drop(one);
        let before = asked.load(Ordering::SeqCst);
        until("more load", async || asked.load(Ordering::SeqCst) > before + 300).await;
        stop.store(true, Ordering::SeqCst);
        while let Some(joined) = load.join_next().await {
            joined.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_take_a_server_out_and_bring_it_back() {
    let well = Arc::new(AtomicBool::new(true));
    let telling = Arc::clone(&well);
    let patient = move |request: Request<Incoming>| {
        let healthy = telling.load(Ordering::SeqCst) || request.uri().path() != "/healthz";
        let mut response = Response::new(full("patient"));
        if !healthy {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        std::future::ready(response)
    };
    let (one, other) = (
        Server::new(Speaks::Http1, patient),
        Server::new(Speaks::Http1, hello("sound")),
    );
    let health = "[backends.legacy.health]\npath = \"/healthz\"\ninterval = \"20ms\"\nunhealthy_after = 2\nhealthy_after = 2\n";
    let world = World::new()
        .servers("legacy", &[one.url(), other.url()])
        .settings("legacy", health)
        .start()
        .await;
    let mut client = world.client(Http::One).await;
    let mut asks_only_the_other = async || {
        let mut only = true;
        for _ in 0..12 {
            only &= client.get("/").await.text() == "sound";
        }
        only
    };
    until("both serve", async || !asks_only_the_other().await).await;
    well.store(false, Ordering::SeqCst);
    until("the sick one is out", async || asks_only_the_other().await).await;
    well.store(true, Ordering::SeqCst);
    until("it is back", async || !asks_only_the_other().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_trusts_is_a_502() {
    let server = Server::new(Speaks::TlsHttp1, hello("secret"));
    let world = World::new().servers("legacy", &[server.url()]).start().await;
    let answer = world.client(Http::One).await.get("/").await;
    assert_eq!(answer.status, 502);
    assert!(
        answer.header("proxy-status").contains("tls_certificate_error"),
        "{answer:?}"
    );
    assert_eq!(server.requests(), 0);
}
