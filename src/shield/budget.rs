//! How much may be tried again: each success pays in a fraction, each retry takes one out.
//!
//! So retries stay a share of what goes well, however much fails: layers that each try three times don't multiply (Brooker, "Fixing
//! retries with token buckets and circuit breakers", 2022).

use std::sync::atomic::{AtomicU32, Ordering};

/// One retry, in the thousandths that are counted.
const ONE: u32 = 1000;

/// What a budget is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What a success pays in, in thousandths of a retry: 200 is a retry for five successes.
    pub share: u32,
    /// Retries that are there from the start, and the most that are saved up.
    pub reserve: u32,
}

/// Retries for a hundred successes, unless said otherwise (Envoy's and Finagle's).
pub const SHARE: u32 = 200;
/// Retries that are there from the start, unless said otherwise: a server that restarts under as many open requests costs nobody anything.
pub const RESERVE: u32 = 100;
/// The largest reserve that can be said.
pub const RESERVE_MAX: u32 = 1_000_000;

impl Default for Terms {
    fn default() -> Self {
        Self {
            share: SHARE,
            reserve: RESERVE,
        }
    }
}

impl Terms {
    /// A full budget, in thousandths of a retry.
    #[must_use]
    pub const fn most(self) -> u32 {
        self.reserve.saturating_mul(ONE)
    }
}

/// A budget, for all cores. While it is full a success only reads it, so that cores don't fight over it in good times.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU32,
}

impl Budget {
    /// A full one.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        Self {
            left: AtomicU32::new(terms.most()),
        }
    }

    /// Something went well.
    pub fn deposit(&self, terms: Terms) {
        let (most, mut left) = (terms.most(), self.left.load(Ordering::Relaxed));
        while left < most {
            let more = left.saturating_add(terms.share).min(most);
            match self
                .left
                .compare_exchange_weak(left, more, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => left = now,
            }
        }
    }

    /// Takes one retry; `false`: there is none left.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let take = |left: u32| left.checked_sub(ONE);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// What is left, in thousandths of a retry: as another program takes it up.
    #[must_use]
    pub fn carried(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Goes on with what is left of another one.
    pub fn take_up(&self, carried: u32, terms: Terms) {
        self.left.store(carried.min(terms.most()), Ordering::Relaxed);
    }

    /// Whole retries left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed) / ONE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Budget, Terms};

    #[test]
    fn a_budget_is_full_at_first_and_never_fuller() {
        let terms = Terms {
            share: 200,
            reserve: 2,
        };
        let budget = Budget::new(terms);
        for _ in 0..100 {
            budget.deposit(terms);
        }
        assert_eq!(budget.left(), 2);
        assert!(budget.withdraw() && budget.withdraw());
        assert!(!budget.withdraw());
        for _ in 0..4 {
            budget.deposit(terms);
        }
        assert!(!budget.withdraw(), "four fifths are no retry");
        budget.deposit(terms);
        assert!(budget.withdraw());
    }

    proptest! {
        /// However successes and failures follow each other, retries are at most the reserve and the share of the successes.
        #[test]
        fn retries_never_exceed_their_share(
            share in 0u32..1000,
            reserve in 0u32..20,
            story in prop::collection::vec(any::<bool>(), 0..500),
        ) {
            let terms = Terms { share, reserve };
            let budget = Budget::new(terms);
            let (mut successes, mut retries) = (0u32, 0u32);
            for went_well in story {
                if went_well {
                    successes += 1;
                    budget.deposit(terms);
                } else if budget.withdraw() {
                    retries += 1;
                }
                prop_assert!(retries * 1000 <= reserve * 1000 + successes * share);
            }
        }
    }
}
