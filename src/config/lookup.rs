//! `[gate.legacy]` and `[gate.introspection]`: who is asked what a cookie or an opaque token is worth.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use http::{Uri, uri::PathAndQuery};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    operator::text,
    report::{Report, suggest},
    routes::{RoutePart, SquadPart},
    values::{DurationText, SecretText, Spot},
};
use crate::{
    backend::{BackendSettings, EjectSettings, Pick, Scheme, ServerAddress},
    gate::{
        Auth, GateSettings, Source,
        lookup::{Hidden, IntrospectionSettings, LegacySettings, Terms},
    },
    name::{BackendName, SquadName},
};

/// The backend that stands for the introspection endpoint.
pub(super) const INTROSPECTION: &str = "gate-introspection";

/// `[gate.legacy]`: the legacy application is asked who its cookie belongs to, for routes that accept `legacy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LegacyFile {
    /// The backend that knows, of any squad's file.
    #[schemars(required, extend("x-required" = true))]
    backend: Option<Spot<String>>,
    /// Path that is asked with GET. 200 with an id: somebody is signed in. 200 without one, 401, 403 or a redirect: nobody is.
    /// Anything else: nobody knows, and routes that require someone answer 503.
    #[schemars(required, extend("x-required" = true))]
    path: Option<Spot<String>>,
    /// The host that the question names. Without it: the first of `hosts`.
    host: Option<Spot<String>>,
    /// Names of the cookies that are sent, and nothing else of the request. Without any of them nobody is asked.
    #[schemars(required, extend("x-required" = true))]
    cookies: Option<Spot<Vec<Spot<String>>>>,
    /// JSON pointer of the user's id in an answer: a text, or a whole number. Missing, null, false, 0 and "" are nobody.
    id: Spot<String>,
    /// JSON pointer of the list of roles. Without it: no roles.
    roles: Option<Spot<String>>,
    /// JSON pointer of an object that flag rules see as the user's claims.
    claims: Option<Spot<String>>,
    /// Put in front of every id, so that it is no other source's: `legacy:`.
    prefix: Spot<String>,
    /// Time for one question.
    timeout: Spot<DurationText>,
    /// How long it counts that somebody is signed in; so long a logout there may take to be known here. At most `5m`.
    remember: Spot<DurationText>,
    /// How long it counts that nobody is. At most `5m`.
    remember_nobody: Spot<DurationText>,
}

impl Default for LegacyFile {
    fn default() -> Self {
        Self {
            backend: None,
            path: None,
            host: None,
            cookies: None,
            id: text("/id"),
            roles: None,
            claims: None,
            prefix: text(""),
            timeout: seconds(1), // whoever waits for it waits for nothing else yet
            remember: seconds(10),
            remember_nobody: seconds(2), // somebody who signs in is let in soon, also where the cookie stays the same
        }
    }
}

/// `[gate.introspection]`: opaque bearer tokens are worth what their authorization server says (RFC 7662).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IntrospectionFile {
    /// The endpoint. Redirects are not followed.
    #[schemars(required, extend("x-required" = true))]
    url: Option<Spot<String>>,
    /// This edge's name there. Without it: the gate's `client_id`.
    client_id: Option<Spot<String>>,
    /// Its secret there, best as `"${NAME}"`. Without it: the gate's `client_secret`.
    client_secret: Option<SecretText>,
    /// Whether an answer without `aud` is refused. One that names others always is.
    require_audience: bool,
    /// Time for one question.
    timeout: Spot<DurationText>,
    /// How long it counts that a token is active, but never beyond its `exp`. At most `5m`.
    remember: Spot<DurationText>,
    /// How long it counts that it is not. At most `5m`.
    remember_nobody: Spot<DurationText>,
}

impl Default for IntrospectionFile {
    fn default() -> Self {
        Self {
            url: None,
            client_id: None,
            client_secret: None,
            require_audience: true,
            timeout: seconds(1),
            remember: seconds(60),
            remember_nobody: seconds(5),
        }
    }
}

const fn seconds(seconds: u64) -> Spot<DurationText> {
    Spot {
        value: DurationText(Duration::from_secs(seconds)),
        span: 0..0,
    }
}

/// What `[gate]` says of tokens, for answers about them.
#[derive(Debug)]
pub(super) struct Believed<'g> {
    pub(super) client_id: Option<&'g str>,
    pub(super) client_secret: Option<&'g str>,
    pub(super) issuer: Option<&'g str>,
    pub(super) audiences: &'g [String],
    pub(super) roles_claim: &'g str,
    pub(super) leeway: Duration,
}

impl LegacyFile {
    /// The name of the backend that is asked.
    pub(super) const fn backend(&self) -> Option<&Spot<String>> {
        self.backend.as_ref()
    }

    /// Judges the table. `None` when something needed is missing; then the report says so.
    pub(super) fn settle(file: &Spot<Self>, report: &mut Report) -> Option<LegacySettings> {
        let (file, table) = (&file.value, &file.span);
        for (is_missing, key, hint) in [
            (
                file.backend.is_none(),
                "backend",
                "name the backend that knows whose a cookie is, such as `backend = \"legacy\"`",
            ),
            (
                file.path.is_none(),
                "path",
                "name the path that says who is signed in, such as `path = \"/api/session\"`",
            ),
            (
                file.cookies.is_none(),
                "cookies",
                "name the cookie of its sessions, such as `cookies = [\"PHPSESSID\"]`",
            ),
        ] {
            if is_missing {
                report.missing(table, key, hint);
            }
        }
        pointer(&file.id, "id", report);
        for (spot, key) in [(&file.roles, "roles"), (&file.claims, "claims")] {
            if let Some(spot) = spot {
                pointer(spot, key, report);
            }
        }
        let path = file.path.as_ref().map(|path| {
            let good = path.value.starts_with('/') && path.value.parse::<PathAndQuery>().is_ok();
            if !good {
                report
                    .error(
                        "bad-path",
                        path.span.clone(),
                        format!("`{}` is not a path to ask", path.value),
                    )
                    .hint("it starts with `/`, such as `/api/session`");
            }
            path.value.clone()
        });
        let backend = file.backend.as_ref().map(|name| {
            let checked = BackendName::new(&name.value);
            if let Err(reason) = &checked {
                report.error(
                    "bad-name",
                    name.span.clone(),
                    format!("`{}` can't name a backend: {reason}", name.value),
                );
            }
            checked.ok()
        });
        let cookies = file.cookies.as_ref().and_then(|cookies| names(cookies, report));
        let terms = terms(&file.timeout, &file.remember, &file.remember_nobody, report);
        let value = |spot: &Option<Spot<String>>| spot.as_ref().map(|spot| spot.value.clone());
        Some(LegacySettings {
            backend: backend??,
            path: path?,
            host: value(&file.host),
            cookies: cookies?,
            id: file.id.value.clone(),
            roles: value(&file.roles),
            claims: value(&file.claims),
            prefix: file.prefix.value.clone(),
            terms,
        })
    }
}

impl IntrospectionFile {
    /// Judges the table. `None` when something needed is missing; then the report says so.
    pub(super) fn settle(
        file: &Spot<Self>,
        believed: &Believed<'_>,
        report: &mut Report,
    ) -> Option<IntrospectionSettings> {
        let (file, table) = (&file.value, &file.span);
        if file.url.is_none() {
            report.missing(table, "url", "write the endpoint's address in full");
        }
        let client_id = file.client_id.as_ref().map(|id| id.value.as_str());
        let client_id = client_id.or(believed.client_id);
        if client_id.is_none() {
            report.missing(
                table,
                "client_id",
                "name this edge as the authorization server knows it",
            );
        }
        let secret = file.client_secret.as_ref().map(|secret| secret.0.as_str());
        let secret = secret.or(believed.client_secret);
        if secret.is_none() {
            report.missing(table, "client_secret", "write `client_secret = \"${NAME}\"`");
        }
        if believed.audiences.is_empty() && file.require_audience {
            report
                .error(
                    "bad-audience",
                    table.clone(),
                    "no answer can bear an audience of ours, since `[gate]` names none",
                )
                .hint("write `audience` in `[gate]`, or `require_audience = false` here");
        }
        let url = file.url.as_ref().and_then(|url| endpoint(url, report));
        let terms = terms(&file.timeout, &file.remember, &file.remember_nobody, report);
        let (_, authority, target) = url?;
        Some(IntrospectionSettings {
            authority,
            target,
            backend: BackendName::new(INTROSPECTION).ok()?,
            client_id: client_id?.to_owned(),
            client_secret: Hidden(secret?.to_owned()),
            require_audience: file.require_audience,
            issuer: believed.issuer.unwrap_or_default().to_owned(),
            audiences: believed.audiences.to_vec(),
            roles_claim: believed.roles_claim.to_owned(),
            leeway: believed.leeway,
            terms,
        })
    }

    /// The backend that stands for the endpoint.
    pub(super) fn backend(
        file: &Spot<Self>,
        ca: Option<std::path::PathBuf>,
        report: &Report,
    ) -> Option<BackendSettings> {
        let url = file.value.url.as_ref()?;
        let (server, ..) = parts(&url.value)?;
        let timeout = file.value.timeout.value.0;
        Some(BackendSettings {
            name: BackendName::new(INTROSPECTION).ok()?,
            squad: SquadName::new("gate").ok()?,
            place: report.place(&url.span),
            servers: vec![server.into()],
            versions: None,
            pick: Pick::default(),
            slow_start: None,
            panic_below: 0.0,
            eject: EjectSettings::default(),
            breaker: None,
            line: None,
            adaptive: None,
            caps: crate::shield::pot::Caps::default(),
            health: None,
            connect_timeout: timeout,
            tls_timeout: None,
            first_byte_timeout: timeout,
            between_bytes_timeout: timeout,
            total_timeout: None, // a question has its own
            attempts: 2,
            wording: None,
            connections_max: 1024,
            idle_max: 16,
            idle_timeout: Duration::from_secs(30),
            ca,
        })
    }
}

fn endpoint(url: &Spot<String>, report: &mut Report) -> Option<(ServerAddress, String, String)> {
    let found = parts(&url.value);
    match &found {
        None => {
            report
                .error(
                    "bad-address",
                    url.span.clone(),
                    "`url` is not an http or https address",
                )
                .hint("write it in full, such as `https://iam.example.com/oauth2/introspect`");
        }
        Some((server, ..)) if server.scheme == Scheme::Http && !is_loopback(&server.host) => {
            report
                .warning(
                    "insecure-address",
                    url.span.clone(),
                    "tokens and this edge's secret go there in the clear",
                )
                .hint("write https; `ca` in `[gate]` names an authority of your own");
        }
        Some(_) => {}
    }
    found
}

fn parts(url: &str) -> Option<(ServerAddress, String, String)> {
    let uri = url.parse::<Uri>().ok()?;
    let (scheme, usual) = match uri.scheme_str()? {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?;
    if uri.authority()?.as_str().contains('@') {
        return None;
    }
    let server = ServerAddress {
        scheme,
        host: host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase(),
        port: uri.port_u16().unwrap_or(usual),
    };
    let authority = server.authority();
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    Some((server, authority, target))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn pointer(spot: &Spot<String>, key: &str, report: &mut Report) {
    if !spot.value.starts_with('/') {
        let pointer = format!("/{}", spot.value.replace('.', "/"));
        report
            .error(
                "bad-pointer",
                spot.span.clone(),
                format!("`{key}` is not a JSON pointer"),
            )
            .hint(format!("it starts with a slash, such as `{pointer}`"));
    }
}

fn names(cookies: &Spot<Vec<Spot<String>>>, report: &mut Report) -> Option<Vec<String>> {
    if cookies.value.is_empty() {
        report
            .error(
                "no-cookie",
                cookies.span.clone(),
                "without a cookie nobody is ever asked",
            )
            .hint("name the cookie of the application's sessions");
        return None;
    }
    let is_name_byte = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    for name in &cookies.value {
        if name.value.is_empty() || !name.value.bytes().all(is_name_byte) {
            report
                .error(
                    "bad-cookie",
                    name.span.clone(),
                    format!("`{}` can't be the name of a cookie", name.value),
                )
                .hint("letters, digits and `-._`");
        }
    }
    Some(cookies.value.iter().map(|name| name.value.clone()).collect())
}

fn terms(
    timeout: &Spot<DurationText>,
    remember: &Spot<DurationText>,
    nobody: &Spot<DurationText>,
    report: &mut Report,
) -> Terms {
    if timeout.value.0 > TIMEOUT_MAX {
        report
            .error(
                "out-of-range",
                timeout.span.clone(),
                "`timeout` is longer than ten seconds",
            )
            .hint("whoever asks waits for it before anything else happens");
    }
    for (spot, key) in [(remember, "remember"), (nobody, "remember_nobody")] {
        if spot.value.0 > REMEMBER_MAX {
            report
                .error(
                    "out-of-range",
                    spot.span.clone(),
                    format!("`{key}` is longer than five minutes"),
                )
                .hint("so long somebody who was signed out would be let in");
        } else if spot.value.0 < timeout.value.0 {
            let at = if spot.span.is_empty() { timeout } else { spot };
            report
                .error(
                    "out-of-range",
                    at.span.clone(),
                    format!("`{key}` is shorter than `timeout`"),
                )
                .hint("an answer has to count for longer than the question takes");
        }
    }
    Terms {
        timeout: timeout.value.0,
        remember: remember.value.0,
        remember_nobody: nobody.value.0,
    }
}

/// A backend that `[gate.legacy]` names, and where.
pub(super) type Asked = Spot<String>;

/// Whether the backend that is asked is there, and none that squads declare stands in the way of the gate's own.
pub(super) fn judge<'n>(
    asked: Option<&Asked>,
    known: impl Iterator<Item = &'n str> + Clone,
    is_unread: impl Fn(&str) -> bool,
    report: &mut Report,
) {
    let Some(asked) = asked else { return };
    if !known.clone().any(|name| name == asked.value) && !is_unread(&asked.value) {
        report
            .error(
                "unknown-backend",
                asked.span.clone(),
                format!("backend `{}` is not defined", asked.value),
            )
            .hint_if(suggest(&asked.value, known));
    }
}

/// Routes that take the legacy application's word, though nobody says where that is asked for.
pub(super) fn accepted(parts: &[SquadPart], gate: &GateSettings, reports: &mut BTreeMap<Arc<str>, Report>) {
    if gate.legacy.is_some() || gate.default_accept.has(Source::Legacy) {
        return; // said of the default once
    }
    for part in parts {
        let takes = |route: &&RoutePart| {
            let requirement = &route.settings.requirement;
            requirement.auth != Auth::None && requirement.accept.has(Source::Legacy)
        };
        for route in part.routes.iter().filter(takes) {
            if let Some(report) = reports.get_mut(&part.file) {
                report
                    .error(
                        "no-legacy",
                        route.path.clone(),
                        "this route accepts `legacy`, and `[gate]` does not say who is asked",
                    )
                    .hint("the operator adds `[gate.legacy]` to `banyan.toml`");
            }
        }
    }
}

/// A squad's backend of the gate's own name.
pub(super) fn is_reserved(name: &str, span: &Range<usize>, report: &mut Report) {
    if name == INTROSPECTION {
        report
            .error(
                "reserved-name",
                span.clone(),
                format!("`{INTROSPECTION}` is the gate's own backend"),
            )
            .hint("choose another name");
    }
}

/// Whoever waits longer has gone.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// RFC 7662 section 4: a shorter time is less exact for who asks, a longer one less safe.
const REMEMBER_MAX: Duration = Duration::from_secs(300);
