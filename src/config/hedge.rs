//! `hedge` of a route: a second server for what takes long, as it is written and what that means.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::Report,
    values::{DurationText, Share, Spot},
};
use crate::{
    policy::protection::{HEDGE_DELAY_MIN, HEDGE_RESERVE, HEDGE_SHARE, Hedge},
    shield::budget::{RESERVE_MAX, Terms},
};

/// `hedge = { … }`: GET and HEAD without a body that take longer than 95 of 100 on this route are sent to a second server of the backend as
/// well; the first head of an answer counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HedgeFile {
    /// Requests of a hundred that may be sent twice.
    share: Spot<Share>,
    /// Such requests that may be saved up, and are there from the start.
    #[schemars(range(max = 1_000_000))]
    reserve: Spot<u32>,
    /// No second server is asked before, however fast the route is.
    min_delay: DurationText,
}

impl Default for HedgeFile {
    /// The numbers and the reasons for them are in `crate::policy::protection`.
    fn default() -> Self {
        Self {
            share: Spot {
                value: Share(HEDGE_SHARE * 100),
                span: 0..0,
            },
            reserve: Spot {
                value: HEDGE_RESERVE,
                span: 0..0,
            },
            min_delay: DurationText(HEDGE_DELAY_MIN),
        }
    }
}

/// The largest share that can be said, in percent: what comes after the 95th percentile is no more.
const SHARE_MAX: u32 = 10;

impl HedgeFile {
    pub(super) fn settle(&self, report: &mut Report) -> Hedge {
        if self.share.value.0 > SHARE_MAX * 1_000 {
            let what = "that many requests can't be sent twice";
            report
                .error("out-of-range", self.share.span.clone(), what)
                .hint(format!(
                    "at most {SHARE_MAX} percent: no more than 5 of 100 take longer than the others"
                ));
        }
        if self.reserve.value > RESERVE_MAX {
            let what = format!("{} is too large a reserve", self.reserve.value);
            report
                .error("out-of-range", self.reserve.span.clone(), what)
                .hint(format!("at most {RESERVE_MAX}"));
        }
        Hedge {
            budget: Terms {
                share: self.share.value.0.min(SHARE_MAX * 1_000) / 100,
                reserve: self.reserve.value.min(RESERVE_MAX),
            },
            min_delay: self.min_delay.0.max(Duration::from_millis(1)),
        }
    }
}
