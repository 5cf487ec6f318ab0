//! What follows from changes, over a site that is compiled as a running one is.

use std::sync::Arc;

use http::StatusCode;

use super::*;
use crate::{
    cache::store::{Chunks, Key, KeyHash, Labels, New, Selected, StoreSettings, Terms, Times},
    config::{self, Sources},
    fields::Fields,
    snapshot::compile::{Means, compile},
    visitor::{SigningKey, VisitorSettings},
};

const ROUTES: &str = "squad = \"learn\"\n[backends.a]\nservers = [\"http://127.0.0.1:1\"]\n[backends.b]\nservers = [\"http://127.0.0.1:2\"]\n\
     [[routes]]\npath = \"/x\"\nflag = \"cart\"\nbackends = { old = \"a\", new = \"b\" }\n\
     [[routes]]\npath = \"/y\"\nbackend = \"a\"\n[[routes]]\npath = \"/z\"\nbackend = \"b\"\n";

const FLAG: &str = "variants = [\"old\", \"new\"]\ndefault = \"old\"\n[rollout]\nnew = 50\n";

fn site(operator: &str, routes: &str, flag: &str) -> (Settings, Snapshot) {
    let operator = format!("listen.admin = \"127.0.0.1:0\"\n{operator}");
    let mut sources = Sources::empty("/site")
        .with("banyan.toml", &operator)
        .with("routes/learn.toml", routes);
    if !flag.is_empty() {
        sources = sources.with("flags/cart.toml", flag);
    }
    let isolated = config::isolate(&sources, &Sources::empty("/site"), &|_| None);
    let settings = isolated
        .settings
        .unwrap_or_else(|| panic!("{:?}", isolated.problems));
    let visitors = VisitorSettings {
        keys: vec![SigningKey {
            id: "test".to_owned(),
            secret: vec![7; 32],
        }],
        ..VisitorSettings::default()
    };
    let means = Means {
        previous: None,
        visitors: &visitors,
        sessions: &[],
        tls: &|_| Err("no https here".to_owned()),
    };
    let snapshot = compile(&settings, 1, &means).unwrap();
    (settings, snapshot)
}

/// What is told of `/x`, which the flag leads, and of `/y` after the site became another: `None`: fresh.
fn after(operator: &str, routes: &str, flag: &str) -> [Option<How>; 2] {
    let (settings, before) = site("", ROUTES, FLAG);
    let cache = Cache::new(&settings);
    for (target, flags) in [("/x", true), ("/y", false)] {
        let key = Key {
            hash: KeyHash::of([target]),
            host: "a.example",
            target,
            rest: "",
        };
        let flags = flags.then(|| (Arc::from("cart"), Arc::from("new")));
        let time = UnixTime::default();
        let none = std::time::Duration::ZERO;
        let new = New {
            status: StatusCode::OK,
            fields: Fields::new(),
            body: Chunks::default(),
            selected: Selected::default(),
            times: Times {
                asked: time,
                answered: time,
                initial_age: none,
                lifetime: none,
                while_revalidate: none,
                if_error: none,
            },
            terms: Terms::default(),
            labels: Labels {
                route: Some(Arc::from(target)),
                squad: Some(Arc::from("learn")),
                flags: flags.into_iter().collect(),
                ..Labels::default()
            },
            stamp: cache.store().stamp(),
        };
        cache.store().keep(&key, new).unwrap();
    }
    let (settings, now) = site(operator, routes, flag);
    cache.follow(&settings, &before, &now, &Diff::between(&before, &now));
    ["/x", "/y"].map(|target| {
        let found = cache.store().find(None, target, 1);
        found.first().and_then(|(_, how)| *how)
    })
}

#[test]
fn what_a_flag_chose_goes_when_it_is_killed_or_has_another_epoch() {
    let flag = |more: &str| format!("{more}\n{FLAG}");
    let none = [None, None];
    assert_eq!(after("", ROUTES, FLAG), none);
    assert_eq!(after("", ROUTES, &flag("description = \"x\"")), none);
    assert_eq!(
        after("", ROUTES, &FLAG.replace("50", "75")),
        none,
        "each variant has its own key"
    );
    assert_eq!(
        after("", ROUTES, &flag("state = \"disabled\"")),
        [Some(How::Hard), None]
    );
    assert_eq!(after("", ROUTES, &flag("epoch = 2")), [Some(How::Hard), None]);
}

#[test]
fn a_route_that_is_another_is_stale() {
    let other = ROUTES.replace("path = \"/y\"\nbackend = \"a\"", "path = \"/y\"\nbackend = \"b\"");
    assert_eq!(after("", &other, FLAG), [None, Some(How::Soft)]);
    let gone = ROUTES.replace("path = \"/y\"", "path = \"/w\"");
    assert_eq!(after("", &gone, FLAG), [None, Some(How::Soft)]);
    let without = ROUTES.replace(
        "flag = \"cart\"\nbackends = { old = \"a\", new = \"b\" }",
        "backend = \"a\"",
    );
    assert_eq!(
        after("", &without, ""),
        [Some(How::Hard), None],
        "the flag is gone"
    );
}

#[test]
fn bounds_follow_a_change() {
    let (settings, before) = site("", ROUTES, FLAG);
    let cache = Cache::new(&settings);
    assert_eq!(cache.store().stats().small_max, StoreSettings::default().small());
    let (settings, now) = site("[cache]\nmemory = \"8MiB\"\nentry = \"1MiB\"\n", ROUTES, FLAG);
    cache.follow(&settings, &before, &now, &Diff::default());
    let stats = cache.store().stats();
    assert_eq!((stats.small_max, stats.large_max), (6 << 20, 2 << 20));
    assert_eq!(
        (cache.store().entry_max(), stats.collecting_max),
        (1 << 20, 2 << 20)
    );
}

#[test]
fn the_last_purges_are_remembered() {
    let (settings, _) = site("", ROUTES, FLAG);
    let cache = Cache::new(&settings);
    for number in 0..REMEMBERED + 5 {
        let tags: Vec<String> = (0..number).map(|tag| tag.to_string()).collect();
        let whats: Vec<What<'_>> = tags.iter().map(|tag| What::Tag(tag)).collect();
        cache.purge(&whats, How::Soft, &[], "mina", "x");
    }
    let recent = cache.recent();
    assert_eq!(recent.len(), REMEMBERED);
    assert_eq!(recent.first().unwrap().count, REMEMBERED + 4);
    assert_eq!(recent.first().unwrap().what.len(), NAMES_SHOWN_MAX);
}
