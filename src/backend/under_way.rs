//! An exchange that is under way with a server: counted there, and in its seats, until it is over.

use std::rc::Rc;

use smallvec::SmallVec;

use super::pool::Pool;
use crate::shield::line::Seat;

/// Counts an exchange as under way until it is dropped.
#[derive(Debug)]
pub struct UnderWay {
    pool: Rc<Pool>,
    seats: SmallVec<[Seat; 2]>,
}

impl UnderWay {
    /// At `pool`, which has counted it in.
    pub(super) fn at(pool: Rc<Pool>) -> Self {
        Self {
            pool,
            seats: SmallVec::new(),
        }
    }

    /// Holds `seat` as long.
    pub fn hold(&mut self, seat: Seat) {
        self.seats.push(seat);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let in_flight = &self.pool.in_flight;
        in_flight.set(in_flight.get().saturating_sub(1));
    }
}
