//! What visitors, limits and breakers have come to, as a new program takes it up from the one that it replaces.
//!
//! All of it lives beside the snapshot and goes by names, as it does from one snapshot to the next; what the new program's files say
//! otherwise begins anew. Times are told from now, since a steady clock means nothing elsewhere.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::{
    Rule, Snapshot,
    shields::{Asked, RouteShield},
};
use crate::{backend, clock::Moment, gate, room, shield::rate::CarriedMeters};

/// What is carried from one program to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    rooms: Vec<room::Carried>,
    backends: Vec<backend::carry::Carried>,
    routes: Vec<CarriedRoute>,
    sessions: Option<gate::session::Carried>,
}

/// How much of it was taken up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenUp {
    /// Waiting rooms.
    pub rooms: usize,
    /// Backends that were not all well.
    pub backends: usize,
    /// Routes with limits or retries.
    pub routes: usize,
}

/// What a route's requests have used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CarriedRoute {
    squad: String,
    name: String,
    /// Of the conditions that tell it from others of that name, and of its terms.
    mark: u64,
    retries: u32,
    fallback: u64,
    rates: Vec<CarriedRate>,
}

/// What one of its rates has counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CarriedRate {
    Together(u64),
    Each(CarriedMeters),
}

impl Snapshot {
    /// Has waiting rooms let in nobody any longer but those inside, or go on.
    pub fn hand_over(&self, handed_over: bool) {
        self.rooms.iter().for_each(|room| room.hand_over(handed_over));
    }

    /// What there is to carry.
    #[must_use]
    pub fn carried(&self, now: Moment) -> Carried {
        let sessions = self.gate.as_ref().and_then(|gate| gate.gate.sessions());
        Carried {
            rooms: self.rooms.iter().map(|room| room.carried(now)).collect(),
            backends: self
                .backends
                .iter()
                .filter_map(|backend| backend.carried(now.steady))
                .collect(),
            routes: self.rules.iter().filter_map(|rule| rule.carried(now)).collect(),
            sessions: sessions.map(|sessions| sessions.revoked.carried()),
        }
    }

    /// Goes on with it, where the same names are here. To be called before anybody is served.
    pub fn take_up(&self, carried: &Carried, now: Moment) -> TakenUp {
        let mut taken = TakenUp::default();
        for room in &self.rooms {
            let name = room.settings.name.as_str();
            let known = carried.rooms.iter().find(|known| known.name == name);
            taken.rooms += usize::from(known.is_some_and(|known| room.take_up(known, now)));
        }
        for backend in &self.backends {
            let name = backend.settings.name.as_str();
            if let Some(known) = carried.backends.iter().find(|known| known.name == name) {
                backend.take_up(known, now.steady);
                taken.backends += 1;
            }
        }
        for rule in &self.rules {
            let mark = rule.mark();
            let mut alike = carried.routes.iter().filter(|known| known.mark == mark);
            let known = alike.find(|known| known.squad == *rule.squad && known.name == *rule.name);
            if let Some(known) = known {
                rule.take_up(known, now);
                taken.routes += 1;
            }
        }
        let sessions = self.gate.as_ref().and_then(|gate| gate.gate.sessions());
        if let (Some(sessions), Some(known)) = (sessions, &carried.sessions) {
            sessions.revoked.take_up(known, now.wall());
        }
        taken
    }
}

impl Rule {
    /// `None`: nothing was used up.
    fn carried(&self, now: Moment) -> Option<CarriedRoute> {
        let shield = &self.shield;
        let retries = shield.retries.carried();
        let fallback = shield.fallback.meter.carried(now.steady);
        let rates: Vec<CarriedRate> = rates(shield)
            .map(|asked| match asked {
                Asked::Together(meter) => CarriedRate::Together(meter.carried(now.steady)),
                Asked::Each(meters) => CarriedRate::Each(meters.carried(now.steady)),
            })
            .collect();
        let is_full = retries >= self.policy.protection.retries.most();
        let is_new = is_full && fallback == 0 && rates.is_empty();
        (!is_new).then(|| CarriedRoute {
            squad: self.squad.to_string(),
            name: self.name.to_string(),
            mark: self.mark(),
            retries,
            fallback,
            rates,
        })
    }

    fn take_up(&self, carried: &CarriedRoute, now: Moment) {
        let shield = &self.shield;
        shield
            .retries
            .take_up(carried.retries, self.policy.protection.retries);
        shield.fallback.meter.take_up(carried.fallback, now.steady);
        for (asked, known) in rates(shield).zip(&carried.rates) {
            match (asked, known) {
                (Asked::Together(meter), CarriedRate::Together(left)) => meter.take_up(*left, now.steady),
                (Asked::Each(meters), CarriedRate::Each(known)) => {
                    if !meters.take_up(known, now.steady) {
                        tracing::warn!(route = %self.name, "what its rates counted can't be taken up: they begin anew");
                    }
                }
                (Asked::Together(_), CarriedRate::Each(_)) | (Asked::Each(_), CarriedRate::Together(_)) => {}
            }
        }
    }

    /// Two programs that read the same file make the same of it.
    fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let claim = &self.claim;
        let told = format!(
            "{:?} {:?} {:?} {}",
            claim.order,
            claim.hosts,
            claim.conditions,
            self.shield.terms()
        );
        told.hash(&mut hasher);
        hasher.finish()
    }
}

fn rates(shield: &RouteShield) -> impl Iterator<Item = &Asked> {
    shield.checks.iter().flat_map(|checks| &checks.rates)
}
