//! The rollout: which variant owns a visitor's place.

use super::{
    FlagProblemKind, RolloutBy, RolloutSettings, Subject, VariantIndex, bucket::PLACES, bucket::Salt,
};
use crate::name::VariantName;

/// A compiled rollout.
///
/// Every variant but the default owns a range of the places from 0 to 99,999: equal ranges in the order of the flag's
/// `variants`, whether or not it has a share now (with three of them 33,333 places each; what can't be divided belongs to
/// nobody). Its share fills its range from the range's start. So a share that grows only adds visitors, one that shrinks
/// takes away those added last, and neither moves the visitors of another variant. Everyone else gets the default.
///
/// With one variant beside the default its range is everything, and it takes the places below its share: what flagd's
/// `fractional` does with `[[variant, share], [default, 100000 - share]]`.
#[derive(Debug)]
pub(super) struct Rollout {
    by: RolloutBy,
    salt: Salt,
    taken: Vec<Taken>,
}

/// Places from `start` up to, not including, `end`.
#[derive(Debug)]
struct Taken {
    start: u32,
    end: u32,
    variant: VariantIndex,
}

impl Rollout {
    pub(super) fn compile(
        settings: &RolloutSettings,
        salt: Salt,
        variants: &[VariantName],
        default: VariantIndex,
    ) -> Result<Self, FlagProblemKind> {
        let sum = settings.shares.iter().map(|(_, share)| u64::from(*share)).sum();
        if sum > u64::from(PLACES) {
            return Err(FlagProblemKind::SharesOver { sum });
        }
        let ranges = variants.len().saturating_sub(1);
        let range = u32::try_from(ranges)
            .ok()
            .and_then(|ranges| PLACES.checked_div(ranges))
            .unwrap_or(0);
        let mut taken: Vec<Taken> = Vec::with_capacity(settings.shares.len());
        for (name, share) in &settings.shares {
            let (name, share) = (name.clone(), *share);
            let Some(at) = variants.iter().position(|variant| *variant == name) else {
                return Err(FlagProblemKind::UnknownInRollout(name));
            };
            if at == default.0 {
                return Err(FlagProblemKind::DefaultInRollout(name));
            }
            if taken.iter().any(|other| other.variant.0 == at) {
                return Err(FlagProblemKind::RolloutTwice(name));
            }
            if share > range {
                return Err(FlagProblemKind::ShareOverRange {
                    variant: name,
                    share,
                    range,
                    ranges,
                });
            }
            let before = at - usize::from(at > default.0);
            let start = u32::try_from(before).unwrap_or(u32::MAX).saturating_mul(range);
            taken.push(Taken {
                start,
                end: start.saturating_add(share),
                variant: VariantIndex(at),
            });
        }
        Ok(Self {
            by: settings.by,
            salt,
            taken,
        })
    }

    pub(super) fn by(&self) -> RolloutBy {
        self.by
    }

    /// The id whose place counts, if there is one.
    pub(super) fn id<'r>(&self, subject: &Subject<'r>) -> Option<&'r str> {
        let id = match self.by {
            RolloutBy::Visitor => subject.visitor,
            RolloutBy::User => subject.person.map(|person| person.id),
        };
        id.filter(|id| !id.is_empty())
    }

    pub(super) fn place(&self, id: &str) -> u32 {
        self.salt.place(id)
    }

    /// Who owns every place, if one variant does: then nobody's place need be known, and crawlers and scripts move too.
    pub(super) fn sole_owner(&self) -> Option<VariantIndex> {
        let all = self
            .taken
            .iter()
            .find(|taken| taken.start == 0 && taken.end == PLACES);
        // A rollout by user is about people who are signed in; nobody's place is theirs.
        all.filter(|_| self.by == RolloutBy::Visitor)
            .map(|taken| taken.variant)
    }

    /// Who owns `place`; `None`: the default.
    pub(super) fn owner(&self, place: u32) -> Option<VariantIndex> {
        let owner = self
            .taken
            .iter()
            .find(|taken| (taken.start..taken.end).contains(&place));
        owner.map(|taken| taken.variant)
    }
}
