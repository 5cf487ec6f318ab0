//! Sessions that one core has opened: a browser sends the same cookie with every request.

use std::{cell::RefCell, fmt, sync::Arc};

use aws_lc_rs::constant_time;

use super::{Brought, NoSession};
use crate::{
    clock::UnixTime,
    gate::{Identity, Recent, TOKENS_BYTES_MAX, TOKENS_MAX},
};

/// A core's opened sessions, at most [`TOKENS_MAX`] that weigh at most [`TOKENS_BYTES_MAX`].
pub struct SessionMemory {
    opened: RefCell<Recent<[u8; 16], Known>>,
    /// The one that let the last request in.
    last: RefCell<Option<Brought>>,
}

struct Known {
    /// Which keys opened it.
    ring: u64,
    host: Box<str>,
    cookie: Box<str>,
    what: Result<Brought, NoSession>,
    /// After that it is looked at anew.
    until: Option<UnixTime>,
}

impl SessionMemory {
    pub(in crate::gate) fn new() -> Self {
        Self {
            opened: RefCell::new(Recent::new(TOKENS_MAX, TOKENS_BYTES_MAX)),
            last: RefCell::default(),
        }
    }

    /// Notes which session lets a request in.
    pub(super) fn lets_in(&self, brought: Brought) {
        self.last.replace(Some(brought));
    }

    /// The session that `identity` comes from, if that let the last request in.
    pub(super) fn of_last(&self, identity: &Arc<Identity>) -> Option<Brought> {
        let last = self.last.borrow();
        let brought = last.as_ref()?;
        Arc::ptr_eq(&brought.session.identity, identity).then(|| brought.clone())
    }

    /// What is known of this very cookie.
    pub(super) fn recall(
        &self,
        ring: u64,
        host: &str,
        cookie: &str,
        now: UnixTime,
    ) -> Option<Result<Brought, NoSession>> {
        let mut recent = self.opened.borrow_mut();
        let known = recent.recall(&place(cookie))?;
        // as careful as with the seal itself: how long it takes must not tell how much was right
        let same = known.ring == ring
            && *known.host == *host
            && constant_time::verify_slices_are_equal(known.cookie.as_bytes(), cookie.as_bytes()).is_ok();
        let fresh = known.until.is_none_or(|until| now < until);
        (same && fresh).then(|| known.what.clone())
    }

    pub(super) fn keep(&self, ring: u64, host: &str, cookie: &str, what: Result<Brought, NoSession>) {
        self.put(ring, host, cookie, what, None);
    }

    pub(super) fn keep_silent(&self, ring: u64, host: &str, cookie: &str, until: UnixTime) {
        self.put(ring, host, cookie, Err(NoSession::Silent), Some(until));
    }

    fn put(
        &self,
        ring: u64,
        host: &str,
        cookie: &str,
        what: Result<Brought, NoSession>,
        until: Option<UnixTime>,
    ) {
        let known = Known {
            ring,
            host: host.into(),
            cookie: cookie.into(),
            what,
            until,
        };
        // what is kept of a session takes about twice its cookie's size
        self.opened
            .borrow_mut()
            .keep(place(cookie), known, 2 * cookie.len() + host.len());
    }
}

impl fmt::Debug for SessionMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionMemory")
            .field("len", &self.opened.borrow().len())
            .finish()
    }
}

/// The end of a sealed text is its tag, and no two of ours share one.
fn place(cookie: &str) -> [u8; 16] {
    cookie.as_bytes().last_chunk().copied().unwrap_or_default()
}
