//! `flags/<key>.toml` as release managers write it, and what it means.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    report::{Report, suggest},
    values::{Share, Spot},
};
use crate::{
    flag::{
        Bucketing, Flag, FlagProblem, FlagProblemKind, FlagSettings, FlagState, RolloutBy, RolloutSettings,
        RuleSettings, Targeting,
    },
    name::{FlagKey, SquadName, VariantName},
};

/// `flags/<key>.toml`: a flag. Its key is the file's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FlagFile {
    /// What it is for, in a sentence.
    description: String,
    /// Who owns it.
    squad: Option<Spot<String>>,
    /// `disabled` is the kill switch: everyone gets `default`, at once.
    state: StateFile,
    /// Names in a list, or a table of names with the values they carry.
    #[schemars(required, extend("x-required" = true))]
    variants: Option<Spot<VariantsFile>>,
    /// What everyone gets whom no rule and no rollout wants; the safe side.
    #[schemars(required, extend("x-required" = true))]
    default: Option<Spot<String>>,
    /// Who gets what, whatever the rollout says. The first match wins.
    rules: Vec<Spot<RuleFile>>,
    /// Everyone the rules leave.
    rollout: Option<Spot<RolloutFile>>,
    /// How a visitor's place between 0 and 100 % is computed. Never to be changed while the flag is in use.
    bucketing: BucketingFile,
    /// Whatever else is worth knowing; handed out with the flag.
    metadata: BTreeMap<String, Value>,
    /// Browsers may read over OFREP what it decides for them, `metadata` included.
    public: bool,
}

impl Default for FlagFile {
    fn default() -> Self {
        Self {
            description: String::new(),
            squad: None,
            state: StateFile::Enabled,
            variants: None,
            default: None,
            rules: Vec::new(),
            rollout: None,
            bucketing: BucketingFile::V2, // what flagd and its evaluators in process compute today
            metadata: BTreeMap::new(),
            public: false, // what a flag decides may tell a secret
        }
    }
}

/// Whether a flag decides.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StateFile {
    /// It decides.
    Enabled,
    /// Everyone gets the default, at once.
    Disabled,
}

/// How a visitor's place between 0 and 100 % is computed.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
enum BucketingFile {
    /// MurmurHash3 of the text.
    #[serde(rename = "murmur3-v2")]
    V2,
    /// MurmurHash3 of its deterministic CBOR.
    #[serde(rename = "murmur3-cbor-v3")]
    V3,
}

/// `[[rules]]`: who gets what.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RuleFile {
    /// What a person calls it; `banyan explain` shows it. Without it: `rule 1`, `rule 2`, …
    name: Option<String>,
    /// JsonLogic, as data; flagd's operators included.
    #[serde(rename = "if")]
    #[schemars(required, extend("x-required" = true))]
    condition: Option<Spot<Value>>,
    /// The variant.
    #[schemars(required, extend("x-required" = true))]
    serve: Option<Spot<String>>,
}

/// `variants`: names in a list, or a table of names with the values they carry.
#[derive(Debug)]
struct VariantsFile(Vec<(Spot<String>, Value)>);

/// `[rollout]`: variants with their shares in percent, and whose place counts.
#[derive(Debug)]
struct RolloutFile {
    by: RolloutByFile,
    shares: Vec<(Spot<String>, Share)>,
}

/// Whose place between 0 and 100 % counts.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RolloutByFile {
    /// The visitor cookie's.
    Visitor,
    /// The signed-in user's; others get the default.
    User,
}

impl FlagFile {
    /// Judges the file. `None` when it can't be a flag; then the report says why.
    pub(super) fn settle(&self, stem: &str, report: &mut Report) -> Option<FlagSettings> {
        let key = FlagKey::new(stem);
        if let Err(reason) = &key {
            report
                .whole(
                    "bad-name",
                    format!("`{stem}` can't be the key of a flag: {reason}"),
                )
                .hint("rename the file");
        }
        let squad = self.squad.as_ref().and_then(|squad| {
            let name = SquadName::new(&squad.value);
            if let Err(reason) = &name {
                let what = format!("`{}` can't name a squad: {reason}", squad.value);
                report.error("bad-name", squad.span.clone(), what);
            }
            name.ok()
        });
        let variants = self.variants(report);
        let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
        let default = match &self.default {
            Some(default) => variant(default, &names, report),
            None => {
                report.missing(
                    &(0..0),
                    "default",
                    "name the variant that everyone gets whom nothing else wants",
                );
                None
            }
        };
        let rules: Vec<Option<RuleSettings>> = self
            .rules
            .iter()
            .enumerate()
            .map(|(at, rule)| self.rule(at, rule, &names, report))
            .collect();
        let rollout = self
            .rollout
            .as_ref()
            .map(|rollout| rollout.value.settle(&names, report));
        if report.has_errors() {
            return None;
        }
        let settings = FlagSettings {
            place: report.place(&(0..0)),
            key: key.ok()?,
            description: self.description.clone(),
            squad,
            state: match self.state {
                StateFile::Enabled => FlagState::Enabled,
                StateFile::Disabled => FlagState::Disabled,
            },
            variants,
            default: Some(default?),
            targeting: Targeting::Rules {
                rules: rules.into_iter().collect::<Option<_>>()?,
                rollout,
            },
            bucketing: match self.bucketing {
                BucketingFile::V2 => Bucketing::Murmur3V2,
                BucketingFile::V3 => Bucketing::Murmur3CborV3,
            },
            metadata: self.metadata.clone().into_iter().collect(),
            public: self.public,
        };
        self.compile(&settings, report);
        Some(settings)
    }

    fn variants(&self, report: &mut Report) -> Vec<(VariantName, Value)> {
        let Some(written) = &self.variants else {
            report.missing(
                &(0..0),
                "variants",
                "name them, such as `variants = [\"legacy\", \"new\"]`",
            );
            return Vec::new();
        };
        if written.value.0.is_empty() {
            report
                .error(
                    "flag-no-variants",
                    written.span.clone(),
                    "a flag needs at least one variant",
                )
                .hint("name them, such as `variants = [\"legacy\", \"new\"]`");
        }
        let mut variants: Vec<(VariantName, Value)> = Vec::with_capacity(written.value.0.len());
        for (name, value) in &written.value.0 {
            match VariantName::new(&name.value) {
                Err(reason) => {
                    let what = format!("`{}` can't name a variant: {reason}", name.value);
                    report.error("bad-name", name.span.clone(), what);
                }
                Ok(variant) if variants.iter().any(|(other, _)| *other == variant) => {
                    report.error(
                        "flag-variant-twice",
                        name.span.clone(),
                        format!("variant `{variant}` is listed twice"),
                    );
                }
                Ok(variant) => variants.push((variant, value.clone())),
            }
        }
        variants
    }

    fn rule(
        &self,
        at: usize,
        rule: &Spot<RuleFile>,
        known: &[&str],
        report: &mut Report,
    ) -> Option<RuleSettings> {
        let (file, table) = (&rule.value, &rule.span);
        if file.condition.is_none() {
            report.missing(
                table,
                "if",
                "write JsonLogic, such as `if = { in = [\"staff\", { var = \"user.roles\" }] }`",
            );
        }
        if file.serve.is_none() {
            report.missing(table, "serve", "name the variant that they get");
        }
        Some(RuleSettings {
            name: self.rule_name(at),
            place: report.place(table),
            serve: file
                .serve
                .as_ref()
                .and_then(|serve| variant(serve, known, report))?,
            condition: file.condition.as_ref()?.value.clone(),
        })
    }

    fn rule_name(&self, at: usize) -> String {
        let named = self.rules.get(at).and_then(|rule| rule.value.name.clone());
        named.unwrap_or_else(|| format!("rule {}", at + 1))
    }

    /// Compiles it as a snapshot would. Each rule that can't be compiled is told, not only the first.
    fn compile(&self, settings: &FlagSettings, report: &mut Report) {
        let mut rest = settings.clone();
        let mut open: Vec<usize> = (0..self.rules.len()).collect();
        while let Err(problem) = Flag::compile(rest.clone()) {
            let Some(position) = self.compile_problem(&problem, &open, report) else {
                return;
            };
            open.remove(position);
            if let Targeting::Rules { rules, .. } = &mut rest.targeting {
                rules.remove(position);
            }
        }
    }

    /// Tells one. If it is about a rule, answers the rule's position among those still `open`.
    fn compile_problem(&self, problem: &FlagProblem, open: &[usize], report: &mut Report) -> Option<usize> {
        let bad_rule = matches!(problem.kind, FlagProblemKind::BadRule { .. });
        let position = open.iter().position(|at| {
            let span = self.rules.get(*at).map(|rule| &rule.span);
            bad_rule && span.is_some_and(|span| report.place(span) == problem.place)
        });
        let rule = position.and_then(|position| self.rules.get(*open.get(position)?));
        let condition = rule
            .and_then(|rule| rule.value.condition.as_ref())
            .map(|condition| condition.span.clone());
        let rollout = self.rollout.as_ref().map(|rollout| rollout.span.clone());
        report.error(
            problem.kind.code(),
            condition.or(rollout).unwrap_or(0..0),
            problem.kind.to_string(),
        );
        position
    }
}

impl RolloutFile {
    fn settle(&self, known: &[&str], report: &mut Report) -> RolloutSettings {
        let mut shares: Vec<(VariantName, u32)> = self
            .shares
            .iter()
            .filter_map(|(name, share)| Some((variant(name, known, report)?, share.0)))
            .collect();
        shares.sort_by_key(|(name, _)| known.iter().position(|known| *known == name.as_str()));
        RolloutSettings {
            by: match self.by {
                RolloutByFile::Visitor => RolloutBy::Visitor,
                RolloutByFile::User => RolloutBy::User,
            },
            shares,
        }
    }
}

fn variant(name: &Spot<String>, known: &[&str], report: &mut Report) -> Option<VariantName> {
    // without a single variant that has been told, and every name would be unknown
    if !known.is_empty() && !known.contains(&name.value.as_str()) {
        report
            .error(
                "unknown-variant",
                name.span.clone(),
                format!("`{}` is not a variant of this flag", name.value),
            )
            .hint_if(suggest(&name.value, known.iter().copied()));
    }
    VariantName::new(&name.value).ok()
}

impl<'de> Deserialize<'de> for VariantsFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Variants;
        impl<'de> Visitor<'de> for Variants {
            type Value = VariantsFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or a table of names with their values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VariantsFile, A::Error> {
                let mut variants = Vec::new();
                while let Some(name) = list.next_element::<Spot<String>>()? {
                    let value = Value::String(name.value.clone());
                    variants.push((name, value));
                }
                Ok(VariantsFile(variants))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<VariantsFile, A::Error> {
                let mut variants = Vec::new();
                while let Some(entry) = table.next_entry::<Spot<String>, Value>()? {
                    variants.push(entry);
                }
                in_order_written(&mut variants);
                Ok(VariantsFile(variants))
            }
        }
        deserializer.deserialize_any(Variants)
    }
}

impl JsonSchema for VariantsFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Variants".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Names in a list, or a table of names with the values they carry.",
            "type": ["array", "object"], "items": { "type": "string" }, "minItems": 1, "minProperties": 1
        })
    }
}

impl<'de> Deserialize<'de> for RolloutFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rollout;
        impl<'de> Visitor<'de> for Rollout {
            type Value = RolloutFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of variants with their shares in percent")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<RolloutFile, A::Error> {
                let mut rollout = RolloutFile {
                    by: RolloutByFile::Visitor,
                    shares: Vec::new(),
                };
                while let Some(key) = table.next_key::<Spot<String>>()? {
                    if key.value == "by" {
                        rollout.by = table.next_value()?;
                    } else {
                        rollout.shares.push((key, table.next_value()?));
                    }
                }
                in_order_written(&mut rollout.shares);
                Ok(rollout)
            }
        }
        deserializer.deserialize_any(Rollout)
    }
}

impl JsonSchema for RolloutFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rollout".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Variants with their shares in percent; what is left is the default's.",
            "type": "object",
            "properties": { "by": {
                "description": "Whose place between 0 and 100 % counts: the visitor cookie's, or the signed-in user's (others get the default).",
                "enum": ["visitor", "user"], "default": "visitor"
            } },
            "additionalProperties": generator.subschema_for::<Share>(),
        })
    }
}

/// Tables come sorted by name; the order in the file counts.
fn in_order_written<T>(entries: &mut [(Spot<String>, T)]) {
    entries.sort_by_key(|(name, _)| name.span.start);
}
