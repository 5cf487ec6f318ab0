//! The story of one request: identify, route, gate, flags, backend, forward, record.

use std::{
    borrow::Cow,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{Arc, LazyLock},
};

use futures_util::FutureExt;
use http::{Method, StatusCode};
use smallvec::SmallVec;

use super::{
    answer, compress,
    edge::{Edge, Peer},
    follow::Following,
    forward::{self, Outgoing},
    headers,
    refusal::Refusal,
};
use crate::{
    body::Body,
    clock,
    fields::{Fields, Known},
    flag::{Choice, FlagId},
    gate::{BadToken, Denied},
    message::{Head, Request, Response},
    name::VariantName,
    observe::{
        metrics::{Family, Label},
        record::{FlagFacts, Listener, Outcome, Record},
        trace::{self, Trace},
    },
    policy::compress::Asked,
    snapshot::{
        Rule, Snapshot,
        decide::{Ask, Choices, Credential, Decision, Entrance, Settled, Stop, decide},
    },
    wire::{Interim, Malformed, SendCause, Service, Upgrade},
};

/// Answers the requests of one connection.
#[derive(Debug)]
pub struct Exchanges {
    /// The core.
    pub edge: Rc<Edge>,
    /// Who asks.
    pub peer: Peer,
}

impl Service for Exchanges {
    async fn call(&self, request: Request, interim: &mut dyn Interim) -> Response {
        handle(request, &self.peer, &self.edge, interim).await
    }

    fn refuse(&self, malformed: Malformed) -> Response {
        refuse(malformed, &self.peer, &self.edge)
    }
}

/// What happens to a request, from its head to the head of its answer.
pub async fn handle(request: Request, peer: &Peer, edge: &Rc<Edge>, interim: &mut dyn Interim) -> Response {
    let snapshot = edge.view.load(); // one version for the whole exchange
    let Request { mut head, body } = request;
    let mut following = begin(&head, peer, edge);
    let passing = pass_through(&mut head, body, peer, edge, &snapshot, &mut following, interim);
    let passed = AssertUnwindSafe(passing).catch_unwind().await;
    let passed = passed.unwrap_or_else(|_| {
        edge.observe.count(Family::Panics, &[], 1);
        Err(Refusal::internal("panic"))
    });
    let (mut response, under_way) = match passed {
        Ok(answer) => answer,
        Err(refusal) => {
            note_refusal(&refusal, &mut following.record);
            (
                answer::for_refusal(&refusal, &head.headers, request_id(&following.record)),
                None,
            )
        }
    };
    following.record.status = Some(response.status);
    if let Some(id) = &following.record.request_id {
        response.headers.insert(Known::X_REQUEST_ID, id);
    }
    response.map(|body| following.follow(body, under_way))
}

type Passed = (Response, Option<crate::backend::pool::UnderWay>);

async fn pass_through(
    head: &mut Head,
    body: Body,
    peer: &Peer,
    edge: &Rc<Edge>,
    at: &Snapshot,
    following: &mut Following,
    interim: &mut dyn Interim,
) -> Result<Passed, Refusal> {
    if answers_itself(head) {
        following.record.outcome = Outcome::Answered;
        return Ok((about_itself(), None));
    }
    let host = host_of(&head.headers);
    let ask = Ask {
        entrance: entrance(peer),
        method: matched_method(head),
        host: &host,
        target: head.target(),
        headers: &head.headers,
        credential: Credential::Fields(&edge.tokens),
        entropy: edge.random16(),
    };
    let decision = decide(&ask, following.record.began_at().wall(), at, &mut ());
    let decided = clock::steady();
    following.record.timings.decide = Some(decided.saturating_duration_since(following.record.began));
    let decision = decision.map_err(|stop| stopped(stop, at, &mut following.record))?;
    let Some(rule) = at.rule(decision.route) else {
        return Err(Refusal::no_route());
    };
    note_decision(&decision, rule, at, &mut following.record);
    let decision = decision.settle();
    let over_http2 = matches!(head.upgrade, Some(Upgrade::Http2(_)));
    let compression = rule.policy.compress.as_ref();
    let compression = compression.map(|way| (way, Asked::of(way, head.version, &head.headers)));
    rewrite(head, &decision, peer, edge, at, following)?;
    let outgoing = Outgoing {
        head,
        body: following.count_in(body),
        backend: decision.backend,
        ready: decided,
    };
    let (mut response, under_way) = forward::send(outgoing, edge, at, &mut following.record, interim).await?;
    following.record.outcome = match &response.body {
        Body::Tunnel(_) => Outcome::Tunnelled,
        _ => Outcome::Forwarded,
    };
    match (over_http2, following.record.outcome == Outcome::Tunnelled) {
        (true, true) => response.status = StatusCode::OK, // RFC 8441 section 5: where HTTP/1.1 says 101
        // any 2xx would tell the client that its WebSocket is open
        (true, false) if response.status.is_success() => {
            return Err(Refusal::from(SendCause::Unsupported("this upgrade")));
        }
        _ => {}
    }
    headers::strip_hop_by_hop(&mut response.headers);
    headers::strip_own_cookies(&mut response.headers);
    if let (true, Some(visitor)) = (decision.set_cookie, &decision.visitor) {
        let cookie = at.visitors.set_cookie(visitor, clock::wall());
        response.headers.append(Known::SET_COOKIE, cookie);
    }
    if let Some((way, asked)) = compression {
        compress::compress(&mut response, &head.method, &asked, way, edge, at);
    }
    Ok((response, Some(under_way)))
}

/// Begins the record of a request.
pub fn begin(head: &Head, peer: &Peer, edge: &Rc<Edge>) -> Following {
    let fields = &head.headers;
    let at = edge.view.load();
    let client = headers::client_address(fields, peer.ip(), &at.trusted_proxies);
    let now = clock::now();
    let record = Record::begin(now.steady, now.wall_micros, peer.listener, client);
    let mut following = Following::new(record, edge);
    let record = &mut following.record;
    record.note_head(head);
    record.tls.clone_from(&peer.tls);
    let trusted = headers::is_trusted(peer.ip(), &at.trusted_proxies);
    let known = if trusted { trace::request_id(fields) } else { None };
    record.request_id = Some(known.unwrap_or_else(|| edge.observe.mint_request_id()));
    let trace = Trace::follow(fields, || edge.random16(), edge.random8());
    record.trace = Some((trace.id, trace.span));
    following.trace = Some(trace);
    following
}

/// The answer to what never became a request, counted.
pub fn refuse(malformed: Malformed, peer: &Peer, edge: &Rc<Edge>) -> Response {
    let now = clock::now();
    let mut record = Record::begin(now.steady, now.wall_micros, peer.listener, peer.ip());
    record.tls.clone_from(&peer.tls);
    record.request_id = Some(edge.observe.mint_request_id());
    record.outcome = Outcome::Malformed(malformed.what);
    record.status = Some(malformed.status);
    if malformed.status == StatusCode::REQUEST_TIMEOUT {
        let stage = if malformed.what.contains("body") {
            "body"
        } else {
            "head"
        };
        edge.observe.count(
            Family::Timeouts,
            &[Label::Word(peer.listener.as_str()), Label::Word(stage)],
            1,
        );
    }
    let refusal = Refusal::from(malformed);
    let mut response = answer::for_refusal(&refusal, &Fields::new(), request_id(&record));
    if let Some(id) = &record.request_id {
        response.headers.insert(Known::X_REQUEST_ID, id);
    }
    let following = Following::new(record, edge);
    response.map(|body| following.follow(body, None))
}

/// The request's number as text.
#[must_use]
pub fn request_id(record: &Record) -> &str {
    record
        .request_id
        .as_ref()
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
}

/// The host that a request names: lower case, no port, no brackets.
#[must_use]
pub fn host_of(fields: &Fields) -> Cow<'_, str> {
    let text = fields
        .get(Known::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let name = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => text.split(':').next().unwrap_or_default(),
    };
    let name = name.strip_suffix('.').unwrap_or(name); // "example.com." is the same name, said in full
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// How a refusal ends the record.
#[must_use]
pub const fn outcome_of(refusal: &Refusal) -> Outcome {
    Outcome::Refused {
        reason: refusal.reason,
        side: refusal.side,
    }
}

fn entrance(peer: &Peer) -> Entrance {
    match peer.listener {
        Listener::Https | Listener::Http => Entrance::Public,
        Listener::Private => Entrance::Private,
    }
}

/// A WebSocket over HTTP/2 is a CONNECT on the wire and a GET to everyone who writes a route (RFC 8441 section 5).
fn matched_method(head: &Head) -> &Method {
    match &head.upgrade {
        Some(Upgrade::Http2(_)) => &Method::GET,
        _ => &head.method,
    }
}

/// `OPTIONS *` asks about the server itself; so does an OPTIONS that may not travel on (RFC 9110 sections 9.3.7 and 7.6.2).
fn answers_itself(head: &Head) -> bool {
    let last_hop = || {
        head.headers
            .get(Known::MAX_FORWARDS)
            .is_some_and(|value| value.as_bytes() == b"0")
    };
    head.method == Method::OPTIONS && (head.target() == "*" || last_hop())
}

fn about_itself() -> Response {
    let mut response = Response::new(StatusCode::NO_CONTENT, Body::Empty);
    let known = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    response.headers.insert(Known::ALLOW, known);
    response
}

fn stopped(stop: Stop, at: &Snapshot, record: &mut Record) -> Refusal {
    match stop {
        Stop::Ambiguous(ambiguous) => ambiguous.into(),
        Stop::UnknownHost => Refusal::unknown_host(),
        Stop::NoRoute => Refusal::no_route(),
        Stop::Denied { route, denied } => {
            if let Some(rule) = at.rule(route) {
                note_rule(rule, record);
            }
            record.gate = Some(denied.as_str());
            if let (Denied::NoKeys | Denied::BadToken(BadToken::UnknownKey), Some(gate)) = (&denied, &at.gate)
            {
                gate.wanted.notify_one();
            }
            denied.into()
        }
    }
}

fn note_rule(rule: &Rule, record: &mut Record) {
    record.route = Some(Arc::clone(&rule.name));
    record.squad = Some(Arc::clone(&rule.squad));
}

fn note_decision(decision: &Decision<'_>, rule: &Rule, at: &Snapshot, record: &mut Record) {
    note_rule(rule, record);
    record.visitor = Some(decision.seen.as_str());
    record.gate = Some(if decision.identity.is_some() {
        "passed"
    } else {
        "open"
    });
    record.backend = at
        .backend(decision.backend)
        .map(|backend| backend.settings.name.shared());
    for (at_place, (id, choice)) in decision.choices.iter().enumerate() {
        let Some(facts) = facts(*id, choice, at) else {
            continue;
        };
        match at_place {
            0 if matches!(rule.target, crate::snapshot::Target::Variants { .. }) => record.flag = Some(facts),
            _ => record.flags.push(facts),
        }
    }
}

/// What is noted where a flag gives no variant: one text, so that metrics know it again.
static NO_VARIANT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("none"));

fn facts(id: FlagId, choice: &Choice, at: &Snapshot) -> Option<FlagFacts> {
    let flag = at.flags.get(id)?;
    let variant = choice.variant.and_then(|at| flag.variant(at));
    Some(FlagFacts {
        flag: flag.key().shared(),
        variant: variant.map_or_else(|| Arc::clone(&NO_VARIANT), VariantName::shared),
        reason: choice.reason.as_str(),
    })
}

fn note_refusal(refusal: &Refusal, record: &mut Record) {
    record.outcome = outcome_of(refusal);
    record.details = Some(refusal.details);
    if refusal.backend.is_some() {
        record.backend.clone_from(&refusal.backend);
    }
    if let Some(cause) = &refusal.cause {
        let id = request_id(record);
        tracing::debug!(request_id = id, reason = refusal.reason, details = refusal.details, %cause, "refused");
    }
}

/// Turns the client's head into the one that the backend gets.
fn rewrite(
    head: &mut Head,
    decision: &Settled,
    peer: &Peer,
    edge: &Edge,
    at: &Snapshot,
    following: &Following,
) -> Result<(), Refusal> {
    if let Some(target) = &decision.target {
        head.set_target(&**target);
    }
    let fields = &mut head.headers;
    let trailers = wants_trailers(fields);
    if head.method == Method::OPTIONS {
        headers::count_forward(fields);
    }
    headers::strip_hop_by_hop(fields);
    let trusted = headers::is_trusted(peer.ip(), &at.trusted_proxies);
    headers::strip_forged(fields, trusted);
    crate::visitor::remove_own_cookies(fields);
    if trailers {
        fields.insert(Known::TE, "trailers");
    }
    headers::add_via(fields, head.version).map_err(|_| Refusal::looping())?;
    let host: SmallVec<[u8; 64]> = fields
        .get(Known::HOST)
        .map_or_else(SmallVec::new, |host| host.as_bytes().into());
    let arrival = headers::Arrival {
        peer: peer.ip(),
        port: peer.port,
        secure: peer.tls.is_some(),
        host: str::from_utf8(&host).unwrap_or_default(),
    };
    headers::set_forwarded(fields, &arrival, &at.trusted_proxies);
    if let Some(id) = &following.record.request_id {
        fields.insert(Known::X_REQUEST_ID, id);
    }
    if let Some(trace) = &following.trace {
        let state = trace.tracestate(fields);
        fields.insert(Known::TRACEPARENT, trace.traceparent());
        match state {
            Some(state) => fields.insert(Known::TRACESTATE, state),
            None => fields.remove(Known::TRACESTATE),
        }
    }
    if !decision.choices.is_empty() {
        fields.insert_with(Known::BANYAN_FLAGS, |text| {
            write_flags(text, &decision.choices, at)
        });
    }
    if let (Some(identity), Some(backend)) = (&decision.identity, at.backend(decision.backend)) {
        edge.signer.announce(
            fields,
            identity,
            &backend.settings.name,
            clock::wall(),
            &edge.signed,
        );
    }
    Ok(())
}

fn wants_trailers(fields: &Fields) -> bool {
    let values = fields.get_all(Known::TE).filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// `Banyan-Flags: course-reviews=new, search=legacy`: a dictionary as RFC 9651 section 3.2 writes it.
fn write_flags(text: &mut Vec<u8>, choices: &Choices, at: &Snapshot) {
    let begin = text.len();
    for (id, choice) in choices {
        let Some(flag) = at.flags.get(*id) else { continue };
        let Some(variant) = choice.variant.and_then(|at| flag.variant(at)) else {
            continue;
        };
        if text.len() > begin {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(flag.key().as_str().as_bytes());
        text.push(b'=');
        text.extend_from_slice(variant.as_str().as_bytes());
    }
}
