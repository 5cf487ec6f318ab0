//! Server and client back to back, as a router uses them.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{
    client::{Connection, Home},
    server::serve,
};
use crate::{
    body::Body,
    limits::Limits,
    message::{Request, Response},
    stream::Stream,
    wire::{Drain, ExchangeTimeouts, Interim, Malformed, Phase, SendCause, Service},
};

/// Passes every request on over one connection, taken from and given back to `idle`.
struct Relay {
    idle: Rc<Idle>,
    dropped: Rc<Cell<bool>>,
}

struct Idle(RefCell<Option<Connection>>);

impl Home for Idle {
    fn keep(&self, connection: Connection) {
        *self.0.borrow_mut() = Some(connection);
    }
}

struct OnDrop(Rc<Cell<bool>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

impl Service for Relay {
    async fn call(&self, request: Request, interim: &mut dyn Interim) -> Response {
        let _flag = OnDrop(Rc::clone(&self.dropped));
        let connection = self.idle.0.borrow_mut().take().unwrap();
        let timeouts = ExchangeTimeouts {
            first_byte: std::time::Duration::from_secs(60),
            between_bytes: std::time::Duration::from_secs(60),
        };
        let home: Rc<dyn Home> = Rc::<Idle>::clone(&self.idle);
        match connection
            .send(&request.head, request.body, interim, timeouts, home)
            .await
        {
            Ok(response) => response,
            Err(error) => {
                let status = match error.cause {
                    SendCause::RequestBody(_) => StatusCode::BAD_REQUEST,
                    _ => StatusCode::BAD_GATEWAY,
                };
                Response::new(status, Body::Empty)
            }
        }
    }

    fn refuse(&self, malformed: Malformed) -> Response {
        Response::new(malformed.status, Body::Empty)
    }
}

struct World {
    client: DuplexStream,
    server: DuplexStream,
    idle: Rc<Idle>,
    dropped: Rc<Cell<bool>>,
    _phase: tokio::sync::watch::Sender<Phase>,
}

fn world() -> World {
    let (near, server) = tokio::io::duplex(16 * 1024);
    let (client, front) = tokio::io::duplex(16 * 1024);
    let idle = Rc::new(Idle(RefCell::new(Some(Connection::new(
        Stream::Memory(near),
        4096,
        20,
    )))));
    let dropped = Rc::new(Cell::new(false));
    let relay = Relay {
        idle: Rc::clone(&idle),
        dropped: Rc::clone(&dropped),
    };
    let (phase, drain) = Drain::channel();
    tokio::task::spawn_local(async move {
        serve(Stream::Memory(front), &relay, &Limits::default(), drain).await;
    });
    World {
        client,
        server,
        idle,
        dropped,
        _phase: phase,
    }
}

async fn hear_until(end: &mut DuplexStream, text: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(text.as_bytes()) {
        all.push(end.read_u8().await.unwrap());
    }
    String::from_utf8(all).unwrap()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

#[test]
fn bodies_and_trailers_go_through_both_ways() {
    run(async {
        let mut world = world();
        let request = b"POST /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nping\r\n0\r\nx-up: 1\r\n\r\n";
        world.client.write_all(request).await.unwrap();
        let heard = hear_until(&mut world.server, "x-up: 1\r\n\r\n").await;
        assert!(heard.contains("transfer-encoding: chunked\r\n"), "{heard}");
        assert!(heard.contains("connection: te\r\n"), "{heard}");
        assert!(
            heard.ends_with("\r\n\r\n4\r\nping\r\n0\r\nx-up: 1\r\n\r\n"),
            "{heard}"
        );
        let answer = b"HTTP/1.1 103 X\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npong\r\n0\r\nx-down: 1\r\n\r\n";
        world.server.write_all(answer).await.unwrap();
        let heard = hear_until(&mut world.client, "x-down: 1\r\n\r\n").await;
        assert!(
            heard.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"),
            "{heard}"
        );
        assert!(heard.ends_with("4\r\npong\r\n0\r\nx-down: 1\r\n\r\n"), "{heard}");
        assert!(world.idle.0.borrow().is_some());
    });
}

#[test]
fn continue_is_asked_of_the_client_only_when_the_server_asks() {
    run(async {
        let mut world = world();
        let request = b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        world.client.write_all(request).await.unwrap();
        let heard = hear_until(&mut world.server, "\r\n\r\n").await;
        assert!(heard.contains("expect: 100-continue\r\n"), "{heard}");
        world
            .server
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(
            hear_until(&mut world.client, "\r\n\r\n").await,
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        world.client.write_all(b"hello").await.unwrap();
        hear_until(&mut world.server, "hello").await;
    });
}

#[test]
fn both_directions_stream_at_once() {
    run(async {
        let mut world = world();
        let request = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.client.write_all(request).await.unwrap();
        hear_until(&mut world.server, "\r\n\r\n").await;
        world
            .server
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        hear_until(&mut world.client, "\r\n\r\n").await;
        for _ in 0..3 {
            world.client.write_all(b"4\r\nping\r\n").await.unwrap();
            hear_until(&mut world.server, "ping\r\n").await;
            world.server.write_all(b"4\r\npong\r\n").await.unwrap();
            hear_until(&mut world.client, "pong\r\n").await;
        }
        world.client.write_all(b"0\r\n\r\n").await.unwrap();
        hear_until(&mut world.server, "0\r\n\r\n").await;
        world.server.write_all(b"0\r\n\r\n").await.unwrap();
        hear_until(&mut world.client, "0\r\n\r\n").await;
        assert!(world.idle.0.borrow().is_some());
    });
}

#[test]
fn a_client_that_leaves_takes_the_servers_work_with_it() {
    run(async {
        let mut world = world();
        world
            .client
            .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        hear_until(&mut world.server, "\r\n\r\n").await;
        drop(world.client);
        assert_eq!(world.server.read(&mut [0]).await.unwrap(), 0);
        assert!(world.dropped.get());
        assert!(world.idle.0.borrow().is_none());
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_of_an_upload_does_too() {
    run(async {
        let mut world = world();
        world
            .client
            .write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel")
            .await
            .unwrap();
        hear_until(&mut world.server, "hel").await;
        drop(world.client);
        assert_eq!(world.server.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn an_answer_cut_short_is_cut_short_for_the_client() {
    run(async {
        let mut world = world();
        world
            .client
            .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        hear_until(&mut world.server, "\r\n\r\n").await;
        world
            .server
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npa")
            .await
            .unwrap();
        drop(world.server);
        let mut heard = String::new();
        world.client.read_to_string(&mut heard).await.unwrap();
        assert!(heard.ends_with("2\r\npa\r\n"), "{heard}");
    });
}

#[test]
fn an_upgrade_becomes_a_tunnel_with_what_came_early() {
    run(async {
        let mut world = world();
        let request =
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly";
        world.client.write_all(request).await.unwrap();
        let heard = hear_until(&mut world.server, "\r\n\r\n").await;
        assert!(
            heard.contains("connection: upgrade\r\nupgrade: websocket\r\n"),
            "{heard}"
        );
        world
            .server
            .write_all(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi")
            .await
            .unwrap();
        let heard = hear_until(&mut world.client, "\r\n\r\nhi").await;
        assert!(
            heard.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{heard}"
        );
        assert!(
            heard.contains("connection: upgrade\r\nupgrade: websocket\r\n"),
            "{heard}"
        );
        hear_until(&mut world.server, "early").await;
        world.client.write_all(b"more").await.unwrap();
        hear_until(&mut world.server, "more").await;
    });
}
