//! `keys.toml`, beside `banyan.toml`: machines' keys as `banyan key` writes them, and what they mean.

use std::{ops::Range, path::Path, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    admin::{Moment, is_token_name, unhex},
    document, process_env,
    report::Report,
    sources::Sources,
    values::Spot,
};
use crate::{
    clock::UnixTime,
    gate::machine::{MACHINES_MAX, MachineSettings},
    name::SquadName,
};

/// Its name.
pub const KEYS_FILE: &str = "keys.toml";

/// `keys.toml`: machines that may come in, each by a key of its own. `banyan key` writes it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeysFile {
    /// Keys; of each only a hash is kept.
    keys: Vec<Spot<MachineFile>>,
}

/// `[[keys]]`: one machine's key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct MachineFile {
    /// What logs and metrics call it; backends are told `key:` and it as the user.
    #[schemars(required, extend("x-required" = true))]
    name: Option<Spot<String>>,
    /// SHA-256 of the key, in hexadecimal digits.
    #[schemars(required, extend("x-required" = true))]
    hash: Option<Spot<String>>,
    /// Squads whose routes it is for. Empty: all routes that accept keys.
    squads: Vec<Spot<String>>,
    /// Its scopes.
    scopes: Vec<Spot<String>>,
    /// Its roles.
    roles: Vec<Spot<String>>,
    /// When it ends.
    #[schemars(required, extend("x-required" = true))]
    expires: Option<Spot<Moment>>,
}

/// The machines of a `keys.toml`, as far as it is good. `Err`: what is wrong, a line each.
///
/// # Errors
/// It can't be read, or something in it is wrong.
pub fn of_text(text: &str) -> Result<Vec<MachineSettings>, String> {
    let mut report = Report::of(KEYS_FILE, text);
    let machines = document::read::<KeysFile>(text, &process_env, &mut report)
        .map(|file| file.settle(&mut report))
        .unwrap_or_default();
    match report.problems.iter().find(|problem| problem.is_error()) {
        Some(problem) => Err(problem.what.clone()),
        None => Ok(machines),
    }
}

/// The `keys.toml` beside the operator's file at `path`, absolute, and its text if it is there.
#[must_use]
pub fn beside(path: &Path) -> (std::path::PathBuf, Option<Arc<str>>) {
    let sources = Sources::read(path);
    let text = sources.get(KEYS_FILE).cloned();
    (sources.folder.join(KEYS_FILE), text)
}

impl KeysFile {
    /// Judges the file.
    pub(super) fn settle(&self, report: &mut Report) -> Vec<MachineSettings> {
        if self.keys.len() > MACHINES_MAX {
            report
                .whole("bad-key", format!("there are {} keys", self.keys.len()))
                .hint(format!("at most {MACHINES_MAX}; revoke those that nobody uses"));
        }
        let mut machines: Vec<MachineSettings> = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            let Some(machine) = key.value.settle(&key.span, report) else {
                continue;
            };
            let twin = machines
                .iter()
                .any(|other| other.name == machine.name || other.hash == machine.hash);
            if twin {
                report
                    .error(
                        "bad-key",
                        key.span.clone(),
                        format!("`{}` or its hash stands here twice", machine.name),
                    )
                    .hint("make each with `banyan key add`, under a name of its own");
            }
            machines.push(machine);
        }
        machines
    }
}

impl MachineFile {
    fn settle(&self, table: &Range<usize>, report: &mut Report) -> Option<MachineSettings> {
        for (is_missing, key, hint) in [
            (
                self.name.is_none(),
                "name",
                "what logs shall call it: `name = \"ci\"`",
            ),
            (self.hash.is_none(), "hash", "`banyan key add NAME` makes one"),
            (
                self.expires.is_none(),
                "expires",
                "every key ends: `expires = 2027-03-01T09:00:00Z`",
            ),
        ] {
            if is_missing {
                report.missing(table, key, hint);
            }
        }
        let name = self.name.as_ref()?;
        if !is_token_name(&name.value) {
            report
                .error(
                    "bad-key",
                    name.span.clone(),
                    format!("`{}` can't name a key", name.value),
                )
                .hint("1 to 64 letters, digits and `.`, `_`, `@`, `-`");
            return None;
        }
        let hash = self.hash.as_ref()?;
        let bytes = unhex(&hash.value);
        if bytes.is_none() {
            report
                .error(
                    "bad-key",
                    hash.span.clone(),
                    "`hash` is no SHA-256 in hexadecimal digits",
                )
                .hint("`banyan key add NAME` makes a key and its hash; the key itself never stands here");
        }
        let squads = self.squads(report)?;
        Some(MachineSettings {
            name: Arc::from(name.value.as_str()),
            hash: bytes?,
            squads,
            scopes: words(&self.scopes, "scope", report),
            roles: words(&self.roles, "role", report),
            expires: UnixTime::from_secs(self.expires.as_ref()?.value.0),
        })
    }

    /// `None` when one of them is none: a limit that is lost would make a key for everything.
    fn squads(&self, report: &mut Report) -> Option<Vec<SquadName>> {
        let mut squads = Vec::with_capacity(self.squads.len());
        for squad in &self.squads {
            match SquadName::new(&squad.value) {
                Ok(name) => squads.push(name),
                Err(reason) => {
                    report.error(
                        "bad-name",
                        squad.span.clone(),
                        format!("`{}` can't name a squad: {reason}", squad.value),
                    );
                }
            }
        }
        (squads.len() == self.squads.len()).then_some(squads)
    }
}

/// A scope or role of a key: the characters that RFC 6749 section 3.3 gives a scope.
#[must_use]
pub fn is_word(text: &str) -> bool {
    let is_scope_byte = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    (1..=255).contains(&text.len()) && text.bytes().all(is_scope_byte)
}

fn words(written: &[Spot<String>], noun: &str, report: &mut Report) -> Vec<String> {
    for word in written.iter().filter(|word| !is_word(&word.value)) {
        report
            .error(
                "bad-key",
                word.span.clone(),
                format!("`{}` can't be a {noun}", word.value),
            )
            .hint("visible ASCII without spaces, quotes and backslashes");
    }
    written.iter().map(|word| word.value.clone()).collect()
}
