//! `flags/<key>.toml` as release managers write it, and what it means.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    report::{Report, suggest},
    requires::RequiresFile,
    rollout::RolloutFile,
    values::{DurationText, Spot},
};
use crate::{
    flag::{
        Bucketing, DRAIN_DEFAULT, DRAIN_MAX, Flag, FlagProblem, FlagProblemKind, FlagSettings, FlagState,
        RolloutBy, RuleSettings, Targeting,
    },
    name::{FlagKey, LayerName, SquadName, VariantName},
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
    /// Whose id layer and rollout go by: `visitor`, the cookie's; `user`, the signed-in user's (others get the default); or `adopt`:
    /// whoever signs in becomes, once, the visitor that this user is on every device, and stays it. Without it `visitor`.
    identity: Option<Spot<IdentityFile>>,
    /// Flags that must have another variant than their default, or named variants; else everyone gets the default.
    requires: RequiresFile,
    /// A layer of `banyan.toml`, which shares visitors out among its flags; whoever isn't this flag's gets the default.
    layer: Option<Spot<String>>,
    /// Who gets what, whatever the rollout says. The first match wins.
    rules: Vec<Spot<RuleFile>>,
    /// Everyone the rules leave.
    rollout: Option<Spot<RolloutFile>>,
    /// How a visitor's place between 0 and 100 % is computed. Never to be changed while the flag is in use.
    bucketing: BucketingFile,
    /// Raise it with a change that may move visitors from one variant to another, such as another `split`: what they were pinned to
    /// is void then.
    epoch: NonZeroU32,
    /// How long open WebSockets, streams and downloads have that lead to a side which was switched off; at most an hour.
    drain: Spot<DurationText>,
    /// Whom the rollout put on a variant, a signed cookie keeps there when the share shrinks, until `epoch` counts up, a rule says
    /// otherwise, or the flag is disabled. Only for what must not be left half way, such as a checkout.
    sticky: bool,
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
            identity: None,
            requires: RequiresFile::default(),
            layer: None,
            rules: Vec::new(),
            rollout: None,
            bucketing: BucketingFile::V2, // what flagd and its evaluators in process compute today
            epoch: NonZeroU32::MIN,
            drain: Spot {
                value: DurationText(DRAIN_DEFAULT),
                span: 0..0,
            },
            sticky: false,
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
    /// It looks at `user` alone, and goes before `requires`, `layer` and all other rules. Nobody who isn't signed in is staff.
    staff: bool,
}

/// `variants`: names in a list, or a table of names with the values they carry.
#[derive(Debug)]
struct VariantsFile(Vec<(Spot<String>, Value)>);

/// Whose id a flag goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum IdentityFile {
    /// The visitor cookie's.
    Visitor,
    /// The signed-in user's; others get the default.
    User,
    /// The visitor cookie's; whoever signs in becomes, once, the visitor that this user is on every device, and stays it.
    Adopt,
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
        let squad = self.squad(report);
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
        let identity = self.identity(report);
        let requires = self.requires.settle(report);
        let layer = self.layer(report);
        self.check_drain(report);
        if report.has_errors() {
            return None;
        }
        let settings = FlagSettings {
            place: report.place(&(0..0)),
            key: key.ok()?,
            description: self.description.clone(),
            squad,
            state: self.state.into(),
            variants,
            default: Some(default?),
            identity,
            requires,
            layer,
            targeting: Targeting::Rules {
                rules: rules.into_iter().collect::<Option<_>>()?,
                rollout,
            },
            bucketing: self.bucketing.into(),
            epoch: self.epoch.get(),
            public: self.public,
            drain: self.drain.value.0,
            sticky: self.sticky,
            adopts: self.adopts(),
            metadata: self.metadata.clone().into_iter().collect(),
        };
        self.compile(&settings, report);
        Some(settings)
    }

    /// Where its layer is named.
    pub(super) fn layer_span(&self) -> Option<Range<usize>> {
        self.layer.as_ref().map(|layer| layer.span.clone())
    }

    fn squad(&self, report: &mut Report) -> Option<SquadName> {
        let squad = self.squad.as_ref()?;
        let name = SquadName::new(&squad.value);
        if let Err(reason) = &name {
            let what = format!("`{}` can't name a squad: {reason}", squad.value);
            report.error("bad-name", squad.span.clone(), what);
        }
        name.ok()
    }

    fn layer(&self, report: &mut Report) -> Option<LayerName> {
        let layer = self.layer.as_ref()?;
        let name = LayerName::new(&layer.value);
        if let Err(reason) = &name {
            let what = format!("`{}` can't name a layer: {reason}", layer.value);
            report.error("bad-name", layer.span.clone(), what);
        }
        name.ok()
    }

    /// What `identity` says, or its older word `by` in `[rollout]`.
    fn identity(&self, report: &mut Report) -> RolloutBy {
        let by = self
            .rollout
            .as_ref()
            .and_then(|rollout| rollout.value.by.as_ref());
        if let (Some(identity), Some(by)) = (&self.identity, by)
            && identity.value != by.value
        {
            report
                .error(
                    "flag-two-identities",
                    by.span.clone(),
                    "`by` says otherwise than `identity`",
                )
                .hint("`by` is the older word for it; take it out");
        }
        match self.identity.as_ref().or(by).map(|identity| identity.value) {
            None | Some(IdentityFile::Visitor | IdentityFile::Adopt) => RolloutBy::Visitor,
            Some(IdentityFile::User) => RolloutBy::User,
        }
    }

    fn adopts(&self) -> bool {
        let identity = self.identity.as_ref().map(|identity| identity.value);
        identity == Some(IdentityFile::Adopt)
    }

    fn check_drain(&self, report: &mut Report) {
        if self.drain.value.0 > DRAIN_MAX {
            report
                .error(
                    "out-of-range",
                    self.drain.span.clone(),
                    "`drain` is longer than an hour",
                )
                .hint("what is switched off should be left soon; write at most \"1h\"");
        }
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
            staff: file.staff,
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

impl From<StateFile> for FlagState {
    fn from(file: StateFile) -> Self {
        match file {
            StateFile::Enabled => Self::Enabled,
            StateFile::Disabled => Self::Disabled,
        }
    }
}

impl From<BucketingFile> for Bucketing {
    fn from(file: BucketingFile) -> Self {
        match file {
            BucketingFile::V2 => Self::Murmur3V2,
            BucketingFile::V3 => Self::Murmur3CborV3,
        }
    }
}

pub(super) fn variant(name: &Spot<String>, known: &[&str], report: &mut Report) -> Option<VariantName> {
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

/// Tables come sorted by name; the order in the file counts.
pub(super) fn in_order_written<T>(entries: &mut [(Spot<String>, T)]) {
    entries.sort_by_key(|(name, _)| name.span.start);
}
