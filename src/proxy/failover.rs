//! Asks a route's second backend where the first fails, as long as nothing of an answer has gone to the client.

use std::{sync::Arc, time::Instant};

use super::{
    admit,
    edge::Edge,
    forward::{self, Outgoing},
    refusal::{Refusal, Retry},
    replay::Replay,
};
use crate::{
    backend::{under_way::UnderWay, version::seed_of},
    clock,
    fields::Known,
    message::Response,
    observe::{
        metrics::{Family, Label},
        record::{Failover, Record, Side},
    },
    policy::{self, failover::Fallback},
    shield::{
        line::{Class, Entry, Seat, Terms as Seats},
        pot::Growing,
    },
    snapshot::{BackendId, Rule, Snapshot},
    wire::{Interim, Upgrade},
};

/// An answer, or why there is none.
type Answered = Result<(Response, UnderWay), Refusal>;

/// Sends `outgoing` to its backend and, on the terms of its rule, to the one that stands by.
///
/// # Errors
/// The last attempt's [`Refusal`].
pub(super) async fn send(
    outgoing: Outgoing<'_>,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    let seed = || seed_of(record.client.to_string().as_bytes(), 0);
    let found = standby(&outgoing).filter(|(second, _)| !at.is_part(outgoing.backend, *second));
    match found.map(|(second, terms)| (at.one_of(second, seed()), terms)) {
        // boxed, so that requests of other routes carry nothing of it
        Some((second, terms)) => Box::pin(pair(outgoing, second, terms, edge, at, record, interim)).await,
        None => forward::send(outgoing, edge, at, record, interim).await,
    }
}

type Terms = policy::failover::Failover;

fn standby<'r>(outgoing: &Outgoing<'r>) -> Option<(BackendId, &'r Terms)> {
    let rule = outgoing.rule?;
    rule.standby?;
    let found = rule.standby(outgoing.backend, method(outgoing));
    let bodiless = http_body::Body::is_end_stream(&outgoing.body);
    found.filter(|(_, terms)| bodiless || terms.fallback.is_some())
}

/// A WebSocket over HTTP/2 is a CONNECT on the wire, and a GET as far as backends are concerned (RFC 8441 section 5).
fn method<'o>(outgoing: &'o Outgoing<'_>) -> &'o http::Method {
    match &outgoing.head.upgrade {
        Some(Upgrade::Http2(_)) => &http::Method::GET,
        _ => &outgoing.head.method,
    }
}

async fn pair(
    mut outgoing: Outgoing<'_>,
    second: BackendId,
    terms: &Terms,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    let mut spare = outgoing.head.clone(); // the first backend's path, host and fields are no business of the second's
    let may_repeat = terms.may_repeat(method(&outgoing));
    let (identity, rule, class) = (outgoing.identity, outgoing.rule, outgoing.class);
    let deadline = admit::deadline_of(rule, record.began);
    let (now, first) = (outgoing.ready, outgoing.backend);
    let kept_max = terms.fallback.map_or(0, |fallback| fallback.body_max);
    let kept = || kept_for(rule, first, at);
    let (replay, body) = Replay::of(outgoing.body, kept_max, &edge.kept, kept);
    outgoing.body = body;
    let is_well = |id| {
        at.backend(id)
            .is_some_and(|backend| forward::is_well(id, backend, now, edge))
    };
    // a visitor need not find out anew what checks and the last visitors found out, unless both are sick
    let answered = match is_well(first) || !is_well(second) {
        true => forward::send(outgoing, edge, at, record, interim).await,
        false => Err(passed_over(first, now, edge, at)),
    };
    let cause = cause(&answered, terms, may_repeat);
    let in_time = deadline.is_none_or(|deadline| clock::steady() < deadline);
    let (Some(cause), Some(backend), true) = (cause, at.backend(second), in_time) else {
        replay.forget();
        return answered;
    };
    let name = backend.settings.name.shared();
    let refused = |why| count_refused(edge, record.backend.as_ref(), &name, why);
    let Some(body) = replay.again() else {
        refused("body");
        return answered;
    };
    let fallback = rule.zip(terms.fallback);
    let seat = match fallback.map(|(rule, fallback)| seat(rule, fallback)).transpose() {
        Ok(seat) => seat,
        Err(why) => {
            refused(why);
            // what the first answered itself is passed on; instead of an error of ours there is a time to come back
            return answered.map_err(|refusal| shed(refusal, why));
        }
    };
    drop(answered); // with what is left of an answer's body
    note(record, &name, cause);
    let again = Outgoing {
        head: &mut spare,
        body,
        backend: second,
        identity,
        ready: clock::steady(),
        rule,
        class,
    };
    let (mut response, mut under_way) = forward::send(again, edge, at, record, interim).await?;
    seat.into_iter().for_each(|seat| under_way.hold(seat));
    say(&mut response, record, terms);
    Ok((response, under_way))
}

/// Where what is kept of a body counts: at the backend that it is on its way to, and at the squad whose route it came by.
fn kept_for(rule: Option<&Rule>, first: BackendId, at: &Snapshot) -> Growing {
    let mut shares = Growing::default();
    if let Some(backend) = at.backend(first) {
        shares.and(&backend.state.stock.kept, backend.settings.caps.kept);
    }
    if let Some(ward) = rule.and_then(|rule| rule.ward.as_ref()) {
        shares.and(&ward.stock.kept, ward.caps.kept);
    }
    shares
}

/// Why the second is asked, if it may be.
fn cause(answered: &Answered, terms: &Terms, may_repeat: bool) -> Option<&'static str> {
    match answered {
        Ok((response, _)) => terms.on.word(response.status).filter(|_| may_repeat),
        Err(refusal) => {
            let unseen = may_repeat || refusal.retry == Retry::Unsent;
            (refusal.side == Side::Backend && unseen).then_some(refusal.reason)
        }
    }
}

/// The first backend's refusal without asking it: its breaker is open, or all of its servers are known to be sick.
fn passed_over(first: BackendId, now: Instant, edge: &Edge, at: &Snapshot) -> Refusal {
    let backend = at.backend(first);
    if let Some(open) = backend.filter(|backend| !backend.would_admit(now)) {
        return Refusal::breaker_open(open, now, u64::from_ne_bytes(edge.random8()));
    }
    Refusal {
        retry: Retry::Unsent,
        backend: backend.map(|backend| backend.settings.name.shared()),
        ..Refusal::no_server()
    }
}

/// A seat at the fallback, while its budget lasts.
fn seat(rule: &Rule, fallback: Fallback) -> Result<Seat, &'static str> {
    let outlet = &rule.shield.fallback;
    let now = clock::steady();
    let seats = Seats {
        seats: fallback.at_once,
        waiting: 0,
        patience: std::time::Duration::ZERO,
    };
    let Ok(Entry::Seat(seat)) = outlet.line.enter(Class::default(), seats, now) else {
        return Err("full");
    };
    match outlet.meter.take(fallback.rate, now) {
        Ok(()) => Ok(seat),
        Err(_) => Err("rate"),
    }
}

/// There is no room at the fallback: the first's failure is told as what it is, with a time to come back.
fn shed(refusal: Refusal, why: &'static str) -> Refusal {
    let full = Refusal::full(if why == "rate" {
        "fallback-rate"
    } else {
        "fallback-full"
    });
    Refusal {
        reason: refusal.reason,
        side: refusal.side,
        cause: refusal.cause,
        backend: refusal.backend,
        ..full
    }
}

fn count_refused(edge: &Edge, first: Option<&Arc<str>>, second: &Arc<str>, why: &'static str) {
    let Some(first) = first else { return };
    let labels = [Label::Name(first), Label::Name(second), Label::Word(why)];
    edge.observe.count(Family::FailoversRefused, &labels, 1);
}

/// From here on the record tells of the second.
fn note(record: &mut Record, second: &Arc<str>, cause: &'static str) {
    let first = record.backend.replace(Arc::clone(second));
    tracing::debug!(
        request_id = super::exchange::request_id(record),
        first = first.as_deref(),
        second = %second,
        cause,
        "failed over"
    );
    record.failover = first.map(|from| {
        Box::new(Failover {
            from,
            cause,
            attempts: record.attempts,
        })
    });
    record.server = None;
    // these are the second's from here on
    record.timings.connect = None;
    record.timings.first_byte = None;
}

/// Tells whoever looks at the answer who gave it and why (RFC 9209). There is no `error`: this is an answer, and not the proxy's own.
fn say(response: &mut Response, record: &Record, terms: &Terms) {
    let (Some(failover), Some(second)) = (&record.failover, &record.backend) else {
        return;
    };
    let how = if terms.fallback.is_some() {
        "fallback"
    } else {
        "failover"
    };
    let (first, cause) = (&failover.from, failover.cause);
    let told = format!("banyan; next-hop=\"{second}\"; details=\"{how} from {first}: {cause}\"");
    response.headers.append(Known::PROXY_STATUS, told);
}
