//! The HTTP/2 server with clients that read, write and give room slowly or not at all.

use std::{cell::Cell, rc::Rc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::time::{Instant, sleep, timeout};

use super::testing::{GET, RawClient, frame, header_block, local, now, recite, service, start};
use crate::{
    body::{Body, BodyError},
    limits::Limits,
};

/// The window that a connection and its streams begin with.
const WINDOW: usize = 65_535;

const PING: u8 = 6;

/// The whole time that a client may give no window, and what a timer may be late.
const PATIENCE: Duration = Duration::from_secs(30);
const LATE: Duration = Duration::from_secs(4);

fn pings(count: usize) -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8]).repeat(count)
}

/// Room on the connection (0) or a stream.
fn room(stream: u32, bytes: u32) -> Vec<u8> {
    frame(8, 0, stream, &bytes.to_be_bytes())
}

/// SETTINGS that give each stream all the room there is.
fn roomy_streams() -> Vec<u8> {
    frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])
}

fn get(stream: u32) -> Vec<u8> {
    frame(1, 5, stream, &header_block(GET))
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_output_was_full_reads_on() {
    local(async {
        let (io, _phase, _task) = start(service(recite), Limits::default());
        let mut client = RawClient::greet(io).await;
        // The answers fill the pipe and then the output, up to where nothing more is read; nothing waits beside them.
        for _ in 0..8 {
            assert!(client.send(&pings(1000)).await);
            sleep(Duration::from_millis(1)).await;
        }
        let begun = now();
        for _ in 0..8000 {
            client.next(PING).await;
        }
        // Another timer would wake it later.
        assert!(begun.elapsed() < Duration::from_secs(1), "it was deaf");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn frames_cut_anywhere_do_not_add_up_to_a_slow_head() {
    local(async {
        let (io, _phase, _task) = start(service(recite), Limits::default());
        let mut client = RawClient::greet(io).await;
        let bytes = pings(40);
        let (begin, rest) = bytes.split_at(8);
        client.send(begin).await;
        // Something is always half here, but never the same.
        for piece in rest.chunks(17) {
            sleep(Duration::from_secs(1)).await;
            assert!(client.send(piece).await);
        }
        client.send(&get(1)).await;
        assert_eq!(client.outcome(1).await, "status 200");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_piece_by_piece_has_its_time_once() {
    local(async {
        let (io, _phase, task) = start(service(recite), Limits::default());
        let mut client = RawClient::greet(io).await;
        let begun = now();
        let block = header_block(GET);
        client.send(&frame(1, 1, 1, &block[..1])).await;
        for byte in &block[1..14] {
            sleep(Duration::from_secs(1)).await;
            if !client.send(&frame(9, 0, 1, &[*byte])).await {
                break;
            }
        }
        task.await.unwrap();
        let passed = begun.elapsed();
        assert!(passed.as_secs() >= 10 && passed.as_secs() < 13, "{passed:?}");
    })
    .await;
}

/// A block of exactly this many bytes.
fn block_of(bytes: usize) -> Vec<u8> {
    let mut block = header_block(GET);
    while block.len() < bytes {
        let left = bytes - block.len() - 4; // behind the field's name and both lengths
        let value = "x".repeat(if left > 120 { 100 } else { left });
        block.extend(header_block([("a", value.as_str())]));
    }
    block
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_kept_up_to_what_settings_allow() {
    local(async {
        let limits = Limits::default();
        let allowed = 2 * limits.head_bytes_max + 32 * limits.headers_max;
        let block = block_of(allowed);
        assert_eq!(block.len(), allowed);
        let mut pieces = block.chunks(16 * 1024);
        let mut bytes = frame(1, 1, 1, pieces.next().unwrap());
        for piece in pieces.by_ref().take(3) {
            bytes.extend(frame(9, 0, 1, piece));
        }
        let last = pieces.next().unwrap();
        assert_eq!(pieces.next(), None);
        // Up to the bound it is read, and answered.
        let (io, _phase, _task) = start(service(recite), limits.clone());
        let mut client = RawClient::greet(io).await;
        client.send(&bytes).await;
        client.send(&frame(9, 4, 1, last)).await;
        assert_eq!(client.outcome(1).await, "status 431");
        // Beyond it, nothing is waited for: a frame's header is enough.
        let (io, _phase, _task) = start(service(recite), limits);
        let mut client = RawClient::greet(io).await;
        client.send(&bytes).await;
        client.send(&frame(9, 4, 1, &vec![0; last.len() + 1])[..9]).await;
        let outcome = timeout(Duration::from_secs(1), client.outcome(1)).await;
        assert_eq!(outcome.as_deref(), Ok("goaway ENHANCE_YOUR_CALM"));
    })
    .await;
}

/// Takes DATA up to this many bytes.
async fn take_bytes(client: &mut RawClient, mut bytes: usize) {
    while bytes > 0 {
        bytes -= client.next(0).await.payload.len();
    }
}

/// Takes what comes of `stream`: `bytes` of DATA, and then a reset with `CANCEL` once the client has had its time from `since` on.
async fn check_stalled(client: &mut RawClient, stream: u32, mut bytes: usize, since: Instant) {
    loop {
        let frame = timeout(Duration::from_secs(600), client.receive()).await;
        let frame = frame.expect("it is waited for on and on").unwrap();
        match (frame.kind, frame.stream == stream) {
            (0, true) => bytes -= frame.payload.len(),
            (3, true) => {
                let passed = since.elapsed();
                assert_eq!((bytes, &frame.payload[..]), (0, &[0, 0, 0, 8][..]));
                assert!(passed >= PATIENCE && passed <= PATIENCE + LATE, "{passed:?}");
                return;
            }
            _ => {}
        }
    }
}

async fn large(_: crate::message::Request) -> Response<Body> {
    Response::new(Body::full(vec![0; 2 * WINDOW]))
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_its_stream_s_window_so_long_and_no_longer() {
    local(async {
        let (io, _phase, _task) = start(service(large), Limits::default());
        let mut client = RawClient::greet(io).await;
        client.send(&room(0, 1 << 20)).await;
        client.send(&get(1)).await;
        check_stalled(&mut client, 1, WINDOW, now()).await;
        client.send(&get(3)).await; // the connection is none the worse
        check_stalled(&mut client, 3, WINDOW, now()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_the_connection_s_window_so_long_and_no_longer() {
    local(async {
        let (io, _phase, _task) = start(service(large), Limits::default());
        let mut client = RawClient::greet(io).await;
        client.send(&roomy_streams()).await;
        let begun = now();
        client.send(&get(1)).await;
        client.send(&get(3)).await;
        let (mut bytes, mut resets) = (0, 0);
        while resets < 2 {
            let frame = timeout(Duration::from_secs(600), client.receive()).await;
            match frame.expect("it is waited for on and on").unwrap() {
                data if data.kind == 0 => bytes += data.payload.len(),
                reset if reset.kind == 3 => resets += 1,
                _ => {}
            }
        }
        let passed = begun.elapsed();
        assert_eq!(bytes, WINDOW);
        assert!(passed >= PATIENCE && passed <= PATIENCE + LATE, "{passed:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_bit_of_window_gives_an_answer_its_time_anew() {
    local(async {
        for stream in [0, 1] {
            let (io, _phase, _task) = start(service(large), Limits::default());
            let mut client = RawClient::greet(io).await;
            client.send(&roomy_streams()).await;
            if stream == 1 {
                client.send(&room(0, 1 << 20)).await;
                client.send(&frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])).await;
            }
            client.send(&get(1)).await;
            take_bytes(&mut client, WINDOW).await;
            for _ in 0..3 {
                sleep(PATIENCE - Duration::from_secs(5)).await;
                client.send(&room(stream, 100)).await;
                take_bytes(&mut client, 100).await;
            }
            check_stalled(&mut client, 1, 0, now()).await;
        }
    })
    .await;
}

/// A timer that rings while the output is full must be set again: the connection's window comes, or never.
#[tokio::test(start_paused = true)]
async fn an_answer_s_time_runs_on_while_the_output_is_full() {
    local(async {
        let (io, _phase, _task) = start(service(large), Limits::default());
        let mut client = RawClient::greet(io).await;
        client.send(&roomy_streams()).await;
        let begun = now();
        client.send(&get(1)).await;
        take_bytes(&mut client, WINDOW).await;
        for _ in 0..8 {
            client.send(&pings(1000)).await;
            sleep(Duration::from_millis(1)).await;
        }
        sleep(PATIENCE / 3).await;
        check_stalled(&mut client, 1, 0, begun).await;
    })
    .await;
}

/// Its own pauses are not the client's.
#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_slowly_does_not_use_up_the_client_s_time() {
    local(async {
        let pauses = Rc::new(Cell::new(0));
        let counted = Rc::clone(&pauses);
        let (io, _phase, _task) = start(
            service(move |_| {
                let pauses = Rc::clone(&counted);
                let pieces = stream::unfold(0, move |number| {
                    let pauses = Rc::clone(&pauses);
                    async move {
                        if number > 0 {
                            sleep(3 * PATIENCE).await;
                            pauses.set(pauses.get() + 1);
                        }
                        let piece = Bytes::from(vec![0; WINDOW + 1000]);
                        (number < 3).then_some((Ok::<_, BodyError>(Frame::data(piece)), number + 1))
                    }
                });
                async move { Response::new(Body::Wrapped(Box::pin(StreamBody::new(pieces)))) }
            }),
            Limits::default(),
        );
        let mut client = RawClient::greet(io).await;
        client.send(&room(0, 1 << 20)).await;
        client.send(&get(1)).await;
        // The first piece waits for most of the time it has, and the second one for none of it.
        take_bytes(&mut client, WINDOW).await;
        sleep(PATIENCE - Duration::from_secs(5)).await;
        client.send(&room(1, 1000)).await;
        take_bytes(&mut client, 1000).await;
        while pauses.get() == 0 {
            sleep(Duration::from_secs(1)).await;
        }
        check_stalled(&mut client, 1, 0, now() - Duration::from_secs(1)).await;
    })
    .await;
}
