//! Purges as generations: what is purged is a number in a table, and an entry older than the number is gone.
//!
//! Each purge counts a clock up and writes the new time where the hash of what it names leads (`places`); an entry knows where its own
//! names lead, and since when it is. So a purge costs the same whether a tag has one entry or a million, and no entry is looked for.
//! What begins with a prefix is a list instead, compared once with each entry that is asked for afterwards.
//!
//! An entry's stamp is the time at which its backend was *asked*: an answer that was under way during a purge is purged too.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use smallvec::SmallVec;

use super::{
    entry::{Entry, Labels},
    key::Key,
    places::{Mark, Places},
};

/// Prefixes that are remembered. When one more comes, everything older than the oldest of them is purged as it was, which is more
/// than was asked for and never less.
pub const PREFIXES_MAX: usize = 1_024;

/// A time on the clock of purges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// Before all that this process purges.
    pub(super) const BEFORE: Self = Self(0);

    pub(super) const fn at(at: u64) -> Self {
        Self(at)
    }

    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

/// What is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'w> {
    /// An address exactly, path and query, all its variants.
    Url {
        /// On this host; `None`: on all.
        host: Option<&'w str>,
        /// Path and query.
        target: &'w str,
    },
    /// All whose path and query begin so.
    Prefix {
        /// On this host; `None`: on all.
        host: Option<&'w str>,
        /// How they begin.
        prefix: &'w str,
    },
    /// All with this tag.
    Tag(&'w str),
    /// All of this group of a host (RFC 9875).
    Group {
        /// The host.
        host: &'w str,
        /// The group.
        name: &'w str,
    },
    /// All of a route, by its path or pattern as written.
    Route(&'w str),
    /// All of a squad's routes.
    Squad(&'w str),
    /// All that a flag chose, whatever it chose.
    Flag(&'w str),
    /// All that a flag's variant is.
    Variant {
        /// The flag.
        flag: &'w str,
        /// The variant.
        variant: &'w str,
    },
    /// All of a host.
    Host(&'w str),
    /// Everything.
    All,
}

/// How thoroughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It is stale: it may be served while another is fetched.
    Soft,
    /// It is never served again.
    Hard,
}

impl How {
    /// For logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// Where an entry's names lead.
pub(super) type Marks = SmallVec<[Mark; 16]>;

/// The clock and the tables.
#[derive(Debug)]
pub(super) struct Generations {
    clock: AtomicU64,
    soft: Places,
    hard: Places,
    prefixes: ArcSwap<Prefixes>,
    /// Where names lead is this process's secret: nobody chooses names that purge another's.
    hasher: RandomState,
    one_by_one: Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct Prefixes {
    /// By time.
    list: Vec<Arc<Prefix>>,
    /// All that is older is purged.
    soft_before: u64,
    hard_before: u64,
}

#[derive(Debug)]
struct Prefix {
    at: u64,
    how: How,
    host: Option<Box<str>>,
    begins: Box<str>,
    squad: Option<Box<str>>,
}

impl Generations {
    pub(super) fn new() -> Self {
        Self::hashing(RandomState::new())
    }

    /// One whose names lead where another's do.
    pub(super) fn hashing(hasher: RandomState) -> Self {
        Self {
            clock: AtomicU64::new(1),
            soft: Places::new(),
            hard: Places::new(),
            prefixes: ArcSwap::from_pointee(Prefixes::default()),
            hasher,
            one_by_one: Mutex::new(()),
        }
    }

    pub(super) fn now(&self) -> Stamp {
        Stamp(self.clock.load(Ordering::Acquire))
    }

    pub(super) const fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// Purges, of all entries or of a squad's. Whoever looks after it returned finds it done. `note` is told the time, in the order of
    /// times, before anybody can have asked for an answer at that time.
    pub(super) fn purge(&self, what: &What<'_>, squad: Option<&str>, how: How, note: impl FnOnce(u64)) {
        let _one = self.one_by_one.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.clock.load(Ordering::Relaxed) + 1;
        note(at);
        self.purge_at(what, squad, how, at);
    }

    /// Purges at a time later than all before. One at a time does.
    pub(super) fn purge_at(&self, what: &What<'_>, squad: Option<&str>, how: How, at: u64) {
        match self.place(what, squad) {
            Some(mark) => match how {
                How::Soft => self.soft.write(mark, at),
                How::Hard => self.hard.write(mark, at),
            },
            None => {
                let mut prefixes = Prefixes::clone(&self.prefixes.load());
                prefixes.add(what, squad, how, at);
                self.prefixes.store(Arc::new(prefixes));
            }
        }
        self.clock.store(at, Ordering::Release); // who reads the new time finds the tables written
    }

    /// Where the names of an entry lead.
    pub(super) fn marks(&self, key: &Key<'_>, labels: &Labels) -> Marks {
        let host = key.host;
        let target = key.target;
        let urls = [
            What::Url { host: None, target },
            What::Url {
                host: Some(host),
                target,
            },
            What::Host(host),
        ];
        let flags = labels.flags.iter();
        let flags = flags.flat_map(|(flag, variant)| [What::Flag(flag), What::Variant { flag, variant }]);
        let groups = labels.groups.iter().map(|name| What::Group { host, name });
        let squad = labels.squad.as_deref();
        // what a squad may purge of its own, and others of all
        let mut both: SmallVec<[What<'_>; 8]> = urls.into_iter().chain(groups).collect();
        both.extend(labels.tags.iter().map(|tag| What::Tag(tag)));
        let own = squad.map(|_| both.iter().filter_map(|what| self.place(what, squad)));
        both.iter()
            .copied()
            .chain(labels.route.as_deref().map(What::Route))
            .chain(squad.map(What::Squad))
            .chain(flags)
            .filter_map(|what| self.place(&what, None))
            .chain(own.into_iter().flatten())
            .collect()
    }

    /// What purges say of an entry; `None`: nothing. Asked again before the next purge, it costs two loads.
    pub(super) fn verdict(&self, entry: &Entry) -> Option<How> {
        let now = self.clock.load(Ordering::Acquire);
        let known = entry.verdict.load(Ordering::Relaxed);
        let verdict = if known >> VERDICT_BITS >= now {
            known
        } else {
            let how = self.judge(entry, known >> VERDICT_BITS);
            let newly = how.map_or(0, |how| how as u64 + 1);
            // the later clock wins, whichever core writes last; and nothing purged becomes whole again
            let newly = (now << VERDICT_BITS) | newly.max(known & VERDICT_MASK);
            entry.verdict.fetch_max(newly, Ordering::Relaxed).max(newly)
        };
        match verdict & VERDICT_MASK {
            0 => None,
            1 => Some(How::Soft),
            _ => Some(How::Hard),
        }
    }

    fn judge(&self, entry: &Entry, seen: u64) -> Option<How> {
        let since = entry.stamp().0;
        let later = |table: &Places| entry.marks.iter().any(|mark| table.is_later(*mark, since));
        if later(&self.hard) {
            return Some(How::Hard);
        }
        let prefix = self.prefixes.load().judge(entry, since, seen);
        let soft = later(&self.soft).then_some(How::Soft);
        prefix.max(soft)
    }

    /// Where a name leads; `None`: what is named is no name.
    fn place(&self, what: &What<'_>, own: Option<&str>) -> Option<Mark> {
        let hash = match *what {
            What::Url { host, target } => self.hash(0, own, (host, target)),
            What::Host(host) => self.hash(1, own, host),
            What::Tag(tag) => self.hash(2, own, tag),
            What::Group { host, name } => self.hash(3, own, (host, name)),
            What::Route(route) => self.hash(4, own, route),
            What::Squad(squad) => self.hash(5, own, squad),
            What::Flag(flag) => self.hash(6, own, flag),
            What::Variant { flag, variant } => self.hash(7, own, (flag, variant)),
            What::Prefix { .. } | What::All => return None,
        };
        Some(Mark::of(hash))
    }

    fn hash(&self, kind: u8, squad: Option<&str>, name: impl Hash) -> u64 {
        self.hasher.hash_one((kind, squad, name))
    }
}

const VERDICT_BITS: u32 = 2;
const VERDICT_MASK: u64 = (1 << VERDICT_BITS) - 1;

impl Prefixes {
    fn add(&mut self, what: &What<'_>, squad: Option<&str>, how: How, at: u64) {
        match *what {
            What::Prefix { host, prefix } => self.list.push(Arc::new(Prefix {
                at,
                how,
                host: host.map(Into::into),
                begins: prefix.into(),
                squad: squad.map(Into::into),
            })),
            _ => self.all_before(how, at),
        }
        if self.list.len() > PREFIXES_MAX {
            let oldest = self.list.remove(0);
            self.all_before(oldest.how, oldest.at);
        }
    }

    fn all_before(&mut self, how: How, at: u64) {
        let before = match how {
            How::Soft => &mut self.soft_before,
            How::Hard => &mut self.hard_before,
        };
        *before = at.max(*before);
    }

    /// `seen`: what was purged up to then has been judged.
    fn judge(&self, entry: &Entry, since: u64, seen: u64) -> Option<How> {
        if since < self.hard_before {
            return Some(How::Hard);
        }
        let after = since.max(seen);
        let newer = self.list.iter().rev().take_while(|prefix| prefix.at > after);
        let matching = newer
            .filter(|prefix| prefix.holds(entry))
            .map(|prefix| prefix.how);
        matching
            .max()
            .max((since < self.soft_before).then_some(How::Soft))
    }
}

impl Prefix {
    fn holds(&self, entry: &Entry) -> bool {
        let (host, squad) = (self.host.as_deref(), self.squad.as_deref());
        entry.target().starts_with(&*self.begins)
            && host.is_none_or(|host| host == entry.host())
            && (squad.is_none() || squad == entry.labels().squad.as_deref())
    }
}
