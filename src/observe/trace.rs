//! Trace context (W3C) and request ids: what is taken over from a client, what is minted, what a backend is told.

use std::fmt;

use http::HeaderValue;

use crate::fields::{Fields, Known, Value};

/// Members that a tracestate may have (Trace Context section 3.3.1.1).
const TRACESTATE_MEMBERS_MAX: usize = 32;
/// Bytes of a tracestate that are passed on: all members at their largest would be 16 KiB, section 3.3.1.5 asks for 512.
const TRACESTATE_BYTES_MAX: usize = 2048;
/// Bytes of a request id that is taken over from a trusted peer.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bytes of a traceparent (section 3.2.2).
pub const TRACEPARENT_BYTES: usize = 55;

/// "Record this trace" and "its id is random" (Trace Context level 2, section 3.2.2.5).
const FLAG_SAMPLED: u8 = 0x01;
const FLAG_RANDOM: u8 = 0x02;

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $type([u8; $bytes]);

        impl $type {
            /// An id from random bytes. All zeros means "none" in a traceparent, so then the last bit is set.
            #[must_use]
            pub fn from_random(mut bytes: [u8; $bytes]) -> Self {
                if bytes == [0; $bytes]
                    && let Some(last) = bytes.last_mut()
                {
                    *last = 1;
                }
                Self(bytes)
            }

            /// Its lower-case hexadecimal digits.
            #[must_use]
            pub fn hex(&self) -> [u8; $bytes * 2] {
                hex(&self.0)
            }

            fn parse(digits: &[u8]) -> Option<Self> {
                let mut bytes = [0; $bytes];
                read_hex(digits, &mut bytes)?;
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A whole trace's id. Never zero.
    TraceId,
    16
);
id!(
    /// One span's id. Never zero.
    SpanId,
    8
);

/// Where an exchange stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// The caller's span; absent when the trace begins here.
    pub parent: Option<SpanId>,
    /// Our span, the parent of the backend's.
    pub span: SpanId,
    /// Trace flags: only the two bits that are defined.
    pub flags: u8,
}

impl Trace {
    /// Continues the trace of a request, or begins one when it brings none that is valid.
    ///
    /// `trace` and `span` are random; `trace` is used only when one begins. A begun trace is marked as sampled: Banyan does not
    /// choose which traces a company keeps, and the mark leaves the choice to the services behind.
    #[must_use]
    pub fn follow(headers: &Fields, trace: impl FnOnce() -> [u8; 16], span: [u8; 8]) -> Self {
        let span = SpanId::from_random(span);
        match only(headers, Known::TRACEPARENT).and_then(|value| parse(value.as_bytes())) {
            Some((id, parent, flags)) => Self {
                id,
                parent: Some(parent),
                span,
                flags,
            },
            None => Self {
                id: TraceId::from_random(trace()),
                parent: None,
                span,
                flags: FLAG_SAMPLED | FLAG_RANDOM,
            },
        }
    }

    /// The `traceparent` that a backend is given.
    #[must_use]
    pub fn traceparent(&self) -> [u8; TRACEPARENT_BYTES] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let flags: [u8; 2] = hex(&[self.flags]);
        let fields: [(usize, &[u8]); 3] = [(3, &self.id.hex()), (36, &self.span.hex()), (53, &flags)];
        for (at, digits) in fields {
            if let Some(place) = text.get_mut(at..at + digits.len()) {
                place.copy_from_slice(digits);
            }
        }
        text
    }

    /// The `tracestate` that a backend is given: the client's, if the trace goes on and all of it is well-formed.
    #[must_use]
    pub fn tracestate(&self, headers: &Fields) -> Option<HeaderValue> {
        self.parent?;
        let mut values = headers.get_all(Known::TRACESTATE);
        let first = values.next()?;
        let Some(second) = values.next() else {
            return is_tracestate(first.as_bytes())
                .then(|| HeaderValue::from_bytes(first.as_bytes()).ok())
                .flatten();
        };
        let mut whole = first.as_bytes().to_vec();
        for value in std::iter::once(second).chain(values) {
            whole.push(b',');
            whole.extend_from_slice(value.as_bytes());
            if whole.len() > TRACESTATE_BYTES_MAX {
                return None;
            }
        }
        is_tracestate(&whole)
            .then(|| HeaderValue::from_bytes(&whole).ok())
            .flatten()
    }
}

/// A field's value, if it is there exactly once.
fn only(headers: &Fields, name: Known) -> Option<Value<'_>> {
    let mut values = headers.get_all(name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Trace, parent and flags of a traceparent (Trace Context section 3.2); versions after 00 may be longer.
fn parse(text: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (known, more) = text.split_at_checked(55)?;
    let mut version = [0];
    read_hex(known.get(..2)?, &mut version)?;
    let follows = match version {
        [0xff] => false,
        [0] => more.is_empty(),
        _ => more.is_empty() || more.first() == Some(&b'-'),
    };
    let dashes = [2, 35, 52].into_iter().all(|at| known.get(at) == Some(&b'-'));
    if !follows || !dashes {
        return None;
    }
    let id = TraceId::parse(known.get(3..35)?)?;
    let parent = SpanId::parse(known.get(36..52)?)?;
    let mut flags = [0];
    read_hex(known.get(53..)?, &mut flags)?;
    let [flags] = flags;
    Some((id, parent, flags & (FLAG_SAMPLED | FLAG_RANDOM)))
}

fn is_tracestate(text: &[u8]) -> bool {
    let members = text.split(|byte| *byte == b',').map(trim);
    text.len() <= TRACESTATE_BYTES_MAX
        && members.clone().filter(|member| !member.is_empty()).count() <= TRACESTATE_MEMBERS_MAX
        && members.clone().any(|member| !member.is_empty())
        && members
            .into_iter()
            .all(|member| member.is_empty() || is_member(member))
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `key=value` (Trace Context level 2, section 3.3.1.3).
fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|byte| *byte == b'=') else {
        return false;
    };
    let (key, value) = member.split_at(at);
    let value = value.get(1..).unwrap_or_default();
    let key_byte = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(byte);
    let starts = key
        .first()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let one_at_sign = key.iter().filter(|byte| **byte == b'@').count() <= 1;
    let value_byte = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    starts
        && one_at_sign
        && key.len() <= 256
        && key.iter().all(key_byte)
        && (1..=256).contains(&value.len())
        && value.iter().all(value_byte)
}

/// A request id that a trusted peer sent, if it is sane: 1 to 128 bytes that need no quoting anywhere.
#[must_use]
pub fn request_id(headers: &Fields) -> Option<HeaderValue> {
    let value = only(headers, Known::X_REQUEST_ID)?;
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=~@".contains(byte);
    ((1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().all(sane))
        .then(|| HeaderValue::from_bytes(value.as_bytes()).ok())
        .flatten()
}

/// A new request id: 32 hexadecimal digits of 16 random bytes.
#[must_use]
pub fn mint_request_id(random: [u8; 16]) -> [u8; 32] {
    hex(&random)
}

/// Lower-case digits. Without a branch, so that the compiler makes sixteen at once.
fn hex<const BYTES: usize, const DIGITS: usize>(bytes: &[u8; BYTES]) -> [u8; DIGITS] {
    const fn digit(nibble: u8) -> u8 {
        b'0' + nibble + if nibble > 9 { b'a' - b'9' - 1 } else { 0 }
    }
    const { assert!(DIGITS == 2 * BYTES) }
    let mut digits = [0; DIGITS];
    let (pairs, _) = digits.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    digits
}

/// Lower-case digits only, exactly two for each byte.
fn read_hex(digits: &[u8], to: &mut [u8]) -> Option<()> {
    const fn value(digit: u8) -> Option<u8> {
        match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        }
    }
    if digits.len() != to.len() * 2 {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(to) {
        let [high, low] = pair else { return None };
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(())
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
