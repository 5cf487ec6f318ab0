//! The bounded memory: what stays, what goes, and how much there can be.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Identity, TOKENS_BYTES_MAX, TOKENS_MAX, TokenMemory, memory::Recent, test_issuer::NOW};
use crate::clock::UnixTime;

#[test]
fn an_identity_is_forgotten_at_its_end() {
    let memory = TokenMemory::new();
    let identity = Arc::new(Identity {
        expires: UnixTime::from_secs(NOW.secs() + 1),
        ..Identity::pretended("alice", &[])
    });
    memory.keep([1; 32], Arc::clone(&identity), 100);
    assert_eq!(memory.recall(&[1; 32], NOW), Some(identity));
    assert_eq!(memory.recall(&[2; 32], NOW), None);
    let end = UnixTime::from_secs(NOW.secs() + 1);
    assert_eq!(memory.recall(&[1; 32], end), None);
}

#[test]
fn ten_thousand_tokens_leave_four_thousand() {
    let memory = TokenMemory::new();
    let identity = Arc::new(Identity::pretended("alice", &[]));
    for n in 0..10_000_u32 {
        memory.keep(
            super::keys::sha256(&[&n.to_be_bytes()]),
            Arc::clone(&identity),
            100,
        );
        assert!(memory.len() <= TOKENS_MAX);
    }
    assert!(memory.len() > TOKENS_MAX / 2 - 1);
}

#[test]
fn large_tokens_are_fewer() {
    let memory = TokenMemory::new();
    let identity = Arc::new(Identity::pretended("alice", &[]));
    for n in 0..10_000_u32 {
        memory.keep(
            super::keys::sha256(&[&n.to_be_bytes()]),
            Arc::clone(&identity),
            16 * 1024,
        );
    }
    assert!(memory.len() * 16 * 1024 <= TOKENS_BYTES_MAX);
}

#[test]
fn what_is_asked_for_stays() {
    let mut recent = Recent::new(8, 1000);
    recent.keep(0, "kept", 1);
    for n in 1..1000 {
        recent.keep(n, "other", 1);
        assert_eq!(recent.recall(&0), Some(&"kept"));
    }
    assert_eq!(recent.recall(&1), None);
}

proptest! {
    #[test]
    fn bounds_hold_whatever_is_kept(steps in prop::collection::vec((0_u8..40, 0_usize..30, any::<bool>()), 0..300)) {
        let mut recent = Recent::new(16, 200);
        for (key, bytes, ask) in steps {
            if ask {
                recent.recall(&key);
            } else {
                recent.keep(key, bytes, bytes);
                prop_assert_eq!(recent.recall(&key), Some(&bytes));
            }
            prop_assert!(recent.len() <= 16);
            prop_assert!(recent.weight() <= 200);
        }
    }
}
