//! Which page is shown instead of an error, and who is asked for it: for traffic, `banyan explain` and `banyan check`.

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Rule, Snapshot,
    decide::{Ask, Credential, Entrance, Stop, decide},
    prove::Failure,
};
use crate::{
    clock::UnixTime,
    fields::Fields,
    policy::errors::{ErrorPage, ErrorPages, Shows},
    route::RouteId,
};

/// A page that a browser is shown instead of errors.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Shown {
    /// Statuses of the errors.
    pub status: Vec<u16>,
    /// What is shown.
    pub shows: String,
    /// What the client is told, where that is not the error's own status.
    pub answer_status: Option<u16>,
    /// File and line.
    pub place: String,
}

impl Snapshot {
    /// The page that is shown instead of an error with `status`: the route's come before the site's.
    #[must_use]
    pub fn error_page(&self, route: Option<RouteId>, status: StatusCode) -> Option<&ErrorPage> {
        let own = self.error_pages_of(route).and_then(|pages| pages.find(status));
        own.or_else(|| self.errors.find(status))
    }

    /// Whether an error on `route` may be shown as a page at all.
    #[must_use]
    pub fn has_error_pages(&self, route: Option<RouteId>) -> bool {
        !self.errors.is_empty() || self.error_pages_of(route).is_some_and(|pages| !pages.is_empty())
    }

    fn error_pages_of(&self, route: Option<RouteId>) -> Option<&ErrorPages> {
        Some(&self.rule(route?)?.policy.errors)
    }
}

/// All pages that may be shown for errors on `rule`, in the order in which they are looked at.
pub(super) fn shown(rule: Option<&Rule>, host: &str, now: UnixTime, at: &Snapshot) -> Vec<Shown> {
    let own = rule.into_iter().flat_map(|rule| rule.policy.errors.iter());
    own.chain(at.errors.iter())
        .map(|page| Shown {
            status: page.statuses.iter().map(StatusCode::as_u16).collect(),
            shows: match &page.shows {
                Shows::File(file) => format!("file {}", file.name),
                Shows::Page(target) => match taker(target, host, now, at) {
                    Ok(rule) => format!("page {target}, by route {}", rule.name),
                    Err(why) => format!("page {target}, which fails: {why}"),
                },
            },
            answer_status: page.answer_status.map(|status| status.as_u16()),
            place: page.place.to_string(),
        })
        .collect()
}

/// Pages that can never be shown since nobody answers for their path.
#[must_use]
pub fn out_of_reach(now: UnixTime, at: &Snapshot) -> Vec<Failure> {
    let first = at.hosts.first().map_or("localhost", String::as_str);
    let of_rules = at.rules.iter().flat_map(|rule| {
        let host = rule.claim.hosts.first().map_or(first, String::as_str);
        rule.policy.errors.iter().map(move |page| (page, host))
    });
    of_rules
        .chain(at.errors.iter().map(|page| (page, first)))
        .filter_map(|(page, host)| {
            let Shows::Page(target) = &page.shows else {
                return None;
            };
            let why = taker(target, &host.replace('*', "any"), now, at).err()?;
            Some(Failure {
                place: page.place.clone(),
                what: format!("the error page {target} is never shown: {why}"),
                hint: "lead a route there that everybody may ask, or name a `file`".to_owned(),
                switched_off: true,
            })
        })
        .collect()
}

/// The route that is asked for a page, as nobody.
fn taker<'s>(target: &str, host: &str, now: UnixTime, at: &'s Snapshot) -> Result<&'s Rule, String> {
    let ask = Ask {
        entrance: Entrance::Public,
        method: &Method::GET,
        host,
        target,
        client: None,
        headers: &Fields::new(),
        credential: Credential::Pretend(None),
        entropy: [0; 16],
    };
    match decide(&ask, now, at, &mut ()) {
        Ok(decision) => at
            .rule(decision.route)
            .ok_or_else(|| "no route takes it".to_owned()),
        Err(Stop::Denied { denied, .. }) => Err(denied.to_string()),
        Err(Stop::Barred { why, .. }) => Err(why.to_string()),
        Err(Stop::Ambiguous(ambiguous)) => Err(ambiguous.to_string()),
        Err(Stop::UnknownHost) => Err("the host is none of `hosts`".to_owned()),
        Err(Stop::NoRoute | Stop::Preflight(_)) => Err("no route takes it".to_owned()),
        Err(Stop::Method { .. }) => Err("GET is not served there".to_owned()),
        Err(Stop::Redirect { .. }) => Err("its route redirects".to_owned()),
        Err(Stop::ToHttps { .. } | Stop::PlainHttp { .. }) => Err("it is served over https only".to_owned()),
    }
}
