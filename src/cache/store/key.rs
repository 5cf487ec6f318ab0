//! What an answer is kept under.

use aws_lc_rs::digest::{SHA256, digest};
use smallvec::SmallVec;

/// Every dimension of a key, hashed: the first half of a SHA-256, so that nobody can make two addresses meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub u128);

impl KeyHash {
    /// The hash of these dimensions in this order. Where one ends and the next begins counts.
    #[must_use]
    pub fn of(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut text = SmallVec::<[u8; 512]>::new();
        for part in parts {
            let part = part.as_ref();
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part);
        }
        let hash = digest(&SHA256, &text);
        let half = hash.as_ref().first_chunk().copied().unwrap_or_default();
        Self(u128::from_be_bytes(half))
    }
}

/// A key with the texts that purges compare and people read. A look needs its hash alone.
#[derive(Debug, Clone, Copy)]
pub struct Key<'k> {
    /// Its hash.
    pub hash: KeyHash,
    /// The host: lower case, no port.
    pub host: &'k str,
    /// The normalised path, and `?query` as far as the key has it.
    pub target: &'k str,
    /// The other dimensions, for people.
    pub rest: &'k str,
}

#[cfg(test)]
mod tests {
    use super::KeyHash;

    #[test]
    fn where_a_dimension_ends_counts() {
        let hash = |parts: &[&str]| KeyHash::of(parts);
        assert_eq!(hash(&["a", "b"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab", ""]));
        assert_ne!(hash(&["a", "b"]), hash(&["ab"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
    }
}
