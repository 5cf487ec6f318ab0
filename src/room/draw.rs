//! The draw among those who came before a room opened: each holds a lot, and a secret shuffle of all lots is their order. Nothing is kept
//! for each of them: the shuffle is a keyed permutation, so that a lot's place is computed when its holder asks.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use super::carry::CarriedDraw;

/// Tells draws apart; 0 is none's.
static DRAWS: AtomicU64 = AtomicU64::new(1);

/// Rounds of the Feistel network; four make a permutation that nobody tells from chance by looking (Luby and Rackoff, 1988).
const ROUNDS: u64 = 6;

#[derive(Debug)]
pub(super) struct Draw {
    id: AtomicU64,
    lots: AtomicU64,
    drawn: OnceLock<Drawn>,
}

#[derive(Debug, Clone, Copy)]
struct Drawn {
    seed: [u64; 2],
    /// The first number of those who have lots.
    first: u64,
    lots: u64,
}

impl Draw {
    pub(super) fn new() -> Self {
        Self {
            id: AtomicU64::new(DRAWS.fetch_add(1, SeqCst)),
            lots: AtomicU64::new(0),
            drawn: OnceLock::new(),
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id.load(SeqCst)
    }

    /// What it knows.
    pub(super) fn carried(&self) -> CarriedDraw {
        let drawn = self.drawn.get();
        CarriedDraw {
            id: self.id(),
            lots: self.lots.load(SeqCst),
            drawn: drawn.map(|drawn| (drawn.seed, drawn.first, drawn.lots)),
        }
    }

    /// Goes on with the lots of another one.
    pub(super) fn take_up(&self, carried: &CarriedDraw) {
        DRAWS.fetch_max(carried.id + 1, SeqCst);
        self.id.store(carried.id, SeqCst);
        self.lots.store(carried.lots, SeqCst);
        if let Some((seed, first, lots)) = carried.drawn {
            let _ = self.drawn.set(Drawn { seed, first, lots });
        }
    }

    /// Another lot: which draw, and which one.
    pub(super) fn lot(&self) -> (u64, u64) {
        (self.id(), self.lots.fetch_add(1, SeqCst))
    }

    pub(super) fn is_over(&self) -> bool {
        self.drawn.get().is_some()
    }

    /// Lots that have no number yet.
    pub(super) fn undrawn(&self) -> u64 {
        if self.is_over() { 0 } else { self.lots.load(SeqCst) }
    }

    /// Draws, if that has not been done. `take` gives the first of so many numbers.
    pub(super) fn draw(&self, entropy: [u8; 16], take: impl FnOnce(u64) -> u64) {
        self.drawn.get_or_init(|| {
            let bits = u128::from_le_bytes(entropy);
            let lots = self.lots.load(SeqCst);
            Drawn {
                seed: [(bits >> 64) as u64, bits as u64],
                first: take(lots),
                lots,
            }
        });
    }

    /// The number of a lot. `None`: nothing is drawn yet; `Some(None)`: it came too late for the draw.
    pub(super) fn number(&self, lot: u64) -> Option<Option<u64>> {
        let drawn = self.drawn.get()?;
        Some((lot < drawn.lots).then(|| drawn.first + place(lot, drawn.lots, drawn.seed)))
    }
}

/// The place of `lot` among `lots`: another one for each.
fn place(lot: u64, lots: u64, seed: [u64; 2]) -> u64 {
    let bits = (64 - lots.leading_zeros()).div_ceil(2).max(1);
    let mut at = lot;
    // it walks on while it is outside: the network permutes at most four times as many as there are lots
    loop {
        at = feistel(at, bits, seed);
        if at < lots {
            return at;
        }
    }
}

/// A permutation of numbers of twice `bits` bits.
fn feistel(at: u64, bits: u32, [one, other]: [u64; 2]) -> u64 {
    let mask = (1 << bits) - 1;
    let (mut left, mut right) = (at >> bits, at & mask);
    for round in 0..ROUNDS {
        let mixed = mix(right ^ mix(one.wrapping_add(round)) ^ other.rotate_left(round as u32 * 7));
        (left, right) = (right, left ^ (mixed & mask));
    }
    left << bits | right
}

/// SplitMix64's finaliser.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::{Draw, place};

    proptest! {
        #[test]
        fn every_lot_has_a_place_of_its_own(lots in 1_u64..3_000, one: u64, other: u64) {
            let places: HashSet<u64> = (0..lots).map(|lot| place(lot, lots, [one, other])).collect();
            prop_assert_eq!(places.len() as u64, lots);
            prop_assert!(places.iter().all(|place| *place < lots));
        }
    }

    #[test]
    fn to_come_first_is_worth_nothing() {
        // the mean place of the first ten of a hundred lots, over many draws
        let mut sum = 0;
        for seed in 0..2_000_u64 {
            sum += (0..10)
                .map(|lot| place(lot, 100, [seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), !seed]))
                .sum::<u64>();
        }
        let mean = sum as f64 / 20_000.0;
        assert!((48.5..50.5).contains(&mean), "{mean}");
    }

    #[test]
    fn a_draw_is_made_once_and_who_comes_later_is_not_in_it() {
        let draw = Draw::new();
        let lots: Vec<u64> = (0..5).map(|_| draw.lot().1).collect();
        assert_eq!((draw.undrawn(), draw.number(0)), (5, None));
        draw.draw([7; 16], |count| {
            assert_eq!(count, 5);
            100
        });
        draw.draw([8; 16], |_| panic!("twice"));
        let numbers: HashSet<u64> = lots
            .iter()
            .map(|lot| draw.number(*lot).unwrap().unwrap())
            .collect();
        assert_eq!(numbers, (100..105).collect());
        assert_eq!((draw.number(5), draw.undrawn()), (Some(None), 0));
    }
}
