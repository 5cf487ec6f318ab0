//! What browsers carry beside the visitor cookie, on the wire: cookies that answers set, and the marks of forced traffic.

use super::{edge::Edge, pinned};
use crate::{
    body::Body,
    clock,
    fields::{Fields, Known},
    flag::Reason,
    message::Response,
    observe::{
        metrics::{Family, Label},
        record::Record,
    },
    snapshot::{
        Snapshot,
        decide::{Choices, Settled, is_forced},
        visit::Carried,
    },
};

/// Counts what a browser brought and is ignored.
pub(super) fn note(carried: &Carried, edge: &Edge) {
    let pins = carried.bad_pins.map(|bad| ("pins", bad.as_str()));
    let forced = carried.bad_override.map(|bad| ("override", bad.as_str()));
    for (cookie, cause) in pins.into_iter().chain(forced) {
        let labels = [Label::Word(cookie), Label::Word(cause)];
        edge.observe.count(Family::CarriedIgnored, &labels, 1);
    }
}

/// Tells a backend what flags decided.
pub(super) fn tell(fields: &mut Fields, choices: &Choices, at: &Snapshot) {
    fields.insert_with(Known::BANYAN_FLAGS, |text| write_flags(text, choices, at));
}

/// Says to a backend that it is asked because of an override link: such traffic is no evidence of anything.
pub(super) fn mark(fields: &mut Fields, choices: &Choices) {
    if is_forced(choices) {
        fields.insert(Known::BANYAN_FORCED, "1");
    }
}

/// Sets what the browser shall carry on.
pub(super) fn set_cookies(headers: &mut Fields, decision: &Settled, at: &Snapshot) {
    pinned::tell(headers, decision, at);
    let Some(visitor) = &decision.visitor else { return };
    if decision.set_cookie {
        let cookie = at.visitors.set_cookie(visitor, clock::wall());
        headers.append(Known::SET_COOKIE, cookie);
    }
    if let Some(pins) = &decision.carried.set_pins {
        headers.append(Known::SET_COOKIE, at.visitors.set_pins(pins, visitor));
    }
}

/// Keeps what a forced browser is answered out of every cache that others share.
pub(super) fn keep_private(response: &mut Response, record: &Record) {
    let word = Reason::Override.as_str();
    let forced = record
        .flag
        .iter()
        .chain(&record.flags)
        .any(|facts| facts.reason == word);
    if forced && !matches!(response.body, Body::Tunnel(_)) {
        response.headers.insert(Known::CACHE_CONTROL, "private, no-store");
        for others in ["cdn-cache-control", "surrogate-control"] {
            response.headers.remove(others); // RFC 9213: they would be heard instead
        }
    }
}

/// `Banyan-Flags: course-reviews=new, search=legacy`: a dictionary as RFC 9651 section 3.2 writes it.
fn write_flags(text: &mut Vec<u8>, choices: &Choices, at: &Snapshot) {
    let begin = text.len();
    for (id, choice) in choices {
        let Some(flag) = at.flags.get(*id) else { continue };
        let Some(variant) = choice.variant.and_then(|at| flag.variant(at)) else {
            continue;
        };
        if text.len() > begin {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(flag.key().as_str().as_bytes());
        text.push(b'=');
        text.extend_from_slice(variant.as_str().as_bytes());
    }
}
