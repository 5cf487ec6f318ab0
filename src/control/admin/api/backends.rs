//! Backends, their servers, and how those are.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{answer::Answer, endpoints::Asked, refusal::Refusal},
    RouteName, millis, routes,
};
use crate::{
    backend::{self, BackendSettings, HealthSettings, wording::HostNamed},
    control::plane::View,
    snapshot::{BackendId, Snapshot},
};

/// All backends.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Backends {
    /// Version of the snapshot in force.
    version: u64,
    /// By name.
    backends: Vec<Backend>,
}

/// A backend.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Backend {
    /// Its name.
    pub(in super::super) name: String,
    /// Who runs it.
    pub(in super::super) squad: String,
    /// Where it is written.
    pub(in super::super) place: String,
    /// Its servers.
    pub(in super::super) servers: Vec<Server>,
    /// What is put in front of paths.
    pub(in super::super) path: Option<String>,
    /// The host that requests name: `visitor` (what the visitor asked for), `server` (the server's own) or a name.
    pub(in super::super) host: String,
    /// Names of the fields that requests always bear. Their values are secrets.
    pub(in super::super) headers: Vec<String>,
    /// How they are checked; none: they are not.
    pub(in super::super) checks: Option<Checks>,
    /// How long it may take, and how much it is asked to bear.
    pub(in super::super) limits: Limits,
    /// Routes that can lead to it.
    pub(in super::super) routes: Vec<RouteName>,
}

/// A server.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Server {
    /// Where it is.
    pub(in super::super) address: String,
    /// `healthy`, `unhealthy`, or `unknown` before the first check.
    pub(in super::super) health: String,
    /// The last check in words; empty before the first.
    pub(in super::super) last_check: String,
    /// Checks let traffic go there.
    pub(in super::super) takes_traffic: bool,
    /// Connections open to it, over all cores.
    pub(in super::super) connections: usize,
}

/// How servers are checked.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Checks {
    /// Path asked with GET.
    pub(in super::super) path: String,
    /// Time between two checks.
    pub(in super::super) interval_ms: u64,
    /// Time for one check.
    pub(in super::super) timeout_ms: u64,
    /// Good checks in a row that bring a server back.
    pub(in super::super) healthy_after: u32,
    /// Bad checks in a row that take it out.
    pub(in super::super) unhealthy_after: u32,
    /// First status that is good.
    pub(in super::super) status_from: u16,
    /// Last status that is good.
    pub(in super::super) status_to: u16,
}

/// How long a backend may take, and how much it is asked to bear.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Limits {
    /// Time to connect.
    pub(in super::super) connect_timeout_ms: u64,
    /// From the request's end to the answer's head.
    pub(in super::super) first_byte_timeout_ms: u64,
    /// Between two pieces of the answer.
    pub(in super::super) between_bytes_timeout_ms: u64,
    /// The whole exchange, the answer's body included; none: no bound of its own.
    pub(in super::super) total_timeout_ms: Option<u64>,
    /// Servers tried at most for one request.
    pub(in super::super) attempts: u32,
    /// How long an idle connection is kept.
    pub(in super::super) idle_timeout_ms: u64,
    /// Connections to one server, over all cores.
    pub(in super::super) connections_max: usize,
    /// Idle connections kept to one server by each core.
    pub(in super::super) idle_max: usize,
}

/// `GET /api/backends`.
pub(in super::super) fn answer(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    Answer::json(
        at.version,
        &Backends {
            version: at.version,
            backends: all(&at),
        },
    )
}

/// All backends by name.
pub(in super::super) fn all(at: &Snapshot) -> Vec<Backend> {
    let mut leading: Vec<Vec<RouteName>> = at.backends.iter().map(|_| Vec::new()).collect();
    for rule in &at.rules {
        for BackendId(reached) in routes::reached(rule) {
            if let Some(leading) = leading.get_mut(reached as usize) {
                leading.push(RouteName::of(rule));
            }
        }
    }
    let mut all: Vec<Backend> = at
        .backends
        .iter()
        .zip(leading)
        .map(|(backend, routes)| Backend::of(backend, routes))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

impl Backend {
    fn of(backend: &backend::Backend, routes: Vec<RouteName>) -> Self {
        let settings = &backend.settings;
        let wording = settings.wording.as_ref();
        Self {
            name: settings.name.to_string(),
            squad: settings.squad.to_string(),
            place: settings.place.to_string(),
            servers: backend.servers.iter().map(|server| Server::of(server)).collect(),
            path: wording.and_then(|wording| wording.path.as_deref().map(str::to_owned)),
            host: wording
                .map_or(HostNamed::Visitor.as_str(), |wording| wording.host.as_str())
                .to_owned(),
            headers: wording.map_or_else(Vec::new, backend::Wording::field_names),
            checks: settings.health.as_ref().map(Checks::of),
            limits: Limits::of(settings),
            routes,
        }
    }
}

impl Server {
    fn of(server: &backend::Server) -> Self {
        Self {
            address: server.label.to_string(),
            health: server.health().as_str().to_owned(),
            last_check: server.last_check(),
            takes_traffic: server.takes_traffic(),
            connections: server.connections(),
        }
    }
}

impl Checks {
    fn of(settings: &HealthSettings) -> Self {
        Self {
            path: settings.path.clone(),
            interval_ms: millis(settings.interval),
            timeout_ms: millis(settings.timeout),
            healthy_after: settings.healthy_after,
            unhealthy_after: settings.unhealthy_after,
            status_from: settings.status.0,
            status_to: settings.status.1,
        }
    }
}

impl Limits {
    fn of(settings: &BackendSettings) -> Self {
        Self {
            connect_timeout_ms: millis(settings.connect_timeout),
            first_byte_timeout_ms: millis(settings.first_byte_timeout),
            between_bytes_timeout_ms: millis(settings.between_bytes_timeout),
            total_timeout_ms: settings.total_timeout.map(millis),
            attempts: settings.attempts,
            idle_timeout_ms: millis(settings.idle_timeout),
            connections_max: settings.connections_max,
            idle_max: settings.idle_max,
        }
    }
}
