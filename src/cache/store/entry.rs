//! A kept answer, and what it can be purged by.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use http::StatusCode;
use smallvec::SmallVec;

use super::{
    chunks::Chunks,
    key::Key,
    policy::Ticket,
    purge::{Marks, Stamp},
};
use crate::{clock::UnixTime, fields::Fields};

/// Groups and tags of one answer. One with more is not kept: it could not be purged by all of them.
pub const LABELS_MAX: usize = 128;

/// What an entry takes beside its texts and its body: itself, room in its fields, its places in lines and tables.
const ENTRY_BYTES: u64 = 1536;

/// What an entry can be purged by beside its address.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// The route's path or pattern.
    pub route: Option<Arc<str>>,
    /// Whose the route is.
    pub squad: Option<Arc<str>>,
    /// Flags and their variants, `none` where a flag gave none.
    pub flags: SmallVec<[(Arc<str>, Arc<str>); 2]>,
    /// `Cache-Groups` (RFC 9875), each for the key's host.
    pub groups: SmallVec<[Box<str>; 2]>,
    /// `Surrogate-Key` and `Cache-Tag`, on every host.
    pub tags: SmallVec<[Box<str>; 4]>,
}

/// The request's fields that `Vary` named, as the request had them, by name.
pub type Selected = Box<[(Box<str>, Option<Box<[u8]>>)]>;

/// When it came, and how long it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the backend was asked (RFC 9111 section 4.2.3: `request_time`).
    pub asked: UnixTime,
    /// When its answer came (`response_time`).
    pub answered: UnixTime,
    /// How old it was then (`corrected_initial_age`).
    pub initial_age: Duration,
    /// How long it is fresh.
    pub lifetime: Duration,
    /// How long beyond it may be served while another is fetched.
    pub while_revalidate: Duration,
    /// How long beyond it may be served where the backend fails.
    pub if_error: Duration,
}

impl Times {
    /// How old it is (`current_age`).
    #[must_use]
    pub fn age(&self, now: UnixTime) -> Duration {
        let here = Duration::from_millis(now.millis.saturating_sub(self.answered.millis));
        self.initial_age.saturating_add(here)
    }

    /// Whether it is fresh.
    #[must_use]
    pub fn is_fresh(&self, now: UnixTime) -> bool {
        self.age(now) < self.lifetime
    }
}

/// What the answer said of later requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// The backend is asked each time.
    pub no_cache: bool,
    /// It is never served stale.
    pub must_revalidate: bool,
    /// It may answer a request with `Authorization`.
    pub shared: bool,
    /// Its lifetime is a guess.
    pub heuristic: bool,
    /// It may be somebody's own, by a cookie or credentials that are in its key: it never lies on disk.
    pub memory_only: bool,
}

/// An answer to be kept.
#[derive(Debug)]
pub struct New {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, those that may be stored.
    pub fields: Fields,
    /// Its body, whole.
    pub body: Chunks,
    /// What `Vary` selected.
    pub selected: Selected,
    /// Its times.
    pub times: Times,
    /// Its terms.
    pub terms: Terms,
    /// What it can be purged by.
    pub labels: Labels,
    /// When it was asked for, on the purges' clock.
    pub stamp: Stamp,
}

/// A kept answer. Nothing in it changes but whether it is purged.
pub struct Entry {
    new: New,
    host: Box<str>,
    target: Box<str>,
    rest: Box<str>,
    size: u64,
    pub(super) marks: Marks,
    /// What purges say of it, and up to which one: see [`super::purge`].
    pub(super) verdict: AtomicU64,
    pub(super) ticket: Arc<Ticket>,
}

impl Entry {
    /// Its fields move into memory that is theirs alone: those that came lie in their connection's buffer.
    pub(super) fn new(key: &Key<'_>, mut new: New, marks: Marks) -> Self {
        let mut fields = Fields::new();
        for (name, value) in new.fields.iter() {
            fields.append(name, value);
        }
        new.fields = fields;
        let size = size(key, &new);
        Self {
            host: key.host.into(),
            target: key.target.into(),
            rest: key.rest.into(),
            size,
            marks,
            verdict: AtomicU64::new(0),
            ticket: Arc::new(Ticket::new(key.hash, size)),
            new,
        }
    }

    /// Gives one that was read from disk its place in this process: when it was asked for, and whether a purge before had it softly.
    pub(super) fn settle(&mut self, stamp: Stamp, purged: bool) {
        self.new.stamp = stamp;
        self.verdict = AtomicU64::new(u64::from(purged));
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.new.status
    }

    /// Its fields.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.new.fields
    }

    /// Its body.
    #[must_use]
    pub const fn body(&self) -> &Chunks {
        &self.new.body
    }

    /// What `Vary` selected.
    #[must_use]
    pub const fn selected(&self) -> &Selected {
        &self.new.selected
    }

    /// Its times.
    #[must_use]
    pub const fn times(&self) -> &Times {
        &self.new.times
    }

    /// Its terms.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.new.terms
    }

    /// What it can be purged by.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.new.labels
    }

    /// When it was asked for, on the purges' clock.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.new.stamp
    }

    /// Its key's host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its key's path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Its key's other dimensions.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// The bytes that it counts for.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("host", &self.host)
            .field("target", &self.target)
            .field("rest", &self.rest)
            .field("new", &self.new)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The bytes that an answer takes, near enough: texts, lists and body.
fn size(key: &Key<'_>, new: &New) -> u64 {
    let fields = new.fields.iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len() + 16)
        .sum();
    let selected = new.selected.iter();
    let selected: usize = selected
        .map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()) + 48)
        .sum();
    let labels = new.labels.groups.iter().chain(&new.labels.tags);
    let labels: usize = labels.map(|label| label.len() + 24).sum();
    let key = key.host.len() + key.target.len() + key.rest.len();
    let pieces = new.body.pieces().len() * 64;
    new.body.len() + ENTRY_BYTES + (fields + selected + labels + key + pieces) as u64
}
