//! `[backends.<name>.eject]` and `[backends.<name>.breaker]`: who is left alone for a while by what live traffic tells.

use std::{num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    health::ranges,
    operator::text,
    report::Report,
    values::{DurationText, Share, Spot},
};
use crate::backend::{
    BreakerSettings, EjectSettings, Terms,
    breaker::{PAUSE_FIRST, PAUSE_MAX},
};

/// `[backends.<name>.eject]`: servers that are left alone for a while because they stand apart from the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EjectFile {
    /// Failures in a row, over all cores, that take a server out.
    failures: NonZeroU32,
    /// Answers that are failures beside no answer at all: a status, or ranges such as `500-599`.
    statuses: Spot<String>,
    /// Percent of failures within `window` that takes a server out. 0: no share does.
    error_share: Share,
    /// As many times the median latency of the other servers takes a server out, if that is 10 ms more at least. 0: no slowness does.
    slow: Spot<f64>,
    /// Requests within `window` below which a server is not judged by its share of failures or its latency.
    requests: NonZeroU32,
    /// What is looked back at, 1 s to 60 s.
    window: Spot<DurationText>,
    /// Percent of the servers that may be out at once; one always may.
    ejected_max: Share,
    /// How long a server is left alone the first time; then one request finds out whether it is well again. Each time soon after
    /// another takes twice as long.
    pause: DurationText,
    /// How long a server is left alone at most.
    pause_max: DurationText,
}

impl Default for EjectFile {
    fn default() -> Self {
        let seen = EjectSettings::default();
        Self {
            failures: NonZeroU32::new(seen.terms.failures).unwrap_or(NonZeroU32::MIN),
            statuses: text("500-599"),
            error_share: Share(50_000),
            slow: spot(5.0), // a server that collects garbage is two or three times slower for a while
            requests: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN), // below that a share is chance
            window: spot(DurationText(seen.window)),
            ejected_max: Share(50_000), // the rest may not bear more than twice its load
            pause: DurationText(PAUSE_FIRST),
            pause_max: DurationText(PAUSE_MAX),
        }
    }
}

/// `[backends.<name>.breaker]`: the whole backend is left alone for a while: 503 at once, or the route's `failover`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BreakerFile {
    /// Failures in a row, over all servers and cores, that open it: no answer, 502, 503 or 504.
    failures: NonZeroU32,
    /// Percent of failures within `window` that opens it.
    error_share: Share,
    /// Requests within `window` below which the share says nothing.
    requests: NonZeroU32,
    /// What is looked back at, 1 s to 60 s.
    window: Spot<DurationText>,
    /// How long it is open the first time; then one request finds out whether the backend is well again. Each time soon after
    /// another takes twice as long.
    pause: DurationText,
    /// How long it is open at most.
    pause_max: DurationText,
}

impl Default for BreakerFile {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::new(20).unwrap_or(NonZeroU32::MIN), // more than one server's, so that one can't open it alone
            error_share: Share(80_000),
            requests: NonZeroU32::new(50).unwrap_or(NonZeroU32::MIN),
            window: spot(DurationText(Duration::from_secs(10))),
            pause: DurationText(PAUSE_FIRST),
            pause_max: DurationText(PAUSE_MAX),
        }
    }
}

impl EjectFile {
    /// What the table says; without one, what holds for backends that say nothing.
    pub(super) fn settle(written: Option<&Spot<Self>>, report: &mut Report) -> EjectSettings {
        let Some(file) = written.map(|written| &written.value) else {
            return EjectSettings::default();
        };
        let slow = file.slow.value;
        if slow != 0.0 && !(1.5..=100.0).contains(&slow) {
            let what = format!("{slow} times the median takes nobody out, or everybody");
            report
                .error("out-of-range", file.slow.span.clone(), what)
                .hint("a number from 1.5 to 100, or 0");
        }
        EjectSettings {
            terms: terms(file.failures, file.pause, file.pause_max),
            statuses: ranges(&file.statuses, report).unwrap_or_default(),
            error_share: Some(percent(file.error_share)).filter(|share| *share > 0.0),
            slow: Some(slow).filter(|slow| *slow > 0.0),
            requests: u64::from(file.requests.get()),
            window: window(&file.window, report),
            ejected_max: percent(file.ejected_max),
        }
    }
}

impl BreakerFile {
    /// What the table says.
    pub(super) fn settle(&self, table: &Spot<Self>, report: &mut Report) -> BreakerSettings {
        let error_share = percent(self.error_share);
        if error_share <= 0.0 {
            report
                .error(
                    "out-of-range",
                    table.span.clone(),
                    "`error_share` of 0 would keep the breaker open for ever",
                )
                .hint("a share such as 80, or take the table out");
        }
        BreakerSettings {
            terms: terms(self.failures, self.pause, self.pause_max),
            error_share,
            requests: u64::from(self.requests.get()),
            window: window(&self.window, report),
        }
    }
}

fn terms(failures: NonZeroU32, pause: DurationText, pause_max: DurationText) -> Terms {
    Terms {
        failures: failures.get().min(FAILURES_MAX),
        pause: pause.0.min(pause_max.0),
        pause_max: pause_max.0,
    }
}

/// More in a row are no different: what is counted has 16 bits.
const FAILURES_MAX: u32 = 65_535;

fn window(written: &Spot<DurationText>, report: &mut Report) -> Duration {
    let window = written.value.0;
    if !(Duration::from_secs(1)..=Duration::from_mins(1)).contains(&window) {
        report
            .error(
                "out-of-range",
                written.span.clone(),
                "`window` is too short or too long",
            )
            .hint("from `1s` to `60s`");
    }
    window
}

/// A share as a number from 0 to 100.
pub(super) fn percent(share: Share) -> f64 {
    f64::from(share.0) / 1_000.0
}

fn spot<T>(value: T) -> Spot<T> {
    Spot { value, span: 0..0 }
}
