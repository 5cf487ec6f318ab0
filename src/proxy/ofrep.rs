//! Answers programs and pages that ask for flags: on public hosts below `/.banyan/ofrep/`, on the private listener below `/ofrep/`.
//!
//! No flood of questions holds up a core: a body is small and has a deadline, so many questions and streams are under way at once,
//! so many for one address, and many flags are decided in turns with whatever else there is to do.

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;

use super::{
    edge::{Edge, Peer},
    exchange::{Passed, facts, host_of},
    follow::Following,
    lookup,
    refusal::Refusal,
    seats::{Full, Seat, Seats},
    sign_in, turns,
};
use crate::{
    body::{Body, BodyError},
    fields::{Fields, Known},
    flag::{Person, Subject},
    gate::{Accept, Auth, BadToken, Denied, Identity, Requirement, Source},
    message::{Head, Response},
    observe::{
        metrics::{Family, Label},
        record::{Listener, Outcome},
    },
    ofrep::{
        Audience, BODY_BYTES_MAX, Bulk, Question, Reply, Wanted,
        context::Context,
        events::{self, caught_up},
        fault::Fault,
        parameter, single,
    },
    route::target::split_target,
    snapshot::{
        Snapshot,
        visit::{self, recognise},
    },
    visitor::Visitor,
    wire::{Drain, Phase},
};

/// Questions under way at once on a core; more is 503.
pub const QUESTIONS_MAX: usize = 1024;
/// Of these from one address on the internet; more is 429.
pub const QUESTIONS_EACH_MAX: usize = 256;
/// Streams open at once on a core; more is 503.
pub const STREAMS_MAX: usize = 4096;
/// Of these for one address on the internet, which may be a whole office's; more is 429.
pub const STREAMS_EACH_MAX: usize = 512;
/// Time for a question's whole body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Who asks a core for flags just now.
#[derive(Debug, Default)]
pub struct Desk {
    questions: Rc<Seats>,
    streams: Rc<Seats>,
}

/// Whether a request is such a question. Over plain HTTP nobody is answered: it is sent to https as whatever no route takes.
#[inline]
pub(super) fn asked(head: &Head, listener: Listener) -> Option<Audience> {
    let audience = match listener {
        Listener::Https => Audience::Browsers,
        Listener::Private => Audience::Programs,
        Listener::Http => return None,
    };
    head.target().starts_with(audience.prefix()).then_some(audience)
}

/// Answers one, as an exchange that no backend has a part in.
pub(super) async fn pass(
    audience: Audience,
    head: &Head,
    body: Body,
    peer: &Peer,
    edge: &Rc<Edge>,
    following: &mut Following,
) -> Result<Passed, Refusal> {
    let answering = answer(audience, head, body, peer, edge, following);
    Ok((Box::pin(answering).await?, None)) // boxed: its room would be part of every exchange's
}

async fn answer(
    audience: Audience,
    head: &Head,
    body: Body,
    peer: &Peer,
    edge: &Rc<Edge>,
    following: &mut Following,
) -> Result<Response, Refusal> {
    let host = host_of(&head.headers);
    if audience == Audience::Browsers && !edge.view.load().answers_for(&host) {
        return Err(Refusal::unknown_host());
    }
    let (path, query) = split_target(head.target());
    let rest = path.strip_prefix(audience.prefix()).unwrap_or_default();
    let wanted = Wanted::read(rest).ok_or_else(Refusal::no_route)?;
    let method = match wanted {
        Wanted::Events => Method::GET,
        Wanted::Single(_) | Wanted::Bulk => Method::POST,
    };
    if head.method != method {
        return Err(Refusal::method(StatusCode::METHOD_NOT_ALLOWED, method.as_str()));
    }
    following.record.outcome = Outcome::Answered;
    let asking = Asking {
        audience,
        head,
        host: &host,
        path,
        query,
    };
    let answered = match wanted {
        Wanted::Events => asking.listen(peer, edge, following),
        Wanted::Single(_) | Wanted::Bulk => asking.ask(wanted, body, edge, following).await?,
    };
    Ok(answered.unwrap_or_else(|fault| {
        edge.observe.count(
            Family::FlagQuestionsRefused,
            &[Label::Word(peer.listener.as_str()), Label::Word(why(&fault))],
            1,
        );
        let key = match wanted {
            Wanted::Single(key) => Some(key),
            Wanted::Bulk | Wanted::Events => None,
        };
        let mut response = told(fault.reply(key));
        if let Some(seconds) = fault.retry_after() {
            response.headers.insert(Known::RETRY_AFTER, seconds);
        }
        response
    }))
}

/// A question's head.
struct Asking<'h> {
    audience: Audience,
    head: &'h Head,
    host: &'h str,
    path: &'h str,
    query: Option<&'h str>,
}

impl Asking<'_> {
    /// Answers a question, or says what is wrong with it. The error is the gate's.
    async fn ask(
        &self,
        wanted: Wanted<'_>,
        body: Body,
        edge: &Rc<Edge>,
        following: &mut Following,
    ) -> Result<Result<Response, Fault>, Refusal> {
        let read = match self.admit(
            &edge.desk.questions,
            (QUESTIONS_MAX, QUESTIONS_EACH_MAX),
            following,
        ) {
            Ok(seat) => read(body).await.map(|body| (seat, body)),
            Err(fault) => Err(fault),
        };
        let (_seat, body) = match read {
            Ok(read) => read,
            Err(fault) => return Ok(Err(fault)),
        };
        following.record.bytes_in = body.len() as u64;
        let context = match Context::read(&body) {
            Ok(context) => context,
            Err(fault) => return Ok(Err(fault)),
        };
        let caught_up = match parameter(self.query, "flagConfigEtag") {
            Some(mark) => caught_up(edge.view.changes(), self.audience, mark).await,
            None => true,
        };
        let at = edge.view.load(); // the newest: the body may have been long on its way
        let reply = self.evaluate(wanted, &context, edge, &at, following).await?;
        Ok(Ok(self.reply(reply, caught_up)))
    }

    /// Decides what is asked for. Of a browser's context nothing counts: who it is says its own request.
    async fn evaluate(
        &self,
        wanted: Wanted<'_>,
        context: &Context,
        edge: &Rc<Edge>,
        at: &Snapshot,
        following: &mut Following,
    ) -> Result<Reply, Refusal> {
        let now = following.record.began_at().wall();
        let looks = at.serving.public.iter().any(|served| served.sees_person);
        if looks && self.audience == Audience::Browsers {
            Box::pin(sign_in::check(&self.head.headers, at, edge, now)).await;
        }
        let identity = self.identify(edge, at, following).await?;
        let known = match self.audience {
            Audience::Browsers => recognise(&self.head.headers, self.host, identity.as_deref(), now, at),
            Audience::Programs => visit::Known::default(),
        };
        let subject = match self.audience {
            Audience::Programs => context.subject(now),
            Audience::Browsers => Subject {
                visitor: known.visitor.as_ref().map(Visitor::id),
                person: identity.as_deref().map(person),
                host: self.host,
                path: self.path,
                query: self.query,
                method: &self.head.method,
                headers: &self.head.headers,
                now,
                given: None,
                forced: known.forced.as_ref(),
                pins: known.pins.as_ref(),
            },
        };
        let question = Question {
            audience: self.audience,
            subject,
        };
        if let Wanted::Single(key) = wanted {
            let (reply, decided) = single(&question, key, at);
            let facts = decided.and_then(|(flag, choice)| facts(flag, &choice, at));
            following.record.flags.extend(facts);
            return Ok(reply);
        }
        let mut bulk = Bulk::default();
        loop {
            match bulk.go_on(&question, at) {
                Some(reply) => return Ok(reply),
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// A seat, if the question may be asked at all.
    fn admit(&self, seats: &Rc<Seats>, max: (usize, usize), following: &Following) -> Result<Seat, Fault> {
        let each_max = match self.audience {
            Audience::Browsers if !is_from_here(&self.head.headers) => return Err(Fault::Foreign),
            Audience::Browsers => max.1,
            Audience::Programs => max.0, // a backend may have all the seats to itself
        };
        let seat = seats.take(following.record.client, max.0, each_max);
        seat.map_err(|full| Fault::TooMany {
            alone: full == Full::Address,
        })
    }

    /// Who is signed in, where a flag that is asked for goes by that. A credential that is brought must be good, as on a route.
    async fn identify(
        &self,
        edge: &Rc<Edge>,
        at: &Snapshot,
        following: &Following,
    ) -> Result<Option<Arc<Identity>>, Refusal> {
        let looks = at.serving.public.iter().any(|served| served.sees_person);
        let Some(at_work) = at
            .gate
            .as_ref()
            .filter(|_| looks && self.audience == Audience::Browsers)
        else {
            return Ok(None);
        };
        let optional = Requirement {
            accept: Accept::of(&[Source::Session, Source::Bearer, Source::Legacy]), // what a browser may bring
            ..Requirement::of(Auth::Optional)
        };
        let (keys, now) = (at_work.keys.load(), following.record.began_at().wall());
        let check = || {
            let fields = &self.head.headers;
            at_work.gate.check(&optional, fields, &keys, now, &edge.tokens)
        };
        let mut checked = check();
        if let Err(Denied::Ask(question)) = checked {
            lookup::answer(*question, edge).await;
            checked = match check() {
                Err(Denied::Ask(question)) => question.unanswered(&optional),
                checked => checked,
            };
        }
        if checked == Err(Denied::Unverified) {
            let turn = turns::take(Some(following.record.client), edge, check).await;
            checked = turn.unwrap_or(checked);
        }
        checked.map_err(|denied| {
            if let Denied::NoKeys | Denied::BadToken(BadToken::UnknownKey) = denied {
                at_work.wanted.notify_one();
            }
            denied.into()
        })
    }

    /// `If-None-Match` is the protocol's own here, which generic handling of conditions would answer with 412 (RFC 9110 section
    /// 13.1.2). Nothing is known as unchanged while this edge is behind another.
    fn reply(&self, reply: Reply, caught_up: bool) -> Response {
        let mut asked = self.head.headers.get_all(Known::IF_NONE_MATCH);
        let known = asked.any(|tags| tags.to_str().is_ok_and(|tags| reply.is_known(tags)));
        if !(known && caught_up) {
            return told(reply);
        }
        let mut response = Response::new(StatusCode::NOT_MODIFIED, Body::Empty);
        response.headers.insert(Known::CACHE_CONTROL, "no-store");
        if let Some(tag) = reply.tag {
            response.headers.insert(Known::ETAG, tag);
        }
        response
    }

    /// Opens a stream of changes, which ends with a drain.
    fn listen(&self, peer: &Peer, edge: &Rc<Edge>, following: &Following) -> Result<Response, Fault> {
        let seats = &edge.desk.streams;
        let seat = self.admit(seats, (STREAMS_MAX, STREAMS_EACH_MAX), following)?;
        let listener = Label::Word(peer.listener.as_str());
        let open = edge.observe.hold(Family::FlagStreamsOpen, &[listener]);
        let known = self.head.headers.get("last-event-id");
        let known = known.and_then(|id| id.to_str().ok());
        // the n-th of n streams tells of a change n ms late, the first at once
        let spread = Duration::from_millis(seats.taken().saturating_sub(1) as u64);
        let events = events::Stream::new(edge.view.changes(), self.audience, known, spread);
        let kept = (events, edge.drain.clone(), (seat, open));
        let pieces = stream::unfold(kept, async |(mut events, mut drain, held)| {
            let piece = next_piece(&mut events, &mut drain).await?;
            Some((Ok::<_, BodyError>(Frame::data(piece)), (events, drain, held)))
        });
        let body = Body::Wrapped(Box::pin(StreamBody::new(pieces)));
        let mut response = Response::new(StatusCode::OK, body);
        response.headers.insert(Known::CONTENT_TYPE, events::MEDIA);
        response
            .headers
            .insert(Known::CACHE_CONTROL, "no-store, no-transform");
        Ok(response)
    }
}

async fn next_piece(events: &mut events::Stream, drain: &mut Drain) -> Option<Bytes> {
    tokio::select! {
        biased;
        () = drain.reached(Phase::Draining) => None,
        piece = events.next() => piece,
    }
}

/// Reads a body of up to [`BODY_BYTES_MAX`].
async fn read(mut body: Body) -> Result<Bytes, Fault> {
    let most = BODY_BYTES_MAX as u64;
    if http_body::Body::size_hint(&body).lower() > most {
        return Err(Fault::TooLarge);
    }
    let reading = async {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Fault::Unread)?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            if whole.len() + data.len() > BODY_BYTES_MAX {
                return Err(Fault::TooLarge);
            }
            whole.extend_from_slice(data);
        }
        Ok(Bytes::from(whole))
    };
    tokio::time::timeout(BODY_TIMEOUT, reading)
        .await
        .unwrap_or(Err(Fault::Unread))
}

fn told(reply: Reply) -> Response {
    let mut response = Response::new(reply.status, Body::full(reply.text));
    response.headers.insert(Known::CONTENT_TYPE, "application/json");
    response.headers.insert(Known::CACHE_CONTROL, "no-store");
    response.headers.insert(Known::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some(tag) = reply.tag {
        response.headers.insert(Known::ETAG, tag);
    }
    response
}

fn person(identity: &Identity) -> Person<'_> {
    Person {
        id: &identity.subject,
        roles: &identity.roles,
        claims: Some(&identity.claims),
    }
}

/// Whether a page of this very site asks, or no page at all. Browsers say so in `Sec-Fetch-Site`; older ones only whence.
fn is_from_here(fields: &Fields) -> bool {
    if let Some(site) = fields.get(Known::SEC_FETCH_SITE) {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(page) = fields.get(Known::ORIGIN) else {
        return true;
    };
    let host = fields.get(Known::HOST).map(|host| host.as_bytes());
    let (scheme, rest) = page.as_bytes().split_at_checked(8).unwrap_or_default();
    scheme == b"https://" && host.is_some_and(|host| host.eq_ignore_ascii_case(rest))
}

const fn why(fault: &Fault) -> &'static str {
    match fault {
        Fault::Foreign => "foreign",
        Fault::TooMany { alone: true } => "share",
        Fault::TooMany { alone: false } => "busy",
        _ => "body",
    }
}

#[cfg(test)]
mod tests {
    use super::is_from_here;
    use crate::fields::Fields;

    #[track_caller]
    fn check(fields: &[(&'static str, &'static str)], expected: bool) {
        let mut all = Fields::new();
        all.insert("host", "www.example.com:8443");
        for (name, value) in fields {
            all.insert(*name, *value);
        }
        assert_eq!(is_from_here(&all), expected, "{fields:?}");
    }

    #[test]
    fn only_pages_of_this_very_site_may_ask() {
        check(&[], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("sec-fetch-site", "cross-site")], false);
        check(&[("origin", "https://www.example.com:8443")], true);
        check(&[("origin", "https://WWW.example.com:8443")], true);
        check(&[("origin", "http://www.example.com:8443")], false);
        check(&[("origin", "https://www.example.com")], false);
        check(&[("origin", "https://evil.example")], false);
        check(&[("origin", "null")], false);
    }
}
