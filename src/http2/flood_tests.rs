//! The HTTP/2 server under floods of frames that cost a client nothing.

use std::{future::pending, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::spawn_local,
    time::timeout,
};

use super::testing::{GET, RawClient, frame, header_block, local, now, recite, service, start};
use crate::limits::Limits;

#[tokio::test(start_paused = true)]
async fn a_rapid_reset_ends_the_connection() {
    local(async {
        let (io, _phase, task) = start(service(|_| pending()), Limits::default());
        let mut client = RawClient::greet(io).await;
        let mut streams = (1_u32..).step_by(2).take(5000);
        let sent = streams.open_and_reset(&mut client).await;
        assert!(sent < 1500, "{sent} streams");
        assert_eq!(client.outcome(u32::MAX).await, "goaway ENHANCE_YOUR_CALM");
        task.await.unwrap();
    })
    .await;
}

/// Opens and resets streams.
trait ResetAll {
    async fn open_and_reset(&mut self, client: &mut RawClient) -> usize;
}

impl<I: Iterator<Item = u32>> ResetAll for I {
    /// Opens and resets each stream; how many went through before the server closed.
    async fn open_and_reset(&mut self, client: &mut RawClient) -> usize {
        let mut sent = 0;
        for stream in self {
            let mut bytes = frame(1, 5, stream, &header_block(GET));
            bytes.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
            if !client.send(&bytes).await {
                break;
            }
            tokio::task::yield_now().await;
            sent += 1;
        }
        sent
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_the_client_makes_us_reset_end_the_connection() {
    local(async {
        let (io, _phase, task) = start(service(|_| pending()), Limits::default());
        let mut client = RawClient::greet(io).await;
        for stream in (1..).step_by(2).take(5000) {
            let mut bytes = frame(1, 5, stream, &header_block(GET));
            bytes.extend(frame(8, 0, stream, &0_u32.to_be_bytes())); // a stream error
            if !client.send(&bytes).await {
                break;
            }
            while stream < 2001
                && let Ok(Some(frame)) = timeout(Duration::ZERO, client.receive()).await
            {
                assert_ne!(frame.kind, 7, "closed at stream {stream}");
            }
        }
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn floods_of_control_frames_end_the_connection() {
    local(async {
        for bytes in [
            frame(4, 0, 0, &[]),
            frame(6, 1, 0, &[0; 8]),
            frame(2, 0, 1, &[0, 0, 0, 0, 16]),
            frame(7, 0, 0, &[0; 8]),
            frame(0xf0, 0, 0, &[]),
        ] {
            let (io, _phase, task) = start(service(recite), Limits::default());
            let client = RawClient::greet(io).await;
            let (mut read, mut write) = tokio::io::split(client.io);
            spawn_local(async move { while write.write_all(&bytes).await.is_ok() {} });
            let mut sink = Vec::new();
            read.read_to_end(&mut sink).await.unwrap();
            task.await.unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_header_block_in_endless_pieces_ends_the_connection() {
    local(async {
        let (io, _phase, task) = start(service(recite), Limits::default());
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 1, 1, &header_block(GET))).await;
        while client.send(&frame(9, 0, 1, &[])).await {}
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn slow_clients_are_closed_in_time() {
    local(async {
        let limits = Limits::default();
        let begun = now();
        // No preface.
        let (_io, _phase, task) = start(service(recite), limits.clone());
        task.await.unwrap();
        // Half a head.
        let (io, _phase, task) = start(service(recite), limits.clone());
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 1, 1, &header_block(GET))).await;
        task.await.unwrap();
        // No request.
        let (io, _phase, task) = start(service(recite), limits.clone());
        let _client = RawClient::greet(io).await;
        task.await.unwrap();
        let passed = begun.elapsed();
        let most = limits.handshake_timeout + limits.head_timeout + limits.idle_timeout;
        assert!(passed >= most && passed < most * 3 / 2, "{passed:?}");
        // Half a body.
        let (io, _phase, _task) = start(service(recite), limits);
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 4, 1, &header_block(GET))).await;
        assert_eq!(client.outcome(1).await, "status 400");
    })
    .await;
}
