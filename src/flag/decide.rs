//! Deciding: one function for live traffic and for `explain`, and the one place that says what goes before what.
//!
//! The first that answers wins: the kill switch, an override link, rules for staff, what other flags must have chosen, the layer,
//! rules, a pin, the rollout, the default.

use datalogic_rs::DataValue;

use super::{
    Choice, Fault, Flag, FlagState, Flags, Outcome, Reason, RolloutBy, Subject, VariantIndex, Watch,
    compile::{Before, Plan, RuleList},
    layer::Membership,
    logic::{self, Evaluation, Rule},
    requires::Prerequisite,
    rollout::Rollout,
};

impl Flag {
    /// Decides for `subject`, asking those of `flags` that it requires.
    pub(super) fn decide_among(
        &self,
        flags: &Flags,
        subject: &Subject<'_>,
        watch: &mut impl Watch,
    ) -> Choice {
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
                    before,
                    rules,
                    rollout,
                },
                FlagState::Enabled,
            ) => {
                let id = self.identity.id(subject);
                if let Some(before) = before
                    && let Some(choice) = self.decide_before(before, flags, (subject, id), watch)
                {
                    return choice;
                }
                if let Some(choice) = self.first_match(rules, (subject, id), watch) {
                    return choice;
                }
                if let Some(pinned) = self.pinned(subject, id) {
                    return pinned;
                }
                match rollout {
                    Some(rollout) => self.decide_by_rollout(rollout, (subject, id), watch),
                    None if rules.rules.is_empty() && before.is_none() => {
                        Choice::new(self.default, Reason::Static)
                    }
                    None => Choice::new(self.default, Reason::Default),
                }
            }
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

    /// What has its say before rules and rollout. `None`: nothing of it wants this visitor.
    fn decide_before(
        &self,
        before: &Before,
        flags: &Flags,
        (subject, id): (&Subject<'_>, Option<&str>),
        watch: &mut impl Watch,
    ) -> Option<Choice> {
        // Who isn't signed in is nobody's staff, whatever a rule makes of no name at all.
        if subject.person.is_some()
            && let Some(choice) = self.first_match(&before.staff, (subject, id), watch)
        {
            return Some(choice);
        }
        if !before
            .requires
            .iter()
            .all(|required| asks(required, flags, subject, watch))
        {
            return Some(Choice::new(self.default, Reason::Prerequisite));
        }
        let inside = before
            .layer
            .as_ref()
            .is_none_or(|member| is_inside(member, id, watch));
        (!inside).then(|| Choice::new(self.default, Reason::Layer))
    }

    fn decide_by_rollout(
        &self,
        rollout: &Rollout,
        (subject, id): (&Subject<'_>, Option<&str>),
        watch: &mut impl Watch,
    ) -> Choice {
        let place = id.map(|id| rollout.place(id));
        watch.rollout(self.identity, place);
        let Some(place) = place else {
            // A rollout by user is about people who are signed in; nobody's place is theirs.
            let owner = match self.identity {
                RolloutBy::Visitor => rollout.sole_owner(subject.now),
                RolloutBy::User => None,
            };
            return match owner {
                Some(variant) => Choice::new(Some(variant), Reason::Split),
                None => Choice::new(self.default, Reason::Default),
            };
        };
        let variant = rollout.owner(place, subject.now).or(self.default);
        Choice {
            bucket: Some(place),
            ..Choice::new(variant, Reason::Split)
        }
    }

    /// The first rule that matches decides. One that fails ends the search as well: what it would have said about this
    /// visitor is unknown, so only the default is safe.
    fn first_match(
        &self,
        list: &RuleList,
        (subject, id): (&Subject<'_>, Option<&str>),
        watch: &mut impl Watch,
    ) -> Option<Choice> {
        if list.rules.is_empty() {
            return None;
        }
        logic::with_context(subject, self.key.as_str(), id, list.needs, |at| {
            self.first_match_at(list, at, watch)
        })
    }

    fn first_match_at(&self, list: &RuleList, at: &Evaluation<'_>, watch: &mut impl Watch) -> Option<Choice> {
        for rule in &list.rules {
            let number = rule.number;
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

    pub(super) fn variant_named(&self, name: &str) -> Option<VariantIndex> {
        self.variants
            .iter()
            .position(|variant| variant.as_str() == name)
            .map(VariantIndex)
    }
}

impl RolloutBy {
    /// The id that it goes by, if there is one.
    fn id<'r>(self, subject: &Subject<'r>) -> Option<&'r str> {
        let id = match self {
            Self::Visitor => subject.visitor,
            Self::User => subject.person.map(|person| person.id),
        };
        id.filter(|id| !id.is_empty())
    }
}

/// Asks a flag that is required. That one may ask others: there is an end to it, since no circle is ever put together, and
/// [`super::PREREQUISITES_MAX`] bounds how many they are.
fn asks(required: &Prerequisite, flags: &Flags, subject: &Subject<'_>, watch: &mut impl Watch) -> bool {
    let Some(flag) = flags.get(required.flag) else {
        return false;
    };
    let choice = flag.decide_among(flags, subject, &mut ());
    let met = required.is_met(flag, &choice);
    let variant = choice.variant.and_then(|variant| flag.variant(variant));
    watch.required(flag.key(), variant, met);
    met
}

fn is_inside(member: &Membership, id: Option<&str>, watch: &mut impl Watch) -> bool {
    let place = id.map(|id| member.place(id));
    let takes = member.takes(place);
    watch.layer(&member.layer, place, takes);
    takes
}

#[cfg(test)]
impl Flag {
    /// Decides where there is no other flag.
    pub(super) fn decide(&self, subject: &Subject<'_>, watch: &mut impl Watch) -> Choice {
        self.decide_among(&Flags::default(), subject, watch)
    }
}
