//! Problems as text: for a terminal, for a pipe, for programs and for code review.

use std::{
    fmt::{self, Write as _},
    ops::Range,
};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::json;

use super::problem::{Problem, Problems, Related, Severity};

impl Problems {
    /// Plain text: one block for each problem with the source line and a caret, nothing that a terminal must draw.
    #[must_use]
    pub fn to_plain(&self) -> String {
        let blocks: Vec<String> = self.iter().map(|problem| self.plain(problem)).collect();
        blocks.join("\n")
    }

    /// Drawn and coloured, for a terminal that is `width` columns wide.
    #[must_use]
    pub fn to_fancy(&self, width: usize) -> String {
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode())
            .with_width(width.max(40))
            .with_links(false)
            .with_context_lines(1);
        let mut out = String::new();
        for problem in self.iter() {
            let shown = Shown::of(self, problem);
            if handler.render_report(&mut out, &shown).is_err() {
                out.push_str(&self.plain(problem));
            }
            out.push('\n');
        }
        out
    }

    /// Fancy when `stderr` is a terminal, plain otherwise.
    #[must_use]
    pub fn to_text(&self, terminal_width: Option<usize>) -> String {
        terminal_width.map_or_else(|| self.to_plain(), |width| self.to_fancy(width))
    }

    /// One JSON array, an object for each problem.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let place = |related: &Related| json!({ "file": related.file, "line": related.line, "column": related.column, "what": related.what });
        self.iter()
            .map(|problem| {
                json!({
                    "kind": problem.kind,
                    "severity": problem.severity.as_str(),
                    "file": problem.file,
                    "line": problem.line,
                    "column": problem.column,
                    "what": problem.what,
                    "hint": problem.hint,
                    "related": problem.related.iter().map(place).collect::<Vec<_>>(),
                })
            })
            .collect()
    }

    /// GitHub's workflow commands, a line for each problem, shown beside the changed line in a pull request.
    #[must_use]
    pub fn to_github(&self) -> String {
        self.iter().map(github).collect()
    }

    fn plain(&self, problem: &Problem) -> String {
        let mut out = format!(
            "{}[{}]: {}\n",
            problem.severity.as_str(),
            problem.kind,
            problem.what
        );
        match &problem.span {
            None => _ = writeln!(out, "  --> {}", problem.file),
            Some(span) => self.quote(
                &mut out,
                "-->",
                &problem.file,
                span,
                (problem.line, problem.column),
            ),
        }
        for related in &problem.related {
            _ = writeln!(out, "  {}:", related.what);
            self.quote(
                &mut out,
                "-->",
                &related.file,
                &related.span,
                (related.line, related.column),
            );
        }
        if let Some(hint) = &problem.hint {
            _ = writeln!(out, "  help: {hint}");
        }
        out
    }

    fn quote(
        &self,
        out: &mut String,
        arrow: &str,
        file: &str,
        span: &Range<usize>,
        (line, column): (u32, u32),
    ) {
        _ = writeln!(out, "  {arrow} {file}:{line}:{column}");
        let Some((text, lines)) = self.text(file) else {
            return;
        };
        let shown = lines.text(text, line);
        let length = text.get(span.clone()).map_or(1, |marked| {
            marked.lines().next().unwrap_or_default().chars().count()
        });
        let indent: String = shown
            .chars()
            .take(usize::try_from(column.saturating_sub(1)).unwrap_or(0))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let number = line.to_string();
        _ = writeln!(out, "  {number} | {shown}");
        _ = writeln!(
            out,
            "  {:1$} | {indent}{2}",
            "",
            number.len(),
            "^".repeat(length.clamp(1, 200))
        );
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_plain())
    }
}

fn github(problem: &Problem) -> String {
    let mut message = problem.what.clone();
    for related in &problem.related {
        _ = write!(message, "\n{}: {}:{}", related.what, related.file, related.line);
    }
    if let Some(hint) = &problem.hint {
        _ = write!(message, "\nhelp: {hint}");
    }
    let place = if problem.span.is_some() {
        format!(",line={},col={}", problem.line, problem.column)
    } else {
        String::new()
    };
    format!(
        "::{} file={}{place},title={}::{}\n",
        problem.severity.as_str(),
        escape(&problem.file, true),
        problem.kind,
        escape(&message, false)
    )
}

/// The escapes of GitHub's runner (`actions/toolkit`, `command.ts`).
fn escape(text: &str, property: bool) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    if property {
        text.replace(':', "%3A").replace(',', "%2C")
    } else {
        text
    }
}

/// A problem as miette wants it.
#[derive(Debug)]
struct Shown<'p> {
    problem: &'p Problem,
    source: Option<NamedSource<String>>,
    elsewhere: Vec<Elsewhere>,
}

impl<'p> Shown<'p> {
    fn of(problems: &Problems, problem: &'p Problem) -> Self {
        let source = |file: &str| Some(NamedSource::new(file, problems.text(file)?.0.to_owned()));
        let elsewhere = problem.related.iter().filter_map(|related| {
            Some(Elsewhere {
                what: related.what.clone(),
                source: source(&related.file)?,
                span: related.span.clone(),
            })
        });
        Self {
            problem,
            source: problem.span.as_ref().and_then(|_| source(&problem.file)),
            elsewhere: elsewhere.collect(),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some(_) => f.write_str(&self.problem.what),
            None => write!(f, "{}: {}", self.problem.file, self.problem.what),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.problem.kind))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem
            .hint
            .as_ref()
            .map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::underline(span))))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.elsewhere.iter().map(|place| place as &dyn Diagnostic),
        ))
    }
}

/// A related place as miette wants it.
#[derive(Debug)]
struct Elsewhere {
    what: String,
    source: NamedSource<String>,
    span: Range<usize>,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Elsewhere {}

impl Diagnostic for Elsewhere {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::underline(
            self.span.clone(),
        ))))
    }
}
