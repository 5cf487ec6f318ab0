//! Which variant of a flag a visitor gets. Pure: no socket, no clock.
//!
//! [`Flag::compile`] checks a flag and compiles its rules once; [`Flags::decide`] answers for a [`Subject`], the same way
//! for live traffic and, through a [`Watch`], for `explain`. Rules are JsonLogic with flagd's operators and see:
//!
//! | name | what it is |
//! |---|---|
//! | `visitor.id` | the visitor's id, null without a cookie |
//! | `user.id`, `user.roles`, `user.claims.<name>` | who is signed in: null, an empty list and nothing for nobody |
//! | `request.host`, `.path`, `.method` | lower case without port; normalised; as received |
//! | `request.headers.<name>` | lower-case name |
//! | `request.query.<name>`, `request.cookies.<name>` | the first of that name, the query's unescaped |
//! | `targetingKey` | the id that the flag goes by: the visitor's, or the signed-in user's |
//! | `$flagd.flagKey`, `$flagd.timestamp` | the flag's key; seconds since 1970 |
//!
//! A backend that asks by itself gives top-level names of its own ([`Subject::given`]), which may also stand for `user`, `visitor`
//! and `request`.
//!
//! What decides, and in which order, stands in [`decide`].
//!
//! Names with dots in them are reached with `{"val": ["user", "claims", "https://example.com/plan"]}`.

mod bucket;
mod cbor;
mod choice;
mod compile;
mod decide;
mod failures;
mod given;
mod layer;
mod logic;
mod murmur3;
mod operators;
mod pin;
mod problem;
mod reach;
mod requires;
mod rollout;
mod schedule;
mod sem_ver;
mod set;
mod staff;
mod subject;
#[cfg(test)]
mod tests;
mod watch;

pub use choice::{Choice, Fault, Reason, VariantIndex};
pub use compile::Flag;
pub use layer::{LayerSettings, LayerShare};
pub use problem::{FlagProblem, FlagProblemKind};
pub use reach::{DRAIN_DEFAULT, DRAIN_MAX};
pub use requires::{PREREQUISITES_MAX, Requires, check_requires};
pub use rollout::RolloutSettings;
pub use schedule::{POINTS_MAX, SchedulePoint, Shape};
pub use set::{FlagId, Flags};
pub use subject::{CONTEXT_ENTRIES_MAX, Person, Subject};
pub use watch::{Outcome, Trail, Watch};

use std::time::Duration;

use crate::name::{FlagKey, LayerName, Place, SquadName, VariantName};

/// A flag as its file says it, checked for form. [`VariantName`]s in rules and rollout are known to exist.
#[derive(Debug, Clone)]
pub struct FlagSettings {
    /// Its key; the file's name without its ending.
    pub key: FlagKey,
    /// Where it is written.
    pub place: Place,
    /// What it is for, in a sentence.
    pub description: String,
    /// Who owns it.
    pub squad: Option<SquadName>,
    /// Whether it decides at all.
    pub state: FlagState,
    /// Names in the order written, with the values they carry (a plain list of names carries each name as a string).
    pub variants: Vec<(VariantName, serde_json::Value)>,
    /// Who nobody else wants; the safe side. `None` only in flagd sets ("code default").
    pub default: Option<VariantName>,
    /// Whose id its layer and its rollout go by.
    pub identity: RolloutBy,
    /// What other flags must have chosen first.
    pub requires: Vec<Requires>,
    /// The layer that it is in, if it is in one.
    pub layer: Option<LayerName>,
    /// How it chooses.
    pub targeting: Targeting,
    /// Counts up when what visitors were pinned to is void. From 1.
    pub epoch: u32,
    /// Browsers may read it.
    pub public: bool,
    /// How long open connections keep on with a variant that nobody gets any more.
    pub drain: Duration,
    /// How a visitor's place between 0 and 100 % is computed. Fixed for ever in a flag that is in use.
    pub bucketing: Bucketing,
    /// Free metadata (flagd).
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Whom the rollout put on a variant, a pin keeps there.
    pub sticky: bool,
    /// Whoever signs in becomes the visitor that this user is on every device.
    pub adopts: bool,
}

/// Whether a flag decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagState {
    /// It decides.
    Enabled,
    /// The kill switch: everyone gets the default, at once.
    Disabled,
}

/// How a flag chooses.
#[derive(Debug, Clone)]
pub enum Targeting {
    /// Rules in order, then the rollout: `flags/<key>.toml`.
    Rules {
        /// First match wins.
        rules: Vec<RuleSettings>,
        /// Everyone the rules leave.
        rollout: Option<RolloutSettings>,
    },
    /// One JsonLogic expression that names the variant: a flagd set. `$ref`s are already replaced.
    JsonLogic(serde_json::Value),
}

/// One `[[rules]]` table.
#[derive(Debug, Clone)]
pub struct RuleSettings {
    /// What a person calls it; shown by explain.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// JsonLogic.
    pub condition: serde_json::Value,
    /// Who gets what.
    pub serve: VariantName,
    /// It looks at who is signed in, at nothing else, and is asked before what the flag requires and its layer.
    pub staff: bool,
}

/// Whose id a flag goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutBy {
    /// The visitor cookie's.
    Visitor,
    /// The signed-in user's; anonymous visitors get the default.
    User,
}

/// The published hashings (flagd).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucketing {
    /// MurmurHash3 x86 32 of the UTF-8 text, times the total weight, shifted by 32.
    Murmur3V2,
    /// The same of its deterministic CBOR.
    Murmur3CborV3,
}
