//! So much of one thing at once, over all cores: connections, bytes that are kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use smallvec::SmallVec;

/// How long a refusal is remembered: each core looks once a second.
const REMEMBERED: Duration = Duration::from_millis(1_100);

/// What there is of one thing.
#[derive(Debug, Default)]
pub struct Pot {
    used: AtomicU64,
    /// When there was last none left, in milliseconds since the pot was first looked at; 0: never.
    refused_at: AtomicU64,
    began: std::sync::OnceLock<Instant>,
}

/// Some of it, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    pot: Arc<Pot>,
    many: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pot.used.fetch_sub(self.many, Ordering::Relaxed);
    }
}

impl Share {
    /// Takes `many` more, where at most `max` are out. `false`: there is not so much left, and the share is as it was.
    #[must_use]
    pub fn grow(&mut self, many: u64, max: Option<u64>, now: Instant) -> bool {
        let grown = self.pot.add(many, max, now);
        if grown {
            self.many += many;
        }
        grown
    }
}

impl Pot {
    /// Takes `many` where at most `max` are out; `None`: there is not so much left.
    #[must_use]
    pub fn take(self: &Arc<Self>, many: u64, max: Option<u64>, now: Instant) -> Option<Share> {
        self.add(many, max, now).then(|| Share {
            pot: Arc::clone(self),
            many,
        })
    }

    /// How much is out now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether somebody found too little a moment ago.
    #[must_use]
    pub fn was_short(&self, now: Instant) -> bool {
        let at = self.refused_at.load(Ordering::Relaxed);
        at > 0 && self.millis(now).saturating_sub(at) < REMEMBERED.as_millis() as u64
    }

    fn add(&self, many: u64, max: Option<u64>, now: Instant) -> bool {
        let more = |used: u64| {
            let after = used.checked_add(many)?;
            max.is_none_or(|max| after <= max).then_some(after)
        };
        let added = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if added.is_err() {
            self.refused_at.store(self.millis(now), Ordering::Relaxed);
        }
        added.is_ok()
    }

    fn millis(&self, now: Instant) -> u64 {
        let began = *self.began.get_or_init(|| now);
        let since = now.saturating_duration_since(began).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// How much a backend or squad may have at once, beside its requests. `None`: no bound of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps {
    /// Connections to servers, idle ones included.
    pub connections: Option<u64>,
    /// Bytes of requests' bodies that are kept to be sent again.
    pub kept: Option<u64>,
}

/// What of it is out.
#[derive(Debug, Default)]
pub struct Stock {
    /// Connections to servers.
    pub connections: Arc<Pot>,
    /// Bytes of requests' bodies.
    pub kept: Arc<Pot>,
}

/// What a squad may have at once, and what of it is out.
#[derive(Debug, Clone)]
pub struct Ward {
    /// Whose it is, as a label.
    pub squad: Arc<str>,
    /// How much.
    pub caps: Caps,
    /// What is out.
    pub stock: Arc<Stock>,
}

impl PartialEq for Ward {
    fn eq(&self, other: &Self) -> bool {
        self.squad == other.squad && self.caps == other.caps && Arc::ptr_eq(&self.stock, &other.stock)
    }
}

/// Shares of several pots that grow together.
#[derive(Debug, Default)]
pub struct Growing(SmallVec<[(Share, Option<u64>); 2]>);

impl Growing {
    /// Nothing yet of `pot`, of which at most `max` may be out, beside what there is.
    pub fn and(&mut self, pot: &Arc<Pot>, max: Option<u64>) {
        let pot = Arc::clone(pot);
        self.0.push((Share { pot, many: 0 }, max));
    }

    /// Takes `many` more of each; `false`: one of them has not so much left.
    #[must_use]
    pub fn grow(&mut self, many: u64, now: Instant) -> bool {
        self.0.iter_mut().all(|(share, max)| share.grow(many, *max, now))
    }

    /// Gives all back, for good.
    pub fn end(&mut self) {
        self.0.clear();
    }
}

/// Shares of what a backend and its squad have.
pub type Shares = SmallVec<[Share; 2]>;

/// One bound: what it bounds, what of it is used, and how much there may be.
pub type Bound = (&'static str, u64, u64);

impl Caps {
    /// The bounds that somebody wrote down, with what of them is used.
    pub fn bounds(self, stock: &Stock) -> impl Iterator<Item = Bound> {
        let each = [
            ("connections", stock.connections.used(), self.connections),
            ("kept_bytes", stock.kept.used(), self.kept),
        ];
        each.into_iter()
            .filter_map(|(what, used, max)| Some((what, used, max?)))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use proptest::prelude::*;

    use super::{Pot, Share};
    use crate::clock;

    #[test]
    fn what_is_taken_comes_back_and_a_shortage_is_remembered_for_a_moment() {
        let (pot, now) = (Arc::<Pot>::default(), clock::steady());
        let mut share = pot.take(3, Some(5), now).unwrap();
        assert!(!pot.was_short(now));
        assert!(!share.grow(3, Some(5), now));
        assert!(pot.was_short(now) && pot.was_short(now + Duration::from_secs(1)));
        assert!(!pot.was_short(now + Duration::from_secs(2)));
        assert!(share.grow(2, Some(5), now));
        assert!(pot.take(1, Some(5), now).is_none());
        assert!(
            pot.take(1, None, now).is_some(),
            "without a bound it is only counted"
        );
        assert_eq!(pot.used(), 5);
        drop(share);
        assert_eq!(pot.used(), 0);
    }

    proptest! {
        /// However shares come, grow and go: no more is out than may be, and in the end nothing is.
        #[test]
        fn no_more_is_out_than_may_be(max in 0u64..50, story in prop::collection::vec((0u8..3, 0u64..20), 0..200)) {
            let (pot, now) = (Arc::<Pot>::default(), clock::steady());
            let mut shares: Vec<Share> = Vec::new();
            for (what, many) in story {
                match (what, shares.pop()) {
                    (0, share) => {
                        shares.extend(share);
                        shares.extend(pot.take(many, Some(max), now));
                    }
                    (1, Some(mut share)) => {
                        let _ = share.grow(many, Some(max), now);
                        shares.push(share);
                    }
                    _ => {}
                }
                prop_assert!(pot.used() <= max);
                prop_assert_eq!(pot.used(), shares.iter().map(|share| share.many).sum::<u64>());
            }
            shares.clear();
            prop_assert_eq!(pot.used(), 0);
        }
    }
}
