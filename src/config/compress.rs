//! `compress` of a route as it is written, and what it means.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{report::Report, values::Spot};
use crate::policy::compress::{BadType, Compression, Encoding, MAX_BYTES, MIN_BYTES, MediaTypes};

/// `true`, `false`, or how.
#[derive(Debug)]
pub(super) enum CompressFile {
    /// As usual, or not at all.
    Whether(bool),
    /// In another way.
    How(CompressTable),
}

/// `compress = { … }`: which answers are compressed, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CompressTable {
    /// What is offered, the preferred first. Unless said: br, zstd, gzip.
    encodings: Option<Spot<Vec<Spot<EncodingFile>>>>,
    /// Media types, as `text/html` or `text/*`. Unless said: the 46 that CloudFront compresses and some more of their kind.
    types: Option<Spot<Vec<Spot<String>>>>,
    /// Bytes of the smallest body that is compressed.
    min: u64,
    /// Bytes of the largest one. A body of unknown length is compressed whatever comes.
    max: u64,
}

impl Default for CompressTable {
    /// The numbers and the reasons for them are in `crate::policy::compress`.
    fn default() -> Self {
        Self {
            encodings: None,
            types: None,
            min: MIN_BYTES,
            max: MAX_BYTES,
        }
    }
}

/// An encoding by its name.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum EncodingFile {
    /// Brotli.
    Br,
    /// Zstandard.
    Zstd,
    /// gzip.
    Gzip,
}

/// What the key of a route means.
pub(super) fn compression(file: Option<&Spot<CompressFile>>, report: &mut Report) -> Option<Compression> {
    let file = file?;
    let table = match &file.value {
        CompressFile::Whether(false) => return None,
        CompressFile::Whether(true) => return Some(Compression::default()),
        CompressFile::How(table) => table,
    };
    if table.min > table.max {
        let what = format!("`min` ({}) is more than `max` ({})", table.min, table.max);
        report
            .error("no-size", file.span.clone(), what)
            .hint("nothing would be compressed; write `compress = false` if that is meant");
    }
    Some(Compression {
        encodings: table.encodings(report),
        types: table.types(report),
        min: table.min,
        max: table.max,
    })
}

impl CompressTable {
    fn encodings(&self, report: &mut Report) -> Vec<Encoding> {
        let Some(written) = &self.encodings else {
            return Encoding::ALL.to_vec();
        };
        if written.value.is_empty() && !report.was_removed(&written.span, LIST_ITEM) {
            report
                .error(
                    "no-encoding",
                    written.span.clone(),
                    "an empty list of encodings would compress nothing",
                )
                .hint("name some of `br`, `zstd` and `gzip`, or take `encodings` out");
        }
        let mut encodings = Vec::with_capacity(written.value.len());
        for spot in &written.value {
            let encoding = Encoding::from(spot.value);
            if encodings.contains(&encoding) {
                let what = format!("`{}` stands here twice", encoding.as_str());
                report
                    .warning("repeated-encoding", spot.span.clone(), what)
                    .hint("the first one counts");
            } else {
                encodings.push(encoding);
            }
        }
        encodings
    }

    fn types(&self, report: &mut Report) -> MediaTypes {
        let Some(written) = &self.types else {
            return MediaTypes::default();
        };
        if written.value.is_empty() && !report.was_removed(&written.span, LIST_ITEM) {
            report
                .error(
                    "no-media-type",
                    written.span.clone(),
                    "an empty list of types would compress nothing",
                )
                .hint("name some, such as `\"text/*\"`, or take `types` out");
        }
        let mut good = Vec::with_capacity(written.value.len());
        for spot in &written.value {
            match MediaTypes::new([spot.value.as_str()]) {
                Ok(_) => good.push(spot.value.as_str()),
                Err((_, why)) => bad_type(spot, why, report),
            }
        }
        MediaTypes::new(good).unwrap_or_default()
    }
}

/// As which key an element of a list counts when it is left out.
const LIST_ITEM: &str = "";

fn bad_type(spot: &Spot<String>, why: BadType, report: &mut Report) {
    let hint = match why {
        BadType::Form => "write a type and a subtype, or `*` for all of its subtypes",
        BadType::Events => "take it out: each event is passed on as it comes",
    };
    let what = format!("`{}` can't be compressed: {why}", spot.value);
    report.error("bad-media-type", spot.span.clone(), what).hint(hint);
}

impl From<EncodingFile> for Encoding {
    fn from(file: EncodingFile) -> Self {
        match file {
            EncodingFile::Br => Self::Brotli,
            EncodingFile::Zstd => Self::Zstd,
            EncodingFile::Gzip => Self::Gzip,
        }
    }
}

impl<'de> Deserialize<'de> for CompressFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WhetherOrHow;
        impl<'de> Visitor<'de> for WhetherOrHow {
            type Value = CompressFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a table that says how")
            }
            fn visit_bool<E: de::Error>(self, whether: bool) -> Result<CompressFile, E> {
                Ok(CompressFile::Whether(whether))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<CompressFile, A::Error> {
                CompressTable::deserialize(MapAccessDeserializer::new(table)).map(CompressFile::How)
            }
        }
        deserializer.deserialize_any(WhetherOrHow)
    }
}

impl JsonSchema for CompressFile {
    fn schema_name() -> Cow<'static, str> {
        "Compress".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = CompressTable::json_schema(generator);
        schema.insert("type".to_owned(), serde_json::json!(["boolean", "object"]));
        schema
    }
}
