//! Purges of the cache: those that somebody orders, and those that follow from what changed.

#[path = "cache_disk.rs"]
mod disk;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    cache::store::{How, Stats, Store, What},
    clock::{self, UnixTime},
    config::settings::Settings,
    observe::metrics::{Facts, Family},
    snapshot::{Snapshot, diff::Diff},
};

/// Orders that are remembered for who looks.
const REMEMBERED: usize = 100;
/// Seconds between two searches for what was purged hard: each reads all keys, and every POST to a cached address purges.
const FREE_EACH: u64 = 30;
/// Names that a remembered order shows.
const NAMES_SHOWN_MAX: usize = 10;

/// A purge that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purged {
    /// When.
    pub at: UnixTime,
    /// How thoroughly.
    pub how: How,
    /// What, as `tag red`; the first few.
    pub what: Vec<String>,
    /// How many that were.
    pub count: usize,
    /// Only what is of these squads; empty: all.
    pub squads: Vec<String>,
    /// Who ordered it; `banyan`: it followed from a change.
    pub who: String,
    /// Why, in their words.
    pub reason: String,
}

/// The cache's store, for the control plane.
#[derive(Debug)]
pub struct Cache {
    store: Arc<Store>,
    /// The folder of its disk.
    disk: OnceLock<PathBuf>,
    recent: Mutex<VecDeque<Purged>>,
    /// When what was purged hard was freed last, in seconds since 1970.
    freed: AtomicU64,
}

impl Cache {
    /// An empty store of the size that the settings say.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            store: Store::new(&settings.edge.cache),
            disk: OnceLock::new(),
            recent: Mutex::default(),
            freed: AtomicU64::new(0),
        }
    }

    /// The store that cores look into.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Purges for somebody: everything that is named, or what is of these squads of it. It is in force when this returns.
    pub fn purge(&self, whats: &[What<'_>], how: How, squads: &[&str], who: &str, reason: &str) {
        for what in whats {
            match squads {
                [] => self.store.purge(what, how),
                squads => squads
                    .iter()
                    .for_each(|squad| self.store.purge_of(squad, what, how)),
            }
        }
        self.store.purges_written_blocking();
        let shown: Vec<String> = whats.iter().take(NAMES_SHOWN_MAX).map(told).collect();
        let (count, what) = (whats.len(), shown.join(", "));
        tracing::info!(
            who,
            how = how.as_str(),
            count,
            what,
            ?squads,
            reason,
            "cache purged"
        );
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_back();
        }
        recent.push_front(Purged {
            at: clock::wall(),
            how,
            what: shown,
            count,
            squads: squads.iter().map(|&squad| squad.to_owned()).collect(),
            who: who.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// The last purges, newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Purged> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }

    /// Follows a change that is in force: takes its bounds, and purges what flags chose that were killed or have another epoch
    /// (hard: what they chose is not to be seen again), and the routes that are another now (softly).
    pub(super) fn follow(&self, settings: &Settings, before: &Snapshot, now: &Snapshot, diff: &Diff) {
        self.store.follow(&settings.edge.cache);
        self.follow_disk(settings, now);
        let flags = ended(before, now);
        let flags: Vec<What<'_>> = flags.iter().map(|flag| What::Flag(flag)).collect();
        if !flags.is_empty() {
            let why = "the flag was killed, removed, or has another epoch";
            self.purge(&flags, How::Hard, &[], "banyan", why);
        }
        let routes = diff.routes.changed.iter().chain(&diff.routes.removed);
        let routes: Vec<What<'_>> = routes
            .filter_map(|route| route.split_once(' '))
            .map(|(_, route)| What::Route(route))
            .collect();
        // Nobody need be told of purges of what was never kept.
        if !routes.is_empty() && self.store.stats().entries > 0 {
            self.purge(&routes, How::Soft, &[], "banyan", "the route is another now");
        }
    }

    /// Tells metrics, and frees what was purged.
    pub(super) fn housekeep(&self, facts: &Facts) {
        let stats = self.store.stats();
        facts.set(
            numbers(&stats)
                .iter()
                .map(|(family, labels, number)| (*family, &labels[..], *number)),
        );
        disk::measure(&self.store, facts);
        let (now, freed) = (clock::wall().secs(), self.freed.load(Ordering::Relaxed));
        if self.store.has_purged() && now.abs_diff(freed) >= FREE_EACH {
            self.freed.store(now, Ordering::Relaxed);
            let store = Arc::clone(&self.store);
            tokio::task::spawn_blocking(move || store.free_purged());
        }
    }
}

/// Flags whose choices so far are void.
fn ended(before: &Snapshot, now: &Snapshot) -> Vec<String> {
    disk::ended(&disk::States::of(before), &disk::States::of(now))
}

/// What is purged, in words.
fn told(what: &What<'_>) -> String {
    match what {
        What::Url { host, target } => format!("{}{target}", host.unwrap_or_default()),
        What::Prefix { host, prefix } => format!("{}{prefix}*", host.unwrap_or_default()),
        What::Host(host) => format!("{host}/*"),
        What::All => "/*".to_owned(),
        What::Tag(tag) => format!("tag {tag}"),
        What::Group { host, name } => format!("group {name} of {host}"),
        What::Route(route) => format!("route {route}"),
        What::Squad(squad) => format!("squad {squad}"),
        What::Flag(flag) => format!("flag {flag}"),
        What::Variant { flag, variant } => format!("flag {flag} = {variant}"),
    }
}

type Number = (Family, Vec<&'static str>, u64);

fn numbers(stats: &Stats) -> [Number; 16] {
    let of = |family, word, number| (family, vec![word], number);
    [
        (Family::CacheEntries, Vec::new(), stats.entries),
        (Family::CacheKept, Vec::new(), stats.kept),
        of(Family::CacheBytes, "small", stats.small),
        of(Family::CacheBytes, "large", stats.large),
        of(Family::CacheBytes, "collecting", stats.collecting),
        of(Family::CacheBytesMax, "small", stats.small_max),
        of(Family::CacheBytesMax, "large", stats.large_max),
        of(Family::CacheBytesMax, "collecting", stats.collecting_max),
        of(Family::CacheEvictions, "small", stats.evicted_small),
        of(Family::CacheEvictions, "large", stats.evicted_large),
        of(Family::CachePurges, "soft", stats.purged_soft),
        of(Family::CachePurges, "hard", stats.purged_hard),
        of(Family::CacheRefused, "large", stats.refused_large),
        of(Family::CacheRefused, "labels", stats.refused_labels),
        of(Family::CacheRefused, "purged", stats.refused_purged),
        of(Family::CacheRefused, "full", stats.refused_full),
    ]
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
