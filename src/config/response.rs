//! `[routes.response]` as squads write it, and what it means.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, time::Duration};

use http::{HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{IntoDeserializer, value::StrDeserializer},
};

use super::{
    cors::CorsFile,
    fault::{BAD_DURATION, refuse},
    report::Report,
    values::{DurationText, Share, Spot},
};
use crate::{
    policy::response::{
        Hsts, RESPONSE_BYTES_MAX, RESPONSE_FIELDS_MAX, ResponseRules, Security, Touch, why_not,
    },
    visitor::OWN_PREFIX,
};

/// `[routes.response]`: what is done to the fields of answers. `remove`, `set`, `default` and `add` are for what backends answer; the others also
/// for what Banyan answers itself on this route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResponseFile {
    /// Names of fields that are taken away, before anything else is done.
    remove: Vec<Spot<String>>,
    /// Fields in place of the backend's, by name.
    set: BTreeMap<Spot<String>, Spot<String>>,
    /// Fields where the backend sent none, by name.
    default: BTreeMap<Spot<String>, Spot<String>>,
    /// Fields beside the backend's, by name.
    add: BTreeMap<Spot<String>, Spot<String>>,
    /// A preset: `X-Content-Type-Options: nosniff` always; where the backend sent none `X-Frame-Options: SAMEORIGIN`, `Referrer-Policy:
    /// strict-origin-when-cross-origin`, `X-XSS-Protection: 1; mode=block` and, over TLS, `Strict-Transport-Security: max-age=31536000`.
    security: Option<SecurityFile>,
    /// `Strict-Transport-Security`, on answers over TLS.
    hsts: Option<Spot<HstsFile>>,
    /// The share of answers in percent that say under `Server-Timing` how long they took.
    server_timing: Option<Share>,
}

/// A preset of security fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum SecurityFile {
    /// What CloudFront's managed policy sends.
    Standard,
}

/// `[routes.response.hsts]`: browsers come back over TLS only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct HstsFile {
    /// For how long. `0s` has browsers forget what they were told.
    max_age: AgeText,
    /// For every name below this one as well.
    subdomains: bool,
    /// Browsers' makers may write the name into the browsers themselves.
    preload: bool,
    /// In place of what the backend says.
    #[serde(rename = "override")]
    overrides: bool,
}

impl Default for HstsFile {
    fn default() -> Self {
        Self {
            max_age: AgeText(PRELOAD_AGE_MIN),
            subdomains: false, // the names below may be somebody else's to move
            preload: false,
            overrides: true, // the edge is where TLS ends
        }
    }
}

/// A duration in whole seconds that may be `0s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AgeText(pub(super) Duration);

impl<'de> Deserialize<'de> for AgeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if matches!(text.as_str(), "0s" | "0m" | "0h" | "0d") {
            return Ok(Self(Duration::ZERO));
        }
        let whole: StrDeserializer<'_, D::Error> = text.as_str().into_deserializer();
        let age = DurationText::deserialize(whole)?.0;
        if age.subsec_nanos() != 0 {
            let what = format!("is finer than a second: \"{text}\"");
            return Err(refuse(BAD_DURATION, &what, "browsers count whole seconds"));
        }
        Ok(Self(age))
    }
}

impl serde::Serialize for AgeText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        DurationText(self.0).serialize(serializer)
    }
}

impl JsonSchema for AgeText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Age".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        DurationText::json_schema(generator)
    }
}

/// What a route says of its answers, in both of its tables. `None`: nothing.
pub(super) fn rules(
    response: Option<&Spot<ResponseFile>>,
    cors: Option<&Spot<CorsFile>>,
    report: &mut Report,
) -> Option<ResponseRules> {
    let mut rules = response.map_or_else(ResponseRules::default, |response| {
        response.value.settle(&response.span, report)
    });
    rules.cors = cors.and_then(|cors| cors.value.settle(&cors.span, report));
    (rules != ResponseRules::default()).then_some(rules)
}

impl ResponseFile {
    fn settle(&self, table: &Range<usize>, report: &mut Report) -> ResponseRules {
        let remove = self.remove.iter();
        let remove: Vec<HeaderName> = remove
            .filter_map(|name| touched(name, Touch::Remove, report))
            .collect();
        let set = fields(&self.set, Touch::Set, report);
        let default = fields(&self.default, Touch::Default, report);
        let add = fields(&self.add, Touch::Add, report);
        let lists = [
            ("remove", remove.len()),
            ("set", set.len()),
            ("default", default.len()),
            ("add", add.len()),
        ];
        for (list, length) in lists
            .into_iter()
            .filter(|(_, length)| *length > RESPONSE_FIELDS_MAX)
        {
            let what = format!("`{list}` has {length} fields; a route may have {RESPONSE_FIELDS_MAX}");
            report
                .error("too-many-fields", table.clone(), what)
                .hint("leave some to the backend");
        }
        let own = set.iter().chain(&default).chain(&add);
        let bytes: usize = own.map(|(name, value)| name.as_str().len() + value.len()).sum();
        if bytes > RESPONSE_BYTES_MAX {
            let what =
                format!("the fields have {bytes} bytes together; a route may add {RESPONSE_BYTES_MAX}");
            report
                .error("too-many-fields", table.clone(), what)
                .hint("clients refuse answers with large heads");
        }
        ResponseRules {
            remove,
            cors: None,
            security: self.security.map(|SecurityFile::Standard| Security::Standard),
            hsts: self
                .hsts
                .as_ref()
                .map(|hsts| hsts.value.settle(&hsts.span, report)),
            set,
            default,
            add,
            server_timing: self.server_timing.map_or(0, |share| share.0),
        }
    }
}

fn fields(
    table: &BTreeMap<Spot<String>, Spot<String>>,
    touch: Touch,
    report: &mut Report,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut list: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(table.len());
    for (name, value) in table {
        let content = content(name, value, report);
        let Some(field) = touched(name, touch, report) else {
            continue;
        };
        if list.iter().any(|(other, _)| *other == field) {
            report
                .error(
                    "repeated-header",
                    name.span.clone(),
                    format!("`{field}` stands here twice"),
                )
                .hint("field names have no case; say it once");
            continue;
        }
        list.extend(content.map(|content| (field, content)));
    }
    list
}

/// The name, if it is one and a route may touch it.
fn touched(name: &Spot<String>, touch: Touch, report: &mut Report) -> Option<HeaderName> {
    let field = field_name(name, report)?;
    if let Some((why, instead)) = why_not(&field, touch) {
        let verb = match touch {
            Touch::Remove => "take away",
            Touch::Set | Touch::Default | Touch::Add => "write",
        };
        let what = format!("a route can't {verb} `{}`, which {why}", name.value);
        report
            .error("reserved-header", name.span.clone(), what)
            .hint(instead);
        return None;
    }
    Some(field)
}

/// The name of a field, if it can be one.
pub(super) fn field_name(name: &Spot<String>, report: &mut Report) -> Option<HeaderName> {
    let parsed = HeaderName::from_bytes(name.value.as_bytes());
    if parsed.is_err() {
        let what = format!("`{}` can't be the name of a header field", name.value);
        report
            .error("bad-header", name.span.clone(), what)
            .hint("letters, digits and `-`");
    }
    parsed.ok()
}

/// A value that can't be read as more than one field, by anyone.
fn content(name: &Spot<String>, value: &Spot<String>, report: &mut Report) -> Option<HeaderValue> {
    let text = value.value.as_str();
    let plain = text.bytes().all(|b| matches!(b, b' ' | b'\t' | 0x21..=0x7e)) && text.trim() == text;
    let parsed = HeaderValue::from_str(text).ok().filter(|_| plain);
    if parsed.is_none() {
        report
            .error(
                "bad-header",
                value.span.clone(),
                format!("the value of `{}` has characters no header may have", name.value),
            )
            .hint("visible ASCII characters, with spaces between them");
    }
    let is_own = |text: &str| {
        text.get(..OWN_PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
    };
    if name.value.eq_ignore_ascii_case("set-cookie") && is_own(text) {
        let what = format!("cookies whose names begin with `{OWN_PREFIX}` are Banyan's own");
        report
            .error("reserved-header", value.span.clone(), what)
            .hint("give the cookie another name");
        return None;
    }
    parsed
}

impl HstsFile {
    fn settle(&self, table: &Range<usize>, report: &mut Report) -> Hsts {
        let age = self.max_age.0;
        if self.preload && (!self.subdomains || age < PRELOAD_AGE_MIN) {
            report
                .warning(
                    "hsts-preload",
                    table.clone(),
                    "browsers' lists take a name only with `subdomains` and a year or more",
                )
                .hint("write `subdomains = true` and `max_age = \"365d\"`, or take `preload` out");
        }
        Hsts::new(age, self.subdomains, self.preload, self.overrides)
    }
}

/// What <https://hstspreload.org> asks for: a year.
const PRELOAD_AGE_MIN: Duration = Duration::from_secs(365 * 86_400);
