//! By what somebody may show who they are.

use super::source::Source;

/// A set of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept(u8);

impl Accept {
    /// These.
    #[must_use]
    pub fn of(sources: &[Source]) -> Self {
        Self(sources.iter().fold(0, |set, source| set | Self::bit(*source)))
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, source: Source) -> bool {
        self.0 & Self::bit(source) != 0
    }

    const fn bit(source: Source) -> u8 {
        match source {
            Source::Session => 1,
            Source::Bearer => 2,
            Source::Legacy => 4,
            Source::Key => 8,
        }
    }
}

/// What the issuer says: a session or a token of its own.
impl Default for Accept {
    fn default() -> Self {
        Self::of(&[Source::Session, Source::Bearer])
    }
}
