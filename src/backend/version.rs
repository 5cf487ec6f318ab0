//! Who gets which version of a backend: what a request says of it, what its visitor was on, and the rest by weight.
//!
//! A page, its scripts, its calls and what it loads later are parts of one program. While a deploy goes on, two of these programs are
//! there, and whoever began with one must go on with it. What a request says by itself comes first, since it is about the very tab that
//! asks: a header, a parameter of the query, the path. The cookie comes after, since all tabs of a browser share it.

use std::time::Duration;

use http::HeaderName;

use super::{ServerSettings, pick::mixed, ring};
use crate::name::VersionName;

/// Versions of one backend. Each has its servers, connections and checks of its own, and an asset may be looked for at all of them.
pub const VERSIONS_MAX: usize = 8;

/// The most that a version weighs.
pub const WEIGHT_MAX: u32 = 1_000;

/// How long a visitor stays on a version after the last page, unless said: time to read a page and to fill in a form.
pub const STAY: Duration = Duration::from_secs(3_600);
/// The shortest stay that may be said: below it a page outlives its version while it loads.
pub const STAY_MIN: Duration = Duration::from_secs(60);
/// The longest one: a version that is drained is to go some day.
pub const STAY_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The field that tells a version, unless said: what Next.js and Vercel's and Amplify's clients send.
pub const HEADER: &str = "x-deployment-id";
/// The parameter that tells a version, unless said: what Next.js writes behind the addresses of assets.
pub const QUERY: &str = "dpl";

/// `versions` and `sticky` of a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Versions {
    /// 1 to [`VERSIONS_MAX`], in the order written; at least one is live.
    pub all: Vec<Version>,
    /// How requests tell theirs.
    pub sticky: Sticky,
}

/// `[[backends.<name>.versions]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its name.
    pub name: VersionName,
    /// At least one.
    pub servers: Vec<ServerSettings>,
    /// Whether it takes new visitors.
    pub state: State,
    /// How many new visitors it takes beside the other live ones, 1 to [`WEIGHT_MAX`].
    pub weight: u32,
}

/// Whether a version takes new visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It does.
    #[default]
    Live,
    /// It serves who is on it, until they have stayed their time.
    Draining,
}

impl State {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
        }
    }
}

/// How a request tells its version, and how long a visitor keeps to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// This field's value.
    pub header: Option<HeaderName>,
    /// This parameter's value.
    pub query: Option<Box<str>>,
    /// The segment behind this beginning of the path, which ends in a slash.
    pub path: Option<Box<str>>,
    /// How long the cookie counts, [`STAY_MIN`] to [`STAY_MAX`].
    pub stay: Duration,
}

impl Default for Sticky {
    fn default() -> Self {
        Self {
            header: Some(HeaderName::from_static(HEADER)),
            query: Some(Box::from(QUERY)),
            path: None,
            stay: STAY,
        }
    }
}

impl Sticky {
    /// What the query says.
    #[must_use]
    pub fn in_query<'q>(&self, query: Option<&'q str>) -> Option<&'q str> {
        let name = self.query.as_deref()?;
        let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// What the path says.
    #[must_use]
    pub fn in_path<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.path.as_deref()?)?;
        rest.split('/').next().filter(|segment| !segment.is_empty())
    }
}

/// Why a request gets its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// A field says so.
    Header,
    /// The query says so.
    Query,
    /// The path says so.
    Path,
    /// The visitor was on it before.
    Cookie,
    /// By weight: nothing says anything.
    New,
    /// By weight: what it asks for is not there any more, or has no server that is well.
    Moved,
}

impl By {
    /// The word for metric labels, log and explain.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
            Self::Path => "path",
            Self::Cookie => "cookie",
            Self::New => "new",
            Self::Moved => "moved",
        }
    }
}

/// What is known of a version just now.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'v> {
    /// Its name.
    pub name: &'v str,
    /// Whether it takes new visitors.
    pub state: State,
    /// How many of them.
    pub weight: u32,
    /// Checks and live traffic leave some server of it.
    pub is_well: bool,
}

/// Chooses among `all`: what `told` names first (in the order in which it counts), or by weight and `seed` among the live ones.
///
/// A name can only choose a version that is there, live or draining. One without a server that is well is as good as gone while there
/// is a live one that is better off. The same `seed` gives the same version for as long as the list stays the same. `None` only where
/// `all` is empty.
#[must_use]
pub fn pick<'t>(
    all: &[Standing<'_>],
    told: impl Iterator<Item = (By, &'t str)>,
    seed: u64,
) -> Option<(usize, By)> {
    let is_open = |standing: &Standing<'_>| standing.state == State::Live && standing.is_well;
    let refuge = all.iter().any(is_open);
    let mut by = By::New;
    for (why, name) in told {
        by = By::Moved;
        let named = all.iter().position(|standing| standing.name == name);
        let serves = |at: &usize| !refuge || all.get(*at).is_some_and(|standing| standing.is_well);
        if let Some(at) = named.filter(serves) {
            return Some((at, why));
        }
    }
    let live = |standing: &Standing<'_>| standing.state == State::Live;
    let at = match refuge {
        true => by_weight(all, is_open, seed),
        false => by_weight(all, live, seed).or_else(|| by_weight(all, |_| true, seed)),
    };
    at.map(|at| (at, by))
}

fn by_weight(all: &[Standing<'_>], takes: impl Fn(&Standing<'_>) -> bool, seed: u64) -> Option<usize> {
    let fit = || all.iter().enumerate().filter(|(_, standing)| takes(standing));
    let whole: u64 = fit().map(|(_, standing)| u64::from(standing.weight)).sum();
    let place = (u128::from(mixed(seed)) * u128::from(whole)) >> 64;
    let mut below = 0;
    for (at, standing) in fit() {
        below += u128::from(standing.weight);
        if place < below {
            return Some(at);
        }
    }
    fit().next().map(|(at, _)| at)
}

/// The seed of somebody: the same one for the same text, and another one at every backend (`salt`).
#[must_use]
pub fn seed_of(somebody: &[u8], salt: u64) -> u64 {
    mixed(ring::hashed(somebody)) ^ salt
}

#[cfg(test)]
#[path = "version_tests.rs"]
mod tests;
