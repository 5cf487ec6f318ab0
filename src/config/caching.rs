//! `cache` of a route as it is written, and what it means.

use std::{borrow::Cow, fmt, time::Duration};

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    forward::{WhichFile, names},
    report::Report,
    values::{DurationFromZero, DurationText, Spot},
};
use crate::policy::{
    caching::{Bounds, Caching},
    forward::{Of, Which},
};

/// `"off"`, `"standard"`, or how.
#[derive(Debug)]
pub(super) enum CacheFile {
    /// Nothing is kept.
    Off,
    /// What the backend says is done.
    Standard,
    /// In another way.
    How(Box<CacheTable>),
}

/// `[routes.cache]`: which answers are kept, for how long, and by what requests are told apart. The key is host, path, query and
/// what `headers` and `cookies` name, with the variants of the route's own flags. What is outside the key does not reach the backend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CacheTable {
    /// Bounds of what the backend says.
    ttl: TtlTable,
    /// How long a stale answer is served while another is fetched, where the backend doesn't say: `"30s"`. None unless said.
    stale_while_revalidate: Option<DurationText>,
    /// How long a stale answer is served instead of a 5xx, where the backend doesn't say: `"1h"`. None unless said.
    stale_if_error: Option<DurationText>,
    /// Header fields of the key. None unless said; the backend's `Vary` counts in any case.
    headers: Vec<Spot<String>>,
    /// Cookies of the key: `"none"` unless said.
    cookies: Option<Spot<WhichFile>>,
    /// Query parameters of the key: `"all"` unless said. Others don't reach the backend.
    query: Option<Spot<WhichFile>>,
    /// Header fields outside the key that reach the backend all the same: `"none"` unless said. An answer that depends on one of them
    /// and does not say so in `Vary` is kept for everybody.
    unkeyed_headers: Option<Spot<WhichFile>>,
    /// Cookies with which a request goes past the cache, whole: those of a backend's own session.
    personal_cookies: Option<Spot<Vec<Spot<String>>>>,
    /// What becomes of a request with `Authorization` or of somebody who is signed in: `"bypass"` unless said; with `"shared"` it is answered
    /// with what says `public`, `s-maxage` or `must-revalidate`.
    authorization: AuthorizationFile,
    /// What becomes of answers that set cookies: `"bypass"` unless said; with `"keep"` everybody gets the same cookie, as CloudFront does.
    set_cookie: SetCookieFile,
}

/// `ttl = { … }`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct TtlTable {
    /// Shortest freshness of what may be kept; `"0s"` unless said. `no-store`, `no-cache` and `private` count all the same.
    min: Option<Spot<DurationFromZero>>,
    /// Freshness where the backend says nothing; a tenth of the time since `Last-Modified` unless said.
    default: Option<DurationFromZero>,
    /// Longest freshness.
    max: Option<DurationText>,
}

/// What becomes of requests with credentials.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AuthorizationFile {
    /// They go past the cache.
    #[default]
    Bypass,
    /// They get what is for everybody.
    Shared,
}

/// What becomes of answers that set cookies.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SetCookieFile {
    /// They are not kept.
    #[default]
    Bypass,
    /// They are kept, with the cookie.
    Keep,
}

/// What the key of a route means.
pub(super) fn caching(file: Option<&Spot<CacheFile>>, report: &mut Report) -> Option<Box<Caching>> {
    let file = file?;
    match &file.value {
        CacheFile::Off => None,
        CacheFile::Standard => Some(Box::default()),
        CacheFile::How(table) => Some(Box::new(table.settle(report))),
    }
}

impl CacheTable {
    fn settle(&self, report: &mut Report) -> Caching {
        let standard = Caching::default();
        let mut which = |file: &Option<Spot<WhichFile>>, of: Of, unsaid: Which| match file {
            None => unsaid,
            Some(file) => file.value.settle(file, of, report),
        };
        let cookies = which(&self.cookies, Of::Cookies, standard.cookies);
        let query = which(&self.query, Of::Query, standard.query);
        let unkeyed = which(&self.unkeyed_headers, Of::Headers, standard.unkeyed);
        let personal = self.personal_cookies.as_ref();
        Caching {
            bounds: self.bounds(report),
            headers: self.headers(report),
            cookies,
            query,
            unkeyed,
            personal: personal.and_then(|list| names(list, Of::Cookies, report)),
            shares_authorized: matches!(self.authorization, AuthorizationFile::Shared),
            keeps_cookies: matches!(self.set_cookie, SetCookieFile::Keep),
        }
    }

    fn bounds(&self, report: &mut Report) -> Bounds {
        let or_none = |text: &Option<DurationText>| text.as_ref().map_or(Duration::ZERO, |text| text.0);
        let min = self.ttl.min.as_ref().map_or(Duration::ZERO, |min| min.value.0);
        let max = self.ttl.max.as_ref().map(|max| max.0);
        if let (Some(spot), Some(max)) = (&self.ttl.min, max)
            && min > max
        {
            report
                .error("no-ttl", spot.span.clone(), "`min` is more than `max`")
                .hint("an answer is kept for at least `min` and at most `max`");
        }
        Bounds {
            min,
            default: self.ttl.default.as_ref().map(|default| default.0),
            max,
            while_revalidate: or_none(&self.stale_while_revalidate),
            if_error: or_none(&self.stale_if_error),
        }
    }

    fn headers(&self, report: &mut Report) -> Vec<String> {
        /// In a key they would be one entry for each visitor, or are in it already.
        const NEVER: [(&str, &str); 3] = [
            ("cookie", "write `cookies = …` beside `headers`"),
            ("set-cookie", "it is a field of answers"),
            ("range", "parts are cut from the whole answer; take it out"),
        ];
        let mut headers = Vec::new();
        for spot in &self.headers {
            let name = spot.value.to_ascii_lowercase();
            let never = NEVER.iter().find(|(never, _)| *never == name);
            if let Some((_, hint)) = never {
                let what = format!("`{}` can't be in a cache key", spot.value);
                report
                    .error("bad-key-header", spot.span.clone(), what)
                    .hint(*hint);
            } else if HeaderName::from_bytes(name.as_bytes()).is_err() {
                let what = format!("`{}` can't be the name of a header field", spot.value);
                report
                    .error("bad-header", spot.span.clone(), what)
                    .hint("letters, digits and `-`; a key's fields have no wildcards");
            } else {
                headers.push(name);
            }
        }
        headers.sort_unstable();
        headers.dedup();
        headers
    }
}

impl<'de> Deserialize<'de> for CacheFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrHow;
        impl<'de> Visitor<'de> for WordOrHow {
            type Value = CacheFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"off\", \"standard\", or a table that says how")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<CacheFile, E> {
                match word {
                    "off" => Ok(CacheFile::Off),
                    "standard" => Ok(CacheFile::Standard),
                    other => Err(E::unknown_variant(other, &["off", "standard"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<CacheFile, A::Error> {
                CacheTable::deserialize(MapAccessDeserializer::new(table))
                    .map(|table| CacheFile::How(Box::new(table)))
            }
        }
        deserializer.deserialize_any(WordOrHow)
    }
}

impl JsonSchema for CacheFile {
    fn schema_name() -> Cow<'static, str> {
        "Cache".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = CacheTable::json_schema(generator);
        schema.insert("type".to_owned(), serde_json::json!(["string", "object"]));
        schema.insert("pattern".to_owned(), serde_json::json!(r"^(off|standard)$|\$\{"));
        schema
    }
}
