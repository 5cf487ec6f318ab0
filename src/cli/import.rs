//! `banyan import`: another router's configuration becomes Banyan's files, with a report.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::Exit;
use crate::{
    config::{Problem, Sources, load_sources},
    import::{self, Accepted, Imported, Input, Source, Wishes},
};

/// From whom.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// From what `aws cloudfront get-distribution-config` or `get-distribution` prints.
    Cloudfront(Files),
    /// From what `terraform show -json` prints.
    Terraform(Files),
}

/// What is read, and where to.
#[derive(Debug, clap::Args)]
struct Files {
    /// Distributions; several become a squad each.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What they refer to: what `get-cache-policy`, `get-key-group` and the like print, in one file or several.
    #[arg(long, value_name = "FILE")]
    policies: Vec<PathBuf>,
    /// The folder to write into. Without it nothing is written, and only the report is printed.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Warnings fail too, and then nothing is written.
    #[arg(long)]
    strict: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// A MaxMind country or city database, for what is restricted by country; as `banyan.toml` shall name it.
    #[arg(long, value_name = "FILE")]
    geo_database: Option<String>,
    /// Do without a protection that can't be carried over; several times for several.
    #[arg(long, value_name = "WHAT", value_enum)]
    accept: Vec<Without>,
    /// Replace files that are there.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Without {
    /// Bodies whose fields were encrypted go to the backend in clear.
    ClearBodies,
    /// What was restricted by country is open to every one.
    EveryCountry,
    /// Visitors needn't show a certificate.
    NoClientCertificate,
}

/// Imports.
pub(super) fn import(options: &Options) -> Exit {
    let (source, files) = match &options.from {
        From::Cloudfront(files) => (Source::CloudFront, files),
        From::Terraform(files) => (Source::Terraform, files),
    };
    match run(source, files) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("banyan: {error}");
            Exit::Failure
        }
    }
}

fn run(source: Source, files: &Files) -> Result<Exit, String> {
    let wishes = Wishes {
        geo_database: files.geo_database.clone(),
        accepted: files.accept.iter().map(|what| Accepted::from(*what)).collect(),
    };
    let imported = import::import(source, &inputs(&files.files)?, &inputs(&files.policies)?, &wishes);
    let told = imported.report.to_string();
    if files.json {
        let json = serde_json::to_string_pretty(&imported.report).map_err(|error| error.to_string())?;
        print(&format!("{json}\n"));
    } else {
        print(&told);
    }
    if imported.report.errors > 0 {
        eprintln!("banyan: nothing is written; mend the errors above and import again");
        return Ok(Exit::Failure);
    }
    if files.strict && imported.report.warnings > 0 {
        eprintln!("banyan: nothing is written: there are warnings, and --strict was given");
        return Ok(Exit::Failure);
    }
    check(&imported)?;
    match &files.out {
        None => eprintln!("banyan: nothing is written; say where with --out DIR"),
        Some(folder) => write(folder, &imported, &told, files.overwrite)?,
    }
    Ok(Exit::Ok)
}

impl std::convert::From<Without> for Accepted {
    fn from(what: Without) -> Self {
        match what {
            Without::ClearBodies => Self::ClearBodies,
            Without::EveryCountry => Self::EveryCountry,
            Without::NoClientCertificate => Self::NoClientCertificate,
        }
    }
}

/// Whoever reads the report may stop early.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>, String> {
    paths
        .iter()
        .map(|path| {
            let text = read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            Ok(Input {
                name: name.to_string_lossy().into_owned(),
                text,
            })
        })
        .collect()
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it is longer than {FILE_BYTES_MAX} bytes"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::other(format!(
            "it is not UTF-8, byte {at} belongs to no character (PowerShell writes UTF-16 with `>`)"
        ))
    })
}

/// Judges what was made as `banyan check` will, so that nothing is written which that would refuse. Variables have a value, and the database
/// of places is left to the check: it may not be there yet.
fn check(imported: &Imported) -> Result<(), String> {
    let mut sources = Sources::empty("");
    for (name, text) in &imported.files {
        if name.ends_with(".toml") {
            sources.insert(name, text.as_str());
        } else if name.ends_with(".pem") {
            sources.attach(name, text.as_bytes());
        }
    }
    let loaded = load_sources(&sources, &|_| Some("a-value".to_owned()));
    let expected = |problem: &&Problem| problem.kind == "unreadable-file" && !problem.what.contains(".pem");
    match loaded.problems.errors().find(|problem| !expected(problem)) {
        None => Ok(()),
        Some(problem) => Err(format!(
            "nothing is written: `banyan check` would refuse it, which is a fault of the import: {}, line {}: {}",
            problem.file, problem.line, problem.what
        )),
    }
}

/// Writes all files, or none when one of them is there already.
fn write(folder: &Path, imported: &Imported, told: &str, overwrite: bool) -> Result<(), String> {
    let report = (REPORT_FILE.to_owned(), told.to_owned());
    let files: Vec<&(String, String)> = imported.files.iter().chain([&report]).collect();
    let there: Vec<&str> = files
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| folder.join(name).symlink_metadata().is_ok())
        .collect();
    if !overwrite && !there.is_empty() {
        return Err(format!(
            "{} has {} already; nothing is written. Choose another folder, or say --overwrite",
            folder.display(),
            there.join(", ")
        ));
    }
    for (name, text) in &files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        }
        put(&path, text, overwrite).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    eprintln!("banyan: wrote {} into {}", names.join(", "), folder.display());
    Ok(())
}

/// Without `overwrite`, a file that somebody has put there meanwhile is kept, and a link is not followed.
fn put(path: &Path, text: &str, overwrite: bool) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    if overwrite {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// A state with every resource of a large company has some tens of megabytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

const REPORT_FILE: &str = "import-report.txt";
