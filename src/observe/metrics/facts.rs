//! What the control plane knows and metrics show: reloads, certificates, health. Set by control, read at a scrape.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
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

/// A backend, as metrics show it.
#[derive(Debug, Clone)]
pub struct BackendFacts {
    /// Its name.
    pub name: String,
    /// Whether its breaker is open, and how often it opened; `None`: it has none.
    pub breaker: Option<(bool, u64)>,
    /// Its servers.
    pub servers: Vec<ServerFacts>,
}

/// A server, as metrics show it.
#[derive(Debug, Clone)]
pub struct ServerFacts {
    /// Its address.
    pub label: String,
    /// Checks let traffic go there.
    pub healthy: bool,
    /// Live traffic speaks against it.
    pub ejected: bool,
    /// Exchanges under way.
    pub in_flight: u64,
    /// How long an answer takes, the latest counting most.
    pub latency: Duration,
    /// Exchanges sent there.
    pub picks: u64,
    /// How often it was taken out, by reason.
    pub ejections: Vec<(&'static str, u64)>,
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

    /// Which backends there are, with their servers, and how those are.
    pub fn backends(&self, all: &[BackendFacts]) {
        let mut known = self.lock();
        let flag = |yes: bool| f64::from(u8::from(yes));
        let mut put = |family: Family, value: &dyn Fn(&ServerFacts) -> f64| {
            let each = all.iter().flat_map(|backend| {
                let name = backend.name.as_str();
                backend
                    .servers
                    .iter()
                    .map(move |server| (Series::new(family, &[name, &server.label]), value(server)))
            });
            known.replace(family, each);
        };
        put(Family::ServerHealthy, &|server| flag(server.healthy));
        put(Family::ServerEjected, &|server| flag(server.ejected));
        put(Family::ServerRequestsInFlight, &|server| whole(server.in_flight));
        put(Family::ServerLatency, &|server| server.latency.as_secs_f64());
        put(Family::ServerPicks, &|server| whole(server.picks));
        let ejections = all.iter().flat_map(|backend| {
            backend.servers.iter().flat_map(move |server| {
                server.ejections.iter().map(move |(reason, count)| {
                    let labels = [backend.name.as_str(), &server.label, *reason];
                    (Series::new(Family::ServerEjections, &labels), whole(*count))
                })
            })
        });
        known.replace(
            Family::ServerEjections,
            ejections.filter(|(_, count)| *count > 0.0),
        );
        let breakers = all
            .iter()
            .filter_map(|backend| Some((backend.name.as_str(), backend.breaker?)));
        known.replace(
            Family::BreakerOpen,
            breakers
                .clone()
                .map(|(name, (open, _))| (Series::new(Family::BreakerOpen, &[name]), flag(open))),
        );
        known.replace(
            Family::BreakerOpenings,
            breakers.map(|(name, (_, count))| (Series::new(Family::BreakerOpenings, &[name]), whole(count))),
        );
    }

    /// What backends and squads have of what they may have at once, by kind, name and what it is: used, and the most.
    pub fn bulkheads(&self, all: &[([&str; 3], u64, u64)]) {
        let of = |family, number: fn(&([&str; 3], u64, u64)) -> u64| {
            let series = move |it: &([&str; 3], u64, u64)| (Series::new(family, &it.0), whole(number(it)));
            all.iter().map(series)
        };
        let mut known = self.lock();
        known.replace(Family::BulkheadUsed, of(Family::BulkheadUsed, |it| it.1));
        known.replace(Family::BulkheadMax, of(Family::BulkheadMax, |it| it.2));
    }

    /// How many drills are under way.
    pub fn drills(&self, active: usize) {
        self.lock().put(Family::DrillsActive, &[], whole(active as u64));
    }

    /// What one family says of each room.
    pub fn rooms<'a>(&self, family: Family, rooms: impl IntoIterator<Item = (&'a str, f64)>) {
        let told = rooms
            .into_iter()
            .map(|(room, number)| (Series::new(family, &[room]), number));
        self.lock().replace(family, told);
    }

    /// How long the last in line waits, by room and bound, in seconds.
    pub fn estimates<'a>(&self, rooms: impl IntoIterator<Item = (&'a str, &'static str, f64)>) {
        let family = Family::RoomEstimate;
        let told = rooms
            .into_iter()
            .map(|(room, bound, seconds)| (Series::new(family, &[room, bound]), seconds));
        self.lock().replace(family, told);
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

    /// One more of these.
    pub fn add(&self, family: Family, labels: &[&str]) {
        *self
            .lock()
            .numbers
            .entry(Series::new(family, labels))
            .or_default() += 1.0;
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
