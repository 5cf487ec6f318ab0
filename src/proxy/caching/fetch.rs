//! Asks the backend for an answer to be kept: a new one, or news of the one that is here.

use std::{rc::Rc, sync::Arc, time::Duration};

use http::StatusCode;

use super::{
    Asking, Chosen, Way,
    arriving::{Arriving, Keeping, take_in},
    flights::{Failure, Lead, Outcome},
    key,
    serving::{self, ttl},
};
use crate::{
    backend::under_way::UnderWay,
    body::Body,
    cache::{
        conditional::{freshened, validate},
        date,
        directives::Directives,
        freshness::{self, Exchanged},
        status::{Forwarded, Told},
        storable,
        store::{Chunks, Entry, KeyHash, New, Stamp, tally::Tally},
        vary,
    },
    clock::{self, UnixTime},
    fields::{Fields, Known},
    message::{Head, Response},
    observe::record::{Record, Side},
    proxy::{edge::Edge, exchange::Passed, forward::Outgoing, refusal::Refusal},
    shield::line::Class,
    wire::NoInterim,
};

/// How long a stale answer stands in for a backend that can't be reached, where neither it nor the route says (RFC 9111 section 4.2.4
/// lets a cache that is cut off serve it).
pub(super) const DISCONNECTED_MAX: Duration = Duration::from_secs(3600);
/// How long a key is remembered whose answer could not be kept: requests for it don't wait for one another.
const UNSTORABLE_TIME: Duration = Duration::from_secs(10);

/// Whether an answer itself says how long it may stand in for an error.
pub(super) fn says_if_error(entry: &Entry) -> bool {
    Directives::of(entry.fields()).stale_if_error.is_some()
}

/// One asking.
pub(super) struct Fetch<'f> {
    pub(super) asking: &'f Asking<'f>,
    /// The request's fields as the backend gets them, once it is asked.
    pub(super) fields: Fields,
    /// Who waits for it.
    pub(super) lead: Option<Lead>,
    /// What is here, and stale.
    pub(super) chosen: Option<Chosen>,
    pub(super) missed: Forwarded,
}

/// When it was asked, on both clocks.
#[derive(Clone, Copy)]
struct Since {
    asked: UnixTime,
    stamp: Stamp,
}

impl Fetch<'_> {
    /// Asks, keeps what may be kept, and answers.
    pub(super) async fn run(mut self, outgoing: Outgoing<'_>, mut way: Way<'_>) -> Result<Passed, Refusal> {
        let store = way.edge.cache.store();
        let since = Since {
            asked: clock::wall(),
            stamp: store.stamp(),
        };
        let (backend, identity) = (outgoing.backend, outgoing.identity);
        let (rule, class) = (outgoing.rule, outgoing.class);
        self.fields = outgoing.head.headers.clone();
        let mut again: Option<Head> = None;
        if let Some(chosen) = &self.chosen {
            let plain = outgoing.head.clone();
            if validate(&mut outgoing.head.headers, chosen.entry.fields()) {
                again = Some(plain);
            }
        }
        let (response, under_way) = match way.ask(outgoing).await {
            Ok(answered) => answered,
            Err(refusal) => return self.failed(refusal, &way),
        };
        let (Some(mut plain), StatusCode::NOT_MODIFIED) = (again, response.status) else {
            return self.answered(response, under_way, since, &way);
        };
        if let Some(passed) = self.not_modified(&response, since, &way) {
            return Ok(passed);
        }
        // what it was news of is gone: the whole answer is asked for
        drop((response, under_way));
        let outgoing = Outgoing {
            head: &mut plain,
            body: Body::Empty,
            backend,
            identity,
            ready: clock::steady(),
            rule,
            class,
        };
        match way.ask(outgoing).await {
            Ok((response, under_way)) => self.answered(response, under_way, since, &way),
            Err(refusal) => self.failed(refusal, &way),
        }
    }

    fn say(&self, outcome: Outcome) {
        if let Some(lead) = &self.lead {
            lead.say(outcome);
        }
    }

    /// No answer came: a stale one may do.
    fn failed(&self, refusal: Refusal, way: &Way<'_>) -> Result<Passed, Refusal> {
        let now = clock::wall();
        self.say(Outcome::Failed(Failure::of(&refusal)));
        let stale = self.chosen.as_ref();
        match stale.filter(|chosen| refusal.side == Side::Backend && chosen.may_stand_in(now, true)) {
            Some(chosen) => Ok((self.stand_in(chosen, None, now, way), None)),
            None => {
                way.note(Tally::Miss, Told::forwarded(self.missed, None));
                Err(refusal)
            }
        }
    }

    fn stand_in(
        &self,
        chosen: &Chosen,
        status: Option<StatusCode>,
        now: UnixTime,
        way: &Way<'_>,
    ) -> Response {
        let told = Told {
            status,
            ttl: Some(ttl(chosen.entry.times(), now)),
            ..Told::forwarded(Forwarded::Stale, Some("stale-if-error"))
        };
        let told = way.note(Tally::Stale, told);
        self.asking.wanted.from_entry(&chosen.entry, told, now)
    }

    /// What is here still counts. `None`: it was purged meanwhile.
    fn not_modified(&self, response: &Response, since: Since, way: &Way<'_>) -> Option<Passed> {
        let chosen = self.chosen.as_ref()?;
        let old = &chosen.entry;
        let news = storable::kept(&response.headers, &Directives::of(&response.headers));
        let fields = freshened(old.fields(), &news);
        let directives = Directives::of(&fields);
        let answered = clock::wall();
        let when = Exchanged {
            asked: since.asked,
            answered,
        };
        let bounds = &self.asking.caching.bounds;
        // its age is that of the news
        let mut aged = fields.clone();
        if let Some(age) = response.headers.get(Known::AGE) {
            aged.insert(Known::AGE, age);
        }
        let (times, mut terms) = freshness::times(old.status(), &aged, &directives, bounds, when);
        terms.memory_only = self.asking.is_personal();
        let store = way.edge.cache.store();
        let key = self.asking.key.as_key();
        let entry = if directives.no_store || directives.private {
            store.drop_one(key.hash, old);
            Arc::clone(old) // for this once
        } else {
            store.refresh(&key, old, fields, times, terms, since.stamp)?
        };
        self.say(Outcome::Kept(Arc::clone(&entry)));
        let told = Told {
            status: Some(StatusCode::NOT_MODIFIED),
            stored: true,
            ttl: Some(ttl(entry.times(), answered)),
            ..Told::forwarded(Forwarded::Stale, None)
        };
        let told = way.note(Tally::Revalidated, told);
        Some((self.asking.wanted.from_entry(&entry, told, answered), None))
    }

    /// A whole answer came.
    fn answered(
        self,
        response: Response,
        under_way: UnderWay,
        since: Since,
        way: &Way<'_>,
    ) -> Result<Passed, Refusal> {
        let now = clock::wall();
        let status = response.status;
        let failed = matches!(status.as_u16(), 500 | 502 | 503 | 504);
        if let Some(chosen) = self
            .chosen
            .as_ref()
            .filter(|chosen| failed && chosen.may_stand_in(now, false))
        {
            self.say(Outcome::Kept(Arc::clone(&chosen.entry)));
            return Ok((self.stand_in(chosen, Some(status), now, way), None));
        }
        let directives = Directives::of(&response.headers);
        let asked = storable::Asked {
            authorized: self.asking.noted.authorized,
            partial: false,
            keeps_cookies: self.asking.caching.keeps_cookies,
            bounds: &self.asking.caching.bounds,
        };
        match storable::judge(status, &response.headers, &directives, asked) {
            Ok(()) => Ok(self.keep(response, under_way, &directives, since, way)),
            Err(why) => Ok(self.release(response, under_way, why.as_str(), way)),
        }
    }

    /// Passes an answer on that is for this request alone, and lets all who waited ask for theirs.
    fn release(
        &self,
        mut response: Response,
        under_way: UnderWay,
        why: &'static str,
        way: &Way<'_>,
    ) -> Passed {
        let now = clock::wall();
        let until = now
            .millis
            .saturating_add(u64::try_from(UNSTORABLE_TIME.as_millis()).unwrap_or_default());
        let store = way.edge.cache.store();
        if !response.status.is_server_error() {
            store.mark_unstorable(self.asking.key.hash, UnixTime { millis: until });
        }
        self.say(Outcome::Released);
        let told = way.note(Tally::Miss, Told::forwarded(self.missed, Some(why)));
        self.condition(&mut response, now);
        serving::tell(&mut response.headers, told);
        (response, Some(under_way))
    }

    /// The client's own conditions were not passed on, so they are judged here.
    fn condition(&self, response: &mut Response, now: UnixTime) {
        let body = std::mem::replace(&mut response.body, Body::Empty);
        let (times, _) = freshness::times(
            response.status,
            &Fields::new(),
            &Directives::default(),
            &self.asking.caching.bounds,
            Exchanged {
                asked: now,
                answered: now,
            },
        );
        self.asking.wanted.fit(response, &times, None);
        if response.status != StatusCode::NOT_MODIFIED {
            response.body = body;
        }
    }

    /// Passes an answer on and keeps it.
    fn keep(
        self,
        mut response: Response,
        under_way: UnderWay,
        directives: &Directives,
        since: Since,
        way: &Way<'_>,
    ) -> Passed {
        let now = clock::wall();
        let store = way.edge.cache.store();
        let length = http_body::Body::size_hint(&response.body).exact();
        if length.is_some_and(|length| length > store.entry_max()) {
            return self.release(response, under_way, "too-large", way);
        }
        let Some(collecting) = store.collect() else {
            return self.release(response, under_way, "collecting", way);
        };
        if !response.headers.contains_key(Known::DATE) {
            response.headers.insert(Known::DATE, date::write(now));
        }
        let Since { asked, stamp } = since;
        let when = Exchanged { asked, answered: now };
        let bounds = &self.asking.caching.bounds;
        let (times, mut terms) =
            freshness::times(response.status, &response.headers, directives, bounds, when);
        terms.memory_only = self.asking.is_personal();
        let fields = storable::kept(&response.headers, directives);
        let selected = vary::selected(&response.headers, &self.fields);
        let told = Told {
            status: Some(response.status),
            stored: true,
            ttl: Some(ttl(&times, now)),
            ..Told::forwarded(self.missed, None)
        };
        let told = way.note(Tally::Miss, told);
        let keeping = Keeping {
            labels: key::labels(self.asking.noted, way.rule, &fields),
            key: self.asking.key.clone(),
            store: Arc::clone(store),
            stamp,
        };
        let body = std::mem::replace(&mut response.body, Body::Empty);
        let asking = self.asking;
        if http_body::Body::is_end_stream(&body) {
            let new = New {
                status: response.status,
                fields,
                body: Chunks::default(),
                selected,
                times,
                terms,
                labels: keeping.labels,
                stamp: keeping.stamp,
            };
            match keeping.store.keep(&keeping.key.as_key(), new) {
                Ok(entry) => self.say(Outcome::Kept(entry)),
                Err(_) => self.say(Outcome::Released),
            }
            asking.wanted.fit(&mut response, &times, None);
            serving::tell(&mut response.headers, told);
            return (response, Some(under_way));
        }
        let arriving = Arriving::new(
            response.status,
            fields,
            selected,
            (times, terms),
            length,
            store.entry_max(),
        );
        response.body = arriving.read().unwrap_or(Body::Empty);
        self.say(Outcome::Arriving(Arc::clone(&arriving)));
        let taking = take_in(arriving, body, Some(collecting), keeping, self.lead, under_way);
        tokio::task::spawn_local(taking); // whoever goes away, the others get it whole
        asking.wanted.fit(&mut response, &times, None);
        serving::tell(&mut response.headers, told);
        (response, None)
    }
}

/// Fetches news of what is served stale meanwhile, unless somebody does already.
pub(super) fn behind(
    asking: &Asking<'_>,
    outgoing: &Outgoing<'_>,
    way: &Way<'_>,
    chosen: &Chosen,
    flight: KeyHash,
) {
    let Some(lead) = way.edge.flights.begin(flight) else {
        return;
    };
    let edge = Rc::clone(way.edge);
    let (version, backend, chosen) = (way.at.version, outgoing.backend, chosen.clone());
    let mut head = outgoing.head.clone();
    let asking = asking.own();
    let (listener, client) = (way.record.listener, way.record.client);
    tokio::task::spawn_local(async move {
        let at = edge.view.load();
        let Some(rule) = at.rule(asking.noted.route).filter(|_| at.version == version) else {
            return; // the next request asks under the new rules
        };
        let Some(caching) = rule.policy.cache.as_deref() else {
            return;
        };
        let now = clock::now();
        let mut record = Record::begin(now.steady, now.wall_micros, listener, client);
        let mut nobody = NoInterim;
        let way = Way::new(rule, &edge, &at, &mut record, &mut nobody);
        let asking = asking.lend(caching);
        let fetch = Fetch {
            asking: &asking,
            fields: Fields::new(),
            lead: Some(lead),
            chosen: Some(chosen),
            missed: Forwarded::Stale,
        };
        let outgoing = Outgoing {
            head: &mut head,
            body: Body::Empty,
            backend,
            identity: None,
            ready: now.steady,
            rule: Some(rule),
            class: Class::Low, // nobody waits for it
        };
        if let Err(refusal) = fetch.run(outgoing, way).await {
            tracing::debug!(reason = refusal.reason, "a stale answer could not be renewed");
        }
    });
}

/// What the answer to HEAD says of the one to GET that is kept (RFC 9111 section 4.3.5): another one makes it stale.
pub(super) fn see_head(asking: &Asking<'_>, fields: &Fields, response: &Response, edge: &Edge) {
    if response.status != StatusCode::OK {
        return;
    }
    let hash = asking.key.hash;
    let Some(found) = edge.cache.look(hash) else {
        return;
    };
    let differs = |entry: &Entry| {
        [Known::ETAG, Known::LAST_MODIFIED, Known::CONTENT_LENGTH]
            .into_iter()
            .any(
                |name| match (entry.fields().get(name), response.headers.get(name)) {
                    (Some(kept), Some(told)) => kept.as_bytes() != told.as_bytes(),
                    _ => false,
                },
            )
    };
    for variant in found.variants() {
        if vary::matches(variant.entry.selected(), fields) && differs(variant.entry) {
            edge.cache.store().drop_one(hash, variant.entry);
        }
    }
}
