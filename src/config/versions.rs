//! `versions` and `sticky` of a backend, `assets` of a route: deploys of which a visitor sees one, as they are written and what that means.

use std::{collections::BTreeSet, ops::Range};

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::Report,
    servers::{self, ServerFile},
    values::{DurationText, Spot, duration_text},
};
use crate::{
    backend::version::{
        HEADER, QUERY, STAY, STAY_MAX, STAY_MIN, State, Sticky, VERSIONS_MAX, Version, Versions, WEIGHT_MAX,
    },
    name::VersionName,
    policy::assets::Assets,
    route::target::{EncodedSlash, canonical},
};

/// One version of a backend: `[[backends.<name>.versions]]`, or a line of `versions = [{ name = "v2", servers = […] }]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VersionFile {
    /// Its name, as the application knows it: what the header, the query or the path says.
    #[schemars(required, extend("x-required" = true))]
    name: Option<Spot<String>>,
    /// At least one, written as the backend's `servers`.
    #[schemars(required, extend("x-required" = true))]
    servers: Option<Spot<Vec<Spot<ServerFile>>>>,
    /// `live`, as without it, or `draining`: it serves the visitors who are on it, for `stay` at most, and takes no new ones.
    state: StateFile,
    /// How many new visitors it takes beside the other live ones, 1 to 1,000. Without it: 1.
    #[schemars(range(min = 1, max = 1_000))]
    weight: Option<Spot<u32>>,
}

/// Whether a version takes new visitors.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StateFile {
    /// It does.
    #[default]
    Live,
    /// It does not.
    Draining,
}

/// `[backends.<name>.sticky]`: how a request tells its version, in the order of these keys, and the cookie after them. A name that is
/// no version's counts for nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StickyFile {
    /// The header field whose value is the version; the backend gets it too. `""`: none.
    header: Spot<String>,
    /// The parameter of the query whose value is the version; the backend gets it too. `""`: none.
    query: Spot<String>,
    /// The path whose `{version}` is the version, such as `/_v/{version}/*`; it is forwarded as it is. Without it: no path tells one.
    path: Option<Spot<String>>,
    /// How long a visitor keeps to a version after the last page, `1m` to `7d`; each page of a live version begins it anew.
    stay: Spot<DurationText>,
}

impl Default for StickyFile {
    /// The reasons are in `crate::backend::version`.
    fn default() -> Self {
        let text = |value: &str| Spot {
            value: value.to_owned(),
            span: 0..0,
        };
        Self {
            header: text(HEADER),
            query: text(QUERY),
            path: None,
            stay: Spot {
                value: DurationText(STAY),
                span: 0..0,
            },
        }
    }
}

/// Which requests of a route are for hashed assets.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AssetsFile {
    /// Those whose names say so.
    Hashed,
    /// All of them.
    All,
    /// None.
    Off,
}

/// What `assets` of a route means.
pub(super) fn assets(file: Option<AssetsFile>) -> Option<Assets> {
    file.map(|file| match file {
        AssetsFile::Hashed => Assets::Hashed,
        AssetsFile::All => Assets::All,
        AssetsFile::Off => Assets::Off,
    })
}

/// Judges both tables of a backend. `None`: it has no versions, or none that can be used.
pub(super) fn versions(
    written: Option<&Spot<Vec<Spot<VersionFile>>>>,
    sticky: Option<&Spot<StickyFile>>,
    has_servers: Option<&Range<usize>>,
    report: &mut Report,
) -> Option<Versions> {
    let told = sticky.map_or_else(Sticky::default, |sticky| sticky.value.settle(report));
    let Some(written) = written else {
        if let Some(sticky) = sticky {
            report
                .warning(
                    "unused-key",
                    sticky.span.clone(),
                    "`sticky` has no meaning here: this backend has no `versions`",
                )
                .hint("take it out, or list the servers by version");
        }
        return None;
    };
    if let Some(servers) = has_servers {
        let what = "a backend has `servers` or `versions`, not both";
        report
            .error("servers-and-versions", servers.clone(), what)
            .hint("put the servers into the version that they run");
    }
    let mut all: Vec<Version> = Vec::with_capacity(written.value.len());
    for line in &written.value {
        let Some(version) = line.value.settle(&line.span, report) else {
            continue;
        };
        if all.iter().any(|known| known.name == version.name) {
            let span = line.value.name.as_ref().map_or(&line.span, |name| &name.span);
            let what = format!("two versions are called `{}`", version.name);
            report
                .error("duplicate-version", span.clone(), what)
                .hint("a version's servers stand in one list");
        } else {
            all.push(version);
        }
    }
    together(written, &all, report);
    Some(Versions { all, sticky: told })
}

/// What no version can know alone.
fn together(written: &Spot<Vec<Spot<VersionFile>>>, all: &[Version], report: &mut Report) {
    let (span, count) = (written.span.clone(), written.value.len());
    if count == 0 || count > VERSIONS_MAX {
        let what = format!("a backend has 1 to {VERSIONS_MAX} versions, not {count}");
        let hint = "keep those that visitors are still on; who is on another one is moved to a live one";
        report.error("version-count", span, what).hint(hint);
        return;
    }
    if all.len() == count && all.iter().all(|version| version.state == State::Draining) {
        report
            .error(
                "no-live-version",
                span,
                "no version is live, so there is none for new visitors",
            )
            .hint("take `state = \"draining\"` out of one");
    }
    let mut seen = BTreeSet::new();
    for (version, line) in all.iter().zip(&written.value) {
        let twice = version
            .servers
            .iter()
            .find(|server| !seen.insert(server.address.to_string()));
        if let Some(server) = twice.filter(|_| all.len() == count) {
            let what = format!(
                "`{}` runs another version already, so `{}` would not be kept apart",
                server.address, version.name
            );
            report
                .warning("repeated-server", line.span.clone(), what)
                .hint("each version has servers of its own");
        }
    }
}

impl VersionFile {
    fn settle(&self, table: &Range<usize>, report: &mut Report) -> Option<Version> {
        let servers = servers::servers(self.servers.as_ref(), table, report);
        let weight = self.weight.as_ref().map_or(1, |weight| weight.value);
        if let Some(written) = self
            .weight
            .as_ref()
            .filter(|weight| !(1..=WEIGHT_MAX).contains(&weight.value))
        {
            report
                .error(
                    "bad-weight",
                    written.span.clone(),
                    format!("{weight} is not a weight of a version"),
                )
                .hint(format!(
                    "from 1 to {WEIGHT_MAX}; `state = \"draining\"` for one that is to take no new visitors"
                ));
        }
        let Some(written) = &self.name else {
            report.missing(
                table,
                "name",
                "such as `name = \"v2\"`: as the application knows it",
            );
            return None;
        };
        let name = VersionName::new(&written.value);
        if let Err(reason) = &name {
            let what = format!("`{}` can't name a version: {reason}", written.value);
            report.error("bad-name", written.span.clone(), what);
        }
        Some(Version {
            name: name.ok()?,
            servers,
            state: match self.state {
                StateFile::Live => State::Live,
                StateFile::Draining => State::Draining,
            },
            weight,
        })
    }
}

impl StickyFile {
    fn settle(&self, report: &mut Report) -> Sticky {
        Sticky {
            header: said(&self.header).and_then(|header| header_name(header, report)),
            query: said(&self.query).and_then(|query| query_name(query, report)),
            path: self.path.as_ref().and_then(|path| beginning(path, report)),
            stay: stay(&self.stay, report),
        }
    }
}

fn said(text: &Spot<String>) -> Option<&Spot<String>> {
    (!text.value.is_empty()).then_some(text)
}

fn header_name(header: &Spot<String>, report: &mut Report) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(header.value.as_bytes());
    if name.is_err() {
        let what = format!("`{}` can't be the name of a header field", header.value);
        report
            .error("bad-header", header.span.clone(), what)
            .hint("letters, digits and `-`");
    }
    name.ok()
}

fn query_name(query: &Spot<String>, report: &mut Report) -> Option<Box<str>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !query.value.bytes().all(plain) {
        let what = format!("`{}` can't be the name of a parameter here", query.value);
        report
            .error("bad-query", query.span.clone(), what)
            .hint("letters, digits, `-`, `_` and `.`");
        return None;
    }
    Some(query.value.as_str().into())
}

/// What stands before `{version}`.
fn beginning(path: &Spot<String>, report: &mut Report) -> Option<Box<str>> {
    let text = path.value.as_str();
    let before = text.strip_suffix("/*").unwrap_or(text).strip_suffix("{version}");
    let fits = |before: &&str| {
        let simple = canonical(before, EncodedSlash::Refuse).is_ok_and(|simple| simple == **before);
        before.ends_with('/') && simple && !before.contains(['?', '{', '}', '*'])
    };
    let found = before.filter(fits);
    if found.is_none() {
        let what = format!("`{text}` does not say where in a path the version stands");
        report
            .error("bad-path", path.span.clone(), what)
            .hint("plain segments, and `{version}` as the last one: `/_v/{version}/*`");
    }
    found.map(Into::into)
}

fn stay(stay: &Spot<DurationText>, report: &mut Report) -> std::time::Duration {
    let time = stay.value.0;
    if !(STAY_MIN..=STAY_MAX).contains(&time) {
        let (least, most) = (duration_text(STAY_MIN), duration_text(STAY_MAX));
        report
            .error(
                "out-of-range",
                stay.span.clone(),
                format!("`stay` is {}", duration_text(time)),
            )
            .hint(format!("from {least} to {most}"));
    }
    time
}
