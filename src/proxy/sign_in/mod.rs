//! Sign-ins of people on public hosts: who is sent to sign in, the pages below `/.banyan/` where that happens, checks of sessions at
//! the identity provider, and what a session does to the answers that it gets.
//!
//! `begin` sends a browser to the provider and takes it back, `leave` signs out (here, or by the provider's back channel), `me` says
//! who is signed in, `lease` ends what is open when the session ends, `page` is what people see when it doesn't work.

mod begin;
mod lease;
mod leave;
mod me;
mod page;

use std::{borrow::Cow, rc::Rc, sync::Arc, time::Duration};

use http::{Method, StatusCode};

pub use self::lease::Lease;
use super::{
    answer, edge::Edge, exchange::Passed, follow::Following, redirect, refusal::Refusal, seats::Seats,
};
use crate::{
    body::Body,
    clock::{self, UnixTime},
    fields::{Fields, Known, Value},
    gate::{
        Denied, Source,
        session::{NoSession, SEAL_NONCE_BYTES, Sessions, host_of, return_target},
    },
    message::{Head, Response},
    observe::{
        metrics::{Family, Label},
        record::Outcome,
    },
    snapshot::{
        GateAtWork, Rule, Snapshot,
        decide::{Ask, Credential, Decision, Entrance, Stop, decide},
        provider::{Provider, Unvouched},
        wished,
    },
};

/// Where a browser begins to sign in; `to` in its query is where it leads on to.
pub const LOGIN_PATH: &str = "/.banyan/login";
/// Where it comes back from the provider.
pub const CALLBACK_PATH: &str = "/.banyan/callback";
/// Where it signs out, and comes back from that.
pub const LOGOUT_PATH: &str = "/.banyan/logout";
/// Where the provider signs people out.
pub const BACK_CHANNEL_PATH: &str = "/.banyan/backchannel-logout";
/// Who is signed in.
pub const ME_PATH: &str = "/.banyan/me";

/// Time that a request waits for the identity provider.
pub const ASK_TIME_MAX: Duration = Duration::from_secs(5);
/// Codes and logout tokens under way at once on a core; more is 503.
pub const DESKS_MAX: usize = 256;
/// Of these from one address, which may be a whole office's; more is 429.
pub const DESKS_EACH_MAX: usize = 64;

/// How often a session is checked for one request: its cookie may be a few checks behind.
const ROUNDS_MAX: usize = 2;

/// One of the pages below `/.banyan/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Login,
    Callback,
    Logout,
    BackChannel,
    Me,
}

/// Whether a request asks for one of the pages, where people can sign in at all.
#[inline]
pub(super) fn asked(ask: &Ask<'_, '_>, at: &Snapshot) -> Option<Page> {
    if !ask.target.starts_with("/.banyan/") || ask.entrance != Entrance::Public {
        return None;
    }
    let page = match ask.target.split('?').next().unwrap_or_default() {
        LOGIN_PATH => Page::Login,
        CALLBACK_PATH => Page::Callback,
        LOGOUT_PATH => Page::Logout,
        BACK_CHANNEL_PATH => Page::BackChannel,
        ME_PATH => Page::Me,
        _ => return None,
    };
    (at.answers_for(ask.host) && at_work(at).is_some()).then_some(page)
}

fn at_work(at: &Snapshot) -> Option<(&GateAtWork, &Arc<Sessions>, &Arc<Provider>)> {
    let gate = at.gate.as_ref()?;
    Some((gate, gate.gate.sessions()?, gate.provider.as_ref()?))
}

/// What a page needs to answer.
struct Asked<'a> {
    head: &'a Head,
    /// Without port, as texts are sealed for it.
    host: Cow<'a, str>,
    query: &'a str,
    now: UnixTime,
    gate: &'a GateAtWork,
    sessions: &'a Arc<Sessions>,
    provider: &'a Arc<Provider>,
    edge: &'a Edge,
}

/// Answers one of the pages, as an exchange that no backend has a part in.
pub(super) async fn pass(
    page: Page,
    head: &Head,
    body: Body,
    at: &Snapshot,
    edge: &Rc<Edge>,
    following: &mut Following,
) -> Result<Passed, Refusal> {
    super::access::conceal_query(&mut following.record); // codes and states are in it
    let Some((gate, sessions, provider)) = at_work(at) else {
        return Err(Refusal::no_route());
    };
    following.record.outcome = Outcome::Answered;
    let asked = Asked {
        head,
        host: host_of(&head.headers),
        query: head.target().split_once('?').map_or("", |(_, query)| query),
        now: following.record.began_at().wall(),
        gate,
        sessions,
        provider,
        edge,
    };
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let answered = match page {
        Page::Login if reads => asked.begin().await,
        Page::Callback if reads => Ok(asked.come_back(following).await),
        Page::Me if reads => asked.me().await,
        Page::Logout if head.method == Method::POST => asked.leave(),
        Page::Logout if reads => Ok(asked.left()),
        Page::BackChannel if head.method == Method::POST => asked.back_channel(body, following).await,
        Page::Login | Page::Callback | Page::Me => Err(method("GET, HEAD")),
        Page::Logout => Err(method("GET, HEAD, POST")),
        Page::BackChannel => Err(method("POST")),
    };
    let mut response = answered?;
    page::write_fields(&mut response.headers);
    Ok((response, None))
}

fn method(allow: &str) -> Refusal {
    Refusal::method(StatusCode::METHOD_NOT_ALLOWED, allow)
}

impl Asked<'_> {
    /// The address of a page of ours as the browser knows it, port included.
    fn address(&self, path: &str) -> String {
        let host = self.head.headers.get(Known::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let port = host.rsplit_once(':').map_or("", |(_, port)| port);
        let own = &self.host;
        match !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
            true => format!("https://{own}:{port}{path}"),
            false => format!("https://{own}{path}"),
        }
    }

    fn nonce(&self) -> [u8; SEAL_NONCE_BYTES] {
        nonce(self.edge)
    }

    fn count(&self, family: Family, outcome: &'static str) {
        self.edge.observe.count(family, &[Label::Word(outcome)], 1);
    }
}

fn nonce(edge: &Edge) -> [u8; SEAL_NONCE_BYTES] {
    edge.random16().first_chunk().copied().unwrap_or_default()
}

/// Decides what happens to a request; where that waits for a check of its session, once that is done.
#[inline]
pub(super) async fn decided<'t>(
    ask: &Ask<'_, 't>,
    now: UnixTime,
    at: &Snapshot,
    edge: &Edge,
) -> Result<Decision<'t>, Stop> {
    let decided = decide(ask, now, at, &mut ());
    if is_due(&decided) {
        return Box::pin(decided_again(ask, now, at, edge)).await;
    }
    decided
}

fn is_due(decided: &Result<Decision<'_>, Stop>) -> bool {
    matches!(
        decided,
        Err(Stop::Denied {
            denied: Denied::NoSession(NoSession::Unchecked),
            ..
        })
    )
}

/// Checks the session of a request at the provider, and decides again.
async fn decided_again<'t>(
    ask: &Ask<'_, 't>,
    now: UnixTime,
    at: &Snapshot,
    edge: &Edge,
) -> Result<Decision<'t>, Stop> {
    for _ in 1..ROUNDS_MAX {
        check(ask.headers, at, edge, now).await;
        let decided = decide(ask, now, at, &mut ());
        if !is_due(&decided) {
            return decided;
        }
    }
    check(ask.headers, at, edge, now).await;
    decide(ask, now, at, &mut ())
}

/// Checks the session of a request at the provider, if that is due. What came of it is remembered on this core.
pub(super) async fn check(headers: &Fields, at: &Snapshot, edge: &Edge, now: UnixTime) {
    if let Some((_, sessions, provider)) = at_work(at) {
        check_of(headers, sessions, provider, edge, now).await;
    }
}

async fn check_of(headers: &Fields, sessions: &Sessions, provider: &Provider, edge: &Edge, now: UnixTime) {
    let Some((cookie, session)) = sessions.unchecked(headers, now, &edge.tokens) else {
        return;
    };
    let asking = tokio::time::timeout(ASK_TIME_MAX, provider.renew(Arc::clone(&session)));
    let said = asking.await.unwrap_or(Err(Unvouched::Silent));
    let outcome = said.as_ref().map_or_else(|why| why.as_str(), |_| "renewed");
    edge.observe
        .count(Family::SessionChecks, &[Label::Word(outcome)], 1);
    let said = match said {
        Ok(vouched) => {
            let host = host_of(headers);
            let claims = vouched.claims.as_deref();
            let renewed = sessions.renew(&host, &session, claims, vouched.refresh, vouched.at, nonce(edge));
            renewed.map_err(|_| NoSession::Refused)
        }
        Err(Unvouched::Silent) => Err(NoSession::Silent),
        // what it signed is not right: whoever it is, nobody vouches for them
        Err(Unvouched::Refused | Unvouched::Token(_) | Unvouched::Malformed) => Err(NoSession::Refused),
    };
    sessions.note(headers, cookie, said, clock::wall(), &edge.tokens);
}

/// Notes by which session a request was let in, for what is done to its answer.
#[inline]
pub(super) fn note(decision: &Decision<'_>, ask: &Ask<'_, '_>, at: &Snapshot, following: &mut Following) {
    let sessions = at.gate.as_ref().and_then(|gate| gate.gate.sessions());
    let (Some(sessions), Some(identity)) = (sessions, &decision.identity) else {
        return;
    };
    if identity.source != Source::Session {
        return;
    }
    let (Credential::Fields(memory) | Credential::Asked(memory)) = ask.credential else {
        return;
    };
    let now = following.record.began_at().wall();
    if let Some(brought) = sessions.that_let_in(identity, ask.headers, now, memory) {
        following.lease = Some(Lease::new(brought, Arc::clone(sessions)));
    }
}

/// The same where a request is stopped: a browser that meets nothing but refusals would be left with a refresh token that counts no more.
pub(super) fn note_stopped(stop: &Stop, ask: &Ask<'_, '_>, at: &Snapshot, following: &mut Following) {
    let sessions = at.gate.as_ref().and_then(|gate| gate.gate.sessions());
    let (Some(sessions), Stop::Denied { .. } | Stop::Redirect { .. }) = (sessions, stop) else {
        return;
    };
    let (Credential::Fields(memory) | Credential::Asked(memory)) = ask.credential else {
        return;
    };
    let now = following.record.began_at().wall();
    if let (_, Ok(brought)) = sessions.brought(ask.headers, now, memory)
        && brought.set_cookie.is_some()
    {
        following.lease = Some(Lease::new(brought, Arc::clone(sessions)));
    }
}

/// Where a browser goes that may not come in: to sign in, if a person looks at it and that would help. What the page asks of a sign-in
/// goes along; it is the callback that sees whether it comes back.
pub(super) fn instead(
    denied: &Denied,
    ask: &Ask<'_, '_>,
    head: &Head,
    (rule, at): (&Rule, &Snapshot),
    edge: &Edge,
) -> Option<Response> {
    if ask.entrance != Entrance::Public || !navigates(head) {
        return None;
    }
    at_work(at)?;
    let (wish, outcome) = match denied {
        Denied::NoSession(NoSession::Silent | NoSession::Unchecked) => return None,
        Denied::Missing | Denied::NoSession(_) => (wished(ask, rule, at).unwrap_or_default(), "sent"),
        // a token of its own is not what signing in would change
        Denied::Lacking(need) if need.is_of_sign_in() && !head.headers.contains_key(Known::AUTHORIZATION) => {
            (wished(ask, rule, at)?, "stepped_up")
        }
        _ => return None,
    };
    let address = page::login(return_target(ask.target), &wish);
    let mut response = redirect::to(StatusCode::FOUND, &address);
    response.headers.insert(Known::CACHE_CONTROL, "no-store");
    edge.observe.count(Family::SignIns, &[Label::Word(outcome)], 1);
    Some(response)
}

/// Whether somebody looks at the page that is asked for: Fetch Metadata, then `Accept`, then the method.
fn navigates(head: &Head) -> bool {
    let fields = &head.headers;
    let is = |name: Known, value: &[u8]| fields.get(name).map(|field| field.as_bytes() == value);
    if !matches!(head.method, Method::GET | Method::HEAD) || head.upgrade.is_some() {
        return false;
    }
    let ahead = [Known::SEC_PURPOSE, Known::PURPOSE]
        .into_iter()
        .any(|name| fields.contains_key(name));
    if ahead {
        return false; // nobody looks yet
    }
    match is(Known::SEC_FETCH_MODE, b"navigate") {
        Some(navigates) => navigates && is(Known::SEC_FETCH_DEST, b"document").unwrap_or(true),
        None => {
            !fields.contains_key(Known::SEC_FETCH_DEST)
                && !fields.contains_key(Known::X_REQUESTED_WITH)
                && answer::wants_html(fields)
        }
    }
}

/// Whether a request with a cookie comes from a page of this very host: `Sec-Fetch-Site`, else `Origin`. Neither is no.
fn is_own_page(fields: &Fields, address: &str) -> bool {
    match fields.get(Known::SEC_FETCH_SITE).map(Value::as_bytes) {
        Some(site) => site == b"same-origin",
        None => fields
            .get(Known::ORIGIN)
            .is_some_and(|from| from.as_bytes().eq_ignore_ascii_case(address.as_bytes())),
    }
}

/// Codes and logout tokens under way on a core.
#[derive(Debug, Default)]
pub struct Desks(Rc<Seats>);

/// Tells a browser what its session has become, and ends with the session what is open in it.
pub(super) fn finish(response: &mut Response, following: &mut Following) {
    if let Some(lease) = &mut following.lease {
        lease.write(response);
    }
}
