//! What many exchanges have in common, worked out once: where they are counted, and the middle of their line.
//!
//! Exchanges by the same route to the same server that end alike differ in path, times and bytes only. A core keeps what it worked
//! out for the kinds that it sees often; all others take the long way, with the same result.

use std::sync::Arc;

use http::StatusCode;

use super::{
    log::Middle,
    metrics::Plan,
    record::{CacheFacts, ErrorPage, Failover, FlagFacts, Listener, Outcome, Record, Side},
};

/// Sets of two kinds: a core keeps twice as many kinds, each about a kilobyte at most in a sane site.
const SETS: usize = 512;

/// One kind of exchange.
#[derive(Debug)]
pub(super) struct Shape {
    facts: Facts,
    /// Where it is counted.
    pub(super) plan: Plan,
    /// The middle of its line; none where lines have no such thing.
    pub(super) middle: Option<Middle>,
}

impl Shape {
    /// The kind of `record`.
    pub(super) fn new(record: &Record, plan: Plan, middle: Option<Middle>) -> Self {
        Self {
            facts: Facts::of(record),
            plan,
            middle,
        }
    }
}

/// Kinds of exchanges that a core sees often.
#[derive(Debug)]
pub(super) struct Shapes {
    sets: Box<[Set]>,
}

#[derive(Debug, Default)]
struct Set {
    shapes: [Option<Box<Shape>>; 2],
    /// Who asked last and was not found: it is worth keeping when it asks again.
    missed: u64,
}

impl Shapes {
    pub(super) fn new() -> Self {
        Self {
            sets: (0..SETS).map(|_| Set::default()).collect(),
        }
    }

    /// The kind of `record`, if it is known; one that asks for the second time is made.
    pub(super) fn of(&mut self, record: &Record, make: impl FnOnce() -> Shape) -> Option<&Shape> {
        let mark = mark(record);
        let at = usize::try_from(mark >> 32).unwrap_or(0) % SETS;
        let set = self.sets.get_mut(at)?;
        let known = |shape: &Option<Box<Shape>>| shape.as_ref().is_some_and(|shape| shape.facts.are(record));
        if let Some(at) = set.shapes.iter().position(known) {
            return set.shapes.get(at)?.as_deref();
        }
        if std::mem::replace(&mut set.missed, mark) != mark {
            return None;
        }
        let [first, second] = &mut set.shapes;
        *second = first.replace(Box::new(make()));
        first.as_deref()
    }

    /// Names changed: nothing that was worked out holds any more.
    pub(super) fn clear(&mut self) {
        self.sets.fill_with(Set::default);
    }
}

/// All that decides where an exchange is counted and what the middle of its line says. Its names keep their texts where they are.
#[derive(Debug)]
struct Facts {
    listener: Listener,
    method: &'static str,
    status: Option<StatusCode>,
    attempts: u32,
    outcome: Outcome,
    details: Option<&'static str>,
    error_page: Option<ErrorPage>,
    aborted: Option<Side>,
    visitor: Option<&'static str>,
    gate: Option<&'static str>,
    would_deny: Option<&'static str>,
    route: Option<Arc<str>>,
    squad: Option<Arc<str>>,
    backend: Option<Arc<str>>,
    failover: Option<Box<Failover>>,
    server: Option<Arc<str>>,
    flag: Option<FlagFacts>,
    flags: Box<[FlagFacts]>,
    cache: Option<CacheFacts>,
    /// Whether a server answered, and whether bytes went in and out.
    there: [bool; 3],
}

impl Facts {
    fn of(record: &Record) -> Self {
        Self {
            listener: record.listener,
            method: record.method_class(),
            status: record.status,
            attempts: record.attempts,
            outcome: record.outcome,
            details: record.details,
            error_page: record.error_page,
            aborted: record.aborted,
            visitor: record.visitor,
            gate: record.gate,
            would_deny: record.would_deny,
            route: record.route.clone(),
            squad: record.squad.clone(),
            backend: record.backend.clone(),
            failover: record.failover.clone(),
            server: record.server.clone(),
            flag: record.flag.clone(),
            flags: record.flags.as_slice().into(),
            cache: record.cache.get(),
            there: there(record),
        }
    }

    fn are(&self, record: &Record) -> bool {
        self.listener == record.listener
            && self.status == record.status
            && self.attempts == record.attempts
            && self.aborted == record.aborted
            && self.there == there(record)
            && self.error_page == record.error_page
            && same_name(self.route.as_ref(), record.route.as_ref())
            && same_name(self.server.as_ref(), record.server.as_ref())
            && same_name(self.backend.as_ref(), record.backend.as_ref())
            && self.failover == record.failover
            && same_cache(self.cache, record.cache.get())
            && same_name(self.squad.as_ref(), record.squad.as_ref())
            && same_word(self.visitor, record.visitor)
            && same_word(self.gate, record.gate)
            && same_word(self.would_deny, record.would_deny)
            && same(self.method, record.method_class())
            && same_outcome(self.outcome, record.outcome)
            && same_word(self.details, record.details)
            && same_flags(self.flag.as_slice(), record.flag.as_slice())
            && same_flags(&self.flags, &record.flags)
    }
}

const fn there(record: &Record) -> [bool; 3] {
    [
        record.timings.first_byte.is_some(),
        record.bytes_in > 0,
        record.bytes_out > 0,
    ]
}

/// Nearly always they lie at the same place.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.as_ptr() == other.as_ptr() || one == other)
}

fn same_word(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same(one, other),
        (None, None) => true,
        _ => false,
    }
}

fn same_name(one: Option<&Arc<str>>, other: Option<&Arc<str>>) -> bool {
    same_word(one.map(|name| &**name), other.map(|name| &**name))
}

fn same_cache(one: Option<CacheFacts>, other: Option<CacheFacts>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => {
            same(one.result, other.result)
                && same_word(one.forwarded, other.forwarded)
                && same_word(one.detail, other.detail)
        }
        (None, None) => true,
        _ => false,
    }
}

fn same_outcome(one: Outcome, other: Outcome) -> bool {
    match (one, other) {
        (Outcome::Forwarded, Outcome::Forwarded) => true,
        _ => one == other,
    }
}

fn same_flags(one: &[FlagFacts], other: &[FlagFacts]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            same(&one.flag, &other.flag)
                && same(&one.variant, &other.variant)
                && same(one.reason, other.reason)
                && same_word(one.error, other.error)
        })
}

/// A quick hash of what differs most, by place rather than text: a name that moved is merely a kind that is worked out again.
fn mark(record: &Record) -> u64 {
    let place = |text: &str| text.as_ptr() as usize as u64;
    let name = |name: &Option<Arc<str>>| name.as_ref().map_or(0, |name| place(name));
    let (flag, variant) = record
        .flag
        .as_ref()
        .map_or((0, 0), |flag| (place(&flag.flag), text_mark(&flag.variant)));
    let there = there(record)
        .iter()
        .fold(0, |bits, there| bits << 1 | u64::from(*there));
    let small = u64::from(record.status.map_or(0, |status| status.as_u16()))
        | u64::from(record.attempts & 0xff) << 16
        | (record.listener as u64) << 24
        | there << 28;
    let words = [
        small,
        name(&record.route),
        name(&record.server),
        flag,
        variant,
        place(record.visitor.unwrap_or_default()),
        place(record.method_class()),
        record.cache.get().map_or(0, |cache| place(cache.result)),
    ];
    words.into_iter().fold(0, |mark, word| {
        (mark.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
    })
}

/// Of a variant, whose text may be made anew for each exchange.
fn text_mark(text: &str) -> u64 {
    let ends = [text.as_bytes().first(), text.as_bytes().last()];
    ends.into_iter().fold(text.len() as u64, |mark, byte| {
        mark << 8 | u64::from(byte.copied().unwrap_or_default())
    })
}
