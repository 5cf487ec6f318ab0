//! The cache: how full it is, what it keeps under an address, and purging it.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        actor::{Actor, admit_change_at},
        answer::{Answer, JSON},
        endpoints::{Asked, Endpoint, Needed, Order, Parameter, Verb},
        refusal::Refusal,
        table::{json, of, order},
    },
    disk::Disk,
};
use crate::{
    cache::store::{
        Entry, How, What,
        path::{PATHS_MAX, Path, WILDCARDS_MAX},
    },
    clock::{self, UnixTime},
    config::admin::{May, Reach},
    control::{cache::Purged, plane::View},
    observe::log::rfc3339,
    snapshot::Snapshot,
};

/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 500;
/// Answers under one address that are shown.
const FOUND_MAX: usize = 100;

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
    /// The last 100 orders and what followed from changes, newest first.
    pub(in super::super) recent: Vec<Purge>,
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

/// What is kept under an address.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Kept {
    /// The host that was looked for; none: every host.
    host: Option<String>,
    /// The path and query that were looked for.
    target: String,
    /// The answers, at most 100.
    answers: Vec<KeptAnswer>,
}

/// An answer that is kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct KeptAnswer {
    /// Its host.
    host: String,
    /// What its key holds beside host, path and query.
    key: String,
    /// Fields of the request that it was chosen by (`Vary`). Their values are nobody's business.
    vary: Vec<String>,
    /// Its status.
    status: u16,
    /// Its media type.
    media: Option<String>,
    /// Bytes of its body.
    bytes: u64,
    /// Bytes that it counts for.
    size: u64,
    /// Seconds since the backend made it.
    age: u64,
    /// Seconds that it is fresh for, counted as `age` is.
    lifetime: u64,
    /// `fresh`, `stale`, `purged`: stale by a purge, or `gone`: purged hard, never served.
    state: &'static str,
    /// The route that it came by.
    route: Option<String>,
    /// Whose that is.
    squad: Option<String>,
    /// Flags that it depends on, as `flag=variant`.
    flags: Vec<String>,
    /// Its groups.
    groups: Vec<String>,
    /// Its tags.
    tags: Vec<String>,
}

/// `GET /api/cache`.
pub(in super::super) const STATS: Endpoint = json(
    "/api/cache",
    "How full the cache is, what it has done, and the last purges.",
    of::<Cache>,
    |view, _| Answer::json(view.live.current().version, &Cache::of(view)),
);

/// `GET /api/cache/explain`.
pub(in super::super) const EXPLAIN: Endpoint = Endpoint {
    parameters: &[Parameter {
        name: "url",
        summary: "The address as a browser has it, or only path and query: of all hosts.",
        needed: Needed::Once,
    }],
    otherwise: &[(400, "The address makes no sense.")],
    ..json(
        "/api/cache/explain",
        "What the cache keeps under an address, with its age and what it can be purged by.",
        of::<Kept>,
        explained,
    )
};

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
            recent: view.cache.recent().into_iter().map(Purge::of).collect(),
        }
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

fn explained(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    let url = asked
        .one("url")
        .ok_or_else(|| Refusal::Parameter("say which `url`".to_owned()))?;
    let (host, target) = address(url);
    let path = Path::read(target).map_err(|why| Refusal::Parameter(format!("{url:?}: {why}")))?;
    let What::Url { target, .. } = path.what(None) else {
        return Err(Refusal::Parameter("an address has no `*` at its end".to_owned()));
    };
    let host = host.map(str::to_ascii_lowercase);
    let found = view.cache.store().find(host.as_deref(), target, FOUND_MAX);
    let now = clock::wall();
    let kept = Kept {
        target: target.to_owned(),
        answers: found
            .iter()
            .map(|(entry, how)| KeptAnswer::of(entry, *how, now))
            .collect(),
        host,
    };
    Answer::json(view.live.current().version, &kept)
}

/// Host and target of an address as a browser has it, or only its path and query.
fn address(url: &str) -> (Option<&str>, &str) {
    let Some((_, rest)) = url.split_once("://").filter(|_| !url.starts_with('/')) else {
        return (None, url);
    };
    let (host, target) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at_checked(at).unwrap_or((rest, "/")),
        None => (rest, "/"),
    };
    let end = host.rfind(']').unwrap_or_default(); // a port comes after an IPv6 address
    let port = host.rfind(':').filter(|colon| *colon >= end);
    let host = port.and_then(|colon| host.get(..colon)).unwrap_or(host);
    (Some(host.trim_matches(['[', ']'])), target)
}

impl KeptAnswer {
    fn of(entry: &Entry, how: Option<How>, now: UnixTime) -> Self {
        let (labels, times) = (entry.labels(), entry.times());
        let owned = |texts: &[Box<str>]| texts.iter().map(|text| text.to_string()).collect();
        let media = entry.fields().get("content-type");
        Self {
            host: entry.host().to_owned(),
            key: entry.rest().to_owned(),
            vary: entry
                .selected()
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
            status: entry.status().as_u16(),
            media: media.and_then(|media| media.to_str().ok().map(str::to_owned)),
            bytes: entry.body().len(),
            size: entry.size(),
            age: times.age(now).as_secs(),
            lifetime: times.lifetime.as_secs(),
            state: match how {
                Some(How::Hard) => "gone",
                Some(How::Soft) => "purged",
                None if times.is_fresh(now) => "fresh",
                None => "stale",
            },
            route: labels.route.as_deref().map(str::to_owned),
            squad: labels.squad.as_deref().map(str::to_owned),
            flags: labels
                .flags
                .iter()
                .map(|(flag, variant)| format!("{flag}={variant}"))
                .collect(),
            groups: owned(&labels.groups),
            tags: owned(&labels.tags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_is_a_browsers_or_a_path() {
        let cases = [
            ("/a?b=1", None, "/a?b=1"),
            ("/a?to=https://b.example/", None, "/a?to=https://b.example/"),
            ("https://a.example", Some("a.example"), "/"),
            ("https://a.example:8443/x", Some("a.example"), "/x"),
            ("http://[::1]:8080/x", Some("::1"), "/x"),
            ("http://[::1]/x", Some("::1"), "/x"),
        ];
        for (url, host, target) in cases {
            assert_eq!(address(url), (host, target), "{url}");
        }
    }
}
