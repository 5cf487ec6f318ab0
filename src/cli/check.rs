//! `banyan check`: every problem of all files at once, then the squads' tests.

use super::{Exit, Site, site};
use crate::{
    clock,
    config::{Problems, Severity},
    snapshot::{error_pages, prove},
};

/// What is checked, and how it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    site: Site,
    /// How problems are printed: for a person, as JSON, or as annotations of a pull request.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Warnings fail too.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Github,
}

/// Checks.
pub(super) fn check(options: &Options) -> Exit {
    let mut loaded = match site::load(&options.site.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("banyan: {error}");
            return Exit::Invalid;
        }
    };
    let mut tests = 0;
    if let Some((settings, snapshot)) = &loaded.site {
        tests = settings.tests.len();
        for failure in error_pages::out_of_reach(clock::wall(), snapshot) {
            let kind = "error-page-out-of-reach";
            loaded.problems.push_at(
                Severity::Warning,
                &failure.place,
                kind,
                failure.what,
                failure.hint,
            );
        }
        for failure in prove::run(&settings.tests, snapshot) {
            let severity = if failure.switched_off {
                Severity::Warning
            } else {
                Severity::Error
            };
            loaded.problems.push_at(
                severity,
                &failure.place,
                "test-failed",
                failure.what,
                failure.hint,
            );
        }
    }
    print(&loaded.problems, options.format);
    if loaded.problems.has_errors() || (options.strict && loaded.problems.iter().next().is_some()) {
        return Exit::Invalid;
    }
    if let (Format::Text, Some((settings, _))) = (options.format, &loaded.site) {
        let (routes, flags, backends) = (
            settings.routes.len(),
            settings.flags.len(),
            settings.backends.len(),
        );
        println!("ok: {routes} routes, {flags} flags, {backends} backends, {tests} tests passed");
    }
    Exit::Ok
}

fn print(problems: &Problems, format: Format) {
    match format {
        Format::Text => site::print(problems),
        Format::Json => println!("{:#}", problems.to_json()),
        Format::Github => print!("{}", problems.to_github()),
    }
}
