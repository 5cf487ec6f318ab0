//! What one flag says to a request, whichever routes ask it: for trying out.

use super::{
    Snapshot,
    decide::{Ask, Credential, Trail},
    explain::{Said, said},
    notes::Notes,
    visit::forced_by,
};
use crate::{
    clock::UnixTime,
    flag::{FlagId, Person, Subject},
    route::target,
    visitor::Visitor,
};

/// Decides a flag as a route does, but for those whom no token names: [`Credential::Fields`] counts as nobody.
/// `None`: it is no flag of this snapshot.
#[must_use]
pub fn explain_flag(flag: FlagId, ask: &Ask<'_, '_>, now: UnixTime, at: &Snapshot) -> Option<Said> {
    let (path, query) = target::split_target(ask.target);
    let visitor = at.visitors.identify(ask.headers, now).visitor;
    let identity = match ask.credential {
        Credential::Pretend(identity) => identity,
        Credential::Fields(_) | Credential::Asked(_) => None,
    };
    let carried = forced_by(ask.headers, ask.host, now, at);
    let pins = visitor
        .as_ref()
        .and_then(|visitor| at.visitors.pins(ask.headers, visitor).ok());
    let subject = Subject {
        visitor: visitor.as_ref().map(Visitor::id),
        person: identity.map(|identity| Person {
            id: &identity.subject,
            roles: &identity.roles,
            claims: Some(&identity.claims),
        }),
        host: ask.host,
        path,
        query,
        method: ask.method,
        headers: ask.headers,
        now,
        given: None,
        forced: carried.forced.as_ref(),
        pins: pins.as_ref(),
    };
    let mut notes = Notes::default();
    notes.asks(flag);
    let choice = at.flags.decide(flag, &subject, &mut notes);
    notes.chose(flag, &choice);
    said(notes.flags.first()?, None, now, at)
}
