//! Changes flags on the files, with their history, when no router runs that could.

use std::{path::Path, thread, time::Duration};

use serde_json::{Value, json};

use super::{
    Failed,
    act::{Act, Said},
};
use crate::{
    cli::Exit,
    clock,
    config::{Sources, settings::Settings},
    control::{
        edit::{Editor, Order, Refused},
        history::{
            History, Wanted,
            diff::diff,
            entry::{Entry, How, Version},
        },
    },
    flag::{FlagSettings, FlagState, Targeting},
    observe::log::rfc3339,
};

/// How long another command may have the history open.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks at it.
const HISTORY_PAUSE: Duration = Duration::from_millis(20);

/// The files of a site.
pub(super) struct Files {
    settings: Settings,
    editor: Editor,
}

impl Files {
    /// The site of `config`, with the texts that its settings come from.
    pub(super) fn open(config: &Path, settings: Settings, sources: &Sources) -> Result<Self, Failed> {
        let history = History::of(&settings.edge.state);
        let until = clock::steady() + HISTORY_TIMEOUT;
        while history.usable().is_err() && clock::steady() < until {
            thread::sleep(HISTORY_PAUSE);
        }
        let failed = |error: &dyn std::fmt::Display| Failed::new(Exit::Failure, error.to_string());
        history.usable().map_err(|error| failed(&error))?;
        let editor = Editor::of_files(config, history, sources.clone());
        editor.begin(sources).map_err(|error| failed(&error))?;
        Ok(Self { settings, editor })
    }

    /// All flags.
    pub(super) fn list(&self) -> Value {
        let flags: Vec<Value> = self.settings.flags.iter().map(|flag| self.told(flag)).collect();
        json!({ "flags": flags })
    }

    /// One flag.
    pub(super) fn show(&self, key: &str) -> Result<Value, Failed> {
        self.find(key).map(|flag| self.told(flag))
    }

    /// Changes one.
    pub(super) fn change(&self, key: &str, act: &Act, said: &Said) -> Result<Value, Failed> {
        let file = match self.find(key) {
            Ok(flag) => flag.place.file.to_string(),
            Err(failed) => match self.entries(Some(key), 1)?.0.into_iter().next() {
                Some(entry) => entry.deed.file,
                None => return Err(failed),
            },
        };
        let order = Order {
            flag: key.to_owned(),
            file,
            version: said.seen.as_deref().map(Version::given),
            change: act.change()?,
            who: said.by.clone(),
            how: How::Cli,
            reason: said.reason.clone(),
        };
        let done = self.editor.change(&order).map_err(|refused| {
            let mut why = refused.to_string();
            if let Refused::Invalid(_, problems) = &refused {
                for problem in problems {
                    why += &format!("\n  {}:{}: {}", problem.file, problem.line, problem.what);
                }
            }
            let exit = match refused {
                Refused::Invalid(..) | Refused::Unfit(..) => Exit::Invalid,
                Refused::Clash(_) | Refused::Unwritable(..) | Refused::History(_) => Exit::Failure,
            };
            Failed::new(exit, why)
        })?;
        Ok(json!({
            "key": key,
            "version": done.version.as_str(),
            "changed": done.changed,
            "entry": done.entry,
            "in_force": false,
            "not_in_force_because": "no router answers here; the next one that starts reads it",
            "flag": null,
        }))
    }

    /// What was changed.
    pub(super) fn history(&self, key: Option<&str>, limit: usize) -> Result<Value, Failed> {
        let (entries, more) = self.entries(key, limit)?;
        let entries: Vec<Value> = entries.iter().map(entry).collect();
        Ok(json!({ "entries": entries, "more": more }))
    }

    fn entries(&self, key: Option<&str>, limit: usize) -> Result<(Vec<Entry>, bool), Failed> {
        let file = key
            .and_then(|key| self.find(key).ok())
            .map(|flag| flag.place.file.to_string());
        let wanted = Wanted {
            flag: key,
            file: file.as_deref(),
            limit,
            ..Wanted::default()
        };
        let entries = self.editor.history().entries(&wanted);
        entries.map_err(|error| Failed::new(Exit::Failure, error.to_string()))
    }

    fn find(&self, key: &str) -> Result<&FlagSettings, Failed> {
        let mut flags = self.settings.flags.iter();
        let found = flags.find(|flag| flag.key.as_str() == key);
        found.ok_or_else(|| Failed::new(Exit::Failure, format!("there is no flag `{key}`")))
    }

    /// A flag in the words of the admin API.
    fn told(&self, flag: &FlagSettings) -> Value {
        let rollout = match &flag.targeting {
            Targeting::Rules { rollout, .. } => Some(rollout.as_ref()),
            Targeting::JsonLogic(_) => None,
        };
        let enabled = flag.state == FlagState::Enabled;
        let shares = rollout
            .flatten()
            .filter(|_| enabled)
            .map_or(&[][..], |rollout| &rollout.shares);
        let taken: u32 = shares.iter().map(|(_, share)| *share).sum();
        let variants: Vec<Value> = flag
            .variants
            .iter()
            .map(|(name, value)| {
                let own = shares
                    .iter()
                    .find(|(given, _)| given == name)
                    .map_or(0, |(_, share)| *share);
                let is_default = flag.default.as_ref() == Some(name);
                let rest = if is_default {
                    100_000_u32.saturating_sub(taken)
                } else {
                    0
                };
                let share = rollout.map(|_| f64::from(own + rest) / 1000.0);
                json!({ "name": name.as_str(), "value": value, "share": share })
            })
            .collect();
        json!({
            "key": flag.key.as_str(),
            "version": self.editor.version(&flag.place.file).as_str(),
            "description": flag.description,
            "squad": flag.squad.as_ref().map(ToString::to_string),
            "place": flag.place.to_string(),
            "state": if enabled { "enabled" } else { "disabled" },
            "variants": variants,
            "default": flag.default.as_ref().map(ToString::to_string),
        })
    }
}

/// An entry in the words of the admin API.
fn entry(entry: &Entry) -> Value {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    json!({
        "id": entry.id,
        "at": rfc3339(entry.deed.at_millis / 1000),
        "flag": entry.deed.flag,
        "file": entry.deed.file,
        "who": entry.deed.who,
        "how": entry.deed.how,
        "reason": entry.deed.reason,
        "before": entry.before.text,
        "after": entry.after.text,
        "before_version": entry.before.version.as_str(),
        "after_version": entry.after.version.as_str(),
        "diff": diff(&text(&entry.before.text), &text(&entry.after.text)),
    })
}
