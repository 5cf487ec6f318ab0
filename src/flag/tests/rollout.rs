//! Laws of the rollout: sticky, monotone, fair, and flagd's `fractional` to the letter.

use proptest::prelude::*;
use serde_json::json;

use super::super::{Bucketing, Choice, Flag, Reason, RolloutBy, Subject, Targeting};
use super::{Scene, chosen, settings, shares, with};

const BOTH: [Bucketing; 2] = [Bucketing::Murmur3V2, Bucketing::Murmur3CborV3];

fn flag(bucketing: Bucketing, variants: &[&str], given: &[(&str, u32)]) -> Flag {
    let mut settings = with(
        settings(variants, "legacy"),
        vec![],
        Some(shares(RolloutBy::Visitor, given)),
    );
    settings.bucketing = bucketing;
    Flag::compile(settings).unwrap()
}

fn two(bucketing: Bucketing, share: u32) -> Flag {
    flag(bucketing, &["legacy", "new"], &[("new", share)])
}

fn choice(flag: &Flag, id: &str) -> Choice {
    flag.decide(&Scene::new().visitor(id), &mut ())
}

fn name(flag: &Flag, id: &str) -> String {
    chosen(flag, &choice(flag, id)).unwrap().to_owned()
}

proptest! {
    #[test]
    fn a_rollout_is_flagds_fractional(id in "[A-Za-z0-9_-]{1,30}", share in 0..=100_000_u32, v3: bool) {
        let bucketing = BOTH[usize::from(v3)];
        let mut fractional = settings(&["legacy", "new"], "legacy");
        fractional.bucketing = bucketing;
        fractional.targeting =
            Targeting::JsonLogic(json!({"fractional": [["new", share], ["legacy", 100_000 - share]]}));
        let fractional = Flag::compile(fractional).unwrap();
        prop_assert_eq!(name(&two(bucketing, share), &id), name(&fractional, &id));
    }

    #[test]
    fn growing_only_adds_and_shrinking_removes_the_last_added(
        id in "[A-Za-z0-9_-]{22}", small in 0..=100_000_u32, more in 0..=100_000_u32, v3: bool
    ) {
        let bucketing = BOTH[usize::from(v3)];
        let large = (small + more).min(100_000);
        if name(&two(bucketing, small), &id) == "new" {
            prop_assert_eq!(name(&two(bucketing, large), &id), "new");
        }
        let place = choice(&two(bucketing, small), &id).bucket.unwrap();
        prop_assert_eq!(name(&two(bucketing, large), &id) == "new", place < large);
    }

    #[test]
    fn growing_one_of_many_moves_nobody_of_another(
        id in "[A-Za-z0-9_-]{22}", before: [u16; 3], after: [u16; 3], v3: bool
    ) {
        let at = |given: [u16; 3]| {
            let share = |n: usize| u32::from(given[n]) % 33_334;
            let given = [("a", share(0)), ("b", share(1)), ("c", share(2))];
            let flag = flag(BOTH[usize::from(v3)], &["a", "legacy", "b", "c"], &given);
            (name(&flag, &id), [share(0), share(1), share(2)])
        };
        let ((was, small), (is, large)) = (at(before), at(after));
        prop_assert!(was == is || was == "legacy" || is == "legacy", "moved from {was} to {is}");
        for (n, variant) in ["a", "b", "c"].into_iter().enumerate() {
            if was == variant && large[n] >= small[n] {
                prop_assert_eq!(&is, variant);
            }
        }
    }
}

/// Ids as a fixed sequence; 100,000 of them.
fn ids() -> impl Iterator<Item = String> {
    (0..100_000_u32).map(|n| format!("visitor-{n:08x}"))
}

/// Holds that `count` of 100,000 is within four standard deviations of `share`, in thousandths of a percent.
#[track_caller]
fn check_share(count: usize, share: u32) {
    let p = f64::from(share) / 100_000.0;
    let sigma = (100_000.0 * p * (1.0 - p)).sqrt();
    let off = (count as f64 - 100_000.0 * p).abs();
    assert!(
        off <= 4.0 * sigma,
        "{count} of 100,000 at {p}: off by {off}, sigma {sigma}"
    );
}

#[test]
fn shares_are_kept_within_four_sigma() {
    for bucketing in BOTH {
        for share in [50, 1_000, 5_000, 30_000, 50_000, 99_000] {
            let flag = two(bucketing, share);
            check_share(ids().filter(|id| name(&flag, id) == "new").count(), share);
        }
        let given = [("a", 10_000), ("b", 20_000), ("c", 33_333)];
        let flag = flag(bucketing, &["legacy", "a", "b", "c"], &given);
        for (variant, share) in given {
            check_share(ids().filter(|id| name(&flag, id) == variant).count(), share);
        }
    }
}

#[test]
fn none_and_all_are_exact() {
    for bucketing in BOTH {
        let (none, all) = (two(bucketing, 0), two(bucketing, 100_000));
        assert!(
            ids()
                .take(5_000)
                .all(|id| name(&none, &id) == "legacy" && name(&all, &id) == "new")
        );
    }
}

#[test]
fn two_flags_choose_independently() {
    let first = two(Bucketing::Murmur3V2, 50_000);
    let mut second = with(
        settings(&["legacy", "new"], "legacy"),
        vec![],
        Some(shares(RolloutBy::Visitor, &[("new", 50_000)])),
    );
    second.key = crate::name::FlagKey::new("another").unwrap();
    let second = Flag::compile(second).unwrap();
    check_share(
        ids()
            .filter(|id| name(&first, id) == "new" && name(&second, id) == "new")
            .count(),
        25_000,
    );
}

#[test]
fn places_are_frozen() {
    // Held down so that no change of code ever moves a visitor: computed with mmh3 and cbor2.
    let place = |bucketing, id| choice(&two(bucketing, 0), id).bucket.unwrap();
    assert_eq!(place(Bucketing::Murmur3V2, "AAAAAAAAAAAAAAAAAAAAAA"), 51_584);
    assert_eq!(place(Bucketing::Murmur3CborV3, "AAAAAAAAAAAAAAAAAAAAAA"), 48_315);
}

#[track_caller]
fn check_default_without_id(by: RolloutBy, subject: &Subject<'_>) {
    let nearly_everyone = Some(shares(by, &[("new", 99_999)]));
    let flag = Flag::compile(with(
        settings(&["legacy", "new"], "legacy"),
        vec![],
        nearly_everyone,
    ))
    .unwrap();
    let choice = flag.decide(subject, &mut ());
    assert_eq!(
        (chosen(&flag, &choice), choice.reason, choice.bucket),
        (Some("legacy"), Reason::Default, None)
    );
}

#[test]
fn without_an_id_the_default_follows() {
    let scene = Scene::new();
    check_default_without_id(RolloutBy::User, &scene.anonymous());
    check_default_without_id(
        RolloutBy::Visitor,
        &Subject {
            visitor: None,
            ..scene.subject()
        },
    );
    check_default_without_id(RolloutBy::Visitor, &scene.visitor(""));
}

#[test]
fn at_a_hundred_percent_nobody_need_have_an_id() {
    let scene = Scene::new();
    let nobody = Subject {
        visitor: None,
        ..scene.anonymous()
    };
    for (by, expected) in [(RolloutBy::Visitor, "new"), (RolloutBy::User, "legacy")] {
        let everyone = Some(shares(by, &[("new", 100_000)]));
        let flag = Flag::compile(with(settings(&["legacy", "new"], "legacy"), vec![], everyone)).unwrap();
        assert_eq!(
            chosen(&flag, &flag.decide(&nobody, &mut ())),
            Some(expected),
            "{by:?}"
        );
    }
}

#[test]
fn a_rollout_by_user_follows_the_user_to_another_device() {
    let half = Some(shares(RolloutBy::User, &[("new", 50_000)]));
    let flag = Flag::compile(with(settings(&["legacy", "new"], "legacy"), vec![], half)).unwrap();
    let scene = Scene::new();
    let (here, there) = (
        scene.subject(),
        Subject {
            visitor: Some("another"),
            ..scene.subject()
        },
    );
    let choice = flag.decide(&here, &mut ());
    assert_eq!(choice, flag.decide(&there, &mut ()));
    assert_eq!(choice.reason, Reason::Split);
}

#[test]
fn a_rollout_decides_without_allocating() {
    let scene = Scene::new();
    for bucketing in BOTH {
        let flag = two(bucketing, 50_000);
        let subject = scene.subject();
        let counted = allocation_counter::measure(|| {
            std::hint::black_box(flag.decide(&subject, &mut ()));
        });
        assert_eq!(counted.count_total, 0);
    }
}

#[test]
fn rules_allocate_nothing_once_a_thread_is_warm() {
    let scene = Scene::new();
    let rules = vec![super::rule(
        json!({"in": ["staff", {"var": "user.roles"}]}),
        "new",
    )];
    let flag = Flag::compile(with(settings(&["legacy", "new"], "legacy"), rules, None)).unwrap();
    let subject = scene.subject();
    flag.decide(&subject, &mut ());
    let counted = allocation_counter::measure(|| {
        std::hint::black_box(flag.decide(&subject, &mut ()));
    });
    assert_eq!(counted.count_total, 0);
}
