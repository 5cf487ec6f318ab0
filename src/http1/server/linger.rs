//! Closing so that the client still sees its answer (RFC 9112 section 9.6), and reading past what a service left unread.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use super::{super::timer::Timer, Shared};
use crate::body::BodyError;

/// Bytes of an unread request body that are thrown away to keep the connection.
pub(super) const DISCARD_BYTES_MAX: usize = 64 * 1024;
/// How long an unread request body is waited for to keep the connection.
const DISCARD_TIME_MAX: Duration = Duration::from_millis(500);
/// How long a closing connection takes in what the client still sends, lest a reset destroys the answer on its way.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// Bytes that a closing connection takes in; a client that sends more has to wait.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Reads past what is left of the request's body.
///
/// # Errors
/// It is too much, too slow, or wrong: the connection must be closed.
pub(super) async fn discard_body(
    conn: &Shared,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), BodyError> {
    let mut left = DISCARD_BYTES_MAX;
    let mut timer = Timer::default();
    let discarded = poll_fn(|cx| {
        if let Poll::Ready(discarded) = conn.borrow_mut().poll_discard(&mut left, cx) {
            return Poll::Ready(discarded);
        }
        let late = timer.poll_after(DISCARD_TIME_MAX, cx).is_ready() || stopped.as_mut().poll(cx).is_ready();
        if late {
            Poll::Ready(Err(BodyError::TimedOut))
        } else {
            Poll::Pending
        }
    })
    .await;
    conn.borrow_mut().end_exchange();
    discarded
}

/// Ends our side, and takes in what the client still sends for a short while.
pub(super) async fn close(conn: &Shared, mut stopped: Pin<&mut impl Future<Output = ()>>) {
    conn.borrow_mut().end_exchange();
    let mut left = LINGER_BYTES_MAX;
    let mut timer = Timer::default();
    let mut shut = false;
    poll_fn(|cx| {
        let mut conn = conn.borrow_mut();
        if !shut {
            match conn.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        if conn.poll_drop_input(&mut left, cx).is_ready() && shut {
            return Poll::Ready(());
        }
        let late = timer.poll_after(LINGER_TIME_MAX, cx).is_ready() || stopped.as_mut().poll(cx).is_ready();
        if late { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Ends our side of a connection on which the client has said all and asked for the end itself.
pub(super) async fn shutdown(conn: &Shared) {
    let mut timer = Timer::default();
    poll_fn(|cx| {
        let shut = conn.borrow_mut().poll_shutdown(cx).is_ready();
        let late = !shut && timer.poll_after(LINGER_TIME_MAX, cx).is_ready();
        if shut || late {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
