//! `banyan.toml` as the operator writes it, and what it means.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    access::{self, GeoFile, KeyGroupsFile},
    admin::AdminFile,
    cache::CacheFile,
    consent::ConsentFile,
    dns::DnsFile,
    errors,
    gate::GateFile,
    handover::HandoverFile,
    layers::{self, LayersFile},
    limits::LimitsFile,
    listen::ListenFile,
    lookup,
    report::Report,
    rooms::RoomsFile,
    servers::zone_name,
    settings::{EdgeSettings, LogFormat, LogSettings, LogTarget},
    sources::Sources,
    squads::{SquadFile, squad_settings},
    values::{DurationText, SecretText, Spot},
};
use crate::{
    backend::BackendSettings,
    visitor::{Consent, SigningKey, VisitorSettings},
};

/// `banyan.toml`: the operator's file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OperatorFile {
    /// Names this edge answers for; route files may name a subset. `*.` in front means any one label. Empty: any name.
    hosts: Vec<Spot<String>>,
    /// Where to listen.
    listen: Option<Spot<ListenFile>>,
    /// Squads and what each may claim. Without any, every file in `routes/` may claim everything.
    squads: BTreeMap<Spot<String>, Spot<SquadFile>>,
    /// Authentication: whose tokens are believed. Without it no route may ask who someone is.
    gate: Option<Spot<GateFile>>,
    /// Who may see and change what on the admin listener. Without it: whoever reaches a loopback address may look, and who has
    /// the link that `banyan run` prints may change.
    admin: Option<Spot<AdminFile>>,
    /// The signed cookie that tells visitors apart.
    visitor: Option<Spot<VisitorFile>>,
    /// Layers: flags of which a visitor meets one at most.
    layers: LayersFile,
    /// Waiting rooms, by names that no other file uses.
    pub(super) rooms: RoomsFile,
    /// Keys that may sign addresses, in groups by name: each key's id (`Key-Pair-Id`) with the file of its public key in PEM, RSA of 2048
    /// bits or more, or ECDSA on P-256.
    key_groups: KeyGroupsFile,
    /// Where visitors are.
    geo: Option<Spot<GeoFile>>,
    /// Networks whose `Forwarded` and `X-Forwarded-*` are believed, as `10.0.0.0/8` or one address.
    trusted_proxies: Vec<Spot<String>>,
    /// The folder of certificates and keys.
    certs: Spot<String>,
    /// The folder where Banyan keeps what it makes itself.
    state: Spot<String>,
    /// Where this router stands, as backends' servers say it in their `zone`: those of the same zone are preferred, and the others get
    /// what they can't bear where fewer than 70 % of them are well.
    zone: Option<Spot<String>>,
    /// How servers' names are asked for.
    dns: DnsFile,
    /// Cores to use; 0: all of them.
    cores: Spot<usize>,
    /// How a new program takes over from the one that runs.
    handover: HandoverFile,
    /// Bounds of clients' connections and requests.
    limits: LimitsFile,
    /// What answers may take that are kept for everyone.
    cache: Option<Spot<CacheFile>>,
    /// The access log.
    log: LogFile,
    /// Pages that browsers are shown instead of errors, wherever a route has none of its own.
    errors: Vec<Spot<errors::ErrorPageFile>>,
}

impl Default for OperatorFile {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            listen: None,
            squads: BTreeMap::new(),
            gate: None,
            admin: None,
            visitor: None,
            layers: LayersFile::new(),
            rooms: RoomsFile::new(),
            key_groups: KeyGroupsFile::new(),
            geo: None,
            trusted_proxies: Vec::new(),
            certs: text("certs"),
            state: text("state"),
            zone: None,
            dns: DnsFile::default(),
            cores: Spot::default(), // an edge node has nothing else to do
            handover: HandoverFile::default(),
            limits: LimitsFile::default(),
            cache: None,
            log: LogFile::default(),
            errors: Vec::new(),
        }
    }
}

/// `[visitor]`: the signed cookie that tells visitors apart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct VisitorFile {
    /// Signing keys: the first signs, all verify. Without any, a key is made and kept in `state`.
    keys: Vec<Spot<KeyFile>>,
    /// How long the cookie lives; at most `400d`.
    max_age: Spot<DurationText>,
    /// `days`: cookies live for `max_age`. `session`: until the browser is closed. A table: for `max_age` once a cookie of the site
    /// says that the visitor agreed. Without it: `days`.
    consent: Option<Spot<ConsentFile>>,
    /// Makes the ids of users who sign in where a flag says `identity = "adopt"`; at least 32 bytes, best as `"${NAME}"`. Whoever has
    /// another one places users elsewhere. Without it: the last of `keys`.
    adopt_secret: Option<Spot<SecretText>>,
}

impl Default for VisitorFile {
    fn default() -> Self {
        let max_age = DurationText(Duration::from_secs(180 * 86_400)); // half a year: longer than any rollout
        Self {
            keys: Vec::new(),
            max_age: Spot {
                value: max_age,
                span: 0..0,
            },
            consent: None,
            adopt_secret: None,
        }
    }
}

/// `[[visitor.keys]]`, `[[gate.session.keys]]`: a secret with a name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeyFile {
    /// Its name inside cookies: one to eight letters and digits.
    #[schemars(required, extend("x-required" = true))]
    id: Option<Spot<String>>,
    /// At least 32 bytes, best as `"${NAME}"`.
    #[schemars(required, extend("x-required" = true))]
    secret: Option<Spot<SecretText>>,
}

/// `[log]`: the access log.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LogFile {
    /// What a line looks like.
    format: LogFormatFile,
    /// `stdout`, `off`, or the path of a file.
    to: Spot<String>,
    /// This machine's name in lines of the format `cloudfront` (`x-edge-location`). Without it: its host name.
    location: Option<Spot<String>>,
}

impl Default for LogFile {
    fn default() -> Self {
        Self {
            format: LogFormatFile::Json,
            to: text("stdout"),
            location: None,
        }
    }
}

/// What a line of the access log looks like.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum LogFormatFile {
    /// One flat JSON object.
    Json,
    /// NCSA combined, which every log tool reads.
    Combined,
    /// The 33 fields of CloudFront's standard log, tab-separated.
    CloudFront,
}

impl OperatorFile {
    /// Where each squad is written.
    pub(super) fn squad_spans(&self) -> BTreeMap<String, std::ops::Range<usize>> {
        self.squads
            .keys()
            .map(|name| (name.value.clone(), name.span.clone()))
            .collect()
    }

    /// Who the gate asks: the place where the legacy application's backend is named, and the backend that stands for introspection.
    pub(super) fn asked(
        &self,
        edge: &EdgeSettings,
        report: &Report,
    ) -> (Option<lookup::Asked>, Option<BackendSettings>) {
        let ca = edge.gate.as_ref().and_then(|gate| gate.ca.clone());
        let gate = self.gate.as_ref();
        gate.map_or((None, None), |gate| gate.value.asked(ca, report))
    }

    fn squad_names(&self) -> Vec<&str> {
        self.squads.keys().map(|name| name.value.as_str()).collect()
    }

    /// Whether there is a `[geo]`.
    pub(super) const fn has_geo(&self) -> bool {
        self.geo.is_some()
    }

    /// Judges the file. What is wrong is in the report.
    pub(super) fn settle(&self, sources: &Sources, report: &mut Report) -> EdgeSettings {
        let folder = sources.folder.as_path();
        EdgeSettings {
            hosts: hosts(&self.hosts, report),
            listen: ListenFile::settle(self.listen.as_ref(), report),
            trusted_proxies: self
                .trusted_proxies
                .iter()
                .filter_map(|text| network(text, report))
                .collect(),
            certs: folder_of(folder, &self.certs, "certs", report),
            state: folder_of(folder, &self.state, "state", report),
            zone: self.zone.as_ref().map(|zone| {
                zone_name(zone, report);
                zone.value.as_str().into()
            }),
            dns: self.dns.settle(report),
            cores: cores(&self.cores, report),
            handover: self.handover.settle(folder, report),
            limits: self.handover.bound(self.limits.settle()),
            cache: CacheFile::settle(self.cache.as_ref(), report),
            cache_disk: CacheFile::settle_disk(self.cache.as_ref(), folder, report),
            log: self.log.settle(folder, report),
            errors: errors::pages(&self.errors, sources, report),
            visitor: self
                .visitor
                .as_ref()
                .and_then(|visitor| visitor.value.settle(report)),
            gate: self
                .gate
                .as_ref()
                .and_then(|gate| GateFile::settle(gate, sources, report)),
            layers: layers::settle(&self.layers, report),
            admin: AdminFile::settle(
                self.admin.as_ref(),
                &self.squad_names(),
                self.gate.is_some(),
                report,
            )
            .into(),
            key_groups: access::key_groups(&self.key_groups, sources, report),
            places: self
                .geo
                .as_ref()
                .and_then(|geo| GeoFile::settle(geo, sources, report)),
            squads: self
                .squads
                .iter()
                .filter_map(|(name, squad)| squad_settings(name, squad, report))
                .collect(),
        }
    }
}

/// Host names, checked and in lower case.
pub(super) fn hosts(written: &[Spot<String>], report: &mut Report) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::with_capacity(written.len());
    for host in written {
        let name = host.value.to_ascii_lowercase();
        if !is_host(&name) {
            report
                .error(
                    "bad-host",
                    host.span.clone(),
                    format!("`{}` is not a host name", host.value),
                )
                .hint("write a name such as `www.example.com` or `*.example.com`, without scheme and port");
        } else if hosts.contains(&name) {
            report.warning(
                "repeated-host",
                host.span.clone(),
                format!("`{name}` stands here twice"),
            );
        } else {
            hosts.push(name);
        }
    }
    hosts
}

fn is_host(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = address {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let name = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn network(text: &Spot<String>, report: &mut Report) -> Option<IpNet> {
    let one = || text.value.parse::<IpAddr>().map(IpNet::from);
    let network = text.value.parse::<IpNet>().or_else(|_| one());
    if network.is_err() {
        report
            .error(
                "bad-network",
                text.span.clone(),
                format!("`{}` is not a network", text.value),
            )
            .hint("write `10.0.0.0/8`, `fd00::/8`, or one address");
    }
    network.ok()
}

fn folder_of(folder: &Path, path: &Spot<String>, key: &str, report: &mut Report) -> PathBuf {
    if path.value.is_empty() {
        report
            .error("bad-path", path.span.clone(), format!("`{key}` can't be empty"))
            .hint("name a folder");
    }
    folder.join(&path.value)
}

fn cores(cores: &Spot<usize>, report: &mut Report) -> usize {
    if cores.value > CORES_MAX {
        report
            .error(
                "out-of-range",
                cores.span.clone(),
                format!("`cores` is {}", cores.value),
            )
            .hint(format!("it is a whole number from 0 (all cores) to {CORES_MAX}"));
    }
    cores.value
}

impl VisitorFile {
    fn settle(&self, report: &mut Report) -> Option<VisitorSettings> {
        if self.max_age.value.0 > MAX_AGE_MAX {
            report
                .error(
                    "out-of-range",
                    self.max_age.span.clone(),
                    "`max_age` is longer than 400 days",
                )
                .hint("browsers drop a cookie after 400 days; write at most \"400d\"");
        }
        let mut keys: Vec<SigningKey> = Vec::new();
        for key in &self.keys {
            let Some(signing) = key.value.settle(&key.span, report) else {
                continue;
            };
            if keys.iter().any(|other| other.id == signing.id) {
                let what = format!("two signing keys are called `{}`", signing.id);
                report
                    .error("bad-key", key.span.clone(), what)
                    .hint("give each its own `id`");
            }
            keys.push(signing);
        }
        if keys.is_empty() && !self.keys.is_empty() {
            return None;
        }
        Some(VisitorSettings {
            keys,
            max_age: self.max_age.value.0,
            consent: self
                .consent
                .as_ref()
                .map_or(Consent::Days, |consent| ConsentFile::settle(consent, report)),
            adopt_secret: self.adopt_secret.as_ref().map(|secret| {
                check_secret(secret, report);
                secret.value.0.clone().into_bytes()
            }),
        })
    }
}

impl KeyFile {
    pub(super) fn settle(&self, table: &std::ops::Range<usize>, report: &mut Report) -> Option<SigningKey> {
        if self.id.is_none() {
            report.missing(table, "id", "give the key a name, such as `id = \"a\"`");
        }
        if self.secret.is_none() {
            report.missing(table, "secret", "write `secret = \"${BANYAN_VISITOR_KEY}\"`");
        }
        let (id, secret) = (self.id.as_ref()?, self.secret.as_ref()?);
        if !(1..=8).contains(&id.value.len()) || !id.value.bytes().all(|b| b.is_ascii_alphanumeric()) {
            report
                .error(
                    "bad-key",
                    id.span.clone(),
                    format!("`{}` can't be the id of a key", id.value),
                )
                .hint("one to eight letters and digits");
        }
        check_secret(secret, report);
        Some(SigningKey {
            id: id.value.clone(),
            secret: secret.value.0.clone().into_bytes(),
        })
    }
}

fn check_secret(secret: &Spot<SecretText>, report: &mut Report) {
    let bytes = secret.value.0.len();
    if bytes < SECRET_BYTES_MIN {
        report
            .error(
                "bad-key",
                secret.span.clone(),
                format!("the secret has only {bytes} bytes"),
            )
            .hint(format!(
                "at least {SECRET_BYTES_MIN}; `openssl rand -hex 32` makes a good one"
            ));
    }
}

impl LogFile {
    fn settle(&self, folder: &Path, report: &mut Report) -> LogSettings {
        if let (Some(location), false) = (&self.location, matches!(self.format, LogFormatFile::CloudFront)) {
            report
                .warning(
                    "unused-key",
                    location.span.clone(),
                    "`location` has no meaning here: only lines of the format `cloudfront` bear it",
                )
                .hint("take it out, or write `format = \"cloudfront\"`");
        }
        LogSettings {
            format: match self.format {
                LogFormatFile::Json => LogFormat::Json,
                LogFormatFile::Combined => LogFormat::Combined,
                LogFormatFile::CloudFront => LogFormat::CloudFront {
                    location: self.location.as_ref().map(|location| location.value.clone()),
                },
            },
            to: match self.to.value.as_str() {
                "stdout" => LogTarget::Stdout,
                "off" => LogTarget::Off,
                path => LogTarget::File(folder.join(path)),
            },
        }
    }
}

pub(super) fn text(value: &str) -> Spot<String> {
    Spot {
        value: value.to_owned(),
        span: 0..0,
    }
}

/// What RFC 6265bis lets a browser keep.
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 86_400);

/// As long as the hash that signs (HMAC-SHA-256).
const SECRET_BYTES_MIN: usize = 32;

const CORES_MAX: usize = 1_024;
