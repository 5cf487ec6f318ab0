//! Origins and origin groups become backends: one for each `Host` that an origin is sent.

use std::collections::BTreeSet;

use super::{
    finding::{Findings, Severity},
    keys,
    names::{Names, plain},
    plan::{Backend, Failover, Host, SecretField},
    shape::{CustomOrigin, Distribution, Origin, OriginGroup, said, unknown},
};
use crate::{
    backend::wording::FIXED_FIELDS_MAX,
    policy::{failover::Statuses, request::check_prefix},
};

/// The backends that routes have led to so far.
#[derive(Debug)]
pub(super) struct Backends<'d> {
    distribution: &'d Distribution,
    pub(super) made: Vec<Backend>,
    pub(super) secrets: Vec<SecretField>,
}

/// Where a behaviour leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) backend: String,
    pub(super) failover: Option<Failover>,
}

impl<'d> Backends<'d> {
    pub(super) fn new(distribution: &'d Distribution) -> Self {
        Self {
            distribution,
            made: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Two of one name, and origins that no behaviour leads to, which are not written.
    pub(super) fn tell_odd(&self, findings: &mut Findings) {
        let origins = self
            .distribution
            .origins
            .items
            .iter()
            .map(|origin| said(&origin.id));
        let groups = self
            .distribution
            .origin_groups
            .items
            .iter()
            .map(|group| said(&group.id));
        let mut known = BTreeSet::new();
        for id in origins.chain(groups).flatten() {
            if !known.insert(id) {
                let what = format!("two origins or groups are called `{}`", plain(id));
                findings.error("repeated-origin", what, "mend the file");
            }
        }
        for origin in &self.distribution.origins.items {
            let id = said(&origin.id).unwrap_or_default();
            if !self.made.iter().any(|backend| backend.id == id) {
                let what = format!("no behaviour leads to origin `{}`, so it is left out", plain(id));
                findings.note("unused-origin", what, "look whether a function chose it");
            }
        }
    }

    /// The backend of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Backend> {
        self.made.iter().find(|backend| backend.name == name)
    }

    /// Where `TargetOriginId` leads; `None` when it leads nowhere, which is then in the findings.
    pub(super) fn target(
        &mut self,
        behaviour: usize,
        id: &str,
        host: Host,
        names: &mut Names,
        findings: &mut Findings,
    ) -> Option<Target> {
        let groups = &self.distribution.origin_groups.items;
        if let Some(group) = groups.iter().find(|group| said(&group.id) == Some(id)) {
            return self.pair(behaviour, group, host, names, findings);
        }
        let backend = self.backend(behaviour, id, host, names, findings)?;
        Some(Target {
            backend,
            failover: None,
        })
    }

    fn pair(
        &mut self,
        behaviour: usize,
        group: &OriginGroup,
        host: Host,
        names: &mut Names,
        findings: &mut Findings,
    ) -> Option<Target> {
        let id = plain(said(&group.id).unwrap_or_default());
        let [first, second] = group.members.items.as_slice() else {
            findings.at(
                behaviour,
                Severity::Error,
                "bad-group",
                format!("origin group `{id}` has {} members", group.members.items.len()),
                "a group has two; mend the file",
            );
            return None;
        };
        if said(&group.selection_criteria).is_some_and(|criteria| criteria != "default") {
            findings.at(
                behaviour,
                Severity::Warning,
                "media-quality",
                format!(
                    "origin group `{id}` chose by media quality; Banyan goes by statuses and failures only"
                ),
                "watch which of the two answers",
            );
        }
        let first = said(&first.origin_id).unwrap_or_default();
        let second = said(&second.origin_id).unwrap_or_default();
        if first == second {
            findings.at(
                behaviour,
                Severity::Error,
                "bad-group",
                format!("both members of origin group `{id}` are `{}`", plain(first)),
                "a group has two; mend the file",
            );
            return None;
        }
        let first = self.backend(behaviour, first, host, names, findings);
        let second = self.backend(behaviour, second, host, names, findings);
        let mut on = group
            .failover_criteria
            .get()
            .map(|criteria| criteria.status_codes.items.clone())
            .unwrap_or_default();
        on.sort_unstable();
        on.dedup();
        let fails = |status: &u16| Statuses::ALLOWED.iter().any(|(known, _)| known == status);
        let odd: Vec<String> = on
            .iter()
            .filter(|status| !fails(status))
            .map(u16::to_string)
            .collect();
        if !odd.is_empty() {
            findings.at(
                behaviour,
                Severity::Warning,
                "failover-status",
                format!(
                    "origin group `{id}` fails over on {}, which Banyan doesn't",
                    odd.join(", ")
                ),
                "have the backend answer 500, 502, 503 or 504 when it fails",
            );
        }
        on.retain(fails);
        Some(Target {
            backend: first?,
            failover: Some(Failover { backend: second?, on }),
        })
    }

    fn backend(
        &mut self,
        behaviour: usize,
        id: &str,
        host: Host,
        names: &mut Names,
        findings: &mut Findings,
    ) -> Option<String> {
        let origins = &self.distribution.origins.items;
        let Some(origin) = origins.iter().find(|origin| said(&origin.id) == Some(id)) else {
            findings.at(
                behaviour,
                Severity::Error,
                "unknown-origin",
                format!(
                    "nothing is called `{}`, neither an origin nor an origin group",
                    plain(id)
                ),
                "mend TargetOriginId, or the group's members",
            );
            return None;
        };
        tell(behaviour, origin, findings);
        let known = self
            .made
            .iter()
            .find(|backend| backend.id == id && backend.host == host);
        if let Some(known) = known {
            return Some(known.name.clone());
        }
        let server = server(behaviour, origin, findings)?;
        let path = path(behaviour, origin, findings)?;
        let twin = self.made.iter().any(|backend| backend.id == id);
        let text = match (twin, host) {
            (false, _) => id.to_owned(),
            (true, Host::Server) => format!("{id}-own-host"),
            (true, Host::Visitor) => format!("{id}-visitor-host"),
        };
        let name = names.claim(&text, "backend");
        self.secrets(behaviour, &name, origin, findings);
        self.made.push(made(name.clone(), origin, server, path, host));
        Some(name)
    }

    fn secrets(&mut self, behaviour: usize, backend: &str, origin: &Origin, findings: &mut Findings) {
        for header in &origin.custom_headers.items {
            let field = said(&header.header_name).unwrap_or_default();
            let (Ok(_), Some(value)) = (
                http::HeaderName::from_bytes(field.as_bytes()),
                &header.header_value,
            ) else {
                let what = format!(
                    "a custom header of origin `{}` has no usable name",
                    plain(&origin_id(origin))
                );
                findings.at(
                    behaviour,
                    Severity::Error,
                    "bad-header",
                    what,
                    "mend it in the file",
                );
                continue;
            };
            if keys::is_fixed_request_field(field) {
                findings.at(
                    behaviour,
                    Severity::Warning,
                    "fixed-header",
                    format!(
                        "origin `{}` was always sent `{}`, which no backend's table can set: Banyan says it, or the visitor",
                        plain(&origin_id(origin)),
                        plain(field)
                    ),
                    "send another name, and have the backend read that",
                );
                continue;
            }
            let own = self.secrets.iter().filter(|secret| secret.backend == backend);
            if own.clone().any(|secret| secret.field.eq_ignore_ascii_case(field))
                || own.count() >= FIXED_FIELDS_MAX
            {
                findings.at(
                    behaviour,
                    Severity::Error,
                    "bad-header",
                    format!(
                        "origin `{}` has the custom header `{}` twice, or more than {FIXED_FIELDS_MAX} of them",
                        plain(&origin_id(origin)),
                        plain(field)
                    ),
                    "mend it in the file",
                );
                continue;
            }
            self.secrets.push(SecretField {
                backend: backend.to_owned(),
                field: field.to_owned(),
                value: value.clone(),
            });
        }
    }
}

fn origin_id(origin: &Origin) -> String {
    origin.id.clone().unwrap_or_default()
}

fn made(name: String, origin: &Origin, server: String, path: String, host: Host) -> Backend {
    let custom = origin.custom_origin_config.get();
    let s3 = origin.s3_origin_config.get();
    let vpc = origin.vpc_origin_config.get();
    let read_timeout = custom
        .and_then(|custom| custom.origin_read_timeout.0)
        .or_else(|| s3?.origin_read_timeout.0)
        .or_else(|| vpc?.origin_read_timeout.0);
    let idle_timeout = custom
        .and_then(|custom| custom.origin_keepalive_timeout.0)
        .or_else(|| vpc?.origin_keepalive_timeout.0);
    Backend {
        name,
        id: origin_id(origin),
        server,
        path,
        host,
        headers: Vec::new(),
        connect_timeout: origin.connection_timeout.0.unwrap_or(CONNECT_TIMEOUT).max(1),
        read_timeout: read_timeout.unwrap_or(READ_TIMEOUT).max(1),
        idle_timeout: idle_timeout.unwrap_or(IDLE_TIMEOUT).max(1),
        total_timeout: origin
            .response_completion_timeout
            .0
            .filter(|seconds| *seconds > 0),
        attempts: origin
            .connection_attempts
            .0
            .unwrap_or(ATTEMPTS)
            .clamp(1, ATTEMPTS),
    }
}

/// Scheme, name and port.
fn server(behaviour: usize, origin: &Origin, findings: &mut Findings) -> Option<String> {
    let domain = said(&origin.domain_name).unwrap_or_default().to_ascii_lowercase();
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if domain.is_empty() || domain.len() > 253 || !domain.bytes().all(fits) {
        findings.at(
            behaviour,
            Severity::Error,
            "bad-domain",
            format!("origin `{}` has no usable DomainName", plain(&origin_id(origin))),
            "mend it in the file",
        );
        return None;
    }
    let no_config = CustomOrigin::default();
    let custom = origin.custom_origin_config.get().unwrap_or(&no_config);
    let (scheme, port, usual) = match said(&custom.origin_protocol_policy) {
        Some("http-only") => ("http", custom.http_port.0.unwrap_or(80), 80),
        _ => ("https", custom.https_port.0.unwrap_or(443), 443),
    };
    if port == 0 || port > u64::from(u16::MAX) {
        let what = format!("origin `{}` has port {port}", plain(&origin_id(origin)));
        findings.at(
            behaviour,
            Severity::Error,
            "bad-port",
            what,
            "a port is a number from 1 to 65535",
        );
        return None;
    }
    Some(if port == usual {
        format!("{scheme}://{domain}")
    } else {
        format!("{scheme}://{domain}:{port}")
    })
}

fn path(behaviour: usize, origin: &Origin, findings: &mut Findings) -> Option<String> {
    let path = said(&origin.origin_path)
        .unwrap_or_default()
        .trim_end_matches('/');
    if path.is_empty() {
        return Some(String::new());
    }
    if path.len() <= PATH_BYTES_MAX && check_prefix(path).is_ok() {
        return Some(path.to_owned());
    }
    let what = format!(
        "OriginPath `{}` of origin `{}` is not a plain path",
        plain(path),
        plain(&origin_id(origin))
    );
    findings.at(
        behaviour,
        Severity::Error,
        "bad-path",
        what,
        format!("it starts with `/`, has no dot segments, doubled slashes or needless escapes, and at most {PATH_BYTES_MAX} bytes"),
    );
    None
}

/// What an origin asks for that a backend doesn't have.
fn tell(behaviour: usize, origin: &Origin, findings: &mut Findings) {
    let id = plain(&origin_id(origin));
    let mut warn =
        |kind, what: String, hint: &str| findings.at(behaviour, Severity::Warning, kind, what, hint);
    let identity = origin
        .s3_origin_config
        .get()
        .and_then(|s3| said(&s3.origin_access_identity));
    if said(&origin.origin_access_control_id).is_some() || identity.is_some() {
        warn(
            "unsigned-storage",
            format!(
                "CloudFront signed its requests to origin `{id}`; Banyan doesn't, so the storage will answer 403"
            ),
            "put a proxy that signs before it, or let Banyan's addresses read it by the bucket's policy",
        );
    } else if origin.s3_origin_config.get().is_some() {
        warn(
            "storage",
            format!(
                "origin `{id}` is S3 without access control: it must go on being readable from outside AWS"
            ),
            "check the bucket's policy",
        );
    }
    if origin.vpc_origin_config.get().is_some() {
        warn(
            "private-origin",
            format!("origin `{id}` is inside a VPC: CloudFront reached it by a way of its own"),
            "run Banyan where it is reachable, and check scheme and port of its server, which the file does not say",
        );
    }
    let custom = origin.custom_origin_config.get();
    let others = custom
        .map(|custom| unknown(&custom.others, &IDLE))
        .unwrap_or_default();
    let mut lost = unknown(&origin.others, &IDLE);
    lost.extend(others);
    if !lost.is_empty() {
        let what = format!(
            "origin `{id}` has settings that Banyan has no counterpart of: {}",
            plain(&lost.join(", "))
        );
        warn(
            "not-carried-over",
            what,
            "read what they did, and whether something is missed without",
        );
    }
    if let Some(custom) = custom {
        return tell_custom(behaviour, &id, custom, findings);
    }
    let storage = origin.s3_origin_config.get().is_some()
        || said(&origin.domain_name).is_some_and(|domain| domain.contains(".s3"));
    if !storage && origin.vpc_origin_config.get().is_none() {
        no_protocol(behaviour, &id, findings);
    }
}

fn no_protocol(behaviour: usize, id: &str, findings: &mut Findings) {
    findings.at(
        behaviour,
        Severity::Warning,
        "no-protocol",
        format!("origin `{id}` does not say by which protocol it is asked; https is written"),
        "check the server's scheme and port",
    );
}

fn tell_custom(behaviour: usize, id: &str, custom: &CustomOrigin, findings: &mut Findings) {
    match said(&custom.origin_protocol_policy) {
        Some("http-only" | "https-only") => {}
        Some("match-viewer") => findings.at(
            behaviour,
            Severity::Warning,
            "match-viewer",
            format!("origin `{id}` was asked by http where the visitor came by http; Banyan always asks it by https"),
            "write `http://` and its port in `servers` if it has no certificate",
        ),
        _ => no_protocol(behaviour, id, findings),
    }
    let old = custom.origin_ssl_protocols.items.iter();
    let old: Vec<&str> = old
        .map(String::as_str)
        .filter(|name| matches!(*name, "SSLv3" | "TLSv1" | "TLSv1.1"))
        .collect();
    if !old.is_empty() && said(&custom.origin_protocol_policy) != Some("http-only") {
        findings.at(
            behaviour,
            Severity::Warning,
            "old-tls",
            format!(
                "origin `{id}` may be asked by {}; Banyan speaks TLS 1.2 and 1.3 only",
                old.join(" and ")
            ),
            "make sure that it speaks TLS 1.2",
        );
    }
}

/// `CloudFront`'s own defaults, in seconds where they are times.
const CONNECT_TIMEOUT: u64 = 10;
const READ_TIMEOUT: u64 = 30;
const IDLE_TIMEOUT: u64 = 5;
const ATTEMPTS: u64 = 3;

/// As long as `CloudFront` lets an `OriginPath` be.
const PATH_BYTES_MAX: usize = 255;

/// Keys that change nothing for an edge that isn't AWS's.
const IDLE: [&str; 2] = ["IpAddressType", "ip_address_type"];
