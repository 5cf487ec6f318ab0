//! One question: to whom, about what, how it is worded, and how its answer is read.

use std::{fmt, sync::Arc};

use super::{
    super::{Auth, Requirement, denied::Denied, identity::Identity},
    Heard, Hidden, Introspection, Legacy, Terms, Whom,
};
use crate::{clock::UnixTime, fields::Known, name::BackendName};

/// Most bytes of an answer's body. A larger one is no answer.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A question that is to be asked before a request can be decided.
#[derive(Clone)]
pub struct Question {
    to: To,
    /// A keyed hash of it: two requests with one key ask one question.
    key: [u8; 32],
    /// The cookies or the token.
    about: Hidden,
}

/// Who is asked, with the settings that the answer is read by: they may be other ones when it comes.
#[derive(Debug, Clone)]
pub(super) enum To {
    Legacy(Arc<Legacy>),
    Introspection(Arc<Introspection>),
}

/// A question as a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Wording {
    /// POST, else GET.
    pub is_post: bool,
    /// Path and query.
    pub target: String,
    /// The host to name; `None`: the site's own.
    pub host: Option<String>,
    /// Further fields. Their values are secrets.
    pub fields: Vec<(Known, String)>,
    /// The body, a secret too.
    pub body: String,
}

impl fmt::Debug for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wording")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Question {
    pub(super) fn new(to: To, key: [u8; 32], about: String) -> Self {
        Self {
            to,
            key,
            about: Hidden(about),
        }
    }

    /// Who is asked.
    #[must_use]
    pub const fn whom(&self) -> Whom {
        match &self.to {
            To::Legacy(_) => Whom::Legacy,
            To::Introspection(_) => Whom::Introspection,
        }
    }

    /// What tells it from others: a keyed hash, which gives nothing away.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The backend that is asked.
    #[must_use]
    pub fn backend(&self) -> &BackendName {
        match &self.to {
            To::Legacy(legacy) => &legacy.settings().backend,
            To::Introspection(introspection) => &introspection.settings().backend,
        }
    }

    /// How long it may take and how long its answer counts.
    #[must_use]
    pub fn terms(&self) -> Terms {
        match &self.to {
            To::Legacy(legacy) => legacy.settings().terms,
            To::Introspection(introspection) => introspection.settings().terms,
        }
    }

    /// The request that asks it.
    #[must_use]
    pub fn wording(&self) -> Wording {
        match &self.to {
            To::Legacy(legacy) => legacy.wording(&self.about.0),
            To::Introspection(introspection) => introspection.wording(&self.about.0),
        }
    }

    /// What an answer says that was asked for at `asked`.
    #[must_use]
    pub fn read(&self, status: u16, body: &[u8], asked: UnixTime) -> Heard {
        match &self.to {
            To::Legacy(legacy) => legacy.read(status, body),
            To::Introspection(introspection) => introspection.read(status, body, asked),
        }
    }

    /// What becomes of a request when this was asked in vain: nobody is let in where someone must be known, nor with a token that may be
    /// bad. Where someone only may be known, a cookie that nobody can read now counts as none: an application that is down takes no page
    /// down that is open to everybody.
    ///
    /// # Errors
    /// [`Denied::Unanswered`].
    pub fn unanswered(&self, requirement: &Requirement) -> Result<Option<Arc<Identity>>, Denied> {
        match (self.whom(), requirement.auth) {
            (Whom::Legacy, Auth::Optional) => Ok(None),
            (whom, _) => Err(Denied::Unanswered(whom)),
        }
    }

    /// Bytes of what it is about.
    pub(super) const fn bytes(&self) -> usize {
        self.about.0.len()
    }
}

/// Who would be asked what, without what it is about.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            To::Legacy(legacy) => write!(f, "{legacy}"),
            To::Introspection(introspection) => write!(f, "{introspection}"),
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({self})")
    }
}

/// The key is a hash of all the rest.
impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Question {}
