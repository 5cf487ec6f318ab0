//! What a request must be before anyone is asked who they are: over https, by a method that is served; or it is sent elsewhere.

use http::{Method, StatusCode, Version};

use super::{
    Rule, Snapshot, admit,
    decide::{Ask, Stop},
};
use crate::{
    gate::Auth,
    policy::{
        Redirect,
        request::{self, Https, OverPlain},
    },
    route::RouteId,
};

/// Why no route takes a request that routes for `others` would have taken.
pub(super) fn unserved(others: &[Method]) -> Stop {
    if others.is_empty() {
        return Stop::NoRoute;
    }
    Stop::Method {
        route: None,
        status: StatusCode::METHOD_NOT_ALLOWED,
        allow: request::allow(others),
    }
}

/// Plain HTTP passes where a route allows it and asks nobody who they are; a request that no route takes is sent to https as well,
/// to be told so there.
pub(super) fn pass_plain(
    ask: &Ask<'_, '_>,
    version: Version,
    (found, path): (&Result<RouteId, Stop>, &str),
    at: &Snapshot,
) -> Result<(), Stop> {
    let route = match found {
        Ok(route) => Some(*route),
        Err(Stop::UnknownHost) => return Ok(()),
        Err(_) => None,
    };
    let https = route
        .and_then(|route| at.rule(route))
        .map_or(Https::Redirect, |rule| {
            over_plain(rule, admit::demanded(ask, path, at))
        });
    match https.over_plain(ask.method, version) {
        OverPlain::Passes => Ok(()),
        // a request may name no host (`Host: .`), so there is nowhere to send it
        OverPlain::Redirected(status) if !ask.host.is_empty() => Err(Stop::ToHttps { route, status }),
        OverPlain::Redirected(_) | OverPlain::Refused => Err(Stop::PlainHttp { route }),
    }
}

/// What a rule wants of plain HTTP. `config` refuses `allow` where someone must be known; if one came through, nobody passes: a
/// token that anyone on the way could read proves nothing. Nor where the operator demands someone, whatever the route says.
fn over_plain(rule: &Rule, demanded: Auth) -> Https {
    match (rule.policy.request.https, rule.requirement.auth.max(demanded)) {
        (Https::Allow, Auth::Optional | Auth::Required) => Https::Only,
        (https, _) => https,
    }
}

/// A method passes that the rule serves.
pub(super) fn pass_method(method: &Method, route: RouteId, rule: &Rule) -> Result<(), Stop> {
    match &rule.policy.request.methods {
        Some(allowed) if !allowed.allows(method) => Err(Stop::Method {
            route: Some(route),
            status: allowed.refused.status(),
            allow: request::allow(&allowed.methods),
        }),
        _ => Ok(()),
    }
}

/// The redirect of a route for this path and query.
pub(super) fn redirected(
    redirect: &Redirect,
    route: RouteId,
    path: &str,
    query: Option<&str>,
    at: &Snapshot,
) -> Stop {
    let params = at.table.params(route, path);
    match redirect.location(&params, query) {
        Ok(location) => Stop::Redirect {
            route,
            status: redirect.status(),
            location,
        },
        Err(ambiguous) => Stop::Ambiguous(ambiguous),
    }
}
