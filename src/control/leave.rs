//! How the control plane winds everything down: for good, or because another program has taken over.

use std::{fmt, sync::atomic::Ordering};

use super::Plane;
use crate::wire::Phase;

/// Whether the history has been told what happened before this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    /// Another program has it.
    Elsewhere,
    /// Not yet.
    Due,
    /// Another program was about to let go of it, so many tries ago.
    Tried(u32),
    /// It has, or can't be.
    Begun,
}

/// Tries to have it, one a second.
const TRIES_MAX: u32 = 30;

/// What is done right before listeners close.
pub(super) struct Closing(Box<dyn Fn() + Send>);

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closing")
    }
}

impl Plane {
    /// Calls `close` right before listeners close: whoever keeps their sockets open lets go of them there.
    #[must_use]
    pub fn before_closing(mut self, close: impl Fn() + Send + 'static) -> Self {
        self.closing = Some(Closing(Box::new(close)));
        self
    }

    /// Leaves the history to the program that runs until [`taken_over`](super::Handle::taken_over) is said.
    #[must_use]
    pub fn taking_over(mut self, takes_over: bool) -> Self {
        if takes_over {
            self.history = History::Elsewhere;
        }
        self
    }

    /// Tells the history what happened before this start, unless that is done or has to wait. Another program needs a moment to let go.
    pub(super) fn begin_history(&mut self) {
        let again = match self.history {
            History::Elsewhere | History::Begun => return,
            History::Due => None,
            History::Tried(tries) => Some(tries + 1).filter(|tries| *tries < TRIES_MAX),
        };
        self.history = match (self.view.editor.begin(self.publisher.sources()), again) {
            (Err(_), Some(tries)) => History::Tried(tries),
            (Ok(()), _) => History::Begun,
            (Err(error), None) => {
                tracing::error!(%error, "flags can't be changed here for now");
                History::Begun
            }
        };
    }

    /// The other program serves already, so nothing is waited for.
    pub(super) fn hand_over(&self) {
        self.left.send_replace(true);
        self.view.plane.left.store(true, Ordering::Relaxed);
        self.view.editor.history().release();
        self.close();
        for core in &self.cores {
            let _ = core.try_send(Phase::HandedOver);
        }
    }

    fn close(&self) {
        if let Some(Closing(close)) = &self.closing {
            close();
        }
    }

    /// `/readyz` fails first, so that whoever sends traffic stops; then the cores stop taking it.
    pub(super) fn drain(&mut self) {
        tracing::info!("draining");
        let first = self.view.ready.swap(false, Ordering::Relaxed);
        if !first {
            return self.tell_cores(Phase::Stopped); // asked twice: somebody is in a hurry
        }
        if *self.left.borrow() {
            return; // it does already
        }
        let delay = self.view.live.current().limits.drain_delay;
        let cores = self.cores.clone();
        let closing = self.closing.take();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(delay).await;
            if let Some(Closing(close)) = closing {
                close();
            }
            for core in cores {
                let _ = core.send(Phase::Draining).await;
            }
        });
    }

    pub(super) fn tell_cores(&self, phase: Phase) {
        self.view.ready.store(false, Ordering::Relaxed);
        self.close();
        for core in &self.cores {
            let _ = core.try_send(phase);
        }
    }
}
