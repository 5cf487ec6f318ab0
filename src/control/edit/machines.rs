//! Adds machines' keys to `keys.toml` and takes them out; what else stands there stays as it is.

use std::{fmt::Write as _, path::Path};

use toml_edit::DocumentMut;

use super::write;
use crate::{
    config::{admin::hex, machines},
    gate::machine::MachineSettings,
    name::SquadName,
    observe::log::rfc3339,
};

/// Why the file stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Unchanged {
    /// Something in it is wrong already.
    #[error("keys.toml: {0}")]
    Broken(String),
    /// There is such a key.
    #[error("there is a key `{0}` already: revoke it first, or choose another name")]
    Taken(String),
    /// There is none.
    #[error("there is no key `{0}`")]
    Unknown(String),
    /// It can't be written.
    #[error("keys.toml: {0}")]
    Unwritten(String),
}

/// The machines of the site of `path` (a `banyan.toml`).
///
/// # Errors
/// [`Unchanged::Broken`].
pub fn list(path: &Path) -> Result<Vec<MachineSettings>, Unchanged> {
    let (_, text) = machines::beside(path);
    machines::of_text(text.as_deref().unwrap_or_default()).map_err(Unchanged::Broken)
}

/// Adds a machine.
///
/// # Errors
/// [`Unchanged`].
pub fn add(path: &Path, machine: &MachineSettings) -> Result<(), Unchanged> {
    if list(path)?.iter().any(|other| other.name == machine.name) {
        return Err(Unchanged::Taken(machine.name.to_string()));
    }
    change(path, |text| {
        let gap = if text.is_empty() || text.ends_with("\n\n") {
            ""
        } else {
            "\n"
        };
        Ok(format!("{text}{gap}{}", lines(machine)))
    })
}

/// Takes a machine out.
///
/// # Errors
/// [`Unchanged`].
pub fn revoke(path: &Path, name: &str) -> Result<(), Unchanged> {
    change(path, |text| {
        let mut file: DocumentMut = text
            .parse()
            .map_err(|error: toml_edit::TomlError| Unchanged::Broken(error.message().to_owned()))?;
        let unknown = || Unchanged::Unknown(name.to_owned());
        let keys = file
            .get_mut("keys")
            .and_then(|keys| keys.as_array_of_tables_mut())
            .ok_or_else(unknown)?;
        let before = keys.len();
        keys.retain(|key| key.get("name").and_then(|name| name.as_str()) != Some(name));
        if keys.len() == before {
            return Err(unknown());
        }
        Ok(file.to_string())
    })
}

fn change(path: &Path, edit: impl FnOnce(&str) -> Result<String, Unchanged>) -> Result<(), Unchanged> {
    let (file, before) = machines::beside(path);
    let text = edit(before.as_deref().unwrap_or_default())?;
    machines::of_text(&text).map_err(Unchanged::Broken)?;
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    write::replace(folder, &file, before.as_deref(), &text)
        .map_err(|error| Unchanged::Unwritten(error.to_string()))
}

fn lines(machine: &MachineSettings) -> String {
    let list = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
        texts.join(", ")
    };
    let squads: Vec<&str> = machine.squads.iter().map(SquadName::as_str).collect();
    let scopes: Vec<&str> = machine.scopes.iter().map(String::as_str).collect();
    let roles: Vec<&str> = machine.roles.iter().map(String::as_str).collect();
    let mut lines = format!(
        "[[keys]]\nname = \"{}\"\nhash = \"{}\"\n",
        machine.name,
        hex(&machine.hash)
    );
    for (key, texts) in [("squads", squads), ("scopes", scopes), ("roles", roles)] {
        if !texts.is_empty() {
            let _ = writeln!(lines, "{key} = [{}]", list(&texts)); // a String never refuses
        }
    }
    let _ = writeln!(lines, "expires = {}", rfc3339(machine.expires.secs()));
    lines
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::{Unchanged, add, list, revoke};
    use crate::{
        clock::UnixTime,
        gate::machine::{MachineSettings, hash},
        name::SquadName,
    };

    fn machine(name: &str) -> MachineSettings {
        MachineSettings {
            name: Arc::from(name),
            hash: hash(name),
            squads: vec![SquadName::new("learn").unwrap()],
            scopes: vec!["orders:read".to_owned()],
            roles: Vec::new(),
            expires: UnixTime::from_secs(1_800_000_000),
        }
    }

    #[test]
    fn a_key_is_added_and_taken_out_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (main, keys) = (folder.path().join("banyan.toml"), folder.path().join("keys.toml"));
        assert!(list(&main).unwrap().is_empty());
        add(&main, &machine("ci")).unwrap();
        assert_eq!(list(&main).unwrap(), [machine("ci")]);
        let text = format!(
            "# whose they are\n{}# the end\n",
            fs::read_to_string(&keys).unwrap()
        );
        fs::write(&keys, text).unwrap();
        add(&main, &machine("deploy")).unwrap();
        assert!(matches!(add(&main, &machine("ci")), Err(Unchanged::Taken(_))));
        revoke(&main, "ci").unwrap();
        assert_eq!(list(&main).unwrap(), [machine("deploy")]);
        assert!(matches!(revoke(&main, "ci"), Err(Unchanged::Unknown(_))));
        let text = fs::read_to_string(&keys).unwrap();
        assert!(text.contains("# the end"), "{text}");
        fs::write(&keys, "[[keys]]\nname = 3\n").unwrap();
        assert!(matches!(add(&main, &machine("x")), Err(Unchanged::Broken(_))));
    }
}
