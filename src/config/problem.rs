//! What is wrong with the files: each problem with its place, reason and a way to mend it, and all of them together.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use super::{lines::Lines, mask::mask_secrets, sources::Sources};
use crate::name::Place;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file is used, but something in it is probably not meant.
    Warning,
}

impl Severity {
    /// As it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A stretch of a file, and what it has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Path relative to the folder of `banyan.toml`.
    pub file: String,
    /// Bytes of the file.
    pub span: Range<usize>,
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// What is there, in lower case.
    pub what: String,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable word for this sort of problem, such as `unknown-backend`.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Path relative to the folder of `banyan.toml`.
    pub file: String,
    /// Bytes of the file; `None` when the problem is the file itself.
    pub span: Option<Range<usize>>,
    /// Line, counted from 1; 0 without a span.
    pub line: u32,
    /// Column in characters, counted from 1; 0 without a span.
    pub column: u32,
    /// What is wrong, in lower case and without a full stop.
    pub what: String,
    /// How to mend it.
    pub hint: Option<String>,
    /// Other places that have to do with it.
    pub related: Vec<Related>,
}

impl Problem {
    /// A problem of `file`, at `span` if it has a place inside it.
    #[must_use]
    pub fn new(
        severity: Severity,
        kind: &'static str,
        file: &str,
        span: Option<Range<usize>>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            severity,
            file: file.to_owned(),
            span,
            line: 0,
            column: 0,
            what: what.into(),
            hint: None,
            related: Vec::new(),
        }
    }

    /// Says how to mend it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says how to mend it, when there is something to say.
    pub fn hint_if(&mut self, hint: Option<String>) -> &mut Self {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }

    /// Points at another place.
    pub fn related(&mut self, file: &str, span: Range<usize>, what: impl Into<String>) -> &mut Self {
        self.related.push(Related {
            file: file.to_owned(),
            span,
            line: 0,
            column: 0,
            what: what.into(),
        });
        self
    }

    /// Whether it keeps the file from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Everything that is wrong, in the order of files and lines, with the texts to quote from.
#[derive(Clone, Default)]
pub struct Problems {
    list: Vec<Problem>,
    texts: BTreeMap<String, (Arc<str>, Lines)>,
}

impl Problems {
    /// No problem yet in these files. Literal secrets are blotted out of the texts before anything is quoted.
    #[must_use]
    pub fn of(sources: &Sources) -> Self {
        let quoted = |(file, text): (&str, &Arc<str>)| {
            let text = mask_secrets(text);
            (file.to_owned(), (Arc::clone(&text), Lines::of(&text)))
        };
        Self {
            list: Vec::new(),
            texts: sources.iter().map(quoted).collect(),
        }
    }

    /// Adds one. Line and columns are worked out here.
    pub fn push(&mut self, mut problem: Problem) {
        let at = |file: &str, span: &Range<usize>| {
            let (text, lines) = self.texts.get(file)?;
            Some(lines.position(text, span.start))
        };
        if let Some(span) = &problem.span {
            (problem.line, problem.column) = at(&problem.file, span).unwrap_or((1, 1));
        }
        for related in &mut problem.related {
            (related.line, related.column) = at(&related.file, &related.span).unwrap_or((1, 1));
        }
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// Takes those of one kind out again.
    pub fn take_out(&mut self, kind: &str) {
        self.list.retain(|problem| problem.kind != kind);
    }

    /// Brings them into the order of severity's places: file by file as they are read, from top to bottom.
    pub(super) fn sort(&mut self) {
        self.list.sort_by(|a, b| {
            (rank(&a.file), &a.file, a.line, a.column).cmp(&(rank(&b.file), &b.file, b.line, b.column))
        });
    }

    /// Replaces what came from the environment by the variable's name, so that no secret is repeated.
    pub(super) fn conceal(&mut self, substituted: &[(String, String)]) {
        for (name, value) in substituted
            .iter()
            .filter(|(_, value)| value.len() >= CONCEALED_BYTES_MIN)
        {
            let name = format!("${{{name}}}");
            for problem in &mut self.list {
                problem.what = problem.what.replace(value.as_str(), &name);
                problem.hint = problem
                    .hint
                    .take()
                    .map(|hint| hint.replace(value.as_str(), &name));
            }
        }
    }

    /// Adds one that is known by its line alone.
    pub fn push_at(
        &mut self,
        severity: Severity,
        place: &Place,
        kind: &'static str,
        what: String,
        hint: String,
    ) {
        let span = self.texts.get(&*place.file).map(|(text, _)| {
            let before = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
            let start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
            let line = text
                .get(start..)
                .and_then(|rest| rest.lines().next())
                .unwrap_or_default();
            start..start + line.len()
        });
        let mut problem = Problem::new(severity, kind, &place.file, span, what);
        problem.hint(hint);
        self.push(problem);
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Those that keep a file from being used.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|problem| problem.is_error())
    }

    /// Whether nothing at all is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether one of them keeps a file from being used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// The text of a file as it may be shown: secrets blotted out.
    pub(super) fn text(&self, file: &str) -> Option<(&str, &Lines)> {
        self.texts.get(file).map(|(text, lines)| (&**text, lines))
    }
}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

/// Values from the environment that are shorter than this are words like `on` or `8443`, not secrets.
const CONCEALED_BYTES_MIN: usize = 6;

fn rank(file: &str) -> u8 {
    match file.split_once('/') {
        None => 0,
        Some(("routes", _)) => 1,
        Some(_) => 2,
    }
}
