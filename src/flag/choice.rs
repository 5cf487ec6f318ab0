//! What a flag decided, and why.

/// A variant of one flag, by its place in `variants`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VariantIndex(pub(super) usize);

impl VariantIndex {
    /// The place, from 0.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

/// A decision. Small and copied: names are looked up in the flag when they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Who gets it. `None` only in flagd sets: "code default".
    pub variant: Option<VariantIndex>,
    /// Why.
    pub reason: Reason,
    /// The rule that matched or failed, from 0.
    pub rule: Option<usize>,
    /// The visitor's place in thousandths of a percent, 0 to 99,999, if the rollout decided.
    pub bucket: Option<u32>,
    /// What went wrong, if the reason is [`Reason::Error`].
    pub error: Option<Fault>,
}

impl Choice {
    pub(super) fn new(variant: Option<VariantIndex>, reason: Reason) -> Self {
        Self {
            variant,
            reason,
            rule: None,
            bucket: None,
            error: None,
        }
    }

    pub(super) fn by_rule(self, rule: usize) -> Self {
        Self {
            rule: Some(rule),
            ..self
        }
    }

    pub(super) fn failed(variant: Option<VariantIndex>, fault: Fault) -> Self {
        Self {
            error: Some(fault),
            ..Self::new(variant, Reason::Error)
        }
    }
}

/// Why a variant was chosen, in OpenFeature's words; where it has none, in our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The flag has no rules and no rollout.
    Static,
    /// A rule matched.
    TargetingMatch,
    /// The rollout decided, for or against.
    Split,
    /// The kill switch.
    Disabled,
    /// An override link forces it.
    Override,
    /// A pin keeps it.
    Pin,
    /// A flag that it requires has not chosen what is required.
    Prerequisite,
    /// Its layer leaves this visitor to another flag, or to none.
    Layer,
    /// No rule matched, or there is no id for the rollout.
    Default,
    /// Something went wrong; see [`Choice::error`].
    Error,
}

impl Reason {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prerequisite => "PREREQUISITE",
            Self::Layer => "LAYER",
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Override => "OVERRIDE",
            Self::Pin => "PIN",
            Self::Default => "DEFAULT",
            Self::Error => "ERROR",
        }
    }
}

/// What went wrong in a decision. The details go to the [`super::Watch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A rule can't be compiled or evaluated.
    Parse,
    /// Targeting named something that isn't a variant.
    General,
    /// There is no such flag.
    FlagNotFound,
}

impl Fault {
    /// OpenFeature's error code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "PARSE_ERROR",
            Self::General => "GENERAL",
            Self::FlagNotFound => "FLAG_NOT_FOUND",
        }
    }
}
