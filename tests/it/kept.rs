//! Connections to backends: kept for the next burst, closed when nobody needs them.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{sync::Barrier, task::JoinSet};

use crate::{
    backend::{Server, Speaks, full, read_head},
    client::{Http, until},
    world::{World, within},
};

/// Exchanges of a burst: more than one client's connection may have streams.
const BURST: usize = 300;

/// A router of one core over a server that answers once `BURST` requests are there, or at once on `/alone`.
async fn world(speaks: Speaks, settings: &str) -> World {
    let together = Arc::new(Barrier::new(BURST));
    let answer = move |request: Request<Incoming>| {
        let together = Arc::clone(&together);
        async move {
            if request.uri().path() != "/alone" {
                together.wait().await;
            }
            Response::new(full("here"))
        }
    };
    World::new()
        .top("cores = 1")
        .server("legacy", Server::new(speaks, answer))
        .settings("legacy", settings)
        .start()
        .await
}

async fn burst(world: &World) {
    let mut asking = JoinSet::new();
    for _ in 0..3 {
        let client = world.client(Http::Two).await;
        for _ in 0..BURST / 3 {
            let mut client = client.another();
            asking.spawn(async move { assert_eq!(client.get("/together").await.text(), "here") });
        }
        asking.spawn(async move {
            let _open = client;
            std::future::pending().await
        });
    }
    for _ in 0..BURST {
        within("an answer of the burst", asking.join_next())
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_burst_opens_no_connection() {
    let world = world(Speaks::Http1, "").await;
    let backend = world.backend("legacy");
    burst(&world).await;
    assert_eq!((backend.connections(), backend.open()), (BURST, BURST));
    burst(&world).await;
    assert_eq!(backend.connections(), BURST);
    let series = "banyan_backend_connects_total{backend=\"legacy\"";
    until("all requests counted", async || {
        world
            .metric("banyan_backend_request_duration_seconds_count")
            .await
            >= 2.0 * BURST as f64
    })
    .await;
    assert_eq!(world.metric(series).await, BURST as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_burst_left_over_is_closed_while_the_rest_stays_in_use() {
    let world = world(Speaks::Http1, "idle_timeout = \"1s\"").await;
    burst(&world).await;
    let mut client = world.client(Http::One).await;
    until("all but one are closed", async || {
        assert_eq!(client.get("/alone").await.text(), "here");
        world.backend("legacy").open() == 1
    })
    .await;
    assert_eq!(world.backend("legacy").connections(), BURST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_http2_opens_few_connections_which_are_closed_when_idle() {
    let world = world(Speaks::H2c, "idle_timeout = \"1s\"").await;
    let backend = world.backend("legacy");
    burst(&world).await;
    // hyper's servers take 200 streams on each.
    assert_eq!(backend.connections(), 2);
    burst(&world).await;
    assert_eq!(backend.connections(), 2);
    until("both are closed", async || backend.open() == 0).await;
    let mut client = world.client(Http::One).await;
    assert_eq!(client.get("/alone").await.text(), "here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_closed_is_given_up_before_its_time() {
    let closes = Server::raw(|mut tcp, _| async move {
        use tokio::io::AsyncWriteExt as _;
        read_head(&mut tcp).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere";
        tcp.write_all(answer).await.unwrap();
    });
    let world = World::new()
        .top("cores = 1")
        .server("legacy", closes)
        .start()
        .await;
    assert_eq!(world.client(Http::One).await.get("/").await.text(), "here");
    let series = "banyan_backend_connections{backend=\"legacy\",state=\"idle\"}";
    until("the core looks around", async || {
        world.admin("/metrics").await.text().contains(series)
    })
    .await;
    until("no idle connection", async || world.metric(series).await == 0.0).await;
    assert_eq!(
        world
            .metric("banyan_backend_connections{backend=\"legacy\"")
            .await,
        0.0
    );
}
