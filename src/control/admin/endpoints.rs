//! How one asks: what an endpoint is, and how its answer is made.

use axum::{
    RequestPartsExt, Router,
    body::{Body, Bytes},
    extract::{Query, RawPathParams, Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use futures_util::future::BoxFuture;
use http::{HeaderMap, header};
use schemars::{Schema, SchemaGenerator};

use super::{
    actor::{self, Actor},
    answer::{Answer, JSON},
    door::{self, BODY_BYTES_MAX},
    login,
    refusal::Refusal,
    stay::Stay,
    table::ENDPOINTS,
};
use crate::{control::plane::View, observe::metrics::Exposition};

/// One thing that can be asked.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Path; `{key}` is one segment.
    pub(super) path: &'static str,
    /// What one gets, in a sentence.
    pub(super) summary: &'static str,
    /// What one may say with it.
    pub(super) parameters: &'static [Parameter],
    /// Media type of the answer.
    pub(super) media: &'static str,
    /// What JSON looks like.
    pub(super) schema: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// Other statuses, and when.
    pub(super) otherwise: &'static [(u16, &'static str)],
    pub(super) does: Does,
}

/// What a change, or a question too long for a query, says beside its address.
#[derive(Debug)]
pub(super) struct Order {
    /// Who asks, as the door knows it; `None`: nobody in particular.
    pub(super) actor: Option<Actor>,
    /// The request's fields.
    pub(super) headers: HeaderMap,
    /// JSON.
    pub(super) body: Bytes,
}

impl Order {
    /// What the body says.
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(&self.body).map_err(|error| Refusal::Body(error.to_string()))
    }
}

/// A parameter of the query, or of the path if the path names it.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) needed: Needed,
}

/// How often a parameter is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Once,
    Maybe,
    AnyNumber,
    /// Maybe, and then it is a whole number.
    Number,
}

/// How an answer is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Does {
    /// From what is at hand.
    Now(fn(&View, &Asked) -> Result<Answer, Refusal>),
    /// From who asks alone.
    Who(fn(Option<&Actor>) -> Result<Answer, Refusal>),
    /// By asking all cores.
    Metrics,
    /// From JSON that is sent: a change, or a question too long for a query.
    Order {
        verb: Verb,
        /// What the JSON looks like.
        takes: fn(&mut SchemaGenerator) -> Schema,
        does: fn(View, Asked, Order) -> BoxFuture<'static, Result<Answer, Refusal>>,
    },
    /// As things happen, until the client goes or the connection is too old.
    Stream(fn(&View, &Asked) -> Result<Response, Refusal>),
}

/// How an [`Order`] is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// Does something.
    Post,
    /// Changes parts of something.
    Patch,
}

/// What a request says beside its path.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The path's `{key}`, unescaped.
    pub(super) key: String,
    /// The query's parameters, unescaped, in order.
    pub(super) query: Vec<(String, String)>,
    /// The last event of a stream that the client saw.
    pub(super) last_event: Option<String>,
}

impl Endpoint {
    /// How it is asked; `None`: by GET.
    pub(super) fn verb(&self) -> Option<Verb> {
        match self.does {
            Does::Order { verb, .. } => Some(verb),
            Does::Now(_) | Does::Who(_) | Does::Metrics | Does::Stream(_) => None,
        }
    }

    /// What its body looks like.
    pub(super) fn takes(&self) -> Option<fn(&mut SchemaGenerator) -> Schema> {
        match self.does {
            Does::Order { takes, .. } => Some(takes),
            Does::Now(_) | Does::Who(_) | Does::Metrics | Does::Stream(_) => None,
        }
    }
}

impl Asked {
    /// The first value of a parameter; an empty one, as forms send it, is none.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.query.iter().filter(move |(given, _)| given == name);
        named
            .map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }
}

/// Answers all of them, and nothing else.
pub(super) fn router(view: View) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let answer = move |State(view): State<View>, request: Request| answer(endpoint, view, request);
        let way = match endpoint.verb() {
            None => get(answer),
            Some(Verb::Post) => post(answer),
            Some(Verb::Patch) => patch(answer),
        };
        router = router.route(endpoint.path, way);
    }
    router
        .fallback(|| async { Refusal::NotFound })
        .method_not_allowed_fallback(|| async { Refusal::Method })
        .merge(login::routes())
        .layer(middleware::from_fn_with_state(view.clone(), door::pass))
        .with_state(view)
}

async fn answer(endpoint: &'static Endpoint, view: View, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let asked = match endpoint.does {
        Does::Metrics => return metrics(&view, &parts.headers).await,
        Does::Who(does) => does(parts.extensions.get()),
        Does::Now(does) => read(&mut parts).await.and_then(|asked| does(&view, &asked)),
        Does::Order { does, .. } => take_order(endpoint.path, &mut parts, body, view, does).await,
        Does::Stream(does) => {
            let stream = read(&mut parts).await.and_then(|asked| does(&view, &asked));
            if let (Ok(_), Some(stay)) = (&stream, parts.extensions.get::<Stay>()) {
                stay.stream();
            }
            return stream.into_response();
        }
    };
    asked.map_or_else(IntoResponse::into_response, |answer| answer.to(&parts.headers))
}

async fn take_order(
    path: &str,
    parts: &mut http::request::Parts,
    body: Body,
    view: View,
    does: fn(View, Asked, Order) -> BoxFuture<'static, Result<Answer, Refusal>>,
) -> Result<Answer, Refusal> {
    let asked = read(parts).await?;
    let json = parts.headers.get(header::CONTENT_TYPE).is_some_and(is_json);
    if !json {
        return Err(Refusal::NotJson); // a form, which any web page can send without asking
    }
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|error| Refusal::Body(error.to_string()))?;
    let order = Order {
        actor: parts.extensions.get().cloned(),
        headers: parts.headers.clone(),
        body,
    };
    if path.starts_with("/api/flags/{key}") {
        actor::admit_change_at(order.actor.as_ref(), &asked.key, &view.live.current())?;
    }
    does(view, asked, order).await
}

fn is_json(media: &http::HeaderValue) -> bool {
    let media = media.to_str().unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(JSON)
}

async fn read(parts: &mut http::request::Parts) -> Result<Asked, Refusal> {
    let params = parts.extract::<RawPathParams>().await.ok();
    let key = params.and_then(|params| params.iter().next().map(|(_, value)| value.to_owned()));
    let Query(query) = parts
        .extract::<Query<Vec<(String, String)>>>()
        .await
        .map_err(|error| Refusal::Parameter(format!("the query can't be read: {error}")))?;
    Ok(Asked {
        key: key.unwrap_or_default(),
        query,
        last_event: parts
            .headers
            .get("last-event-id")
            .and_then(|id| Some(id.to_str().ok()?.to_owned())),
    })
}

async fn metrics(view: &View, headers: &HeaderMap) -> Response {
    let exposition = Exposition::asked(headers.get(header::ACCEPT));
    let text = view.metrics.render(exposition).await;
    Answer::text(exposition.content_type(), text).to(headers)
}
