//! Shows browsers a page instead of an error, where the route or the site says so.

use std::{
    cell::Cell,
    collections::VecDeque,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, StatusCode, Version};
use http_body::{Frame, SizeHint};

use super::{
    answer,
    edge::{Edge, Peer},
    exchange::{self, Passed},
    follow::Following,
    headers,
};
use crate::{
    body::{Body, BodyError},
    clock,
    fields::{Fields, Known},
    message::Head,
    observe::record::{ErrorPage, Record},
    policy::errors::{PAGE_BYTES_MAX, Shows, dress},
    route::RouteId,
    snapshot::{
        Snapshot,
        decide::{Decision, Stop},
    },
    visitor::Visitor,
    wire::NoInterim,
};

/// Time for a page, from the decision to its last byte. Then the error itself is sent.
pub const PAGE_TIME_MAX: Duration = Duration::from_secs(3);
/// Pages that a core asks for at once. Beyond it errors are sent as they are: a backend that fails for everybody must not bring the
/// same load to the backend that has the pages.
pub const PAGES_AT_ONCE_MAX: u32 = 64;
/// Bytes of an error's body that are taken over while a page is asked for, so that its connection is free for others.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// What is kept of a browser's request in case that it ends in an error: afterwards its head is another one.
#[derive(Debug, Clone, Copy)]
pub struct Plea {
    route: Option<RouteId>,
    visitor: Option<Visitor>,
}

impl Plea {
    /// `None`: no page would be shown, whatever comes of the request.
    #[must_use]
    pub fn of(decided: &Result<Decision<'_>, Stop>, request: &Fields, at: &Snapshot) -> Option<Self> {
        let (route, visitor) = match decided {
            Ok(decision) => (Some(decision.route), decision.visitor),
            Err(stop) => (stop.route(), None),
        };
        (at.has_error_pages(route) && answer::wants_html(request)).then_some(Self { route, visitor })
    }
}

/// How many pages a core asks for just now.
#[derive(Debug, Default)]
pub struct Asking(Cell<u32>);

/// One of them.
struct Seat<'a>(&'a Asking);

impl Asking {
    fn one_more(&self) -> Option<Seat<'_>> {
        let now = self.0.get();
        (now < PAGES_AT_ONCE_MAX).then(|| {
            self.0.set(now + 1);
            Seat(self)
        })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get().saturating_sub(1));
    }
}

/// A page that has come.
struct Page {
    fields: Fields,
    bytes: Bytes,
}

/// What is sent in place of the error that `passed` is: a page, or the error itself where there is no page for it or the page fails.
/// `head` is that of the request, `following` its exchange.
pub async fn instead(
    plea: Plea,
    passed: Passed,
    head: &Head,
    peer: &Peer,
    edge: &Rc<Edge>,
    at: &Snapshot,
    following: &mut Following,
) -> Passed {
    let (mut response, mut under_way) = passed;
    let error = response.status;
    let Some(found) = at.error_page(plea.route, error) else {
        return (response, under_way);
    };
    let held = Held::take(std::mem::replace(&mut response.body, Body::Empty));
    if held.is_whole() {
        under_way = None;
    }
    let (page, source) = match &found.shows {
        Shows::File(file) => {
            let (fields, bytes) = (file.fields(), file.bytes.clone());
            (Some(Page { fields, bytes }), "file")
        }
        Shows::Page(target) => {
            let request = page_request(target, plea.visitor.as_ref(), head, peer, at, &following.record);
            (ask(request, peer, edge, at, following).await, "page")
        }
    };
    following.record.error_page = Some(ErrorPage {
        error,
        shown: page.as_ref().map(|_| source),
    });
    let Some(page) = page else {
        response.body = held.into_body();
        return (response, under_way);
    };
    dress(&mut response.headers, &page.fields);
    response.status = found.answer_status.unwrap_or(error);
    response.body = Body::full(page.bytes);
    (response, None)
}

/// The request for a page: as if nobody in particular asked, but for what a page may be chosen by. The visitor's cookie is for
/// Banyan's own flags, so that the page is of the visitor's generation; no backend gets it.
fn page_request(
    target: &str,
    visitor: Option<&Visitor>,
    head: &Head,
    peer: &Peer,
    at: &Snapshot,
    record: &Record,
) -> Head {
    const KEPT: [Known; 5] = [
        Known::ACCEPT_LANGUAGE,
        Known::VIA, // counts the hops, should a page lead back here
        Known::X_FORWARDED_PROTO,
        Known::X_FORWARDED_HOST,
        Known::X_FORWARDED_PORT,
    ];
    let mut fields = Fields::new();
    if let Some(host) = &record.host {
        fields.insert(Known::HOST, host);
    }
    fields.insert(Known::ACCEPT, "text/html, */*;q=0.5");
    for name in KEPT {
        for value in head.headers.get_all(name) {
            fields.append(name, value);
        }
    }
    if let Some(agent) = &record.user_agent {
        fields.insert(Known::USER_AGENT, agent);
    }
    if record.client != peer.ip() && headers::is_trusted(peer.ip(), &at.trusted_proxies) {
        fields.insert(Known::X_FORWARDED_FOR, record.client.to_string());
    }
    if let Some(visitor) = visitor {
        let cookie = at.visitors.set_cookie(visitor, clock::wall());
        let pair = cookie.as_bytes().split(|byte| *byte == b';').next();
        fields.insert(Known::COOKIE, pair.unwrap_or_default());
    }
    Head::new(Method::GET, target, Version::HTTP_11, fields)
}

/// Asks for a page as for any other request, but only once: what comes is never replaced by another page. `None`: it failed.
async fn ask(mut head: Head, peer: &Peer, edge: &Rc<Edge>, at: &Snapshot, of: &Following) -> Option<Page> {
    let now = clock::now();
    let mut record = Record::begin(now.steady, now.wall_micros, peer.listener, of.record.client);
    record.request_id.clone_from(&of.record.request_id);
    let mut following = Following::unlogged(record, edge);
    following.trace = of.trace;
    let fetching = async {
        let _seat = edge.asking.one_more().ok_or("too many pages are asked for")?;
        let (head, following, mut nobody) = (&mut head, &mut following, NoInterim);
        let passing = exchange::pass_through(head, Body::Empty, peer, edge, at, following, &mut nobody);
        let (page, _under_way) = passing.await.map_err(|refusal| refusal.details)?;
        if !page.status.is_success() {
            return Err("it is an error itself");
        }
        let bytes = collected(page.body).await?;
        let fields = page.headers;
        Ok(Page { fields, bytes })
    };
    let fetched = tokio::time::timeout(PAGE_TIME_MAX, AssertUnwindSafe(fetching).catch_unwind()).await;
    let why = match fetched {
        Ok(Ok(Ok(page))) => return Some(page),
        Ok(Ok(Err(why))) => why,
        Ok(Err(_)) => {
            edge.observe
                .count(crate::observe::metrics::Family::Panics, &[], 1);
            "panic"
        }
        Err(_) => "it takes too long",
    };
    let id = exchange::request_id(&of.record);
    tracing::debug!(request_id = id, page = head.target(), why, "an error page failed");
    None
}

async fn collected(mut body: Body) -> Result<Bytes, &'static str> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| "it breaks off")?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > PAGE_BYTES_MAX {
            return Err("it is too large");
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes.into())
}

/// The body of an error while it isn't known whether it will be sent: what had come of it with its head, and the rest.
struct Held {
    frames: VecDeque<Result<Frame<Bytes>, BodyError>>,
    rest: Body,
}

impl Held {
    /// Takes what is there already, without waiting: nearly always it is all of it, and its connection goes back to the others.
    fn take(mut rest: Body) -> Self {
        let mut frames = VecDeque::new();
        let mut bytes = 0;
        while bytes < HELD_BYTES_MAX && !http_body::Body::is_end_stream(&rest) {
            match rest.frame().now_or_never() {
                Some(Some(frame)) => {
                    bytes += frame
                        .as_ref()
                        .ok()
                        .and_then(Frame::data_ref)
                        .map_or(1, Bytes::len);
                    frames.push_back(frame);
                }
                Some(None) => rest = Body::Empty,
                None => break,
            }
        }
        Self { frames, rest }
    }

    fn is_whole(&self) -> bool {
        http_body::Body::is_end_stream(&self.rest)
    }

    fn into_body(self) -> Body {
        if self.frames.is_empty() {
            self.rest
        } else {
            Body::Wrapped(Box::pin(self))
        }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        let frames = self.frames.iter().filter_map(|frame| frame.as_ref().ok());
        let here: u64 = frames
            .filter_map(Frame::data_ref)
            .map(|data| data.len() as u64)
            .sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(here));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(here));
        }
        hint
    }
}

/// Whether there may be a page for an answer with this status.
#[must_use]
pub fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::{Body as _, Frame};

    use super::{Asking, Held, PAGES_AT_ONCE_MAX};
    use crate::body::{Body, BodyError};

    /// Frames that are there, then silence for ever or the end.
    struct Script {
        frames: Vec<Frame<Bytes>>,
        hangs: bool,
    }

    impl http_body::Body for Script {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let this = self.get_mut();
            match (this.frames.is_empty(), this.hangs) {
                (false, _) => std::task::Poll::Ready(Some(Ok(this.frames.remove(0)))),
                (true, true) => std::task::Poll::Pending,
                (true, false) => std::task::Poll::Ready(None),
            }
        }
    }

    fn script(pieces: &[&'static str], hangs: bool) -> Body {
        let frames = pieces
            .iter()
            .map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
        Body::Wrapped(Box::pin(Script {
            frames: frames.collect(),
            hangs,
        }))
    }

    #[tokio::test]
    async fn what_is_there_is_taken_and_the_rest_follows_it() {
        for hangs in [false, true] {
            let held = Held::take(script(&["one ", "two"], hangs));
            assert_eq!(held.is_whole(), !hangs);
            assert_eq!(held.size_hint().lower(), 7);
            assert_eq!(held.size_hint().exact(), (!hangs).then_some(7));
            let mut body = held.into_body();
            let mut text = Vec::new();
            while text.len() < 7 {
                text.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
            }
            assert_eq!(text, b"one two");
            assert_eq!(body.is_end_stream(), !hangs);
        }
        let held = Held::take(Body::Full(Bytes::from_static(b"all")));
        assert!(held.is_whole());
        assert_eq!(held.size_hint().exact(), Some(3));
    }

    #[test]
    fn a_core_asks_for_so_many_pages_at_once_and_no_more() {
        let asking = Asking::default();
        let mut seats: Vec<_> = (0..PAGES_AT_ONCE_MAX)
            .map(|_| asking.one_more().unwrap())
            .collect();
        assert!(asking.one_more().is_none());
        seats.pop();
        assert!(asking.one_more().is_some());
        assert!(asking.one_more().is_some(), "the seat was given back");
    }
}
