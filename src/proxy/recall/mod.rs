//! Calls back open exchanges whose side was switched off: WebSockets, streams and downloads that a flag's variant had picked.
//!
//! An exchange takes a seat on its core when its answer is not over with its head. At each swap the core asks of every seat whether
//! its variant [can still be given](crate::flag::Flag::may_give) or its route leads to the same backend all the same. Where neither
//! is so, the seat has the flag's `drain` to get empty. Those who come back at once (WebSockets, other tunnels, event streams) are
//! told at moments spread over the window; everything else may finish until its end. A swap that switches the side on again leaves
//! alone whoever was not told yet.

mod seats;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use self::seats::{Manner, Seats, Ticket};
use super::edge::Edge;
use crate::{
    body::Body,
    clock,
    fields::Known,
    flag::VariantIndex,
    message::Response,
    observe::record::Record,
    route::RouteId,
    snapshot::{Rule, Snapshot, Target, decide::Decision, versions::is_named},
    tunnel::{self, Call},
};

/// Where a flag led an exchange. Small and copied: it is noted for each answer of such a route, and seldom looked at.
#[derive(Debug, Clone, Copy)]
pub struct Side {
    version: u64,
    route: RouteId,
    variant: VariantIndex,
    drain: Duration,
    manner: Manner,
}

impl Side {
    /// Where a variant of the route's first flag led a request, if one picks the backend there.
    #[must_use]
    pub fn of(decision: &Decision<'_>, rule: &Rule, at: &Snapshot) -> Option<Self> {
        let Target::Variants { .. } = &rule.target else {
            return None;
        };
        let (flag, choice) = decision.choices.first()?;
        Some(Self {
            version: at.version,
            route: decision.route,
            variant: choice.variant?,
            drain: at.flags.get(*flag)?.settings().drain,
            manner: Manner::Ending,
        })
    }

    /// Looks at what came from there.
    pub fn see(&mut self, answer: &Response) {
        self.manner = manner(answer);
    }
}

fn manner(response: &Response) -> Manner {
    if matches!(response.body, Body::Tunnel(_)) {
        return Manner::Returning;
    }
    let media = response.headers.get(Known::CONTENT_TYPE);
    let is_events = media.is_some_and(|media| {
        let media = media.as_bytes().split(|byte| *byte == b';').next();
        media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
    });
    if is_events {
        Manner::Returning
    } else {
        Manner::Ending
    }
}

/// All open exchanges of one route that one variant led to one backend.
#[derive(Debug)]
pub(super) struct Lane {
    flag: Arc<str>,
    variant: Arc<str>,
    route: Arc<str>,
    squad: Arc<str>,
    backend: Arc<str>,
    drain: Duration,
    /// What the last snapshot made of it.
    judged: Cell<(u64, Option<Duration>)>,
}

impl Lane {
    fn new(side: Side, record: &Record) -> Option<Self> {
        let facts = record.flag.as_ref()?;
        Some(Self {
            flag: Arc::clone(&facts.flag),
            variant: Arc::clone(&facts.variant),
            route: Arc::clone(record.route.as_ref()?),
            squad: Arc::clone(record.squad.as_ref()?),
            backend: Arc::clone(record.backend.as_ref()?),
            drain: side.drain,
            judged: Cell::new((side.version, None)),
        })
    }

    /// How long it has, if it was switched off.
    fn window(&self, at: &Snapshot) -> Option<Duration> {
        let (version, window) = self.judged.get();
        if version == at.version {
            return window;
        }
        let window = self.judge(at);
        self.judged.set((at.version, window));
        window
    }

    fn judge(&self, at: &Snapshot) -> Option<Duration> {
        let flag = at.flags.by_key(&self.flag).and_then(|id| at.flags.get(id));
        if flag.is_some_and(|flag| flag.may_give(&self.variant)) {
            return None;
        }
        let mut rules = at.rules.iter();
        let stays = rules.any(|rule| {
            rule.name == self.route && rule.squad == self.squad && leads_to(rule, &self.backend, at)
        });
        let drain = flag.map_or(self.drain, |flag| flag.settings().drain);
        (!stays).then_some(drain)
    }
}

/// Whether anybody is still led to `backend` by `rule`.
fn leads_to(rule: &Rule, backend: &str, at: &Snapshot) -> bool {
    let is_it = |id| {
        at.backend(id)
            .is_some_and(|known| is_named(backend, known.settings.name.as_str()))
    };
    match &rule.target {
        Target::Backend(id) => is_it(*id),
        Target::Redirect(_) => false,
        Target::Variants {
            by_variant,
            otherwise,
        } => {
            let flag = rule.flags.first().and_then(|id| at.flags.get(*id));
            let Some(flag) = flag else {
                return is_it(*otherwise);
            };
            let mut given = flag.variants().iter().zip(by_variant);
            is_it(*otherwise) || given.any(|(name, id)| is_it(*id) && flag.may_give(name.as_str()))
        }
    }
}

/// A core's open exchanges that flags led somewhere.
///
/// It holds no more seats than there are exchanges under way, which connections and their streams bound, and no more lanes than
/// a snapshot has routes and variants.
#[derive(Debug, Default)]
pub struct Recalls {
    seats: RefCell<Seats<Rc<Lane>>>,
    lanes: RefCell<Lanes>,
    /// Rung when somebody has to be told something sooner than was planned.
    bell: Notify,
}

/// The lanes of the newest snapshot that an exchange took a seat under.
#[derive(Debug, Default)]
struct Lanes {
    version: u64,
    known: HashMap<(RouteId, VariantIndex), Rc<Lane>>,
}

impl Recalls {
    fn lane(&self, side: Side, record: &Record) -> Option<Rc<Lane>> {
        let mut lanes = self.lanes.borrow_mut();
        if side.version > lanes.version {
            lanes.version = side.version;
            lanes.known.clear();
        }
        if side.version < lanes.version {
            return Lane::new(side, record).map(Rc::new);
        }
        if let Some(lane) = lanes.known.get(&(side.route, side.variant)) {
            return Some(Rc::clone(lane));
        }
        let lane = Rc::new(Lane::new(side, record)?);
        lanes.known.insert((side.route, side.variant), Rc::clone(&lane));
        Some(lane)
    }

    /// Asks of every seat whether its side was switched off, or on again.
    fn judge(&self, edge: &Edge) {
        let at = edge.view.load();
        let now = clock::steady();
        let mut seats = self.seats.borrow_mut();
        seats.judge(now, |lane| lane.window(&at), || part(edge));
    }

    fn ring(&self) {
        let woken = self.seats.borrow_mut().ring(clock::steady());
        for waker in woken {
            waker.wake(); // behind the borrow: who wakes may give a seat back
        }
    }
}

/// A random part of one, in 65,536ths.
fn part(edge: &Edge) -> u16 {
    let [high, low, ..] = edge.random8();
    u16::from_be_bytes([high, low])
}

/// Tells this core's exchanges what swaps and deadlines mean for them, for as long as the core lives.
pub async fn keep(edge: Rc<Edge>) {
    let mut swaps = edge.view.swaps();
    let recalls = &edge.recalls;
    loop {
        let next = recalls.seats.borrow_mut().next();
        tokio::select! {
            swapped = swaps.changed() => match swapped {
                Ok(()) => recalls.judge(&edge),
                Err(_) => return, // nothing will be published any more
            },
            () = recalls.bell.notified() => {}
            () = until(next) => recalls.ring(),
        }
    }
}

async fn until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}

/// An exchange's hold on its seat, which is given back when it is dropped.
pub struct Recall {
    edge: Rc<Edge>,
    lane: Rc<Lane>,
    manner: Manner,
    ticket: Option<Ticket>,
}

impl Recall {
    /// For an exchange that went to `side`. The seat is taken with the first poll.
    #[must_use]
    pub fn new(side: Side, record: &Record, edge: &Rc<Edge>) -> Option<Self> {
        if record.failover.is_some() || record.error_page.is_some() {
            return None; // another backend answers, which no variant picked
        }
        Some(Self {
            lane: edge.recalls.lane(side, record)?,
            edge: Rc::clone(edge),
            manner: side.manner,
            ticket: None,
        })
    }

    /// Whether to take leave means the answer's orderly end: who reads an event stream comes back.
    #[must_use]
    pub fn ends_in_order(&self) -> bool {
        self.manner == Manner::Returning
    }

    fn take(&self, cx: &Context<'_>) -> Ticket {
        let window = self.lane.window(&self.edge.view.load());
        let mut seats = self.edge.recalls.seats.borrow_mut();
        let ticket = seats.take(Rc::clone(&self.lane), self.manner, cx.waker().clone());
        if let Some(window) = window {
            // it was decided just before its side was switched off
            seats.call(ticket, clock::steady(), window, part(&self.edge));
            self.edge.recalls.bell.notify_one();
        }
        ticket
    }
}

impl tunnel::Recall for Recall {
    fn poll(&mut self, cx: &mut Context<'_>) -> Call {
        let Some(ticket) = self.ticket else {
            self.ticket = Some(self.take(cx));
            return Call::Stay;
        };
        let (call, old) = self.edge.recalls.seats.borrow_mut().told(ticket, cx.waker());
        drop(old); // behind the borrow: the last of a task's wakers may drop what holds a seat
        call
    }
}

impl Drop for Recall {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let seat = self.edge.recalls.seats.borrow_mut().give_back(ticket);
            drop(seat);
        }
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall")
            .field("lane", &self.lane)
            .field("manner", &self.manner)
            .field("ticket", &self.ticket)
            .finish_non_exhaustive()
    }
}
