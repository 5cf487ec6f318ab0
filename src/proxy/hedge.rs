//! Asks a second server where the first takes longer than nearly all answers of its route do: the first head of an answer counts.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::Arc,
};

use futures_util::future::{Either, select};
use http::Method;
use tokio::time::timeout_at;

use super::forward::{self, Answered, Ground, Trying, Turn};
use crate::{
    backend::{crew::Choice, pool::Pool},
    body::Body,
    clock,
    fields::Known,
    message::Response,
    observe::{
        metrics::{Family, Label},
        record::{Record, Timings},
    },
    policy::protection::Hedge,
    shield::{
        line::{Class, Entry, Seat, Terms},
        quantile::Quantile,
    },
    snapshot::{Snapshot, shields::Hedges},
    wire::{Interim, NoInterim},
};

/// How long nearly all answers of the core's routes take, for those that hedge.
#[derive(Debug, Default)]
pub struct Delays {
    by_route: RefCell<HashMap<u64, Rc<RefCell<Quantile>>>>,
}

impl Delays {
    fn of(&self, hedges: &Hedges) -> Rc<RefCell<Quantile>> {
        Rc::clone(self.by_route.borrow_mut().entry(hedges.id).or_default())
    }

    /// Forgets routes that `at` has no longer.
    pub fn keep_only(&self, at: &Snapshot) {
        let mut by_route = self.by_route.borrow_mut();
        if by_route.is_empty() {
            return;
        }
        let hedges = at.rules.iter().filter_map(|rule| rule.shield.hedges.as_ref());
        let live: HashSet<u64> = hedges.map(|hedges| hedges.id).collect();
        by_route.retain(|id, _| live.contains(id));
    }
}

/// On which terms an attempt may be sent to a second server as well; `None`: it may not.
pub(super) fn terms<'r>(
    trying: &Trying<'r>,
    turn: &Turn,
    ground: &Ground<'_>,
) -> Option<(&'r Hedges, Hedge)> {
    let rule = trying.rule?;
    let hedges = rule.shield.hedges.as_ref()?;
    let terms = rule.policy.protection.hedge?;
    let head = trying.head;
    let safe = matches!(head.method, Method::GET | Method::HEAD) && matches!(trying.body, Body::Empty);
    // whoever finds out whether a server is well again must not be called back
    let settled =
        turn.pool.server.vitals.breaker.get().is_closed() && ground.backend.state.breaker.get().is_closed();
    let may = safe && head.upgrade.is_none() && settled && turn.is_first && ground.crew.len() > 1;
    may.then_some((hedges, terms))
}

/// A second attempt, under way.
struct Second {
    turn: Turn,
    /// It counts as one more request there.
    _seat: Option<Seat>,
}

/// What came of an attempt, and what was measured of it.
type Tried = (Answered, Timings);

async fn tried(trying: Trying<'_>, pool: &Rc<Pool>, ground: &Ground<'_>, interim: &mut dyn Interim) -> Tried {
    let mut timings = Timings::default();
    let answered = forward::attempt(trying, pool, ground, &mut timings, interim).await;
    (answered, timings)
}

/// Waits for an answer to `trying` at `turn`, and asks another server when that takes long. `turn` is that of whoever answered.
pub(super) async fn race(
    trying: Trying<'_>,
    turn: &mut Turn,
    (hedges, terms): (&Hedges, Hedge),
    ground: &Ground<'_>,
    record: &mut Record,
    interim: &mut dyn Interim,
) -> Answered {
    hedges.budget.deposit(terms.budget);
    let times = ground.edge.delays.of(hedges);
    let known = times.borrow().p95();
    let (began, head, rule) = (trying.began, trying.head, trying.rule);
    let elapsed = || clock::steady().saturating_duration_since(began);
    let note = || {
        let mut times = times.borrow_mut();
        times.note(elapsed());
        hedges.tell(times.p95());
    };
    let pool = Rc::clone(&turn.pool);
    let mut asked = Box::pin(tried(trying, &pool, ground, interim));
    let early = match known {
        Some(delay) => {
            let late = began + delay.max(terms.min_delay);
            timeout_at(late.into(), asked.as_mut()).await.ok()
        }
        None => Some(asked.as_mut().await),
    };
    let other = match &early {
        Some(_) => None,
        None => second(turn, hedges, ground),
    };
    let Some(second) = other else {
        let (answered, timings) = match early {
            Some(early) => early,
            None => asked.await,
        };
        if answered.is_ok() {
            note();
        }
        record.timings.take_sent(timings);
        return answered;
    };
    let mut spare = head.clone();
    let there = Rc::clone(&second.turn.pool);
    forward::direct(&mut spare.headers, ground.backend, &there.server, ground.deadline);
    let again = Trying {
        head: &spare,
        body: Body::Empty,
        began: clock::steady(),
        is_last: true,
        after_stale: false,
        rule,
    };
    let mut nobody = NoInterim;
    let other = Box::pin(tried(again, &there, ground, &mut nobody));
    let ((answered, timings), won) = settle(asked, other).await;
    note(); // what the first took at least, where the second was faster
    record.timings.take_sent(timings);
    let word = match (won, &answered) {
        (_, Err(_)) => "failed",
        (true, Ok(_)) => "won",
        (false, Ok(_)) => "lost",
    };
    if won {
        turn.pool.gauge.waited(elapsed(), clock::steady());
        *turn = second.turn;
        record.timings.first_byte = Some(elapsed()); // what the client waited for
    }
    record.hedge = Some(word);
    count(ground, word);
    answered.map(|response| told(response, &ground.backend.settings.name.shared(), word))
}

/// The first good head, and whether it is the other's; a failure or an error only where both come to that. What is still on its way ends here.
async fn settle(
    first: impl Future<Output = Tried> + Unpin,
    other: impl Future<Output = Tried> + Unpin,
) -> (Tried, bool) {
    match select(first, other).await {
        Either::Left((tried, _)) if is_good(&tried) => (tried, false),
        Either::Right((tried, _)) if is_good(&tried) => (tried, true),
        Either::Left((tried, other)) => better(tried, other.await),
        Either::Right((tried, first)) => better(first.await, tried),
    }
}

fn better(first: Tried, other: Tried) -> (Tried, bool) {
    let others = is_good(&other) || (first.0.is_err() && other.0.is_ok());
    match others && !is_good(&first) {
        true => (other, true),
        false => (first, false),
    }
}

fn is_good((answered, _): &Tried) -> bool {
    answered
        .as_ref()
        .is_ok_and(|response| !response.status.is_server_error())
}

/// A turn with another server that is well, while the budget lasts and the backend has room.
fn second(turn: &Turn, hedges: &Hedges, ground: &Ground<'_>) -> Option<Second> {
    let now = clock::steady();
    let random = u64::from_ne_bytes(ground.edge.random8());
    let choice = Choice {
        tried: &[turn.place],
        key: None,
        now,
        random,
    };
    if !turn.pool.usable(now) {
        return None; // there are not two that are well
    }
    let (place, pool) = ground.crew.choose_well(choice)?;
    let seat = match ground.backend.line() {
        None => None,
        Some(terms) => {
            let terms = Terms { waiting: 0, ..terms };
            let entered = ground.backend.state.line.enter(Class::default(), terms, now);
            let Ok(Entry::Seat(seat)) = entered else {
                count(ground, "full");
                return None;
            };
            Some(seat)
        }
    };
    if !hedges.budget.withdraw() {
        count(ground, "budget");
        return None;
    }
    pool.gauge.picked();
    Some(Second {
        turn: Turn {
            place,
            pool: Rc::clone(pool),
            under_way: Some(pool.enter()),
            is_first: false,
        },
        _seat: seat,
    })
}

fn count(ground: &Ground<'_>, word: &'static str) {
    let name = ground.backend.settings.name.shared();
    let labels = [Label::Name(&name), Label::Word(word)];
    ground.edge.observe.count(Family::Hedges, &labels, 1);
}

/// Tells whoever looks at the answer that two servers were asked (RFC 9209).
fn told(mut response: Response, backend: &Arc<str>, word: &'static str) -> Response {
    let told = format!("banyan; next-hop=\"{backend}\"; details=\"hedge {word}\"");
    response.headers.append(Known::PROXY_STATUS, told);
    response
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::{Answered, Timings, settle};
    use crate::{body::Body, message::Response, proxy::refusal::Refusal};

    fn says(status: u16) -> Answered {
        Ok(Response::new(StatusCode::from_u16(status).unwrap(), Body::Empty))
    }

    fn fails() -> Answered {
        Err(Refusal::too_long().into())
    }

    async fn check(first: (u64, Answered), other: (u64, Answered), expected: (Option<u16>, bool)) {
        let after = |(millis, answered): (u64, Answered)| {
            Box::pin(async move {
                tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
                (answered, Timings::default())
            })
        };
        let ((answered, _), others) = settle(after(first), after(other)).await;
        let status = answered.ok().map(|response| response.status.as_u16());
        assert_eq!((status, others), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_good_head_counts_and_errors_only_where_both_have_none() {
        check((10, says(200)), (20, says(200)), (Some(200), false)).await;
        check((20, says(404)), (10, says(200)), (Some(200), true)).await;
        check((20, says(200)), (10, says(503)), (Some(200), false)).await;
        check((10, fails()), (20, says(200)), (Some(200), true)).await;
        check((20, says(200)), (10, fails()), (Some(200), false)).await;
        check((10, says(500)), (20, says(503)), (Some(500), false)).await;
        check((10, fails()), (20, says(503)), (Some(503), true)).await;
        check((20, fails()), (10, fails()), (None, false)).await;
    }
}
