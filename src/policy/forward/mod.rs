//! What of a visitor's headers, cookies and query strings reaches the backend: `[routes.forward]`.
//!
//! [`names`] compiles the lists; `headers`, `cookies` and `query` apply them. Everything that is decided about a request (route,
//! flags, gate) looks at what the visitor sent; [`Forward::apply`] comes after, and before Banyan says anything itself.

mod cookies;
mod headers;
pub mod names;
mod query;
#[cfg(test)]
mod tests;
mod told;

use std::{borrow::Cow, fmt};

pub use headers::{ACCEPT_ENCODING, USER_AGENT, always_passes};
pub use names::{BadName, Names, Of};

use crate::{
    fields::{Fields, Key},
    message::Head,
};

/// What of a request passes. At least one part does not pass whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Header fields, but for those of [`always_passes`].
    pub headers: Which,
    /// Cookies.
    pub cookies: Which,
    /// Query parameters.
    pub query: Which,
}

/// Which of many pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Which {
    /// All.
    #[default]
    All,
    /// None.
    Nothing,
    /// These alone.
    Only(Names),
    /// All others.
    Except(Names),
}

impl Which {
    /// Whether one passes, `listed` saying whether it is in a list.
    #[inline]
    pub(super) fn lets(&self, listed: impl FnOnce(&Names) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Only(names) => listed(names),
            Self::Except(names) => !listed(names),
        }
    }
}

impl Forward {
    /// Takes out of a request what does not pass. Hop-by-hop fields and Banyan's own cookies are out already.
    pub fn apply(&self, head: &mut Head) {
        query::keep(&self.query, head);
        cookies::keep(&self.cookies, &mut head.headers);
        headers::keep(&self.headers, &mut head.headers);
    }

    /// Whether a field that trails a request's body passes: as one of its head, since some servers make no difference.
    #[must_use]
    pub fn passes_trailer(&self, name: &impl Key) -> bool {
        headers::passes(&self.headers, name)
    }

    /// Whether an answer may set cookies: not where none are forwarded, since they would never come back.
    #[must_use]
    pub fn lets_answers_set_cookies(&self) -> bool {
        self.cookies != Which::Nothing
    }
}

/// The cookies of a request, each with its name.
pub(super) fn cookies(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    cookies::cookies(fields)
}

/// Takes the cookies away that don't pass; those that do are sorted.
pub(super) fn keep_cookies(which: &Which, fields: &mut Fields) {
    cookies::keep(which, fields);
}

/// What of a query passes. `None`: nothing.
pub(super) fn kept_query<'q>(which: &Which, query: &'q str) -> Option<Cow<'q, str>> {
    query::kept(which, query)
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Nothing => f.write_str("none"),
            Self::Only(names) => write!(f, "only {}", names.written().join(", ")),
            Self::Except(names) => write!(f, "all but {}", names.written().join(", ")),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "headers {}; cookies {}; query {}",
            self.headers, self.cookies, self.query
        )
    }
}
