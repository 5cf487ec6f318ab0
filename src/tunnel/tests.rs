//! Tunnels from the first byte to every way in which they end.

use std::{cell::Cell, rc::Rc, time::Duration};

use bytes::BytesMut;
use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::{JoinHandle, LocalSet, spawn_local},
};

use super::{Tunnel, TunnelEnd, TunnelIo, TunnelReport, frames::FrameTracker, join};
use crate::{
    limits::Limits,
    stream::Stream,
    wire::{Drain, Phase},
};

struct World {
    client: DuplexStream,
    server: DuplexStream,
    phase: watch::Sender<Phase>,
    joined: JoinHandle<TunnelReport>,
}

fn world(protocol: &str) -> World {
    let (client, front) = duplex(64);
    let (server, back) = duplex(64);
    let (phase, drain) = Drain::channel();
    let front = TunnelIo::http1(Stream::Memory(front), BytesMut::new());
    let back = TunnelIo::http1(Stream::Memory(back), BytesMut::new());
    let tunnel = Box::new(Tunnel::new(back, protocol.to_owned()));
    let joined = spawn_local(async move { join(front, tunnel, &Limits::default(), drain).await });
    World {
        client,
        server,
        phase,
        joined,
    }
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    let test = tokio::time::timeout(Duration::from_secs(100_000), test);
    LocalSet::new().run_until(test).await.expect("the test hangs")
}

async fn read<const N: usize>(io: &mut DuplexStream) -> [u8; N] {
    let mut bytes = [0; N];
    io.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_each_end_is_passed_on() {
    local(async {
        let mut world = world("other");
        world.client.write_all(b"question").await.unwrap();
        world.client.shutdown().await.unwrap();
        let mut question = String::new();
        world.server.read_to_string(&mut question).await.unwrap();
        world.server.write_all(b"answer").await.unwrap();
        drop(world.server);
        let mut answer = String::new();
        world.client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
        let report = world.joined.await.unwrap();
        assert_eq!(
            report,
            TunnelReport {
                bytes_up: 8,
                bytes_down: 6,
                end: TunnelEnd::Closed
            }
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_stops_its_sender() {
    local(async {
        let mut world = world("other");
        let mut taken = 0;
        while let Ok(n) = tokio::time::timeout(Duration::from_secs(1), world.client.write(&[0; 64])).await {
            taken += n.unwrap();
        }
        assert!(taken <= 16 * 1024 + 3 * 64, "{taken} bytes");
        world.server.read_exact(&mut vec![0; taken]).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silence_both_ways_ends_it_and_talk_one_way_does_not() {
    local(async {
        let mut world = world("other");
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(1800)).await;
            world.client.write_all(b"x").await.unwrap();
            assert_eq!(read::<1>(&mut world.server).await, *b"x");
        }
        assert_eq!(world.joined.await.unwrap().end, TunnelEnd::Idle);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_a_websocket_between_two_frames() {
    local(async {
        let mut world = world("websocket");
        world.server.write_all(&[0x81, 0x03, b'a']).await.unwrap(); // a frame begins
        assert_eq!(read(&mut world.client).await, [0x81, 0x03, b'a']);
        world.phase.send(Phase::Draining).unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await; // longer than farewells are spread
        world.server.write_all(b"bc\x81\x01d").await.unwrap(); // it ends, and another comes
        assert_eq!(
            read(&mut world.client).await,
            [b'b', b'c', 0x88, 0x02, 0x03, 0xf4]
        );
        let [kind, length, mask @ .., high, low] = read::<8>(&mut world.server).await;
        assert_eq!(
            (kind, length, [high ^ mask[0], low ^ mask[1]]),
            (0x88, 0x82, [0x03, 0xf4])
        );
        world
            .client
            .write_all(&[0x82, 0x81, 1, 1, 1, 1, 9])
            .await
            .unwrap(); // not passed on any more
        assert!(!world.joined.is_finished());
        world
            .client
            .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4])
            .await
            .unwrap();
        let report = world.joined.await.unwrap();
        assert_eq!(
            report,
            TunnelReport {
                bytes_up: 0,
                bytes_down: 5,
                end: TunnelEnd::Drained
            }
        );
        let (mut up, mut down) = (Vec::new(), Vec::new());
        world.server.read_to_end(&mut up).await.unwrap();
        world.client.read_to_end(&mut down).await.unwrap();
        assert_eq!((up, down), (vec![], vec![]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_whose_client_does_not_agree_is_cut_at_the_end_of_the_drain() {
    local(async {
        let mut world = world("websocket");
        world.phase.send(Phase::Draining).unwrap();
        assert_eq!(read(&mut world.client).await, [0x88, 0x02, 0x03, 0xf4]);
        drop(world.server); // a server that is gone changes nothing
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!world.joined.is_finished());
        world.phase.send(Phase::Stopped).unwrap();
        assert_eq!(world.joined.await.unwrap().end, TunnelEnd::Cut);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn farewells_are_spread_over_half_of_the_window_where_another_program_serves() {
    local(async {
        let mut worlds: Vec<World> = (0..40).map(|_| world("websocket")).collect();
        for world in &worlds {
            world.phase.send(Phase::HandedOver).unwrap();
        }
        let half = Limits::default().handover_window / 2;
        tokio::time::sleep(half / 4).await;
        let mut told = 0;
        for world in &mut worlds {
            told += usize::from(read_now(&mut world.client).is_some());
        }
        assert!((1..25).contains(&told), "{told} in a quarter of the time");
        tokio::time::sleep(half).await;
        for world in &mut worlds {
            told += usize::from(read_now(&mut world.client).is_some());
        }
        assert_eq!(told, 40);
    })
    .await;
}

/// A close 1012, if one is there.
fn read_now(io: &mut DuplexStream) -> Option<()> {
    let mut bytes = [0; 4];
    io.read_exact(&mut bytes).now_or_never()?.unwrap();
    assert_eq!(bytes, [0x88, 0x02, 0x03, 0xf4]);
    Some(())
}

#[tokio::test(start_paused = true)]
async fn another_protocol_goes_on_until_the_drain_ends() {
    local(async {
        let mut world = world("other");
        world.phase.send(Phase::Draining).unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.client.write_all(b"x").await.unwrap();
        assert_eq!(read::<1>(&mut world.server).await, *b"x");
        world.phase.send(Phase::Stopped).unwrap();
        assert_eq!(world.joined.await.unwrap().end, TunnelEnd::Cut);
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_that_nobody_joins_reports_too() {
    let ended = Rc::new(Cell::new(None));
    let (_server, back) = duplex(64);
    let mut tunnel = Tunnel::new(
        TunnelIo::http1(Stream::Memory(back), BytesMut::new()),
        "x".to_owned(),
    );
    let told = Rc::clone(&ended);
    tunnel.on_end(move |report| told.set(Some(report.end)));
    drop(tunnel);
    assert_eq!(ended.get(), Some(TunnelEnd::Cut));
}

/// `frames` as lengths of whole frames: the tracker must stop exactly there, however the bytes are cut.
#[track_caller]
fn check(bytes: &[u8], boundaries: &[usize], close: bool) {
    for step in 1..=bytes.len() {
        let mut tracker = FrameTracker::default();
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let end = (at + step).min(bytes.len());
            while at < end {
                if tracker.at_boundary() && at > 0 {
                    found.push(at);
                }
                at += tracker.advance(&bytes[at..at + 1], false);
                at += tracker.advance(&bytes[at..end], true);
            }
        }
        assert!(tracker.at_boundary());
        assert_eq!(
            (found.as_slice(), tracker.close_seen()),
            (boundaries, close),
            "step {step}"
        );
    }
}

#[test]
fn frame_boundaries_are_found_however_the_bytes_are_cut() {
    check(&[0x81, 0x01, b'a', 0x89, 0x00, 0x88, 0x00], &[3, 5], true);
    check(
        &[0x82, 0x81, 1, 2, 3, 4, 0x88, 0x8a, 0x00, 0x89, 0x00],
        &[7, 9],
        false,
    );
    let mut long = vec![0x82, 126, 0, 200];
    long.extend([0x88; 200]);
    long.extend([0x88, 0x80, 1, 2, 3, 4]);
    check(&long, &[204], true);
    let mut longer = vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3];
    longer.extend([0x81, 0x00]);
    check(&longer, &[13], false);
}
