//! What the control plane knows and metrics show: reloads, certificates, health. Set by control, read at a scrape.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{family::Family, totals::Series};
use crate::clock::UnixTime;

/// How a change of settings went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// It serves, whole.
    Applied,
    /// It serves, but a squad's broken file was left out for its last good one.
    Partial,
    /// It does not serve; the last good settings do.
    Refused,
    /// Nothing differed.
    Unchanged,
}

impl Reload {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Numbers of the control plane. No request path reads or writes them.
#[derive(Debug, Default)]
pub struct Facts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: BTreeMap<Series, f64>,
    published: Option<UnixTime>,
}

impl Facts {
    /// Settings were read again, with this result.
    pub fn reloaded(&self, result: Reload, at: UnixTime) {
        let mut known = self.lock();
        *known
            .numbers
            .entry(Series::new(Family::ConfigReloads, &[result.as_str()]))
            .or_default() += 1.0;
        let good = f64::from(u8::from(matches!(result, Reload::Applied | Reload::Unchanged)));
        known.put(Family::ConfigLastReloadSuccessful, &[], good);
        if result != Reload::Refused {
            known.put(Family::ConfigLastReloadTimestamp, &[], seconds(at));
        }
    }

    /// A snapshot was published.
    pub fn published(&self, version: u64, at: UnixTime) {
        let mut known = self.lock();
        known.put(Family::ConfigVersion, &[], whole(version));
        known.published = Some(at);
    }

    /// Which squads there are, and whether each is served by its last good file.
    pub fn squads<'a>(&self, squads: impl IntoIterator<Item = (&'a str, bool)>) {
        let stale = squads.into_iter().map(|(squad, stale)| {
            (
                Series::new(Family::SquadFileStale, &[squad]),
                f64::from(u8::from(stale)),
            )
        });
        self.lock().replace(Family::SquadFileStale, stale);
    }

    /// Which certificates serve, by name, and when each ends, in seconds since 1970.
    pub fn certificates<'a>(&self, ends: impl IntoIterator<Item = (&'a str, u64)>) {
        let ends = ends
            .into_iter()
            .map(|(name, end)| (Series::new(Family::CertNotAfter, &[name]), whole(end)));
        self.lock().replace(Family::CertNotAfter, ends);
    }

    /// Which servers there are, by backend, and whether each takes traffic.
    pub fn servers<'a>(&self, health: impl IntoIterator<Item = (&'a str, &'a str, bool)>) {
        let health = health.into_iter().map(|(backend, server, healthy)| {
            (
                Series::new(Family::ServerHealthy, &[backend, server]),
                f64::from(u8::from(healthy)),
            )
        });
        self.lock().replace(Family::ServerHealthy, health);
    }

    /// The issuer's keys were asked for, with this outcome (of a fixed set); `read` at that time, if they came.
    pub fn keys_fetched(&self, outcome: &'static str, read: Option<UnixTime>) {
        let mut known = self.lock();
        let series = Series::new(Family::GateKeysFetches, &[outcome]);
        *known.numbers.entry(series).or_default() += 1.0;
        if let Some(read) = read {
            known.put(Family::GateKeysFetched, &[], seconds(read));
        }
    }

    /// Which machines' keys there are, when each was last used and when it ends, in seconds since 1970.
    pub fn machines<'a>(&self, machines: impl Iterator<Item = (&'a str, u64, u64)>) {
        let machines: Vec<_> = machines.collect();
        let of = |family, pick: fn(&(&str, u64, u64)) -> u64| {
            let number = move |it: &(&str, u64, u64)| (Series::new(family, &[it.0]), whole(pick(it)));
            machines.iter().map(number).collect::<Vec<_>>().into_iter()
        };
        let (used, ends) = (
            of(Family::KeyLastUsed, |it| it.1),
            of(Family::KeyNotAfter, |it| it.2),
        );
        let mut known = self.lock();
        known.replace(Family::KeyLastUsed, used);
        known.replace(Family::KeyNotAfter, ends);
    }

    /// So many sessions, or users, are remembered as signed out.
    pub fn revoked_sessions(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.lock().put(Family::SessionsRevoked, &[], whole(count));
    }

    /// Sets numbers that somebody else counts.
    pub fn set<'a>(&self, numbers: impl IntoIterator<Item = (Family, &'a [&'a str], u64)>) {
        let mut known = self.lock();
        for (family, labels, number) in numbers {
            known.put(family, labels, whole(number));
        }
    }

    /// Somebody of this kind asked the admin listener for something, with this outcome. Both are of fixed sets.
    pub fn admin_asked(&self, who: &'static str, outcome: &'static str) {
        let series = Series::new(Family::AdminRequests, &[who, outcome]);
        *self.lock().numbers.entry(series).or_default() += 1.0;
    }

    /// All of it, as series; ages are counted to `now`.
    #[must_use]
    pub fn series(&self, now: UnixTime) -> Vec<(Series, f64)> {
        let known = self.lock();
        let age = known.published.map(|at| {
            let millis = now.millis.saturating_sub(at.millis);
            (Series::new(Family::SnapshotAge, &[]), whole(millis) / 1e3)
        });
        let build = (Series::new(Family::BuildInfo, &[env!("CARGO_PKG_VERSION")]), 1.0);
        let numbers = known
            .numbers
            .iter()
            .map(|(series, number)| (series.clone(), *number));
        numbers.chain(age).chain([build]).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn put(&mut self, family: Family, labels: &[&str], value: f64) {
        self.numbers.insert(Series::new(family, labels), value);
    }

    /// Gone names vanish: their state is over, unlike a counter's past.
    fn replace(&mut self, family: Family, with: impl Iterator<Item = (Series, f64)>) {
        self.numbers.retain(|series, _| series.family != family);
        self.numbers.extend(with);
    }
}

fn seconds(at: UnixTime) -> f64 {
    whole(at.millis) / 1e3
}

#[expect(
    clippy::cast_precision_loss,
    reason = "times and versions stay below 2^53, where a double is exact"
)]
const fn whole(number: u64) -> f64 {
    number as f64
}
