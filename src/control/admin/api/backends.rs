//! Backends, their servers, and how those are.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{answer::Answer, endpoints::Asked, refusal::Refusal},
    RouteName, millis, routes,
};
use crate::{
    backend::{
        self, Asks, BackendSettings, HealthSettings,
        breaker::{Breaker, Millis},
        health::ranges_text,
        roster::Seat,
        server::How,
        wording::HostNamed,
    },
    clock,
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
    /// Its versions, where its servers are listed by version: each is a backend of its own here.
    pub(in super::super) versions: Vec<Version>,
    /// What it is as a version of another; none: it is none.
    pub(in super::super) version: Option<Version>,
    /// Who runs it.
    pub(in super::super) squad: String,
    /// Where it is written.
    pub(in super::super) place: String,
    /// Its servers.
    pub(in super::super) servers: Vec<Server>,
    /// How one of them is chosen.
    pub(in super::super) pick: String,
    /// Whether the whole backend is left alone; none: it never is.
    pub(in super::super) breaker: Option<BreakerState>,
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

/// A version of a backend.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(in super::super) struct Version {
    /// Its name.
    pub(in super::super) name: String,
    /// The backend of its servers.
    pub(in super::super) backend: String,
    /// `live`: it takes new visitors; `draining`: it does not.
    pub(in super::super) state: String,
    /// How many new visitors it takes beside the other live ones.
    pub(in super::super) weight: u32,
}

/// A server.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Server {
    /// Where it is.
    pub(in super::super) address: String,
    /// `healthy`, `unhealthy`, or `unknown` before the first check.
    pub(in super::super) health: String,
    /// By checks and live traffic: as `health`, or `ejected`, or `tried` while one request finds out whether it is well again.
    pub(in super::super) state: String,
    /// Why live traffic keeps away; empty: it does not.
    pub(in super::super) why: String,
    /// When it is tried again, where it is ejected.
    pub(in super::super) back_in_ms: Option<u64>,
    /// How much it is given beside the others.
    pub(in super::super) weight: u32,
    /// Where it stands.
    pub(in super::super) zone: Option<String>,
    /// The addresses that its name stands for.
    pub(in super::super) addresses: Vec<String>,
    /// Exchanges under way, within the last second.
    pub(in super::super) in_flight: u64,
    /// How long it takes to answer, as it is weighed when a server is chosen: peaks show at once and fade within seconds.
    pub(in super::super) latency_ms: u64,
    /// Requests for which it was chosen.
    pub(in super::super) picks: u64,
    /// How often live traffic took it out.
    pub(in super::super) ejections: u64,
    /// The last check in words; empty before the first.
    pub(in super::super) last_check: String,
    /// Checks let traffic go there.
    pub(in super::super) takes_traffic: bool,
    /// Connections open to it, over all cores.
    pub(in super::super) connections: usize,
}

/// A backend's breaker.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct BreakerState {
    /// `closed`, `open`, or `half-open` while one request finds out.
    pub(in super::super) state: String,
    /// When it is tried again, where it is open.
    pub(in super::super) back_in_ms: Option<u64>,
    /// How often it opened.
    pub(in super::super) openings: u64,
}

/// How servers are checked.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Checks {
    /// What is asked: `GET /healthz`, `gRPC health`, `TCP`.
    pub(in super::super) asks: String,
    /// Time between two checks.
    pub(in super::super) interval_ms: u64,
    /// Time for one check.
    pub(in super::super) timeout_ms: u64,
    /// Good checks in a row that bring a server back.
    pub(in super::super) healthy_after: u32,
    /// Bad checks in a row that take it out.
    pub(in super::super) unhealthy_after: u32,
    /// Statuses that are good, for GET.
    pub(in super::super) status: Option<String>,
    /// Text that an answer must hold, for GET.
    pub(in super::super) body: Option<String>,
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
    for (whole, _) in (0..).map(BackendId).zip(&at.backends) {
        list_versions(whole, at, &mut all);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Tells a backend and its versions of each other. Routes that lead to the whole lead to each of them.
fn list_versions(whole: BackendId, at: &Snapshot, all: &mut [Backend]) {
    let Some(fleet) = at.fleets.get(whole) else {
        return;
    };
    let place = |id: BackendId| id.0 as usize;
    let routes = all
        .get(place(whole))
        .map_or_else(Vec::new, |whole| whole.routes.clone());
    let mut versions = Vec::with_capacity(fleet.versions().len());
    for member in fleet.versions() {
        let Some(own) = all.get_mut(place(member.backend)) else {
            continue;
        };
        let version = Version {
            name: member.name.to_string(),
            backend: own.name.clone(),
            state: member.state.as_str().to_owned(),
            weight: member.weight,
        };
        own.routes.clone_from(&routes);
        own.version = Some(version.clone());
        versions.push(version);
    }
    if let Some(whole) = all.get_mut(place(whole)) {
        whole.versions = versions;
    }
}

impl Backend {
    fn of(backend: &backend::Backend, routes: Vec<RouteName>) -> Self {
        let settings = &backend.settings;
        let wording = settings.wording.as_ref();
        Self {
            name: settings.name.to_string(),
            versions: Vec::new(),
            version: None,
            squad: settings.squad.to_string(),
            place: settings.place.to_string(),
            servers: {
                let (roster, now) = (backend.roster(), Millis::of(clock::steady()));
                let seated = roster.servers.iter().zip(&roster.seats);
                seated
                    .map(|(server, seat)| Server::of(server, seat, now))
                    .collect()
            },
            pick: settings.pick.words(),
            breaker: settings
                .breaker
                .as_ref()
                .map(|_| BreakerState::of(&backend.state)),
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
    fn of(server: &backend::Server, seat: &Seat, now: Millis) -> Self {
        let (how, vitals) = (server.how(), &server.vitals);
        Self {
            state: how.as_str().to_owned(),
            why: how.why().to_owned(),
            back_in_ms: match how {
                How::Ejected(_, until) => Some(millis(until.since(now))),
                How::Healthy | How::Unknown | How::Unhealthy | How::Tried => None,
            },
            weight: seat.weight,
            zone: seat.zone.as_deref().map(str::to_owned),
            addresses: server.names.all().iter().map(ToString::to_string).collect(),
            in_flight: vitals.in_flight(),
            latency_ms: millis(vitals.latency()),
            picks: vitals.totals().picks,
            ejections: vitals.ejections().map(|(_, count)| count).sum(),
            address: server.label.to_string(),
            health: server.health().as_str().to_owned(),
            last_check: server.last_check(),
            takes_traffic: server.takes_traffic(),
            connections: server.connections(),
        }
    }
}

impl BreakerState {
    fn of(state: &backend::group::State) -> Self {
        let now = Millis::of(clock::steady());
        let (word, back_in_ms) = match state.breaker.get() {
            Breaker::Closed { .. } => ("closed", None),
            Breaker::Open { until, .. } => ("open", Some(millis(until.since(now)))),
            Breaker::HalfOpen { .. } => ("half-open", None),
        };
        Self {
            state: word.to_owned(),
            back_in_ms,
            openings: state.openings(),
        }
    }
}

impl Checks {
    fn of(settings: &HealthSettings) -> Self {
        let (status, body) = match &settings.asks {
            Asks::Http { statuses, body, .. } => (Some(ranges_text(statuses)), body.clone()),
            Asks::Grpc { .. } | Asks::Tcp => (None, None),
        };
        Self {
            asks: settings.asks.words(),
            interval_ms: millis(settings.interval),
            timeout_ms: millis(settings.timeout),
            healthy_after: settings.healthy_after,
            unhealthy_after: settings.unhealthy_after,
            status,
            body,
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
