//! What a route keeps of its answers and by what it tells requests apart: `[routes.cache]`.

use std::{borrow::Cow, fmt, time::Duration};

use super::forward::{Names, USER_AGENT, Which, keep_cookies, kept_query};
use crate::fields::{Fields, Key, Known, KnownSet};

/// What a route says of times. Every one is the backend's to say, within these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Shortest freshness of what may be kept.
    pub min: Duration,
    /// Freshness where the backend says nothing. `None`: it is guessed from `Last-Modified` (RFC 9111 section 4.2.2).
    pub default: Option<Duration>,
    /// Longest freshness. `None`: what the backend says.
    pub max: Option<Duration>,
    /// How long a stale answer is served while another is fetched, where the backend does not say.
    pub while_revalidate: Duration,
    /// How long a stale answer is served instead of an error, where the backend does not say.
    pub if_error: Duration,
}

/// A route's cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caching {
    /// Times.
    pub bounds: Bounds,
    /// Header fields of the key, in lower case, sorted.
    pub headers: Vec<String>,
    /// Cookies of the key.
    pub cookies: Which,
    /// Query parameters of the key. The backend gets no others.
    pub query: Which,
    /// Header fields outside the key that reach the backend all the same.
    pub unkeyed: Which,
    /// Cookies with which a request is somebody's own: it goes past the cache, whole.
    pub personal: Option<Names>,
    /// A request with credentials may be answered with what says that it is for everybody.
    pub shares_authorized: bool,
    /// Answers that set cookies are kept with them.
    pub keeps_cookies: bool,
}

impl Default for Caching {
    /// `cache = "standard"`.
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            headers: Vec::new(),
            cookies: Which::Nothing,
            query: Which::All,
            unkeyed: Which::Nothing,
            personal: None,
            shares_authorized: false,
            keeps_cookies: false,
        }
    }
}

/// What every backend gets: what Banyan itself says in a form that no client chooses, or that is in the key.
const NEEDED: KnownSet = KnownSet::of(&[
    Known::HOST,
    Known::ACCEPT_ENCODING,
    Known::BANYAN_FLAGS,
    Known::COOKIE, // its own list judges it
    Known::TRACEPARENT,
    Known::VIA,
    Known::X_FORWARDED_HOST,
    Known::X_FORWARDED_PORT,
    Known::X_FORWARDED_PROTO,
    Known::X_REQUEST_ID,
]);

impl Caching {
    /// Whether a field of a request that an answer is kept for reaches the backend.
    #[must_use]
    pub fn passes(&self, name: &impl Key) -> bool {
        self.has_header(name.text())
            || self.unkeyed.lets(|names| names.has_header(name))
            || name.known().is_some_and(|known| NEEDED.has(known))
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers
            .binary_search_by(|own| own.as_str().cmp(name))
            .is_ok()
    }

    /// Takes out of a request what its answer must not depend on.
    pub fn narrow(&self, fields: &mut Fields) {
        fields.retain(|name, _| self.passes(&name));
        keep_cookies(&self.cookies, fields);
        if !fields.contains_key(Known::USER_AGENT) {
            fields.insert(Known::USER_AGENT, USER_AGENT);
        }
    }

    /// The names of those fields of a request that do not reach the backend, each once.
    #[must_use]
    pub fn left_out(&self, fields: &Fields) -> Vec<String> {
        let mut names: Vec<String> = fields
            .iter()
            .filter(|(name, _)| !self.passes(name))
            .map(|(name, _)| name.as_str().to_owned())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The part of a query that the key has, and the backend gets.
    #[must_use]
    pub fn query<'q>(&self, query: &'q str) -> Option<Cow<'q, str>> {
        kept_query(&self.query, query).filter(|query| !query.is_empty())
    }

    /// Whether a request's cookies make it somebody's own.
    #[must_use]
    pub fn is_personal(&self, fields: &Fields) -> bool {
        let Some(names) = &self.personal else { return false };
        super::forward::cookies(fields).any(|(name, _)| names.has(name))
    }
}

impl fmt::Display for Caching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = match self.headers.is_empty() {
            true => "none".to_owned(),
            false => self.headers.join(", "),
        };
        write!(
            f,
            "host, path, query {}; headers {headers}; cookies {}",
            self.query, self.cookies
        )
    }
}
