//! Deciding: one function for live traffic and for `explain`.

use datalogic_rs::DataValue;

use super::{
    Choice, Fault, Flag, FlagState, Outcome, Reason, Subject, VariantIndex, Watch,
    compile::{Plan, PlannedRule},
    logic::{self, Evaluation, Rule},
    rollout::Rollout,
    subject::Needs,
};

impl Flag {
    /// Decides for `subject`. Never fails: what goes wrong is in the choice, and the default is served.
    ///
    /// A flag that has only a rollout decides without allocating.
    pub fn decide(&self, subject: &Subject<'_>, watch: &mut impl Watch) -> Choice {
        if let Some(forced) = self.forced(subject) {
            return forced;
        }
        match (&self.plan, self.state) {
            (Plan::Rules { .. }, FlagState::Disabled) => Choice::new(self.default, Reason::Disabled),
            // flagd answers a disabled flag with no variant at all, so that the code's own default is used.
            (Plan::Targeting(_) | Plan::Static | Plan::Broken(_), FlagState::Disabled) => {
                Choice::new(None, Reason::Disabled)
            }
            (
                Plan::Rules {
                    rules,
                    needs,
                    rollout,
                },
                FlagState::Enabled,
            ) => self.decide_by_rules(rules, *needs, rollout.as_ref(), subject, watch),
            (Plan::Targeting(rule), FlagState::Enabled) => self.decide_by_targeting(rule, subject, watch),
            (Plan::Static, FlagState::Enabled) => {
                let reason = if self.default.is_some() {
                    Reason::Static
                } else {
                    Reason::Default
                };
                Choice::new(self.default, reason)
            }
            (Plan::Broken(problem), FlagState::Enabled) => {
                watch.rule(0, Outcome::Failed(&problem.kind));
                Choice::failed(None, Fault::Parse)
            }
        }
    }

    fn decide_by_rules(
        &self,
        rules: &[PlannedRule],
        needs: Needs,
        rollout: Option<&Rollout>,
        subject: &Subject<'_>,
        watch: &mut impl Watch,
    ) -> Choice {
        let id = match rollout {
            Some(rollout) => rollout.id(subject),
            None => subject.visitor,
        };
        if !rules.is_empty() {
            let judge = |at: &Evaluation<'_>| self.first_match(rules, at, watch);
            if let Some(choice) = logic::with_context(subject, self.key.as_str(), id, needs, judge) {
                return choice;
            }
        }
        if let Some(pinned) = self.pinned(subject, id) {
            return pinned;
        }
        let Some(rollout) = rollout else {
            let reason = if rules.is_empty() {
                Reason::Static
            } else {
                Reason::Default
            };
            return Choice::new(self.default, reason);
        };
        let place = id.map(|id| rollout.place(id));
        watch.rollout(rollout.by(), place);
        match place {
            None => match rollout.sole_owner() {
                Some(variant) => Choice::new(Some(variant), Reason::Split),
                None => Choice::new(self.default, Reason::Default),
            },
            Some(place) => {
                let variant = rollout.owner(place).or(self.default);
                Choice {
                    bucket: Some(place),
                    ..Choice::new(variant, Reason::Split)
                }
            }
        }
    }

    /// The first rule that matches decides. One that fails ends the search as well: what it would have said about this
    /// visitor is unknown, so only the default is safe.
    fn first_match(
        &self,
        rules: &[PlannedRule],
        at: &Evaluation<'_>,
        watch: &mut impl Watch,
    ) -> Option<Choice> {
        for (number, rule) in rules.iter().enumerate() {
            match rule.condition.holds(at) {
                Ok(true) => {
                    watch.rule(number, Outcome::Match);
                    return Some(Choice::new(Some(rule.serve), Reason::TargetingMatch).by_rule(number));
                }
                Ok(false) => watch.rule(number, Outcome::NoMatch),
                Err(failure) => {
                    watch.rule(number, Outcome::Failed(&failure));
                    return Some(Choice::failed(self.default, Fault::Parse).by_rule(number));
                }
            }
        }
        None
    }

    fn decide_by_targeting(&self, rule: &Rule, subject: &Subject<'_>, watch: &mut impl Watch) -> Choice {
        let key = self.key.as_str();
        logic::with_context(subject, key, subject.visitor, rule.needs(), |at| {
            match rule.evaluate(at) {
                Err(failure) => {
                    watch.rule(0, Outcome::Failed(&failure));
                    Choice::failed(None, Fault::Parse)
                }
                Ok(answer) => {
                    watch.rule(0, Outcome::Answer(answer));
                    self.answered(answer)
                }
            }
        })
    }

    fn answered(&self, answer: &DataValue<'_>) -> Choice {
        let variant = match answer {
            DataValue::Null => return Choice::new(self.default, Reason::Default),
            DataValue::String(name) => self.variant_named(name),
            DataValue::Bool(true) => self.variant_named("true"),
            DataValue::Bool(false) => self.variant_named("false"),
            DataValue::Number(number) => self.variant_named(&number.to_string()),
            DataValue::Array(_) | DataValue::Object(_) => None,
        };
        match variant {
            Some(variant) => Choice::new(Some(variant), Reason::TargetingMatch).by_rule(0),
            None => Choice::failed(None, Fault::General).by_rule(0),
        }
    }

    fn variant_named(&self, name: &str) -> Option<VariantIndex> {
        self.variants
            .iter()
            .position(|variant| variant.as_str() == name)
            .map(VariantIndex)
    }
}
