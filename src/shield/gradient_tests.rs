//! Laws of the limit, and a backend of so many workers that is simulated window by window.

use std::time::Duration;

use proptest::prelude::*;

use super::{ANSWERS, Adaptive, Gradient, Terms, WINDOW, Window};
use crate::clock;

const TERMS: Terms = Terms { min: 5, max: 400 };

fn window(took_us: f64, under_way: u32) -> Window {
    Window { took_us, under_way }
}

/// A backend of `workers` that each take 10 ms: who comes while all are busy waits.
fn served_in(workers: u32, under_way: u32) -> f64 {
    10_000.0 * (f64::from(under_way) / f64::from(workers)).max(1.0)
}

/// `wanted` callers press on a backend for so many windows; what the limit is after each.
fn press(mut gradient: Gradient, workers: u32, wanted: u32, windows: usize) -> (Gradient, Vec<u32>) {
    let mut limits = Vec::with_capacity(windows);
    for _ in 0..windows {
        let under_way = wanted.min(gradient.limit());
        gradient = gradient.after(window(served_in(workers, under_way), under_way), TERMS);
        limits.push(gradient.limit());
    }
    (gradient, limits)
}

fn quiet(workers: u32) -> Gradient {
    press(Gradient::new(TERMS), workers, 1, 20).0
}

#[test]
fn under_a_flood_the_limit_settles_near_what_the_backend_can_do() {
    for workers in [10, 40, 150] {
        let (_, limits) = press(quiet(workers), workers, 10_000, 300);
        let settled = &limits[100..];
        let (least, most) = (settled.iter().min().unwrap(), settled.iter().max().unwrap());
        assert!(*least >= workers, "{workers}: {least}, which leaves workers idle");
        assert!(
            *most <= workers * 5 / 2 + 5,
            "{workers}: {most}, which is a long queue"
        );
        assert!(
            most - least <= workers / 4 + 3,
            "{workers}: it swings from {least} to {most}"
        );
    }
}

#[test]
fn it_rises_again_once_the_backend_is_well() {
    let (slow, limits) = press(quiet(100), 10, 10_000, 100);
    assert!(limits.last().unwrap() < &60, "{limits:?}");
    let (_, limits) = press(slow, 100, 10_000, 300);
    assert!(limits.last().unwrap() >= &100, "{limits:?}");
}

#[test]
fn a_first_estimate_that_was_too_good_is_got_over() {
    // the backend takes three times as long from now on, however little is under way
    let mut gradient = quiet(50);
    for _ in 0..6_000 {
        gradient = gradient.after(window(30_000.0, gradient.limit()), TERMS);
    }
    assert_eq!(gradient.limit(), TERMS.max);
}

#[test]
fn who_needs_little_says_nothing_of_the_rest() {
    let (pressed, _) = press(quiet(10), 10, 10_000, 100);
    let (after, _) = press(pressed, 10, 2, 100);
    assert_eq!(after.limit(), pressed.limit());
}

#[test]
fn cores_share_one_limit_and_say_why() {
    let (adaptive, now) = (Adaptive::default(), clock::steady());
    assert_eq!(adaptive.limit(TERMS), TERMS.max);
    let mut at = now;
    let mut answers = |took: u64, windows: u32| {
        for _ in 0..windows {
            at += WINDOW;
            for _ in 0..ANSWERS {
                adaptive.note(Duration::from_millis(took), adaptive.limit(TERMS), at, TERMS);
            }
        }
    };
    answers(10, 5);
    assert_eq!(adaptive.limit(TERMS), TERMS.max);
    answers(100, 60);
    assert!(adaptive.limit(TERMS) < 50, "{}", adaptive.told(TERMS));
    assert!(
        adaptive
            .told(TERMS)
            .contains("answers take 100ms, in quiet times 1"),
        "{}",
        adaptive.told(TERMS)
    );
    let narrow = Terms { min: 100, max: 120 };
    assert_eq!(adaptive.limit(narrow), 100, "other bounds count at once");
}

proptest! {
    /// Whatever answers take, the limit stays within its bounds.
    #[test]
    fn it_stays_within_its_bounds(
        min in 1u32..50,
        more in 0u32..500,
        story in prop::collection::vec((0.0f64..1e9, 0u32..1_000), 0..300),
    ) {
        let terms = Terms { min, max: min + more };
        let mut gradient = Gradient::new(terms);
        for (took, under_way) in story {
            gradient = gradient.after(window(took, under_way), terms);
            prop_assert!((terms.min..=terms.max).contains(&gradient.limit()), "{gradient:?}");
        }
    }

    /// Steady answers under load never lower it, and raise it up to its bound.
    #[test]
    fn it_rises_while_answers_are_steady(took in 100.0f64..1e6, noise in prop::collection::vec(0.9f64..1.1, 400)) {
        let mut gradient = Gradient { limit: 5.0, quiet_us: took };
        for factor in noise {
            let before = gradient;
            gradient = gradient.after(window(took * factor, before.limit()), TERMS);
            prop_assert!(gradient.limit >= before.limit);
        }
        prop_assert_eq!(gradient.limit(), TERMS.max);
    }

    /// Answers that take more than twice as long lower it, never by more than a tenth in one window, and never to nothing.
    #[test]
    fn it_falls_when_answers_wait(took in 100.0f64..1e6, factor in 2.5f64..100.0, limit in 50.0f64..400.0) {
        let before = Gradient { limit, quiet_us: took };
        let after = before.after(window(took * factor, before.limit()), TERMS);
        prop_assert!(after.limit < before.limit && after.limit >= before.limit * 0.9);
    }

    /// However callers and workers come and go, it does not swing down to its least while there is work for more.
    #[test]
    fn it_does_not_swing_to_nothing(workers in 20u32..200, crowd in prop::collection::vec(20u32..2_000, 200)) {
        let mut gradient = quiet(workers);
        for wanted in crowd {
            gradient = press(gradient, workers, wanted, 1).0;
            prop_assert!(gradient.limit() >= workers.min(wanted).min(20), "{gradient:?}");
        }
    }
}
