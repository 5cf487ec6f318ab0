//! What is to be written, in Banyan's words: squads with their backends and routes.

use serde::Serialize;

use super::list::Secret;

/// A distribution as a squad's file.
#[derive(Debug, Clone)]
pub struct Squad {
    /// The squad's name, and its file's.
    pub name: String,
    /// What the distribution is called by people: its first alias, its id, or its file.
    pub title: String,
    /// The file that it was read from, and its comment.
    pub(super) source: String,
    pub(super) comment: String,
    /// Names that it answers for.
    pub hosts: Vec<String>,
    /// Whether routes say their hosts, since there are other distributions.
    pub(super) names_hosts: bool,
    /// The servers, each backend once for each `Host` it is sent.
    pub backends: Vec<Backend>,
    /// Routes in the order of the behaviours, the default behaviour's last.
    pub routes: Vec<Route>,
    /// Error pages of the whole distribution.
    pub(super) errors: Vec<ErrorPage>,
    /// Groups of keys that routes name.
    pub(super) key_groups: Vec<KeyGroup>,
    /// Whether it wrote a log.
    pub(super) logs: bool,
    /// How the behaviours were written, for the report.
    pub(super) behaviours: Vec<Told>,
}

/// `[backends.<name>]`.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Which origin it is.
    pub(super) id: String,
    /// Its one server, with scheme and port.
    pub server: String,
    pub(super) path: String,
    pub(super) host: Host,
    /// Field names, each with the variable that has its value.
    pub(super) headers: Vec<(String, String)>,
    /// Seconds.
    pub(super) connect_timeout: u64,
    pub(super) read_timeout: u64,
    pub(super) idle_timeout: u64,
    pub(super) total_timeout: Option<u64>,
    pub(super) attempts: u64,
}

/// A field that a backend is sent, before its variable has a name.
#[derive(Debug, Clone)]
pub(super) struct SecretField {
    pub(super) backend: String,
    pub(super) field: String,
    pub(super) value: Secret,
}

/// Whose name the backend is asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Host {
    /// The one that the visitor asked for.
    Visitor,
    /// The server's own.
    Server,
}

/// `[[routes]]`.
#[derive(Debug, Clone)]
pub struct Route {
    /// Which behaviour it comes from: 1 is the first of the list, the default behaviour comes last.
    pub behaviour: usize,
    /// `None`: every path.
    pub pattern: Option<String>,
    /// `None`: after every route that has one.
    pub order: Option<i32>,
    /// The backend's name.
    pub backend: String,
    /// The whole path replaced, for the default root object.
    pub(super) rewrite: Option<String>,
    pub(super) failover: Option<Failover>,
    pub(super) https: Https,
    pub(super) methods: Vec<String>,
    pub(super) forward: Forward,
    pub(super) kept: Option<Kept>,
    pub(super) answer: Answer,
    pub(super) compress: Vec<&'static str>,
    /// Names of key groups; anyone whom none of them lets in gets 403.
    pub(super) signed: Vec<String>,
    pub(super) geo: Option<Geo>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failover {
    pub(super) backend: String,
    pub(super) on: Vec<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Https {
    Redirect,
    Only,
    Allow,
}

/// What of a request goes on to the backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Forward {
    pub(super) headers: Choice,
    pub(super) cookies: Choice,
    pub(super) query: Choice,
    /// Fields about the visitor that Banyan adds.
    pub(super) viewer: Vec<String>,
}

/// `[routes.cache]`. Times are seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) min: u64,
    pub(super) default: u64,
    pub(super) max: u64,
    /// In the key: lower case.
    pub(super) headers: Vec<String>,
    pub(super) cookies: Choice,
    pub(super) query: Choice,
    /// Header fields that reach the backend beside.
    pub(super) unkeyed: Choice,
}

/// Which names go through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Choice {
    #[default]
    None,
    All,
    Only(Vec<String>),
    Except(Vec<String>),
}

/// What is done to answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Answer {
    /// The policy's name, for the comment.
    pub(super) policy: String,
    pub(super) remove: Vec<String>,
    /// `security = "standard"`.
    pub(super) preset: bool,
    pub(super) set: Vec<(String, String)>,
    pub(super) default: Vec<(String, String)>,
    pub(super) hsts: Option<Hsts>,
    pub(super) server_timing: Option<f64>,
    pub(super) cors: Option<Cors>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hsts {
    /// Seconds.
    pub(super) max_age: u64,
    pub(super) subdomains: bool,
    pub(super) preload: bool,
    pub(super) wins: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cors {
    pub(super) origins: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) headers: Vec<String>,
    pub(super) expose: Vec<String>,
    pub(super) credentials: bool,
    /// Seconds.
    pub(super) max_age: Option<u64>,
    pub(super) wins: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorPage {
    pub(super) status: Vec<u16>,
    pub(super) page: String,
    pub(super) answer_status: Option<u16>,
}

/// `[routes.geo]`: one of the two lists is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Geo {
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
}

/// `[key_groups.<name>]`. Without keys nobody passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyGroup {
    pub(super) name: String,
    /// Where it comes from, for the comment.
    pub(super) about: String,
    /// `Key-Pair-Id` and the PEM text of each key.
    pub(super) keys: Vec<(String, String)>,
}

/// A behaviour as the report tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// 1 is the first of the list; the default behaviour comes last.
    pub number: usize,
    /// As it is written; `*` for the default behaviour.
    pub pattern: String,
    /// Whether it is the default behaviour.
    pub default: bool,
    /// Origin or origin group.
    pub target: String,
    /// What that became.
    pub backend: String,
    pub(super) server: String,
    pub(super) failover: Option<Failover>,
    pub(super) https: Https,
    pub(super) methods: Vec<String>,
    pub(super) host: Host,
    pub(super) forward: Forward,
    /// Names of fields that the backend is sent beside; never their values.
    pub(super) added: Vec<String>,
    /// How `CloudFront` kept its answers.
    pub(super) cached: String,
    /// Whether signed addresses or cookies are asked for.
    pub(super) signed: bool,
    /// Who may ask.
    pub(super) protected: String,
    /// What is done to answers.
    pub(super) answers: String,
    /// Numbers of findings that are about it.
    pub findings: Vec<usize>,
}
