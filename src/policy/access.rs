//! Who is let in before anybody asks who they are: by a signed address, and by the country they ask from.

use std::fmt;

use super::{
    geo::{Countries, Country},
    signed::{Trust, Unsigned},
    viewer::ViewerHeader,
};

/// What a route asks of an address and of where its visitor is, and what it tells its backend of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// Whose signature an address must bear. `None`: nobody's.
    pub signed: Option<Trust>,
    /// Countries that are let in. `None`: all of them.
    pub countries: Option<Countries>,
    /// Fields about the viewer that the backend gets, in the order of the route.
    pub viewer: Vec<ViewerHeader>,
}

/// Why somebody is not let in. Always answered 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// The address bears no signature that counts.
    Unsigned(Unsigned),
    /// The route is not for this country.
    Country(Country),
    /// The route looks at countries, and there is no database. `config` refuses such a route; if one came through, nobody passes.
    NoDatabase,
}

impl Barred {
    /// A fixed word, for logs, metric labels and `Proxy-Status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned(why) => why.as_str(),
            Self::Country(_) => "country",
            Self::NoDatabase => "geo_database_missing",
        }
    }
}

/// A sentence for `explain` and the log.
impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(why) => write!(f, "{why}"),
            Self::Country(country) => write!(f, "the route is not for visitors from {country}"),
            Self::NoDatabase => {
                f.write_str("the route is for some countries only, and there is no database of places")
            }
        }
    }
}

impl std::error::Error for Barred {}
