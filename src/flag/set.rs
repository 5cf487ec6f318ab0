//! All flags of a snapshot.

use super::{
    Choice, Fault, Flag, FlagProblem, FlagProblemKind, LayerSettings, Subject, Watch,
    compile::{Before, Plan},
    layer::Membership,
    requires::{Prerequisite, check_requires},
};
use crate::name::LayerName;

/// All flags of a snapshot, by key.
#[derive(Debug, Default)]
pub struct Flags {
    /// Sorted by key.
    flags: Vec<Flag>,
    any_sticky: bool,
    any_adopts: bool,
}

/// A flag of one [`Flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlagId(usize);

impl Flags {
    /// Puts flags together that are in no layer.
    ///
    /// # Errors
    /// As [`Flags::build_in`].
    pub fn build(flags: Vec<Flag>) -> Result<Self, FlagProblem> {
        Self::build_in(&[], flags)
    }

    /// Puts flags together: each learns which others it asks, and what is its own of its layer.
    ///
    /// # Errors
    /// The first problem: two have the same key, they require what they can't, or one isn't in its layer.
    pub fn build_in(layers: &[LayerSettings], mut flags: Vec<Flag>) -> Result<Self, FlagProblem> {
        flags.sort_by(|a, b| a.key().cmp(b.key()).then_with(|| a.place().cmp(b.place())));
        for pair in flags.windows(2) {
            if let [first, second] = pair
                && first.key() == second.key()
            {
                return Err(FlagProblem {
                    key: second.key().clone(),
                    place: second.place().clone(),
                    kind: FlagProblemKind::KeyTwice {
                        other: first.place().clone(),
                    },
                });
            }
        }
        let mut problems = check_requires(flags.iter().map(Flag::settings));
        if !problems.is_empty() {
            return Err(problems.swap_remove(0));
        }
        let mut set = Self {
            any_sticky: flags.iter().any(|flag| flag.settings().sticky),
            any_adopts: flags.iter().any(|flag| flag.settings().adopts),
            flags,
        };
        for at in 0..set.flags.len() {
            set.link(at, layers)?;
        }
        set.spread_looks();
        Ok(set)
    }

    fn link(&mut self, at: usize, layers: &[LayerSettings]) -> Result<(), FlagProblem> {
        let Some(flag) = self.flags.get(at) else {
            return Ok(());
        };
        let settings = flag.settings();
        let requires = settings.requires.iter().filter_map(|required| {
            let id = self.by_key(required.flag.as_str())?;
            let named = |name| self.get(id)?.variant_named(name);
            Some(Prerequisite {
                flag: id,
                variants: required
                    .variants
                    .iter()
                    .filter_map(|name| named(name.as_str()))
                    .collect(),
            })
        });
        let requires: Vec<Prerequisite> = requires.collect();
        let member = |name: &LayerName| {
            let layer = layers.iter().find(|layer| layer.name == *name);
            layer.and_then(|layer| Membership::of(flag.key(), layer))
        };
        let layer = match &settings.layer {
            None => None,
            Some(name) => Some(member(name).ok_or_else(|| FlagProblem {
                key: flag.key().clone(),
                place: flag.place().clone(),
                kind: FlagProblemKind::NotInLayer(name.clone()),
            })?),
        };
        if (!requires.is_empty() || layer.is_some())
            && let Some(flag) = self.flags.get_mut(at)
            && let Plan::Rules { before, .. } = &mut flag.plan
        {
            let before = before.get_or_insert_with(|| Box::new(Before::default()));
            before.requires = requires;
            before.layer = layer;
        }
        Ok(())
    }

    /// A flag looks at visitors where one does that it requires, however many flags are in between.
    fn spread_looks(&mut self) {
        loop {
            let looks = |flag: &Flag| {
                let requires = &flag.settings().requires;
                let asked = requires
                    .iter()
                    .filter_map(|other| self.by_key(other.flag.as_str()));
                flag.is_enabled()
                    && asked
                        .filter_map(|id| self.get(id))
                        .any(|other| other.looks_at_visitor)
            };
            let flags = self.flags.iter().enumerate();
            let found: Vec<usize> = flags
                .filter(|(_, flag)| !flag.looks_at_visitor && looks(flag))
                .map(|(at, _)| at)
                .collect();
            if found.is_empty() {
                return;
            }
            for at in found {
                if let Some(flag) = self.flags.get_mut(at) {
                    flag.looks_at_visitor = true;
                }
            }
        }
    }

    /// Whether any flag pins visitors: else nobody has to look for pins.
    #[must_use]
    pub const fn any_sticky(&self) -> bool {
        self.any_sticky
    }

    /// Whether any flag has users be one visitor on every device.
    #[must_use]
    pub const fn any_adopts(&self) -> bool {
        self.any_adopts
    }

    /// The flag with this key.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<FlagId> {
        self.flags
            .binary_search_by(|flag| flag.key().as_str().cmp(key))
            .ok()
            .map(FlagId)
    }

    /// The flag with this id. `None` only for an id of another [`Flags`].
    #[must_use]
    pub fn get(&self, id: FlagId) -> Option<&Flag> {
        self.flags.get(id.0)
    }

    /// All flags with their ids, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (FlagId, &Flag)> {
        self.flags.iter().enumerate().map(|(at, flag)| (FlagId(at), flag))
    }

    /// Decides a flag for `subject`. Never fails: what goes wrong is in the choice, and the default is served.
    ///
    /// A flag that has only a rollout decides without allocating.
    pub fn decide(&self, id: FlagId, subject: &Subject<'_>, watch: &mut impl Watch) -> Choice {
        match self.get(id) {
            Some(flag) => flag.decide_among(self, subject, watch),
            None => Choice::failed(None, Fault::FlagNotFound),
        }
    }
}
