//! Which server takes the next exchange: the less loaded of two that chance names, or the next in turn.
//!
//! Two choices keep the fullest server within `ln ln n` of the mean, without any core knowing what the others do (Mitzenmacher,
//! "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001). Chance names servers by their weights.

use std::cell::Cell;

use super::table::Table;

/// How a backend chooses a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pick {
    /// The one of two where an exchange costs less: latency, times what is under way for each seat.
    #[default]
    LeastLoaded,
    /// One after the other, by weight.
    RoundRobin,
    /// The same one for the same key, on a ring of hashes with bounded loads; without a key as [`Pick::LeastLoaded`].
    Hash(Key),
}

impl Pick {
    /// For people: `least-loaded`, `round-robin`, `hash of cookie:cart`.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::LeastLoaded => "least-loaded".to_owned(),
            Self::RoundRobin => "round-robin".to_owned(),
            Self::Hash(key) => format!("hash of {}", key.words()),
        }
    }
}

/// What of a request is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A cookie's value.
    Cookie(Box<str>),
    /// A field's value.
    Header(http::HeaderName),
    /// Who is signed in.
    Identity,
    /// The client's address.
    Address,
}

impl Key {
    /// As it is written.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Cookie(name) => format!("cookie:{name}"),
            Self::Header(name) => format!("header:{name}"),
            Self::Identity => "identity".to_owned(),
            Self::Address => "address".to_owned(),
        }
    }
}

/// What is known of a backend's servers just now.
pub trait Field {
    /// Whether checks and breakers let traffic go there.
    fn is_well(&self, at: usize) -> bool;
    /// Whether this exchange has tried it.
    fn is_tried(&self, at: usize) -> bool;
    /// What one more exchange costs there.
    fn cost(&self, at: usize) -> f64;
    /// What share of its part it takes by now: below 1 while it starts slowly.
    fn ramp(&self, at: usize) -> f64;
}

/// Below this ratio of costs one server is no better than the other, and chance, which knows weights, decides.
const BETTER: f64 = 0.75;

/// Chooses among the servers of `table`: the less costly of two. `panic_below`: where fewer percent are well, all may be chosen.
///
/// When none is well all may be, since a wrong health check must not take a whole backend down. `random`: any 64 random bits.
/// `None` only when the table is empty.
pub fn least_loaded(table: &Table, field: &impl Field, panic_below: f64, random: u64) -> Option<usize> {
    let fit = |at: usize| field.is_well(at) && !field.is_tried(at);
    let (first, second) = two(table, random, |_| true)?;
    if fit(first) && second.is_none_or(fit) {
        return Some(better(first, second, field, random));
    }
    let fit = fitness(table, field, panic_below);
    let (first, second) = two(table, random, |at| fit.takes(at, field))?;
    Some(better(first, second, field, random))
}

/// The next in turn: `turns` holds what each server of the table has been owed so far.
///
/// Nginx's smooth round robin: each is owed its weight every time, and who is owed most pays all for its turn.
pub fn in_turn(table: &Table, turns: &Turns, field: &impl Field, panic_below: f64) -> Option<usize> {
    let fit = fitness(table, field, panic_below);
    let (mut chosen, mut all): (Option<(usize, f64)>, f64) = (None, 0.0);
    for (at, weight) in table.iter().filter(|(at, _)| fit.takes(*at, field)) {
        let owed = turns.0.get(at)?;
        let share = f64::from(weight) * field.ramp(at);
        owed.set(owed.get() + share);
        all += share;
        if chosen.is_none_or(|(_, most)| owed.get() > most + 1e-9) {
            chosen = Some((at, owed.get()));
        }
    }
    let (at, owed) = chosen?;
    turns.0.get(at)?.set(owed - all);
    Some(at)
}

/// What each server is owed.
#[derive(Debug)]
pub struct Turns(Vec<Cell<f64>>);

impl Turns {
    /// For so many servers. They begin at different places on different cores, by `random`, or all would begin with the same one.
    #[must_use]
    pub fn new(count: usize, random: u64) -> Self {
        let first = place(random as u32, count);
        let begins = |at| Cell::new(if at == first { 1e-6 } else { 0.0 });
        Self((0..count).map(begins).collect())
    }
}

/// Who may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// Who is well and was not tried.
    Well,
    /// Who was not tried.
    Untried,
    /// All.
    All,
}

impl Fit {
    pub(super) fn takes(self, at: usize, field: &impl Field) -> bool {
        match self {
            Self::Well => field.is_well(at) && !field.is_tried(at),
            Self::Untried => !field.is_tried(at),
            Self::All => true,
        }
    }
}

/// Who may be chosen: the well ones, unless there is none of them or too few in the whole.
pub(super) fn fitness(table: &Table, field: &impl Field, panic_below: f64) -> Fit {
    let (mut well, mut fit, mut untried) = (0_u64, false, false);
    for (at, weight) in table.iter() {
        let (is_well, is_tried) = (field.is_well(at), field.is_tried(at));
        well += if is_well { u64::from(weight) } else { 0 };
        fit |= is_well && !is_tried;
        untried |= !is_tried;
    }
    let in_panic = (well as f64) * 100.0 < panic_below * f64::from(table.weight());
    match (fit && !in_panic, untried) {
        (true, _) => Fit::Well,
        (false, true) => Fit::Untried,
        (false, false) => Fit::All,
    }
}

/// Two different ones, each by its weight, or the only one.
fn two(table: &Table, random: u64, takes: impl Fn(usize) -> bool) -> Option<(usize, Option<usize>)> {
    table.two(random as u32, (random >> 32) as u32, takes)
}

/// Who takes it: a server that starts slowly only takes its share by now.
fn better(first: usize, second: Option<usize>, field: &impl Field, random: u64) -> usize {
    let Some(second) = second else {
        return first;
    };
    let (first_ramp, second_ramp) = (field.ramp(first), field.ramp(second));
    if first_ramp < 1.0 || second_ramp < 1.0 {
        let chance = (mixed(random) >> 40) as f64 / (1_u64 << 24) as f64;
        match (chance < first_ramp, chance < second_ramp) {
            (true, false) => return first,
            (false, true) => return second,
            _ => {}
        }
    }
    if field.cost(second) < field.cost(first) * BETTER {
        second
    } else {
        first
    }
}

/// Maps 32 random bits onto `0..below` by multiply and shift.
pub(super) fn place(random: u32, below: usize) -> usize {
    ((u64::from(random) * below as u64) >> 32) as usize
}

/// Spreads what 64 bits say over all of them (`SplitMix64`'s last step).
#[must_use]
pub const fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
