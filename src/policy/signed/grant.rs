//! The policy that a signer signed: for which address, until when, from when, for whom.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Asked, Unsigned};

/// Longest policy, in bytes, decoded.
pub const GRANT_BYTES_MAX: usize = 4096;

/// Wildcards that a resource may have. Every other one makes comparing it dearer.
const WILDCARDS_MAX: usize = 32;

/// A custom policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The address, with wildcards.
    resource: String,
    /// Seconds since 1970 when it ends.
    pub until: u64,
    /// It begins after this second.
    after: Option<u64>,
    /// For whom.
    network: Option<IpNet>,
}

/// A text that is no policy, or says more than is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no policy of one statement with a resource and an end")]
pub struct BadGrant;

// A member that appears twice is an error of the derived readers, and so is one that is not listed here.

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "Statement")]
    statement: [Statement; 1],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "Resource")]
    resource: String,
    #[serde(rename = "Condition")]
    condition: Condition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "DateLessThan")]
    until: Epoch,
    #[serde(rename = "DateGreaterThan")]
    after: Option<Epoch>,
    #[serde(rename = "IpAddress")]
    network: Option<Source>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Epoch {
    #[serde(rename = "AWS:EpochTime")]
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    #[serde(rename = "AWS:SourceIp")]
    network: String,
}

impl Grant {
    /// Reads a policy: one statement with a resource and an end, at most a beginning and a network beside them. An address alone is a
    /// network of one.
    ///
    /// # Errors
    /// [`BadGrant`].
    pub fn parse(text: &[u8]) -> Result<Self, BadGrant> {
        if text.len() > GRANT_BYTES_MAX {
            return Err(BadGrant);
        }
        let written: Written = serde_json::from_slice(text).map_err(|_| BadGrant)?;
        let [statement] = written.statement;
        let condition = statement.condition;
        let wildcards = statement
            .resource
            .bytes()
            .filter(|byte| matches!(byte, b'*' | b'?'));
        if wildcards.count() > WILDCARDS_MAX {
            return Err(BadGrant);
        }
        let network = condition
            .network
            .map(|source| network(&source.network).ok_or(BadGrant));
        Ok(Self {
            resource: statement.resource,
            until: condition.until.seconds,
            after: condition.after.map(|after| after.seconds),
            network: network.transpose()?,
        })
    }

    /// Whether it lets this request in.
    ///
    /// # Errors
    /// [`Unsigned`] says what it is not for.
    pub fn weigh(&self, asked: &Asked<'_>) -> Result<(), Unsigned> {
        let now = asked.now.secs();
        if !asked.address.is_in(&self.resource) {
            return Err(Unsigned::Resource);
        }
        if now >= self.until {
            return Err(Unsigned::Expired);
        }
        if self.after.is_some_and(|after| now <= after) {
            return Err(Unsigned::NotYetValid);
        }
        match (self.network, asked.client.map(|client| client.to_canonical())) {
            (None, _) => Ok(()),
            (Some(network), _) if network.prefix_len() == 0 => Ok(()), // everybody, also over the other kind of address
            (Some(network), Some(client)) if network.contains(&client) => Ok(()),
            (Some(_), _) => Err(Unsigned::Client),
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or_else(|_| one()).ok()
}

/// The policy that stands for an end alone, to the byte as `CloudFront` builds it.
pub(super) fn canned(address: &str, expires: &str) -> String {
    [
        "{\"Statement\":[{\"Resource\":\"",
        address,
        "\",\"Condition\":{\"DateLessThan\":{\"AWS:EpochTime\":",
        expires,
        "}}}]}",
    ]
    .concat()
}
