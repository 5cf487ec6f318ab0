//! Serde's messages in the words of the people who edit the files.

use std::ops::Range;

use super::report::{Report, suggest};

/// What serde or one of our own types says about a value.
#[derive(Debug)]
pub(super) enum Fault {
    /// One of our types refused the text of a value.
    Ours {
        kind: &'static str,
        what: String,
        hint: String,
    },
    /// A key that the table doesn't have.
    UnknownKey { name: String, known: Vec<String> },
    /// A word that is not among those allowed.
    UnknownValue { given: String, known: Vec<String> },
    /// Another type of value was wanted.
    WrongType { given: String, expected: String },
    /// Whatever else serde has to say.
    Other(String),
}

/// A refusal of one of our types, in a form that survives serde's `custom`.
pub(super) fn refuse<E: serde::de::Error>(kind: &'static str, what: &str, hint: &str) -> E {
    E::custom(format_args!("{MARK}{kind}{MARK}{what}{MARK}{hint}"))
}

impl Fault {
    /// Takes a message apart.
    pub(super) fn read(message: &str) -> Self {
        if let Some(ours) = message.strip_prefix(MARK) {
            let mut parts = ours.split(MARK);
            let mut next = || parts.next().unwrap_or_default();
            let (kind, what, hint) = (next(), next(), next());
            return Self::Ours {
                kind: known_kind(kind),
                what: what.to_owned(),
                hint: hint.to_owned(),
            };
        }
        if let Some((name, known)) = message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split_once('`'))
        {
            return Self::UnknownKey {
                name: name.to_owned(),
                known: quoted(known),
            };
        }
        if let Some((given, known)) = message
            .strip_prefix("unknown variant `")
            .and_then(|rest| rest.split_once('`'))
        {
            return Self::UnknownValue {
                given: given.to_owned(),
                known: quoted(known),
            };
        }
        let mismatch = message
            .strip_prefix("invalid type: ")
            .or_else(|| message.strip_prefix("invalid value: "));
        if let Some((given, expected)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
            return Self::WrongType {
                given: found(given),
                expected: wanted(expected),
            };
        }
        Self::Other(message.to_owned())
    }

    /// Reports it for `key`, at `span`.
    pub(super) fn report(self, key: Option<&str>, span: Range<usize>, report: &mut Report) {
        let subject = key.map_or_else(|| "this".to_owned(), |key| format!("`{key}`"));
        match self {
            Self::Ours { kind, what, hint } => {
                report
                    .error(kind, span, format!("{subject} {what}"))
                    .hint_if((!hint.is_empty()).then_some(hint));
            }
            Self::UnknownKey { name, known } => {
                report
                    .error(
                        "unknown-key",
                        span,
                        format!("`{name}` is not a key of this table"),
                    )
                    .hint_if(suggest(&name, known.iter().map(String::as_str)));
            }
            Self::UnknownValue { given, known } => {
                report
                    .error("unknown-value", span, format!("{subject} can't be `{given}`"))
                    .hint_if(suggest(&given, known.iter().map(String::as_str)));
            }
            Self::WrongType { given, expected } => {
                report.error(
                    "wrong-type",
                    span,
                    format!("{subject} must be {expected}, not {given}"),
                );
            }
            Self::Other(message) => {
                report.error("wrong-type", span, format!("{subject} can't be read: {message}"));
            }
        }
    }
}

/// Names in backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn found(given: &str) -> String {
    match given {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        other => {
            let other = other
                .strip_prefix("string ")
                .map_or_else(|| other.to_owned(), |text| format!("text {text}"));
            format!("the {other}")
                .replace('`', "")
                .replace("the integer", "the number")
                .replace("floating point", "number")
        }
    }
}

fn wanted(expected: &str) -> String {
    let text = match expected {
        "a sequence" => "a list",
        "a map" => "a table",
        "a string" | "string" => "a text in quotes",
        "a boolean" => "true or false",
        "a TOML datetime" => "a time without quotes, such as 2026-12-01T08:00:00Z",
        "i32" | "i64" => "a whole number",
        "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number from 1",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    text.to_owned()
}

/// Problem kinds are `&'static str`; those that travel through serde are listed here.
fn known_kind(kind: &str) -> &'static str {
    [BAD_DURATION, BAD_SIZE, BAD_SHARE, BAD_TIME, WRONG_TYPE]
        .into_iter()
        .find(|known| *known == kind)
        .unwrap_or(WRONG_TYPE)
}

/// A duration that can't be read.
pub(super) const BAD_DURATION: &str = "bad-duration";
/// A size that can't be read.
pub(super) const BAD_SIZE: &str = "bad-size";
/// A share that is no percentage.
pub(super) const BAD_SHARE: &str = "bad-share";
/// A time that is no moment.
pub(super) const BAD_TIME: &str = "bad-time";
/// Another type of value was wanted.
pub(super) const WRONG_TYPE: &str = "wrong-type";

/// Control characters never occur in our own messages.
const MARK: char = '\u{1}';
