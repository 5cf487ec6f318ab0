//! Clients that give up, vanish or end their side: what is behind them stops.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use crate::{
    backend::{Body, Server, Speaks, channel, empty, hello},
    client::{Answer, Http, Wire, status, until},
    world::{World, within},
};

/// Told when a handler's future is dropped before its end.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A server whose answers never come; it tells when a request has arrived and when it is cancelled.
fn endless(speaks: Speaks) -> (Server, mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<()>) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let (dropped, drops) = mpsc::unbounded_channel();
    let server = Server::new(speaks, move |_| {
        let _ = arrived.send(());
        let dropped = Dropped(dropped.clone());
        async move {
            let _dropped = dropped;
            std::future::pending::<Response<Body>>().await
        }
    });
    (server, arrivals, drops)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_resets_cancels_its_request_at_the_backend() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let (server, mut arrivals, mut drops) = endless(speaks);
        let world = World::new().server("legacy", server).start().await;
        let mut raw = world.raw(Http::One).await;
        raw.send("GET /one HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        within("the request", arrivals.recv()).await.unwrap();
        raw.reset();
        within("its end at the backend", drops.recv()).await.unwrap();

        // over HTTP/2 only the stream is reset, and the connection goes on
        let client = world.client(Http::Two).await;
        let request = client.request(&Method::GET, "/two", empty());
        let mut asking = client.another();
        let asking = tokio::spawn(async move { asking.send(request).await });
        within("the request", arrivals.recv()).await.unwrap();
        asking.abort();
        within("its end at the backend", drops.recv()).await.unwrap();
        let line = world.logged(|line| line["path"] == "/two").await;
        assert_eq!(
            (&line["outcome"], &line["side"]),
            (&"abandoned".into(), &"client".into()),
            "{line}"
        );
        assert!(!client.is_closed());

        // and when the whole connection is reset, so are its streams
        let tls = crate::client::tls(world.https(), &world.ca(), Http::Two).await;
        let (mut send, connection) = h2::client::handshake(tls).await.unwrap();
        let driving = tokio::spawn(connection);
        let request = Request::get(format!("https://{}/three", world.authority()));
        let (_answer, _) = send.send_request(request.body(()).unwrap(), true).unwrap();
        within("the request", arrivals.recv()).await.unwrap();
        driving.abort();
        within("its end at the backend", drops.recv()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_in_the_middle_of_an_answer_frees_the_backend() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let (ended, mut ends) = mpsc::unbounded_channel();
        let endless = move |_: Request<Incoming>| {
            let (sender, body) = channel();
            let ended = Dropped(ended.clone());
            tokio::spawn(async move {
                let _ended = ended;
                let piece = Bytes::from(vec![0; 16 * 1024]);
                while sender.send(Ok(piece.clone())).await.is_ok() {}
            });
            std::future::ready(Response::new(body))
        };
        let world = World::new()
            .server("legacy", Server::new(speaks, endless))
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let request = client.request(&Method::GET, "/", empty());
            let mut response = client.send(request).await.unwrap();
            within("a piece", response.body_mut().frame())
                .await
                .unwrap()
                .unwrap();
            client.abort();
            drop((response, client));
            within("the end at the backend", ends.recv()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ends_its_side_still_gets_a_quick_answer() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    let mut raw = world.raw_private().await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.wire.shutdown().await.unwrap();
    let answer = raw.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("old"),
        "{answer}"
    );
    let mut raw = world.raw(Http::One).await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.wire.shutdown().await.unwrap();
    let answer = raw.rest().await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("old"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_is_broken_at_the_backend_too() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let (told, mut outcomes) = mpsc::unbounded_channel();
        let reads = move |request: Request<Incoming>| {
            let told = told.clone();
            async move {
                let whole = request.into_body().collect().await.is_ok();
                let _ = told.send(whole);
                Response::new(empty())
            }
        };
        let world = World::new()
            .server("legacy", Server::new(speaks, reads))
            .start()
            .await;
        let mut raw = world.raw(Http::One).await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
            .await;
        let backend = world.backend("legacy");
        until("the upload at the backend", async || backend.requests() == 1).await;
        raw.reset();
        assert!(
            !within("the outcome", outcomes.recv()).await.unwrap(),
            "{speaks:?}"
        );
        let mut raw = world.raw(Http::One).await;
        raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            .await;
        until("the upload at the backend", async || backend.requests() == 2).await;
        raw.send("zz\r\n").await;
        assert_eq!(status(&raw.head().await), 400);
        assert!(
            !within("the outcome", outcomes.recv()).await.unwrap(),
            "{speaks:?}"
        );
        let mut client = world.client(Http::Two).await;
        let (sender, body) = channel();
        sender.send(Ok(Bytes::from_static(b"half"))).await.unwrap();
        let request = client.request(&Method::POST, "/", body);
        let asking = tokio::spawn(async move { client.try_ask(request).await });
        until("the upload at the backend", async || backend.requests() == 3).await;
        let _ = sender.send(Err("given up".into())).await;
        assert!(within("an end", asking).await.unwrap().is_err());
        assert!(
            !within("the outcome", outcomes.recv()).await.unwrap(),
            "{speaks:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_with_all_its_connections_taken_is_a_503() {
    let (server, mut arrivals, _drops) = endless(Speaks::Http1);
    let world = World::new()
        .server("legacy", server)
        .settings("legacy", "connections_max = 1")
        .start()
        .await;
    let client = world.client(Http::Two).await;
    let request = client.request(&Method::GET, "/", empty());
    let mut holding = client.another();
    tokio::spawn(async move { holding.send(request).await });
    within("the first request", arrivals.recv()).await.unwrap();
    let answer: Answer = client.another().get("/").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.header("proxy-status").contains("connection_limit_reached"),
        "{answer:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_finishes_its_handshake_is_closed() {
    let world = World::new()
        .operator("[limits]\nhandshake_timeout = \"100ms\"\ndrain_delay = \"50ms\"")
        .backend("legacy", hello("old"))
        .start()
        .await;
    let mut silent = crate::client::Raw {
        wire: Wire::Tcp(TcpStream::connect(world.https()).await.unwrap()),
    };
    assert_eq!(silent.rest().await, "");
    let mut halfway = TcpStream::connect(world.https()).await.unwrap();
    halfway.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    let mut rest = Vec::new();
    let _ = within("a close", halfway.read_to_end(&mut rest)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_close_is_closed_after_its_answer() {
    let world = World::new().backend("legacy", hello("old")).start().await;
    let mut client = world.client(Http::One).await;
    let mut request = client.request(&Method::GET, "/", empty());
    request
        .headers_mut()
        .insert("connection", HeaderValue::from_static("close"));
    assert_eq!(client.ask(request).await.text(), "old");
    client.ended().await.unwrap();
}
