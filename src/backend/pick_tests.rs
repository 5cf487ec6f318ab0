//! The laws of picking, with servers that are simulated.

use proptest::prelude::*;

use super::{Field, Turns, in_turn, least_loaded, mixed};
use crate::backend::table::Table;

struct Servers {
    well: Vec<bool>,
    tried: Vec<usize>,
    cost: Vec<f64>,
    ramp: Vec<f64>,
}

impl Servers {
    fn well(count: usize) -> Self {
        Self {
            well: vec![true; count],
            tried: Vec::new(),
            cost: vec![1.0; count],
            ramp: vec![1.0; count],
        }
    }
}

impl Field for Servers {
    fn is_well(&self, at: usize) -> bool {
        self.well[at]
    }
    fn is_tried(&self, at: usize) -> bool {
        self.tried.contains(&at)
    }
    fn cost(&self, at: usize) -> f64 {
        self.cost[at]
    }
    fn ramp(&self, at: usize) -> f64 {
        self.ramp[at]
    }
}

fn table(weights: &[u32]) -> Table {
    Table::of(weights.iter().copied().enumerate())
}

/// How often each is chosen in 40,000 picks.
fn shares(weights: &[u32], servers: &Servers, panic_below: f64) -> Vec<f64> {
    let table = table(weights);
    let mut counts = vec![0.0; weights.len()];
    for round in 0..40_000 {
        let at = least_loaded(&table, servers, panic_below, mixed(round)).unwrap();
        counts[at] += 1.0 / 40_000.0;
    }
    counts
}

#[track_caller]
fn check_shares(found: &[f64], expected: &[f64]) {
    let near = |(found, expected): (&f64, &f64)| (found - expected).abs() < 0.015;
    assert!(
        found.iter().zip(expected).all(near),
        "{found:?} is not {expected:?}"
    );
}

#[test]
fn nobody_to_choose_from_gives_nobody() {
    assert_eq!(least_loaded(&table(&[]), &Servers::well(0), 0.0, 7), None);
}

#[test]
fn the_less_costly_of_two_is_chosen() {
    let servers = Servers {
        cost: vec![5.0, 1.0],
        ..Servers::well(2)
    };
    for random in [0, u64::MAX, 0x8000_0000_0000_0001] {
        assert_eq!(least_loaded(&table(&[1, 1]), &servers, 0.0, random), Some(1));
    }
}

#[test]
fn equal_servers_are_chosen_by_weight() {
    check_shares(&shares(&[1, 1, 1, 1], &Servers::well(4), 0.0), &[0.25; 4]);
    check_shares(&shares(&[3, 1], &Servers::well(2), 0.0), &[0.75, 0.25]);
    check_shares(&shares(&[5, 3, 2], &Servers::well(3), 0.0), &[0.5, 0.3, 0.2]);
}

#[test]
fn the_weights_of_those_that_are_left_hold() {
    let servers = Servers {
        well: vec![true, false, true],
        ..Servers::well(3)
    };
    check_shares(&shares(&[2, 5, 1], &servers, 0.0), &[2.0 / 3.0, 0.0, 1.0 / 3.0]);
}

#[test]
fn a_server_that_starts_slowly_takes_its_share_by_now() {
    let servers = Servers {
        ramp: vec![1.0, 0.2],
        ..Servers::well(2)
    };
    let shares = shares(&[1, 1], &servers, 0.0);
    check_shares(&shares, &[0.9, 0.1]);
}

#[test]
fn when_too_few_are_well_all_may_be_chosen() {
    let servers = Servers {
        well: vec![true, false, false, false],
        ..Servers::well(4)
    };
    check_shares(&shares(&[1; 4], &servers, 0.0), &[1.0, 0.0, 0.0, 0.0]);
    check_shares(&shares(&[1; 4], &servers, 50.0), &[0.25; 4]);
    let none = Servers {
        well: vec![false; 4],
        ..Servers::well(4)
    };
    check_shares(&shares(&[1; 4], &none, 0.0), &[0.25; 4]);
}

#[test]
fn turns_are_even_and_spread() {
    let turns = Turns::new(3, 0);
    let order: Vec<usize> = (0..8)
        .map(|_| in_turn(&table(&[2, 1, 1]), &turns, &Servers::well(3), 0.0).unwrap())
        .collect();
    assert_eq!(order[..4], [0, 1, 2, 0]);
    assert_eq!(order[..4], order[4..]);
}

proptest! {
    #[test]
    fn only_well_servers_are_chosen_while_there_is_one(
        well in prop::collection::vec(any::<bool>(), 1..20),
        weights in prop::collection::vec(0u32..9, 20),
        tried in prop::collection::vec(0usize..20, 0..3),
        random: u64,
    ) {
        let count = well.len();
        let table = table(&weights[..count]);
        let servers = Servers { well, tried, ..Servers::well(count) };
        let fit = |at: usize| servers.is_well(at) && !servers.is_tried(at);
        let any_fit = table.iter().any(|(at, _)| fit(at));
        let turns = Turns::new(count, random);
        for chosen in [least_loaded(&table, &servers, 0.0, random), in_turn(&table, &turns, &servers, 0.0)] {
            let chosen = chosen.unwrap();
            prop_assert!(chosen < count);
            prop_assert!(!any_fit || fit(chosen));
        }
    }

    /// Over one round of all weights everyone has had exactly their turns.
    #[test]
    fn a_round_of_turns_gives_everyone_their_weight(weights in prop::collection::vec(1u32..6, 1..8), random: u64) {
        let turns = Turns::new(weights.len(), random);
        let servers = Servers::well(weights.len());
        let mut had = vec![0; weights.len()];
        for _ in 0..weights.iter().sum() {
            had[in_turn(&table(&weights), &turns, &servers, 0.0).unwrap()] += 1;
        }
        prop_assert_eq!(had, weights);
    }

    #[test]
    fn a_server_that_costs_a_third_more_is_never_taken_before_the_other(
        costs in prop::collection::vec(0.1f64..100.0, 2), random: u64,
    ) {
        let servers = Servers { cost: costs.clone(), ..Servers::well(2) };
        let at = least_loaded(&table(&[1, 1]), &servers, 0.0, random).unwrap();
        prop_assert!(costs[at] * super::BETTER <= costs[1 - at] + 1e-9);
    }
}
