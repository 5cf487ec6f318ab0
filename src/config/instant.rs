//! A moment as TOML writes it: date, time and offset.

use serde::{Deserialize, Deserializer};
use toml::value::{Datetime, Offset};

use super::fault::{BAD_TIME, refuse};
use crate::clock::UnixTime;

/// `2026-12-01T08:00:00Z`, `2026-12-01T17:00:00+09:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant(pub(super) UnixTime);

impl Instant {
    fn of(written: &Datetime) -> Option<Self> {
        let (date, time) = (written.date?, written.time?);
        let offset_minutes = match written.offset? {
            Offset::Z => 0,
            Offset::Custom { minutes } => i64::from(minutes),
        };
        let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
        let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - offset_minutes;
        let seconds = days * 86_400 + minutes * 60 + i64::from(time.second.unwrap_or(0));
        let millis = seconds * 1_000 + i64::from(time.nanosecond.unwrap_or(0) / 1_000_000);
        let millis = u64::try_from(millis).ok()?;
        Some(Self(UnixTime { millis }))
    }
}

/// Days since 1970, by eras of 400 years that begin in March (Hinnant, `days_from_civil`).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Datetime::deserialize(deserializer)?;
        Self::of(&written).ok_or_else(|| {
            let what = format!("is not a moment since 1970: {written}");
            refuse(
                BAD_TIME,
                &what,
                "write date, time and offset: 2026-12-01T08:00:00Z, or 2026-12-01T17:00:00+09:00",
            )
        })
    }
}
