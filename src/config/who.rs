//! What a route says of who may come in, and what the operator demands of parts of the site: as it is written and what it means.

use std::{collections::BTreeMap, ops::Range};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    gate::AuthFile,
    operator::hosts,
    report::Report,
    values::{DurationText, OneOrMany, Spot},
};
use crate::{
    gate::{Accept, Auth, Demand, GateSettings, NAME_BYTES_MAX, Need, Requirement, Source, What},
    policy::cors::{ORIGINS_MAX, Origin},
};

/// Most names in one list of roles, groups, scopes or values.
const NAMES_MAX: usize = 64;

/// Most demands of the operator.
const DEMANDS_MAX: usize = 64;

/// `[routes.require]`: what somebody must have beside one of `roles`. All of it is asked for. Only with `auth = "required"`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RequireFile {
    /// All of these roles.
    all_roles: Option<Spot<OneOrMany>>,
    /// Any of these groups.
    groups: Option<Spot<OneOrMany>>,
    /// All of these groups.
    all_groups: Option<Spot<OneOrMany>>,
    /// Any of these scopes.
    scopes: Option<Spot<OneOrMany>>,
    /// All of these scopes.
    all_scopes: Option<Spot<OneOrMany>>,
    /// Claims, by name or JSON pointer, with what each must be or hold: any one of these.
    claims: BTreeMap<Spot<String>, Spot<OneOrMany>>,
    /// How long ago the sign-in (`auth_time`) may be.
    max_age: Option<Spot<DurationText>>,
    /// How the sign-in was done (`acr`): any of these.
    acr: Option<Spot<OneOrMany>>,
}

/// `[routes.csrf]`: whose pages may send requests that change something with a visitor's cookies. Without it: the site's own alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CsrfFile {
    /// `https://partner.example.com`, each by its whole name.
    #[schemars(required, extend("x-required" = true))]
    origins: Option<Spot<Vec<Spot<String>>>>,
}

/// `[[gate.demand]]`: what is asked of a part of the site, whatever a route there says. Routes may ask for more, not for less.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DemandFile {
    /// `/admin/*` is the path and everything below, however it is spelt; without the `/*` that path alone.
    #[schemars(required, extend("x-required" = true))]
    path: Option<Spot<String>>,
    /// Which of the edge's names it is for. Empty: all of them.
    hosts: Vec<Spot<String>>,
    /// What is asked for at least. Without it: `required`.
    auth: Option<Spot<AuthFile>>,
    /// What may say who it is: only what both this and the route take. Without it: what the route takes.
    accept: Option<Spot<Vec<Source>>>,
    /// Any of these roles.
    roles: Option<Spot<Vec<String>>>,
    /// What somebody must have beside.
    require: Option<Spot<RequireFile>>,
}

/// Whether there is a gate, and what it says.
#[derive(Debug, Clone, Copy)]
pub(super) enum GateState<'e> {
    /// No `[gate]`.
    Absent,
    /// A `[gate]` that can't be used: nothing is said about it again.
    Broken,
    /// A `[gate]`.
    Present(&'e GateSettings),
}

/// What a route says of who may come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'f> {
    pub(super) auth: Option<&'f Spot<AuthFile>>,
    pub(super) accept: Option<&'f Spot<Vec<Source>>>,
    pub(super) roles: Option<&'f Spot<Vec<String>>>,
    pub(super) require: Option<&'f Spot<RequireFile>>,
    pub(super) csrf: Option<&'f Spot<CsrfFile>>,
    pub(super) report_only: bool,
    pub(super) forward_authorization: bool,
}

impl Written<'_> {
    /// Judges it.
    pub(super) fn settle(
        self,
        table: &Range<usize>,
        gate: GateState<'_>,
        report: &mut Report,
    ) -> Requirement {
        let auth = self.auth(table, gate, report);
        let (default_accept, groups) = match gate {
            GateState::Present(gate) => (gate.default_accept, gate.groups_claim.as_str()),
            GateState::Absent | GateState::Broken => (Accept::default(), GROUPS),
        };
        if let (Some(spot), true) = (
            self.accept,
            auth == Auth::None && !report.was_removed(table, "auth"),
        ) {
            report
                .error(
                    "accept-without-auth",
                    spot.span.clone(),
                    "`accept` says what may tell who it is, and nobody looks",
                )
                .hint("write `auth = \"required\"` or `\"optional\"`, or take `accept` out");
        }
        let needs = needs(self.roles, self.require, groups, report);
        if auth != Auth::Required && !report.was_removed(table, "auth") {
            self.needs_without_auth(report);
        }
        Requirement {
            auth,
            accept: accept(self.accept, report).unwrap_or(default_accept),
            needs,
            origins: self.csrf.map_or_else(Vec::new, |csrf| origins(csrf, report)),
            report_only: self.report_only,
            forward_authorization: self.forward_authorization,
        }
    }

    fn auth(self, table: &Range<usize>, gate: GateState<'_>, report: &mut Report) -> Auth {
        let written = self.auth.map(|auth| Auth::from(auth.value));
        let unsaid = match gate {
            GateState::Absent | GateState::Broken => Auth::None,
            GateState::Present(gate) => gate.default_auth.unwrap_or_else(|| {
                if written.is_none() && !report.was_removed(table, "auth") {
                    report
                        .error("missing-auth", table.clone(), "this route does not say whether someone must be signed in")
                        .hint("write `auth = \"none\"`, `\"optional\"` or `\"required\"`, or set `default_auth` under `[gate]`");
                }
                Auth::None
            }),
        };
        let auth = written.unwrap_or(unsaid);
        if let (GateState::Absent, Some(spot), true) = (gate, self.auth, auth != Auth::None) {
            report
                .error(
                    "no-gate",
                    spot.span.clone(),
                    "this route asks who someone is, but there is no `[gate]`",
                )
                .hint("the operator adds `[gate]` to `banyan.toml`");
        }
        auth
    }

    fn needs_without_auth(self, report: &mut Report) {
        let roles = self
            .roles
            .filter(|roles| !roles.value.is_empty())
            .map(|roles| ("roles", &roles.span));
        let require = self.require.map(|require| ("require", &require.span));
        for (key, span) in roles.into_iter().chain(require) {
            report
                .error(
                    "roles-without-auth",
                    span.clone(),
                    format!("`{key}` needs `auth = \"required\"`"),
                )
                .hint("someone who isn't signed in has no roles; write `auth = \"required\"`");
        }
    }
}

/// Judges the demands of `[gate]`.
pub(super) fn demands(written: &[Spot<DemandFile>], groups: &str, report: &mut Report) -> Vec<Demand> {
    if let Some(one) = written.get(DEMANDS_MAX) {
        report
            .error(
                "too-many-demands",
                one.span.clone(),
                format!("there are {} demands", written.len()),
            )
            .hint(format!(
                "at most {DEMANDS_MAX}; one prefix can stand for many paths"
            ));
    }
    written
        .iter()
        .filter_map(|demand| demand.value.settle(&demand.span, groups, report))
        .collect()
}

impl DemandFile {
    fn settle(&self, table: &Range<usize>, groups: &str, report: &mut Report) -> Option<Demand> {
        let auth = self
            .auth
            .as_ref()
            .map_or(Auth::Required, |auth| auth.value.into());
        if let (Some(spot), Auth::None) = (&self.auth, auth) {
            report
                .error("empty-demand", spot.span.clone(), "this demands nothing")
                .hint("write `\"required\"` or `\"optional\"`, or take the demand out: routes decide where none is");
        }
        let needs = needs(self.roles.as_ref(), self.require.as_ref(), groups, report);
        if let (Auth::Optional, false, Some(spot)) = (auth, needs.is_empty(), &self.auth) {
            report
                .error(
                    "roles-without-auth",
                    spot.span.clone(),
                    "what is demanded of somebody needs `auth = \"required\"`",
                )
                .hint("someone who isn't signed in has no roles; write `auth = \"required\"`");
        }
        let Some(path) = &self.path else {
            report.missing(
                table,
                "path",
                "name the part of the site, such as `path = \"/admin/*\"`",
            );
            return None;
        };
        if let Err(reason) = Demand::check_path(&path.value) {
            report
                .error(
                    "bad-path",
                    path.span.clone(),
                    format!("`{}` is no path of a demand: {reason}", path.value),
                )
                .hint("a path such as `/admin/*`; capitals, encoded slashes and `;x` make no difference");
            return None;
        }
        let everything = [Source::Session, Source::Bearer, Source::Legacy, Source::Key];
        Some(Demand {
            path: path.value.clone(),
            hosts: hosts(&self.hosts, report),
            requirement: Requirement {
                accept: accept(self.accept.as_ref(), report).unwrap_or_else(|| Accept::of(&everything)),
                needs,
                ..Requirement::of(auth)
            },
            place: report.place(table),
        })
    }
}

/// What a list of sources takes. `None`: it isn't there.
pub(super) fn accept(written: Option<&Spot<Vec<Source>>>, report: &mut Report) -> Option<Accept> {
    let written = written?;
    if written.value.is_empty() {
        report
            .error(
                "empty-accept",
                written.span.clone(),
                "an empty list would let nobody in",
            )
            .hint("name what may tell who it is: \"session\", \"bearer\", \"legacy\", \"key\"");
    }
    Some(Accept::of(&written.value))
}

fn needs(
    roles: Option<&Spot<Vec<String>>>,
    require: Option<&Spot<RequireFile>>,
    groups: &str,
    report: &mut Report,
) -> Vec<Need> {
    let mut needs = Vec::new();
    if let Some(roles) = roles {
        if roles.value.is_empty() {
            report
                .error(
                    "empty-roles",
                    roles.span.clone(),
                    "an empty list of roles would let nobody in, or everybody",
                )
                .hint("name the roles, or take `roles` out");
        }
        let names = roles.value.iter().map(|name| (name, &roles.span));
        needs.extend(need(
            What::Role,
            false,
            "roles",
            (&roles.span, names.collect()),
            report,
        ));
    }
    if let Some(require) = require {
        require.value.settle(&require.span, groups, &mut needs, report);
    }
    needs
}

impl RequireFile {
    fn settle(&self, table: &Range<usize>, groups: &str, needs: &mut Vec<Need>, report: &mut Report) {
        let before = needs.len();
        let group = || What::Group(groups.into());
        let lists = [
            ("all_roles", &self.all_roles, What::Role, true),
            ("groups", &self.groups, group(), false),
            ("all_groups", &self.all_groups, group(), true),
            ("scopes", &self.scopes, What::Scope, false),
            ("all_scopes", &self.all_scopes, What::Scope, true),
            ("acr", &self.acr, What::Acr, false),
        ];
        for (key, list, what, all) in lists {
            needs.extend(
                list.as_ref()
                    .and_then(|list| listed(what, all, key, list, report)),
            );
        }
        for (claim, values) in &self.claims {
            if claim.value.is_empty() {
                report
                    .error("bad-claim", claim.span.clone(), "a claim has a name")
                    .hint("the name, or a JSON pointer such as `/realm_access/level`");
            }
            needs.extend(listed(
                What::Claim((&*claim.value).into()),
                false,
                "claims",
                values,
                report,
            ));
        }
        if let Some(age) = &self.max_age {
            needs.push(Need {
                what: What::Age(age.value.0),
                all: false,
                names: Vec::new(),
                place: report.place(&age.span),
            });
        }
        if needs.len() == before {
            report
                .warning("unused-key", table.clone(), "`require` asks for nothing")
                .hint("name what somebody must have, such as `scopes = [\"orders:read\"]`, or take it out");
        }
    }
}

fn listed(what: What, all: bool, key: &str, list: &Spot<OneOrMany>, report: &mut Report) -> Option<Need> {
    if list.value.0.is_empty() {
        report
            .error(
                "empty-roles",
                list.span.clone(),
                format!("an empty list of `{key}` would let nobody in, or everybody"),
            )
            .hint(format!("name them, or take `{key}` out"));
        return None;
    }
    let names = list
        .value
        .0
        .iter()
        .map(|name| (&name.value, &name.span))
        .collect();
    need(what, all, key, (&list.span, names), report)
}

fn need(
    what: What,
    all: bool,
    key: &str,
    (span, written): (&Range<usize>, Vec<(&String, &Range<usize>)>),
    report: &mut Report,
) -> Option<Need> {
    if written.len() > NAMES_MAX {
        report
            .error(
                "too-many-names",
                span.clone(),
                format!("there are {} in `{key}`", written.len()),
            )
            .hint(format!("at most {NAMES_MAX}"));
    }
    // Scopes and kinds of sign-in are told in a challenge, between quotes and with spaces between them (RFC 6749 section 3.3).
    let told = matches!(what, What::Scope | What::Acr);
    for (name, span) in &written {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        let good = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && !name.chars().any(char::is_control)
            && (!told || name.bytes().all(plain));
        if !good {
            let hint = if told {
                "each is one word of visible ASCII without quotes and backslashes"
            } else {
                "each has 1 to 255 bytes and no control characters"
            };
            report
                .error(
                    "bad-name",
                    (*span).clone(),
                    format!("`{name}` can't be in `{key}`"),
                )
                .hint(hint);
        }
    }
    (!written.is_empty()).then(|| Need {
        what,
        all,
        names: written.into_iter().map(|(name, _)| name.clone()).collect(),
        place: report.place(span),
    })
}

fn origins(csrf: &Spot<CsrfFile>, report: &mut Report) -> Vec<Box<str>> {
    let Some(written) = &csrf.value.origins else {
        report.missing(
            &csrf.span,
            "origins",
            "name whose pages may, such as `origins = [\"https://partner.example.com\"]`",
        );
        return Vec::new();
    };
    if written.value.is_empty() || written.value.len() > ORIGINS_MAX {
        report
            .error(
                "bad-origins",
                written.span.clone(),
                format!("there are {} origins here", written.value.len()),
            )
            .hint(format!(
                "1 to {ORIGINS_MAX}, or take `csrf` out: then the site's own pages may"
            ));
    }
    let mut origins = Vec::with_capacity(written.value.len());
    for origin in &written.value {
        match Origin::parse(&origin.value) {
            Ok(Origin::Exact(text)) => origins.push(text),
            Ok(Origin::Any | Origin::Null | Origin::Below { .. }) => {
                report
                    .error(
                        "bad-origin",
                        origin.span.clone(),
                        format!("`{}` is no one's name", origin.value),
                    )
                    .hint("each site is named whole: whoever is meant by a wildcard could act for every visitor");
            }
            Err(reason) => {
                report
                    .error(
                        "bad-origin",
                        origin.span.clone(),
                        format!("`{}` is not an origin: {reason}", origin.value),
                    )
                    .hint("write it as a browser sends it, such as `https://partner.example.com`");
            }
        }
    }
    origins
}

/// Where the issuer lists groups (RFC 9068 section 2.2.3.1).
pub(super) const GROUPS: &str = "/groups";
