//! Semantic versions as flagd's `sem_ver` compares them (Semantic Versioning 2.0.0, with its easements).

use std::cmp::Ordering;

/// Longest text that can be a version; node-semver's bound.
const VERSION_BYTES_MAX: usize = 256;

/// A version. The build part has no say and is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version<'t> {
    core: [u64; 3],
    /// Dot-separated, empty for a release.
    pre: &'t str,
}

impl<'t> Version<'t> {
    /// Reads a version. A leading `v` or `V` is dropped; `1` and `1.2` stand for `1.0.0` and `1.2.0`.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        if text.len() > VERSION_BYTES_MAX {
            return None;
        }
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = text
            .split_once('+')
            .map_or((text, None), |(text, build)| (text, Some(build)));
        let (numbers, pre) = text
            .split_once('-')
            .map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
        let mut core = [0; 3];
        let mut parts = numbers.split('.');
        let mut given = 0;
        for (to, part) in core.iter_mut().zip(parts.by_ref()) {
            *to = number(part)?;
            given += 1;
        }
        let suffixed = build.is_some() || pre.is_some();
        let whole = parts.next().is_none() && (given == 3 || !suffixed);
        let good = whole && pre.is_none_or(is_pre) && build.is_none_or(is_dotted);
        good.then_some(Self {
            core,
            pre: pre.unwrap_or(""),
        })
    }

    /// Applies flagd's comparison `operator`. `None`: there is no such operator.
    pub(super) fn compare(&self, operator: &str, other: &Self) -> Option<bool> {
        let order = self.order(other);
        let [major, minor, _] = self.core;
        let [other_major, other_minor, _] = other.core;
        Some(match operator {
            "=" => order.is_eq(),
            "!=" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            "^" => major == other_major,
            "~" => (major, minor) == (other_major, other_minor),
            _ => return None,
        })
    }

    /// Precedence (section 11).
    fn order(&self, other: &Self) -> Ordering {
        self.core
            .cmp(&other.core)
            .then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => order_pre(self.pre, other.pre),
            })
    }
}

fn order_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (is_digits(a), is_digits(b)) {
                // No leading zeros, so a longer number is a greater one.
                (true, true) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.cmp(b),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn number(part: &str) -> Option<u64> {
    (is_digits(part) && !has_leading_zero(part))
        .then(|| part.parse().ok())
        .flatten()
}

fn is_pre(pre: &str) -> bool {
    is_dotted(pre)
        && pre
            .split('.')
            .all(|part| !is_digits(part) || !has_leading_zero(part))
}

fn is_dotted(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(good))
}

fn is_digits(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(part: &str) -> bool {
    part.len() > 1 && part.starts_with('0')
}
