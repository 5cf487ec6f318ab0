//! Each bound holds, and has its number.

use std::sync::Arc;

use bytes::Bytes;

use super::{answer, key, labelled, store};
use crate::cache::store::{
    Chunks, How, LABELS_MAX, LARGE_FROM, Labels, New, NotKept, Store, StoreSettings, What,
};

fn of_size(store: &Store, bytes: usize) -> New {
    New {
        body: Chunks::new(vec![Bytes::from(vec![0; bytes])]),
        ..answer(store, "")
    }
}

#[test]
fn memory_is_bounded_for_small_ones_and_for_large_ones() {
    let settings = StoreSettings {
        memory: 12 * 1024 * 1024,
        large: 8 * 1024 * 1024,
        entry: 3 * 1024 * 1024,
        ..StoreSettings::default()
    };
    let store = Store::new(&settings);
    let size = usize::try_from(LARGE_FROM).unwrap();
    for number in 0..200 {
        store
            .keep(
                &key(&format!("a.example/small/{number}")),
                of_size(&store, 40_000),
            )
            .unwrap();
    }
    let before = store.stats();
    for number in 0..20 {
        store
            .keep(
                &key(&format!("a.example/large/{number}")),
                of_size(&store, 2 * size),
            )
            .unwrap();
        let stats = store.stats();
        assert!(
            stats.small <= stats.small_max && stats.large <= stats.large_max,
            "{stats:?}"
        );
    }
    let stats = store.stats();
    assert_eq!(
        (stats.small_max, stats.large_max),
        (settings.small(), settings.large)
    );
    assert_eq!(stats.small, before.small, "large ones drive no small one out");
    assert_eq!(
        (stats.large, stats.evicted_large),
        (3 * stats.large / 3, 17),
        "{stats:?}"
    );
    assert_eq!(stats.entries, 220 - stats.evicted_small - stats.evicted_large);
    let refused = store.keep(&key("a.example/film"), of_size(&store, 4 * size));
    assert_eq!(refused.unwrap_err(), NotKept::Large);
    let smaller = StoreSettings {
        memory: 1024 * 1024,
        large: 0,
        ..settings
    };
    store.follow(&smaller);
    let stats = store.stats();
    assert_eq!((stats.large, stats.small_max), (0, 1024 * 1024));
    assert!(stats.small <= stats.small_max && stats.small > 0, "{stats:?}");
    let refused = store.keep(&key("a.example/film"), of_size(&store, 2 * size));
    assert_eq!(
        refused.unwrap_err(),
        NotKept::Large,
        "there is no memory for large ones"
    );
    assert_eq!(store.stats().refused_large, 2);
}

#[test]
fn what_goes_is_freed_at_once() {
    let settings = StoreSettings {
        memory: 100_000,
        large: 0,
        ..StoreSettings::default()
    };
    let store = Store::new(&settings);
    let reader = store.reader();
    let mut kept = Vec::new();
    for number in 0..100 {
        let address = format!("a.example/{number}");
        let entry = store.keep(&key(&address), of_size(&store, 8_000)).unwrap();
        drop(reader.look(key(&address).hash));
        kept.push(Arc::downgrade(&entry));
    }
    reader.sweep();
    let alive = kept.iter().filter(|entry| entry.strong_count() > 0).count() as u64;
    assert_eq!(alive, store.stats().entries);
    assert!((5..=11).contains(&alive), "{alive}");
}

#[test]
fn answers_under_way_are_bounded_together() {
    let settings = StoreSettings {
        collecting: 10_000,
        entry: 8_000,
        ..StoreSettings::default()
    };
    let store = Store::new(&settings);
    let mut one = store.collect().unwrap();
    for _ in 0..7 {
        one.push(&[7; 1_000]).unwrap();
    }
    assert_eq!((one.len(), store.stats().collecting), (7_000, 7_000));
    let mut other = store.collect().unwrap();
    other.push(&[8; 3_000]).unwrap();
    assert!(store.collect().is_none());
    assert_eq!(one.push(&[7; 1]), Err(NotKept::Full));
    drop(one);
    assert_eq!(store.stats().collecting, 3_000);
    assert_eq!(other.push(&[8; 5_001]), Err(NotKept::Large));
    let body = other.finish();
    assert_eq!((body.len(), store.stats().collecting), (3_000, 0));
    assert_eq!(store.stats().refused_full, 1);
}

#[test]
fn a_collected_body_is_what_was_pushed_in_few_pieces() {
    let store = store();
    let mut collecting = store.collect().unwrap();
    let mut whole = Vec::new();
    for number in 0..200_u32 {
        let piece = vec![number as u8; (number as usize * 37) % 3_000 + usize::from(number == 70) * 150_000];
        collecting.push(&piece).unwrap();
        whole.extend_from_slice(&piece);
    }
    let body = collecting.finish();
    assert_eq!(body.pieces().concat(), whole);
    assert_eq!(body.pieces().len(), whole.len().div_ceil(64 * 1024));
}

#[test]
fn who_could_not_be_purged_by_all_its_labels_is_not_kept() {
    let store = store();
    let tags = |count: usize| Labels {
        tags: (0..count).map(|number| number.to_string().into()).collect(),
        ..Labels::default()
    };
    assert!(
        store
            .keep(&key("a.example/x"), labelled(&store, tags(LABELS_MAX)))
            .is_ok()
    );
    let more = store.keep(&key("a.example/x"), labelled(&store, tags(LABELS_MAX + 1)));
    assert_eq!(more.unwrap_err(), NotKept::Labels);
    assert_eq!(store.stats().refused_labels, 1);
    store.purge(&What::Tag(&(LABELS_MAX - 1).to_string()), How::Hard);
    assert!(
        store
            .reader()
            .look(key("a.example/x").hash)
            .unwrap()
            .variants()
            .next()
            .is_none()
    );
}
