//! Who owns what, and whose last good file serves.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{answer::Answer, endpoints::Asked, refusal::Refusal},
    backends::Bulkhead,
};
use crate::{
    control::plane::View,
    name::{Place, unversioned},
    snapshot::Snapshot,
};

/// All squads.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Squads {
    /// Version of the snapshot in force.
    version: u64,
    /// By name.
    squads: Vec<Squad>,
}

/// A squad.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in super::super) struct Squad {
    /// Its name.
    pub(in super::super) name: String,
    /// Files that hold what it owns.
    pub(in super::super) files: BTreeSet<String>,
    /// Those of its files that are broken: what they said when they last were good serves on.
    pub(in super::super) stale: Vec<String>,
    /// Routes that it owns.
    pub(in super::super) routes: usize,
    /// Flags that it owns.
    pub(in super::super) flags: usize,
    /// Backends that it runs.
    pub(in super::super) backends: usize,
    /// What its routes and backends may have at once, over all cores, and what they have.
    pub(in super::super) bulkheads: Vec<Bulkhead>,
}

/// `GET /api/squads`.
pub(in super::super) fn answer(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    let mut squads = owners(&at);
    for file in &view.status.load().stale {
        // A squad whose first file is broken owns nothing yet, and is a squad all the same.
        if let Some(name) = file
            .strip_prefix("routes/")
            .and_then(|name| name.strip_suffix(".toml"))
        {
            entry(&mut squads, name).files.insert(file.clone());
        }
        for squad in squads.values_mut().filter(|squad| squad.files.contains(file)) {
            squad.stale.push(file.clone());
        }
    }
    Answer::json(
        at.version,
        &Squads {
            version: at.version,
            squads: squads.into_values().collect(),
        },
    )
}

/// Squads that own something in a snapshot.
pub(super) fn owners(at: &Snapshot) -> BTreeMap<String, Squad> {
    let mut squads = BTreeMap::new();
    for rule in &at.rules {
        owns(&mut squads, &rule.squad, rule.place()).routes += 1;
    }
    for backend in &at.backends {
        if unversioned(backend.settings.name.as_str()).1.is_some() {
            continue; // a version is a part of one that is counted
        }
        owns(
            &mut squads,
            backend.settings.squad.as_str(),
            &backend.settings.place,
        )
        .backends += 1;
    }
    for (_, flag) in at.flags.iter() {
        if let Some(squad) = flag.squad() {
            owns(&mut squads, squad.as_str(), flag.place()).flags += 1;
        }
    }
    for ((kind, name), bounds) in at.bulkheads() {
        if let ("squad", Some(squad)) = (kind, squads.get_mut(&*name)) {
            squad.bulkheads = bounds.into_iter().map(Bulkhead::from).collect();
        }
    }
    squads
}

fn owns<'s>(squads: &'s mut BTreeMap<String, Squad>, name: &str, place: &Place) -> &'s mut Squad {
    let squad = entry(squads, name);
    squad.files.insert(place.file.to_string());
    squad
}

fn entry<'s>(squads: &'s mut BTreeMap<String, Squad>, name: &str) -> &'s mut Squad {
    let squad = squads.entry(name.to_owned()).or_default();
    name.clone_into(&mut squad.name);
    squad
}
