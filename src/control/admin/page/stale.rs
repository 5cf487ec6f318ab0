//! Signs that a flag has done its work, or never had any: hints for whoever could remove it.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
    time::UNIX_EPOCH,
};

use super::html::Html;
use crate::{
    clock::UnixTime,
    control::{
        admin::api::flags::Flag,
        live::{Figures, POINT_BEATS, POINTS_KEPT_MAX},
    },
};

/// Days after which a flag at one end is called done.
const DONE_DAYS: u64 = 30;
/// Flags whose files are looked at for one page.
const FILES_MAX: usize = 1000;

/// Days since the file of each flag was written, by key.
pub(super) fn ages(folder: &Path, flags: &[Flag], now: UnixTime) -> BTreeMap<String, u64> {
    let aged = flags
        .iter()
        .filter(|flag| at_one_end(flag).is_some())
        .take(FILES_MAX);
    aged.filter_map(|flag| Some((flag.key.clone(), age(folder, flag, now)?)))
        .collect()
}

/// Days since the file of a flag was written. `None`: nobody can say.
pub(super) fn age(folder: &Path, flag: &Flag, now: UnixTime) -> Option<u64> {
    let file = Path::new(flag.place.split(':').next()?);
    if !file.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let written = std::fs::metadata(folder.join(file)).ok()?.modified().ok()?;
    let written = written.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(now.secs().saturating_sub(written) / 86_400)
}

/// The variant that everyone whom the rules leave gets.
fn at_one_end(flag: &Flag) -> Option<&str> {
    let whole = flag
        .variants
        .iter()
        .find(|variant| variant.share.is_some_and(|share| share >= 100.0));
    whole.map(|variant| variant.name.as_str())
}

/// What may be said of a flag, in sentences.
pub(super) fn hints(flag: &Flag, age: Option<u64>, figures: &Figures) -> Vec<String> {
    let mut hints = Vec::new();
    if let (Some(variant), Some(days)) = (at_one_end(flag), age.filter(|days| *days >= DONE_DAYS)) {
        let rest = if flag.rules.is_empty() {
            ""
        } else {
            " whom no rule takes"
        };
        hints.push(format!(
            "Everyone{rest} gets {variant}, and the file is unchanged for {days} days: the flag may have done its work"
        ));
    }
    if flag.routes.is_empty() {
        hints.push("No route asks it".to_owned());
    } else if figures.points.len() >= POINTS_KEPT_MAX && is_silent(flag, figures) {
        let minutes = POINTS_KEPT_MAX * POINT_BEATS / 60;
        hints.push(format!("Nobody asked it in the last {minutes} minutes"));
    }
    hints
}

fn is_silent(flag: &Flag, figures: &Figures) -> bool {
    let mut points = figures.points.iter();
    points.all(|point| point.what.decisions_of(&flag.key).next().is_none())
}

/// The hints as a list; nothing when there are none.
pub(super) fn draw(html: &mut Html, flag: &Flag, age: Option<u64>, figures: &Figures) {
    let hints = hints(flag, age, figures);
    if hints.is_empty() {
        return;
    }
    html.raw("<ul class=\"hints\">");
    for hint in hints {
        html.element("<li>", hint, "</li>");
    }
    html.raw("</ul>");
}
