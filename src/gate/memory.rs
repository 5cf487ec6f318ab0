//! What one core remembers, within bounds: tokens that were found good, so that each is checked once.

use std::{
    borrow::Borrow,
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::Arc,
};

use super::{identity::Identity, lookup::Answers, session::SessionMemory};
use crate::clock::UnixTime;

/// Most tokens remembered per core. The ones not seen for longest are forgotten.
pub const TOKENS_MAX: usize = 4096;

/// Most bytes of remembered tokens per core; what is kept of a token takes a few times its size.
pub const TOKENS_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Tokens that were verified on this core, failures never; sessions; and what others answered of cookies and tokens.
pub struct TokenMemory {
    tokens: RefCell<Recent<[u8; 32], Arc<Identity>>>,
    /// Sessions that were opened on this core.
    pub(super) sessions: SessionMemory,
    answers: Answers,
    /// Whether signatures may be verified just now.
    may_verify: Cell<bool>,
}

impl TokenMemory {
    /// An empty memory, by which a signature is verified whenever one has to be.
    #[must_use]
    pub fn new() -> Self {
        Self {
            may_verify: Cell::new(true),
            tokens: RefCell::new(Recent::new(TOKENS_MAX, TOKENS_BYTES_MAX)),
            sessions: SessionMemory::new(),
            answers: Answers::new(),
        }
    }

    /// An empty memory, by which signatures are verified in turns: within [`TokenMemory::in_turn`] and never otherwise.
    #[must_use]
    pub fn in_turns() -> Self {
        let memory = Self::new();
        memory.may_verify.set(false);
        memory
    }

    /// Does what may have to verify a signature, when its turn has come.
    pub fn in_turn<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Turn<'m>(&'m Cell<bool>, bool);
        impl Drop for Turn<'_> {
            fn drop(&mut self) {
                self.0.set(self.1); // after a panic too
            }
        }
        let _turn = Turn(&self.may_verify, self.may_verify.replace(true));
        work()
    }

    /// Whether a signature may be verified just now.
    pub(super) const fn may_verify(&self) -> bool {
        self.may_verify.get()
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.borrow().len()
    }

    /// What others answered.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The identity found under `key`, unless its time is over.
    pub(super) fn recall(&self, key: &[u8; 32], now: UnixTime) -> Option<Arc<Identity>> {
        let mut recent = self.tokens.borrow_mut();
        let identity = recent.recall(key)?;
        (now < identity.expires).then(|| Arc::clone(identity))
    }

    /// Remembers what was found. `bytes` is the token's size.
    pub(super) fn keep(&self, key: [u8; 32], identity: Arc<Identity>, bytes: usize) {
        self.tokens.borrow_mut().keep(key, identity, bytes);
    }
}

impl Default for TokenMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TokenMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMemory").field("len", &self.len()).finish()
    }
}

/// A map with bounds: when its young half is full it becomes the old half, and the old half is forgotten.
///
/// What is asked for moves to the young half, so what is used stays. Every step costs the same.
pub(crate) struct Recent<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_bytes: usize,
    half_len: usize,
    half_bytes: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// A map for at most `entries_max` entries, which together weigh at most about `bytes_max`.
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            half_len: (entries_max / 2).max(1),
            half_bytes: bytes_max / 2,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// The weight of all entries.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.young
            .values()
            .chain(self.old.values())
            .map(|(_, bytes)| bytes)
            .sum()
    }

    pub(crate) fn recall<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some((key, (value, bytes))) = self.old.remove_entry(key) {
            self.keep(key, value, bytes);
        }
        self.young.get(key).map(|(value, _)| value)
    }

    pub(crate) fn keep(&mut self, key: K, value: V, bytes: usize) {
        let full =
            self.young.len() >= self.half_len || self.young_bytes.saturating_add(bytes) > self.half_bytes;
        if full && !self.young.is_empty() {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.old.remove(&key);
        self.young_bytes = self.young_bytes.saturating_add(bytes);
        if let Some((_, before)) = self.young.insert(key, (value, bytes)) {
            self.young_bytes = self.young_bytes.saturating_sub(before);
        }
    }
}
