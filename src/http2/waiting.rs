//! The time between a request's head and its answer's: the body goes out, interim answers come in, deadlines run.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use h2::{Reason, RecvStream, client::ResponseFuture};
use http::{Response, StatusCode};
use tokio::time::{Sleep, sleep};

use super::{
    response,
    send::{BodySender, SendFailure},
};
use crate::{
    body::Body,
    wire::{Interim, SendCause, SendError, Sent},
};

/// Interim answers to one request. A server that has more to say never comes to the point.
const INTERIM_MAX: u32 = 16;

/// Time that a body waits for a `100 (Continue)` (RFC 9110 section 10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// What an answer's head may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the request's end to the answer's head; interim answers start it anew.
    pub(super) first_byte: Duration,
    /// Whether the body waits for a 100.
    pub(super) continuation: bool,
    /// Bytes of any answer's head.
    pub(super) head_bytes_max: usize,
}

/// Why no answer came.
pub(super) struct Failure {
    cause: SendCause,
    sent: Sent,
}

impl From<SendCause> for Failure {
    fn from(cause: SendCause) -> Self {
        let sent = Sent::Something;
        Self { cause, sent }
    }
}

/// One exchange that waits for its answer's head.
pub(super) struct Waiting {
    answer: ResponseFuture,
    upload: Option<Box<BodySender>>,
    patience: Patience,
    /// Until then the body is held back.
    hold: Option<Pin<Box<Sleep>>>,
    /// Runs once the whole request is sent.
    deadline: Option<Pin<Box<Sleep>>>,
    interims: u32,
    /// The request ended with its head.
    bodiless: bool,
}

impl Waiting {
    pub(super) fn new(answer: ResponseFuture, upload: Option<Box<BodySender>>, patience: Patience) -> Self {
        let hold = (patience.continuation && upload.is_some()).then(|| Box::pin(sleep(CONTINUE_TIMEOUT)));
        Self {
            bodiless: upload.is_none(),
            answer,
            upload,
            patience,
            hold,
            deadline: None,
            interims: 0,
        }
    }

    /// What is left of the request's body, to be sent while the answer is read.
    pub(super) fn into_upload(self) -> Option<Box<BodySender>> {
        self.upload
    }

    /// The failure with the body, if that is untouched.
    pub(super) fn into_error(self, failure: Failure) -> SendError {
        let body = match self.upload {
            Some(mut upload) => {
                upload.reset(Reason::CANCEL);
                upload.into_untaken()
            }
            None => self.bodiless.then_some(Body::Empty),
        };
        SendError {
            cause: failure.cause,
            sent: failure.sent,
            body,
        }
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        interim: &mut dyn Interim,
    ) -> Poll<Result<Response<RecvStream>, Failure>> {
        loop {
            match self.answer.poll_informational(cx) {
                Poll::Ready(Some(Ok(answer))) => self.inform(&answer, interim)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(failure(error))),
                Poll::Ready(None) => {
                    if let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) {
                        return Poll::Ready(answer.map_err(failure));
                    }
                    break;
                }
                Poll::Pending => break,
            }
        }
        self.poll_upload(cx)?;
        if self.upload.is_none() {
            let first_byte = self.patience.first_byte;
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(first_byte)));
            if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(SendCause::FirstByteTimeout.into()));
            }
        }
        Poll::Pending
    }

    fn inform(&mut self, answer: &Response<()>, interim: &mut dyn Interim) -> Result<(), Failure> {
        self.interims += 1;
        if self.interims > INTERIM_MAX {
            return Err(SendCause::Malformed("too many interim answers").into());
        }
        response::judge_fields(answer.headers(), self.patience.head_bytes_max)?;
        self.deadline = None;
        match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => return Err(SendCause::Malformed("101 over HTTP/2").into()),
            // The front says it itself, when the body is wanted.
            StatusCode::CONTINUE => self.hold = None,
            status => interim.send(status, &answer.headers().into()),
        }
        Ok(())
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(hold) = &mut self.hold {
            if hold.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.hold = None;
        }
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        match upload.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Err(SendFailure::Body(error))) => Err(SendCause::RequestBody(error).into()),
            Poll::Ready(Err(SendFailure::Stalled)) => Err(SendCause::FirstByteTimeout.into()),
            Poll::Ready(Ok(())) => {
                self.upload = None;
                Ok(())
            }
            // The answer says why, now or when this is polled again.
            Poll::Ready(Err(SendFailure::Reset)) => {
                if upload.is_taken() {
                    self.upload = None;
                }
                Ok(())
            }
        }
    }
}

/// Whose fault it was, and whether the server can have acted (RFC 9113 sections 6.8 and 8.7).
fn failure(error: h2::Error) -> Failure {
    let refused = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
    // `h2` tells a stream of a GOAWAY only when the GOAWAY leaves that stream out.
    let left_out = error.is_go_away() && error.is_remote();
    let sent = if refused || left_out {
        Sent::Nothing
    } else {
        Sent::Something
    };
    let cause = if error.is_io() {
        SendCause::Closed(error.into_io())
    } else if !error.is_remote() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        SendCause::Malformed("an HTTP/2 message that breaks RFC 9113")
    } else {
        SendCause::Http2(error)
    };
    Failure { cause, sent }
}
