//! One deadline at a time, on a timer that is registered only when something really waits.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that moves often and is reached seldom.
///
/// Moving it later costs nothing: the sleep keeps its old, earlier time, and looks again when that comes.
/// A connection that is never slow registers a timer once in its idle timeout, not once a request.
#[derive(Debug, Default)]
pub(super) struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Forgets the deadline: the next wait starts anew.
    pub(super) fn restart(&mut self) {
        self.deadline = None;
    }

    /// Ready once `after` has passed since the first call after [`Timer::restart`].
    pub(super) fn poll_after(&mut self, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.deadline.get_or_insert_with(|| now() + after);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// The runtime's own clock: a deadline needs it, and tests pause it.
#[expect(
    clippy::disallowed_methods,
    reason = "tokio's timers count on this clock and no other; nothing else is decided by it"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
