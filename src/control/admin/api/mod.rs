//! What the API says: plain structs made from the snapshot in force, which the page draws as well.
//!
//! Shares are percent, durations milliseconds, times RFC 3339, places `file:line`.

pub(super) mod backends;
pub(super) mod cache;
pub(super) mod changes;
pub(super) mod decide;
mod disk;
pub(super) mod drills;
pub(super) mod explain;
pub(super) mod flags;
pub(super) mod history;
pub(super) mod kept;
pub(super) mod links;
pub(super) mod me;
pub(super) mod ofrep;
pub(super) mod rooms;
pub(super) mod routes;
pub(super) mod squads;
pub(super) mod status;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    answer::{Answer, JSON},
    endpoints::Asked,
    refusal::Refusal,
};
use crate::{control::plane::View, snapshot::Rule};

/// A route, named from elsewhere.
#[derive(Debug, Clone, Serialize, JsonSchema, PartialEq, Eq)]
pub(super) struct RouteName {
    /// Its path or pattern as written.
    pub(super) path: String,
    /// Whose it is.
    pub(super) squad: String,
    /// Where it is written.
    pub(super) place: String,
}

impl RouteName {
    fn of(rule: &Rule) -> Self {
        Self {
            path: rule.name.to_string(),
            squad: rule.squad.to_string(),
            place: rule.place().to_string(),
        }
    }
}

/// A set of public keys (RFC 7517).
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Jwks {
    /// The keys.
    keys: Vec<serde_json::Value>,
}

/// `GET /api/identity/jwks`.
pub(super) fn jwks(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    Ok(Answer::text(JSON, view.signer.jwks()).tagged(0))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
