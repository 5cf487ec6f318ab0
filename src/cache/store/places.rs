//! Where purges are written: a table of times by the hashes of names, of a fixed size, that never forgets a purge but by purging more.
//!
//! Every POST to a site with a cache purges an address, so that there are far more purges than there are entries that they concern. A
//! place remembers its last [`WAYS`] names apart. For one more, the oldest is forgotten, and all that is older than it counts as purged
//! there: an entry of eight names goes needlessly when some 35,000 other names have been purged since it came.

use std::sync::atomic::{AtomicU64, Ordering};

/// Places; 64 bytes each.
const PLACES: usize = 8_192;
/// Names that a place tells apart.
const WAYS: usize = 7;
/// Bits by which they are told apart. Two of the same bits are purged together.
const PRINT_BITS: u32 = 19;
const PRINT_MASK: u64 = (1 << PRINT_BITS) - 1;

/// Where a name leads, and what tells it from others there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u32);

impl Mark {
    /// The mark of a name that has this hash.
    pub(super) const fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }

    const fn place(self) -> usize {
        (self.0 >> PRINT_BITS) as usize % PLACES
    }

    const fn print(self) -> u64 {
        self.0 as u64 & PRINT_MASK
    }
}

/// A time in the upper bits, a name's in the lower; 0: nothing yet.
#[derive(Debug, Default)]
struct Place {
    /// Everything older is purged here.
    floor: AtomicU64,
    names: [AtomicU64; WAYS],
}

/// Times by names.
#[derive(Debug)]
pub(super) struct Places(Box<[Place]>);

impl Places {
    /// Nothing is purged.
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| Place::default()).collect())
    }

    /// Writes that a name is purged at a time, which is later than all that were written. One at a time writes.
    pub(super) fn write(&self, mark: Mark, at: u64) {
        let Some(place) = self.0.get(mark.place()) else {
            return;
        };
        let age = |name: &AtomicU64| {
            let name = name.load(Ordering::Relaxed);
            match name & PRINT_MASK == mark.print() {
                true => 0, // its own, or an empty one that looks so
                false => name,
            }
        };
        let Some(name) = place.names.iter().min_by_key(|name| age(name)) else {
            return;
        };
        let forgotten = age(name) >> PRINT_BITS;
        place.floor.fetch_max(forgotten, Ordering::Release);
        name.store(at << PRINT_BITS | mark.print(), Ordering::Release);
    }

    /// Whether a name was purged after a time. The floor is read last: who finds a name gone finds the floor raised.
    pub(super) fn is_later(&self, mark: Mark, since: u64) -> bool {
        self.0.get(mark.place()).is_some_and(|place| {
            let named = place.names.iter().any(|name| {
                let name = name.load(Ordering::Acquire);
                name & PRINT_MASK == mark.print() && name >> PRINT_BITS > since
            });
            named || place.floor.load(Ordering::Acquire) > since
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, PLACES, PRINT_BITS, Places, WAYS};

    /// The name of this number at the first place.
    fn name(number: u64) -> Mark {
        Mark::of(number << 32)
    }

    #[test]
    fn a_place_tells_its_last_names_apart_and_forgets_none_but_by_purging_more() {
        let places = Places::new();
        let ways = WAYS as u64;
        for at in 1..=ways {
            places.write(name(at), 10 * at);
        }
        places.write(name(2), 1_000);
        assert!(places.is_later(name(2), 999) && !places.is_later(name(2), 1_000));
        assert!(places.is_later(name(1), 9) && !places.is_later(name(1), 10));
        assert!(!places.is_later(name(0), 0), "nobody purged it");
        places.write(name(ways + 1), 2_000); // the first is forgotten
        assert!(places.is_later(name(1), 9) && places.is_later(name(0), 9));
        assert!(!places.is_later(name(0), 10), "and no more than that");
        assert!(places.is_later(name(3), 29) && !places.is_later(name(3), 30));
        let elsewhere = Mark::of(1 << (32 + PRINT_BITS));
        assert!(!places.is_later(elsewhere, 0), "of {PLACES} places one changed");
    }
}
