//! Blots literal secrets out of a file's text, so that a quoted line never shows one.

use std::{ops::Range, sync::Arc};

/// `text` with the string behind every key that looks like a secret's name replaced by stars, byte for byte.
///
/// A value that is only a `${VARIABLE}` stays: the name is what the reader needs, and the value isn't in the file.
pub(super) fn mask_secrets(text: &Arc<str>) -> Arc<str> {
    mask_values(&mask_users(text))
}

/// `://user:password@` in an address.
fn mask_users(text: &Arc<str>) -> Arc<str> {
    let mut out = String::new();
    let mut kept = 0;
    for (at, found) in text.match_indices("://") {
        let start = at + found.len();
        let rest = text.get(start..).unwrap_or_default();
        let length = rest.find(['/', '"', '\'', '\n', ' ']).unwrap_or(rest.len());
        let user = rest
            .get(..length)
            .and_then(|authority| authority.rfind('@'))
            .unwrap_or(0);
        if user > 0 && start >= kept {
            out.push_str(text.get(kept..start).unwrap_or_default());
            out.push_str(&"*".repeat(user));
            kept = start + user;
        }
    }
    if kept == 0 {
        return Arc::clone(text);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Arc::from(out)
}

fn mask_values(text: &Arc<str>) -> Arc<str> {
    let backends = backends(text);
    let mut out = String::new();
    let mut kept = 0;
    let mut from = 0;
    while let Some(equals) = text
        .get(from..)
        .and_then(|rest| rest.find('='))
        .map(|at| at + from)
    {
        from = equals + 1;
        let key = key_before(text, equals);
        let is_plain = |part: &Part| {
            (part.is_of_health && HEALTH_KEYS.contains(&key))
                || (part.is_of_versions && VERSION_KEYS.contains(&key))
        };
        let is_inside = |part: &&Part| part.is_inside(text, equals);
        let part = backends.iter().find(is_inside);
        if !names_a_secret(key) && part.is_none_or(is_plain) {
            continue;
        }
        let Some((start, end)) = string_after(text, equals + 1) else {
            continue;
        };
        let value = text.get(start..end).unwrap_or_default();
        if !is_variable(value) {
            out.push_str(text.get(kept..start).unwrap_or_default());
            out.extend(value.chars().flat_map(|c| match c {
                '\n' | '\r' => std::iter::repeat_n(c, 1),
                other => std::iter::repeat_n('*', other.len_utf8()),
            }));
            kept = end;
        }
        from = end;
    }
    if kept == 0 {
        return Arc::clone(text);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Arc::from(out)
}

/// Texts inside the `health` table of a backend's table that are no secrets. All others there are values of `headers`, or would be if its
/// name were not misspelt.
const HEALTH_KEYS: [&str; 4] = ["path", "status", "interval", "timeout"];

/// As [`HEALTH_KEYS`], for `versions` and `sticky`.
const VERSION_KEYS: [&str; 6] = ["name", "state", "header", "query", "path", "stay"];

/// A line about backends.
struct Part {
    line: Range<usize>,
    /// How deep its table is: 2 for `[backends.web]`.
    depth: usize,
    /// It speaks of health checks.
    is_of_health: bool,
    /// It speaks of versions: their tables, or a table in a list, as headers are never written.
    is_of_versions: bool,
}

impl Part {
    /// Whether the value behind `equals` is in a table inside a backend's table: `backends.web.headers.X`.
    fn is_inside(&self, text: &str, equals: usize) -> bool {
        let before = || text.get(self.line.start..equals).unwrap_or_default();
        self.line.contains(&equals) && self.depth + depth(before()) > 3
    }
}

/// Lines about backends: from a `[backends.…]` to the next table, and those that begin with `backends` before any.
fn backends(text: &str) -> Vec<Part> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut table: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let here = at..at + line.len();
        at = here.end;
        let begin = line.trim();
        if begin.starts_with('[') && begin.ends_with(']') && !begin.contains(',') {
            table = Some(begin.trim_matches(['[', ']']));
        }
        if table.unwrap_or(begin).trim_start().starts_with("backends") {
            found.push(Part {
                line: here,
                depth: table.map_or(0, depth),
                is_of_health: table.is_some_and(|table| table.contains("health")) || begin.contains("health"),
                is_of_versions: table.is_some_and(speaks_of_versions)
                    || ["{", "versions", "sticky"]
                        .iter()
                        .any(|word| begin.starts_with(word)),
            });
        }
    }
    found
}

fn speaks_of_versions(table: &str) -> bool {
    table.ends_with(".versions") || table.ends_with(".sticky")
}

/// How many names lead to the last key of `text`, through dots and inline tables.
fn depth(text: &str) -> usize {
    let (mut open, mut here) = (Vec::new(), 1);
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(mark), _) => quote = (c != mark).then_some(mark),
            (None, '"' | '\'') => quote = Some(c),
            (None, '.') => here += 1,
            (None, '{') => open.push(std::mem::replace(&mut here, 1)),
            (None, '}') => here = open.pop().unwrap_or(1),
            (None, ',') => here = 1,
            (None, _) => {}
        }
    }
    open.iter().sum::<usize>() + here
}

fn key_before(text: &str, equals: usize) -> &str {
    let before = text
        .get(..equals)
        .unwrap_or_default()
        .trim_end_matches([' ', '\t', '"', '\'']);
    let start = before
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        .map_or(0, |at| {
            at + before
                .get(at..)
                .and_then(|rest| rest.chars().next())
                .map_or(1, char::len_utf8)
        });
    before.get(start..).unwrap_or_default()
}

/// Also a misspelt one: its line is quoted as an unknown key.
fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secret", "password", "passwd", "private_key", "token"]
        .iter()
        .any(|word| key.contains(word))
        || ["secret", "client_secret"]
            .iter()
            .any(|word| strsim::osa_distance(word, &key) <= 2)
}

/// Inside of the quotes; a string that never ends goes to the end of its line.
fn string_after(text: &str, from: usize) -> Option<(usize, usize)> {
    let rest = text.get(from..)?;
    let start = from + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
    let value = text.get(start..)?;
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| value.starts_with(quote))?;
    let inside = start + quote.len();
    let body = text.get(inside..)?;
    let stop = if quote.len() == 3 {
        body.len()
    } else {
        body.find('\n').unwrap_or(body.len())
    };
    let mut at = 0;
    while at < stop {
        let here = body.get(at..stop)?;
        if here.starts_with(quote) {
            return Some((inside, inside + at));
        }
        let escaped = quote.starts_with('"') && here.starts_with('\\');
        at += here
            .chars()
            .take(if escaped { 2 } else { 1 })
            .map(char::len_utf8)
            .sum::<usize>();
    }
    Some((inside, inside + stop))
}

fn is_variable(value: &str) -> bool {
    value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}
