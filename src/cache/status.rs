//! `Cache-Status` (RFC 9211): what became of a request here, and why.

use http::StatusCode;

/// The name of this cache.
const NAME: &str = "banyan";

/// Why a request went on to the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// It is none of the cache's business.
    Bypass,
    /// Its method can't be answered from a cache.
    Method,
    /// Nothing is kept under its key.
    UriMiss,
    /// Something is kept, for requests with other fields.
    VaryMiss,
    /// What is kept is stale.
    Stale,
    /// Only a part was asked for.
    Partial,
}

impl Forwarded {
    /// RFC 9211 section 2.2.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// What is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Why it went on; `None`: it did not.
    pub forwarded: Option<Forwarded>,
    /// What the backend said, where the client hears something else.
    pub status: Option<StatusCode>,
    /// The answer was kept.
    pub stored: bool,
    /// It waited for what another request had asked for.
    pub collapsed: bool,
    /// Seconds of freshness that are left; negative: it is stale for so long.
    pub ttl: Option<i64>,
    /// Why, in a word.
    pub detail: Option<&'static str>,
}

impl Told {
    /// Answered from what is kept.
    #[must_use]
    pub const fn hit(ttl: i64) -> Self {
        Self {
            forwarded: None,
            status: None,
            stored: false,
            collapsed: false,
            ttl: Some(ttl),
            detail: None,
        }
    }

    /// Passed on.
    #[must_use]
    pub const fn forwarded(why: Forwarded, detail: Option<&'static str>) -> Self {
        Self {
            forwarded: Some(why),
            status: None,
            stored: false,
            collapsed: false,
            ttl: None,
            detail,
        }
    }

    /// The member of the list.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::with_capacity(64);
        self.write(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// The same, behind what is there.
    pub fn write(&self, to: &mut Vec<u8>) {
        let mut push = |word: &str| to.extend_from_slice(word.as_bytes());
        push(NAME);
        match self.forwarded {
            None => push("; hit"),
            Some(why) => {
                push("; fwd=");
                push(why.as_str());
            }
        }
        if let Some(status) = self.status {
            push("; fwd-status=");
            push(status.as_str());
        }
        if let Some(ttl) = self.ttl {
            push("; ttl=");
            push(itoa::Buffer::new().format(ttl));
        }
        for (said, word) in [(self.stored, "stored"), (self.collapsed, "collapsed")] {
            if said {
                push("; ");
                push(word);
            }
        }
        if let Some(detail) = self.detail {
            push("; detail=");
            push(detail);
        }
    }
}
