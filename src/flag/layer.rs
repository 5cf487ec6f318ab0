//! Layers: flags that share visitors out among themselves, so that nobody meets two of them.

use std::ops::Range;

use super::{
    Bucketing,
    bucket::{PLACES, Salt},
};
use crate::name::{FlagKey, LayerName, Place};

/// A `[layers.<name>]` table of `banyan.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSettings {
    /// Its name, which its hash begins with: another name shares visitors out anew.
    pub name: LayerName,
    /// Where it is written.
    pub place: Place,
    /// The share that is nobody's, in thousandths of a percent (0 to 100,000).
    pub holdout: u32,
    /// Its flags in the order written.
    pub flags: Vec<LayerShare>,
}

/// A flag's part of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerShare {
    /// Whose.
    pub flag: FlagKey,
    /// How much, in thousandths of a percent (0 to 100,000).
    pub share: u32,
    /// Where it is written.
    pub place: Place,
}

impl LayerSettings {
    /// The places that are `flag`'s.
    ///
    /// Ranges lie side by side from 0 on, in the order written, and the holdout lies at the end: a flag that is added behind
    /// the others, and a holdout that grows, move nobody from one flag to another. Whatever the shares are, no two ranges
    /// share a place.
    #[must_use]
    pub fn range(&self, flag: &FlagKey) -> Option<Range<u32>> {
        let end = PLACES.saturating_sub(self.holdout);
        let mut start = 0_u32;
        for member in &self.flags {
            let behind = start.saturating_add(member.share).min(end);
            if member.flag == *flag {
                return Some(start..behind);
            }
            start = behind;
        }
        None
    }
}

/// A flag's part of its layer, ready to be asked.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) layer: LayerName,
    pub(super) range: Range<u32>,
    salt: Salt,
}

impl Membership {
    /// `None`: the layer has no range for `flag`.
    pub(super) fn of(flag: &FlagKey, layer: &LayerSettings) -> Option<Self> {
        // No flag's key has a colon, so no flag's rollout hashes as a layer does: who comes first in a layer is not who comes
        // first in the rollout of a flag in it.
        let salt = Salt::new(Bucketing::Murmur3V2, &format!("layer:{}", layer.name));
        Some(Self {
            layer: layer.name.clone(),
            range: layer.range(flag)?,
            salt,
        })
    }

    pub(super) fn place(&self, id: &str) -> u32 {
        self.salt.place(id)
    }

    /// Whether whoever stands at `place` is this flag's. Who stands nowhere is, if everyone is.
    pub(super) fn takes(&self, place: Option<u32>) -> bool {
        match place {
            Some(place) => self.range.contains(&place),
            None => self.range == (0..PLACES),
        }
    }
}
