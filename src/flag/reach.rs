//! Which variants a flag can still give to anybody, without asking who: what it can't give any more is switched off.

use std::time::Duration;

use serde_json::Value;

use super::{Flag, FlagState, Targeting};

/// How long open connections to a side that was switched off have, unless the flag says otherwise: half a minute lets a download end
/// and spreads those who come back.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(30);
/// The longest that a flag may leave connections on a side that was switched off.
pub const DRAIN_MAX: Duration = Duration::from_secs(3600);

impl Flag {
    /// Whether it can give the variant of this name to anybody, as it stands. In doubt it can: only what is certain ends connections.
    #[must_use]
    pub fn may_give(&self, variant: &str) -> bool {
        let settings = self.settings();
        if !self.variants().iter().any(|known| known.as_str() == variant) {
            return false;
        }
        if settings
            .default
            .as_ref()
            .is_some_and(|default| default.as_str() == variant)
        {
            return true; // whoever nothing else wants: also what goes wrong leads there
        }
        if settings.state == FlagState::Disabled || self.warning().is_some() {
            return false;
        }
        match &settings.targeting {
            Targeting::Rules { rules, rollout } => {
                settings.sticky // whom a pin keeps
                    || rules.iter().any(|rule| rule.serve.as_str() == variant)
                    || rollout.as_ref().is_some_and(|rollout| {
                        let later = rollout.schedule.iter().flat_map(|point| &point.shares);
                        let mut shares = rollout.shares.iter().chain(later);
                        shares.any(|(name, share)| name.as_str() == variant && *share > 0)
                    })
            }
            Targeting::JsonLogic(rule) => may_answer(rule, variant),
        }
    }
}

/// Whether an expression of JsonLogic may come to `variant`. What isn't one of the operators that choose may come to anything.
fn may_answer(rule: &Value, variant: &str) -> bool {
    match rule {
        Value::Null | Value::Array(_) => false,
        Value::Bool(truth) => variant == if *truth { "true" } else { "false" },
        Value::Number(number) => number.to_string() == variant,
        Value::String(name) => name == variant,
        Value::Object(operation) => {
            let mut members = operation.iter();
            match (members.next(), members.next()) {
                (None, _) => false, // no targeting at all
                (Some((operator, Value::Array(arguments))), None) => match operator.as_str() {
                    "if" | "?:" => results(arguments).any(|result| may_answer(result, variant)),
                    "and" | "or" => arguments.iter().any(|argument| may_answer(argument, variant)),
                    "fractional" => arguments.iter().any(|bucket| bucket_may_answer(bucket, variant)),
                    _ => true,
                },
                _ => true,
            }
        }
    }
}

/// What `if` can come to: every second argument, and a last one that stands alone.
fn results(arguments: &[Value]) -> impl Iterator<Item = &Value> {
    let last = arguments.len().saturating_sub(1);
    arguments
        .iter()
        .enumerate()
        .filter(move |(at, _)| at % 2 == 1 || *at == last)
        .map(|(_, argument)| argument)
}

/// A bucket is a list of a variant and, perhaps, a weight. What is no list says whose place counts.
fn bucket_may_answer(bucket: &Value, variant: &str) -> bool {
    let Some(bucket) = bucket.as_array() else {
        return false;
    };
    let empty = bucket
        .get(1)
        .and_then(Value::as_f64)
        .is_some_and(|weight| weight == 0.0);
    !empty && bucket.first().is_some_and(|name| may_answer(name, variant))
}
