//! `requires` of a flag: what other flags must have chosen, and whether they can.

use std::{collections::BTreeMap, fmt, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{
    report::{Report, suggest},
    site::{FlagPart, Site},
    values::{OneOrMany, Spot},
};
use crate::{
    flag::{FlagProblemKind, Requires, check_requires},
    name::{FlagKey, VariantName},
};

/// Flags in a list, or a table of flags with the variants that will do.
#[derive(Debug, Default)]
pub(super) struct RequiresFile(Vec<(Spot<String>, OneOrMany)>);

impl RequiresFile {
    /// What is required. What can't be a name is in the report.
    pub(super) fn settle(&self, report: &mut Report) -> Vec<Requires> {
        let mut all = Vec::with_capacity(self.0.len());
        for (flag, variants) in &self.0 {
            let variants = variants.0.iter().filter_map(|name| {
                let variant = VariantName::new(&name.value);
                if let Err(reason) = &variant {
                    let what = format!("`{}` can't name a variant: {reason}", name.value);
                    report.error("bad-name", name.span.clone(), what);
                }
                variant.ok()
            });
            let variants = variants.collect();
            match FlagKey::new(&flag.value) {
                Ok(key) => all.push(Requires {
                    flag: key,
                    variants,
                    place: report.place(&flag.span),
                }),
                Err(reason) => {
                    let what = format!("`{}` can't be the key of a flag: {reason}", flag.value);
                    report.error("bad-name", flag.span.clone(), what);
                }
            }
        }
        all
    }
}

/// Judges what flags require of one another. `unread` says whether a file that can't be read may declare a name.
pub(super) fn judge(
    site: &Site,
    flags: &BTreeMap<&str, &FlagPart>,
    unread: impl Fn(&str) -> bool,
    reports: &mut BTreeMap<Arc<str>, Report>,
) {
    let settled = site.flags.iter().filter_map(|flag| flag.settings.as_ref());
    for problem in check_requires(settled) {
        let hint = match &problem.kind {
            FlagProblemKind::UnknownRequired(key)
                if flags.contains_key(key.as_str()) || unread(key.as_str()) =>
            {
                continue;
            }
            FlagProblemKind::UnknownRequired(key) => suggest(key.as_str(), flags.keys().copied()),
            FlagProblemKind::UnknownRequiredVariant { flag, variant } => {
                let other = flags.get(flag.as_str()).and_then(|flag| flag.settings.as_ref());
                let known = other.into_iter().flat_map(|other| &other.variants);
                suggest(variant.as_str(), known.map(|(name, _)| name.as_str()))
            }
            FlagProblemKind::Circle(_) => Some("take one of them out of a `requires`".to_owned()),
            _ => None,
        };
        let others: Vec<(&FlagPart, _)> = match &problem.kind {
            FlagProblemKind::Circle(path) => path
                .iter()
                .filter(|key| **key != problem.key)
                .filter_map(|key| flags.get(key.as_str()))
                .filter_map(|part| {
                    let place = part.settings.as_ref()?.requires.first()?.place.clone();
                    let span = reports.get(&part.file)?.line_span(place.line);
                    Some((*part, span))
                })
                .collect(),
            _ => Vec::new(),
        };
        let Some(report) = reports.get_mut(&problem.place.file) else {
            continue;
        };
        let span = report.line_span(problem.place.line);
        let mut told = report.error(problem.kind.code(), span, problem.kind.to_string());
        for (part, span) in others {
            told = told.related(&part.file, span, format!("flag `{}` is on the way", part.key));
        }
        told.hint_if(hint);
    }
}

impl<'de> Deserialize<'de> for RequiresFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = RequiresFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of flags, or a table of flags with the variants that will do")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RequiresFile, A::Error> {
                let mut all = Vec::new();
                while let Some(flag) = list.next_element::<Spot<String>>()? {
                    all.push((flag, OneOrMany::default()));
                }
                Ok(RequiresFile(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<RequiresFile, A::Error> {
                let mut all: Vec<(Spot<String>, OneOrMany)> = Vec::new();
                while let Some(entry) = table.next_entry()? {
                    all.push(entry);
                }
                all.sort_by_key(|(flag, _)| flag.span.start);
                Ok(RequiresFile(all))
            }
        }
        deserializer.deserialize_any(All)
    }
}

impl JsonSchema for RequiresFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Requires".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Flags in a list: each must have another variant than its default. Or a table of flags with the variant, or a list of variants, that will do.",
            "type": ["array", "object"], "items": { "type": "string" },
            "additionalProperties": { "type": ["string", "array"], "items": { "type": "string" } }
        })
    }
}
