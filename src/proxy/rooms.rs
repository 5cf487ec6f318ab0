//! Waiting rooms on a request's way: lets in who has a seat, shows everyone else their place, and tells pages where they stand.

use http::{HeaderValue, Method, StatusCode};

use super::{
    answer,
    follow::Following,
    refusal::Refusal,
    room_page::{self, Told},
};
use crate::{
    body::Body,
    clock::Moment,
    fields::{Fields, Known},
    message::{Head, Response},
    observe::record::Outcome,
    room::{Admission, Room, Standing, Ticket},
    snapshot::{
        Rule, Snapshot,
        decide::{Ask, Decision, Entrance},
        rooms::{Came, slip_of},
    },
    visitor::Visitor,
};

/// Below it, by a room's name, a page asks where its visitor stands.
pub(super) const ROOMS_PATH: &str = "/.banyan/rooms/";

/// Lets a request pass, and keeps in mind what the browser is to carry; or the answer that it gets instead.
#[inline]
pub(super) fn pass(
    decision: &Decision<'_>,
    rule: &Rule,
    ask: &Ask<'_, '_>,
    at: &Snapshot,
    following: &mut Following,
) -> Option<Response> {
    if !rule.rooms.any() {
        return None;
    }
    let room = at.room_before(rule, &decision.choices)?;
    meet(room, decision, ask, at, following)
}

fn meet(
    room: &Room,
    decision: &Decision<'_>,
    ask: &Ask<'_, '_>,
    at: &Snapshot,
    following: &mut Following,
) -> Option<Response> {
    let now = following.record.began_at();
    let (visitor, identity) = (decision.visitor.as_ref(), decision.identity.as_deref());
    let came = Came {
        entrance: ask.entrance,
        method: ask.method,
        headers: ask.headers,
    };
    let comer = at.comer(room, &came, visitor, identity, now.wall());
    let slip = |ticket: Option<Ticket>| {
        let name = room.settings.name.as_str();
        ticket
            .zip(visitor)
            .map(|(ticket, visitor)| at.visitors.set_slip(slip_of(ticket), name, visitor))
    };
    let visitor_cookie = || {
        let visitor = visitor.filter(|_| decision.set_cookie);
        visitor.map(|visitor| at.visitors.set_cookie(visitor, now.wall()))
    };
    let record = &mut following.record;
    match room.admit(comer, now, ask.entropy) {
        Admission::Bypass => {
            record.room = Some("bypass");
            None
        }
        Admission::Inside { ticket } => {
            record.room = Some("inside");
            if let Some(slip) = slip(ticket) {
                // whatever comes of this request: a seat without a visitor who knows of it would be kept in vain
                following.kept.extend(visitor_cookie());
                following.kept.push(slip);
            }
            None
        }
        Admission::Waiting(wait) => {
            record.room = Some("waiting");
            record.outcome = Outcome::Answered;
            following.plea = None; // this is the page: an error page in its place would tell nobody where they stand
            let told = Told::of(room, &wait, now.wall());
            let mut response = if answer::wants_html(ask.headers) {
                room_page::html(&told, ask.method)
            } else {
                room_page::problem(&told)
            };
            keep(
                visitor_cookie().into_iter().chain(slip(wait.ticket)),
                &mut response.headers,
            );
            Some(response)
        }
    }
}

/// Gives the browser what it is to carry.
pub(super) fn keep(cookies: impl IntoIterator<Item = HeaderValue>, headers: &mut Fields) {
    for cookie in cookies {
        headers.append(Known::SET_COOKIE, cookie);
    }
}

/// The same on an answer that sets the visitor's own cookie by itself: the slip is the last.
#[inline]
pub(super) fn keep_slip(following: &mut Following, headers: &mut Fields) {
    keep(following.kept.pop(), headers);
    following.kept.clear();
}

/// Answers what a page asks about its room. `None`: it is no such question. Asking changes nothing, and lets nobody in.
pub(super) fn answer(
    head: &Head,
    ask: &Ask<'_, '_>,
    at: &Snapshot,
    following: &mut Following,
) -> Option<Result<Response, Refusal>> {
    let name = ask.target.strip_prefix(ROOMS_PATH)?;
    let room = at.room_named(name)?;
    if ask.entrance != Entrance::Public || !at.answers_for(ask.host) {
        return None;
    }
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let allow = "GET, HEAD";
        return Some(Err(Refusal::method(StatusCode::METHOD_NOT_ALLOWED, allow)));
    }
    following.record.outcome = Outcome::Answered;
    Some(Ok(standing(room, ask.headers, at, following.record.began_at())))
}

fn standing(room: &Room, headers: &Fields, at: &Snapshot, now: Moment) -> Response {
    let known: Option<&Visitor> = None;
    let ticket = at.ticket(room, headers, known, now.wall()).unwrap_or_default();
    let (state, told) = match room.standing(ticket, now) {
        Standing::Unknown => ("unknown", None),
        Standing::Called => ("called", None),
        Standing::Sits => ("inside", None),
        Standing::Waits(wait) => ("waiting", Some(Told::of(room, &wait, now.wall()))),
    };
    let text = room_page::standing(state, told.as_ref());
    let mut response = Response::new(StatusCode::OK, Body::full(text));
    response.headers.insert(Known::CONTENT_TYPE, "application/json");
    response.headers.insert(Known::CACHE_CONTROL, "no-store");
    response
}
