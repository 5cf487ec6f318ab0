//! Laws of schedules and splits: only the moment counts, and between two points shares go one way.

use proptest::prelude::*;

use super::super::{
    Choice, Flag, FlagProblemKind, FlagSettings, POINTS_MAX, RolloutBy, RolloutSettings, SchedulePoint,
    Shape, Subject,
};
use super::{Scene, chosen, named, settings, with};
use crate::clock::UnixTime;

fn point(at_ms: u64, shares: &[(&str, u32)]) -> SchedulePoint {
    SchedulePoint {
        at: UnixTime { millis: at_ms },
        shares: named(shares),
    }
}

fn flag(variants: &[&str], rollout: RolloutSettings) -> FlagSettings {
    with(
        settings(variants, "legacy"),
        vec![],
        Some((RolloutBy::Visitor, rollout)),
    )
}

fn two(shape: Shape, share: u32, points: &[(u64, u32)]) -> Flag {
    let schedule = points
        .iter()
        .map(|(at, share)| point(*at, &[("new", *share)]))
        .collect();
    let rollout = RolloutSettings {
        shares: named(&[("new", share)]),
        schedule,
        shape,
        ..RolloutSettings::default()
    };
    Flag::compile(flag(&["legacy", "new"], rollout)).unwrap()
}

fn at(flag: &Flag, id: &str, now_ms: u64) -> (String, Choice) {
    let scene = Scene::new();
    let subject = Subject {
        now: UnixTime { millis: now_ms },
        ..scene.visitor(id)
    };
    let choice = flag.decide(&subject, &mut ());
    (chosen(flag, &choice).unwrap().to_owned(), choice)
}

fn share(flag: &Flag, now_ms: u64) -> u32 {
    flag.shares(UnixTime { millis: now_ms }).unwrap()[1]
}

#[test]
fn steps_hold_until_the_next_point() {
    let flag = two(Shape::Steps, 1_000, &[(10, 5_000), (20, 20_000), (30, 3_000)]);
    let found = [0, 9, 10, 19, 20, 29, 30, u64::MAX].map(|now| share(&flag, now));
    assert_eq!(found, [1_000, 1_000, 5_000, 5_000, 20_000, 20_000, 3_000, 3_000]);
}

#[test]
fn a_line_goes_from_point_to_point() {
    let flag = two(
        Shape::Linear,
        1_000,
        &[(1_000, 5_000), (2_000, 20_000), (3_000, 0)],
    );
    let found = [0, 999, 1_000, 1_500, 2_000, 2_500, 2_999, 3_000, u64::MAX].map(|now| share(&flag, now));
    assert_eq!(found, [1_000, 1_000, 5_000, 12_500, 20_000, 10_000, 20, 0, 0]);
}

#[test]
fn a_schedule_to_everyone_needs_no_id_once_it_is_there() {
    let flag = two(Shape::Steps, 0, &[(10, 100_000)]);
    assert_eq!(at(&flag, "", 9).0, "legacy");
    assert_eq!(at(&flag, "", 10).0, "new");
}

#[test]
fn a_variant_that_a_point_does_not_name_keeps_its_share() {
    let rollout = RolloutSettings {
        shares: named(&[("a", 1_000), ("b", 2_000)]),
        schedule: vec![point(10, &[("a", 3_000)]), point(20, &[("b", 0)])],
        ..RolloutSettings::default()
    };
    let flag = Flag::compile(flag(&["legacy", "a", "b"], rollout)).unwrap();
    let at = |now| flag.shares(UnixTime { millis: now }).unwrap();
    assert_eq!(at(10), [95_000, 3_000, 2_000]);
    assert_eq!(at(20), [97_000, 3_000, 0]);
}

#[track_caller]
fn refused(rollout: RolloutSettings, text: &str) -> FlagProblemKind {
    let problem = Flag::compile(flag(&["legacy", "a", "b"], rollout)).unwrap_err();
    assert_eq!(problem.kind.to_string(), text);
    problem.kind
}

#[test]
fn schedules_and_splits_must_fit() {
    let scheduled = |schedule| RolloutSettings {
        schedule,
        ..RolloutSettings::default()
    };
    refused(
        scheduled(vec![point(10, &[("a", 1)]), point(10, &[("a", 2)])]),
        "point 2 of its schedule is not later than the one before it",
    );
    refused(
        scheduled((0..=POINTS_MAX as u64).map(|at| point(at, &[("a", 1)])).collect()),
        "its schedule has 101 points, more than 100",
    );
    refused(
        scheduled(vec![point(10, &[("a", 50_001)])]),
        "`a` wants 50.001 %, but with 2 variants beside the default each has a fixed range of 50 %, so that growing one \
         never moves the visitors of another",
    );
    let split = |split: &[(&str, u32)], shares: &[(&str, u32)]| RolloutSettings {
        shares: named(shares),
        split: named(split),
        ..RolloutSettings::default()
    };
    refused(
        split(&[("a", 80_000), ("b", 20_001)], &[]),
        "the ranges of its `split` are 100.001 % together, more than 100 %",
    );
    refused(
        split(&[("a", 80_000)], &[("b", 1)]),
        "`b` wants 0.001 %, but `split` gives it a range of 0 %",
    );
    refused(
        split(&[("legacy", 80_000)], &[]),
        "its rollout has its default `legacy`, which takes what the others leave",
    );
}

proptest! {
    #[test]
    fn between_two_points_a_line_goes_one_way(
        from in 0..=100_000_u32, to in 0..=100_000_u32, start in 0..1_u64 << 42, length in 1..1_u64 << 40,
        first in 0..=1_000_000_u64, second in 0..=1_000_000_u64, id in "[A-Za-z0-9_-]{22}"
    ) {
        let flag = two(Shape::Linear, from, &[(start, from), (start + length, to)]);
        let moment = |part: u64| start + u64::try_from(u128::from(length) * u128::from(part) / 1_000_000).unwrap();
        let (earlier, later) = (moment(first.min(second)), moment(first.max(second)));
        let (was, is) = (share(&flag, earlier), share(&flag, later));
        let rises = from <= was && was <= is && is <= to;
        let falls = from >= was && was >= is && is >= to;
        prop_assert!(rises || falls, "{from} {was} {is} {to}");
        let (before, after) = (at(&flag, &id, earlier), at(&flag, &id, later));
        if from <= to && before.0 == "new" {
            prop_assert_eq!(after.0, "new");
        } else if from >= to && before.0 == "legacy" {
            prop_assert_eq!(after.0, "legacy");
        }
        // another node, or this one after a restart, with the same file
        let again = two(Shape::Linear, from, &[(start, from), (start + length, to)]);
        prop_assert_eq!(at(&again, &id, later).1, at(&flag, &id, later).1);
    }

    #[test]
    fn with_a_split_growing_one_moves_nobody_of_another(
        id in "[A-Za-z0-9_-]{22}", widths: [u32; 3], before: [u32; 3], after: [u32; 3]
    ) {
        let total: u64 = widths.iter().map(|width| u64::from(*width)).sum::<u64>().max(1);
        let width = |n: usize| u32::try_from(u64::from(widths[n]) * 100_000 / total).unwrap();
        let names = ["a", "b", "c"];
        let chosen_at = |given: [u32; 3]| {
            let share = |n: usize| given[n] % (width(n) + 1);
            let shares: Vec<(&str, u32)> = (0..3).map(|n| (names[n], share(n))).collect();
            let split: Vec<(&str, u32)> = (0..3).map(|n| (names[n], width(n))).collect();
            let rollout = RolloutSettings {
                shares: named(&shares),
                split: named(&split),
                ..RolloutSettings::default()
            };
            let flag = Flag::compile(flag(&["a", "legacy", "b", "c"], rollout)).unwrap();
            (at(&flag, &id, 0).0, [share(0), share(1), share(2)])
        };
        let ((was, small), (is, large)) = (chosen_at(before), chosen_at(after));
        prop_assert!(was == is || was == "legacy" || is == "legacy", "moved from {was} to {is}");
        for (n, name) in names.into_iter().enumerate() {
            if was == name && large[n] >= small[n] {
                prop_assert_eq!(&is, name);
            }
        }
    }
}
