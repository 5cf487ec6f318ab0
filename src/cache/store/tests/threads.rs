//! Many threads at once: nobody reads what belongs to another key, a purge is seen by all, and the books balance.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use super::{answer, key, text};
use crate::cache::store::{How, Store, StoreSettings, What};

const ADDRESSES: u64 = 200;
const TURNS: u64 = 4_000;

fn address(number: u64) -> String {
    format!("a.example/{}", number % ADDRESSES)
}

#[test]
fn threads_keep_look_drop_and_purge_and_the_books_balance() {
    let settings = StoreSettings {
        memory: 120 * 1024, // half of the addresses find room
        large: 0,
        ..StoreSettings::default()
    };
    let store = Store::new(&settings);
    let found = AtomicU64::new(0);
    let work = |seed: u64| {
        let reader = store.reader();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for turn in 0..TURNS {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let address = address(state >> 8);
            let key = key(&address);
            match state % 16 {
                0 => store.drop_all(key.hash),
                1 => store.purge(
                    &What::Url {
                        host: None,
                        target: key.target,
                    },
                    How::Soft,
                ),
                2 if turn % 7 == 0 => store.purge(
                    &What::Url {
                        host: None,
                        target: key.target,
                    },
                    How::Hard,
                ),
                3..=7 => drop(store.keep(&key, answer(&store, &address))),
                8 if turn % 50 == 0 => drop(store.free_purged()),
                9 if turn % 50 == 0 => reader.sweep(),
                _ => {
                    for variant in reader.look(key.hash).iter().flat_map(|found| found.variants()) {
                        assert_eq!(text(variant.entry), address);
                        assert_eq!(variant.entry.target(), key.target);
                        found.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for seed in 1..=8 {
            scope.spawn(move || work(seed));
        }
    });
    assert!(found.load(Ordering::Relaxed) > TURNS / 10);
    let stats = store.stats();
    let here: Vec<_> = (0..ADDRESSES)
        .flat_map(|number| store.find(None, key(&address(number)).target, 10))
        .collect();
    assert_eq!(stats.entries, here.len() as u64);
    assert_eq!(
        stats.small,
        here.iter().map(|(entry, _)| entry.size()).sum::<u64>()
    );
    assert!(
        stats.small <= stats.small_max && stats.evicted_small > 0,
        "{stats:?}"
    );
    for number in 0..ADDRESSES {
        store.drop_all(key(&address(number)).hash);
    }
    assert_eq!((store.stats().entries, store.stats().small), (0, 0));
}

#[test]
fn no_look_that_begins_after_a_purge_finds_what_was_there_before() {
    let store = Store::new(&StoreSettings::default());
    let key = key("a.example/price");
    // the price that the backend has, and the one from which on everyone may count on it
    let (price, told) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let reader = store.reader();
                while !over.load(Ordering::Relaxed) {
                    let least = told.load(Ordering::SeqCst);
                    let shown = reader.look(key.hash).and_then(|found| {
                        found
                            .variants()
                            .next()
                            .map(|variant| text(variant.entry).parse::<u64>().unwrap())
                    });
                    match shown {
                        Some(shown) => assert!(shown >= least, "{shown} was purged before {least} was told"),
                        None => {
                            let mut new = answer(&store, ""); // takes the stamp, then asks
                            let asked = price.load(Ordering::SeqCst).to_string();
                            new.body = answer(&store, &asked).body;
                            drop(store.keep(&key, new));
                        }
                    }
                }
            });
        }
        for turn in 1..=3_000_u64 {
            price.store(turn, Ordering::SeqCst);
            store.purge(&What::Host("a.example"), How::Hard);
            told.store(turn, Ordering::SeqCst);
            if turn % 64 == 0 {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}
