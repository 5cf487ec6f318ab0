//! Who may ask the admin listener for what, and the fields that every answer bears.
//!
//! The listener is for people and programs that can reach it, not for web pages that make a browser reach it: a page of a
//! stranger can let its name resolve to this address (DNS rebinding), so names other than localhost and the operator's are refused;
//! it can ask without reading the answer, so a browser's session changes something only when the browser says that one of this
//! listener's own pages asked; and it can't read an answer, as no CORS field lets it.
//!
//! Reading asks nobody who they are on a loopback address; changing always does: a token, a role of the gate's issuer, or a session
//! that began with one of those. A token that is wrong is refused, whatever else comes with it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderName, HeaderValue, Method, header};

use super::{
    actor::{Actor, Kind},
    attempts::Attempts,
    cookie,
    credential::{self, Brought},
    host::{self, Under},
    issuer,
    refusal::Refusal,
    session::{Ground, Person, Sessions},
    tokens::{self, Secret, same},
};
use crate::{
    clock::{self, Moment},
    config::admin::{AdminSettings, May, Reach},
    control::{keep, plane::View},
    gate::{
        self,
        session::{NoSession, SILENCE_LASTS},
    },
    observe::metrics::Facts,
    snapshot::Snapshot,
};

/// Largest body of a request, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long the link that is printed at the start is good, and only once.
pub const LINK_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Only what this listener serves itself, no inline script or style, no frame around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const FIELDS: [(HeaderName, &str); 7] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The door: who is known beside those whom the settings name.
#[derive(Debug)]
pub struct Door {
    /// Whether only this machine reaches the listener.
    is_loopback: bool,
    /// Of what `<state>/cli.token` holds.
    cli: Option<[u8; 32]>,
    facts: Arc<Facts>,
    book: Mutex<Book>,
}

/// What the door remembers. Each part of it has a bound.
#[derive(Debug, Default)]
struct Book {
    link: Option<Link>,
    sessions: Sessions,
    attempts: Attempts,
    /// When the identity provider last left a question unanswered.
    silence: Option<Instant>,
}

#[derive(Debug)]
struct Link {
    hash: [u8; 32],
    made: Instant,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needed {
    /// What everybody may have who reaches the listener.
    Nothing,
    Read,
    Write,
}

impl Door {
    /// A door before the listener at `address`. Where there is one, the token of this machine's command line is made anew in `state`.
    #[must_use]
    pub fn new(state: &Path, address: Option<SocketAddr>, facts: Arc<Facts>) -> Self {
        let cli = address.and_then(|_| {
            keep::cli_token(state)
                .inspect_err(
                    |error| tracing::warn!(%error, "the command line has no token for the admin listener"),
                )
                .ok()
        });
        Self {
            is_loopback: address.is_some_and(|address| address.ip().to_canonical().is_loopback()),
            cli: cli.map(|token| token.hash()),
            facts,
            book: Mutex::default(),
        }
    }

    /// Makes the link with which the first browser signs in, where nobody is named who could: good once, and for [`LINK_AGE_MAX`].
    pub fn invite(&self, address: SocketAddr, admin: &AdminSettings) -> Option<Secret> {
        if !admin.names_nobody() {
            return None;
        }
        let secret = Secret::random()
            .inspect_err(|error| tracing::warn!(%error, "there is no link to sign in with"))
            .ok()?;
        self.book().link = Some(Link {
            hash: secret.hash(),
            made: clock::steady(),
        });
        let here = match address.ip() {
            ip if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
            _ => address,
        };
        Some(secret.within(&format!("http://{here}/login?t=")))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On what somebody stands who brings `text` to sign in with.
    pub(super) fn recognise(
        &self,
        at: &Snapshot,
        text: &str,
        peer: IpAddr,
        now: Moment,
    ) -> Result<Ground, Refusal> {
        let hash = tokens::hash(text);
        if let Some(ground) = self.known(&at.admin, &hash, now) {
            return Ok(ground);
        }
        if self.book().attempts.are_spent(peer, now.steady) {
            return Err(Refusal::TooManyAttempts);
        }
        credential::by_gate(at, text, now.wall()).inspect_err(|refusal| self.note_failure(peer, refusal, now))
    }

    fn known(&self, admin: &AdminSettings, hash: &[u8; 32], now: Moment) -> Option<Ground> {
        if self.cli.as_ref().is_some_and(|cli| same(cli, hash)) {
            return Some(Ground::Cli);
        }
        let token = tokens::find(&admin.tokens, hash)?;
        (now.wall().secs() < token.expires).then_some(Ground::Token(token.hash))
    }

    /// Uses up the link that was printed.
    pub(super) fn redeem(&self, text: &str, peer: IpAddr, now: Moment) -> Result<Ground, Refusal> {
        let mut book = self.book();
        let hash = tokens::hash(text);
        let is_it = book.link.as_ref().is_some_and(|link| {
            same(&link.hash, &hash) && now.steady.saturating_duration_since(link.made) < LINK_AGE_MAX
        });
        if is_it {
            book.link = None;
            return Ok(Ground::Link);
        }
        let spent = book.attempts.are_spent(peer, now.steady);
        drop(book);
        self.note_failure(peer, &Refusal::BadLink, now);
        Err(if spent {
            Refusal::TooManyAttempts
        } else {
            Refusal::BadLink
        })
    }

    fn note_failure(&self, peer: IpAddr, refusal: &Refusal, now: Moment) {
        if *refusal != Refusal::KeysMissing && self.book().attempts.failed(peer, now.steady) {
            tracing::warn!(%peer, why = %refusal, "a sign-in on the admin listener failed");
        }
    }

    /// Begins a browser's session.
    pub(super) fn open(&self, ground: Ground, now: Moment) -> Result<Secret, Refusal> {
        let opened = self.book().sessions.open(ground, now);
        opened.map_err(|error| Refusal::Internal(error.to_string()))
    }

    /// Ends the sessions of a browser.
    pub(super) fn close<'c>(&self, cookies: impl Iterator<Item = &'c str>) {
        let mut book = self.book();
        for cookie in cookies {
            book.sessions.close(&tokens::hash(cookie));
        }
    }

    /// Whose session a browser has, as far as it still stands.
    pub(super) fn in_session<B>(
        &self,
        at: &Snapshot,
        request: &http::Request<B>,
        under: Under,
        now: Moment,
    ) -> Option<Actor> {
        let mut book = self.book();
        for cookie in cookie::all(request.headers(), under) {
            let hash = tokens::hash(cookie);
            let Some(ground) = book.sessions.find(&hash, now) else {
                continue;
            };
            match stands_on(at, ground, now) {
                Some(actor) => {
                    return Some(Actor {
                        kind: Kind::Session,
                        ..actor
                    });
                }
                None if is_due(at, ground, now) => {} // the provider is silent, which ends nothing
                None => book.sessions.close(&hash),
            }
        }
        None
    }

    /// Who is to be checked at the identity provider before their session counts any further.
    pub(super) fn due<B>(
        &self,
        at: &Snapshot,
        request: &http::Request<B>,
        under: Under,
        now: Moment,
    ) -> Option<Person> {
        let mut book = self.book();
        let mut cookies = cookie::all(request.headers(), under);
        cookies.find_map(|cookie| match book.sessions.find(&tokens::hash(cookie), now) {
            Some(ground @ Ground::Person(person)) if is_due(at, ground, now) => Some(person.clone()),
            _ => None,
        })
    }

    /// Notes what came of the check: the session that follows, or none.
    pub(super) fn checked(&self, person: &Person, renewed: Option<Arc<gate::session::Session>>) {
        let after = renewed.map(|session| {
            let issuer = Arc::clone(&person.issuer);
            Ground::Person(Person { issuer, session })
        });
        let before = Ground::Person(person.clone());
        self.book().sessions.change(&before, after.as_ref());
    }

    /// Whether the identity provider was silent just now.
    pub(super) fn is_provider_silent(&self, now: Moment) -> bool {
        let since = self.book().silence;
        since.is_some_and(|since| now.steady.saturating_duration_since(since) < SILENCE_LASTS)
    }

    /// Notes that it is.
    pub(super) fn note_silence(&self, now: Moment) {
        self.book().silence = Some(now.steady);
    }

    fn is_open(&self, admin: &AdminSettings, under: Under) -> bool {
        // A proxy's requests come from loopback too, whoever is before the proxy.
        admin.open.unwrap_or(self.is_loopback && under == Under::OwnName)
    }
}

/// Who it is that stands on this ground now; `None`: what it stood on has ended or was taken away.
pub(super) fn stands_on(at: &Snapshot, ground: &Ground, now: Moment) -> Option<Actor> {
    let admin = &at.admin;
    let everything = May::Write(Reach::Everything);
    let (name, kind, may) = match ground {
        Ground::Token(hash) => {
            let token =
                tokens::find(&admin.tokens, hash).filter(|token| now.wall().secs() < token.expires)?;
            (token.name.as_str(), Kind::Token, token.may.clone())
        }
        Ground::Cli => ("command line", Kind::Cli, everything),
        Ground::Link => ("login link", Kind::Session, everything),
        Ground::Roles {
            subject,
            roles,
            expires,
        } => {
            let may = admin.may_by_roles(roles).filter(|_| now.wall() < *expires)?;
            (subject.as_str(), Kind::Role, may)
        }
        Ground::Person(person) => {
            let identity = &person.session.identity;
            issuer::judge(at, person, now).ok()?;
            (
                identity.subject.as_str(),
                Kind::Role,
                admin.may_by_roles(&identity.roles)?,
            )
        }
    };
    Some(Actor {
        name: name.to_owned(),
        kind,
        may,
    })
}

/// Whether somebody is to be checked at the identity provider.
fn is_due(at: &Snapshot, ground: &Ground, now: Moment) -> bool {
    matches!(ground, Ground::Person(person) if issuer::judge(at, person, now) == Err(NoSession::Unchecked))
}

/// Lets a request in, or not; counts and logs it; and sees that its answer bears what it must.
pub(super) async fn pass(State(view): State<View>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let due = issuer::due(&view, &request);
    let is_silent = match due {
        Some(due) => issuer::check(&view, due).await,
        None => false,
    };
    let admitted = admit(&view, &request).map_err(|refusal| match refusal {
        Refusal::SignIn if is_silent => Refusal::ProviderSilent,
        refusal => refusal,
    });
    let who = match &admitted {
        Ok(Some(actor)) => actor.kind.as_str(),
        Ok(None) | Err(_) => "nobody",
    };
    let outcome = admitted.as_ref().map_or_else(Refusal::outcome, |_| "admitted");
    view.door.facts.admin_asked(who, outcome);
    let mut response = match admitted {
        Ok(actor) => {
            let change = actor.clone().filter(|_| needed(&method, &path) == Needed::Write);
            if let Some(actor) = actor {
                request.extensions_mut().insert(actor);
            }
            let response = next.run(request).await;
            if let Some(Actor { name, .. }) = change {
                let status = response.status().as_u16();
                tracing::info!(who = name, how = who, %method, path, status, "a change was asked for");
            }
            response
        }
        Err(Refusal::SignIn) if is_navigation(&request) => Redirect::to("/login").into_response(),
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in FIELDS {
        let field = response.headers_mut().entry(name);
        field.or_insert_with(|| HeaderValue::from_static(value));
    }
    response
}

fn admit(view: &View, request: &http::Request<Body>) -> Result<Option<Actor>, Refusal> {
    let at = view.live.current();
    let under = host::admit(request, &at.admin.hosts)?;
    match request.body().size_hint().exact() {
        Some(bytes) if usize::try_from(bytes).is_ok_and(|bytes| bytes <= BODY_BYTES_MAX) => {}
        Some(_) => return Err(Refusal::TooLarge),
        None => return Err(Refusal::Lengthless),
    }
    let needed = needed(request.method(), request.uri().path());
    if needed == Needed::Nothing {
        return Ok(None);
    }
    let Some(actor) = identify(view, &at, request, under)? else {
        let open = needed == Needed::Read && view.door.is_open(&at.admin, under);
        return if open { Ok(None) } else { Err(Refusal::SignIn) };
    };
    if needed == Needed::Write && !actor.may_write() {
        return Err(Refusal::Scope("write".to_owned()));
    }
    if needed == Needed::Write && actor.kind == Kind::Session && !host::is_own_page(request, under) {
        return Err(Refusal::Foreign);
    }
    Ok(Some(actor))
}

/// Who asks. A token decides alone: where one is wrong, no session makes up for it.
fn identify(
    view: &View,
    at: &Snapshot,
    request: &http::Request<Body>,
    under: Under,
) -> Result<Option<Actor>, Refusal> {
    let now = clock::now();
    match credential::brought(request.headers())? {
        Brought::Nothing => Ok(view.door.in_session(at, request, under, now)),
        Brought::Token(token) => {
            let ground = view.door.recognise(at, token, peer(request), now)?;
            let actor = stands_on(at, &ground, now);
            actor.map(Some).ok_or_else(|| Refusal::Scope("read".to_owned()))
        }
    }
}

/// Everything that isn't plainly a question changes something.
fn needed(method: &Method, path: &str) -> Needed {
    let asks = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let posts = *method == Method::POST;
    match path {
        "/healthz" | "/livez" | "/readyz" | "/metrics" if asks => Needed::Nothing,
        "/api/identity/jwks" if asks => Needed::Nothing, // public keys, which backends check identities with
        issuer::BEGIN_PATH | issuer::CALLBACK_PATH if asks => Needed::Nothing,
        "/login" | "/logout" if asks || posts => Needed::Nothing, // they look for themselves
        _ if asks && path.starts_with("/assets/") => Needed::Nothing,
        // Questions that are too long for an address.
        "/api/decide" | "/ofrep/v1/evaluate/flags" if posts => Needed::Read,
        _ if posts && path.starts_with("/ofrep/v1/evaluate/flags/") => Needed::Read,
        _ if asks => Needed::Read,
        _ => Needed::Write,
    }
}

/// Whose connection a request came by.
pub(super) fn peer<B>(request: &http::Request<B>) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(address)| *address)
}

/// Whether a person looks at what comes: then the page to sign in on is of more use than a refusal.
fn is_navigation<B>(request: &http::Request<B>) -> bool {
    let field = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    request.method() == Method::GET
        && request.headers().get(header::AUTHORIZATION).is_none()
        && field("accept").is_some_and(|accept| accept.contains("text/html"))
        && field("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
