//! Once a second, on the control plane: who stands apart from their fellows is taken out, and who did well is forgiven.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Backend, Server,
    eject::{Window, outliers},
    gauge::Counts,
};

/// How long a server must be in use for one of its strikes to be forgiven, as a multiple of its backend's longest pause.
const FORGIVEN_AFTER: u32 = 2;

/// What live traffic told, second by second. Bounded by the number of servers and their windows.
#[derive(Debug, Default)]
pub struct Judge {
    servers: HashMap<u64, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    before: Counts,
    window: Window,
    /// For the breaker of its whole backend.
    whole: Window,
    forgiven: Option<Instant>,
}

impl Judge {
    /// Looks at all servers of `backends`. To be called each second.
    pub fn look(&mut self, backends: &[Arc<Backend>], now: Instant) {
        let mut before = std::mem::take(&mut self.servers);
        for backend in backends {
            let roster = backend.roster();
            let mut counts = Vec::with_capacity(roster.servers.len());
            for server in &roster.servers {
                let mut seen = before.remove(&server.id).unwrap_or_default();
                counts.push(seen.look(backend, server, now));
                self.servers.insert(server.id, seen);
            }
            for (at, reason) in outliers(&counts, &backend.settings.eject) {
                if let Some(server) = roster.servers.get(at)
                    && let Some(pause) = server.vitals.breaker.open(now, &backend.settings.eject.terms)
                {
                    server.vitals.ejected(reason);
                    backend.tell_ejected(server, reason, pause);
                    self.begin_anew(server);
                }
            }
            self.judge_whole(backend, &roster.servers, now);
        }
    }

    fn begin_anew(&mut self, server: &Server) {
        if let Some(seen) = self.servers.get_mut(&server.id) {
            seen.window.clear();
        }
    }

    fn judge_whole(&mut self, backend: &Backend, servers: &[Arc<Server>], now: Instant) {
        let Some(breaker) = &backend.settings.breaker else {
            return;
        };
        let all = servers.iter().filter_map(|server| self.servers.get(&server.id));
        let all = all.fold(Counts::default(), |all, seen| all.plus(seen.whole.sum()));
        let asked = all.good + all.bad;
        let share = 100.0 * all.bad as f64 / (asked as f64).max(1.0);
        if asked >= breaker.requests.max(1) && share >= breaker.error_share {
            backend.state.open(&backend.settings, now);
        }
        if !backend.state.breaker.get().is_closed() {
            for server in servers {
                if let Some(seen) = self.servers.get_mut(&server.id) {
                    seen.whole.clear();
                }
            }
        }
    }
}

impl Seen {
    /// What the server did within its window; `None`: it is out.
    fn look(&mut self, backend: &Backend, server: &Server, now: Instant) -> Option<Counts> {
        let totals = server.vitals.totals();
        let second = totals.since(self.before);
        self.before = totals;
        if let Some(breaker) = &backend.settings.breaker {
            self.whole.push(second, breaker.window);
        }
        let eject = &backend.settings.eject;
        let breaker = &server.vitals.breaker;
        if !breaker.get().is_closed() {
            self.window.clear();
            self.forgiven = Some(now);
            return None;
        }
        let rest: Duration = eject.terms.pause_max * FORGIVEN_AFTER;
        let since = *self.forgiven.get_or_insert(now);
        if now.saturating_duration_since(since) >= rest {
            self.forgiven = Some(now);
            breaker.forgive();
            backend.state.breaker.forgive();
        }
        self.window.push(second, eject.window);
        Some(self.window.sum())
    }
}
