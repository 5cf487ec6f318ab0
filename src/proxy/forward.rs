//! Asks a server: chooses one, gets a way to it, sends, and tries another where that is safe.

use std::{rc::Rc, sync::Arc, time::Instant};

use http::Method;
use smallvec::SmallVec;

use super::{
    deadline,
    edge::Edge,
    hashed,
    refusal::{Refusal, Retry},
};
use crate::{
    backend::{
        Backend, Scheme,
        connect::ConnectError,
        crew::{Choice, Crew},
        pool::{Lane, Pool, Reuse, UnderWay},
    },
    body::Body,
    clock,
    gate::Identity,
    message::{Head, Response},
    observe::record::Record,
    snapshot::{BackendId, Snapshot},
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
    let settings = &backend.settings;
    address(&mut outgoing, backend, edge);
    let deadline = settings.total_timeout.map(|total| outgoing.ready + total);
    if !backend.admits(outgoing.ready) {
        return Err(Refusal::breaker_open(&settings.name));
    }
    let mut crew = crew_of(outgoing.backend, backend, edge);
    if crew.is_empty() {
        backend.filled().await;
        crew = crew_of(outgoing.backend, backend, edge);
    }
    let key = hashed::key(&settings.pick, outgoing.head, outgoing.identity, record.client);
    let mut tried: SmallVec<[usize; 4]> = SmallVec::new();
    let mut attempts = 0;
    loop {
        let now = outgoing.ready;
        let choice = Choice {
            tried: &tried,
            key,
            now,
            random: u64::from_ne_bytes(edge.random8()),
        };
        let (place, pool) = crew.choose(choice).ok_or_else(Refusal::no_server)?;
        attempts += 1;
        record.attempts += 1;
        record.server = Some(Arc::clone(&pool.server.label));
        if let Some(wording) = &settings.wording {
            wording.address(&mut outgoing.head.headers, &pool.server);
        }
        let under_way = pool.enter();
        let trying = Trying {
            head: outgoing.head,
            body: std::mem::replace(&mut outgoing.body, Body::Empty),
            began: now,
            is_last: attempts >= settings.attempts,
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
        let (refusal, body) = match attempted {
            Ok(response) => return Ok((response, under_way)),
            Err(failed) => failed,
        };
        let named = Refusal {
            backend: Some(settings.name.shared()),
            ..refusal
        };
        let again = attempts < settings.attempts && may_retry(&named, &outgoing.head.method);
        let Some(body) = body.filter(|_| again) else {
            return Err(named);
        };
        outgoing.body = body;
        outgoing.ready = clock::steady();
        tried.push(place);
        if tried.len() >= crew.len() {
            tried.clear(); // everyone has had a turn: a stale connection may have been all that was wrong
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
            Err((Refusal::too_long(), None))
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

/// Whether `backend` has a server that is fit to be asked.
pub fn is_well(id: BackendId, backend: &Backend, now: Instant, edge: &Edge) -> bool {
    backend.would_admit(now) && crew_of(id, backend, edge).is_well(now)
}

fn crew_of(id: BackendId, backend: &Backend, edge: &Edge) -> Rc<Crew> {
    let random = || u64::from_ne_bytes(edge.random8());
    edge.crews.of(id.0, backend, &edge.pools, random)
}

fn may_retry(refusal: &Refusal, method: &Method) -> bool {
    match refusal.retry {
        Retry::Never => false,
        Retry::Unsent => true,
        Retry::IfIdempotent => method.is_idempotent(),
    }
}

/// One attempt.
struct Trying<'h> {
    head: &'h Head,
    body: Body,
    began: Instant,
    /// There will be no other.
    is_last: bool,
}

/// A failed attempt: why, and the request's body if it can still be sent whole.
type Failed = (Refusal, Option<Body>);

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
    } = trying;
    let whole = head.method.is_idempotent() && matches!(body, Body::Empty);
    // only what can be sent again may meet a connection that its server is just closing
    let reuse = if whole && !is_last {
        Reuse::Any
    } else {
        Reuse::JustUsed
    };
    let lane = match pool.lane(backend, reuse, &at.limits).await {
        Ok(lane) => lane,
        Err(error) => {
            if !matches!(error, ConnectError::Full(_)) {
                backend.failed(pool, clock::steady());
            }
            return Err((error.into(), Some(body)));
        }
    };
    let reused = lane.reused();
    let connected = if reused { began } else { clock::steady() };
    if !reused {
        record.timings.connect = Some(connected.saturating_duration_since(began));
    }
    match exchange(lane, head, body, backend, interim).await {
        Ok(response) => {
            let now = clock::steady();
            let took = now.saturating_duration_since(connected);
            backend.answered(pool, response.status, took, now);
            record.timings.first_byte = Some(took);
            Ok(response)
        }
        Err(SendError { cause, sent, body }) => {
            let retry = retry_after(&cause, sent, reused);
            // A kept connection that the server had just closed, or a client that broke off, says nothing against the server.
            let stale = reused && matches!(cause, SendCause::Closed(_));
            if !stale && !matches!(cause, SendCause::RequestBody(_) | SendCause::Unsupported(_)) {
                backend.failed(pool, clock::steady());
            }
            Err((
                Refusal {
                    retry,
                    ..Refusal::from(cause)
                },
                body,
            ))
        }
    }
}

fn retry_after(cause: &SendCause, sent: Sent, reused: bool) -> Retry {
    match (sent, cause) {
        (_, SendCause::RequestBody(_) | SendCause::Unsupported(_)) => Retry::Never,
        (Sent::Nothing, _) => Retry::Unsent,
        (Sent::Something, SendCause::Closed(_)) if reused => Retry::IfIdempotent,
        (Sent::Something, _) => Retry::Never,
    }
}

async fn exchange(
    lane: Lane,
    head: &Head,
    body: Body,
    backend: &Backend,
    interim: &mut dyn Interim,
) -> Result<Response, SendError> {
    let timeouts = ExchangeTimeouts {
        first_byte: backend.settings.first_byte_timeout,
        between_bytes: backend.settings.between_bytes_timeout,
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
