//! Asks a route's second backend where the first fails, as long as nothing of an answer has gone to the client.

use super::{
    edge::Edge,
    forward::{self, Outgoing},
    refusal::Refusal,
};
use crate::{
    backend::pool::UnderWay,
    body::Body,
    clock,
    message::Response,
    observe::record::{Failover, Record, Side},
    policy,
    snapshot::{BackendId, Rule, Snapshot},
    wire::{Interim, Upgrade},
};

/// An answer, or why there is none.
type Answered = Result<(Response, UnderWay), Refusal>;

/// Sends `outgoing` to its backend and, on the terms of `rule`, to the one that stands by.
///
/// # Errors
/// The last attempt's [`Refusal`].
pub(super) async fn send(
    outgoing: Outgoing<'_>,
    rule: &Rule,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    match standby(&outgoing, rule) {
        // boxed, so that requests of other routes carry nothing of it
        Some((second, terms)) => Box::pin(pair(outgoing, second, terms, edge, at, record, interim)).await,
        None => forward::send(outgoing, edge, at, record, interim).await,
    }
}

type Terms = policy::failover::Failover;

fn standby<'r>(outgoing: &Outgoing<'_>, rule: &'r Rule) -> Option<(BackendId, &'r Terms)> {
    rule.standby?;
    let head = &*outgoing.head;
    // a WebSocket over HTTP/2 is a CONNECT on the wire, and a GET as far as backends are concerned (RFC 8441 section 5)
    let method = match &head.upgrade {
        Some(Upgrade::Http2(_)) => &http::Method::GET,
        _ => &head.method,
    };
    let bodiless = http_body::Body::is_end_stream(&outgoing.body);
    rule.standby(outgoing.backend, method).filter(|_| bodiless)
}

async fn pair(
    outgoing: Outgoing<'_>,
    second: BackendId,
    terms: &Terms,
    edge: &Edge,
    at: &Snapshot,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    let mut spare = outgoing.head.clone(); // the first backend's path, host and fields are no business of the second's
    let identity = outgoing.identity;
    let (now, first) = (outgoing.ready, outgoing.backend);
    let is_well = |id| {
        at.backend(id)
            .is_some_and(|backend| forward::is_well(id, backend, now, edge))
    };
    // a visitor need not find out anew what checks and the last visitors found out, unless both are sick
    let answered = match is_well(first) || !is_well(second) {
        true => forward::send(outgoing, edge, at, record, interim).await,
        false => Err(Refusal::no_server()),
    };
    let cause = match &answered {
        Ok((response, _)) => terms.on.word(response.status),
        Err(refusal) => (refusal.side == Side::Backend).then_some(refusal.reason),
    };
    let (Some(cause), Some(backend)) = (cause, at.backend(second)) else {
        return answered;
    };
    drop(answered); // with what is left of an answer's body
    let first = record.backend.replace(backend.settings.name.shared());
    tracing::debug!(
        request_id = super::exchange::request_id(record),
        first = first.as_deref(),
        second = %backend.settings.name,
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
    let again = Outgoing {
        head: &mut spare,
        body: Body::Empty,
        backend: second,
        identity,
        ready: clock::steady(),
    };
    forward::send(again, edge, at, record, interim).await
}
