//! Whether Banyan's cookies outlive the browser's session: the site's choice, or each visitor's own.

use super::cookies;
use crate::fields::Fields;

/// How long browsers keep the cookies that tell visitors apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Consent {
    /// For `max_age`.
    #[default]
    Days,
    /// Until the browser is closed: still one variant within a visit.
    Session,
    /// For `max_age` once a cookie of the site says that the visitor agreed, until then as long as the browser runs.
    Cookie {
        /// The cookie's name.
        name: String,
        /// What it says, to the letter.
        value: String,
    },
}

/// How long one browser keeps its cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kept {
    /// For `max_age`.
    #[default]
    Days,
    /// Until the browser is closed.
    Session,
}

impl Consent {
    /// How long the browser that sent `headers` may keep its cookies. Of several cookies of that name every one has to agree.
    #[must_use]
    pub fn kept(&self, headers: &Fields) -> Kept {
        let agreed = match self {
            Self::Days => true,
            Self::Session => false,
            Self::Cookie { name, value } => {
                let mut said = cookies(headers).filter(|(cookie, _)| cookie == name).peekable();
                said.peek().is_some() && said.all(|(_, told)| told == value)
            }
        };
        if agreed { Kept::Days } else { Kept::Session }
    }
}
