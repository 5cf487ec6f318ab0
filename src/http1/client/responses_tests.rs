//! Runs the table of backend answers through a client's connection, whole and in pieces.

use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::cases::{Case, check_table, read as read_table, unescape},
    world::{Notes, Pool, TIMEOUTS, head, pair, read, run},
};
use crate::{
    body::Body,
    wire::{SendCause, Upgrade},
};

/// What became of `raw` as the answer to `case.request`, sent in pieces of `step` bytes.
fn outcome(case: &Case, step: usize) -> Vec<String> {
    run(async {
        let (connection, far) = pair(64 * 1024);
        let pool = Rc::new(Pool::default());
        let raw = unescape(&case.raw);
        let (mut reader, mut writer) = tokio::io::split(far);
        let listening = tokio::task::spawn_local(async move {
            let mut heard = Vec::new();
            let _ = reader.read_to_end(&mut heard).await;
        });
        let answering = tokio::task::spawn_local(async move {
            for piece in raw.chunks(step) {
                if writer.write_all(piece).await.is_err() {
                    return;
                }
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
            }
            let _ = writer.shutdown().await;
        });
        let method = case.request.as_deref().unwrap_or("GET");
        let (method, upgrade) = method
            .split_once(' ')
            .map_or((method, None), |(m, u)| (m, Some(u)));
        let mut head = head(method, &[]);
        if let Some(upgrade) = upgrade {
            head.upgrade = Some(Upgrade::Http1(upgrade.to_owned()));
        }
        let mut notes = Notes::default();
        let home: Rc<dyn super::Home> = Rc::<Pool>::clone(&pool);
        let sent = connection
            .send(&head, Body::Empty, &mut notes, TIMEOUTS, home)
            .await;
        let mut seen = notes.0;
        seen.push(match sent {
            Ok(response) => {
                let body = response.body;
                assert!(!response.headers.contains_key("transfer-encoding"));
                let tunnel = matches!(body, Body::Tunnel(_));
                let body = read(body).await;
                let kept = if pool.0.borrow().is_empty() {
                    "closed"
                } else {
                    "kept"
                };
                let kept = if tunnel { "tunnel" } else { kept };
                format!("{} {kept} {body}", response.status.as_u16())
            }
            Err(error) => match error.cause {
                SendCause::Malformed(what) => format!("malformed {what}"),
                SendCause::HeadTooLarge => "head-too-large".to_owned(),
                SendCause::Closed(_) => "closed".to_owned(),
                other => other.to_string(),
            },
        });
        pool.0.borrow_mut().clear();
        answering.abort();
        listening.abort();
        seen
    })
}

#[test]
fn every_answer_has_one_reading() {
    check_table("responses.toml", 103, |case| outcome(case, 64 * 1024));
}

#[test]
fn every_answer_reads_the_same_byte_by_byte() {
    for case in read_table("responses.toml") {
        if case.raw.len() < 700 {
            // a byte behind the end that has not come yet is found when the connection is taken from the pool
            let reading = |step| outcome(&case, step).concat().replace(" kept ", " closed ");
            assert_eq!(reading(1), reading(64 * 1024), "{}", case.name);
        }
    }
}
