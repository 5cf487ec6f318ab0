//! Asks a server: chooses one, gets a way to it, sends, and tries another where that is safe.

use std::{rc::Rc, sync::Arc, time::Instant};

use super::{
    admit::{self, Wanted},
    deadline,
    edge::Edge,
    hashed, hedge,
    refusal::{Refusal, Retry},
    tries::{self, Tries, Who},
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
    observe::record::{Record, Side, Timings},
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
    /// The server has no connection left.
    pub(super) full: bool,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            body: None,
            stale: false,
            full: false,
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
    let Some(terms) = backend.line() else {
        return try_servers(outgoing, deadline, backend, edge, at, record, interim).await;
    };
    if !backend.would_admit(outgoing.ready) {
        return Err(breaker_open(backend, outgoing.ready, edge)); // nobody waits for a seat to hear that
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

/// Where an exchange is tried, and until when.
pub(super) struct Ground<'g> {
    pub(super) backend: &'g Arc<Backend>,
    pub(super) crew: &'g Crew,
    pub(super) edge: &'g Edge,
    pub(super) at: &'g Snapshot,
    pub(super) deadline: Option<Instant>,
}

/// Whose turn it is.
pub(super) struct Turn {
    /// The server's place.
    pub(super) place: usize,
    pub(super) pool: Rc<Pool>,
    /// Counts the exchange there.
    pub(super) under_way: Option<UnderWay>,
    /// Nobody was asked before, and no other backend was.
    pub(super) is_first: bool,
}

/// What came of an attempt.
pub(super) type Answered = Result<Response, Failed>;

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
        return Err(breaker_open(backend, outgoing.ready, edge));
    }
    let mut crew = crew_of(outgoing.backend, backend, edge);
    if crew.is_empty() {
        // boxed, so that requests to other backends carry nothing of it
        Box::pin(fill(backend, deadline)).await?;
        crew = crew_of(outgoing.backend, backend, edge);
    }
    let ground = Ground {
        backend,
        crew: &crew,
        edge,
        at,
        deadline,
    };
    let key = hashed::key(&settings.pick, outgoing.head, outgoing.identity, record.client);
    let mut tries = Tries::default();
    loop {
        let mut turn = turn(&outgoing, &tries, key, &ground, record)?;
        tries.attempts += 1;
        record.attempts += 1;
        direct(&mut outgoing.head.headers, backend, &turn.pool.server, deadline);
        let trying = Trying {
            head: outgoing.head,
            body: std::mem::replace(&mut outgoing.body, Body::Empty),
            began: outgoing.ready,
            is_last: tries.attempts >= settings.attempts,
            after_stale: tries.stale,
            rule: outgoing.rule,
        };
        let first = turn.place;
        let answered = take_turn(trying, &mut turn, &ground, record, interim).await;
        record.server = Some(Arc::clone(&turn.pool.server.label));
        let failed = match (answered, turn.under_way.take()) {
            (Ok(response), Some(under_way)) => {
                tries::reward(outgoing.rule, response.status);
                return Ok((response, under_way));
            }
            (Ok(_), None) => return Err(Refusal::internal("turn")),
            (Err(failed), _) => failed,
        };
        if failed.full {
            tries.servers.push(first);
        }
        let nowhere = failed.full && tries.servers.len() >= crew.len();
        if nowhere || failed.refusal.side == Side::Banyan {
            return Err(no_room(failed.refusal, backend, edge));
        }
        let (body, who) = tries.next(failed, &outgoing, backend, deadline, edge).await?;
        outgoing.body = body;
        outgoing.ready = clock::steady();
        match who {
            // whoever is hashed to a server stays there: only the connection was no good
            Who::Same if key.is_some() => {}
            Who::Same | Who::Any => tries.servers.push(first),
            Who::Other => {}
        }
        if tries.servers.len() >= crew.len() {
            tries.servers.clear(); // everyone has had a turn: a stale connection may have been all that was wrong
        }
    }
}

/// Whose turn it is now.
fn turn(
    outgoing: &Outgoing<'_>,
    tries: &Tries,
    key: Option<u64>,
    ground: &Ground<'_>,
    record: &mut Record,
) -> Result<Turn, Refusal> {
    let choice = Choice {
        tried: &tries.servers,
        key,
        now: outgoing.ready,
        random: u64::from_ne_bytes(ground.edge.random8()),
    };
    let (place, pool) = ground.crew.choose(choice).ok_or_else(Refusal::no_server)?;
    record.server = Some(Arc::clone(&pool.server.label));
    Ok(Turn {
        place,
        pool: Rc::clone(pool),
        under_way: Some(pool.enter()),
        is_first: tries.attempts == 0 && record.failover.is_none(),
    })
}

/// One attempt, or two where the first takes long, until the request's deadline.
async fn take_turn(
    trying: Trying<'_>,
    turn: &mut Turn,
    ground: &Ground<'_>,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    let hedge = hedge::terms(&trying, turn, ground);
    let Some(deadline) = ground.deadline else {
        return match hedge {
            None => attempt(trying, &turn.pool, ground, &mut record.timings, interim).await,
            // boxed, so that requests of other routes carry nothing of it
            Some(terms) => Box::pin(hedge::race(trying, turn, terms, ground, record, interim)).await,
        };
    };
    let now = trying.began;
    let budget = deadline.saturating_duration_since(record.began);
    let had_time = deadline.saturating_duration_since(now) * 2 >= budget;
    let (body, handed) = deadline::watched(trying.body);
    let trying = Trying { body, ..trying };
    let pool = Rc::clone(&turn.pool);
    // boxed, so that requests to other backends carry nothing of it
    let trying = Box::pin(async {
        match hedge {
            None => attempt(trying, &pool, ground, &mut record.timings, interim).await,
            Some(terms) => hedge::race(trying, turn, terms, ground, record, interim).await,
        }
    });
    match deadline::before(deadline, trying).await {
        Ok(answered) => answered.map(|response| deadline::until(deadline, response)),
        Err(deadline::Passed) => {
            // who got the request late, or never whole, is not to blame: the client, a queue or another server took the time
            if had_time && handed.is_whole() {
                let at = clock::steady();
                ground.backend.failed(&pool, at);
                ground.backend.took(at.saturating_duration_since(now), at);
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
pub(super) fn direct(fields: &mut Fields, backend: &Backend, server: &Server, deadline: Option<Instant>) {
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

/// There is no connection left, with the whole backend or squad, or with any of its servers: nobody waits to hear that.
fn no_room(refusal: Refusal, backend: &Backend, edge: &Edge) -> Refusal {
    let name = backend.settings.name.shared();
    let cause = refusal.cause.as_ref().and_then(|cause| cause.downcast_ref());
    let of = match cause {
        Some(ConnectError::FullWhole(of)) => of,
        _ => &name,
    };
    admit::count(edge, of, refusal.details);
    Refusal {
        backend: Some(name),
        ..refusal
    }
}

fn breaker_open(backend: &Backend, now: Instant, edge: &Edge) -> Refusal {
    Refusal::breaker_open(backend, now, u64::from_ne_bytes(edge.random8()))
}

fn crew_of(id: BackendId, backend: &Backend, edge: &Edge) -> Rc<Crew> {
    let random = || u64::from_ne_bytes(edge.random8());
    edge.crews.of(id.0, backend, &edge.pools, random)
}

/// One attempt.
pub(super) struct Trying<'h> {
    pub(super) head: &'h Head,
    pub(super) body: Body,
    pub(super) began: Instant,
    /// There will be no other.
    pub(super) is_last: bool,
    /// A kept connection was no good just before.
    pub(super) after_stale: bool,
    pub(super) rule: Option<&'h Rule>,
}

pub(super) async fn attempt(
    trying: Trying<'_>,
    pool: &Rc<Pool>,
    ground: &Ground<'_>,
    timings: &mut Timings,
    interim: &mut dyn Interim,
) -> Answered {
    let backend = ground.backend;
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
    let lane = match pool.lane(backend, reuse, &ground.at.limits).await {
        Ok(lane) => lane,
        Err(error) => {
            let full = matches!(error, ConnectError::Full(_));
            if !full && !matches!(error, ConnectError::FullWhole(_)) {
                backend.failed(pool, clock::steady());
            }
            return Err(Failed {
                refusal: error.into(),
                body: Some(body),
                stale: false,
                full,
            });
        }
    };
    let reused = lane.reused();
    let connected = if reused { began } else { clock::steady() };
    if !reused {
        timings.connect = Some(connected.saturating_duration_since(began));
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
            timings.first_byte = Some(took);
            Ok(response)
        }
        Err(SendError { cause, sent, body }) => {
            let retry = retry_after(&cause, sent, reused);
            // A kept connection that the server had just closed, or a client that broke off, says nothing against the server.
            let stale = reused && matches!(cause, SendCause::Closed(_));
            if !stale {
                blame(&cause, backend, pool, connected);
            }
            let refusal = Refusal {
                retry,
                ..Refusal::from(cause)
            };
            Err(Failed {
                refusal,
                body,
                stale,
                full: false,
            })
        }
    }
}

/// Notes what a server is to blame for that was asked at `asked`.
fn blame(cause: &SendCause, backend: &Backend, pool: &Pool, asked: Instant) {
    // one that hangs up on some requests is there all the same, and where it is the only one nobody could take its place
    let only = matches!(cause, SendCause::Closed(_)) && backend.settings.servers.len() == 1;
    if only || matches!(cause, SendCause::RequestBody(_) | SendCause::Unsupported(_)) {
        return;
    }
    let now = clock::steady();
    if matches!(cause, SendCause::FirstByteTimeout) {
        backend.took(now.saturating_duration_since(asked), now);
    }
    backend.failed(pool, now);
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
