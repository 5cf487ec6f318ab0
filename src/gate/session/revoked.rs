//! Sessions that were ended from elsewhere: by the provider's back channel, or by their own sign-out. Lives beside the snapshot.

use std::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::super::keys::sha256;
use crate::clock::UnixTime;

/// Ended sessions, or users, that are remembered at one time, over all shards.
pub const REVOKED_SESSIONS_MAX: usize = 16_384;
/// Logout tokens that are remembered, so that none counts twice.
pub const LOGOUTS_MAX: usize = 16_384;

const SHARDS: usize = 64;

/// What is ended: a hash, so that no id of a user is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; 16]);

impl Mark {
    /// The provider's session of this `sid`.
    #[must_use]
    pub fn sid(sid: &str) -> Self {
        Self::of("sid", sid.as_bytes())
    }

    /// The sessions of this user that the provider gave no `sid`: where it signs out one of them, it can't say which.
    #[must_use]
    pub fn nameless(subject: &str) -> Self {
        Self::of("nameless", subject.as_bytes())
    }

    /// All sessions of this user.
    #[must_use]
    pub fn subject(subject: &str) -> Self {
        Self::of("sub", subject.as_bytes())
    }

    /// One session of ours.
    #[must_use]
    pub fn own(id: &[u8]) -> Self {
        Self::of("own", id)
    }

    fn token(jti: &str) -> Self {
        Self::of("jti", jti.as_bytes())
    }

    fn of(kind: &str, text: &[u8]) -> Self {
        let sum = sha256(&[kind.as_bytes(), b"\n", text]);
        Self(sum.first_chunk().copied().unwrap_or_default())
    }

    fn shard(self) -> usize {
        let [first, ..] = self.0;
        usize::from(first) % SHARDS
    }
}

/// One thing that is remembered.
#[derive(Debug, Clone, Copy)]
struct Entry {
    mark: Mark,
    /// Sessions that began until then are over.
    until: UnixTime,
    /// Nothing that it concerns lives longer.
    forget: UnixTime,
}

/// A bounded set that every core reads without a lock. A writer copies one shard.
struct Set {
    shards: Vec<ArcSwap<Vec<Entry>>>,
    len: AtomicUsize,
}

impl Set {
    fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            len: AtomicUsize::new(0),
        }
    }

    fn find(&self, mark: Mark) -> Option<Entry> {
        let shard = self.shards.get(mark.shard())?.load();
        let at = shard.binary_search_by_key(&mark, |entry| entry.mark).ok()?;
        shard.get(at).copied()
    }

    /// Puts `entry` there; whether there was room. `fresh`: only if it isn't there yet, and then says no as well.
    fn put(&self, entry: Entry, max: usize, fresh: bool, now: UnixTime) -> bool {
        let Some(shard) = self.shards.get(entry.mark.shard()) else {
            return false;
        };
        let (mut put, mut after) = (false, 0);
        let before = shard.rcu(|entries| {
            let mut left: Vec<Entry> = entries
                .iter()
                .copied()
                .filter(|known| known.forget > now)
                .collect();
            let place = left.binary_search_by_key(&entry.mark, |known| known.mark);
            put = match place {
                Ok(_) if fresh => false,
                Ok(at) => {
                    if let Some(known) = left.get_mut(at) {
                        *known = entry;
                    }
                    true
                }
                Err(_) if left.len() >= max / SHARDS => false,
                Err(at) => {
                    left.insert(at, entry);
                    true
                }
            };
            after = left.len();
            left
        });
        if after >= before.len() {
            self.len.fetch_add(after - before.len(), Ordering::AcqRel);
        } else {
            let gone = before.len() - after;
            let _ = self.len.fetch_update(Ordering::AcqRel, Ordering::Acquire, |len| {
                Some(len.saturating_sub(gone))
            });
        }
        put
    }
}

/// What is remembered, as another program takes it up. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    ended: Vec<([u8; 16], u64, u64)>,
    logouts: Vec<([u8; 16], u64, u64)>,
    everyone: u64,
}

/// Sessions that are over before their time.
pub struct Revocations {
    ended: Set,
    logouts: Set,
    /// There was no room for one: all sessions that began until then are over. To forget one would let it in again.
    everyone: AtomicU64,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            ended: Set::new(),
            logouts: Set::new(),
            everyone: AtomicU64::new(0),
        }
    }
}

impl Revocations {
    /// Ends what `mark` names, as far as it began until `now`; remembered for as long as such a session could live.
    pub fn end(&self, mark: Mark, now: UnixTime, forget: UnixTime) {
        let entry = Entry {
            mark,
            until: now,
            forget,
        };
        if !self.ended.put(entry, REVOKED_SESSIONS_MAX, false, now) {
            self.everyone.fetch_max(now.millis, Ordering::AcqRel);
        }
    }

    /// Whether a session with these marks that began then was ended. Where nothing was, this is two loads.
    #[must_use]
    pub fn has(&self, marks: &[Mark], began: UnixTime) -> bool {
        if began.millis <= self.everyone.load(Ordering::Acquire) {
            return true;
        }
        self.ended.len.load(Ordering::Acquire) > 0
            && marks
                .iter()
                .filter_map(|mark| self.ended.find(*mark))
                .any(|entry| began <= entry.until)
    }

    /// Notes a logout token by its `jti`; whether it is the first time, and there was room.
    #[must_use]
    pub fn first_time(&self, jti: &str, now: UnixTime, forget: UnixTime) -> bool {
        let entry = Entry {
            mark: Mark::token(jti),
            until: now,
            forget,
        };
        self.logouts.put(entry, LOGOUTS_MAX, true, now)
    }

    /// All that is remembered.
    #[must_use]
    pub fn carried(&self) -> Carried {
        let all = |set: &Set| {
            let shards = set.shards.iter().map(ArcSwap::load_full);
            let entries = shards.flat_map(|shard| shard.to_vec());
            entries
                .map(|entry| (entry.mark.0, entry.until.millis, entry.forget.millis))
                .collect()
        };
        Carried {
            ended: all(&self.ended),
            logouts: all(&self.logouts),
            everyone: self.everyone.load(Ordering::Acquire),
        }
    }

    /// Remembers what another program remembered.
    pub fn take_up(&self, carried: &Carried, now: UnixTime) {
        let entry = |(mark, until, forget): &([u8; 16], u64, u64)| Entry {
            mark: Mark(*mark),
            until: UnixTime { millis: *until },
            forget: UnixTime { millis: *forget },
        };
        self.everyone.fetch_max(carried.everyone, Ordering::AcqRel);
        for entry in carried.ended.iter().map(entry) {
            if !self.ended.put(entry, REVOKED_SESSIONS_MAX, false, now) {
                self.everyone.fetch_max(entry.until.millis, Ordering::AcqRel);
            }
        }
        for entry in carried.logouts.iter().map(entry) {
            let _ = self.logouts.put(entry, LOGOUTS_MAX, true, now);
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ended.len.load(Ordering::Relaxed)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, REVOKED_SESSIONS_MAX, Revocations};
    use crate::clock::UnixTime;

    const fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn what_is_ended_is_ended_for_those_who_began_before() {
        let revoked = Revocations::default();
        let marks = [Mark::sid("s1"), Mark::subject("alice"), Mark::own(b"1")];
        assert!(!revoked.has(&marks, at(10)));
        revoked.end(Mark::sid("s1"), at(20), at(100));
        assert!(revoked.has(&marks, at(10)) && revoked.has(&marks, at(20)));
        assert!(!revoked.has(&marks, at(21)), "who signs in again is in");
        assert!(
            !revoked.has(&[Mark::subject("s1")], at(10)),
            "a user is no session"
        );
        revoked.end(Mark::subject("alice"), at(30), at(100));
        assert!(revoked.has(&marks, at(25)));
        assert_eq!(revoked.len(), 2);
    }

    #[test]
    fn another_program_remembers_who_signed_out() {
        let (before, after) = (Revocations::default(), Revocations::default());
        before.end(Mark::sid("s1"), at(20), at(100));
        assert!(before.first_time("token", at(20), at(100)));
        after.take_up(&before.carried(), at(30));
        assert!(after.has(&[Mark::sid("s1")], at(20)) && !after.has(&[Mark::sid("s2")], at(20)));
        assert!(!after.first_time("token", at(30), at(100)));
        assert_eq!(after.len(), 1);
    }

    #[test]
    fn a_logout_token_counts_once_until_it_has_ended() {
        let revoked = Revocations::default();
        assert!(revoked.first_time("j", at(1), at(10)));
        assert!(!revoked.first_time("j", at(2), at(10)));
        assert!(
            revoked.first_time("j", at(11), at(20)),
            "it has ended: it is refused for that"
        );
    }

    #[test]
    fn without_room_everyone_has_to_sign_in_again() {
        let revoked = Revocations::default();
        for number in 0..2 * REVOKED_SESSIONS_MAX {
            revoked.end(Mark::sid(&number.to_string()), at(5), at(100));
        }
        assert!(revoked.len() <= REVOKED_SESSIONS_MAX);
        assert!(revoked.has(&[Mark::sid("never named")], at(5)));
        assert!(!revoked.has(&[Mark::sid("never named")], at(6)));
        revoked.end(Mark::sid("late"), at(101), at(200));
        assert!(revoked.has(&[Mark::sid("late")], at(100)), "room comes back");
    }
}
