//! Who it is: a verified subject with roles, and how that is written into header fields for a backend.

use std::borrow::Cow;

use http::HeaderValue;

use super::source::Source;
use crate::clock::UnixTime;

/// Most bytes of a subject or a role. OpenID Connect Core section 2 allows 255 for a subject.
pub const NAME_BYTES_MAX: usize = 255;

/// Most roles told to a backend. The decision looks at all of them.
pub const ROLES_TOLD_MAX: usize = 64;

/// Most bytes of the field that tells roles to a backend. Roles that do not fit are left out, never cut.
pub const ROLES_TOLD_BYTES_MAX: usize = 4096;

/// Someone whose credential was found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The `sub`: never empty, without control characters, at most [`NAME_BYTES_MAX`] bytes.
    pub subject: String,
    /// Their roles, as the issuer says; each as constrained as `subject`.
    pub roles: Vec<String>,
    /// All claims about them, for flag rules and for what routes ask for (`scope`, `groups`, `acr`, `auth_time`, …).
    pub claims: serde_json::Value,
    /// When the credential's time is over.
    pub expires: UnixTime,
    /// What it was learnt from.
    pub source: Source,
}

impl Identity {
    /// An identity that nobody proved: for `explain` and the squads' tests, which ask "what if".
    #[must_use]
    pub fn pretended(subject: &str, roles: &[String]) -> Self {
        Self {
            subject: subject.to_owned(),
            roles: roles.to_vec(),
            claims: serde_json::json!({ "sub": subject, "roles": roles }),
            expires: UnixTime { millis: u64::MAX },
            source: Source::Bearer,
        }
    }

    /// The value of `Banyan-User`: the subject, with [`escape`].
    #[must_use]
    pub fn user_field(&self) -> HeaderValue {
        field(&escape(&self.subject))
    }

    /// The value of `Banyan-Roles`: the roles with [`escape`], joined by `, `; `None` without roles.
    #[must_use]
    pub fn roles_field(&self) -> Option<HeaderValue> {
        let mut text = String::new();
        for role in self.roles_told() {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&escape(role));
        }
        (!text.is_empty()).then(|| field(&text))
    }

    /// The roles that backends are told: the first ones that fit.
    pub(super) fn roles_told(&self) -> impl Iterator<Item = &str> {
        let mut room = ROLES_TOLD_BYTES_MAX;
        self.roles.iter().take(ROLES_TOLD_MAX).map_while(move |role| {
            room = room.checked_sub(escape(role).len() + 2)?;
            Some(role.as_str())
        })
    }
}

/// Whether a text can be a subject or a role.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Percent-encodes (RFC 3986 section 2.1) every byte that is not visible ASCII, and those of `% , ; " \`,
/// so that a name can't become two in a list and can be read back exactly.
#[must_use]
pub fn escape(text: &str) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b',' | b';' | b'"' | b'\\') {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push(digit(byte >> 4));
            escaped.push(digit(byte & 0x0f));
        }
    }
    escaped
}

fn field(escaped: &str) -> HeaderValue {
    // `escape` leaves visible ASCII only, so this is always a field value.
    HeaderValue::try_from(escaped).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Whether a field is Banyan's own and so never taken from a client: `banyan-*`, in any case, and with any other character for `-`,
/// since many backends read both as one (CVE-2025-64484).
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    const PREFIX: &[u8] = b"banyan-";
    name.bytes()
        .map(fold)
        .take(PREFIX.len())
        .eq(PREFIX.iter().copied())
}

/// A field's name as the most forgiving backend reads it: in small letters, and with `-` for every character that is no letter or digit.
#[must_use]
pub fn fold_name(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte == fold(byte)) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.bytes().map(|byte| char::from(fold(byte))).collect())
}

const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}
