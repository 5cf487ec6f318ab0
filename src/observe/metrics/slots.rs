//! Values of series, each at a place of its own, so that who counts often looks its place up once.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use super::{
    family::Family,
    label::{LabelId, Labels, Mix, OTHER_ID},
};

/// Histograms and numbers (each) that one core keeps. In a new one beyond it, every name from the settings is `_other`.
///
/// A histogram is seventeen lines of a scrape, so this is already 50 MiB of text.
pub const SERIES_MAX: usize = 30_000;
/// Labels that a metric can have.
pub(super) const LABELS_EACH_MAX: usize = 4;

/// A series as its core knows it. Labels that the family does not have are [`OTHER_ID`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) family: Family,
    pub(super) labels: [LabelId; LABELS_EACH_MAX],
}

impl Hash for Key {
    /// Three words; the derived one would go through eighteen bytes one by one.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d] = self.labels.map(u64::from);
        state.write_u64(a << 32 | b);
        state.write_u64(c << 32 | d);
        state.write_u8(self.family as u8);
    }
}

/// The place of one series' value. It holds until labels fold ([`Slots::fold`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

/// Values by series.
#[derive(Debug, Clone)]
pub(super) struct Slots<V> {
    slots: HashMap<Key, Slot, BuildHasherDefault<Mix>>,
    values: Vec<(Key, V)>,
}

impl<V> Default for Slots<V> {
    fn default() -> Self {
        Self {
            slots: HashMap::default(),
            values: Vec::new(),
        }
    }
}

impl<V: Copy + Default> Slots<V> {
    /// The place of a series, or, when it is new and there are too many, of the one with names from settings folded.
    pub(super) fn of(&mut self, key: Key, labels: &Labels) -> Slot {
        if let Some(slot) = self.slots.get(&key) {
            return *slot;
        }
        if self.values.len() < SERIES_MAX {
            return self.put(key);
        }
        let folded = key
            .labels
            .map(|id| if labels.is_fixed(id) { id } else { OTHER_ID });
        self.put(Key {
            labels: folded,
            ..key
        })
    }

    fn put(&mut self, key: Key) -> Slot {
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        *self.slots.entry(key).or_insert_with(|| {
            self.values.push((key, V::default()));
            Slot(next)
        })
    }

    /// Changes the value at a place.
    pub(super) fn change(&mut self, slot: Slot, change: impl FnOnce(&mut V)) {
        if let Some((_, value)) = self.values.get_mut(slot.0 as usize) {
            change(value);
        }
    }

    /// Values of folded labels are added to those of `_other`. No [`Slot`] from before holds any more.
    pub(super) fn fold(&mut self, folded: &HashSet<LabelId>, add: impl Fn(&mut V, V)) {
        let old = std::mem::take(self);
        for (key, value) in old.values {
            let labels = key
                .labels
                .map(|id| if folded.contains(&id) { OTHER_ID } else { id });
            let slot = self.put(Key { labels, ..key });
            self.change(slot, |sum| add(sum, value));
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> &[(Key, V)] {
        &self.values
    }
}
