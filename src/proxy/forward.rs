//! Asks a server: chooses one, gets a way to it, sends, and tries another where that is safe.

use std::{rc::Rc, sync::Arc, time::Instant};

use http::Method;
use smallvec::SmallVec;

use super::{
    edge::Edge,
    refusal::{Refusal, Retry},
};
use crate::{
    backend::{
        Backend, Scheme,
        connect::ConnectError,
        pick::pick,
        pool::{Lane, Pool, Reuse, UnderWay},
    },
    body::Body,
    clock,
    message::{Head, Response},
    observe::record::Record,
    snapshot::{BackendId, Snapshot},
    wire::{ExchangeTimeouts, Interim, SendCause, SendError, Sent},
};

/// Servers that one exchange may try.
pub const ATTEMPTS_MAX: u32 = 3;

/// A request on its way out.
#[derive(Debug)]
pub struct Outgoing<'h> {
    /// Its head, rewritten for the backend.
    pub head: &'h Head,
    /// Its body.
    pub body: Body,
    /// Where it goes.
    pub backend: BackendId,
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
    let pools: SmallVec<[Rc<Pool>; 4]> = backend
        .servers
        .iter()
        .map(|server| edge.pools.of(server))
        .collect();
    let mut tried: SmallVec<[usize; 4]> = SmallVec::new();
    loop {
        let now = outgoing.ready;
        let (place, pool) = choose(&pools, &tried, now, edge).ok_or_else(Refusal::no_server)?;
        record.attempts += 1;
        record.server = Some(Arc::clone(&pool.server.label));
        let under_way = pool.enter(now);
        let trying = Outgoing {
            body: std::mem::replace(&mut outgoing.body, Body::Empty),
            head: outgoing.head,
            backend: outgoing.backend,
            ready: now,
        };
        let (refusal, body) = match attempt(trying, pool, backend, at, record, interim).await {
            Ok(response) => return Ok((response, under_way)),
            Err(failed) => failed,
        };
        let named = Refusal {
            backend: Some(backend.settings.name.shared()),
            ..refusal
        };
        let again = may_retry(&named, &outgoing.head.method, record.attempts);
        let Some(body) = body.filter(|_| again) else {
            return Err(named);
        };
        outgoing.body = body;
        outgoing.ready = clock::steady();
        tried.push(place);
        if tried.len() >= pools.len() {
            tried.clear(); // everyone has had a turn: a stale connection may have been all that was wrong
        }
    }
}

fn choose<'p>(
    pools: &'p [Rc<Pool>],
    tried: &[usize],
    now: Instant,
    edge: &Edge,
) -> Option<(usize, &'p Rc<Pool>)> {
    let usable = |at: usize| !tried.contains(&at) && pools.get(at).is_some_and(|pool| pool.usable(now));
    let load = |at: usize| pools.get(at).map_or(u32::MAX, |pool| pool.in_flight());
    let random = u64::from_ne_bytes(edge.random8());
    let place = pick(pools.len(), usable, load, random)?;
    pools.get(place).map(|pool| (place, pool))
}

fn may_retry(refusal: &Refusal, method: &Method, attempts: u32) -> bool {
    attempts < ATTEMPTS_MAX
        && match refusal.retry {
            Retry::Never => false,
            Retry::Unsent => true,
            Retry::IfIdempotent => method.is_idempotent(),
        }
}

/// A failed attempt: why, and the request's body if it can still be sent whole.
type Failed = (Refusal, Option<Body>);

async fn attempt(
    outgoing: Outgoing<'_>,
    pool: &Rc<Pool>,
    backend: &Arc<Backend>,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Result<Response, Failed> {
    let began = outgoing.ready;
    let whole = outgoing.head.method.is_idempotent() && matches!(outgoing.body, Body::Empty);
    let reuse = if whole { Reuse::Any } else { Reuse::JustUsed };
    let lane = match pool.lane(backend, reuse, &at.limits).await {
        Ok(lane) => lane,
        Err(error) => {
            if !matches!(error, ConnectError::Full(_)) {
                pool.failed(clock::steady());
            }
            return Err((error.into(), Some(outgoing.body)));
        }
    };
    let reused = lane.reused();
    let connected = if reused { began } else { clock::steady() };
    if !reused {
        record.timings.connect = Some(connected.saturating_duration_since(began));
    }
    let Outgoing { head, body, .. } = outgoing;
    match exchange(lane, head, body, backend, interim).await {
        Ok(response) => {
            pool.succeeded();
            record.timings.first_byte = Some(clock::steady().saturating_duration_since(connected));
            Ok(response)
        }
        Err(SendError { cause, sent, body }) => {
            let retry = retry_after(&cause, sent, reused);
            // A kept connection that the server had just closed, or a client that broke off, says nothing against the server.
            let stale = reused && matches!(cause, SendCause::Closed(_));
            if !stale && !matches!(cause, SendCause::RequestBody(_) | SendCause::Unsupported(_)) {
                pool.failed(clock::steady());
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
                .any(|server| server.scheme == Scheme::Https);
            let scheme = if secure { "https" } else { "http" };
            client.send(head, scheme, body, interim, timeouts).await
        }
    }
}
