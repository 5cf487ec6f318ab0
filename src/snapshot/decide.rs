//! What happens to a request: one pure function for live traffic, `banyan explain`, the squads' tests and the admin API.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use http::{Method, StatusCode, Version};
use smallvec::SmallVec;

use super::{
    BackendId, Rule, Snapshot, Target, access, admit,
    entry::{pass_method, pass_plain, redirected, unserved},
    preflight::{self, Preflight},
    versions::OnVersion,
    visit::{self, Carried},
};
use crate::{
    clock::UnixTime,
    fields::Fields,
    flag::{self, Choice, FlagId, Person, Reason, Subject},
    gate::{Auth, Demand, Denied, Identity, TokenMemory},
    policy::{Redirect, access::Barred, signed::Granted},
    route::{
        self, Probe, RouteId,
        target::{self, Ambiguous, EncodedSlash},
    },
    visitor::{SeenState, Visitor},
};

/// What is asked: a request's head and where it came in.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'h, 't> {
    /// Where it came in.
    pub entrance: Entrance,
    /// Its method.
    pub method: &'h Method,
    /// The host it names: lower case, no port.
    pub host: &'h str,
    /// Path and query as received.
    pub target: &'t str,
    /// Its fields.
    pub headers: &'h Fields,
    /// Whose it is, as trusted proxies say. `None`: nobody said (explain and tests).
    pub client: Option<IpAddr>,
    /// Who signed it.
    pub credential: Credential<'h>,
    /// 128 random bits for a visitor who has no cookie yet.
    pub entropy: [u8; 16],
}

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// From a browser, over TLS: visitors get cookies.
    Public,
    /// From a browser, over plain HTTP of this version: only routes that say so serve it, nobody is known by a cookie or a token, and
    /// no cookie is set.
    Plain(Version),
    /// From a backend, inside the network: cookies are read, never set; any host will do.
    Private,
}

/// Who signed a request.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// Its own fields tell; verified tokens are remembered here.
    Fields(&'a TokenMemory),
    /// As [`Credential::Fields`], after what had to be asked was asked: what is not known now stays unknown.
    Asked(&'a TokenMemory),
    /// Explain and tests: as if this identity had been verified, or nobody.
    Pretend(Option<&'a Arc<Identity>>),
}

/// What happens to a request that is let through.
#[derive(Debug)]
pub struct Decision<'a> {
    /// The path that was judged, and that is forwarded unless the route has another one forwarded.
    pub path: Cow<'a, str>,
    /// The path that the route has forwarded instead.
    pub forwarded: Option<String>,
    /// The query as received, without `?`.
    pub query: Option<&'a str>,
    /// The route that takes it.
    pub route: RouteId,
    /// What its visitor cookie was.
    pub seen: SeenState,
    /// Who is asking, if known or just made known.
    pub visitor: Option<Visitor>,
    /// The answer sets the visitor's cookie.
    pub set_cookie: bool,
    /// Who is signed in.
    pub identity: Option<Arc<Identity>>,
    /// What was asked of them: the route's word, or the operator's where that asks for more.
    pub auth: Auth,
    /// Why the gate would have denied it, were the route not `report_only`.
    pub would_deny: Option<Denied>,
    /// What each flag of the route says, the one that picks the backend first.
    pub choices: Choices,
    /// Where it goes.
    pub backend: BackendId,
    /// The version of it, where its servers are listed by version.
    pub version: Option<OnVersion>,
    /// What the browser carries beside the visitor cookie, and shall carry on.
    pub carried: Carried,
}

/// A decision that has let go of the request.
#[derive(Debug)]
pub struct Settled {
    /// The target to forward, where it is another one than was received: what was judged is what is forwarded.
    pub target: Option<String>,
    /// See [`Decision::visitor`].
    pub visitor: Option<Visitor>,
    /// See [`Decision::set_cookie`].
    pub set_cookie: bool,
    /// See [`Decision::identity`].
    pub identity: Option<Arc<Identity>>,
    /// See [`Decision::auth`].
    pub auth: Auth,
    /// See [`Decision::choices`].
    pub choices: Choices,
    /// See [`Decision::backend`].
    pub backend: BackendId,
    /// See [`Decision::version`].
    pub version: Option<OnVersion>,
    /// See [`Decision::carried`].
    pub carried: Carried,
}

impl Decision<'_> {
    /// Lets go of the request that was judged, so that it can be rewritten.
    #[must_use]
    pub fn settle(self) -> Settled {
        let path = self.forwarded.map_or(self.path, Cow::Owned);
        let target = match (path, self.query) {
            (Cow::Borrowed(_), _) => None,
            (Cow::Owned(path), None) => Some(path),
            (Cow::Owned(path), Some(query)) => Some(format!("{path}?{query}")),
        };
        Settled {
            target,
            visitor: self.visitor,
            set_cookie: self.set_cookie,
            identity: self.identity,
            auth: self.auth,
            choices: self.choices,
            backend: self.backend,
            version: self.version,
            carried: self.carried,
        }
    }
}

impl Decision<'_> {
    /// Whether an override link decided any of its flags.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        is_forced(&self.choices)
    }
}

/// Whether an override link decided any of them.
#[must_use]
pub fn is_forced(choices: &Choices) -> bool {
    let mut reasons = choices.iter().map(|(_, choice)| choice.reason);
    reasons.any(|reason| reason == Reason::Override)
}

/// Flags of a route with what they say.
pub type Choices = SmallVec<[(FlagId, Choice); 2]>;

/// Why a request is not let through to a backend.
#[derive(Debug)]
pub enum Stop {
    /// Its path can be read in two ways.
    Ambiguous(Ambiguous),
    /// Its host is none of ours.
    UnknownHost,
    /// No route takes it.
    NoRoute,
    /// It came over plain HTTP: the same address on https is asked for.
    ToHttps {
        /// The route that took it, if one did.
        route: Option<RouteId>,
        /// 301, or 307 for methods that must stay what they are.
        status: StatusCode,
    },
    /// It came over plain HTTP, and is not sent on to https either.
    PlainHttp {
        /// The route that took it, if one did.
        route: Option<RouteId>,
    },
    /// It is asked for by a method that is not served there.
    Method {
        /// The route that took it, to refuse the method; `None`: other methods would have found a route.
        route: Option<RouteId>,
        /// 405, or 403.
        status: StatusCode,
        /// The value of `Allow`.
        allow: String,
    },
    /// Its route redirects.
    Redirect {
        /// The route that took it.
        route: RouteId,
        /// One of 301, 302, 303, 307, 308.
        status: StatusCode,
        /// Where to.
        location: String,
    },
    /// It bears no signature that counts, or comes from a country that the route is not for.
    Barred {
        /// The route that took it.
        route: RouteId,
        /// Why.
        why: Barred,
    },
    /// The gate says no.
    Denied {
        /// The route that took it.
        route: RouteId,
        /// Why.
        denied: Denied,
    },
    /// It only asks whether a script may send another request, and Banyan answers that.
    Preflight(Preflight),
}

impl Stop {
    /// The route that took the request, if it came that far.
    #[must_use]
    pub const fn route(&self) -> Option<RouteId> {
        match self {
            Self::Ambiguous(_) | Self::UnknownHost | Self::NoRoute => None,
            Self::ToHttps { route, .. } | Self::PlainHttp { route } | Self::Method { route, .. } => *route,
            Self::Redirect { route, .. } | Self::Barred { route, .. } | Self::Denied { route, .. } => {
                Some(*route)
            }
            Self::Preflight(preflight) => Some(preflight.route),
        }
    }
}

/// Who is told about each step. Live traffic tells nobody, at no cost; explain writes it down.
pub trait Trail<'s>: route::Watch<'s> + flag::Watch {
    /// The path as it was judged.
    fn normalised(&mut self, _path: &str) {}
    /// The route that takes it.
    fn took(&mut self, _route: RouteId) {}
    /// The signature that the route asks for.
    fn signed(&mut self, _granted: &Granted<'_>) {}
    /// What the operator demands there.
    fn demanded(&mut self, _demand: &'s Demand) {}
    /// What the gate said.
    fn passed_gate(&mut self, _identity: Option<&Identity>) {}
    /// What the visitor cookie was.
    fn saw(&mut self, _state: SeenState, _minted: bool) {}
    /// A flag is about to be asked.
    fn asks(&mut self, _flag: FlagId) {}
    /// A flag has answered.
    fn chose(&mut self, _flag: FlagId, _choice: &Choice) {}
}

/// Tells nobody.
impl Trail<'_> for () {}

/// Decides what happens to a request.
///
/// # Errors
/// [`Stop`] says why it is not let through.
pub fn decide<'s, 't, T: Trail<'s>>(
    ask: &Ask<'_, 't>,
    now: UnixTime,
    at: &'s Snapshot,
    trail: &mut T,
) -> Result<Decision<'t>, Stop> {
    let (path, query) = target::split_target(ask.target);
    let judged = normalise(path, at)?;
    trail.normalised(&judged.path);
    let found = find(ask, query, &judged, at, trail);
    if let Ok(route) = found {
        trail.took(route);
    }
    if let Entrance::Plain(version) = ask.entrance {
        pass_plain(ask, version, (&found, &judged.path), at)?;
    }
    if let Some(preflight) = preflight::judge(ask, query, &judged, at) {
        trail.took(preflight.route);
        return Err(Stop::Preflight(preflight));
    }
    let route = found?;
    let Some(rule) = at.rule(route) else {
        return Err(Stop::NoRoute);
    };
    pass_method(ask.method, route, rule)?;
    if let (Some(ambiguous), false) = (judged.only_lenient, rule.allow_encoded_slash) {
        return Err(Stop::Ambiguous(ambiguous));
    }
    access::pass(ask, now, (rule, &judged.path), at, trail).map_err(|why| Stop::Barred { route, why })?;
    let admitted = admit::pass(ask, now, (rule, &judged.path), at, trail)
        .map_err(|denied| Stop::Denied { route, denied })?;
    let identity = admitted.identity;
    trail.passed_gate(identity.as_deref());
    let visit = visit::meet(ask, now, rule, identity.as_deref(), at);
    let (seen, visitor, set_cookie) = (visit.seen, visit.visitor, visit.set_cookie);
    trail.saw(seen, set_cookie);
    let subject = Subject {
        visitor: visitor.as_ref().map(Visitor::id),
        person: identity.as_deref().map(person),
        host: ask.host,
        path: &judged.path,
        query,
        method: ask.method,
        headers: ask.headers,
        now,
        forced: visit.carried.forced.as_ref(),
        pins: (!visit.pins.is_empty()).then_some(&visit.pins),
        given: None,
    };
    let choices = choose(rule, &subject, at, trail);
    let led = lead(&rule.target, choices.first())
        .map_err(|redirect| redirected(redirect, route, &judged.path, query, at))?;
    let (backend, version) = at.on_version(led, ask, (&judged.path, query), visitor.as_ref(), now);
    Ok(Decision {
        forwarded: rule.policy.request.path.apply(&judged.path),
        path: judged.path,
        query,
        route,
        seen,
        visitor,
        set_cookie,
        identity,
        auth: admitted.auth,
        would_deny: admitted.would_deny,
        carried: visit.carry_on(ask, &choices, at),
        choices,
        backend,
        version,
    })
}

/// `/.banyan/…` is Banyan's own on every host: no route takes it, and what isn't there is not there.
pub(super) fn is_reserved(path: &str) -> bool {
    path.strip_prefix("/.banyan")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path in canonical form, and why it is only acceptable to a route that opts in, if so.
pub(super) struct Judged<'a> {
    pub(super) path: Cow<'a, str>,
    pub(super) only_lenient: Option<Ambiguous>,
}

/// Encoded slashes and backslashes are the one ambiguity that a route may opt into, so the path is read leniently if any route does.
pub(super) fn normalise<'a>(path: &'a str, at: &Snapshot) -> Result<Judged<'a>, Stop> {
    match target::canonical(path, EncodedSlash::Refuse) {
        Ok(path) => Ok(Judged {
            path,
            only_lenient: None,
        }),
        Err(ambiguous @ (Ambiguous::EncodedSlash | Ambiguous::EncodedBackslash))
            if at.rules.iter().any(|rule| rule.allow_encoded_slash) =>
        {
            let path = target::canonical(path, EncodedSlash::Keep).map_err(Stop::Ambiguous)?;
            Ok(Judged {
                path,
                only_lenient: Some(ambiguous),
            })
        }
        Err(ambiguous) => Err(Stop::Ambiguous(ambiguous)),
    }
}

/// The host that routes are looked up for. `None`: the edge does not answer for the one that is asked.
pub(super) fn judged_host<'a>(ask: &Ask<'a, '_>, at: &'a Snapshot) -> Option<&'a str> {
    match (at.answers_for(ask.host), ask.entrance) {
        (true, _) => Some(ask.host),
        (false, Entrance::Private) => Some(at.hosts.first().map_or(ask.host, String::as_str)),
        (false, Entrance::Public | Entrance::Plain(_)) => None,
    }
}

fn find<'s, T: Trail<'s>>(
    ask: &Ask<'_, '_>,
    query: Option<&str>,
    judged: &Judged<'_>,
    at: &'s Snapshot,
    trail: &mut T,
) -> Result<RouteId, Stop> {
    let host = judged_host(ask, at).ok_or(Stop::UnknownHost)?;
    if is_reserved(&judged.path) {
        return Err(Stop::NoRoute);
    }
    let probe = Probe {
        host,
        method: ask.method,
        path: &judged.path,
        query,
        headers: ask.headers,
    };
    match at.table.find_watched(&probe, trail) {
        Some(found) => Ok(found.route),
        None => Err(unserved(&at.table.other_methods(&probe))),
    }
}

fn person(identity: &Identity) -> Person<'_> {
    Person {
        id: &identity.subject,
        roles: &identity.roles,
        claims: Some(&identity.claims),
    }
}

fn choose<'s, T: Trail<'s>>(rule: &Rule, subject: &Subject<'_>, at: &Snapshot, trail: &mut T) -> Choices {
    let mut choices = Choices::with_capacity(rule.flags.len());
    for id in &rule.flags {
        trail.asks(*id);
        let choice = at.flags.decide(*id, subject, trail);
        trail.chose(*id, &choice);
        choices.push((*id, choice));
    }
    choices
}

/// The backend that a target leads to, or the redirect that it is.
fn lead<'t>(target: &'t Target, first: Option<&(FlagId, Choice)>) -> Result<BackendId, &'t Redirect> {
    match target {
        Target::Backend(backend) => Ok(*backend),
        Target::Variants {
            by_variant,
            otherwise,
        } => {
            let variant = first.and_then(|(_, choice)| choice.variant);
            Ok(variant
                .and_then(|at| by_variant.get(at.get()).copied())
                .unwrap_or(*otherwise))
        }
        Target::Redirect(redirect) => Err(redirect),
    }
}
