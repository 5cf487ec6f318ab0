//! The HTTP/2 client held against hand-written servers.

use std::{cell::RefCell, future::pending, rc::Rc, time::Duration};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::{
    io::duplex,
    sync::watch,
    task::{LocalSet, spawn_local},
    time::timeout,
};

use super::client::{Client, ClientSettings, handshake};
use crate::{
    body::Body,
    fields::Fields,
    limits::Limits,
    message::{self, Head},
    stream::Stream,
    tunnel::{TunnelIo, join},
    wire::{Drain, ExchangeTimeouts, Interim, NoInterim, SendCause, SendError, Sent, Upgrade},
};

const SETTINGS: ClientSettings = ClientSettings {
    response_head_bytes_max: 8 * 1024,
    handshake_timeout: Duration::from_secs(5),
    write_timeout: Duration::from_secs(30),
};

const TIMEOUTS: ExchangeTimeouts = ExchangeTimeouts {
    first_byte: Duration::from_secs(3),
    between_bytes: Duration::from_secs(5),
};

async fn local<T>(test: impl Future<Output = T>) -> T {
    let test = timeout(Duration::from_secs(3600), test);
    LocalSet::new().run_until(test).await.expect("the test hangs")
}

/// A server that hands each stream to `answer`, two at once; the switch makes it leave.
async fn connect<F, A>(answer: F) -> (Client, watch::Sender<bool>)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + 'static,
    A: Future<Output = ()> + 'static,
{
    connect_to(2, answer).await
}

async fn connect_to<F, A>(streams: u32, answer: F) -> (Client, watch::Sender<bool>)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + 'static,
    A: Future<Output = ()> + 'static,
{
    let (near, far) = duplex(64 * 1024);
    let (leave, mut leaving) = watch::channel(false);
    spawn_local(async move {
        let mut server = h2::server::Builder::new()
            .enable_connect_protocol()
            .max_concurrent_streams(streams)
            .handshake::<_, Bytes>(far)
            .await
            .unwrap();
        loop {
            tokio::select! {
                accepted = server.accept() => match accepted {
                    Some(Ok((request, respond))) => drop(spawn_local(answer(request, respond))),
                    _ => return,
                },
                Ok(()) = leaving.changed() => server.graceful_shutdown(),
            }
        }
    });
    let (client, work) = handshake(Stream::Memory(near), SETTINGS).await.unwrap();
    spawn_local(work);
    (client, leave)
}

fn head(method: Method) -> Head {
    let request = Request::builder()
        .method(method)
        .uri("/a?b")
        .header("host", "example.com")
        .body(Body::Empty);
    message::Request::from(request.unwrap()).head
}

async fn get(client: &Client) -> Result<message::Response, SendError> {
    client
        .send(&head(Method::GET), "https", Body::Empty, &mut NoInterim, TIMEOUTS)
        .await
}

async fn read_all(body: &mut Body) -> Result<Bytes, crate::body::BodyError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

/// The answer's head, as the closure makes it, to a GET.
async fn failed(edit: impl Fn(&mut Response<()>) + 'static) -> SendError {
    let edit = Rc::new(edit);
    let (client, _leave) = connect(move |_, mut respond| {
        let edit = Rc::clone(&edit);
        async move {
            let mut answer = Response::new(());
            edit(&mut answer);
            let _ = respond
                .send_response(answer, false)
                .map(|mut send| send.send_data(Bytes::new(), true));
        }
    })
    .await;
    get(&client).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_request_keeps_its_target_and_an_answer_its_trailers() {
    local(async {
        let (client, _leave) = connect(|request, mut respond| async move {
            assert_eq!(request.uri(), "https://example.com/a?b");
            assert!(!request.headers().contains_key("host"));
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            send.send_data("hello".into(), false).unwrap();
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            send.send_trailers(trailers).unwrap();
        })
        .await;
        let mut body = get(&client).await.unwrap().body;
        assert_eq!(client.open_exchanges(), 1);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_trailers().unwrap()["grpc-status"],
            "0"
        );
        assert!(body.frame().await.is_none());
        assert_eq!(client.open_exchanges(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn both_bodies_stream_at_once() {
    local(async {
        let (client, _leave) = connect(|request, mut respond| async move {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
                send.send_data(data, false).unwrap();
            }
            send.send_data(Bytes::new(), true).unwrap();
        })
        .await;
        let (pieces, queue) = tokio::sync::mpsc::unbounded_channel();
        let upload = futures_util::stream::unfold(queue, |mut queue| async {
            queue
                .recv()
                .await
                .map(|piece: Bytes| (Ok(http_body::Frame::data(piece)), queue))
        });
        let body = Body::Wrapped(Box::pin(http_body_util::StreamBody::new(upload)));
        let answer = client
            .send(&head(Method::POST), "https", body, &mut NoInterim, TIMEOUTS)
            .await
            .unwrap();
        let mut body = answer.body;
        for piece in ["one", "two"] {
            pieces.send(piece.into()).unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        }
        drop(pieces);
        assert!(body.frame().await.is_none());
    })
    .await;
}

struct Collected(Vec<StatusCode>);

impl Interim for Collected {
    fn send(&mut self, status: StatusCode, _headers: &Fields) {
        self.0.push(status);
    }
}

#[tokio::test(start_paused = true)]
async fn interim_answers_are_passed_on_and_100_lets_the_body_go() {
    local(async {
        let (client, _leave) = connect(|request, mut respond| async move {
            for status in [103, 100] {
                respond
                    .send_informational(Response::builder().status(status).body(()).unwrap())
                    .unwrap();
            }
            let data = request.into_body().data().await.unwrap().unwrap();
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            send.send_data(data, true).unwrap();
        })
        .await;
        let mut head = head(Method::POST);
        head.headers.insert("expect", "100-continue");
        let mut seen = Collected(Vec::new());
        let mut answer = client
            .send(&head, "https", Body::full("body"), &mut seen, TIMEOUTS)
            .await
            .unwrap();
        assert_eq!(seen.0, [StatusCode::EARLY_HINTS]);
        assert_eq!(read_all(&mut answer.body).await.unwrap(), "body");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_100_comes_back_when_the_exchange_fails() {
    local(async {
        let (client, _leave) =
            connect(|_, mut respond| async move { respond.send_reset(Reason::REFUSED_STREAM) }).await;
        let mut head = head(Method::POST);
        head.headers.insert("expect", "100-continue");
        let error = client
            .send(&head, "https", Body::full("body"), &mut NoInterim, TIMEOUTS)
            .await
            .unwrap_err();
        assert_eq!(error.sent, Sent::Nothing);
        assert!(matches!(error.body, Some(Body::Full(_))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_lie_are_refused() {
    local(async {
        let check = |error: SendError, what: &str| match error.cause {
            SendCause::Malformed(found) => assert_eq!(found, what),
            other => panic!("{other:?}, not {what}"),
        };
        check(
            failed(|answer| *answer.status_mut() = StatusCode::from_u16(600).unwrap()).await,
            "unknown class of status",
        );
        check(
            failed(|answer| {
                drop(
                    answer
                        .headers_mut()
                        .insert("content-length", "+3".parse().unwrap()),
                )
            })
            .await,
            "an HTTP/2 message that breaks RFC 9113",
        );
        let twice = |answer: &mut Response<()>| {
            for _ in 0..2 {
                answer
                    .headers_mut()
                    .append("content-length", "0".parse().unwrap());
            }
        };
        check(failed(twice).await, "repeated content-length");
        check(
            failed(|answer| drop(answer.headers_mut().insert("a", " b".parse().unwrap()))).await,
            "space around a value",
        );
        let large = failed(|answer| {
            drop(
                answer
                    .headers_mut()
                    .insert("a", "x".repeat(9000).parse().unwrap()),
            )
        })
        .await;
        assert!(matches!(large.cause, SendCause::HeadTooLarge));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unasked_101_and_endless_interim_answers_are_refused() {
    local(async {
        for (status, times) in [(101, 1), (103, 17)] {
            let (client, _leave) = connect(move |_, mut respond| async move {
                for _ in 0..times {
                    let _ = respond.send_informational(Response::builder().status(status).body(()).unwrap());
                }
                pending().await
            })
            .await;
            assert!(matches!(
                get(&client).await.unwrap_err().cause,
                SendCause::Malformed(_)
            ));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn more_or_less_data_than_promised_breaks_the_body() {
    local(async {
        for data in ["abc", "abcde"] {
            let (client, _leave) = connect(move |_, mut respond| async move {
                let head = Response::builder().header("content-length", 4).body(()).unwrap();
                let mut send = respond.send_response(head, false).unwrap();
                send.send_data(data.into(), true).unwrap();
            })
            .await;
            // The reset may overtake the head.
            match get(&client).await {
                Ok(mut answer) => assert!(read_all(&mut answer.body).await.is_err(), "{data}"),
                Err(error) => assert!(matches!(error.cause, SendCause::Malformed(_)), "{error:?}"),
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_its_stream_reset() {
    local(async {
        let reasons = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&reasons);
        let (client, _leave) = connect(move |_, mut respond| {
            let seen = Rc::clone(&seen);
            async move {
                let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await.unwrap();
                seen.borrow_mut().push(reason);
            }
        })
        .await;
        let error = get(&client).await.unwrap_err();
        assert!(matches!(error.cause, SendCause::FirstByteTimeout));
        assert_eq!(error.sent, Sent::Something);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(*reasons.borrow(), [Reason::CANCEL]);
        assert!(client.is_open());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_times_out() {
    local(async {
        let (client, _leave) = connect(|_, mut respond| async move {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            send.send_data("half".into(), false).unwrap();
            pending().await
        })
        .await;
        let mut body = get(&client).await.unwrap().body;
        assert!(matches!(
            read_all(&mut body).await,
            Err(crate::body::BodyError::TimedOut)
        ));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_goaway_closes_the_connection_for_new_exchanges_only() {
    local(async {
        let (client, leave) = connect(|_, mut respond| async move {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            send.send_data("late".into(), true).unwrap();
        })
        .await;
        assert!(client.is_open() && client.has_room());
        let mut first = get(&client).await.unwrap();
        let second = get(&client).await.unwrap();
        assert!(!client.has_room()); // the server takes two
        leave.send(true).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!client.is_open());
        let error = get(&client).await.unwrap_err();
        assert_eq!(error.sent, Sent::Nothing);
        assert!(matches!(error.body, Some(Body::Empty)));
        assert_eq!(read_all(&mut first.body).await.unwrap(), "late");
        drop(second);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_outlives_thousands_of_answers_that_nobody_wants_any_more() {
    local(async {
        const AT_ONCE: usize = 100;
        let (client, _leave) = connect_to(200, |_, mut respond| async move {
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            // Something is always under way when a reset comes.
            while send.send_data("more".into(), false).is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let kept = get(&client).await.unwrap();
        for _ in 0..40 {
            let unwanted = futures_util::future::join_all((0..AT_ONCE).map(|_| get(&client))).await;
            assert!(unwanted.iter().all(Result::is_ok));
        }
        assert!(client.is_open());
        assert_eq!(client.open_exchanges(), 1);
        drop(kept);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_from_http1_becomes_an_extended_connect() {
    local(async {
        let (client, _leave) = connect(|request, mut respond| async move {
            assert_eq!(request.method(), Method::CONNECT);
            assert_eq!(
                request.extensions().get::<h2::ext::Protocol>().unwrap().as_str(),
                "websocket"
            );
            assert!(!request.headers().contains_key("sec-websocket-key"));
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            let data = request.into_body().data().await.unwrap().unwrap();
            send.send_data(data, true).unwrap();
        })
        .await;
        let mut head = head(Method::GET);
        head.headers
            .insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        head.upgrade = Some(Upgrade::Http1("websocket".to_owned()));
        let answer = client
            .send(&head, "https", Body::Empty, &mut NoInterim, TIMEOUTS)
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(
            answer.headers.get("sec-websocket-accept").unwrap(),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        let Body::Tunnel(tunnel) = answer.body else {
            panic!("no tunnel");
        };
        let (mut near, far) = duplex(1024);
        let front = TunnelIo::http1(Stream::Memory(far), BytesMut::new());
        let (_phase, drain) = Drain::channel();
        let joined = spawn_local(async move { join(front, tunnel, &Limits::default(), drain).await });
        tokio::io::AsyncWriteExt::write_all(&mut near, b"ping")
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut near).await.unwrap();
        let mut back = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut near, &mut back)
            .await
            .unwrap();
        assert_eq!(back, "ping");
        assert_eq!(joined.await.unwrap().bytes_up, 4);
        assert_eq!(client.open_exchanges(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_speak_http2_fails_the_handshake() {
    local(async {
        let (near, mut far) = duplex(1024);
        spawn_local(async move {
            tokio::io::AsyncWriteExt::write_all(&mut far, b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
            pending::<()>().await;
        });
        assert!(handshake(Stream::Memory(near), SETTINGS).await.is_err());
        let (near, _far) = duplex(1024); // and one that says nothing
        assert!(handshake(Stream::Memory(near), SETTINGS).await.is_err());
    })
    .await;
}
