//! Turns a flag's settings into something that decides, or says why it can't.

use std::{ops::Range, time::Duration};

use serde_json::{Map, Value};

use super::{
    Bucketing, FlagProblem, FlagProblemKind, FlagSettings, FlagState, RolloutBy, RuleSettings, Targeting,
    VariantIndex,
    bucket::{PLACES, Salt},
    failures::Failures,
    layer::Membership,
    logic::Rule,
    requires::Prerequisite,
    rollout::Rollout,
    staff,
    subject::Needs,
};
use crate::{
    clock::UnixTime,
    name::{FlagKey, LayerName, Place, SquadName, VariantName},
};

/// A flag, ready to decide.
#[derive(Debug)]
pub struct Flag {
    pub(super) key: FlagKey,
    pub(super) state: FlagState,
    pub(super) variants: Vec<VariantName>,
    pub(super) default: Option<VariantIndex>,
    pub(super) identity: RolloutBy,
    pub(super) plan: Plan,
    values: Vec<Value>,
    rule_names: Vec<(String, Place)>,
    place: Place,
    description: String,
    squad: Option<SquadName>,
    metadata: Map<String, Value>,
    settings: Box<FlagSettings>,
    pub(super) looks_at_visitor: bool,
    /// Its number in pins.
    pub(super) number: u32,
    pub(super) failures: Failures,
}

/// How a flag chooses.
#[derive(Debug)]
pub(super) enum Plan {
    /// Rules in order, then the rollout.
    Rules {
        /// `None` for most flags.
        before: Option<Box<Before>>,
        rules: RuleList,
        rollout: Option<Rollout>,
    },
    /// A flagd set's targeting.
    Targeting(Rule),
    /// A flagd set's flag without targeting.
    Static,
    /// A flagd set's flag whose targeting can't be compiled: only this flag fails, not the whole file.
    Broken(FlagProblem),
}

/// What is asked before the rules.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) staff: RuleList,
    pub(super) requires: Vec<Prerequisite>,
    pub(super) layer: Option<Membership>,
}

/// Rules in order, with what they look at.
#[derive(Debug, Default)]
pub(super) struct RuleList {
    pub(super) rules: Vec<PlannedRule>,
    pub(super) needs: Needs,
}

/// A rule that serves a variant.
#[derive(Debug)]
pub(super) struct PlannedRule {
    /// Which one of those written, from 0.
    pub(super) number: usize,
    pub(super) condition: Rule,
    pub(super) serve: VariantIndex,
}

impl RuleList {
    fn of(rules: Vec<PlannedRule>) -> Self {
        let needs = rules.iter().map(|rule| rule.condition.needs());
        let needs = needs.fold(Needs::default(), Needs::or);
        Self { rules, needs }
    }
}

impl Flag {
    /// Checks and compiles a flag.
    ///
    /// Targeting of a flagd set that can't be compiled is no error: flagd fails that one flag when it is asked for. See
    /// [`Flag::warning`].
    ///
    /// # Errors
    /// The first [`FlagProblem`] found.
    pub fn compile(settings: FlagSettings) -> Result<Self, FlagProblem> {
        let at_flag = |kind| FlagProblem {
            key: settings.key.clone(),
            place: settings.place.clone(),
            kind,
        };
        let variants: Vec<VariantName> = settings.variants.iter().map(|(name, _)| name.clone()).collect();
        check_variants(&variants).map_err(at_flag)?;
        let position = |name: &VariantName| {
            variants
                .iter()
                .position(|variant| variant == name)
                .map(VariantIndex)
        };
        let default = match &settings.default {
            Some(name) => {
                Some(position(name).ok_or_else(|| at_flag(FlagProblemKind::UnknownDefault(name.clone())))?)
            }
            None => None,
        };
        let mut rule_names = Vec::new();
        let plan = match &settings.targeting {
            Targeting::Rules { rules, rollout } => {
                let default = default.ok_or_else(|| at_flag(FlagProblemKind::NoDefault))?;
                rule_names = rules
                    .iter()
                    .map(|rule| (rule.name.clone(), rule.place.clone()))
                    .collect();
                let (staff, rules) = plan_rules(rules, &settings, position)?;
                let salt = Salt::new(settings.bucketing, settings.key.as_str());
                let compiled = |rollout| Rollout::compile(rollout, salt, &variants, default);
                let rollout = rollout.as_ref().map(compiled).transpose().map_err(at_flag)?;
                let before = (!staff.rules.is_empty()).then(|| {
                    Box::new(Before {
                        staff,
                        ..Before::default()
                    })
                });
                Plan::Rules {
                    before,
                    rules,
                    rollout,
                }
            }
            Targeting::JsonLogic(rule) => plan_targeting(rule, settings.bucketing, at_flag),
        };
        let written = Box::new(settings.clone());
        let looks_at_visitor = settings.state == FlagState::Enabled && looks_at_visitor(&settings);
        let values = settings.variants.into_iter().map(|(_, value)| value).collect();
        Ok(Self {
            number: super::pin::number(settings.key.as_str()),
            key: settings.key,
            state: settings.state,
            variants,
            default,
            identity: settings.identity,
            plan,
            values,
            rule_names,
            place: settings.place,
            description: settings.description,
            squad: settings.squad,
            metadata: settings.metadata,
            settings: written,
            looks_at_visitor,
            failures: Failures::default(),
        })
    }

    /// As its file has it.
    #[must_use]
    pub fn settings(&self) -> &FlagSettings {
        &self.settings
    }

    /// Whether who the visitor is can change what it decides. Where it can't, nobody needs a cookie for it.
    #[must_use]
    pub fn looks_at_visitor(&self) -> bool {
        self.looks_at_visitor
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &FlagKey {
        &self.key
    }

    /// Where it is written.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What it is for.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Who owns it.
    #[must_use]
    pub fn squad(&self) -> Option<&SquadName> {
        self.squad.as_ref()
    }

    /// Whether it decides at all.
    #[must_use]
    pub fn state(&self) -> FlagState {
        self.state
    }

    /// Free metadata (flagd).
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// Whether browsers may read what it decides for them.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.settings.public
    }

    /// Its variants in order; their places are [`VariantIndex`]es.
    #[must_use]
    pub fn variants(&self) -> &[VariantName] {
        &self.variants
    }

    /// The variant at a place that this flag gave out.
    #[must_use]
    pub fn variant(&self, index: VariantIndex) -> Option<&VariantName> {
        self.variants.get(index.0)
    }

    /// The value that a variant carries.
    #[must_use]
    pub fn value(&self, index: VariantIndex) -> Option<&Value> {
        self.values.get(index.0)
    }

    /// Who nobody else wants. `None` only in flagd sets.
    #[must_use]
    pub fn default_variant(&self) -> Option<VariantIndex> {
        self.default
    }

    /// A rule's name and place; `None` in flagd sets, whose one rule has neither.
    #[must_use]
    pub fn rule(&self, rule: usize) -> Option<(&str, &Place)> {
        self.rule_names
            .get(rule)
            .map(|(name, place)| (name.as_str(), place))
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.state == FlagState::Enabled
    }

    /// The places that its layer gives it, in thousandths of a percent.
    #[must_use]
    pub fn layer_range(&self) -> Option<Range<u32>> {
        match &self.plan {
            Plan::Rules {
                before: Some(before), ..
            } => before.layer.as_ref().map(|member| member.range.clone()),
            _ => None,
        }
    }

    /// Counts up when what visitors were pinned to is void.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.settings.epoch
    }

    /// How long open connections keep on with a variant that nobody gets any more.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.settings.drain
    }

    /// Its layer, and its places there in thousandths of a percent.
    #[must_use]
    pub fn layer(&self) -> Option<(&LayerName, Range<u32>)> {
        let Plan::Rules { before, .. } = &self.plan else {
            return None;
        };
        let member = before.as_ref()?.layer.as_ref()?;
        Some((&member.layer, member.range.clone()))
    }

    /// Each variant's share of those whom the rules leave, in thousandths of a percent, as it is at a moment; a disabled flag's
    /// default has everything. `None` where one expression decides (flagd sets).
    #[must_use]
    pub fn shares(&self, now: UnixTime) -> Option<Vec<u32>> {
        let Plan::Rules { rollout, .. } = &self.plan else {
            return None;
        };
        let rollout = rollout.as_ref().filter(|_| self.is_enabled());
        let mut shares = vec![0; self.variants.len()];
        for (variant, taken) in rollout.into_iter().flat_map(|rollout| rollout.taken(now)) {
            if let Some(share) = shares.get_mut(variant.0) {
                *share = taken.end - taken.start;
            }
        }
        let left = PLACES.saturating_sub(shares.iter().sum());
        if let Some(share) = self.default.and_then(|default| shares.get_mut(default.0)) {
            *share = left;
        }
        Some(shares)
    }

    /// The places that each variant but the default can have at most, whatever its share: who stands there moves to no other
    /// variant while these stay.
    pub fn ranges(&self) -> impl Iterator<Item = (&VariantName, Range<u32>)> {
        let rollout = match &self.plan {
            Plan::Rules { rollout, .. } => rollout.as_ref(),
            Plan::Targeting(_) | Plan::Static | Plan::Broken(_) => None,
        };
        let ranges = rollout.into_iter().flat_map(Rollout::ranges);
        ranges.filter_map(|(variant, range)| Some((self.variants.get(variant.0)?, range)))
    }

    /// What a strict check should refuse although the flag can be loaded: targeting that can't be compiled.
    #[must_use]
    pub fn warning(&self) -> Option<&FlagProblem> {
        match &self.plan {
            Plan::Broken(problem) => Some(problem),
            Plan::Rules { .. } | Plan::Targeting(_) | Plan::Static => None,
        }
    }
}

/// Flags that it requires may as well: that is found out when flags are put together.
fn looks_at_visitor(settings: &FlagSettings) -> bool {
    // A word that stands there without being meant costs a cookie, no more.
    let mentions = |rule: &Value| {
        let rule = rule.to_string();
        ["visitor", "targetingKey", "fractional"]
            .iter()
            .any(|word| rule.contains(word))
    };
    match &settings.targeting {
        Targeting::Rules { rules, rollout } => {
            let by_visitor = settings.identity == RolloutBy::Visitor;
            (by_visitor && (rollout.is_some() || settings.layer.is_some()))
                || rules.iter().any(|rule| mentions(&rule.condition))
        }
        Targeting::JsonLogic(rule) => mentions(rule),
    }
}

fn check_variants(variants: &[VariantName]) -> Result<(), FlagProblemKind> {
    if variants.is_empty() {
        return Err(FlagProblemKind::NoVariants);
    }
    let twice = |(at, name): &(usize, &VariantName)| variants.iter().take(*at).any(|before| before == *name);
    match variants.iter().enumerate().find(twice) {
        Some((_, name)) => Err(FlagProblemKind::VariantTwice(name.clone())),
        None => Ok(()),
    }
}

/// The rules for staff, and the others.
fn plan_rules(
    rules: &[RuleSettings],
    settings: &FlagSettings,
    position: impl Fn(&VariantName) -> Option<VariantIndex>,
) -> Result<(RuleList, RuleList), FlagProblem> {
    let plan = |number, rule: &RuleSettings| {
        let serve = position(&rule.serve).ok_or_else(|| FlagProblemKind::UnknownServed {
            rule: rule.name.clone(),
            variant: rule.serve.clone(),
        })?;
        let bad = |reason| FlagProblemKind::BadRule {
            rule: rule.name.clone(),
            reason,
        };
        let condition = Rule::compile(&rule.condition, settings.bucketing).map_err(bad)?;
        if rule.staff {
            staff::check(&rule.condition).map_err(bad)?;
        }
        Ok(PlannedRule {
            number,
            condition,
            serve,
        })
    };
    let (mut staff, mut others) = (Vec::new(), Vec::new());
    for (number, rule) in rules.iter().enumerate() {
        let planned = plan(number, rule).map_err(|kind| FlagProblem {
            key: settings.key.clone(),
            place: rule.place.clone(),
            kind,
        })?;
        let list = if rule.staff { &mut staff } else { &mut others };
        list.push(planned);
    }
    Ok((RuleList::of(staff), RuleList::of(others)))
}

fn plan_targeting(
    rule: &Value,
    bucketing: Bucketing,
    at_flag: impl FnOnce(FlagProblemKind) -> FlagProblem,
) -> Plan {
    if rule.is_null() || rule.as_object().is_some_and(Map::is_empty) {
        return Plan::Static;
    }
    match Rule::compile(rule, bucketing) {
        Ok(rule) => Plan::Targeting(rule),
        Err(reason) => Plan::Broken(at_flag(FlagProblemKind::BadRule {
            rule: "targeting".to_owned(),
            reason,
        })),
    }
}
