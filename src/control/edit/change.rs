//! What can be changed of a flag, and how its file says it afterwards: comments, order and everything else stay.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use toml_edit::{
    Array, ArrayOfTables, Datetime, DocumentMut, InlineTable, Item, Offset, Table, TableLike, Value,
};

use crate::clock::UnixTime;

/// Points that a schedule may have.
pub const POINTS_MAX: usize = 100;

/// Changes of one flag; what isn't named stays.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// `disabled` is the kill switch.
    pub state: Option<State>,
    /// What it is for.
    pub description: Option<String>,
    /// What everyone gets whom nothing else wants.
    pub default: Option<String>,
    /// The share in percent of the variant that isn't the default, of the two that there are. Ends a schedule.
    pub share: Option<f64>,
    /// Shares in percent by variant; `None` takes one away. Ends a schedule.
    pub rollout: BTreeMap<String, Option<f64>>,
    /// How shares grow between two points of the schedule: `steps` or `linear`.
    pub shape: Option<String>,
    /// The schedule as a whole; empty: there is none.
    pub schedule: Option<Vec<Point>>,
    /// Other keys of the file, as JSON; null takes one away.
    pub set: BTreeMap<String, Json>,
}

/// Whether a flag decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It decides.
    Enabled,
    /// Everyone gets the default.
    Disabled,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// A point of a schedule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// When, as RFC 3339 has it.
    pub at: String,
    /// Shares from then on, in percent.
    pub shares: BTreeMap<String, f64>,
}

/// A change that can't be made of this file, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Unfit {
    fn of<T>(why: impl Into<String>) -> Result<T, Self> {
        Err(Self(why.into()))
    }
}

impl Fields {
    /// The kill switch, or its end.
    #[must_use]
    pub fn state(state: State) -> Self {
        Self {
            state: Some(state),
            ..Self::default()
        }
    }

    /// The text of a TOML file with these changes. What it says then is not judged here.
    ///
    /// # Errors
    /// The file is no TOML, or hasn't got what would be changed.
    pub fn apply(&self, text: &str) -> Result<String, Unfit> {
        let mut file: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| Unfit(format!("it is no TOML: {}", error.message())))?;
        if let Some(state) = self.state {
            put(file.as_table_mut(), "state", state.as_str());
        }
        if let Some(description) = &self.description {
            put(file.as_table_mut(), "description", description.as_str());
        }
        if let Some(default) = &self.default {
            put(file.as_table_mut(), "default", default.as_str());
        }
        for (key, value) in &self.set {
            match as_toml(value) {
                Some(value) => put(file.as_table_mut(), key, value),
                None if value.is_null() => drop(file.remove(key)),
                None => {
                    return Unfit::of(format!(
                        "`{key}`: a list or table can't hold null, nor a number be so large"
                    ));
                }
            }
        }
        self.roll(&mut file)?;
        Ok(file.to_string())
    }

    /// Changes `[rollout]`.
    fn roll(&self, file: &mut DocumentMut) -> Result<(), Unfit> {
        let mut shares = self.rollout.clone();
        if let Some(share) = self.share {
            shares.insert(other_variant(file)?, Some(share));
        }
        if shares.is_empty() && self.shape.is_none() && self.schedule.is_none() {
            return Ok(());
        }
        let rollout = file
            .as_table_mut()
            .entry("rollout")
            .or_insert_with(|| Item::Table(Table::new()));
        let Some(rollout) = rollout.as_table_like_mut() else {
            return Unfit::of("`rollout` is no table");
        };
        if !shares.is_empty() {
            // A schedule would go on moving what was just set by hand.
            rollout.remove("schedule");
            rollout.remove("shape");
        }
        for (variant, share) in &shares {
            match share {
                Some(share) => put(rollout, variant, *share),
                None => drop(rollout.remove(variant)),
            }
        }
        if let Some(shape) = &self.shape {
            put(rollout, "shape", shape.as_str());
        }
        if let Some(points) = &self.schedule {
            schedule(file, points)?;
        }
        Ok(())
    }
}

/// The moment that an RFC 3339 text names; `2026-12-01T08:00:00Z` is one.
///
/// # Errors
/// It names none, or one before 1970.
pub fn unix_time(text: &str) -> Result<UnixTime, Unfit> {
    let wrong = || {
        Unfit(format!(
            "{text:?} is no moment: write such as 2026-12-01T08:00:00Z"
        ))
    };
    let at: Datetime = text.parse().map_err(|_| wrong())?;
    let (Some(date), Some(time), Some(offset)) = (at.date, at.time, at.offset) else {
        return Err(wrong());
    };
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    // Days since 1970 in the Gregorian calendar, counted in years that begin in March.
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 719_469;
    let seconds = i64::from(time.second.unwrap_or(0));
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - minutes;
    let secs = days * 86_400 + minutes * 60 + seconds;
    u64::try_from(secs).map(UnixTime::from_secs).map_err(|_| wrong())
}

/// Writes the schedule: `[[rollout.schedule]]` beneath a `[rollout]`, else a list of tables in one line.
fn schedule(file: &mut DocumentMut, points: &[Point]) -> Result<(), Unfit> {
    if points.len() > POINTS_MAX {
        return Unfit::of(format!("a schedule may have {POINTS_MAX} points"));
    }
    let mut tables = Vec::with_capacity(points.len());
    for point in points {
        let mut at: Datetime = point
            .at
            .parse()
            .map_err(|_| Unfit(format!("{:?} is no date and time as RFC 3339 has it", point.at)))?;
        if at.offset.is_none() || at.date.is_none() || at.time.is_none() {
            return Unfit::of(format!(
                "{:?} lacks a part: write such as 2026-12-01T08:00:00Z",
                point.at
            ));
        }
        if let Some(time) = &mut at.time {
            time.nanosecond = time.nanosecond.filter(|nanos| *nanos != 0); // a browser writes `.000`
        }
        let mut table = InlineTable::new();
        table.insert("at", Value::from(at));
        for (variant, share) in &point.shares {
            table.insert(variant, Value::from(*share));
        }
        tables.push(table);
    }
    match file.get_mut("rollout") {
        Some(Item::Table(rollout)) if !rollout.is_dotted() => {
            rollout.remove("schedule");
            let list: ArrayOfTables = tables.into_iter().map(InlineTable::into_table).collect();
            if !list.is_empty() {
                rollout.insert("schedule", Item::ArrayOfTables(list));
            }
        }
        Some(rollout) => {
            let Some(rollout) = rollout.as_table_like_mut() else {
                return Unfit::of("`rollout` is no table");
            };
            rollout.remove("schedule");
            if !tables.is_empty() {
                put(
                    rollout,
                    "schedule",
                    Value::Array(tables.into_iter().collect::<Array>()),
                );
            }
        }
        None => return Unfit::of("there is no rollout"),
    }
    Ok(())
}

/// The one of two variants that isn't the default.
fn other_variant(file: &DocumentMut) -> Result<String, Unfit> {
    let default = file.get("default").and_then(Item::as_str);
    let names: Vec<String> = match file.get("variants") {
        Some(Item::Value(Value::Array(list))) => {
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(table) => table
            .as_table_like()
            .into_iter()
            .flat_map(|table| table.iter().map(|(name, _)| name.to_owned()))
            .collect(),
        None => Vec::new(),
    };
    let mut others = names.iter().filter(|name| Some(name.as_str()) != default);
    match (names.len(), others.next(), others.next()) {
        (2, Some(other), None) => Ok(other.clone()),
        _ => Unfit::of("it has not two variants with one of them the default: say whose share it is"),
    }
}

/// Sets a key; what is around its value, such as a comment behind it, stays.
fn put(table: &mut dyn TableLike, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

/// `None`: TOML has no such value.
fn as_toml(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None if number.is_u64() => return None,
            None => number.as_f64()?.into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(list) => Value::Array(list.iter().map(as_toml).collect::<Option<Array>>()?),
        Json::Object(members) => {
            let mut table = InlineTable::new();
            for (key, value) in members {
                table.insert(key, as_toml(value)?);
            }
            Value::InlineTable(table)
        }
    })
}
