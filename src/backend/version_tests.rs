//! Laws of choosing a version.

use proptest::prelude::*;

use super::{By, Standing, State, Sticky, pick, seed_of};

const NAMES: [&str; 4] = ["v1", "v2", "v3", "v4"];

fn standing(name: &'static str, state: State, weight: u32) -> Standing<'static> {
    Standing {
        name,
        state,
        weight,
        is_well: true,
    }
}

fn all() -> impl Strategy<Value = Vec<Standing<'static>>> {
    let one = (any::<bool>(), 1..=1_000_u32, any::<bool>());
    prop::collection::vec(one, 1..=NAMES.len()).prop_map(|all| {
        let made = all.into_iter().zip(NAMES);
        made.map(|((live, weight, is_well), name)| Standing {
            name,
            state: if live { State::Live } else { State::Draining },
            weight,
            is_well,
        })
        .collect()
    })
}

fn told(name: Option<&'static str>) -> impl Iterator<Item = (By, &'static str)> {
    name.map(|name| (By::Cookie, name)).into_iter()
}

proptest! {
    #[test]
    fn who_is_on_a_version_that_is_there_and_well_stays(
        all in all(), seed in any::<u64>(), on in 0..4_usize
    ) {
        let name = NAMES[on];
        let (at, by) = pick(&all, told(Some(name)), seed).unwrap();
        match all.iter().find(|standing| standing.name == name) {
            Some(own) if own.is_well => prop_assert_eq!((all[at].name, by), (name, By::Cookie)),
            _ => prop_assert!(by == By::Moved || by == By::Cookie),
        }
    }

    #[test]
    fn a_version_that_drains_takes_nobody_who_is_new(all in all(), seed in any::<u64>()) {
        let (at, by) = pick(&all, told(None), seed).unwrap();
        prop_assert_eq!(by, By::New);
        if all.iter().any(|standing| standing.state == State::Live) {
            prop_assert_eq!(all[at].state, State::Live);
        }
    }

    #[test]
    fn nobody_is_left_on_a_sick_version_while_a_live_one_is_well(
        all in all(), seed in any::<u64>(), on in 0..4_usize
    ) {
        let (at, _) = pick(&all, told(Some(NAMES[on])), seed).unwrap();
        if all.iter().any(|standing| standing.state == State::Live && standing.is_well) {
            prop_assert!(all[at].is_well);
        }
    }

    #[test]
    fn made_up_names_choose_nothing(all in all(), seed in any::<u64>(), name in "[a-z@]{3,9}") {
        let by_name = pick(&all, [(By::Header, name.as_str())].into_iter(), seed).unwrap();
        let (at, _) = pick(&all, told(None), seed).unwrap();
        prop_assert_eq!(by_name, (at, By::Moved));
    }

    #[test]
    fn the_same_visitor_gets_the_same_version_while_the_list_stays(all in all(), id in ".{1,30}", salt in any::<u64>()) {
        let seed = seed_of(id.as_bytes(), salt);
        prop_assert_eq!(pick(&all, told(None), seed), pick(&all, told(None), seed_of(id.as_bytes(), salt)));
    }

    #[test]
    fn weights_hold(first in 1..=1_000_u32, second in 1..=1_000_u32, salt in any::<u64>()) {
        let all = [
            standing("v1", State::Live, first),
            standing("v2", State::Live, second),
            standing("v3", State::Draining, 1_000),
        ];
        let ones = (0..4_000_u32).filter(|visitor| {
            let seed = seed_of(&visitor.to_le_bytes(), salt);
            pick(&all, told(None), seed).unwrap().0 == 0
        });
        let share = ones.count() as f64 / 4_000.0;
        let wanted = f64::from(first) / f64::from(first + second);
        // five standard deviations of a fair draw
        let slack = 5.0 * (wanted * (1.0 - wanted) / 4_000.0).sqrt() + 0.001;
        prop_assert!((share - wanted).abs() <= slack, "{share} of {wanted}");
    }
}

/// A visitor begins under one list and goes on under others: weights change, versions come, and the own one drains at last.
#[test]
fn a_visitor_never_sees_two_versions_while_both_are_there() {
    let phases: [&[Standing<'static>]; 4] = [
        &[standing("v1", State::Live, 1)],
        &[standing("v1", State::Live, 99), standing("v2", State::Live, 1)],
        &[standing("v1", State::Live, 1), standing("v2", State::Live, 99)],
        &[standing("v1", State::Draining, 1), standing("v2", State::Live, 1)],
    ];
    for visitor in 0..500_u32 {
        let mut on: Option<&'static str> = None;
        for all in &phases[(visitor % 4) as usize..] {
            let (at, _) = pick(all, told(on), seed_of(&visitor.to_le_bytes(), 7)).unwrap();
            let now = *on.get_or_insert(all[at].name);
            assert_eq!(all[at].name, now, "visitor {visitor}");
        }
    }
}

#[test]
fn what_the_tab_says_comes_before_what_the_browser_was_on() {
    let all = [
        standing("v1", State::Draining, 1),
        standing("v2", State::Live, 1),
        standing("v3", State::Live, 1),
    ];
    let check = |told: &[(By, &'static str)], wanted: (usize, By)| {
        assert_eq!(pick(&all, told.iter().copied(), 1), Some(wanted), "{told:?}");
    };
    let order = [
        (By::Header, "v1"),
        (By::Query, "v2"),
        (By::Path, "v3"),
        (By::Cookie, "v2"),
    ];
    check(&order, (0, By::Header));
    check(&order[1..], (1, By::Query));
    check(&order[2..], (2, By::Path));
    check(&order[3..], (1, By::Cookie));
    check(&[(By::Header, "gone"), (By::Cookie, "v1")], (0, By::Cookie));
}

#[test]
fn queries_and_paths_tell_versions_by_their_names_alone() {
    let sticky = Sticky {
        path: Some(Box::from("/_v/")),
        ..Sticky::default()
    };
    for (query, wanted) in [
        ("dpl=v1", Some("v1")),
        ("a=1&dpl=v2&dpl=v1", Some("v2")),
        ("xdpl=v1", None),
        ("dpl", None),
        ("", None),
    ] {
        assert_eq!(sticky.in_query(Some(query)), wanted, "{query}");
    }
    for (path, wanted) in [
        ("/_v/v1/a.js", Some("v1")),
        ("/_v/v1", Some("v1")),
        ("/_v/", None),
        ("/_vv/v1", None),
        ("/a/_v/v1", None),
    ] {
        assert_eq!(sticky.in_path(path), wanted, "{path}");
    }
}
