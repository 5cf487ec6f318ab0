//! Tables and JSON of what was found.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    fleet::{BANYAN, RELAY},
    rounds::{DIRECTLY, Found},
    works::{Goal, Measure, Work},
};

/// One line of a table.
struct Line<'a> {
    name: &'a str,
    values: Vec<f64>,
    failed: Vec<&'a str>,
    /// By round, to compare two programs in the same one.
    by_round: Vec<Option<f64>>,
}

impl Line<'_> {
    fn median(&self) -> f64 {
        median(self.values.clone())
    }

    /// The median over rounds of what this needed as a part of what `other` needed in the same round.
    fn ratio(&self, other: &Self) -> f64 {
        let both = self.by_round.iter().zip(&other.by_round);
        median(
            both.filter_map(|(one, other)| Some((*one)? / (*other)?))
                .collect(),
        )
    }
}

/// The value in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Tables of one work in Markdown, one for each measure.
pub(super) fn tables(work: &Work, found: &[Found]) -> String {
    let mut text = format!("### `{}`: {}\n\n", work.name, work.title);
    for measure in work.measures {
        table(&mut text, measure, found);
    }
    text
}

fn table(text: &mut String, measure: &Measure, found: &[Found]) {
    let lines: Vec<Line<'_>> = found.iter().map(|found| line(measure, found)).collect();
    let named = |name: &str| {
        lines
            .iter()
            .find(|line| line.name == name && !line.values.is_empty())
    };
    let (floor, banyan) = (named(RELAY.name), named(BANYAN.name));
    let is_peer = |line: &&Line<'_>| {
        ![BANYAN.name, RELAY.name, DIRECTLY].contains(&line.name) && !line.values.is_empty()
    };
    let best = lines
        .iter()
        .filter(is_peer)
        .min_by(|a, b| a.median().total_cmp(&b.median()));
    let _ = writeln!(
        text,
        "| {} | median | min – max | to best peer | to floor | |",
        measure.name
    );
    text.push_str("|---|---:|---:|---:|---:|---|\n");
    for line in &lines {
        row(text, line, best, floor);
    }
    text.push('\n');
    if let Some(banyan) = banyan {
        judge(text, measure.goal, banyan, best, floor);
    }
}

fn row(text: &mut String, line: &Line<'_>, best: Option<&Line<'_>>, floor: Option<&Line<'_>>) {
    let mut remarks: Vec<String> = line
        .failed
        .iter()
        .map(|why| why.replace(['\n', '\r', '|'], " "))
        .collect();
    remarks.dedup();
    if line.values.is_empty() {
        let _ = writeln!(
            text,
            "| {} | | | | | skipped: {} |",
            line.name,
            remarks.join("; ")
        );
        return;
    }
    if !remarks.is_empty() {
        remarks.insert(
            0,
            format!("{} of {} rounds failed", line.failed.len(), line.by_round.len()),
        );
    }
    let ratio = |to: Option<&Line<'_>>| to.map_or(String::new(), |to| format!("{:.2}", line.ratio(to)));
    let extreme =
        |pick: fn(f64, f64) -> f64| number(line.values.iter().copied().reduce(pick).unwrap_or(f64::NAN));
    let _ = writeln!(
        text,
        "| {} | {} | {} – {} | {} | {} | {} |",
        line.name,
        number(line.median()),
        extreme(f64::min),
        extreme(f64::max),
        ratio(best),
        ratio(floor),
        remarks.join(": ")
    );
}

/// Says whether what is wanted of Banyan was found.
fn judge(
    text: &mut String,
    goal: Goal,
    banyan: &Line<'_>,
    best: Option<&Line<'_>>,
    floor: Option<&Line<'_>>,
) {
    let word = |met: bool| if met { "met" } else { "not met" };
    if let Some(least) = goal.least {
        let found = banyan.median();
        let _ = writeln!(
            text,
            "Wanted: at least {least:.2}; found {found:.2}: {}.\n",
            word(found >= least)
        );
    }
    for (goal, to, name) in [
        (goal.best, best, "the best peer's"),
        (goal.floor, floor, "the floor's"),
    ] {
        if let (Some(goal), Some(to)) = (goal, to) {
            let (found, to, met) = (banyan.ratio(to), to.name, word(banyan.ratio(to) <= goal));
            let _ = writeln!(
                text,
                "Wanted: at most {goal:.2} of {name} ({to}); found {found:.2}: {met}.\n"
            );
        }
    }
}

fn line<'a>(measure: &Measure, found: &'a Found) -> Line<'a> {
    let by_round: Vec<Option<f64>> = found
        .rounds
        .iter()
        .map(|round| round.as_ref().ok().map(measure.of))
        .collect();
    Line {
        name: &found.name,
        values: by_round.iter().flatten().copied().collect(),
        failed: found
            .rounds
            .iter()
            .filter_map(|round| round.as_ref().err().map(String::as_str))
            .collect(),
        by_round,
    }
}

fn number(value: f64) -> String {
    match value {
        small if small.abs() < 10.0 => format!("{small:.2}"),
        middle if middle.abs() < 1000.0 => format!("{middle:.1}"),
        large => format!("{large:.0}"),
    }
}

/// Everything that was measured in one work.
pub(super) fn json(work: &Work, found: &[Found]) -> Value {
    let programs: Vec<Value> = found
        .iter()
        .map(|found| {
            let rounds: Vec<Value> = found
                .rounds
                .iter()
                .map(|round| match round {
                    Ok(told) => json!(told),
                    Err(why) => json!({ "error": why }),
                })
                .collect();
            json!({ "name": found.name, "rounds": rounds })
        })
        .collect();
    json!({ "work": work.name, "title": work.title, "programs": programs })
}
