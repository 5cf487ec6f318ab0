//! `[gate]` as the operator writes it, and what it means.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderName, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    lookup::{Asked, Believed, IntrospectionFile, LegacyFile},
    machines::KEYS_FILE,
    operator::text,
    report::Report,
    session::SessionFile,
    sources::Sources,
    values::{DurationText, OneOrMany, SecretText, Spot},
    who::{self, DemandFile, GROUPS},
};
use crate::{
    backend::BackendSettings,
    gate::{
        Accept, Auth, GateSettings, KeySource, LIFETIME, Source, TokenProfile, fold_name,
        lookup::{IntrospectionSettings, LegacySettings},
    },
};

/// `[gate]`: whose tokens are believed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GateFile {
    /// The identity provider's issuer identifier: the `iss` that a token must bear. Only a gate with `legacy`, `introspection` or a
    /// `keys.toml` may lack one; then no signed token counts.
    pub(super) issuer: Option<Spot<String>>,
    /// The `aud` values of which a token must bear one. Without it: `client_id`.
    audience: Option<Spot<OneOrMany>>,
    /// The issuer's keys: a JWKS file, or an http or https address of one. Without it: the address that the issuer's
    /// `/.well-known/openid-configuration` names.
    jwks: Option<Spot<String>>,
    /// JSON pointer of the claim that lists roles.
    roles_claim: Spot<String>,
    /// JSON pointer of the claim that lists groups.
    groups_claim: Spot<String>,
    /// Clock difference allowed between the issuer and this machine; at most `30s`.
    leeway: Spot<DurationText>,
    /// `rfc9068`: access tokens as RFC 9068 has them. `jwt`: for issuers that don't follow it; `typ` may be `JWT` or missing, and
    /// `client_id`, `iat` and `jti` may be missing.
    tokens: TokensFile,
    /// How far ahead the end of a token may be; at most `10d`.
    max_lifetime: Spot<DurationText>,
    /// What a route that says nothing about `auth` asks for. Without it each route must say.
    default_auth: Option<AuthFile>,
    /// What may say who someone is where a route does not say: `session`, `bearer`, `legacy`, `key`.
    default_accept: Option<Spot<Vec<Source>>>,
    /// What is asked of parts of the site, whatever routes say.
    demand: Vec<Spot<DemandFile>>,
    /// Fields that no client may send, such as `X-Remote-User`: backends believe them to be said by whoever signed people in before.
    /// A last `*` stands for any end. Capitals make no difference, nor does another character for `-`.
    strip: Vec<Spot<String>>,
    /// This edge's name at the identity provider. With it people can sign in there: pages send them, and a sealed cookie knows them again.
    pub(super) client_id: Option<Spot<String>>,
    /// This edge's secret at the identity provider, best as `"${NAME}"`.
    pub(super) client_secret: Option<SecretText>,
    /// How long people stay signed in.
    pub(super) session: Option<Spot<SessionFile>>,
    /// A PEM file of certificate authorities for the issuer and the introspection endpoint, beside the system's.
    ca: Option<Spot<String>>,
    /// The legacy application is asked who its cookie belongs to.
    legacy: Option<Spot<LegacyFile>>,
    /// The authorization server is asked what an opaque token is worth.
    introspection: Option<Spot<IntrospectionFile>>,
}

impl Default for GateFile {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks: None,
            roles_claim: text("/roles"),
            groups_claim: text(GROUPS),
            // two machines with NTP differ by far less; what OpenID providers' own libraries allow
            leeway: Spot {
                value: DurationText(Duration::from_secs(30)),
                span: 0..0,
            },
            tokens: TokensFile::Rfc9068,
            max_lifetime: Spot {
                value: DurationText(LIFETIME),
                span: 0..0,
            },
            default_auth: None,
            default_accept: None,
            demand: Vec::new(),
            strip: Vec::new(),
            client_id: None,
            client_secret: None,
            ca: None,
            legacy: None,
            introspection: None,
            session: None,
        }
    }
}

/// Whether a route wants to know who someone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthFile {
    /// Nobody looks.
    None,
    /// Whoever brings a credential must bring a valid one; others pass unnamed.
    Optional,
    /// Nobody passes without.
    Required,
}

/// How strictly access tokens are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokensFile {
    /// As RFC 9068 has them.
    Rfc9068,
    /// Any JWT that is not plainly something else.
    Jwt,
}

impl From<TokensFile> for TokenProfile {
    fn from(tokens: TokensFile) -> Self {
        match tokens {
            TokensFile::Rfc9068 => Self::Rfc9068,
            TokensFile::Jwt => Self::Jwt,
        }
    }
}

impl From<AuthFile> for Auth {
    fn from(auth: AuthFile) -> Self {
        match auth {
            AuthFile::None => Self::None,
            AuthFile::Optional => Self::Optional,
            AuthFile::Required => Self::Required,
        }
    }
}

impl GateFile {
    /// Judges the table. `None` when something needed is missing; then the report says so.
    pub(super) fn settle(gate: &Spot<Self>, sources: &Sources, report: &mut Report) -> Option<GateSettings> {
        let (file, table) = (&gate.value, &gate.span);
        let folder = sources.folder.as_path();
        let others =
            file.legacy.is_some() || file.introspection.is_some() || sources.get(KEYS_FILE).is_some();
        let issuer = file.issuer(table, others, report);
        let needs_audience = file.issuer.is_some() || !others;
        let audiences = file.audiences(table, needs_audience, report);
        pointer(&file.roles_claim, "roles_claim", report);
        pointer(&file.groups_claim, "groups_claim", report);
        file.check_times(report);
        let demands = who::demands(&file.demand, &file.groups_claim.value, report);
        let strip = file
            .strip
            .iter()
            .filter_map(|name| stripped(name, report))
            .collect();
        let default_accept = file.default_accept(report);
        let session = SessionFile::settle(file, report);
        let others = file.others(audiences.as_deref().unwrap_or_default(), report);
        let issuer = issuer?;
        let (legacy, introspection) = others?;
        Some(GateSettings {
            keys: file.keys(&issuer, folder, report)?,
            issuer,
            audiences: audiences?,
            ca: file.ca.as_ref().map(|ca| folder.join(&ca.value)),
            legacy,
            introspection,
            roles_claim: file.roles_claim.value.clone(),
            leeway: file.leeway.value.0,
            default_auth: file.default_auth.map(Auth::from),
            default_accept: default_accept.unwrap_or_default(),
            groups_claim: file.groups_claim.value.clone(),
            profile: file.tokens.into(),
            max_lifetime: file.max_lifetime.value.0,
            demands,
            strip,
            session,
        })
    }

    /// Where the backend is named that knows whose cookies are, and the backend that stands for introspection.
    pub(super) fn asked(
        &self,
        ca: Option<PathBuf>,
        report: &Report,
    ) -> (Option<Asked>, Option<BackendSettings>) {
        let legacy = self.legacy.as_ref().and_then(|legacy| legacy.value.backend());
        let introspection = self.introspection.as_ref();
        let own = introspection.and_then(|file| IntrospectionFile::backend(file, ca, report));
        (legacy.cloned(), own)
    }

    /// Who is asked about cookies, and who about opaque tokens. `None`: what is written can't be used, and takes the whole gate with it.
    fn others(
        &self,
        audiences: &[String],
        report: &mut Report,
    ) -> Option<(Option<LegacySettings>, Option<IntrospectionSettings>)> {
        let legacy = self
            .legacy
            .as_ref()
            .map(|legacy| LegacyFile::settle(legacy, report));
        let introspection = self.introspection.as_ref().map(|introspection| {
            let believed = Believed {
                client_id: self.client_id.as_ref().map(|id| id.value.as_str()),
                client_secret: self.client_secret.as_ref().map(|secret| secret.0.as_str()),
                issuer: self.issuer.as_ref().map(|issuer| issuer.value.as_str()),
                audiences,
                roles_claim: &self.roles_claim.value,
                leeway: self.leeway.value.0,
            };
            IntrospectionFile::settle(introspection, &believed, report)
        });
        Some((
            legacy.map_or(Some(None), |legacy| legacy.map(Some))?,
            introspection.map_or(Some(None), |introspection| introspection.map(Some))?,
        ))
    }

    fn default_accept(&self, report: &mut Report) -> Option<Accept> {
        let written = self.default_accept.as_ref();
        let accept = who::accept(written, report);
        if let (Some(written), None) = (written, &self.legacy)
            && written.value.contains(&Source::Legacy)
        {
            report
                .error(
                    "no-legacy",
                    written.span.clone(),
                    "routes that say nothing accept `legacy`, and `[gate]` does not say who is asked",
                )
                .hint("add `[gate.legacy]`, or take `legacy` out");
        }
        accept
    }

    fn check_times(&self, report: &mut Report) {
        if self.leeway.value.0 > LEEWAY_MAX {
            report
                .error(
                    "out-of-range",
                    self.leeway.span.clone(),
                    "`leeway` is longer than half a minute",
                )
                .hint("set the machines' clocks (NTP); a token that has ended should not live on");
        }
        if self.max_lifetime.value.0 > MAX_LIFETIME_MAX {
            report
                .error(
                    "out-of-range",
                    self.max_lifetime.span.clone(),
                    "`max_lifetime` is longer than ten days",
                )
                .hint("a token that lives that long can't be called back; have the issuer make shorter ones");
        }
    }

    fn issuer(&self, table: &Range<usize>, others: bool, report: &mut Report) -> Option<String> {
        let Some(issuer) = &self.issuer else {
            if others {
                return Some(String::new());
            }
            report.missing(
                table,
                "issuer",
                "write the identity provider's address, as its tokens say it under `iss`",
            );
            return None;
        };
        address(issuer, "issuer", report)
    }

    fn audiences(&self, table: &Range<usize>, is_needed: bool, report: &mut Report) -> Option<Vec<String>> {
        let written: Vec<String> = match (&self.audience, &self.client_id) {
            (Some(audience), _) => audience.value.0.iter().map(|text| text.value.clone()).collect(),
            (None, Some(client)) => vec![client.value.clone()],
            (None, None) if !is_needed => return Some(Vec::new()),
            (None, None) => {
                report.missing(
                    table,
                    "audience",
                    "name what tokens for this site bear under `aud`, or a `client_id`",
                );
                return None;
            }
        };
        if written.is_empty() || written.iter().any(String::is_empty) {
            let span = self.audience.as_ref().map(|audience| audience.span.clone());
            let span = span.or_else(|| self.client_id.as_ref().map(|client| client.span.clone()));
            report
                .error(
                    "bad-audience",
                    span.unwrap_or_else(|| table.clone()),
                    "an audience can't be empty",
                )
                .hint("without one, tokens made for other sites would be let in");
            return None;
        }
        Some(written)
    }

    fn keys(&self, issuer: &str, folder: &Path, report: &mut Report) -> Option<KeySource> {
        if issuer.is_empty() {
            return Some(KeySource::Nowhere);
        }
        let Some(jwks) = &self.jwks else {
            return Some(KeySource::Url(format!(
                "{}{DISCOVERY}",
                issuer.trim_end_matches('/')
            )));
        };
        if jwks.value.contains("://") {
            return address(jwks, "jwks", report).map(KeySource::Url);
        }
        if jwks.value.is_empty() {
            report
                .error("bad-address", jwks.span.clone(), "`jwks` can't be empty")
                .hint("name a file or an address");
            return None;
        }
        Some(KeySource::File(folder.join(&jwks.value)))
    }
}

fn pointer(claim: &Spot<String>, key: &str, report: &mut Report) {
    if !claim.value.starts_with('/') {
        let pointer = format!("/{}", claim.value.replace('.', "/"));
        report
            .error(
                "bad-pointer",
                claim.span.clone(),
                format!("`{key}` is not a JSON pointer"),
            )
            .hint(format!("it starts with a slash, such as `{pointer}`"));
    }
}

/// A name of a field that is taken out, folded.
fn stripped(name: &Spot<String>, report: &mut Report) -> Option<Box<str>> {
    let (start, end) = match name.value.strip_suffix('*') {
        Some(start) => (start, "*"),
        None => (name.value.as_str(), ""),
    };
    let folded = fold_name(start);
    let good =
        (1..=STRIP_BYTES_MAX).contains(&start.len()) && HeaderName::from_bytes(start.as_bytes()).is_ok();
    let is_needed = |needed: &&&str| match end {
        "*" => needed.starts_with(&*folded),
        _ => **needed == &*folded,
    };
    if let Some(needed) = NEVER_STRIPPED.iter().find(is_needed) {
        report
            .error(
                "bad-header",
                name.span.clone(),
                format!(
                    "`{}` would take `{needed}` out, without which no request is understood",
                    name.value
                ),
            )
            .hint("name what an application believes of who someone is, such as `X-Remote-User`");
        return None;
    }
    if !good {
        report
            .error(
                "bad-header",
                name.span.clone(),
                format!("`{}` can't be the name of a header field", name.value),
            )
            .hint("letters, digits and `-`, with a `*` at its end for any end");
        return None;
    }
    Some([&*folded, end].concat().into())
}

fn address(text: &Spot<String>, key: &str, report: &mut Report) -> Option<String> {
    let uri = text.value.parse::<Uri>().ok();
    let good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if good {
        return Some(text.value.clone());
    }
    report
        .error(
            "bad-address",
            text.span.clone(),
            format!("`{key}` is not an http or https address: `{}`", text.value),
        )
        .hint("write it in full, such as `https://iam.example.com/realms/main`");
    None
}

/// Where an OpenID provider says the address of its keys (OpenID Connect Discovery 1.0, section 4).
pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A token that has ended should not live on (RFC 7519 section 4.1.4: "a few minutes"; clocks that follow NTP differ by less).
const LEEWAY_MAX: Duration = Duration::from_secs(30);

const MAX_LIFETIME_MAX: Duration = Duration::from_secs(10 * 86_400);

const STRIP_BYTES_MAX: usize = 64;

/// What makes a request what it is. Credentials are not among what can be stripped either: routes say what becomes of them.
const NEVER_STRIPPED: [&str; 10] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "origin",
    "transfer-encoding",
];
