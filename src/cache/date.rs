//! Dates of HTTP (RFC 9110 section 5.6.7): the three forms, their letters in any case, and nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::UnixTime;

/// Most characters of a date: `Wednesday, 09-Nov-94 08:49:37 GMT` has 33.
const DATE_BYTES_MAX: usize = 33;

/// Reads a date. Dates before 1970 read as 1970. `None`: it is none.
#[must_use]
pub fn parse(text: &[u8]) -> Option<UnixTime> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    if text.len() > DATE_BYTES_MAX || !text.is_ascii() {
        return None;
    }
    let told = in_its_case(text);
    let date = httpdate::parse_http_date(&told).ok()?;
    let date = is_as_written(&told).then_some(date)?;
    let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(UnixTime::from_secs(since.as_secs()))
}

/// Writes a date.
#[must_use]
pub fn write(time: UnixTime) -> String {
    let since = std::time::Duration::from_secs(time.secs().min(LAST));
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .map_or_else(String::new, httpdate::fmt_http_date)
}

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Words begin with a capital and go on in lower case, but for `GMT`.
fn in_its_case(text: &str) -> String {
    let mut before = ' ';
    let mut told: String = text
        .chars()
        .map(|c| {
            let first = !before.is_ascii_alphabetic();
            before = c;
            if first {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    if told.ends_with("Gmt") {
        told.replace_range(told.len() - 3.., "GMT");
    }
    told
}

/// One of the three forms by where its marks are, so that what a lenient reader would let pass is none.
fn is_as_written(text: &str) -> bool {
    let bytes = text.as_bytes();
    let fits = |form: &str| {
        bytes.len() == form.len()
            && bytes.iter().zip(form.bytes()).all(|(byte, form)| match form {
                b'a' => byte.is_ascii_alphabetic(),
                b'0' => byte.is_ascii_digit(),
                b'_' => byte.is_ascii_digit() || *byte == b' ',
                mark => *byte == mark,
            })
    };
    let day = text.split_once(", ").map_or("", |(day, _)| day);
    fits("aaa, 00 aaa 0000 00:00:00 GMT")
        || fits("aaa aaa _0 00:00:00 0000")
        || (day.ends_with("day") && fits(&format!("{}, 00-aaa-00 00:00:00 GMT", "a".repeat(day.len()))))
}

#[cfg(test)]
mod tests {
    use super::{parse, write};

    #[test]
    fn three_forms_in_any_case_and_no_other() {
        for good in [
            "Thu, 18 Aug 2050 02:01:18 GMT",
            "THU, 18 AUG 2050 02:01:18 gMT",
            "Thursday, 18-Aug-50 02:01:18 GMT",
            "Thu Aug 18 02:01:18 2050",
        ] {
            let date = parse(good.as_bytes()).unwrap();
            assert_eq!(write(date), "Thu, 18 Aug 2050 02:01:18 GMT", "{good}");
        }
        assert!(parse(b"Mon Aug  8 02:01:18 2050").is_some());
        for bad in [
            "0",
            "",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
