//! What a person should know about an import: what is wrong, what was not carried over, and what to do about it.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is written.
    Error,
    /// Something means less, or something else, than it did.
    Warning,
    /// Good to know.
    Note,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its number in the report, from 1.
    pub number: usize,
    /// How bad it is.
    pub severity: Severity,
    /// A fixed word.
    pub kind: &'static str,
    /// The distribution, by its title; empty: a file, or all of them.
    pub about: String,
    /// Behaviours, by number. Empty: the whole distribution.
    pub behaviours: Vec<usize>,
    /// What it is.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// All of them, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<Finding>,
    about: String,
}

impl Findings {
    /// What follows is about this distribution or file.
    pub(super) fn turn_to(&mut self, about: &str) {
        about.clone_into(&mut self.about);
    }

    /// About the whole distribution.
    pub(super) fn error(&mut self, kind: &'static str, what: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, kind, None, what.into(), hint.into());
    }

    /// About the whole distribution.
    pub(super) fn warning(&mut self, kind: &'static str, what: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Warning, kind, None, what.into(), hint.into());
    }

    /// About the whole distribution.
    pub(super) fn note(&mut self, kind: &'static str, what: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Note, kind, None, what.into(), hint.into());
    }

    /// About one behaviour. What is said of several in the same words becomes one finding.
    pub(super) fn at(
        &mut self,
        behaviour: usize,
        severity: Severity,
        kind: &'static str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(severity, kind, Some(behaviour), what.into(), hint.into());
    }

    fn push(
        &mut self,
        severity: Severity,
        kind: &'static str,
        behaviour: Option<usize>,
        what: String,
        hint: String,
    ) {
        let count = self.all.len();
        let same = self.all.iter_mut().find(|finding| {
            (finding.kind, &finding.about, &finding.what, &finding.hint) == (kind, &self.about, &what, &hint)
        });
        match (same, behaviour) {
            (Some(finding), Some(behaviour)) => {
                if !finding.behaviours.contains(&behaviour) {
                    finding.behaviours.push(behaviour);
                }
            }
            (Some(_), None) => {}
            (None, _) if count > FINDINGS_MAX => {}
            (None, _) if count == FINDINGS_MAX => self.all.push(Finding {
                number: 0,
                severity: Severity::Error,
                kind: "too-many",
                about: self.about.clone(),
                behaviours: Vec::new(),
                what: format!("there is more to say than {FINDINGS_MAX} things"),
                hint: "import fewer distributions at once".to_owned(),
            }),
            (None, behaviour) => self.all.push(Finding {
                number: 0,
                severity,
                kind,
                about: self.about.clone(),
                behaviours: behaviour.into_iter().collect(),
                what,
                hint,
            }),
        }
    }

    /// Whether something that must not be written was found about what it is turned to.
    pub(super) fn has_errors(&self) -> bool {
        self.all
            .iter()
            .any(|finding| finding.severity == Severity::Error && finding.about == self.about)
    }

    /// All of them with their numbers: errors first, then by distribution, in the order in which they were found.
    pub(super) fn numbered(mut self) -> Vec<Finding> {
        self.all.sort_by_key(|finding| finding.severity);
        for (number, finding) in (1..).zip(&mut self.all) {
            finding.number = number;
            finding.behaviours.sort_unstable();
        }
        self.all
    }
}

/// A distribution of 75 behaviours leaves some fifty. More is an error of its own, so that none is lost in silence.
const FINDINGS_MAX: usize = 5_000;
