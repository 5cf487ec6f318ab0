//! `[backends.<name>.health]`: active checks.

use std::{num::NonZeroU32, ops::Range, time::Duration};

use http::uri::PathAndQuery;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    operator::text,
    report::Report,
    values::{DurationText, Spot},
};
use crate::backend::{Asks, HealthSettings};

/// `[backends.<name>.health]`: active checks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HealthFile {
    /// What is asked: a path by `http`, `grpc.health.v1` by `grpc` (over h2c or HTTP/2), or only for a connection by `tcp`.
    ask: AskFile,
    /// Path asked with GET. To be named with `ask = "http"`.
    path: Option<Spot<String>>,
    /// Service asked for with `ask = "grpc"`. Without it: the server as a whole.
    service: Option<Spot<String>>,
    /// Statuses that are good: one, or ranges such as `200-299, 404`.
    status: Spot<String>,
    /// Text that the answer to GET must hold, within its first 64 KiB.
    body: Option<Spot<String>>,
    /// Time between two checks, a tenth more or less so that they spread.
    interval: DurationText,
    /// Time for one check.
    timeout: DurationText,
    /// Good checks in a row that bring a server back.
    healthy_after: NonZeroU32,
    /// Bad checks in a row that take a server out.
    unhealthy_after: NonZeroU32,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AskFile {
    /// A path.
    Http,
    /// gRPC's health protocol.
    Grpc,
    /// A connection.
    Tcp,
}

impl Default for HealthFile {
    fn default() -> Self {
        Self {
            ask: AskFile::Http,
            path: None,
            service: None,
            status: text("200-399"),
            body: None,
            interval: DurationText(Duration::from_secs(5)),
            timeout: DurationText(Duration::from_secs(2)),
            healthy_after: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN), // one good answer may be luck
            unhealthy_after: NonZeroU32::new(3).unwrap_or(NonZeroU32::MIN), // one bad answer may be a restart
        }
    }
}

impl HealthFile {
    /// Judges the table.
    pub(super) fn settle(&self, table: &Range<usize>, report: &mut Report) -> Option<HealthSettings> {
        let statuses = ranges(&self.status, report);
        self.report_unused(report);
        Some(HealthSettings {
            asks: match self.ask {
                AskFile::Tcp => Asks::Tcp,
                AskFile::Grpc => Asks::Grpc {
                    service: self
                        .service
                        .as_ref()
                        .map_or_else(String::new, |service| service.value.clone()),
                },
                AskFile::Http => Asks::Http {
                    path: self.path(table, report)?,
                    statuses: statuses?,
                    body: self.body.as_ref().map(|body| body.value.clone()),
                },
            },
            interval: self.interval.0,
            timeout: self.timeout.0,
            healthy_after: self.healthy_after.get(),
            unhealthy_after: self.unhealthy_after.get(),
        })
    }

    fn path(&self, table: &Range<usize>, report: &mut Report) -> Option<String> {
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
        Some(path.value.clone())
    }

    fn report_unused(&self, report: &mut Report) {
        for (key, written, asked) in [
            ("path", &self.path, AskFile::Http),
            ("body", &self.body, AskFile::Http),
            ("service", &self.service, AskFile::Grpc),
        ] {
            if let Some(written) = written.as_ref().filter(|_| self.ask != asked) {
                report
                    .warning(
                        "unused-key",
                        written.span.clone(),
                        format!("`{key}` has no meaning with what is asked here"),
                    )
                    .hint("take it out, or look at `ask`");
            }
        }
    }
}

/// Statuses as ranges: `200-299, 404`.
pub(super) fn ranges(written: &Spot<String>, report: &mut Report) -> Option<Vec<(u16, u16)>> {
    let found: Option<Vec<_>> = written.value.split(',').map(range).collect();
    if found.is_none() {
        let what = format!("`{}` is not a status or a range of them", written.value);
        report
            .error("bad-status", written.span.clone(), what)
            .hint("write `200`, `200-399` or `200-299, 404`");
    }
    found
}

fn range(text: &str) -> Option<(u16, u16)> {
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
