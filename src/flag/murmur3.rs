//! MurmurHash3 x86 32-bit, fed piece by piece so that nothing has to be joined first.

/// The state of a hash under way. A flag's key is hashed once at load; each decision goes on from a copy.
///
/// The algorithm is Austin Appleby's `MurmurHash3_x86_32` (SMHasher, public domain) with seed 0, the one that flagd's
/// `fractional` is defined by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Murmur3 {
    hash: u32,
    /// Bytes that don't fill a word yet, the first in the lowest place.
    tail: u32,
    tail_bytes: u32,
    bytes: u32,
}

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;

impl Murmur3 {
    pub(super) fn of(bytes: &[u8]) -> u32 {
        Self::default().and(bytes).finish()
    }

    /// Goes on with `bytes`.
    #[must_use]
    pub(super) fn and(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            let waiting =
                u64::from(self.tail) | u64::from(u32::from_le_bytes(*word)) << (8 * self.tail_bytes);
            self.mix((waiting & 0xffff_ffff) as u32);
            self.tail = (waiting >> 32) as u32;
        }
        for byte in rest {
            self.tail |= u32::from(*byte) << (8 * self.tail_bytes);
            self.tail_bytes += 1;
            if self.tail_bytes == 4 {
                self.mix(self.tail);
                (self.tail, self.tail_bytes) = (0, 0);
            }
        }
        // The reference counts in 32 bits as well.
        self.bytes = self.bytes.wrapping_add(bytes.len() as u32);
        self
    }

    /// The hash of everything fed.
    pub(super) fn finish(self) -> u32 {
        let mut h = self.hash ^ scramble(self.tail) ^ self.bytes;
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        h ^ (h >> 16)
    }

    fn mix(&mut self, word: u32) {
        let h = (self.hash ^ scramble(word)).rotate_left(13);
        self.hash = h.wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
}

fn scramble(word: u32) -> u32 {
    word.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2)
}
