//! Settings to snapshot. What a request needs is looked up here once, so that no request has to.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash as _, Hasher as _},
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwap;

use super::{
    BackendId, GateAtWork, Rule, Snapshot, Target, provider::Provider, rooms, serving::Serving,
    shields::Carried, versions::Fleets,
};
use crate::{
    backend::{Backend, BackendSettings, Scheme, server::TlsClient},
    config::settings::{RouteSettings, Settings, TargetSettings},
    courtesy::give_way,
    flag::{Flag, FlagId, Flags},
    gate::{
        Gate, GateSettings, KeySet,
        machine::{MachineSettings, Machines},
        session::Sessions,
    },
    name::{BackendName, FlagKey, Place, VariantName},
    policy::assets::Assets,
    route::{Claim, Table},
    visitor::{self, SigningKey, VisitorSettings},
};

/// Makes the TLS side of an https backend from the file of its certificate authorities; `None`: the system's.
pub type MakeTls<'a> = dyn Fn(Option<&Path>) -> Result<Arc<rustls::ClientConfig>, String> + 'a;

/// What a snapshot is made with beside the settings.
pub struct Means<'a> {
    /// The snapshot in force, whose servers and keys are carried over.
    pub previous: Option<&'a Snapshot>,
    /// Signs visitor cookies when the settings name no key.
    pub visitors: &'a VisitorSettings,
    /// Seals sessions when the settings name no key.
    pub sessions: &'a [SigningKey],
    /// Makes the TLS side of https backends: certificate authorities come from files.
    pub tls: &'a MakeTls<'a>,
}

impl std::fmt::Debug for Means<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").finish_non_exhaustive()
    }
}

/// Why settings that are well-formed still can't be served.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct CompileProblem {
    /// Where it is written.
    pub place: Place,
    /// What is wrong.
    pub what: String,
}

/// Compiles `settings` into snapshot number `version`.
///
/// # Errors
/// Every problem found; `config` has refused nearly all of them before.
pub fn compile(
    settings: &Settings,
    version: u64,
    means: &Means<'_>,
) -> Result<Snapshot, Vec<CompileProblem>> {
    let mut problems = Vec::new();
    let flags = flags(settings, means.previous, &mut problems);
    let backends = backends(settings, means, &mut problems);
    let names = Names {
        flags: &flags,
        backends: &by_name(&backends),
        versioned: &versioned(&backends),
        carried: &Carried::new(means.previous, settings),
    };
    let mut rules: Vec<Rule> = settings
        .routes
        .iter()
        .filter_map(|route| rule(route, &names, &mut problems))
        .collect();
    let rooms = rooms::compile(&settings.rooms, means.previous);
    rooms::assign(&mut rules, &rooms, &flags);
    let claims: Vec<Claim> = rules.iter().map(|rule| rule.claim.clone()).collect();
    let (table, _) = Table::build(&claims);
    let visitors = visitor::Keys::new(&visitor_settings(settings, means));
    let visitors = visitors
        .map_err(|error| problems.push(at_operator(error.to_string())))
        .ok();
    let ca = settings.edge.gate.as_ref().and_then(|gate| gate.ca.as_deref());
    if let Some(Err(what)) = ca.map(|ca| (means.tls)(Some(ca))) {
        problems.push(at_operator(what));
    }
    let (true, Some(visitors)) = (problems.is_empty(), visitors) else {
        return Err(problems);
    };
    Ok(Snapshot {
        version,
        serving: Serving::of(&flags, &rules),
        caches: rules.iter().any(|rule| rule.policy.cache.is_some()),
        hosts: settings.edge.hosts.clone(),
        table,
        rules,
        flags,
        fleets: Fleets::of(&backends),
        backends,
        rooms,
        drills: means
            .previous
            .map_or_else(Arc::default, |previous| Arc::clone(&previous.drills)),
        visitors,
        revoked: means
            .previous
            .map_or_else(Arc::default, |previous| Arc::clone(&previous.revoked)),
        gate: settings
            .edge
            .gate
            .as_ref()
            .map(|gate| gate_at_work(gate, &settings.machines, means)),
        admin: Arc::clone(&settings.edge.admin),
        places: settings.edge.places.clone(),
        dns: Arc::new(settings.edge.dns.clone()),
        limits: Arc::new(settings.edge.limits.clone()),
        trusted_proxies: settings.edge.trusted_proxies.clone(),
        errors: settings.edge.errors.clone(),
    })
}

/// The operator's keys; where `[visitor]` names none, Banyan's own with what else it says.
fn visitor_settings(settings: &Settings, means: &Means<'_>) -> VisitorSettings {
    let mut visitors = settings
        .edge
        .visitor
        .clone()
        .unwrap_or_else(|| means.visitors.clone());
    if visitors.keys.is_empty() {
        visitors.keys.clone_from(&means.visitors.keys);
    }
    visitors
}

fn at_operator(what: String) -> CompileProblem {
    CompileProblem {
        place: Place {
            file: Arc::from("banyan.toml"),
            line: 1,
        },
        what,
    }
}

fn flags(settings: &Settings, previous: Option<&Snapshot>, problems: &mut Vec<CompileProblem>) -> Flags {
    let mut compiled = Vec::with_capacity(settings.flags.len());
    for flag in &settings.flags {
        give_way();
        match Flag::compile(flag.clone()) {
            Ok(mut flag) => {
                let before = previous.map(|previous| &previous.flags);
                let before = before.and_then(|flags| flags.get(flags.by_key(flag.key().as_str())?));
                if let Some(before) = before {
                    flag.carry_over(before);
                }
                compiled.push(flag);
            }
            Err(error) => problems.push(CompileProblem {
                place: flag.place.clone(),
                what: error.to_string(),
            }),
        }
    }
    Flags::build_in(&settings.edge.layers, compiled).unwrap_or_else(|error| {
        problems.push(CompileProblem {
            place: error.place.clone(),
            what: error.to_string(),
        });
        Flags::default()
    })
}

fn backends(settings: &Settings, means: &Means<'_>, problems: &mut Vec<CompileProblem>) -> Vec<Arc<Backend>> {
    let mut compiled = Vec::with_capacity(settings.backends.len());
    let versions = |backend: &'_ BackendSettings| -> Vec<BackendSettings> {
        let all = backend.versions.iter().flat_map(|versions| &versions.all);
        all.map(|version| backend.at_version(version)).collect()
    };
    let whole = settings.backends.iter();
    for backend in whole.flat_map(|backend| std::iter::once(backend.clone()).chain(versions(backend))) {
        match compile_backend(&backend, settings.edge.zone.as_ref(), means) {
            Ok(backend) => compiled.push(backend),
            Err(what) => problems.push(CompileProblem {
                place: backend.place.clone(),
                what,
            }),
        }
    }
    compiled
}

/// A backend of the same name keeps its servers' state; one whose settings did not change at all stays the same object.
fn compile_backend(
    settings: &BackendSettings,
    zone: Option<&Arc<str>>,
    means: &Means<'_>,
) -> Result<Arc<Backend>, String> {
    let known = means.previous.and_then(|previous| {
        previous
            .backends
            .iter()
            .find(|backend| backend.settings.name == settings.name)
    });
    if let Some(same) = known.filter(|known| known.is_of(settings, zone.map(|zone| &**zone))) {
        return Ok(Arc::clone(same));
    }
    let secure = settings
        .servers
        .iter()
        .any(|server| server.address.scheme == Scheme::Https);
    let tls = match secure {
        true => Some(TlsClient((means.tls)(settings.ca.as_deref())?)),
        false => None,
    };
    let known = known.map(|known| &**known);
    Ok(Arc::new(Backend::new(
        settings.clone(),
        tls,
        zone.cloned(),
        known,
    )))
}

fn by_name(backends: &[Arc<Backend>]) -> HashMap<BackendName, BackendId> {
    (0..)
        .zip(backends)
        .map(|(at, backend)| (backend.settings.name.clone(), BackendId(at)))
        .collect()
}

fn versioned(backends: &[Arc<Backend>]) -> HashSet<BackendName> {
    let settings = backends.iter().map(|backend| &backend.settings);
    let listed = settings.filter(|settings| settings.versions.is_some());
    listed.map(|settings| settings.name.clone()).collect()
}

struct Names<'a> {
    flags: &'a Flags,
    backends: &'a HashMap<BackendName, BackendId>,
    /// Backends that list their servers by version.
    versioned: &'a HashSet<BackendName>,
    carried: &'a Carried<'a>,
}

impl Names<'_> {
    fn backend(&self, name: &BackendName) -> Result<BackendId, String> {
        self.backends
            .get(name)
            .copied()
            .ok_or_else(|| format!("backend `{name}` is not defined"))
    }

    fn flag(&self, key: &FlagKey) -> Result<FlagId, String> {
        self.flags
            .by_key(key.as_str())
            .ok_or_else(|| format!("flag `{key}` is not defined"))
    }

    /// What the route says, or hashed ones where one of its backends has versions.
    fn assets(&self, route: &RouteSettings) -> Option<Assets> {
        let listed = || route.backends().any(|name| self.versioned.contains(name));
        let said = route.policy.assets.or_else(|| listed().then_some(Assets::Hashed));
        said.filter(|assets| *assets != Assets::Off)
    }

    fn target(&self, target: &TargetSettings) -> Result<(Target, Vec<FlagId>), String> {
        match target {
            TargetSettings::Backend(name) => Ok((Target::Backend(self.backend(name)?), Vec::new())),
            TargetSettings::Flag { flag, backends } => {
                let id = self.flag(flag)?;
                Ok((self.variants(id, backends)?, vec![id]))
            }
            TargetSettings::Redirect(redirect) => Ok((Target::Redirect(Arc::clone(redirect)), Vec::new())),
        }
    }

    fn variants(&self, flag: FlagId, backends: &[(VariantName, BackendName)]) -> Result<Target, String> {
        let flag = self.flags.get(flag).ok_or("the flag is not defined")?;
        let of = |variant: &VariantName| {
            let listed = backends.iter().find(|(name, _)| name == variant);
            let missing = || format!("variant `{variant}` of flag `{}` has no backend", flag.key());
            self.backend(&listed.ok_or_else(missing)?.1)
        };
        let by_variant = flag.variants().iter().map(of).collect::<Result<Vec<_>, _>>()?;
        let default = flag.default_variant().and_then(|default| flag.variant(default));
        let legacy = flag.variants().iter().find(|name| name.as_str() == "legacy");
        let safe = default.or(legacy).or_else(|| flag.variants().first());
        let otherwise = safe.map(of).transpose()?.ok_or("the flag has no variants")?;
        Ok(Target::Variants {
            by_variant,
            otherwise,
        })
    }
}

fn rule(route: &RouteSettings, names: &Names<'_>, problems: &mut Vec<CompileProblem>) -> Option<Rule> {
    give_way();
    let compiled = names.target(&route.target).and_then(|(target, mut flags)| {
        for key in &route.flags {
            let id = names.flag(key)?;
            if !flags.contains(&id) {
                flags.push(id);
            }
        }
        let failover = route.policy.failover.as_ref();
        let standby = failover.map(|failover| names.backend(&failover.backend));
        Ok((target, flags, standby.transpose()?))
    });
    match compiled {
        Ok((target, flags, standby)) => Some(Rule {
            name: Arc::from(route.claim.path.as_str()),
            squad: route.claim.squad.shared(),
            claim: route.claim.clone(),
            target,
            standby,
            flags,
            requirement: route.requirement.clone(),
            rooms: rooms::RoomsOf::default(),
            allow_encoded_slash: route.allow_encoded_slash,
            assets: names.assets(route),
            fingerprint: fingerprint(route),
            policy: Arc::clone(&route.policy),
            shield: names.carried.shield(route),
            line: names.carried.line(route.claim.squad.as_str()),
        }),
        Err(what) => {
            problems.push(CompileProblem {
                place: route.claim.place.clone(),
                what,
            });
            None
        }
    }
}

/// What tells a route's cached answers from those of another, or of the same one written otherwise. 0 where none are kept.
fn fingerprint(route: &RouteSettings) -> u64 {
    let (claim, policy) = (&route.claim, &route.policy);
    if policy.cache.is_none() {
        return 0;
    }
    let mut hasher = std::hash::DefaultHasher::new();
    let taken = (&claim.hosts, &claim.path, claim.order, &claim.conditions);
    let told = (&policy.forward, &policy.request, &policy.cache, &policy.access);
    format!(
        "{taken:?} {told:?} {:?} {:?}",
        route.flags,
        policy.compress.is_some()
    )
    .hash(&mut hasher);
    hasher.finish()
}

/// Keys that were fetched for the same source stay; a new source starts with none, so nobody passes until they are there.
fn gate_at_work(settings: &GateSettings, machines: &[MachineSettings], means: &Means<'_>) -> GateAtWork {
    let known = means.previous.and_then(|previous| previous.gate.as_ref());
    let machines = Machines::new(machines, known.map(|known| &**known.gate.machines()));
    let (keys, wanted) = match known.filter(|known| known.source == settings.keys) {
        Some(known) => (Arc::clone(&known.keys), Arc::clone(&known.wanted)),
        None => (Arc::new(ArcSwap::from_pointee(KeySet::none())), Arc::default()),
    };
    let sessions = settings.session.as_ref().map(|session| {
        let before = known.and_then(|known| known.gate.sessions());
        let revoked = before.map_or_else(Arc::default, |before| Arc::clone(&before.revoked));
        Arc::new(Sessions::new(settings, session, means.sessions, revoked))
    });
    let provider = settings.session.as_ref().map(|_| {
        let before = known.and_then(|known| known.provider.as_ref());
        let same = before.filter(|before| before.settings == *settings);
        same.map_or_else(|| Arc::new(Provider::new(settings.clone())), Arc::clone)
    });
    GateAtWork {
        gate: Arc::new(
            Gate::new(settings)
                .with_machines(Arc::new(machines))
                .with_sessions(sessions),
        ),
        provider,
        keys,
        source: settings.keys.clone(),
        ca: settings.ca.clone(),
        wanted,
    }
}
