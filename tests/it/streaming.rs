//! Large bodies cost no memory, and whoever is slow slows the other side down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;

use crate::{
    backend::{Body, BoxError, Server, Speaks, empty, full},
    client::{Client, Http},
    process::Program,
    world::{World, within},
};

const MIB: u64 = 1 << 20;
const PIECE: usize = 64 * 1024;

/// A body of `total` bytes that counts what was taken of it.
fn zeros(total: u64, taken: Arc<AtomicU64>) -> Body {
    let piece = Bytes::from(vec![0; PIECE]);
    let pieces = stream::unfold(0, move |sent: u64| {
        let left = usize::try_from(total - sent).map_or(PIECE, |left| left.min(PIECE));
        let piece = piece.slice(..left);
        taken.store(sent + left as u64, Ordering::SeqCst);
        let frame = (left > 0).then(|| (Ok::<_, BoxError>(Frame::data(piece)), sent + left as u64));
        std::future::ready(frame)
    });
    BodyExt::boxed(StreamBody::new(pieces))
}

async fn count(mut body: Incoming) -> u64 {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return u64::MAX };
        bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
    }
    bytes
}

/// `GET /<bytes>` gives as many; anything else is counted and told.
async fn store(request: Request<Incoming>) -> Response<Body> {
    if request.method() == Method::GET {
        let total = request.uri().path()[1..].parse().unwrap();
        return Response::new(zeros(total, Arc::default()));
    }
    Response::new(full(count(request.into_body()).await.to_string()))
}

async fn download(client: &mut Client, bytes: u64) {
    let request = client.request(&Method::GET, &format!("/{bytes}"), empty());
    let response = client.send(request).await.unwrap();
    let counted = tokio::time::timeout(Duration::from_secs(60), count(response.into_body())).await;
    assert_eq!(counted.expect("a download that goes on"), bytes);
}

async fn upload(client: &mut Client, bytes: u64) {
    let request = client.request(&Method::POST, "/", zeros(bytes, Arc::default()));
    let uploaded = async {
        let response = client.send_patiently(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let counted = tokio::time::timeout(Duration::from_secs(60), uploaded).await;
    assert_eq!(counted.expect("an upload that goes on"), bytes.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_mebibytes_both_ways_leave_the_programs_memory_alone() {
    for speaks in Speaks::ALL {
        let site = World::new().server("legacy", Server::new(speaks, store));
        let program = Program::start(site).await;
        for http in Http::BOTH {
            let mut client = program.client(http).await;
            download(&mut client, MIB).await;
            upload(&mut client, MIB).await;
            let before = program.memory("VmRSS");
            let size = match (http, speaks) {
                (Http::One, Speaks::Http1) | (Http::Two, Speaks::H2c) => 256 * MIB,
                _ => 64 * MIB,
            };
            download(&mut client, size).await;
            upload(&mut client, size).await;
            let grown = program.memory("VmHWM").saturating_sub(before);
            assert!(
                grown < 24 * MIB,
                "{http:?} to {speaks:?}: {} MiB more",
                grown / MIB
            );
        }
    }
}

/// Waits until a counter rests, which it must below `most`.
async fn rests_below(counter: &AtomicU64, most: u64) {
    let resting = async {
        let mut last = u64::MAX;
        loop {
            let now = counter.load(Ordering::SeqCst);
            assert!(
                now < most,
                "{} MiB were taken of a side that nobody reads",
                now / MIB
            );
            if now == last && now > 0 {
                return;
            }
            last = now;
            tokio::time::sleep(Duration::from_millis(300)).await; // what has not moved for so long waits for somebody
        }
    };
    within("a rest", resting).await;
}

/// What all kernels' and routers' buffers of one exchange may hold together: two loopback sockets of up to 10 MiB each.
const BUFFERED_MAX: u64 = 32 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_the_backend() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let taken = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&taken);
        let flood = move |_: Request<Incoming>| {
            std::future::ready(Response::new(zeros(u64::MAX, Arc::clone(&counter))))
        };
        let world = World::new()
            .server("legacy", Server::new(speaks, flood))
            .start()
            .await;
        for http in Http::BOTH {
            taken.store(0, Ordering::SeqCst);
            let mut client = world.client(http).await;
            let request = client.request(&Method::GET, "/", empty());
            let mut response = client.send(request).await.unwrap();
            rests_below(&taken, BUFFERED_MAX).await;
            let stopped_at = taken.load(Ordering::SeqCst);
            // and goes on as soon as somebody reads
            let reading = async {
                while taken.load(Ordering::SeqCst) < stopped_at + 4 * MIB {
                    response.body_mut().frame().await.unwrap().unwrap();
                }
            };
            within("more", reading).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_read_does_not_stop_its_neighbours() {
    let world = World::new()
        .backend_h2c("legacy", |request: Request<Incoming>| {
            let body = match request.uri().path() {
                "/flood" => zeros(u64::MAX, Arc::default()),
                _ => full("quick"),
            };
            std::future::ready(Response::new(body))
        })
        .start()
        .await;
    let client = world.client(Http::Two).await;
    let mut unread = Vec::new();
    for _ in 0..3 {
        let mut another = client.another();
        let request = client.request(&Method::GET, "/flood", empty());
        unread.push(another.send(request).await.unwrap());
    }
    for _ in 0..50 {
        assert_eq!(client.another().get("/").await.text(), "quick");
    }
    assert_eq!(world.client(Http::One).await.get("/").await.text(), "quick");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_does_not_read_stops_the_client() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let idle = |request: Request<Incoming>| async move {
            let _unread = request;
            std::future::pending::<Response<Body>>().await
        };
        let world = World::new()
            .server("legacy", Server::new(speaks, idle))
            .start()
            .await;
        for http in Http::BOTH {
            let taken = Arc::<AtomicU64>::default();
            let mut client = world.client(http).await;
            let request = client.request(&Method::POST, "/", zeros(u64::MAX, Arc::clone(&taken)));
            let sending = tokio::spawn(async move { client.send_patiently(request).await.map(drop) });
            rests_below(&taken, BUFFERED_MAX).await;
            sending.abort();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_go_both_ways_at_the_same_time() {
    for speaks in [Speaks::Http1, Speaks::H2c] {
        let world = World::new()
            .server("legacy", Server::new(speaks, crate::backend::echo))
            .start()
            .await;
        for http in Http::BOTH {
            let mut client = world.client(http).await;
            let (sender, body) = crate::backend::channel();
            let request = client.request(&Method::POST, "/", body);
            let mut response = client.send(request).await.unwrap();
            for at in 0..20 {
                let piece = Bytes::from(format!("piece {at}"));
                sender.send(Ok(piece.clone())).await.unwrap();
                // each piece comes back before the next one is sent
                let frame = within("an echo", response.body_mut().frame())
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(frame.into_data().unwrap(), piece, "{http:?} {speaks:?}");
            }
            drop(sender);
            let end = within("the end", response.body_mut().frame()).await;
            let nothing = |frame: Frame<Bytes>| frame.into_data().is_ok_and(|data| data.is_empty());
            assert!(
                end.is_none_or(|frame| nothing(frame.unwrap())),
                "{http:?} {speaks:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_at_a_time_upload_arrives_whole() {
    let world = World::new().backend("legacy", store).start().await;
    let mut raw = world.raw(Http::One).await;
    raw.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..300 {
        for byte in "1\r\nx\r\n".bytes() {
            raw.wire.write_all(&[byte]).await.unwrap();
        }
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(raw.answer().await.1, "300");
}
