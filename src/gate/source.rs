//! What can say who somebody is.

use serde::{Deserialize, Serialize};

/// What an identity was learnt from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The sealed cookie of a sign-in at the identity provider.
    Session,
    /// A token in `Authorization: Bearer`.
    Bearer,
    /// What the legacy application says of its own cookie.
    Legacy,
    /// A machine's key.
    Key,
}

impl Source {
    /// The word for it in files, metrics, logs and explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Bearer => "bearer",
            Self::Legacy => "legacy",
            Self::Key => "key",
        }
    }
}
