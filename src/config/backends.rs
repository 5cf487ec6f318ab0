//! `[backends.<name>]` as squads write it, and what it means.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
    ops::Range,
    path::Path,
    time::Duration,
};

use http::uri::PathAndQuery;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    operator::text,
    protection,
    report::Report,
    values::{DurationText, SecretText, Spot},
    wording,
};
use crate::{
    backend::{ATTEMPTS, ATTEMPTS_MAX, BackendSettings, HealthSettings, Scheme, ServerAddress},
    name::{BackendName, SquadName},
};

/// `[backends.<name>]`: a named group of servers. Any squad's routes may lead to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BackendFile {
    /// At least one: `http://10.0.1.10:3000`, `https://api.internal`, `h2c://10.0.1.12:50051`.
    #[schemars(required, extend("x-required" = true))]
    servers: Option<Spot<Vec<Spot<String>>>>,
    /// Put in front of every path that is forwarded, such as `/public`.
    path: Option<Spot<String>>,
    /// The host that requests name: `visitor` (what the visitor asked for), `server` (the server's own name), or any other name.
    /// `X-Forwarded-Host` keeps the visitor's.
    host: Spot<String>,
    /// Fields that requests always bear, over the visitor's of the same names. Values are secrets, best as `"${NAME}"`: they are
    /// never shown.
    headers: BTreeMap<Spot<String>, SecretText>,
    /// Time to connect, TLS included.
    connect_timeout: DurationText,
    /// From the request's end to the answer's head.
    first_byte_timeout: DurationText,
    /// Between two pieces of the answer.
    between_bytes_timeout: DurationText,
    /// The whole exchange, all attempts and the answer's body included. 504 before the answer's head; an answer under way is cut
    /// off. WebSockets are not bound by it. Without it: no such bound.
    total_timeout: Option<DurationText>,
    /// Servers tried at most, 1 to 5, for one request: another only if none can have acted on it, or if it may be sent twice.
    #[schemars(range(min = 1, max = 5))]
    attempts: Spot<u32>,
    /// Requests under way with it at once, over all cores and servers. Beyond it a request waits as `queue_max` says, or gets 503.
    in_flight_max: Option<NonZeroU32>,
    /// Requests that wait for one of them to end, at most 10,000, by the route's `priority`. None unless said.
    #[schemars(range(max = 10_000))]
    queue_max: Option<Spot<u32>>,
    /// How long a request waits: 1 s unless said. Then 503, and at once where the queue moves too slowly for that.
    queue_timeout: Option<Spot<DurationText>>,
    /// Connections to one server, over all cores. Beyond it a request is refused with 503.
    connections_max: NonZeroUsize,
    /// Idle connections kept to one server by each core, at most its share of `connections_max`. What was in use within
    /// `idle_timeout` is kept, so that a burst opens no connection anew.
    idle_max: usize,
    /// How long an idle connection is kept.
    idle_timeout: DurationText,
    /// A PEM file of certificate authorities for https servers, beside the system's.
    ca: Option<Spot<String>>,
    /// Active checks. Without them only live traffic tells whether a server is well.
    health: Option<Spot<HealthFile>>,
}

impl Default for BackendFile {
    fn default() -> Self {
        Self {
            servers: None,
            path: None,
            host: text("visitor"),
            headers: BTreeMap::new(),
            connect_timeout: DurationText(Duration::from_secs(2)), // a server of one's own network answers in milliseconds
            first_byte_timeout: DurationText(Duration::from_secs(30)), // CloudFront's origin response timeout
            between_bytes_timeout: DurationText(Duration::from_secs(60)), // a streamed page may think for a while
            total_timeout: None, // what streams has no end that is known beforehand
            attempts: Spot {
                value: ATTEMPTS,
                span: 0..0,
            },
            in_flight_max: None,
            queue_max: None,
            queue_timeout: None,
            connections_max: NonZeroUsize::new(1_024).unwrap_or(NonZeroUsize::MIN),
            idle_max: 1_024, // as many as there may be: what bounds them is `idle_timeout`
            idle_timeout: DurationText(Duration::from_secs(60)),
            ca: None,
            health: None,
        }
    }
}

/// `[backends.<name>.health]`: active checks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HealthFile {
    /// Path asked with GET.
    #[schemars(required, extend("x-required" = true))]
    path: Option<Spot<String>>,
    /// Time between two checks.
    interval: DurationText,
    /// Time for one check.
    timeout: DurationText,
    /// Good checks in a row that bring a server back.
    healthy_after: NonZeroU32,
    /// Bad checks in a row that take a server out.
    unhealthy_after: NonZeroU32,
    /// Statuses that are good: one, or a range.
    status: Spot<String>,
}

impl Default for HealthFile {
    fn default() -> Self {
        Self {
            path: None,
            interval: DurationText(Duration::from_secs(5)),
            timeout: DurationText(Duration::from_secs(2)),
            healthy_after: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN), // one good answer may be luck
            unhealthy_after: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN), // one bad answer may be a restart
            status: text("200-399"),
        }
    }
}

/// Judges one table. `None` when it can't be a backend; then the report says why.
pub(super) fn backend(
    name: &Spot<String>,
    file: &Spot<BackendFile>,
    squad: &SquadName,
    folder: &Path,
    report: &mut Report,
) -> Option<BackendSettings> {
    let backend_name = BackendName::new(&name.value);
    if let Err(reason) = &backend_name {
        report.error(
            "bad-name",
            name.span.clone(),
            format!("`{}` can't name a backend: {reason}", name.value),
        );
    }
    let written = &file.value;
    let servers = servers(written, &file.span, report);
    let health = written
        .health
        .as_ref()
        .and_then(|health| health.value.settle(&health.span, report));
    if let (Some(ca), false) = (
        &written.ca,
        servers.iter().any(|server| server.scheme == Scheme::Https),
    ) {
        report
            .warning(
                "unused-key",
                ca.span.clone(),
                "`ca` has no meaning here: no server of this backend is https",
            )
            .hint("take it out, or write `https://` in front of the servers");
    }
    Some(BackendSettings {
        name: backend_name.ok()?,
        squad: squad.clone(),
        place: report.place(&name.span),
        servers,
        health,
        connect_timeout: written.connect_timeout.0,
        first_byte_timeout: written.first_byte_timeout.0,
        between_bytes_timeout: written.between_bytes_timeout.0,
        total_timeout: written.total_timeout.map(|total| total.0),
        attempts: written.attempts(report),
        line: protection::line(
            written.in_flight_max,
            written.queue_max.as_ref(),
            written.queue_timeout.as_ref(),
            report,
        ),
        wording: wording::wording(written.path.as_ref(), &written.host, &written.headers, report),
        connections_max: written.connections_max.get(),
        idle_max: written.idle_max,
        idle_timeout: written.idle_timeout.0,
        ca: written.ca.as_ref().map(|ca| folder.join(&ca.value)),
    })
}

impl BackendFile {
    fn attempts(&self, report: &mut Report) -> u32 {
        let attempts = &self.attempts;
        if !(1..=ATTEMPTS_MAX).contains(&attempts.value) {
            let what = format!("{} is not a number of attempts", attempts.value);
            report
                .error("bad-attempts", attempts.span.clone(), what)
                .hint(format!("from 1 to {ATTEMPTS_MAX}"));
        }
        attempts.value
    }
}

fn servers(file: &BackendFile, table: &Range<usize>, report: &mut Report) -> Vec<ServerAddress> {
    let Some(written) = &file.servers else {
        report.missing(
            table,
            "servers",
            "name at least one, such as `servers = [\"http://10.0.1.10:3000\"]`",
        );
        return Vec::new();
    };
    if written.value.is_empty() {
        report
            .error(
                "no-server",
                written.span.clone(),
                "a backend needs at least one server",
            )
            .hint("name one, such as `\"http://10.0.1.10:3000\"`");
    }
    let mut servers: Vec<ServerAddress> = Vec::with_capacity(written.value.len());
    for text in &written.value {
        match server(&text.value) {
            Ok(server) if servers.contains(&server) => {
                let what = format!("`{server}` stands here twice");
                report
                    .warning("repeated-server", text.span.clone(), what)
                    .hint("it is used once");
            }
            Ok(server) => servers.push(server),
            Err(reason) => {
                let shown = if text.value.contains('@') {
                    "this"
                } else {
                    &format!("`{}`", text.value)
                };
                let what = format!("{shown} is not a server: {reason}");
                report.error("bad-server", text.span.clone(), what).hint(
                    "write `http://`, `https://` or `h2c://`, a host, and a port unless it is the usual one",
                );
            }
        }
    }
    servers
}

fn server(text: &str) -> Result<ServerAddress, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let (scheme, usual) = match scheme {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        "h2c" => (Scheme::H2c, 80),
        _ => return Err("its scheme is not http, https or h2c"),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("it has a path; servers get the path of the request");
    }
    if authority.contains('@') {
        return Err("it has a user name or password");
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| "its address is not an IPv6 address")?;
            (
                address,
                port.strip_prefix(':').or_else(|| port.is_empty().then_some("")),
            )
        }
        None => authority
            .split_once(':')
            .map_or((authority, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port.ok_or("there is something between its address and its port")? {
        "" if authority.ends_with(':') => return Err("its port is missing"),
        "" => usual,
        digits => digits
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("its port is not a number from 1 to 65535")?,
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
        return Err("its host is not a name or address");
    }
    Ok(ServerAddress {
        scheme,
        host: host.to_ascii_lowercase(),
        port,
    })
}

impl HealthFile {
    fn settle(&self, table: &Range<usize>, report: &mut Report) -> Option<HealthSettings> {
        let status = status_range(&self.status.value);
        if status.is_none() {
            let what = format!("`{}` is not a status or a range of them", self.status.value);
            report
                .error("bad-status", self.status.span.clone(), what)
                .hint("write `200` or `200-399`");
        }
        let Some(path) = &self.path else {
            report.missing(
                table,
                "path",
                "name the path to ask, such as `path = \"/healthz\"`",
            );
            return None;
        };
        if !path.value.starts_with('/') || path.value.parse::<PathAndQuery>().is_err() {
            report
                .error(
                    "bad-path",
                    path.span.clone(),
                    format!("`{}` is not a path to ask", path.value),
                )
                .hint("it starts with `/`, such as `/healthz`");
        }
        Some(HealthSettings {
            path: path.value.clone(),
            interval: self.interval.0,
            timeout: self.timeout.0,
            healthy_after: self.healthy_after.get(),
            unhealthy_after: self.unhealthy_after.get(),
            status: status?,
        })
    }
}

fn status_range(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|code| (100..=599).contains(code))
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (status(low)?, status(high)?);
    (low <= high).then_some((low, high))
}
