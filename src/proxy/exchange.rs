//! The story of one request: identify, route, gate, flags, backend, forward, record.

use std::{
    borrow::Cow,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{Arc, LazyLock},
};

use futures_util::FutureExt;
use http::{Method, StatusCode, Version};
use smallvec::SmallVec;

use super::{
    access, admit, answer, caching, carried, compress, drills,
    edge::{Edge, Peer},
    error_page::{self, Plea},
    follow::Following,
    forward::Outgoing,
    headers, lookup, ofrep, override_page, passing, pinned,
    recall::Side,
    redirect,
    refusal::Refusal,
    respond::{self, leave},
    rooms, sign_in, withheld,
};
use crate::{
    body::Body,
    clock,
    fields::{Fields, Known},
    flag::{Choice, Fault, FlagId},
    gate::{BadToken, Denied, Source},
    message::{Head, Request, Response},
    name::VariantName,
    observe::{
        details::Details,
        metrics::{Family, Label},
        record::{FlagFacts, Listener, Outcome, Record},
        trace::{self, Trace},
    },
    policy::Policy,
    snapshot::{
        Rule, Snapshot,
        decide::{Ask, Credential, Decision, Entrance, Settled, Stop},
    },
    wire::{Interim, Malformed, Service, Upgrade},
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
    let passing = async {
        match ofrep::asked(&head, peer.listener) {
            Some(audience) => ofrep::pass(audience, &head, body, peer, edge, &mut following).await,
            None => pass_through(&mut head, body, peer, edge, &snapshot, &mut following, interim).await,
        }
    };
    let passed = AssertUnwindSafe(passing).catch_unwind().await;
    let passed = passed.unwrap_or_else(|_| {
        edge.observe.count(Family::Panics, &[], 1);
        Err(Refusal::internal("panic"))
    });
    let (mut response, mut under_way) = match passed {
        Ok(answer) => answer,
        Err(refusal) => {
            note_refusal(&refusal, &mut following.record);
            let mut response = answer::for_refusal(&refusal, &head.headers, request_id(&following.record));
            rooms::keep(following.kept.drain(..), &mut response.headers);
            (response, None)
        }
    };
    if error_page::is_error(response.status)
        && let Some(plea) = following.plea
        && following.record.lacking.is_none()
    // no page stands in for a script
    {
        let (passed, following) = ((response, under_way), &mut following);
        let showing = error_page::instead(plea, passed, &head, peer, edge, &snapshot, following);
        (response, under_way) = Box::pin(showing).await;
    }
    respond::shape(&mut response, &following, &snapshot);
    carried::keep_private(&mut response, &following.record);
    sign_in::finish(&mut response, &mut following);
    compress::finish(&mut response, &head.method, &following, edge, &snapshot);
    if let Some(id) = &following.record.request_id {
        response.headers.insert(Known::X_REQUEST_ID, id);
    }
    following.record.note_answer(&response);
    following.follow_answer(response, under_way)
}

/// An answer, and what counts it at its server until it is over.
pub(super) type Passed = (Response, Option<crate::backend::under_way::UnderWay>);

/// What a request is answered with, unless it is refused.
pub(super) async fn pass_through(
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
        entrance: entrance(peer, head.version),
        method: matched_method(head),
        host: &host,
        target: head.target(),
        headers: &head.headers,
        client: Some(following.record.client),
        credential: Credential::Fields(&edge.tokens),
        entropy: edge.random16(),
    };
    if let Some(own) = override_page::own(head, &ask, at, edge, following) {
        return own.map(|response| (response, None));
    }
    if let Some(page) = sign_in::asked(&ask, at) {
        return Box::pin(sign_in::pass(page, head, body, at, edge, following)).await;
    }
    let decision = lookup::decide(&ask, following.record.began_at().wall(), at, edge).await;
    let decided = clock::steady();
    following.record.timings.decide = Some(decided.saturating_duration_since(following.record.began));
    let route = respond::taken(&decision);
    respond::note(route, head, at, following);
    compress::note(route, head, at, following);
    following.plea = Plea::of(&decision, &head.headers, at);
    let decision = match decision {
        Ok(decision) => decision,
        Err(stop) => return stopped(stop, &ask, head, edge, at, following),
    };
    let rule = at.rule(decision.route).ok_or_else(Refusal::no_route)?;
    check_in(&decision, rule, &ask, (head, at, edge), following)?;
    if let Some(waiting) = rooms::pass(&decision, rule, &ask, at, following) {
        return Ok((waiting, None));
    }
    let class = admit::take_seat(&decision, rule, head, edge, at, following).await?;
    let drill = drills::meet(&decision, rule, &ask, at, edge);
    let asked = (&*head, &body, drill.is_some());
    let said = match caching::shortcut::answer((&decision, rule), asked, (peer, at), edge, following) {
        Ok(kept) => return Ok((leave(kept, &decision.settle(), rule, peer, at, following), None)),
        Err(said) => said,
    };
    let noted = caching::key::Noted::of(&decision, head, &host, at, said);
    let decision = decision.settle();
    withheld::take_out(&mut head.headers, &decision, rule, at);
    let (over_http2, policy) = (matches!(head.upgrade, Some(Upgrade::Http2(_))), &*rule.policy);
    rewrite(head, &decision, policy, peer, at, following)?;
    access::finish(head, &rule.policy.access, peer, &following.record, at);
    let outgoing = Outgoing {
        head,
        body: following.count_in(body, &rule.policy, at.gate.as_ref().map(|gate| &gate.gate)),
        backend: decision.backend,
        identity: decision.identity.as_ref(),
        ready: decided,
        rule: Some(rule),
        class,
    };
    let drill = drills::before(drill, edge, rule, &mut following.record).await?;
    let mut interim = passing::Guarded { interim, policy };
    let way = caching::Way::new(rule, edge, at, &mut following.record, &mut interim);
    let (mut response, under_way) = caching::send(noted, outgoing, way).await?;
    following.record.outcome = respond::outcome(&mut response, over_http2)?;
    let response = leave(response, &decision, rule, peer, at, following);
    Ok((drills::after(drill, response), under_way))
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
    if edge.observe.shows_details() {
        let own = record.client == peer.ip();
        let port = own.then(|| peer.address.port());
        record.details_of_wire = Some(Box::new(Details::of(head, port)));
    }
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
    record.note_answer(&response);
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

fn entrance(peer: &Peer, version: Version) -> Entrance {
    match peer.listener {
        Listener::Https => Entrance::Public,
        Listener::Http => Entrance::Plain(version),
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

/// What a request gets that is not passed on.
fn stopped(
    stop: Stop,
    ask: &Ask<'_, '_>,
    head: &Head,
    edge: &Edge,
    at: &Snapshot,
    following: &mut Following,
) -> Result<Passed, Refusal> {
    sign_in::note_stopped(&stop, ask, at, following);
    let rule = stop.route().and_then(|route| at.rule(route));
    if let Some(rule) = rule {
        note_rule(rule, &mut following.record);
    }
    let redirect = match stop {
        Stop::ToHttps { status, .. } => redirect::to_https(status, ask.host, ask.target, edge.https_port),
        Stop::Redirect { status, location, .. } => redirect::to(status, &location),
        Stop::Ambiguous(ambiguous) => return Err(ambiguous.into()),
        Stop::UnknownHost => return Err(Refusal::unknown_host()),
        Stop::NoRoute => return Err(Refusal::no_route()),
        Stop::PlainHttp { .. } => return Err(Refusal::plain_http()),
        Stop::Method { status, allow, .. } => return Err(Refusal::method(status, &allow)),
        Stop::Preflight(preflight) => return Ok((respond::preflight(&preflight, head, following), None)),
        Stop::Barred { why, .. } => return Err(why.into()),
        Stop::Denied { denied, .. } => {
            following.record.gate = Some(denied.as_str());
            if let (Denied::NoKeys | Denied::BadToken(BadToken::UnknownKey), Some(gate)) = (&denied, &at.gate)
            {
                gate.wanted.notify_one();
            }
            let by_session = rule.filter(|rule| rule.requirement.accept.has(Source::Session));
            match by_session.and_then(|rule| sign_in::instead(&denied, ask, head, (rule, at), edge)) {
                Some(redirect) => redirect,
                None => return Err(denied.into()),
            }
        }
    };
    following.record.outcome = Outcome::Answered;
    Ok((redirect, None))
}

fn note_rule(rule: &Rule, record: &mut Record) {
    record.route = Some(Arc::clone(&rule.name));
    record.squad = Some(Arc::clone(&rule.squad));
    if rule.policy.access.signed.is_some() {
        access::conceal(record);
    }
}

/// Notes what was decided, and whether its sender may ask as often.
fn check_in(
    decision: &Decision<'_>,
    rule: &Rule,
    ask: &Ask<'_, '_>,
    (head, at, edge): (&Head, &Snapshot, &Rc<Edge>),
    following: &mut Following,
) -> Result<(), Refusal> {
    note_decision(decision, rule, at, edge, following);
    sign_in::note(decision, ask, at, following);
    admit::check_in(decision, rule, head, edge, following)?;
    carried::note(&decision.carried, edge);
    withheld::note(decision, edge, &mut following.record);
    Ok(())
}

fn note_decision(
    decision: &Decision<'_>,
    rule: &Rule,
    at: &Snapshot,
    edge: &Edge,
    following: &mut Following,
) {
    following.side = Side::of(decision, rule, at);
    let record = &mut following.record;
    note_rule(rule, record);
    record.visitor = Some(decision.seen.as_str());
    record.backend = at
        .backend(decision.backend)
        .map(|backend| backend.settings.name.shared());
    pinned::note(decision, at, edge, record);
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

/// What a decision is to log and metrics.
pub(super) fn facts(id: FlagId, choice: &Choice, at: &Snapshot) -> Option<FlagFacts> {
    let flag = at.flags.get(id)?;
    if choice.error.is_some() {
        flag.count_failure();
    }
    let variant = choice.variant.and_then(|at| flag.variant(at));
    Some(FlagFacts {
        flag: flag.key().shared(),
        variant: variant.map_or_else(|| Arc::clone(&NO_VARIANT), VariantName::shared),
        reason: choice.reason.as_str(),
        error: choice.error.map(Fault::as_str),
    })
}

fn note_refusal(refusal: &Refusal, record: &mut Record) {
    record.outcome = refusal.outcome();
    record.details = Some(refusal.details);
    if refusal.backend.is_some() {
        record.backend.clone_from(&refusal.backend);
    }
    if let Some(cause) = &refusal.cause {
        let id = request_id(record);
        tracing::debug!(request_id = id, reason = refusal.reason, details = refusal.details, %cause, "refused");
    }
}

/// Turns the client's head into the one that a backend gets, but for what differs from backend to backend.
fn rewrite(
    head: &mut Head,
    decision: &Settled,
    policy: &Policy,
    peer: &Peer,
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
    if let Some(forward) = &policy.forward {
        forward.apply(head); // what Banyan itself says comes after
    }
    let fields = &mut head.headers;
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
        carried::tell(fields, &decision.choices, at);
        carried::mark(fields, &decision.choices);
    }
    Ok(())
}

fn wants_trailers(fields: &Fields) -> bool {
    let values = fields.get_all(Known::TE).filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}
