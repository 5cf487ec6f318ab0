//! Looks for a hashed asset that its backend does not have: at the backend's other versions, and at the flag's other sides.
//!
//! A page keeps to its version, but its address may have been opened long ago, in another tab, or from somebody's cache. What has a
//! hash in its name is the same wherever it is, so whoever has it may answer. What is nowhere is a 404 in plain text: a page in its
//! place would be run as a script.

use std::{cell::Cell, sync::Arc};

use http::{Method, StatusCode};

use super::{
    admit,
    edge::Edge,
    failover,
    forward::{self, Outgoing},
    refusal::Refusal,
};
use crate::{
    backend::under_way::UnderWay,
    body::Body,
    clock,
    fields::{Fields, Known},
    message::Response,
    observe::{
        metrics::{Family, Label},
        record::{Lacking, Record, Side},
    },
    policy::assets::{Found, may_stand_in},
    snapshot::{Rule, Snapshot},
    wire::{Interim, NoInterim},
};

/// Assets that a core looks for elsewhere at once. Beyond it a 404 is a 404 at once: names that somebody makes up must not bring every
/// version the load of all others.
pub const LOOKING_MAX: u32 = 64;

/// How many assets a core looks for just now.
#[derive(Debug, Default)]
pub struct Looking(Cell<u32>);

struct Seat<'l>(&'l Looking);

impl Looking {
    fn one_more(&self) -> Option<Seat<'_>> {
        let now = self.0.get();
        (now < LOOKING_MAX).then(|| {
            self.0.set(now + 1);
            Seat(self)
        })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get().saturating_sub(1));
    }
}

/// An answer, or why there is none.
type Answered = Result<(Response, UnderWay), Refusal>;

/// Sends `outgoing` where it goes, and to other places where it is for a hashed asset that is missing there.
///
/// # Errors
/// The [`Refusal`] of the backend that the request was meant for.
pub(super) async fn send(
    outgoing: Outgoing<'_>,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    match rule(&outgoing) {
        // boxed, so that all other requests carry nothing of it
        Some(rule) => Box::pin(look(outgoing, rule, edge, at, record, interim)).await,
        None => failover::send(outgoing, edge, at, record, interim).await,
    }
}

fn rule<'r>(outgoing: &Outgoing<'r>) -> Option<&'r Rule> {
    let rule = outgoing.rule?;
    let head = &outgoing.head;
    let asked = rule.assets?.takes(&head.method, head.target()) && head.upgrade.is_none();
    (asked && http_body::Body::is_end_stream(&outgoing.body)).then_some(rule)
}

async fn look(
    outgoing: Outgoing<'_>,
    rule: &Rule,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    let spare = outgoing.head.clone(); // the first backend's path, host and fields are no business of the others
    let (first, identity, class) = (outgoing.backend, outgoing.identity, outgoing.class);
    let answered = failover::send(outgoing, edge, at, record, interim).await;
    let answered = match answered {
        Ok((response, under_way)) => match Found::of(response.status, &response.headers) {
            Found::Here => return Ok((response, under_way)),
            // what is left of the answer is given up, so that its connection is free for others
            Found::Missing => Ok((nowhere(&spare.method), under_way)),
            Found::Unknown => Ok((response, under_way)),
        },
        Err(refusal) if refusal.side == Side::Backend => Err(refusal),
        Err(refusal) => return Err(refusal),
    };
    let Some(name) = record.backend.clone() else {
        return answered;
    };
    let count = |outcome| {
        let labels = [Label::Name(&name), Label::Word(outcome)];
        edge.observe.count(Family::AssetsLookedFor, &labels, 1);
    };
    let seat = edge.looking.one_more();
    if seat.is_none() {
        count("full");
    }
    let places = seat
        .as_ref()
        .map(|_| at.elsewhere(rule, first))
        .unwrap_or_default();
    let deadline = admit::deadline_of(Some(rule), record.began);
    let before = (record.server.clone(), record.attempts, record.timings);
    for place in places {
        let ready = clock::steady();
        if deadline.is_some_and(|deadline| ready >= deadline) {
            break;
        }
        let asking = Outgoing {
            head: &mut spare.clone(),
            body: Body::Empty,
            backend: place,
            identity,
            ready,
            rule: Some(rule),
            class,
        };
        record.attempts = 0;
        let found = forward::send(asking, edge, at, record, &mut NoInterim).await;
        let found = found
            .ok()
            .filter(|(response, _)| may_stand_in(response.status, &response.headers));
        if let (Some((mut response, under_way)), Some(backend)) = (found, at.backend(place)) {
            count("found");
            let other = backend.settings.name.shared();
            say(&mut response.headers, &other, &name);
            record.backend = Some(other);
            record.lacking = Some(Lacking::At(name));
            return Ok((response, under_way));
        }
    }
    (record.server, record.attempts, record.timings) = before;
    if seat.is_some() {
        count("nowhere");
    }
    if answered
        .as_ref()
        .is_ok_and(|(response, _)| response.status == StatusCode::NOT_FOUND)
    {
        record.lacking = Some(Lacking::Everywhere);
    }
    answered
}

/// Tells whoever looks at the answer who gave it and why (RFC 9209).
fn say(fields: &mut Fields, other: &Arc<str>, lacking: &str) {
    let told = format!("banyan; next-hop=\"{other}\"; details=\"missing at {lacking}\"");
    fields.append(Known::PROXY_STATUS, told);
}

/// Nobody has it. It may be there in a moment, when a deploy is through, so nobody keeps this.
fn nowhere(method: &Method) -> Response {
    const TEXT: &str = "This file is not here, nor in any other version that is served.\n";
    let body = match *method {
        Method::HEAD => Body::Empty,
        _ => Body::full(TEXT),
    };
    let mut response = Response::new(StatusCode::NOT_FOUND, body);
    let fields = &mut response.headers;
    fields.insert(Known::CONTENT_TYPE, "text/plain; charset=utf-8");
    fields.insert(Known::CACHE_CONTROL, "no-store");
    fields.insert(Known::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}
