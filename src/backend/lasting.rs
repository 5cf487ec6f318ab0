//! Which addresses of a name connections may go on with, although answers vary.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long connections to an address go on that answers no longer have: some names are answered with other addresses each time.
pub(super) const LINGER: Duration = Duration::from_secs(30);

/// The addresses of a name so far, and when each was answered last.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The last answer.
    pub(super) current: Vec<IpAddr>,
    seen: BTreeMap<IpAddr, Instant>,
}

impl Known {
    /// Notes an answer; says which connections may go on.
    pub(super) fn note(&mut self, answer: Vec<IpAddr>, now: Instant) -> Vec<IpAddr> {
        for ip in self.current.iter().chain(&answer) {
            self.seen.insert(*ip, now); // those of the last answer were good until now
        }
        self.current = answer;
        let current = &self.current;
        self.seen
            .retain(|ip, seen| current.contains(ip) || now.saturating_duration_since(*seen) < LINGER);
        self.seen.keys().copied().collect()
    }

    /// When connections to an address are to end.
    pub(super) fn until_departure(&self, now: Instant) -> Option<Duration> {
        let gone = self.seen.iter().filter(|(ip, _)| !self.current.contains(ip));
        gone.map(|(_, seen)| LINGER.saturating_sub(now.saturating_duration_since(*seen)))
            .min()
            .map(|left| left.max(Duration::from_millis(10)))
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use super::{Known, LINGER};
    use crate::clock;

    #[test]
    fn connections_to_an_address_go_on_while_answers_vary() {
        let (mut known, now) = (Known::default(), clock::steady());
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let second = Duration::from_secs(1);
        assert_eq!(known.note(vec![ip(1), ip(2)], now), [ip(1), ip(2)]);
        assert_eq!(known.note(vec![ip(3)], now + second), [ip(1), ip(2), ip(3)]);
        assert_eq!(known.until_departure(now + second), Some(LINGER));
        assert_eq!(known.note(vec![ip(1)], now + second * 20), [ip(1), ip(2), ip(3)]);
        assert_eq!(
            known.note(vec![ip(1)], now + second + LINGER),
            [ip(1), ip(3)],
            "2 is gone"
        );
        assert_eq!(known.note(vec![ip(1)], now + second * 20 + LINGER), [ip(1)]);
        assert_eq!(known.until_departure(now + second * 60), None);
    }
}
