//! How often an address has brought something wrong: beyond a bound it is told to wait.
//!
//! A right secret passes whatever its address did before: 256 random bits can't be guessed at any rate, and behind one address may
//! stand both a forgotten script with an old token and the person who must switch a flag off now. What the bound keeps down is what
//! wrong ones cost: checks of signatures, and lines of the log.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Wrong attempts of an address within [`WINDOW`]; whatever it brings then is not looked at any closer.
pub(super) const FAILURES_MAX: u32 = 10;

/// How long wrong attempts are remembered, from the first.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered. Beyond it the one whose window ends first is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Wrong attempts by address.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<IpAddr, Failures>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// Whether an address has had its share.
    pub(super) fn are_spent(&self, address: IpAddr, now: Instant) -> bool {
        self.0
            .get(&network(address))
            .is_some_and(|failures| failures.count >= FAILURES_MAX && !failures.is_over(now))
    }

    /// One more wrong attempt; whether it is among those that are worth a line in the log.
    pub(super) fn failed(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = network(address);
        if self.0.len() >= ADDRESSES_MAX && !self.0.contains_key(&address) {
            self.make_room(now);
        }
        let failures = self.0.entry(address).or_insert(Failures { since: now, count: 0 });
        if failures.is_over(now) {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
        failures.count <= FAILURES_MAX
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, failures| !failures.is_over(now));
        if self.0.len() >= ADDRESSES_MAX
            && let Some(oldest) = self
                .0
                .iter()
                .min_by_key(|(_, failures)| failures.since)
                .map(|(key, _)| *key)
        {
            self.0.remove(&oldest);
        }
    }
}

impl Failures {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// The first half of an IPv6 address: the other half is its owner's to choose (RFC 4291 section 2.5.1).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ADDRESSES_MAX, Attempts, FAILURES_MAX, WINDOW};
    use crate::clock;

    #[test]
    fn an_address_has_ten_wrong_attempts_a_minute() {
        let (mut attempts, now) = (Attempts::default(), clock::steady());
        let address = "192.0.2.7".parse().unwrap();
        for _ in 0..FAILURES_MAX {
            assert!(!attempts.are_spent(address, now));
            assert!(attempts.failed(address, now));
        }
        assert!(attempts.are_spent(address, now));
        assert!(!attempts.failed(address, now), "no more lines in the log");
        assert!(attempts.are_spent("::ffff:192.0.2.7".parse().unwrap(), now));
        assert!(!attempts.are_spent("192.0.2.8".parse().unwrap(), now));
        assert!(!attempts.are_spent(address, now + WINDOW));
        assert!(attempts.failed(address, now + WINDOW));
        assert!(!attempts.are_spent(address, now + WINDOW));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (mut attempts, now) = (Attempts::default(), clock::steady());
        for host in 0..FAILURES_MAX {
            attempts.failed(format!("2001:db8::{host:x}").parse().unwrap(), now);
        }
        assert!(attempts.are_spent("2001:db8::ffff".parse().unwrap(), now));
        assert!(!attempts.are_spent("2001:db8:0:1::1".parse().unwrap(), now));
    }

    #[test]
    fn many_addresses_take_no_more_room() {
        let (mut attempts, now) = (Attempts::default(), clock::steady());
        for each in 0..3_000_u32 {
            let later = now + Duration::from_millis(u64::from(each));
            attempts.failed(std::net::Ipv4Addr::from_bits(each).into(), later);
        }
        assert_eq!(attempts.0.len(), ADDRESSES_MAX);
    }
}
