//! Keys whose answers could not be kept: who asks for one waits for nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use super::key::KeyHash;
use crate::clock::UnixTime;

/// Keys that are remembered at most; two that lead to the same place forget each other.
const PLACES: usize = 16_384;

/// What is remembered: in each place 32 bits of a key and the second at which it is forgotten.
#[derive(Debug)]
pub(super) struct Unstorable(Box<[AtomicU64]>);

impl Unstorable {
    pub(super) fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn mark(&self, key: KeyHash, until: UnixTime) {
        let until = u32::try_from(until.secs()).unwrap_or(u32::MAX);
        if let Some(place) = self.place(key) {
            place.store(print(key) | u64::from(until), Ordering::Relaxed);
        }
    }

    pub(super) fn has(&self, key: KeyHash, now: UnixTime) -> bool {
        let known = self.place(key).map_or(0, |place| place.load(Ordering::Relaxed));
        let until = known & u64::from(u32::MAX);
        known ^ until == print(key) && now.secs() < until
    }

    fn place(&self, key: KeyHash) -> Option<&AtomicU64> {
        let place = usize::try_from(key.0 % PLACES as u128).ok()?;
        self.0.get(place)
    }
}

/// The hash's upper 32 bits, in the upper 32 of 64.
const fn print(key: KeyHash) -> u64 {
    ((key.0 >> 96) as u64) << 32
}
