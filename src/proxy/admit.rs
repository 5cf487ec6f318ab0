//! Who is let in: rates and open requests of a route, seats of a squad or backend, and who waits for one.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use smallvec::SmallVec;
use tokio::time::timeout_at;

use super::{edge::Edge, follow::Following, refusal::Refusal, seats::neighbourhood};
use crate::{
    clock,
    message::Head,
    observe::{
        metrics::{Family, Label},
        record::Record,
    },
    policy::protection::By,
    shield::{
        crowd::Place,
        line::{Class, Entry, Full, Line, Seat, Terms},
    },
    snapshot::{
        Rule, Snapshot,
        decide::Decision,
        shields::{Asked, Checks, SquadLine},
    },
    visitor::{self, SeenState},
};

/// What an exchange holds until its answer is over.
#[derive(Debug, Default)]
pub(super) struct Holds {
    places: SmallVec<[Place; 2]>,
    seat: Option<Seat>,
}

/// Lets a request in, or says why not. Where nothing is bounded that is all there is to it.
///
/// # Errors
/// 429 with the time to wait, where its visitor or address asks too much.
pub(super) fn check_in(
    decision: &Decision<'_>,
    rule: &Rule,
    head: &Head,
    edge: &Edge,
    following: &mut Following,
) -> Result<(), Refusal> {
    if let Some(checks) = &rule.shield.checks {
        let places = check(checks, decision, rule, head, following.record.client);
        let places = places.map_err(|refused| shed(refused, &rule.name, edge))?;
        following.holds.get_or_insert_default().places = places;
    }
    Ok(())
}

/// Takes a seat of its squad, where those are counted, and says how a request stands wherever it waits.
///
/// # Errors
/// 503, where its squad has no seat for it.
pub(super) async fn take_seat(
    decision: &Decision<'_>,
    rule: &Rule,
    head: &Head,
    edge: &Edge,
    at: &Snapshot,
    following: &mut Following,
) -> Result<Class, Refusal> {
    let backend = at.backend(decision.backend);
    let bounded = rule.line.is_some() || backend.is_some_and(|backend| backend.settings.line.is_some());
    if !bounded {
        return Ok(Class::default());
    }
    let class = class_of(rule, head);
    if let Some(SquadLine { line, terms }) = &rule.line {
        let deadline = deadline_of(Some(rule), following.record.began);
        let wanted = Wanted {
            line,
            terms: *terms,
            class,
            deadline,
            of: &rule.squad,
        };
        // boxed, so that other requests carry nothing of it
        let seat = Box::pin(seat(wanted, edge, &mut following.record)).await?;
        following.holds.get_or_insert_default().seat = Some(seat);
    }
    Ok(class)
}

/// When everything about a request that began at `began` must be over, if its route says so.
pub(super) fn deadline_of(rule: Option<&Rule>, began: Instant) -> Option<Instant> {
    rule?.policy.protection.timeouts.total.map(|total| began + total)
}

/// What a browser fetches ahead and what crawlers want comes after what somebody waits for.
fn class_of(rule: &Rule, head: &Head) -> Class {
    if visitor::is_crawler(&head.headers) {
        Class::Crawler
    } else if visitor::is_prefetch(&head.headers) {
        Class::Prefetch
    } else {
        rule.policy.protection.limits.class
    }
}

/// Somebody asks too much.
#[derive(Clone, Copy)]
struct TooMuch {
    why: &'static str,
    wait: Duration,
}

/// How soon who has too many requests open may find one of them over.
const OPEN_WAIT: Duration = Duration::from_secs(1);

fn check(
    checks: &Checks,
    decision: &Decision<'_>,
    rule: &Rule,
    head: &Head,
    client: IpAddr,
) -> Result<SmallVec<[Place; 2]>, TooMuch> {
    let (limits, address) = (&rule.policy.protection.limits, neighbourhood(client));
    // who was only just given a cookie would be another visitor with each request that does not bring it
    let brought = matches!(decision.seen, SeenState::Valid | SeenState::ValidRefresh);
    let visitor = decision.visitor.as_ref().filter(|_| brought);
    let visitor = visitor.map(visitor::Visitor::id);
    let now = clock::steady();
    for (limit, asked) in limits.rates.iter().zip(&checks.rates) {
        let taken = match asked {
            Asked::Together(meter) => meter.take(limit.rate, now),
            Asked::Each(meters) => {
                let own = match &limit.by {
                    By::Route | By::Address => None,
                    By::Visitor => visitor.map(str::as_bytes),
                    By::User => decision.identity.as_deref().map(|user| user.subject.as_bytes()),
                    By::Header(name) => head.headers.get(name.as_str()).map(|value| value.as_bytes()),
                };
                match own {
                    Some(own) => meters.take(own, limit.rate, now),
                    None => meters.take(address, limit.rate, now),
                }
            }
        };
        taken.map_err(|wait| TooMuch { why: "rate", wait })?;
    }
    let mut places = SmallVec::new();
    if let Some(max) = limits.address_max {
        let place = checks.addresses.enter(address, max);
        places.push(place.map_err(|_| open("address"))?);
    }
    if let Some(max) = limits.visitor_max {
        let place = match visitor {
            Some(visitor) => checks.visitors.enter(visitor, max),
            None => checks.visitors.enter(address, max),
        };
        places.push(place.map_err(|_| open("visitor"))?);
    }
    Ok(places)
}

const fn open(why: &'static str) -> TooMuch {
    TooMuch { why, wait: OPEN_WAIT }
}

fn shed(refused: TooMuch, route: &Arc<str>, edge: &Edge) -> Refusal {
    count(edge, route, refused.why);
    Refusal::too_many(refused.why, refused.wait)
}

/// Counts a request that was sent away: by which route, squad or backend, and why.
pub(super) fn count(edge: &Edge, of: &Arc<str>, why: &'static str) {
    edge.observe
        .count(Family::Shed, &[Label::Name(of), Label::Word(why)], 1);
}

/// A seat that a request wants.
pub(super) struct Wanted<'w> {
    pub(super) line: &'w Arc<Line>,
    pub(super) terms: Terms,
    pub(super) class: Class,
    /// When nobody wants it any more.
    pub(super) deadline: Option<Instant>,
    /// Whose it is: a squad's or a backend's name.
    pub(super) of: &'w Arc<str>,
}

/// A seat, waited for if that is how it is.
///
/// # Errors
/// 503 with `Retry-After`: at once where waiting makes no sense.
pub(super) async fn seat(wanted: Wanted<'_>, edge: &Edge, record: &mut Record) -> Result<Seat, Refusal> {
    let now = clock::steady();
    let entered = wanted.line.enter(wanted.class, wanted.terms, now);
    let full = |why| {
        count(edge, wanted.of, why);
        Refusal::full(why)
    };
    let mut turn = match entered {
        Ok(Entry::Seat(seat)) => return Ok(seat),
        Ok(Entry::Turn(turn)) => turn,
        Err(Full) => return Err(full("full")),
    };
    let _waiting = edge.observe.hold(Family::Waiting, &[Label::Name(wanted.of)]);
    let patience = now + wanted.terms.patience;
    let until = wanted
        .deadline
        .map_or(patience, |deadline| deadline.min(patience));
    let came = timeout_at(until.into(), turn.seat()).await;
    let waited = clock::steady().saturating_duration_since(now);
    record.timings.queue = Some(record.timings.queue.unwrap_or_default() + waited);
    match came {
        Ok(Ok(seat)) => Ok(seat),
        Ok(Err(Full)) => Err(full("displaced")),
        Err(_) => Err(full("queue-timeout")),
    }
}
