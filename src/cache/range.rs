//! Parts of a kept answer (RFC 9110 section 14): one range of bytes; several are answered whole.

use super::date;
use crate::fields::{Fields, Known, Value};

/// What a request asks of a body of a known length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// Bytes from the first to before the second.
    Bytes(u64, u64),
    /// A part that isn't there: 416.
    Beyond,
}

/// What `Range` asks of `length` bytes. What can't be read, or is more than one range, asks for all.
#[must_use]
pub fn asked(range: &[u8], length: u64) -> Part {
    let text = str::from_utf8(range).unwrap_or_default();
    let Some(spec) = text.strip_prefix("bytes=").map(str::trim) else {
        return Part::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Part::Whole;
    };
    match (first.is_empty(), number(first), last.is_empty(), number(last)) {
        (true, _, _, Some(0)) => Part::Beyond,
        (true, _, _, Some(_)) if length == 0 => Part::Beyond,
        (true, _, _, Some(suffix)) => Part::Bytes(length.saturating_sub(suffix), length),
        (_, Some(from), true, _) if from < length => Part::Bytes(from, length),
        (_, Some(from), _, Some(to)) if to < from => Part::Whole,
        (_, Some(from), _, Some(to)) if from < length => Part::Bytes(from, to.saturating_add(1).min(length)),
        (_, Some(_), true, _) | (_, Some(_), _, Some(_)) => Part::Beyond,
        _ => Part::Whole,
    }
}

/// Whether `If-Range` lets a request have a part of the answer with `fields` (RFC 9110 section 13.1.5): a strong tag, or the date.
#[must_use]
pub fn holds(if_range: Option<&[u8]>, fields: &Fields) -> bool {
    let Some(condition) = if_range else { return true };
    if condition.starts_with(b"\"") {
        return fields.get(Known::ETAG).map(Value::as_bytes) == Some(condition);
    }
    let modified = fields.get(Known::LAST_MODIFIED).map(Value::as_bytes);
    date::parse(condition).is_some() && modified == Some(condition)
}

#[cfg(test)]
mod tests {
    use super::{Part, asked};

    #[test]
    fn one_range_is_a_part_and_all_else_is_whole_or_not_there() {
        for (range, expected) in [
            ("bytes=0-1", Part::Bytes(0, 2)),
            ("bytes=1-", Part::Bytes(1, 11)),
            ("bytes=-1", Part::Bytes(10, 11)),
            ("bytes=-99", Part::Bytes(0, 11)),
            ("bytes=5-99", Part::Bytes(5, 11)),
            ("bytes=11-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=a-b", Part::Whole),
        ] {
            assert_eq!(asked(range.as_bytes(), 11), expected, "{range}");
        }
        assert_eq!(asked(b"bytes=-5", 0), Part::Beyond);
    }
}
