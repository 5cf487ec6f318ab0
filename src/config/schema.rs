//! JSON Schemas of the three kinds of files, from the structs that read them.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{flags::FlagFile, operator::OperatorFile, routes::RoutesFile};

/// A kind of file that people write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// `banyan.toml`.
    Operator,
    /// `routes/<squad>.toml`.
    Routes,
    /// `flags/<key>.toml`.
    Flag,
}

impl SchemaKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Routes, Self::Flag];

    /// Its short name, as `banyan schema` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "banyan",
            Self::Routes => "routes",
            Self::Flag => "flag",
        }
    }

    /// The files that it describes.
    #[must_use]
    pub const fn files(self) -> &'static str {
        match self {
            Self::Operator => "banyan.toml",
            Self::Routes => "routes/<squad>.toml",
            Self::Flag => "flags/<key>.toml",
        }
    }
}

/// The JSON Schema (draft 2020-12) of one kind of file.
#[must_use]
pub fn schema(kind: SchemaKind) -> Value {
    let mut schema = match kind {
        SchemaKind::Operator => of::<OperatorFile>(),
        SchemaKind::Routes => of::<RoutesFile>(),
        SchemaKind::Flag => of::<FlagFile>(),
    };
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), Value::from(kind.files()));
    }
    schema
}

/// One document with the schema of each kind under `$defs`, by its name.
#[must_use]
pub fn schemas() -> Value {
    let all: Map<String, Value> = SchemaKind::ALL
        .into_iter()
        .map(|kind| (kind.name().to_owned(), embedded(schema(kind), kind)))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Banyan's files",
        "$defs": all,
    })
}

/// Schemas inside a document keep their own `$defs`; an `$id` makes their references their own.
fn embedded(mut schema: Value, kind: SchemaKind) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object.insert(
            "$id".to_owned(),
            Value::from(format!("urn:banyan:schema:{}", kind.name())),
        );
    }
    schema
}

fn of<T: JsonSchema>() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    tidy(&mut schema);
    schema
}

/// Fits what schemars makes to TOML and to people: there is no null, empty defaults say nothing, and keys that must be there
/// are known by a mark, since every key of a `*File` may be missing for serde.
fn tidy(value: &mut Value) {
    let Some(schema) = value.as_object_mut() else {
        return;
    };
    require_marked(schema);
    without_null(schema);
    if schema.get("default").is_some_and(says_nothing) {
        schema.remove("default");
    }
    // keys of these are names that people chose, such as a property that is called `default`
    for named in ["properties", "$defs"] {
        schema
            .get_mut(named)
            .and_then(Value::as_object_mut)
            .into_iter()
            .for_each(|all| all.values_mut().for_each(tidy));
    }
    for inner in ["items", "additionalProperties"] {
        schema.get_mut(inner).into_iter().for_each(tidy);
    }
    for list in ["anyOf", "oneOf"] {
        schema
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .for_each(tidy);
    }
}

fn require_marked(object: &mut Map<String, Value>) {
    let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let mut required = Vec::new();
    for (key, property) in properties {
        if property
            .as_object_mut()
            .and_then(|property| property.remove(MARK))
            .is_some()
        {
            required.push(Value::from(key.as_str()));
        }
    }
    if !required.is_empty() {
        object.insert("required".to_owned(), Value::Array(required));
    }
}

fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(options)) = object.get_mut("anyOf") else {
        return;
    };
    options.retain(|option| option.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = options.as_slice() {
        let only = only.clone();
        object.remove("anyOf");
        object.extend(only.into_iter().filter(|(key, _)| key != "description"));
    }
}

/// An editor would offer it as text to type.
fn says_nothing(default: &Value) -> bool {
    match default {
        Value::Null | Value::Object(_) => true, // a table's own keys have their defaults
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What the structs put on keys that must be there.
const MARK: &str = "x-required";
