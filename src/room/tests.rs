//! A room in time that only tests see: crowds that come, wait, look again, sit and go, and what never happens to them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;

use super::{Admission, Comer, Held, Room, RoomSettings, Standing, Ticket, Wait};
use crate::{
    clock::{Moment, UnixTime, steady},
    name::{Place, RoomName},
};

const WALL: u64 = 1_800_000_000;

pub(super) fn settings(inside: u32) -> RoomSettings {
    RoomSettings {
        name: RoomName::new("checkout").unwrap(),
        place: Place {
            file: Arc::from("banyan.toml"),
            line: 1,
        },
        inside,
        idle: Duration::from_secs(5),
        claim: Duration::from_secs(3),
        opens: None,
        bypass: Vec::new(),
        flags: Vec::new(),
    }
}

/// A room with its own time.
pub(super) struct World {
    pub(super) room: Room,
    began: Moment,
    millis: u64,
    random: u64,
}

impl World {
    pub(super) fn new(settings: RoomSettings) -> Self {
        Self {
            room: Room::new(settings, None),
            began: Moment {
                steady: steady(),
                wall_micros: WALL * 1_000_000,
            },
            millis: 0,
            random: 1,
        }
    }

    pub(super) fn now(&self) -> Moment {
        self.began
            .later(self.began.steady + Duration::from_millis(self.millis))
    }

    fn entropy(&mut self) -> [u8; 16] {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (u128::from(self.random) << 64 | u128::from(!self.random)).to_le_bytes()
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.millis += millis;
    }

    fn admit(&mut self, comer: Comer) -> Admission {
        let entropy = self.entropy();
        self.room.admit(comer, self.now(), entropy)
    }

    /// A visitor comes with what the browser carries, which may be another ticket afterwards.
    pub(super) fn come(&mut self, carried: &mut Option<Ticket>) -> Option<Wait> {
        match self.admit(Comer::Visitor(*carried)) {
            Admission::Inside { ticket } => {
                *carried = ticket.or(*carried);
                assert!(matches!(carried.unwrap().held, Held::Sits { .. }));
                None
            }
            Admission::Waiting(wait) => {
                *carried = wait.ticket.or(*carried);
                Some(wait)
            }
            Admission::Bypass => panic!("a visitor is counted"),
        }
    }

    /// Another program takes over; this one's room is returned.
    fn hand_over(&mut self) -> Room {
        self.room.hand_over(true);
        let text = serde_json::to_string(&self.room.carried(self.now())).unwrap();
        let next = Room::new(self.room.settings.clone(), None);
        assert!(next.take_up(&serde_json::from_str(&text).unwrap(), self.now()));
        assert_eq!(next.carried(self.now()), self.room.carried(self.now()));
        std::mem::replace(&mut self.room, next)
    }

    fn inside(&mut self) -> u64 {
        self.room.tend(self.now());
        self.room.count(self.now()).inside
    }
}

fn number(ticket: Option<Ticket>) -> u64 {
    match ticket.unwrap().held {
        Held::Waits(number) => number,
        held => panic!("{held:?}"),
    }
}

#[test]
fn who_comes_first_sits_and_the_rest_waits_in_order() {
    let mut world = World::new(settings(2));
    let mut people = [None; 5];
    let waits: Vec<_> = people.iter_mut().map(|person| world.come(person)).collect();
    assert_eq!((waits[0], waits[1]), (None, None));
    let ahead: Vec<_> = waits[2..].iter().map(|wait| wait.unwrap().ahead).collect();
    assert_eq!(ahead, [Some(0), Some(1), Some(2)]);
    assert_eq!(world.room.count(world.now()).waiting, 3);
    world.pass(4_000);
    assert_eq!(world.come(&mut people[0]), None, "who asks stays");
    assert!(world.come(&mut people[3]).is_some());
    world.pass(1_500); // the second has asked nothing for 5.5 seconds
    assert_eq!(
        world.come(&mut people[3]).unwrap().ahead,
        Some(0),
        "the third is called first"
    );
    assert_eq!(world.room.standing(people[2], world.now()), Standing::Called);
    assert_eq!(world.come(&mut people[2]), None);
    let wait = world.come(&mut people[1]).unwrap();
    assert!(wait.again, "who was away for too long is behind all others");
    assert_eq!(wait.ahead, Some(2));
}

#[test]
fn another_program_goes_on_where_this_one_stopped() {
    let mut world = World::new(settings(1));
    let mut people = [None; 4];
    people[..3].iter_mut().for_each(|person| _ = world.come(person));
    let before = world.hand_over();
    let (now, entropy) = (world.now(), world.entropy());
    let ask = |person| before.admit(Comer::Visitor(person), now, entropy);
    assert_eq!(
        ask(people[0]),
        Admission::Inside { ticket: None },
        "who sits is inside at either"
    );
    for person in [people[1], people[3]] {
        let Admission::Waiting(wait) = ask(person) else {
            panic!("let in")
        };
        assert_eq!((wait.ticket, wait.again), (None, false), "no place changes there");
    }
    assert_eq!(world.come(&mut people[3]).unwrap().ahead, Some(2));
    assert_eq!(world.come(&mut people[1]).unwrap().ahead, Some(0));
    assert_eq!(world.come(&mut people[0]), None);
    world.pass(5_200);
    assert_eq!(world.come(&mut people[1]), None);
    assert_eq!(world.room.count(world.now()).refused, 0);
    let mut opened = World::new(RoomSettings {
        opens: Some(UnixTime::from_secs(WALL + 60)),
        ..settings(1)
    });
    let mut early = None;
    opened.come(&mut early);
    opened.hand_over();
    let lot = early;
    opened.come(&mut early);
    assert_eq!(early, lot, "lots are the same");
    before.hand_over(false);
    assert_eq!(before.count(now).inside, 1, "and it can go on itself");
}

#[test]
fn a_called_number_for_which_nobody_comes_is_passed_over() {
    let mut world = World::new(settings(1));
    let mut people = [None; 3];
    people.iter_mut().for_each(|person| _ = world.come(person));
    world.pass(5_200);
    assert_eq!(world.come(&mut people[2]).unwrap().ahead, Some(0));
    world.pass(3_200); // the second was called, and did not come
    assert_eq!(world.come(&mut people[2]), None);
    let before = number(people[1]);
    let wait = world.come(&mut people[1]).unwrap();
    assert!(wait.again && number(people[1]) > before, "{wait:?}");
    let count = world.room.count(world.now());
    assert_eq!((count.missed, count.expired, count.admitted), (1, 1, 2));
}

#[test]
fn a_ticket_sits_once_and_another_rooms_or_lifes_ticket_is_none() {
    let mut world = World::new(settings(1));
    let (mut first, mut second) = (None, None);
    world.come(&mut first);
    world.come(&mut second);
    world.pass(5_200);
    let waiting = second;
    assert_eq!(world.come(&mut second), None);
    // the same visitor's browser asks twice at once: both are the one seat
    let mut twice = waiting;
    assert_eq!(world.come(&mut twice), None);
    assert_eq!(twice, second);
    assert_eq!(world.inside(), 1);
    world.pass(5_200);
    let mut third = None;
    world.come(&mut third);
    let mut replayed = waiting;
    assert!(world.come(&mut replayed).unwrap().again, "its seat is over");
    assert!(number(replayed) > number(waiting));
    let mut strange = Some(Ticket {
        epoch: 12,
        held: Held::Waits(0),
    });
    assert!(world.come(&mut strange).unwrap().ahead >= Some(1));
    let mut far = third.map(|ticket| Ticket {
        held: Held::Sits { seat: 77, holder: 0 },
        ..ticket
    });
    assert!(world.come(&mut far).unwrap().again);
    assert_eq!(world.room.count(world.now()).refused, 1);
}

#[test]
fn who_was_inside_in_an_earlier_life_sits_down_where_there_are_seats() {
    let mut before = World::new(settings(1));
    let mut person = None;
    before.come(&mut person);
    let mut world = World::new(settings(1));
    world.random = 99;
    assert_eq!(world.come(&mut person), None);
    world.pass(1_000);
    assert_eq!(world.come(&mut person), None, "and is known there");
    let mut other = None;
    before.pass(6_000);
    before.come(&mut other);
    assert!(world.come(&mut other).is_some(), "there is one seat");
}

#[test]
fn another_size_counts_at_once_and_nobody_is_put_out() {
    let mut world = World::new(settings(2));
    let mut people = [None; 6];
    people.iter_mut().for_each(|person| _ = world.come(person));
    world.room = Room::new(settings(4), Some(&world.room));
    assert_eq!(world.come(&mut people[3]), None, "two more are called");
    assert_eq!(world.come(&mut people[2]), None);
    assert!(world.come(&mut people[4]).is_some());
    world.room = Room::new(settings(1), Some(&world.room));
    for person in &mut people[..4] {
        assert_eq!(world.come(person), None, "who is inside stays");
    }
    world.pass(4_000);
    world.come(&mut people[0]);
    world.pass(2_000);
    assert_eq!(world.inside(), 1);
    assert!(
        world.come(&mut people[4]).is_some(),
        "one is inside, which is all now"
    );
}

#[test]
fn before_the_opening_all_draw_lots_and_then_none_is_lost() {
    let opens = UnixTime::from_secs(WALL + 60);
    let mut world = World::new(RoomSettings {
        opens: Some(opens),
        ..settings(10)
    });
    let mut people = [None; 200];
    for person in &mut people {
        let wait = world.come(person).unwrap();
        assert_eq!((wait.ahead, wait.opens), (None, Some(opens)));
    }
    assert_eq!(world.room.count(world.now()).waiting, 200);
    assert_eq!(world.admit(Comer::Bystander), world.admit(Comer::Bystander));
    world.pass(30_000);
    let lot = people[7];
    world.come(&mut people[7]);
    assert_eq!(people[7], lot, "one lot for each");
    // postponed: the same lots count
    let later = UnixTime::from_secs(WALL + 120);
    let postponed = RoomSettings {
        opens: Some(later),
        ..settings(10)
    };
    world.room = Room::new(postponed, Some(&world.room));
    world.pass(31_000);
    assert_eq!(world.come(&mut people[7]).unwrap().opens, Some(later));
    world.pass(60_000);
    let mut late = None;
    assert_eq!(
        world.come(&mut late).unwrap().ahead,
        Some(190),
        "ten are called already"
    );
    let sit = people
        .iter_mut()
        .filter_map(|person| world.come(person).is_none().then_some(()));
    assert_eq!(sit.count(), 10);
    let numbers: HashSet<u64> = people
        .iter()
        .filter(|person| matches!(person.unwrap().held, Held::Waits(_)))
        .map(|person| number(*person))
        .collect();
    assert_eq!(numbers.len(), 190);
    assert!(numbers.iter().all(|number| (10..200).contains(number)));
    let moved = (0..)
        .zip(&people)
        .filter(|(at, person)| match person.unwrap().held {
            Held::Waits(number) => number != *at,
            _ => true,
        });
    assert!(moved.count() > 150, "it is a draw");
}

#[test]
fn those_who_cannot_wait_pass_while_nobody_does() {
    let mut world = World::new(settings(2));
    let mut people = [None; 3];
    world.come(&mut people[0]);
    assert_eq!(world.admit(Comer::Bystander), Admission::Bypass);
    world.come(&mut people[1]);
    assert!(matches!(
        world.admit(Comer::Bystander),
        Admission::Waiting(Wait {
            ticket: None,
            ahead: None,
            ..
        })
    ));
    assert_eq!(world.admit(Comer::Exempt), Admission::Bypass);
    assert_eq!(world.room.count(world.now()).waiting, 0);
    assert_eq!(world.inside(), 2);
}

/// What is carried, since when, and what was told then.
type Person = (Option<Ticket>, u64, Option<(f64, f64)>);

#[test]
fn estimates_are_borne_out() {
    let mut world = World::new(settings(20));
    // five come each second, and each of 20 seats is free again after somewhat more than five
    let mut waiting: Vec<Person> = Vec::new();
    let (mut told, mut borne_out) = (0, 0);
    for step in 0..3_000_u64 {
        if step % 2 == 0 {
            waiting.push((None, step, None));
        }
        let mut still = Vec::new();
        for (mut ticket, since, estimate) in std::mem::take(&mut waiting) {
            let late = step % 10 == 0 || ticket.is_none();
            match late.then(|| world.come(&mut ticket)) {
                None => still.push((ticket, since, estimate)),
                Some(None) => {
                    if let Some((from, to)) = estimate {
                        told += 1;
                        let took = (step - since) as f64 / 10.0;
                        borne_out += usize::from((from - 1.5..=to + 1.5).contains(&took));
                    }
                }
                Some(Some(wait)) => {
                    let first = wait
                        .estimate
                        .map(|estimate| (estimate.from.as_secs_f64(), estimate.to.as_secs_f64()));
                    still.push((
                        ticket,
                        since,
                        estimate.or_else(|| first.filter(|_| ticket.is_some() && since == step)),
                    ));
                }
            }
        }
        waiting = still;
        world.pass(100);
    }
    assert!(told > 200, "{told}");
    assert!(borne_out * 10 >= told * 8, "{borne_out} of {told}");
}

/// What a crowd does: each comes at a time, looks again now and then, and sits for a while.
#[derive(Debug, Clone)]
struct Plan {
    inside: u32,
    /// When another program takes over.
    moves: u64,
    crowd: Vec<(u64, u64, u64, bool)>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let person = (0_u64..200, 1_u64..8, 0_u64..60, proptest::bool::weighted(0.1));
    (1_u32..12, 0_u64..500, prop::collection::vec(person, 1..120)).prop_map(|(inside, moves, crowd)| Plan {
        inside,
        moves,
        crowd,
    })
}

/// Plays a plan, and returns who sat down in which order of their first numbers.
fn play(plan: &Plan) {
    let mut world = World::new(settings(plan.inside));
    let mut tickets = vec![None; plan.crowd.len()];
    let mut last_seat: BTreeMap<usize, u64> = BTreeMap::new();
    let mut called: Vec<u64> = Vec::new();
    for step in 0..400_u64 {
        if step == plan.moves {
            world.hand_over();
        }
        for (at, (comes, looks, sits, goes_away)) in plan.crowd.iter().enumerate() {
            if step < *comes || last_seat.get(&at).is_some_and(|until| step > *until) {
                continue;
            }
            if *goes_away && step > comes + 3 {
                continue; // it closed its browser
            }
            if tickets[at].is_some() && (step - comes) % looks != 0 {
                continue;
            }
            let before = tickets[at];
            let wait = world.come(&mut tickets[at]);
            if wait.is_none() {
                if let Some(Ticket {
                    held: Held::Waits(number),
                    ..
                }) = before
                {
                    called.push(number);
                }
                last_seat.entry(at).or_insert(step + sits);
            }
        }
        let seats: HashSet<_> = tickets
            .iter()
            .flatten()
            .filter(|ticket| matches!(ticket.held, Held::Sits { .. }))
            .filter(|ticket| world.room.standing(Some(**ticket), world.now()) == Standing::Sits)
            .collect();
        assert!(seats.len() <= plan.inside as usize, "{} sit", seats.len());
        assert!(world.inside() <= u64::from(plan.inside));
        world.pass(100);
    }
    // nobody overtakes by more than the time for which a called number is waited for
    let mut highest = 0;
    for number in called {
        assert!(
            number + u64::from(plan.inside) * 40 >= highest,
            "{number} after {highest}"
        );
        highest = highest.max(number);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn there_are_never_more_inside_whatever_a_crowd_does(plan in plan()) {
        play(&plan);
    }
}

#[test]
fn numbers_are_called_in_order() {
    let mut world = World::new(settings(3));
    let mut people = [None; 60];
    people.iter_mut().for_each(|person| _ = world.come(person));
    let mut sat = Vec::new();
    for _ in 0..300 {
        world.pass(500);
        // asked in the opposite order: it is the number that counts
        for person in people.iter_mut().rev() {
            if let Some(Ticket {
                held: Held::Waits(number),
                ..
            }) = *person
                && world.come(person).is_none()
            {
                sat.push(number);
            }
        }
    }
    assert_eq!(sat.len(), 57);
    for batch in sat.chunks(3) {
        assert!(
            batch
                .iter()
                .all(|number| *number <= batch[0] && batch[0] - number < 3),
            "{batch:?}"
        );
    }
    let mut sorted = sat.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (3..60).collect::<Vec<_>>());
}

#[test]
fn many_cores_at_once_never_fill_more_seats_than_there_are() {
    const INSIDE: u32 = 100;
    let room = Room::new(
        RoomSettings {
            idle: Duration::from_millis(200),
            claim: Duration::from_secs(5),
            ..settings(INSIDE)
        },
        None,
    );
    let began = Moment {
        steady: steady(),
        wall_micros: WALL * 1_000_000,
    };
    std::thread::scope(|scope| {
        for core in 0..4_u64 {
            let room = &room;
            scope.spawn(move || {
                let mut tickets = vec![None; 250];
                let mut done = vec![false; 250];
                let until = began.steady + Duration::from_secs(20);
                while done.iter().any(|done| !done) && steady() < until {
                    for (ticket, done) in tickets.iter_mut().zip(&mut done).filter(|(_, done)| !**done) {
                        let now = began.later(steady());
                        match room.admit(Comer::Visitor(*ticket), now, [core as u8; 16]) {
                            Admission::Inside { .. } => *done = true,
                            Admission::Waiting(wait) => {
                                assert!(!wait.again, "nobody loses a place");
                                *ticket = wait.ticket.or(*ticket);
                            }
                            Admission::Bypass => panic!("counted"),
                        }
                        assert!(room.count(now).inside <= u64::from(INSIDE));
                    }
                }
                assert!(done.iter().all(|done| *done), "all were let in");
            });
        }
    });
    assert_eq!(room.count(began.later(steady())).admitted, 1_000);
}
