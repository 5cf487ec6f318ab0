//! The settings after every check: typed, complete, nothing left to decide. `snapshot` compiles them.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use super::admin::AdminSettings;
use crate::{
    backend::{BackendSettings, resolve::DnsSettings},
    cache::store::{StoreSettings, disk::DiskSettings},
    flag::{FlagSettings, LayerSettings},
    gate::{GateSettings, Requirement, machine::MachineSettings},
    limits::Limits,
    name::{BackendName, FlagKey, Place, SquadName, VariantName},
    policy::{Policy, Redirect, errors::ErrorPages, geo, signed::KeyGroup},
    room::RoomSettings,
    route::Claim,
    visitor::VisitorSettings,
};

/// Everything that the files of one site say.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of `banyan.toml`, absolute.
    pub folder: PathBuf,
    /// The operator's part.
    pub edge: EdgeSettings,
    /// Backends of all squads, by name.
    pub backends: Vec<BackendSettings>,
    /// Routes of all squads, in file order.
    pub routes: Vec<RouteSettings>,
    /// Flags, by key.
    pub flags: Vec<FlagSettings>,
    /// Waiting rooms, by name.
    pub rooms: Vec<RoomSettings>,
    /// The squads' `[[tests]]`.
    pub tests: Vec<RouteTest>,
    /// Machines that may come in.
    pub machines: Vec<MachineSettings>,
}

/// `banyan.toml`.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Names this edge answers for, lower case; empty: any.
    pub hosts: Vec<String>,
    /// Sockets.
    pub listen: ListenSettings,
    /// Peers whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where certificates are, absolute.
    pub certs: PathBuf,
    /// Where Banyan keeps what it makes itself (development CA, keys), absolute.
    pub state: PathBuf,
    /// Where this router stands: servers of the same zone are preferred.
    pub zone: Option<Arc<str>>,
    /// How servers' names are asked for.
    pub dns: DnsSettings,
    /// Cores to use; 0: all of them.
    pub cores: usize,
    /// How a new program takes over from the one that runs.
    pub handover: HandoverSettings,
    /// Bounds.
    pub limits: Limits,
    /// What the cache may take.
    pub cache: StoreSettings,
    /// Where answers lie on disk as well, if they do.
    pub cache_disk: Option<DiskSettings>,
    /// The access log.
    pub log: LogSettings,
    /// Pages that browsers are shown instead of errors, where a route has none of its own.
    pub errors: ErrorPages,
    /// The visitor cookie. `None`: a key is made and kept in `state`.
    pub visitor: Option<VisitorSettings>,
    /// The gate, if there is one.
    pub gate: Option<GateSettings>,
    /// Layers of flags, in the order written.
    pub layers: Vec<LayerSettings>,
    /// Who may see and change what on the admin listener.
    pub admin: Arc<AdminSettings>,
    /// Keys that may sign addresses.
    pub key_groups: Vec<Arc<KeyGroup>>,
    /// Where visitors are, if there is a database of it.
    pub places: Option<Arc<geo::Database>>,
    /// Squads and what they may claim.
    pub squads: Vec<SquadSettings>,
}

/// `[listen]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSettings {
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// Calls between backends, no TLS.
    pub private: Vec<SocketAddr>,
    /// Page, API, metrics, health.
    pub admin: Option<SocketAddr>,
}

/// `[handover]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoverSettings {
    /// The Unix socket over which a new program takes over, absolute; `None`: none does.
    pub socket: Option<PathBuf>,
    /// Time that a new program has to become ready.
    pub timeout: Duration,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// What a line looks like.
    pub format: LogFormat,
    /// Where lines go.
    pub to: LogTarget,
}

/// What an access-log line looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFormat {
    /// One flat JSON object.
    Json,
    /// NCSA combined.
    Combined,
    /// CloudFront's standard log.
    CloudFront {
        /// This machine's name in it; `None`: its host name.
        location: Option<String>,
    },
}

/// Where access-log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, absolute; opened for appending, again on SIGUSR1.
    File(PathBuf),
}

/// `[squads.<name>]`.
#[derive(Debug, Clone)]
pub struct SquadSettings {
    /// Its name.
    pub name: SquadName,
    /// Where it is written.
    pub place: Place,
    /// Path prefixes (`/courses/*`) or templates that it may claim. Empty: anything.
    pub paths: Vec<String>,
    /// Requests that may be under way on its routes, and wait for that, over all cores.
    pub line: Option<crate::shield::line::Terms>,
    /// Connections to its backends, and bytes of requests' bodies that are kept on its routes.
    pub caps: crate::shield::pot::Caps,
}

/// One `[[routes]]` table.
#[derive(Debug, Clone)]
pub struct RouteSettings {
    /// What it wants; squad and place are in it.
    pub claim: Claim,
    /// Where it leads.
    pub target: TargetSettings,
    /// Further flags whose decisions its backend is told.
    pub flags: Vec<FlagKey>,
    /// What it asks of a visitor.
    pub requirement: Requirement,
    /// Ambiguous paths (`%2F`, `%5C`) are let through as they are.
    pub allow_encoded_slash: bool,
    /// What it does to requests and answers.
    pub policy: Arc<Policy>,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetSettings {
    /// Always here.
    Backend(BackendName),
    /// Where the flag's variant says. Every variant of the flag is listed.
    Flag {
        /// Which flag.
        flag: FlagKey,
        /// Variant to backend.
        backends: Vec<(VariantName, BackendName)>,
    },
    /// To no backend: Banyan answers itself.
    Redirect(Arc<Redirect>),
}

impl TargetSettings {
    /// Every backend that it may lead to.
    pub fn backends(&self) -> impl Iterator<Item = &BackendName> {
        let (one, many) = match self {
            Self::Backend(name) => (Some(name), [].as_slice()),
            Self::Flag { backends, .. } => (None, backends.as_slice()),
            Self::Redirect(_) => (None, [].as_slice()),
        };
        one.into_iter().chain(many.iter().map(|(_, name)| name))
    }
}

impl RouteSettings {
    /// Every backend that it may lead to, the one that it fails over to last.
    pub fn backends(&self) -> impl Iterator<Item = &BackendName> {
        let second = self.policy.failover.as_ref();
        self.target
            .backends()
            .chain(second.map(|failover| &failover.backend))
    }
}

/// One `[[tests]]` table.
#[derive(Debug, Clone)]
pub struct RouteTest {
    /// Where it is written.
    pub place: Place,
    /// Whose it is.
    pub squad: SquadName,
    /// `GET`, …
    pub method: http::Method,
    /// Host asked, if the test says one.
    pub host: Option<String>,
    /// Path and query.
    pub target: String,
    /// Header fields sent.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// It comes over plain HTTP, on the `http` listener.
    pub plain: bool,
    /// Signed-in user, if any, with roles.
    pub user: Option<TestUser>,
    /// Where it comes from, if the test says.
    pub client: Option<IpAddr>,
    /// What must come out; `None` is not looked at.
    pub expect: Expectation,
}

/// The identity that a test pretends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestUser {
    /// Subject.
    pub id: String,
    /// Roles.
    pub roles: Vec<String>,
    /// Claims beside `sub` and `roles`: `groups`, `scope`, `acr`, `auth_time` (seconds since 1970), …
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// What a test expects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The route's path or pattern as written.
    pub route: Option<String>,
    /// The backend's name.
    pub backend: Option<String>,
    /// The squad's name.
    pub squad: Option<String>,
    /// The variant of the route's flag.
    pub variant: Option<String>,
    /// The status when Banyan answers itself: a refusal's or a redirect's.
    pub status: Option<u16>,
    /// Where a redirect leads.
    pub location: Option<String>,
}

/// Time that a saved file may rest before it is read, so that an editor's two writes are one change.
pub const SETTLE: Duration = Duration::from_millis(50);
