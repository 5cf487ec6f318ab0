//! What a client sees of the server over time: order, interim answers, limits, endings.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{World, run, small_limits};
use crate::{limits::Limits, wire::Phase};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[track_caller]
fn check_contains(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let mut world = World::new();
        world
            .say(&[get("/slow"), get("/ignore"), get("/a")].concat())
            .await;
        let heard = world.hear_until("noted").await;
        let places: Vec<_> = ["slow", "ignored", "noted"]
            .iter()
            .map(|part| heard.find(part).unwrap())
            .collect();
        assert!(places.is_sorted(), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1 200 OK\r\n").count(), 3);
    });
}

#[test]
fn an_answer_has_length_and_date() {
    run(async {
        let mut world = World::new();
        world.say(GET).await;
        let heard = world.hear_until("noted").await;
        check_contains(&heard, "\r\ncontent-length: 5\r\n");
        check_contains(&heard, "\r\ndate: ");
        assert!(!heard.contains("connection:"), "{heard}");
    });
}

#[test]
fn head_and_small_body_leave_in_one_write() {
    run(async {
        let mut world = World::new();
        world.say(GET).await;
        let mut piece = [0; 4096];
        let count = world.client.read(&mut piece).await.unwrap();
        assert!(piece[..count].ends_with(b"noted"));
    });
}

#[test]
fn continue_is_said_when_the_body_is_read() {
    run(async {
        let mut world = World::new();
        world
            .say("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await;
        let heard = world.hear_until("\r\n\r\n").await;
        assert_eq!(heard, "HTTP/1.1 100 Continue\r\n\r\n");
        world.say("hello").await;
        let heard = world.hear_until("noted").await;
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
        assert_eq!(world.lines(), ["POST /a 1.1 a body=5:hello"]);
    });
}

#[test]
fn continue_is_not_said_when_nobody_reads_and_the_connection_closes() {
    run(async {
        let mut world = World::new();
        world
            .say("POST /ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .await;
        let heard = world.hear_all().await;
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
        check_contains(&heard, "connection: close\r\n");
    });
}

#[test]
fn early_hints_arrive_before_the_answer() {
    run(async {
        let mut world = World::new();
        world.say(&get("/hints")).await;
        let heard = world.hear_until("\r\n\r\n").await;
        assert_eq!(heard, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        check_contains(&world.hear_until("late").await, "HTTP/1.1 200 OK");
    });
}

#[test]
fn http_1_0_gets_no_interim_answer_and_no_chunks() {
    run(async {
        let mut world = World::new();
        world.say("GET /hints HTTP/1.0\r\nHost: a\r\n\r\n").await;
        assert!(world.hear_all().await.starts_with("HTTP/1.1 200"));
        let mut world = World::new();
        world
            .say("GET /bytes?10 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let heard = world.hear_all().await;
        assert!(heard.ends_with("\r\n\r\nxxxxxxxxxx"), "{heard}");
        check_contains(&heard, "connection: close\r\n");
    });
}

#[test]
fn http_1_0_is_kept_alive_when_it_asks() {
    run(async {
        let mut world = World::new();
        world
            .say("GET /ignore HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            .await;
        check_contains(&world.hear_until("ignored").await, "connection: keep-alive\r\n");
        world.say(GET).await;
        world.hear_until("noted").await;
    });
}

#[test]
fn chunks_and_trailers_reach_a_client_that_takes_them() {
    run(async {
        let mut world = World::new();
        world
            .say("GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n")
            .await;
        let heard = world.hear_until("x-sum: 1\r\n\r\n").await;
        check_contains(&heard, "transfer-encoding: chunked\r\n");
        assert!(
            heard.ends_with("\r\n\r\n4\r\ndata\r\n0\r\nx-sum: 1\r\n\r\n"),
            "{heard}"
        );
        world.say(&get("/trailers")).await;
        assert!(
            world
                .hear_until("0\r\n\r\n")
                .await
                .ends_with("4\r\ndata\r\n0\r\n\r\n")
        );
    });
}

#[test]
fn answers_without_a_body_have_none() {
    run(async {
        let mut world = World::new();
        world.say("HEAD /ignore HTTP/1.1\r\nHost: a\r\n\r\n").await;
        world.say(&get("/204")).await;
        world.say(&get("/304")).await;
        world.say(GET).await;
        let heard = world.hear_until("noted").await;
        let heads: Vec<_> = heard.split("HTTP/1.1 ").skip(1).collect();
        assert_eq!(heads.len(), 4, "{heard}");
        assert!(
            heads[..3].iter().all(|head| head.ends_with("\r\n\r\n")),
            "{heard}"
        );
        assert!(!heads[1].contains("content-length"), "{heard}");
        check_contains(heads[2], "content-length: 5");
    });
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    run(async {
        let mut world = World::new();
        world.say(&get("/broken")).await;
        let heard = world.hear_all().await;
        assert!(heard.ends_with("4\r\npart\r\n"), "{heard}");
        let mut world = World::new();
        world.say(&[get("/short"), get("/")].concat()).await;
        let heard = world.hear_all().await;
        assert!(heard.ends_with("short"), "{heard}");
        assert!(world.lines().is_empty());
    });
}

#[test]
fn an_unread_small_body_is_skipped_and_the_connection_goes_on() {
    run(async {
        let mut world = World::new();
        world
            .say("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        world.say(GET).await;
        world.hear_until("noted").await;
        assert_eq!(world.lines(), ["GET / 1.1 a"]);
    });
}

#[test]
fn an_unread_large_body_closes_after_the_answer() {
    run(async {
        let mut world = World::new();
        world
            .say("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello")
            .await;
        let heard = world.hear_all().await;
        check_contains(&heard, "connection: close\r\n");
        assert!(heard.ends_with("ignored"), "{heard}");
    });
}

#[test]
fn a_slow_head_gets_408() {
    run(async {
        let mut world = World::new();
        let began = crate::http1::timer::now();
        world.say("GET / HTT").await;
        check_contains(&world.hear_all().await, "HTTP/1.1 408 ");
        assert_eq!(world.lines(), ["408 head-timeout"]);
        assert_eq!(began.elapsed().as_secs(), small_limits().head_timeout.as_secs());
    });
}

#[test]
fn a_trickled_head_gets_408_too() {
    run(async {
        let mut world = World::new();
        world.say("GET / HTTP/1.1\r\n").await;
        let (mut reader, mut writer) = tokio::io::split(world.client);
        let trickle = tokio::task::spawn_local(async move {
            while writer.write_all(b"X: y\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let mut heard = String::new();
        reader.read_to_string(&mut heard).await.unwrap();
        check_contains(&heard, "HTTP/1.1 408 ");
        trickle.await.unwrap();
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    run(async {
        let mut world = World::new();
        assert_eq!(world.hear_all().await, "");
        let mut world = World::new();
        world.say(GET).await;
        world.hear_until("noted").await;
        let began = crate::http1::timer::now();
        assert_eq!(world.hear_all().await, "");
        assert_eq!(began.elapsed().as_secs(), small_limits().idle_timeout.as_secs());
    });
}

#[test]
fn a_stalled_body_gets_408() {
    run(async {
        let mut world = World::new();
        world
            .say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
            .await;
        let began = crate::http1::timer::now();
        let heard = world.hear_all().await;
        check_contains(&heard, "HTTP/1.1 408 ");
        check_contains(&heard, "connection: close\r\n");
        assert_eq!(began.elapsed(), small_limits().body_timeout);
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    run(async {
        let mut world = World::with(small_limits(), 1024);
        world.say(&get("/bytes?1000000")).await;
        let began = crate::http1::timer::now();
        (&mut world.server).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), small_limits().write_timeout.as_secs());
    });
}

#[test]
fn the_last_request_of_a_connection_closes_it() {
    run(async {
        let limits = Limits {
            requests_per_connection_max: 2,
            ..small_limits()
        };
        let mut world = World::with(limits, 64 * 1024);
        world.say(&[GET, GET, GET].concat()).await;
        let heard = world.hear_all().await;
        assert_eq!(heard.matches("HTTP/1.1 200").count(), 2, "{heard}");
        assert_eq!(heard.matches("connection: close").count(), 1, "{heard}");
    });
}

#[test]
fn draining_closes_connections_that_stay_idle() {
    run(async {
        let mut world = World::new();
        world.say(GET).await;
        world.hear_until("noted").await;
        world.phase.send(Phase::Draining).unwrap();
        let began = crate::http1::timer::now();
        assert_eq!(world.hear_all().await, "");
        assert_eq!(began.elapsed(), crate::wire::LAST_REQUEST_GRACE);
    });
}

#[test]
fn a_request_that_meets_a_drain_on_its_way_is_answered() {
    run(async {
        let mut world = World::new();
        world.say(GET).await;
        world.hear_until("noted").await;
        world.phase.send(Phase::Draining).unwrap();
        tokio::task::yield_now().await;
        world.say(GET).await;
        let heard = world.hear_all().await;
        check_contains(&heard, "HTTP/1.1 200");
        check_contains(&heard, "connection: close\r\n");
    });
}

#[test]
fn draining_lets_an_exchange_end_and_says_close() {
    run(async {
        let mut world = World::new();
        world.say(&get("/slow")).await;
        tokio::task::yield_now().await;
        world.phase.send(Phase::Draining).unwrap();
        let heard = world.hear_all().await;
        assert!(heard.ends_with("slow"), "{heard}");
        check_contains(&heard, "connection: close\r\n");
    });
}

#[test]
fn stopping_drops_what_is_under_way() {
    run(async {
        let mut world = World::new();
        world.say(&get("/hang")).await;
        tokio::task::yield_now().await;
        world.phase.send(Phase::Stopped).unwrap();
        assert_eq!(world.hear_all().await, "");
        assert_eq!(world.seen.cancelled.get(), 1);
    });
}

#[test]
fn a_large_answer_streams_in_constant_memory() {
    run(async {
        let mut world = World::new();
        world.say(&get("/bytes?67108864")).await;
        let head = world.hear_until("\r\n\r\n").await;
        check_contains(&head, "chunked");
        let mut piece = vec![0; 64 * 1024];
        let mut total = 0;
        while total < 64 * 1024 * 1024 {
            total += world.client.read(&mut piece).await.unwrap();
        }
    });
}

#[test]
fn an_upload_comes_back_while_it_is_still_sent() {
    run(async {
        let world = World::new();
        let (mut reader, mut writer) = tokio::io::split(world.client);
        writer
            .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n")
            .await
            .unwrap();
        let all = 64 * 1024 * 1024;
        let (mut sent, mut heard) = (0, 0);
        let piece = vec![b'u'; 16 * 1024];
        let mut back = vec![0; 64 * 1024];
        while sent < all {
            let next = &piece[..piece.len().min(all - sent)];
            tokio::select! {
                biased;
                count = reader.read(&mut back) => heard += count.unwrap(),
                count = writer.write(next) => sent += count.unwrap(),
            }
            assert!(
                sent.saturating_sub(heard) < 512 * 1024,
                "{sent} sent, {heard} heard"
            );
        }
        while heard < all {
            let count = reader.read(&mut back).await.unwrap();
            assert!(count > 0, "ended after {heard}");
            heard += count;
        }
    });
}

#[test]
fn a_body_that_nobody_reads_stays_with_the_client() {
    run(async {
        let mut world = World::with(small_limits(), 1024);
        world
            .say("POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
            .await;
        let mut sent = 0;
        let piece = [0; 1024];
        while let Ok(count) =
            tokio::time::timeout(Duration::from_millis(10), world.client.write(&piece)).await
        {
            sent += count.unwrap();
        }
        assert!(
            sent <= small_limits().head_bytes_max + 16 * 1024 + 1024,
            "{sent} bytes were taken"
        );
    });
}
