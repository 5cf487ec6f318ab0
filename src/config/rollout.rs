//! `[rollout]` of a flag: who gets what of those whom the rules leave, now and later.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use super::{
    flags::{IdentityFile, in_order_written, variant},
    instant::Instant,
    report::Report,
    values::{Share, Spot},
};
use crate::{
    flag::{RolloutSettings, SchedulePoint, Shape},
    name::VariantName,
};

/// `[rollout]`: variants with their shares in percent, and what becomes of them.
#[derive(Debug, Default)]
pub(super) struct RolloutFile {
    /// The older word for the flag's `identity`.
    pub(super) by: Option<Spot<IdentityFile>>,
    shares: Vec<(Spot<String>, Share)>,
    split: SharesFile,
    schedule: Vec<Spot<PointFile>>,
    shape: ShapeFile,
}

/// Variants with percentages.
#[derive(Debug, Default)]
struct SharesFile(Vec<(Spot<String>, Share)>);

/// `[[rollout.schedule]]`: a moment, and shares from then on.
#[derive(Debug, Default)]
struct PointFile {
    at: Option<Instant>,
    shares: Vec<(Spot<String>, Share)>,
}

/// What is between two points of the schedule.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ShapeFile {
    /// The earlier one's shares.
    #[default]
    Steps,
    /// Shares on the straight line from one to the other.
    Linear,
}

impl RolloutFile {
    /// Judges the names; what they may have is judged when the flag is compiled.
    pub(super) fn settle(&self, known: &[&str], report: &mut Report) -> RolloutSettings {
        let schedule = self.schedule.iter().filter_map(|point| {
            let shares = settle(&point.value.shares, known, report);
            let Some(at) = point.value.at else {
                report.missing(
                    &point.span,
                    "at",
                    "say from when on, such as `at = 2026-12-01T08:00:00Z`",
                );
                return None;
            };
            Some(SchedulePoint { at: at.0, shares })
        });
        let schedule = schedule.collect();
        RolloutSettings {
            shares: settle(&self.shares, known, report),
            split: settle(&self.split.0, known, report),
            schedule,
            shape: match self.shape {
                ShapeFile::Steps => Shape::Steps,
                ShapeFile::Linear => Shape::Linear,
            },
        }
    }
}

fn settle(written: &[(Spot<String>, Share)], known: &[&str], report: &mut Report) -> Vec<(VariantName, u32)> {
    let shares = written
        .iter()
        .filter_map(|(name, share)| Some((variant(name, known, report)?, share.0)));
    let mut shares: Vec<(VariantName, u32)> = shares.collect();
    shares.sort_by_key(|(name, _)| known.iter().position(|known| *known == name.as_str()));
    shares
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
                let mut rollout = RolloutFile::default();
                while let Some(key) = table.next_key::<Spot<String>>()? {
                    match key.value.as_str() {
                        "by" => rollout.by = Some(table.next_value()?),
                        "split" => rollout.split = table.next_value()?,
                        "schedule" => rollout.schedule = table.next_value()?,
                        "shape" => rollout.shape = table.next_value()?,
                        _ => rollout.shares.push((key, table.next_value()?)),
                    }
                }
                in_order_written(&mut rollout.shares);
                Ok(rollout)
            }
        }
        deserializer.deserialize_any(Rollout)
    }
}

impl<'de> Deserialize<'de> for SharesFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shares;
        impl<'de> Visitor<'de> for Shares {
            type Value = SharesFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of variants with the width of their ranges in percent")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<SharesFile, A::Error> {
                let mut shares = Vec::new();
                while let Some(entry) = table.next_entry()? {
                    shares.push(entry);
                }
                in_order_written(&mut shares);
                Ok(SharesFile(shares))
            }
        }
        deserializer.deserialize_any(Shares)
    }
}

impl<'de> Deserialize<'de> for PointFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Point;
        impl<'de> Visitor<'de> for Point {
            type Value = PointFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of a time and of variants with their shares in percent")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<PointFile, A::Error> {
                let mut point = PointFile::default();
                while let Some(key) = table.next_key::<Spot<String>>()? {
                    if key.value == "at" {
                        point.at = Some(table.next_value()?);
                    } else {
                        point.shares.push((key, table.next_value()?));
                    }
                }
                in_order_written(&mut point.shares);
                Ok(point)
            }
        }
        deserializer.deserialize_any(Point)
    }
}

impl JsonSchema for RolloutFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rollout".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let share = generator.subschema_for::<Share>();
        json_schema!({
            "description": "Variants with their shares in percent; what is left is the default's.",
            "type": "object",
            "properties": {
                "by": {
                    "description": "The older word for the flag's `identity`.",
                    "enum": ["visitor", "user"]
                },
                "split": {
                    "description": "How wide each variant's range is, in percent of visitors; a share fills its variant's range. Without it all ranges are equally wide. With another split visitors change variants: raise `epoch` as well.",
                    "type": "object",
                    "additionalProperties": share
                },
                "shape": {
                    "description": "What is between two points of the schedule: the earlier one's shares, or those on the straight line from one to the other.",
                    "enum": ["steps", "linear"],
                    "default": "steps"
                },
                "schedule": {
                    "description": "What the shares become, in the order of time.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "description": "Variants with their shares in percent from a moment on; one that isn't named keeps its share.",
                        "properties": { "at": {
                            "description": "From when on: date, time and offset.",
                            "type": "string", "format": "date-time"
                        } },
                        "required": ["at"],
                        "additionalProperties": share
                    }
                }
            },
            "additionalProperties": share,
        })
    }
}
