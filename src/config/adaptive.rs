//! `adaptive` of a backend: seats that follow what it can bear, as they are written and what that means.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{report::Report, values::Spot};
use crate::shield::gradient::{self, Terms};

/// `adaptive = { … }`: instead of `in_flight_max` as many requests may be under way as answer about as fast as in quiet times.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdaptiveFile {
    /// It never falls below.
    min: Spot<NonZeroU32>,
    /// Where it begins, and what it never exceeds.
    #[schemars(required, extend("x-required" = true))]
    max: Option<Spot<NonZeroU32>>,
}

impl Default for AdaptiveFile {
    fn default() -> Self {
        Self {
            min: Spot {
                value: NonZeroU32::new(gradient::MIN).unwrap_or(NonZeroU32::MIN),
                span: 0..0,
            },
            max: None,
        }
    }
}

/// Judges the table beside `in_flight_max`.
pub(super) fn adaptive(
    written: Option<&Spot<AdaptiveFile>>,
    in_flight_max: Option<NonZeroU32>,
    report: &mut Report,
) -> Option<Terms> {
    let file = written?;
    if in_flight_max.is_some() {
        let what = "a backend's requests are bounded by `in_flight_max` or `adaptive`, not by both";
        report
            .error("two-bounds", file.span.clone(), what)
            .hint("`max` of `adaptive` is what `in_flight_max` would be; take that out");
    }
    let AdaptiveFile { min, max } = &file.value;
    let Some(max) = max else {
        let hint = "say how many there may be at most, such as `adaptive = { min = 10, max = 500 }`";
        report.missing(&file.span, "max", hint);
        return None;
    };
    if min.value > max.value {
        let what = format!("`min` is {}, and `max` only {}", min.value, max.value);
        let span = if min.span.is_empty() { &max.span } else { &min.span };
        report
            .error("out-of-range", span.clone(), what)
            .hint("the limit is sought between the two");
    }
    Some(Terms {
        min: min.value.get().min(max.value.get()),
        max: max.value.get(),
    })
}
