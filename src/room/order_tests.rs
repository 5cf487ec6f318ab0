//! Nobody is let in before somebody with a smaller number was called, whoever comes, looks, stays away or changes the room.

use proptest::prelude::*;

use super::{
    Held, Room, RoomSettings, Standing, Ticket,
    tests::{World, settings},
};

/// Somebody in a crowd.
#[derive(Debug, Clone)]
struct Person {
    comes: u64,
    /// Looks again after so many steps.
    looks: u64,
    /// Asks on for so many steps once inside.
    sits: u64,
    /// Takes a number and closes the browser.
    vanishes: bool,
}

fn person() -> impl Strategy<Value = Person> {
    let parts = (0_u64..100, 1_u64..12, 0_u64..80, proptest::bool::weighted(0.2));
    parts.prop_map(|(comes, looks, sits, vanishes)| Person {
        comes,
        looks,
        sits,
        vanishes,
    })
}

fn waits_uncalled(world: &World, ticket: Option<Ticket>) -> Option<u64> {
    let Held::Waits(number) = ticket?.held else {
        return None;
    };
    let standing = world.room.standing(ticket, world.now());
    matches!(standing, Standing::Waits(_)).then_some(number)
}

/// One visitor comes; who is let in by a number must not have been preferred to anybody.
fn come(world: &mut World, tickets: &mut [Option<Ticket>], at: usize) -> bool {
    let before = tickets[at].map(|ticket| ticket.held);
    if world.come(&mut tickets[at]).is_some() {
        return false;
    }
    if let Some(Held::Waits(number)) = before {
        let passed_over: Vec<u64> = tickets
            .iter()
            .filter_map(|ticket| waits_uncalled(world, *ticket))
            .filter(|other| *other < number)
            .collect();
        assert!(passed_over.is_empty(), "{number} before {passed_over:?}");
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nobody_is_let_in_before_a_smaller_number_was_called(
        crowd in prop::collection::vec(person(), 1..80),
        inside in 1_u32..10,
        sizes in prop::collection::vec((0_u64..200, 1_u32..20), 0..4),
    ) {
        let mut world = World::new(settings(inside));
        let mut tickets = vec![None; crowd.len()];
        let mut entered = vec![None; crowd.len()];
        for step in 0..300_u64 {
            if let Some((_, inside)) = sizes.iter().find(|(at, _)| *at == step) {
                let other = RoomSettings { inside: *inside, ..settings(1) };
                world.room = Room::new(other, Some(&world.room));
            }
            // by turns from either end: it is the number that counts, not who asks first
            for turn in 0..crowd.len() {
                let at = if step.is_multiple_of(2) { turn } else { crowd.len() - 1 - turn };
                let person = &crowd[at];
                let is_there = step >= person.comes && (step - person.comes).is_multiple_of(person.looks);
                let has_left = match entered[at] {
                    Some(since) => step > since + person.sits,
                    None => person.vanishes && step > person.comes,
                };
                if is_there && !has_left && come(&mut world, &mut tickets, at) {
                    entered[at].get_or_insert(step);
                }
            }
            world.pass(200);
        }
    }
}
