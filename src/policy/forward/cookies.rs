//! Which of a visitor's cookies pass: whole, sorted by name, in one field, as CloudFront sends them.

use smallvec::SmallVec;

use super::Which;
use crate::fields::{Fields, Known};

/// Cookies of a request that need no allocation to be sorted.
const COOKIES_INLINE: usize = 24;

/// Bytes of a `Cookie` field that need no allocation to be put together.
const BYTES_INLINE: usize = 1024;

/// The cookies of a request as they came, each with its name: what lies between two `;`, blanks around it aside.
///
/// What has no `=` is a name to some servers and a value to others; here it is a name, so that a list decides about it.
pub(super) fn cookies(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> {
    let values = fields.get_all(Known::COOKIE);
    let pieces = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pieces
        .map(<[u8]>::trim_ascii)
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let name = piece.split(|byte| *byte == b'=').next().unwrap_or_default();
            (name.trim_ascii_end(), piece)
        })
}

/// Takes the cookies away that don't pass. Cookies of one name stay in the order in which they came, which tells what they are for
/// (RFC 6265 section 5.4).
pub(super) fn keep(which: &Which, fields: &mut Fields) {
    match which {
        Which::All => return,
        _ if !fields.contains_key(Known::COOKIE) => return,
        Which::Nothing => return fields.remove(Known::COOKIE),
        Which::Only(_) | Which::Except(_) => {}
    }
    let passing = cookies(fields).filter(|(name, _)| which.lets(|names| names.has(name)));
    let mut kept: SmallVec<[(&[u8], &[u8]); COOKIES_INLINE]> = passing.collect();
    kept.sort_by_key(|(name, _)| *name);
    let mut text: SmallVec<[u8; BYTES_INLINE]> = SmallVec::new();
    for (_, cookie) in kept {
        if !text.is_empty() {
            text.extend_from_slice(b"; ");
        }
        text.extend_from_slice(cookie);
    }
    if text.is_empty() {
        fields.remove(Known::COOKIE);
    } else {
        fields.insert(Known::COOKIE, &text);
    }
}
