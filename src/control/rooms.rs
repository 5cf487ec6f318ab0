//! Once a second: gives back seats of waiting rooms that are kept in vain, and tells metrics what rooms count.

use crate::{
    clock,
    observe::metrics::{Facts, Family},
    room::{Count, Room},
    snapshot::Snapshot,
};

/// What is told of a room.
type Number = fn(&Room, &Count) -> u64;

const TOLD: [(Family, Number); 9] = [
    (Family::RoomInside, |_, count| count.inside),
    (Family::RoomLimit, |room, _| u64::from(room.settings.inside)),
    (Family::RoomWaiting, |_, count| count.waiting),
    (Family::RoomAdmitted, |_, count| count.admitted),
    (Family::RoomExpired, |_, count| count.expired),
    (Family::RoomMissed, |_, count| count.missed),
    (Family::RoomHeldBack, |_, count| count.held_back),
    (Family::RoomBypassed, |_, count| count.bypassed),
    (Family::RoomTicketsRefused, |_, count| count.refused),
];

/// Looks after all rooms.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn keep(at: &Snapshot, facts: &Facts) {
    let now = clock::now();
    at.rooms.iter().for_each(|room| room.tend(now));
    let counts: Vec<(&str, &Room, Count)> = at
        .rooms
        .iter()
        .map(|room| (room.settings.name.as_str(), room, room.count(now)))
        .collect();
    for (family, number) in TOLD {
        let told = counts
            .iter()
            .map(|(name, room, count)| (*name, number(room, count) as f64));
        facts.rooms(family, told);
    }
    let estimates = counts
        .iter()
        .filter_map(|(name, _, count)| Some((*name, count.estimate?)));
    facts.estimates(estimates.flat_map(|(name, estimate)| {
        [
            (name, "from", estimate.from.as_secs_f64()),
            (name, "to", estimate.to.as_secs_f64()),
        ]
    }));
}
