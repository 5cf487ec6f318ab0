//! Watches an exchange to its end: counts the bytes of both bodies and writes the record when the last one has left, or on drop.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{
    admit::Holds,
    edge::Edge,
    error_page::Plea,
    headers, passing,
    recall::{Recall, Side as FlagSide},
    respond::Answering,
    sign_in::Lease,
};
use crate::{
    backend::under_way::UnderWay,
    body::{Body, BodyError},
    clock,
    gate::Gate,
    message::Response,
    observe::{
        metrics::{Family, Label},
        record::{Record, Side},
        trace::Trace,
    },
    policy::{Policy, compress::Asked},
    route::RouteId,
    tunnel::{Call, Recall as _, Tunnel, TunnelEnd, TunnelReport},
};

/// An exchange that is under way. Dropping it finishes its record with what is known by then.
///
/// All of it is one box, which in the end is the answer's body: an exchange allocates it once, and nothing in it moves.
#[derive(Debug)]
pub struct Following(Box<Followed>);

/// What a [`Following`] knows.
#[derive(Debug)]
pub struct Followed {
    /// What is known so far.
    pub record: Record,
    /// Where it stands in its trace.
    pub trace: Option<Trace>,
    /// What its answer depends on.
    pub answering: Answering,
    /// How the client wants its answer encoded, where the route that took it compresses.
    pub compressing: Option<(RouteId, Asked)>,
    /// What is kept for an error page, where there may be one.
    pub plea: Option<Plea>,
    /// Cookies that are set even if the request is refused from here on.
    pub kept: Vec<http::HeaderValue>,
    /// Where its flag led it, if one did.
    pub side: Option<FlagSide>,
    /// The session that let it in, if one did.
    pub lease: Option<Lease>,
    /// Its places and seats, where its route or squad has so many.
    pub(super) holds: Option<Box<Holds>>,
    /// Its seat among those who may be called back, once its answer is not over with its head.
    recall: Option<Recall>,
    edge: Rc<Edge>,
    /// Counts a request's body, if there is one.
    bytes_in: Option<Rc<Cell<u64>>>,
    /// The answer's body, once there is one.
    inner: Body,
    under_way: Option<UnderWay>,
    ended: bool,
    /// It is a part of another exchange: nobody is told of it.
    unlogged: bool,
}

impl Deref for Following {
    type Target = Followed;

    fn deref(&self) -> &Followed {
        &self.0
    }
}

impl DerefMut for Following {
    fn deref_mut(&mut self) -> &mut Followed {
        &mut self.0
    }
}

impl Following {
    /// Follows the exchange that `record` begins.
    #[must_use]
    #[inline]
    pub fn new(record: Record, edge: &Rc<Edge>) -> Self {
        edge.observe.in_flight(record.listener, 1);
        Self::of(record, edge, false)
    }

    /// Follows what is a part of another exchange: it is neither counted nor logged.
    #[must_use]
    pub fn unlogged(record: Record, edge: &Rc<Edge>) -> Self {
        Self::of(record, edge, true)
    }

    #[inline]
    fn of(record: Record, edge: &Rc<Edge>, unlogged: bool) -> Self {
        Self(Box::new(Followed {
            record,
            trace: None,
            answering: Answering::default(),
            compressing: None,
            plea: None,
            kept: Vec::new(),
            side: None,
            lease: None,
            holds: None,
            recall: None,
            edge: Rc::clone(edge),
            bytes_in: None,
            inner: Body::Empty,
            under_way: None,
            ended: true,
            unlogged,
        }))
    }

    /// Counts the bytes of the request's body on their way. Its trailers are judged by what its route's `policy` forwards
    /// and `gate` lets clients send.
    #[must_use]
    pub fn count_in(&mut self, body: Body, policy: &Arc<Policy>, gate: Option<&Arc<Gate>>) -> Body {
        if matches!(body, Body::Empty) {
            return body;
        }
        Body::Wrapped(Box::pin(Counted {
            inner: body,
            bytes: Rc::clone(self.bytes_in.get_or_insert_default()),
            policy: policy.forward.is_some().then(|| Arc::clone(policy)),
            gate: gate.filter(|gate| gate.strips_any()).cloned(),
        }))
    }

    /// As [`Following::follow`], with a look at what the answer is.
    #[must_use]
    pub fn follow_answer(mut self, answer: Response, under_way: Option<UnderWay>) -> Response {
        if let Some(side) = &mut self.side {
            side.see(&answer);
        }
        answer.map(|body| self.follow(body, under_way))
    }

    /// Hands the record to the answer's body, which finishes it. `under_way` is given back at the same time.
    #[must_use]
    pub fn follow(mut self, body: Body, under_way: Option<UnderWay>) -> Body {
        match body {
            Body::Tunnel(tunnel) => Body::Tunnel(self.follow_tunnel(tunnel, under_way)),
            Body::Empty => Body::Empty,
            inner => {
                self.inner = inner;
                self.under_way = under_way;
                self.ended = false;
                Body::Wrapped(Pin::from(self.0))
            }
        }
    }

    fn follow_tunnel(mut self, mut tunnel: Box<Tunnel>, under_way: Option<UnderWay>) -> Box<Tunnel> {
        let open = self
            .edge
            .observe
            .hold(Family::TunnelsOpen, &[Label::Word(tunnel_word(&tunnel))]);
        if let Some(recall) = self.recall() {
            tunnel.recall_by(recall);
        }
        tunnel.on_end(move |report: TunnelReport| {
            if report.end == TunnelEnd::Recalled && !self.lease.as_ref().is_some_and(Lease::is_over) {
                self.note_drained();
            }
            self.bytes_in = None;
            self.record.bytes_in = report.bytes_up;
            self.record.bytes_out = report.bytes_down;
            drop((open, under_way));
        });
        tunnel
    }
}

/// An answer of which this much has gone out is a stream, even if its next piece was always there.
const STREAM_BYTES: u64 = 1024 * 1024;

impl Followed {
    fn recall(&self) -> Option<Recall> {
        Recall::new(self.side?, &self.record, &self.edge)
    }

    /// What became of it if it was called back: the answer's end, in good order or not.
    fn called_back(&mut self, cx: &mut Context<'_>) -> Option<Option<BodyError>> {
        let recall = self.recall.as_mut()?;
        let ends_in_order = match recall.poll(cx) {
            Call::Stay => return None,
            Call::Leave | Call::Cut => recall.ends_in_order(),
        };
        self.recall = None;
        self.side = None;
        self.inner = Body::Empty; // the server's connection ends here
        self.ended = true;
        self.note_drained();
        if ends_in_order {
            return Some(None);
        }
        self.record.aborted = Some(Side::Banyan);
        Some(Some(BodyError::Recalled))
    }

    /// Takes a seat with its waker, if its flag led it somewhere.
    fn take_seat(&mut self, cx: &mut Context<'_>) {
        if self.side.is_some() && self.recall.is_none() {
            self.recall = self.recall();
            if let Some(recall) = &mut self.recall {
                recall.poll(cx);
            }
        }
    }

    fn note_drained(&mut self) {
        self.record.drained = true;
        if let Some(flag) = &self.record.flag {
            let labels = [Label::Name(&flag.flag), Label::Name(&flag.variant)];
            self.edge.observe.count(Family::DrainedExchanges, &labels, 1);
        }
    }
}

/// Protocols that a metric tells apart: a client names them, so they come from a fixed set.
fn tunnel_word(tunnel: &Tunnel) -> &'static str {
    if tunnel.protocol() == "websocket" {
        "websocket"
    } else {
        "other"
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if self.unlogged {
            return;
        }
        if !self.ended && !http_body::Body::is_end_stream(&self.inner) {
            self.record.aborted = Some(Side::Client);
        }
        if let Some(counted) = &self.bytes_in {
            self.record.bytes_in = counted.get();
        }
        self.record.close(clock::steady());
        self.edge.observe.finish(&self.record);
        self.edge.observe.in_flight(self.record.listener, -1);
    }
}

/// A request's body that is counted.
struct Counted {
    inner: Body,
    bytes: Rc<Cell<u64>>,
    /// What its route says, if that judges trailers.
    policy: Option<Arc<Policy>>,
    /// What lets clients send fields, if it strips any.
    gate: Option<Arc<Gate>>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        Pin::new(&mut this.inner).poll_frame(cx).map_ok(|frame| {
            let data = frame.data_ref().map_or(0, Bytes::len);
            this.bytes.set(this.bytes.get() + data as u64);
            without_forged(frame, this.policy.as_deref(), this.gate.as_deref())
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Trailers are fields too: what only Banyan may say, what the operator lets no client send, and what the route does not forward, is
/// taken out of them as it is out of heads.
fn without_forged(frame: Frame<Bytes>, policy: Option<&Policy>, gate: Option<&Gate>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            headers::strip_from_trailers(&mut trailers);
            if let Some(gate) = gate {
                headers::remove_all(&mut trailers, |name| gate.strips(name));
            }
            if let Some(forward) = policy.and_then(|policy| policy.forward.as_deref()) {
                passing::strip_trailers(&mut trailers, forward);
            }
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(end) = this.called_back(cx) {
            return Poll::Ready(end.map(Err));
        }
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if polled.is_pending() || this.record.bytes_out > STREAM_BYTES {
            this.take_seat(cx);
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().map_or(0, Bytes::len);
                this.record.bytes_out += data as u64;
                this.ended |= this.inner.is_end_stream();
            }
            Poll::Ready(Some(Err(error))) => {
                this.record.aborted = Some(match error {
                    BodyError::Encoder(_) => Side::Banyan,
                    _ => Side::Backend,
                });
                this.ended = true;
            }
            Poll::Ready(None) => this.ended = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use http_body::Frame;

    use super::without_forged;

    #[test]
    fn trailers_can_not_say_what_heads_can_not() {
        let mut trailers = HeaderMap::new();
        let forged = [
            "banyan-user",
            "banyan_roles",
            "banyan.flags",
            "proxy",
            "x-forwarded-for",
            "forwarded",
            "via",
        ];
        let framing = [
            "content-length",
            "transfer_encoding",
            "authorization",
            "cookie",
            "te",
            "x-request-id",
        ];
        for name in forged.into_iter().chain(framing).chain(["x-checksum"]) {
            trailers.insert(name, HeaderValue::from_static("forged"));
        }
        let kept = without_forged(Frame::trailers(trailers), None, None)
            .into_trailers()
            .unwrap();
        assert_eq!(
            kept.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(),
            ["x-checksum"]
        );
        let data = without_forged(Frame::data(Bytes::from_static(b"banyan-user")), None, None);
        assert_eq!(data.into_data().unwrap(), "banyan-user");
    }
}
