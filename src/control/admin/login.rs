//! Signing in and out with a browser: a page, two forms, a cookie. Nothing happens by GET, not even to a link that was printed:
//! what looks ahead at links can't use one up.

use axum::{
    Router,
    body::Body,
    extract::{Query, Request, State},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, Uri, header};

use super::{
    answer::HTML,
    cookie,
    door::{BODY_BYTES_MAX, peer, stands_on},
    host::{self, Under},
    issuer,
    page::login::{Shown, draw},
    refusal::Refusal,
};
use crate::{clock, control::plane::View};

/// What browsers send forms as.
const FORM: &str = "application/x-www-form-urlencoded";

/// The addresses of this file.
pub(super) fn routes() -> Router<View> {
    Router::new()
        .route("/login", get(show).post(enter))
        .route("/logout", post(leave))
        .route(issuer::BEGIN_PATH, get(issuer::begin))
        .route(issuer::CALLBACK_PATH, get(issuer::come_back))
}

/// `GET /login`.
async fn show(State(view): State<View>, request: Request) -> Response {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let pairs = pairs.map(|Query(pairs)| pairs).unwrap_or_default();
    let at = view.live.current();
    let actor = host::admit(&request, &at.admin.hosts)
        .ok()
        .and_then(|under| view.door.in_session(&at, &request, under, clock::now()));
    page(
        StatusCode::OK,
        &Shown {
            actor: actor.as_ref(),
            link: one(&pairs, "t"),
            by_roles: at.admin.counts_roles(),
            at_issuer: issuer::at_work(&at).is_some(),
            refusal: None,
        },
    )
}

/// `POST /login`.
async fn enter(State(view): State<View>, request: Request) -> Response {
    let signed_in = sign_in(&view, request).await;
    let Err(refusal) = signed_in else {
        return signed_in.into_response();
    };
    match refusal {
        Refusal::BadCredential
        | Refusal::BadLink
        | Refusal::TooManyAttempts
        | Refusal::KeysMissing
        | Refusal::Scope(_) => page(
            refusal.status(),
            &Shown {
                refusal: Some(&refusal),
                at_issuer: issuer::at_work(&view.live.current()).is_some(),
                ..Shown::default()
            },
        ),
        other => other.into_response(),
    }
}

async fn sign_in(view: &View, request: Request) -> Result<Response, Refusal> {
    let now = clock::now();
    let (at, address) = (view.live.current(), peer(&request));
    let under = own_form(view, &request)?;
    let form = read(request).await?;
    let ground = match (one(&form, "t"), one(&form, "token")) {
        (Some(link), _) => view.door.redeem(link, address, now)?,
        (None, Some(token)) => view.door.recognise(&at, token, address, now)?,
        (None, None) => return Err(Refusal::BadCredential),
    };
    let actor = stands_on(&at, &ground, now);
    let actor = actor.ok_or_else(|| Refusal::Scope("read".to_owned()))?;
    let secret = view.door.open(ground, now)?;
    tracing::info!(who = actor.name, peer = %address, "somebody signed in on the admin listener");
    let mut response = Redirect::to("/").into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, cookie::set(&secret, under)?);
    Ok(response)
}

/// `POST /logout`.
async fn leave(State(view): State<View>, request: Request) -> Result<Response, Refusal> {
    let under = own_form(&view, &request)?;
    view.door.close(cookie::all(request.headers(), under));
    let mut response = Redirect::to("/login").into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, cookie::forget(under)?);
    Ok(response)
}

/// Sees that one of this listener's own pages sends the form: nobody is to be signed in, or out, by a stranger's.
fn own_form(view: &View, request: &Request) -> Result<Under, Refusal> {
    let under = host::admit(request, &view.live.current().admin.hosts)?;
    let media = request.headers().get(header::CONTENT_TYPE);
    let media = media.and_then(|media| media.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !host::is_own_page(request, under) {
        return Err(Refusal::Foreign);
    }
    if !essence.eq_ignore_ascii_case(FORM) {
        return Err(Refusal::NotForm);
    }
    Ok(under)
}

async fn read(request: Request<Body>) -> Result<Vec<(String, String)>, Refusal> {
    let broken = |error: &dyn std::fmt::Display| Refusal::Body(error.to_string());
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|error| broken(&error))?;
    // A form's body is written as a query is.
    let text = std::str::from_utf8(&body).map_err(|_| broken(&"it is not text"))?;
    let uri: Uri = format!("/?{text}")
        .parse()
        .map_err(|_| broken(&"it is not as browsers write forms"))?;
    let Query(pairs) = Query::try_from_uri(&uri).map_err(|error| broken(&error))?;
    Ok(pairs)
}

fn one<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let (_, value) = pairs.iter().find(|(given, _)| given == name)?;
    Some(value.trim()).filter(|value| !value.is_empty())
}

fn page(status: StatusCode, shown: &Shown<'_>) -> Response {
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static(HTML)),
        // With none at all, browsers say of a form that it is from nowhere.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    let mut response = (status, fields, draw(shown)).into_response();
    if let Some(refusal) = shown.refusal {
        refusal.add_fields(response.headers_mut());
    }
    response
}
