//! `routes/<squad>.toml` as squads write it, and what it means on its own.

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    access::{self, CountriesFile, Offered, SignedFile, ViewerFile},
    backends::{self, BackendFile},
    caching::{self, CacheFile},
    claims,
    compress::{self, CompressFile},
    cors::CorsFile,
    errors,
    examples::{self, TestFile},
    failover::{self, FailoverFile, FallbackFile},
    forward::ForwardFile,
    gate::AuthFile,
    hedge::HedgeFile,
    operator::hosts,
    protection::{self, RetriesFile, RouteLimitsFile, TimeoutsFile},
    report::{Report, suggest},
    request::{self, HttpsFile, RedirectFile, method_of},
    response::{self, ResponseFile},
    rooms::{self, RoomPart, RoomsFile},
    settings::{RouteSettings, RouteTest},
    sources::Sources,
    target::{self, Target},
    values::{Spot, ValueTestFile},
    versions::{self, AssetsFile},
    who::{self, CsrfFile, GateState, RequireFile},
};
use crate::{
    backend::BackendSettings,
    courtesy::give_way,
    gate::{Auth, Source},
    name::SquadName,
    policy::Policy,
    route::{Claim, Conditions, PathRule, ValueTest},
};

/// `routes/<squad>.toml`: a squad's file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RoutesFile {
    /// The squad's name; the same as the file's.
    #[schemars(required, extend("x-required" = true))]
    squad: Option<Spot<String>>,
    /// Groups of servers, by names that no other file uses.
    backends: BTreeMap<Spot<String>, Spot<BackendFile>>,
    /// Waiting rooms, by names that no other file uses.
    rooms: RoomsFile,
    /// Paths and where they lead.
    routes: Vec<Spot<RouteFile>>,
    /// Requests with what must become of them; `banyan check` tries them.
    tests: Vec<Spot<TestFile>>,
}

/// `[[routes]]`: a path with conditions, and everything that happens on it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouteFile {
    /// `{name}` is one segment; a last `/*` is the rest of the path, also nothing. This or `pattern`.
    path: Option<Spot<String>>,
    /// CloudFront's wildcards: `*` crosses slashes, `?` is one character. Needs an `order`.
    pattern: Option<Spot<String>>,
    /// Routes with an order are tried before all others, the lowest first; the first match wins.
    order: Option<i32>,
    /// Which of the edge's names it is for. Empty: all of them.
    hosts: Vec<Spot<String>>,
    /// Any of these methods; `GET` also takes `HEAD`. Empty: all of them.
    methods: Vec<Spot<String>>,
    /// Header fields, by name, with what each must be.
    headers: BTreeMap<Spot<String>, ValueTestFile>,
    /// Query parameters, by name, with what each must be.
    query: BTreeMap<Spot<String>, ValueTestFile>,
    /// Cookies, by name, with what each must be.
    cookies: BTreeMap<Spot<String>, ValueTestFile>,
    /// The backend that it always leads to. This, or `flag` with `backends`.
    pub(super) backend: Option<Spot<String>>,
    /// The flag whose variant picks the backend.
    pub(super) flag: Option<Spot<String>>,
    /// A backend for each variant of `flag`.
    pub(super) backends: Option<Spot<BTreeMap<Spot<String>, Spot<String>>>>,
    /// Further flags whose variants the backend is told.
    pub(super) flags: Vec<Spot<String>>,
    /// A second backend, for when the first fails.
    pub(super) failover: Option<Spot<FailoverFile>>,
    /// The backend that the route replaces, for what its own fails: its name, or a table with its terms.
    fallback: Option<Spot<FallbackFile>>,
    /// How long things may take, over what the backends say.
    pub(super) timeouts: Option<Spot<TimeoutsFile>>,
    /// How much may be tried again.
    pub(super) retries: Option<Spot<RetriesFile>>,
    /// Sends what takes long to a second server as well. Without it: never.
    pub(super) hedge: Option<Spot<HedgeFile>>,
    /// Who is let in, and in which order.
    pub(super) limits: Option<Spot<RouteLimitsFile>>,
    /// The waiting room whose visitors are let in, a table `[rooms.<name>]` of any file.
    pub(super) room: Option<Spot<String>>,
    /// Whether someone must be signed in. Without `[gate]`: `none`.
    auth: Option<Spot<AuthFile>>,
    /// Any of these roles lets someone in. Only with `auth = "required"`.
    roles: Option<Spot<Vec<String>>>,
    /// What may say who someone is: `session`, `bearer`, `legacy`, `key`. Without it: `default_accept` of `[gate]`.
    accept: Option<Spot<Vec<Source>>>,
    /// What somebody must have beside one of `roles`: groups, scopes, claims, how and when they signed in.
    require: Option<Spot<RequireFile>>,
    /// Who lacks what this route asks for passes, and is counted and logged. What the operator demands holds all the same.
    report_only: bool,
    /// The backend gets `Authorization` as it came. Else it does only where `auth` is `none`.
    forward_authorization: bool,
    /// Other sites whose pages may send requests with a visitor's cookies.
    csrf: Option<Spot<CsrfFile>>,
    /// Lets paths with `%2F` or `%5C` through as they are, instead of answering 400.
    allow_encoded_slash: bool,
    /// What of the visitor's headers, cookies and query strings reaches the backend. All of it, unless said.
    forward: Option<ForwardFile>,
    /// What is done to the fields of answers.
    response: Option<Spot<ResponseFile>>,
    /// Which other sites' scripts may read the answers.
    cors: Option<Spot<CorsFile>>,
    /// What becomes of requests over plain HTTP, on the `http` listener: sent to https (so it is unless said otherwise), refused with 403, or served, where nobody is asked who they are.
    pub(super) https: Option<Spot<HttpsFile>>,
    /// Methods that are served, `HEAD` with `GET`; the route takes the others too and refuses them. Without it: all of them.
    pub(super) allowed_methods: Option<Spot<Vec<Spot<String>>>>,
    /// How other methods are refused: 405 with `Allow`, as without it, or 403.
    pub(super) refused_method_status: Option<Spot<u16>>,
    /// First segments that are taken off the path before it is forwarded: `/courses`.
    pub(super) strip_prefix: Option<Spot<String>>,
    /// Segments that are put in front of the path, after `strip_prefix`: `/v2`.
    pub(super) add_prefix: Option<Spot<String>>,
    /// The path that is forwarded instead, whole: `/index.html`.
    pub(super) rewrite: Option<Spot<String>>,
    /// An answer instead of a backend.
    pub(super) redirect: Option<Spot<RedirectFile>>,
    /// Pages that browsers are shown instead of errors; these come before the site's own.
    errors: Vec<Spot<errors::ErrorPageFile>>,
    /// Only signed addresses are let in.
    signed: Option<Spot<SignedFile>>,
    /// Countries that are let in.
    geo: Option<Spot<CountriesFile>>,
    /// What the backend is told of viewers.
    viewer: Option<Spot<ViewerFile>>,
    /// Whether answers are compressed (br, zstd, gzip) for clients that take it: true, false, or a table that says how.
    compress: Option<Spot<CompressFile>>,
    /// Whether answers are kept for others: `"off"` (so it is unless said otherwise), `"standard"`, or a table that says how.
    cache: Option<Spot<CacheFile>>,
    /// Requests for hashed assets, which are looked for on other versions and the flag's other sides where they are missing: `hashed` (by their names; so it is where a backend has `versions`), `all`, or `off`.
    assets: Option<AssetsFile>,
}

/// What a squad's file says, with the places that later judgements point at.
#[derive(Debug)]
pub(super) struct SquadPart {
    pub(super) file: Arc<str>,
    /// Where the squad's name is written.
    pub(super) squad: Range<usize>,
    pub(super) name: SquadName,
    pub(super) backends: Vec<BackendSettings>,
    /// Names and places of all backends, also of those that can't be used.
    pub(super) declared: Vec<Spot<String>>,
    pub(super) rooms: Vec<RoomPart>,
    pub(super) routes: Vec<RoutePart>,
    pub(super) tests: Vec<RouteTest>,
}

/// A route and where its parts are written.
#[derive(Debug)]
pub(super) struct RoutePart {
    pub(super) settings: RouteSettings,
    /// The path or pattern.
    pub(super) path: Range<usize>,
    /// Names of backends, by variant or alone, that of a second one last.
    pub(super) backends: Vec<Range<usize>>,
    /// Names of variants, in the order of the target's list.
    pub(super) variants: Vec<Range<usize>>,
    /// The table `backends`.
    pub(super) table: Range<usize>,
    /// The flag that picks the backend.
    pub(super) flag: Option<Range<usize>>,
    /// Further flags.
    pub(super) flags: Vec<Range<usize>>,
    /// What it says of `auth`.
    pub(super) auth: Option<Spot<AuthFile>>,
    /// The waiting room.
    pub(super) room: Option<Range<usize>>,
}

/// What a squad's file is judged against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'e> {
    /// What the operator's file has for routes; `None`: it can't be read.
    pub(super) offered: Option<&'e Offered>,
    pub(super) folder: &'e Path,
    /// All files, with the pages that this one names.
    pub(super) sources: &'e Sources,
    /// Host names of the edge; empty: any.
    pub(super) hosts: &'e [String],
    pub(super) gate: GateState<'e>,
}

impl RoutesFile {
    /// Judges the file on its own. `None` when even the squad is unknown.
    pub(super) fn settle(&self, stem: &str, around: Around<'_>, report: &mut Report) -> Option<SquadPart> {
        let name = SquadName::new(stem);
        if let Err(reason) = &name {
            report
                .whole("bad-name", format!("`{stem}` can't name a squad: {reason}"))
                .hint("rename the file");
        }
        match &self.squad {
            None => report.missing(
                &(0..0),
                "squad",
                &format!("write `squad = \"{stem}\"` on the first line"),
            ),
            Some(squad) if squad.value != stem => {
                let what = format!("this file is `{stem}.toml`, but its squad is `{}`", squad.value);
                report
                    .error("squad-mismatch", squad.span.clone(), what)
                    .hint(format!("write `squad = \"{stem}\"`, or rename the file"));
            }
            Some(_) => {}
        }
        let name = name.ok()?;
        let backends = self
            .backends
            .iter()
            .filter_map(|(key, file)| backends::backend(key, file, &name, around.folder, report))
            .collect();
        let routes = self
            .routes
            .iter()
            .filter_map(|route| route.value.settle(&route.span, &name, around, report));
        let routes = routes.collect();
        let tests = self
            .tests
            .iter()
            .filter_map(|test| examples::test(test, &name, report))
            .collect();
        Some(SquadPart {
            file: Arc::clone(&report.file),
            squad: self.squad.as_ref().map_or(0..0, |squad| squad.span.clone()),
            name,
            backends,
            declared: self.backends.keys().cloned().collect(),
            rooms: rooms::settle(&self.rooms, report),
            routes,
            tests,
        })
    }
}

impl RouteFile {
    fn settle(
        &self,
        table: &Range<usize>,
        squad: &SquadName,
        around: Around<'_>,
        report: &mut Report,
    ) -> Option<RoutePart> {
        give_way();
        let path = self.path_rule(table, report);
        let hosts = self.hosts(around, report);
        let conditions = self.conditions(report);
        let rule = path.as_ref().map(|(rule, _)| rule);
        let target = match &self.redirect {
            Some(redirect) => request::redirect(self, redirect, rule, report),
            None => self.target(table, report),
        };
        let flags = self
            .flags
            .iter()
            .filter_map(|flag| target::flag_key(flag, report))
            .collect();
        let requirement = self.who().settle(table, around.gate, report);
        let failover = failover::failover(
            self.failover.as_ref(),
            self.fallback.as_ref(),
            target.as_ref().map(|target| &target.settings),
            report,
        );
        let access = access::Written {
            signed: self.signed.as_ref(),
            geo: self.geo.as_ref(),
            viewer: self.viewer.as_ref(),
        };
        let mut policy = self.policy(rule, requirement.auth, report);
        policy.errors = errors::pages(&self.errors, around.sources, report);
        policy.access = access.settle(around.offered, report);
        policy.room = rooms::of_route(self, report);
        let (path, span) = path?;
        let Target {
            settings: target,
            mut backends,
            variants,
        } = target?;
        backends.extend(failover.as_ref().map(|(_, span)| span.clone()));
        policy.failover = failover.map(|(failover, _)| failover);
        let of = |spot: &Spot<String>| spot.span.clone();
        Some(RoutePart {
            path: span.clone(),
            backends,
            variants,
            table: self
                .backends
                .as_ref()
                .map_or_else(|| table.clone(), |backends| backends.span.clone()),
            flag: self.flag.as_ref().map(of),
            flags: self.flags.iter().map(of).collect(),
            auth: self.auth.clone(),
            room: self.room.as_ref().map(of),
            settings: RouteSettings {
                claim: Claim {
                    place: report.place(&span),
                    squad: squad.clone(),
                    hosts,
                    path,
                    order: self.order,
                    conditions,
                },
                target,
                flags,
                requirement,
                allow_encoded_slash: self.allow_encoded_slash,
                policy: Arc::new(policy),
            },
        })
    }

    fn who(&self) -> who::Written<'_> {
        who::Written {
            auth: self.auth.as_ref(),
            accept: self.accept.as_ref(),
            roles: self.roles.as_ref(),
            require: self.require.as_ref(),
            csrf: self.csrf.as_ref(),
            report_only: self.report_only,
            forward_authorization: self.forward_authorization,
        }
    }

    fn policy(&self, path: Option<&PathRule>, auth: Auth, report: &mut Report) -> Policy {
        Policy {
            request: request::policy(self, path, auth, report),
            forward: self.forward.as_ref().and_then(|forward| forward.settle(report)),
            response: response::rules(self.response.as_ref(), self.cors.as_ref(), report),
            compress: compress::compression(self.compress.as_ref(), report),
            cache: caching::caching(self.cache.as_ref(), report),
            protection: protection::protection(self, report),
            assets: versions::assets(self.assets),
            ..Policy::default() // the rest is judged with the target
        }
    }

    fn path_rule(&self, table: &Range<usize>, report: &mut Report) -> Option<(PathRule, Range<usize>)> {
        let (rule, spot) = match (&self.path, &self.pattern) {
            (Some(path), Some(pattern)) => {
                let file = report.file.to_string();
                report
                    .error(
                        "path-and-pattern",
                        pattern.span.clone(),
                        "a route has a `path` or a `pattern`, not both",
                    )
                    .related(&file, path.span.clone(), "the path")
                    .hint("make two routes of it");
                return None;
            }
            (None, None) => {
                if !report.was_removed(table, "pattern") {
                    report.missing(
                        table,
                        "path",
                        "write `path = \"/…\"`, or a `pattern` with an `order`",
                    );
                }
                return None;
            }
            (Some(path), None) => (PathRule::Template(path.value.clone()), path),
            (None, Some(pattern)) => (PathRule::Pattern(pattern.value.clone()), pattern),
        };
        if matches!(rule, PathRule::Pattern(_)) && self.order.is_none() && !report.was_removed(table, "order")
        {
            report
                .error("missing-order", spot.span.clone(), "a `pattern` needs an `order`")
                .hint("write `order = 10`: of the patterns that match, the lowest wins");
        }
        if let Err(reason) = claims::check(&rule) {
            let (kind, noun) = match rule {
                PathRule::Template(_) => ("bad-path", "path"),
                PathRule::Pattern(_) => ("bad-pattern", "pattern"),
            };
            report.error(
                kind,
                spot.span.clone(),
                format!("`{}` is not a {noun}: {reason}", spot.value),
            );
            return None;
        }
        if spot.value.trim_start_matches('/').starts_with(RESERVED) {
            report
                .error(
                    "reserved-path",
                    spot.span.clone(),
                    "paths under `/.banyan/` are Banyan's own",
                )
                .hint("choose another path");
        }
        Some((rule, spot.span.clone()))
    }

    fn hosts(&self, around: Around<'_>, report: &mut Report) -> Vec<String> {
        let all = around.hosts;
        for host in &self.hosts {
            let name = host.value.to_ascii_lowercase();
            let wild = || name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            let known =
                all.is_empty() || all.contains(&name) || wild().is_some_and(|wild| all.contains(&wild));
            if !known {
                report
                    .error(
                        "unknown-host",
                        host.span.clone(),
                        format!("this edge does not answer for `{name}`"),
                    )
                    .hint_if(suggest(&name, all.iter().map(String::as_str)));
            }
        }
        hosts(&self.hosts, report)
    }

    fn conditions(&self, report: &mut Report) -> Conditions {
        let headers = self.headers.iter().filter_map(|(name, test)| {
            let parsed = HeaderName::from_bytes(name.value.as_bytes());
            if parsed.is_err() {
                let what = format!("`{}` can't be the name of a header field", name.value);
                report
                    .error("bad-header", name.span.clone(), what)
                    .hint("letters, digits and `-`");
            }
            Some((parsed.ok()?, test.settle()))
        });
        let headers = headers.collect();
        let named = |table: &BTreeMap<Spot<String>, ValueTestFile>| -> Vec<(String, ValueTest)> {
            table
                .iter()
                .map(|(name, test)| (name.value.clone(), test.settle()))
                .collect()
        };
        Conditions {
            methods: self
                .methods
                .iter()
                .filter_map(|method| method_of(method, report))
                .collect(),
            headers,
            query: named(&self.query),
            cookies: named(&self.cookies),
        }
    }

    fn target(&self, table: &Range<usize>, report: &mut Report) -> Option<Target> {
        match (&self.backend, &self.flag, &self.backends) {
            (Some(backend), None, None) => target::always(backend, report),
            (None, Some(flag), Some(backends)) => target::by_flag(flag, &backends.value, report),
            _ => {
                self.no_target(table, report);
                None
            }
        }
    }

    /// Says why there is no target, unless what is missing was there and has been reported.
    fn no_target(&self, table: &Range<usize>, report: &mut Report) {
        match (&self.backend, &self.flag, &self.backends) {
            (Some(backend), ..) => {
                let what = "a route leads to a `backend` or where its `flag` says, not both";
                report
                    .error("two-targets", backend.span.clone(), what)
                    .hint("take `backend` out, or `flag` and `backends`");
            }
            (None, Some(flag), _) if !report.was_removed(table, "backends") => {
                report
                    .error("missing-key", flag.span.clone(), "`flag` needs `backends`, one for each variant")
                    .hint("write `backends = { legacy = \"…\", new = \"…\" }`, or put a flag that only informs under `flags`");
            }
            (None, None, Some(backends)) if !report.was_removed(table, "flag") => {
                report
                    .error(
                        "missing-key",
                        backends.span.clone(),
                        "`backends` needs a `flag` that picks one",
                    )
                    .hint("write `flag = \"…\"`, or one `backend`");
            }
            (None, None, None)
                if !["flag", "backends", "redirect"]
                    .iter()
                    .any(|key| report.was_removed(table, key)) =>
            {
                report.missing(
                    table,
                    "backend",
                    "write `backend = \"…\"`, `flag` with `backends`, or `redirect`",
                );
            }
            _ => {}
        }
    }
}

/// What Banyan answers itself on every public host.
const RESERVED: &str = ".banyan/";
