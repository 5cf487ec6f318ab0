//! How the HTTP/2 server's connections and tunnels end: nothing is lost that was promised, and nobody is waited for in vain.

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::BytesMut;
use http::{HeaderValue, Response, StatusCode};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, spawn_local},
    time::sleep,
};

use super::{
    server,
    testing::{GET, RawClient, WireFrame, frame, header_block, local, now, recite, service, start},
};
use crate::{
    body::Body,
    limits::Limits,
    stream::Stream,
    tunnel::{Tunnel, TunnelIo},
    wire::{Drain, Phase},
};

/// What a client that has heard the first GOAWAY answers to the PING behind it.
async fn hear_goaway(client: &mut RawClient) {
    assert_eq!(client.next(7).await.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    let ping = client.next(6).await;
    client.send(&frame(6, 1, 0, &ping.payload)).await;
}

/// The number that a GOAWAY names.
fn last_stream(goaway: &WireFrame) -> u32 {
    u32::from_be_bytes(*goaway.payload.first_chunk().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_request_s_head_in_pieces_that_a_drain_falls_into_is_answered() {
    local(async {
        let (io, phase, task) = start(service(recite), Limits::default());
        let mut client = RawClient::greet(io).await;
        let block = header_block(GET);
        let (first, second) = block.split_at(block.len() / 2);
        client.send(&frame(1, 1, 1, first)).await;
        client.next(8).await;
        phase.send(Phase::Draining).unwrap();
        client.next(7).await;
        let ping = client.next(6).await;
        client.send(&frame(9, 4, 1, second)).await;
        client.send(&frame(6, 1, 0, &ping.payload)).await;
        let (mut told, mut answered) = (None, false);
        while let Some(frame) = client.receive().await {
            match frame.kind {
                7 => told = Some(last_stream(&frame)),
                1 => answered = frame.stream == 1,
                _ => {}
            }
        }
        assert_eq!((told, answered), (Some(1), true));
        drop(client);
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_s_head_in_pieces_is_the_last_thing_said_and_whole() {
    local(async {
        let (release, released) = oneshot::channel::<()>();
        let released = Rc::new(RefCell::new(Some(released)));
        let (io, phase, task) = start(
            service(move |_| {
                let released = released.borrow_mut().take().unwrap();
                async move {
                    released.await.unwrap();
                    let mut answer = Response::new(Body::Empty);
                    // more than the pipe holds, and than frames do
                    let value = HeaderValue::try_from("~".repeat(100_000)).unwrap();
                    answer.headers_mut().insert("large", value);
                    answer
                }
            }),
            Limits::default(),
        );
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 5, 1, &header_block(GET))).await;
        client.next(8).await;
        phase.send(Phase::Draining).unwrap();
        hear_goaway(&mut client).await;
        assert_eq!(last_stream(&client.next(7).await), 1);
        release.send(()).unwrap();
        let mut pieces = Vec::new();
        while let Some(frame) = client.receive().await {
            pieces.push((frame.kind, frame.flags));
        }
        assert_eq!(pieces, [(1, 1), (9, 0), (9, 0), (9, 0), (9, 0), (9, 0), (9, 4)]);
        drop(client);
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_hears_the_goaway_begins_a_thousand_streams_and_no_more() {
    local(async {
        let (io, phase, task) = start(service(recite), Limits::default());
        let mut client = RawClient::greet(io).await;
        client.next(8).await;
        phase.send(Phase::Draining).unwrap();
        client.next(7).await;
        let mut answered = 0;
        let told = 'told: {
            for stream in (1..).step_by(2).take(1500) {
                client.send(&frame(1, 5, stream, &header_block(GET))).await;
                loop {
                    match client.receive().await.expect("closed before it was told") {
                        goaway if goaway.kind == 7 => break 'told last_stream(&goaway),
                        answer if answer.kind == 0 => break,
                        _ => {}
                    }
                }
                answered += 1;
            }
            panic!("it is waited for on and on");
        };
        assert_eq!((answered, told), (1000, 2001));
        // What was begun is finished; what comes behind it is nobody's.
        client.send(&frame(1, 5, 2003, &header_block(GET))).await;
        let mut heads = Vec::new();
        while let Some(frame) = client.receive().await {
            if frame.kind == 1 {
                heads.push(frame.stream);
            }
        }
        assert_eq!(heads, [2001]);
        drop(client);
        task.await.unwrap();
    })
    .await;
}

/// A connection that has answered one request, told its client to go, and said all it has to say.
async fn ended_in_peace() -> (RawClient, JoinHandle<()>) {
    let (io, phase, task) = start(service(recite), Limits::default());
    let mut client = RawClient::greet(io).await;
    client.send(&frame(1, 5, 1, &header_block(GET))).await;
    client.next(1).await;
    phase.send(Phase::Draining).unwrap();
    hear_goaway(&mut client).await;
    assert_eq!(last_stream(&client.next(7).await), 1);
    assert_eq!(client.receive().await, None, "it has shut down its side");
    (client, task)
}

#[tokio::test(start_paused = true)]
async fn what_a_client_says_behind_the_end_is_taken_in() {
    local(async {
        let (mut client, task) = ended_in_peace().await;
        let begun = now();
        for stream in (3..).step_by(2).take(1000) {
            // more than the pipe holds
            assert!(client.send(&frame(1, 5, stream, &header_block(GET))).await);
            assert!(client.send(&frame(0, 0, stream, &[0; 100])).await);
        }
        assert!(!task.is_finished());
        drop(client);
        task.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO, "it ends with the client");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_or_too_much_behind_the_end_is_closed() {
    local(async {
        let (client, task) = ended_in_peace().await;
        let begun = now();
        task.await.unwrap();
        let passed = begun.elapsed();
        assert!(passed.as_secs() == 2, "{passed:?}");
        drop(client);
        let (mut client, task) = ended_in_peace().await;
        let begun = now();
        let mut pieces = 0;
        while client.send(&[0; 16 * 1024]).await {
            pieces += 1;
            assert!(pieces < 30, "no end");
        }
        assert!(pieces >= 16, "only {pieces} pieces");
        task.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
    })
    .await;
}

/// A socket that is closed with bytes unread, or written to when it is closed, is reset: the client's next write fails.
#[tokio::test]
async fn a_tcp_connection_that_ends_in_peace_is_not_reset() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let (phase, drain) = Drain::channel();
        let task = spawn_local(async move {
            server::serve(Stream::Tcp(accepted), service(recite), &Limits::default(), drain).await;
        });
        let mut client = RawClient::greet(tcp).await;
        client.send(&frame(1, 5, 1, &header_block(GET))).await;
        client.next(1).await;
        phase.send(Phase::Draining).unwrap();
        client.next(7).await;
        let ping = client.next(6).await;
        client.send(&frame(6, 1, 0, &ping.payload)).await;
        client.next(7).await;
        assert_eq!(client.receive().await, None);
        for _ in 0..3 {
            client.io.write_all(&frame(6, 0, 0, &[7; 8])).await.unwrap();
            sleep(Duration::from_millis(20)).await; // a reset would have come back
        }
        drop(client);
        task.await.unwrap();
    })
    .await;
}

/// An extended CONNECT on stream 1, and the far end of the tunnel behind it.
async fn tunnel() -> (RawClient, DuplexStream) {
    let (near, far) = duplex(1024);
    let near = RefCell::new(Some(near));
    let limits = Limits {
        tunnel_idle_timeout: Duration::from_secs(10),
        ..Limits::default()
    };
    let (io, phase, _task) = start(
        service(move |_| {
            let near = near.borrow_mut().take().unwrap();
            async move {
                let io = TunnelIo::http1(Stream::Memory(near), BytesMut::new());
                let tunnel = Tunnel::new(io, "websocket".to_owned());
                let mut answer = Response::new(Body::Tunnel(Box::new(tunnel)));
                *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                answer
            }
        }),
        limits,
    );
    spawn_local(async move { phase.closed().await }); // no drain begins
    let mut client = RawClient::greet(io).await;
    let [_, scheme, path, authority] = GET;
    let head = [(":method", "CONNECT"), (":protocol", "websocket")];
    let head = head.into_iter().chain([scheme, path, authority]);
    client.send(&frame(1, 4, 1, &header_block(head))).await;
    assert_eq!(client.outcome(1).await, "status 200");
    (client, far)
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_has_said_all_ends_without_error() {
    local(async {
        // The backend has gone in order, and what the client still says finds nobody.
        let (mut client, far) = tunnel().await;
        drop(far);
        let end = client.next(0).await;
        assert_eq!((end.flags, end.payload.len()), (1, 0));
        client.send(&frame(0, 0, 1, b"anybody there?")).await;
        assert_eq!(client.outcome(1).await, "reset NO_ERROR");
        // Or it says nothing, for too long.
        let (mut client, mut far) = tunnel().await;
        far.write_all(b"bye").await.unwrap();
        drop(far);
        assert_eq!(client.next(0).await.payload, b"bye");
        assert_eq!(client.outcome(1).await, "reset NO_ERROR");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_cut_ends_with_cancel() {
    local(async {
        let (mut client, _far) = tunnel().await;
        assert_eq!(client.outcome(1).await, "reset CANCEL");
        // The client's own end changes nothing: ours is still to come.
        let (mut client, _far) = tunnel().await;
        client.send(&frame(0, 1, 1, b"bye")).await;
        assert_eq!(client.outcome(1).await, "reset CANCEL");
    })
    .await;
}
