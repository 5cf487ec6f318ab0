//! The store as cores and the control plane use it.

mod bounds;
mod purges;
mod threads;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;

use super::{
    Chunks, Entry, Found, How, Key, KeyHash, Labels, New, Selected, Store, StoreSettings, Terms, Times,
};
use crate::{clock::UnixTime, fields::Fields};

pub(super) const TIMES: Times = Times {
    asked: UnixTime { millis: 1_000_000 },
    answered: UnixTime { millis: 1_000_200 },
    initial_age: Duration::from_secs(5),
    lifetime: Duration::from_secs(60),
    while_revalidate: Duration::ZERO,
    if_error: Duration::ZERO,
};

pub(super) fn store() -> Arc<Store> {
    Store::new(&StoreSettings::default())
}

/// `shop.example/a`: host and target.
pub(super) fn key(address: &str) -> Key<'_> {
    let (host, target) = address.split_at(address.find('/').unwrap());
    Key {
        hash: KeyHash::of([host, target]),
        host,
        target,
        rest: "",
    }
}

pub(super) fn answer(store: &Store, body: &str) -> New {
    let mut fields = Fields::new();
    fields.insert("content-type", "text/plain");
    New {
        status: StatusCode::OK,
        fields,
        body: Chunks::new(vec![Bytes::copy_from_slice(body.as_bytes())]),
        selected: Selected::default(),
        times: TIMES,
        terms: Terms::default(),
        labels: Labels::default(),
        stamp: store.stamp(),
    }
}

pub(super) fn labelled(store: &Store, labels: Labels) -> New {
    New {
        labels,
        ..answer(store, "labelled")
    }
}

pub(super) fn text(entry: &Entry) -> String {
    let bytes: Vec<u8> = entry.body().pieces().concat();
    String::from_utf8(bytes).unwrap()
}

pub(super) fn texts(found: impl IntoIterator<Item = Found>) -> Vec<(String, bool)> {
    let mut texts = Vec::new();
    for found in found {
        texts.extend(
            found
                .variants()
                .map(|variant| (text(variant.entry), variant.purged)),
        );
    }
    texts
}

#[test]
fn what_is_kept_is_found_on_every_core_until_another_takes_its_place() {
    let store = store();
    let (one, other) = (store.reader(), store.reader());
    let key = key("a.example/x");
    assert!(one.look(key.hash).is_none());
    store.keep(&key, answer(&store, "first")).unwrap();
    for _ in 0..2 {
        assert_eq!(texts(one.look(key.hash)), [("first".to_owned(), false)]);
        assert_eq!(texts(other.look(key.hash)), [("first".to_owned(), false)]);
    }
    let held = one.look(key.hash).unwrap();
    store.keep(&key, answer(&store, "second")).unwrap();
    for reader in [&one, &other] {
        assert_eq!(texts(reader.look(key.hash)), [("second".to_owned(), false)]);
    }
    assert_eq!(
        texts(Some(held)),
        [("first".to_owned(), false)],
        "who has it keeps it"
    );
    store.drop_all(key.hash);
    assert!(one.look(key.hash).is_none());
    assert!(other.look(key.hash).is_none());
    assert_eq!((store.stats().entries, store.stats().small), (0, 0));
    store.keep(&key, answer(&store, "third")).unwrap();
    assert_eq!(texts(one.look(key.hash)), [("third".to_owned(), false)]);
}

#[test]
fn variants_lie_side_by_side_newest_first() {
    let store = store();
    let (reader, key) = (store.reader(), key("a.example/x"));
    let variant = |language: &str, body: &str| New {
        selected: [("accept-language".into(), Some(language.as_bytes().into()))].into(),
        ..answer(&store, body)
    };
    store.keep(&key, variant("de", "Hallo")).unwrap();
    let english = store.keep(&key, variant("en", "Hello")).unwrap();
    store.keep(&key, variant("de", "Guten Tag")).unwrap();
    let both = ["Guten Tag", "Hello"].map(|text| (text.to_owned(), false));
    assert_eq!(texts(reader.look(key.hash)), both);
    store.drop_one(key.hash, &english);
    assert_eq!(texts(reader.look(key.hash)), [("Guten Tag".to_owned(), false)]);
    store.drop_one(key.hash, &english); // it is gone already
    assert_eq!(store.stats().entries, 1);
    for number in 0..2 * super::VARIANTS_MAX {
        store
            .keep(&key, variant(&number.to_string(), &number.to_string()))
            .unwrap();
    }
    let left = texts(reader.look(key.hash));
    assert_eq!(left.len(), super::VARIANTS_MAX);
    assert_eq!(left.first().unwrap().0, (2 * super::VARIANTS_MAX - 1).to_string());
    assert_eq!(store.stats().entries, super::VARIANTS_MAX as u64);
}

#[test]
fn a_refresh_shares_the_body() {
    let store = store();
    let (reader, key) = (store.reader(), key("a.example/x"));
    let old = store.keep(&key, answer(&store, "body")).unwrap();
    let mut fields = Fields::new();
    fields.insert("etag", "\"2\"");
    let later = Times {
        answered: UnixTime { millis: 9_000_000 },
        ..TIMES
    };
    let new = store
        .refresh(&key, &old, fields, later, Terms::default(), store.stamp())
        .unwrap();
    assert_eq!(old.body().pieces()[0].as_ptr(), new.body().pieces()[0].as_ptr());
    let found = reader.look(key.hash).unwrap();
    let only: Vec<_> = found.variants().collect();
    assert_eq!(only.len(), 1);
    assert!(Arc::ptr_eq(only[0].entry, &new));
    assert_eq!(new.fields().get("etag").unwrap(), "\"2\"");
    assert_eq!(
        new.times().age(UnixTime { millis: 9_010_000 }),
        Duration::from_secs(15)
    );
    assert!(new.times().is_fresh(UnixTime { millis: 9_054_000 }));
    assert!(!new.times().is_fresh(UnixTime { millis: 9_055_000 }));
}

#[test]
fn what_can_not_be_kept_is_remembered_for_a_while() {
    let store = store();
    let (key, other) = (key("a.example/x").hash, key("a.example/y").hash);
    let at = UnixTime::from_secs;
    assert!(!store.is_unstorable(key, at(0)));
    store.mark_unstorable(key, at(1_000));
    assert!(store.is_unstorable(key, at(999)));
    assert!(!store.is_unstorable(key, at(1_000)));
    assert!(!store.is_unstorable(other, at(999)));
}

#[tokio::test]
async fn bodies_are_sent_whole_and_in_part_without_a_copy() {
    let pieces = ["0123", "", "4567", "89"].map(|piece| Bytes::from_static(piece.as_bytes()));
    let chunks = Chunks::new(pieces.to_vec());
    assert_eq!(chunks.len(), 10);
    for from in 0..=11 {
        for to in 0..=12 {
            let mut body = chunks.range(from, to);
            let (begin, end) = (from.min(10) as usize, to.min(10) as usize);
            let wanted = "0123456789".get(begin..end).unwrap_or_default();
            assert_eq!(
                http_body::Body::size_hint(&body).exact(),
                Some(wanted.len() as u64)
            );
            let mut got = Vec::new();
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                let from_one = pieces
                    .iter()
                    .any(|own| own.as_ptr_range().contains(&piece.as_ptr()));
                assert!(from_one, "it lies where it lay");
                got.extend_from_slice(&piece);
            }
            assert_eq!(got, wanted.as_bytes(), "{from}..{to}");
        }
    }
    assert!(matches!(Chunks::default().body(), crate::body::Body::Empty));
    assert!(matches!(
        Chunks::new(vec![Bytes::from_static(b"a")]).body(),
        crate::body::Body::Full(_)
    ));
}

#[test]
fn what_was_purged_hard_is_freed_without_being_asked_for() {
    let store = store();
    let tagged = |tag: &str| {
        labelled(
            &store,
            Labels {
                tags: [tag.into()].into_iter().collect(),
                ..Labels::default()
            },
        )
    };
    store.keep(&key("a.example/x"), tagged("red")).unwrap();
    store.keep(&key("a.example/y"), tagged("blue")).unwrap();
    assert_eq!(store.free_purged(), 0);
    store.purge(&super::What::Tag("red"), How::Hard);
    assert_eq!((store.stats().entries, store.free_purged()), (2, 1));
    assert_eq!((store.stats().entries, store.free_purged()), (1, 0));
    assert_eq!(store.find(None, "/y", 10).len(), 1);
    assert_eq!(store.find(Some("b.example"), "/y", 10).len(), 0);
}
