//! Compressing answers: which of them, in which encoding, and what that means for their heads.
//!
//! `negotiate` reads `Accept-Encoding`, `media` knows types, `head` rewrites what no longer holds.

mod head;
mod media;
mod negotiate;

use std::fmt;

use http::{StatusCode, Version};

use crate::fields::{Fields, Known, Value};

pub use self::{
    head::{encode, freshen, strip_digests, vary},
    media::{BadType, MediaTypes},
    negotiate::negotiate,
};

/// A way to encode a body (RFC 9110 section 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878, its window as RFC 9659 bounds it).
    Zstd,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Encoding {
    /// All of them, the preferred first.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// As fields, settings and metrics write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

/// `compress` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    /// What is offered, the preferred first.
    pub encodings: Vec<Encoding>,
    /// What is worth it.
    pub types: MediaTypes,
    /// Bytes of the smallest body that is compressed.
    pub min: u64,
    /// Bytes of the largest one. A body of unknown length is compressed whatever comes.
    pub max: u64,
}

/// CloudFront's: a smaller body fits one packet either way.
pub const MIN_BYTES: u64 = 1_000;
/// CloudFront's: what is larger is seldom text.
pub const MAX_BYTES: u64 = 10_000_000;

impl Default for Compression {
    fn default() -> Self {
        Self {
            encodings: Encoding::ALL.to_vec(),
            types: MediaTypes::default(),
            min: MIN_BYTES,
            max: MAX_BYTES,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.encodings.iter().map(|encoding| encoding.as_str()).collect();
        let (names, types) = (names.join(", "), self.types.len());
        write!(
            f,
            "{names}; {types} media types; {} to {} bytes",
            self.min, self.max
        )
    }
}

/// What a request says about how it wants its answer, noted before the backend's version of it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The best that is offered and accepted. `None`: as it is.
    wanted: Option<Encoding>,
    /// Weak validators of what the client has (`If-None-Match`).
    weak_tags: Option<Box<[u8]>>,
}

impl Asked {
    /// Reads a request's head.
    #[must_use]
    pub fn of(compression: &Compression, version: Version, fields: &Fields) -> Self {
        let barred = version < Version::HTTP_11 // it may not know how a body of unknown length ends
            || fields.contains_key(Known::RANGE) // ranges are of the bytes that the backend has
            || no_transform(fields);
        let accepted = fields.get_all(Known::ACCEPT_ENCODING).map(Value::as_bytes);
        let tags = fields.get(Known::IF_NONE_MATCH).map(Value::as_bytes);
        Self {
            wanted: negotiate(accepted, &compression.encodings).filter(|_| !barred),
            weak_tags: tags.filter(|tags| tags.contains(&b'/')).map(Box::from),
        }
    }
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is not of a kind that is compressed for anybody.
    Untouched,
    /// This client gets it as it is, another one would not.
    AsItIs,
    /// It is compressed.
    Compress {
        /// How.
        encoding: Encoding,
        /// Bytes before, if that is known.
        length: Option<u64>,
    },
}

impl Compression {
    /// Judges an answer by its head. `length` is its body's, if that is known without `Content-Length`.
    #[must_use]
    pub fn judge(&self, asked: &Asked, status: StatusCode, fields: &Fields, length: Option<u64>) -> Verdict {
        if !has_content(status) || PLAIN_ONLY.iter().any(|name| fields.contains_key(*name)) {
            return Verdict::Untouched;
        }
        let length = match fields.get(Known::CONTENT_LENGTH) {
            Some(told) => match told.to_str().ok().and_then(|told| told.parse().ok()) {
                Some(told) => Some(told),
                None => return Verdict::Untouched,
            },
            None => length,
        };
        let fits = length.is_none_or(|length| (self.min..=self.max).contains(&length));
        if !fits || !self.types.take(fields) || no_transform(fields) {
            return Verdict::Untouched;
        }
        match asked.wanted {
            Some(encoding) => Verdict::Compress { encoding, length },
            None => Verdict::AsItIs,
        }
    }

    /// In words, what a request with these fields would get: for `banyan explain`.
    #[must_use]
    pub fn told(&self, fields: &Fields) -> String {
        let wanted = Asked::of(self, Version::HTTP_11, fields).wanted;
        let wanted = wanted.map_or("nothing", Encoding::as_str);
        format!("{wanted} for what this request accepts (offered: {self})")
    }
}

/// What is encoded already, or a part of something.
const PLAIN_ONLY: [Known; 2] = [Known::CONTENT_ENCODING, Known::CONTENT_RANGE];

/// Whether an answer of this status has a body that means something as a whole.
fn has_content(status: StatusCode) -> bool {
    let without = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::PARTIAL_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    !status.is_informational() && !without.contains(&status)
}

/// RFC 9110 section 7.7: what says so is not to be changed on the way.
fn no_transform(fields: &Fields) -> bool {
    let values = fields.get_all(Known::CACHE_CONTROL).map(Value::as_bytes);
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

#[cfg(test)]
mod tests;
