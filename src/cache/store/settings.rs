//! `[cache]`: the store's bounds.

/// What the store may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreSettings {
    /// Bytes of all that is kept: bodies, fields, keys. When there would be more, what is used least goes.
    pub memory: u64,
    /// Bytes of it for entries above [`LARGE_FROM`](super::LARGE_FROM).
    pub large: u64,
    /// Bytes of the largest body that is kept. A larger one is passed on and not kept.
    pub entry: u64,
    /// Bytes of answers that are being collected at one time. Further ones are passed on and not kept.
    pub collecting: u64,
}

const MIB: u64 = 1024 * 1024;

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            memory: 256 * MIB, // 10,000 pages with their pictures; what a small machine can spare
            large: 64 * MIB,
            entry: 16 * MIB,
            collecting: 64 * MIB,
        }
    }
}

impl StoreSettings {
    /// Bytes for entries that are not large.
    #[must_use]
    pub const fn small(&self) -> u64 {
        self.memory.saturating_sub(self.large)
    }
}
