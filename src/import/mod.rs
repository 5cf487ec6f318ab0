//! Other routers' configuration becomes Banyan's files, with a report that says what became of every part of it.
//!
//! Pure: texts come in, texts and a report go out. In reading order:
//! - `read` finds distributions and policies in what the AWS and Terraform command lines print; `shape`, with `list`, is how both
//!   write them, and `policy`, with `managed`, what a distribution refers to by id.
//! - `translate` turns one distribution into a [`plan::Squad`]: `whole` what holds for all of it, `behaviour` each of its behaviours,
//!   `backend` its servers, `caching` and `forward` what they are sent, `kept` what is kept of it, `answer` what is done to their answers, `protect` who may ask.
//! - `lint` looks at behaviours beside each other, `together` at all distributions; `finding` is everything that a person should know.
//! - `write`, with `keys` and `toml_text`, writes the files; [`report`] tells what is in them.
//!
//! `CloudFront`'s own words (origin, behaviour, distribution) are used for what is read, Banyan's for what is written.

mod answer;
mod backend;
mod behaviour;
mod caching;
#[cfg(test)]
mod checked_tests;
mod finding;
mod forward;
#[cfg(test)]
mod generated_tests;
mod kept;
mod keys;
mod lint;
mod list;
mod managed;
mod names;
pub mod plan;
mod policy;
mod protect;
mod read;
pub mod report;
mod shape;
#[cfg(test)]
mod tests;
mod together;
mod toml_text;
mod translate;
mod whole;
mod write;

use finding::Findings;
use report::Report;

/// Who printed the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `aws cloudfront get-distribution-config` or `get-distribution`.
    CloudFront,
    /// `terraform show -json`.
    Terraform,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// As it is called in the report.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What the one who imports has decided beforehand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The MaxMind database that `banyan.toml` shall name. Without it, what is restricted by country is closed to everybody.
    pub geo_database: Option<String>,
    /// Protections that may be given up.
    pub accepted: Vec<Accepted>,
}

/// A protection that Banyan can't carry over, and that somebody has decided to do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Bodies whose fields `CloudFront` encrypted go to the backend in clear.
    ClearBodies,
    /// What was restricted by country is open to every one, since there is no database.
    EveryCountry,
    /// Visitors needn't show a certificate any more.
    NoClientCertificate,
}

impl Wishes {
    fn accept(&self, what: Accepted) -> bool {
        self.accepted.contains(&what)
    }
}

/// What an import came to.
#[derive(Debug)]
pub struct Imported {
    /// What became of every part.
    pub report: Report,
    /// The files to write, by path below the site's folder. Empty when there are errors: half a distribution may be an open one.
    pub files: Vec<(String, String)>,
}

/// Imports distributions, with the policies that they refer to.
#[must_use]
pub fn import(source: Source, files: &[Input], policies: &[Input], wishes: &Wishes) -> Imported {
    let mut findings = Findings::default();
    let found = read::read(source, files, policies, &mut findings);
    let squads = translate::all(&found, wishes, &mut findings);
    let report = Report::new(&squads, findings);
    let files = if report.errors > 0 {
        Vec::new()
    } else {
        write::files(&squads, wishes)
    };
    Imported { report, files }
}
