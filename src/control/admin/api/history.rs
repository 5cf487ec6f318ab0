//! Who changed what, when, how and why.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::{
        answer::Answer,
        endpoints::{Asked, Endpoint, Needed, Parameter},
        refusal::Refusal,
        table::{json, of},
    },
    changes,
};
use crate::{
    control::{
        history::{
            Wanted, diff,
            entry::{Entry, How},
        },
        plane::View,
    },
    observe::log::rfc3339,
};

/// Entries of an answer, unless the client says how many.
const LIMIT: usize = 50;
/// Entries of an answer at most.
const LIMIT_MAX: usize = 200;
/// Bytes of an answer's texts; beyond it the rest is to be asked for.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// Changes of flags.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct History {
    /// The newest first.
    entries: Vec<Told>,
    /// There are older ones: ask with `before` as the last entry's `id`.
    more: bool,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(in super::super) struct Told {
    /// Its number; later ones are higher.
    id: u64,
    /// When.
    at: String,
    /// The flag's key; for a flagd set in which several changed, the file's name.
    flag: String,
    /// Its file.
    file: String,
    /// Who did it: a user's id, a token's name, or the file's owner.
    who: String,
    /// `api`, `page`, `cli`, or `file`: somebody saved it.
    how: &'static str,
    /// Why, in the words of who did it.
    reason: String,
    /// The file's text before; none: there was none, or it was too long to be kept.
    before: Option<String>,
    /// The file's text after.
    after: Option<String>,
    /// The file's version before.
    before_version: String,
    /// The file's version after.
    after_version: String,
    /// Lines that went and came.
    diff: String,
}

impl Told {
    /// As the API tells an entry.
    pub(in super::super) fn of(entry: Entry) -> Self {
        let (before, after) = (entry.before, entry.after);
        let kept = |text: &crate::control::history::entry::Text| text.text.is_some() || !text.is_file();
        let known = kept(&before) && kept(&after);
        Self {
            id: entry.id,
            at: rfc3339(entry.deed.at_millis / 1000),
            flag: entry.deed.flag,
            file: entry.deed.file,
            who: entry.deed.who,
            how: match entry.deed.how {
                How::Api => "api",
                How::Page => "page",
                How::Cli => "cli",
                How::File => "file",
            },
            reason: entry.deed.reason,
            diff: if known {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                diff::diff(&text(&before.text), &text(&after.text))
            } else {
                String::new()
            },
            before_version: before.version.to_string(),
            after_version: after.version.to_string(),
            before: before.text,
            after: after.text,
        }
    }
}

const LIMIT_PARAMETER: Parameter = Parameter {
    name: "limit",
    summary: "How many, 200 at most; 50 unless said otherwise.",
    needed: Needed::Number,
};

const BEFORE_PARAMETER: Parameter = Parameter {
    name: "before",
    summary: "Only entries with a lower `id`.",
    needed: Needed::Number,
};

const OTHERWISE: &[(u16, &str)] = &[
    (400, "A parameter makes no sense."),
    (503, "The history can't be read."),
];

/// `GET /api/history`.
pub(in super::super) const ALL: Endpoint = Endpoint {
    parameters: &[
        Parameter {
            name: "flag",
            summary: "Only of this flag.",
            needed: Needed::Maybe,
        },
        LIMIT_PARAMETER,
        BEFORE_PARAMETER,
    ],
    otherwise: OTHERWISE,
    ..json(
        "/api/history",
        "Who changed which flag, the newest change first.",
        of::<History>,
        answer,
    )
};

/// `GET /api/flags/{key}/history`.
pub(in super::super) const ONE: Endpoint = Endpoint {
    parameters: &[
        Parameter {
            name: "key",
            summary: "The flag's key, also of one that is gone.",
            needed: Needed::Once,
        },
        LIMIT_PARAMETER,
        BEFORE_PARAMETER,
    ],
    otherwise: OTHERWISE,
    ..json(
        "/api/flags/{key}/history",
        "Changes of one flag's file, the newest first.",
        of::<History>,
        answer_one,
    )
};

fn answer(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    told(view, asked, asked.one("flag"))
}

fn answer_one(view: &View, asked: &Asked) -> Result<Answer, Refusal> {
    told(view, asked, Some(asked.key.as_str()))
}

fn told(view: &View, asked: &Asked, flag: Option<&str>) -> Result<Answer, Refusal> {
    let limit = number(asked, "limit")?.map_or(LIMIT, |limit| usize::try_from(limit).unwrap_or(LIMIT_MAX));
    let file = flag.and_then(|flag| changes::served_file(view, flag));
    let wanted = Wanted {
        flag,
        file: file.as_deref(),
        before: number(asked, "before")?,
        limit: limit.clamp(1, LIMIT_MAX),
        bytes: BYTES_MAX,
    };
    let (entries, more) = view
        .editor
        .history()
        .entries(&wanted)
        .map_err(|error| Refusal::Unavailable(error.to_string()))?;
    let entries = entries.into_iter().map(Told::of).collect();
    Answer::json(0, &History { entries, more })
}

fn number(asked: &Asked, name: &str) -> Result<Option<u64>, Refusal> {
    let wrong = |text: &str| Refusal::Parameter(format!("`{name}` is a number, not {text:?}"));
    asked
        .one(name)
        .map(|text| text.parse().map_err(|_| wrong(text)))
        .transpose()
}
