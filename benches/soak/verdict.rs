//! Whether a run was flat.

use super::{load::Tally, observed::Sample};

/// How a figure is read from a sample.
type Read = fn(&Sample) -> u64;

/// Figures that may not grow, and what each may grow by beyond a tenth: what a moment more or less of load makes of it.
pub(super) const ALLOWANCES: [(&str, Read, u64); 5] = [
    ("PSS, KiB", |sample| sample.pss_kib, 2048),
    ("RSS, KiB", |sample| sample.rss_kib, 2048),
    ("descriptors", |sample| sample.descriptors, 24),
    ("threads", |sample| sample.threads, 0),
    ("sockets in CLOSE_WAIT", |sample| sample.sockets("CLOSE_WAIT"), 8),
];

/// Requests that may fail at the backend that is restarted: 4 % of the time it is down, and checks and breakers need a moment.
const MOODY_PERCENT_MAX: u64 = 15;

/// Whether nothing is left of the load.
pub(super) fn is_at_rest(before: &Sample, after: &Sample) -> bool {
    after.descriptors <= before.descriptors
        && after.threads <= before.threads
        && after.sockets("CLOSE_WAIT") == 0
}

/// Prints what is judged and how, and returns whether all is well.
pub(super) fn judge(before: &Sample, samples: &[Sample], after: &Sample, tally: &Tally) -> bool {
    let third = samples.len() / 3;
    let middle = samples.get(third..2 * third).unwrap_or_default();
    let last = samples.get(2 * third..).unwrap_or_default();
    let mut passed = true;
    let mut say = |good: bool, what: String| {
        passed &= good;
        println!("{} - {what}", if good { "ok" } else { "not ok" });
    };
    for (name, read, allowance) in ALLOWANCES {
        let (was, is) = (median(middle, read), median(last, read));
        let most = was + was / 10 + allowance;
        say(
            is <= most,
            format!("{name}: {was} in the middle third, {is} in the last, at most {most}"),
        );
    }
    let left = after.sockets("CLOSE_WAIT");
    say(left == 0, format!("{left} sockets in CLOSE_WAIT after the load"));
    for (name, was, is) in [
        ("descriptors", before.descriptors, after.descriptors),
        ("threads", before.threads, after.threads),
    ] {
        say(is <= was, format!("{is} {name} after the load, {was} before"));
    }
    say(
        tally.failures() == 0,
        format!("{} unexpected failures", tally.failures()),
    );
    let moody = tally.moody_percent();
    say(
        moody <= MOODY_PERCENT_MAX,
        format!("{moody} % failures at the backend that is down 4 % of the time"),
    );
    passed
}

fn median(samples: &[Sample], read: Read) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(read).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
