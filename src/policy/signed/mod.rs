//! Addresses that somebody has signed, as `CloudFront`'s trusted key groups do it: signed URLs and signed cookies.
//!
//! # What a signature is for
//! The address is `https://`, the visitor's host as it was judged (lower case, no port), the path, and the query without the
//! parameters that carry the signature. No signature opens another path than the one that is matched and forwarded:
//! - The path is the canonical one (`route::target` brings every path into one form before anything looks at it). Where the visitor's own
//!   spelling differs in escapes alone (`%c3` for `%C3`, `%7E` for `~`), a signature of exactly that spelling counts too, since signers
//!   sign what they write. One that holds `.`, `..` or `//` never counts: `/free/../paid` is not under `/free/`.
//! - Wildcards (`*`, `?`) are compared with the canonical path alone, part by part: none reaches from the scheme into the host, from the
//!   host into the path, or from the path into the query, but for a `*` at the very end. `https://h/*.jpg` does not open
//!   `/film.mp4?x=.jpg`.
//!
//! It is only weighed once it is verified: what nobody signed is not parsed. A canned policy and a custom policy of the same text are the
//! same to a signer, so a signer must not sign a path with a `*` in it that a visitor chose.

mod grant;
mod keys;
mod presented;
mod resource;

use std::{net::IpAddr, sync::Arc};

pub use self::{
    grant::{BadGrant, GRANT_BYTES_MAX, Grant},
    keys::{BadKey, Hash, ID_BYTES_MAX, KEY_BYTES_MAX, KEYS_MAX, KeyGroup, PublicKey, is_id},
    presented::{Carrier, PARAMETERS, Presented, cookie_parameter, is_parameter, without_parameters},
    resource::Address,
};
use self::{keys::Unverified, presented::Policy};
use crate::clock::UnixTime;

/// The key groups whose signatures a route takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Trust(Vec<Arc<KeyGroup>>);

/// What a signature is weighed with.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The address.
    pub address: Address<'a>,
    /// Who asks, if anybody said.
    pub client: Option<IpAddr>,
    /// The time.
    pub now: UnixTime,
}

/// A signature that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted<'a> {
    /// The id of the key that made it.
    pub key: &'a str,
    /// What carried it.
    pub by: Carrier,
    /// Seconds since 1970 when it ends.
    pub until: u64,
}

/// Why an address is not signed. Names no part of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsigned {
    /// Neither parameters nor cookies.
    #[error("the address is not signed")]
    Missing,
    /// A part is missing, there twice, too long, or not written as it should be.
    #[error("the signature is malformed")]
    Malformed,
    /// No key of the route's groups has this id.
    #[error("the signature's key is not one of the route's key groups")]
    UnknownKey,
    /// A hash that is not known, or one that is never used with this kind of key.
    #[error("the signature's algorithm is not accepted")]
    Algorithm,
    /// It was not made by the key it names, or not for this address.
    #[error("the signature is not the key's, or is for another address")]
    Signature,
    /// The signed policy can't be read, or says more than is understood.
    #[error("the signed policy can't be read")]
    Policy,
    /// It is for another address.
    #[error("the signature is for another address")]
    Resource,
    /// It is for another client.
    #[error("the signature is for another client")]
    Client,
    /// Its time is over.
    #[error("the signature has expired")]
    Expired,
    /// Its time has not come.
    #[error("the signature is not valid yet")]
    NotYetValid,
}

impl Unsigned {
    /// A fixed word, for logs, metric labels and `Proxy-Status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::UnknownKey => "signature_key_unknown",
            Self::Algorithm => "signature_algorithm",
            Self::Signature => "signature_wrong",
            Self::Policy => "signature_policy",
            Self::Resource => "signature_resource",
            Self::Client => "signature_client",
            Self::Expired => "signature_expired",
            Self::NotYetValid => "signature_not_yet_valid",
        }
    }
}

impl Trust {
    /// Trusts the keys of these groups. Of no groups: nobody's.
    #[must_use]
    pub const fn new(groups: Vec<Arc<KeyGroup>>) -> Self {
        Self(groups)
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &[Arc<KeyGroup>] {
        &self.0
    }

    /// Judges what a request brings.
    ///
    /// # Errors
    /// [`Unsigned`] says why it does not count.
    pub fn judge<'a>(&self, presented: &Presented<'a>, asked: &Asked<'_>) -> Result<Granted<'a>, Unsigned> {
        let key = self.0.iter().find_map(|group| group.key(presented.key));
        let key = key.ok_or(Unsigned::UnknownKey)?;
        let signature = presented.signature()?;
        let verify = |text: &[u8]| {
            key.verify(presented.hash, text, &signature)
                .map_err(|why| match why {
                    Unverified::Algorithm => Unsigned::Algorithm,
                    Unverified::Signature => Unsigned::Signature,
                })
        };
        let until = match presented.policy {
            Policy::Canned { expires, .. } if expires <= asked.now.secs() => return Err(Unsigned::Expired),
            Policy::Canned { expires, text } => {
                verify(grant::canned(&asked.address.spelt(), text).as_bytes())?;
                expires
            }
            Policy::Custom(_) => {
                let text = presented.policy_text()?;
                verify(&text)?;
                let grant = Grant::parse(&text).map_err(|_| Unsigned::Policy)?;
                grant.weigh(asked)?;
                grant.until
            }
        };
        Ok(Granted {
            key: presented.key,
            by: presented.by,
            until,
        })
    }
}

#[cfg(test)]
mod tests;
