//! Answers that need a question asked of somebody else: who a cookie of the legacy application belongs to, what an opaque token is worth.
//!
//! Pure: [`Question`] says what is to be asked and reads the answer, [`Answers`] remembers it for a while, [`Circuit`] says when asking
//! is of no use. Whoever forwards requests does the asking.

mod answers;
mod circuit;
mod introspection;
mod legacy;
mod question;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

pub use self::{
    answers::{ANSWERS_BYTES_MAX, ANSWERS_MAX, Answers, Heard, Remembered},
    circuit::{Circuit, FAILURES_MAX, PAUSE_MAX, PAUSE_MIN},
    introspection::{Introspection, IntrospectionSettings},
    legacy::{COOKIES_BYTES_MAX, Legacy, LegacySettings},
    question::{ANSWER_BYTES_MAX, Question, Wording},
};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whom {
    /// The legacy application.
    Legacy,
    /// The authorization server's introspection endpoint (RFC 7662).
    Introspection,
}

impl Whom {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Legacy, Self::Introspection];

    /// The word for it in metrics, logs and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Introspection => "introspection",
        }
    }
}

/// How long a question may take and how long its answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// From the question to the last byte of its answer.
    pub timeout: Duration,
    /// How long it counts that somebody is signed in, from when it was asked.
    pub remember: Duration,
    /// How long it counts that nobody is.
    pub remember_nobody: Duration,
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
