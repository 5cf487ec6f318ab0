//! Seconds become minutes and points, and nothing grows beyond its bound.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::observe::metrics::{Label, Tally};

fn name(text: &str) -> Arc<str> {
    Arc::from(text)
}

/// A core's numbers after `new` decisions for new, and `failed` of `asked` requests failed.
fn totals(new: i64, asked: i64, failed: i64) -> Totals {
    let mut tally = Tally::new();
    let (flag, variant, backend) = (name("cart"), name("new"), name("shop"));
    let labels = [Label::Name(&flag), Label::Name(&variant), Label::Word("SPLIT")];
    tally.add(Family::FlagDecisions, &labels, new);
    for (class, count) in [("2xx", asked - failed), ("5xx", failed)] {
        tally.add(
            Family::BackendAnswers,
            &[Label::Name(&backend), Label::Word(class)],
            count,
        );
    }
    for server in ["a", "b"] {
        let labels = [Label::Name(&backend), Label::Name(&name(server))];
        tally.observe(Family::BackendRequestDuration, &labels, Duration::from_millis(60));
    }
    tally.snapshot().totals()
}

fn book() -> (Book, Arc<Snapshot>) {
    let at = crate::control::admin::site_for_tests().live.current();
    (Book::new(totals(10, 20, 0), Arc::clone(&at)), at)
}

#[test]
fn a_second_is_what_came_since_the_last_look() {
    let (mut book, at) = book();
    let figures = book.turn(totals(13, 24, 2), at, UnixTime::from_secs(1));
    let second = &figures.second.what;
    assert_eq!(second.variants_of("cart"), [(name("new"), 3)].into());
    let health = second.backends[&name("shop")];
    assert_eq!((health.requests, health.failed, health.times.count()), (4, 2, 0));
    assert_eq!(figures.changed, Changed::None);
    assert!(second.variants_of("car").is_empty() && second.variants_of("cart2").is_empty());
}

#[test]
fn numbers_that_began_anew_count_nothing_backwards() {
    let (mut book, at) = book();
    let figures = book.turn(totals(1, 2, 0), at, UnixTime::from_secs(1));
    assert_eq!(*figures.second.what, Tallied::default());
}

#[test]
fn a_minute_is_sixty_seconds_and_points_end() {
    let (mut book, at) = book();
    let mut figures = Figures::default();
    let turns = (BEATS_KEPT_MAX + POINT_BEATS * POINTS_KEPT_MAX) as i64;
    for turn in 1..=turns {
        figures = book.turn(
            totals(10 + turn, 20, 0),
            Arc::clone(&at),
            UnixTime::from_secs(turn as u64),
        );
        assert_eq!(figures.point, turn % POINT_BEATS as i64 == 0);
    }
    assert_eq!(figures.minute_seconds, BEATS_KEPT_MAX);
    assert_eq!(figures.minute.variants_of("cart")[&name("new")], 60);
    assert_eq!(figures.points.len(), POINTS_KEPT_MAX);
    assert!(
        figures
            .points
            .iter()
            .all(|point| point.what.variants_of("cart")[&name("new")] == POINT_BEATS as u64)
    );
}

#[test]
fn more_series_than_fit_are_left_out_and_said_to_be() {
    let mut totals = Totals::default();
    for at in 0..=SERIES_MAX {
        totals.add(
            Series::new(Family::FlagDecisions, &[&format!("f{at}"), "new", "SPLIT"]),
            1,
        );
    }
    let tallied = Tallied::between(&Totals::default(), &totals);
    assert_eq!(tallied.decisions.len(), SERIES_MAX);
    assert!(tallied.left_out);
}

#[test]
fn changed_flags_are_named_unless_they_are_too_many() {
    let of = |count: usize| {
        let mut diff = Diff::default();
        diff.flags.changed = (0..count).map(|at| at.to_string()).collect();
        Changed::of(diff)
    };
    assert_eq!(of(0), Changed::None);
    assert_eq!(of(1), Changed::Some(vec!["0".to_owned()]));
    assert_eq!(of(FLAGS_TOLD_MAX + 1), Changed::Many);
}
