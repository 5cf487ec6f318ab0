//! Who is open, and when each is told to leave. Time comes in as a value.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    task::Waker,
    time::{Duration, Instant},
};

use crate::tunnel::Call;

/// The part of a window over which those who will come back are told, in quarters; the rest is for their answers.
const SPREAD_QUARTERS: u32 = 3;

/// What an exchange does when it is called back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It takes leave, and its client comes back at once.
    Returning,
    /// It has an end of its own, and may reach it within the window.
    Ending,
}

/// A seat that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(usize);

/// An exchange that is open.
#[derive(Debug)]
pub(super) struct Seat<L> {
    lane: L,
    manner: Manner,
    waker: Waker,
    told: Call,
    /// The number of the bells that are set for it; `None`: none are.
    bells: Option<u64>,
}

/// When a seat is told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Bell {
    at: Instant,
    seat: usize,
    number: u64,
    call: Call,
}

/// All seats of a core. A bell whose number its seat doesn't know any more is void.
#[derive(Debug)]
pub(super) struct Seats<L> {
    seats: Vec<Option<Seat<L>>>,
    free: Vec<usize>,
    bells: BinaryHeap<Reverse<Bell>>,
    last_number: u64,
}

impl<L> Default for Seats<L> {
    fn default() -> Self {
        Self {
            seats: Vec::new(),
            free: Vec::new(),
            bells: BinaryHeap::new(),
            last_number: 0,
        }
    }
}

impl<L> Seats<L> {
    /// Takes a seat.
    pub(super) fn take(&mut self, lane: L, manner: Manner, waker: Waker) -> Ticket {
        let seat = Some(Seat {
            lane,
            manner,
            waker,
            told: Call::Stay,
            bells: None,
        });
        match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.seats.get_mut(at) {
                    *place = seat;
                }
                Ticket(at)
            }
            None => {
                self.seats.push(seat);
                Ticket(self.seats.len() - 1)
            }
        }
    }

    /// Leaves a seat. What was in it is the caller's to drop.
    pub(super) fn give_back(&mut self, Ticket(at): Ticket) -> Option<Seat<L>> {
        let seat = self.seats.get_mut(at)?.take();
        if seat.is_some() {
            self.free.push(at);
        }
        seat
    }

    /// What a seat has been told, and from now on by whom it is woken; the waker that was there is the caller's to drop.
    pub(super) fn told(&mut self, Ticket(at): Ticket, waker: &Waker) -> (Call, Option<Waker>) {
        let Some(Some(seat)) = self.seats.get_mut(at) else {
            return (Call::Stay, None);
        };
        let old = (!seat.waker.will_wake(waker)).then(|| std::mem::replace(&mut seat.waker, waker.clone()));
        (seat.told, old)
    }

    /// Sets the bells of a seat whose side was switched off: at a moment that `part` picks, and at the window's end.
    pub(super) fn call(&mut self, Ticket(at): Ticket, now: Instant, window: Duration, part: u16) {
        self.last_number += 1;
        let number = self.last_number;
        let Some(Some(seat)) = self.seats.get_mut(at) else {
            return;
        };
        seat.bells = Some(number);
        let mut set = |after, call| {
            self.bells.push(Reverse(Bell {
                at: now + after,
                seat: at,
                number,
                call,
            }));
        };
        if seat.manner == Manner::Returning {
            set(
                window * SPREAD_QUARTERS / 4 * u32::from(part) / (u32::from(u16::MAX) + 1),
                Call::Leave,
            );
        }
        set(window, Call::Cut);
    }

    /// Sets the bells of those whose side was switched off (`window` says how long they have), and takes back those of others.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        window: impl Fn(&L) -> Option<Duration>,
        mut part: impl FnMut() -> u16,
    ) {
        for at in 0..self.seats.len() {
            let Some(Some(seat)) = self.seats.get_mut(at) else {
                continue;
            };
            match (window(&seat.lane), seat.bells, seat.told) {
                (Some(window), None, Call::Stay) => self.call(Ticket(at), now, window, part()),
                (None, Some(_), Call::Stay) => seat.bells = None,
                _ => {}
            }
        }
        // void bells are at most as many as those that were set since the last swap
        let mut bells = std::mem::take(&mut self.bells);
        bells.retain(|Reverse(bell)| self.is_set(bell));
        self.bells = bells;
    }

    /// When somebody is to be told something.
    pub(super) fn next(&mut self) -> Option<Instant> {
        while let Some(Reverse(bell)) = self.bells.peek().copied() {
            if self.is_set(&bell) {
                return Some(bell.at);
            }
            self.bells.pop();
        }
        None
    }

    /// Tells whose time has come, and returns who is to be woken.
    pub(super) fn ring(&mut self, now: Instant) -> Vec<Waker> {
        let mut woken = Vec::new();
        while let Some(Reverse(bell)) = self.bells.peek().copied() {
            if bell.at > now {
                break;
            }
            self.bells.pop();
            if !self.is_set(&bell) {
                continue;
            }
            if let Some(Some(seat)) = self.seats.get_mut(bell.seat) {
                seat.told = bell.call;
                woken.push(seat.waker.clone());
            }
        }
        woken
    }

    fn is_set(&self, bell: &Bell) -> bool {
        let seat = self.seats.get(bell.seat).and_then(Option::as_ref);
        seat.is_some_and(|seat| seat.bells == Some(bell.number))
    }
}

#[cfg(test)]
#[path = "seats_tests.rs"]
mod tests;
