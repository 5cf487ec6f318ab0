//! What a request brings to show that its address is signed: query parameters or cookies, taken apart.

use base64::{
    Engine as _,
    alphabet::Alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{GRANT_BYTES_MAX, Hash, Unsigned};

/// The parameters that carry a signature, by the names that they have in a query. They never reach a backend.
pub const PARAMETERS: [&str; 5] = ["Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"];

/// What stands before those names in cookies.
const COOKIE_PREFIX: &str = "CloudFront-";

/// Longest signature, in bytes: that of the largest key that is taken.
const SIGNATURE_BYTES_MAX: usize = 1024;

/// What carried a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Parameters of the query.
    Url,
    /// Cookies.
    Cookies,
}

impl Carrier {
    /// In a word or two.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "the URL",
            Self::Cookies => "cookies",
        }
    }
}

/// A signature with what belongs to it, as sent.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    pub(super) by: Carrier,
    pub(super) key: &'a str,
    pub(super) hash: Hash,
    pub(super) policy: Policy<'a>,
    signature: &'a str,
}

/// Which policy was signed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Policy<'a> {
    /// The one that says nothing but when it ends, which isn't sent.
    Canned {
        /// Seconds since 1970.
        expires: u64,
        /// The same, as sent.
        text: &'a str,
    },
    /// One that is sent, in base64.
    Custom(&'a str),
}

impl<'a> Presented<'a> {
    /// Takes what `query` brings, or, if that brings nothing, the `cookies` (name and value). A part that is there twice is not taken:
    /// two readers could take different ones.
    ///
    /// # Errors
    /// [`Unsigned::Missing`], [`Unsigned::Malformed`] or [`Unsigned::Algorithm`].
    pub fn find(
        query: Option<&'a str>,
        cookies: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Unsigned> {
        let parameters = query.unwrap_or_default().split('&').filter_map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            is_parameter(name).then_some((name, value))
        });
        if let Some(found) = Parts::collect(parameters)? {
            return found.read(Carrier::Url);
        }
        let cookies = cookies.filter_map(|(name, value)| Some((cookie_parameter(name)?, value)));
        Parts::collect(cookies)?
            .ok_or(Unsigned::Missing)?
            .read(Carrier::Cookies)
    }

    /// The signature's bytes.
    pub(super) fn signature(&self) -> Result<Vec<u8>, Unsigned> {
        decoded(self.signature, SIGNATURE_BYTES_MAX)
    }

    /// The policy that was sent; of a canned one nothing.
    pub(super) fn policy_text(&self) -> Result<Vec<u8>, Unsigned> {
        match self.policy {
            Policy::Canned { .. } => Ok(Vec::new()),
            Policy::Custom(text) => decoded(text, GRANT_BYTES_MAX),
        }
    }
}

/// Each part as sent.
#[derive(Default)]
struct Parts<'a> {
    expires: Option<&'a str>,
    policy: Option<&'a str>,
    signature: Option<&'a str>,
    key: Option<&'a str>,
    hash: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// `None` where there is no part; the name of a hash alone is none.
    fn collect(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Option<Self>, Unsigned> {
        let mut parts = Self::default();
        for (name, value) in pairs {
            let part = match name {
                "Expires" => &mut parts.expires,
                "Policy" => &mut parts.policy,
                "Signature" => &mut parts.signature,
                "Key-Pair-Id" => &mut parts.key,
                _ => &mut parts.hash,
            };
            if part.replace(value).is_some() {
                return Err(Unsigned::Malformed);
            }
        }
        let any = [parts.expires, parts.policy, parts.signature, parts.key];
        Ok(any.iter().any(Option::is_some).then_some(parts))
    }

    fn read(self, by: Carrier) -> Result<Presented<'a>, Unsigned> {
        let policy = match (self.expires, self.policy) {
            (Some(text), None) => Policy::Canned {
                expires: seconds(text).ok_or(Unsigned::Malformed)?,
                text,
            },
            (None, Some(text)) => Policy::Custom(text),
            (Some(_), Some(_)) | (None, None) => return Err(Unsigned::Malformed),
        };
        let hash = match self.hash {
            None => Hash::Unsaid,
            Some("SHA1") => Hash::Sha1,
            Some("SHA256") => Hash::Sha256,
            Some(_) => return Err(Unsigned::Algorithm),
        };
        Ok(Presented {
            by,
            key: self.key.ok_or(Unsigned::Malformed)?,
            hash,
            policy,
            signature: self.signature.ok_or(Unsigned::Malformed)?,
        })
    }
}

/// Whether a parameter of a query belongs to a signature. Names are compared as sent: no escapes, and case counts.
#[must_use]
pub fn is_parameter(name: &str) -> bool {
    PARAMETERS.contains(&name)
}

/// The parameter that a cookie stands for.
#[must_use]
pub fn cookie_parameter(name: &str) -> Option<&str> {
    name.strip_prefix(COOKIE_PREFIX).filter(|name| is_parameter(name))
}

/// The pieces of a query that belong to no signature, as sent and in order.
pub fn without_parameters(query: &str) -> impl Iterator<Item = &str> {
    query
        .split('&')
        .filter(|piece| !is_parameter(piece.split_once('=').map_or(*piece, |(name, _)| name)))
}

/// A whole number written in the one usual way.
fn seconds(text: &str) -> Option<u64> {
    let usual = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| usual)
}

/// Decodes `CloudFront`'s base64, which stands in addresses as it is: `-` for `+`, `~` for `/`, `_` for the `=` at the end, all of it
/// there. Programs that pass addresses on write `~` as `%7E`, which means the same. At most `most` bytes.
fn decoded(text: &str, most: usize) -> Result<Vec<u8>, Unsigned> {
    let respelt = text
        .contains('%')
        .then(|| text.replace("%7E", "~").replace("%7e", "~"));
    let text = respelt.as_deref().unwrap_or(text);
    let body = text.strip_suffix('_').unwrap_or(text);
    let body = body.strip_suffix('_').unwrap_or(body);
    if text.is_empty() || !text.len().is_multiple_of(4) || body.len() / 4 * 3 > most {
        return Err(Unsigned::Malformed);
    }
    let bytes = base64()
        .and_then(|base64| base64.decode(body).ok())
        .filter(|bytes| bytes.len() <= most);
    bytes.ok_or(Unsigned::Malformed)
}

/// `None` only if its letters were not 64 different ones.
fn base64() -> Option<GeneralPurpose> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~";
    let alphabet = Alphabet::new(LETTERS).ok()?;
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);
    Some(GeneralPurpose::new(&alphabet, config))
}
