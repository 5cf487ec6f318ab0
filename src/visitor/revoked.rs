//! Override links that are called back before they end.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::clock::UnixTime;

/// Links that are called back and have not ended yet. One more is refused, loudly: to forget an old one would let it in again.
pub const REVOKED_MAX: usize = 4096;

/// A link: the second at which it ends, and 64 random bits. As text 24 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId {
    ends: u32,
    number: u64,
}

/// Text that is no [`LinkId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a link has 24 hexadecimal digits")]
pub struct NoLinkId;

impl LinkId {
    pub(super) fn new(ends: u32, random: [u8; 8]) -> Self {
        Self {
            ends,
            number: u64::from_be_bytes(random),
        }
    }

    /// When it ends.
    #[must_use]
    pub fn ends(self) -> UnixTime {
        UnixTime::from_secs(self.ends.into())
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(self, now: UnixTime) -> bool {
        now.secs() >= u64::from(self.ends)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:016x}", self.ends, self.number)
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LinkId {
    type Err = NoLinkId;

    fn from_str(text: &str) -> Result<Self, NoLinkId> {
        let digits = text.len() == 24 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let (ends, number) = text.split_at_checked(8).filter(|_| digits).ok_or(NoLinkId)?;
        Ok(Self {
            ends: u32::from_str_radix(ends, 16).map_err(|_| NoLinkId)?,
            number: u64::from_str_radix(number, 16).map_err(|_| NoLinkId)?,
        })
    }
}

/// Links that don't count any more. Those that end by themselves leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// These.
    Links(BTreeSet<LinkId>),
    /// All of them: the list could not be read, so none can be trusted.
    Everything,
}

/// There are [`REVOKED_MAX`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{REVOKED_MAX} links are called back already; a new first key in `[visitor] keys`, and the old one gone, calls back all of them"
)]
pub struct RevokedFull;

impl Default for Revoked {
    fn default() -> Self {
        Self::Links(BTreeSet::new())
    }
}

impl Revoked {
    /// Those among `links` that have not ended.
    #[must_use]
    pub fn of(links: impl IntoIterator<Item = LinkId>, now: UnixTime) -> Self {
        Self::Links(links.into_iter().filter(|link| !link.has_ended(now)).collect())
    }

    /// Whether `link` is called back.
    #[must_use]
    pub fn has(&self, link: LinkId) -> bool {
        match self {
            Self::Links(links) => links.contains(&link),
            Self::Everything => true,
        }
    }

    /// The same with `link`, without those that have ended.
    ///
    /// # Errors
    /// [`RevokedFull`].
    pub fn and(&self, link: LinkId, now: UnixTime) -> Result<Self, RevokedFull> {
        let Self::Links(links) = self else {
            return Ok(Self::Everything);
        };
        let mut left: BTreeSet<LinkId> = links
            .iter()
            .copied()
            .filter(|link| !link.has_ended(now))
            .collect();
        if left.len() >= REVOKED_MAX && !left.contains(&link) {
            return Err(RevokedFull);
        }
        left.insert(link);
        Ok(Self::Links(left))
    }

    /// All of them, those that end first in front.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        let links = match self {
            Self::Links(links) => Some(links),
            Self::Everything => None,
        };
        links.into_iter().flatten().copied()
    }
}
