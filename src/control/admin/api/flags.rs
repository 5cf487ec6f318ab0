//! Flags, how each chooses, and the routes that ask it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{answer::Answer, endpoints::Asked, refusal::Refusal},
    RouteName,
};
use crate::{
    control::plane::View,
    flag::{self, Bucketing, FlagId, FlagState, RolloutBy, Targeting},
    snapshot::{Snapshot, Target},
};

/// All flags.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Flags {
    /// Version of the snapshot in force.
    version: u64,
    /// By key.
    flags: Vec<Flag>,
}

/// A flag.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Flag {
    /// Its key.
    pub(in super::super) key: String,
    /// What it is for.
    pub(in super::super) description: String,
    /// Who owns it.
    pub(in super::super) squad: Option<String>,
    /// Where it is written.
    pub(in super::super) place: String,
    /// `enabled`, or `disabled`: everyone gets the default.
    pub(in super::super) state: String,
    /// Its variants in order.
    pub(in super::super) variants: Vec<Variant>,
    /// Who nobody else wants; none only in flagd sets.
    pub(in super::super) default: Option<String>,
    /// Its rules in order; the first that matches decides.
    pub(in super::super) rules: Vec<FlagRule>,
    /// Whose place between 0 and 100 % decides for everyone the rules leave: `visitor` or `user`; none: there is no rollout.
    pub(in super::super) rollout_by: Option<String>,
    /// Shares in percent as its file gives them, whether it is enabled or not; none: there is no rollout.
    pub(in super::super) shares: Option<BTreeMap<String, f64>>,
    /// How a place is computed: `murmur3-v2` or `murmur3-cbor-v3`.
    pub(in super::super) bucketing: String,
    /// One JsonLogic expression decides (a flagd set), instead of rules and rollout.
    pub(in super::super) targeting: Option<serde_json::Value>,
    /// Why its targeting can't be used, if it can't.
    pub(in super::super) problem: Option<String>,
    /// Routes that ask it.
    pub(in super::super) routes: Vec<FlagRoute>,
}

/// A variant.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Variant {
    /// Its name.
    pub(in super::super) name: String,
    /// The value that it carries.
    pub(in super::super) value: serde_json::Value,
    /// Its share in percent of everyone the rules leave, as things are; none where targeting decides.
    pub(in super::super) share: Option<f64>,
}

/// A rule.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FlagRule {
    /// What a person calls it.
    pub(in super::super) name: String,
    /// Where it is written.
    pub(in super::super) place: String,
    /// The variant that it serves.
    pub(in super::super) serve: String,
    /// Whom it takes: JsonLogic.
    pub(in super::super) condition: serde_json::Value,
}

/// A route that asks a flag.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FlagRoute {
    /// Which one.
    pub(in super::super) route: RouteName,
    /// The flag picks its backend; else the backend is only told.
    pub(in super::super) picks_backend: bool,
}

/// `GET /api/flags`.
pub(in super::super) fn answer(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    Answer::json(
        at.version,
        &Flags {
            version: at.version,
            flags: all(&at),
        },
    )
}

/// `GET /api/flags/{key}`.
pub(in super::super) fn answer_one(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    Answer::json(at.version, &one(&asked.key, &at)?)
}

/// A flag by its key.
pub(in super::super) fn one(key: &str, at: &Snapshot) -> Result<Flag, Refusal> {
    let unknown = || Refusal::Unknown("flag", key.to_owned());
    let id = at.flags.by_key(key).ok_or_else(unknown)?;
    let flag = at.flags.get(id).ok_or_else(unknown)?;
    Ok(Flag::of(id, flag, at))
}

/// All flags by key.
pub(in super::super) fn all(at: &Snapshot) -> Vec<Flag> {
    at.flags.iter().map(|(id, flag)| Flag::of(id, flag, at)).collect()
}

impl Flag {
    fn of(id: FlagId, flag: &flag::Flag, at: &Snapshot) -> Self {
        let settings = flag.settings();
        let mut shown = Self {
            key: flag.key().to_string(),
            description: flag.description().to_owned(),
            squad: flag.squad().map(ToString::to_string),
            place: flag.place().to_string(),
            state: match flag.state() {
                FlagState::Enabled => "enabled".to_owned(),
                FlagState::Disabled => "disabled".to_owned(),
            },
            variants: variants(settings),
            default: settings.default.as_ref().map(ToString::to_string),
            rules: Vec::new(),
            rollout_by: None,
            shares: None,
            bucketing: match settings.bucketing {
                Bucketing::Murmur3V2 => "murmur3-v2".to_owned(),
                Bucketing::Murmur3CborV3 => "murmur3-cbor-v3".to_owned(),
            },
            targeting: None,
            problem: flag.warning().map(ToString::to_string),
            routes: routes(id, at),
        };
        match &settings.targeting {
            Targeting::JsonLogic(expression) => shown.targeting = Some(expression.clone()),
            Targeting::Rules { rules, rollout } => {
                let rules = rules.iter().map(|rule| FlagRule {
                    name: rule.name.clone(),
                    place: rule.place.to_string(),
                    serve: rule.serve.to_string(),
                    condition: rule.condition.clone(),
                });
                shown.rules = rules.collect();
                shown.shares = rollout.as_ref().map(|rollout| {
                    let shares = rollout.shares.iter();
                    shares
                        .map(|(variant, share)| (variant.to_string(), f64::from(*share) / 1000.0))
                        .collect()
                });
                shown.rollout_by = rollout.as_ref().map(|rollout| match rollout.by {
                    RolloutBy::Visitor => "visitor".to_owned(),
                    RolloutBy::User => "user".to_owned(),
                });
            }
        }
        shown
    }
}

fn variants(settings: &flag::FlagSettings) -> Vec<Variant> {
    let shares = shares(settings);
    let shown = |(at, (name, value)): (usize, &(crate::name::VariantName, serde_json::Value))| Variant {
        name: name.to_string(),
        value: value.clone(),
        share: shares
            .as_ref()
            .and_then(|shares| shares.get(at))
            .map(|share| f64::from(*share) / 1000.0),
    };
    settings.variants.iter().enumerate().map(shown).collect()
}

/// Shares of all variants in thousandths of a percent, as things are: a disabled flag's default has everything.
fn shares(settings: &flag::FlagSettings) -> Option<Vec<u32>> {
    let rollout = match (&settings.targeting, settings.state) {
        (Targeting::Rules { rollout, .. }, FlagState::Enabled) => rollout.as_ref(),
        (Targeting::Rules { .. }, FlagState::Disabled) => None,
        (Targeting::JsonLogic(_), _) => return None,
    };
    let given = rollout
        .map(|rollout| rollout.shares.as_slice())
        .unwrap_or_default();
    let taken: u32 = given.iter().map(|(_, share)| *share).sum();
    let share = |(name, _): &(crate::name::VariantName, serde_json::Value)| {
        let own: u32 = given
            .iter()
            .filter(|(given, _)| given == name)
            .map(|(_, share)| *share)
            .sum();
        let left = if settings.default.as_ref() == Some(name) {
            100_000_u32.saturating_sub(taken)
        } else {
            0
        };
        own + left
    };
    Some(settings.variants.iter().map(share).collect())
}

fn routes(id: FlagId, at: &Snapshot) -> Vec<FlagRoute> {
    let asking = at.rules.iter().filter(|rule| rule.flags.contains(&id));
    asking
        .map(|rule| FlagRoute {
            route: RouteName::of(rule),
            picks_backend: matches!(rule.target, Target::Variants { .. }) && rule.flags.first() == Some(&id),
        })
        .collect()
}
