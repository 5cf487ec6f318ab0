//! Connections that become something else: WebSockets over both versions of HTTP, on both sides.

use http::Response;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    backend::{Server, Speaks, empty, full, hello},
    client::{Http, status, until},
    websocket::{self, WebSocket},
    world::{Builder, World},
};

const PLAIN_AND_H2C: [Speaks; 2] = [Speaks::Http1, Speaks::H2c];

fn world(speaks: Speaks) -> Builder {
    World::new().server("legacy", Server::new(speaks, websocket::backend))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_echoes_over_every_pair_of_versions() {
    for speaks in Speaks::ALL {
        let world = world(speaks).start().await;
        for http in Http::BOTH {
            let mut socket = WebSocket::open(&world, http, "/live").await;
            socket.echo("hello").await;
            let large = vec![7_u8; 1 << 20];
            socket.send(large.clone()).await;
            let back = socket.next().await;
            assert!(
                back == Some(Message::binary(large)),
                "{speaks:?} {http:?}: a large message changed"
            );
            socket.send(Message::Close(None)).await;
            assert!(matches!(socket.next().await, Some(Message::Close(_)) | None));
            drop(socket);
            let protocol = if http == Http::One { "HTTP/1.1" } else { "HTTP/2" };
            let line = world
                .logged(|line| line["path"] == "/live" && line["protocol"] == protocol)
                .await;
            assert!(line["bytes_out"].as_u64().unwrap() > 1 << 20, "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_survives_five_reloads_even_when_its_route_goes() {
    for speaks in PLAIN_AND_H2C {
        let world = world(speaks).start().await;
        let mut sockets = Vec::new();
        for http in Http::BOTH {
            sockets.push(WebSocket::open(&world, http, "/live").await);
        }
        let text = world.read("routes/world.toml");
        for at in 0..5 {
            let moved = text.replace("path = \"/*\"", &format!("path = \"/elsewhere-{at}/*\""));
            world.write("routes/world.toml", &moved);
            world.reload().await;
            for socket in &mut sockets {
                socket.echo("still here").await;
            }
        }
        assert_eq!(world.client(Http::One).await.get("/live").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_closes_websockets_with_1012() {
    for speaks in PLAIN_AND_H2C {
        let mut world = world(speaks)
            .operator("[limits]\ndrain_delay = \"20ms\"\ndrain_timeout = \"4s\"")
            .start()
            .await;
        let mut one = WebSocket::open(&world, Http::One, "/live").await;
        let mut two = WebSocket::open(&world, Http::Two, "/live").await;
        one.echo("hello").await;
        two.echo("hello").await;
        world.drain().await;
        assert_eq!(one.closed().await, 1012);
        assert_eq!(two.closed().await, 1012);
        drop((one, two));
        world.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_says_nothing_is_ended() {
    for http in Http::BOTH {
        let world = world(Speaks::Http1)
            .operator("[limits]\ndrain_delay = \"20ms\"\ntunnel_idle_timeout = \"200ms\"")
            .start()
            .await;
        let mut socket = WebSocket::open(&world, http, "/live").await;
        socket.echo("hello").await;
        while socket.next().await.is_some() {}
        world.logged(|line| line["path"] == "/live").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_handshake_is_the_backends_own_answer() {
    for speaks in PLAIN_AND_H2C {
        let refuse = |_| {
            let mut response = Response::new(full("not you"));
            *response.status_mut() = http::StatusCode::FORBIDDEN;
            std::future::ready(response)
        };
        let world = World::new()
            .server("legacy", Server::new(speaks, refuse))
            .start()
            .await;
        let mut raw = world.raw(Http::One).await;
        raw.send(websocket::request("/live")).await;
        let (head, body) = raw.answer().await;
        assert_eq!((status(&head), body.as_str()), (403, "not you"));
        let mut client = world.client(Http::Two).await;
        let response = WebSocket::connect(&mut client, "/live").await.unwrap();
        assert_eq!(response.status(), 403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_the_backend_ignores_is_an_ordinary_answer() {
    let world = World::new().backend("legacy", hello("page")).start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send(websocket::request("/live")).await;
    let (head, body) = raw.answer().await;
    assert_eq!((status(&head), body.as_str()), (200, "page"));
    raw.send("GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.1, "page", "the connection still speaks HTTP");
}

/// Over HTTP/2 any 2xx would tell the client that its WebSocket is open (RFC 8441 section 5): what looks like a tunnel has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_the_backend_ignores_is_a_502_over_http2() {
    for status in [200, 204, 299] {
        let answer = move |_| {
            let mut response = Response::new(if status == 204 { empty() } else { full("page") });
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            std::future::ready(response)
        };
        let world = World::new().backend("legacy", answer).start().await;
        let mut client = world.client(Http::Two).await;
        let response = WebSocket::connect(&mut client, "/live").await.unwrap();
        assert_eq!(response.status(), 502, "{status}: {response:?}");
        let told = response.headers()["proxy-status"].to_str().unwrap();
        assert!(told.contains("http_upgrade_failed"), "{status}: {told}");
        assert_eq!(client.get("/next").await.status, status, "the connection goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_ends_the_tunnel_at_the_backend() {
    for speaks in PLAIN_AND_H2C {
        let world = world(speaks).start().await;
        for http in Http::BOTH {
            let mut socket = WebSocket::open(&world, http, "/live").await;
            socket.echo("hello").await;
            drop(socket);
            let protocol = if http == Http::One { "HTTP/1.1" } else { "HTTP/2" };
            world
                .logged(|line| line["path"] == "/live" && line["protocol"] == protocol)
                .await;
        }
        if speaks == Speaks::Http1 {
            let backend = world.backend("legacy");
            until("closed tunnels at the backend", async || backend.open() <= 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_backend_without_websockets_is_a_502_for_them_alone() {
    let server = Server::h2c_without_connect(hello("page"));
    let world = World::new().server("legacy", server).start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send(websocket::request("/live")).await;
    let answer = raw.answer().await.0;
    assert_eq!(status(&answer), 502, "{answer}");
    assert!(answer.contains("http_upgrade_failed"), "{answer}");
    assert_eq!(world.client(Http::One).await.get("/").await.text(), "page");
}
