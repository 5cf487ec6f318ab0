//! Who is asking, and what the browser carries beside the visitor cookie: pins, and an override link's token.

use super::{
    Rule, Snapshot,
    decide::{Ask, Choices, Entrance},
};
use crate::{
    clock::UnixTime,
    fields::Fields,
    flag::Flag,
    gate::Identity,
    visitor::{self, BadOverride, BadPins, Forced, Pins, Seen, SeenState, Visitor, override_tokens},
};

/// What a browser carries, and what it shall carry on.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// What an override link puts it on.
    pub forced: Option<Forced>,
    /// The answer sets these pins.
    pub set_pins: Option<Pins>,
    /// Its pins are ignored.
    pub bad_pins: Option<BadPins>,
    /// Its override is ignored.
    pub bad_override: Option<BadOverride>,
}

impl Carried {
    /// In words, for explain. A token is never among them.
    pub(super) fn lines(&self, now: UnixTime) -> Vec<String> {
        let forced = self.forced.iter().map(|forced| {
            let flags: Vec<String> = forced
                .flags()
                .map(|(flag, variant)| format!("{flag}={variant}"))
                .collect();
            let minutes = forced.link.ends().secs().saturating_sub(now.secs()).div_ceil(60);
            format!(
                "override link {} forces {} for {} h {} min more",
                forced.link,
                flags.join(", "),
                minutes / 60,
                minutes % 60
            )
        });
        let ignored = |what: &str, why: &str| format!("{what} that counts for nothing: {why}");
        let bad_override = self.bad_override.map(|bad| ignored("an override", bad.as_str()));
        let bad_pins = self.bad_pins.map(|bad| ignored("pins", bad.as_str()));
        let set_pins = self.set_pins.as_ref().map(|pins| match pins.iter().len() {
            1 => "the answer sets a pin".to_owned(),
            count => format!("the answer sets {count} pins"),
        });
        forced
            .chain(bad_override)
            .chain(bad_pins)
            .chain(set_pins)
            .collect()
    }
}

/// Who is asking.
pub(super) struct Visit {
    pub(super) seen: SeenState,
    pub(super) visitor: Option<Visitor>,
    pub(super) set_cookie: bool,
    /// What keeps the visitor on variants.
    pub(super) pins: Pins,
    pub(super) carried: Carried,
    /// The browser has the visitor's cookie, or gets it.
    has_cookie: bool,
}

/// Finds out who is asking. A visitor without a cookie gets one only where it decides something: a route with flags that look at
/// visitors, on a page navigation.
pub(super) fn meet(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    rule: &Rule,
    identity: Option<&Identity>,
    at: &Snapshot,
) -> Visit {
    let mut visit = Visit {
        seen: SeenState::Absent,
        visitor: None,
        set_cookie: false,
        pins: Pins::default(),
        carried: Carried::default(),
        has_cookie: false,
    };
    if matches!(ask.entrance, Entrance::Plain(_)) {
        return visit; // browsers send cookies over TLS only, and so must everyone
    }
    if (!rule.flags.is_empty() || rule.rooms.any()) && visitor::is_crawler(ask.headers) {
        visit.seen = SeenState::Crawler;
        return visit;
    }
    let Seen {
        visitor: known,
        state,
    } = at.visitors.identify(ask.headers, now);
    visit.seen = state;
    if let (Some(known), true) = (&known, at.flags.any_sticky()) {
        match at.visitors.pins(ask.headers, known) {
            Ok(pins) => visit.pins = pins,
            Err(bad) => visit.carried.bad_pins = Some(bad),
        }
    }
    let user = identity.filter(|_| at.flags.any_adopts());
    let adopted = user.map(|user| at.visitors.adopt(&user.subject, now));
    (visit.visitor, visit.set_cookie) = match known {
        Some(known) => keep_on(ask, rule, (known, state), adopted, at),
        None => begin(ask, now, rule, adopted, at),
    };
    visit.has_cookie = known.is_some() || visit.set_cookie;
    if !rule.flags.is_empty() {
        let Carried {
            forced, bad_override, ..
        } = forced_by(ask.headers, ask.host, now, at);
        visit.carried = Carried {
            forced,
            bad_override,
            ..visit.carried
        };
    }
    visit
}

/// A visitor with a cookie: it is sent anew when it grows old, when the visitor's consent has changed, and, once, when a user signs in.
fn keep_on(
    ask: &Ask<'_, '_>,
    rule: &Rule,
    (known, state): (Visitor, SeenState),
    adopted: Option<Visitor>,
    at: &Snapshot,
) -> (Option<Visitor>, bool) {
    let kept = at.visitors.kept(ask.headers);
    let moved = adopted.filter(|adopted| adopted.id() != known.id());
    let old = state == SeenState::ValidRefresh || known.kept() != kept;
    let set = ask.entrance == Entrance::Public && (moved.is_some() || (old && !rule.flags.is_empty()));
    (Some(moved.unwrap_or(known).to_be_kept(kept)), set)
}

/// A visitor without one.
fn begin(
    ask: &Ask<'_, '_>,
    now: UnixTime,
    rule: &Rule,
    adopted: Option<Visitor>,
    at: &Snapshot,
) -> (Option<Visitor>, bool) {
    let looked_at = || {
        let mut flags = rule.flags.iter().filter_map(|id| at.flags.get(*id));
        flags.any(Flag::looks_at_visitor)
    };
    let public = ask.entrance == Entrance::Public;
    let wanted = public && (adopted.is_some() || looked_at());
    // nobody waits without a name, and scripts' own calls wait as well
    let waits = || public && rule.rooms.any() && !super::rooms::stands_by(ask.method, ask.headers);
    let set = wanted && visitor::may_mint(ask.method, ask.headers) || waits();
    let minted = set.then(|| at.visitors.mint(ask.entropy, now));
    let visitor = adopted.or(minted);
    (
        visitor.map(|visitor| visitor.to_be_kept(at.visitors.kept(ask.headers))),
        set,
    )
}

/// What an override link puts this browser on. The first token that counts does; of several bad ones the first tells why.
#[must_use]
pub fn forced_by(headers: &Fields, host: &str, now: UnixTime, at: &Snapshot) -> Carried {
    let mut carried = Carried::default();
    for token in override_tokens(headers) {
        match at.visitors.open_override(token, host, now, &at.revoked.load()) {
            Ok(forced) => {
                carried.forced = Some(forced);
                carried.bad_override = None;
                return carried;
            }
            Err(bad) => carried.bad_override = carried.bad_override.or(Some(bad)),
        }
    }
    carried
}

/// Whom flags are decided for that a browser's own script asks about: as on a route, but nothing is begun or carried on.
#[derive(Debug, Default)]
pub struct Known {
    /// The visitor.
    pub visitor: Option<Visitor>,
    /// What keeps the visitor on variants.
    pub pins: Option<Pins>,
    /// What an override link puts it on.
    pub forced: Option<Forced>,
}

/// Finds out who a script's browser is.
#[must_use]
pub fn recognise(
    headers: &Fields,
    host: &str,
    identity: Option<&Identity>,
    now: UnixTime,
    at: &Snapshot,
) -> Known {
    if visitor::is_crawler(headers) {
        return Known::default();
    }
    let known = at.visitors.identify(headers, now).visitor;
    let pinned = known.as_ref().filter(|_| at.flags.any_sticky());
    let user = identity.filter(|_| at.flags.any_adopts());
    let adopted = user.map(|user| at.visitors.adopt(&user.subject, now));
    Known {
        visitor: adopted.or(known),
        pins: pinned.and_then(|known| at.visitors.pins(headers, known).ok()),
        forced: forced_by(headers, host, now, at).forced,
    }
}

impl Visit {
    /// What the browser shall carry on after these choices: its pins with those of sticky flags whose rollout has just put it on a
    /// variant, without void ones. They are signed for the visitor, so they go wherever the visitor's own cookie is sent anew.
    pub(super) fn carry_on(mut self, ask: &Ask<'_, '_>, choices: &Choices, at: &Snapshot) -> Carried {
        if !at.flags.any_sticky() || ask.entrance != Entrance::Public || !self.has_cookie {
            return self.carried;
        }
        let mut changed = self.set_cookie && !self.pins.is_empty();
        for (id, choice) in choices {
            if let Some(pin) = at.flags.get(*id).and_then(|flag| flag.pin(choice))
                && self.pins.get(pin.flag) != Some(pin)
            {
                self.pins.put(pin);
                changed = true;
            }
        }
        if changed {
            self.pins
                .retain(|pin| at.flags.iter().any(|(_, flag)| flag.holds(pin)));
            self.carried.set_pins = Some(self.pins);
        }
        self.carried
    }
}
