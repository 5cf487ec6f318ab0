//! What the cache does for a request between its decision and its backend.
//!
//! [`key`] says which request it is and what of it the backend gets, [`serving`] makes answers of what is kept, [`flights`] has one request
//! ask for all that want the same, [`arriving`] lets them read along, [`shortcut`] knows requests again, `fetch` asks and keeps, `dropping` is for
//! unsafe methods.

pub mod arriving;
mod dropping;
mod fetch;
pub mod flights;
pub mod key;
pub mod serving;
pub mod shortcut;

use std::{rc::Rc, sync::Arc};

use http::StatusCode;

use self::{
    fetch::Fetch,
    flights::{Lead, Outcome, Part},
    key::{Keyed, Noted},
    serving::Wanted,
};
use super::{
    edge::Edge,
    elsewhere,
    exchange::Passed,
    forward,
    forward::Outgoing,
    headers, passing,
    refusal::{Refusal, Retry},
};
use crate::{
    backend::under_way::UnderWay,
    cache::{
        directives::Wishes,
        status::{Forwarded, Told},
        store::{Entry, KeyHash, tally::Tally},
        vary,
    },
    clock::{self, UnixTime},
    fields::Fields,
    message::Response,
    observe::record::{CacheFacts, Record, Side},
    policy::caching::Caching,
    snapshot::{Rule, Snapshot},
    wire::Interim,
};

/// The way to the backends.
pub(super) struct Way<'w> {
    /// The route.
    pub rule: &'w Rule,
    /// The core.
    pub edge: &'w Rc<Edge>,
    /// The snapshot of the exchange.
    pub at: &'w Snapshot,
    /// What is written down of it.
    pub record: &'w mut Record,
    /// Takes interim answers.
    pub interim: &'w mut dyn Interim,
}

impl<'w> Way<'w> {
    /// The way of one exchange.
    pub(super) fn new(
        rule: &'w Rule,
        edge: &'w Rc<Edge>,
        at: &'w Snapshot,
        record: &'w mut Record,
        interim: &'w mut dyn Interim,
    ) -> Self {
        Self {
            rule,
            edge,
            at,
            record,
            interim,
        }
    }

    async fn send(&mut self, outgoing: Outgoing<'_>) -> Result<(Response, UnderWay), Refusal> {
        elsewhere::send(outgoing, self.edge, self.at, self.record, self.interim).await
    }

    /// As `send`; the answer is without what is of one connection, and without cookies that its backend may not set.
    async fn ask(&mut self, outgoing: Outgoing<'_>) -> Result<(Response, UnderWay), Refusal> {
        let (mut response, under_way) = self.send(outgoing).await?;
        headers::strip_hop_by_hop(&mut response.headers);
        passing::strip_cookies(&mut response.headers, &self.rule.policy);
        Ok((response, under_way))
    }

    /// Writes down what the cache was to the exchange, and why.
    fn note(&self, what: Tally, told: Told) -> Told {
        note(self.record, what, told)
    }
}

/// Writes down what the cache was to an exchange, for log and metrics.
fn note(record: &Record, what: Tally, told: Told) -> Told {
    record.cache.set(Some(CacheFacts {
        result: what.as_str(),
        forwarded: told.forwarded.map(Forwarded::as_str),
        detail: told.detail,
    }));
    told
}

/// Sends a request where its route leads, or answers it from the cache. `noted` is what the cache must know of it, if anything.
///
/// # Errors
/// The last attempt's [`Refusal`].
pub(super) async fn send(
    noted: Option<Box<Noted>>,
    outgoing: Outgoing<'_>,
    mut way: Way<'_>,
) -> Result<Passed, Refusal> {
    let Some(noted) = noted else {
        let (response, under_way) = way.send(outgoing).await?;
        return Ok((response, Some(under_way)));
    };
    // boxed, so that requests of routes without a cache carry nothing of it
    Box::pin(through(&noted, outgoing, way)).await
}

async fn through(noted: &Noted, outgoing: Outgoing<'_>, mut way: Way<'_>) -> Result<Passed, Refusal> {
    let policy = Arc::clone(&way.rule.policy);
    let Some(caching) = policy.cache.as_deref() else {
        return dropping::send(noted, outgoing, way).await;
    };
    let past = |why, detail| Told::forwarded(why, detail);
    if !key::is_cacheable(&outgoing.head.method) {
        let told = way.note(Tally::Bypass, past(Forwarded::Method, None));
        let (mut response, under_way) = dropping::send(noted, outgoing, way).await?;
        serving::tell(&mut response.headers, told);
        return Ok((response, under_way));
    }
    let wishes = Wishes::of(&outgoing.head.headers);
    let bodiless = http_body::Body::is_end_stream(&outgoing.body);
    let bypass = match noted.bypass {
        Some(why) => Some(why),
        None if !bodiless => Some("request-body"),
        None => wishes.no_store.then_some("request-no-store"),
    };
    if let Some(why) = bypass {
        let told = way.note(Tally::Bypass, past(Forwarded::Bypass, Some(why)));
        let (mut response, under_way) = way.ask(outgoing).await?;
        serving::tell(&mut response.headers, told);
        return Ok((response, Some(under_way)));
    }
    let wanted = Wanted::of(outgoing.head);
    key::narrow(outgoing.head, noted, caching, policy.compress.is_some());
    let asking = Asking {
        noted,
        caching,
        key: Keyed::of(noted, &outgoing.head.headers, way.rule, caching),
        wanted,
        only_if_cached: wishes.only_if_cached,
    };
    asking.answer(outgoing, way).await
}

/// A request that the cache may answer.
pub(super) struct Asking<'a> {
    noted: &'a Noted,
    caching: &'a Caching,
    key: Keyed,
    wanted: Wanted,
    only_if_cached: bool,
}

/// The same, of its own: for who goes on when the request is over.
struct Own {
    noted: Noted,
    key: Keyed,
    wanted: Wanted,
}

impl Own {
    fn lend<'o>(&'o self, caching: &'o Caching) -> Asking<'o> {
        Asking {
            noted: &self.noted,
            caching,
            key: self.key.clone(),
            wanted: self.wanted.clone(),
            only_if_cached: false,
        }
    }
}

/// What is kept for a request.
#[derive(Debug, Clone)]
struct Chosen {
    entry: Arc<Entry>,
    /// A purge wants it asked for again.
    purged: bool,
}

/// What a look came to.
enum Looked {
    Nothing,
    /// For requests with other fields: the flight is among those who share this one's.
    Others(KeyHash),
    Kept(Chosen),
}

/// Whether a kept answer may be served without asking.
fn is_fresh(entry: &Entry, purged: bool, now: UnixTime) -> bool {
    !purged && !entry.terms().no_cache && entry.times().is_fresh(now)
}

impl Chosen {
    fn is_fresh(&self, now: UnixTime) -> bool {
        is_fresh(&self.entry, self.purged, now)
    }

    fn may_wait_for_news(&self, now: UnixTime) -> bool {
        let times = self.entry.times();
        let terms = self.entry.terms();
        let within = times.age(now) < times.lifetime.saturating_add(times.while_revalidate);
        !terms.no_cache
            && !terms.must_revalidate
            && within
            && (self.purged || !times.while_revalidate.is_zero())
    }

    /// Whether it may be served although its backend fails; `disconnected`: it can't even be asked (RFC 9111 section 4.2.4).
    fn may_stand_in(&self, now: UnixTime, disconnected: bool) -> bool {
        let times = self.entry.times();
        let terms = self.entry.terms();
        let most = match disconnected {
            true if !fetch::says_if_error(&self.entry) => times.if_error.max(fetch::DISCONNECTED_MAX),
            _ => times.if_error,
        };
        !terms.no_cache && !terms.must_revalidate && times.age(now) < times.lifetime.saturating_add(most)
    }
}

impl Asking<'_> {
    /// Its key holds what may be one visitor's alone.
    fn is_personal(&self) -> bool {
        self.noted.authorized || self.key.has_cookies
    }

    fn own(&self) -> Own {
        Own {
            noted: self.noted.clone(),
            key: self.key.clone(),
            wanted: self.wanted.clone(),
        }
    }

    fn look(&self, outgoing: &Outgoing<'_>, edge: &Edge) -> Looked {
        let Some(found) = edge.cache.look(self.key.hash) else {
            return Looked::Nothing;
        };
        let fields = &outgoing.head.headers;
        let mut varies = None;
        for variant in found.variants() {
            let entry = variant.entry;
            if self.noted.authorized && !entry.terms().shared {
                continue;
            }
            if vary::matches(entry.selected(), fields) {
                if let Some(said) = &self.noted.said {
                    let mark = found.mark(self.key.hash, variant);
                    edge.shortcuts.learn(said, mark, entry.selected(), self.caching);
                }
                return Looked::Kept(Chosen {
                    entry: Arc::clone(entry),
                    purged: variant.purged,
                });
            }
            varies.get_or_insert_with(|| self.key.among(entry.selected(), fields));
        }
        varies.map_or(Looked::Nothing, Looked::Others)
    }

    async fn answer(&self, outgoing: Outgoing<'_>, way: Way<'_>) -> Result<Passed, Refusal> {
        let mut looked = self.look(&outgoing, way.edge);
        if matches!(looked, Looked::Nothing | Looked::Others(_)) {
            let store = way.edge.cache.store();
            if store.recall(self.key.hash).await {
                looked = self.look(&outgoing, way.edge);
            }
        }
        let now = clock::wall();
        let (chosen, flight, missed) = match looked {
            Looked::Nothing => (None, self.key.hash, Forwarded::UriMiss),
            Looked::Others(flight) => (None, flight, Forwarded::VaryMiss),
            Looked::Kept(chosen) if chosen.is_fresh(now) => {
                return Ok((self.serve(&chosen, (Tally::Hit, None), now, &way), None));
            }
            Looked::Kept(chosen) => (Some(chosen), self.key.hash, Forwarded::Stale),
        };
        if self.only_if_cached {
            way.note(Tally::Miss, Told::forwarded(missed, Some("only-if-cached")));
            return Err(not_cached());
        }
        if let Some(chosen) = &chosen {
            if chosen.may_wait_for_news(now) {
                fetch::behind(self, &outgoing, &way, chosen, flight);
                let stale = (Tally::Stale, Some("stale-while-revalidate"));
                return Ok((self.serve(chosen, stale, now, &way), None));
            }
            let backend = way.at.backend(outgoing.backend);
            let is_down = backend.is_some_and(|backend| {
                !forward::is_well(outgoing.backend, backend, outgoing.ready, way.edge)
            });
            if is_down && chosen.may_stand_in(now, true) {
                let stale = (Tally::Stale, Some("backend-down"));
                return Ok((self.serve(chosen, stale, now, &way), None));
            }
        }
        if self.wanted.head_only || (chosen.is_none() && self.wanted.range.is_some()) {
            return self.pass(outgoing, way, missed).await;
        }
        self.collapse(outgoing, way, chosen, flight, missed).await
    }

    /// Passes a request on whose answer is not kept: for a head alone, or for a part of what isn't here.
    async fn pass(
        &self,
        outgoing: Outgoing<'_>,
        mut way: Way<'_>,
        missed: Forwarded,
    ) -> Result<Passed, Refusal> {
        let why = match self.wanted.head_only {
            true => missed,
            false => Forwarded::Partial,
        };
        let told = way.note(Tally::Miss, Told::forwarded(why, None));
        let fields = self.wanted.head_only.then(|| outgoing.head.headers.clone());
        self.wanted.ask_for_part(&mut outgoing.head.headers);
        let (mut response, under_way) = way.ask(outgoing).await?;
        if let Some(fields) = &fields {
            fetch::see_head(self, fields, &response, way.edge);
        }
        serving::tell(&mut response.headers, told);
        Ok((response, Some(under_way)))
    }

    /// Asks for all who want the same, or waits for who has asked already.
    async fn collapse(
        &self,
        outgoing: Outgoing<'_>,
        way: Way<'_>,
        chosen: Option<Chosen>,
        mut flight: KeyHash,
        missed: Forwarded,
    ) -> Result<Passed, Refusal> {
        let edge = Rc::clone(way.edge);
        let store = edge.cache.store();
        let alone = self.noted.authorized || store.is_unstorable(self.key.hash, clock::wall());
        let fetch = |lead: Option<Lead>| Fetch {
            asking: self,
            fields: Fields::new(),
            lead,
            chosen: chosen.clone(),
            missed,
        };
        if alone {
            return fetch(None).run(outgoing, way).await;
        }
        // an answer that varies sends those with other fields to a flight of their own, once
        for _ in 0..=RETRIES_MAX {
            let hears = match edge.flights.join(flight) {
                Part::Leads(lead) => {
                    let Some(kept) = self.kept_meanwhile(&outgoing, &way) else {
                        return fetch(Some(lead)).run(outgoing, way).await;
                    };
                    lead.say(Outcome::Kept(Arc::clone(&kept.entry)));
                    return Ok((self.serve(&kept, (Tally::Hit, None), clock::wall(), &way), None));
                }
                Part::Alone => break,
                Part::Follows(hears) => hears,
            };
            let outcome = match flights::wait(hears).await {
                Ok(outcome) => outcome,
                Err(false) => continue, // the first went away: somebody else asks
                Err(true) => break,
            };
            match self.follow(&outcome, &chosen, &outgoing, &way) {
                Followed::Answered(passed) => return passed,
                Followed::Among(among) if among != flight => flight = among,
                Followed::Among(_) | Followed::Alone => break,
            }
        }
        fetch(None).run(outgoing, way).await
    }

    /// What another core has kept between this request's look and its turn to ask.
    fn kept_meanwhile(&self, outgoing: &Outgoing<'_>, way: &Way<'_>) -> Option<Chosen> {
        match self.look(outgoing, way.edge) {
            Looked::Kept(chosen) => chosen.is_fresh(clock::wall()).then_some(chosen),
            Looked::Nothing | Looked::Others(_) => None,
        }
    }

    /// What another's answer is to this request.
    fn follow(
        &self,
        outcome: &Outcome,
        chosen: &Option<Chosen>,
        outgoing: &Outgoing<'_>,
        way: &Way<'_>,
    ) -> Followed {
        let now = clock::wall();
        let fields = &outgoing.head.headers;
        let told = |times, status| Told {
            status: Some(status),
            collapsed: true,
            ttl: Some(serving::ttl(times, now)),
            ..Told::forwarded(Forwarded::UriMiss, None)
        };
        let (selected, times, terms) = match outcome {
            Outcome::Arriving(arriving) => (&arriving.selected, &arriving.times, arriving.terms),
            Outcome::Kept(entry) => (entry.selected(), entry.times(), entry.terms()),
            Outcome::Failed(failure) => {
                if let Some(chosen) = chosen.as_ref().filter(|chosen| chosen.may_stand_in(now, true)) {
                    let response = self.serve(chosen, (Tally::Stale, Some("stale-if-error")), now, way);
                    return Followed::Answered(Ok((response, None)));
                }
                return Followed::Answered(Err(failure.refusal()));
            }
            Outcome::Open | Outcome::Released => return Followed::Alone,
        };
        if !vary::matches(selected, fields) {
            return Followed::Among(self.key.among(selected, fields));
        }
        if terms.no_cache || !times.is_fresh(now) {
            return Followed::Alone;
        }
        let response = match outcome {
            Outcome::Arriving(arriving) => {
                self.wanted
                    .from_arriving(arriving, told(times, arriving.status), now)
            }
            Outcome::Kept(entry) => Some(self.wanted.from_entry(entry, told(times, entry.status()), now)),
            _ => None,
        };
        let Some(response) = response else {
            return Followed::Alone;
        };
        way.note(Tally::Collapsed, Told::forwarded(Forwarded::UriMiss, None));
        Followed::Answered(Ok((response, None)))
    }

    /// Answers with what is kept: fresh, or stale with the reason why that may be.
    fn serve(
        &self,
        chosen: &Chosen,
        (what, stale): (Tally, Option<&'static str>),
        now: UnixTime,
        way: &Way<'_>,
    ) -> Response {
        let told = Told {
            detail: stale,
            ..Told::hit(serving::ttl(chosen.entry.times(), now))
        };
        self.wanted.from_entry(&chosen.entry, way.note(what, told), now)
    }
}

/// Times that a request joins another flight, whose first went away or whose answer is for others.
const RETRIES_MAX: u32 = 8;

/// What another's answer was to a request.
enum Followed {
    Answered(Result<Passed, Refusal>),
    /// For those with other fields: this flight is among its own.
    Among(KeyHash),
    Alone,
}

/// RFC 9111 section 5.2.1.7.
fn not_cached() -> Refusal {
    Refusal {
        status: StatusCode::GATEWAY_TIMEOUT,
        reason: "http_request_error",
        details: "only-if-cached",
        side: Side::Client,
        retry: Retry::Never,
        cause: None,
        missing: None,
        challenge: None,
        allow: None,
        backend: None,
        wait: None,
    }
}
