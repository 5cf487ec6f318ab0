//! Reads `Cookie` fields without copying, and takes Banyan's own cookies out of them.

use http::{HeaderMap, HeaderValue, header::COOKIE, header::Entry};

/// How every cookie of Banyan's begins: the visitor's, the gate's session, overrides.
pub const OWN_PREFIX: &str = "__Host-banyan";

/// The cookies of a request, name and value, in the order sent. Nothing is decoded, quotes stay.
///
/// Pieces without `=` and pieces that aren't UTF-8 are passed over: no cookie that Banyan or a rule asks for looks
/// like that (RFC 6265 section 4.2.1).
pub fn cookies(headers: &HeaderMap) -> Cookies<'_> {
    Cookies {
        fields: headers.get_all(COOKIE).into_iter(),
        rest: &[],
    }
}

/// Iterator over the cookies of a request; made by [`cookies`].
#[derive(Debug)]
pub struct Cookies<'h> {
    fields: http::header::ValueIter<'h, HeaderValue>,
    rest: &'h [u8],
}

impl<'h> Iterator for Cookies<'h> {
    type Item = (&'h str, &'h str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.rest.is_empty() {
                self.rest = self.fields.next()?.as_bytes();
            }
            let (piece, rest) = split_piece(self.rest);
            self.rest = rest;
            if let Some(pair) = pair(piece) {
                return Some(pair);
            }
        }
    }
}

/// Removes every cookie whose name begins with [`OWN_PREFIX`], in any case, from the `Cookie` fields; the others stay
/// byte for byte and in order, and a field that ends up empty goes. Allocates only when there is something to remove.
///
/// A piece without `=` counts as a name, since some servers read it as one.
pub fn remove_own_cookies(headers: &mut HeaderMap) {
    let has_own = |value: &HeaderValue| pieces(value.as_bytes()).any(is_own);
    if !headers.get_all(COOKIE).iter().any(has_own) {
        return;
    }
    let mut any_empty = false;
    if let Entry::Occupied(mut fields) = headers.entry(COOKIE) {
        for value in fields.iter_mut().filter(|value| has_own(value)) {
            *value = without_own(value);
            any_empty |= value.is_empty();
        }
    }
    if any_empty {
        let kept: Vec<HeaderValue> = headers
            .get_all(COOKIE)
            .iter()
            .filter(|value| !value.is_empty())
            .cloned()
            .collect();
        headers.remove(COOKIE);
        for value in kept {
            headers.append(COOKIE, value);
        }
    }
}

/// The first piece of a `Cookie` field and what follows its `;`.
fn split_piece(field: &[u8]) -> (&[u8], &[u8]) {
    let end = field.iter().position(|&byte| byte == b';').unwrap_or(field.len());
    let (piece, rest) = field.split_at_checked(end).unwrap_or((field, &[]));
    (piece, rest.get(1..).unwrap_or(&[]))
}

fn pieces(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|&byte| byte == b';')
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

fn without_own(value: &HeaderValue) -> HeaderValue {
    let mut kept: Vec<u8> = Vec::with_capacity(value.len());
    for piece in pieces(value.as_bytes()).filter(|piece| !is_own(piece)) {
        if kept.is_empty() {
            kept.extend_from_slice(piece.trim_ascii_start());
        } else {
            kept.push(b';');
            kept.extend_from_slice(piece);
        }
    }
    // Every byte was in a valid value before, so this can't fail; were it to, no cookie is the safe answer.
    let mut left = HeaderValue::from_bytes(&kept).unwrap_or(HeaderValue::from_static(""));
    left.set_sensitive(value.is_sensitive());
    left
}
