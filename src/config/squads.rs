//! `[squads.<name>]` as the operator writes it, and what it means.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    claims, protection,
    report::Report,
    settings::SquadSettings,
    values::{DurationText, SizeText, Spot},
};
use crate::name::SquadName;

/// `[squads.<name>]`: what a squad may claim, and how much of it goes on at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SquadFile {
    /// Paths as in routes: `/courses/*`, `/api/{version}/courses/*`. Empty: anything.
    paths: Vec<Spot<String>>,
    /// Requests under way on its routes at once, over all cores. Beyond it a request waits as `queue_max` says, or gets 503.
    in_flight_max: Option<NonZeroU32>,
    /// Requests that wait for one of them to end, at most 10,000, by their route's `priority`. None unless said.
    #[schemars(range(max = 10_000))]
    queue_max: Option<Spot<u32>>,
    /// How long a request waits: 1 s unless said. Then 503.
    queue_timeout: Option<Spot<DurationText>>,
    /// Connections to servers of its backends, over all cores, idle ones included. Beyond it a request is refused with 503. No bound unless
    /// said.
    connections_max: Option<NonZeroU32>,
    /// Bytes of requests' bodies kept for a `fallback` on its routes, over all cores. Beyond it a request with a body has no fallback. No bound
    /// unless said, but 16 MiB on each core for all squads.
    kept_max: Option<SizeText>,
}

/// Judges one table.
pub(super) fn squad_settings(
    name: &Spot<String>,
    squad: &Spot<SquadFile>,
    report: &mut Report,
) -> Option<SquadSettings> {
    for path in &squad.value.paths {
        if let Err(reason) = claims::check_template(&path.value) {
            report.error(
                "bad-path",
                path.span.clone(),
                format!("`{}` is not a path: {reason}", path.value),
            );
        }
    }
    match SquadName::new(&name.value) {
        Ok(squad_name) => Some(SquadSettings {
            name: squad_name,
            place: report.place(&name.span),
            paths: squad.value.paths.iter().map(|path| path.value.clone()).collect(),
            line: protection::line(
                squad.value.in_flight_max,
                squad.value.queue_max.as_ref(),
                squad.value.queue_timeout.as_ref(),
                report,
            ),
            caps: protection::caps(squad.value.connections_max, squad.value.kept_max),
        }),
        Err(reason) => {
            report.error(
                "bad-name",
                name.span.clone(),
                format!("`{}` can't name a squad: {reason}", name.value),
            );
            None
        }
    }
}
