//! One spelling for every path: what is judged, matched and forwarded is the canonical form, and what has two readings is refused.
//!
//! Sources: RFC 3986 sections 5.2.4 and 6.2.2, and the request targets that two servers in a row are known to read differently.

use std::borrow::Cow;

/// What happens to an escaped slash or backslash (`%2F`, `%5C`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedSlash {
    /// It is refused: servers disagree whether it separates segments.
    Refuse,
    /// It stays as it is, in upper case; the route's owner has said that the backend reads it as data.
    Keep,
}

/// Why a path is refused: it can be read in more than one way, or in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.sentence())]
pub enum Ambiguous {
    /// It doesn't start with `/`.
    Relative,
    /// `%2F`.
    EncodedSlash,
    /// `%5C`.
    EncodedBackslash,
    /// `\`.
    Backslash,
    /// A zero byte, raw or as `%00`.
    Nul,
    /// A control character, raw or escaped.
    Control,
    /// `#`, which never belongs into a request.
    Fragment,
    /// `%` without two hexadecimal digits.
    BadEscape,
    /// `.` or `..` that only appears after decoding.
    EncodedDots,
    /// `..` that leads above `/`.
    AboveRoot,
    /// `.;` or `..;`, which some servers read as a dot segment with a parameter.
    DotsParameter,
}

impl Ambiguous {
    /// One fixed word for logs, metrics and `Proxy-Status` details.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Relative => "relative_path",
            Self::EncodedSlash => "encoded_slash",
            Self::EncodedBackslash => "encoded_backslash",
            Self::Backslash => "backslash",
            Self::Nul => "nul",
            Self::Control => "control_character",
            Self::Fragment => "fragment",
            Self::BadEscape => "bad_escape",
            Self::EncodedDots => "encoded_dot_segment",
            Self::AboveRoot => "above_root",
            Self::DotsParameter => "dot_segment_parameter",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Relative => "the path doesn't start with `/`",
            Self::EncodedSlash => "the path holds `%2F`, which servers read in two ways",
            Self::EncodedBackslash => "the path holds `%5C`, which servers read in two ways",
            Self::Backslash => "the path holds a backslash, which some servers read as `/`",
            Self::Nul => "the path holds a zero byte",
            Self::Control => "the path holds a control character",
            Self::Fragment => "the path holds `#`, which isn't sent in requests",
            Self::BadEscape => "the path holds `%` without two hexadecimal digits",
            Self::EncodedDots => "the path holds `.` or `..` that only appears after decoding",
            Self::AboveRoot => "the path leads above `/`",
            Self::DotsParameter => "the path holds a dot segment followed by `;`",
        }
    }
}

/// Splits a path-and-query at the first `?`.
#[must_use]
pub fn split_target(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// Brings a path (no query) into its one canonical form.
///
/// `//` becomes `/`, then plain `.` and `..` segments are removed, escapes of unreserved characters are decoded once, other escapes
/// are written in upper case, and characters that RFC 3986 doesn't allow in a path are escaped. Borrowed, without
/// allocation, when `path` is canonical already; the canonical form of a canonical form is itself.
///
/// # Errors
/// [`Ambiguous`] when the path has more than one reading.
pub fn canonical(path: &str, encoded_slash: EncodedSlash) -> Result<Cow<'_, str>, Ambiguous> {
    let segments = path.strip_prefix('/').ok_or(Ambiguous::Relative)?;
    let mut left = segments.split('/').peekable();
    let mut as_it_is = true;
    while let Some(segment) = left.next() {
        let fine = match read(segment, encoded_slash)? {
            Reading::Empty => left.peek().is_none(),
            Reading::Canonical => true,
            Reading::Dot | Reading::DotDot | Reading::Respelt => false,
        };
        as_it_is &= fine;
    }
    if as_it_is {
        return Ok(Cow::Borrowed(path));
    }
    rebuild(segments, encoded_slash).map(Cow::Owned)
}

/// Whether a canonical path holds an escaped slash or backslash, which only routes that opted in may take.
#[must_use]
pub fn has_encoded_slash(canonical_path: &str) -> bool {
    canonical_path.contains("%2F") || canonical_path.contains("%5C")
}

/// What one segment is.
enum Reading {
    Empty,
    Canonical,
    Respelt,
    Dot,
    DotDot,
}

fn read(segment: &str, encoded_slash: EncodedSlash) -> Result<Reading, Ambiguous> {
    if segment.is_empty() {
        return Ok(Reading::Empty);
    }
    let mut respelt = false;
    let mut piece = Dots::default();
    let mut cut = false;
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let (value, escaped) = match byte {
            b'%' => {
                let (high, low) = (bytes.next(), bytes.next());
                let value = escape_value(high, low).ok_or(Ambiguous::BadEscape)?;
                let upper = |digit: Option<u8>| digit.is_some_and(|d| !d.is_ascii_lowercase());
                respelt |= is_unreserved(value) || !upper(high) || !upper(low);
                (value, true)
            }
            plain => {
                respelt |= !is_path_character(plain);
                (plain, false)
            }
        };
        refuse(value, escaped, encoded_slash)?;
        if escaped && matches!(value, b'/' | b'\\') {
            // kept as data here, but a backend that decodes it must not find a dot segment between two of them
            piece.hidden()?;
            piece = Dots::default();
            cut = true;
        } else {
            piece.take(value, escaped)?;
        }
    }
    if cut || piece.escaped {
        piece.hidden()?;
    }
    Ok(match piece.seen {
        Some(1) => Reading::Dot,
        Some(2) => Reading::DotDot,
        _ if respelt => Reading::Respelt,
        _ => Reading::Canonical,
    })
}

fn refuse(value: u8, escaped: bool, encoded_slash: EncodedSlash) -> Result<(), Ambiguous> {
    match value {
        0 => Err(Ambiguous::Nul),
        1..=0x1f | 0x7f => Err(Ambiguous::Control),
        b'#' if !escaped => Err(Ambiguous::Fragment),
        b'\\' if !escaped => Err(Ambiguous::Backslash),
        b'/' if escaped && encoded_slash == EncodedSlash::Refuse => Err(Ambiguous::EncodedSlash),
        b'\\' if encoded_slash == EncodedSlash::Refuse => Err(Ambiguous::EncodedBackslash),
        _ => Ok(()),
    }
}

/// Tells whether a piece of text is nothing but one or two dots.
struct Dots {
    /// How many dots, as long as nothing else was seen.
    seen: Option<u8>,
    escaped: bool,
}

impl Default for Dots {
    fn default() -> Self {
        Self {
            seen: Some(0),
            escaped: false,
        }
    }
}

impl Dots {
    fn take(&mut self, value: u8, escaped: bool) -> Result<(), Ambiguous> {
        self.seen = match (self.seen, value) {
            (Some(dots @ 0..=1), b'.') => {
                self.escaped |= escaped;
                Some(dots + 1)
            }
            (Some(1..=2), b';') => return Err(Ambiguous::DotsParameter),
            _ => None,
        };
        Ok(())
    }

    fn hidden(&self) -> Result<(), Ambiguous> {
        match self.seen {
            Some(1..=2) => Err(Ambiguous::EncodedDots),
            _ => Ok(()),
        }
    }
}

fn rebuild(segments: &str, encoded_slash: EncodedSlash) -> Result<String, Ambiguous> {
    let mut out = String::with_capacity(segments.len() + 1);
    let mut ends_open = false;
    for segment in segments.split('/') {
        ends_open = true;
        match read(segment, encoded_slash)? {
            Reading::Empty | Reading::Dot => {}
            Reading::DotDot => {
                let parent = out.rfind('/').ok_or(Ambiguous::AboveRoot)?;
                out.truncate(parent);
            }
            Reading::Canonical | Reading::Respelt => {
                out.push('/');
                respell(segment, &mut out);
                ends_open = false;
            }
        }
    }
    if ends_open {
        out.push('/');
    }
    Ok(out)
}

/// Writes a segment that [`read`] let through.
fn respell(segment: &str, out: &mut String) {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if is_path_character(byte) {
                out.push(char::from(byte));
            } else {
                push_escape(byte, out);
            }
        } else if let Some(value) = escape_value(bytes.next(), bytes.next()) {
            if is_unreserved(value) {
                out.push(char::from(value));
            } else {
                push_escape(value, out);
            }
        }
    }
}

fn push_escape(value: u8, out: &mut String) {
    out.push('%');
    for digit in [value >> 4, value & 15] {
        let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
        out.push(digit.to_ascii_uppercase());
    }
}

/// The value of an escape, from its two hexadecimal digits.
pub(super) fn escape_value(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 section 3.3, escapes aside.
fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
