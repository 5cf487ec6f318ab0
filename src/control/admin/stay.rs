//! How long a connection may stay: shortly, on one of a few seats; or longer, once it carries a stream that has a seat of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OwnedSemaphorePermit;

/// Time that the last exchange of a connection has when the connection is too old, so that an answer nobody reads is given up.
pub(super) const LAST_EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Age at which a stream ends; who listens on comes again by itself.
pub(super) const STREAM_AGE_MAX: Duration = Duration::from_secs(600);

/// A connection's leave to stay, and the seat that it has while it carries no stream.
#[derive(Debug, Clone)]
pub(super) struct Stay(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Stay {
    /// For a connection on `seat`.
    pub(super) fn with(seat: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(seat))))
    }

    /// The connection carries a stream from now on, and nothing after it: its seat is free for another.
    pub(super) fn stream(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Time for what is under way when the connection is too old.
    pub(super) fn last_exchange_timeout(&self) -> Duration {
        let seat = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seat.is_some() {
            LAST_EXCHANGE_TIMEOUT
        } else {
            STREAM_AGE_MAX + LAST_EXCHANGE_TIMEOUT
        }
    }
}
