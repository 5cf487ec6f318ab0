//! From a request to the head of its final answer.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use http::StatusCode;

use super::{
    Home, INTERIM_MAX, Wire, closed,
    download::ResponseBody,
    head::Asked,
    upload::{Upload, Waits},
};
use crate::{
    body::Body,
    fields::{Known, Value},
    http1::{
        chunked::Chunked,
        decode::Decoder,
        head::{ResponseHead, ResponseParser, ResponseRefusal},
    },
    message::Response,
    tunnel::{Tunnel, TunnelIo},
    wire::{ExchangeTimeouts, Interim, SendCause, SendError, Sent},
};

/// How long a server may take to say `100 Continue` before the body is sent anyway (RFC 9110 section 10.1.1).
const CONTINUE_TIME_MAX: Duration = Duration::from_secs(1);

/// One exchange until its answer's head is there.
pub(super) struct Exchange {
    wire: Box<Wire>,
    upload: Upload,
    asked: Asked,
    timeouts: ExchangeTimeouts,
    parser: ResponseParser,
    interims: usize,
    waits: Option<Waits>,
    /// Why the server takes no more of the request, if it doesn't.
    refused: Option<io::Error>,
}

impl Exchange {
    pub(super) fn new(wire: Box<Wire>, upload: Upload, asked: Asked, timeouts: ExchangeTimeouts) -> Self {
        Self {
            wire,
            upload,
            asked,
            timeouts,
            parser: ResponseParser::default(),
            interims: 0,
            waits: None,
            refused: None,
        }
    }

    /// Sends and reads until the final head is there.
    pub(super) fn poll(
        &mut self,
        interim: &mut dyn Interim,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, SendCause>> {
        loop {
            let written = self.wire.outbox.written();
            let waits = match self.upload.poll(&mut self.wire, &mut self.refused, cx) {
                Ok(waits) => waits,
                Err(error) => return Poll::Ready(Err(SendCause::RequestBody(error))),
            };
            if self.waits.replace(waits) != Some(waits) || self.wire.outbox.written() != written {
                self.wire.timer.restart();
            }
            match self.poll_head(interim, cx) {
                Poll::Ready(answer) => return Poll::Ready(answer),
                Poll::Pending if waits == Waits::ForContinue && !self.upload.is_held() => continue,
                Poll::Pending => {}
            }
            return match waits {
                // the client has its own deadline, where its body is read
                Waits::ForClient => Poll::Pending,
                Waits::ForContinue => {
                    if self.wire.timer.poll_after(CONTINUE_TIME_MAX, cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.upload.release();
                    continue;
                }
                Waits::Over | Waits::ForServer => {
                    let late = self.wire.timer.poll_after(self.timeouts.first_byte, cx);
                    late.map(|()| Err(SendCause::FirstByteTimeout))
                }
            };
        }
    }

    fn poll_head(
        &mut self,
        interim: &mut dyn Interim,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, SendCause>> {
        loop {
            if !self.wire.intake.buffer.is_empty() {
                match self.parser.parse(&mut self.wire.intake.buffer, &self.wire.bounds) {
                    Ok(Some(head)) => match self.sort(head, interim) {
                        Ok(Some(last)) => return Poll::Ready(Ok(last)),
                        Ok(None) => continue,
                        Err(what) => return Poll::Ready(Err(SendCause::Malformed(what))),
                    },
                    Ok(None) => {}
                    Err(ResponseRefusal::TooLarge) => return Poll::Ready(Err(SendCause::HeadTooLarge)),
                    Err(ResponseRefusal::Malformed(what)) => {
                        return Poll::Ready(Err(SendCause::Malformed(what)));
                    }
                }
            }
            match self.wire.poll_fill(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(SendCause::Closed(self.refused.take()))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(closed(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Passes interim heads on; returns the final one.
    fn sort(
        &mut self,
        head: ResponseHead,
        interim: &mut dyn Interim,
    ) -> Result<Option<ResponseHead>, &'static str> {
        let status = head.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return if self.asked.upgrade.is_some() {
                Ok(Some(head))
            } else {
                Err("unasked-101")
            };
        }
        if !status.is_informational() {
            return Ok(Some(head));
        }
        self.interims += 1;
        if self.interims > INTERIM_MAX {
            return Err("too-many-interim");
        }
        self.wire.timer.restart();
        if status == StatusCode::CONTINUE {
            // not passed on: reading the body makes the front say it to its own client
            self.upload.release();
        } else {
            interim.send(status, &head.headers);
        }
        Ok(None)
    }

    /// Makes the response from its head, and the body from what follows.
    pub(super) fn finish(self, head: ResponseHead, home: Rc<dyn Home>) -> Result<Response, SendError> {
        let status = head.status;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(head);
        }
        let bodiless =
            self.asked.head_only || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let decoder = match head.content_length {
            _ if bodiless => Decoder::Length(0),
            _ if head.chunked => Decoder::Chunked(Chunked::default()),
            Some(length) => Decoder::Length(length),
            None => Decoder::UntilClose,
        };
        let body = ResponseBody::begin(super::download::Begin {
            wire: self.wire,
            upload: self.upload,
            decoder,
            persistent: head.persistent,
            between_bytes: self.timeouts.between_bytes,
            home,
        });
        Ok(Response {
            status,
            headers: head.headers,
            body,
        })
    }

    fn switch(self, head: ResponseHead) -> Result<Response, SendError> {
        let mut headers = head.headers;
        let asked = self
            .asked
            .upgrade
            .as_ref()
            .map(crate::wire::Upgrade::protocol)
            .unwrap_or_default();
        let named = headers.get(Known::UPGRADE).map(Value::as_bytes);
        if !named.is_some_and(|named| named.eq_ignore_ascii_case(asked.as_bytes())) {
            return Err(self.fail(SendCause::Malformed("upgrade-mismatch"), 0));
        }
        if let Some(accept) = &self.asked.websocket_accept {
            let given = headers.get(Known::SEC_WEBSOCKET_ACCEPT).map(Value::as_bytes);
            if given != Some(accept.as_bytes()) {
                return Err(self.fail(SendCause::Malformed("websocket-accept"), 0));
            }
        }
        let protocol = asked.to_owned();
        let wire = *self.wire;
        let io = TunnelIo::http1(wire.stream, wire.intake.buffer);
        if self.asked.websocket_accept.is_some() {
            headers.remove(Known::SEC_WEBSOCKET_ACCEPT); // answers our key, not the client's
        }
        Ok(Response {
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers,
            body: Body::Tunnel(Box::new(Tunnel::new(io, protocol))),
        })
    }

    /// Makes the error, and saves the body if it can be.
    pub(super) fn fail(self, cause: SendCause, written_before: u64) -> SendError {
        let sent = if self.wire.outbox.written() == written_before {
            Sent::Nothing
        } else {
            Sent::Something
        };
        SendError {
            cause,
            sent,
            body: self.upload.into_body(),
        }
    }
}
