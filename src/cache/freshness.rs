//! How old an answer is and for how long it is fresh (RFC 9111 section 4.2).

use std::time::Duration;

use http::StatusCode;

use super::{
    date,
    directives::Directives,
    store::{Terms, Times},
};
use crate::{
    clock::UnixTime,
    fields::{Fields, Known, Value},
    policy::caching::Bounds,
};

/// A part of an answer's time since its last change for which it is taken to be fresh (RFC 9111 section 4.2.2): a tenth.
const HEURISTIC_PART: u32 = 10;
/// Longest time that is guessed.
pub const HEURISTIC_MAX: Duration = Duration::from_secs(24 * 3600);

/// Longest time that an error is fresh by a route's default: what is missing may come soon, and nobody said how long it is.
pub const ERROR_MAX: Duration = Duration::from_secs(10);

/// When an answer was asked for and when its head came.
#[derive(Debug, Clone, Copy)]
pub struct Exchanged {
    /// The request went out.
    pub asked: UnixTime,
    /// The head was here.
    pub answered: UnixTime,
}

/// The times of an answer, and what later requests must know of it.
#[must_use]
pub fn times(
    status: StatusCode,
    fields: &Fields,
    directives: &Directives,
    bounds: &Bounds,
    when: Exchanged,
) -> (Times, Terms) {
    let (said, heuristic) = lifetime(status, fields, directives, bounds, when);
    let lifetime = said
        .max(bounds.min)
        .min(bounds.max.unwrap_or(Duration::MAX).max(bounds.min));
    let stale = !directives.forbids_stale();
    let or_none = |time: Duration| if stale { time } else { Duration::ZERO };
    let times = Times {
        asked: when.asked,
        answered: when.answered,
        initial_age: initial_age(fields, when),
        lifetime,
        while_revalidate: or_none(
            directives
                .stale_while_revalidate
                .unwrap_or(bounds.while_revalidate),
        ),
        if_error: or_none(directives.stale_if_error.unwrap_or(bounds.if_error)),
    };
    let terms = Terms {
        memory_only: false,
        no_cache: directives.no_cache,
        must_revalidate: !stale,
        shared: directives.is_shared(),
        heuristic,
    };
    (times, terms)
}

/// Whether an answer says how long it is fresh.
#[must_use]
pub fn is_explicit(fields: &Fields, directives: &Directives) -> bool {
    directives.s_maxage.is_some()
        || directives.max_age.is_some()
        || (!directives.targeted && fields.contains_key(Known::EXPIRES))
}

/// How long it is fresh, and whether that is a guess.
fn lifetime(
    status: StatusCode,
    fields: &Fields,
    directives: &Directives,
    bounds: &Bounds,
    when: Exchanged,
) -> (Duration, bool) {
    if let Some(said) = directives.s_maxage.or(directives.max_age) {
        return (said, false);
    }
    let date = date_of(fields).unwrap_or(when.answered);
    let mut expires = fields.get_all(Known::EXPIRES).filter(|_| !directives.targeted);
    if let Some(first) = expires.next() {
        // two, or none that can be read, are one in the past (RFC 9111 section 5.3)
        let at = date::parse(first.as_bytes()).filter(|_| expires.next().is_none());
        return (since(date, at.unwrap_or_default()), false);
    }
    if !(is_heuristic(status) || directives.public) {
        return (Duration::ZERO, false);
    }
    if let Some(default) = bounds.default {
        let failed = status.is_client_error() || status.is_server_error();
        return (if failed { default.min(ERROR_MAX) } else { default }, false);
    }
    let modified = fields.get(Known::LAST_MODIFIED);
    let modified = modified.and_then(|value| date::parse(value.as_bytes()));
    let guess = modified.map_or(Duration::ZERO, |modified| since(modified, date) / HEURISTIC_PART);
    (guess.min(HEURISTIC_MAX), true)
}

/// Statuses that may be kept without being told how long (RFC 9110 section 15.1).
#[must_use]
pub const fn is_heuristic(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// `corrected_initial_age` of RFC 9111 section 4.2.3.
fn initial_age(fields: &Fields, when: Exchanged) -> Duration {
    let apparent = date_of(fields).map_or(Duration::ZERO, |date| since(date, when.answered));
    let corrected = age_of(fields) + since(when.asked, when.answered);
    // dates are whole seconds: one that was cut off is no age
    let apparent = apparent.saturating_sub(Duration::from_secs(1));
    apparent.max(corrected)
}

/// The `Age` that an answer came with: the first number; what is none counts as none (RFC 9111 section 5.1).
fn age_of(fields: &Fields) -> Duration {
    let text = fields.get(Known::AGE).and_then(|value| value.to_str().ok());
    let first = text
        .and_then(|text| text.split(',').next())
        .unwrap_or_default()
        .trim();
    if first.is_empty() || !first.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::ZERO;
    }
    let seconds: u64 = first.parse().unwrap_or(super::directives::DELTA_MAX);
    Duration::from_secs(seconds.min(super::directives::DELTA_MAX))
}

fn date_of(fields: &Fields) -> Option<UnixTime> {
    date::parse(fields.get(Known::DATE).map(Value::as_bytes)?)
}

fn since(from: UnixTime, to: UnixTime) -> Duration {
    Duration::from_millis(to.millis.saturating_sub(from.millis))
}
