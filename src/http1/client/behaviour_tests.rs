//! What a server sees of the client over time, and when a connection is used again.

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{Fed, Notes, Pool, TIMEOUTS, answer, head, hear_until, pair, read, run, send};
use crate::{
    body::{Body, BodyError},
    wire::{SendCause, Sent, Upgrade},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn fed() -> (tokio::sync::mpsc::UnboundedSender<Bytes>, Body, Rc<Cell<usize>>) {
    let (feed, pieces) = tokio::sync::mpsc::unbounded_channel();
    let polls = Rc::new(Cell::new(0));
    let body = Body::Wrapped(Box::pin(Fed(pieces, Rc::clone(&polls))));
    (feed, body, polls)
}

#[test]
fn a_request_is_written_plainly() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let head = head("GET", &[("accept", "*/*")]);
        let (sent, heard) = tokio::join!(send(connection, &head, Body::Empty, &pool), answer(&mut far, OK));
        assert_eq!(heard, "GET /x?y HTTP/1.1\r\nhost: a\r\naccept: */*\r\n\r\n");
        assert_eq!(read(sent.unwrap().body).await, "ok");
    });
}

#[test]
fn head_and_small_body_leave_in_one_write() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let head = head("POST", &[]);
        let answering = async {
            let mut piece = [0; 4096];
            let count = far.read(&mut piece).await.unwrap();
            far.write_all(OK).await.unwrap();
            String::from_utf8(piece[..count].to_vec()).unwrap()
        };
        let (sent, heard) = tokio::join!(send(connection, &head, Body::full("hello"), &pool), answering);
        assert_eq!(
            heard,
            "POST /x?y HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello"
        );
        sent.unwrap();
    });
}

#[test]
fn a_connection_carries_one_exchange_after_the_other() {
    run(async {
        let (mut connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let head = head("GET", &[]);
        for round in 1..=3 {
            let (sent, _) = tokio::join!(send(connection, &head, Body::Empty, &pool), answer(&mut far, OK));
            assert_eq!(read(sent.unwrap().body).await, "ok");
            connection = pool.0.borrow_mut().pop().unwrap();
            assert_eq!(connection.exchanges(), round);
            assert!(connection.is_idle_and_clean());
        }
        far.write_all(b"HTTP/1.1 408 ").await.unwrap();
        assert!(!connection.is_idle_and_clean());
    });
}

#[test]
fn a_connection_that_the_server_closed_is_not_clean() {
    run(async {
        let (mut connection, far) = pair(4096);
        assert!(connection.is_idle_and_clean());
        drop(far);
        assert!(!connection.is_idle_and_clean());
    });
}

#[test]
fn a_body_of_unknown_length_goes_in_chunks() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let (feed, body, _) = fed();
        let head = head("POST", &[]);
        let answering = async {
            let start = hear_until(&mut far, "\r\n\r\n").await;
            feed.send(Bytes::from_static(b"hello")).unwrap();
            assert_eq!(hear_until(&mut far, "\r\nhello\r\n").await, "5\r\nhello\r\n");
            feed.send(Bytes::from(vec![b'x'; 5000])).unwrap();
            hear_until(&mut far, "1388\r\n").await;
            drop(feed);
            hear_until(&mut far, "x\r\n0\r\n\r\n").await;
            far.write_all(OK).await.unwrap();
            start
        };
        let (sent, start) = tokio::join!(send(connection, &head, body, &pool), answering);
        assert!(start.contains("transfer-encoding: chunked\r\n"), "{start}");
        sent.unwrap();
        assert_eq!(pool.0.borrow().len(), 1);
    });
}

#[test]
fn a_body_that_waits_for_continue_is_not_touched_before() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let (feed, body, polls) = fed();
        feed.send(Bytes::from_static(b"hello")).unwrap();
        let head = head("POST", &[("expect", "100-continue"), ("content-length", "5")]);
        let answering = async {
            hear_until(&mut far, "\r\n\r\n").await;
            assert_eq!(polls.get(), 0);
            far.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            hear_until(&mut far, "hello").await;
            far.write_all(OK).await.unwrap();
        };
        let (sent, ()) = tokio::join!(send(connection, &head, body, &pool), answering);
        sent.unwrap();
        assert_eq!(pool.0.borrow().len(), 1);
    });
}

#[test]
fn a_server_that_never_says_continue_gets_the_body_after_a_second() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let head = head("POST", &[("expect", "100-continue"), ("content-length", "5")]);
        let began = crate::http1::timer::now();
        let answering = async {
            hear_until(&mut far, "\r\n\r\nhello").await;
            assert_eq!(began.elapsed().as_secs(), 1);
            far.write_all(OK).await.unwrap();
        };
        let (sent, ()) = tokio::join!(send(connection, &head, Body::full("hello"), &pool), answering);
        sent.unwrap();
    });
}

#[test]
fn a_refusal_instead_of_continue_leaves_the_body_alone_and_the_connection_closed() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let (_feed, body, polls) = fed();
        let head = head("POST", &[("expect", "100-continue"), ("content-length", "5")]);
        let refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno";
        let (sent, _) = tokio::join!(send(connection, &head, body, &pool), answer(&mut far, refusal));
        let response = sent.unwrap();
        assert_eq!(response.status, 413);
        assert_eq!(read(response.body).await, "no");
        assert_eq!(polls.get(), 0);
        assert!(pool.0.borrow().is_empty());
    });
}

#[test]
fn an_early_answer_streams_while_the_upload_goes_on() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let (feed, body, _) = fed();
        let head = head("POST", &[]);
        let early = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let (sent, _) = tokio::join!(send(connection, &head, body, &pool), answer(&mut far, early));
        let mut body = sent.unwrap().body;
        for _ in 0..3 {
            feed.send(Bytes::from_static(b"ping")).unwrap();
            let answering = async {
                hear_until(&mut far, "4\r\nping\r\n").await;
                far.write_all(b"4\r\npong\r\n").await.unwrap();
            };
            let (frame, ()) = tokio::join!(body.frame(), answering);
            assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "pong");
        }
        drop(feed);
        let answering = async {
            hear_until(&mut far, "0\r\n\r\n").await;
            far.write_all(b"0\r\n\r\n").await.unwrap();
        };
        let (end, ()) = tokio::join!(body.frame(), answering);
        assert!(end.is_none());
        assert_eq!(pool.0.borrow().len(), 1);
    });
}

#[test]
fn an_answer_that_ends_before_the_upload_closes_the_connection() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let (_feed, body, _) = fed();
        let post = head("POST", &[]);
        let (sent, _) = tokio::join!(send(connection, &post, body, &pool), answer(&mut far, OK));
        assert_eq!(read(sent.unwrap().body).await, "ok");
        assert!(pool.0.borrow().is_empty());
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
    });
}

#[test]
fn a_server_that_answers_and_closes_during_the_upload_is_heard() {
    run(async {
        let (connection, mut far) = pair(1024);
        let pool = Rc::new(Pool::default());
        let head = head("POST", &[]);
        let answering = async {
            hear_until(&mut far, "\r\n\r\n").await;
            far.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
                .await
                .unwrap();
            drop(far);
        };
        let (sent, ()) = tokio::join!(
            send(connection, &head, Body::full(vec![0; 100_000]), &pool),
            answering
        );
        let response = sent.unwrap();
        assert_eq!(response.status, 413);
        assert_eq!(read(response.body).await, "no");
        assert!(pool.0.borrow().is_empty());
    });
}

#[test]
fn a_silent_server_runs_out_of_time() {
    run(async {
        let (connection, _far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let began = crate::http1::timer::now();
        let error = send(connection, &head("GET", &[]), Body::Empty, &pool)
            .await
            .unwrap_err();
        assert!(matches!(error.cause, SendCause::FirstByteTimeout), "{error:?}");
        assert_eq!(error.sent, Sent::Something);
        assert_eq!(began.elapsed(), TIMEOUTS.first_byte);
    });
}

#[test]
fn a_server_that_takes_nothing_runs_out_of_time() {
    run(async {
        let (connection, _far) = pair(16);
        let pool = Rc::new(Pool::default());
        let error = send(connection, &head("GET", &[]), Body::Empty, &pool)
            .await
            .unwrap_err();
        assert!(matches!(error.cause, SendCause::FirstByteTimeout), "{error:?}");
    });
}

#[test]
fn a_slow_upload_is_not_the_servers_fault() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let (feed, body, _) = fed();
        let head = head("POST", &[("content-length", "5")]);
        let answering = async {
            tokio::time::sleep(TIMEOUTS.first_byte * 3).await;
            feed.send(Bytes::from_static(b"hello")).unwrap();
            hear_until(&mut far, "hello").await;
            far.write_all(OK).await.unwrap();
        };
        let (sent, ()) = tokio::join!(send(connection, &head, body, &pool), answering);
        sent.unwrap();
    });
}

#[test]
fn an_answer_that_falls_silent_runs_out_of_time() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel";
        let get = head("GET", &[]);
        let (sent, _) = tokio::join!(send(connection, &get, Body::Empty, &pool), answer(&mut far, part));
        let began = crate::http1::timer::now();
        let text = read(sent.unwrap().body).await;
        assert_eq!(text, format!("hel!{}", BodyError::TimedOut));
        assert_eq!(began.elapsed(), TIMEOUTS.between_bytes);
    });
}

#[test]
fn an_unsent_request_gives_its_body_back() {
    run(async {
        let (connection, far) = pair(4096);
        drop(far);
        let pool = Rc::new(Pool::default());
        let error = send(connection, &head("POST", &[]), Body::full("hello"), &pool)
            .await
            .unwrap_err();
        assert!(matches!(error.cause, SendCause::Closed(_)), "{error:?}");
        assert_eq!(error.sent, Sent::Nothing);
        assert_eq!(read(error.body.unwrap()).await, "hello");
    });
}

#[test]
fn a_body_that_was_begun_is_not_given_back() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let (feed, body, _) = fed();
        feed.send(Bytes::from_static(b"hello")).unwrap();
        let answering = async {
            hear_until(&mut far, "hello\r\n").await;
            drop(far);
        };
        let post = head("POST", &[]);
        let (sent, ()) = tokio::join!(send(connection, &post, body, &pool), answering);
        let error = sent.unwrap_err();
        assert_eq!(error.sent, Sent::Something);
        assert!(error.body.is_none());
    });
}

#[test]
fn a_body_unlike_its_length_is_refused() {
    run(async {
        let pool = Rc::new(Pool::default());
        let (connection, _far) = pair(4096);
        let head = head("POST", &[("content-length", "9")]);
        let error = send(connection, &head, Body::full("hello"), &pool)
            .await
            .unwrap_err();
        assert_eq!(error.sent, Sent::Nothing);
        for pieces in ["0123456789", "01234567"] {
            let (connection, _far) = pair(4096);
            let (feed, body, _) = fed();
            feed.send(Bytes::from_static(pieces.as_bytes())).unwrap();
            drop(feed);
            let error = send(connection, &head, body, &pool).await.unwrap_err();
            assert!(matches!(error.cause, SendCause::RequestBody(_)), "{error:?}");
        }
    });
}

#[test]
fn dropping_an_answer_closes_its_connection() {
    run(async {
        let (connection, mut far) = pair(4096);
        let pool = Rc::new(Pool::default());
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel";
        let get = head("GET", &[]);
        let (sent, _) = tokio::join!(send(connection, &get, Body::Empty, &pool), answer(&mut far, part));
        drop(sent.unwrap());
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        assert!(pool.0.borrow().is_empty());
    });
}

#[test]
fn a_large_answer_waits_in_the_pipe_until_it_is_read() {
    run(async {
        let (connection, mut far) = pair(64 * 1024);
        let pool = Rc::new(Pool::default());
        let total = 64 * 1024 * 1024;
        let written = Rc::new(Cell::new(0));
        let counter = Rc::clone(&written);
        tokio::task::spawn_local(async move {
            hear_until(&mut far, "\r\n\r\n").await;
            let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n");
            far.write_all(start.as_bytes()).await.unwrap();
            let piece = [b'd'; 16 * 1024];
            while counter.get() < total {
                far.write_all(&piece).await.unwrap();
                counter.set(counter.get() + piece.len());
            }
        });
        let mut body = send(connection, &head("GET", &[]), Body::Empty, &pool)
            .await
            .unwrap()
            .body;
        let mut heard = 0;
        while let Some(frame) = body.frame().await {
            heard += frame.unwrap().into_data().unwrap().len();
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            assert!(written.get() - heard.min(written.get()) <= 192 * 1024);
        }
        assert_eq!(heard, total);
    });
}

#[test]
fn a_websocket_of_http_2_gets_a_key_and_its_answer_is_checked() {
    run(async {
        for honest in [true, false] {
            let (connection, mut far) = pair(4096);
            let mut head = head("CONNECT", &[]);
            head.upgrade = Some(Upgrade::Http2("websocket".to_owned()));
            let answering = async {
                let heard = hear_until(&mut far, "\r\n\r\n").await;
                assert!(heard.starts_with("GET /x?y HTTP/1.1\r\n"), "{heard}");
                let key = heard
                    .split("sec-websocket-key: ")
                    .nth(1)
                    .unwrap()
                    .split("\r\n")
                    .next()
                    .unwrap();
                let key = if honest { key } else { "other" };
                let accept = crate::websocket::accept(key.as_bytes());
                let head = format!(
                    "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n"
                );
                far.write_all(head.as_bytes()).await.unwrap();
            };
            let home: Rc<dyn super::Home> = Rc::new(Pool::default());
            let mut notes = Notes::default();
            let sending = connection.send(&head, Body::Empty, &mut notes, TIMEOUTS, home);
            let (sent, ()) = tokio::join!(sending, answering);
            assert_eq!(
                sent.is_ok_and(|response| matches!(response.body, Body::Tunnel(_))),
                honest
            );
        }
    });
}
