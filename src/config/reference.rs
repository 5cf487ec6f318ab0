//! The reference of all keys for the README, from the same schemas that editors use.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::schema::{SchemaKind, schema};

/// A Markdown table for each table of each kind of file: key, type, default, meaning.
#[must_use]
pub fn reference_markdown() -> String {
    let mut out = String::new();
    for kind in SchemaKind::ALL {
        let root = schema(kind);
        _ = writeln!(out, "### `{}`\n", kind.files());
        let mut reader = Reader {
            root: &root,
            out: &mut out,
            open: vec![(String::new(), &root)],
        };
        reader.tables();
    }
    out.trim_end().to_owned() + "\n"
}

struct Reader<'s, 'o> {
    root: &'s Value,
    out: &'o mut String,
    /// Tables still to be written, with the path of each.
    open: Vec<(String, &'s Value)>,
}

impl<'s> Reader<'s, '_> {
    fn tables(&mut self) {
        while !self.open.is_empty() {
            let (path, table) = self.open.remove(0);
            let Some(properties) = table.get("properties").and_then(Value::as_object) else {
                continue;
            };
            if !path.is_empty() {
                let about = text(table, "description");
                let about = about.split_once(": ").map_or(about, |(_, about)| about);
                _ = writeln!(self.out, "**`{path}`** {}\n", oneline(about));
            }
            _ = writeln!(self.out, "| key | type | default | meaning |\n|---|---|---|---|");
            self.rows(&path, table, properties);
            self.out.push('\n');
        }
    }

    fn rows(&mut self, path: &str, table: &Value, properties: &'s Map<String, Value>) {
        let required: Vec<&str> = table
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (key, property) in properties {
            let resolved = self.resolved(property);
            let default = match property.get("default").or_else(|| resolved.get("default")) {
                None if required.contains(&key.as_str()) => "required".to_owned(),
                None => String::new(),
                Some(default) => format!("`{default}`"),
            };
            let about = [text(property, "description"), text(resolved, "description")];
            let about = about
                .into_iter()
                .find(|about| !about.is_empty())
                .unwrap_or_default();
            let kind = self.kind(path, key, resolved);
            _ = writeln!(
                self.out,
                "| `{key}` | {kind} | {default} | {} |",
                oneline(about).replace('|', "\\|")
            );
        }
    }

    /// What a value is, in a word or two. Tables inside are queued.
    fn kind(&mut self, path: &str, key: &str, value: &'s Value) -> String {
        let here = if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        };
        if let Some(words) = words(value) {
            return words;
        }
        match value.get("type") {
            Some(Value::String(kind)) if kind == "object" => self.table(&here, value),
            Some(Value::String(kind)) if kind == "array" => {
                let items = value.get("items").map_or(value, |items| self.resolved(items));
                if items.get("properties").is_some() {
                    self.open.push((here, items));
                    return "tables".to_owned();
                }
                if let Some(words) = words(items) {
                    return format!("list of {words}");
                }
                format!("list of {}s", scalar(items))
            }
            Some(Value::Array(kinds)) => {
                if value.get("properties").is_some() {
                    self.open.push((here, value));
                }
                let names = kinds.iter().filter_map(Value::as_str).map(|kind| match kind {
                    "array" => "list",
                    "object" => "table",
                    "string" => "text",
                    other => other,
                });
                names.collect::<Vec<_>>().join(" or ")
            }
            _ => scalar(value).to_owned(),
        }
    }

    fn table(&mut self, here: &str, value: &'s Value) -> String {
        if value.get("properties").is_some() {
            self.open.push((here.to_owned(), value));
            return "table".to_owned();
        }
        let inner = value
            .get("additionalProperties")
            .map(|inner| self.resolved(inner));
        if let Some(inner) = inner.filter(|inner| inner.get("properties").is_some()) {
            self.open.push((format!("{here}.<name>"), inner));
            return "tables by name".to_owned();
        }
        "table".to_owned()
    }

    /// Follows `$ref`.
    fn resolved(&self, value: &'s Value) -> &'s Value {
        let name = value
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.strip_prefix("#/$defs/"));
        let found = name.and_then(|name| self.root.get("$defs").and_then(|all| all.get(name)));
        found.map_or(value, |found| self.resolved(found))
    }
}

/// The words that an enumeration allows.
fn words(value: &Value) -> Option<String> {
    let words: Vec<&str> = match value.get("enum").and_then(Value::as_array) {
        Some(words) => words.iter().filter_map(Value::as_str).collect(),
        None => {
            let options = value.get("oneOf").and_then(Value::as_array)?;
            let words = options
                .iter()
                .map(|option| option.get("const").and_then(Value::as_str));
            words.collect::<Option<_>>()?
        }
    };
    let quoted = words.iter().map(|word| format!("`\"{word}\"`"));
    Some(quoted.collect::<Vec<_>>().join(", "))
}

fn scalar(value: &Value) -> &str {
    let kind = match value.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or(""),
        _ => "",
    };
    match (kind, value.get("format").and_then(Value::as_str)) {
        ("string", Some("duration-text")) => "duration",
        ("string", Some("size-text")) => "size",
        ("string", Some("date-time")) => "date and time",
        ("string", _) => "text",
        ("boolean", _) => "boolean",
        ("integer" | "number", _) => "number",
        ("", _) => "anything",
        (other, _) => other,
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn oneline(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
