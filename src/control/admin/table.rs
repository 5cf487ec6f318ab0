//! Everything that can be asked, in one table: the router and the OpenAPI document are both made from it.

use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use http::StatusCode;
use schemars::{Schema, SchemaGenerator};

use super::{
    answer::{Answer, CSS, HTML, JSON, SCRIPT, SVG, TEXT},
    api, assets,
    endpoints::{Asked, Does, Endpoint, Needed, Order, Parameter, Verb},
    live, openapi, page,
    refusal::Refusal,
};
use crate::{control::plane::View, ofrep, snapshot::explain::Explanation};

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

/// The parameter of a path that names a flag.
pub(super) const fn key_of() -> &'static [Parameter] {
    &[Parameter {
        name: "key",
        summary: "The flag's key.",
        needed: Needed::Once,
    }]
}

/// One that JSON is sent to.
pub(super) const fn order(
    path: &'static str,
    verb: Verb,
    summary: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    takes: fn(&mut SchemaGenerator) -> Schema,
    does: fn(View, Asked, Order) -> BoxFuture<'static, Result<Answer, Refusal>>,
) -> Endpoint {
    Endpoint {
        path,
        summary,
        parameters: &[],
        media: JSON,
        schema: Some(schema),
        otherwise: &[],
        does: Does::Order { verb, takes, does },
    }
}

pub(super) const fn json(
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

/// The schema of a type.
pub(super) fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

pub(super) const EXPLAIN: &[Parameter] = &[
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
        name: "claim",
        summary: "With this claim, `name=value`; a name that comes twice is a list.",
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
        "/cache",
        HTML,
        "How full the cache is, and what was purged.",
        Does::Now(page::cache),
    ),
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
        "/assets/cache.js",
        SCRIPT,
        "What purges.",
        Does::Now(|_, _| Ok(Answer::text(SCRIPT, assets::CACHE_SCRIPT))),
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
        parameters: key_of(),
        otherwise: &[(404, "There is no such flag.")],
        ..json(
            "/api/flags/{key}",
            "One flag. Its `ETag` is its version, which changes of it name in `If-Match`.",
            of::<api::flags::Flag>,
            api::flags::answer_one,
        )
    },
    api::changes::PATCH,
    api::changes::KILL,
    api::changes::RESTORE,
    api::changes::RAMP,
    api::changes::SCHEDULE,
    api::changes::UNDO,
    api::history::ONE,
    api::history::ALL,
    api::decide::DECIDE,
    api::cache::STATS,
    api::kept::EXPLAIN,
    api::cache::PURGE,
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
        "/api/rooms",
        "Waiting rooms: who is inside, who waits, and for how long.",
        of::<api::rooms::Rooms>,
        api::rooms::answer,
    ),
    json(
        "/api/drills",
        "Drills under way: faults that are put in on purpose.",
        of::<api::drills::Drills>,
        api::drills::answer,
    ),
    Endpoint {
        otherwise: &[(404, "There is no such route.")],
        ..order(
            "/api/drills",
            Verb::Post,
            "Starts a drill: a fault in some requests of a route or path, for a while.",
            of::<api::drills::Told>,
            of::<api::drills::StartOrder>,
            api::drills::start,
        )
    },
    Endpoint {
        parameters: &[Parameter {
            name: "id",
            summary: "The drill's id.",
            needed: Needed::Once,
        }],
        otherwise: &[(404, "There is no such drill.")],
        ..order(
            "/api/drills/{id}/end",
            Verb::Post,
            "Ends a drill, from the next request on.",
            of::<api::drills::Told>,
            of::<api::drills::EndOrder>,
            api::drills::end,
        )
    },
    Endpoint {
        path: "/api/me",
        summary: "Who asks, and what they may do.",
        parameters: &[],
        media: JSON,
        schema: Some(of::<api::me::Me>),
        otherwise: &[],
        does: Does::Who(api::me::answer),
    },
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
    order(
        "/api/flags/{key}/links",
        Verb::Post,
        "Makes an override link: who follows it is put on a variant for a while.",
        of::<api::links::Link>,
        of::<api::links::LinkOrder>,
        api::links::make,
    ),
    order(
        "/api/links/{id}/revoke",
        Verb::Post,
        "Calls an override link back, from the next request on.",
        of::<api::links::RevokedLink>,
        of::<api::links::RevokeOrder>,
        api::links::revoke,
    ),
    json(
        "/api/identity/jwks",
        "The public key with which backends check `Banyan-Identity` (RFC 7517).",
        of::<api::Jwks>,
        api::jwks,
    ),
    Endpoint {
        parameters: api::ofrep::BULK,
        schema: Some(any_object),
        otherwise: api::ofrep::OTHERWISE,
        ..plain(
            "/ofrep/v1/evaluate/flags",
            JSON,
            "What all flags decide for a context (OpenFeature Remote Evaluation Protocol 0.3.0).",
            Does::Order {
                verb: Verb::Post,
                takes: any_object,
                does: api::ofrep::all,
            },
        )
    },
    Endpoint {
        parameters: key_of(),
        schema: Some(any_object),
        otherwise: api::ofrep::OTHERWISE,
        ..plain(
            "/ofrep/v1/evaluate/flags/{key}",
            JSON,
            "What one flag decides for a context.",
            Does::Order {
                verb: Verb::Post,
                takes: any_object,
                does: api::ofrep::one,
            },
        )
    },
    Endpoint {
        otherwise: &[(503, "Too many listen already.")],
        ..plain(
            "/ofrep/v1/events",
            ofrep::events::MEDIA,
            "An event when flags say something else: read them again.",
            Does::Stream(api::ofrep::events),
        )
    },
    json("/api/openapi.json", "This document.", any_object, |_, _| {
        Answer::json(0, &openapi::document())
    }),
];

fn readiness(view: &View, _: &Asked) -> Result<Answer, Refusal> {
    if view.ready.load(Ordering::Relaxed) {
        return Ok(Answer::text(TEXT, "ok\n"));
    }
    Ok(Answer {
        status: StatusCode::SERVICE_UNAVAILABLE,
        ..Answer::text(TEXT, "draining\n")
    })
}
