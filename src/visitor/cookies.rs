//! Reads `Cookie` fields without copying, and takes Banyan's own cookies out of them.

use memchr::memchr;

use crate::fields::{Fields, Known, Value};

/// How every cookie of Banyan's begins: the visitor's, the gate's session, overrides.
pub const OWN_PREFIX: &str = "__Host-banyan";

/// The cookies of a request, name and value, in the order sent. Nothing is decoded, quotes stay.
///
/// Pieces without `=` and pieces that aren't UTF-8 are passed over: no cookie that Banyan or a rule asks for looks
/// like that (RFC 6265 section 4.2.1).
pub fn cookies(headers: &Fields) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(Known::COOKIE)
        .flat_map(|field| pieces(field.as_bytes()).filter_map(pair))
}

/// Removes every cookie whose name begins with [`OWN_PREFIX`], in any case, from the `Cookie` fields; the others stay
/// byte for byte and in order, and a field that ends up empty goes.
///
/// A piece without `=` counts as a name, since some servers read it as one.
pub fn remove_own_cookies(headers: &mut Fields) {
    let has_own = |value: Value<'_>| pieces(value.as_bytes()).any(is_own);
    if headers.get_all(Known::COOKIE).any(has_own) {
        headers.rewrite(Known::COOKIE, |value, kept| {
            if pieces(value).any(is_own) {
                without_own(value, kept);
            } else {
                kept.extend_from_slice(value);
            }
        });
    }
}

/// The pieces between the `;` of a `Cookie` field.
fn pieces(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let left = rest?;
        let Some((piece, after)) = memchr(b';', left).and_then(|at| left.split_at_checked(at)) else {
            rest = None;
            return Some(left);
        };
        rest = after.get(1..);
        Some(piece)
    })
}

fn pair(piece: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = str::from_utf8(piece).ok()?.split_once('=')?;
    let blank = |c: char| c == ' ' || c == '\t';
    Some((name.trim_matches(blank), value.trim_matches(blank)))
}

fn is_own(piece: &[u8]) -> bool {
    piece
        .trim_ascii_start()
        .get(..OWN_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX.as_bytes()))
}

/// Writes a field's cookies but our own. Nothing, if there are no others.
fn without_own(value: &[u8], kept: &mut Vec<u8>) {
    let begin = kept.len();
    for piece in pieces(value).filter(|piece| !is_own(piece)) {
        if kept.len() == begin {
            kept.extend_from_slice(piece.trim_ascii_start());
        } else {
            kept.push(b';');
            kept.extend_from_slice(piece);
        }
    }
}
