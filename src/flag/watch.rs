//! What a decision tells while it is made: nothing to live traffic, everything to `explain`.

use std::fmt;

use super::RolloutBy;
use crate::name::{FlagKey, LayerName, VariantName};

/// Is told each step of a decision. `()` looks away, [`Trail`] writes it down; what is decided is the same.
pub trait Watch {
    /// A rule was tried. Rules are counted from 0; a flagd set's targeting is rule 0.
    fn rule(&mut self, rule: usize, outcome: Outcome<'_>);

    /// A flag that is required was asked; its own steps are not told.
    fn required(&mut self, _flag: &FlagKey, _variant: Option<&VariantName>, _met: bool) {}

    /// The layer was asked. Without an id there is no place.
    fn layer(&mut self, _layer: &LayerName, _place: Option<u32>, _takes: bool) {}

    /// The rollout was asked. Without an id there is no place, and the default follows.
    fn rollout(&mut self, by: RolloutBy, place: Option<u32>);
}

/// What came of a rule.
#[derive(Clone, Copy)]
pub enum Outcome<'a> {
    /// It holds.
    Match,
    /// It doesn't.
    NoMatch,
    /// flagd targeting answered this.
    Answer(&'a dyn fmt::Display),
    /// It failed, for this reason.
    Failed(&'a dyn fmt::Display),
}

impl fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Match => f.write_str("matches"),
            Self::NoMatch => f.write_str("does not match"),
            Self::Answer(answer) => write!(f, "answers {answer}"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
        }
    }
}

impl Watch for () {
    fn rule(&mut self, _: usize, _: Outcome<'_>) {}

    fn rollout(&mut self, _: RolloutBy, _: Option<u32>) {}
}

/// A decision written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trail {
    /// Rules tried, in order: number and what came of it, in words.
    pub rules: Vec<(usize, String)>,
    /// Flags that are required: which variant each has, and whether that will do.
    pub required: Vec<(FlagKey, Option<VariantName>, bool)>,
    /// The place in the layer, if one was asked, and whether it is the flag's.
    pub layer: Option<(Option<u32>, bool)>,
    /// Whose place was asked for and what it is, if the rollout was asked.
    pub rollout: Option<(RolloutBy, Option<u32>)>,
}

impl Watch for Trail {
    fn rule(&mut self, rule: usize, outcome: Outcome<'_>) {
        self.rules.push((rule, outcome.to_string()));
    }

    fn required(&mut self, flag: &FlagKey, variant: Option<&VariantName>, met: bool) {
        self.required.push((flag.clone(), variant.cloned(), met));
    }

    fn layer(&mut self, _layer: &LayerName, place: Option<u32>, takes: bool) {
        self.layer = Some((place, takes));
    }

    fn rollout(&mut self, by: RolloutBy, place: Option<u32>) {
        self.rollout = Some((by, place));
    }
}
