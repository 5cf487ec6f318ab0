//! The command line: one file per command.

mod cache;
mod check;
mod demo;
mod drill;
mod explain;
mod flag;
mod import;
mod key;
mod live;
mod run;
mod schema;
mod site;
mod token;

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};
use tracing_subscriber::EnvFilter;

/// What the program tells its caller when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Ok,
    /// Something failed at run time.
    Failure,
    /// The command line is wrong.
    Usage,
    /// The configuration is not valid. systemd: `RestartPreventExitStatus=3`.
    Invalid,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::Invalid => 3,
        })
    }
}

/// An edge router that lets a company replace a legacy web application piece by piece, behind one domain.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve what banyan.toml says.
    Run(Site),
    /// Serve the demo site, with a small legacy application and two squads' backends inside this process.
    Demo(demo::Options),
    /// Check all files and run the squads' tests; nothing is served. Exit code 3 when something is wrong.
    Check(check::Options),
    /// Tell what would happen to a request, and why. Works from files; nothing need run.
    Explain(explain::Options),
    /// List and change flags: through the running router, or on the files when none runs.
    Flag(flag::Options),
    /// Purge and look into the cache of the running router.
    Cache(cache::Options),
    /// Start, list and stop drills: faults that a running router puts in on purpose, for a while.
    Drill(drill::Options),
    /// Make Banyan's files of another router's configuration, with a report of what became of every part.
    Import(import::Options),
    /// Make secrets for programs and people that use the admin listener.
    #[command(subcommand)]
    Token(token::Command),
    /// Make, list and revoke machines' keys for routes that accept them.
    #[command(subcommand)]
    Key(key::Command),
    /// Print the JSON Schema of the files, for editors.
    Schema(schema::Options),
}

/// Which site.
#[derive(Debug, Clone, clap::Args)]
pub struct Site {
    /// The operator's file; `routes/` and `flags/` are looked for beside it.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "banyan.toml",
        env = "BANYAN_CONFIG"
    )]
    pub config: PathBuf,
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { Exit::Ok } else { Exit::Usage }.into();
        }
    };
    let exit = match arguments.command {
        Command::Run(site) => run::run(&site),
        Command::Demo(options) => demo::demo(&options),
        Command::Check(options) => check::check(&options),
        Command::Explain(options) => explain::explain(&options),
        Command::Flag(options) => flag::flag(&options),
        Command::Cache(options) => cache::cache(&options),
        Command::Drill(options) => drill::drill(&options),
        Command::Import(options) => import::import(&options),
        Command::Token(command) => token::token(&command),
        Command::Key(command) => key::key(&command),
        Command::Schema(options) => schema::schema(&options),
    };
    exit.into()
}

/// Diagnostics go to standard error; `BANYAN_LOG` chooses how much (`info` by itself).
fn log_to_stderr(default: &str) {
    // What a client sends must not fill the log: the libraries below speak only of their own faults.
    let default = format!("{default},h2=error,rustls=error,hyper=error,tower=error");
    let filter = EnvFilter::try_from_env("BANYAN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .try_init();
}
