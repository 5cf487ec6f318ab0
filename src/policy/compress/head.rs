//! What becomes of an answer's fields when its body is compressed, or would be for somebody else.

use http::HeaderMap;

use super::{Asked, Compression, Encoding};
use crate::fields::{Fields, Known, Value};

/// Says that the answer depends on `Accept-Encoding` (RFC 9110 section 12.5.5).
pub fn vary(fields: &mut Fields) {
    if !varies(fields) {
        fields.append(Known::VARY, "Accept-Encoding");
    }
}

fn varies(fields: &Fields) -> bool {
    let values = fields.get_all(Known::VARY).map(Value::as_bytes);
    let names = values.flat_map(|value| value.split(|byte| *byte == b','));
    names
        .map(<[u8]>::trim_ascii)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
}

/// Names the encoding, and takes away what was said of the bytes before.
pub fn encode(fields: &mut Fields, encoding: Encoding) {
    fields.remove(Known::CONTENT_LENGTH);
    fields.remove(Known::ACCEPT_RANGES); // ranges would be of other bytes
    for name in DIGESTS {
        fields.remove(name);
    }
    weaken(fields);
    fields.insert(Known::CONTENT_ENCODING, encoding.as_str());
}

/// Fits a 304 to the answer that the client has: that one was compressed if its validator was weakened here, and a cache takes
/// no news about it from a strong one (RFC 9111 section 4.3.4).
pub fn freshen(fields: &mut Fields, asked: &Asked, compression: &Compression) {
    let tag = fields.get(Known::ETAG).map(Value::as_bytes).unwrap_or_default();
    let (known, list) = (tag_of(tag), asked.weak_tags.as_deref().unwrap_or_default());
    let weakened = known == Some((Strength::Strong, tag))
        && has_tag(list, Strength::Weak, tag)
        && !has_tag(list, Strength::Strong, tag);
    if weakened {
        weaken(fields);
    }
    if weakened || compression.types.take(fields) {
        vary(fields);
    }
}

/// Takes out of trailers what was said of the bytes before (RFC 9530 allows it there).
pub fn strip_digests(trailers: &mut HeaderMap) {
    for name in DIGESTS {
        trailers.remove(name);
    }
}

/// Digests are of the encoded bytes: RFC 9530, RFC 3230, RFC 1864.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// The bytes are others now, the meaning is the same: a strong validator becomes a weak one (RFC 9110 section 8.8.1). What is
/// none goes.
fn weaken(fields: &mut Fields) {
    fields.rewrite(Known::ETAG, |tag, out| match tag_of(tag) {
        Some((_, opaque)) if tag == opaque || tag.strip_prefix(b"W/") == Some(opaque) => {
            out.extend_from_slice(b"W/");
            out.extend_from_slice(opaque);
        }
        _ => {}
    });
}

/// How much a validator promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strength {
    /// The same bytes.
    Strong,
    /// The same meaning.
    Weak,
}

/// The entity tag that `text` begins with, its quotes included.
fn tag_of(text: &[u8]) -> Option<(Strength, &[u8])> {
    let (strength, rest) = match text.strip_prefix(b"W/") {
        Some(rest) => (Strength::Weak, rest),
        None => (Strength::Strong, text),
    };
    let inside = rest.strip_prefix(b"\"")?;
    let length = inside.iter().position(|byte| *byte == b'"')?;
    let valid = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    if !inside.get(..length)?.iter().all(valid) {
        return None;
    }
    Some((strength, rest.get(..length + 2)?))
}

/// Whether `tag` is in a list of entity tags, with that strength.
fn has_tag(list: &[u8], strength: Strength, tag: &[u8]) -> bool {
    let mut rest = list;
    loop {
        while let [b' ' | b'\t' | b',', others @ ..] = rest {
            rest = others;
        }
        let Some(found) = tag_of(rest) else {
            return false;
        };
        if found == (strength, tag) {
            return true;
        }
        let length = found.1.len() + if found.0 == Strength::Weak { 2 } else { 0 };
        rest = rest.get(length..).unwrap_or_default();
    }
}
