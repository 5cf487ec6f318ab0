//! A ring of hashes: the same key leads to the same server, also when others enter and leave.
//!
//! Karger et al., "Consistent hashing and random trees" (STOC 1997), with bounded loads (Mirrokni, Thorup, Zadimoghaddam,
//! "Consistent hashing with bounded loads", SODA 2018): a server that has more than [`BOUND`] times its share hands on.

use super::{
    pick::{Field, Fit, mixed},
    table::Table,
};

/// Places on the ring for each unit of weight, as long as there are few.
const POINTS_EACH: usize = 160;

/// Places on a ring at most: a megabyte.
const POINTS_MAX: usize = 65_536;

/// How many times its share of what is under way a server may have before its keys lead to the next one.
pub const BOUND: f64 = 1.25;

/// Servers at their places on the ring.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ring(Box<[(u64, u32)]>);

impl Ring {
    /// Of the servers of `table`; `name` tells each apart from all others, for ever.
    #[must_use]
    pub fn of<'n>(table: &Table, name: impl Fn(usize) -> &'n str) -> Self {
        let each = (POINTS_MAX / (table.weight() as usize).max(1)).clamp(1, POINTS_EACH);
        let mut points = Vec::new();
        for (at, weight) in table.iter() {
            let of_name = hashed(name(at).as_bytes());
            let count = (weight as usize).saturating_mul(each).min(POINTS_MAX);
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            points.extend((0..count as u64).map(|point| (mixed(of_name ^ mixed(point + 1)), at)));
        }
        points.sort_unstable();
        Self(points.into())
    }

    /// Who has `key`: the first behind it on the ring that `fit` takes and that has room. Where nobody has room, the first.
    ///
    /// A server that starts slowly has as many of its keys as its share is by now, always the same ones.
    pub(super) fn find(
        &self,
        key: u64,
        field: &impl Field,
        fit: Fit,
        has_room: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let key = mixed(key);
        let start = self.0.partition_point(|(point, _)| *point < key);
        let (before, after) = self.0.split_at_checked(start)?;
        let chance = (mixed(key) >> 40) as f64 / (1_u64 << 24) as f64;
        let mut first = None;
        let mut last = None; // runs of one server are common
        for (_, at) in after.iter().chain(before) {
            let at = *at as usize;
            if last.replace(at) == Some(at) || !fit.takes(at, field) {
                continue;
            }
            first = first.or(Some(at));
            if chance < field.ramp(at) && has_room(at) {
                return Some(at);
            }
        }
        first
    }
}

/// Whether a server with so much under way may take one more, where `all` have so much and its share is `weight` of `weights`.
#[must_use]
pub fn has_room(own: u32, all: u32, weight: u32, weights: u32) -> bool {
    let share = f64::from(weight) / f64::from(weights.max(1));
    f64::from(own) < (BOUND * (f64::from(all) + 1.0) * share).ceil()
}

/// FNV-1a: what is hashed is short, and nobody gains by a collision but a server that they can have anyway.
#[must_use]
pub fn hashed(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Ring, has_room, hashed};
    use crate::backend::{
        pick::{Field, Fit},
        table::Table,
    };

    struct Well(f64);

    impl Field for Well {
        fn is_well(&self, _: usize) -> bool {
            true
        }
        fn is_tried(&self, _: usize) -> bool {
            false
        }
        fn cost(&self, _: usize) -> f64 {
            1.0
        }
        fn ramp(&self, at: usize) -> f64 {
            if at == 0 { self.0 } else { 1.0 }
        }
    }

    const KEYS: u64 = 2_000;

    fn ring(names: &[String]) -> (Ring, Table) {
        let table = Table::of((0..names.len()).map(|at| (at, 1)));
        (Ring::of(&table, |at| &names[at]), table)
    }

    fn key(at: u64) -> u64 {
        hashed(at.to_string().as_bytes())
    }

    fn all(names: &[String], ramp: f64) -> Vec<String> {
        let (ring, _) = ring(names);
        (0..KEYS)
            .map(|at| names[ring.find(key(at), &Well(ramp), Fit::Well, |_| true).unwrap()].clone())
            .collect()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("http://10.0.0.{at}:80")).collect()
    }

    fn moved(before: &[String], after: &[String]) -> usize {
        before.iter().zip(after).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let table = Table::of([(0, 3), (1, 1)].into_iter());
        let names = names(2);
        let ring = Ring::of(&table, |at| &names[at]);
        let first = (0..KEYS)
            .filter(|at| ring.find(key(*at), &Well(1.0), Fit::Well, |_| true) == Some(0))
            .count();
        assert!((1_380..1_620).contains(&first), "{first} of {KEYS}");
    }

    #[test]
    fn a_server_that_starts_slowly_only_gains_keys() {
        let names = names(3);
        let mut before = all(&names, 0.0);
        assert!(before.iter().all(|name| *name != names[0]));
        for ramp in [0.3, 0.6, 1.0] {
            let after = all(&names, ramp);
            for (was, is) in before.iter().zip(&after) {
                assert!(was == is || *is == names[0]);
            }
            before = after;
        }
    }

    #[test]
    fn nobody_has_much_more_than_their_share() {
        let names = names(5);
        let (ring, table) = ring(&names);
        let mut under_way = [0_u32; 5];
        for all in 0..1_000 {
            let room = |at: usize| has_room(under_way[at], all, 1, table.weight());
            let at = ring.find(key(7), &Well(1.0), Fit::Well, room).unwrap(); // everyone has the same key
            under_way[at] += 1;
        }
        assert!(under_way.iter().all(|own| *own <= 251), "{under_way:?}");
    }

    proptest! {
        /// Who leaves moves his own keys and nobody else's; who enters takes about his share and moves nothing between others.
        #[test]
        fn few_keys_move(count in 2usize..20, leaves in 0usize..20) {
            let many = names(count);
            let leaves = leaves % count;
            let mut few = many.clone();
            let gone = few.remove(leaves);
            let (with, without) = (all(&many, 1.0), all(&few, 1.0));
            for (was, is) in with.iter().zip(&without) {
                prop_assert!(was == is || *was == gone);
            }
            let share = KEYS as usize / count;
            prop_assert!(moved(&with, &without) < share * 2, "{} of {KEYS} moved among {count}", moved(&with, &without));
        }
    }
}
