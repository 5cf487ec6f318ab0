//! Which request fields an answer depends on, and whether two requests agree on them (RFC 9111 section 4.1).

use std::borrow::Cow;

use super::store::Selected;
use crate::fields::{Fields, Key, Known, Value};

/// Codings that are told apart; for any other a client gets what the backend makes of `identity`.
const CODINGS: [&str; 3] = ["br", "gzip", "zstd"];

/// Whether `Vary` has a `*`: no request is ever like another.
#[must_use]
pub fn has_star(fields: &Fields) -> bool {
    names(fields).any(|name| name == "*")
}

fn names(fields: &Fields) -> impl Iterator<Item = Cow<'_, str>> {
    let values = fields.get_all(Known::VARY).map(Value::as_bytes);
    let names = values.flat_map(|value| value.split(|byte| *byte == b','));
    names
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .map(String::from_utf8_lossy)
}

/// What of `request` an answer with `fields` was chosen by. An answer that is encoded depends on `Accept-Encoding`, whether it says
/// so or not.
#[must_use]
pub fn selected(fields: &Fields, request: &Fields) -> Selected {
    let mut names: Vec<String> = names(fields).map(|name| name.to_ascii_lowercase()).collect();
    if fields.contains_key(Known::CONTENT_ENCODING) {
        names.push(Known::ACCEPT_ENCODING.as_str().to_owned());
    }
    names.sort_unstable();
    names.dedup();
    let with_values = names.into_iter().map(|name| {
        let value = value(request, &name);
        (name.into_boxed_str(), value)
    });
    with_values.collect()
}

/// Whether `request` has what another had.
#[must_use]
pub fn matches(selected: &Selected, request: &Fields) -> bool {
    selected
        .iter()
        .all(|(name, wanted)| value(request, name).as_deref() == wanted.as_deref())
}

/// What `request` has for the fields that another answer depends on, as parts of a key.
#[must_use]
pub fn parts(selected: &Selected, request: &Fields) -> Vec<Vec<u8>> {
    let mut parts = Vec::with_capacity(selected.len() * 2);
    for (name, _) in selected {
        parts.push(name.as_bytes().to_vec());
        let mut told = vec![0];
        if let Some(value) = value(request, name) {
            told.push(1);
            told.extend_from_slice(&value);
        }
        parts.push(told);
    }
    parts
}

/// A field's value in the form in which equal meanings are equal: lines joined, no blanks around commas, languages in lower case and,
/// where none is liked better, in order.
fn value(request: &Fields, name: &str) -> Option<Box<[u8]>> {
    if !request.contains_key(name) {
        return None;
    }
    let lines = request.get_all(name).map(Value::as_bytes);
    let members = lines.flat_map(|line| line.split(|byte| *byte == b','));
    let mut members: Vec<Cow<'_, [u8]>> = members.map(|member| Cow::Borrowed(member.trim_ascii())).collect();
    if name.known() == Some(Known::ACCEPT_LANGUAGE) {
        for member in &mut members {
            *member = Cow::Owned(member.to_ascii_lowercase());
        }
        if !members.iter().any(|member| member.contains(&b';')) {
            members.sort_unstable();
        }
    }
    Some(members.join(&b","[..]).into_boxed_slice())
}

/// `Accept-Encoding` as the backend gets it, so that the many ways in which browsers write it are few answers.
#[must_use]
pub fn accept_encoding(request: &Fields) -> String {
    let mut liked = [false; CODINGS.len()];
    let lines = request
        .get_all(Known::ACCEPT_ENCODING)
        .filter_map(|value| value.to_str().ok());
    for member in lines.flat_map(|line| line.split(',')) {
        let mut parts = member.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let refused = parts.any(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            weight.is_some_and(|q| q.bytes().all(|byte| matches!(byte, b'0' | b'.')))
        });
        for (liked, known) in liked.iter_mut().zip(CODINGS) {
            *liked |= coding.eq_ignore_ascii_case(known) && !refused;
        }
    }
    let named: Vec<&str> = CODINGS
        .iter()
        .zip(liked)
        .filter_map(|(coding, liked)| liked.then_some(*coding))
        .collect();
    if named.is_empty() {
        "identity".to_owned()
    } else {
        named.join(", ")
    }
}
