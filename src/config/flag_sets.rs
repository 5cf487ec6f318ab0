//! `flags/*.json`: flagd's flag sets, with flagd's semantics (flagd `docs/schema/v0/flags.json`).
//!
//! What breaks the form of the file refuses the file; what breaks one flag's targeting is a warning, as in flagd.

use std::{mem::discriminant, ops::Range};

use serde_json::{Map, Value};

use super::report::{Report, suggest};
use crate::{
    flag::{self, Bucketing, Flag, FlagSettings, FlagState, RolloutBy, Targeting},
    name::{FlagKey, SquadName, VariantName},
};

/// Reads a flag set. Flags that can't be used are in the report.
pub(super) fn read(text: &str, report: &mut Report) -> Vec<FlagSettings> {
    let root = match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(root)) => root,
        Ok(_) => {
            report
                .error("bad-flag-set", 0..1, "a flag set is a JSON object")
                .hint("`{ \"flags\": { … } }`");
            return Vec::new();
        }
        Err(error) => {
            let at = offset(text, error.line(), error.column());
            report.error("syntax", at..at + 1, format!("this is not JSON: {error}"));
            return Vec::new();
        }
    };
    let set = Set { text, root: &root };
    set.known_keys(&root, &["$schema", "$evaluators", "flags", "metadata"], 0, report);
    let Some(flags) = root.get("flags").and_then(Value::as_object) else {
        report
            .error("bad-flag-set", 0..1, "`flags` is missing here, or not an object")
            .hint("`{ \"flags\": { … } }`");
        return Vec::new();
    };
    let shared = set.metadata(&root, 0, report);
    let from = set.find("flags", 0).end;
    flags
        .iter()
        .filter_map(|(key, flag)| set.flag(key, flag, &shared, from, report))
        .collect()
}

struct Set<'s> {
    text: &'s str,
    root: &'s Map<String, Value>,
}

impl Set<'_> {
    fn flag(
        &self,
        name: &str,
        flag: &Value,
        shared: &Map<String, Value>,
        from: usize,
        report: &mut Report,
    ) -> Option<FlagSettings> {
        let span = self.find(name, from);
        let key = FlagKey::new(name);
        if let Err(reason) = &key {
            report.error(
                "bad-name",
                span.clone(),
                format!("`{name}` can't be the key of a flag: {reason}"),
            );
        }
        let Value::Object(flag) = flag else {
            report.error("bad-flag-set", span, format!("flag `{name}` is not an object"));
            return None;
        };
        self.known_keys(
            flag,
            &["state", "variants", "defaultVariant", "targeting", "metadata"],
            span.end,
            report,
        );
        let state = state(flag, &span, report);
        let variants = self.variants(flag, &span, report);
        let default = self.default(flag, &variants, &span, report);
        let mut metadata = shared.clone();
        metadata.extend(self.metadata(flag, span.end, report));
        let bucketing = self.bucketing(&metadata, &span, report);
        let public = is_public(&metadata, &span, report);
        let targeting = flag.get("targeting").cloned().unwrap_or(Value::Null);
        if !matches!(targeting, Value::Null | Value::Object(_)) {
            report.error(
                "bad-flag-set",
                span.clone(),
                format!("`targeting` of `{name}` is not an object"),
            );
        }
        let targeting = self.with_evaluators(targeting, name, &span, report);
        if variants.is_empty() {
            return None;
        }
        let settings = FlagSettings {
            key: key.ok()?,
            place: report.place(&span),
            description: text_of(&metadata, "description"),
            squad: SquadName::new(&text_of(&metadata, "squad")).ok(),
            state: state?,
            variants: variants.into_iter().collect(),
            default: default?,
            identity: RolloutBy::Visitor,
            requires: Vec::new(),
            layer: None,
            targeting: Targeting::JsonLogic(targeting),
            bucketing: bucketing?,
            epoch: 1,
            public: public?,
            drain: flag::DRAIN_DEFAULT,
            metadata,
            sticky: false,
            adopts: false,
        };
        match Flag::compile(settings.clone()) {
            Ok(compiled) => {
                if let Some(warning) = compiled.warning() {
                    report.warning(warning.kind.code(), span, warning.to_string());
                }
                Some(settings)
            }
            Err(problem) => {
                report.error(problem.kind.code(), span, problem.to_string());
                None
            }
        }
    }

    fn variants(
        &self,
        flag: &Map<String, Value>,
        span: &Range<usize>,
        report: &mut Report,
    ) -> Vec<(VariantName, Value)> {
        let Some(written) = flag
            .get("variants")
            .and_then(Value::as_object)
            .filter(|written| !written.is_empty())
        else {
            report
                .error(
                    "flag-no-variants",
                    span.clone(),
                    "a flag needs `variants`, an object with at least one",
                )
                .hint("`\"variants\": { \"on\": true, \"off\": false }`");
            return Vec::new();
        };
        let first = written.values().next();
        let alike = |value: &Value| first.is_some_and(|first| discriminant(first) == discriminant(value));
        if !written
            .values()
            .all(|value| alike(value) && !matches!(value, Value::Null | Value::Array(_)))
        {
            report.error(
                "bad-flag-set",
                span.clone(),
                "the variants of a flag are all booleans, numbers, texts or objects",
            );
        }
        let mut variants = Vec::with_capacity(written.len());
        for (name, value) in written {
            match VariantName::new(name) {
                Ok(name) => variants.push((name, value.clone())),
                Err(reason) => {
                    let what = format!("`{name}` can't name a variant: {reason}");
                    report.error("bad-name", self.find(name, span.end), what);
                }
            }
        }
        variants
    }

    /// `None`: told in the report. `Some(None)`: the code's own default.
    #[expect(clippy::option_option, reason = "wrong, none and one are three things here")]
    fn default(
        &self,
        flag: &Map<String, Value>,
        variants: &[(VariantName, Value)],
        span: &Range<usize>,
        report: &mut Report,
    ) -> Option<Option<VariantName>> {
        match flag.get("defaultVariant") {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(name)) => {
                if let Some((known, _)) = variants.iter().find(|(known, _)| known.as_str() == name) {
                    return Some(Some(known.clone()));
                }
                report
                    .error(
                        "unknown-variant",
                        self.find("defaultVariant", span.end),
                        format!("`{name}` is not a variant of this flag"),
                    )
                    .hint_if(suggest(name, variants.iter().map(|(known, _)| known.as_str())));
                None
            }
            Some(_) => {
                report.error(
                    "bad-flag-set",
                    self.find("defaultVariant", span.end),
                    "`defaultVariant` is a name or null",
                );
                None
            }
        }
    }

    fn metadata(&self, object: &Map<String, Value>, from: usize, report: &mut Report) -> Map<String, Value> {
        match object.get("metadata") {
            None => Map::new(),
            Some(Value::Object(metadata))
                if metadata
                    .values()
                    .all(|value| !value.is_object() && !value.is_array()) =>
            {
                metadata.clone()
            }
            Some(_) => {
                report.error(
                    "bad-flag-set",
                    self.find("metadata", from),
                    "`metadata` is an object of texts, numbers and booleans",
                );
                Map::new()
            }
        }
    }

    fn bucketing(
        &self,
        metadata: &Map<String, Value>,
        span: &Range<usize>,
        report: &mut Report,
    ) -> Option<Bucketing> {
        match metadata.get("bucketing").map(Value::as_str) {
            None | Some(Some("murmur3-v2")) => Some(Bucketing::Murmur3V2),
            Some(Some("murmur3-cbor-v3")) => Some(Bucketing::Murmur3CborV3),
            Some(_) => {
                report
                    .error(
                        "unknown-value",
                        span.clone(),
                        "`metadata.bucketing` names no hashing",
                    )
                    .hint("known are `murmur3-cbor-v3`, `murmur3-v2`");
                None
            }
        }
    }

    /// `{"$ref": "name"}` becomes the evaluator of that name. A name that isn't there fails this flag only.
    fn with_evaluators(&self, rule: Value, flag: &str, span: &Range<usize>, report: &mut Report) -> Value {
        match rule {
            Value::Object(object) => {
                if let (1, Some(Value::String(name))) = (object.len(), object.get("$ref")) {
                    let evaluators = self.root.get("$evaluators").and_then(Value::as_object);
                    if let Some(evaluator) = evaluators.and_then(|all| all.get(name)) {
                        return evaluator.clone();
                    }
                    let known = evaluators.into_iter().flat_map(Map::keys).map(String::as_str);
                    report
                        .warning(
                            "unknown-evaluator",
                            span.clone(),
                            format!("flag `{flag}` refers to `{name}`, which `$evaluators` does not have"),
                        )
                        .hint_if(suggest(name, known));
                    return Value::Object(object);
                }
                let replaced = object
                    .into_iter()
                    .map(|(key, value)| (key, self.with_evaluators(value, flag, span, report)));
                Value::Object(replaced.collect())
            }
            Value::Array(list) => list
                .into_iter()
                .map(|value| self.with_evaluators(value, flag, span, report))
                .collect(),
            other => other,
        }
    }

    fn known_keys(&self, object: &Map<String, Value>, known: &[&str], from: usize, report: &mut Report) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            report
                .warning(
                    "unknown-key",
                    self.find(key, from),
                    format!("`{key}` is not a key of this object; it is ignored"),
                )
                .hint_if(suggest(key, known.iter().copied()));
        }
    }

    /// Where `"name":` stands, from an offset on; JSON's own values carry no places.
    fn find(&self, name: &str, from: usize) -> Range<usize> {
        let Ok(quoted) = serde_json::to_string(name) else {
            return from..from;
        };
        let rest = self.text.get(from..).unwrap_or_default();
        let is_key = |at: &usize| {
            rest.get(at + quoted.len()..)
                .is_some_and(|after| after.trim_start().starts_with(':'))
        };
        let found = rest.match_indices(&quoted).map(|(at, _)| at).find(is_key);
        found.map_or(from..from, |at| from + at..from + at + quoted.len())
    }
}

/// `metadata.public`: what flagd has no key for.
fn is_public(metadata: &Map<String, Value>, span: &Range<usize>, report: &mut Report) -> Option<bool> {
    match metadata.get("public") {
        None => Some(false),
        Some(Value::Bool(public)) => Some(*public),
        Some(_) => {
            report.error(
                "unknown-value",
                span.clone(),
                "`metadata.public` is neither true nor false",
            );
            None
        }
    }
}

fn state(flag: &Map<String, Value>, span: &Range<usize>, report: &mut Report) -> Option<FlagState> {
    match flag.get("state").map(Value::as_str) {
        Some(Some("ENABLED")) => Some(FlagState::Enabled),
        Some(Some("DISABLED")) => Some(FlagState::Disabled),
        _ => {
            report.error(
                "bad-flag-set",
                span.clone(),
                "`state` is `\"ENABLED\"` or `\"DISABLED\"`",
            );
            None
        }
    }
}

fn text_of(metadata: &Map<String, Value>, key: &str) -> String {
    metadata
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// serde_json counts lines and columns (in bytes) from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let mut at = (before + column.saturating_sub(1)).min(text.len().saturating_sub(1));
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
