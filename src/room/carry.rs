//! What a room counts, as another program of the same site takes it up: nothing in it grows with those who wait.

use std::{
    sync::atomic::Ordering::{Relaxed, SeqCst},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Base, Room};
use crate::clock::Moment;

/// What a room counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Its name.
    pub name: String,
    pub(super) base: Option<CarriedBase>,
    pub(super) seats: CarriedSeats,
    pub(super) draw: CarriedDraw,
    pub(super) held_back: u64,
    pub(super) bypassed: u64,
    pub(super) refused: u64,
}

/// What its numbers and times are counted from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CarriedBase {
    epoch: u64,
    /// Milliseconds since its first visitor.
    age: u64,
}

/// Who sits, and who is called next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CarriedSeats {
    /// Seats that there are.
    pub(super) count: u32,
    /// Those that are taken: which, and the word that says by whom.
    pub(super) taken: Vec<(u32, u64)>,
    pub(super) next: u64,
    pub(super) serving: u64,
    pub(super) numberless: u32,
    pub(super) tended: u64,
    pub(super) admitted: u64,
    pub(super) expired: u64,
    pub(super) missed: u64,
    /// When the window of the pace began, what became free in it, and in the one before.
    pub(super) windows: [u64; 3],
}

/// The draw among those who came before the opening.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CarriedDraw {
    pub(super) id: u64,
    pub(super) lots: u64,
    /// Seed, first number and lots, once it is over.
    pub(super) drawn: Option<([u64; 2], u64, u64)>,
}

impl Room {
    /// Lets nobody in any longer but those who sit, since another program does that from now on, or (`false`) goes on as before. While
    /// nobody waits and a seat is free who comes passes and takes none.
    pub fn hand_over(&self, handed_over: bool) {
        self.state.handed_over.store(handed_over, SeqCst);
    }

    /// What it counts. To be asked after [`Room::hand_over`].
    #[must_use]
    pub fn carried(&self, now: Moment) -> Carried {
        Carried {
            name: self.settings.name.as_str().to_owned(),
            base: self.state.base.get().map(|base| CarriedBase {
                epoch: base.epoch,
                age: millis(now.steady.saturating_duration_since(base.began)),
            }),
            seats: self.state.seats.carried(),
            draw: self.draw.carried(),
            held_back: self.state.held_back.load(Relaxed),
            bypassed: self.state.bypassed.load(Relaxed),
            refused: self.state.refused.load(Relaxed),
        }
    }

    /// Goes on where the room that says `carried` stopped. Nobody may have come to this one yet: `false` if somebody has.
    #[must_use]
    pub fn take_up(&self, carried: &Carried, now: Moment) -> bool {
        if let Some(base) = &carried.base {
            let age = Duration::from_millis(base.age);
            let base = Base {
                epoch: base.epoch,
                began: now.steady.checked_sub(age).unwrap_or(now.steady),
            };
            if self.state.base.set(base).is_err() {
                return false;
            }
        }
        self.state.seats.take_up(&carried.seats);
        self.draw.take_up(&carried.draw);
        self.state.held_back.store(carried.held_back, Relaxed);
        self.state.bypassed.store(carried.bypassed, Relaxed);
        self.state.refused.store(carried.refused, Relaxed);
        true
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
