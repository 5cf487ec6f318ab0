//! Asks a server: chooses one, gets a way to it, sends, and tries another where that is safe.

use std::{rc::Rc, sync::Arc, time::Instant};

use super::{
    admit::{self, Wanted},
    deadline,
    edge::Edge,
    hashed,
    refusal::{Refusal, Retry},
    tries::{self, Tries},
};
use crate::{
    backend::{
        Backend, Scheme, Server,
        connect::ConnectError,
        crew::{Choice, Crew},
        pool::{Lane, Pool, Reuse},
        under_way::UnderWay,
    },
    body::Body,
    clock,
    fields::Fields,
    gate::Identity,
    message::{Head, Response},
    observe::record::Record,
    policy::protection::Timeouts,
    shield::line::Class,
    snapshot::{BackendId, Rule, Snapshot},
    wire::{ExchangeTimeouts, Interim, SendCause, SendError, Sent},
};

/// A request on its way out.
#[derive(Debug)]
pub struct Outgoing<'h> {
    /// Its head, rewritten but for what differs from backend to backend.
    pub head: &'h mut Head,
    /// Its body.
    pub body: Body,
    /// Where it goes.
    pub backend: BackendId,
    /// Who is signed in: the backend is told.
    pub identity: Option<&'h Arc<Identity>>,
    /// When it was ready to go.
    pub ready: Instant,
    /// On which route's terms. `None`: it is nobody's request, but a question of the router's own.
    pub rule: Option<&'h Rule>,
    /// Who goes first where requests wait.
    pub class: Class,
}

/// A failed attempt.
pub(super) struct Failed {
    pub(super) refusal: Refusal,
    /// The request's body if it can still be sent whole.
    pub(super) body: Option<Body>,
    /// The server had closed a kept connection: that says nothing about it, and a new one will do.
    pub(super) stale: bool,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            body: None,
            stale: false,
        }
    }
}

/// Sends `outgoing` to a server of its backend.
///
/// # Errors
/// The last attempt's [`Refusal`].
pub async fn send(
    mut outgoing: Outgoing<'_>,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Result<(Response, UnderWay), Refusal> {
    let Some(backend) = at.backend(outgoing.backend) else {
        return Err(Refusal::no_server());
    };
    let own = backend.settings.total_timeout.map(|total| outgoing.ready + total);
    let deadline = match (own, admit::deadline_of(outgoing.rule, record.began)) {
        (Some(own), Some(all)) => Some(own.min(all)),
        (own, all) => own.or(all),
    };
    let Some(terms) = backend.settings.line else {
        return try_servers(outgoing, deadline, backend, edge, at, record, interim).await;
    };
    if !backend.would_admit(outgoing.ready) {
        return Err(Refusal::breaker_open(&backend.settings.name)); // nobody waits for a seat to hear that
    }
    // boxed, so that requests to other backends carry nothing of it
    let name = backend.settings.name.shared();
    let wanted = Wanted {
        line: &backend.state.line,
        terms,
        class: outgoing.class,
        deadline,
        of: &name,
    };
    let seat = Box::pin(admit::seat(wanted, edge, record)).await;
    let seat = seat.map_err(|refusal| Refusal {
        backend: Some(Arc::clone(&name)),
        ..refusal
    })?;
    outgoing.ready = clock::steady();
    let sent = try_servers(outgoing, deadline, backend, edge, at, record, interim).await;
    sent.map(|(response, mut under_way)| {
        under_way.hold(seat);
        (response, under_way)
    })
}

async fn try_servers(
    mut outgoing: Outgoing<'_>,
    deadline: Option<Instant>,
    backend: &Arc<Backend>,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Result<(Response, UnderWay), Refusal> {
    let settings = &backend.settings;
    address(&mut outgoing, backend, edge);
    if !backend.admits(outgoing.ready) {
        return Err(Refusal::breaker_open(&settings.name));
    }
    let mut crew = crew_of(outgoing.backend, backend, edge);
    if crew.is_empty() {
        // boxed, so that requests to other backends carry nothing of it
        Box::pin(fill(backend, deadline)).await?;
        crew = crew_of(outgoing.backend, backend, edge);
    }
    let key = hashed::key(&settings.pick, outgoing.head, outgoing.identity, record.client);
    let mut tries = Tries::default();
    loop {
        let now = outgoing.ready;
        let choice = Choice {
            tried: &tries.servers,
            key,
            now,
            random: u64::from_ne_bytes(edge.random8()),
        };
        let (place, pool) = crew.choose(choice).ok_or_else(Refusal::no_server)?;
        tries.attempts += 1;
        record.attempts += 1;
        record.server = Some(Arc::clone(&pool.server.label));
        direct(&mut outgoing.head.headers, backend, &pool.server, deadline);
        let under_way = pool.enter();
        let trying = Trying {
            head: outgoing.head,
            body: std::mem::replace(&mut outgoing.body, Body::Empty),
            began: now,
            is_last: tries.attempts >= settings.attempts,
            after_stale: tries.stale,
            rule: outgoing.rule,
        };
        let attempted = match deadline {
            None => attempt(trying, pool, backend, at, record, interim).await,
            Some(deadline) => {
                let bodiless = matches!(trying.body, Body::Empty);
                // boxed, so that requests to other backends carry nothing of it
                let trying = Box::pin(attempt(trying, pool, backend, at, record, interim));
                let attempted = deadline::before(deadline, trying).await;
                judge(attempted, deadline, backend, pool, bodiless)
            }
        };
        let failed = match attempted {
            Ok(response) => {
                tries::reward(outgoing.rule, response.status);
                return Ok((response, under_way));
            }
            Err(failed) => failed,
        };
        drop(under_way);
        outgoing.body = tries.next(failed, &outgoing, backend, deadline, edge).await?;
        outgoing.ready = clock::steady();
        tries.servers.push(place);
        if tries.servers.len() >= crew.len() {
            tries.servers.clear(); // everyone has had a turn: a stale connection may have been all that was wrong
        }
    }
}

/// What an attempt with a deadline came to.
fn judge(
    attempted: Result<Result<Response, Failed>, deadline::Passed>,
    deadline: Instant,
    backend: &Backend,
    pool: &Pool,
    bodiless: bool,
) -> Result<Response, Failed> {
    match attempted {
        Ok(attempted) => attempted.map(|response| deadline::until(deadline, response)),
        Err(deadline::Passed) => {
            if bodiless {
                backend.failed(pool, clock::steady()); // with a body it may have been the client that took its time
            }
            Err(Refusal::too_long().into())
        }
    }
}

/// Tells the head what only this backend is told.
fn address(outgoing: &mut Outgoing<'_>, backend: &Backend, edge: &Edge) {
    let settings = &backend.settings;
    if let Some(identity) = outgoing.identity {
        let fields = &mut outgoing.head.headers;
        edge.signer
            .announce(fields, identity, &settings.name, clock::wall(), &edge.signed);
    }
    if let Some(wording) = &settings.wording {
        wording.word(outgoing.head);
    }
}

/// Tells the head what only this server is told, and how much time is left.
fn direct(fields: &mut Fields, backend: &Backend, server: &Server, deadline: Option<Instant>) {
    if let Some(wording) = &backend.settings.wording {
        wording.address(fields, server);
    }
    if let Some(deadline) = deadline {
        deadline::tell(fields, deadline, clock::steady());
    }
}

/// Waits until the names of `backend` stand for somebody, but not beyond the request's deadline.
async fn fill(backend: &Backend, deadline: Option<Instant>) -> Result<(), Refusal> {
    match deadline {
        Some(deadline) => {
            let filled = deadline::before(deadline, backend.filled()).await;
            filled.map_err(|deadline::Passed| Refusal::too_long())
        }
        None => {
            backend.filled().await;
            Ok(())
        }
    }
}

/// Whether `backend` has a server that is fit to be asked.
pub fn is_well(id: BackendId, backend: &Backend, now: Instant, edge: &Edge) -> bool {
    backend.would_admit(now) && crew_of(id, backend, edge).is_well(now)
}

fn crew_of(id: BackendId, backend: &Backend, edge: &Edge) -> Rc<Crew> {
    let random = || u64::from_ne_bytes(edge.random8());
    edge.crews.of(id.0, backend, &edge.pools, random)
}

/// One attempt.
struct Trying<'h> {
    head: &'h Head,
    body: Body,
    began: Instant,
    /// There will be no other.
    is_last: bool,
    /// A kept connection was no good just before.
    after_stale: bool,
    rule: Option<&'h Rule>,
}

async fn attempt(
    trying: Trying<'_>,
    pool: &Rc<Pool>,
    backend: &Arc<Backend>,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Result<Response, Failed> {
    let Trying {
        head,
        body,
        began,
        is_last,
        after_stale,
        rule,
    } = trying;
    let whole = head.method.is_idempotent() && matches!(body, Body::Empty);
    // only what can be sent again may meet a connection that its server is just closing
    let reuse = match (after_stale, whole && !is_last) {
        (true, _) => Reuse::Shared,
        (false, true) => Reuse::Any,
        (false, false) => Reuse::JustUsed,
    };
    let lane = match pool.lane(backend, reuse, &at.limits).await {
        Ok(lane) => lane,
        Err(error) => {
            if !matches!(error, ConnectError::Full(_)) {
                backend.failed(pool, clock::steady());
            }
            return Err(Failed {
                refusal: error.into(),
                body: Some(body),
                stale: false,
            });
        }
    };
    let reused = lane.reused();
    let connected = if reused { began } else { clock::steady() };
    if !reused {
        record.timings.connect = Some(connected.saturating_duration_since(began));
    }
    let own = rule.map_or_else(Default::default, |rule| rule.policy.protection.timeouts);
    match exchange(lane, head, body, backend, own, interim).await {
        Ok(mut response) => {
            let now = clock::steady();
            let took = now.saturating_duration_since(connected);
            backend.answered(pool, response.status, took, now);
            if let (Body::Tunnel(tunnel), Some(idle)) = (&mut response.body, own.websocket_idle) {
                tunnel.idle_for(idle);
            }
            record.timings.first_byte = Some(took);
            Ok(response)
        }
        Err(SendError { cause, sent, body }) => {
            let retry = retry_after(&cause, sent, reused);
            // A kept connection that the server had just closed, or a client that broke off, says nothing against the server.
            let stale = reused && matches!(cause, SendCause::Closed(_));
            // one that hangs up on some requests is there all the same, and where it is the only one nobody could take its place
            let only = matches!(cause, SendCause::Closed(_)) && backend.settings.servers.len() == 1;
            if !stale && !only && !matches!(cause, SendCause::RequestBody(_) | SendCause::Unsupported(_)) {
                backend.failed(pool, clock::steady());
            }
            let refusal = Refusal {
                retry,
                ..Refusal::from(cause)
            };
            Err(Failed { refusal, body, stale })
        }
    }
}

fn retry_after(cause: &SendCause, sent: Sent, reused: bool) -> Retry {
    match (sent, cause) {
        (_, SendCause::RequestBody(_) | SendCause::Unsupported(_)) => Retry::Never,
        (Sent::Nothing, _) => Retry::Unsent,
        (Sent::Something, SendCause::Closed(_)) if reused => Retry::IfIdempotent,
        (Sent::Something, SendCause::Closed(_) | SendCause::Http2(_)) => Retry::IfIdempotentElsewhere,
        (Sent::Something, _) => Retry::Never,
    }
}

async fn exchange(
    lane: Lane,
    head: &Head,
    body: Body,
    backend: &Backend,
    own: Timeouts,
    interim: &mut dyn Interim,
) -> Result<Response, SendError> {
    let settings = &backend.settings;
    let timeouts = ExchangeTimeouts {
        first_byte: own.first_byte.unwrap_or(settings.first_byte_timeout),
        between_bytes: own.between_bytes.unwrap_or(settings.between_bytes_timeout),
    };
    match lane {
        Lane::Http1 { connection, home, .. } => connection.send(head, body, interim, timeouts, home).await,
        Lane::Http2 { client, .. } => {
            let secure = backend
                .settings
                .servers
                .iter()
                .any(|server| server.address.scheme == Scheme::Https);
            let scheme = if secure { "https" } else { "http" };
            client.send(head, scheme, body, interim, timeouts).await
        }
    }
}
