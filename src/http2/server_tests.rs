//! The HTTP/2 server held against a hand-driven client.

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    rc::Rc,
};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, client::SendRequest};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_local},
};

use super::testing::{GET, Pieces, RawClient, frame, header_block, local, recite, service, start};
use crate::{
    body::Body,
    limits::Limits,
    message,
    stream::Stream,
    tunnel::{Tunnel, TunnelIo},
    wire::{Phase, Upgrade},
};

async fn connect(io: DuplexStream) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(65_535)
        .handshake(io)
        .await
        .unwrap();
    (sender, spawn_local(connection))
}

fn request(method: Method) -> Request<()> {
    Request::builder()
        .method(method)
        .uri("https://example.com/a?b")
        .body(())
        .unwrap()
}

async fn read_all(body: &mut RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// Sends the request's body back as it comes.
async fn echo(request: message::Request) -> Response<Body> {
    Response::new(request.body)
}

/// Says when it is dropped.
struct Flag(Rc<Cell<bool>>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_and_trailers_stream_both_ways() {
    local(async {
        let (io, _phase, _task) = start(service(echo), Limits::default());
        let (sender, _driver) = connect(io).await;
        let (answer, mut send) = sender
            .ready()
            .await
            .unwrap()
            .send_request(request(Method::POST), false)
            .unwrap();
        send.send_data("one".into(), false).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "one"); // before the request's end
        send.send_data("two".into(), false).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "two");
        let trailers =
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
        send.send_trailers(trailers.clone()).unwrap();
        assert!(body.data().await.is_none());
        assert_eq!(body.trailers().await.unwrap(), Some(trailers));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_service_gets_the_same_form_as_from_http1() {
    local(async {
        let (io, _phase, _task) = start(service(recite), Limits::default());
        let (sender, _driver) = connect(io).await;
        let mut asked = request(Method::GET);
        asked
            .headers_mut()
            .append("cookie", HeaderValue::from_static("a=1"));
        asked
            .headers_mut()
            .append("cookie", HeaderValue::from_static("b=2"));
        let (answer, _) = sender.ready().await.unwrap().send_request(asked, true).unwrap();
        let answer = answer.await.unwrap();
        assert!(answer.headers().contains_key("date"));
        assert_eq!(answer.headers()["content-length"], "25");
        assert_eq!(
            read_all(&mut answer.into_body()).await.unwrap(),
            "/a?b example.com a=1; b=2"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_head_and_a_304_keep_their_length_and_have_no_data() {
    local(async {
        let (io, _phase, _task) = start(
            service(|request| async move {
                let mut answer = Response::new(Body::Empty);
                answer.headers_mut().insert("content-length", 9.into());
                answer
                    .headers_mut()
                    .insert("connection", HeaderValue::from_static("close"));
                if request.head.method == Method::GET {
                    *answer.status_mut() = StatusCode::NOT_MODIFIED;
                }
                answer
            }),
            Limits::default(),
        );
        let (mut sender, _driver) = connect(io).await;
        for method in [Method::HEAD, Method::GET] {
            sender = sender.ready().await.unwrap();
            let (answer, _) = sender.send_request(request(method), true).unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.headers()["content-length"], "9");
            assert!(answer.body().is_end_stream());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn interim_answers_arrive_and_100_comes_when_the_body_is_wanted() {
    local(async {
        let (io, _phase, _task) = start(service(recite), Limits::default());
        let (sender, _driver) = connect(io).await;
        let mut asked = request(Method::POST);
        asked.headers_mut().insert("hint", HeaderValue::from_static("1"));
        asked
            .headers_mut()
            .insert("expect", HeaderValue::from_static("100-continue"));
        let (mut answer, mut send) = sender.ready().await.unwrap().send_request(asked, false).unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let interim = poll_fn(|cx| answer.poll_informational(cx))
                .await
                .unwrap()
                .unwrap();
            seen.push(interim.status().as_u16());
        }
        assert_eq!(seen, [103, 100]);
        send.send_data("x".into(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_drops_the_service_future() {
    local(async {
        let dropped = Rc::new(Cell::new(false));
        let (begun, mut began) = mpsc::unbounded_channel();
        let flag = Rc::clone(&dropped);
        let (io, _phase, _task) = start(
            service(move |_| {
                let (begun, flag) = (begun.clone(), Flag(Rc::clone(&flag)));
                async move {
                    let _flag = flag;
                    begun.send(()).unwrap();
                    pending().await
                }
            }),
            Limits::default(),
        );
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 5, 1, &header_block(GET))).await;
        began.recv().await.unwrap();
        assert!(!dropped.get());
        client.send(&frame(3, 0, 1, &8_u32.to_be_bytes())).await;
        client.send(&frame(6, 0, 0, &[7; 8])).await;
        while client.receive().await.unwrap().kind != 6 {} // the PING's answer stands behind the reset
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(dropped.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_drops_every_service_future() {
    local(async {
        let dropped = Rc::new(Cell::new(false));
        let flag = Rc::clone(&dropped);
        let (io, _phase, task) = start(
            service(move |_| {
                let flag = Flag(Rc::clone(&flag));
                async move {
                    let _flag = flag;
                    pending().await
                }
            }),
            Limits::default(),
        );
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 5, 1, &header_block(GET))).await;
        while client.receive().await.unwrap().kind != 8 {}
        drop(client);
        task.await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(dropped.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_bounds_what_is_asked_of_a_body() {
    local(async {
        let asked = Rc::new(RefCell::new(0));
        let count = Rc::clone(&asked);
        let (io, _phase, _task) = start(
            service(move |_| {
                let left = std::iter::repeat_n(Bytes::from(vec![0; 16 * 1024]), 1000).collect();
                let pieces = Pieces {
                    left,
                    asked: Rc::clone(&count),
                };
                async move { Response::new(Body::Wrapped(Box::pin(pieces))) }
            }),
            Limits::default(),
        );
        let (sender, _driver) = connect(io).await;
        let (answer, _) = sender
            .ready()
            .await
            .unwrap()
            .send_request(request(Method::GET), true)
            .unwrap();
        let mut body = answer.await.unwrap().into_body();
        // Nothing is released: 64 KiB of window, 64 KiB inside h2, one piece in hand.
        let stalled = loop {
            match body.data().await {
                Some(Ok(_)) => assert!(*asked.borrow() <= 10, "{} pieces", asked.borrow()),
                Some(Err(error)) => break error,
                None => panic!("the body ended"),
            }
        };
        assert_eq!(stalled.reason(), Some(Reason::CANCEL)); // after write_timeout
        assert!(*asked.borrow() <= 10, "{} pieces", asked.borrow());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_socket_is_closed() {
    local(async {
        let big = || async { Response::new(Body::full(vec![0; 50_000])) };
        let (io, _phase, task) = start(service(move |_| big()), Limits::default());
        let mut client = RawClient::greet(io).await;
        client
            .send(&frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]))
            .await;
        client.send(&frame(8, 0, 0, &[0x7f, 0, 0, 0])).await;
        for stream in 0..20 {
            client
                .send(&frame(1, 5, stream * 2 + 1, &header_block(GET)))
                .await;
        }
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_resets_the_stream() {
    local(async {
        let (io, _phase, _task) = start(
            service(|_| async {
                let body = http_body_util::StreamBody::new(futures_util::stream::iter([
                    Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
                    Err(crate::body::BodyError::Incomplete),
                ]));
                Response::new(Body::Wrapped(Box::pin(body)))
            }),
            Limits::default(),
        );
        let (sender, _driver) = connect(io).await;
        let (answer, _) = sender
            .ready()
            .await
            .unwrap()
            .send_request(request(Method::GET), true)
            .unwrap();
        // The reset may overtake the head.
        let error = match answer.await {
            Ok(answer) => read_all(&mut answer.into_body()).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_says_goaway_twice_and_loses_nothing() {
    local(async {
        let (release, released) = oneshot::channel::<()>();
        let released = Rc::new(RefCell::new(Some(released)));
        let (io, phase, task) = start(
            service(move |_| {
                let released = released.borrow_mut().take();
                async move {
                    if let Some(released) = released {
                        released.await.unwrap();
                    }
                    Response::new(Body::Empty)
                }
            }),
            Limits::default(),
        );
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 5, 1, &header_block(GET))).await;
        while client.receive().await.unwrap().kind != 8 {}
        phase.send(Phase::Draining).unwrap();
        let goaway = loop {
            let frame = client.receive().await.unwrap();
            if frame.kind == 7 {
                break frame;
            }
        };
        assert_eq!(goaway.payload[..8], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        let ping = client.receive().await.unwrap();
        assert_eq!(ping.kind, 6);
        // A request that crossed the GOAWAY on its way is answered.
        client.send(&frame(1, 5, 3, &header_block(GET))).await;
        client.send(&frame(6, 1, 0, &ping.payload)).await;
        let (mut second, mut answers) = (None, Vec::new());
        release.send(()).unwrap();
        while let Some(frame) = client.receive().await {
            match frame.kind {
                7 if second.is_none() => second = Some(frame.payload[3]),
                1 => answers.push(frame.stream),
                _ => {}
            }
        }
        answers.sort_unstable();
        assert_eq!((second, answers), (Some(3), vec![1, 3]));
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_drain_cuts_what_is_left() {
    local(async {
        let (io, phase, task) = start(service(|_| pending()), Limits::default());
        let mut client = RawClient::greet(io).await;
        client.send(&frame(1, 5, 1, &header_block(GET))).await;
        while client.receive().await.unwrap().kind != 8 {}
        phase.send(Phase::Stopped).unwrap();
        while client.receive().await.is_some() {}
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_after_its_last_allowed_request() {
    local(async {
        let limits = Limits {
            requests_per_connection_max: 2,
            ..Limits::default()
        };
        let (io, _phase, task) = start(service(recite), limits);
        let (mut sender, driver) = connect(io).await;
        for _ in 0..2 {
            sender = sender.ready().await.unwrap();
            let (answer, _) = sender.send_request(request(Method::GET), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        driver.await.unwrap().unwrap();
        task.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_extended_connect_becomes_a_tunnel() {
    local(async {
        let (near, mut far) = duplex(1024);
        let near = RefCell::new(Some(near));
        let (io, _phase, _task) = start(
            service(move |request| {
                let near = near.borrow_mut().take().unwrap();
                async move {
                    assert_eq!(request.head.upgrade, Some(Upgrade::Http2("websocket".to_owned())));
                    let io = TunnelIo::http1(Stream::Memory(near), BytesMut::from("hello "));
                    let tunnel = Tunnel::new(io, "websocket".to_owned());
                    let mut answer = Response::new(Body::Tunnel(Box::new(tunnel)));
                    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                    answer
                }
            }),
            Limits::default(),
        );
        let (sender, _driver) = connect(io).await;
        let mut sender = sender.ready().await.unwrap();
        let mut asked = request(Method::CONNECT);
        asked
            .extensions_mut()
            .insert(h2::ext::Protocol::from("websocket"));
        let (answer, mut send) = sender.send_request(asked, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        send.send_data("up".into(), true).unwrap();
        let mut up = String::new();
        far.read_to_string(&mut up).await.unwrap(); // with its end
        far.write_all(b"down").await.unwrap();
        drop(far);
        assert_eq!(
            (up.as_str(), read_all(&mut answer.into_body()).await.unwrap()),
            ("up", "hello down".into())
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_s_size_is_told_right_in_the_middle_of_a_frame() {
    local(async {
        let (io, _phase, _task) = start(
            service(|request| async move {
                let size = http_body::Body::size_hint(&request.body).exact().unwrap();
                Response::new(Body::full(size.to_string()))
            }),
            Limits::default(),
        );
        let mut client = RawClient::greet(io).await;
        let head = GET.into_iter().chain([("content-length", "6")]);
        let mut bytes = frame(1, 4, 1, &header_block(head));
        bytes.extend(frame(0, 1, 1, b"abcdef"));
        client.send(&bytes[..bytes.len() - 3]).await;
        let data = loop {
            let frame = client.receive().await.unwrap();
            if frame.kind == 0 {
                break frame.payload;
            }
        };
        assert_eq!(data, b"6");
    })
    .await;
}
