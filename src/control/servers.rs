//! Tells metrics how backends and their servers are, and how full.

use crate::{
    backend::server::How,
    observe::metrics::{BackendFacts, Facts, ServerFacts},
    snapshot::Snapshot,
};

/// Tells `facts` of all servers in `at`. To be called each second.
pub(super) fn tell(facts: &Facts, at: &Snapshot) {
    let all = at.backends.iter().map(|backend| BackendFacts {
        name: backend.settings.name.to_string(),
        breaker: backend.settings.breaker.as_ref().map(|_| {
            let breaker = &backend.state.breaker;
            (!breaker.get().is_closed(), backend.state.openings())
        }),
        servers: backend
            .roster()
            .servers
            .iter()
            .map(|server| {
                let vitals = &server.vitals;
                ServerFacts {
                    label: server.label.to_string(),
                    healthy: server.takes_traffic(),
                    ejected: matches!(server.how(), How::Ejected(..) | How::Tried),
                    in_flight: vitals.in_flight(),
                    latency: vitals.latency(),
                    picks: vitals.totals().picks,
                    ejections: vitals
                        .ejections()
                        .map(|(reason, count)| (reason.as_str(), count))
                        .collect(),
                }
            })
            .collect(),
    });
    facts.backends(&all.collect::<Vec<_>>());
    let bulkheads = at.bulkheads();
    let each = bulkheads.iter().flat_map(|((kind, name), bounds)| {
        bounds
            .iter()
            .map(move |(what, used, max)| ([*kind, &**name, *what], *used, *max))
    });
    facts.bulkheads(&each.collect::<Vec<_>>());
}
