//! `failover` of a route: its second backend, as it is written and what that means.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{report::Report, settings::TargetSettings, target, values::Spot};
use crate::policy::failover::{Failover, Statuses};

/// The backend that is asked when the route's own fails: GET, HEAD and OPTIONS without a body, as long as nothing of an answer has gone
/// to the client.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FailoverFile {
    /// Whose answer counts then.
    #[schemars(required, extend("x-required" = true))]
    backend: Option<Spot<String>>,
    /// Statuses of the first backend that count as a failure, among 400, 403, 404, 416, 429, 500, 502, 503 and 504; without it 500,
    /// 502, 503 and 504. Not to be reached, to be too slow, or to break off before an answer always counts.
    on: Option<Spot<Vec<Spot<u16>>>>,
}

/// Judges the table. With it comes the place of the backend's name.
pub(super) fn failover(
    file: Option<&Spot<FailoverFile>>,
    target: Option<&TargetSettings>,
    report: &mut Report,
) -> Option<(Failover, Range<usize>)> {
    let file = file?;
    let on = file
        .value
        .on
        .as_ref()
        .map_or_else(Statuses::default, |on| statuses(on, report));
    let Some(written) = &file.value.backend else {
        let hint = "name the one to ask, such as `failover = { backend = \"standby\" }`";
        report.missing(&file.span, "backend", hint);
        return None;
    };
    let backend = target::backend_name(written, report)?;
    let is_only = |target: &TargetSettings| {
        let mut firsts = target.backends();
        firsts.next() == Some(&backend) && firsts.all(|first| *first == backend)
    };
    if target.is_some_and(is_only) {
        let what = format!("the route leads to `{backend}` anyway");
        report
            .error("failover-to-itself", written.span.clone(), what)
            .hint("name another backend, or take `failover` out; `attempts` of a backend says how many of its servers are tried");
    }
    Some((Failover { backend, on }, written.span.clone()))
}

fn statuses(written: &Spot<Vec<Spot<u16>>>, report: &mut Report) -> Statuses {
    let mut on = Statuses::none();
    for status in &written.value {
        let allowed = Statuses::ALLOWED
            .iter()
            .any(|(allowed, _)| *allowed == status.value);
        if !allowed {
            let all: Vec<String> = Statuses::ALLOWED
                .iter()
                .map(|(status, _)| status.to_string())
                .collect();
            let what = format!("a route can't fail over on {}", status.value);
            report
                .error("bad-status", status.span.clone(), what)
                .hint(format!("known are {}", all.join(", ")));
        }
        on = on.with(status.value);
    }
    on
}
