//! The listener on a real socket: it answers, it bounds, and a client that misbehaves harms nobody else.

use std::{net::TcpListener, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use super::site::view;
use crate::control::admin::{CONNECTIONS_MAX, serve};

async fn with_listener(test: impl AsyncFnOnce(std::net::SocketAddr)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let local = LocalSet::new();
    local
        .run_until(async {
            tokio::task::spawn_local(serve(
                listener,
                view(),
                tokio::sync::watch::Sender::new(false).subscribe(),
            ));
            tokio::time::timeout(Duration::from_secs(20), test(address))
                .await
                .unwrap();
        })
        .await;
}

/// Sends `text` and reads until the answer holds `wanted`.
async fn talk(stream: &mut TcpStream, text: &str, wanted: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(wanted) {
        let mut some = [0; 1024];
        let read = stream.read(&mut some).await.unwrap();
        assert_ne!(read, 0, "no {wanted:?} in {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&some[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

#[tokio::test]
async fn one_connection_carries_many_requests() {
    with_listener(async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..3 {
            let told = talk(&mut stream, HEALTH, "\r\n\r\nok\n").await;
            assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_of_unknown_length_is_refused() {
    with_listener(async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "GET /api/status HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let told = talk(&mut stream, head, "a body must say its length").await;
        assert!(told.starts_with("HTTP/1.1 411 "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn two_hosts_are_none() {
    with_listener(async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "GET /api/status HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: rebind.example\r\n\r\n";
        let told = talk(&mut stream, head, "exactly one").await;
        assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_host_inside_the_target_is_judged_as_well() {
    with_listener(async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "GET http://rebind.example/api/status HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
        let told = talk(&mut stream, head, "Ask by address").await;
        assert!(told.starts_with("HTTP/1.1 421 "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    with_listener(async |address| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(
            !rest.starts_with(b"HTTP/1.1 200"),
            "{:?}",
            String::from_utf8_lossy(&rest)
        );
    })
    .await;
}

#[tokio::test]
async fn one_more_than_the_most_connections_waits_until_another_ends() {
    with_listener(async |address| {
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            talk(&mut stream, HEALTH, "ok\n").await;
            open.push(stream);
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        late.write_all(HEALTH.as_bytes()).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), late.readable()).await;
        assert!(early.is_err(), "answered beyond the bound");
        drop(open.pop());
        talk(&mut late, "", "ok\n").await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_gives_its_connection_s_seat_to_others() {
    with_listener(async |address| {
        let live = "GET /api/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
        let mut listening = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let told = talk(&mut stream, live, "event: live\n").await;
            assert!(told.contains("connection: close\r\n"), "{told}");
            listening.push(stream);
        }
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut stream = TcpStream::connect(address).await.unwrap();
            talk(&mut stream, HEALTH, "ok\n").await;
            open.push(stream);
        }
        talk(&mut listening[0], "", "event: live\n").await; // the second's, from the keeper of the figures
    })
    .await;
}
