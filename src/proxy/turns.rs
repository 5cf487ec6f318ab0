//! Signatures of tokens that a core has not seen are verified in turns: a flood of them leaves the core's other requests their time.
//!
//! A verification holds up everybody on its core, for a tenth of a millisecond or, with the largest keys, several times that. So it
//! may take one part in [`SHARE`] of the core's time, [`BURST`] of it at once, and who is beyond that waits in a line of bounded
//! length. Tokens that were found good before, sessions and public routes never stand in it.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::{edge::Edge, seats::Seats};
use crate::{
    clock::{self, UnixTime},
    observe::metrics::{Family, Label},
    snapshot::{
        Snapshot,
        decide::{Ask, Decision, Stop, decide},
    },
};

/// Verifying takes at most one part in so many of a core's time.
pub const SHARE: u32 = 4;
/// Time of verifying that may be taken at once, where none was taken for a while.
pub const BURST: Duration = Duration::from_millis(2);
/// Requests that wait for their turn on a core; one more is 503.
pub const WAITING_MAX: usize = 256;
/// Of these from one address, which may be a whole office's.
pub const WAITING_EACH_MAX: usize = 32;
/// How long a request waits for its turn; then it is 503.
pub const WAIT_MAX: Duration = Duration::from_secs(2);

/// A core's turns at verifying.
#[derive(Debug)]
pub struct Turns {
    seats: Rc<Seats>,
    /// One at a time, in the order in which they came.
    line: Semaphore,
    budget: Cell<Budget>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            seats: Rc::default(),
            line: Semaphore::new(1),
            budget: Cell::new(Budget::full(clock::steady())),
        }
    }
}

impl Turns {
    /// Requests that wait, or verify.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.seats.taken()
    }
}

/// Does `work`, which verifies a signature for `client`, when its turn has come. `None`: too many wait, or it took too long.
pub(super) async fn take<T>(client: Option<IpAddr>, edge: &Edge, work: impl FnOnce() -> T) -> Option<T> {
    let turns = &edge.turns;
    let count = |outcome| {
        edge.observe
            .count(Family::Verifications, &[Label::Word(outcome)], 1)
    };
    let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let Ok(_seat) = turns.seats.take(client, WAITING_MAX, WAITING_EACH_MAX) else {
        count("too_many");
        return None;
    };
    let mut waited = false;
    let waiting = async {
        waited = turns.line.available_permits() == 0;
        let turn = turns.line.acquire().await.ok()?;
        while let Some(pause) = turns.budget.get().pause(clock::steady()) {
            waited = true;
            tokio::time::sleep(pause).await;
        }
        Some(turn)
    };
    let turn = tokio::time::timeout(WAIT_MAX, waiting).await.ok().flatten();
    let Some(_turn) = turn else {
        count("too_late");
        return None;
    };
    count(if waited { "waited" } else { "at_once" });
    let began = clock::steady();
    let done = edge.tokens.in_turn(work);
    turns.budget.set(turns.budget.get().spend(began, clock::steady()));
    Some(done)
}

/// Decides what happens to a request whose token is to be verified first. Without a turn it stays denied for that.
pub(super) async fn decided<'t>(
    ask: &Ask<'_, 't>,
    now: UnixTime,
    at: &Snapshot,
    edge: &Edge,
    denied: Stop,
) -> Result<Decision<'t>, Stop> {
    let decided = take(ask.client, edge, || decide(ask, now, at, &mut ())).await;
    decided.unwrap_or(Err(denied))
}

/// Writes down how long the line is.
pub(super) fn measure(edge: &Edge) {
    let waiting = i64::try_from(edge.turns.waiting()).unwrap_or(i64::MAX);
    edge.observe.set(Family::VerificationsWaiting, &[], waiting);
}

/// Time that may be spent on verifying: grows with time, up to [`BURST`]; less than none where the last one took more than was left.
#[derive(Debug, Clone, Copy)]
struct Budget {
    left_nanos: i64,
    at: Instant,
}

impl Budget {
    fn full(now: Instant) -> Self {
        Self {
            left_nanos: nanos(BURST),
            at: now,
        }
    }

    fn at(self, now: Instant) -> Self {
        let gained = nanos(now.saturating_duration_since(self.at) / SHARE);
        Self {
            left_nanos: self.left_nanos.saturating_add(gained).min(nanos(BURST)),
            at: now,
        }
    }

    /// How long it takes until something may be spent; `None`: it may be now.
    fn pause(self, now: Instant) -> Option<Duration> {
        let missing = 1_i64.saturating_sub(self.at(now).left_nanos);
        let missing = u64::try_from(missing).ok().filter(|missing| *missing > 0)?;
        Some(Duration::from_nanos(missing) * SHARE)
    }

    fn spend(self, began: Instant, ended: Instant) -> Self {
        let spent = nanos(ended.saturating_duration_since(began));
        let left = self.at(began);
        Self {
            left_nanos: left.left_nanos.saturating_sub(spent),
            at: ended, // the time of verifying earns none
        }
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{BURST, Budget, SHARE};
    use crate::clock;

    proptest! {
        /// Whatever each takes and whenever it comes: together they take no more than their share, what may come at once, and the last.
        #[test]
        fn verifying_takes_its_share_of_the_time_and_no_more(
            steps in prop::collection::vec((0..3_000_u64, 1..5_000_u64), 1..200),
        ) {
            let begin = clock::steady();
            let (mut now, mut budget) = (begin, Budget::full(begin));
            let (mut spent, mut last) = (Duration::ZERO, Duration::ZERO);
            for (idle, takes) in steps {
                now += Duration::from_micros(idle);
                let pause = budget.pause(now).unwrap_or_default();
                now += pause;
                prop_assert_eq!(budget.pause(now), None, "a pause is long enough");
                prop_assert!(pause <= Duration::from_micros(5_000) * SHARE, "and none is for ever");
                let share = (now - begin) / SHARE + BURST;
                prop_assert!(spent <= share, "{:?} of {:?}", spent, share);
                last = Duration::from_micros(takes);
                budget = budget.spend(now, now + last);
                now += last;
                spent += last;
            }
            prop_assert!(spent - last <= (now - begin) / SHARE + BURST);
        }
    }
}
