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

/// A work's section in Markdown: a table for each measure of which something is wanted. What is only to be read stands in
/// the first one's last columns.
pub(super) fn tables(work: &Work, found: &[Found]) -> String {
    let mut text = format!("### `{}`: {}\n\n", work.name, work.title);
    let (judged, mut read): (Vec<&Measure>, Vec<&Measure>) =
        work.measures.iter().partition(|measure| measure.goal.is_any());
    for measure in judged {
        table(&mut text, measure, &std::mem::take(&mut read), found);
    }
    text
}

fn table(text: &mut String, measure: &Measure, read: &[&Measure], found: &[Found]) {
    let lines: Vec<Line<'_>> = found.iter().map(|found| line(measure, found)).collect();
    let (best, floor) = match measure.goal.least {
        Some(_) => (None, None), // more is better: no part of another's tells that
        None => (best(&lines), named(&lines, RELAY.name)),
    };
    let _ = write!(
        text,
        "| {} | median | min – max | to best peer | to floor |",
        measure.name
    );
    for measure in read {
        let _ = write!(text, " {} |", measure.name);
    }
    let _ = writeln!(
        text,
        " |\n|---|---:|---:|---:|---:|{}---|",
        "---:|".repeat(read.len())
    );
    for (found, of) in found.iter().zip(&lines) {
        row(text, of, best, floor);
        for measure in read {
            let of = line(measure, found);
            let _ = write!(
                text,
                " {} |",
                if of.values.is_empty() {
                    String::new()
                } else {
                    number(of.median())
                }
            );
        }
        let _ = writeln!(text, " {} |", remarks(of));
    }
    text.push('\n');
    for verdict in verdicts(measure.goal, &lines) {
        let _ = writeln!(text, "{verdict}.\n");
    }
}

fn named<'l, 'f>(lines: &'l [Line<'f>], name: &str) -> Option<&'l Line<'f>> {
    lines
        .iter()
        .find(|line| line.name == name && !line.values.is_empty())
}

/// The peer that needs least.
fn best<'l, 'f>(lines: &'l [Line<'f>]) -> Option<&'l Line<'f>> {
    let is_peer = |line: &&Line<'_>| {
        ![BANYAN.name, RELAY.name, DIRECTLY].contains(&line.name) && !line.values.is_empty()
    };
    lines
        .iter()
        .filter(is_peer)
        .min_by(|a, b| a.median().total_cmp(&b.median()))
}

fn row(text: &mut String, line: &Line<'_>, best: Option<&Line<'_>>, floor: Option<&Line<'_>>) {
    if line.values.is_empty() {
        let _ = write!(text, "| {} | | | | |", line.name);
        return;
    }
    let ratio = |to: Option<&Line<'_>>| to.map_or(String::new(), |to| format!("{:.2}", line.ratio(to)));
    let extreme =
        |pick: fn(f64, f64) -> f64| number(line.values.iter().copied().reduce(pick).unwrap_or(f64::NAN));
    let _ = write!(
        text,
        "| {} | {} | {} – {} | {} | {} |",
        line.name,
        number(line.median()),
        extreme(f64::min),
        extreme(f64::max),
        ratio(best),
        ratio(floor),
    );
}

/// What went wrong.
fn remarks(line: &Line<'_>) -> String {
    let mut reasons: Vec<String> = line
        .failed
        .iter()
        .map(|why| why.replace(['\n', '\r', '|'], " "))
        .collect();
    reasons.dedup();
    match (line.values.is_empty(), line.failed.len()) {
        (_, 0) => String::new(),
        (true, _) => format!("skipped: {}", reasons.join("; ")),
        (false, failed) => format!(
            "{failed} of {} rounds failed: {}",
            line.by_round.len(),
            reasons.join("; ")
        ),
    }
}

/// Whether what is wanted of Banyan was found.
fn verdicts(goal: Goal, lines: &[Line<'_>]) -> Vec<String> {
    let Some(banyan) = named(lines, BANYAN.name) else {
        return vec!["Banyan was not measured".to_owned()];
    };
    let word = |met: bool| if met { "met" } else { "not met" };
    let mut verdicts = Vec::new();
    if let Some(least) = goal.least {
        let found = banyan.median();
        verdicts.push(format!(
            "Wanted: at least {least:.2}; found {found:.2}: {}",
            word(found >= least)
        ));
    }
    let floor = named(lines, RELAY.name);
    for (goal, to, name) in [
        (goal.best, best(lines), "the best peer's"),
        (goal.floor, floor, "the floor's"),
    ] {
        if let (Some(goal), Some(to)) = (goal, to) {
            let found = banyan.ratio(to);
            let (to, met) = (to.name, word(found <= goal));
            verdicts.push(format!(
                "Wanted: at most {goal:.2} of {name} ({to}); found {found:.2}: {met}"
            ));
        }
    }
    verdicts
}

/// All verdicts of a work, as lines of a table.
pub(super) fn summary(work: &Work, found: &[Found]) -> String {
    let mut text = String::new();
    for measure in work.measures.iter().filter(|measure| measure.goal.is_any()) {
        let lines: Vec<Line<'_>> = found.iter().map(|found| line(measure, found)).collect();
        let middle = named(&lines, BANYAN.name).map_or(String::new(), |banyan| number(banyan.median()));
        for verdict in verdicts(measure.goal, &lines) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {middle} | {verdict} |",
                work.name, measure.name
            );
        }
    }
    text
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
