//! Prerequisites: what other flags must have chosen before a flag decides for itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Choice, Flag, FlagId, FlagProblem, FlagProblemKind, FlagSettings, VariantIndex};
use crate::name::{FlagKey, Place, VariantName};

/// Flags that one decision asks at most before its own: those that it requires, those that these require, and so on, each
/// as often as it is asked.
pub const PREREQUISITES_MAX: usize = 32;

/// What one other flag must have chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requires {
    /// Which flag.
    pub flag: FlagKey,
    /// Any of these. Empty: any but its default.
    pub variants: Vec<VariantName>,
    /// Where it is written.
    pub place: Place,
}

/// The same, ready to be asked.
#[derive(Debug)]
pub(super) struct Prerequisite {
    pub(super) flag: FlagId,
    pub(super) variants: Vec<VariantIndex>,
}

impl Prerequisite {
    /// Whether `flag` chose what is required. One that failed didn't choose.
    pub(super) fn is_met(&self, flag: &Flag, choice: &Choice) -> bool {
        match choice.variant {
            None => false,
            Some(_) if choice.error.is_some() => false,
            Some(variant) if self.variants.is_empty() => flag.default_variant() != Some(variant),
            Some(variant) => self.variants.contains(&variant),
        }
    }
}

/// Everything that is wrong with what `flags` require of one another. The order in which they come doesn't matter.
#[must_use]
pub fn check_requires<'s>(flags: impl IntoIterator<Item = &'s FlagSettings>) -> Vec<FlagProblem> {
    let flags: BTreeMap<&str, &FlagSettings> =
        flags.into_iter().map(|flag| (flag.key.as_str(), flag)).collect();
    let mut problems = Vec::new();
    for flag in flags.values() {
        for required in &flag.requires {
            let kind = match flags.get(required.flag.as_str()) {
                None => Some(FlagProblemKind::UnknownRequired(required.flag.clone())),
                Some(other) => unknown_variant(required, other),
            };
            problems.extend(kind.map(|kind| problem(flag, required, kind)));
        }
    }
    count(&flags, &mut problems);
    problems
}

fn problem(flag: &FlagSettings, required: &Requires, kind: FlagProblemKind) -> FlagProblem {
    FlagProblem {
        key: flag.key.clone(),
        place: required.place.clone(),
        kind,
    }
}

fn unknown_variant(required: &Requires, other: &FlagSettings) -> Option<FlagProblemKind> {
    let known = |name: &VariantName| other.variants.iter().any(|(variant, _)| variant == name);
    let unknown = required.variants.iter().find(|name| !known(name))?;
    Some(FlagProblemKind::UnknownRequiredVariant {
        flag: required.flag.clone(),
        variant: unknown.clone(),
    })
}

/// Takes away flags whose prerequisites are all counted, again and again. What can't be taken away leads into a circle.
fn count(flags: &BTreeMap<&str, &FlagSettings>, problems: &mut Vec<FlagProblem>) {
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    let mut open: BTreeSet<&str> = flags.keys().copied().collect();
    loop {
        let ready: Vec<&FlagSettings> = open
            .iter()
            .filter_map(|key| flags.get(key).copied())
            .filter(|flag| {
                flag.requires
                    .iter()
                    .all(|other| !open.contains(other.flag.as_str()))
            })
            .collect();
        for flag in &ready {
            let each = flag.requires.iter().map(|other| {
                let behind = asked.get(other.flag.as_str()).copied();
                behind.unwrap_or_default().saturating_add(1)
            });
            let count = each.fold(0, usize::saturating_add);
            if let (Some(first), true) = (flag.requires.first(), count > PREREQUISITES_MAX) {
                problems.push(problem(flag, first, FlagProblemKind::RequiresTooMany { count }));
            }
            asked.insert(flag.key.as_str(), count);
            open.remove(flag.key.as_str());
        }
        if !ready.is_empty() {
            continue;
        }
        let Some(circle) = circle(&open, flags) else {
            return;
        };
        for flag in &circle {
            open.remove(flag.key.as_str());
        }
        problems.extend(told(&circle));
    }
}

/// A circle among flags each of which requires another one of them, from the least key on.
fn circle<'s>(
    open: &BTreeSet<&str>,
    flags: &BTreeMap<&str, &'s FlagSettings>,
) -> Option<Vec<&'s FlagSettings>> {
    let mut way: Vec<&FlagSettings> = Vec::new();
    let mut here = flags.get(open.first()?).copied()?;
    loop {
        if let Some(seen) = way.iter().position(|flag| flag.key == here.key) {
            let mut circle = way.split_off(seen);
            let least = circle
                .iter()
                .enumerate()
                .min_by_key(|(_, flag)| &flag.key)
                .map_or(0, |(at, _)| at);
            circle.rotate_left(least);
            return Some(circle);
        }
        way.push(here);
        let next = here
            .requires
            .iter()
            .find(|other| open.contains(other.flag.as_str()))?;
        here = flags.get(next.flag.as_str()).copied()?;
    }
}

fn told(circle: &[&FlagSettings]) -> Option<FlagProblem> {
    let first = circle.first()?;
    let second = circle.get(1).unwrap_or(first);
    let required = first.requires.iter().find(|other| other.flag == second.key)?;
    let path = circle
        .iter()
        .chain([first])
        .map(|flag| flag.key.clone())
        .collect();
    Some(problem(first, required, FlagProblemKind::Circle(path)))
}
