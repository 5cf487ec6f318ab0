//! Laws of the line: never more than its seats, in order, and nobody forgotten.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;

use super::{Class, Entry, Full, Line, Seat, Terms, Turn};
use crate::clock;

fn terms(seats: u32, waiting: u32) -> Terms {
    let patience = Duration::from_secs(3600);
    Terms {
        seats,
        waiting,
        patience,
    }
}

fn seat(entry: Result<Entry, Full>) -> Seat {
    match entry {
        Ok(Entry::Seat(seat)) => seat,
        other => panic!("no seat: {other:?}"),
    }
}

fn turn(entry: Result<Entry, Full>) -> Turn {
    match entry {
        Ok(Entry::Turn(turn)) => turn,
        other => panic!("no turn: {other:?}"),
    }
}

#[test]
fn who_comes_beyond_seats_and_line_is_told_at_once() {
    let (line, now) = (Arc::new(Line::default()), clock::steady());
    let come = |class| line.enter(class, terms(1, 1), now);
    let held = seat(come(Class::Normal));
    let mut waits = turn(come(Class::Normal));
    assert!(matches!(come(Class::Normal), Err(Full)));
    assert!(matches!(come(Class::Crawler), Err(Full)));
    drop(held);
    assert!(waits.seat.try_recv().is_ok());
}

#[test]
fn a_better_class_goes_first_and_takes_the_place_of_the_newest_of_the_least() {
    let (line, now) = (Arc::new(Line::default()), clock::steady());
    let come = |class| line.enter(class, terms(1, 3), now);
    let held = seat(come(Class::Normal));
    let mut first = turn(come(Class::Low));
    let mut crawler = turn(come(Class::Crawler));
    let mut second = turn(come(Class::Low));
    let mut high = turn(come(Class::High));
    assert!(crawler.seat.try_recv().is_err());
    assert!(crawler.seat.is_terminated_or_closed(), "the crawler was dropped");
    drop(held);
    let held = high.seat.try_recv().expect("the best class first");
    assert!(first.seat.try_recv().is_err());
    drop(held);
    let held = first.seat.try_recv().expect("then by turn");
    assert!(second.seat.try_recv().is_err());
    drop(held);
    second.seat.try_recv().expect("nobody is forgotten");
    assert_eq!(line.waiting(), 0);
}

trait Closed {
    fn is_terminated_or_closed(&mut self) -> bool;
}

impl Closed for tokio::sync::oneshot::Receiver<Seat> {
    fn is_terminated_or_closed(&mut self) -> bool {
        matches!(
            self.try_recv(),
            Err(tokio::sync::oneshot::error::TryRecvError::Closed)
        )
    }
}

#[test]
fn who_leaves_the_line_or_never_takes_the_seat_holds_nobody_up() {
    let (line, now) = (Arc::new(Line::default()), clock::steady());
    let come = || line.enter(Class::Normal, terms(1, 10), now);
    let held = seat(come());
    let (leaves, handed, mut stays) = (turn(come()), turn(come()), turn(come()));
    drop(leaves);
    assert_eq!(line.waiting(), 2);
    drop(held); // goes to `handed`, who never looks
    assert!(stays.seat.try_recv().is_err());
    drop(handed);
    assert!(stays.seat.try_recv().is_ok());
    assert_eq!((line.taken(), line.waiting()), (0, 0));
}

#[test]
fn nobody_lines_up_where_it_moves_too_slowly() {
    let (line, now) = (Arc::new(Line::default()), clock::steady());
    {
        let mut queue = line.queue();
        for second in 0..20 {
            queue.handed.note(now + Duration::from_secs(second));
        }
    }
    let terms = Terms {
        patience: Duration::from_secs(3),
        ..terms(1, 100)
    };
    let later = now + Duration::from_secs(19);
    let come = || line.enter(Class::Normal, terms, later);
    let _held = seat(come());
    let _line: Vec<Turn> = (0..3).map(|_| turn(come())).collect();
    assert!(
        matches!(come(), Err(Full)),
        "a fourth would wait for four seconds"
    );
    assert!(
        line.enter(Class::High, terms, later).is_ok(),
        "who goes before the others need not wait for them"
    );
}

#[test]
fn seats_follow_the_settings() {
    let (line, now) = (Arc::new(Line::default()), clock::steady());
    let held: Vec<Seat> = (0..4)
        .map(|_| seat(line.enter(Class::Normal, terms(4, 0), now)))
        .collect();
    assert!(line.enter(Class::Normal, terms(2, 0), now).is_err());
    drop(held);
    let _two: Vec<Seat> = (0..2)
        .map(|_| seat(line.enter(Class::Normal, terms(2, 0), now)))
        .collect();
    assert!(line.enter(Class::Normal, terms(2, 0), now).is_err());
}

#[test]
fn cores_together_never_take_more_and_forget_nobody() {
    const SEATS: usize = 3;
    let line = Arc::new(Line::default());
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let run = |core: usize| {
        let (line, inside, most) = (Arc::clone(&line), Arc::clone(&inside), Arc::clone(&most));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let each = (0..500).map(|at| {
                    let (line, inside, most) = (&line, &inside, &most);
                    async move {
                        let class = [Class::High, Class::Normal, Class::Crawler][(at + core) % 3];
                        let seat = match line.enter(class, terms(3, 10_000), clock::steady()) {
                            Ok(Entry::Seat(seat)) => seat,
                            Ok(Entry::Turn(mut turn)) => turn.seat().await.unwrap(),
                            Err(Full) => panic!("the line is long enough"),
                        };
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(seat);
                    }
                });
                let all = futures_util::future::join_all(each);
                tokio::time::timeout(Duration::from_secs(30), all)
                    .await
                    .expect("nobody is forgotten");
            });
        })
    };
    let cores: Vec<_> = (0..4).map(run).collect();
    cores.into_iter().for_each(|core| core.join().unwrap());
    assert!(most.load(Ordering::SeqCst) <= SEATS);
    assert_eq!((line.taken(), line.waiting()), (0, 0));
}

/// What happens to a line in a story.
#[derive(Debug, Clone, Copy)]
enum Step {
    Come(u8),
    Finish(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..5).prop_map(Step::Come),
        any::<usize>().prop_map(Step::Finish),
        any::<usize>().prop_map(Step::Leave),
    ]
}

const CLASSES: [Class; 5] = [
    Class::High,
    Class::Normal,
    Class::Low,
    Class::Prefetch,
    Class::Crawler,
];

proptest! {
    /// Against a model: who sits, who waits in which order, who is told that it is full.
    #[test]
    fn a_line_is_its_model(story in prop::collection::vec(step(), 0..200), seats in 1u32..4, waiting in 0u32..5) {
        let (line, now, terms) = (Arc::new(Line::default()), clock::steady(), terms(seats, waiting));
        let mut inside: Vec<Seat> = Vec::new();
        let mut order: Vec<Turn> = Vec::new();
        for step in story {
            match step {
                Step::Come(class) => {
                    let class = CLASSES[usize::from(class)];
                    let room = inside.len() < seats as usize;
                    match line.enter(class, terms, now) {
                        Ok(Entry::Seat(seat)) => {
                            prop_assert!(room && order.is_empty(), "nobody overtakes");
                            inside.push(seat);
                        }
                        Ok(Entry::Turn(turn)) => {
                            prop_assert!(!room);
                            if order.len() == waiting as usize {
                                let mut gone = order.pop().unwrap();
                                prop_assert!(gone.key.0 > class);
                                prop_assert!(gone.seat.is_terminated_or_closed());
                            }
                            order.push(turn);
                            order.sort_by_key(|turn| turn.key);
                        }
                        Err(Full) => {
                            prop_assert!(!room && order.len() == waiting as usize);
                            prop_assert!(order.last().is_none_or(|last| last.key.0 <= class));
                        }
                    }
                }
                Step::Finish(at) if !inside.is_empty() => {
                    drop(inside.swap_remove(at % inside.len()));
                    if !order.is_empty() {
                        let mut first = order.remove(0);
                        inside.push(first.seat.try_recv().expect("the first in line gets it"));
                    }
                }
                Step::Leave(at) if !order.is_empty() => drop(order.remove(at % order.len())),
                Step::Finish(_) | Step::Leave(_) => {}
            }
            prop_assert!(inside.len() <= seats as usize);
            prop_assert_eq!(line.taken() as usize, inside.len());
            prop_assert_eq!(line.waiting() as usize, order.len());
        }
    }
}
