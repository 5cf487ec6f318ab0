//! TOML text to a `*File` struct: every problem of its form at once, each with its place.
//!
//! Serde stops at the first thing that it can't take. So the value it stumbles over is reported, cut out of the tree
//! and the rest is tried again, until nothing is left to complain about.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{fault::Fault, report::Report, substitute::substitute};

/// Reads `text` as a `T`. `None` when there is nothing to go on with; then the report says why.
///
/// The value may lack parts; for each of those the report has a problem.
pub(super) fn read<T: DeserializeOwned>(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut Report,
) -> Option<T> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let first = errors.iter().position(|error| !is_duplicate(error));
        for (_, error) in errors
            .iter()
            .enumerate()
            .filter(|(at, error)| Some(*at) == first || is_duplicate(error))
        {
            let span = error.span().unwrap_or(0..0);
            report.error("syntax", span, format!("this is not TOML: {}", error.message()));
        }
        return None;
    }
    let span = root.span();
    let mut root = DeValue::Table(root.into_inner());
    substitute(&mut root, env, report);
    for _ in 0..PROBLEMS_MAX {
        let DeValue::Table(table) = &root else {
            return None;
        };
        let error = match T::deserialize(Deserializer::from(Spanned::new(span.clone(), table.clone()))) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let at = error.span().unwrap_or_else(|| span.clone());
        let cut = cut(&mut root, &span, &at);
        let key = cut.as_ref().and_then(|cut| cut.key.as_deref());
        Fault::read(error.message()).report(key, at, report);
        let cut = cut?;
        report.remove(cut.table, &cut.key.unwrap_or_default());
    }
    report.whole(
        "too-many-problems",
        format!("there are more than {PROBLEMS_MAX} problems; the rest is not shown"),
    );
    None
}

/// One syntax error makes others that mean nothing; a key that stands twice doesn't.
fn is_duplicate(error: &toml::de::Error) -> bool {
    error.message().starts_with("duplicate key")
}

/// What was taken out of a tree.
struct Cut {
    table: Range<usize>,
    /// `None`: an element of a list.
    key: Option<String>,
}

/// Takes the innermost key or value at `span` out of the tree.
fn cut(value: &mut DeValue<'_>, here: &Range<usize>, span: &Range<usize>) -> Option<Cut> {
    match value {
        DeValue::Table(table) => cut_from_table(table, here, span),
        DeValue::Array(list) => {
            let inside = list.iter_mut().find_map(|element| {
                let at = element.span();
                cut(element.get_mut(), &at, span)
            });
            inside.or_else(|| {
                list.iter().position(|element| element.span() == *span)?;
                *list = list
                    .iter()
                    .filter(|element| element.span() != *span)
                    .cloned()
                    .collect();
                Some(Cut {
                    table: here.clone(),
                    key: None,
                })
            })
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

fn cut_from_table(table: &mut DeTable<'_>, here: &Range<usize>, span: &Range<usize>) -> Option<Cut> {
    for (_, value) in table.iter_mut() {
        let at = value.span();
        if let Some(cut) = cut(value.get_mut(), &at, span) {
            return Some(cut);
        }
    }
    let is_it = |key: &Range<usize>, value: &Range<usize>| key == span || value == span;
    let name = table
        .iter()
        .find_map(|(key, value)| is_it(&key.span(), &value.span()).then(|| key.get_ref().to_string()))?;
    table.remove(name.as_str());
    Some(Cut {
        table: here.clone(),
        key: Some(name),
    })
}

/// Beyond this a file is not what it should be at all.
const PROBLEMS_MAX: usize = 100;
