//! Flags, how each chooses, and the routes that ask it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{answer::Answer, endpoints::Asked, refusal::Refusal},
    RouteName,
};
use crate::{
    clock,
    control::{edit::Editor, plane::View},
    flag::{self, Bucketing, FlagId, FlagState, RolloutBy, Targeting},
    name::VariantName,
    observe::log::rfc3339,
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
    /// Its file as it serves: a hash of the text, which `If-Match` names in quotes.
    pub(in super::super) version: String,
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
    /// Whose id its layer and its rollout go by: `visitor` or `user`.
    pub(in super::super) identity: String,
    /// What other flags must have chosen, or everyone gets the default.
    pub(in super::super) requires: Vec<FlagRequires>,
    /// What is its own of a layer, if it is in one.
    pub(in super::super) layer: Option<FlagLayer>,
    /// Its rules in order; the first that matches decides.
    pub(in super::super) rules: Vec<FlagRule>,
    /// Whose place between 0 and 100 % decides for everyone the rules leave: `visitor` or `user`; none: there is no rollout.
    pub(in super::super) rollout_by: Option<String>,
    /// How its shares come to be, if there is a rollout.
    pub(in super::super) rollout: Option<FlagRollout>,
    /// Counts up when what visitors were pinned to is void.
    pub(in super::super) epoch: u32,
    /// Browsers may read it.
    pub(in super::super) public: bool,
    /// Seconds that open connections keep on with a variant that nobody gets any more.
    pub(in super::super) drain_seconds: f64,
    /// Whom the rollout put on a variant, a pin keeps there.
    pub(in super::super) sticky: bool,
    /// Whoever signs in becomes the visitor that this user is on every device.
    pub(in super::super) adopts: bool,
    /// Shares in percent as its file gives them, whether it is enabled or not; none: there is no rollout.
    pub(in super::super) shares: Option<BTreeMap<String, f64>>,
    /// How a place is computed: `murmur3-v2` or `murmur3-cbor-v3`.
    pub(in super::super) bucketing: String,
    /// One JsonLogic expression decides (a flagd set), instead of rules and rollout.
    pub(in super::super) targeting: Option<serde_json::Value>,
    /// Why its targeting can't be used, if it can't.
    pub(in super::super) problem: Option<String>,
    /// Requests whose decision failed, so that they got the default, since this program began to serve the flag.
    pub(in super::super) errors: u64,
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
    /// It looks at who is signed in alone, and goes before what the flag requires, its layer and all other rules.
    pub(in super::super) staff: bool,
}

/// What another flag must have chosen.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FlagRequires {
    /// Which flag.
    pub(in super::super) flag: String,
    /// Any of these; none: any but its default.
    pub(in super::super) variants: Vec<String>,
}

/// What is a flag's own of its layer.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FlagLayer {
    /// The layer.
    pub(in super::super) name: String,
    /// The first place that is its own, in percent.
    pub(in super::super) from: f64,
    /// The first place behind, in percent.
    pub(in super::super) to: f64,
}

/// How shares come to be.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FlagRollout {
    /// How wide each variant's range is, where ranges aren't equally wide.
    pub(in super::super) split: Vec<FlagShare>,
    /// What is between two points of the schedule: `steps` or `linear`.
    pub(in super::super) shape: String,
    /// What the shares become, in the order of time.
    pub(in super::super) schedule: Vec<FlagPoint>,
}

/// Shares from a moment on.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FlagPoint {
    /// From when on (RFC 3339).
    pub(in super::super) at: String,
    /// Those that change.
    pub(in super::super) shares: Vec<FlagShare>,
}

/// A variant's percentage.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FlagShare {
    /// The variant.
    pub(in super::super) variant: String,
    /// In percent.
    pub(in super::super) percent: f64,
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
            flags: all(&at, &view.editor),
        },
    )
}

/// `GET /api/flags/{key}`.
pub(in super::super) fn answer_one(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    let flag = one(&asked.key, &at, &view.editor)?;
    let mut answer = Answer::json(at.version, &flag)?;
    answer.tag = Some(format!("\"{}\"", flag.version));
    answer.always = true; // routes that ask it come and go without a new version
    Ok(answer)
}

/// A flag by its key.
pub(in super::super) fn one(key: &str, at: &Snapshot, editor: &Editor) -> Result<Flag, Refusal> {
    Flag::by_key(key, at, editor).ok_or_else(|| Refusal::Unknown("flag", key.to_owned()))
}

/// All flags by key.
pub(in super::super) fn all(at: &Snapshot, editor: &Editor) -> Vec<Flag> {
    let flags = at.flags.iter();
    flags.map(|(id, flag)| Flag::of(id, flag, at, editor)).collect()
}

impl Flag {
    /// The flag with this key.
    pub(super) fn by_key(key: &str, at: &Snapshot, editor: &Editor) -> Option<Self> {
        let id = at.flags.by_key(key)?;
        Some(Self::of(id, at.flags.get(id)?, at, editor))
    }

    fn of(id: FlagId, flag: &flag::Flag, at: &Snapshot, editor: &Editor) -> Self {
        let settings = flag.settings();
        let mut shown = Self {
            key: flag.key().to_string(),
            version: editor.version(&flag.place().file).to_string(),
            description: flag.description().to_owned(),
            squad: flag.squad().map(ToString::to_string),
            place: flag.place().to_string(),
            state: match flag.state() {
                FlagState::Enabled => "enabled".to_owned(),
                FlagState::Disabled => "disabled".to_owned(),
            },
            variants: variants(flag),
            default: settings.default.as_ref().map(ToString::to_string),
            identity: identity(settings.identity).to_owned(),
            requires: settings.requires.iter().map(FlagRequires::of).collect(),
            layer: flag.layer().map(|(name, range)| FlagLayer {
                name: name.to_string(),
                from: percent(range.start),
                to: percent(range.end),
            }),
            rules: Vec::new(),
            rollout_by: None,
            rollout: None,
            epoch: flag.epoch(),
            public: flag.is_public(),
            drain_seconds: flag.drain().as_secs_f64(),
            sticky: settings.sticky,
            adopts: settings.adopts,
            shares: None,
            bucketing: match settings.bucketing {
                Bucketing::Murmur3V2 => "murmur3-v2".to_owned(),
                Bucketing::Murmur3CborV3 => "murmur3-cbor-v3".to_owned(),
            },
            targeting: None,
            problem: flag.warning().map(ToString::to_string),
            errors: flag.failures(),
            routes: routes(id, at),
        };
        match &settings.targeting {
            Targeting::JsonLogic(expression) => shown.targeting = Some(expression.clone()),
            Targeting::Rules { rules, rollout } => {
                let rules = rules.iter().map(|rule| FlagRule {
                    name: rule.name.clone(),
                    place: rule.place.to_string(),
                    serve: rule.serve.to_string(),
                    staff: rule.staff,
                    condition: rule.condition.clone(),
                });
                shown.rules = rules.collect();
                shown.rollout_by = rollout.as_ref().map(|_| shown.identity.clone());
                shown.rollout = rollout.as_ref().map(FlagRollout::of);
                shown.shares = rollout.as_ref().map(|rollout| {
                    let shares = rollout.shares.iter();
                    shares
                        .map(|(variant, share)| (variant.to_string(), f64::from(*share) / 1000.0))
                        .collect()
                });
            }
        }
        shown
    }
}

impl FlagRequires {
    fn of(required: &flag::Requires) -> Self {
        Self {
            flag: required.flag.to_string(),
            variants: required.variants.iter().map(ToString::to_string).collect(),
        }
    }
}

impl FlagRollout {
    fn of(rollout: &flag::RolloutSettings) -> Self {
        let points = rollout.schedule.iter().map(|point| FlagPoint {
            at: rfc3339(point.at.secs()),
            shares: named(&point.shares),
        });
        Self {
            split: named(&rollout.split),
            shape: match rollout.shape {
                flag::Shape::Steps => "steps".to_owned(),
                flag::Shape::Linear => "linear".to_owned(),
            },
            schedule: points.collect(),
        }
    }
}

fn named(shares: &[(VariantName, u32)]) -> Vec<FlagShare> {
    let shown = shares.iter().map(|(variant, share)| FlagShare {
        variant: variant.to_string(),
        percent: percent(*share),
    });
    shown.collect()
}

/// Thousandths of a percent as percent.
fn percent(share: u32) -> f64 {
    f64::from(share) / 1000.0
}

const fn identity(identity: RolloutBy) -> &'static str {
    match identity {
        RolloutBy::Visitor => "visitor",
        RolloutBy::User => "user",
    }
}

/// Shares are those of this moment.
fn variants(flag: &flag::Flag) -> Vec<Variant> {
    let shares = flag.shares(clock::wall());
    let settings = flag.settings();
    let shown = |(at, (name, value)): (usize, &(VariantName, serde_json::Value))| Variant {
        name: name.to_string(),
        value: value.clone(),
        share: shares
            .as_ref()
            .and_then(|shares| shares.get(at))
            .map(|share| percent(*share)),
    };
    settings.variants.iter().enumerate().map(shown).collect()
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
