//! What went wrong with a question: status, error code and sentence side by side.

use http::StatusCode;
use serde_json::json;

use super::{BODY_BYTES_MAX, Reply};
use crate::flag;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is no such flag, or not for who asks.
    #[error("there is no such flag")]
    FlagNotFound,
    /// The body is no JSON.
    #[error("the body can't be read: {0}")]
    Parse(String),
    /// The body is JSON of another shape.
    #[error("the context can't be used: {0}")]
    InvalidContext(&'static str),
    /// The flag goes by a key that isn't given.
    #[error("the rollout of this flag goes by `targetingKey`, which is not given")]
    TargetingKeyMissing,
    /// A rule of the flag can't be evaluated.
    #[error("a rule of this flag failed; its default variant is what routing gives")]
    Rule,
    /// The flag's targeting names something that isn't a variant.
    #[error("the targeting of this flag answered something that is not one of its variants")]
    General,
    /// The body is too large.
    #[error("a body may have {BODY_BYTES_MAX} bytes at most")]
    TooLarge,
    /// The body took too long, or broke off.
    #[error("the body did not arrive in time, or not whole")]
    Unread,
    /// Another site's page asks.
    #[error("only pages of this very site may ask")]
    Foreign,
    /// Too much is asked at once: by this client, or by all.
    #[error("too much is asked at once; try again in a moment")]
    TooMany {
        /// This client alone has asked for too much.
        alone: bool,
    },
}

impl Fault {
    /// What the client is told.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::FlagNotFound => StatusCode::NOT_FOUND,
            Self::Parse(_)
            | Self::InvalidContext(_)
            | Self::TargetingKeyMissing
            | Self::Rule
            | Self::General => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unread => StatusCode::REQUEST_TIMEOUT,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::TooMany { alone: true } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooMany { alone: false } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// OpenFeature's error code. The protocol has none for 403, 408, 413, 429 and 503.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match self {
            Self::FlagNotFound => Some("FLAG_NOT_FOUND"),
            Self::Parse(_) | Self::Rule => Some("PARSE_ERROR"),
            Self::InvalidContext(_) => Some("INVALID_CONTEXT"),
            Self::TargetingKeyMissing => Some("TARGETING_KEY_MISSING"),
            Self::General => Some("GENERAL"),
            Self::TooLarge | Self::Unread | Self::Foreign | Self::TooMany { .. } => None,
        }
    }

    /// Seconds after which it is worth to try again.
    #[must_use]
    pub const fn retry_after(&self) -> Option<&'static str> {
        match self {
            Self::TooMany { .. } => Some("2"),
            _ => None,
        }
    }

    /// As an answer; `key` is that of the flag that was asked for, if it was one.
    #[must_use]
    pub fn reply(&self, key: Option<&str>) -> Reply {
        let mut body = json!({ "errorDetails": self.to_string() });
        if let (Some(code), Some(fields)) = (self.code(), body.as_object_mut()) {
            fields.insert("errorCode".to_owned(), code.into());
            fields.insert("metadata".to_owned(), json!({}));
            if let Some(key) = key {
                fields.insert("key".to_owned(), key.into());
            }
        }
        Reply::new(self.status(), &body)
    }
}

impl From<flag::Fault> for Fault {
    fn from(fault: flag::Fault) -> Self {
        match fault {
            flag::Fault::Parse => Self::Rule,
            flag::Fault::General => Self::General,
            flag::Fault::FlagNotFound => Self::FlagNotFound,
        }
    }
}
