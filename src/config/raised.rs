//! Where a squad's file asks for less than the operator demands: the demand holds, and the squad is told.

use std::{collections::BTreeMap, sync::Arc};

use super::{claims, report::Report, routes::RoutePart, site::Site};
use crate::gate::{Auth, Demand};

/// Tells every route that lies within a demand and says less.
pub(super) fn judge(site: &Site, main: &str, reports: &mut BTreeMap<Arc<str>, Report>) {
    let gate = site
        .operator
        .as_ref()
        .and_then(|operator| operator.edge.gate.as_ref());
    let Some(gate) = gate.filter(|gate| !gate.demands.is_empty()) else {
        return;
    };
    for part in &site.squads {
        for route in &part.routes {
            for demand in gate.demands.iter().filter(|demand| is_within(route, demand)) {
                let Some(span) = reports
                    .get(main)
                    .map(|report| report.line_span(demand.place.line))
                else {
                    continue;
                };
                if let Some(report) = reports.get_mut(&part.file) {
                    tell(route, demand, (main, span), report);
                }
            }
        }
    }
}

fn is_within(route: &RoutePart, demand: &Demand) -> bool {
    let claim = &route.settings.claim;
    let hosts = demand.hosts.is_empty()
        || (!claim.hosts.is_empty() && claim.hosts.iter().all(|host| demand.hosts.contains(host)));
    hosts && claims::beyond(std::slice::from_ref(&demand.path), &claim.path).is_none()
}

fn tell(
    route: &RoutePart,
    demand: &Demand,
    (main, span): (&str, std::ops::Range<usize>),
    report: &mut Report,
) {
    let (own, demanded) = (&route.settings.requirement, &demand.requirement);
    let path = route.settings.claim.path.as_str();
    if own.auth < demanded.auth
        && let Some(auth) = &route.auth
    {
        let what = format!(
            "`{path}` asks for less than the operator demands at `{}`: the demand holds",
            demand.path
        );
        report
            .warning("raised-auth", auth.span.clone(), what)
            .related(main, span.clone(), "demanded here")
            .hint(match demanded.auth {
                Auth::Required => {
                    "write `auth = \"required\"`, or agree with the operator on a narrower demand"
                }
                Auth::Optional | Auth::None => {
                    "write `auth = \"optional\"`, or agree with the operator on a narrower demand"
                }
            });
    }
    let auth = own.auth.max(demanded.auth);
    if auth != Auth::None && own.accept.and(demanded.accept).is_empty() {
        let what = format!(
            "`{path}` takes {}, and the operator demands {} at `{}`: nobody could come in",
            own.accept, demanded.accept, demand.path
        );
        report
            .error("accepts-nothing", route.path.clone(), what)
            .related(main, span, "demanded here")
            .hint("name one of them in `accept`");
    }
}
