//! What keeps load away from who can't bear it: budgets, rates, seats and the lines in front of them.
//!
//! Each is one truth for the whole process, kept in atomics that all cores read and change; a lock is taken only where somebody has to
//! wait anyway ([`line`]). Time comes in, nothing here reads a clock or sleeps.
//!
//! In reading order: [`budget`] (how much may be tried again), [`rate`] (so many in so long, also by key), [`crowd`] (so many at once by
//! key), [`pot`] (so much at once of what is no request), [`line`] (so many at once, and who waits for a seat),
//! [`gradient`] (how many seats a backend can bear), [`quantile`] (how long nearly all answers take).

pub mod budget;
pub mod crowd;
pub mod gradient;
pub mod line;
pub mod pot;
pub mod quantile;
pub mod rate;

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher as _, RandomState};

/// Slots of a table of keys: 128 KiB. As many visitors or addresses are told apart at one time.
pub const KEYS_MAX: usize = 16 * 1024;

/// Slots among which a key may lie.
const WAYS: usize = 4;

/// Turns keys into numbers, with a secret seed of its own before each (SipHash), so that nobody can choose keys that fall together.
#[derive(Clone)]
struct Hasher {
    seed: [u64; 2],
}

impl Default for Hasher {
    fn default() -> Self {
        // what the system's randomness keys: two numbers that nobody can foresee
        let random = || RandomState::new().build_hasher().finish();
        Self {
            seed: [random(), random()],
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

/// Where a key lies in a table, and what tells it from others there.
#[derive(Debug, Clone, Copy)]
struct Mark {
    first: usize,
    tag: u64,
}

impl Hasher {
    fn hash(&self, key: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        key.hash(&mut hasher);
        hasher.finish()
    }

    /// What it makes of a known key: one that makes the same of it makes the same of all.
    fn proof(&self) -> u64 {
        self.hash("banyan")
    }

    /// The place of `key`, with a tag of `bits` bits, never 0.
    fn mark(&self, key: impl Hash, bits: u32) -> Mark {
        let hash = self.hash(key);
        let sets = (KEYS_MAX / WAYS) as u64;
        let first = usize::try_from(hash % sets).unwrap_or(0) * WAYS;
        Mark {
            first,
            tag: (hash >> (64 - bits)).max(1),
        }
    }
}
