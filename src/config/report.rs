//! Collects the problems of one file while it is read and judged.

use std::{ops::Range, sync::Arc};

use super::{
    lines::Lines,
    problem::{Problem, Severity},
};
use crate::name::Place;

/// The problems of one file so far, and what is known about its text.
#[derive(Debug)]
pub(super) struct Report {
    /// Path relative to the folder of `banyan.toml`.
    pub(super) file: Arc<str>,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
    /// Variables that were put in, with their values: to be concealed in what is printed.
    pub(super) substituted: Vec<(String, String)>,
    /// Keys that were left out because something about them has been reported: span of the table, name.
    removed: Vec<(Range<usize>, String)>,
    lines: Lines,
}

impl Report {
    /// Nothing is wrong yet.
    pub(super) fn of(file: &str, text: &str) -> Self {
        Self {
            file: Arc::from(file),
            problems: Vec::new(),
            substituted: Vec::new(),
            removed: Vec::new(),
            lines: Lines::of(text),
        }
    }

    /// Something keeps the file from being used.
    pub(super) fn error(
        &mut self,
        kind: &'static str,
        span: Range<usize>,
        what: impl Into<String>,
    ) -> &mut Problem {
        self.push(Problem::new(Severity::Error, kind, &self.file, Some(span), what))
    }

    /// Something is probably not meant.
    pub(super) fn warning(
        &mut self,
        kind: &'static str,
        span: Range<usize>,
        what: impl Into<String>,
    ) -> &mut Problem {
        self.push(Problem::new(
            Severity::Warning,
            kind,
            &self.file,
            Some(span),
            what,
        ))
    }

    /// The file as a whole can't be used.
    pub(super) fn whole(&mut self, kind: &'static str, what: impl Into<String>) -> &mut Problem {
        self.push(Problem::new(Severity::Error, kind, &self.file, None, what))
    }

    /// Something about the file as a whole is probably not meant.
    pub(super) fn whole_warning(&mut self, kind: &'static str, what: &str) -> &mut Problem {
        self.push(Problem::new(Severity::Warning, kind, &self.file, None, what))
    }

    /// A key isn't there; silent if it was there and has been reported for something else.
    pub(super) fn missing(&mut self, table: &Range<usize>, key: &str, hint: &str) {
        if !self.was_removed(table, key) {
            self.error("missing-key", table.clone(), format!("`{key}` is missing here"))
                .hint(hint);
        }
    }

    /// Remembers that `key` of `table` is left out from here on.
    pub(super) fn remove(&mut self, table: Range<usize>, key: &str) {
        self.removed.push((table, key.to_owned()));
    }

    /// Whether `key` of `table` was there and has been left out.
    pub(super) fn was_removed(&self, table: &Range<usize>, key: &str) -> bool {
        self.removed.iter().any(|(at, name)| at == table && name == key)
    }

    /// Whether a key or table of this name was left out anywhere.
    pub(super) fn has_removed(&self, key: &str) -> bool {
        self.removed.iter().any(|(_, name)| name == key)
    }

    /// Where a span starts.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: self.lines.line(span.start),
        }
    }

    /// A whole line.
    pub(super) fn line_span(&self, line: u32) -> Range<usize> {
        self.lines.span(line)
    }

    /// Whether the file can't be used.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// Leaves out what is only said because a variable had no value.
    pub(super) fn settle(&mut self) {
        let unset = |problem: &Problem| matches!(problem.kind, "unset-variable" | "bad-variable");
        let spans: Vec<_> = self
            .problems
            .iter()
            .filter(|problem| unset(problem))
            .map(|problem| problem.span.clone())
            .collect();
        self.problems
            .retain(|problem| unset(problem) || !spans.contains(&problem.span));
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        let at = self.problems.len();
        self.problems.push(problem);
        // the element was pushed in the line above, so the slice from `at` is never empty
        #[expect(clippy::indexing_slicing, reason = "pushed in the line above")]
        &mut self.problems[at]
    }
}

/// The known name that someone who typed `given` most likely meant.
pub(super) fn nearest<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&given, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + given.len().min(name.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// `did you mean …?`, or the names there are.
pub(super) fn suggest<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    if let Some(name) = nearest(given, known.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    if known.is_empty() {
        return None;
    }
    let more = known.len().saturating_sub(NAMES_LISTED_MAX);
    known.truncate(NAMES_LISTED_MAX);
    let listed = known
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    Some(if more > 0 {
        format!("known are {listed} and {more} more")
    } else {
        format!("known are {listed}")
    })
}

/// More names than this don't help a reader.
const NAMES_LISTED_MAX: usize = 16;
