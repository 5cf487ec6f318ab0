//! Tells metrics how backends and their servers are.

use std::sync::Arc;

use crate::{
    backend::{Backend, server::How},
    observe::metrics::{BackendFacts, Facts, ServerFacts},
};

/// Tells `facts` of all servers of `backends`. To be called each second.
pub(super) fn tell(facts: &Facts, backends: &[Arc<Backend>]) {
    let all = backends.iter().map(|backend| BackendFacts {
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
}
