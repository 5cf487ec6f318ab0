//! What comes before a flag's rollout: an override link's word, and the pin of a visitor who is to stay.

use super::{Choice, Flag, FlagState, Reason, Subject, VariantIndex, compile::Plan, murmur3::Murmur3};
use crate::visitor::Pin;

/// A flag's number in pins: its key stays out of the cookie.
pub(super) fn number(key: &str) -> u32 {
    Murmur3::of(key.as_bytes())
}

impl Flag {
    /// What an override link says. The kill switch beats it, and a variant that isn't there (any more) is nobody's.
    pub(super) fn forced(&self, subject: &Subject<'_>) -> Option<Choice> {
        let wanted = subject.forced?.variant_of(self.key.as_str())?;
        let variant = self
            .variants
            .iter()
            .position(|variant| variant.as_str() == wanted)?;
        (self.state == FlagState::Enabled).then(|| Choice::new(Some(VariantIndex(variant)), Reason::Override))
    }

    /// What a pin says to somebody with an `id` for the rollout. One of another epoch, of the default or of a variant that isn't there
    /// (any more) is void.
    pub(super) fn pinned(&self, subject: &Subject<'_>, id: Option<&str>) -> Option<Choice> {
        let pin = subject.pins?.get(self.number)?;
        if id.is_none() || !self.holds(pin) {
            return None;
        }
        let mut variants = (0..self.variants.len()).map(VariantIndex);
        let variant = variants.find(|variant| self.pin_to(*variant) == Some(pin))?;
        Some(Choice::new(Some(variant), Reason::Pin))
    }

    /// Whether a pin is this flag's and of its epoch.
    #[must_use]
    pub fn holds(&self, pin: Pin) -> bool {
        let settings = self.settings();
        settings.sticky && pin.flag == self.number && pin.epoch == settings.epoch
    }

    /// The pin that keeps what was chosen: of a sticky flag, for whom its rollout put on a variant. Whom it left on the default is not
    /// kept there, so that a growing share adds as many as it says.
    #[must_use]
    pub fn pin(&self, choice: &Choice) -> Option<Pin> {
        let by_rollout = choice.reason == Reason::Split && choice.bucket.is_some();
        let sticky = self.settings().sticky && by_rollout && matches!(self.plan, Plan::Rules { .. });
        self.pin_to(choice.variant.filter(|_| sticky)?)
    }

    fn pin_to(&self, variant: VariantIndex) -> Option<Pin> {
        let name = self.variant(variant).filter(|_| Some(variant) != self.default)?;
        let hash = Murmur3::default()
            .and(self.key.as_str().as_bytes())
            .and(b"=")
            .and(name.as_str().as_bytes());
        Some(Pin {
            flag: self.number,
            variant: hash.finish(),
            epoch: self.settings().epoch,
        })
    }
}
