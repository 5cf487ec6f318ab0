//! What bounds a route and a squad at work: budgets, rates and seats, carried over from snapshot to snapshot.

use std::{collections::HashMap, sync::Arc};

use super::{BackendId, Rule, Snapshot};
use crate::{
    config::settings::{RouteSettings, Settings},
    policy::{Policy, failover::Fallback, protection::Protection},
    shield::{
        budget::Budget,
        crowd::Crowd,
        line::{Line, Terms},
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
        let squads = settings.edge.squads.iter().filter_map(|squad| {
            let name = squad.name.as_str();
            let line = lines.get(name).cloned().unwrap_or_default();
            let terms = squad.line?;
            Some((name, SquadLine { line, terms }))
        });
        Self {
            squads: squads.collect(),
            routes,
        }
    }

    /// The squad's seats, if they are bounded.
    pub(super) fn line(&self, squad: &str) -> Option<SquadLine> {
        self.squads.get(squad).cloned()
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

impl Rule {
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
        let squad = self
            .line
            .as_ref()
            .map(|squad| (&*self.squad, "squad", squad.terms, &squad.line));
        let backend = at.backend(backend).and_then(|backend| {
            let terms = backend.settings.line?;
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
        times.chain(protection.limits.told()).chain(lines).collect()
    }
}
