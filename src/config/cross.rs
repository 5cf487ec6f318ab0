//! What no file can know alone: names of other files, and claims beside claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use super::{
    claims::{self, Verdict},
    layers, lookup, raised,
    report::{Report, suggest},
    requires, rooms,
    routes::{RoutePart, SquadPart},
    settings::TargetSettings,
    site::{FlagPart, Site},
    sources::{FileKind, Sources},
    values::Spot,
};
use crate::{
    flag::FlagSettings,
    name::{BackendName, SquadName, VariantName},
    route::Claim,
};

/// Judges the files of a site together.
pub(super) fn judge(site: &mut Site, sources: &Sources) {
    let main = &sources.main;
    let mut reports = std::mem::take(&mut site.reports);
    squads(site, main, &mut reports);
    let backends = backends(site, &mut reports);
    let flags = flags(site, &mut reports);
    if let Some(gate) = site
        .operator
        .as_ref()
        .and_then(|operator| operator.edge.gate.as_ref())
    {
        lookup::accepted(&site.squads, gate, &mut reports);
    }
    let asked = site
        .operator
        .as_ref()
        .and_then(|operator| operator.asked.as_ref());
    if let Some(mut report) = reports.remove(main.as_str()) {
        let is_unread = |name: &str| declared_unread(site, name);
        lookup::judge(asked, backends.keys().copied(), is_unread, &mut report);
        reports.insert(Arc::clone(&report.file), report);
    }
    targets(site, &backends, &flags, &mut reports);
    let unread = |key: &str| declared_unread(site, key);
    requires::judge(site, &flags, unread, &mut reports);
    let gone = |key: &str| unread(key) || sources.is_left_out(&format!("flags/{key}.toml"));
    layers::judge(site, main, &flags, gone, &mut reports);
    rooms::judge(site, main, &flags, unread, &mut reports);
    together(site, &mut reports);
    raised::judge(site, main, &mut reports);
    if !reports.values().any(Report::has_errors) && site.unread.is_empty() {
        unused(site, &mut reports);
    }
    site.reports = reports;
}

type Reports = BTreeMap<Arc<str>, Report>;

/// Every squad may be here, and stays inside of what it may claim.
fn squads(site: &Site, main: &str, reports: &mut Reports) {
    let Some(operator) = site
        .operator
        .as_ref()
        .filter(|operator| !operator.edge.squads.is_empty())
    else {
        return;
    };
    if reports
        .get(main)
        .is_some_and(|report| report.has_removed("squads") || report.has_removed("paths"))
    {
        return;
    }
    for part in &site.squads {
        let Some(report) = reports.get_mut(&part.file) else {
            continue;
        };
        let Some(squad) = operator.edge.squads.iter().find(|squad| squad.name == part.name) else {
            let known = operator.edge.squads.iter().map(|squad| squad.name.as_str());
            report
                .error(
                    "unknown-squad",
                    part.squad.clone(),
                    format!("`{main}` has no squad `{}`", part.name),
                )
                .hint_if(suggest(part.name.as_str(), known));
            continue;
        };
        let span = operator
            .squad_spans
            .get(part.name.as_str())
            .cloned()
            .unwrap_or(0..0);
        for route in part.routes.iter().filter(|_| !squad.paths.is_empty()) {
            let claim = &route.settings.claim;
            if let Some(example) = claims::beyond(&squad.paths, &claim.path) {
                let what = format!(
                    "`{}` also takes `{example}`, which squad `{}` may not claim",
                    claim.path.as_str(),
                    part.name
                );
                report
                    .error("outside-claim", route.path.clone(), what)
                    .related(main, span.clone(), "what it may claim")
                    .hint(format!(
                        "narrow the route, or have the operator widen `paths` in `{main}`"
                    ));
            }
        }
    }
}

/// All backends by name, with their places. No name stands for two.
fn backends<'s>(
    site: &'s Site,
    reports: &mut Reports,
) -> BTreeMap<&'s str, (&'s SquadPart, &'s Spot<String>)> {
    let mut known: BTreeMap<&str, (&SquadPart, &Spot<String>)> = BTreeMap::new();
    for part in &site.squads {
        for name in &part.declared {
            if let Some(report) = reports.get_mut(&part.file) {
                lookup::is_reserved(&name.value, &name.span, report);
            }
            if let Some((other, first)) = known.get(name.value.as_str()) {
                if let Some(report) = reports.get_mut(&part.file) {
                    report
                        .error(
                            "duplicate-backend",
                            name.span.clone(),
                            format!("two backends are called `{}`", name.value),
                        )
                        .related(&other.file, first.span.clone(), "first here")
                        .hint("any squad's routes may lead to a backend, so its name is unique; rename one");
                }
            } else {
                known.insert(&name.value, (part, name));
            }
        }
    }
    known
}

/// All flags by key. No key stands for two.
fn flags<'s>(site: &'s Site, reports: &mut Reports) -> BTreeMap<&'s str, &'s FlagPart> {
    let mut known: BTreeMap<&str, &FlagPart> = BTreeMap::new();
    for flag in &site.flags {
        if let Some(first) = known.get(flag.key.as_str()) {
            let (span, other) = (flag_span(flag, reports), flag_span(first, reports));
            if let Some(report) = reports.get_mut(&flag.file) {
                report
                    .error(
                        "duplicate-flag",
                        span,
                        format!("two flags have the key `{}`", flag.key),
                    )
                    .related(&first.file, other, "first here")
                    .hint("a key is unique over all files of `flags/`; take one out");
            }
        } else {
            known.insert(&flag.key, flag);
        }
    }
    known
}

fn flag_span(flag: &FlagPart, reports: &Reports) -> Range<usize> {
    let line = flag.settings.as_ref().map_or(1, |settings| settings.place.line);
    reports
        .get(&flag.file)
        .map_or(0..0, |report| report.line_span(line))
}

/// Every route leads to backends and asks flags that are there.
fn targets(
    site: &Site,
    backends: &BTreeMap<&str, (&SquadPart, &Spot<String>)>,
    flags: &BTreeMap<&str, &FlagPart>,
    reports: &mut Reports,
) {
    for part in &site.squads {
        let Some(mut report) = reports.remove(&part.file) else {
            continue;
        };
        for route in &part.routes {
            let unknown = |name: &BackendName| {
                !backends.contains_key(name.as_str())
                    && !report.has_removed(name.as_str())
                    && !declared_unread(site, name.as_str())
            };
            let names = route.settings.backends();
            let missing: Vec<(&BackendName, &Range<usize>)> = names
                .zip(&route.backends)
                .filter(|(name, _)| unknown(name))
                .collect();
            for (name, span) in missing {
                report
                    .error(
                        "unknown-backend",
                        span.clone(),
                        format!("backend `{name}` is not defined"),
                    )
                    .hint_if(suggest(name.as_str(), backends.keys().copied()));
            }
            let keys = route.settings.flags.iter().zip(&route.flags);
            for (key, span) in keys {
                known_flag(site, key.as_str(), span, flags, &mut report);
            }
            if let (TargetSettings::Flag { flag, backends }, Some(span)) =
                (&route.settings.target, &route.flag)
                && let Some(settings) = known_flag(site, flag.as_str(), span, flags, &mut report)
            {
                variants(settings, backends, route, &mut report);
            }
        }
        reports.insert(Arc::clone(&part.file), report);
    }
}

fn known_flag<'s>(
    site: &Site,
    key: &str,
    span: &Range<usize>,
    flags: &BTreeMap<&str, &'s FlagPart>,
    report: &mut Report,
) -> Option<&'s FlagSettings> {
    if let Some(flag) = flags.get(key) {
        return flag.settings.as_ref();
    }
    if !declared_unread(site, key) {
        report
            .error(
                "unknown-flag",
                span.clone(),
                format!("flag `{key}` is not defined"),
            )
            .hint_if(
                suggest(key, flags.keys().copied()).or_else(|| Some(format!("write `flags/{key}.toml`"))),
            );
    }
    None
}

/// Every variant has a backend, and the other way round.
fn variants(
    flag: &FlagSettings,
    backends: &[(VariantName, BackendName)],
    route: &RoutePart,
    report: &mut Report,
) {
    let known = || flag.variants.iter().map(|(name, _)| name.as_str());
    for ((variant, _), span) in backends.iter().zip(&route.variants) {
        if !known().any(|name| name == variant.as_str()) {
            report
                .error(
                    "unknown-variant",
                    span.clone(),
                    format!("`{variant}` is not a variant of flag `{}`", flag.key),
                )
                .hint_if(suggest(variant.as_str(), known()));
        }
    }
    let missing: Vec<String> = known()
        .filter(|name| !backends.iter().any(|(variant, _)| variant.as_str() == *name))
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        let what = format!("no backend for {} of flag `{}`", missing.join(", "), flag.key);
        report
            .error("missing-variant", route.table.clone(), what)
            .hint("every variant needs a backend, also one at 0 %");
    }
    if let (None, Some(span)) = (&flag.default, &route.flag) {
        report
            .error(
                "flag-no-default",
                span.clone(),
                format!("flag `{}` has no default, so a route can't go by it", flag.key),
            )
            .hint("give it a `defaultVariant`");
    }
}

/// Claims that can't stand beside each other.
fn together(site: &Site, reports: &mut Reports) {
    let routes: Vec<(&SquadPart, &RoutePart)> = site
        .squads
        .iter()
        .flat_map(|part| part.routes.iter().map(move |route| (part, route)))
        .collect();
    let claims: Vec<Claim> = routes
        .iter()
        .map(|(_, route)| route.settings.claim.clone())
        .collect();
    let host = site
        .operator
        .as_ref()
        .and_then(|operator| operator.edge.hosts.first().cloned());
    for verdict in claims::judge(&claims) {
        let (Verdict::Equal { second: index, .. }
        | Verdict::Shadowed { route: index, .. }
        | Verdict::Nothing { route: index }
        | Verdict::TooLarge { route: index, .. }
        | Verdict::Wrong { route: index, .. }) = verdict;
        let Some((part, route)) = routes.get(index) else {
            continue;
        };
        let Some(report) = reports.get_mut(&part.file) else {
            continue;
        };
        let (text, span) = (route.settings.claim.path.as_str(), route.path.clone());
        match &verdict {
            Verdict::Equal { first, example, .. } => {
                let Some((other, twin)) = routes.get(*first) else {
                    continue;
                };
                let url = url(&route.settings.claim, host.as_deref(), example);
                report
                    .error("equal-claims", span, format!("nothing tells `{text}` from a route that is already there; both would take {url}"))
                    .related(&other.file, twin.path.clone(), format!("squad `{}` claims it here", other.name))
                    .hint("take one out, narrow its path, or add a condition: `hosts`, `methods`, `headers`, `query`, `cookies` or an `order`");
            }
            Verdict::Shadowed { by, example, .. } => {
                let Some((other, winner)) = routes.get(*by) else {
                    continue;
                };
                shadowed(report, &route.settings.claim, span, example, (other, winner));
            }
            Verdict::Nothing { .. } => {
                report
                    .warning(
                        "unreachable-route",
                        span,
                        format!("`{text}` never gets a request: no path in its canonical form fits"),
                    )
                    .hint("paths are matched without `//`, dot segments and needless escapes");
            }
            Verdict::TooLarge { steps, most, .. } => {
                report
                    .error(
                        "patterns-too-large",
                        span,
                        format!("all routes with an `order` have {steps} characters behind a `*` together, at most {most} fit one automaton; `{text}` has most of them"),
                    )
                    .hint("shorten what stands behind the first `*`, or write a `path` without an `order` where one will do");
            }
            Verdict::Wrong { why, .. } => {
                report.error("bad-path", span, format!("`{text}` can't be used: {why}"));
            }
        }
    }
}

/// A route behind another squad's is that squad's doing as a rule, and nobody's wish; behind one's own it is left over.
fn shadowed(
    report: &mut Report,
    claim: &Claim,
    span: Range<usize>,
    example: &str,
    (other, winner): (&SquadPart, &RoutePart),
) {
    let text = claim.path.as_str();
    let what = format!("`{text}` never gets a request; `{example}`, like all others, is taken earlier");
    let by = format!("by this route of squad `{}`", other.name);
    if other.name == claim.squad {
        report
            .warning("shadowed-route", span, what)
            .related(&other.file, winner.path.clone(), by)
            .hint("give it a lower `order`, or take it out");
    } else {
        report
            .error("shadowed-route", span, what)
            .related(&other.file, winner.path.clone(), by)
            .hint("agree with that squad who serves it: one of the two routes goes, or gets narrower");
    }
}

fn url(claim: &Claim, host: Option<&str>, path: &str) -> String {
    let host = claim
        .hosts
        .first()
        .map(String::as_str)
        .or(host)
        .unwrap_or("localhost");
    let method = claim
        .conditions
        .methods
        .first()
        .filter(|method| **method != http::Method::GET);
    let method = method.map(|method| format!("{method} ")).unwrap_or_default();
    format!("{method}https://{}{path}", host.replace('*', "any"))
}

/// What is written and never asked for.
fn unused(site: &Site, reports: &mut Reports) {
    let routes = || site.squads.iter().flat_map(|part| &part.routes);
    let asked = site
        .operator
        .as_ref()
        .and_then(|operator| operator.asked.as_ref());
    let backends: BTreeSet<&str> = routes()
        .flat_map(|route| route.settings.backends())
        .map(BackendName::as_str)
        .chain(asked.map(|asked| asked.value.as_str()))
        .collect();
    for part in &site.squads {
        for name in part
            .declared
            .iter()
            .filter(|name| !backends.contains(name.value.as_str()))
        {
            if let Some(report) = reports.get_mut(&part.file) {
                report
                    .warning(
                        "unused-backend",
                        name.span.clone(),
                        format!("no route leads to backend `{}`", name.value),
                    )
                    .hint("take it out, or lead a route to it");
            }
        }
    }
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    for route in routes() {
        asked.extend(route.settings.flags.iter().map(crate::name::FlagKey::as_str));
        if let TargetSettings::Flag { flag, .. } = &route.settings.target {
            asked.insert(flag.as_str());
        }
    }
    let required = site.flags.iter().filter_map(|flag| flag.settings.as_ref());
    asked.extend(required.flat_map(|flag| flag.requires.iter().map(|other| other.flag.as_str())));
    // flags of a flagd set are asked for by applications, which no file here knows
    for flag in site
        .flags
        .iter()
        .filter(|flag| flag.kind == FileKind::Flag && !asked.contains(flag.key.as_str()))
    {
        if let Some(report) = reports.get_mut(&flag.file) {
            let first = report.line_span(1);
            report
                .warning(
                    "unused-flag",
                    first,
                    format!("no route goes by flag `{}`", flag.key),
                )
                .hint("name it in a route's `flag` or `flags`, or take the file away");
        }
    }
    owners(site, reports);
}

/// A flag's owner is a squad that there is.
fn owners(site: &Site, reports: &mut Reports) {
    let listed = site
        .operator
        .iter()
        .flat_map(|operator| &operator.edge.squads)
        .map(|squad| squad.name.as_str());
    let known: BTreeSet<&str> = site
        .squads
        .iter()
        .map(|part| part.name.as_str())
        .chain(listed)
        .collect();
    for flag in &site.flags {
        let owner = flag
            .settings
            .as_ref()
            .and_then(|settings| settings.squad.as_ref())
            .map(SquadName::as_str);
        if let (Some(owner), Some(report)) = (owner, reports.get_mut(&flag.file))
            && !known.contains(owner)
        {
            let first = report.line_span(1);
            report
                .warning(
                    "unknown-squad",
                    first,
                    format!(
                        "flag `{}` belongs to squad `{owner}`, which has no routes",
                        flag.key
                    ),
                )
                .hint_if(suggest(owner, known.iter().copied()));
        }
    }
}

/// Whether a file that can't be read may well declare this name; then its absence isn't told as well.
fn declared_unread(site: &Site, name: &str) -> bool {
    site.unread.iter().any(|(_, text)| text.contains(name))
}
