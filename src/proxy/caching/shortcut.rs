//! Answers at once what was answered lately to a request that agrees in all that tells two apart.
//!
//! What a backend would get, and so the key, is worked out once for requests alike: that takes as long as all else of a hit. A request
//! with anything that is not compared here (credentials, conditions, a range) goes the long way, with the same result.

use std::cell::RefCell;

use http::Method;

use super::{
    super::{
        edge::{Edge, Peer},
        follow::Following,
        headers,
    },
    is_fresh, note, serving,
};
use crate::{
    body::Body,
    cache::{
        status::Told,
        store::{Mark, Selected, tally::Tally},
    },
    clock,
    fields::{Fields, Key as _, Known, KnownSet, Value},
    message::{Head, Response},
    observe::record::{Outcome, Record},
    policy::{caching::Caching, forward::Which},
    snapshot::{Rule, Snapshot, cached, decide::Decision},
};

/// Requests that a core knows again.
pub const SHORTCUTS_MAX: usize = 1_024;
/// Bytes of what is compared of one at most.
const SAID_BYTES_MAX: usize = 2 * 1024;

/// With one of these a request is judged at length.
const JUDGED: KnownSet = KnownSet::of(&[
    Known::AUTHORIZATION,
    Known::CACHE_CONTROL,
    Known::CONTENT_LENGTH,
    Known::IF_MATCH,
    Known::IF_MODIFIED_SINCE,
    Known::IF_NONE_MATCH,
    Known::IF_RANGE,
    Known::IF_UNMODIFIED_SINCE,
    Known::RANGE,
    Known::TRANSFER_ENCODING,
    Known::UPGRADE,
    Known::VIA,
]);

/// What Banyan says itself to backends, so that what the client sent tells nothing.
const OWN: KnownSet = KnownSet::of(&[
    Known::BANYAN_FLAGS,
    Known::BANYAN_FORCED,
    Known::BANYAN_IDENTITY,
    Known::BANYAN_ROLES,
    Known::BANYAN_USER,
    Known::FORWARDED,
    Known::TRACEPARENT,
    Known::TRACESTATE,
    Known::VIA,
    Known::X_FORWARDED_FOR,
    Known::X_FORWARDED_HOST,
    Known::X_FORWARDED_PORT,
    Known::X_FORWARDED_PROTO,
    Known::X_REQUEST_ID,
]);

/// All of a request that its key and the choice among variants may depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(Vec<u8>);

impl Said {
    /// What is compared of a request; `None`: it goes the long way.
    fn of(
        (decision, rule): (&Decision<'_>, &Rule),
        (head, body): (&Head, &Body),
        (peer, at): (&Peer, &Snapshot),
        edge: &Edge,
    ) -> Option<Self> {
        let caching = rule.policy.cache.as_deref()?;
        let (fields, access) = (&head.headers, &rule.policy.access);
        let plain = head.method == Method::GET
            && head.upgrade.is_none()
            && http_body::Body::is_end_stream(body)
            && !fields.present().meets(JUDGED)
            && names_nothing(fields)
            && decision.identity.is_none()
            && access.signed.is_none()
            && access.viewer.is_empty()
            && !caching.headers.iter().any(|name| is_own(name));
        if !plain || cached::bypass(Some(caching), decision, fields).is_some() {
            return None;
        }
        let mut said = Self(edge.shortcuts.spare.take());
        said.0.clear();
        said.facts(decision, peer, at);
        said.part(decision.path.as_bytes());
        said.part(decision.query.unwrap_or_default().as_bytes());
        said.fields(fields, Known::HOST);
        said.fields(fields, Known::ACCEPT_ENCODING);
        for name in &caching.headers {
            said.fields(fields, name.as_str());
        }
        if caching.cookies != Which::Nothing {
            said.fields(fields, Known::COOKIE);
        }
        if headers::is_trusted(peer.ip(), &at.trusted_proxies) {
            for name in [
                Known::X_FORWARDED_HOST,
                Known::X_FORWARDED_PROTO,
                Known::X_FORWARDED_PORT,
            ] {
                said.fields(fields, name);
            }
        }
        if said.0.len() > SAID_BYTES_MAX {
            return None;
        }
        Some(said)
    }

    fn facts(&mut self, decision: &Decision<'_>, peer: &Peer, at: &Snapshot) {
        self.0.extend_from_slice(&at.version.to_le_bytes());
        self.0.extend_from_slice(&decision.route.0.to_le_bytes());
        self.0.extend_from_slice(&decision.backend.0.to_le_bytes());
        self.0.extend_from_slice(&peer.port.to_le_bytes());
        let trusted = headers::is_trusted(peer.ip(), &at.trusted_proxies);
        self.0
            .extend_from_slice(&[u8::from(peer.tls.is_some()), u8::from(trusted)]);
        for (_, choice) in &decision.choices {
            let variant = choice.variant.map_or(0, |variant| variant.get() + 1); // in the order of the route's flags
            self.0.extend_from_slice(&variant.to_le_bytes());
        }
    }

    /// Where one part ends and the next begins counts.
    fn part(&mut self, part: &[u8]) {
        let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(part);
    }

    fn fields(&mut self, fields: &Fields, name: impl crate::fields::Key) {
        for value in fields.get_all(name).map(Value::as_bytes) {
            self.part(value);
        }
        self.0.extend_from_slice(&u32::MAX.to_le_bytes()); // no value is as long
    }

    fn place(&self) -> usize {
        let (words, rest) = self.0.as_chunks::<8>();
        let last = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let mark = words.chain([last]).fold(0_u64, |mark, word| {
            (mark.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        usize::try_from(mark >> 40).unwrap_or_default() % SHORTCUTS_MAX
    }
}

/// Whether `Connection`, if it is there, takes no other field out of the request.
fn names_nothing(fields: &Fields) -> bool {
    let known = |value: Value<'_>| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    fields.get_all(Known::CONNECTION).all(known)
}

fn is_own(name: &str) -> bool {
    name.known().is_some_and(|known| OWN.has(known))
}

/// The answer to a request that was answered lately, if what is kept for it is fresh.
///
/// # Errors
/// The request goes the long way, with what it will be known by, if it can be. With a drill (`drilled`) it always does.
pub(in crate::proxy) fn answer(
    (decision, rule): (&Decision<'_>, &Rule),
    (head, body, drilled): (&Head, &Body, bool),
    (peer, at): (&Peer, &Snapshot),
    edge: &Edge,
    following: &mut Following,
) -> Result<Response, Option<Said>> {
    if drilled {
        return Err(None);
    }
    let Some(said) = Said::of((decision, rule), (head, body), (peer, at), edge) else {
        return Err(None);
    };
    match edge.shortcuts.look(&said, edge, &following.record) {
        Some(response) => {
            following.record.outcome = Outcome::Forwarded;
            edge.shortcuts.spare.replace(said.0);
            Ok(response)
        }
        None => Err(Some(said)),
    }
}

/// What a core answered lately.
#[derive(Debug, Default)]
pub struct Shortcuts {
    known: RefCell<Vec<Option<Shortcut>>>,
    /// Memory to write the next request's parts into.
    spare: RefCell<Vec<u8>>,
}

#[derive(Debug)]
struct Shortcut {
    said: Said,
    mark: Mark,
}

impl Shortcuts {
    /// Notes that a request was answered with the kept answer that `mark` knows again.
    pub(super) fn learn(&self, said: &Said, mark: Mark, selected: &Selected, caching: &Caching) {
        if !selected.iter().all(|(name, _)| is_compared(name, caching)) {
            return;
        }
        let mut known = self.known.borrow_mut();
        if known.is_empty() {
            known.resize_with(SHORTCUTS_MAX, || None);
        }
        if let Some(place) = known.get_mut(said.place()) {
            let said = said.clone();
            *place = Some(Shortcut { said, mark });
        }
    }

    fn look(&self, said: &Said, edge: &Edge, record: &Record) -> Option<Response> {
        let known = self.known.borrow();
        let known = known.get(said.place())?.as_ref()?;
        if known.said != *said {
            return None;
        }
        let found = edge.cache.again(&known.mark)?;
        let kept = found.at(&known.mark)?;
        let now = clock::wall();
        if !is_fresh(kept.entry, kept.purged, now) {
            return None;
        }
        let told = Told::hit(serving::ttl(kept.entry.times(), now));
        Some(serving::whole(kept.entry, note(record, Tally::Hit, told), now))
    }

    /// Once a second: lets go of what is no longer at hand.
    pub fn sweep(&self) {
        for place in self.known.borrow_mut().iter_mut() {
            if place.as_ref().is_some_and(|known| known.mark.is_gone()) {
                *place = None;
            }
        }
    }
}

/// Whether all requests that agree in what is compared have the same in a field that `Vary` named.
fn is_compared(name: &str, caching: &Caching) -> bool {
    let known = name.known();
    known == Some(Known::ACCEPT_ENCODING)
        || known == Some(Known::HOST)
        || known == Some(Known::COOKIE)
        || !caching.passes(&name) // the backend gets none of it, or what Banyan says of everybody
        || (!is_own(name) && caching.headers.iter().any(|own| own == name))
}
