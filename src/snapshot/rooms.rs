//! Which waiting room a request meets, and rooms carried over from one snapshot to the next.

use http::Method;

use super::{
    Rule, Snapshot,
    decide::{Ask, Choices, Decision, Entrance},
};
use crate::{
    clock::{Moment, UnixTime},
    fields::Fields,
    flag::Flags,
    gate::Identity,
    room::{Comer, Held, Room, RoomSettings, Standing, Ticket},
    visitor::{self, BadSlip, Slip, Visitor},
};

/// A room's place in [`Snapshot::rooms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomId(usize);

/// The rooms that stand before a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomsOf {
    /// For everyone.
    pub everyone: Option<RoomId>,
    /// For those whom the route's flag leads to another variant than its default.
    pub moved: Option<RoomId>,
}

impl RoomsOf {
    /// Whether there is one.
    #[must_use]
    pub const fn any(self) -> bool {
        self.everyone.is_some() || self.moved.is_some()
    }
}

/// A room of the same name goes on counting.
pub(super) fn compile(settings: &[RoomSettings], previous: Option<&Snapshot>) -> Vec<Room> {
    let known = |name| {
        let mut rooms = previous.into_iter().flat_map(|previous| &previous.rooms);
        rooms.find(|room| room.settings.name == name)
    };
    let rooms = settings.iter();
    rooms
        .map(|room| Room::new(room.clone(), known(room.name.clone())))
        .collect()
}

/// Tells each route its rooms.
pub(super) fn assign(rules: &mut [Rule], rooms: &[Room], flags: &Flags) {
    for rule in rules {
        let named = rule.policy.room.as_ref();
        let everyone = named.and_then(|name| rooms.iter().position(|room| room.settings.name == *name));
        let by_variant = matches!(rule.target, super::Target::Variants { .. });
        let flag = rule.flags.first().filter(|_| by_variant);
        let flag = flag.and_then(|id| flags.get(*id));
        let moved = flag.and_then(|flag| {
            rooms
                .iter()
                .position(|room| room.settings.flags.contains(flag.key()))
        });
        rule.rooms = RoomsOf {
            everyone: everyone.map(RoomId),
            moved: moved.map(RoomId),
        };
    }
}

/// Whether a request can't wait in line: nobody looks at its answer.
pub(super) fn stands_by(method: &Method, headers: &Fields) -> bool {
    matches!(*method, Method::HEAD | Method::OPTIONS) || visitor::is_page_part(headers)
}

impl Snapshot {
    /// The room that a request meets on a route, after its flags have decided.
    #[must_use]
    pub fn room_before(&self, rule: &Rule, choices: &Choices) -> Option<&Room> {
        let RoomId(at) = rule.rooms.everyone.or_else(|| {
            let moved = rule.rooms.moved?;
            let (id, choice) = choices.first()?;
            let flag = self.flags.get(*id)?;
            let variant = flag.variant(choice.variant?)?;
            (flag.settings().default.as_ref() != Some(variant)).then_some(moved)
        })?;
        self.rooms.get(at)
    }

    /// The room that a rule named.
    #[must_use]
    pub fn room(&self, RoomId(at): RoomId) -> Option<&Room> {
        self.rooms.get(at)
    }

    /// The room of this name.
    #[must_use]
    pub fn room_named(&self, name: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.settings.name.as_str() == name)
    }

    /// The ticket that a visitor carries of `room`. `known` is who the request's decision says is asking; one who has just signed in is
    /// still known by the cookie, too.
    ///
    /// # Errors
    /// There is one, and it does not count.
    pub fn ticket(
        &self,
        room: &Room,
        headers: &Fields,
        known: Option<&Visitor>,
        now: UnixTime,
    ) -> Result<Option<Ticket>, BadSlip> {
        let seen = self.visitors.identify(headers, now).visitor;
        let of: Vec<Visitor> = known.copied().into_iter().chain(seen).collect();
        let slip = self.visitors.slip(headers, room.settings.name.as_str(), &of)?;
        slip.map(|slip| ticket_of(slip).ok_or(BadSlip)).transpose()
    }

    /// Who comes to `room`.
    #[must_use]
    pub fn comer(
        &self,
        room: &Room,
        ask: &Came<'_>,
        visitor: Option<&Visitor>,
        identity: Option<&Identity>,
        now: UnixTime,
    ) -> Comer {
        if ask.entrance == Entrance::Private || identity.is_some_and(|identity| room.exempts(&identity.roles))
        {
            return Comer::Exempt;
        }
        let ticket = self
            .ticket(room, ask.headers, visitor, now)
            .unwrap_or_else(|BadSlip| {
                room.refuse();
                None
            });
        let sits = ticket.is_some_and(|ticket| matches!(ticket.held, Held::Sits { .. }));
        match visitor {
            Some(_) if sits || !stands_by(ask.method, ask.headers) => Comer::Visitor(ticket),
            Some(_) | None => Comer::Bystander,
        }
    }
}

/// A request as far as rooms look at it.
#[derive(Debug)]
pub struct Came<'a> {
    /// Where it came in.
    pub entrance: Entrance,
    /// Its method, as routes see it.
    pub method: &'a Method,
    /// Its fields.
    pub headers: &'a Fields,
}

/// A ticket as it is signed.
#[must_use]
pub const fn slip_of(ticket: Ticket) -> Slip {
    let (kind, numbers) = match ticket.held {
        Held::Early { draw, lot } => (b'e', [draw, lot]),
        Held::Waits(number) => (b'w', [number, 0]),
        Held::Sits { seat, holder } => (b's', [seat as u64, holder as u64]),
    };
    Slip {
        kind,
        epoch: ticket.epoch,
        numbers,
    }
}

fn ticket_of(slip: Slip) -> Option<Ticket> {
    let [first, second] = slip.numbers;
    let held = match slip.kind {
        b'e' => Held::Early {
            draw: first,
            lot: second,
        },
        b'w' => Held::Waits(first),
        b's' => Held::Sits {
            seat: first.try_into().ok()?,
            holder: second.try_into().ok()?,
        },
        _ => return None,
    };
    Some(Ticket {
        epoch: slip.epoch,
        held,
    })
}

/// For explain: what stands before the backend, a room and drills.
pub(super) fn told(
    ask: &Ask<'_, '_>,
    decision: &Decision<'_>,
    now: UnixTime,
    at: &Snapshot,
) -> (Option<String>, Vec<String>) {
    let Some(rule) = at.rule(decision.route) else {
        return (None, Vec::new());
    };
    let drills = at.drills.told(rule, &decision.path, now);
    (room_told(rule, ask, decision, now, at), drills)
}

/// The room, how it is there, and what this request would come to. Nobody takes a number by it.
fn room_told(
    rule: &Rule,
    ask: &Ask<'_, '_>,
    decision: &Decision<'_>,
    now: UnixTime,
    at: &Snapshot,
) -> Option<String> {
    let room = at.room_before(rule, &decision.choices)?;
    let moment = Moment::thought_of(now);
    let count = room.count(moment);
    let exempt = ask.entrance == Entrance::Private
        || decision
            .identity
            .as_deref()
            .is_some_and(|identity| room.exempts(&identity.roles));
    let ticket = at.ticket(room, ask.headers, decision.visitor.as_ref(), now);
    let stands_by = decision.visitor.is_none() || stands_by(ask.method, ask.headers);
    let free = count.open && count.waiting == 0 && count.inside < u64::from(room.settings.inside);
    let standing = room.standing(ticket.unwrap_or_default(), moment);
    let comes_to = match (exempt, standing) {
        (true, _) => "passes by, and is not counted",
        (false, Standing::Sits) => "is inside",
        (false, Standing::Called) => "is called, and let in",
        (false, Standing::Waits(_)) => "waits in line",
        (false, Standing::Unknown) if !count.open => "waits for the opening",
        (false, Standing::Unknown) if free && stands_by => "passes while nobody waits",
        (false, Standing::Unknown) if free => "is let in",
        (false, Standing::Unknown) if stands_by => "gets 503, and no place in line",
        (false, Standing::Unknown) => "takes a number, and waits",
    };
    let Room { settings, .. } = room;
    Some(format!(
        "{} ({}): {} of {} inside, {} waiting; this request {comes_to}",
        settings.name, settings.place, count.inside, settings.inside, count.waiting
    ))
}
