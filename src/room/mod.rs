//! Waiting rooms: at most so many visitors inside, the rest in order. Pure: time, tickets and randomness come in, a verdict goes out.
//!
//! A visitor takes a number ([`Held::Waits`]); numbers are called in order, each into a free seat; whoever comes with a called number
//! sits ([`Held::Sits`]) until nothing was asked for a while. The router keeps the next number, the number that is called next and the
//! seats: nothing grows with those who wait, whose place is in their signed ticket alone. Before a room opens ([`RoomSettings::opens`])
//! visitors hold lots ([`Held::Early`]); at the opening all lots are shuffled (`draw`), and who comes later is behind them.
//! `seats` is what is counted, in atomics that all cores share; `estimate` says how long a place will take.

mod carry;
mod count;
mod draw;
mod estimate;
#[cfg(test)]
mod order_tests;
mod seats;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub use self::{carry::Carried, count::Count, estimate::Estimate};
use self::{draw::Draw, seats::Seats};
use crate::{
    clock::{Moment, UnixTime},
    name::{FlagKey, Place, RoomName},
};

/// The most visitors that a room may have inside: eight bytes for each.
pub const INSIDE_MAX: u32 = 100_000;
/// How long a seat is kept for a visitor who asks nothing, unless said otherwise.
pub const IDLE_DEFAULT: Duration = Duration::from_secs(300);
/// How long a called number is waited for, unless said otherwise: a browser lets a page in the background look once a minute.
pub const CLAIM_DEFAULT: Duration = Duration::from_secs(90);
/// How long either may be at most.
pub const KEPT_MAX: Duration = Duration::from_secs(86_400);
/// How long either is at least: seats are looked at ten times a second.
pub const KEPT_MIN: Duration = Duration::from_millis(200);
/// Numbers that one request calls at most, so that no visitor pays for a room that was just made much larger.
const CALLS_AT_ONCE: usize = 256;

/// `[rooms.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSettings {
    /// Its name.
    pub name: RoomName,
    /// Where it is written.
    pub place: Place,
    /// Visitors inside at once, 1 to [`INSIDE_MAX`].
    pub inside: u32,
    /// How long a seat is kept for a visitor who asks nothing.
    pub idle: Duration,
    /// How long a called number is waited for.
    pub claim: Duration,
    /// When it opens; `None`: it is open.
    pub opens: Option<UnixTime>,
    /// Any of these roles passes by, and is not counted.
    pub bypass: Vec<String>,
    /// Flags whose visitors wait here where they lead to another variant than their default.
    pub flags: Vec<FlagKey>,
}

/// A waiting room at work. What it counts is carried over from one version of its settings to the next.
#[derive(Debug)]
pub struct Room {
    /// What its table says.
    pub settings: RoomSettings,
    state: Arc<State>,
    draw: Arc<Draw>,
}

/// What outlives settings.
#[derive(Debug)]
struct State {
    base: OnceLock<Base>,
    seats: Seats,
    held_back: AtomicU64,
    bypassed: AtomicU64,
    refused: AtomicU64,
    /// Another program lets visitors in from now on.
    handed_over: AtomicBool,
}

/// What a room's numbers and times are counted from. The first visitor makes it.
#[derive(Debug, Clone, Copy)]
struct Base {
    /// Tells these numbers from those of an earlier life of the program.
    epoch: u64,
    began: Instant,
}

/// What a visitor's signed ticket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Whose numbers these are: [`Room::admit`] knows its own.
    pub epoch: u64,
    /// Where its bearer is.
    pub held: Held,
}

/// Where the bearer of a ticket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    /// Before the door, with a lot.
    Early {
        /// Which draw.
        draw: u64,
        /// Which lot.
        lot: u64,
    },
    /// In line, with a number.
    Waits(u64),
    /// Inside.
    Sits {
        /// Which seat.
        seat: u32,
        /// Whose it is.
        holder: u32,
    },
}

/// Who comes to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comer {
    /// A visitor, with the ticket that the browser carries.
    Visitor(Option<Ticket>),
    /// Somebody or something that can't wait in line: a crawler, a preflight, a part of a page, whoever has no cookie. It passes while
    /// nobody waits and a seat is free, and takes none.
    Bystander,
    /// Somebody with one of the roles that pass by.
    Exempt,
}

/// What becomes of somebody who comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Admission {
    /// Passes, and is not counted.
    Bypass,
    /// Is inside.
    Inside {
        /// What the browser carries from now on; `None`: what it has.
        ticket: Option<Ticket>,
    },
    /// Is not let in.
    Waiting(Wait),
}

/// How somebody waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wait {
    /// What the browser carries from now on; `None`: what it has, or nothing.
    pub ticket: Option<Ticket>,
    /// How many are before this one; `None`: there is no line yet, or this one isn't in it.
    pub ahead: Option<u64>,
    /// How long that will take, if that can be told.
    pub estimate: Option<Estimate>,
    /// When the door opens, if it is closed.
    pub opens: Option<UnixTime>,
    /// This one lost a place: the number was called and nobody came, or a seat was left for too long.
    pub again: bool,
    /// When to look again.
    pub look_again: Duration,
}

/// Where a ticket stands, without anything being changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    /// There is no ticket, or none that counts.
    Unknown,
    /// In line.
    Waits(Wait),
    /// The number is called: whoever comes now is let in.
    Called,
    /// Inside.
    Sits,
}

impl Room {
    /// A room for these settings, with what the previous one of that name counts.
    #[must_use]
    pub fn new(settings: RoomSettings, previous: Option<&Self>) -> Self {
        let state = previous.map_or_else(
            || {
                Arc::new(State {
                    base: OnceLock::new(),
                    seats: Seats::default(),
                    held_back: AtomicU64::new(0),
                    bypassed: AtomicU64::new(0),
                    refused: AtomicU64::new(0),
                    handed_over: AtomicBool::new(false),
                })
            },
            |previous| Arc::clone(&previous.state),
        );
        state.seats.have(settings.inside);
        let same =
            previous.filter(|before| !before.draw.is_over() || before.settings.opens == settings.opens);
        let draw = same.map_or_else(|| Arc::new(Draw::new()), |before| Arc::clone(&before.draw));
        Self {
            settings,
            state,
            draw,
        }
    }

    /// What becomes of `comer`. `entropy` must be random.
    pub fn admit(&self, comer: Comer, now: Moment, entropy: [u8; 16]) -> Admission {
        let base = self.base(now, entropy);
        let tick = self.tick(base, now);
        let comer = if self.is_handed_over() {
            self.without_a_seat(comer, base, tick)
        } else {
            self.open(now, entropy);
            self.state.seats.tend(tick, &self.settings);
            comer
        };
        let admission = match comer {
            Comer::Exempt => Admission::Bypass,
            Comer::Bystander if self.is_quiet(now) => Admission::Bypass,
            Comer::Bystander => Admission::Waiting(self.wait(None, now, tick)),
            Comer::Visitor(ticket) => self.visit(ticket, base, now, tick),
        };
        let counted = match admission {
            Admission::Bypass => &self.state.bypassed,
            Admission::Waiting(_) => &self.state.held_back,
            Admission::Inside { .. } => return admission,
        };
        counted.fetch_add(1, Ordering::Relaxed);
        admission
    }

    fn is_handed_over(&self) -> bool {
        self.state.handed_over.load(Ordering::SeqCst)
    }

    /// Whoever doesn't sit comes by, where another program lets visitors in.
    fn without_a_seat(&self, comer: Comer, base: Base, tick: u64) -> Comer {
        let sits = |ticket: Ticket| match ticket.held {
            Held::Sits { seat, holder } => {
                ticket.epoch == base.epoch && self.state.seats.touch(seat, holder, tick)
            }
            Held::Early { .. } | Held::Waits(_) => false,
        };
        match comer {
            Comer::Visitor(ticket) if !ticket.is_some_and(sits) => Comer::Bystander,
            comer => comer,
        }
    }

    /// Where this ticket stands. Nothing changes by asking.
    #[must_use]
    pub fn standing(&self, ticket: Option<Ticket>, now: Moment) -> Standing {
        let Some(base) = self.state.base.get() else {
            return Standing::Unknown;
        };
        let Some(ticket) = ticket.filter(|ticket| ticket.epoch == base.epoch) else {
            return Standing::Unknown;
        };
        let tick = self.tick(*base, now);
        let number = match ticket.held {
            Held::Sits { seat, holder } if self.state.seats.is_held(seat, holder) => return Standing::Sits,
            Held::Sits { .. } => return Standing::Unknown,
            Held::Waits(number) => number,
            Held::Early { draw, lot } => match self.number_of(draw, lot) {
                Ok(number) => number,
                Err(Lot::Undrawn) => return Standing::Waits(self.wait(None, now, tick)),
                Err(Lot::Void) => return Standing::Unknown,
            },
        };
        if !self.state.seats.is_called(number) {
            return Standing::Waits(self.wait(Some(number), now, tick));
        }
        match self.state.seats.find(number) {
            Ok(_) | Err(seats::NoSeat::Soon) => Standing::Called,
            Err(seats::NoSeat::Gone) => Standing::Unknown,
        }
    }

    /// Gives back seats that are kept in vain. To be called about once a second, by anyone.
    pub fn tend(&self, now: Moment) {
        if let Some(base) = self.state.base.get()
            && !self.is_handed_over()
        {
            let tick = self.tick(*base, now);
            self.state.seats.tend(tick, &self.settings);
            if self.is_open(now) {
                self.call(tick, None);
            }
        }
    }

    /// A ticket came that does not count.
    pub fn refuse(&self) {
        self.state.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the door is open.
    #[must_use]
    pub fn is_open(&self, now: Moment) -> bool {
        self.settings.opens.is_none_or(|opens| now.wall() >= opens)
    }

    /// Whether one of these roles passes by.
    #[must_use]
    pub fn exempts(&self, roles: &[String]) -> bool {
        self.settings.bypass.iter().any(|role| roles.contains(role))
    }

    fn visit(&self, ticket: Option<Ticket>, base: Base, now: Moment, tick: u64) -> Admission {
        let of = |held| {
            Some(Ticket {
                epoch: base.epoch,
                held,
            })
        };
        let seats = &self.state.seats;
        let own = ticket.filter(|ticket| ticket.epoch == base.epoch);
        let mut again = false;
        let known = match own.map(|ticket| ticket.held) {
            Some(Held::Sits { seat, holder }) => {
                if seats.touch(seat, holder, tick) {
                    return Admission::Inside { ticket: None };
                }
                again = true;
                None
            }
            Some(Held::Waits(number)) => Some((number, false)),
            Some(Held::Early { draw, lot }) => match self.number_of(draw, lot) {
                Ok(number) => Some((number, true)),
                Err(Lot::Undrawn) => return Admission::Waiting(self.wait(None, now, tick)),
                Err(Lot::Void) => None,
            },
            None => {
                // the program began anew while somebody was inside: who was in stays in, as far as there are seats
                let was_inside = ticket.is_some_and(|ticket| matches!(ticket.held, Held::Sits { .. }));
                if was_inside && let Some((seat, holder)) = seats.sit_down(tick, &self.settings) {
                    return Admission::Inside {
                        ticket: of(Held::Sits { seat, holder }),
                    };
                }
                if ticket.is_some() {
                    self.refuse();
                }
                None
            }
        };
        if let Some((number, fresh)) = known {
            match self.come(number, now, tick) {
                Ok((seat, holder)) => {
                    return Admission::Inside {
                        ticket: of(Held::Sits { seat, holder }),
                    };
                }
                Err(Come::Waits) => {
                    let wait = self.wait(Some(number), now, tick);
                    let ticket = if fresh { of(Held::Waits(number)) } else { None };
                    return Admission::Waiting(Wait { ticket, ..wait });
                }
                Err(Come::TooLate) => again = true,
            }
        }
        self.begin(of, again, now, tick)
    }

    /// Somebody who has no place yet.
    fn begin(&self, of: impl Fn(Held) -> Option<Ticket>, again: bool, now: Moment, tick: u64) -> Admission {
        if !self.is_open(now) {
            let (draw, lot) = self.draw.lot();
            return Admission::Waiting(Wait {
                ticket: of(Held::Early { draw, lot }),
                again,
                ..self.wait(None, now, tick)
            });
        }
        let number = self.state.seats.next_number();
        match self.come(number, now, tick) {
            Ok((seat, holder)) => Admission::Inside {
                ticket: of(Held::Sits { seat, holder }),
            },
            Err(_) => Admission::Waiting(Wait {
                ticket: of(Held::Waits(number)),
                again,
                ..self.wait(Some(number), now, tick)
            }),
        }
    }

    /// The holder of `number` comes.
    fn come(&self, number: u64, now: Moment, tick: u64) -> Result<(u32, u32), Come> {
        let seats = &self.state.seats;
        if self.is_open(now) {
            self.call(tick, Some(number));
        }
        if !seats.is_called(number) {
            return Err(Come::Waits);
        }
        seats.claim(number, tick).map_err(|none| match none {
            seats::NoSeat::Soon => Come::Waits,
            seats::NoSeat::Gone => Come::TooLate,
        })
    }

    /// Calls numbers into free seats, until `wanted` is called or nothing is left to do.
    fn call(&self, tick: u64, wanted: Option<u64>) {
        let seats = &self.state.seats;
        for _ in 0..CALLS_AT_ONCE {
            let done = wanted.is_some_and(|wanted| seats.is_called(wanted));
            if done || !seats.call_next(tick, &self.settings) {
                return;
            }
        }
    }

    fn wait(&self, number: Option<u64>, now: Moment, tick: u64) -> Wait {
        let seats = &self.state.seats;
        let ahead = number.map(|number| seats.ahead(number));
        let closed = !self.is_open(now);
        Wait {
            ticket: None,
            ahead,
            estimate: ahead
                .filter(|_| !closed)
                .and_then(|ahead| seats.pace(tick).until(ahead + 1)),
            opens: self.settings.opens.filter(|_| closed),
            again: false,
            look_again: self.look_again(ahead),
        }
    }

    /// Three looks fit into the time that a called number is waited for; the next ones look more often.
    fn look_again(&self, ahead: Option<u64>) -> Duration {
        let near = ahead.is_some_and(|ahead| ahead <= u64::from(self.settings.inside / 4 + 5));
        let most = Duration::from_secs(if near { 5 } else { 15 });
        (self.settings.claim / 3).clamp(Duration::from_secs(1), most)
    }

    /// Nobody waits, and there is a seat.
    fn is_quiet(&self, now: Moment) -> bool {
        let seats = &self.state.seats;
        self.is_open(now) && seats.waiting() == 0 && seats.taken() < u64::from(self.settings.inside)
    }

    /// Draws the lots, once the door is open.
    fn open(&self, now: Moment, entropy: [u8; 16]) {
        if self.is_open(now) {
            self.draw
                .draw(entropy, |count| self.state.seats.next_numbers(count));
        }
    }

    fn number_of(&self, draw: u64, lot: u64) -> Result<u64, Lot> {
        if draw != self.draw.id() {
            return Err(Lot::Void);
        }
        match self.draw.number(lot) {
            None => Err(Lot::Undrawn),
            Some(number) => number.ok_or(Lot::Void),
        }
    }

    fn base(&self, now: Moment, entropy: [u8; 16]) -> Base {
        let [a, b, c, d, e, f, g, h, ..] = entropy;
        *self.state.base.get_or_init(|| Base {
            epoch: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            began: now.steady,
        })
    }

    fn tick(&self, base: Base, now: Moment) -> u64 {
        seats::ticks(now.steady.saturating_duration_since(base.began)) + 1
    }
}

/// Why a number gets no seat now.
enum Come {
    Waits,
    TooLate,
}

/// Why a lot has no number.
enum Lot {
    Undrawn,
    Void,
}
