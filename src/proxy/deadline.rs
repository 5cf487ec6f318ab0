//! The end of an exchange whose backend has a `total_timeout`: before the answer's head, and in the middle of its body.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep_until, timeout_at};

use crate::{
    body::{Body, BodyError},
    fields::{Fields, Known, Value},
    message::Response,
};

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed;

/// Waits for `work` until `deadline`. Whatever it was doing then is dropped.
pub(super) async fn before<F: Future>(deadline: Instant, work: F) -> Result<F::Output, Passed> {
    timeout_at(deadline.into(), work).await.map_err(|_| Passed)
}

/// The same answer, whose body breaks off at `deadline`. What is here already stays whole, and a tunnel may live as long as it likes.
pub(super) fn until(deadline: Instant, response: Response) -> Response {
    response.map(|body| match body {
        Body::Empty | Body::Full(_) | Body::Tunnel(_) => body,
        inner => Body::Wrapped(Box::pin(Bounded {
            inner,
            deadline: Box::pin(sleep_until(deadline.into())),
            cut: false,
        })),
    })
}

/// Whether a request's body has gone out to its end.
#[derive(Debug)]
pub(super) struct Handed(Option<Rc<Cell<bool>>>);

impl Handed {
    /// All of it has.
    pub(super) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|whole| whole.get())
    }
}

/// The same body, watched on its way out.
pub(super) fn watched(body: Body) -> (Body, Handed) {
    if matches!(body, Body::Empty | Body::Tunnel(_)) {
        return (body, Handed(None));
    }
    let whole = Rc::new(Cell::new(false));
    let handed = Handed(Some(Rc::clone(&whole)));
    (Body::Wrapped(Box::pin(Watched { inner: body, whole })), handed)
}

/// A body that tells when it has gone out to its end.
struct Watched {
    inner: Body,
    whole: Rc<Cell<bool>>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        let ended = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => this.inner.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if ended {
            this.whole.set(true);
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

/// What backends are told in, beside gRPC's own field: milliseconds that are left.
const TIMEOUT: &str = "banyan-timeout";
/// How gRPC says it ("gRPC over HTTP/2", Timeout): up to eight digits and a unit.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Tells a backend how long its answer is waited for. A gRPC client's own limit stays where it is shorter.
pub(super) fn tell(fields: &mut Fields, deadline: Instant, now: Instant) {
    let left = deadline.saturating_duration_since(now);
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
    let content = fields.get(Known::CONTENT_TYPE).map(Value::as_bytes);
    if !content.is_some_and(|content| content.starts_with(b"application/grpc")) {
        fields.insert(TIMEOUT, millis.to_string());
        return;
    }
    let asked = fields
        .get(GRPC_TIMEOUT)
        .and_then(|value| grpc_timeout(value.to_str().ok()?));
    if asked.is_none_or(|asked| asked > left) {
        fields.insert(GRPC_TIMEOUT, format!("{}m", millis.min(99_999_999)));
    }
}

fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A body that breaks off at its deadline, however much comes before.
struct Bounded {
    inner: Body,
    deadline: Pin<Box<Sleep>>,
    cut: bool,
}

impl http_body::Body for Bounded {
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
        if this.deadline.as_mut().poll(cx).is_ready() {
            this.cut = true;
            this.inner = Body::Empty; // the server's connection ends here
            return Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        Pin::new(&mut this.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, task::Context, task::Poll, time::Duration};

    use bytes::Bytes;
    use http::StatusCode;
    use http_body::{Body as _, Frame};

    use super::{Passed, before, tell, until};
    use crate::{
        body::{Body, BodyError},
        fields::Fields,
        message::Response,
    };

    /// A body that never ends, of one byte at a time.
    struct Endless;

    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    fn in_a_second() -> std::time::Instant {
        (tokio::time::Instant::from_std(crate::clock::steady()) + Duration::from_secs(1)).into_std()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_cut_at_the_deadline() {
        let endless = Body::Wrapped(Box::pin(Endless));
        let mut body = until(in_a_second(), Response::new(StatusCode::OK, endless)).body;
        for _ in 0..10 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(matches!(body.frame().await, Some(Err(BodyError::TimedOut))));
        assert!(!body.is_end_stream(), "it did not end, it was cut");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_here_already_is_never_cut() {
        let full = Response::new(StatusCode::OK, Body::full("all of it"));
        let mut body = until(in_a_second(), full).body;
        tokio::time::advance(Duration::from_secs(3)).await;
        let data = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(data, "all of it");
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_dropped_at_the_deadline() {
        assert_eq!(before(in_a_second(), async { 1 }).await, Ok(1));
        let never = std::future::pending::<()>();
        assert_eq!(before(in_a_second(), never).await, Err(Passed));
    }

    #[test]
    fn backends_are_told_what_is_left_and_grpc_in_its_own_words() {
        let told = |content: &str, asked: &str, left: u64| {
            let mut fields = Fields::new();
            fields.insert("content-type", content);
            fields.insert("grpc-timeout", asked);
            let now = crate::clock::steady();
            tell(&mut fields, now + Duration::from_millis(left), now);
            let say = |name: &str| fields.get(name).map(|value| value.to_str().unwrap().to_owned());
            (say("grpc-timeout").unwrap(), say("banyan-timeout"))
        };
        let grpc = |asked, left| {
            let (grpc, own) = told("application/grpc+proto", asked, left);
            assert_eq!(own, None);
            grpc
        };
        assert_eq!(grpc("5S", 1_250), "1250m", "shortened");
        assert_eq!(grpc("1000000u", 1_250), "1000000u", "the client's is shorter");
        for wrong in ["", "S", "5", "5 S", "123456789S", "5X"] {
            assert_eq!(grpc(wrong, 1_250), "1250m", "{wrong}");
        }
        assert_eq!(grpc("1H", 4_000_000), "1H");
        assert_eq!(
            told("text/plain", "1S", 0),
            ("1S".to_owned(), Some("1".to_owned()))
        );
    }
}
