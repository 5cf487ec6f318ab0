//! The disk tier: what comes back after a restart, and that nothing does which should not.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use tempfile::TempDir;

use super::{
    super::tests::{TIMES, key, store, text},
    DiskSettings, codec, file,
    folder::BadFolder,
};
use crate::{
    cache::store::{Chunks, How, Key, Labels, New, Store, StoreSettings, Terms, Times, What},
    clock,
    fields::Fields,
};

fn settings(folder: &Path) -> DiskSettings {
    DiskSettings {
        folder: folder.join("cache"),
        bytes: 1024 * 1024,
    }
}

fn until(what: &str, ready: impl Fn() -> bool) {
    let began = clock::steady();
    while !ready() {
        assert!(began.elapsed() < Duration::from_secs(20), "never came: {what}");
        std::thread::yield_now();
    }
}

/// A store whose disk is open.
fn open(folder: &Path) -> Arc<Store> {
    let store = store();
    store.open_disk(&settings(folder)).unwrap();
    until("the disk opens", || !store.disk_stats().unwrap().waiting);
    store
}

fn answer(store: &Store, body: &str, labels: Labels) -> New {
    let mut fields = Fields::new();
    fields.insert("content-type", "text/plain");
    fields.append("x-two", "a");
    fields.append("x-two", "b");
    let answered = clock::wall();
    New {
        status: StatusCode::OK,
        fields,
        body: Chunks::new(vec![Bytes::copy_from_slice(body.as_bytes())]),
        selected: [
            ("accept-language".into(), Some(b"de"[..].into())),
            ("x-none".into(), None),
        ]
        .into(),
        times: Times {
            asked: answered,
            answered,
            while_revalidate: Duration::from_secs(7),
            ..TIMES
        },
        terms: Terms {
            must_revalidate: true,
            ..Terms::default()
        },
        labels,
        stamp: store.stamp(),
    }
}

fn labels() -> Labels {
    Labels {
        route: Some("/x/*".into()),
        squad: Some("web".into()),
        flags: [("cart".into(), "new".into())].into_iter().collect(),
        groups: ["all".into()].into_iter().collect(),
        tags: ["red".into(), "blue".into()].into_iter().collect(),
    }
}

/// Keeps an answer, and waits until it is on disk.
fn kept(store: &Store, address: &str, body: &str) {
    let before = store.disk_stats().unwrap().writes;
    store.keep(&key(address), answer(store, body, labels())).unwrap();
    until("it is written", || store.disk_stats().unwrap().writes > before);
}

/// What comes back under an address, and whether it is purged softly.
fn recalled(store: &Arc<Store>, address: &str) -> Option<(String, bool)> {
    let hash = key(address).hash;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(store.recall(hash));
    let found = store.reader().look(hash)?;
    let variant = found.variants().next()?;
    Some((text(variant.entry), variant.purged))
}

fn answers(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder.join("cache")).unwrap();
    let paths = names.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "answer"))
        .collect()
}

fn whole(body: &str) -> Option<(String, bool)> {
    Some((body.to_owned(), false))
}

#[test]
fn what_was_kept_is_there_after_a_restart_as_it_was() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    kept(&store, "a.example/x", "first");
    kept(&store, "a.example/x", "second");
    kept(&store, "a.example/y", "other");
    let before = format!("{:?}", store.find(None, "/x", 9)[0].0);
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.disk_stats().unwrap().entries, 2);
    assert_eq!(store.stats().entries, 0, "memory is empty");
    assert_eq!(recalled(&store, "a.example/x"), whole("second"));
    assert_eq!(recalled(&store, "a.example/none"), None);
    let after = format!("{:?}", store.find(None, "/x", 9)[0].0);
    let stampless = |text: &str| text.split(", stamp").next().unwrap().to_owned();
    assert_eq!(stampless(&after), stampless(&before));
    assert_eq!(store.disk_stats().unwrap().reads, 1);
    store
        .keep(&key("a.example/y"), answer(&store, "newer", labels()))
        .unwrap();
    assert_eq!(
        recalled(&store, "a.example/y"),
        whole("newer"),
        "what memory has stays"
    );
}

#[test]
fn what_memory_let_go_of_comes_back() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    for number in 0..20 {
        kept(&store, &format!("a.example/{number}"), &number.to_string());
    }
    store.follow(&StoreSettings {
        memory: 0,
        large: 0,
        ..StoreSettings::default()
    });
    assert_eq!(store.stats().entries, 0);
    store.follow(&StoreSettings::default());
    for number in 0..20 {
        assert_eq!(
            recalled(&store, &format!("a.example/{number}")),
            whole(&number.to_string())
        );
    }
    assert_eq!(store.disk_stats().unwrap().errors, 0);
}

#[test]
fn a_file_of_which_one_bit_is_another_or_a_part_is_missing_is_no_answer() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    kept(&store, "a.example/x", "body");
    let path = answers(folder.path()).pop().unwrap();
    let good = fs::read(&path).unwrap();
    assert!(file::read(&Bytes::from(good.clone())).is_some());
    for at in 0..good.len() {
        assert!(
            file::read(&Bytes::copy_from_slice(&good[..at])).is_none(),
            "cut off at {at}"
        );
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(file::read(&Bytes::from(bad)).is_none(), "bit {bit} of byte {at}");
        }
    }
    let longer = [&good[..], b"x"].concat();
    assert!(file::read(&Bytes::from(longer)).is_none());
    drop(store);
    // the same through the store: the damaged one is counted and removed, and another's file under its name is none either
    let damaged = [&good[..good.len() - 1], b"X"].concat();
    fs::write(&path, damaged).unwrap();
    let store = open(folder.path());
    assert_eq!(recalled(&store, "a.example/x"), None);
    until("it is removed", || answers(folder.path()).is_empty());
    assert_eq!(store.disk_stats().unwrap().errors, 1);
    kept(&store, "a.example/y", "other's");
    drop(store);
    fs::rename(answers(folder.path()).pop().unwrap(), &path).unwrap();
    let store = open(folder.path());
    assert_eq!(recalled(&store, "a.example/x"), None);
}

#[test]
fn purges_hold_after_a_restart_each_for_what_it_names() {
    let flag = What::Variant {
        flag: "cart",
        variant: "new",
    };
    let host = Some("a.example");
    let url = |target| What::Url { host, target };
    let group = |host| What::Group { host, name: "all" };
    let cases = [
        (url("/x"), true),
        (url("/y"), false),
        (
            What::Url {
                host: None,
                target: "/x",
            },
            true,
        ),
        (What::Prefix { host, prefix: "/" }, true),
        (
            What::Prefix {
                host: None,
                prefix: "/y",
            },
            false,
        ),
        (What::Tag("blue"), true),
        (What::Tag("green"), false),
        (group("a.example"), true),
        (group("b.example"), false),
        (What::Route("/x/*"), true),
        (What::Squad("web"), true),
        (What::Squad("shop"), false),
        (What::Flag("cart"), true),
        (flag, true),
        (What::Host("a.example"), true),
        (What::All, true),
    ];
    for (what, goes) in cases {
        for (how, squad) in [
            (How::Hard, None),
            (How::Soft, None),
            (How::Hard, Some("web")),
            (How::Hard, Some("shop")),
        ] {
            let folder = TempDir::new().unwrap();
            let store = open(folder.path());
            kept(&store, "a.example/x", "x");
            match squad {
                None => store.purge(&what, how),
                Some(squad) => store.purge_of(squad, &what, how),
            }
            store.purges_written_blocking();
            let other = matches!(
                what,
                What::Flag(_) | What::Variant { .. } | What::Route(_) | What::Squad(_)
            );
            if other && squad.is_some() {
                continue; // those are nobody's part
            }
            let goes = goes && squad != Some("shop");
            let wanted = match (goes, how) {
                (false, _) => whole("x"),
                (true, How::Soft) => Some(("x".to_owned(), true)),
                (true, How::Hard) => None,
            };
            drop(store);
            for restart in 0..2 {
                let store = open(folder.path());
                assert_eq!(
                    recalled(&store, "a.example/x"),
                    wanted,
                    "{what:?} {how:?} {squad:?} {restart}"
                );
            }
        }
    }
}

#[test]
fn a_purge_that_comes_before_the_disk_is_open_or_read_counts_for_what_lies_there() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path());
    kept(&first, "a.example/x", "x");
    kept(&first, "a.example/y", "y");
    let second = store();
    second.open_disk(&settings(folder.path())).unwrap();
    assert!(second.disk_stats().unwrap().waiting, "the first has the folder");
    second.purge(&What::Tag("red"), How::Soft);
    assert_eq!(recalled(&second, "a.example/x"), None);
    drop(first);
    until("the second has it", || !second.disk_stats().unwrap().waiting);
    assert_eq!(recalled(&second, "a.example/x"), Some(("x".to_owned(), true)));
    second.purge(
        &What::Url {
            host: None,
            target: "/y",
        },
        How::Hard,
    );
    assert_eq!(recalled(&second, "a.example/y"), None);
    second.purges_written_blocking();
    drop(second);
    let third = open(folder.path());
    assert_eq!(recalled(&third, "a.example/x"), Some(("x".to_owned(), true)));
    assert_eq!(recalled(&third, "a.example/y"), None);
}

#[test]
fn where_the_journal_is_not_whole_nothing_is_trusted() {
    type Damage = (&'static str, fn(&Path));
    let damage: [Damage; 6] = [
        ("no journal", |cache| fs::remove_file(journal(cache)).unwrap()),
        ("no clock", |cache| {
            fs::remove_file(cache.join("purges.clock")).unwrap()
        }),
        ("a record is missing", |cache| {
            let bytes = fs::read(journal(cache)).unwrap();
            let mut rest = codec::In(&bytes);
            rest.bytes().unwrap();
            let first = bytes.len() - rest.0.len();
            fs::write(journal(cache), &bytes[..first]).unwrap();
        }),
        ("it is cut off", |cache| {
            let bytes = fs::read(journal(cache)).unwrap();
            fs::write(journal(cache), &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("a bit is another", |cache| {
            let mut bytes = fs::read(journal(cache)).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(journal(cache), bytes).unwrap();
        }),
        ("another program wrote it", |cache| {
            fs::write(cache.join("format"), "banyan 0.0.0 1\n").unwrap()
        }),
    ];
    for (what, damage) in damage {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path());
        kept(&store, "a.example/x", "x");
        store.purge(&What::Tag("green"), How::Hard);
        store.purge(&What::Tag("grey"), How::Hard);
        store.purges_written_blocking();
        drop(store);
        let again = open(folder.path());
        assert_eq!(recalled(&again, "a.example/x"), whole("x"), "before: {what}");
        drop(again);
        fs::write(folder.path().join("cache/mine.txt"), "not Banyan's").unwrap();
        damage(&folder.path().join("cache"));
        let again = open(folder.path());
        assert_eq!(recalled(&again, "a.example/x"), None, "{what}");
        assert!(answers(folder.path()).is_empty(), "{what}");
        assert!(
            folder.path().join("cache/mine.txt").exists(),
            "what is not Banyan's stays"
        );
        kept(&again, "a.example/x", "new");
        drop(again);
        assert_eq!(
            recalled(&open(folder.path()), "a.example/x"),
            whole("new"),
            "{what}"
        );
    }
}

fn journal(cache: &Path) -> PathBuf {
    let names = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    let mut journals =
        names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("purges-"));
    journals.next().unwrap()
}

#[test]
fn what_may_be_one_visitors_own_or_is_soon_over_never_lies_there() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let plain = || answer(&store, "own", Labels::default());
    let mut cookie = plain();
    cookie.fields.insert("set-cookie", "a=1");
    let mut keyed = plain();
    keyed.terms.memory_only = true;
    let mut varies = plain();
    varies.selected = [("cookie".into(), None)].into();
    let mut short = plain();
    short.times.lifetime = Duration::from_secs(3);
    short.times.while_revalidate = Duration::ZERO;
    for (number, new) in [cookie, keyed, varies, short].into_iter().enumerate() {
        store.keep(&key(&format!("a.example/{number}")), new).unwrap();
    }
    kept(&store, "a.example/last", "all's");
    assert_eq!(
        answers(folder.path()).len(),
        1,
        "they were before it in the queue"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("cache")), 0o700);
    for entry in fs::read_dir(folder.path().join("cache")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
}

#[test]
fn bytes_are_bounded_and_who_is_asked_for_stays() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let body = "x".repeat(30_000);
    kept(&store, "a.example/used", &body);
    drop(store);
    let store = open(folder.path());
    assert!(recalled(&store, "a.example/used").is_some());
    for number in 0..40 {
        kept(&store, &format!("a.example/{number}"), &body);
    }
    until("the bound holds", || {
        store.disk_stats().unwrap().bytes <= 1024 * 1024
    });
    let stats = store.disk_stats().unwrap();
    assert!((20..40).contains(&stats.entries), "{stats:?}");
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.disk_stats().unwrap().entries, stats.entries);
    assert!(recalled(&store, "a.example/used").is_some());
    assert!(recalled(&store, "a.example/0").is_none());
    assert!(recalled(&store, "a.example/39").is_some());
}

#[test]
fn what_can_not_be_written_is_counted_and_costs_nothing_else() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let hash = key("a.example/x").hash;
    let draft = folder.path().join(format!("cache/{:032x}.draft", hash.0));
    fs::create_dir(&draft).unwrap(); // who opens it for writing fails
    store
        .keep(&key("a.example/x"), answer(&store, "x", labels()))
        .unwrap();
    until("it is counted", || store.disk_stats().unwrap().errors == 1);
    assert_eq!(recalled(&store, "a.example/x"), whole("x"));
    kept(&store, "a.example/y", "y");
    fs::remove_dir(&draft).unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(
        (recalled(&store, "a.example/x"), recalled(&store, "a.example/y")),
        (None, whole("y"))
    );
}

#[test]
fn a_folder_that_others_may_read_or_that_is_none_is_refused() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    let refused = store().open_disk(&settings(folder.path()));
    assert!(matches!(refused, Err(BadFolder::Open(0o755))), "{refused:?}");
    fs::remove_dir(&cache).unwrap();
    fs::write(&cache, "").unwrap();
    let refused = store().open_disk(&settings(folder.path()));
    assert!(matches!(refused, Err(BadFolder::NotOne)), "{refused:?}");
}

#[test]
fn an_answer_from_the_future_is_none() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let mut new = answer(&store, "x", labels());
    new.times.answered.millis += 3_600_000;
    let key: Key<'_> = key("a.example/x");
    store.keep(&key, new).unwrap();
    until("it is written", || store.disk_stats().unwrap().writes == 1);
    drop(store);
    assert_eq!(recalled(&open(folder.path()), "a.example/x"), None);
}
