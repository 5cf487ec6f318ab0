//! Random bytes for ids, from the system's generator, fetched a page at a time for each core.

use std::fmt;

/// Bytes fetched at once: 256 request ids, one call of the generator.
const POOL_BYTES: usize = 4096;

/// A core's own supply of cryptographic randomness.
///
/// Bytes are wiped as they are given out, so that what was minted can't be read back from memory.
pub struct Entropy {
    pool: Box<[u8; POOL_BYTES]>,
    used: usize,
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy {
    /// An empty supply; it is filled when first asked.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pool: Box::new([0; POOL_BYTES]),
            used: POOL_BYTES,
        }
    }

    /// Sixteen fresh bytes: a visitor, a request, a trace.
    pub fn next16(&mut self) -> [u8; 16] {
        self.take()
    }

    /// Eight fresh bytes: a span.
    pub fn next8(&mut self) -> [u8; 8] {
        self.take()
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > POOL_BYTES {
            self.refill();
        }
        let mut fresh = [0; N];
        if let Some(bytes) = self.pool.get_mut(self.used..self.used + N) {
            fresh.copy_from_slice(bytes);
            bytes.fill(0);
        }
        self.used += N;
        fresh
    }

    #[expect(
        clippy::expect_used,
        reason = "AWS-LC stops the process rather than give bad randomness, and so must this"
    )]
    fn refill(&mut self) {
        aws_lc_rs::rand::fill(self.pool.as_mut_slice()).expect("the system's random generator works");
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_id_comes_twice_across_refills() {
        let mut entropy = Entropy::new();
        let mut seen = HashSet::new();
        for _ in 0..2000 {
            assert!(seen.insert(entropy.next16()));
            assert!(seen.insert({
                let mut wide = [0; 16];
                wide[..8].copy_from_slice(&entropy.next8());
                wide
            }));
        }
    }

    #[test]
    fn given_bytes_are_wiped() {
        let mut entropy = Entropy::new();
        let _ = entropy.next16();
        assert_eq!(entropy.pool[..16], [0; 16]);
        assert_ne!(entropy.pool[16..32], [0; 16]);
    }
}
