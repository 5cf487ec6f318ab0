//! The report: each behaviour in order with what became of it, and everything that a person should know, numbered.

use std::fmt;

use serde::Serialize;

use super::{
    finding::{Finding, Findings, Severity},
    names::plain,
    plan::{Host, Https, Squad, Told},
};

/// What became of every part.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// In the order in which they are tried.
    pub distributions: Vec<Distribution>,
    /// Errors first.
    pub findings: Vec<Finding>,
    /// Variables that must be set, without their values.
    pub variables: Vec<String>,
    /// How many findings are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
}

/// A distribution and its behaviours.
#[derive(Debug, Clone, Serialize)]
pub struct Distribution {
    /// Its first alias, id or file.
    pub title: String,
    /// Where it was read.
    pub source: String,
    /// What people wrote beside it.
    pub comment: String,
    /// The squad that it became.
    pub squad: String,
    /// Names that it answers for.
    pub hosts: Vec<String>,
    /// In order; the default behaviour is the last.
    pub behaviours: Vec<Told>,
}

impl Report {
    pub(super) fn new(squads: &[Squad], findings: Findings) -> Self {
        let findings = findings.numbered();
        let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let mut variables: Vec<String> = squads
            .iter()
            .flat_map(|squad| &squad.backends)
            .flat_map(|backend| backend.headers.iter().map(|(_, name)| name.clone()))
            .collect();
        variables.sort_unstable();
        variables.dedup();
        let distributions = squads
            .iter()
            .map(|squad| Distribution {
                title: squad.title.clone(),
                source: squad.source.clone(),
                comment: squad.comment.clone(),
                squad: squad.name.clone(),
                hosts: squad.hosts.clone(),
                behaviours: with_findings(squad, &findings),
            })
            .collect();
        Self {
            distributions,
            findings,
            variables,
            errors,
            warnings,
        }
    }
}

fn with_findings(squad: &Squad, findings: &[Finding]) -> Vec<Told> {
    let mut behaviours = squad.behaviours.clone();
    for told in &mut behaviours {
        told.findings = findings
            .iter()
            .filter(|one| one.about == squad.title && one.behaviours.contains(&told.number))
            .map(|one| one.number)
            .collect();
    }
    behaviours
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for distribution in &self.distributions {
            distribution.fmt(f)?;
        }
        let mut about = "";
        for finding in &self.findings {
            if finding.about != about {
                about = &finding.about;
                writeln!(f, "{about}")?;
            }
            tell(finding, f)?;
        }
        if !self.findings.is_empty() {
            writeln!(f)?;
        }
        if !self.variables.is_empty() {
            writeln!(
                f,
                "set in the environment, as .env.example says: {}",
                self.variables.join(", ")
            )?;
        }
        let behaviours: usize = self.distributions.iter().map(|one| one.behaviours.len()).sum();
        writeln!(
            f,
            "{} distributions, {behaviours} behaviours, {} errors, {} warnings",
            self.distributions.len(),
            self.errors,
            self.warnings
        )
    }
}

fn tell(finding: &Finding, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    write!(
        f,
        "  [{}] {severity} {}: {}",
        finding.number, finding.kind, finding.what
    )?;
    if !finding.behaviours.is_empty() {
        let numbers: Vec<String> = finding.behaviours.iter().map(usize::to_string).collect();
        let noun = if numbers.len() == 1 {
            "behaviour"
        } else {
            "behaviours"
        };
        write!(f, " ({noun} {})", numbers.join(", "))?;
    }
    writeln!(f)?;
    if finding.hint != "nothing" {
        writeln!(f, "      do: {}", finding.hint)?;
    }
    Ok(())
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  ({})", self.title, self.source)?;
        if !self.comment.is_empty() {
            writeln!(f, "  {}", self.comment)?;
        }
        let hosts: Vec<String> = self.hosts.iter().map(|host| plain(host)).collect();
        let hosts = if hosts.is_empty() {
            "any".to_owned()
        } else {
            hosts.join(", ")
        };
        writeln!(
            f,
            "  squad {} in routes/{}.toml, hosts {hosts}",
            self.squad, self.squad
        )?;
        writeln!(f)?;
        for behaviour in &self.behaviours {
            behaviour.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = if self.default {
            "everything else"
        } else {
            &plain(&self.pattern)
        };
        writeln!(
            f,
            "  {}  {pattern}  →  {}  {}",
            self.number, self.backend, self.server
        )?;
        if let Some(failover) = &self.failover {
            let on: Vec<String> = failover.on.iter().map(u16::to_string).collect();
            writeln!(
                f,
                "     fails over  to {} on {} and when it can't be asked",
                failover.backend,
                on.join(", ")
            )?;
        }
        let https = match self.https {
            Https::Redirect => "plain HTTP is sent to https",
            Https::Only => "plain HTTP gets 403",
            Https::Allow => "plain HTTP is taken too",
        };
        writeln!(f, "     visitors    {}; {https}", self.methods.join(" "))?;
        let host = match self.host {
            Host::Visitor => "the visitor's Host",
            Host::Server => "its own Host",
        };
        let forward = &self.forward;
        writeln!(f, "     forwarded   headers {}", forward.headers.in_short())?;
        writeln!(
            f,
            "                 cookies {}; query {}; {host}",
            forward.cookies.in_short(),
            forward.query.in_short()
        )?;
        if !self.added.is_empty() || !forward.viewer.is_empty() {
            let added: Vec<String> = self
                .added
                .iter()
                .chain(&forward.viewer)
                .map(|name| plain(name))
                .collect();
            writeln!(f, "                 adds {}", added.join(", "))?;
        }
        writeln!(f, "     cached      {}", self.cached)?;
        writeln!(f, "     protected   {}", self.protected)?;
        if !self.answers.is_empty() {
            writeln!(f, "     answers     {}", plain(&self.answers))?;
        }
        if !self.findings.is_empty() {
            let numbers: Vec<String> = self.findings.iter().map(|number| format!("[{number}]")).collect();
            writeln!(f, "     see         {}", numbers.join(" "))?;
        }
        writeln!(f)
    }
}
