//! What serves, and what the last change came to.

use std::sync::atomic::Ordering;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{answer::Answer, endpoints::Asked, refusal::Refusal};
use crate::{
    backend::health::Health,
    clock,
    control::{plane::View, status},
    name::unversioned,
    observe::log::rfc3339,
    snapshot::{Snapshot, diff::Diff},
};

/// What serves, and what the last change came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Status {
    /// Version of the program.
    pub(in super::super) build: String,
    /// Whether new work is welcome: false while draining.
    pub(in super::super) ready: bool,
    /// Version of the snapshot in force; counts up with each publication since the start.
    pub(in super::super) version: u64,
    /// Hosts that this edge answers for; none: any.
    pub(in super::super) hosts: Vec<String>,
    /// The last change.
    pub(in super::super) change: Change,
    /// Faults that are put in on purpose just now.
    pub(in super::super) drills: Vec<super::drills::Told>,
    /// Waiting rooms, so that who looks at this sees when it is worth looking at `/api/rooms`.
    pub(in super::super) rooms: Vec<RoomNow>,
    /// How much there is.
    pub(in super::super) counts: Counts,
}

/// How it is in a waiting room.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct RoomNow {
    /// Its name.
    name: String,
    /// Seats that are taken.
    inside: u64,
    /// Numbers that are not called yet.
    waiting: u64,
}

/// The last change of the files.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Change {
    /// When it was read.
    pub(in super::super) at: String,
    /// `applied`, `partial` (the last good version of broken files serves on), `refused` or `unchanged`.
    pub(in super::super) outcome: String,
    /// From the first byte read to the swap.
    pub(in super::super) took_ms: u64,
    /// Everything found wrong.
    #[schemars(with = "Vec<Problem>")]
    pub(in super::super) problems: serde_json::Value,
    /// Broken files whose last good version serves.
    pub(in super::super) stale: Vec<String>,
    /// Broken files of which nothing serves, as they never were good.
    pub(in super::super) left_out: Vec<String>,
    /// Names that came, went or changed.
    pub(in super::super) diff: Diff,
}

/// How much there is.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in super::super) struct Counts {
    /// Squads that own something.
    pub(in super::super) squads: usize,
    /// Routes.
    pub(in super::super) routes: usize,
    /// Flags.
    pub(in super::super) flags: usize,
    /// Backends.
    pub(in super::super) backends: usize,
    /// Servers of all backends.
    pub(in super::super) servers: usize,
    /// Servers that checks found unhealthy.
    pub(in super::super) servers_unhealthy: usize,
    /// Servers of which no check has finished, or that are not checked.
    pub(in super::super) servers_unknown: usize,
    /// Connections open to servers.
    pub(in super::super) connections: usize,
}

/// One thing that is wrong in the files: the shape of what [`crate::config::Problems::to_json`] writes.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; the values come from `config`")]
struct Problem {
    /// A stable word for this sort of problem.
    kind: String,
    /// `error` or `warning`.
    severity: String,
    /// Path relative to the folder of `banyan.toml`.
    file: String,
    /// Line, from 1; 0: the file as a whole.
    line: u32,
    /// Column, from 1; 0: the file as a whole.
    column: u32,
    /// What is wrong.
    what: String,
    /// How to mend it.
    hint: Option<String>,
    /// Other places that have to do with it.
    related: Vec<Related>,
}

/// A place that has to do with a problem.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; the values come from `config`")]
struct Related {
    /// Path relative to the folder of `banyan.toml`.
    file: String,
    /// Line, from 1.
    line: u32,
    /// Column, from 1.
    column: u32,
    /// What is there.
    what: String,
}

/// `GET /api/status`.
pub(in super::super) fn answer(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    Answer::json(at.version, &Status::of(view, &at))
}

impl Status {
    pub(in super::super) fn of(view: &View, at: &Snapshot) -> Self {
        Self {
            build: env!("CARGO_PKG_VERSION").to_owned(),
            ready: view.ready.load(Ordering::Relaxed),
            version: at.version,
            hosts: at.hosts.clone(),
            change: Change::of(&view.status.load(), at),
            drills: super::drills::Told::all(at),
            rooms: RoomNow::all(at),
            counts: Counts::of(at),
        }
    }
}

impl RoomNow {
    fn all(at: &Snapshot) -> Vec<Self> {
        let now = clock::now();
        let rooms = at.rooms.iter().map(|room| {
            let count = room.count(now);
            Self {
                name: room.settings.name.to_string(),
                inside: count.inside,
                waiting: count.waiting,
            }
        });
        rooms.collect()
    }
}

impl Change {
    fn of(status: &status::Status, at: &Snapshot) -> Self {
        let (stale, left_out) = status.stale.iter().cloned().partition(|file| is_served(file, at));
        Self {
            at: rfc3339(status.at.secs()),
            outcome: status.outcome.as_str().to_owned(),
            took_ms: super::millis(status.took),
            problems: status.problems.to_json(),
            stale,
            left_out,
            diff: status.diff.clone(),
        }
    }
}

/// Whether anything in force was written in `file`.
fn is_served(file: &str, at: &Snapshot) -> bool {
    at.rules.iter().any(|rule| &*rule.place().file == file)
        || at
            .backends
            .iter()
            .any(|backend| &*backend.settings.place.file == file)
        || at.flags.iter().any(|(_, flag)| &*flag.place().file == file)
}

impl Counts {
    fn of(at: &Snapshot) -> Self {
        let rosters = at.backends.iter().map(|backend| backend.roster());
        let servers: Vec<_> = rosters.flat_map(|roster| roster.servers.clone()).collect();
        let with = |health| servers.iter().filter(|server| server.health() == health).count();
        Self {
            squads: super::squads::owners(at).len(),
            routes: at.rules.len(),
            flags: at.flags.iter().len(),
            backends: at
                .backends
                .iter()
                .filter(|backend| unversioned(backend.settings.name.as_str()).1.is_none())
                .count(),
            servers: servers.len(),
            servers_unhealthy: with(Health::Unhealthy),
            servers_unknown: with(Health::Unknown),
            connections: servers.iter().map(|server| server.connections()).sum(),
        }
    }
}
