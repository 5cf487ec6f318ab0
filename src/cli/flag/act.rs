//! What a command line asks for, as the admin API takes it and as the files take it.

use serde_json::{Map, Value, json};

use super::{Command, Failed};
use crate::{
    cli::Exit,
    control::edit::{
        Change,
        change::{Fields, State},
    },
    name::FlagKey,
};

/// Who does it, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Said {
    /// Why: the history keeps it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) reason: String,
    /// Who: the history keeps it.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody")]
    pub(super) by: String,
    /// The version that was seen; by itself the one that there is.
    #[arg(long, value_name = "VERSION")]
    pub(super) seen: Option<String>,
}

/// A change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Act {
    Kill,
    Restore,
    Ramp(Map<String, Value>),
    Set(Map<String, Value>),
    Undo { entry: Option<u64>, and_after: bool },
}

impl Act {
    /// What a command changes; `None`: nothing.
    pub(super) fn of(command: &Command) -> Result<Option<Self>, Failed> {
        Ok(Some(match command {
            Command::List | Command::Show { .. } | Command::History { .. } | Command::Link { .. } => {
                return Ok(None);
            }
            Command::Kill { .. } => Self::Kill,
            Command::Restore { .. } => Self::Restore,
            Command::Ramp { shares, .. } => Self::Ramp(ramp(shares)?),
            Command::Set { values, .. } => Self::Set(set(values)?),
            Command::Undo { entry, and_after, .. } => Self::Undo {
                entry: *entry,
                and_after: *and_after,
            },
        }))
    }

    /// The last part of the address; `None`: the flag itself is patched.
    pub(super) const fn verb(&self) -> Option<&'static str> {
        match self {
            Self::Kill => Some("kill"),
            Self::Restore => Some("restore"),
            Self::Ramp(_) => Some("ramp"),
            Self::Set(_) => None,
            Self::Undo { .. } => Some("undo"),
        }
    }

    /// What is sent to the admin API.
    pub(super) fn body(&self, said: &Said) -> Value {
        let mut body = match self {
            Self::Kill | Self::Restore => Map::new(),
            Self::Ramp(fields) | Self::Set(fields) => fields.clone(),
            Self::Undo { entry, and_after } => {
                let mut body = Map::new();
                body.extend(entry.map(|entry| ("entry".to_owned(), json!(entry))));
                body.insert("and_after".to_owned(), json!(and_after));
                body
            }
        };
        for (name, value) in [("reason", said.reason.as_str()), ("by", &said.by), ("how", "cli")] {
            body.insert(name.to_owned(), json!(value));
        }
        Value::Object(body)
    }

    /// What is done to the files.
    pub(super) fn change(&self) -> Result<Change, Failed> {
        let fields = match self {
            Self::Kill => Fields::state(State::Disabled),
            Self::Restore => Fields::state(State::Enabled),
            Self::Ramp(fields) | Self::Set(fields) => {
                serde_json::from_value(Value::Object(fields.clone()))
                    .map_err(|error| Failed::new(Exit::Usage, error.to_string()))?
            }
            Self::Undo { entry, and_after } => {
                return Ok(Change::Undo {
                    entry: *entry,
                    and_after: *and_after,
                });
            }
        };
        Ok(Change::Fields(Box::new(fields)))
    }
}

/// A key as a part of an address; keys need no escapes.
pub(super) fn in_path(key: &str) -> Result<&str, Failed> {
    match FlagKey::new(key) {
        Ok(_) => Ok(key),
        Err(why) => Err(Failed::new(
            Exit::Usage,
            format!("`{key}` can't be the key of a flag: {why}"),
        )),
    }
}

fn ramp(shares: &[String]) -> Result<Map<String, Value>, Failed> {
    if let [share] = shares
        && let Ok(share) = share.trim_end_matches('%').parse::<f64>()
    {
        return Ok(Map::from_iter([("share".to_owned(), json!(share))]));
    }
    let mut rollout = Map::new();
    for share in shares {
        let wrong = || {
            Failed::new(
                Exit::Usage,
                format!("{share:?} is no share: write `25` or `new=25`"),
            )
        };
        let (variant, percent) = share.split_once('=').ok_or_else(wrong)?;
        let percent: f64 = percent.trim_end_matches('%').parse().map_err(|_| wrong())?;
        rollout.insert(variant.to_owned(), json!(percent));
    }
    Ok(Map::from_iter([("rollout".to_owned(), Value::Object(rollout))]))
}

fn set(values: &[String]) -> Result<Map<String, Value>, Failed> {
    let (mut fields, mut rollout, mut others) = (Map::new(), Map::new(), Map::new());
    for given in values {
        let wrong = || Failed::new(Exit::Usage, format!("{given:?} sets nothing: write `key=value`"));
        let (key, text) = given.split_once('=').ok_or_else(wrong)?;
        let value = match text {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
        match (key, key.strip_prefix("rollout.")) {
            (_, Some(variant)) => drop(rollout.insert(variant.to_owned(), value)),
            // Texts, whatever they look like.
            ("state" | "description" | "default" | "shape", None) => {
                fields.insert(key.to_owned(), json!(text));
            }
            ("schedule", None) => drop(fields.insert(key.to_owned(), value)),
            (key, None) => drop(others.insert(key.to_owned(), value)),
        }
    }
    for (name, inside) in [("rollout", rollout), ("set", others)] {
        if !inside.is_empty() {
            fields.insert(name.to_owned(), Value::Object(inside));
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn shares_are_one_number_or_one_for_each_variant() {
        let ramped = |given: &[&str]| ramp(&words(given)).ok().map(Value::Object);
        assert_eq!(ramped(&["25"]), Some(json!({ "share": 25.0 })));
        assert_eq!(ramped(&["0.5%"]), Some(json!({ "share": 0.5 })));
        let both = json!({ "rollout": { "new": 25.0, "newer": 1.0 } });
        assert_eq!(ramped(&["new=25", "newer=1%"]), Some(both));
        assert_eq!(ramped(&["much"]), None);
        assert_eq!(ramped(&["25", "30"]), None);
    }

    #[test]
    fn keys_are_set_where_the_api_has_them() {
        let given = [
            "state=disabled",
            "description=5",
            "rollout.new=5",
            "rollout.old=",
            "public=true",
            "squad=",
        ];
        let told = set(&words(&given)).unwrap();
        let expected = json!({
            "state": "disabled", "description": "5", "rollout": { "new": 5, "old": null },
            "set": { "public": true, "squad": null },
        });
        assert_eq!(Value::Object(told.clone()), expected);
        assert!(Act::Set(told).change().is_ok());
        assert!(set(&words(&["public"])).is_err());
    }
}
