//! What a room tells of itself.

use std::sync::atomic::Ordering;

use super::{Estimate, Room};
use crate::clock::Moment;

/// What a room counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Seats that are taken, those included that wait for their called number.
    pub inside: u64,
    /// Numbers that are not called yet, lots included. Some of their holders may have gone.
    pub waiting: u64,
    /// Visitors who took a seat, since the start.
    pub admitted: u64,
    /// Seats given back because nothing was asked for too long.
    pub expired: u64,
    /// Called numbers for which nobody came.
    pub missed: u64,
    /// Requests that were answered by the room.
    pub held_back: u64,
    /// Requests that passed without being counted.
    pub bypassed: u64,
    /// Tickets that did not count: changed, someone else's, or of another life of the program.
    pub refused: u64,
    /// How long the last in line will wait, if that can be told.
    pub estimate: Option<Estimate>,
    /// Whether the door is open.
    pub open: bool,
}

impl Room {
    /// What it counts.
    #[must_use]
    pub fn count(&self, now: Moment) -> Count {
        let seats = &self.state.seats;
        let tick = self.state.base.get().map_or(0, |base| self.tick(*base, now));
        let waiting = seats.waiting();
        Count {
            inside: seats.taken(),
            waiting: waiting + self.draw.undrawn(),
            admitted: seats.admitted(),
            expired: seats.expired(),
            missed: seats.missed(),
            held_back: self.state.held_back.load(Ordering::Relaxed),
            bypassed: self.state.bypassed.load(Ordering::Relaxed),
            refused: self.state.refused.load(Ordering::Relaxed),
            estimate: (waiting > 0).then(|| seats.pace(tick).until(waiting)).flatten(),
            open: self.is_open(now),
        }
    }
}
