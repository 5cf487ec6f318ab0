//! `[routes.forward]` as squads write it: what of a visitor's headers, cookies and query strings reaches the backend.

use std::fmt;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    fault::{WRONG_TYPE, refuse},
    problem::Problem,
    report::Report,
    values::Spot,
};
use crate::policy::forward::{BadName, Forward, Names, Of, Which, always_passes};

/// `[routes.forward]`: what of the visitor's headers, cookies and query strings reaches the backend. Each is `"all"`, `"none"`,
/// `{ only = ["…"] }` or `{ except = ["…"] }`; `*` and `?` in a name are wildcards.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ForwardFile {
    /// Header fields, in any case; all unless said. Some pass whatever is written here, since the request would be another one
    /// without them.
    headers: Option<Spot<WhichFile>>,
    /// Cookies; all unless said. Those that a list lets pass are sorted by name. With `"none"` answers set none, either.
    cookies: Option<Spot<WhichFile>>,
    /// Query parameters, by what their names decode to; all unless said.
    query: Option<Spot<WhichFile>>,
}

impl ForwardFile {
    /// Judges the table. `None`: everything passes.
    pub(super) fn settle(&self, report: &mut Report) -> Option<Box<Forward>> {
        let mut which = |file: &Option<Spot<WhichFile>>, of: Of| match file {
            None => Which::All,
            Some(file) => file.value.settle(file, of, report),
        };
        let forward = Forward {
            headers: which(&self.headers, Of::Headers),
            cookies: which(&self.cookies, Of::Cookies),
            query: which(&self.query, Of::Query),
        };
        let parts = [&forward.headers, &forward.cookies, &forward.query];
        let whole = parts.into_iter().all(|part| *part == Which::All);
        (!whole).then(|| Box::new(forward))
    }
}

/// Which of many pass.
#[derive(Debug)]
pub(super) enum WhichFile {
    All,
    None,
    Listed(Listed),
}

/// A list of those that pass, or of those that don't.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listed {
    only: Option<Spot<Vec<Spot<String>>>>,
    except: Option<Spot<Vec<Spot<String>>>>,
}

impl WhichFile {
    pub(super) fn settle(&self, whole: &Spot<Self>, of: Of, report: &mut Report) -> Which {
        match self {
            Self::All => Which::All,
            Self::None => Which::Nothing,
            Self::Listed(Listed {
                only: Some(only),
                except: None,
            }) => names(only, of, report).map_or(Which::Nothing, Which::Only),
            Self::Listed(Listed {
                only: None,
                except: Some(except),
            }) => {
                if of == Of::Headers {
                    warn_of_always(&except.value, report);
                }
                names(except, of, report).map_or(Which::Nothing, Which::Except)
            }
            Self::Listed(_) => {
                // a misspelt key has been told of already
                let told = |problem: &Problem| {
                    let at = problem.span.as_ref().map(|span| span.start);
                    at.is_some_and(|at| whole.span.contains(&at))
                };
                if !report.problems.iter().any(told) {
                    report
                        .error(
                            "only-or-except",
                            whole.span.clone(),
                            "a list has those that pass, under `only`, or those that don't, under `except`",
                        )
                        .hint("write `\"all\"`, `\"none\"`, `{ only = [\"…\"] }` or `{ except = [\"…\"] }`");
                }
                Which::Nothing
            }
        }
    }
}

pub(super) fn names(list: &Spot<Vec<Spot<String>>>, of: Of, report: &mut Report) -> Option<Names> {
    if list.value.is_empty() {
        report
            .error("empty-list", list.span.clone(), "an empty list says nothing")
            .hint("write `\"all\"` or `\"none\"` instead of the table, or name some");
        return None;
    }
    let mut good = true;
    for name in &list.value {
        let own_key =
            of == Of::Headers && ["cookie", "set-cookie"].contains(&&*name.value.to_ascii_lowercase());
        if own_key {
            report
                .error(
                    "cookie-as-header",
                    name.span.clone(),
                    "cookies have a list of their own",
                )
                .hint("write `cookies = …` beside `headers`");
            good = false;
        }
    }
    let texts: Vec<&str> = list.value.iter().map(|name| name.value.as_str()).collect();
    match Names::compile(of, &texts) {
        Ok(names) => good.then_some(names),
        Err((at, bad)) => {
            let name = list.value.get(at);
            let span = name.map_or_else(|| list.span.clone(), |name| name.span.clone());
            let text = name.map_or("", |name| &name.value);
            bad_name(text, of, bad, report, span);
            None
        }
    }
}

pub(super) fn bad_name(text: &str, of: Of, bad: BadName, report: &mut Report, span: std::ops::Range<usize>) {
    let noun = match of {
        Of::Headers => "header field",
        Of::Cookies => "cookie",
        Of::Query => "query parameter",
    };
    if bad == BadName::TooMany {
        report
            .error("too-many-names", span, bad.to_string())
            .hint("say more with wildcards, or the other way round (`only`, `except`)");
        return;
    }
    let hint = match of {
        Of::Headers => "letters, digits and `-`, with `*` and `?` as wildcards",
        Of::Cookies => "the name alone, without `=` and value, with `*` and `?` as wildcards",
        Of::Query => {
            "the name alone, without `=` and value, with `*` and `?` as wildcards; others are escaped as in a URL: `%26`"
        }
    };
    report
        .error(
            "bad-listed-name",
            span,
            format!("`{text}` can't name a {noun}: {bad}"),
        )
        .hint(hint);
}

/// Says of which fields a list is no judge.
fn warn_of_always(list: &[Spot<String>], report: &mut Report) {
    for spot in list {
        let Ok(name) = HeaderName::from_bytes(spot.value.as_bytes()) else {
            continue;
        };
        if always_passes(&name) && name != http::header::COOKIE {
            let hint = match name == http::header::HOST {
                true => "the backend's own key `host` says which one it gets",
                false => "without it a request would mean something else; take it out of the list",
            };
            report
                .warning(
                    "always-forwarded",
                    spot.span.clone(),
                    format!("`{}` passes whatever a list says", spot.value),
                )
                .hint(hint);
        }
    }
}

impl<'de> Deserialize<'de> for WhichFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = WhichFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\", \"none\" or a table with `only` or `except`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<WhichFile, E> {
                match text {
                    "all" => Ok(WhichFile::All),
                    "none" => Ok(WhichFile::None),
                    other => Err(E::unknown_variant(other, &["all", "none"])),
                }
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<WhichFile, A::Error> {
                Err(refuse(
                    WRONG_TYPE,
                    "can't be a list alone",
                    "write `{ only = […] }` or `{ except = […] }`",
                ))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WhichFile, A::Error> {
                Listed::deserialize(MapAccessDeserializer::new(map)).map(WhichFile::Listed)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for WhichFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Which".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = json_schema!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
        json_schema!({
            "type": ["string", "object"],
            "pattern": r"^(all|none)$|\$\{",
            "properties": { "only": names, "except": names },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false
        })
    }
}
