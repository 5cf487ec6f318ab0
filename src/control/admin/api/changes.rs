//! Changing a flag: what may be said, and what came of it.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        actor::admit_change,
        answer::Answer,
        endpoints::{Asked, Endpoint, Order, Verb},
        refusal::Refusal,
        table::{key_of, of, order},
    },
    flags::Flag,
};
use crate::control::{
    edit::{
        self, Change, Done,
        change::{Fields, Point, State},
    },
    history::{
        Wanted,
        entry::{How, Version},
    },
    plane::View,
};

/// How long an answer waits for the change to be in force; then it says that it isn't yet.
const IN_FORCE_WAIT: Duration = Duration::from_secs(5);

/// What every order may say beside what it changes.
macro_rules! orders {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] $field: Option<$kind>,)*
            /// Why; the history keeps 1,000 bytes of it.
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<String>,
            /// For whom it is done, where a program does it.
            #[serde(skip_serializing_if = "Option::is_none")]
            by: Option<String>,
            /// `api` unless said otherwise.
            #[serde(skip_serializing_if = "Option::is_none")]
            how: Option<Way>,
        }

        impl $name {
            fn why(&mut self) -> Why {
                Why {
                    reason: self.reason.take().unwrap_or_default(),
                    by: self.by.take(),
                    how: self.how,
                }
            }
        }
    )*};
}

orders! {
    /// Parts of a flag's file; what isn't named stays.
    PatchOrder {
        /// `enabled`, or `disabled`: everyone gets the default.
        state: StateWord,
        /// What it is for.
        description: String,
        /// What everyone gets whom nothing else wants.
        default: String,
        /// Shares in percent by variant; null takes one away. Ends a schedule.
        rollout: BTreeMap<String, Option<f64>>,
        /// How shares grow between two points of the schedule: `steps` or `linear`.
        shape: String,
        /// The whole schedule; an empty one ends it.
        schedule: Vec<SchedulePoint>,
        /// Other keys of the file, by name; null takes one away.
        set: BTreeMap<String, serde_json::Value>,
    }
    /// Nothing more need be said.
    StateOrder {}
    /// How many get what.
    RampOrder {
        /// Percent of the variant that isn't the default, where there are two.
        share: f64,
        /// Percent by variant.
        rollout: BTreeMap<String, Option<f64>>,
    }
    /// When how many get what.
    ScheduleOrder {
        /// The whole schedule; an empty one ends it.
        schedule: Vec<SchedulePoint>,
        /// `steps` or `linear`.
        shape: String,
    }
    /// Which change is taken back.
    UndoOrder {
        /// Its number in the history; the newest of the flag's file unless said otherwise.
        entry: u64,
        /// Takes back everything that came after it as well.
        and_after: bool,
    }
}

/// Whether a flag decides.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum StateWord {
    Enabled,
    Disabled,
}

/// Which program an order comes from.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Way {
    Api,
    Page,
    Cli,
}

/// A point of a schedule.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SchedulePoint {
    /// When, such as `2026-12-01T08:00:00Z`.
    at: String,
    /// Percent by variant from then on.
    shares: BTreeMap<String, f64>,
}

#[derive(Debug)]
struct Why {
    reason: String,
    by: Option<String>,
    how: Option<Way>,
}

/// What came of a change.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Changed {
    /// The flag's key.
    key: String,
    /// The version of its file now.
    version: String,
    /// Whether the file is another one than before.
    changed: bool,
    /// Its number in the history.
    entry: Option<u64>,
    /// Whether the next request is decided by it.
    in_force: bool,
    /// Why it isn't, if it isn't.
    not_in_force_because: Option<String>,
    /// The flag as it serves now.
    flag: Option<Flag>,
}

const OTHERWISE: &[(u16, &str)] = &[
    (404, "There is no such flag."),
    (
        409,
        "The flag was changed by somebody else: `conflict` holds what it says, and what it would have said.",
    ),
    (
        422,
        "The change makes no valid flag: `problems` says why. Nothing was written.",
    ),
    (
        428,
        "`If-Match` is missing: send the version that the change is made for.",
    ),
    (
        503,
        "The file or the history can't be written. Nothing was changed.",
    ),
];

/// `PATCH /api/flags/{key}`.
pub(in super::super) const PATCH: Endpoint = Endpoint {
    parameters: key_of(),
    otherwise: OTHERWISE,
    ..order(
        "/api/flags/{key}",
        Verb::Patch,
        "Changes parts of a flag's file, and answers once that is in force, or says that it isn't yet.",
        of::<Changed>,
        of::<PatchOrder>,
        |view, asked, order| {
            carry_out(view, asked, order, |mut told: PatchOrder| {
                let why = told.why();
                let fields = Fields {
                    state: told.state.map(StateWord::state),
                    description: told.description,
                    default: told.default,
                    share: None,
                    rollout: told.rollout.unwrap_or_default(),
                    shape: told.shape,
                    schedule: told.schedule.map(points),
                    set: told.set.unwrap_or_default(),
                };
                Ok((Change::Fields(Box::new(fields)), why))
            })
        },
    )
};

/// `POST /api/flags/{key}/kill`.
pub(in super::super) const KILL: Endpoint = Endpoint {
    parameters: key_of(),
    otherwise: OTHERWISE,
    ..order(
        "/api/flags/{key}/kill",
        Verb::Post,
        "Everyone gets the default, from the next request on.",
        of::<Changed>,
        of::<StateOrder>,
        |view, asked, order| carry_out(view, asked, order, |told| state(told, State::Disabled)),
    )
};

/// `POST /api/flags/{key}/restore`.
pub(in super::super) const RESTORE: Endpoint = Endpoint {
    parameters: key_of(),
    otherwise: OTHERWISE,
    ..order(
        "/api/flags/{key}/restore",
        Verb::Post,
        "The flag decides again, for the same visitors as before.",
        of::<Changed>,
        of::<StateOrder>,
        |view, asked, order| carry_out(view, asked, order, |told| state(told, State::Enabled)),
    )
};

/// `POST /api/flags/{key}/ramp`.
pub(in super::super) const RAMP: Endpoint = Endpoint {
    parameters: key_of(),
    otherwise: OTHERWISE,
    ..order(
        "/api/flags/{key}/ramp",
        Verb::Post,
        "Sets shares by hand, which ends a schedule.",
        of::<Changed>,
        of::<RampOrder>,
        |view, asked, order| {
            carry_out(view, asked, order, |mut told: RampOrder| {
                let why = told.why();
                let rollout = told.rollout.unwrap_or_default();
                if told.share.is_none() && rollout.is_empty() {
                    return Err(Refusal::Parameter(
                        "say how many: `share` or `rollout`".to_owned(),
                    ));
                }
                let fields = Fields {
                    share: told.share,
                    rollout,
                    ..Fields::default()
                };
                Ok((Change::Fields(Box::new(fields)), why))
            })
        },
    )
};

/// `POST /api/flags/{key}/schedule`.
pub(in super::super) const SCHEDULE: Endpoint = Endpoint {
    parameters: key_of(),
    otherwise: OTHERWISE,
    ..order(
        "/api/flags/{key}/schedule",
        Verb::Post,
        "Sets when shares change by themselves.",
        of::<Changed>,
        of::<ScheduleOrder>,
        |view, asked, order| {
            carry_out(view, asked, order, |mut told: ScheduleOrder| {
                let why = told.why();
                let Some(schedule) = told.schedule else {
                    return Err(Refusal::Parameter(
                        "`schedule` is missing; an empty one ends it".to_owned(),
                    ));
                };
                let fields = Fields {
                    schedule: Some(points(schedule)),
                    shape: told.shape,
                    ..Fields::default()
                };
                Ok((Change::Fields(Box::new(fields)), why))
            })
        },
    )
};

/// `POST /api/flags/{key}/undo`.
pub(in super::super) const UNDO: Endpoint = Endpoint {
    parameters: key_of(),
    otherwise: OTHERWISE,
    ..order(
        "/api/flags/{key}/undo",
        Verb::Post,
        "Makes the flag's file what it was before a change, as a change of its own.",
        of::<Changed>,
        of::<UndoOrder>,
        |view, asked, order| {
            carry_out(view, asked, order, |mut told: UndoOrder| {
                let why = told.why();
                let undo = Change::Undo {
                    entry: told.entry,
                    and_after: told.and_after.unwrap_or(false),
                };
                Ok((undo, why))
            })
        },
    )
};

impl StateWord {
    const fn state(self) -> State {
        match self {
            Self::Enabled => State::Enabled,
            Self::Disabled => State::Disabled,
        }
    }
}

fn state(mut told: StateOrder, state: State) -> Result<(Change, Why), Refusal> {
    let why = told.why();
    Ok((Change::Fields(Box::new(Fields::state(state))), why))
}

fn points(points: Vec<SchedulePoint>) -> Vec<Point> {
    let point = |point: SchedulePoint| Point {
        at: point.at,
        shares: point.shares,
    };
    points.into_iter().map(point).collect()
}

fn carry_out<T: serde::de::DeserializeOwned + Send + 'static>(
    view: View,
    asked: Asked,
    order: Order,
    read: fn(T) -> Result<(Change, Why), Refusal>,
) -> BoxFuture<'static, Result<Answer, Refusal>> {
    Box::pin(async move {
        let version = if_match(&order.headers)?;
        let (change, why) = read(order.read()?)?;
        if let Some(squad) = new_squad(&change) {
            admit_change(order.actor.as_ref(), &asked.key, squad)?;
        }
        let (editor, key) = (view.editor.clone(), asked.key.clone());
        let served = served_file(&view, &asked.key);
        let who = match (order.actor, why.by) {
            (Some(actor), Some(by)) => format!("{} for {by}", actor.name),
            (Some(actor), None) => actor.name,
            (None, by) => by.unwrap_or_else(|| "local".to_owned()),
        };
        let change = move || {
            let file = match served {
                Some(file) => file,
                None => remembered_file(&editor, &key)?,
            };
            let order = edit::Order {
                flag: key,
                file,
                version,
                change,
                who,
                how: match why.how {
                    None | Some(Way::Api) => How::Api,
                    Some(Way::Page) => How::Page,
                    Some(Way::Cli) => How::Cli,
                },
                reason: why.reason,
            };
            let done = editor.change(&order)?;
            Ok::<_, Refusal>((order.file, done))
        };
        let changed = tokio::task::spawn_blocking(change).await;
        let (file, done) = changed.map_err(|error| Refusal::Internal(error.to_string()))??;
        put_in_force(&view, &asked.key, &file, done).await
    })
}

/// Whose the flag will be, where a change says so: nobody gives a flag to those whose flags they may not change.
fn new_squad(change: &Change) -> Option<Option<&str>> {
    let Change::Fields(fields) = change else {
        return None;
    };
    fields.set.get("squad").map(serde_json::Value::as_str)
}

/// The version that the client has seen. `None`: any will do, says `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<Version>, Refusal> {
    let mut fields = headers.get_all(header::IF_MATCH).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Err(Refusal::Precondition);
    };
    let tag = field.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    match version {
        Some(version) if !version.is_empty() && !version.contains('"') => Ok(Some(Version::given(version))),
        _ => Err(Refusal::Precondition),
    }
}

/// The file of a flag that serves.
pub(in super::super) fn served_file(view: &View, key: &str) -> Option<String> {
    let at = view.live.current();
    let flag = at.flags.get(at.flags.by_key(key)?)?;
    Some(flag.place().file.to_string())
}

/// The file that a flag was in when it was last changed: for one whose file is gone or was never good.
fn remembered_file(editor: &edit::Editor, key: &str) -> Result<String, Refusal> {
    let wanted = Wanted {
        flag: Some(key),
        limit: 1,
        ..Wanted::default()
    };
    let (entries, _) = editor
        .history()
        .entries(&wanted)
        .map_err(|error| Refusal::Unavailable(error.to_string()))?;
    let entry = entries.into_iter().next();
    entry
        .map(|entry| entry.deed.file)
        .ok_or_else(|| Refusal::Unknown("flag", key.to_owned()))
}

async fn put_in_force(view: &View, key: &str, file: &str, done: Done) -> Result<Answer, Refusal> {
    let serves = || view.editor.serves(file, &done.version);
    if !serves() {
        let _ = tokio::time::timeout(IN_FORCE_WAIT, view.plane.read_again()).await;
    }
    let in_force = serves();
    let because = (!in_force).then(|| {
        let version = view.editor.version(file);
        format!("version {version} serves still, or somebody else's change already; see /api/status")
    });
    let at = view.live.current();
    let changed = Changed {
        key: key.to_owned(),
        version: done.version.to_string(),
        changed: done.changed,
        entry: done.entry,
        in_force,
        not_in_force_because: because,
        flag: Flag::by_key(key, &at, &view.editor),
    };
    let mut answer = Answer::json(at.version, &changed)?;
    answer.tag = Some(format!("\"{}\"", done.version));
    answer.always = true;
    Ok(answer)
}
