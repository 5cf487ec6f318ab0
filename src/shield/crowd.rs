//! So many at once for each key: a visitor or an address.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Hasher, KEYS_MAX, WAYS};

/// Who is in, by key, for at most [`KEYS_MAX`] keys at one time. Who finds no slot is let in uncounted.
#[derive(Debug)]
pub struct Crowd {
    hasher: Hasher,
    /// A tag and a count, of 32 bits each. Nobody is in where the count is 0.
    slots: Box<[AtomicU64]>,
}

const TAG_BITS: u32 = 32;
const COUNT: u64 = u32::MAX as u64;

/// One of a key's places, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    slot: Option<usize>,
}

/// The key has all the places that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Default for Crowd {
    fn default() -> Self {
        Self {
            hasher: Hasher::default(),
            slots: (0..KEYS_MAX).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Crowd {
    /// A place for `key`, of which at most `max` are in at once.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(self: &Arc<Self>, key: impl Hash, max: u32) -> Result<Place, Full> {
        let mark = self.hasher.mark(key, TAG_BITS);
        let place = |slot| Place {
            crowd: Arc::clone(self),
            slot,
        };
        loop {
            let set = mark.first..mark.first + WAYS;
            let seen = set.filter_map(|at| Some((at, self.slots.get(at)?.load(Ordering::Relaxed))));
            let best = seen.min_by_key(|(_, seen)| {
                let own = seen & COUNT > 0 && seen >> TAG_BITS == mark.tag;
                (!own, seen & COUNT)
            });
            let Some((at, seen)) = best else {
                return Ok(place(None));
            };
            let count = match (seen & COUNT, seen >> TAG_BITS == mark.tag) {
                (0, _) => 0,
                (count, true) => count,
                (_, false) => return Ok(place(None)), // all slots are somebody else's
            };
            if count >= u64::from(max) {
                return Err(Full);
            }
            let written = mark.tag << TAG_BITS | (count + 1);
            let changed = self.slots.get(at).is_none_or(|slot| {
                slot.compare_exchange_weak(seen, written, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
            });
            if changed {
                return Ok(place(Some(at)));
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.and_then(|at| self.crowd.slots.get(at)) {
            slot.fetch_sub(1, Ordering::Relaxed); // the slot is this key's as long as its count is not 0
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use proptest::prelude::*;

    use super::{Crowd, Full};

    #[test]
    fn who_finds_no_slot_is_let_in_uncounted() {
        let crowd = Arc::new(Crowd::default());
        let places: Vec<_> = (0..100_000).map(|key| crowd.enter(key, 1).unwrap()).collect();
        assert!(places.iter().filter(|place| place.slot.is_some()).count() <= super::KEYS_MAX);
        drop(places);
        assert!(
            crowd
                .slots
                .iter()
                .all(|slot| slot.load(Ordering::Relaxed) & super::COUNT == 0)
        );
    }

    #[test]
    fn cores_together_never_let_more_in() {
        let (crowd, most, now) = (
            Arc::new(Crowd::default()),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        let run = || {
            let (crowd, most, now) = (Arc::clone(&crowd), Arc::clone(&most), Arc::clone(&now));
            std::thread::spawn(move || {
                for _ in 0..5_000 {
                    if let Ok(_place) = crowd.enter("one", 2) {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        now.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            })
        };
        let threads: Vec<_> = (0..4).map(|_| run()).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert!(crowd.enter("one", 1).is_ok());
    }

    proptest! {
        /// A crowd is a count for each key.
        #[test]
        fn a_crowd_counts_each_key(story in prop::collection::vec((0u8..6, any::<bool>()), 0..300), max in 1u32..5) {
            let crowd = Arc::new(Crowd::default());
            let mut places: HashMap<u8, Vec<super::Place>> = HashMap::new();
            for (key, comes) in story {
                let own = places.entry(key).or_default();
                if comes {
                    match crowd.enter(key, max) {
                        Ok(place) => own.push(place),
                        Err(Full) => prop_assert_eq!(own.len(), max as usize),
                    }
                    prop_assert!(own.len() <= max as usize);
                } else {
                    own.pop();
                }
            }
        }
    }
}
