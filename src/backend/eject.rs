//! Which servers stand out among their fellows so far that they are left alone for a while.

use std::{collections::VecDeque, time::Duration};

use super::{breaker::Terms, gauge::Counts};

/// `[backends.<name>.eject]`.
#[derive(Debug, Clone, PartialEq)]
pub struct EjectSettings {
    /// Failures in a row that take a server out, the pause that begins then, and the longest one.
    pub terms: Terms,
    /// Answers with these statuses are failures too: ranges.
    pub statuses: Vec<(u16, u16)>,
    /// Percent of failures within `window` that take a server out.
    pub error_share: Option<f64>,
    /// As many times the median of its fellows' mean latency takes a server out.
    pub slow: Option<f64>,
    /// Exchanges within `window` below which nobody is judged by share or slowness.
    pub requests: u64,
    /// What is looked back at.
    pub window: Duration,
    /// Percent of a backend's servers that may be out at once by failures; one always may.
    pub ejected_max: f64,
}

impl Eq for EjectSettings {} // shares are never NaN: `config` refuses them

impl Default for EjectSettings {
    /// What holds for backends that say nothing: failed connections in a row, and nothing else.
    fn default() -> Self {
        Self {
            terms: Terms::default(),
            statuses: Vec::new(),
            error_share: None,
            slow: None,
            requests: 20,
            window: Duration::from_secs(10),
            ejected_max: 100.0,
        }
    }
}

impl EjectSettings {
    /// Whether an answer with this status is a failure.
    #[must_use]
    pub fn is_bad(&self, status: u16) -> bool {
        self.statuses
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// Servers of `count` that may be out at once: one at least.
    #[must_use]
    pub fn room(&self, count: usize) -> usize {
        let share = count as f64 * self.ejected_max / 100.0;
        (share as usize).clamp(1, count.max(1))
    }
}

/// Why a server was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// So many failures in a row.
    Failures,
    /// Too large a share of failures.
    ErrorShare,
    /// Much slower than its fellows.
    Slow,
    /// The probe at the end of a pause failed.
    Probe,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failures, Self::ErrorShare, Self::Slow, Self::Probe];

    /// For labels and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::ErrorShare => "error-share",
            Self::Slow => "slow",
            Self::Probe => "probe",
        }
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Failures => "too many failures in a row",
            Self::ErrorShare => "too large a share of failures",
            Self::Slow => "much slower than the others",
            Self::Probe => "it still fails",
        }
    }

    /// Its place in [`Reason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What is slower than its fellows by less than this is no outlier: a fraction of a millisecond is noise.
const SLOWER_US_MIN: f64 = 10_000.0;

/// Who of those in use is to be taken out, the worst first: `counts` of each over the window, `None` for who is out already.
///
/// No more than [`EjectSettings::room`] are out afterwards, and an only server is never judged by others.
#[must_use]
pub fn outliers(counts: &[Option<Counts>], settings: &EjectSettings) -> Vec<(usize, Reason)> {
    let out = counts.iter().filter(|counts| counts.is_none()).count();
    let room = settings.room(counts.len()).saturating_sub(out);
    if counts.len() < 2 || room == 0 {
        return Vec::new();
    }
    let mut found: Vec<(f64, usize, Reason)> = Vec::new();
    for (at, own) in counts.iter().enumerate() {
        let Some(own) = own.filter(|own| own.good + own.bad >= settings.requests.max(1)) else {
            continue;
        };
        let share = 100.0 * own.bad as f64 / (own.good + own.bad) as f64;
        if settings.error_share.is_some_and(|most| share >= most) {
            found.push((1e3 + share, at, Reason::ErrorShare));
            continue;
        }
        let (Some(times), Some(mean)) = (settings.slow, mean_us(&own)) else {
            continue;
        };
        if let Some(median) = median_of_others(counts, at, settings.requests)
            && mean >= times * median
            && mean >= median + SLOWER_US_MIN
        {
            found.push((mean / median.max(1.0), at, Reason::Slow));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(room);
    found.into_iter().map(|(_, at, reason)| (at, reason)).collect()
}

fn mean_us(counts: &Counts) -> Option<f64> {
    (counts.good > 0).then(|| counts.took_us as f64 / counts.good as f64)
}

/// The median of the other servers' mean latencies; of two, the lower one.
fn median_of_others(counts: &[Option<Counts>], not: usize, requests: u64) -> Option<f64> {
    let others = counts.iter().enumerate().filter(|(at, _)| *at != not);
    let mut means: Vec<f64> = others
        .filter_map(|(_, counts)| counts.as_ref())
        .filter(|counts| counts.good >= requests.max(1))
        .filter_map(mean_us)
        .collect();
    means.sort_by(f64::total_cmp);
    means.get(means.len().checked_sub(1)? / 2).copied()
}

/// A server's counts of the last seconds.
#[derive(Debug, Default)]
pub struct Window(VecDeque<Counts>);

impl Window {
    /// Notes one more second, and forgets those before `window`.
    pub fn push(&mut self, second: Counts, window: Duration) {
        let seconds = usize::try_from(window.as_secs()).unwrap_or(usize::MAX).max(1);
        self.0.push_back(second);
        while self.0.len() > seconds {
            self.0.pop_front();
        }
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Counts {
        self.0
            .iter()
            .fold(Counts::default(), |sum, second| sum.plus(*second))
    }

    /// Begins anew: what was judged is not judged again.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{EjectSettings, Reason, outliers};
    use crate::backend::gauge::Counts;

    fn settings() -> EjectSettings {
        EjectSettings {
            error_share: Some(50.0),
            slow: Some(3.0),
            ejected_max: 50.0,
            ..EjectSettings::default()
        }
    }

    fn seen(good: u64, bad: u64, mean_ms: u64) -> Option<Counts> {
        Some(Counts {
            picks: good + bad,
            good,
            bad,
            took_us: good * mean_ms * 1_000,
        })
    }

    #[track_caller]
    fn check(counts: &[Option<Counts>], expected: &[(usize, Reason)]) {
        assert_eq!(outliers(counts, &settings()), expected);
    }

    #[test]
    fn who_fails_half_the_time_is_out_the_worst_first() {
        check(
            &[seen(100, 0, 5), seen(10, 90, 5), seen(100, 0, 5)],
            &[(1, Reason::ErrorShare)],
        );
        check(
            &[seen(50, 50, 5), seen(10, 90, 5), seen(9, 0, 5), seen(100, 9, 5)],
            &[(1, Reason::ErrorShare), (0, Reason::ErrorShare)],
        );
    }

    #[test]
    fn who_is_three_times_slower_than_the_median_of_the_others_is_out() {
        check(
            &[seen(100, 0, 20), seen(100, 0, 70), seen(100, 0, 22)],
            &[(1, Reason::Slow)],
        );
        check(&[seen(100, 0, 20), seen(100, 0, 50), seen(100, 0, 22)], &[]);
        check(&[seen(100, 0, 1), seen(100, 0, 9)], &[]); // eight milliseconds are noise
        check(&[seen(100, 0, 900)], &[]); // the only one has no fellows
    }

    #[test]
    fn nobody_is_judged_by_a_handful() {
        check(&[seen(0, 19, 5), seen(100, 0, 5)], &[]);
        check(&[seen(0, 20, 5), seen(100, 0, 5)], &[(0, Reason::ErrorShare)]);
    }

    #[test]
    fn when_all_fail_half_stay() {
        let all = [seen(0, 100, 5); 4];
        assert_eq!(outliers(&all, &settings()).len(), 2);
        let one_out = [None, seen(0, 100, 5), seen(0, 100, 5), seen(0, 100, 5)];
        assert_eq!(outliers(&one_out, &settings()).len(), 1);
    }

    proptest! {
        #[test]
        fn never_more_than_the_cap_are_out(
            counts in prop::collection::vec(prop::option::of((0u64..200, 0u64..200, 0u64..500)), 0..12),
            cap in 0.0f64..=100.0,
        ) {
            let counts: Vec<_> = counts.into_iter()
                .map(|seen_so| seen_so.and_then(|(good, bad, ms)| seen(good, bad, ms)))
                .collect();
            let settings = EjectSettings { ejected_max: cap, ..settings() };
            let before = counts.iter().filter(|counts| counts.is_none()).count();
            let more = outliers(&counts, &settings);
            prop_assert!(more.is_empty() || before + more.len() <= settings.room(counts.len()));
            for (at, _) in more {
                prop_assert!(counts[at].is_some_and(|own| own.good + own.bad >= settings.requests));
            }
        }
    }
}
