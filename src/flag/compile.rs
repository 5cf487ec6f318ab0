//! Turns a flag's settings into something that decides, or says why it can't.

use serde_json::{Map, Value};

use super::{
    Bucketing, FlagProblem, FlagProblemKind, FlagSettings, FlagState, RolloutBy, RuleSettings, Targeting,
    VariantIndex, bucket::Salt, logic::Rule, rollout::Rollout, subject::Needs,
};
use crate::name::{FlagKey, Place, SquadName, VariantName};

/// A flag, ready to decide.
#[derive(Debug)]
pub struct Flag {
    pub(super) key: FlagKey,
    pub(super) state: FlagState,
    pub(super) variants: Vec<VariantName>,
    pub(super) default: Option<VariantIndex>,
    pub(super) plan: Plan,
    values: Vec<Value>,
    rule_names: Vec<(String, Place)>,
    place: Place,
    description: String,
    squad: Option<SquadName>,
    metadata: Map<String, Value>,
    settings: Box<FlagSettings>,
    looks_at_visitor: bool,
}

/// How a flag chooses.
#[derive(Debug)]
pub(super) enum Plan {
    /// Rules in order, then the rollout.
    Rules {
        rules: Vec<PlannedRule>,
        needs: Needs,
        rollout: Option<Rollout>,
    },
    /// A flagd set's targeting.
    Targeting(Rule),
    /// A flagd set's flag without targeting.
    Static,
    /// A flagd set's flag whose targeting can't be compiled: only this flag fails, not the whole file.
    Broken(FlagProblem),
}

/// A rule that serves a variant.
#[derive(Debug)]
pub(super) struct PlannedRule {
    pub(super) condition: Rule,
    pub(super) serve: VariantIndex,
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
                let rules = plan_rules(rules, &settings, position)?;
                let needs = rules
                    .iter()
                    .map(|rule| rule.condition.needs())
                    .fold(Needs::default(), Needs::or);
                let salt = Salt::new(settings.bucketing, settings.key.as_str());
                let compiled = |rollout| Rollout::compile(rollout, salt, &variants, default);
                let rollout = rollout.as_ref().map(compiled).transpose().map_err(at_flag)?;
                Plan::Rules {
                    rules,
                    needs,
                    rollout,
                }
            }
            Targeting::JsonLogic(rule) => plan_targeting(rule, settings.bucketing, at_flag),
        };
        let written = Box::new(settings.clone());
        let looks_at_visitor = settings.state == FlagState::Enabled && looks_at_visitor(&settings.targeting);
        let values = settings.variants.into_iter().map(|(_, value)| value).collect();
        Ok(Self {
            key: settings.key,
            state: settings.state,
            variants,
            default,
            plan,
            values,
            rule_names,
            place: settings.place,
            description: settings.description,
            squad: settings.squad,
            metadata: settings.metadata,
            settings: written,
            looks_at_visitor,
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

    /// What a strict check should refuse although the flag can be loaded: targeting that can't be compiled.
    #[must_use]
    pub fn warning(&self) -> Option<&FlagProblem> {
        match &self.plan {
            Plan::Broken(problem) => Some(problem),
            Plan::Rules { .. } | Plan::Targeting(_) | Plan::Static => None,
        }
    }
}

fn looks_at_visitor(targeting: &Targeting) -> bool {
    // A word that stands there without being meant costs a cookie, no more.
    let mentions = |rule: &Value| {
        let rule = rule.to_string();
        ["visitor", "targetingKey", "fractional"]
            .iter()
            .any(|word| rule.contains(word))
    };
    match targeting {
        Targeting::Rules { rules, rollout } => {
            rollout
                .as_ref()
                .is_some_and(|rollout| rollout.by == RolloutBy::Visitor)
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

fn plan_rules(
    rules: &[RuleSettings],
    settings: &FlagSettings,
    position: impl Fn(&VariantName) -> Option<VariantIndex>,
) -> Result<Vec<PlannedRule>, FlagProblem> {
    let plan = |rule: &RuleSettings| {
        let serve = position(&rule.serve).ok_or_else(|| FlagProblemKind::UnknownServed {
            rule: rule.name.clone(),
            variant: rule.serve.clone(),
        })?;
        let condition = Rule::compile(&rule.condition, settings.bucketing).map_err(|reason| {
            FlagProblemKind::BadRule {
                rule: rule.name.clone(),
                reason,
            }
        })?;
        Ok(PlannedRule { condition, serve })
    };
    let problem = |rule: &RuleSettings, kind| FlagProblem {
        key: settings.key.clone(),
        place: rule.place.clone(),
        kind,
    };
    rules
        .iter()
        .map(|rule| plan(rule).map_err(|kind| problem(rule, kind)))
        .collect()
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
