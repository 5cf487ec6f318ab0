//! `[backends.<name>]` as squads write it, and what it means.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    adaptive::{self, AdaptiveFile},
    eject::{BreakerFile, EjectFile, percent},
    health::HealthFile,
    operator::text,
    protection,
    report::Report,
    servers::{self, PickFile, ServerFile},
    values::{DurationText, SecretText, Share, SizeText, Spot},
    versions::{self, StickyFile, VersionFile},
    wording,
};
use crate::{
    backend::{ATTEMPTS, ATTEMPTS_MAX, BackendSettings, Scheme, ServerSettings},
    name::{BackendName, SquadName},
};

/// `[backends.<name>]`: a named group of servers. Any squad's routes may lead to it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BackendFile {
    /// At least one, unless there are `versions`: `http://10.0.1.10:3000`, `https://api.internal`, `h2c://10.0.1.12:50051`, or a table with more about it:
    /// `{ url = "http://10.0.1.10:3000", weight = 3, zone = "a" }`, `{ url = "http://web.internal:3000", resolve = "each" }`.
    servers: Option<Spot<Vec<Spot<ServerFile>>>>,
    /// In place of `servers`: the servers by version, 1 to 8, while a deploy goes on. A visitor keeps to one of them.
    versions: Option<Spot<Vec<Spot<VersionFile>>>>,
    /// How requests tell their version. Only with `versions`.
    sticky: Option<Spot<StickyFile>>,
    /// How one of them is chosen: `least-loaded` of two by latency and requests under way, `round-robin`, or the same one for the
    /// same key: `{ hash = "cookie:cart" }`, `header:<name>`, `identity`, `address`. Without it: `least-loaded`.
    pick: Option<Spot<PickFile>>,
    /// How long a server takes to get its whole part after it has entered or come back. Without it: no time.
    slow_start: Option<DurationText>,
    /// Percent of servers by weight: where fewer are well, all are asked, well or not. 0: only where none is.
    panic_below: Share,
    /// Put in front of every path that is forwarded, such as `/public`.
    path: Option<Spot<String>>,
    /// The host that requests name: `visitor` (what the visitor asked for), `server` (the server's own name), or any other name.
    /// `X-Forwarded-Host` keeps the visitor's.
    host: Spot<String>,
    /// Fields that requests always bear, over the visitor's of the same names. Values are secrets, best as `"${NAME}"`: they are
    /// never shown.
    headers: BTreeMap<Spot<String>, SecretText>,
    /// Time to connect, TLS included unless `tls_timeout` says otherwise.
    connect_timeout: DurationText,
    /// Time for the TLS handshake of https servers alone. Without it: what is left of `connect_timeout`.
    tls_timeout: Option<Spot<DurationText>>,
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
    /// Instead of `in_flight_max`: as many as answer about as fast as in quiet times. Without it: no such bound.
    adaptive: Option<Spot<AdaptiveFile>>,
    /// Requests that wait for one of them to end, at most 10,000, by the route's `priority`. None unless said.
    #[schemars(range(max = 10_000))]
    queue_max: Option<Spot<u32>>,
    /// How long a request waits: 1 s unless said. Then 503, and at once where the queue moves too slowly for that.
    queue_timeout: Option<Spot<DurationText>>,
    /// Connections to one server, over all cores. Beyond it a request is refused with 503.
    connections_max: NonZeroUsize,
    /// Connections to all of its servers together, over all cores, idle ones included. Beyond it a request is refused with 503. Without it:
    /// `connections_max` for each server.
    connections_all_max: Option<NonZeroU32>,
    /// Bytes of requests' bodies kept for a route's `fallback` while they are on their way to it, over all cores. Beyond it a request with a
    /// body has no fallback. Without it: 16 MiB on each core, for all backends.
    kept_max: Option<SizeText>,
    /// Idle connections kept to one server by each core, at most its share of `connections_max`. What was in use within
    /// `idle_timeout` is kept, so that a burst opens no connection anew.
    idle_max: usize,
    /// How long an idle connection is kept.
    idle_timeout: DurationText,
    /// A PEM file of certificate authorities for https servers, beside the system's.
    ca: Option<Spot<String>>,
    /// Active checks. Without them only live traffic tells whether a server is well.
    health: Option<Spot<HealthFile>>,
    /// Who is left alone for a while by what live traffic tells. Without it: who fails 5 times in a row without an answer.
    eject: Option<Spot<EjectFile>>,
    /// When the whole backend is left alone for a while. Without it: never.
    breaker: Option<Spot<BreakerFile>>,
}

impl Default for BackendFile {
    fn default() -> Self {
        Self {
            servers: None,
            versions: None,
            sticky: None,
            pick: None,
            slow_start: None,
            panic_below: Share(0), // three servers bear the load of five better than two sick ones do
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
            tls_timeout: None,
            connections_all_max: None,
            kept_max: None,
            in_flight_max: None,
            adaptive: None,
            queue_max: None,
            queue_timeout: None,
            connections_max: NonZeroUsize::new(1_024).unwrap_or(NonZeroUsize::MIN),
            idle_max: 1_024, // as many as there may be: what bounds them is `idle_timeout`
            idle_timeout: DurationText(Duration::from_secs(60)),
            ca: None,
            health: None,
            eject: None,
            breaker: None,
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
    let versions = versions::versions(
        written.versions.as_ref(),
        written.sticky.as_ref(),
        written.servers.as_ref().map(|servers| &servers.span),
        report,
    );
    let servers = match versions {
        Some(_) => Vec::new(),
        None => servers::servers(written.servers.as_ref(), &file.span, report),
    };
    let versions = versions.map(Arc::new);
    let own = versions.iter().flat_map(|versions| &versions.all);
    let everyone = own.flat_map(|version| &version.servers).chain(&servers);
    let health = written
        .health
        .as_ref()
        .and_then(|health| health.value.settle(&health.span, report));
    written.only_over_tls(everyone, report);
    let adaptive = adaptive::adaptive(written.adaptive.as_ref(), written.in_flight_max, report);
    let most = adaptive.and_then(|terms| NonZeroU32::new(terms.max));
    Some(BackendSettings {
        name: backend_name.ok()?,
        squad: squad.clone(),
        place: report.place(&name.span),
        servers,
        versions,
        pick: PickFile::settle(written.pick.as_ref(), report),
        slow_start: written.slow_start.map(|slow_start| slow_start.0),
        panic_below: percent(written.panic_below),
        eject: EjectFile::settle(written.eject.as_ref(), report),
        breaker: written
            .breaker
            .as_ref()
            .map(|breaker| breaker.value.settle(breaker, report)),
        health,
        connect_timeout: written.connect_timeout.0,
        tls_timeout: written.tls_timeout.as_ref().map(|tls| tls.value.0),
        adaptive,
        caps: protection::caps(written.connections_all_max, written.kept_max),
        first_byte_timeout: written.first_byte_timeout.0,
        between_bytes_timeout: written.between_bytes_timeout.0,
        total_timeout: written.total_timeout.map(|total| total.0),
        attempts: written.attempts(report),
        line: protection::line(
            written.in_flight_max.or(most),
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
    /// Warns of what has no meaning where no server is https.
    fn only_over_tls<'s>(&self, mut servers: impl Iterator<Item = &'s ServerSettings>, report: &mut Report) {
        if servers.any(|server| server.address.scheme == Scheme::Https) {
            return;
        }
        let keys = [
            ("ca", self.ca.as_ref().map(|ca| &ca.span)),
            (
                "tls_timeout",
                self.tls_timeout.as_ref().map(|timeout| &timeout.span),
            ),
        ];
        for (key, span) in keys {
            let Some(span) = span else { continue };
            let what = format!("`{key}` has no meaning here: no server of this backend is https");
            report
                .warning("unused-key", span.clone(), what)
                .hint("take it out, or write `https://` in front of the servers");
        }
    }

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
