//! Tests of who reads along: each gets every byte, and the first waits for nobody.

use std::{sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http::StatusCode;

use super::*;
use crate::{clock::UnixTime, fields::Fields};

const TIMES: Times = Times {
    asked: UnixTime { millis: 0 },
    answered: UnixTime { millis: 0 },
    initial_age: Duration::ZERO,
    lifetime: Duration::from_secs(60),
    while_revalidate: Duration::ZERO,
    if_error: Duration::ZERO,
};

fn arriving(lag_max: u64) -> Arc<Arriving> {
    let when = (TIMES, Terms::default());
    Arriving::new(
        StatusCode::OK,
        Fields::new(),
        Selected::default(),
        when,
        None,
        lag_max,
    )
}

fn piece(number: u8) -> Bytes {
    Bytes::from(vec![number; 64 * 1024])
}

/// What comes without waiting: the pieces' numbers, and how it ended.
fn read(body: &mut Body) -> (Vec<u8>, Option<bool>) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut numbers = Vec::new();
    loop {
        match http_body::Body::poll_frame(Pin::new(body), &mut cx) {
            Poll::Pending => return (numbers, None),
            Poll::Ready(None) => return (numbers, Some(true)),
            Poll::Ready(Some(Err(_))) => return (numbers, Some(false)),
            Poll::Ready(Some(Ok(frame))) => numbers.push(frame.into_data().unwrap()[0]),
        }
    }
}

fn wants_more(arriving: &Arriving) -> Poll<bool> {
    arriving.wants_more(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn the_first_sets_the_pace_and_the_slower_lose_nothing_within_their_bound() {
    let arriving = arriving(16 * 64 * 1024);
    let (mut first, mut slow) = (arriving.read().unwrap(), arriving.read().unwrap());
    arriving.pass();
    for number in 0..16 {
        assert_eq!(
            wants_more(&arriving),
            Poll::Ready(true),
            "the first waits for nobody: {number}"
        );
        arriving.push(piece(number));
        assert_eq!(read(&mut first), (vec![number], None));
    }
    assert_eq!(read(&mut slow), ((0..16).collect(), None));
    for number in 16..20 {
        arriving.push(piece(number));
    }
    assert_eq!(read(&mut slow), ((16..20).collect(), None));
    assert_eq!(
        wants_more(&arriving),
        Poll::Pending,
        "the first has four pieces before it"
    );
    drop(first);
    assert_eq!(wants_more(&arriving), Poll::Ready(true), "and has gone");
    arriving.push(piece(20));
    arriving.end(true);
    assert_eq!(read(&mut slow), (vec![20], Some(true)));
    drop(slow);
    assert_eq!(wants_more(&arriving), Poll::Ready(false), "nobody is left");
}

#[test]
fn who_is_too_slow_is_told_so_and_never_gets_a_part_for_the_whole() {
    let arriving = arriving(4 * 64 * 1024);
    let (mut first, mut slow) = (arriving.read().unwrap(), arriving.read().unwrap());
    arriving.pass();
    for number in 0..5 {
        arriving.push(piece(number));
        assert_eq!(read(&mut first), (vec![number], None));
    }
    arriving.end(true);
    assert_eq!(read(&mut slow), (vec![], Some(false)));
    assert_eq!(read(&mut first), (vec![], Some(true)));
    assert!(arriving.read().is_none(), "its beginning has gone");
}

#[test]
fn who_takes_it_in_ends_it_for_all_if_it_ends_itself() {
    let arriving = arriving(0);
    let mut reader = arriving.read().unwrap();
    let source = Source(Arc::clone(&arriving));
    arriving.push(piece(1));
    drop(source);
    assert_eq!(read(&mut reader), (vec![1], Some(false)));
}

#[test]
fn readers_on_other_threads_get_every_byte() {
    let arriving = arriving(0);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let arriving = Arc::clone(&arriving);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let mut body = arriving.read().unwrap();
                    let mut all = Vec::new();
                    while let Some(frame) = body.frame().await {
                        all.extend_from_slice(&frame.unwrap().into_data().unwrap());
                    }
                    all
                })
            })
        })
        .collect();
    let mut sent = Vec::new();
    for number in 0..2_000_u32 {
        let piece = Bytes::copy_from_slice(&number.to_le_bytes());
        sent.extend_from_slice(&piece);
        arriving.push(piece);
    }
    arriving.end(true);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), sent);
    }
}
