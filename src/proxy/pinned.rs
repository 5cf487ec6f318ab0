//! What is noted and said of the version that a request gets, where its backend has versions.

use super::edge::Edge;
use crate::{
    clock,
    fields::{Fields, Known},
    observe::{
        metrics::{Family, Label},
        record::{OfVersion, Record},
    },
    snapshot::{
        Snapshot,
        decide::{Decision, Settled},
    },
};

/// The field that tells a page's own scripts which version the visitor is on: one that knows its own can see when it is another.
const BANYAN_VERSION: &str = "banyan-version";

/// Notes the version for log and metrics.
pub(super) fn note(decision: &Decision<'_>, at: &Snapshot, edge: &Edge, record: &mut Record) {
    let Some(on) = decision.version else { return };
    let (Some(member), Some(name)) = (at.member(on), &record.backend) else {
        return;
    };
    let by = on.by.as_str();
    let labels = [Label::Name(name), Label::Word(by)];
    edge.observe.count(Family::VersionPicks, &labels, 1);
    let version = member.name.shared();
    record.of_version = Some(Box::new(OfVersion { version, by }));
}

/// Says the version to the client, and has a browser keep to it.
pub(super) fn tell(fields: &mut Fields, decision: &Settled, at: &Snapshot) {
    let Some(on) = decision.version else { return };
    let Some(member) = at.member(on) else { return };
    fields.insert(BANYAN_VERSION, member.name.as_str());
    let cookie = on.set_cookie.then(|| at.set_version(on, clock::wall()));
    if let Some(cookie) = cookie.flatten() {
        fields.append(Known::SET_COOKIE, cookie);
    }
}
