//! Labels as small numbers: each core knows its own, so that counting hashes no text.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

/// Labels that one core knows. What comes after is counted as [`OTHER`].
pub const LABELS_MAX: usize = 50_000;
/// Labels that are gone from the settings and still shown. What went first folds into [`OTHER`].
pub const GONE_LABELS_MAX: usize = 1_000;
/// What folded labels are shown as.
pub const OTHER: &str = "_other";

/// Places of text that are remembered before they are forgotten and learnt anew.
const PLACES_MAX: usize = 4 * LABELS_MAX;
/// Numbers from here on stand for themselves.
const LITERAL: u32 = 0x8000_0000;

/// A label's value as it comes.
#[derive(Debug, Clone, Copy)]
pub enum Label<'a> {
    /// From a fixed set in the code; never goes.
    Word(&'static str),
    /// From the settings; may go with the next ones.
    Name(&'a Arc<str>),
    /// A small number, a status.
    Number(u16),
}

/// A label's value as its core knows it.
pub(super) type LabelId = u32;

/// The id that stands for everything folded; always there.
pub(super) const OTHER_ID: LabelId = 0;

#[derive(Debug, Clone)]
struct Known {
    text: Arc<str>,
    fixed: bool,
}

/// A core's labels.
#[derive(Debug, Clone)]
pub(super) struct Labels {
    known: Vec<Option<Known>>,
    by_text: HashMap<Arc<str>, LabelId>,
    /// Where a text lies in memory, with its length. The texts are kept alive by `held`, so no place is used twice.
    by_place: HashMap<(usize, usize), LabelId, BuildHasherDefault<Mix>>,
    held: Vec<Arc<str>>,
    free: Vec<LabelId>,
    gone: VecDeque<LabelId>,
}

impl Labels {
    pub(super) fn new() -> Self {
        let mut labels = Self {
            known: Vec::new(),
            by_text: HashMap::new(),
            by_place: HashMap::default(),
            held: Vec::new(),
            free: Vec::new(),
            gone: VecDeque::new(),
        };
        labels.learn(&Arc::from(OTHER), true);
        labels
    }

    /// The id of a label.
    pub(super) fn id(&mut self, label: Label<'_>) -> LabelId {
        let text: &str = match label {
            Label::Number(number) => return LITERAL | u32::from(number),
            Label::Word(word) => word,
            Label::Name(name) => name,
        };
        let place = (text.as_ptr() as usize, text.len());
        if let Some(id) = self.by_place.get(&place) {
            return *id;
        }
        let fixed = matches!(label, Label::Word(_));
        let id = match self.by_text.get(text).copied() {
            Some(id) => {
                if fixed && let Some(Some(known)) = self.known.get_mut(id as usize) {
                    known.fixed = true;
                }
                id
            }
            None if self.by_text.len() >= LABELS_MAX => return OTHER_ID,
            None => self.learn(
                &match label {
                    Label::Name(name) => Arc::clone(name),
                    Label::Word(_) | Label::Number(_) => Arc::from(text),
                },
                fixed,
            ),
        };
        if self.by_place.len() >= PLACES_MAX {
            self.forget_places();
        }
        if let Label::Name(name) = label {
            self.held.push(Arc::clone(name));
        }
        self.by_place.insert(place, id);
        id
    }

    fn learn(&mut self, text: &Arc<str>, fixed: bool) -> LabelId {
        let known = Some(Known {
            text: Arc::clone(text),
            fixed,
        });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.known.get_mut(id as usize) {
                    *slot = known;
                }
                id
            }
            None => {
                self.known.push(known);
                u32::try_from(self.known.len() - 1).unwrap_or(OTHER_ID)
            }
        };
        self.by_text.insert(Arc::clone(text), id);
        id
    }

    /// Told which names the settings have now: gone ones wait in line, and those beyond the bound are returned, to be folded.
    pub(super) fn keep(&mut self, live: &HashSet<Arc<str>>) -> HashSet<LabelId> {
        self.forget_places();
        let stays = |known: &Known| known.fixed || live.contains(&known.text);
        let known = &self.known;
        let is_gone = |id: LabelId| matches!(known.get(id as usize), Some(Some(known)) if !stays(known));
        self.gone.retain(|id| is_gone(*id));
        let waiting: HashSet<LabelId> = self.gone.iter().copied().collect();
        let all = 0..u32::try_from(self.known.len()).unwrap_or(LITERAL);
        self.gone
            .extend(all.filter(|id| is_gone(*id) && !waiting.contains(id)));
        let surplus = self.gone.len().saturating_sub(GONE_LABELS_MAX);
        let folded: HashSet<LabelId> = self.gone.drain(..surplus).collect();
        for id in &folded {
            if let Some(known) = self.known.get_mut(*id as usize).and_then(Option::take) {
                self.by_text.remove(&known.text);
                self.free.push(*id);
            }
        }
        folded
    }

    fn forget_places(&mut self) {
        self.by_place.clear();
        self.held.clear();
    }

    /// Whether a label comes from a fixed set.
    pub(super) fn is_fixed(&self, id: LabelId) -> bool {
        id & LITERAL != 0 || matches!(self.known.get(id as usize), Some(Some(Known { fixed: true, .. })))
    }

    /// What each id says, for whoever merges.
    pub(super) fn texts(&self) -> Vec<Arc<str>> {
        let other: Arc<str> = Arc::from(OTHER);
        self.known
            .iter()
            .map(|known| Arc::clone(known.as_ref().map_or(&other, |known| &known.text)))
            .collect()
    }
}

/// What an id says, by the texts that its core gave.
pub(super) fn text_of(id: LabelId, texts: &[Arc<str>]) -> Arc<str> {
    if id & LITERAL != 0 {
        return Arc::from((id & !LITERAL).to_string());
    }
    texts
        .get(id as usize)
        .map_or_else(|| Arc::from(OTHER), Arc::clone)
}

/// A quick hash for keys that no client can choose (the multiplication of FxHash, with its high bits folded down).
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mix(u64);

impl Mix {
    const fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.add(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.add(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.add(number.cast_unsigned() as u64);
    }
}
