//! Where a request goes, for people and for JSON: a backend, how it is asked, and who stands by.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BackendId, Rule, Snapshot};
use crate::backend::wording::HostNamed;

/// Where a request goes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Goes {
    /// The backend.
    pub backend: String,
    /// Its servers with their health.
    pub servers: Vec<(String, String)>,
    /// How one of them is chosen.
    pub picked: String,
    /// What is put in front of the path.
    pub path: Option<String>,
    /// The host that it is asked for, where that is not the visitor's: `server` (the server's own) or a name.
    pub host: Option<String>,
    /// Names of the fields that its file adds. Their values are secrets.
    pub fields: Vec<String>,
}

/// Who is asked when the first backend fails.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Standby {
    /// The second backend.
    pub goes: Goes,
    /// Answers of the first that count as a failure, beside no answer at all.
    pub on: Vec<u16>,
    /// The budget, where it is a fallback: how many in how long, and how many at once.
    pub budget: Option<String>,
}

impl Goes {
    pub(super) fn to(id: BackendId, at: &Snapshot) -> Option<Self> {
        let backend = at.backend(id)?;
        let wording = backend.settings.wording.as_ref();
        Some(Self {
            backend: backend.settings.name.to_string(),
            servers: at
                .parts(id)
                .iter()
                .filter_map(|part| at.backend(*part))
                .flat_map(|part| part.roster().servers.clone())
                .map(|server| (server.label.to_string(), server.how().words()))
                .collect(),
            picked: backend.settings.pick.words(),
            path: wording.and_then(|wording| wording.path.as_deref().map(str::to_owned)),
            host: wording
                .filter(|wording| wording.host != HostNamed::Visitor)
                .map(|wording| wording.host.as_str().to_owned()),
            fields: wording.map_or_else(Vec::new, |wording| wording.field_names()),
        })
    }
}

impl Standby {
    pub(super) fn of(rule: &Rule, first: BackendId, method: &http::Method, at: &Snapshot) -> Option<Self> {
        let (second, failover) = rule.standby(first, method)?;
        if at.is_part(first, second) {
            return None;
        }
        Some(Self {
            goes: Goes::to(second, at)?,
            on: failover.on.iter().collect(),
            budget: failover.fallback.map(|terms| terms.to_string()),
        })
    }
}

impl fmt::Display for Goes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self
            .servers
            .iter()
            .map(|(server, health)| format!("{server} ({health})"))
            .collect();
        write!(f, "{}: {}", self.backend, servers.join(", "))?;
        if servers.len() > 1 || self.picked.starts_with("hash") {
            write!(f, ", {}", self.picked)?;
        }
        if let Some(path) = &self.path {
            write!(f, ", {path} in front of the path")?;
        }
        match self.host.as_deref() {
            Some("server") => write!(f, ", asked for by the server's own name")?,
            Some(host) => write!(f, ", asked for {host}")?,
            None => {}
        }
        if !self.fields.is_empty() {
            write!(f, ", with {}", self.fields.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on: Vec<String> = self
            .on
            .iter()
            .map(u16::to_string)
            .chain(["no answer".to_owned()])
            .collect();
        write!(f, "on {} to {}", on.join(", "), self.goes)?;
        match &self.budget {
            Some(budget) => write!(f, ", {budget}"),
            None => Ok(()),
        }
    }
}
