//! Which kept connections an exchange may use.

use std::time::Duration;

/// Which kept connections an exchange may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Any: if the server closes it just then, the exchange can be sent again.
    Any,
    /// Only one that carried an exchange within [`JUST_USED`]: this exchange can't be sent twice, and servers close what has been
    /// idle for a while (Node.js and Apache after 5 s, gunicorn after 2 s).
    JustUsed,
    /// None of one's own, only a shared one: the last turned out to be closed.
    Shared,
}

/// See [`Reuse::JustUsed`].
pub(super) const JUST_USED: Duration = Duration::from_secs(1);
