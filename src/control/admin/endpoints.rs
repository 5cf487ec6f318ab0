//! Everything that can be asked, in one table: the router and the OpenAPI document are both made from it.

use axum::{
    RequestPartsExt, Router,
    body::{Body, Bytes},
    extract::{Query, RawPathParams, Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, patch, post},
};
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, header};
use schemars::{Schema, SchemaGenerator};
use std::sync::atomic::Ordering;

use super::{
    actor::Actor,
    answer::{Answer, CSS, HTML, JSON, SCRIPT, SVG, TEXT},
    api, assets,
    door::{self, BODY_BYTES_MAX},
    live, openapi, page,
    refusal::Refusal,
    stay::Stay,
};
use crate::{control::plane::View, observe::metrics::Exposition, snapshot::explain::Explanation};

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
    does: Does,
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
}

/// How an answer is made.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// From what is at hand.
    Now(fn(&View, &Asked) -> Result<Answer, Refusal>),
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
}

impl Endpoint {
    /// How it is asked; `None`: by GET.
    pub(super) fn verb(&self) -> Option<Verb> {
        match self.does {
            Does::Order { verb, .. } => Some(verb),
            Does::Now(_) | Does::Metrics | Does::Stream(_) => None,
        }
    }

    /// What its body looks like.
    pub(super) fn takes(&self) -> Option<fn(&mut SchemaGenerator) -> Schema> {
        match self.does {
            Does::Order { takes, .. } => Some(takes),
            Does::Now(_) | Does::Metrics | Does::Stream(_) => None,
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

const fn plain(path: &'static str, media: &'static str, summary: &'static str, does: Does) -> Endpoint {
    Endpoint {
        path,
        summary,
        parameters: &[],
        media,
        schema: None,
        otherwise: &[],
        does,
    }
}

const fn json(
    path: &'static str,
    summary: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    does: fn(&View, &Asked) -> Result<Answer, Refusal>,
) -> Endpoint {
    Endpoint {
        path,
        summary,
        parameters: &[],
        media: JSON,
        schema: Some(schema),
        otherwise: &[],
        does: Does::Now(does),
    }
}

fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

const EXPLAIN: &[Parameter] = &[
    Parameter {
        name: "url",
        summary: "The address as a browser has it, or only path and query.",
        needed: Needed::Once,
    },
    Parameter {
        name: "method",
        summary: "The method; GET unless said otherwise.",
        needed: Needed::Maybe,
    },
    Parameter {
        name: "header",
        summary: "A header field, `Name: value`.",
        needed: Needed::AnyNumber,
    },
    Parameter {
        name: "cookie",
        summary: "A cookie, `name=value`.",
        needed: Needed::AnyNumber,
    },
    Parameter {
        name: "user",
        summary: "As if this user were signed in.",
        needed: Needed::Maybe,
    },
    Parameter {
        name: "role",
        summary: "With this role; several may also be joined by commas.",
        needed: Needed::AnyNumber,
    },
    Parameter {
        name: "visitor",
        summary: "As if the visitor had this id (22 characters).",
        needed: Needed::Maybe,
    },
    Parameter {
        name: "client",
        summary: "As if it came from this IP address: for routes that look at countries or addresses.",
        needed: Needed::Maybe,
    },
    Parameter {
        name: "private",
        summary: "`true`: as on the private listener.",
        needed: Needed::Maybe,
    },
];

const PAGE: &[Parameter] = &[Parameter {
    name: "find",
    summary: "Shows only routes that hold each of these words in path, squad, source or target.",
    needed: Needed::Maybe,
}];

const FLAG_PAGE: &[Parameter] = &[Parameter {
    name: "key",
    summary: "The flag's key.",
    needed: Needed::Once,
}];

/// All of them.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        parameters: PAGE,
        ..plain(
            "/",
            HTML,
            "The page, which takes what `/api/explain` takes as well.",
            Does::Now(page::page),
        )
    },
    plain(
        "/flags",
        HTML,
        "The flags as they happen: shares, decisions, and how the backends of each side answer.",
        Does::Now(page::flags),
    ),
    Endpoint {
        parameters: FLAG_PAGE,
        otherwise: &[(404, "There is no such flag.")],
        ..plain(
            "/flags/{key}",
            HTML,
            "One flag with charts and controls, which takes what `/api/explain` takes as well.",
            Does::Now(page::flag),
        )
    },
    plain(
        "/assets/style.css",
        CSS,
        "How the page looks.",
        Does::Now(|_, _| Ok(Answer::text(CSS, assets::STYLE))),
    ),
    plain(
        "/assets/script.js",
        SCRIPT,
        "What keeps the page fresh.",
        Does::Now(|_, _| Ok(Answer::text(SCRIPT, assets::SCRIPT))),
    ),
    plain(
        "/assets/flag.js",
        SCRIPT,
        "What moves a flag.",
        Does::Now(|_, _| Ok(Answer::text(SCRIPT, assets::FLAG_SCRIPT))),
    ),
    plain(
        "/assets/banyan.svg",
        SVG,
        "The mark.",
        Does::Now(|_, _| Ok(Answer::text(SVG, assets::MARK))),
    ),
    plain(
        "/healthz",
        TEXT,
        "Whether the program is alive.",
        Does::Now(|_, _| Ok(Answer::text(TEXT, "ok\n"))),
    ),
    plain(
        "/livez",
        TEXT,
        "The same.",
        Does::Now(|_, _| Ok(Answer::text(TEXT, "ok\n"))),
    ),
    Endpoint {
        otherwise: &[(503, "Draining: send new work elsewhere.")],
        ..plain(
            "/readyz",
            TEXT,
            "Whether new work is welcome.",
            Does::Now(readiness),
        )
    },
    plain(
        "/metrics",
        TEXT,
        "Metrics in Prometheus' text format, or OpenMetrics for who accepts it.",
        Does::Metrics,
    ),
    json(
        "/api/status",
        "What serves, and what the last change came to.",
        of::<api::status::Status>,
        api::status::answer,
    ),
    json(
        "/api/routes",
        "Effective routes in the order in which they are tried.",
        of::<api::routes::Routes>,
        api::routes::answer,
    ),
    json(
        "/api/flags",
        "Flags by key.",
        of::<api::flags::Flags>,
        api::flags::answer,
    ),
    Endpoint {
        parameters: &[Parameter {
            name: "key",
            summary: "The flag's key.",
            needed: Needed::Once,
        }],
        otherwise: &[(404, "There is no such flag.")],
        ..json(
            "/api/flags/{key}",
            "One flag.",
            of::<api::flags::Flag>,
            api::flags::answer_one,
        )
    },
    Endpoint {
        parameters: &[Parameter {
            name: "once",
            summary: "`true`: one event, and no more.",
            needed: Needed::Maybe,
        }],
        otherwise: &[(503, "As many as may listen at once listen already.")],
        ..plain(
            "/api/live",
            live::EVENTS,
            "Server-sent events: each second `live` with decisions of flags and answers of backends in the last second and \
             minute; `flag` when one changes; `point` when charts have a new point.",
            Does::Stream(live::answer),
        )
    },
    json(
        "/api/backends",
        "Backends with their servers and how those are.",
        of::<api::backends::Backends>,
        api::backends::answer,
    ),
    json(
        "/api/squads",
        "Who owns what, and whose last good file serves.",
        of::<api::squads::Squads>,
        api::squads::answer,
    ),
    Endpoint {
        parameters: EXPLAIN,
        otherwise: &[(400, "A parameter makes no sense.")],
        ..json(
            "/api/explain",
            "What would happen to a request and why, decided as live traffic is.",
            of::<Explanation>,
            api::explain::answer,
        )
    },
    json(
        "/api/identity/jwks",
        "The public key with which backends check `Banyan-Identity` (RFC 7517).",
        of::<api::Jwks>,
        api::jwks,
    ),
    json("/api/openapi.json", "This document.", any_object, |_, _| {
        Answer::json(0, &openapi::document())
    }),
];

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
        .layer(middleware::from_fn(door::pass))
        .with_state(view)
}

async fn answer(endpoint: &'static Endpoint, view: View, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let asked = match endpoint.does {
        Does::Metrics => return metrics(&view, &parts.headers).await,
        Does::Now(does) => read(&mut parts).await.and_then(|asked| does(&view, &asked)),
        Does::Order { does, .. } => order(&mut parts, body, view, does).await,
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

async fn order(
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
    })
}

async fn metrics(view: &View, headers: &HeaderMap) -> Response {
    let exposition = Exposition::asked(headers.get(header::ACCEPT));
    let text = view.metrics.render(exposition).await;
    Answer::text(exposition.content_type(), text).to(headers)
}

fn readiness(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    if view.ready.load(Ordering::Relaxed) {
        return Ok(Answer::text(TEXT, "ok\n"));
    }
    Ok(Answer {
        status: StatusCode::SERVICE_UNAVAILABLE,
        ..Answer::text(TEXT, "draining\n")
    })
}
