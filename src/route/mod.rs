//! Which route takes a request, and so which squad. Pure: no socket, no clock.
//!
//! In reading order:
//! - [`target`]: one spelling for every path; what has two readings is refused.
//! - [`template`] and [`pattern`]: how a route says which paths it wants.
//! - [`table`]: all routes compiled, and the one function that finds a request's route. Behind it: `ordered`, one automaton
//!   for the routes with an `order`; `shapes`, the tree of templates by specificity; `condition`, what must hold beside the path.
//! - [`clash`]: claims that are equal, unreachable, or outside what their squad may claim. Behind it: `pathset`, the set of paths
//!   that a rule takes, and `search`, which goes through two of them at once.

pub mod clash;
mod condition;
mod ordered;
mod pathset;
pub mod pattern;
mod search;
mod shapes;
pub mod table;
pub mod target;
pub mod template;

pub use clash::{Clash, covers, example_url, never_starts_with, outside, unreachable};
pub use condition::{Probe, Why, decoded, host_takes};
pub use pattern::{Pattern, PatternError};
pub use table::{Found, PassedOver, RouteId, Table, Watch};
pub use target::{Ambiguous, EncodedSlash, canonical, has_encoded_slash, split_target};
pub use template::{Template, TemplateError};

use crate::name::{Place, SquadName};

/// What a route lays claim to: the requests that it wants.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Where it is written.
    pub place: Place,
    /// Whose it is.
    pub squad: SquadName,
    /// Host names in lower case, `*.` in front of one means any single label. Empty: every host of the edge.
    pub hosts: Vec<String>,
    /// The path it wants.
    pub path: PathRule,
    /// Routes with an order are tried before all others, ascending.
    pub order: Option<i32>,
    /// What else must hold.
    pub conditions: Conditions,
}

/// How a route says which paths it wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathRule {
    /// `path = "/courses/{slug}"`: segments, `{name}` for one, a last `/*` for the rest (also nothing).
    Template(String),
    /// `pattern = "/static/*.css"`: CloudFront's wildcards, to the letter.
    Pattern(String),
}

impl PathRule {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Template(text) | Self::Pattern(text) => text,
        }
    }
}

/// What must hold beside host and path. All of them; an empty list asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Any of these methods. `GET` also takes `HEAD`.
    pub methods: Vec<http::Method>,
    /// Header fields.
    pub headers: Vec<(http::HeaderName, ValueTest)>,
    /// Query parameters, by decoded name.
    pub query: Vec<(String, ValueTest)>,
    /// Cookies, by name.
    pub cookies: Vec<(String, ValueTest)>,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTest {
    /// There, whatever it is (`true` in TOML).
    Present,
    /// Not there (`false` in TOML).
    Absent,
    /// Exactly this, or with `*` and `?` as wildcards.
    Like(String),
    /// Any of these, each read as in `Like`.
    OneOf(Vec<String>),
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
