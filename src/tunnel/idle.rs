//! A timer for silence that costs one flag for each byte batch, not one timer operation.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// Silence is counted in this many parts of the limit: it fires at most one part late, never early.
const PARTS: u32 = 8;

/// Fires after `limit` (and at most an eighth more) without [`IdleTimer::touch`].
#[derive(Debug)]
pub(crate) struct IdleTimer {
    part: Duration,
    silent_parts: u32,
    sleep: Pin<Box<Sleep>>,
}

impl IdleTimer {
    /// Starts to count.
    pub(crate) fn new(limit: Duration) -> Self {
        let part = limit / PARTS;
        Self {
            part,
            silent_parts: 0,
            sleep: Box::pin(sleep(part)),
        }
    }

    /// Something came.
    pub(crate) fn touch(&mut self) {
        self.silent_parts = 0;
    }

    /// Ready once the silence was long enough.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            // The part that was touched doesn't count, so one more than PARTS is needed.
            if self.silent_parts >= PARTS {
                return Poll::Ready(());
            }
            self.silent_parts += 1;
            self.sleep.set(sleep(self.part));
        }
    }
}
