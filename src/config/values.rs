//! The shapes of values that several tables share: durations, sizes, shares, lists that may be one text, tests.

use std::{fmt, ops::Range, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};
use toml::Spanned;

use super::fault::{BAD_DURATION, BAD_SHARE, BAD_SIZE, WRONG_TYPE, refuse};
use crate::route::ValueTest;

/// A value with its place in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spot<T> {
    /// What is written.
    pub(super) value: T,
    /// Bytes of the file.
    pub(super) span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spot<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self {
            span: spanned.span(),
            value: spanned.into_inner(),
        })
    }
}

impl<T: Serialize> Serialize for Spot<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Spot<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl PartialOrd for Spot<String> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Spot<String> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.span.start, &self.value).cmp(&(other.span.start, &other.value))
    }
}

/// `"250ms"`, `"5s"`, `"2m"`, `"1h"`, `"180d"`; always longer than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationText(pub(super) Duration);

impl DurationText {
    fn parse(text: &str) -> Option<Duration> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let (_, unit_ms) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let ms = number
            .checked_mul(unit_ms)
            .filter(|ms| (1..=DURATION_MS_MAX).contains(ms))?;
        Some(Duration::from_millis(ms))
    }
}

/// As a person would write it.
pub(super) fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (name, unit_ms) = DURATION_UNITS
        .into_iter()
        .rev()
        .find(|(_, unit)| ms.is_multiple_of(u128::from(*unit)))
        .unwrap_or(("ms", 1));
    format!("{}{name}", ms / u128::from(unit_ms))
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const ACCEPTED: &str = "a duration is a whole number from 1 with a unit: \"250ms\", \"5s\", \"2m\", \"1h\", \"180d\"; at most 10 years";
        let text = deserializer.deserialize_any(TextVisitor {
            kind: BAD_DURATION,
            hint: ACCEPTED,
            noun: "duration",
        })?;
        let duration = Self::parse(&text);
        duration
            .map(Self)
            .ok_or_else(|| refuse(BAD_DURATION, &format!("is not a duration: \"{text}\""), ACCEPTED))
    }
}

impl Serialize for DurationText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&duration_text(self.0))
    }
}

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration-text", "pattern": r"^[0-9]+(ms|s|m|h|d)$|\$\{" })
    }
}

/// The same, or `"0s"`, where nothing has a meaning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DurationFromZero(pub(super) Duration);

impl<'de> Deserialize<'de> for DurationFromZero {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const ACCEPTED: &str = "a duration is a whole number with a unit: \"0s\", \"250ms\", \"5s\", \"2m\", \"1h\", \"180d\"; at most 10 years";
        let text = deserializer.deserialize_any(TextVisitor {
            kind: BAD_DURATION,
            hint: ACCEPTED,
            noun: "duration",
        })?;
        let duration = match text.as_str() {
            "0s" => Some(Duration::ZERO),
            text => DurationText::parse(text),
        };
        duration
            .map(Self)
            .ok_or_else(|| refuse(BAD_DURATION, &format!("is not a duration: \"{text}\""), ACCEPTED))
    }
}

impl JsonSchema for DurationFromZero {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        DurationText::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        DurationText::json_schema(generator)
    }
}

/// `"512B"`, `"16KiB"`, `"1MiB"`, `"2GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SizeText(pub(super) usize);

impl SizeText {
    fn parse(text: &str) -> Option<usize> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(digits)?;
        let number: usize = number.parse().ok()?;
        let (_, bytes) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
        number
            .checked_mul(bytes)
            .filter(|bytes| (1..=SIZE_BYTES_MAX).contains(bytes))
    }
}

/// As a person would write it.
pub(super) fn size_text(bytes: usize) -> String {
    let (name, unit) = SIZE_UNITS
        .into_iter()
        .rev()
        .find(|(_, unit)| bytes.is_multiple_of(*unit))
        .unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const ACCEPTED: &str = "a size is a whole number from 1 with a unit: \"512B\", \"16KiB\", \"1MiB\", \"1GiB\"; at most 1 TiB";
        let text = deserializer.deserialize_any(TextVisitor {
            kind: BAD_SIZE,
            hint: ACCEPTED,
            noun: "size",
        })?;
        let size = Self::parse(&text);
        size.map(Self)
            .ok_or_else(|| refuse(BAD_SIZE, &format!("is not a size: \"{text}\""), ACCEPTED))
    }
}

impl Serialize for SizeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&size_text(self.0))
    }
}

impl JsonSchema for SizeText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "size-text", "pattern": r"^[0-9]+(B|KiB|MiB|GiB)$|\$\{" })
    }
}

/// A share in percent, kept in thousandths of a percent (0 to 100,000).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share(pub(super) u32);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Percent;
        impl Visitor<'_> for Percent {
            type Value = Share;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 100")
            }
            fn visit_i64<E: de::Error>(self, percent: i64) -> Result<Share, E> {
                let share = u32::try_from(percent).ok().filter(|percent| *percent <= 100);
                share
                    .map(|percent| Share(percent * 1_000))
                    .ok_or_else(|| refuse(BAD_SHARE, &format!("is not a share: {percent}"), SHARE_ACCEPTED))
            }
            fn visit_u64<E: de::Error>(self, percent: u64) -> Result<Share, E> {
                self.visit_i64(i64::try_from(percent).unwrap_or(i64::MAX))
            }
            fn visit_f64<E: de::Error>(self, percent: f64) -> Result<Share, E> {
                thousandths(percent)
                    .map(Share)
                    .ok_or_else(|| refuse(BAD_SHARE, &format!("is not a share: {percent}"), SHARE_ACCEPTED))
            }
        }
        deserializer.deserialize_any(Percent)
    }
}

/// `5.001` is 5,001; finer shares are refused rather than rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie between 0 and 100,000"
)]
fn thousandths(percent: f64) -> Option<u32> {
    if !(0.0..=100.0).contains(&percent) {
        return None;
    }
    let whole = (percent * 1_000.0).round();
    ((percent * 1_000.0 - whole).abs() < 1e-6).then_some(whole as u32)
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1_000.0)
    }
}

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.001 })
    }
}

/// A list of texts, or one text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OneOrMany(pub(super) Vec<Spot<String>>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Vec<Spot<String>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(vec![Spot {
                    value: text.to_owned(),
                    span: 0..0,
                }])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(texts)
            }
        }
        struct Raw(Vec<Spot<String>>);
        impl<'de> Deserialize<'de> for Raw {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Texts).map(Self)
            }
        }
        let whole = Spot::<Raw>::deserialize(deserializer)?;
        let mut texts = whole.value.0;
        for text in texts.iter_mut().filter(|text| text.span == (0..0)) {
            text.span = whole.span.clone();
        }
        Ok(Self(texts))
    }
}

impl Serialize for OneOrMany {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

/// What a header, query parameter or cookie must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueTestFile {
    /// `true`: there; `false`: not there.
    There(bool),
    /// Exactly this, or with wildcards.
    Like(String),
    /// Any of these.
    OneOf(Vec<String>),
}

impl ValueTestFile {
    /// What the route table looks for.
    pub(super) fn settle(&self) -> ValueTest {
        match self {
            Self::There(true) => ValueTest::Present,
            Self::There(false) => ValueTest::Absent,
            Self::Like(text) => ValueTest::Like(text.clone()),
            Self::OneOf(texts) => ValueTest::OneOf(texts.clone()),
        }
    }
}

impl<'de> Deserialize<'de> for ValueTestFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Test;
        impl<'de> Visitor<'de> for Test {
            type Value = ValueTestFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "true (there), false (not there), a text (with * and ? as wildcards) or a list of texts",
                )
            }
            fn visit_bool<E: de::Error>(self, there: bool) -> Result<ValueTestFile, E> {
                Ok(ValueTestFile::There(there))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ValueTestFile, E> {
                Ok(ValueTestFile::Like(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ValueTestFile, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                if texts.is_empty() {
                    return Err(refuse(
                        WRONG_TYPE,
                        "can't be an empty list",
                        "nothing would ever pass it",
                    ));
                }
                Ok(ValueTestFile::OneOf(texts))
            }
        }
        deserializer.deserialize_any(Test)
    }
}

impl JsonSchema for ValueTestFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ValueTest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`true`: it is there; `false`: it is not; a text: it is this, with `*` and `?` as wildcards; a list: it is one of these.",
            "type": ["boolean", "string", "array"], "items": { "type": "string" }, "minItems": 1
        })
    }
}

/// A text that is never shown: its `Debug` and its problems leave it out.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretText(pub(super) String);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HINT: &str = "write it as \"${NAME}\" and set the environment variable";
        deserializer
            .deserialize_any(TextVisitor {
                kind: WRONG_TYPE,
                hint: HINT,
                noun: "text in quotes",
            })
            .map(Self)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// Takes a text; anything else is refused in the words of the type that wants it, without its value.
struct TextVisitor {
    kind: &'static str,
    hint: &'static str,
    noun: &'static str,
}

impl TextVisitor {
    fn refuse<T, E: de::Error>(&self) -> Result<T, E> {
        Err(refuse(self.kind, &format!("must be a {}", self.noun), self.hint))
    }
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = String;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", self.noun)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<String, E> {
        self.refuse()
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<String, E> {
        self.refuse()
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<String, E> {
        self.refuse()
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        self.refuse()
    }
    fn visit_map<A: de::MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        self.refuse()
    }
}

const SHARE_ACCEPTED: &str = "a share is percent, from 0 to 100, in steps of 0.001";

const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Ten years: longer is a slip, and stays far from every overflow.
const DURATION_MS_MAX: u64 = 3_650 * 86_400_000;

const SIZE_UNITS: [(&str, usize); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

const SIZE_BYTES_MAX: usize = 1 << 40;
