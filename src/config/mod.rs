//! Files as people write them; the only module that knows TOML.
//!
//! Texts become `*File` structs, those become [`settings::Settings`], and whatever is wrong on the way becomes
//! [`Problems`]: all of them, of every file, each with its place. In reading order:
//! - [`Sources`]: the texts, read once, with the files that `banyan.toml` names (`attached`). Everything after is free of disks.
//! - [`load_sources`] judges them whole; [`isolate`] keeps the last good version of what is broken.
//! - `document`, with `substitute` and `fault`: TOML to a `*File` struct.
//! - `operator` (with `listen`, `limits`, `squads`, `dns`, `handover`, `cache`, `gate`, `lookup`, `session`, `consent`, [`admin`]), [`machines`], `routes` (with `backends`, `servers`, `versions`, `health`, `eject`, `wording`, `failover`, `request`, `forward`, `response`, `cors`, `compress`, `caching`,
//!   `examples`), `flags` (with `rollout`, `requires`, `layers`), `flag_sets`: one kind of file
//!   each, what it may say and what that means. `values`, `instant`, `errors`, `access`, `rooms`: shapes that they share.
//! - `site`: all files put together; `cross`, with `claims`: what no file can know alone.
//! - [`Problem`], [`Problems`], and how they are shown: `render`.
//! - [`schema`] and [`reference_markdown`]: the same structs for editors and readers.

mod access;
mod adaptive;
pub mod admin;
mod attached;
mod backends;
mod cache;
mod caching;
mod claims;
mod compress;
mod consent;
mod cors;
mod cross;
mod dns;
mod document;
mod eject;
mod errors;
mod examples;
mod failover;
mod fault;
mod flag_sets;
mod flags;
mod forward;
mod gate;
mod handover;
mod health;
mod hedge;
mod instant;
mod isolate;
mod layers;
mod limits;
mod lines;
mod listen;
mod lookup;
pub mod machines;
mod mask;
mod operator;
mod problem;
mod protection;
mod raised;
mod reference;
mod render;
mod report;
mod request;
mod requires;
mod response;
mod rollout;
mod rooms;
mod routes;
mod schema;
mod servers;
mod session;
pub mod settings;
mod site;
mod sources;
mod squads;
mod substitute;
#[cfg(test)]
mod table_tests;
mod target;
#[cfg(test)]
mod tests;
mod values;
mod versions;
mod who;
mod wording;

use std::{collections::BTreeMap, path::Path};

use self::settings::Settings;
pub use self::{
    isolate::{Isolated, isolate},
    problem::{Problem, Problems, Related, Severity},
    reference::reference_markdown,
    schema::{SchemaKind, schema, schemas},
    sources::{FILE_BYTES_MAX, FILES_MAX, OPERATOR_FILE, Sources, Unreadable},
};

/// Looks up a variable of the environment.
pub type Env<'e> = dyn Fn(&str) -> Option<String> + 'e;

/// What became of a site's files.
#[derive(Debug)]
pub struct Loaded {
    /// The site, if no file has an error.
    pub settings: Option<Settings>,
    /// Everything that is wrong, warnings too.
    pub problems: Problems,
    /// Each file that was looked at.
    pub files: BTreeMap<String, FileStatus>,
}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileStatus {
    /// Nothing is wrong with it.
    Good,
    /// There are warnings.
    Warned,
    /// There are errors.
    Broken,
}

/// Reads and judges a site whole.
///
/// `path` is `banyan.toml` or the folder that it is in. A file that can't be read is a problem like any other.
#[must_use]
pub fn load_folder(path: &Path, env: &Env<'_>) -> Loaded {
    load_sources(&Sources::read(path), env)
}

/// Judges a site whole, from texts.
#[must_use]
pub fn load_sources(sources: &Sources, env: &Env<'_>) -> Loaded {
    site::Site::read(sources, env).settle(sources)
}

/// The environment of this process.
#[must_use]
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
