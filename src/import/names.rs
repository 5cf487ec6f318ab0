//! Names for squads, backends, key groups and variables, made of what others called them.

use std::collections::BTreeSet;

use crate::name::NAME_BYTES_MAX;

/// Names that are taken, so that no two things get the same.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    /// A name made of `text` that nothing has yet.
    pub(super) fn claim(&mut self, text: &str, otherwise: &str) -> String {
        let plain = name_of(text, otherwise);
        let mut name = plain.clone();
        let mut number = 2;
        while !self.taken.insert(name.clone()) {
            let tail = format!("-{number}");
            let room = NAME_BYTES_MAX.saturating_sub(tail.len());
            name = format!("{}{tail}", plain.get(..room).unwrap_or(&plain)); // names are ASCII
            number += 1;
        }
        name
    }
}

/// `text` as a name: lower case, with `-` for what no name has.
fn name_of(text: &str, otherwise: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' && !name.is_empty() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == NAME_BYTES_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { otherwise } else { name }.to_owned()
}

/// `parts` as the name of a variable: `X_ORIGIN_VERIFY`.
pub(super) fn variable(parts: &[&str]) -> String {
    let mut name = String::new();
    for c in parts.join("_").chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_uppercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// `text` for a comment or a terminal: one line, without control characters, and not without end.
pub(super) fn plain(text: &str) -> String {
    let mut plain: String = text
        .chars()
        .map(|c| if is_odd(c) { ' ' } else { c })
        .take(PLAIN_CHARS_MAX)
        .collect();
    if text.chars().nth(PLAIN_CHARS_MAX).is_some() {
        plain.push('…');
    }
    plain
}

/// Control characters, and those that turn the direction of what stands around them.
fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A pattern has 255 characters, and an ARN is not longer.
const PLAIN_CHARS_MAX: usize = 300;
