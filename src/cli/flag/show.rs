//! Answers about flags as people read them in a terminal.

use std::fmt::Write;

use serde_json::Value;

/// A line for each flag.
pub(super) fn list(told: &Value) -> String {
    let flags = list_of(told, "flags");
    let width = flags
        .iter()
        .map(|flag| text(flag, "key").len())
        .max()
        .unwrap_or_default();
    let mut shown = String::new();
    for flag in flags {
        let (key, state) = (text(flag, "key"), text(flag, "state"));
        let _ = writeln!(shown, "{key:width$}  {state:8}  {}", shares(flag));
    }
    shown
}

/// One flag.
pub(super) fn one(flag: &Value) -> String {
    let mut shown = String::new();
    let lines = [
        ("key", text(flag, "key")),
        ("what", text(flag, "description")),
        ("squad", text(flag, "squad")),
        ("place", text(flag, "place")),
        ("version", text(flag, "version")),
        ("state", text(flag, "state")),
        ("default", text(flag, "default")),
    ];
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(shown, "{name:9} {value}");
    }
    let _ = writeln!(shown, "{:9} {}", "shares", shares(flag));
    for rule in list_of(flag, "rules") {
        let (name, serve) = (text(rule, "name"), text(rule, "serve"));
        let _ = writeln!(shown, "{:9} {name}: {serve}", "rule");
    }
    shown
}

/// What came of a change.
pub(super) fn changed(key: &str, told: &Value) -> String {
    let version = text(told, "version");
    let is = |name: &str| told.get(name) == Some(&Value::Bool(true));
    let what = match (is("changed"), is("in_force")) {
        (false, _) => "says that already".to_owned(),
        (true, true) => "changed and in force".to_owned(),
        (true, false) => {
            let because = text(told, "not_in_force_because");
            format!("changed, but not in force: {because}")
        }
    };
    let entry = told
        .get("entry")
        .and_then(Value::as_u64)
        .map(|entry| format!(", entry {entry}"))
        .unwrap_or_default();
    format!("{key}: {what} (version {version}{entry})\n")
}

/// Changes with what they changed.
pub(super) fn history(told: &Value) -> String {
    let mut shown = String::new();
    for entry in list_of(told, "entries") {
        let (at, flag) = (text(entry, "at"), text(entry, "flag"));
        let (who, how, reason) = (text(entry, "who"), text(entry, "how"), text(entry, "reason"));
        let id = entry.get("id").and_then(Value::as_u64).unwrap_or_default();
        let because = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        let _ = writeln!(shown, "{id} {at} {flag} by {who} ({how}){because}");
        for line in text(entry, "diff").lines() {
            let _ = writeln!(shown, "    {line}");
        }
    }
    shown
}

/// Why the router said no.
pub(super) fn refusal(told: &Value) -> String {
    let mut shown = text(told, "detail");
    for problem in list_of(told, "problems") {
        let _ = write!(shown, "\n  {}: {}", text(problem, "place"), text(problem, "what"));
        let hint = text(problem, "hint");
        if !hint.is_empty() {
            let _ = write!(shown, " ({hint})");
        }
    }
    if let Some(last) = told.pointer("/conflict/last").filter(|last| last.is_object()) {
        let (who, at) = (text(last, "who"), text(last, "at"));
        let _ = write!(shown, "\n  {who} changed it at {at}:");
        for line in text(last, "diff").lines() {
            let _ = write!(shown, "\n    {line}");
        }
    }
    shown
}

fn list_of<'v>(object: &'v Value, name: &str) -> &'v [Value] {
    let list = object.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// What comes from a file or a network may not command the terminal.
pub(in crate::cli) fn text(object: &Value, name: &str) -> String {
    let text = object.get(name).and_then(Value::as_str).unwrap_or_default();
    let shown = |char: char| {
        if char.is_control() && char != '\n' {
            ' '
        } else {
            char
        }
    };
    text.chars().map(shown).collect()
}

fn shares(flag: &Value) -> String {
    let variants = list_of(flag, "variants");
    let each = variants
        .iter()
        .map(|variant| match variant.get("share").and_then(Value::as_f64) {
            Some(share) => format!("{} {share} %", text(variant, "name")),
            None => text(variant, "name"),
        });
    each.collect::<Vec<_>>().join(", ")
}
