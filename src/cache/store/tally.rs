//! What is counted of requests that the cache was asked for.

/// What the cache was to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// Its answer was here and fresh.
    Hit,
    /// Its answer was not here.
    Miss,
    /// Its answer was here, and was served stale.
    Stale,
    /// Its answer was here, and the backend said that it still counts.
    Revalidated,
    /// It waited for the answer to another.
    Collapsed,
    /// It was none that the cache may answer.
    Bypass,
}

impl Tally {
    /// For metrics and log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
        }
    }
}
