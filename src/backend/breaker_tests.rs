//! A breaker's laws, in simulated time.

use std::{
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{Breaker, FAILURES_TO_OPEN, Millis, PAUSE_FIRST, PAUSE_MAX, SharedBreaker, Terms};
use crate::clock;

fn opened(now: Instant) -> SharedBreaker {
    let breaker = SharedBreaker::default();
    for _ in 0..FAILURES_TO_OPEN {
        breaker.failed(now, &Terms::default(), || true);
    }
    breaker
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let now = clock::steady();
    let breaker = SharedBreaker::default();
    for _ in 1..FAILURES_TO_OPEN {
        assert_eq!(breaker.failed(now, &Terms::default(), || true), None);
    }
    breaker.succeeded();
    breaker.failed(now, &Terms::default(), || true);
    assert!(breaker.admits(now));
}

#[test]
fn half_open_breaker_lets_one_exchange_through() {
    let now = clock::steady();
    let later = now + PAUSE_FIRST;
    let breaker = opened(now);
    assert!(!breaker.admits(now) && !breaker.claim(now));
    assert!(breaker.admits(later) && breaker.claim(later));
    assert!(!breaker.admits(later) && !breaker.claim(later));
    assert!(breaker.succeeded(), "that closed it");
    assert!(breaker.get().is_closed() && breaker.claim(later));
}

#[test]
fn one_probe_goes_although_all_cores_ask_at_once() {
    for _ in 0..50 {
        let now = clock::steady();
        let breaker = Arc::new(opened(now));
        let start = Arc::new(Barrier::new(4));
        let cores: Vec<_> = (0..4)
            .map(|_| {
                let (breaker, start) = (Arc::clone(&breaker), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    breaker.claim(now + PAUSE_FIRST)
                })
            })
            .collect();
        let through = cores.into_iter().map(|core| core.join().unwrap());
        assert_eq!(through.filter(|claimed| *claimed).count(), 1);
    }
}

#[test]
fn each_failed_probe_doubles_the_pause_up_to_a_bound() {
    let mut now = clock::steady();
    let breaker = opened(now);
    let mut pauses = vec![1];
    now += PAUSE_FIRST;
    for _ in 0..7 {
        assert!(breaker.claim(now));
        let pause = breaker.failed(now, &Terms::default(), || true).unwrap();
        pauses.push(pause.as_secs());
        now += pause;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, PAUSE_MAX.as_secs()]);
}

#[test]
fn who_fails_again_soon_stays_out_for_longer_until_it_is_forgiven() {
    let mut now = clock::steady();
    let breaker = opened(now);
    now += PAUSE_FIRST;
    assert!(breaker.claim(now) && breaker.succeeded());
    assert_eq!(
        breaker.open(now, &Terms::default()),
        Some(PAUSE_FIRST * 2),
        "flapping"
    );
    now += PAUSE_FIRST * 2;
    assert!(breaker.claim(now) && breaker.succeeded());
    breaker.forgive();
    breaker.forgive();
    assert_eq!(
        breaker.open(now, &Terms::default()),
        Some(PAUSE_FIRST),
        "forgiven"
    );
}

#[test]
fn a_probe_that_never_comes_back_does_not_keep_it_half_open() {
    let now = clock::steady();
    let breaker = opened(now);
    assert!(breaker.claim(now + PAUSE_FIRST));
    assert!(!breaker.admits(now + PAUSE_FIRST + PAUSE_MAX - Duration::from_millis(2)));
    assert!(breaker.claim(now + PAUSE_FIRST + PAUSE_MAX));
}

#[test]
fn who_may_not_be_left_alone_is_used_on() {
    let now = clock::steady();
    let breaker = SharedBreaker::default();
    for _ in 0..100 {
        assert_eq!(breaker.failed(now, &Terms::default(), || false), None);
    }
    assert!(breaker.admits(now));
    assert!(breaker.failed(now, &Terms::default(), || true).is_some());
}

fn state() -> impl Strategy<Value = Breaker> {
    let (time, strikes) = (0u64..1 << 46, 0u8..=20);
    prop_oneof![
        (any::<u16>(), strikes.clone()).prop_map(|(failures, strikes)| Breaker::Closed { failures, strikes }),
        (time.clone(), strikes.clone()).prop_map(|(until, strikes)| Breaker::Open {
            until: Millis(until),
            strikes
        }),
        (time, strikes).prop_map(|(give_up, strikes)| Breaker::HalfOpen {
            give_up: Millis(give_up),
            strikes
        }),
    ]
}

proptest! {
    #[test]
    fn a_word_of_memory_holds_all_of_it(breaker in state()) {
        prop_assert_eq!(Breaker::unpack(breaker.pack()), breaker);
    }

    /// Whatever happens in whatever order, no two probes are under way within the time that one may take.
    #[test]
    fn probes_never_overlap(events in prop::collection::vec((0u64..2_000, 0u8..3), 1..200)) {
        let mut now = clock::steady();
        let breaker = opened(now);
        let mut probe: Option<Instant> = None;
        for (wait, event) in events {
            now += Duration::from_millis(wait);
            match event {
                0 if !breaker.get().is_closed() && breaker.claim(now) => {
                    let since = probe.map(|sent| now.duration_since(sent));
                    prop_assert!(since.is_none_or(|since| since >= PAUSE_MAX - Duration::from_millis(1)));
                    probe = Some(now);
                }
                1 if probe.take().is_some() => { breaker.failed(now, &Terms::default(), || true); }
                2 if probe.take().is_some() => {
                    breaker.succeeded();
                    breaker.open(now, &Terms::default());
                }
                _ => {}
            }
        }
    }
}
