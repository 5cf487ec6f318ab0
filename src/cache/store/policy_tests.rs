//! The lines against their laws, and against a plain cache that forgets what was used longest ago.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const fn key(number: u64) -> KeyHash {
    KeyHash(number as u128)
}

/// A cache made of the policy alone.
struct Cache {
    policy: Policy,
    here: HashMap<u64, Arc<Ticket>>,
    victims: usize,
}

impl Cache {
    fn new(most: u64) -> Self {
        let (policy, here) = (Policy::new(most), HashMap::new());
        Self {
            policy,
            here,
            victims: 0,
        }
    }

    /// Whether it was there; it is afterwards, if it fits.
    fn ask(&mut self, number: u64, size: u64) -> bool {
        if let Some(ticket) = self.here.get(&number) {
            ticket.touch();
            return true;
        }
        let ticket = Arc::new(Ticket::new(key(number), size));
        let (here, victims) = (&mut self.here, &mut self.victims);
        let admitted = self.policy.admit(&ticket, false, &mut |gone| {
            let gone = here.remove(&u64::try_from(gone.key.0).unwrap());
            assert!(gone.is_some(), "only what is there can go");
            *victims += 1;
        });
        if admitted {
            self.here.insert(number, ticket);
        }
        false
    }

    fn drop(&mut self, number: u64) {
        if let Some(ticket) = self.here.remove(&number) {
            self.policy.forget(&ticket);
        }
    }

    fn check(&self) {
        let bytes: u64 = self.here.values().map(|ticket| ticket.size).sum();
        assert_eq!(self.policy.bytes(), bytes, "what is counted is what is there");
        assert!(bytes <= self.policy.most());
        let lined: HashSet<u128> = [&self.policy.short, &self.policy.main]
            .iter()
            .flat_map(|line| &line.tickets)
            .filter(|ticket| !ticket.gone.load(Ordering::Relaxed))
            .map(|ticket| ticket.key.0)
            .collect();
        let here: HashSet<u128> = self.here.keys().map(|number| u128::from(*number)).collect();
        assert_eq!(lined, here, "each has its place in line");
        for line in [&self.policy.short, &self.policy.main] {
            let gone = line
                .tickets
                .iter()
                .filter(|ticket| ticket.gone.load(Ordering::Relaxed));
            assert_eq!(gone.count(), line.gone);
            assert!(line.gone <= GONE_MAX.max(line.tickets.len() / 2 + 1));
        }
        assert!(self.policy.ghosts.line.len() <= *GHOSTS.end());
        assert!(self.policy.ghosts.known.len() <= self.policy.ghosts.line.len());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u64, u64),
    Drop(u64),
    Resize(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..60_u64, 1..40_u64).prop_map(|(number, size)| Step::Ask(number, size)),
        3 => (0..60_u64).prop_map(Step::Drop),
        1 => (0..300_u64).prop_map(Step::Resize),
    ]
}

proptest! {
    #[test]
    fn bytes_are_counted_and_bounded_whatever_comes(steps in prop::collection::vec(step(), 1..400)) {
        let mut cache = Cache::new(200);
        for step in steps {
            match step {
                Step::Ask(number, size) => {
                    let fits = size <= cache.policy.most();
                    cache.ask(number, size);
                    prop_assert!(!fits || cache.here.contains_key(&number), "what fits gets in");
                }
                Step::Drop(number) => cache.drop(number),
                Step::Resize(most) => {
                    let here = &mut cache.here;
                    cache.policy.resize(most, &mut |gone| {
                        here.remove(&u64::try_from(gone.key.0).unwrap());
                    });
                }
            }
            cache.check();
        }
    }
}

/// Numbers that look random and are the same each time.
fn numbers() -> impl FnMut(u64) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn a_crawler_drives_nothing_out_that_is_used() {
    let mut cache = Cache::new(1_000);
    for _ in 0..5 {
        for number in 0..500 {
            cache.ask(number, 1);
        }
    }
    for number in 10_000..60_000 {
        cache.ask(number, 1);
    }
    let left = (0..500).filter(|number| cache.here.contains_key(number)).count();
    assert!(left > 450, "{left} of 500 are left");
    cache.check();
}

#[test]
fn more_is_found_than_by_forgetting_what_was_used_longest_ago() {
    // half of the requests are for a few, the others for anything: what a shop with a long tail sees, and a crawler now and then
    let mut next = numbers();
    let mut asked = Vec::new();
    for at in 0..200_000 {
        asked.push(match next(2) {
            0 => next(200) * next(200) / 200,
            _ => next(20_000),
        });
        if at % 20_000 == 0 {
            asked.extend(100_000 + at..101_000 + at);
        }
    }
    let mut cache = Cache::new(500);
    let found = asked.iter().filter(|number| cache.ask(**number, 1)).count();
    let mut used: Vec<u64> = Vec::new();
    let mut found_by_age = 0;
    for number in &asked {
        match used.iter().rposition(|other| other == number) {
            Some(at) => {
                used.remove(at);
                found_by_age += 1;
            }
            None if used.len() == 500 => drop(used.remove(0)),
            None => {}
        }
        used.push(*number);
    }
    assert!(
        found > found_by_age,
        "{found} of {}, {found_by_age} by age",
        asked.len()
    );
    cache.check();
}

#[test]
fn what_comes_back_soon_gets_into_the_main_line() {
    let mut cache = Cache::new(100);
    for number in 0..100 {
        cache.ask(number, 1);
    }
    cache.ask(1_000, 1); // the first goes for it
    assert!(!cache.here.contains_key(&0));
    cache.ask(0, 1);
    assert!(cache.here[&0].is_main());
    assert!(!cache.here[&1_000].is_main());
    cache.check();
}
