//! Signing in with the gate's identity provider, there and back, as people do on public hosts; and being checked there as often.
//!
//! What is under way is sealed into a cookie of the browser, so nobody fills anything here. The session that comes of it is judged by
//! the gate's own rules: its times, its checks, and what the provider's back channel ends.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use axum::{
    extract::{Request, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderValue, StatusCode, header};

use super::{
    answer::HTML,
    cookie,
    credential::{self, Brought},
    door::{peer, stands_on},
    host::{self, Under},
    page::login::back,
    refusal::Refusal,
    session::{Ground, Person},
};
use crate::{
    clock::{self, Moment},
    control::plane::View,
    gate::session::{Answered, NoSession, SIGN_IN_ENTROPY, SIGN_IN_LASTS, Sessions, SignIn, Wish, address},
    snapshot::{
        Snapshot,
        provider::{Provider, Redeem, Unvouched},
    },
};

/// Where a browser begins.
pub(super) const BEGIN_PATH: &str = "/login/issuer";
/// Where it comes back; to be registered at the provider as a redirect URI, behind the listener's own address.
pub(super) const CALLBACK_PATH: &str = "/login/callback";

/// Time that a request waits for the identity provider.
const ASK_TIME_MAX: Duration = Duration::from_secs(5);

/// Who signs people in, where somebody does whose roles count here.
pub(super) fn at_work(at: &Snapshot) -> Option<(&Arc<Sessions>, &Arc<Provider>)> {
    let gate = at.gate.as_ref().filter(|_| at.admin.counts_roles())?;
    Some((gate.gate.sessions()?, gate.provider.as_ref()?))
}

/// A person's session as it stands by the gate's rules.
///
/// # Errors
/// [`NoSession`]: why it doesn't stand.
pub(super) fn judge(at: &Snapshot, person: &Person, now: Moment) -> Result<(), NoSession> {
    let (sessions, provider) = at_work(at).ok_or(NoSession::Ended)?;
    if provider.settings.issuer != *person.issuer {
        return Err(NoSession::Ended); // another one vouches for people now
    }
    sessions.judge(&person.session, now.wall())
}

/// `GET /login/issuer`: sends a browser to the provider. That changes nothing here, whoever made the browser ask.
pub(super) async fn begin(State(view): State<View>, request: Request) -> Result<Response, Refusal> {
    let request = bodiless(request);
    let at = view.live.current();
    let under = host::admit(&request, &at.admin.hosts)?;
    let (sessions, provider) = at_work(&at).ok_or(Refusal::NotFound)?;
    let about = provider.about.load_full().ok_or(Refusal::ProviderSilent)?;
    let sign_in = SignIn::begin("/", Wish::default(), clock::wall(), &random::<SIGN_IN_ENTROPY>()?);
    let sealed = sessions
        .seal_sign_in(&sign_in, &sealed_for(&request), random()?)
        .ok_or_else(|| Refusal::Internal("a sign-in can't be sealed".to_owned()))?;
    let target = address(&about, sessions, &sign_in, &callback_of(&request, under));
    let mut response = Redirect::to(&target).into_response();
    let cookie = cookie::set_under_way(&sealed, SIGN_IN_LASTS.as_secs(), under)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// `GET /login/callback`: takes it back. The page leads on by itself: after a redirect browsers would take the next request for the
/// provider's doing, and not send the cookie of the session.
pub(super) async fn come_back(State(view): State<View>, request: Request) -> Result<Response, Refusal> {
    let request = bodiless(request);
    let at = view.live.current();
    let under = host::admit(&request, &at.admin.hosts)?;
    let came = take(&view, &at, &request, under).await;
    let refusal = came.as_ref().err();
    let fields = [(header::CONTENT_TYPE, HeaderValue::from_static(HTML))];
    let status = refusal.map_or(StatusCode::OK, Refusal::status);
    let mut response = (status, fields, back(refusal)).into_response();
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookie::set_under_way("", 0, under)?);
    match came {
        Ok(session) => {
            headers.append(header::SET_COOKIE, session);
        }
        Err(refusal) => {
            tracing::warn!(peer = %peer(&request), why = %refusal, "a sign-in on the admin listener failed");
            refusal.add_fields(headers);
        }
    }
    Ok(response)
}

async fn take(
    view: &View,
    at: &Snapshot,
    request: &http::Request<()>,
    under: Under,
) -> Result<HeaderValue, Refusal> {
    let (sessions, provider) = at_work(at).ok_or(Refusal::NotFound)?;
    let began = clock::now();
    let query = request.uri().query().unwrap_or_default();
    let host = sealed_for(request);
    let sign_in = cookie::under_way(request.headers(), under)
        .find_map(|cookie| sessions.answered_sign_in(cookie, &host, query, began.wall()))
        .ok_or(Refusal::NotUnderWay)?;
    let about = provider.about.load_full().ok_or(Refusal::ProviderSilent)?;
    let code = match SignIn::judge(query, &about, &provider.settings.issuer) {
        Ok(Answered::Code(code)) => code,
        Ok(Answered::Declined | Answered::Unmet) => return Err(Refusal::Declined("declined")),
        Err(bad) => return Err(Refusal::Declined(bad.as_str())),
    };
    let redeem = Redeem {
        code,
        verifier: sign_in.verifier().to_owned(),
        nonce: sign_in.nonce().to_owned(),
        redirect_uri: callback_of(request, under),
    };
    let asking = tokio::time::timeout(ASK_TIME_MAX, provider.redeem(redeem)).await;
    let vouched = asking.unwrap_or(Err(Unvouched::Silent)).map_err(refusal_of)?;
    let claims = vouched.claims.ok_or(Refusal::Declined("provider_malformed"))?;
    // It began before the code was redeemed: a sign-out that comes meanwhile ends it.
    let times = (began.wall(), vouched.at);
    let begun = sessions.begin(&host, &claims, vouched.refresh, times, (random()?, random()?));
    let begun = begun.map_err(|_| Refusal::Declined("session_too_large"))?;
    let ground = Ground::Person(Person {
        issuer: provider.settings.issuer.as_str().into(),
        session: begun.session,
    });
    let now = clock::now();
    let actor = stands_on(at, &ground, now).ok_or_else(|| Refusal::Scope("read".to_owned()))?;
    let secret = view.door.open(ground, now)?;
    tracing::info!(who = actor.name, peer = %peer(request), "somebody signed in on the admin listener");
    cookie::set(&secret, under)
}

const fn refusal_of(why: Unvouched) -> Refusal {
    match why {
        Unvouched::Silent => Refusal::ProviderSilent,
        why => Refusal::Declined(why.as_str()),
    }
}

/// Somebody who is to be checked at the provider.
#[derive(Debug)]
pub(super) struct Due {
    person: Person,
    /// For which host their session is sealed.
    host: String,
}

/// Whether the session that a request comes with is to be checked first.
pub(super) fn due<B>(view: &View, request: &http::Request<B>) -> Option<Due> {
    let at = view.live.current();
    at_work(&at)?;
    let Ok(Brought::Nothing) = credential::brought(request.headers()) else {
        return None;
    };
    let under = host::admit(request, &at.admin.hosts).ok()?;
    let person = view.door.due(&at, request, under, clock::now())?;
    let host = sealed_for(request);
    Some(Due { person, host })
}

/// Checks somebody at the provider. Whether that was silent: then they count for nothing now.
pub(super) async fn check(view: &View, due: Due) -> bool {
    let at = view.live.current();
    let Some((sessions, provider)) = at_work(&at) else {
        return false;
    };
    if view.door.is_provider_silent(clock::now()) {
        return true;
    }
    let Due { person, host } = due;
    let asking = tokio::time::timeout(ASK_TIME_MAX, provider.renew(Arc::clone(&person.session))).await;
    let renewed = match asking.unwrap_or(Err(Unvouched::Silent)) {
        Ok(vouched) => random().ok().and_then(|nonce| {
            let claims = vouched.claims.as_deref();
            let renewed = sessions.renew(&host, &person.session, claims, vouched.refresh, vouched.at, nonce);
            renewed.ok()
        }),
        Err(Unvouched::Silent) => {
            view.door.note_silence(clock::now());
            return true;
        }
        Err(Unvouched::Refused | Unvouched::Token(_) | Unvouched::Malformed) => None,
    };
    view.door.checked(&person, renewed.map(|brought| brought.session));
    false
}

/// What is sealed on this listener is worth nothing on a public host, nor under another name.
fn sealed_for<B>(request: &http::Request<B>) -> String {
    format!("admin {}", host_field(request).to_ascii_lowercase())
}

fn callback_of<B>(request: &http::Request<B>, under: Under) -> String {
    let scheme = match under {
        Under::OwnName => "http",
        Under::Proxy => "https",
    };
    format!("{scheme}://{}{CALLBACK_PATH}", host_field(request))
}

/// Judged by [`host::admit`] before.
fn host_field<B>(request: &http::Request<B>) -> &str {
    let field = request.headers().get(header::HOST);
    field.and_then(|host| host.to_str().ok()).unwrap_or_default()
}

fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Refusal::Internal("there are no random numbers".to_owned()))?;
    Ok(bytes)
}

/// Without its body, of which nothing is wanted, it can be looked at while something is waited for.
fn bodiless(request: Request) -> http::Request<()> {
    let (parts, _) = request.into_parts();
    http::Request::from_parts(parts, ())
}
