//! `timeouts`, `retries` and `limits` of a route and the lines of backends and squads: as they are written and what that means.

use std::num::NonZeroU32;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::Report,
    routes::RouteFile,
    values::{DurationText, Share, SizeText, Spot},
};
use crate::{
    policy::protection::{By, Protection, RateLimit, RouteLimits, Timeouts},
    shield::{
        budget,
        line::{self, Class},
        pot::Caps,
        rate::Rate,
    },
};

/// `timeouts = { … }`: how long things may take on a route, over what its backends say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimeoutsFile {
    /// All of it: waiting for a seat, every attempt, a second backend, the answer's body. Backends are told what is left (`Banyan-Timeout`
    /// in milliseconds, a shorter `grpc-timeout`). 504 before the answer's head; an answer under way is cut off. WebSockets are not bound by it.
    total: Option<DurationText>,
    /// From the request's end to the answer's head, for each attempt.
    first_byte: Option<DurationText>,
    /// Between two pieces of the answer.
    between_bytes: Option<DurationText>,
    /// Silence of a WebSocket or other tunnel both ways.
    websocket_idle: Option<DurationText>,
}

/// `retries = { … }`: how much may be tried again on a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetriesFile {
    /// Retries for a hundred requests that went well.
    share: Share,
    /// Retries that are there from the start, and the most that are saved up. With both 0 nothing is tried again, but for connections that
    /// turn out to be closed.
    #[schemars(range(max = 1_000_000))]
    reserve: Spot<u32>,
}

impl Default for RetriesFile {
    /// The numbers and the reasons for them are in `crate::shield::budget`.
    fn default() -> Self {
        Self {
            share: Share(budget::SHARE * 100),
            reserve: Spot {
                value: budget::RESERVE,
                span: 0..0,
            },
        }
    }
}

/// `limits = { … }`: who is let in on a route, and in which order.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RouteLimitsFile {
    /// Who is served first where requests wait for a backend or squad: `high`, `normal` or `low`. What browsers prefetch comes after them, crawlers last.
    priority: PriorityFile,
    /// Requests that one visitor may have open at once, over all cores; who has no cookie is counted by address. More get 429.
    visitor_max: Option<NonZeroU32>,
    /// Requests that one address may have open at once, over all cores; a /64 of IPv6 is one. More get 429.
    address_max: Option<NonZeroU32>,
    /// So many requests in so long. More get 429, with `Retry-After`.
    rates: Vec<Spot<RateFile>>,
}

/// Who is served first.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum PriorityFile {
    /// Before the others.
    High,
    /// As most.
    #[default]
    Normal,
    /// After the others.
    Low,
}

/// `rates = [{ … }]`: so many requests in so long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RateFile {
    /// Who shares it: `route`, `address`, `visitor`, `user` (who is signed in) or `header:<name>`. Who has no such thing is counted by address.
    by: Option<Spot<String>>,
    /// How many.
    #[schemars(required, extend("x-required" = true))]
    requests: Option<NonZeroU32>,
    /// In how long.
    per: DurationText,
    /// How many may come at once. As many as `requests` unless said.
    burst: Option<NonZeroU32>,
}

impl Default for RateFile {
    fn default() -> Self {
        Self {
            by: None,
            requests: None,
            per: DurationText(std::time::Duration::from_secs(1)),
            burst: None,
        }
    }
}

/// What the three tables of a route mean together.
pub(super) fn protection(route: &RouteFile, report: &mut Report) -> Protection {
    let (timeouts, retries, limits) = (&route.timeouts, &route.retries, &route.limits);
    Protection {
        timeouts: timeouts
            .as_ref()
            .map(|file| file.value.settle())
            .unwrap_or_default(),
        retries: retries
            .as_ref()
            .map(|file| file.value.settle(report))
            .unwrap_or_default(),
        limits: limits
            .as_ref()
            .map(|file| file.value.settle(report))
            .unwrap_or_default(),
        hedge: route.hedge.as_ref().map(|file| file.value.settle(report)),
    }
}

impl TimeoutsFile {
    fn settle(&self) -> Timeouts {
        let of = |text: Option<DurationText>| text.map(|text| text.0);
        Timeouts {
            total: of(self.total),
            first_byte: of(self.first_byte),
            between_bytes: of(self.between_bytes),
            websocket_idle: of(self.websocket_idle),
        }
    }
}

impl RetriesFile {
    fn settle(&self, report: &mut Report) -> budget::Terms {
        if self.reserve.value > budget::RESERVE_MAX {
            let what = format!("{} is too large a reserve", self.reserve.value);
            report
                .error("out-of-range", self.reserve.span.clone(), what)
                .hint(format!("at most {}", budget::RESERVE_MAX));
        }
        budget::Terms {
            share: self.share.0 / 100,
            reserve: self.reserve.value.min(budget::RESERVE_MAX),
        }
    }
}

impl RouteLimitsFile {
    fn settle(&self, report: &mut Report) -> RouteLimits {
        RouteLimits {
            class: match self.priority {
                PriorityFile::High => Class::High,
                PriorityFile::Normal => Class::Normal,
                PriorityFile::Low => Class::Low,
            },
            visitor_max: self.visitor_max.map(NonZeroU32::get),
            address_max: self.address_max.map(NonZeroU32::get),
            rates: self
                .rates
                .iter()
                .filter_map(|rate| rate.value.settle(rate, report))
                .collect(),
        }
    }
}

impl RateFile {
    fn settle(&self, table: &Spot<Self>, report: &mut Report) -> Option<RateLimit> {
        let by = match &self.by {
            None => Some(By::Address),
            Some(by) => shared_by(by, report),
        };
        let Some(requests) = self.requests else {
            let hint = "say how many, such as `{ by = \"address\", requests = 100, per = \"1m\" }`";
            report.missing(&table.span, "requests", hint);
            return None;
        };
        let burst = self.burst.unwrap_or(requests);
        Some(RateLimit {
            by: by?,
            rate: Rate::new(requests.get(), self.per.0, burst.get()),
        })
    }
}

fn shared_by(written: &Spot<String>, report: &mut Report) -> Option<By> {
    let by = match written.value.as_str() {
        "route" => Some(By::Route),
        "address" => Some(By::Address),
        "visitor" => Some(By::Visitor),
        "user" => Some(By::User),
        other => other
            .strip_prefix("header:")
            .and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok())
            .map(By::Header),
    };
    if by.is_none() {
        let what = format!("a rate can't be shared by `{}`", written.value);
        report
            .error("bad-rate-key", written.span.clone(), what)
            .hint("known are `route`, `address`, `visitor`, `user` and `header:<name>`");
    }
    by
}

/// What there may be at once beside requests.
pub(super) fn caps(connections: Option<NonZeroU32>, kept: Option<SizeText>) -> Caps {
    Caps {
        connections: connections.map(|max| u64::from(max.get())),
        kept: kept.map(|max| max.0 as u64),
    }
}

/// What `in_flight_max`, `queue_max` and `queue_timeout` mean together.
pub(super) fn line(
    in_flight_max: Option<NonZeroU32>,
    queue_max: Option<&Spot<u32>>,
    queue_timeout: Option<&Spot<DurationText>>,
    report: &mut Report,
) -> Option<line::Terms> {
    let Some(seats) = in_flight_max else {
        let keys = [
            ("queue_max", queue_max.map(|spot| &spot.span)),
            ("queue_timeout", queue_timeout.map(|spot| &spot.span)),
        ];
        for (key, span) in keys {
            if let Some(span) = span {
                report
                    .warning(
                        "unused-key",
                        span.clone(),
                        format!("`{key}` has no meaning without `in_flight_max`"),
                    )
                    .hint("say how many requests may be under way, or take it out");
            }
        }
        return None;
    };
    let waiting = queue_max.map_or(0, |spot| spot.value);
    if let Some(spot) = queue_max.filter(|spot| spot.value > line::WAITING_MAX) {
        let what = format!("{} is too long a queue", spot.value);
        report
            .error("out-of-range", spot.span.clone(), what)
            .hint(format!("at most {}", line::WAITING_MAX));
    }
    Some(line::Terms {
        seats: seats.get(),
        waiting,
        patience: queue_timeout.map_or(line::PATIENCE, |spot| spot.value.0),
    })
}
