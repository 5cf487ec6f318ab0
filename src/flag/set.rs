//! All flags of a snapshot.

use super::{Choice, Fault, Flag, FlagProblem, FlagProblemKind, Subject, Watch};

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
    /// Puts flags together.
    ///
    /// # Errors
    /// [`FlagProblemKind::KeyTwice`] if two have the same key.
    pub fn build(mut flags: Vec<Flag>) -> Result<Self, FlagProblem> {
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
        Ok(Self {
            any_sticky: flags.iter().any(|flag| flag.settings().sticky),
            any_adopts: flags.iter().any(|flag| flag.settings().adopts),
            flags,
        })
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

    /// Decides a flag for `subject`; see [`Flag::decide`].
    pub fn decide(&self, id: FlagId, subject: &Subject<'_>, watch: &mut impl Watch) -> Choice {
        match self.get(id) {
            Some(flag) => flag.decide(subject, watch),
            None => Choice::failed(None, Fault::FlagNotFound),
        }
    }
}
