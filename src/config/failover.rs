//! `failover` and `fallback` of a route: its second backend, as it is written and what that means.

use std::{borrow::Cow, fmt, num::NonZeroU32, ops::Range, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    report::Report,
    settings::TargetSettings,
    target,
    values::{SizeText, Spot},
};
use crate::{
    policy::failover::{
        FALLBACKS_A_SECOND, FALLBACKS_AT_ONCE, Failover, Fallback, KEPT_BYTES, KEPT_BYTES_MAX, Statuses,
    },
    shield::rate::Rate,
};

/// The backend that is asked when the route's own fails: GET, HEAD and OPTIONS without a body, as long as nothing of an answer has gone
/// to the client.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FailoverFile {
    /// Whose answer counts then.
    #[schemars(required, extend("x-required" = true))]
    backend: Option<Spot<String>>,
    /// Statuses of the first backend that count as a failure, among 400, 403, 404, 416, 429, 500, 502, 503 and 504; without it 500,
    /// 502, 503 and 504. Not to be reached, to be too slow, or to break off before an answer always counts.
    on: Option<Spot<Vec<Spot<u16>>>>,
}

/// A backend's name, or on which terms.
#[derive(Debug)]
pub(super) enum FallbackFile {
    /// On the usual terms.
    Name(String),
    /// On others.
    Terms(FallbackTable),
}

/// The backend that a route replaces, for requests that its own fails: any that no server can have seen, and idempotent ones before any
/// byte of an answer has gone to the client.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FallbackTable {
    /// Whose answer counts then.
    #[schemars(required, extend("x-required" = true))]
    backend: Option<Spot<String>>,
    /// Statuses of the first backend that count as a failure, among 400, 403, 404, 416, 429, 500, 502, 503 and 504; without it 502, 503 and
    /// 504. Not to be reached, to be too slow, or to break off before an answer always counts.
    on: Option<Spot<Vec<Spot<u16>>>>,
    /// Size of a request's body that is kept to be sent again, at most 1MiB. A request with a larger one has no fallback.
    body_max: Spot<SizeText>,
    /// Requests that may fall back each second, over all cores. The others get the first's error, or 503 with `Retry-After`.
    per_second: NonZeroU32,
    /// Requests under way there at once because they fell back, over all cores.
    at_once: NonZeroU32,
}

impl Default for FallbackTable {
    /// The numbers and the reasons for them are in `crate::policy::failover`.
    fn default() -> Self {
        Self {
            backend: None,
            on: None,
            body_max: Spot {
                value: SizeText(KEPT_BYTES),
                span: 0..0,
            },
            per_second: NonZeroU32::new(FALLBACKS_A_SECOND).unwrap_or(NonZeroU32::MIN),
            at_once: NonZeroU32::new(FALLBACKS_AT_ONCE).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// Judges both keys, of which a route has one. With it comes the place of the backend's name.
pub(super) fn failover(
    failover: Option<&Spot<FailoverFile>>,
    fallback: Option<&Spot<FallbackFile>>,
    target: Option<&TargetSettings>,
    report: &mut Report,
) -> Option<(Failover, Range<usize>)> {
    let (key, backend, on, fallback) = match (failover, fallback) {
        (None, None) => return None,
        (Some(_), Some(fallback)) => {
            let what = "a route has one second backend: `failover` or `fallback`, not both";
            report.error("two-failovers", fallback.span.clone(), what).hint(
                "`fallback` is the way back to what the route replaces, with a budget; take the other out",
            );
            return None;
        }
        (Some(file), None) => {
            let on = file.value.on.as_ref();
            let on = on.map_or_else(Statuses::default, |on| statuses(on, report));
            let Some(backend) = &file.value.backend else {
                let hint = "name the one to ask, such as `failover = { backend = \"standby\" }`";
                report.missing(&file.span, "backend", hint);
                return None;
            };
            ("failover", backend.clone(), on, None)
        }
        (None, Some(file)) => {
            let (backend, on, terms) = file.value.settle(file, report)?;
            ("fallback", backend, on, Some(terms))
        }
    };
    let written = backend;
    let backend = target::backend_name(&written, report)?;
    let is_only = |target: &TargetSettings| {
        let mut firsts = target.backends();
        firsts.next() == Some(&backend) && firsts.all(|first| *first == backend)
    };
    if target.is_some_and(is_only) {
        let what = format!("the route leads to `{backend}` anyway");
        report
            .error("failover-to-itself", written.span.clone(), what)
            .hint(format!(
                "name another backend, or take `{key}` out; `attempts` of a backend says how many of its servers are tried"
            ));
    }
    let failover = Failover {
        backend,
        on,
        fallback,
    };
    Some((failover, written.span))
}

impl FallbackFile {
    fn settle(&self, file: &Spot<Self>, report: &mut Report) -> Option<(Spot<String>, Statuses, Fallback)> {
        let usual = FallbackTable::default();
        let table = match self {
            Self::Name(_) => &usual,
            Self::Terms(table) => table,
        };
        let on = table.on.as_ref();
        let on = on.map_or_else(Fallback::statuses, |on| statuses(on, report));
        if table.body_max.value.0 > KEPT_BYTES_MAX {
            report
                .error(
                    "out-of-range",
                    table.body_max.span.clone(),
                    "`body_max` is more than 1MiB",
                )
                .hint("a larger body is passed on as it comes, and has no fallback");
        }
        let terms = Fallback {
            body_max: table.body_max.value.0.min(KEPT_BYTES_MAX),
            rate: Rate::new(
                table.per_second.get(),
                Duration::from_secs(1),
                table.per_second.get(),
            ),
            at_once: table.at_once.get(),
        };
        let backend = match self {
            Self::Name(name) => Some(Spot {
                value: name.clone(),
                span: file.span.clone(),
            }),
            Self::Terms(table) => table.backend.clone(),
        };
        if backend.is_none() {
            report.missing(
                &file.span,
                "backend",
                "name the one to ask, such as `fallback = \"legacy\"`",
            );
        }
        Some((backend?, on, terms))
    }
}

impl<'de> Deserialize<'de> for FallbackFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTerms;
        impl<'de> Visitor<'de> for NameOrTerms {
            type Value = FallbackFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a backend's name in quotes, or a table")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<FallbackFile, E> {
                Ok(FallbackFile::Name(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<FallbackFile, A::Error> {
                FallbackTable::deserialize(MapAccessDeserializer::new(table)).map(FallbackFile::Terms)
            }
        }
        deserializer.deserialize_any(NameOrTerms)
    }
}

impl JsonSchema for FallbackFile {
    fn schema_name() -> Cow<'static, str> {
        "Fallback".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = FallbackTable::json_schema(generator);
        schema.insert("type".to_owned(), serde_json::json!(["string", "object"]));
        schema
    }
}

fn statuses(written: &Spot<Vec<Spot<u16>>>, report: &mut Report) -> Statuses {
    let mut on = Statuses::none();
    for status in &written.value {
        let allowed = Statuses::ALLOWED
            .iter()
            .any(|(allowed, _)| *allowed == status.value);
        if !allowed {
            let all: Vec<String> = Statuses::ALLOWED
                .iter()
                .map(|(status, _)| status.to_string())
                .collect();
            let what = format!("a route can't fail over on {}", status.value);
            report
                .error("bad-status", status.span.clone(), what)
                .hint(format!("known are {}", all.join(", ")));
        }
        on = on.with(status.value);
    }
    on
}
