//! `[visitor] consent` as the operator writes it: how long browsers keep Banyan's cookies.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{report::Report, values::Spot};
use crate::visitor::Consent;

/// `days`, `session`, or the cookie that says that a visitor agreed.
#[derive(Debug)]
pub(super) enum ConsentFile {
    Days,
    Session,
    Agreed(AgreedFile),
}

/// The site's own cookie.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AgreedFile {
    cookie: Option<Spot<String>>,
    value: Option<Spot<String>>,
}

impl ConsentFile {
    /// Judges what is written. What is wrong is in the report, and the safe side is taken: nothing is kept.
    pub(super) fn settle(written: &Spot<Self>, report: &mut Report) -> Consent {
        match &written.value {
            Self::Days => Consent::Days,
            Self::Session => Consent::Session,
            Self::Agreed(agreed) => agreed.settle(written, report).unwrap_or(Consent::Session),
        }
    }
}

impl AgreedFile {
    fn settle(&self, written: &Spot<ConsentFile>, report: &mut Report) -> Option<Consent> {
        for (key, value) in [("cookie", &self.cookie), ("value", &self.value)] {
            match value {
                None => report.missing(&written.span, key, ACCEPTED),
                Some(text) if !is_cookie_text(&text.value, key) => {
                    let what = format!("no cookie of a browser has `{}` as its {key}", text.value);
                    report.error("bad-consent", text.span.clone(), what);
                }
                Some(_) => {}
            }
        }
        Some(Consent::Cookie {
            name: self.cookie.as_ref()?.value.clone(),
            value: self.value.as_ref()?.value.clone(),
        })
    }
}

/// RFC 6265 section 4.1.1; `key` is `cookie` for a name, else it is a value, which may be empty.
fn is_cookie_text(text: &str, key: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\');
    let named = key == "cookie";
    text.bytes().all(|byte| fine(byte) && !(named && byte == b'=')) && !(named && text.is_empty())
}

const ACCEPTED: &str = "name the cookie that says yes: { cookie = \"consent\", value = \"yes\" }";

impl<'de> Deserialize<'de> for ConsentFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Said;
        impl<'de> Visitor<'de> for Said {
            type Value = ConsentFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`days`, `session`, or a table with `cookie` and `value`")
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<ConsentFile, E> {
                match word {
                    "days" => Ok(ConsentFile::Days),
                    "session" => Ok(ConsentFile::Session),
                    other => Err(E::unknown_variant(other, &["days", "session"])),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ConsentFile, A::Error> {
                AgreedFile::deserialize(MapAccessDeserializer::new(table)).map(ConsentFile::Agreed)
            }
        }
        deserializer.deserialize_any(Said)
    }
}

impl JsonSchema for ConsentFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Consent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "pattern": r"^(days|session)$|\$\{",
            "properties": {
                "cookie": { "type": "string", "minLength": 1, "description": "The cookie of the site that says whether a visitor agreed." },
                "value": { "type": "string", "description": "What it says then, to the letter." }
            },
            "required": ["cookie", "value"],
            "additionalProperties": false
        })
    }
}
