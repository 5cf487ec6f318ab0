//! Waiting rooms, and how it is there.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{answer::Answer, endpoints::Asked, refusal::Refusal},
    RouteName, millis,
};
use crate::{
    clock,
    control::plane::View,
    observe::log::rfc3339,
    room::{Count, RoomSettings},
    snapshot::{Snapshot, rooms::RoomsOf},
};

/// All waiting rooms.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Rooms {
    /// Version of the snapshot in force.
    version: u64,
    /// By name.
    rooms: Vec<Room>,
}

/// A waiting room.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Room {
    /// Its name.
    pub(in super::super) name: String,
    /// Where it is written.
    pub(in super::super) place: String,
    /// Visitors who may be inside at once.
    pub(in super::super) inside_max: u32,
    /// How long a visitor who asks nothing stays inside.
    pub(in super::super) idle_ms: u64,
    /// How long a called number is waited for.
    pub(in super::super) claim_ms: u64,
    /// When it opens or opened; none: it is open.
    pub(in super::super) opens: Option<String>,
    /// Whether it is open.
    pub(in super::super) open: bool,
    /// Roles that pass by.
    pub(in super::super) bypass: Vec<String>,
    /// Flags whose visitors wait here where they lead to another variant than their default.
    pub(in super::super) flags: Vec<String>,
    /// Routes that it stands before.
    pub(in super::super) routes: Vec<RouteName>,
    /// Seats that are taken, those included that wait for their called number.
    pub(in super::super) inside: u64,
    /// Numbers that are not called yet; some of their holders may have gone.
    pub(in super::super) waiting: u64,
    /// How long the last in line will wait, if that can be told.
    pub(in super::super) estimate: Option<Expected>,
    /// Visitors who took a seat, since the start.
    pub(in super::super) admitted: u64,
    /// Seats given back because nothing was asked for too long, since the start.
    pub(in super::super) expired: u64,
    /// Called numbers for which nobody came, since the start.
    pub(in super::super) missed: u64,
    /// Requests that the room answered, since the start.
    pub(in super::super) held_back: u64,
    /// Requests that passed without being counted, since the start.
    pub(in super::super) bypassed: u64,
    /// Tickets that did not count, since the start.
    pub(in super::super) tickets_refused: u64,
}

/// Between these two, as a rule.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Expected {
    /// At least.
    pub(in super::super) from_ms: u64,
    /// At most.
    pub(in super::super) to_ms: u64,
}

/// `GET /api/rooms`.
pub(in super::super) fn answer(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    let at = view.live.current();
    Answer::json(
        at.version,
        &Rooms {
            version: at.version,
            rooms: all(&at),
        },
    )
}

/// All rooms by name.
pub(in super::super) fn all(at: &Snapshot) -> Vec<Room> {
    let now = clock::now();
    let rooms = at.rooms.iter();
    rooms
        .map(|room| Room::of(&room.settings, room.count(now), at))
        .collect()
}

impl Room {
    fn of(settings: &RoomSettings, count: Count, at: &Snapshot) -> Self {
        let leads = |rooms: RoomsOf| {
            let mut both = rooms.everyone.into_iter().chain(rooms.moved);
            both.any(|id| {
                at.room(id)
                    .is_some_and(|room| room.settings.name == settings.name)
            })
        };
        Self {
            name: settings.name.to_string(),
            place: settings.place.to_string(),
            inside_max: settings.inside,
            idle_ms: millis(settings.idle),
            claim_ms: millis(settings.claim),
            opens: settings.opens.map(|opens| rfc3339(opens.secs())),
            open: count.open,
            bypass: settings.bypass.clone(),
            flags: settings.flags.iter().map(ToString::to_string).collect(),
            routes: at
                .rules
                .iter()
                .filter(|rule| leads(rule.rooms))
                .map(RouteName::of)
                .collect(),
            inside: count.inside,
            waiting: count.waiting,
            estimate: count.estimate.map(|estimate| Expected {
                from_ms: millis(estimate.from),
                to_ms: millis(estimate.to),
            }),
            admitted: count.admitted,
            expired: count.expired,
            missed: count.missed,
            held_back: count.held_back,
            bypassed: count.bypassed,
            tickets_refused: count.refused,
        }
    }
}
