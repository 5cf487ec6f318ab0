//! What bounds a route and a squad at work: budgets, rates and seats, carried over from snapshot to snapshot.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{BackendId, Rule, Snapshot};
use crate::{
    config::settings::{RouteSettings, Settings, SquadSettings},
    policy::{Policy, failover::Fallback, protection::Protection},
    shield::{
        budget::{self, Budget},
        crowd::Crowd,
        line::{Line, Terms},
        pot::Ward,
        rate::{Meter, Meters},
    },
};

/// What a route's requests share, over all cores.
#[derive(Debug)]
pub struct RouteShield {
    /// What may be tried again.
    pub retries: Budget,
    /// Who fell back.
    pub fallback: Outlet,
    /// What was sent to a second server; `None`: nothing ever is.
    pub hedges: Option<Box<Hedges>>,
    /// Who is let in; `None`: everybody.
    pub checks: Option<Box<Checks>>,
    /// The settings that it was made by: it is carried over as long as they stay.
    made_by: (Protection, Option<Fallback>),
}

/// Requests that fell back: how many lately, and how many are there now.
#[derive(Debug, Default)]
pub struct Outlet {
    /// How many lately.
    pub meter: Meter,
    /// How many are there now.
    pub line: Arc<Line>,
}

/// Requests of a route that are sent to a second server because the first takes long.
#[derive(Debug)]
pub struct Hedges {
    /// Cores know by it how long the route's answers take.
    pub id: u64,
    /// How many there may be.
    pub budget: Budget,
    /// As the core that looked last sees it, in microseconds; 0: nobody knows.
    p95_us: AtomicU64,
}

impl Hedges {
    fn new(terms: budget::Terms) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            budget: Budget::new(terms),
            p95_us: AtomicU64::new(0),
        }
    }

    /// A core knows how long 95 of 100 answers take at most.
    pub fn tell(&self, p95: Option<Duration>) {
        let micros = p95.map_or(0, |p95| u64::try_from(p95.as_micros()).unwrap_or(u64::MAX));
        self.p95_us.store(micros, Ordering::Relaxed);
    }

    /// How long 95 of 100 answers take at most, as the core that looked last sees it.
    #[must_use]
    pub fn p95(&self) -> Option<Duration> {
        let micros = self.p95_us.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }
}

/// Who is let in on a route.
#[derive(Debug)]
pub struct Checks {
    /// Who asked how often, for each of the route's rates.
    pub rates: Vec<Asked>,
    /// Requests that visitors have open.
    pub visitors: Arc<Crowd>,
    /// Requests that addresses have open.
    pub addresses: Arc<Crowd>,
}

/// Who asked how often.
#[derive(Debug)]
pub enum Asked {
    /// All together.
    Together(Meter),
    /// Each for themselves.
    Each(Meters),
}

/// A squad's seats at work.
#[derive(Debug, Clone)]
pub struct SquadLine {
    /// The seats.
    pub line: Arc<Line>,
    /// How many, and who waits.
    pub terms: Terms,
}

impl RouteShield {
    /// The settings that it was made by, in some words.
    pub(super) fn terms(&self) -> String {
        format!("{:?}", self.made_by)
    }

    fn new(policy: &Policy) -> Self {
        use crate::policy::protection::By;
        let limits = &policy.protection.limits;
        let rates = limits.rates.iter().map(|limit| match limit.by {
            By::Route => Asked::Together(Meter::default()),
            By::Address | By::Visitor | By::User | By::Header(_) => Asked::Each(Meters::default()),
        });
        Self {
            retries: Budget::new(policy.protection.retries),
            fallback: Outlet::default(),
            hedges: policy
                .protection
                .hedge
                .map(|hedge| Box::new(Hedges::new(hedge.budget))),
            checks: (!limits.is_open()).then(|| {
                Box::new(Checks {
                    rates: rates.collect(),
                    visitors: Arc::default(),
                    addresses: Arc::default(),
                })
            }),
            made_by: made_by(policy),
        }
    }
}

fn made_by(policy: &Policy) -> (Protection, Option<Fallback>) {
    let fallback = policy.failover.as_ref().and_then(|failover| failover.fallback);
    (policy.protection.clone(), fallback)
}

/// What the snapshot in force has of this, by the names that it goes by.
pub(super) struct Carried<'p> {
    routes: HashMap<(&'p str, &'p str), Vec<&'p Rule>>,
    squads: HashMap<&'p str, SquadLine>,
    wards: HashMap<&'p str, Ward>,
}

impl<'p> Carried<'p> {
    pub(super) fn new(previous: Option<&'p Snapshot>, settings: &'p Settings) -> Self {
        let mut routes: HashMap<_, Vec<&Rule>> = HashMap::new();
        let mut lines = HashMap::new();
        for rule in previous.into_iter().flat_map(|previous| &previous.rules) {
            routes.entry((&*rule.squad, &*rule.name)).or_default().push(rule);
            if let Some(line) = &rule.line {
                lines
                    .entry(&*rule.squad)
                    .or_insert_with(|| Arc::clone(&line.line));
            }
        }
        let wards = wards(previous, settings);
        let squads = settings.edge.squads.iter().filter_map(|squad| {
            let name = squad.name.as_str();
            let line = lines.get(name).cloned().unwrap_or_default();
            let terms = squad.line?;
            Some((name, SquadLine { line, terms }))
        });
        Self {
            squads: squads.collect(),
            wards,
            routes,
        }
    }

    /// The squad's seats, if they are bounded.
    pub(super) fn line(&self, squad: &str) -> Option<SquadLine> {
        self.squads.get(squad).cloned()
    }

    /// What else the squad may have, if the operator names it.
    pub(super) fn ward(&self, squad: &str) -> Option<Ward> {
        self.wards.get(squad).cloned()
    }

    /// The shield of the same route with the same settings, or a new one.
    pub(super) fn shield(&self, route: &RouteSettings) -> Arc<RouteShield> {
        let claim = &route.claim;
        let same = |rule: &&&Rule| {
            let other = &rule.claim;
            other.order == claim.order
                && other.path == claim.path
                && other.hosts == claim.hosts
                && other.conditions == claim.conditions
                && rule.shield.made_by == made_by(&route.policy)
        };
        let known = self.routes.get(&(claim.squad.as_str(), claim.path.as_str()));
        let known = known.and_then(|rules| rules.iter().find(same));
        known.map_or_else(
            || Arc::new(RouteShield::new(&route.policy)),
            |rule| Arc::clone(&rule.shield),
        )
    }
}

/// A ward for each squad that the operator names; what is out is carried over.
fn wards<'p>(previous: Option<&Snapshot>, settings: &'p Settings) -> HashMap<&'p str, Ward> {
    let of_rules = previous.into_iter().flat_map(|previous| &previous.rules);
    let of_backends = previous.into_iter().flat_map(|previous| &previous.backends);
    let known: HashMap<&str, &Ward> = of_rules
        .filter_map(|rule| rule.ward.as_ref())
        .chain(of_backends.filter_map(|backend| backend.squad.as_ref()))
        .map(|ward| (&*ward.squad, ward))
        .collect();
    let ward = |squad: &'p SquadSettings| {
        let name = squad.name.as_str();
        let ward = Ward {
            squad: squad.name.shared(),
            caps: squad.caps,
            stock: known
                .get(name)
                .map_or_else(Arc::default, |known| Arc::clone(&known.stock)),
        };
        (name, ward)
    };
    settings.edge.squads.iter().map(ward).collect()
}

impl Rule {
    /// When a second server is asked as well, if that is ever.
    fn hedge_told(&self) -> Option<String> {
        let hedge = self.policy.protection.hedge?;
        let after = match self.shield.hedges.as_ref()?.p95() {
            Some(p95) => format!("{:?}", p95.max(hedge.min_delay)),
            None => "what 95 of 100 take, once that is known".to_owned(),
        };
        let share = f64::from(hedge.budget.share) / 10.0;
        Some(format!(
            "a second server after {after}, for {share} % of requests"
        ))
    }

    /// What bounds requests that it leads to `backend`, a line for each thing that somebody wrote down.
    #[must_use]
    pub fn bounds(&self, backend: BackendId, at: &Snapshot) -> Vec<String> {
        let protection = &self.policy.protection;
        let times = [
            ("total", protection.timeouts.total),
            ("first_byte", protection.timeouts.first_byte),
            ("between_bytes", protection.timeouts.between_bytes),
            ("websocket_idle", protection.timeouts.websocket_idle),
        ];
        let times = times
            .into_iter()
            .filter_map(|(name, time)| Some(format!("{name} {:?}", time?)));
        let asked = at.backend(backend);
        let caps = self
            .ward
            .iter()
            .map(|ward| (&*ward.squad, "squad", ward.caps, &*ward.stock));
        let own = asked.map(|own| {
            (
                own.settings.name.as_str(),
                "backend",
                own.settings.caps,
                &own.state.stock,
            )
        });
        let caps = caps.chain(own).flat_map(|(name, kind, caps, stock)| {
            let told = move |(what, used, max)| format!("{max} {what} for {kind} {name} ({used} now)");
            caps.bounds(stock).map(told)
        });
        let squad = self
            .line
            .as_ref()
            .map(|squad| (&*self.squad, "squad", squad.terms, &squad.line));
        let backend = asked.and_then(|backend| {
            let terms = backend.line()?;
            Some((
                backend.settings.name.as_str(),
                "backend",
                terms,
                &backend.state.line,
            ))
        });
        let lines = squad.into_iter().chain(backend).map(|(name, kind, terms, line)| {
            format!(
                "{} under way for {kind} {name} ({} now), {} waiting ({} now) for {:?}",
                terms.seats,
                line.taken(),
                terms.waiting,
                line.waiting(),
                terms.patience
            )
        });
        let adaptive =
            asked.and_then(|backend| Some(backend.state.adaptive.told(backend.settings.adaptive?)));
        let hedge = self.hedge_told();
        times
            .chain(hedge)
            .chain(adaptive)
            .chain(protection.limits.told())
            .chain(lines)
            .chain(caps)
            .collect()
    }
}
