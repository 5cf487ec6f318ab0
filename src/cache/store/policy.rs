//! Who goes when memory is full: S3-FIFO by bytes.
//!
//! What is new waits in a short line. What was asked for again while it waited moves to the main line; the rest goes, and only its
//! hash is remembered for a while, so that it gets into the main line when it comes back soon. A crawler that reads everything
//! once therefore passes through a tenth of the memory and drives nothing out of the rest (Yang et al., "FIFO queues are all you
//! need for cache eviction", SOSP 2023). A use is a small number beside the entry: nothing is moved, and nothing locked, by a look.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use super::key::KeyHash;

/// Uses that count.
const USES_MAX: u8 = 3;
/// Uses in the short line that lead to the main one.
const USES_TO_STAY: u8 = 2;
/// The short line's part of the memory.
const SHORT_PART: u64 = 10;
/// Hashes of entries that went which are remembered: as many as there are in the main line, but within these bounds.
const GHOSTS: std::ops::RangeInclusive<usize> = 1_024..=65_536;
/// Tickets of entries that are gone may stay in a line up to as many as there are others, and this many.
const GONE_MAX: usize = 64;

/// An entry's place in the lines.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) key: KeyHash,
    pub(super) size: u64,
    uses: AtomicU8,
    /// Its entry was replaced or dropped.
    gone: AtomicBool,
    main: AtomicBool,
}

impl Ticket {
    pub(super) const fn new(key: KeyHash, size: u64) -> Self {
        Self {
            key,
            size,
            uses: AtomicU8::new(0),
            gone: AtomicBool::new(false),
            main: AtomicBool::new(false),
        }
    }

    /// Its entry was asked for. What is used most is not written to.
    pub(super) fn touch(&self) {
        let uses = self.uses();
        if uses < USES_MAX {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    /// Takes over the uses of the one whose place it takes, and says whether that was in the main line.
    pub(super) fn succeed(&self, before: &Self) -> bool {
        self.uses.store(before.uses(), Ordering::Relaxed);
        before.is_main()
    }

    fn uses(&self) -> u8 {
        self.uses.load(Ordering::Relaxed)
    }

    fn is_main(&self) -> bool {
        self.main.load(Ordering::Relaxed)
    }
}

/// The lines of one memory.
#[derive(Debug)]
pub(super) struct Policy {
    most: u64,
    short: Line,
    main: Line,
    ghosts: Ghosts,
}

#[derive(Debug, Default)]
struct Line {
    tickets: VecDeque<Arc<Ticket>>,
    bytes: u64,
    gone: usize,
}

impl Policy {
    /// One of this many bytes.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            short: Line::default(),
            main: Line::default(),
            ghosts: Ghosts::default(),
        }
    }

    pub(super) const fn most(&self) -> u64 {
        self.most
    }

    /// Bytes of all that is in it.
    pub(super) const fn bytes(&self) -> u64 {
        self.short.bytes + self.main.bytes
    }

    /// Changes its size; what must go is told.
    pub(super) fn resize(&mut self, most: u64, victim: &mut impl FnMut(Arc<Ticket>)) {
        self.most = most;
        self.make_room(0, victim);
    }

    /// Lets an entry in, and tells which ones go for it. `false`: it is larger than all of the memory.
    ///
    /// One that takes the place of another of the main line goes there.
    pub(super) fn admit(
        &mut self,
        ticket: &Arc<Ticket>,
        main: bool,
        victim: &mut impl FnMut(Arc<Ticket>),
    ) -> bool {
        if ticket.size > self.most {
            return false;
        }
        self.make_room(ticket.size, victim);
        let back = self.ghosts.take(ticket.key);
        self.push(Arc::clone(ticket), main || back);
        true
    }

    /// An entry is no more: its bytes are free.
    pub(super) fn forget(&mut self, ticket: &Ticket) {
        if ticket.gone.swap(true, Ordering::Relaxed) {
            return;
        }
        let line = if ticket.is_main() {
            &mut self.main
        } else {
            &mut self.short
        };
        line.bytes = line.bytes.saturating_sub(ticket.size);
        line.gone += 1;
        if line.gone > GONE_MAX && line.gone * 2 > line.tickets.len() {
            line.tickets.retain(|ticket| !ticket.gone.load(Ordering::Relaxed));
            line.gone = 0;
        }
    }

    fn push(&mut self, ticket: Arc<Ticket>, main: bool) {
        ticket.main.store(main, Ordering::Relaxed);
        let line = if main { &mut self.main } else { &mut self.short };
        line.bytes += ticket.size;
        line.tickets.push_back(ticket);
    }

    fn make_room(&mut self, size: u64, victim: &mut impl FnMut(Arc<Ticket>)) {
        while self.bytes() > 0 && self.bytes().saturating_add(size) > self.most {
            let gone = if self.short.bytes > self.most / SHORT_PART || self.main.bytes == 0 {
                self.go_from_short()
            } else {
                self.go_from_main()
            };
            if let Some(gone) = gone {
                gone.gone.store(true, Ordering::Relaxed);
                victim(gone);
            }
        }
    }

    fn go_from_short(&mut self) -> Option<Arc<Ticket>> {
        let ticket = self.short.pop()?;
        if ticket.uses() >= USES_TO_STAY {
            ticket.uses.store(0, Ordering::Relaxed);
            self.push(ticket, true);
            return None;
        }
        self.ghosts.add(ticket.key, self.main.tickets.len());
        Some(ticket)
    }

    fn go_from_main(&mut self) -> Option<Arc<Ticket>> {
        let ticket = self.main.pop()?;
        if let Some(uses) = ticket.uses().checked_sub(1) {
            ticket.uses.store(uses, Ordering::Relaxed);
            self.push(ticket, true);
            return None;
        }
        Some(ticket)
    }
}

impl Line {
    /// The first whose entry is still there.
    fn pop(&mut self) -> Option<Arc<Ticket>> {
        while let Some(ticket) = self.tickets.pop_front() {
            if ticket.gone.load(Ordering::Relaxed) {
                self.gone = self.gone.saturating_sub(1);
                continue;
            }
            self.bytes = self.bytes.saturating_sub(ticket.size);
            return Some(ticket);
        }
        self.bytes = 0;
        None
    }
}

/// Hashes of entries that went from the short line.
#[derive(Debug, Default)]
struct Ghosts {
    known: HashSet<KeyHash, BuildHasherDefault<AsItIs>>,
    line: VecDeque<KeyHash>,
}

impl Ghosts {
    fn add(&mut self, key: KeyHash, as_many: usize) {
        if self.known.insert(key) {
            self.line.push_back(key);
        }
        let most = as_many.clamp(*GHOSTS.start(), *GHOSTS.end());
        while self.line.len() > most {
            if let Some(old) = self.line.pop_front() {
                self.known.remove(&old); // one that came back is known no longer, but its place in line ends only here
            }
        }
    }

    fn take(&mut self, key: KeyHash) -> bool {
        self.known.remove(&key)
    }
}

/// Takes a hash as it is: keys are hashed already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any half of a hash is one")]
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
