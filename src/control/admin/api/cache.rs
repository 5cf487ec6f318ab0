//! The cache: how full it is, what it was to each route, and purging it.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        actor::{Actor, admit_change_at},
        answer::{Answer, JSON},
        endpoints::{Asked, Endpoint, Order, Verb},
        refusal::Refusal,
        table::{json, of, order},
    },
    disk::Disk,
};
use crate::{
    cache::store::{
        How, What,
        path::{PATHS_MAX, Path, WILDCARDS_MAX},
    },
    config::admin::{May, Reach},
    control::{cache::Purged, plane::View},
    observe::log::rfc3339,
    snapshot::Snapshot,
};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// How full the cache is, and what it has done since the start. Sizes are bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Cache {
    /// Answers that it keeps.
    pub(in super::super) entries: u64,
    /// Those up to 1 MiB.
    pub(in super::super) small: Room,
    /// Those above.
    pub(in super::super) large: Room,
    /// Answers on their way in.
    pub(in super::super) collecting: Room,
    /// Bytes of the largest body that is kept.
    pub(in super::super) entry_max: u64,
    /// The disk, where `[cache] disk` names a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) disk: Option<Disk>,
    /// Answers taken in or refreshed.
    pub(in super::super) kept: u64,
    /// Answers that went to make room.
    pub(in super::super) evicted: u64,
    /// Answers passed on and not kept, by why.
    pub(in super::super) refused: Refused,
    /// Purges: soft ones and hard ones.
    pub(in super::super) purges: [u64; 2],
    /// Routes that keep answers, and what that was good for, by path.
    pub(in super::super) routes: Vec<RouteUse>,
    /// The last 100 orders and what followed from changes, newest first.
    pub(in super::super) recent: Vec<Purge>,
}

/// What the cache was to the requests of a route since the start, as its cores told it within the last second.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in super::super) struct RouteUse {
    /// The route, by path or pattern as written.
    pub(in super::super) route: String,
    /// Answered from what was kept, and fresh.
    pub(in super::super) hit: u64,
    /// Answered from what was kept, although stale.
    pub(in super::super) stale: u64,
    /// Answered from what was kept, once the backend had said that it still counts.
    pub(in super::super) revalidated: u64,
    /// Answered together with another that had asked first.
    pub(in super::super) collapsed: u64,
    /// Nothing was kept.
    pub(in super::super) miss: u64,
    /// None that the cache may answer.
    pub(in super::super) bypass: u64,
    /// Bytes of bodies that all of them were answered with.
    pub(in super::super) bytes: u64,
    /// Those of them that no backend had to send again.
    pub(in super::super) bytes_saved: u64,
}

/// A part of the memory.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Room {
    /// Bytes that are taken.
    pub(in super::super) bytes: u64,
    /// Bytes that there are.
    pub(in super::super) max: u64,
}

/// Why answers were not kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Refused {
    /// Larger than `entry`.
    pub(in super::super) large: u64,
    /// More groups and tags than they can be purged by.
    pub(in super::super) labels: u64,
    /// Purged on their way.
    pub(in super::super) purged: u64,
    /// No room among those on their way.
    pub(in super::super) full: u64,
}

/// A purge that was carried out.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Purge {
    /// When.
    pub(in super::super) at: String,
    /// Whether nothing of it may be served any more; else it may be while it is refreshed.
    pub(in super::super) hard: bool,
    /// The first ten things that were named.
    pub(in super::super) what: Vec<String>,
    /// How many were named.
    pub(in super::super) count: usize,
    /// Only what is of these squads' routes; empty: everybody's.
    pub(in super::super) squads: Vec<String>,
    /// Who ordered it; `banyan`: it followed from a change.
    pub(in super::super) who: String,
    /// Why.
    pub(in super::super) reason: String,
}

/// What is to be purged: everything that any of the lists names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in super::super) struct PurgeOrder {
    /// Paths as CloudFront's invalidations have them: `/a.html`, `/a.html?size=1`, `/images/*`, `/*`; at most 3,000, and
    /// 500 with a `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
    /// The host of `paths` and `groups`. By itself `paths` are of all hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Tags, as `Surrogate-Key` and `Cache-Tag` gave them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// Groups, as `Cache-Groups` gave them on `host` (RFC 9875).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    /// Routes, by path or pattern as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<String>,
    /// Squads: all of their routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    squads: Vec<String>,
    /// Flags: whatever they chose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<String>,
    /// Never serve it again. By itself what is purged may be served stale while it is fetched anew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hard: bool,
    /// Why; kept in the log.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// For whom it is done, where a program does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Done {
    /// How many things were purged, each with all that it holds. It is in force.
    purged: usize,
    /// Whether nothing of it may be served any more.
    hard: bool,
    /// Only what is of these squads' routes was purged; empty: everybody's.
    squads: Vec<String>,
}

/// `GET /api/cache`.
pub(in super::super) const STATS: Endpoint = json(
    "/api/cache",
    "How full the cache is, what it has done, and the last purges.",
    of::<Cache>,
    |view, _| Answer::json(view.live.current().version, &Cache::of(view)),
);

/// `POST /api/cache/purge`.
pub(in super::super) const PURGE: Endpoint = Endpoint {
    otherwise: &[(400, "A path makes no sense, or nothing is named.")],
    ..order(
        "/api/cache/purge",
        Verb::Post,
        "Purges by address, prefix, tag, group, route, squad or flag, for the next request on. Who may change only what is of some \
         squads purges only that.",
        of::<Done>,
        of::<PurgeOrder>,
        purge,
    )
};

impl Cache {
    pub(in super::super) fn of(view: &View) -> Self {
        let (stats, store) = (view.cache.store().stats(), view.cache.store());
        let room = |bytes, max| Room { bytes, max };
        Self {
            entries: stats.entries,
            small: room(stats.small, stats.small_max),
            large: room(stats.large, stats.large_max),
            collecting: room(stats.collecting, stats.collecting_max),
            entry_max: store.entry_max(),
            disk: store.disk_stats().map(Disk::of),
            kept: stats.kept,
            evicted: stats.evicted_small + stats.evicted_large,
            refused: Refused {
                large: stats.refused_large,
                labels: stats.refused_labels,
                purged: stats.refused_purged,
                full: stats.refused_full,
            },
            purges: [stats.purged_soft, stats.purged_hard],
            routes: RouteUse::all(view),
            recent: view.cache.recent().into_iter().map(Purge::of).collect(),
        }
    }
}

impl RouteUse {
    fn all(view: &View) -> Vec<Self> {
        let figures = view.pulse.figures();
        let uses = figures.caches.iter().map(|(route, used)| Self {
            route: route.to_string(),
            hit: used.hit,
            stale: used.stale,
            revalidated: used.revalidated,
            collapsed: used.collapsed,
            miss: used.miss,
            bypass: used.bypass,
            bytes: used.bytes,
            bytes_saved: used.bytes_saved,
        });
        uses.collect()
    }

    /// Requests in all.
    pub(in super::super) fn requests(&self) -> u64 {
        self.answered() + self.miss + self.bypass
    }

    /// Those that no backend had to make an answer for.
    pub(in super::super) fn answered(&self) -> u64 {
        self.hit + self.stale + self.revalidated + self.collapsed
    }
}

impl Purge {
    fn of(purged: Purged) -> Self {
        Self {
            at: rfc3339(purged.at.secs()),
            hard: purged.how == How::Hard,
            what: purged.what,
            count: purged.count,
            squads: purged.squads,
            who: purged.who,
            reason: purged.reason,
        }
    }
}

fn purge(view: View, _: Asked, order: Order) -> BoxFuture<'static, Result<Answer, Refusal>> {
    Box::pin(async move {
        let wanted: PurgeOrder = order.read()?;
        let done = purged(&view, &wanted, order.actor.as_ref())?;
        let text = serde_json::to_string(&done).map_err(|error| Refusal::Internal(error.to_string()))?;
        Ok(Answer::text(JSON, text))
    })
}

fn purged(view: &View, wanted: &PurgeOrder, actor: Option<&Actor>) -> Result<Done, Refusal> {
    let actor = actor.ok_or(Refusal::SignIn)?;
    if wanted.reason.len() > REASON_BYTES_MAX {
        let what = format!("`reason` has {REASON_BYTES_MAX} bytes at most");
        return Err(Refusal::Parameter(what));
    }
    let host = wanted.host.as_deref().map(str::to_ascii_lowercase);
    let paths = paths(wanted)?;
    let at = view.live.current();
    let whats = whats(wanted, host.as_deref(), &paths)?;
    let squads = squads(actor, wanted, &at)?;
    let squads: Vec<&str> = squads.iter().map(String::as_str).collect();
    let who = match &wanted.by {
        Some(by) => format!("{} for {by}", actor.name),
        None => actor.name.clone(),
    };
    let how = if wanted.hard { How::Hard } else { How::Soft };
    // What is a squad's or a flag's is theirs as a whole; the rest is only as far as it is of who may purge it.
    let is_own = |what: &What<'_>| matches!(what, What::Squad(_) | What::Flag(_) | What::Route(_));
    let (own, rest): (Vec<_>, Vec<_>) = whats.iter().copied().partition(is_own);
    for (whats, squads) in [(own, &[][..]), (rest, &squads)] {
        if !whats.is_empty() {
            view.cache.purge(&whats, how, squads, &who, &wanted.reason);
        }
    }
    Ok(Done {
        purged: whats.len(),
        hard: wanted.hard,
        squads: squads.into_iter().map(str::to_owned).collect(),
    })
}

fn paths(wanted: &PurgeOrder) -> Result<Vec<Path<'_>>, Refusal> {
    if wanted.paths.len() > PATHS_MAX {
        let what = format!("an order has {PATHS_MAX} paths at most");
        return Err(Refusal::Parameter(what));
    }
    let read = |path| Path::read(path).map_err(|why| Refusal::Parameter(format!("{path:?}: {why}")));
    let paths: Vec<Path<'_>> = wanted
        .paths
        .iter()
        .map(|path| read(path))
        .collect::<Result<_, _>>()?;
    if paths.iter().filter(|path| path.is_wildcard()).count() > WILDCARDS_MAX {
        let what = format!("an order has {WILDCARDS_MAX} paths that end in `*` at most");
        return Err(Refusal::Parameter(what));
    }
    Ok(paths)
}

fn whats<'w>(
    wanted: &'w PurgeOrder,
    host: Option<&'w str>,
    paths: &'w [Path<'w>],
) -> Result<Vec<What<'w>>, Refusal> {
    let mut whats: Vec<What<'_>> = paths.iter().map(|path| path.what(host)).collect();
    match host {
        Some(host) => whats.extend(wanted.groups.iter().map(|name| What::Group { host, name })),
        None if wanted.groups.is_empty() => {}
        None => {
            let what = "say the `host` whose `groups` they are: hosts may have groups of the same name";
            return Err(Refusal::Parameter(what.to_owned()));
        }
    }
    whats.extend(wanted.tags.iter().map(|tag| What::Tag(tag)));
    whats.extend(wanted.routes.iter().map(|route| What::Route(route)));
    whats.extend(wanted.squads.iter().map(|squad| What::Squad(squad)));
    whats.extend(wanted.flags.iter().map(|flag| What::Flag(flag)));
    if whats.is_empty() {
        let what = "say what: `paths`, `tags`, `groups`, `routes`, `squads` or `flags`; everything is the path \"/*\"";
        return Err(Refusal::Parameter(what.to_owned()));
    }
    Ok(whats)
}

/// To whose answers an order of this actor is limited; none: it is not.
fn squads(actor: &Actor, wanted: &PurgeOrder, at: &Snapshot) -> Result<Vec<String>, Refusal> {
    let reach = match &actor.may {
        May::Read => return Err(Refusal::Scope("write".to_owned())),
        May::Write(Reach::Everything) => return Ok(Vec::new()),
        May::Write(Reach::Only { squads, .. }) => squads,
    };
    for flag in &wanted.flags {
        admit_change_at(Some(actor), flag, at)?;
    }
    let is_own = |squad: &str| reach.iter().any(|own| own.as_str() == squad);
    let by_route = wanted.routes.iter().flat_map(|route| {
        let rules = at.rules.iter().filter(move |rule| *rule.name == **route);
        rules.map(|rule| &*rule.squad)
    });
    let named: BTreeSet<&str> = wanted.squads.iter().map(String::as_str).chain(by_route).collect();
    if let Some(other) = named.into_iter().find(|squad| !is_own(squad)) {
        return Err(Refusal::Scope(format!("write:squad:{other}")));
    }
    let limited = wanted.paths.len() + wanted.tags.len() + wanted.groups.len() > 0;
    if limited && reach.is_empty() {
        return Err(Refusal::Scope("write".to_owned()));
    }
    Ok(reach.iter().map(ToString::to_string).collect())
}
