//! What can be wrong with a flag.

use std::fmt;

use super::{POINTS_MAX, PREREQUISITES_MAX};
use crate::name::{FlagKey, LayerName, Place, VariantName};

/// A reason why a flag can't be used, for the person who edits its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagProblem {
    /// The flag.
    pub key: FlagKey,
    /// Where: the rule's place if it is about a rule, else the flag's.
    pub place: Place,
    /// What.
    pub kind: FlagProblemKind,
}

/// Kinds of [`FlagProblem`]s. Shares are in thousandths of a percent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagProblemKind {
    /// There is nothing to choose from.
    NoVariants,
    /// A variant is listed twice.
    VariantTwice(VariantName),
    /// Only flagd sets may do without a default.
    NoDefault,
    /// The default isn't among the variants.
    UnknownDefault(VariantName),
    /// A rule serves something that isn't among the variants.
    UnknownServed {
        /// The rule's name.
        rule: String,
        /// What it serves.
        variant: VariantName,
    },
    /// A rule can't be compiled.
    BadRule {
        /// The rule's name, or "targeting".
        rule: String,
        /// A clause that says why.
        reason: String,
    },
    /// The rollout has something that isn't among the variants.
    UnknownInRollout(VariantName),
    /// The rollout lists a variant twice.
    RolloutTwice(VariantName),
    /// The rollout lists the default, which takes what the others leave.
    DefaultInRollout(VariantName),
    /// The shares are more than everyone.
    SharesOver {
        /// Their sum.
        sum: u64,
    },
    /// One of several variants wants more than its range.
    ShareOverRange {
        /// Which one.
        variant: VariantName,
        /// What it wants.
        share: u32,
        /// What it can have.
        range: u32,
        /// Variants beside the default.
        ranges: usize,
    },
    /// A variant wants more than the range that `split` gives it.
    ShareOverSplit {
        /// Which one.
        variant: VariantName,
        /// What it wants.
        share: u32,
        /// What it can have.
        range: u32,
    },
    /// The ranges are more than everyone.
    SplitOver {
        /// Their sum.
        sum: u64,
    },
    /// A point of the schedule isn't later than the one before.
    ScheduleOrder {
        /// Which one, from 1.
        point: usize,
    },
    /// The schedule has more points than [`POINTS_MAX`].
    SchedulePoints(usize),
    /// It requires a flag that isn't there.
    UnknownRequired(FlagKey),
    /// It requires a variant that the other flag doesn't have.
    UnknownRequiredVariant {
        /// The other flag.
        flag: FlagKey,
        /// What is required of it.
        variant: VariantName,
    },
    /// Flags that require one another, from one back to the same.
    Circle(Vec<FlagKey>),
    /// One decision would ask more flags than [`PREREQUISITES_MAX`].
    RequiresTooMany {
        /// How many.
        count: usize,
    },
    /// Its layer isn't there, or has no range for it.
    NotInLayer(LayerName),
    /// Another flag has the same key.
    KeyTwice {
        /// Where that one is.
        other: Place,
    },
}

impl FlagProblemKind {
    /// A word that stays the same when sentences are polished.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoVariants => "flag-no-variants",
            Self::VariantTwice(_) => "flag-variant-twice",
            Self::NoDefault => "flag-no-default",
            Self::UnknownDefault(_) => "flag-unknown-default",
            Self::UnknownServed { .. } => "flag-unknown-served",
            Self::BadRule { .. } => "flag-bad-rule",
            Self::UnknownInRollout(_) => "flag-unknown-in-rollout",
            Self::RolloutTwice(_) => "flag-rollout-twice",
            Self::DefaultInRollout(_) => "flag-default-in-rollout",
            Self::SharesOver { .. } => "flag-shares-over",
            Self::ShareOverRange { .. } => "flag-share-over-range",
            Self::ShareOverSplit { .. } => "flag-share-over-split",
            Self::SplitOver { .. } => "flag-split-over",
            Self::ScheduleOrder { .. } => "flag-schedule-order",
            Self::SchedulePoints(_) => "flag-schedule-points",
            Self::UnknownRequired(_) => "unknown-flag",
            Self::UnknownRequiredVariant { .. } => "unknown-variant",
            Self::Circle(_) => "flag-requires-itself",
            Self::RequiresTooMany { .. } => "flag-requires-too-many",
            Self::NotInLayer(_) => "flag-not-in-layer",
            Self::KeyTwice { .. } => "flag-key-twice",
        }
    }
}

impl fmt::Display for FlagProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flag `{}`: {}", self.key, self.kind)
    }
}

impl std::error::Error for FlagProblem {}

impl fmt::Display for FlagProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVariants => f.write_str("it has no variants"),
            Self::VariantTwice(name) => write!(f, "variant `{name}` is listed twice"),
            Self::NoDefault => f.write_str("it has no default"),
            Self::UnknownDefault(name) => write!(f, "its default `{name}` is not one of its variants"),
            Self::UnknownServed { rule, variant } => {
                write!(
                    f,
                    "rule \"{rule}\" serves `{variant}`, which is not one of its variants"
                )
            }
            Self::BadRule { rule, reason } => write!(f, "rule \"{rule}\" can't be used: {reason}"),
            Self::UnknownInRollout(name) => {
                write!(f, "its rollout has `{name}`, which is not one of its variants")
            }
            Self::RolloutTwice(name) => write!(f, "its rollout has `{name}` twice"),
            Self::DefaultInRollout(name) => {
                write!(
                    f,
                    "its rollout has its default `{name}`, which takes what the others leave"
                )
            }
            Self::SharesOver { sum } => {
                write!(f, "its shares are {} together, more than 100 %", Percent(*sum))
            }
            Self::ShareOverRange {
                variant,
                share,
                range,
                ranges,
            } => write_over_range(f, variant, (*share, *range), *ranges),
            Self::ShareOverSplit {
                variant,
                share,
                range,
            } => write_over_split(f, variant, (*share, *range)),
            Self::SplitOver { sum } => write!(
                f,
                "the ranges of its `split` are {} together, more than 100 %",
                Percent(*sum)
            ),
            Self::ScheduleOrder { point } => write!(
                f,
                "point {point} of its schedule is not later than the one before it"
            ),
            Self::SchedulePoints(count) => {
                write!(f, "its schedule has {count} points, more than {POINTS_MAX}")
            }
            Self::UnknownRequired(flag) => write!(f, "it requires flag `{flag}`, which is not defined"),
            Self::UnknownRequiredVariant { flag, variant } => {
                write!(
                    f,
                    "it requires `{variant}`, which is not a variant of flag `{flag}`"
                )
            }
            Self::Circle(path) => {
                let path: Vec<&str> = path.iter().map(FlagKey::as_str).collect();
                write!(f, "it requires itself: {}", path.join(" → "))
            }
            Self::RequiresTooMany { count } => write!(
                f,
                "it would have {count} other flags asked before it, more than {PREREQUISITES_MAX}"
            ),
            Self::NotInLayer(layer) => write!(f, "layer `{layer}` has no range for it"),
            Self::KeyTwice { other } => write!(f, "its key is already used at {other}"),
        }
    }
}

fn write_over_range(
    f: &mut fmt::Formatter<'_>,
    variant: &VariantName,
    (share, range): (u32, u32),
    ranges: usize,
) -> fmt::Result {
    let (share, range) = (Percent(u64::from(share)), Percent(u64::from(range)));
    write!(
        f,
        "`{variant}` wants {share}, but with {ranges} variants beside the default each has a fixed range of {range}, so that \
         growing one never moves the visitors of another"
    )
}

fn write_over_split(
    f: &mut fmt::Formatter<'_>,
    variant: &VariantName,
    (share, range): (u32, u32),
) -> fmt::Result {
    let (share, range) = (Percent(u64::from(share)), Percent(u64::from(range)));
    write!(
        f,
        "`{variant}` wants {share}, but `split` gives it a range of {range}"
    )
}

/// Thousandths of a percent, as people write them.
struct Percent(u64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, thousandths) = (self.0 / 1000, self.0 % 1000);
        if thousandths == 0 {
            return write!(f, "{whole} %");
        }
        let digits = format!("{thousandths:03}");
        write!(f, "{whole}.{} %", digits.trim_end_matches('0'))
    }
}
