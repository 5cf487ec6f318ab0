//! What a room counts: the next number, the number that is called next, and the seats; atomics that all cores share.
//!
//! `taken` is raised, up to the room's size, before a seat is filled, and lowered after it is emptied: there are never more inside.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use super::{INSIDE_MAX, RoomSettings, carry::CarriedSeats, estimate::Pace};

/// What times of seats are counted in.
const TICK: Duration = Duration::from_millis(100);
/// Seats that are made at once.
const BLOCK: u32 = 1_024;
const BLOCKS: usize = (INSIDE_MAX / BLOCK + 1) as usize;
/// Looks at all seats for a free one, of which there is one, before the next request tries.
const ROUNDS_MAX: u32 = 2;
/// Looks for the seat of a number that another core is just calling.
const LOOKS_MAX: u32 = 64;
/// The window over which the pace is measured, twice.
const WINDOW: u64 = 60_000 / 100;
/// Holders of seats without a number have this bit, others not.
const NUMBERLESS: u32 = 1 << 31;
/// A seat that is taken, for nobody yet.
const NOBODY: u32 = u32::MAX;

/// A number of ticks.
pub(super) fn ticks(since: Duration) -> u64 {
    u64::try_from(since.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX)
}

/// Why a called number has no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// It is being called on another core.
    Soon,
    /// Its holder did not come in time.
    Gone,
}

/// Seats, each a word: 0 if it is free, else whether its holder is only called, when it was last used (31 bits), and the holder.
#[derive(Debug)]
pub(super) struct Seats {
    blocks: Box<[OnceLock<Box<[AtomicU64]>>]>,
    /// Seats that there are: the most that the room ever had.
    count: AtomicU32,
    /// Where a free one is looked for first.
    hint: AtomicU32,
    taken: AtomicU64,
    next: AtomicU64,
    serving: AtomicU64,
    /// Calls under way: the number is called, its seat not yet written.
    calling: AtomicU32,
    numberless: AtomicU32,
    tended: AtomicU64,
    admitted: AtomicU64,
    expired: AtomicU64,
    missed: AtomicU64,
    windows: Windows,
}

/// Seats that became free in this window and in the one before.
#[derive(Debug, Default)]
struct Windows {
    began: AtomicU64,
    now: AtomicU64,
    before: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word {
    called: bool,
    tick: u64,
    holder: u32,
}

impl Word {
    const CALLED: u64 = 1 << 63;

    fn of(raw: u64) -> Option<Self> {
        (raw != 0).then_some(Self {
            called: raw & Self::CALLED != 0,
            tick: (raw & !Self::CALLED) >> 32,
            holder: (raw & u64::from(u32::MAX)) as u32,
        })
    }

    /// Never 0: ticks begin at 1, and 31 bits of them are six years.
    fn raw(self) -> u64 {
        let called = if self.called { Self::CALLED } else { 0 };
        called | (self.tick.clamp(1, (1 << 31) - 1) << 32) | u64::from(self.holder)
    }
}

impl Default for Seats {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            blocks: (0..BLOCKS).map(|_| OnceLock::new()).collect(),
            count: AtomicU32::new(0),
            hint: AtomicU32::new(0),
            taken: zero(),
            next: zero(),
            serving: zero(),
            calling: AtomicU32::new(0),
            numberless: AtomicU32::new(0),
            tended: zero(),
            admitted: zero(),
            expired: zero(),
            missed: zero(),
            windows: Windows::default(),
        }
    }
}

impl Seats {
    /// Makes seats for so many. There are never fewer than before: who sits stays.
    pub(super) fn have(&self, inside: u32) {
        let blocks = self.blocks.iter().take(inside.div_ceil(BLOCK) as usize);
        for block in blocks {
            block.get_or_init(|| (0..BLOCK).map(|_| AtomicU64::new(0)).collect());
        }
        self.count.fetch_max(inside.min(INSIDE_MAX), SeqCst);
    }

    /// What is counted.
    pub(super) fn carried(&self) -> CarriedSeats {
        let count = self.count.load(SeqCst);
        let taken = (0..count).filter_map(|seat| {
            let word = self.word(seat).filter(|word| word.holder != NOBODY)?;
            Some((seat, word.raw()))
        });
        CarriedSeats {
            count,
            taken: taken.collect(),
            next: self.next.load(SeqCst),
            serving: self.serving.load(SeqCst),
            numberless: self.numberless.load(SeqCst),
            tended: self.tended.load(SeqCst),
            admitted: self.admitted.load(SeqCst),
            expired: self.expired.load(SeqCst),
            missed: self.missed.load(SeqCst),
            windows: [&self.windows.began, &self.windows.now, &self.windows.before]
                .map(|number| number.load(SeqCst)),
        }
    }

    /// Counts on from there. Nobody may use them yet.
    pub(super) fn take_up(&self, carried: &CarriedSeats) {
        self.have(carried.count);
        let mut taken = 0;
        for (seat, raw) in &carried.taken {
            if let (Some(place), Some(_)) = (self.seat(*seat), Word::of(*raw)) {
                taken += u64::from(place.swap(*raw, SeqCst) == 0);
            }
        }
        self.taken.store(taken, SeqCst);
        self.numberless.store(carried.numberless, SeqCst);
        let windows = [&self.windows.began, &self.windows.now, &self.windows.before];
        let numbers = [
            (&self.next, carried.next),
            (&self.serving, carried.serving.min(carried.next)),
            (&self.tended, carried.tended),
            (&self.admitted, carried.admitted),
            (&self.expired, carried.expired),
            (&self.missed, carried.missed),
        ];
        for (place, number) in numbers
            .into_iter()
            .chain(windows.into_iter().zip(carried.windows))
        {
            place.store(number, SeqCst);
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.next_numbers(1)
    }

    /// The first of so many numbers.
    pub(super) fn next_numbers(&self, count: u64) -> u64 {
        self.next.fetch_add(count, SeqCst)
    }

    pub(super) fn is_called(&self, number: u64) -> bool {
        number < self.serving.load(SeqCst)
    }

    /// How many numbers are called before this one.
    pub(super) fn ahead(&self, number: u64) -> u64 {
        number.saturating_sub(self.serving.load(SeqCst))
    }

    pub(super) fn waiting(&self) -> u64 {
        let serving = self.serving.load(SeqCst); // read first: it never passes `next`
        self.next.load(SeqCst).saturating_sub(serving)
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(SeqCst)
    }

    pub(super) fn admitted(&self) -> u64 {
        self.admitted.load(SeqCst)
    }

    pub(super) fn expired(&self) -> u64 {
        self.expired.load(SeqCst)
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed.load(SeqCst)
    }

    /// Calls the next number into a free seat. Says whether there were both.
    pub(super) fn call_next(&self, tick: u64, settings: &RoomSettings) -> bool {
        if self.waiting() == 0 {
            return false;
        }
        let Some(seat) = self.reserve(tick, settings) else {
            return false;
        };
        self.calling.fetch_add(1, SeqCst);
        let mut serving = self.serving.load(SeqCst);
        let number = loop {
            if serving >= self.next.load(SeqCst) {
                break None;
            }
            match self
                .serving
                .compare_exchange(serving, serving + 1, SeqCst, SeqCst)
            {
                Ok(number) => break Some(number),
                Err(now) => serving = now,
            }
        };
        match number {
            Some(number) => {
                let word = Word {
                    called: true,
                    tick,
                    holder: holder_of(number),
                };
                self.put(seat, word);
            }
            None => self.empty(seat),
        }
        self.calling.fetch_sub(1, SeqCst);
        number.is_some()
    }

    /// Takes a seat without a number.
    pub(super) fn sit_down(&self, tick: u64, settings: &RoomSettings) -> Option<(u32, u32)> {
        let seat = self.reserve(tick, settings)?;
        let holder = NUMBERLESS | (self.numberless.fetch_add(1, SeqCst) % (NUMBERLESS - 1));
        let word = Word {
            called: false,
            tick,
            holder,
        };
        self.put(seat, word);
        self.admitted.fetch_add(1, SeqCst);
        Some((seat, holder))
    }

    /// The seat of a called number, which is its holder's from now on.
    pub(super) fn claim(&self, number: u64, tick: u64) -> Result<(u32, u32), NoSeat> {
        let seat = self.find(number)?;
        let holder = holder_of(number);
        let (Some(place), true) = (self.seat(seat), self.touch(seat, holder, tick)) else {
            return Err(NoSeat::Gone);
        };
        let claimed = place.fetch_update(SeqCst, SeqCst, |raw| {
            let word = Word::of(raw).filter(|word| word.holder == holder && word.called)?;
            Some(
                Word {
                    called: false,
                    ..word
                }
                .raw(),
            )
        });
        if claimed.is_ok() {
            self.admitted.fetch_add(1, SeqCst);
        }
        Ok((seat, holder))
    }

    /// Where a called number sits, or may sit.
    pub(super) fn find(&self, number: u64) -> Result<u32, NoSeat> {
        let holder = holder_of(number);
        for _ in 0..LOOKS_MAX {
            let settled = self.calling.load(SeqCst) == 0; // read first: what was under way then is written now
            let found = (0..self.count.load(SeqCst)).find(|seat| self.is_held(*seat, holder));
            match found {
                Some(seat) => return Ok(seat),
                None if settled => return Err(NoSeat::Gone),
                None => std::hint::spin_loop(),
            }
        }
        Err(NoSeat::Soon)
    }

    pub(super) fn is_held(&self, seat: u32, holder: u32) -> bool {
        self.word(seat).is_some_and(|word| word.holder == holder)
    }

    /// The holder of a seat is here; false: it is somebody else's by now.
    pub(super) fn touch(&self, seat: u32, holder: u32, tick: u64) -> bool {
        let Some(place) = self.seat(seat) else {
            return false;
        };
        let mut raw = place.load(SeqCst);
        loop {
            let Some(word) = Word::of(raw).filter(|word| word.holder == holder) else {
                return false;
            };
            if word.tick >= tick {
                return true;
            }
            match place.compare_exchange(raw, Word { tick, ..word }.raw(), SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(now) => raw = now,
            }
        }
    }

    /// Gives back seats that are kept in vain. Once in a tick, by whoever comes first.
    pub(super) fn tend(&self, tick: u64, settings: &RoomSettings) {
        let tended = self.tended.load(SeqCst);
        if tick <= tended
            || self
                .tended
                .compare_exchange(tended, tick, SeqCst, SeqCst)
                .is_err()
        {
            return;
        }
        let (idle, claim) = (ticks(settings.idle), ticks(settings.claim));
        if self.taken() > 0 {
            for seat in 0..self.count.load(SeqCst) {
                let Some(place) = self.seat(seat) else { continue };
                let raw = place.load(SeqCst);
                // who reserves a seat is about to fill it
                let Some(word) = Word::of(raw).filter(|word| word.holder != NOBODY) else {
                    continue;
                };
                let (kept, counter) = match word.called {
                    true => (claim, &self.missed),
                    false => (idle, &self.expired),
                };
                if tick.saturating_sub(word.tick) > kept
                    && place.compare_exchange(raw, 0, SeqCst, SeqCst).is_ok()
                {
                    self.taken.fetch_sub(1, SeqCst);
                    self.hint.store(seat, SeqCst);
                    counter.fetch_add(1, SeqCst);
                    self.windows.now.fetch_add(1, SeqCst);
                }
            }
        }
        self.windows.turn(tick);
    }

    /// How fast seats become free.
    pub(super) fn pace(&self, tick: u64) -> Pace {
        let windows = &self.windows;
        let began = windows.began.load(SeqCst);
        Pace {
            freed: windows.before.load(SeqCst) + windows.now.load(SeqCst),
            within: TICK
                * u32::try_from((tick.saturating_sub(began) + WINDOW.min(began)).max(1)).unwrap_or(u32::MAX),
        }
    }

    /// Takes a seat for nobody yet, if one is free.
    fn reserve(&self, tick: u64, settings: &RoomSettings) -> Option<u32> {
        let inside = u64::from(settings.inside);
        let room = |taken: u64| (taken < inside).then_some(taken + 1);
        self.taken.fetch_update(SeqCst, SeqCst, room).ok()?;
        let word = Word {
            called: true,
            tick,
            holder: NOBODY,
        };
        let (count, first) = (self.count.load(SeqCst).max(1), self.hint.load(SeqCst));
        for step in 0..count.saturating_mul(ROUNDS_MAX) {
            let seat = first.wrapping_add(step) % count;
            let place = self.seat(seat);
            if place.is_some_and(|place| place.compare_exchange(0, word.raw(), SeqCst, SeqCst).is_ok()) {
                self.hint.store((seat + 1) % count, SeqCst);
                return Some(seat);
            }
        }
        self.taken.fetch_sub(1, SeqCst);
        None
    }

    fn empty(&self, seat: u32) {
        if let Some(place) = self.seat(seat) {
            place.store(0, SeqCst);
        }
        self.taken.fetch_sub(1, SeqCst);
        self.hint.store(seat, SeqCst);
    }

    fn put(&self, seat: u32, word: Word) {
        if let Some(place) = self.seat(seat) {
            place.store(word.raw(), SeqCst);
        }
    }

    fn word(&self, seat: u32) -> Option<Word> {
        Word::of(self.seat(seat)?.load(SeqCst))
    }

    fn seat(&self, seat: u32) -> Option<&AtomicU64> {
        let block = self.blocks.get((seat / BLOCK) as usize)?.get()?;
        block.get((seat % BLOCK) as usize)
    }
}

impl Windows {
    fn turn(&self, tick: u64) {
        let began = self.began.load(SeqCst);
        if tick.saturating_sub(began) < WINDOW {
            return;
        }
        let now = self.now.swap(0, SeqCst);
        // after a pause of two windows nothing is known of the one before
        let told = if tick.saturating_sub(began) < 2 * WINDOW {
            now
        } else {
            0
        };
        self.before.store(told, SeqCst);
        self.began.store(tick, SeqCst);
    }
}

/// Numbers that are two thousand million apart look alike; only one of them can be called and not yet gone.
const fn holder_of(number: u64) -> u32 {
    (number & (NUMBERLESS - 1) as u64) as u32
}
