//! Times as text, UTC.

use std::io::Write;

/// Exactly six digits, with leading zeros: a fraction of a second.
pub(super) fn write_six_digits(value: u64, to: &mut Vec<u8>) {
    let mut digits = *b"000000";
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    to.extend_from_slice(&digits);
}

/// A second since 1970 as people and programs write it: `2026-11-20T09:08:07Z` (RFC 3339).
#[must_use]
pub fn rfc3339(second: u64) -> String {
    let mut text = Vec::new();
    write_rfc3339(second, &mut text);
    text.push(b'Z');
    String::from_utf8(text).unwrap_or_default()
}

/// `2026-11-20T09:08:07`.
pub(super) fn write_rfc3339(second: u64, to: &mut Vec<u8>) {
    let (year, month, day) = civil(second / 86_400);
    let (hour, minute, second) = of_day(second);
    let _ = write!(
        to,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    );
}

/// `2026-11-20`, a tab, `09:08:07`.
pub(super) fn write_date_and_time(second: u64, to: &mut Vec<u8>) {
    let (year, month, day) = civil(second / 86_400);
    let (hour, minute, second) = of_day(second);
    let _ = write!(
        to,
        "{year:04}-{month:02}-{day:02}\t{hour:02}:{minute:02}:{second:02}"
    );
}

/// `20/Nov/2026:09:08:07 +0000`.
pub(super) fn write_ncsa_time(second: u64, to: &mut Vec<u8>) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (year, month, day) = civil(second / 86_400);
    let name = usize::try_from(month - 1)
        .ok()
        .and_then(|at| MONTHS.get(at))
        .unwrap_or(&"Jan");
    let (hour, minute, second) = of_day(second);
    let _ = write!(
        to,
        "{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"
    );
}

const fn of_day(second: u64) -> (u64, u64, u64) {
    (second / 3600 % 24, second / 60 % 60, second % 60)
}

/// Year, month and day of a count of days since 1970, by eras of 400 years that begin in March (Hinnant, `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + days / 146_097 * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}
