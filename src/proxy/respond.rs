//! What a route says of its answers, written into each on its way out, whoever made it.

use http::StatusCode;

use super::{carried, edge::Peer, follow::Following, headers, passing, refusal::Refusal, rooms};
use crate::{
    body::Body,
    clock,
    message::{Head, Response},
    observe::record::{Listener, Outcome},
    policy::{
        cors::{self, Announced, Verdict},
        response::{Answered, Made, ResponseRules, Spent},
    },
    route::RouteId,
    snapshot::{
        Rule, Snapshot,
        decide::{Decision, Settled, Stop},
        preflight::Preflight,
    },
    visitor::OWN_PREFIX,
    wire::SendCause,
};

/// What is remembered of a request until its answer leaves. Nothing, for a route that says nothing of its answers.
#[derive(Debug, Default)]
pub struct Answering {
    route: Option<RouteId>,
    verdict: Verdict,
}

/// The route that took a request.
pub fn taken(decided: &Result<Decision<'_>, Stop>) -> Option<RouteId> {
    decided
        .as_ref()
        .map_or_else(Stop::route, |decision| Some(decision.route))
}

/// Makes an answer the one that its client gets: without what is not for it, and with its own cookies.
pub(super) fn leave(
    mut response: Response,
    decision: &Settled,
    rule: &Rule,
    peer: &Peer,
    at: &Snapshot,
    following: &mut Following,
) -> Response {
    let fields = &mut response.headers;
    headers::strip_hop_by_hop(fields);
    passing::strip_cookies(fields, &rule.policy);
    if peer.listener == Listener::Http {
        headers::strip_secure_cookies(fields);
    }
    carried::set_cookies(fields, decision, at);
    rooms::keep_slip(following, fields);
    response
}

/// Notes what the answer will depend on, while the request's head is as it came.
pub fn note(route: Option<RouteId>, head: &Head, at: &Snapshot, following: &mut Following) {
    let Some(rules) = rules(route, at) else { return };
    following.answering = Answering {
        route,
        verdict: rules.judge(&head.method, &head.headers),
    };
}

/// The answer to a preflight, by whoever may take the request that it announces.
pub fn preflight(preflight: &Preflight, head: &Head, following: &mut Following) -> Response {
    following.record.outcome = Outcome::Answered;
    following.answering.verdict = Verdict::Silent; // it is in the answer already
    let mut response = Response::new(StatusCode::NO_CONTENT, Body::Empty);
    if let Some(announced) = Announced::read(&head.method, &head.headers) {
        cors::write_preflight(&announced, preflight.answer.ok(), &mut response.headers);
    }
    response
}

/// How a backend's answer counts; what answers a WebSocket over HTTP/2 is made to say what that means there.
///
/// # Errors
/// A backend that would not open the WebSocket, but says something that would tell the client that it is open.
pub fn outcome(response: &mut Response, over_http2: bool) -> Result<Outcome, Refusal> {
    let tunnelled = matches!(response.body, Body::Tunnel(_));
    match (over_http2, tunnelled) {
        (true, true) => response.status = StatusCode::OK, // RFC 8441 section 5: where HTTP/1.1 says 101
        // any 2xx would tell the client that its WebSocket is open
        (true, false) if response.status.is_success() => {
            return Err(Refusal::from(SendCause::Unsupported("this upgrade")));
        }
        _ => {}
    }
    Ok(match tunnelled {
        true => Outcome::Tunnelled,
        false => Outcome::Forwarded,
    })
}

/// Writes into an answer what its route says. A tunnel's answer belongs to who opened it and stays as it is.
pub fn shape(response: &mut Response, following: &Following, at: &Snapshot) {
    let answering = &following.answering;
    let Some(rules) = rules(answering.route, at) else {
        return;
    };
    if matches!(response.body, Body::Tunnel(_)) {
        return;
    }
    let record = &following.record;
    let answered = Answered {
        made: match record.outcome {
            Outcome::Forwarded => Made::ByBackend,
            _ => Made::ByBanyan,
        },
        secure: record.listener == Listener::Https,
        verdict: &answering.verdict,
        own_cookies: OWN_PREFIX,
    };
    rules.apply(&answered, &mut response.headers);
    let id = record.request_id.as_ref();
    if id.is_some_and(|id| rules.is_timed(id.as_bytes())) {
        let timings = &record.timings;
        let spent = Spent {
            total: clock::steady().saturating_duration_since(record.began),
            backend: timings
                .first_byte
                .map(|first_byte| first_byte + timings.connect.unwrap_or_default()),
        };
        spent.write(&mut response.headers);
    }
}

fn rules(route: Option<RouteId>, at: &Snapshot) -> Option<&ResponseRules> {
    at.rule(route?)?.policy.response.as_ref()
}
