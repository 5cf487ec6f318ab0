//! The body of an answer, read from the server only when somebody asks for it, while the request's rest still goes out.

use std::{
    fmt,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{
    Home, Wire,
    upload::{Upload, Waits},
};
use crate::{
    body::{Body, BodyError},
    http1::{chunked::Piece, decode::Decoder, intake::is_end},
};

/// What an HTTP/1.1 server sends after its answer's head.
///
/// It reads only when polled, which is back pressure. At its end the connection goes home; dropped before, it is closed.
pub struct ResponseBody(Option<Box<Download>>);

struct Download {
    wire: Box<Wire>,
    upload: Option<Upload>,
    decoder: Decoder,
    reusable: bool,
    between_bytes: Duration,
    home: Rc<dyn Home>,
}

/// What the body of an answer begins with.
pub(super) struct Begin {
    pub(super) wire: Box<Wire>,
    pub(super) upload: Upload,
    pub(super) decoder: Decoder,
    pub(super) persistent: bool,
    pub(super) between_bytes: Duration,
    pub(super) home: Rc<dyn Home>,
}

impl ResponseBody {
    /// The body that follows a head. If all of it is here already, the connection goes home at once.
    pub(super) fn begin(begin: Begin) -> Body {
        let Begin {
            mut wire,
            upload,
            mut decoder,
            persistent,
            between_bytes,
            home,
        } = begin;
        wire.timer.restart();
        let complete = upload.is_complete();
        let all_here = match &decoder {
            Decoder::Length(length) => wire.intake.buffer.len() as u64 >= *length,
            Decoder::Chunked(_) | Decoder::UntilClose => false,
        };
        if all_here && (complete || decoder.is_done()) {
            let data = match decoder.decode(&mut wire.intake.buffer) {
                Ok(Piece::Data(data)) => data,
                _ => Bytes::new(),
            };
            go_home(wire, persistent && complete, &*home);
            return Body::full(data);
        }
        // one that is still held was not wanted: the server answered without it
        let wanted = !complete && !upload.is_held();
        Body::Http1Response(Self(Some(Box::new(Download {
            wire,
            upload: wanted.then_some(upload),
            decoder,
            reusable: persistent && (complete || wanted),
            between_bytes,
            home,
        }))))
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(download) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let polled = download.poll(cx);
        let over = match &polled {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => download.decoder.is_done(),
            Poll::Ready(None | Some(Err(_))) => true,
        };
        if over && let Some(download) = self.0.take() {
            let whole = !matches!(polled, Poll::Ready(Some(Err(_)))) && download.decoder.is_done();
            let reusable = whole && download.reusable && download.upload.is_none();
            go_home(download.wire, reusable, &*download.home);
        }
        polled
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(download) => download.decoder.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Gives a connection back whose answer has been read, unless something forbids using it again.
fn go_home(wire: Box<Wire>, reusable: bool, home: &dyn Home) {
    // bytes behind the end belong to no answer: nothing that such a server says can be trusted
    if reusable && wire.intake.buffer.is_empty() && wire.outbox.is_empty() {
        home.keep(wire.rest());
    }
}

impl Download {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Err(error) = self.pump(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            match self.decoder.decode(&mut self.wire.intake.buffer) {
                Ok(Piece::Data(data)) => return self.frame(Frame::data(data)),
                Ok(Piece::Trailers(trailers)) => return self.frame(Frame::trailers(trailers)),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::NeedMore) => {}
                Err(what) => return Poll::Ready(Some(Err(BodyError::Malformed(what)))),
            }
            match self.wire.poll_fill(cx) {
                Poll::Ready(Ok(0)) if matches!(self.decoder, Decoder::UntilClose) => {
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(BodyError::Incomplete))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if is_end(&error) => {
                    return Poll::Ready(Some(Err(BodyError::Incomplete)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Pending => break,
            }
        }
        let late = self.wire.timer.poll_after(self.between_bytes, cx);
        late.map(|()| Some(Err(BodyError::TimedOut)))
    }

    fn frame(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.wire.timer.restart();
        Poll::Ready(Some(Ok(frame)))
    }

    /// Sends more of the request.
    fn pump(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        let written = self.wire.outbox.written();
        let waits = upload.poll(&mut self.wire, &mut None, cx)?;
        if waits == Waits::Over {
            self.reusable &= upload.is_complete();
            self.upload = None;
        }
        if waits == Waits::ForClient || self.wire.outbox.written() != written {
            // the exchange moves, only the other way
            self.wire.timer.restart();
        }
        Ok(())
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("open", &self.0.is_some())
            .finish()
    }
}
