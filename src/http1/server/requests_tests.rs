//! Runs the table of raw requests through a served connection, whole and in pieces.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    super::cases::{check_table, read, unescape},
    world::{World, run},
};

/// What the service saw of `raw`, sent in pieces that end at `cuts`.
fn outcome(raw: &[u8], cuts: &[usize]) -> Vec<String> {
    run(async {
        let mut world = World::new();
        let (mut reader, mut writer) = tokio::io::split(world.client);
        let raw = raw.to_vec();
        let cuts = cuts.to_vec();
        let writing = tokio::task::spawn_local(async move {
            let mut from = 0;
            for cut in cuts.into_iter().chain([raw.len()]) {
                if writer.write_all(&raw[from..cut]).await.is_err() {
                    return;
                }
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
                from = cut;
            }
            let _ = writer.shutdown().await;
        });
        let mut answers = Vec::new();
        let _ = reader.read_to_end(&mut answers).await;
        writing.await.unwrap();
        (&mut world.server).await.unwrap();
        world.seen.lines.borrow().clone()
    })
}

#[test]
fn every_raw_request_has_one_reading() {
    check_table("requests.toml", 290, |case| outcome(&unescape(&case.raw), &[]));
}

#[test]
fn every_raw_request_reads_the_same_byte_by_byte() {
    for case in read("requests.toml") {
        let raw = unescape(&case.raw);
        if raw.len() < 700 {
            let cuts: Vec<_> = (1..raw.len()).collect();
            assert_eq!(outcome(&raw, &cuts), outcome(&raw, &[]), "{}", case.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_request_reads_the_same_however_it_is_cut(which in 0..285_usize, at in proptest::collection::vec(any::<proptest::sample::Index>(), 1..6)) {
        let raw = unescape(&read("requests.toml")[which].raw);
        let mut cuts: Vec<_> = at.iter().map(|at| at.index(raw.len().max(1))).collect();
        cuts.sort_unstable();
        prop_assert_eq!(outcome(&raw, &cuts), outcome(&raw, &[]));
    }
}
