//! `[rooms.<name>]` of `banyan.toml` and of squads' files: waiting rooms, as they are written and what that means.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    instant::Instant,
    report::{Report, suggest},
    routes::{RouteFile, RoutePart},
    settings::TargetSettings,
    site::{FlagPart, Site},
    target,
    values::{DurationText, Spot, duration_text},
};
use crate::{
    gate::Auth,
    name::RoomName,
    room::{CLAIM_DEFAULT, IDLE_DEFAULT, INSIDE_MAX, KEPT_MAX, KEPT_MIN, RoomSettings},
};

/// `[rooms.<name>]`: at most so many visitors inside, the rest in order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RoomFile {
    /// Visitors inside at once, 1 to 100,000. Another number counts at once; who is inside stays.
    #[schemars(required, extend("x-required" = true))]
    inside: Option<Spot<u32>>,
    /// A visitor who asks nothing for so long is no longer inside; at most a day.
    idle: Spot<DurationText>,
    /// How long a visitor whose turn it is may take to come; then the next one is let in, and this one is behind all others. Pages in the
    /// background look once a minute.
    claim: Spot<DurationText>,
    /// When it opens: who comes earlier takes part in a draw, who comes later waits behind them. Without it, it is open.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    opens: Option<Instant>,
    /// Signed-in users with any of these roles pass by and are not counted. Routes that never ask who someone is know of no roles.
    bypass: Vec<Spot<String>>,
    /// Flags whose visitors wait here as well, wherever one of them picks another variant's backend than its default's.
    flags: Vec<Spot<String>>,
}

/// The tables by name.
pub(super) type RoomsFile = BTreeMap<Spot<String>, Spot<RoomFile>>;

impl Default for RoomFile {
    fn default() -> Self {
        let spot = |duration| Spot {
            value: DurationText(duration),
            span: 0..0,
        };
        Self {
            inside: None,
            idle: spot(IDLE_DEFAULT),   // time to read a page and to fill in a form
            claim: spot(CLAIM_DEFAULT), // a page in the background looks once a minute
            opens: None,
            bypass: Vec::new(),
            flags: Vec::new(),
        }
    }
}

/// A room, and where its parts are written.
#[derive(Debug)]
pub(super) struct RoomPart {
    pub(super) settings: RoomSettings,
    name: Range<usize>,
    flags: Vec<Range<usize>>,
    bypass: Option<Range<usize>>,
}

/// Judges the tables of one file. What is wrong is in the report.
pub(super) fn settle(rooms: &RoomsFile, report: &mut Report) -> Vec<RoomPart> {
    rooms
        .iter()
        .filter_map(|(name, room)| one(name, room, report))
        .collect()
}

fn one(name: &Spot<String>, room: &Spot<RoomFile>, report: &mut Report) -> Option<RoomPart> {
    let file = &room.value;
    let known = RoomName::new(&name.value);
    if let Err(reason) = &known {
        let what = format!("`{}` can't name a room: {reason}", name.value);
        report.error("bad-name", name.span.clone(), what);
    }
    let inside = file.inside.as_ref().map(|inside| {
        if !(1..=INSIDE_MAX).contains(&inside.value) {
            let what = format!(
                "a room has 1 to {INSIDE_MAX} visitors inside, not {}",
                inside.value
            );
            report
                .error("out-of-range", inside.span.clone(), what)
                .hint("to close a room, say when it `opens`");
        }
        inside.value
    });
    if inside.is_none() {
        report.missing(
            &room.span,
            "inside",
            "say how many visitors may be inside: `inside = 100`",
        );
    }
    let flags = file
        .flags
        .iter()
        .filter_map(|flag| target::flag_key(flag, report));
    let flags = flags.collect();
    Some(RoomPart {
        name: name.span.clone(),
        flags: file.flags.iter().map(|flag| flag.span.clone()).collect(),
        bypass: file.bypass.first().map(|role| role.span.clone()),
        settings: RoomSettings {
            name: known.ok()?,
            place: report.place(&name.span),
            inside: inside?,
            idle: kept("idle", &file.idle, report),
            claim: kept("claim", &file.claim, report),
            opens: file.opens.map(|opens| opens.0),
            bypass: file.bypass.iter().map(|role| role.value.clone()).collect(),
            flags,
        },
    })
}

fn kept(key: &str, time: &Spot<DurationText>, report: &mut Report) -> Duration {
    if !(KEPT_MIN..=KEPT_MAX).contains(&time.value.0) {
        let what = format!("`{key}` is {}", duration_text(time.value.0));
        report
            .error("out-of-range", time.span.clone(), what)
            .hint(format!(
                "from {} to {}",
                duration_text(KEPT_MIN),
                duration_text(KEPT_MAX)
            ));
    }
    time.value.0
}

/// The room that a route names.
pub(super) fn of_route(route: &RouteFile, report: &mut Report) -> Option<RoomName> {
    let room = route.room.as_ref()?;
    if route.redirect.is_some() {
        report
            .error(
                "room-without-backend",
                room.span.clone(),
                "a redirect needs no waiting room",
            )
            .hint("take `room` out: nobody's backend is asked here");
    }
    let name = RoomName::new(&room.value);
    if let Err(reason) = &name {
        let what = format!("`{}` can't name a room: {reason}", room.value);
        report.error("bad-name", room.span.clone(), what);
    }
    name.ok()
}

/// All rooms of a site by name.
pub(super) fn all(site: &Site) -> Vec<RoomSettings> {
    let mut rooms: Vec<RoomSettings> = parts(site, "").map(|(_, part)| part.settings.clone()).collect();
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    rooms
}

fn parts<'s>(site: &'s Site, main: &'s str) -> impl Iterator<Item = (&'s str, &'s RoomPart)> {
    let operator = site.operator.iter().flat_map(|operator| &operator.rooms);
    let squads = site
        .squads
        .iter()
        .flat_map(|squad| squad.rooms.iter().map(move |room| (&*squad.file, room)));
    operator.map(move |room| (main, room)).chain(squads)
}

/// Judges rooms, and who names them, together. `unread` says whether a file that can't be read may declare a name.
pub(super) fn judge(
    site: &Site,
    main: &str,
    flags: &BTreeMap<&str, &FlagPart>,
    unread: impl Fn(&str) -> bool,
    reports: &mut BTreeMap<Arc<str>, Report>,
) {
    let mut rooms: BTreeMap<&str, (&str, &RoomPart)> = BTreeMap::new();
    let mut by_flag: BTreeMap<&str, &str> = BTreeMap::new();
    for (file, part) in parts(site, main) {
        let name = part.settings.name.as_str();
        let Some(report) = reports.get_mut(file) else {
            continue;
        };
        if let Some((other, first)) = rooms.get(name) {
            report
                .error(
                    "duplicate-room",
                    part.name.clone(),
                    format!("two rooms are called `{name}`"),
                )
                .related(other, first.name.clone(), "first here")
                .hint("any route may name a room, so its name is unique; rename one");
        }
        rooms.entry(name).or_insert((file, part));
        for (key, span) in part.settings.flags.iter().zip(&part.flags) {
            if !flags.contains_key(key.as_str()) && !unread(key.as_str()) {
                report
                    .error(
                        "unknown-flag",
                        span.clone(),
                        format!("flag `{key}` is not defined"),
                    )
                    .hint_if(suggest(key.as_str(), flags.keys().copied()));
            }
            if let Some(other) = by_flag.insert(key.as_str(), name) {
                let what = format!("visitors of flag `{key}` wait in room `{other}` already");
                report
                    .error("two-rooms", span.clone(), what)
                    .hint("nobody waits in two rooms for one page; take it out of one");
            }
        }
    }
    let mut named: BTreeSet<&str> = by_flag.values().copied().collect();
    let mut known_by: BTreeSet<&str> = BTreeSet::new();
    for squad in &site.squads {
        let Some(report) = reports.get_mut(&squad.file) else {
            continue;
        };
        for route in &squad.routes {
            let by_route = named_by(route, &rooms, &unread, report);
            let by_flag = waits_by_flag(route, by_route, &by_flag, report);
            for room in by_route.into_iter().chain(by_flag) {
                named.insert(room);
                if route.settings.requirement.auth != Auth::None {
                    known_by.insert(room);
                }
            }
        }
    }
    if !reports.values().any(Report::has_errors) && site.unread.is_empty() {
        in_vain(&rooms, &named, &known_by, reports);
    }
}

/// Rooms in which nobody waits, and roles that nobody has there.
fn in_vain(
    rooms: &BTreeMap<&str, (&str, &RoomPart)>,
    named: &BTreeSet<&str>,
    known_by: &BTreeSet<&str>,
    reports: &mut BTreeMap<Arc<str>, Report>,
) {
    for (name, (file, part)) in rooms {
        let Some(report) = reports.get_mut(*file) else {
            continue;
        };
        if !named.contains(*name) {
            report
                .warning(
                    "unused-room",
                    part.name.clone(),
                    format!("nobody waits in room `{name}`"),
                )
                .hint("name it in a route's `room`, or take it out");
        } else if let (Some(bypass), false) = (&part.bypass, known_by.contains(*name)) {
            report
                .warning(
                    "bypass-unknown",
                    bypass.clone(),
                    format!("nobody passes room `{name}` by: none of its routes asks who someone is"),
                )
                .hint("write `auth = \"optional\"` in such a route");
        }
    }
}

/// The room that a route names, if there is one.
fn named_by<'r>(
    route: &'r RoutePart,
    rooms: &BTreeMap<&str, (&str, &RoomPart)>,
    unread: impl Fn(&str) -> bool,
    report: &mut Report,
) -> Option<&'r str> {
    let (room, span) = (
        route.settings.policy.room.as_ref()?.as_str(),
        route.room.as_ref()?,
    );
    if !rooms.contains_key(room) && !report.has_removed(room) && !unread(room) {
        report
            .error(
                "unknown-room",
                span.clone(),
                format!("room `{room}` is not defined"),
            )
            .hint_if(
                suggest(room, rooms.keys().copied())
                    .or_else(|| Some(format!("write `[rooms.{room}]` with `inside = 100`"))),
            );
    }
    Some(room)
}

/// The room that the flag of a route names. A route has one room.
fn waits_by_flag<'r>(
    route: &RoutePart,
    by_route: Option<&str>,
    by_flag: &BTreeMap<&str, &'r str>,
    report: &mut Report,
) -> Option<&'r str> {
    let TargetSettings::Flag { flag, .. } = &route.settings.target else {
        return None;
    };
    let room = *by_flag.get(flag.as_str())?;
    if let (Some(other), Some(span)) = (by_route.filter(|other| *other != room), &route.room) {
        let what = format!("visitors of flag `{flag}` wait in room `{room}`, and here also in `{other}`");
        report
            .error("two-rooms", span.clone(), what)
            .hint("nobody waits in two rooms for one page; take one out");
    }
    Some(room)
}
