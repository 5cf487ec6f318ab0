//! Preflights: whether the request that a browser announces may be sent, by every route that may take it.

use super::{
    Rule, Snapshot,
    decide::{Ask, Judged, is_reserved, judged_host},
};
use crate::{
    policy::cors::{Allowed, Announced, Cors, Disallowed},
    route::{Probe, RouteId},
};

/// A preflight that Banyan answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preflight {
    /// The first route that may take the request to come.
    pub route: RouteId,
    /// What the browser is told.
    pub answer: Result<Allowed, Disallowed>,
}

impl Preflight {
    /// What the browser is told, in words.
    #[must_use]
    pub fn why(&self) -> String {
        match self.answer {
            Ok(_) => "a preflight: the request that it announces may be sent".to_owned(),
            Err(why) => format!("a preflight, without leave: {}", why.as_str()),
        }
    }
}

/// Judges a preflight. `None`: it is none, or it is about routes without `[routes.cors]`, so that it goes the way of every request.
///
/// A preflight comes without cookies and without the fields that the request will have. So all routes are asked that may take that
/// request, by its host, path, query and method, and it is allowed only as far as all of them allow it: the answer of one route
/// opens no other. No backend is asked and no credential looked at.
pub(super) fn judge(
    ask: &Ask<'_, '_>,
    query: Option<&str>,
    judged: &Judged<'_>,
    at: &Snapshot,
) -> Option<Preflight> {
    let announced = Announced::read(ask.method, ask.headers)?;
    if is_reserved(&judged.path) {
        return None;
    }
    let probe = Probe {
        host: judged_host(ask, at)?,
        method: &announced.method,
        path: &judged.path,
        query,
        headers: ask.headers,
    };
    let mut first = None;
    let mut edge_answers = false;
    let mut answer: Option<Result<Allowed, Disallowed>> = None;
    at.table.may_take(&probe, |route| {
        first.get_or_insert(route);
        let rule = at.rule(route);
        let refused = judged.only_lenient.is_some() && !rule.is_some_and(|rule| rule.allow_encoded_slash);
        let cors = rule.and_then(cors_of).filter(|_| !refused);
        edge_answers |= cors.is_some();
        let one = cors.map_or(Err(Disallowed::Elsewhere), |cors| cors.permit(&announced));
        answer = Some(match (answer, one) {
            (None, one) => one,
            (Some(Ok(before)), Ok(one)) => Ok(before.and(one)),
            (Some(Err(why)), _) | (Some(Ok(_)), Err(why)) => Err(why),
        });
    });
    let (route, answer) = first.zip(answer)?;
    edge_answers.then_some(Preflight { route, answer })
}

fn cors_of(rule: &Rule) -> Option<&Cors> {
    rule.policy.response.as_ref()?.cors.as_ref()
}
