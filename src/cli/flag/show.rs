//! Answers about flags as people read them in a terminal.

use std::fmt::Write;

use serde_json::Value;

/// A line for each flag.
pub(super) fn list(told: &Value) -> String {
    let flags = told["flags"].as_array().map_or(&[][..], Vec::as_slice);
    let width = flags
        .iter()
        .map(|flag| text(&flag["key"]).len())
        .max()
        .unwrap_or_default();
    let mut shown = String::new();
    for flag in flags {
        let (key, state) = (text(&flag["key"]), text(&flag["state"]));
        let _ = writeln!(shown, "{key:width$}  {state:8}  {}", shares(flag));
    }
    shown
}

/// One flag.
pub(super) fn one(flag: &Value) -> String {
    let mut shown = String::new();
    let lines = [
        ("key", text(&flag["key"])),
        ("what", text(&flag["description"])),
        ("squad", text(&flag["squad"])),
        ("place", text(&flag["place"])),
        ("version", text(&flag["version"])),
        ("state", text(&flag["state"])),
        ("default", text(&flag["default"])),
    ];
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(shown, "{name:9} {value}");
    }
    let _ = writeln!(shown, "{:9} {}", "shares", shares(flag));
    for rule in flag["rules"].as_array().into_iter().flatten() {
        let (name, serve) = (text(&rule["name"]), text(&rule["serve"]));
        let _ = writeln!(shown, "{:9} {name}: {serve}", "rule");
    }
    shown
}

/// What came of a change.
pub(super) fn changed(key: &str, told: &Value) -> String {
    let version = text(&told["version"]);
    let what = match (told["changed"] == true, told["in_force"] == true) {
        (false, _) => "says that already".to_owned(),
        (true, true) => "changed and in force".to_owned(),
        (true, false) => {
            let because = text(&told["not_in_force_because"]);
            format!("changed, but not in force: {because}")
        }
    };
    let entry = told["entry"]
        .as_u64()
        .map(|entry| format!(", entry {entry}"))
        .unwrap_or_default();
    format!("{key}: {what} (version {version}{entry})\n")
}

/// Changes with what they changed.
pub(super) fn history(told: &Value) -> String {
    let mut shown = String::new();
    for entry in told["entries"].as_array().into_iter().flatten() {
        let (at, flag) = (text(&entry["at"]), text(&entry["flag"]));
        let (who, how, reason) = (text(&entry["who"]), text(&entry["how"]), text(&entry["reason"]));
        let because = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        let _ = writeln!(shown, "{} {at} {flag} by {who} ({how}){because}", entry["id"]);
        for line in text(&entry["diff"]).lines() {
            let _ = writeln!(shown, "    {line}");
        }
    }
    shown
}

/// Why the router said no.
pub(super) fn refusal(told: &Value) -> String {
    let mut shown = text(&told["detail"]);
    for problem in told["problems"].as_array().into_iter().flatten() {
        let _ = write!(
            shown,
            "\n  {}: {}",
            text(&problem["place"]),
            text(&problem["what"])
        );
        let hint = text(&problem["hint"]);
        if !hint.is_empty() {
            let _ = write!(shown, " ({hint})");
        }
    }
    let last = &told["conflict"]["last"];
    if last.is_object() {
        let (who, at) = (text(&last["who"]), text(&last["at"]));
        let _ = write!(shown, "\n  {who} changed it at {at}:");
        for line in text(&last["diff"]).lines() {
            let _ = write!(shown, "\n    {line}");
        }
    }
    shown
}

/// What comes from a file or a network may not command the terminal.
fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
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
    let variants = flag["variants"].as_array().map_or(&[][..], Vec::as_slice);
    let each = variants.iter().map(|variant| match variant["share"].as_f64() {
        Some(share) => format!("{} {share} %", text(&variant["name"])),
        None => text(&variant["name"]),
    });
    each.collect::<Vec<_>>().join(", ")
}
