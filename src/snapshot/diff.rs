//! What changed between two snapshots, for people: the log, the admin API, later the audit trail.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{Rule, Snapshot};
use crate::{backend::Wording, courtesy::give_way, flag::Flag};

/// Names that came, went or changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Diff {
    /// Routes, as `squad path`.
    pub routes: Changes,
    /// Flags, by key.
    pub flags: Changes,
    /// Backends, by name.
    pub backends: Changes,
    /// Waiting rooms, by name.
    pub rooms: Changes,
    /// Flags, by key, whose variants have other ranges than before although their epoch is the same: visitors may have gone from
    /// one variant to another, and what they were pinned to still counts.
    pub resplit: Vec<String>,
}

/// What came, went or changed among things of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Changes {
    /// New names.
    pub added: Vec<String>,
    /// Names that are gone.
    pub removed: Vec<String>,
    /// Names that stand for something else now.
    pub changed: Vec<String>,
}

impl Diff {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What changed from `old` to `new`.
    #[must_use]
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        Self {
            routes: changes(&routes(old), &routes(new)),
            flags: changes(&flags(old), &flags(new)),
            backends: changes(&backends(old), &backends(new)),
            rooms: changes(&rooms(old), &rooms(new)),
            resplit: resplit(old, new),
        }
    }
}

/// Names of one kind that a log line shows; the admin API has them all.
const NAMES_SHOWN_MAX: usize = 5;

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("routes", &self.routes),
            ("flags", &self.flags),
            ("backends", &self.backends),
            ("rooms", &self.rooms),
        ];
        let mut first = true;
        for (what, changes) in parts {
            for (sign, names) in [
                ('+', &changes.added),
                ('-', &changes.removed),
                ('~', &changes.changed),
            ] {
                if names.is_empty() {
                    continue;
                }
                let comma = if first { "" } else { "; " };
                let shown = names
                    .iter()
                    .take(NAMES_SHOWN_MAX)
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                write!(f, "{comma}{what} {sign} {shown}")?;
                if names.len() > NAMES_SHOWN_MAX {
                    write!(f, " and {} more", names.len() - NAMES_SHOWN_MAX)?;
                }
                first = false;
            }
        }
        if first {
            return f.write_str("nothing changed");
        }
        if !self.resplit.is_empty() {
            let keys = self.resplit.iter().take(NAMES_SHOWN_MAX);
            let keys = keys.map(String::as_str).collect::<Vec<_>>().join(", ");
            write!(f, "; visitors split anew without another `epoch`: {keys}")?;
            if let more @ 1.. = self.resplit.len().saturating_sub(NAMES_SHOWN_MAX) {
                write!(f, " and {more} more")?;
            }
        }
        Ok(())
    }
}

/// Everything of one kind, by name, with a text that differs when its meaning does.
type Named = BTreeMap<String, String>;

fn routes(snapshot: &Snapshot) -> Named {
    let mut named = Named::new();
    for rule in &snapshot.rules {
        give_way();
        let meaning = meaning(rule, snapshot);
        // Routes may share a path and differ in conditions: they are one entry here.
        named
            .entry(format!("{} {}", rule.squad, rule.name))
            .or_default()
            .push_str(&meaning);
    }
    named
}

fn meaning(rule: &Rule, snapshot: &Snapshot) -> String {
    let backends: Vec<&str> = match &rule.target {
        super::Target::Backend(id) => snapshot
            .backend(*id)
            .map(|backend| backend.settings.name.as_str())
            .into_iter()
            .collect(),
        super::Target::Variants { by_variant, .. } => by_variant
            .iter()
            .filter_map(|id| snapshot.backend(*id))
            .map(|backend| backend.settings.name.as_str())
            .collect(),
        super::Target::Redirect(_) => Vec::new(),
    };
    let redirect = match &rule.target {
        super::Target::Redirect(redirect) => redirect.to_string(),
        super::Target::Backend(_) | super::Target::Variants { .. } => String::new(),
    };
    let flags: Vec<&str> = rule
        .flags
        .iter()
        .filter_map(|id| snapshot.flags.get(*id))
        .map(|flag| flag.key().as_str())
        .collect();
    let claim = &rule.claim;
    format!(
        "{:?} {:?} {:?} {backends:?} {redirect} {flags:?} {:?} {} {:?};",
        claim.hosts, claim.order, claim.conditions, rule.requirement, rule.allow_encoded_slash, rule.policy
    )
}

fn rooms(snapshot: &Snapshot) -> Named {
    let settings = snapshot.rooms.iter().map(|room| &room.settings);
    settings
        .map(|room| {
            let meaning = (
                room.inside,
                room.idle,
                room.claim,
                room.opens,
                &room.bypass,
                &room.flags,
            );
            (room.name.to_string(), format!("{meaning:?}"))
        })
        .collect()
}

fn flags(snapshot: &Snapshot) -> Named {
    snapshot
        .flags
        .iter()
        .map(|(_, flag)| {
            let meaning = format!("{:?} {:?}", flag.settings(), flag.layer());
            (flag.key().to_string(), meaning)
        })
        .collect()
}

/// A variant that has come or gone moves nobody by itself, but where ranges are equal the others' ranges move.
fn resplit(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let moved = |before: &Flag, flag: &Flag| {
        before.ranges().any(|(name, range)| {
            let now = flag.ranges().find(|(other, _)| *other == name);
            now.is_some_and(|(_, now)| now != range)
        })
    };
    let known = |flag: &Flag| {
        let id = old.flags.by_key(flag.key().as_str())?;
        old.flags.get(id)
    };
    new.flags
        .iter()
        .filter(|(_, flag)| {
            known(flag).is_some_and(|before| before.epoch() == flag.epoch() && moved(before, flag))
        })
        .map(|(_, flag)| flag.key().to_string())
        .collect()
}

fn backends(snapshot: &Snapshot) -> Named {
    let settings = snapshot.backends.iter().map(|backend| &backend.settings);
    settings
        .map(|backend| {
            let choosing = (
                &backend.pick,
                backend.slow_start,
                backend.panic_below,
                &backend.eject,
                &backend.breaker,
                &backend.line,
                (backend.adaptive, backend.caps),
            );
            let times = (
                backend.connect_timeout,
                backend.tls_timeout,
                backend.first_byte_timeout,
                backend.between_bytes_timeout,
                backend.total_timeout,
            );
            let choosing = (choosing, &backend.versions);
            let wording = (&backend.wording, mark(&backend.wording));
            (
                backend.name.to_string(),
                format!(
                    "{:?} {choosing:?} {:?} {times:?} {:?} {} {wording:?}",
                    backend.servers, backend.health, backend.connections_max, backend.attempts
                ),
            )
        })
        .collect()
}

/// Differs where a value does that can't be shown.
fn mark(wording: &Option<Wording>) -> u64 {
    let mut hasher = DefaultHasher::new();
    wording.hash(&mut hasher);
    hasher.finish()
}

fn changes(old: &Named, new: &Named) -> Changes {
    let named = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>();
    Changes {
        added: named(&mut new.keys().filter(|name| !old.contains_key(*name))),
        removed: named(&mut old.keys().filter(|name| !new.contains_key(*name))),
        changed: named(
            &mut new
                .iter()
                .filter(|(name, meaning)| old.get(*name).is_some_and(|was| was != *meaning))
                .map(|(name, _)| name),
        ),
    }
}
