//! `banyan token add NAME`: makes a secret for the admin listener, shown once, and the lines of banyan.toml that let it in.
//!
//! What is kept is a hash, and it is kept in banyan.toml: there it is reviewed like everything else, is the same on every machine that
//! runs the site, and is withdrawn by deleting it. The lines go to standard output and the secret to standard error, so that
//! `>> banyan.toml` appends what belongs there and nothing else.

use std::fmt::Write as _;

use super::Exit;
use crate::{
    clock,
    config::admin::{hex, is_token_name},
    control::admin::tokens::Secret,
    name::{FlagKey, SquadName},
    observe::log::rfc3339,
};

/// What to do with tokens.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make one: the secret goes to standard error, once, and the lines for banyan.toml to standard output.
    Add(Add),
}

/// A token that shall be.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// What logs and the history call it: letters, digits and `.`, `_`, `@`, `-`.
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// `read`, `write`, or `write:FLAG` for one flag; several times for several.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
    scopes: Vec<String>,
    /// `write` is for the flags of this squad only; several times for several.
    #[arg(long = "squad", value_name = "SQUAD", value_parser = squad)]
    squads: Vec<String>,
    /// How long it is good: days (`90d`) or hours (`8h`), at most ten years.
    #[arg(long = "for", value_name = "TIME", default_value = "90d", value_parser = seconds)]
    lasts: u64,
}

/// Does it.
pub(super) fn token(command: &Command) -> Exit {
    let Command::Add(add) = command;
    if !add.squads.is_empty() && !add.scopes.iter().any(|scope| scope == "write") {
        eprintln!("banyan: `--squad` says whose flags `--scope write` is for, and there is no such scope");
        return Exit::Usage;
    }
    let secret = match Secret::token() {
        Ok(secret) => secret,
        Err(error) => {
            eprintln!("banyan: no random numbers: {error}");
            return Exit::Failure;
        }
    };
    eprintln!("{}", secret.reveal());
    eprintln!(
        "banyan: this is the secret of `{}`, shown now and never again; below are the lines for banyan.toml",
        add.name
    );
    print!("{}", add.lines(&hex(&secret.hash()), clock::wall().secs()));
    Exit::Ok
}

impl Add {
    fn lines(&self, hash: &str, now: u64) -> String {
        let list = |texts: &[String]| {
            format!(
                "[{}]",
                texts
                    .iter()
                    .map(|text| format!("\"{text}\""))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        };
        let scope = match self.scopes.as_slice() {
            [one] => format!("\"{one}\""),
            several => list(several),
        };
        let mut lines = format!(
            "\n[[admin.tokens]]\nname = \"{}\"\nhash = \"{hash}\"\nscope = {scope}\n",
            self.name
        );
        if !self.squads.is_empty() {
            let _ = writeln!(lines, "squads = {}", list(&self.squads)); // a String never refuses
        }
        let _ = writeln!(lines, "expires = {}", rfc3339(now.saturating_add(self.lasts)));
        lines
    }
}

pub(super) fn name(text: &str) -> Result<String, &'static str> {
    if is_token_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 64 letters, digits and `.`, `_`, `@`, `-`")
    }
}

fn scope(text: &str) -> Result<String, &'static str> {
    let is_flag = |key: &str| FlagKey::new(key).is_ok();
    if matches!(text, "read" | "write") || text.strip_prefix("write:").is_some_and(is_flag) {
        Ok(text.to_owned())
    } else {
        Err("a scope is `read`, `write`, or `write:` and the key of a flag")
    }
}

fn squad(text: &str) -> Result<String, String> {
    SquadName::new(text)
        .map(|name| name.to_string())
        .map_err(|error| error.to_string())
}

pub(super) fn seconds(text: &str) -> Result<u64, &'static str> {
    const TEN_YEARS: u64 = 3650 * 86_400;
    let unit = match text.bytes().last() {
        Some(b'h') => 3600,
        Some(b'd') => 86_400,
        _ => 0,
    };
    let number = text
        .get(..text.len().saturating_sub(1))
        .and_then(|number| number.parse::<u64>().ok());
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|seconds| (1..=TEN_YEARS).contains(seconds))
        .ok_or("a time is days or hours, such as `90d` or `8h`, at most ten years")
}

#[cfg(test)]
mod tests {
    use super::{Add, name, scope, seconds, squad};

    #[test]
    fn what_can_not_stand_in_the_file_is_refused() {
        assert!(name("deploy.ci@2-x_Y").is_ok());
        for bad in ["", "a b", "a\"", "a\n", "ä", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        for good in ["read", "write", "write:course-reviews"] {
            assert!(scope(good).is_ok(), "{good}");
        }
        for bad in ["", "Write", "write:", "write:a b", "write:\"", "admin"] {
            assert!(scope(bad).is_err(), "{bad}");
        }
        assert!(squad("learn").is_ok() && squad("a\"b").is_err());
        assert_eq!(seconds("90d"), Ok(7_776_000));
        assert_eq!(seconds("8h"), Ok(28_800));
        for bad in [
            "",
            "d",
            "0d",
            "90",
            "-1d",
            "1w",
            "3651d",
            "99999999999999999999d",
            "9é",
        ] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_lines_are_those_of_the_file() {
        let add = Add {
            name: "ci".to_owned(),
            scopes: vec!["write".to_owned(), "write:cart".to_owned()],
            squads: vec!["learn".to_owned()],
            lasts: 86_400,
        };
        let wanted = "\n[[admin.tokens]]\nname = \"ci\"\nhash = \"00ff\"\nscope = [\"write\", \"write:cart\"]\n\
                      squads = [\"learn\"]\nexpires = 2026-11-21T00:00:00Z\n";
        assert_eq!(add.lines("00ff", 1_795_132_800), wanted);
    }
}
