//! Puts faults into an exchange that a drill meets: before it is sent, and into its answer's body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::{edge::Edge, refusal::Refusal};
use crate::{
    body::{Body, BodyError},
    drill::{Drill, What},
    fields::Known,
    message::Response,
    observe::{
        metrics::{Family, Label},
        record::Record,
    },
    snapshot::{
        Rule, Snapshot,
        decide::{Ask, Decision},
    },
    visitor::Visitor,
};

/// Pieces of a throttled answer in a second.
const PIECES: u64 = 10;

/// The drill that meets this request.
#[inline]
pub(super) fn meet(
    decision: &Decision<'_>,
    rule: &Rule,
    ask: &Ask<'_, '_>,
    at: &Snapshot,
    edge: &Edge,
) -> Option<Arc<Drill>> {
    let visitor = decision.visitor.as_ref().map(Visitor::id);
    let now = crate::clock::now().wall();
    let random = || u64::from_ne_bytes(edge.random8());
    at.drills
        .meet((rule, &decision.path), (ask.headers, visitor), now, random)
}

/// What is done before the request is sent, if a drill meets it; then the drill is given back for [`after`].
///
/// # Errors
/// The drill answers itself.
pub(super) async fn before(
    drill: Option<Arc<Drill>>,
    edge: &Edge,
    rule: &Rule,
    record: &mut Record,
) -> Result<Option<Arc<Drill>>, Refusal> {
    let Some(drill) = drill else {
        return Ok(None);
    };
    let word = drill.what.word();
    record.drill = Some(word);
    let labels = [Label::Name(&rule.name), Label::Word(word)];
    edge.observe.count(Family::DrillFaults, &labels, 1);
    match drill.what {
        What::Abort(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            return Err(Refusal::drill(status));
        }
        What::Delay(time) => Box::pin(sleep(time)).await, // boxed, so that other requests carry nothing of it
        What::Cut(_) | What::Throttle(_) => {}
    }
    Ok(Some(drill))
}

/// What is done to the answer. It says so itself.
#[inline]
pub(super) fn after(drill: Option<Arc<Drill>>, response: Response) -> Response {
    match drill {
        Some(drill) => put_in(&drill, response),
        None => response,
    }
}

fn put_in(drill: &Drill, mut response: Response) -> Response {
    let told = format!("banyan; details=\"drill-{}\"", drill.what.word());
    response.headers.append(Known::PROXY_STATUS, told);
    let (left, pace) = match drill.what {
        What::Cut(bytes) => (Some(bytes), None),
        What::Throttle(bytes) => (None, Some((bytes / PIECES).max(1))),
        What::Delay(_) | What::Abort(_) => return response,
    };
    response.map(|body| match body {
        Body::Empty | Body::Tunnel(_) => body,
        inner => Body::Wrapped(Box::pin(Faulty {
            inner,
            left,
            pace,
            waiting: None,
            held: None,
            cut: false,
        })),
    })
}

/// A body that breaks off, or comes slowly.
struct Faulty {
    inner: Body,
    /// Bytes until it breaks off.
    left: Option<u64>,
    /// Bytes of a piece.
    pace: Option<u64>,
    waiting: Option<Pin<Box<Sleep>>>,
    /// What came and has not been passed on.
    held: Option<Bytes>,
    cut: bool,
}

impl Faulty {
    /// Begins the pause that a piece of so many bytes is worth.
    fn pause(&mut self, bytes: usize) {
        if let Some(pace) = self.pace {
            let share =
                Duration::from_secs(1).mul_f64(bytes as f64 / (pace.saturating_mul(PIECES)).max(1) as f64);
            self.waiting = Some(Box::pin(sleep(share)));
        }
    }

    /// As much of `data` as may pass now.
    fn portion(&mut self, mut data: Bytes) -> Bytes {
        let most = self.left.into_iter().chain(self.pace).min().unwrap_or(u64::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if data.len() > most {
            let rest = data.split_off(most);
            self.held = Some(rest);
        }
        if let Some(left) = &mut self.left {
            *left -= (data.len() as u64).min(*left);
        }
        self.pause(data.len());
        data
    }
}

impl http_body::Body for Faulty {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.cut {
            return Poll::Ready(None);
        }
        if let Some(waiting) = &mut this.waiting {
            if waiting.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.waiting = None;
        }
        if this.left == Some(0) {
            this.cut = true;
            this.held = None;
            this.inner = Body::Empty; // the server's connection ends here
            return Poll::Ready(Some(Err(BodyError::Incomplete)));
        }
        if let Some(held) = this.held.take() {
            let piece = this.portion(held);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => Frame::data(this.portion(data)),
                Err(other) => other,
            }))),
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        let more = self.held.is_some() || (self.left == Some(0) && !self.cut);
        !more && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, Bytes::len) as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
