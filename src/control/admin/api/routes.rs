//! Effective routes, in the order in which they are tried.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::{answer::Answer, endpoints::Asked, refusal::Refusal};
use crate::{
    control::plane::View,
    gate::Auth,
    route::{Conditions, PathRule, ValueTest},
    snapshot::{BackendId, Rule, Snapshot, Target},
};

/// Effective routes.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Routes {
    /// Version of the snapshot in force.
    version: u64,
    /// The first that takes a request gets it.
    routes: Vec<Route>,
}

/// A route.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Route {
    /// Its place in the order of trial, from 1.
    pub(in super::super) trial: usize,
    /// Its path or pattern as written.
    pub(in super::super) path: String,
    /// `path` (`{name}` is one segment, a last `/*` the rest) or `pattern` (CloudFront's wildcards).
    pub(in super::super) kind: String,
    /// Its `order`, if it has one: those are tried before all others.
    pub(in super::super) order: Option<i32>,
    /// Hosts that it wants; none: every host of the edge.
    pub(in super::super) hosts: Vec<String>,
    /// What else must hold, in words, one for each condition.
    pub(in super::super) conditions: Vec<String>,
    /// Whose it is.
    pub(in super::super) squad: String,
    /// Where it is written.
    pub(in super::super) place: String,
    /// Where it leads.
    pub(in super::super) target: Leads,
    /// `none`, `optional` or `required`.
    pub(in super::super) auth: String,
    /// Roles of which one is asked for.
    pub(in super::super) roles: Vec<String>,
    /// Everything that is asked of who comes, in words. The operator may demand more.
    pub(in super::super) asks: Vec<String>,
    /// Flags whose decisions its backend is told.
    pub(in super::super) flags: Vec<String>,
    /// Paths with `%2F` and `%5C` are let through as they are.
    pub(in super::super) allow_encoded_slash: bool,
    /// What it says of requests, in words, one for each: https, methods, the path that is forwarded.
    pub(in super::super) says: Vec<String>,
}

/// Where a route leads: to a backend, where a flag's variant says, or elsewhere by a redirect.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Leads {
    /// The backend, if no flag decides; else where a flag that gives no variant leads.
    pub(in super::super) backend: Option<String>,
    /// The redirect that it answers instead: status and address as it is written.
    pub(in super::super) redirect: Option<String>,
    /// The flag that decides.
    pub(in super::super) flag: Option<String>,
    /// Which backend each of its variants means.
    pub(in super::super) variants: Vec<VariantLeads>,
    /// Who is asked when the backend fails.
    pub(in super::super) failover: Option<FailsOver>,
}

/// Who is asked when a route's backend fails.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct FailsOver {
    /// The second backend.
    pub(in super::super) backend: String,
    /// Answers of the first that count as a failure, beside no answer at all.
    pub(in super::super) on: Vec<u16>,
    /// The budget, where it is a fallback.
    pub(in super::super) budget: Option<String>,
}

/// Where a variant leads.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct VariantLeads {
    /// The variant.
    pub(in super::super) variant: String,
    /// The backend.
    pub(in super::super) backend: String,
}

/// `GET /api/routes`.
pub(in super::super) fn answer(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    Answer::json(
        at.version,
        &Routes {
            version: at.version,
            routes: all(&at),
        },
    )
}

/// All routes in the order of trial.
pub(in super::super) fn all(at: &Snapshot) -> Vec<Route> {
    let rules = at
        .table
        .in_order_of_trial()
        .into_iter()
        .filter_map(|route| at.rule(route));
    (1..)
        .zip(rules)
        .map(|(trial, rule)| Route::of(trial, rule, at))
        .collect()
}

/// Backends that a rule can lead to, each once.
pub(super) fn reached(rule: &Rule) -> Vec<BackendId> {
    let mut reached = match &rule.target {
        Target::Backend(backend) => vec![*backend],
        Target::Variants {
            by_variant,
            otherwise,
        } => by_variant.iter().chain([otherwise]).copied().collect(),
        Target::Redirect(_) => Vec::new(),
    };
    reached.extend(rule.standby);
    reached.sort_unstable();
    reached.dedup();
    reached
}

impl Route {
    fn of(trial: usize, rule: &Rule, at: &Snapshot) -> Self {
        let kind = match rule.claim.path {
            PathRule::Template(_) => "path",
            PathRule::Pattern(_) => "pattern",
        };
        let flags = rule
            .flags
            .iter()
            .filter_map(|id| at.flags.get(*id))
            .map(|flag| flag.key().to_string());
        Self {
            trial,
            path: rule.name.to_string(),
            kind: kind.to_owned(),
            order: rule.claim.order,
            hosts: rule.claim.hosts.clone(),
            conditions: in_words(&rule.claim.conditions),
            squad: rule.squad.to_string(),
            place: rule.place().to_string(),
            target: Leads::of(rule, at),
            auth: auth(rule.requirement.auth).to_owned(),
            roles: rule.requirement.roles().cloned().collect(),
            asks: rule.requirement.in_words(),
            flags: flags.collect(),
            allow_encoded_slash: rule.allow_encoded_slash,
            says: rule.policy.request.in_words(),
        }
    }
}

impl Leads {
    fn of(rule: &Rule, at: &Snapshot) -> Self {
        let name = |id: BackendId| {
            at.backend(id)
                .map(|backend| backend.settings.name.to_string())
                .unwrap_or_default()
        };
        let failover = rule.standby.zip(rule.policy.failover.as_ref());
        let failover = failover.map(|(standby, failover)| FailsOver {
            backend: name(standby),
            on: failover.on.iter().collect(),
            budget: failover.fallback.map(|terms| terms.to_string()),
        });
        match &rule.target {
            Target::Backend(backend) => Self {
                backend: Some(name(*backend)),
                redirect: None,
                flag: None,
                variants: Vec::new(),
                failover,
            },
            Target::Redirect(redirect) => Self {
                backend: None,
                redirect: Some(redirect.to_string()),
                flag: None,
                variants: Vec::new(),
                failover,
            },
            Target::Variants {
                by_variant,
                otherwise,
            } => {
                let flag = rule.flags.first().and_then(|id| at.flags.get(*id));
                let variants = flag.map(crate::flag::Flag::variants).unwrap_or_default();
                let pair = |(variant, backend): (&crate::name::VariantName, &BackendId)| VariantLeads {
                    variant: variant.to_string(),
                    backend: name(*backend),
                };
                Self {
                    backend: Some(name(*otherwise)),
                    redirect: None,
                    flag: flag.map(|flag| flag.key().to_string()),
                    variants: variants.iter().zip(by_variant).map(pair).collect(),
                    failover,
                }
            }
        }
    }
}

const fn auth(auth: Auth) -> &'static str {
    match auth {
        Auth::None => "none",
        Auth::Optional => "optional",
        Auth::Required => "required",
    }
}

fn in_words(conditions: &Conditions) -> Vec<String> {
    let methods: Vec<&str> = conditions.methods.iter().map(http::Method::as_str).collect();
    let methods = (!methods.is_empty()).then(|| format!("method {}", methods.join(", ")));
    let headers = conditions
        .headers
        .iter()
        .map(|(name, test)| format!("header {name} {}", test_in_words(test)));
    let query = conditions
        .query
        .iter()
        .map(|(name, test)| format!("query {name} {}", test_in_words(test)));
    let cookies = conditions
        .cookies
        .iter()
        .map(|(name, test)| format!("cookie {name} {}", test_in_words(test)));
    methods
        .into_iter()
        .chain(headers)
        .chain(query)
        .chain(cookies)
        .collect()
}

fn test_in_words(test: &ValueTest) -> String {
    match test {
        ValueTest::Present => "is there".to_owned(),
        ValueTest::Absent => "is not there".to_owned(),
        ValueTest::Like(wanted) => format!("= {wanted}"),
        ValueTest::OneOf(list) => format!("= {}", list.join(" or ")),
    }
}
