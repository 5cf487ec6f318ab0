//! Everything a request needs, frozen.
//!
//! [`compile`] makes a snapshot from settings, [`decide`] answers what happens to a request (live traffic, `banyan explain`, the
//! squads' tests and the admin API all ask it; `admit` is its part at the gate (`gate` tells of it), [`preflight`] that for browsers that ask first), [`explain`] (with `goes` and `told`) writes down
//! why, [`visit`] finds out what the browser carries, [`live`] publishes and [`changes`] wakes who waits for that, [`serving`] says
//! which flags programs and browsers may ask for, [`provider`] is where the identity provider is asked, [`rooms`] which waiting room a request meets, [`drills`] which fault, [`versions`] which version of a backend, [`carry`] what a new program takes up, [`diff`] tells two apart.
//! A snapshot has no setter. State that changes (connections, breakers, health, the gate's keys) lives beside it and is
//! carried over by name.

mod access;
mod admit;
pub mod bulkheads;
pub mod cached;
pub mod carry;
pub mod changes;
pub mod compile;
pub mod decide;
pub mod diff;
pub mod drills;
mod entry;
pub mod error_pages;
pub mod explain;
mod gate;
mod goes;
pub mod live;
mod notes;
pub mod preflight;
pub mod prove;
pub mod provider;
pub mod rooms;
pub mod serving;
pub mod shields;
mod told;
mod tried;
pub mod versions;
pub mod visit;

use std::{collections::HashSet, path::PathBuf, sync::Arc};

pub use self::admit::wished;

use arc_swap::ArcSwap;
use http::Method;
use ipnet::IpNet;
use tokio::sync::Notify;

use crate::{
    backend::{Backend, resolve::DnsSettings},
    config::admin::AdminSettings,
    flag::{FlagId, Flags},
    gate::{Gate, KeySet, KeySource, Requirement},
    limits::Limits,
    name::{Place, VariantName},
    policy::{Policy, Redirect, assets::Assets, errors::ErrorPages, failover::Failover, geo},
    room::Room,
    route::{Claim, RouteId, Table, host_takes},
    shield::pot::Ward,
    visitor,
};

/// One version of everything.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with each publication.
    pub version: u64,
    /// Hosts this edge answers for, lower case, `*.` in front of one means any single label; empty: any.
    pub hosts: Vec<String>,
    /// Which route takes a request.
    pub table: Table,
    /// What each route does, by [`RouteId`].
    pub rules: Vec<Rule>,
    /// All flags.
    pub flags: Flags,
    /// All backends, by [`BackendId`].
    pub backends: Vec<Arc<Backend>>,
    /// Those of them that list their servers by version.
    pub fleets: versions::Fleets,
    /// Signs and reads visitor cookies.
    pub visitors: visitor::Keys,
    /// Override links that are called back: swapped by the control plane, carried over.
    pub revoked: Arc<ArcSwap<visitor::Revoked>>,
    /// The gate, if there is one.
    pub gate: Option<GateAtWork>,
    /// Who may see and change what on the admin listener.
    pub admin: Arc<AdminSettings>,
    /// Where visitors are, if there is a database of it.
    pub places: Option<Arc<geo::Database>>,
    /// How servers' names are asked for.
    pub dns: Arc<DnsSettings>,
    /// Bounds.
    pub limits: Arc<Limits>,
    /// Peers whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The site's pages for errors.
    pub errors: ErrorPages,
    /// Waiting rooms, by [`rooms::RoomId`].
    pub rooms: Vec<Room>,
    /// Faults that are put in on purpose just now: changed by the control plane, carried over.
    pub drills: Arc<drills::Drills>,
    /// Which flags are served to programs and browsers.
    pub serving: serving::Serving,
    /// Some route keeps answers: what succeeds elsewhere may make them invalid.
    pub caches: bool,
}

/// The gate and the keys that it trusts just now.
#[derive(Debug, Clone)]
pub struct GateAtWork {
    /// Checks requests.
    pub gate: Arc<Gate>,
    /// The issuer's keys: swapped by the control plane when they rotate, carried over while the source stays the same.
    pub keys: Arc<ArcSwap<KeySet>>,
    /// Where they come from.
    pub source: KeySource,
    /// Certificate authorities that may vouch for that place, beside the system's.
    pub ca: Option<PathBuf>,
    /// Whom people sign in at, if they may.
    pub provider: Option<Arc<provider::Provider>>,
    /// Told when a token names a key that is not there: the control plane looks for newer ones.
    pub wanted: Arc<Notify>,
    /// The first attempt to read them from that place.
    pub first_look: provider::FirstLook,
}

/// A backend's place in [`Snapshot::backends`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u32);

/// What a route does.
#[derive(Debug)]
pub struct Rule {
    /// What it wants.
    pub claim: Claim,
    /// Its path or pattern as written: label, log, explain.
    pub name: Arc<str>,
    /// Whose it is, as a label.
    pub squad: Arc<str>,
    /// Where it leads.
    pub target: Target,
    /// Who is asked when that backend fails, on the terms of [`Policy::failover`].
    pub standby: Option<BackendId>,
    /// The flags whose decisions its backend is told; the one that picks the backend comes first.
    pub flags: Vec<FlagId>,
    /// What it asks of a visitor.
    pub requirement: Requirement,
    /// The waiting rooms that stand before it.
    pub rooms: rooms::RoomsOf,
    /// Encoded slashes pass.
    pub allow_encoded_slash: bool,
    /// What it does to requests and answers.
    pub policy: Arc<Policy>,
    /// Which of its requests are for hashed assets, looked for elsewhere where they are missing. `None`: nobody looks.
    pub assets: Option<Assets>,
    /// Of all that its cached answers depend on beside the request: another text of the route keeps nothing of the old.
    pub fingerprint: u64,
    /// What its requests share, over all cores.
    pub shield: Arc<shields::RouteShield>,
    /// Its squad's seats, if they are bounded.
    pub line: Option<shields::SquadLine>,
    /// What else its squad may have at once, if the operator names it.
    pub ward: Option<Ward>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Always here.
    Backend(BackendId),
    /// Where the first flag's variant says: backends in the order of the flag's variants.
    Variants {
        /// By the variant's place in the flag.
        by_variant: Vec<BackendId>,
        /// Where a flag that gives no variant leads: its default's backend, or that of `legacy`, the safe side.
        otherwise: BackendId,
    },
    /// To no backend: Banyan answers itself.
    Redirect(Arc<Redirect>),
}

impl Snapshot {
    /// The rule of a route that [`Snapshot::table`] found.
    #[must_use]
    pub fn rule(&self, route: RouteId) -> Option<&Rule> {
        self.rules.get(route.index())
    }

    /// A backend that a decision named.
    #[must_use]
    pub fn backend(&self, id: BackendId) -> Option<&Arc<Backend>> {
        self.backends.get(id.0 as usize)
    }

    /// Every name that a metric may bear because of this snapshot.
    #[must_use]
    pub fn labels(&self) -> HashSet<Arc<str>> {
        let mut labels = HashSet::new();
        for rule in &self.rules {
            labels.extend([Arc::clone(&rule.name), Arc::clone(&rule.squad)]);
        }
        for (_, flag) in self.flags.iter() {
            labels.insert(flag.key().shared());
            labels.extend(flag.variants().iter().map(VariantName::shared));
        }
        for backend in &self.backends {
            labels.insert(backend.settings.name.shared());
            labels.extend(
                backend
                    .roster()
                    .servers
                    .iter()
                    .map(|server| Arc::clone(&server.label)),
            );
        }
        labels
    }

    /// Whether the edge answers for `host` (lower case, no port).
    #[must_use]
    pub fn answers_for(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|own| host_takes(own, host))
    }
}

impl Rule {
    /// Who is asked, and on which terms, when `first` fails at a request of this method.
    #[must_use]
    pub fn standby(&self, first: BackendId, method: &Method) -> Option<(BackendId, &Failover)> {
        let standby = self.standby.filter(|standby| *standby != first)?;
        let failover = self.policy.failover.as_ref()?;
        failover.takes(method).then_some((standby, failover))
    }

    /// Where it is written.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.claim.place
    }
}
