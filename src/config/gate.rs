//! `[gate]` as the operator writes it, and what it means.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    lookup::{Asked, Believed, IntrospectionFile, LegacyFile},
    machines::KEYS_FILE,
    operator::text,
    report::Report,
    sources::Sources,
    values::{DurationText, OneOrMany, SecretText, Spot},
};
use crate::{
    backend::BackendSettings,
    gate::{Auth, GateSettings, KeySource},
};

/// `[gate]`: whose tokens are believed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GateFile {
    /// The identity provider's issuer identifier: the `iss` that a token must bear. Only a gate with `legacy`, `introspection` or a
    /// `keys.toml` may lack one; then no signed token counts.
    issuer: Option<Spot<String>>,
    /// The `aud` values of which a token must bear one. Without it: `client_id`.
    audience: Option<Spot<OneOrMany>>,
    /// The issuer's keys: a JWKS file, or an http or https address of one. Without it: the address that the issuer's
    /// `/.well-known/openid-configuration` names.
    jwks: Option<Spot<String>>,
    /// JSON pointer of the claim that lists roles.
    roles_claim: Spot<String>,
    /// Clock difference allowed between the issuer and this machine; at most `5m`.
    leeway: Spot<DurationText>,
    /// What a route that says nothing about `auth` asks for. Without it each route must say.
    default_auth: Option<AuthFile>,
    /// This edge's name at the identity provider.
    client_id: Option<Spot<String>>,
    /// This edge's secret at the identity provider, best as `"${NAME}"`.
    client_secret: Option<SecretText>,
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
            // two machines with NTP differ by far less; what OpenID providers' own libraries allow
            leeway: Spot {
                value: DurationText(Duration::from_secs(30)),
                span: 0..0,
            },
            default_auth: None,
            client_id: None,
            client_secret: None,
            ca: None,
            legacy: None,
            introspection: None,
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
        if !file.roles_claim.value.starts_with('/') {
            let pointer = format!("/{}", file.roles_claim.value.replace('.', "/"));
            report
                .error(
                    "bad-pointer",
                    file.roles_claim.span.clone(),
                    "`roles_claim` is not a JSON pointer",
                )
                .hint(format!("it starts with a slash, such as `{pointer}`"));
        }
        if file.leeway.value.0 > LEEWAY_MAX {
            report
                .error(
                    "out-of-range",
                    file.leeway.span.clone(),
                    "`leeway` is longer than five minutes",
                )
                .hint("set the machines' clocks (NTP); a token that has ended should not live on");
        }
        let legacy = file
            .legacy
            .as_ref()
            .map(|legacy| LegacyFile::settle(legacy, report));
        let introspection = file.introspection.as_ref().map(|introspection| {
            let believed = Believed {
                client_id: file.client_id.as_ref().map(|id| id.value.as_str()),
                client_secret: file.client_secret.as_ref().map(|secret| secret.0.as_str()),
                issuer: file.issuer.as_ref().map(|issuer| issuer.value.as_str()),
                audiences: audiences.as_deref().unwrap_or_default(),
                roles_claim: &file.roles_claim.value,
                leeway: file.leeway.value.0,
            };
            IntrospectionFile::settle(introspection, &believed, report)
        });
        let issuer = issuer?;
        Some(GateSettings {
            keys: file.keys(&issuer, folder, report)?,
            issuer,
            audiences: audiences?,
            ca: file.ca.as_ref().map(|ca| folder.join(&ca.value)),
            // what is written and can't be used takes the whole gate with it
            legacy: legacy.map_or(Some(None), |legacy| legacy.map(Some))?,
            introspection: introspection.map_or(Some(None), |introspection| introspection.map(Some))?,
            roles_claim: file.roles_claim.value.clone(),
            leeway: file.leeway.value.0,
            default_auth: file.default_auth.map(Auth::from),
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

const LEEWAY_MAX: Duration = Duration::from_secs(300);
