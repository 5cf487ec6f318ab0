//! Values as TOML writes them, with what Banyan would replace in them kept as it is.

use std::fmt::Write as _;

/// A text. `${` is doubled up, or a value that came with a distribution could ask for a variable.
pub(super) fn text(value: &str) -> String {
    quoted(&value.replace("${", "$${"))
}

/// A text that is a variable's value.
pub(super) fn variable(name: &str) -> String {
    format!("\"${{{name}}}\"")
}

fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c)); // a String takes every write
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list of texts, on lines of their own when one line would be too long.
pub(super) fn list(values: &[String]) -> String {
    let texts: Vec<String> = values.iter().map(|value| text(value)).collect();
    format!("[{}]", texts.join(", "))
}

/// A list of statuses.
pub(super) fn statuses(values: &[u16]) -> String {
    let texts: Vec<String> = values.iter().map(u16::to_string).collect();
    format!("[{}]", texts.join(", "))
}

/// An inline table; values are written already.
pub(super) fn table(pairs: &[(String, String)]) -> String {
    let texts: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{} = {value}", self::key(key)))
        .collect();
    format!("{{ {} }}", texts.join(", "))
}

/// A key, bare where it may be.
pub(super) fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { name.to_owned() } else { quoted(name) }
}

/// Seconds as people write them: `"60s"`, `"10m"`, `"365d"`.
pub(super) fn duration(seconds: u64) -> String {
    let seconds = seconds.min(SECONDS_MAX);
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let fitting = units
        .iter()
        .find(|(unit, _)| seconds >= 2 * unit && seconds.is_multiple_of(*unit));
    match fitting {
        Some((unit, letter)) => format!("\"{}{letter}\"", seconds / unit),
        None => format!("\"{seconds}s\""),
    }
}

/// Ten years: no longer duration can be written, and none means more.
const SECONDS_MAX: u64 = 3_650 * 86_400;
