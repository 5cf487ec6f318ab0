//! `banyan key`: machines' keys for routes that accept them, kept as hashes in `keys.toml`.

use std::sync::Arc;

use super::{
    Exit, Site,
    token::{name, seconds},
};
use crate::{
    clock::{self, UnixTime},
    config::machines::is_word,
    control::edit::machines,
    gate::machine::{MachineSettings, hash, mint},
    name::SquadName,
    observe::log::rfc3339,
};

/// What to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make one: it is printed once, and its hash goes to keys.toml, which a running router reads at once.
    Add(Add),
    /// List them, with what each is for and when it ends.
    List(Site),
    /// Take one out: a running router lets it in no longer.
    Revoke(Revoke),
}

/// A key that shall be.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    #[command(flatten)]
    site: Site,
    /// What logs and metrics call it: letters, digits and `.`, `_`, `@`, `-`. Backends are told `key:NAME` as the user.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// For routes of this squad only; several times for several. Without it: for every route that accepts keys.
    #[arg(long = "squad", value_name = "SQUAD", value_parser = squad)]
    squads: Vec<SquadName>,
    /// A scope, as a token would have it; several times for several.
    #[arg(long = "scope", value_name = "SCOPE", value_parser = word)]
    scopes: Vec<String>,
    /// A role; several times for several.
    #[arg(long = "role", value_name = "ROLE", value_parser = word)]
    roles: Vec<String>,
    /// How long it is good: days (`90d`) or hours (`8h`), at most ten years.
    #[arg(long = "expires", value_name = "TIME", default_value = "90d", value_parser = seconds)]
    lasts: u64,
}

/// A key that goes.
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    site: Site,
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
}

/// Does it.
pub(super) fn key(command: &Command) -> Exit {
    let done = match command {
        Command::Add(add) => add.run(),
        Command::List(site) => list(site),
        Command::Revoke(revoke) => {
            let revoked = machines::revoke(&revoke.site.config, &revoke.name);
            revoked.map_err(|error| error.to_string())
        }
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("banyan: {error}");
            Exit::Failure
        }
    }
}

impl Add {
    fn run(&self) -> Result<(), String> {
        let key = mint().map_err(|_| "no random numbers".to_owned())?;
        let ends = clock::wall().secs().saturating_add(self.lasts);
        let machine = MachineSettings {
            name: Arc::from(self.name.as_str()),
            hash: hash(&key.0),
            squads: self.squads.clone(),
            scopes: self.scopes.clone(),
            roles: self.roles.clone(),
            expires: UnixTime::from_secs(ends),
        };
        machines::add(&self.site.config, &machine).map_err(|error| error.to_string())?;
        println!("{}", key.0);
        eprintln!(
            "banyan: this is the key of `{}`, shown now and never again; it is sent as `Authorization: Bearer …` and ends {}",
            self.name,
            rfc3339(ends)
        );
        Ok(())
    }
}

fn list(site: &Site) -> Result<(), String> {
    let now = clock::wall();
    let mut machines = machines::list(&site.config).map_err(|error| error.to_string())?;
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    for machine in machines {
        let squads: Vec<&str> = machine.squads.iter().map(SquadName::as_str).collect();
        let or = |words: String, none: &str| if words.is_empty() { none.to_owned() } else { words };
        println!(
            "{}  {} {}  squads {}  scopes {}  roles {}",
            machine.name,
            if machine.expires <= now { "ended" } else { "ends" },
            rfc3339(machine.expires.secs()),
            or(squads.join(","), "all"),
            or(machine.scopes.join(","), "none"),
            or(machine.roles.join(","), "none"),
        );
    }
    Ok(())
}

fn squad(text: &str) -> Result<SquadName, String> {
    SquadName::new(text).map_err(|error| error.to_string())
}

fn word(text: &str) -> Result<String, &'static str> {
    match is_word(text) {
        true => Ok(text.to_owned()),
        false => Err("1 to 255 visible characters of ASCII without quotes and backslashes"),
    }
}
