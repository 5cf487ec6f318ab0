//! `[layers.<name>]` of `banyan.toml`: flags of which a visitor meets one at most.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::{Report, suggest},
    site::{FlagPart, Site},
    sources::FileKind,
    values::{Share, Spot},
};
use crate::{
    flag::{LayerSettings, LayerShare, RolloutBy},
    name::{FlagKey, LayerName},
};

/// `[layers.<name>]`: flags of which a visitor meets one at most.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LayerFile {
    /// The share of visitors, in percent, who meet none of its flags.
    holdout: Share,
    /// Flags with the share of visitors that each may have, in percent. Ranges lie side by side in the order written: add a flag
    /// behind the others, and nobody moves.
    flags: BTreeMap<Spot<String>, Share>,
}

/// The tables by name.
pub(super) type LayersFile = BTreeMap<Spot<String>, Spot<LayerFile>>;

/// Judges the tables. What is wrong is in the report.
pub(super) fn settle(layers: &LayersFile, report: &mut Report) -> Vec<LayerSettings> {
    let mut taken: Vec<(&str, &str)> = Vec::new();
    let mut settled = Vec::with_capacity(layers.len());
    for (name, layer) in layers {
        let file = &layer.value;
        let shares = file.flags.values().map(|share| u64::from(share.0));
        let sum = shares.sum::<u64>() + u64::from(file.holdout.0);
        if sum > 100_000 {
            let what = format!(
                "the flags and the holdout of layer `{}` have {} % together",
                name.value,
                sum as f64 / 1_000.0
            );
            report
                .error("layer-over", name.span.clone(), what)
                .hint("at most 100 %");
        }
        let mut flags = Vec::with_capacity(file.flags.len());
        for (flag, share) in &file.flags {
            if let Some((_, other)) = taken.iter().find(|(taken, _)| *taken == flag.value) {
                let what = format!("flag `{}` is in layer `{other}` already", flag.value);
                report
                    .error("layer-twice", flag.span.clone(), what)
                    .hint("a flag is in one layer at most");
            }
            taken.push((&flag.value, &name.value));
            match FlagKey::new(&flag.value) {
                Ok(key) => flags.push(LayerShare {
                    flag: key,
                    share: share.0,
                    place: report.place(&flag.span),
                }),
                Err(reason) => {
                    let what = format!("`{}` can't be the key of a flag: {reason}", flag.value);
                    report.error("bad-name", flag.span.clone(), what);
                }
            }
        }
        match LayerName::new(&name.value) {
            Ok(known) => settled.push(LayerSettings {
                name: known,
                place: report.place(&name.span),
                holdout: file.holdout.0,
                flags,
            }),
            Err(reason) => {
                let what = format!("`{}` can't name a layer: {reason}", name.value);
                report.error("bad-name", name.span.clone(), what);
            }
        }
    }
    settled
}

/// Judges layers and the flags in them together. `unread` says whether a file that isn't there to be read may declare a name.
pub(super) fn judge(
    site: &Site,
    main: &str,
    flags: &BTreeMap<&str, &FlagPart>,
    unread: impl Fn(&str) -> bool,
    reports: &mut BTreeMap<Arc<str>, Report>,
) {
    let Some(operator) = &site.operator else {
        return;
    };
    if reports.get(main).is_some_and(|report| {
        report.has_errors() || report.has_removed("layers") || report.has_removed("flags")
    }) {
        return;
    }
    let layers = &operator.edge.layers;
    for layer in layers {
        let mut identity: Option<(&str, RolloutBy)> = None;
        for member in &layer.flags {
            let Some(part) = flags.get(member.flag.as_str()) else {
                if let (false, Some(report)) = (unread(member.flag.as_str()), reports.get_mut(main)) {
                    let what = format!("flag `{}` is not defined", member.flag);
                    let span = report.line_span(member.place.line);
                    report
                        .error("unknown-flag", span, what)
                        .hint_if(suggest(member.flag.as_str(), flags.keys().copied()));
                }
                continue;
            };
            agree(part, layer, member, main, reports);
            let Some(settings) = &part.settings else {
                continue;
            };
            match identity {
                Some((other, first)) if first != settings.identity => {
                    let what = format!(
                        "layer `{}` can't tell it from flag `{other}`, which goes by another identity",
                        layer.name
                    );
                    if let Some((report, span)) = at_layer(part, reports) {
                        report
                            .error("layer-identities", span, what)
                            .hint("give all flags of a layer the same `identity`");
                    }
                }
                _ => identity = Some((part.key.as_str(), settings.identity)),
            }
        }
    }
    for part in flags.values() {
        listed(part, layers, main, reports);
    }
}

/// A flag that a layer lists says so itself.
fn agree(
    part: &FlagPart,
    layer: &LayerSettings,
    member: &LayerShare,
    main: &str,
    reports: &mut BTreeMap<Arc<str>, Report>,
) {
    let Some(settings) = &part.settings else {
        return;
    };
    if part.kind == FileKind::FlagSet {
        if let Some(report) = reports.get_mut(main) {
            let what = format!("flag `{}` is of a flagd set and can't be in a layer", part.key);
            let span = report.line_span(member.place.line);
            report
                .error("flag-not-in-layer", span, what)
                .hint("write it as a TOML file, or take it out");
        }
        return;
    }
    if settings.layer.as_ref() == Some(&layer.name) {
        return;
    }
    let Some(at) = reports
        .get(main)
        .map(|report| report.line_span(member.place.line))
    else {
        return;
    };
    if let Some((report, span)) = at_layer(part, reports) {
        let what = format!(
            "flag `{}` is in layer `{}`, and doesn't say so",
            part.key, layer.name
        );
        report
            .error("flag-not-in-layer", span, what)
            .related(main, at, "it is listed here")
            .hint(format!("write `layer = \"{}\"`", layer.name));
    }
}

/// A flag that names a layer has a range there.
fn listed(part: &FlagPart, layers: &[LayerSettings], main: &str, reports: &mut BTreeMap<Arc<str>, Report>) {
    let Some((name, settings)) = part
        .settings
        .as_ref()
        .and_then(|settings| Some((settings.layer.as_ref()?, settings)))
    else {
        return;
    };
    let layer = layers.iter().find(|layer| layer.name == *name);
    if layer.is_some_and(|layer| layer.range(&settings.key).is_some()) {
        return;
    }
    let Some((report, span)) = at_layer(part, reports) else {
        return;
    };
    if layer.is_some() {
        let what = format!("layer `{name}` has no range for flag `{}`", settings.key);
        report
            .error("flag-not-in-layer", span, what)
            .hint(format!("list it in `flags` of `[layers.{name}]` in `{main}`"));
    } else {
        let known = layers.iter().map(|layer| layer.name.as_str());
        let hint = suggest(name.as_str(), known).unwrap_or_else(|| format!("write `[layers.{name}]` there"));
        report
            .error("unknown-layer", span, format!("`{main}` has no layer `{name}`"))
            .hint(hint);
    }
}

/// Where a flag's file names its layer, or could.
fn at_layer<'r>(
    part: &FlagPart,
    reports: &'r mut BTreeMap<Arc<str>, Report>,
) -> Option<(&'r mut Report, Range<usize>)> {
    let report = reports.get_mut(&part.file)?;
    let span = part.layer.clone().unwrap_or_else(|| report.line_span(1));
    Some((report, span))
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
