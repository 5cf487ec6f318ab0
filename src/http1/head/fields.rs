//! What the fields of a head say about framing and the connection, the same for both directions.

use http::{HeaderName, header};

use crate::fields::{Known, KnownSet, Received};

/// What was noted while the fields went by.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Noted {
    pub(super) content_length: Option<u64>,
    pub(super) transfer: Option<Transfer>,
    pub(super) hosts: usize,
    pub(super) connection: Connection,
    pub(super) expectation: Option<Expectation>,
    pub(super) takes_trailers: bool,
    pub(super) upgrades: usize,
}

/// The transfer codings of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// `chunked`, and nothing else.
    Chunked,
    /// Another that is known to some, or several.
    Unknown,
    /// A word that is nobody's coding, `identity` among them: it says nothing of the bytes.
    Unregistered,
}

impl Transfer {
    fn of(value: &[u8]) -> Self {
        const REGISTERED: [&[u8]; 6] = [
            b"chunked",
            b"compress",
            b"deflate",
            b"gzip",
            b"x-compress",
            b"x-gzip",
        ];
        let registered = || REGISTERED.iter().any(|coding| value.eq_ignore_ascii_case(coding));
        let spelt = || {
            value
                .to_ascii_lowercase()
                .windows(7)
                .any(|part| part == b"chunked")
        }; // someone may take it for that
        match value {
            value if value.eq_ignore_ascii_case(b"chunked") => Self::Chunked,
            value if is_token(value) && !registered() && !spelt() => Self::Unregistered,
            _ => Self::Unknown,
        }
    }
}

/// What a request expects before it sends its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation {
    /// `100-continue`.
    Continue,
    /// Anything else.
    Unknown,
}

/// The options of the `connection` field (RFC 9110 section 7.6.1).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    options: usize,
}

/// Options of a message's `connection`: each may take a field away, and a handful is all that anybody needs.
const CONNECTION_OPTIONS_MAX: usize = 32;

/// Notes where the fields of `head` lie, by its tokens, and what matters to framing.
///
/// # Errors
/// A fixed word for the first field that can't be.
pub(super) fn collect(
    head: &[u8],
    tokens: &[httparse::Header<'_>],
) -> Result<(Received, Noted), &'static str> {
    let mut received = Received::with_capacity(tokens.len());
    let mut noted = Noted::default();
    for token in tokens {
        let known = received
            .note(head, token.name.as_bytes(), token.value)
            .map_err(|()| "field-name")?;
        if let Some(known) = known
            && WEIGHED.has(known)
        {
            noted.note(known, token.value)?;
        }
    }
    Ok((received, noted))
}

/// What [`Noted::note`] looks at.
const WEIGHED: KnownSet = KnownSet::of(&[
    Known::HOST,
    Known::CONTENT_LENGTH,
    Known::TRANSFER_ENCODING,
    Known::CONNECTION,
    Known::EXPECT,
    Known::TE,
    Known::UPGRADE,
]);

impl Noted {
    fn note(&mut self, name: Known, value: &[u8]) -> Result<(), &'static str> {
        if name == Known::HOST {
            self.hosts += 1;
        } else if name == Known::CONTENT_LENGTH {
            let length = content_length(value).ok_or("content-length")?;
            if self.content_length.replace(length).is_some() {
                return Err("content-length-repeated");
            }
        } else if name == Known::TRANSFER_ENCODING {
            if self.transfer.replace(Transfer::of(value)).is_some() {
                return Err("transfer-encoding-repeated");
            }
        } else if name == Known::CONNECTION {
            self.connection.note(value)?;
        } else if name == Known::EXPECT {
            let known = value.eq_ignore_ascii_case(b"100-continue") && self.expectation.is_none();
            self.expectation = Some(if known {
                Expectation::Continue
            } else {
                Expectation::Unknown
            });
        } else if name == Known::TE {
            self.takes_trailers |= options(value).any(|option| option.eq_ignore_ascii_case(b"trailers"));
        } else if name == Known::UPGRADE {
            self.upgrades += 1;
        }
        Ok(())
    }
}

impl Connection {
    fn note(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for option in options(value) {
            self.options += 1;
            if !is_token(option) || self.options > CONNECTION_OPTIONS_MAX {
                return Err("connection-field");
            }
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }
}

/// Exactly `1*DIGIT` that fits 64 bits (RFC 9110 section 8.6): no list, no sign, no space.
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The members of a comma-separated list, without the empty ones.
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|option| !option.is_empty())
}

/// Whether `text` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Whether a field may not trail a body: it frames, routes or belongs to one connection (RFC 9110 section 6.5.1).
pub(crate) fn forbidden_in_trailers(name: &HeaderName) -> bool {
    const FORBIDDEN: [HeaderName; 16] = [
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_RANGE,
        header::CONTENT_TYPE,
        header::COOKIE,
        header::EXPECT,
        header::HOST,
        header::MAX_FORWARDS,
        header::PROXY_AUTHORIZATION,
        header::SET_COOKIE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    FORBIDDEN.contains(name) || *name == "keep-alive" || *name == "proxy-connection"
}
