//! The rollout: which variant owns a visitor's place.

use std::ops::Range;

use super::{
    FlagProblemKind, SchedulePoint, Shape, VariantIndex,
    bucket::{PLACES, Salt},
    schedule::Schedule,
};
use crate::{clock::UnixTime, name::VariantName};

/// The `[rollout]` table.
#[derive(Debug, Clone, Default)]
pub struct RolloutSettings {
    /// Shares in thousandths of a percent (0 to 100,000), in the order of `variants`. What is left is the default's.
    pub shares: Vec<(VariantName, u32)>,
    /// How wide each variant's range is, in thousandths of a percent. Empty: all are equally wide.
    pub split: Vec<(VariantName, u32)>,
    /// What the shares become, in the order of time.
    pub schedule: Vec<SchedulePoint>,
    /// What is between two points of the schedule.
    pub shape: Shape,
}

/// A compiled rollout.
///
/// Every variant but the default owns a range of the places from 0 to 99,999: as wide as `split` says, or equal ranges in the
/// order of the flag's `variants`, whether or not it has a share now (with three of them 33,333 places each; what can't be
/// divided belongs to nobody). Its share fills its range from the range's start. So a share that grows only adds visitors, one
/// that shrinks takes away those added last, and neither moves the visitors of another variant. Everyone else gets the default.
///
/// With one variant beside the default its range is everything, and it takes the places below its share: what flagd's
/// `fractional` does with `[[variant, share], [default, 100000 - share]]`.
#[derive(Debug)]
pub(super) struct Rollout {
    salt: Salt,
    ranges: Ranges,
    /// By range, before the first point of the schedule.
    shares: Vec<u32>,
    schedule: Option<Schedule>,
}

/// The ranges of all variants but the default, in the order of variants.
#[derive(Debug)]
pub(super) struct Ranges {
    owned: Vec<(VariantIndex, Range<u32>)>,
    names: Vec<VariantName>,
    default: VariantIndex,
    is_split: bool,
}

impl Rollout {
    pub(super) fn compile(
        settings: &RolloutSettings,
        salt: Salt,
        variants: &[VariantName],
        default: VariantIndex,
    ) -> Result<Self, FlagProblemKind> {
        let ranges = Ranges::of(&settings.split, variants, default)?;
        let shares = ranges.fill(&settings.shares, &vec![0; ranges.owned.len()])?;
        let schedule = Schedule::compile(settings.shape, &settings.schedule, &ranges, &shares)?;
        Ok(Self {
            salt,
            ranges,
            shares,
            schedule,
        })
    }

    pub(super) fn place(&self, id: &str) -> u32 {
        self.salt.place(id)
    }

    /// Who owns every place, if one variant does: then nobody's place need be known, and crawlers and scripts move too.
    pub(super) fn sole_owner(&self, now: UnixTime) -> Option<VariantIndex> {
        self.taken(now)
            .find(|(_, taken)| *taken == (0..PLACES))
            .map(|(variant, _)| variant)
    }

    /// Who owns `place`; `None`: the default.
    pub(super) fn owner(&self, place: u32, now: UnixTime) -> Option<VariantIndex> {
        self.taken(now)
            .find(|(_, taken)| taken.contains(&place))
            .map(|(variant, _)| variant)
    }

    /// The places that each variant has at a moment.
    pub(super) fn taken(&self, now: UnixTime) -> impl Iterator<Item = (VariantIndex, Range<u32>)> {
        let ranges = self.ranges.owned.iter().zip(&self.shares).enumerate();
        ranges.map(move |(at, ((variant, range), share))| {
            let share = match &self.schedule {
                None => *share,
                Some(schedule) => schedule.share(at, now).unwrap_or(*share),
            };
            (*variant, range.start..range.start + share)
        })
    }

    /// The places that each variant can have at most, whatever its share.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (VariantIndex, Range<u32>)> {
        self.ranges.owned.iter().cloned()
    }
}

impl Ranges {
    fn of(
        split: &[(VariantName, u32)],
        variants: &[VariantName],
        default: VariantIndex,
    ) -> Result<Self, FlagProblemKind> {
        let mut ranges = Self {
            owned: Vec::with_capacity(variants.len()),
            names: variants.to_vec(),
            default,
            is_split: !split.is_empty(),
        };
        let others = variants.len().saturating_sub(1);
        let equal = u32::try_from(others)
            .ok()
            .and_then(|others| PLACES.checked_div(others))
            .unwrap_or(0);
        let sum = split.iter().map(|(_, width)| u64::from(*width)).sum();
        if sum > u64::from(PLACES) {
            return Err(FlagProblemKind::SplitOver { sum });
        }
        ranges.check_names(split)?;
        let mut start = 0;
        for (at, name) in variants.iter().enumerate().filter(|(at, _)| *at != default.0) {
            let own = split.iter().find(|(other, _)| other == name);
            let width = match (own, ranges.is_split) {
                (Some((_, width)), _) => *width,
                (None, true) => 0,
                (None, false) => equal,
            };
            ranges.owned.push((VariantIndex(at), start..start + width));
            start += width;
        }
        Ok(ranges)
    }

    /// The share of each range: the `given` ones, and for others those that they have in `kept`.
    pub(super) fn fill(
        &self,
        given: &[(VariantName, u32)],
        kept: &[u32],
    ) -> Result<Vec<u32>, FlagProblemKind> {
        let sum = given.iter().map(|(_, share)| u64::from(*share)).sum();
        if sum > u64::from(PLACES) {
            return Err(FlagProblemKind::SharesOver { sum });
        }
        self.check_names(given)?;
        let mut shares = Vec::with_capacity(self.owned.len());
        for ((variant, range), kept) in self.owned.iter().zip(kept) {
            let own = given
                .iter()
                .find(|(name, _)| self.names.get(variant.0) == Some(name));
            if let Some((name, share)) = own.filter(|(_, share)| *share > range.end - range.start) {
                return Err(self.over_range(name.clone(), *share, range));
            }
            shares.push(own.map_or(*kept, |(_, share)| *share));
        }
        Ok(shares)
    }

    fn over_range(&self, variant: VariantName, share: u32, range: &Range<u32>) -> FlagProblemKind {
        let range = range.end - range.start;
        if self.is_split {
            return FlagProblemKind::ShareOverSplit {
                variant,
                share,
                range,
            };
        }
        FlagProblemKind::ShareOverRange {
            variant,
            share,
            range,
            ranges: self.owned.len(),
        }
    }

    /// Each is a variant, not the default, and stands there once.
    fn check_names(&self, given: &[(VariantName, u32)]) -> Result<(), FlagProblemKind> {
        for (at, (name, _)) in given.iter().enumerate() {
            let Some(position) = self.names.iter().position(|known| known == name) else {
                return Err(FlagProblemKind::UnknownInRollout(name.clone()));
            };
            if position == self.default.0 {
                return Err(FlagProblemKind::DefaultInRollout(name.clone()));
            }
            if given.iter().take(at).any(|(before, _)| before == name) {
                return Err(FlagProblemKind::RolloutTwice(name.clone()));
            }
        }
        Ok(())
    }
}
