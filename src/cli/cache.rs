//! `banyan cache`: purges and shows the cache of a router that runs.

use std::net::SocketAddr;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Exit, Site,
    flag::{Failed, Router},
};
use crate::config::{self, Sources};

/// What is to be done.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    site: Site,
    /// The admin listener of the router; by itself the one that banyan.toml names.
    #[arg(long, value_name = "ADDRESS", env = "BANYAN_ADMIN", global = true)]
    admin: Option<SocketAddr>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Purge, for the next request on.
    Purge(PurgeOptions),
    /// How full the cache is, and the last purges.
    Stats,
    /// What would become of a request in the cache and why, and what is kept under its address.
    Explain {
        /// The address as a browser has it, or only path and query.
        url: String,
        /// A header field of the request, 'Name: value'; several times for several.
        #[arg(long = "header", value_name = "FIELD")]
        headers: Vec<String>,
        /// A cookie of it, name=value; several times for several.
        #[arg(long = "cookie", value_name = "COOKIE")]
        cookies: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct PurgeOptions {
    /// Paths as CloudFront's invalidations have them: /a.html, '/a.html?size=1', '/images/*', '/*'.
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// The host of paths and groups; paths are of all hosts without it.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// All with this tag; several times for several.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// All of this cache group of --host.
    #[arg(long = "group", value_name = "GROUP", requires = "host")]
    groups: Vec<String>,
    /// All of this route, by its path or pattern as written.
    #[arg(long = "route", value_name = "PATH")]
    routes: Vec<String>,
    /// All of this squad's routes.
    #[arg(long = "squad", value_name = "SQUAD")]
    squads: Vec<String>,
    /// All that this flag chose.
    #[arg(long = "flag", value_name = "KEY")]
    flags: Vec<String>,
    /// Never serve it again. By itself it may be served stale while it is fetched anew.
    #[arg(long)]
    hard: bool,
    /// Why: the log keeps it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Who: the log keeps it.
    #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody")]
    by: String,
}

/// Does it.
pub(super) fn cache(options: &Options) -> Exit {
    match carry_out(options) {
        Ok((told, text)) => {
            if options.json {
                println!("{told:#}");
            } else {
                print!("{text}");
            }
            Exit::Ok
        }
        Err(failed) => {
            eprintln!("banyan: {}", failed.why);
            failed.exit
        }
    }
}

fn carry_out(options: &Options) -> Result<(Value, String), Failed> {
    let router = router(options)?;
    match &options.command {
        Command::Purge(order) => router.post("/api/cache/purge", &order.body()).map(|told| {
            let text = purged(&told);
            (told, text)
        }),
        Command::Stats => router.get("/api/cache").map(|told| {
            let text = stats(&told);
            (told, text)
        }),
        Command::Explain {
            url,
            headers,
            cookies,
        } => {
            let text = |text: &str| text.bytes().map(escaped).collect::<String>();
            let mut path = format!("/api/cache/explain?url={}", text(url));
            for (name, values) in [("header", headers), ("cookie", cookies)] {
                for value in values {
                    path.push_str(&format!("&{name}={}", text(value)));
                }
            }
            let told = router.get(&path)?;
            let text = explained(&told);
            Ok((told, text))
        }
    }
}

/// The router that runs.
fn router(options: &Options) -> Result<Router, Failed> {
    let sources = Sources::read(&options.site.config);
    let isolated = config::isolate(&sources, &Sources::empty(&sources.folder), &config::process_env);
    let edge = isolated.settings.as_ref().map(|settings| &settings.edge);
    let address = options.admin.or_else(|| edge.and_then(|edge| edge.listen.admin));
    let Some(address) = address else {
        let why = "the cache is a running router's: name its admin listener by `--admin`, or by `listen.admin` in banyan.toml";
        return Err(Failed::new(Exit::Usage, why));
    };
    let router = Router::at(address, edge.map(|edge| edge.state.as_path()))?;
    router.greet()?;
    Ok(router)
}

impl PurgeOptions {
    fn body(&self) -> Value {
        let mut body = json!({
            "paths": self.paths, "tags": self.tags, "groups": self.groups, "routes": self.routes, "squads": self.squads,
            "flags": self.flags, "hard": self.hard, "reason": self.reason, "by": self.by,
        });
        if let (Some(host), Some(body)) = (&self.host, body.as_object_mut()) {
            body.insert("host".to_owned(), json!(host));
        }
        body
    }
}

/// A byte of an address inside a query.
fn escaped(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

fn purged(told: &Value) -> String {
    let how = if told["hard"] == true {
        "for good"
    } else {
        "; it may be served stale while it is fetched anew"
    };
    let squads = list(&told["squads"]);
    let only = if squads.is_empty() {
        String::new()
    } else {
        format!(", as far as it is of {squads}")
    };
    let space = if told["hard"] == true { " " } else { "" };
    format!("purged {}{only}{space}{how}\n", told["purged"])
}

fn stats(told: &Value) -> String {
    let mut text = format!("{} answers\n", told["entries"]);
    for (name, part) in [
        ("up to 1 MiB", "small"),
        ("larger", "large"),
        ("on their way", "collecting"),
    ] {
        let part = told.get(part).unwrap_or(&Value::Null);
        let (bytes, max) = (&part["bytes"], &part["max"]);
        text.push_str(&format!("{name:<14}{bytes:>14} of {max} bytes\n"));
    }
    let disk = &told["disk"];
    if disk.is_object() {
        let (room, waits) = (&disk["room"], disk["waiting"] == true);
        text.push_str(&format!(
            "{:<14}{:>14} of {} bytes{}: {} answers, {} read, {} written, {} not for want of time, {} errors\n",
            "on disk",
            room["bytes"],
            room["max"],
            if waits { " (not open yet)" } else { "" },
            disk["entries"],
            disk["reads"],
            disk["writes"],
            disk["dropped"],
            disk["errors"],
        ));
    }
    text.push_str(&format!(
        "kept {}, gone to make room {}\n",
        told["kept"], told["evicted"]
    ));
    let refused = &told["refused"];
    text.push_str(&format!(
        "not kept: {} too large, {} with too many tags, {} purged on their way, {} without room on their way\n",
        refused["large"], refused["labels"], refused["purged"], refused["full"]
    ));
    for purge in told["recent"].as_array().into_iter().flatten() {
        let how = if purge["hard"] == true { "hard" } else { "soft" };
        let word = |name: &str| purge[name].as_str().unwrap_or_default().to_owned();
        let what = list(&purge["what"]);
        text.push_str(&format!(
            "{} {how} {what} by {} {}\n",
            word("at"),
            word("who"),
            word("reason")
        ));
    }
    text
}

fn explained(told: &Value) -> String {
    let answers = told["answers"].as_array();
    let mut text = foretold(&told["foretold"]);
    for answer in answers.into_iter().flatten() {
        let word = |name: &str| answer[name].as_str().unwrap_or_default();
        text.push_str(&format!(
            "{}{} {} {}: {} s old of {}, {} bytes, {}\n",
            word("host"),
            told["target"].as_str().unwrap_or_default(),
            answer["status"],
            word("state"),
            answer["age"],
            answer["lifetime"],
            answer["bytes"],
            word("media"),
        ));
        for (name, what) in [
            ("key", word("key").to_owned()),
            ("vary", list(&answer["vary"])),
            ("route", word("route").to_owned()),
            ("squad", word("squad").to_owned()),
            ("flags", list(&answer["flags"])),
            ("groups", list(&answer["groups"])),
            ("tags", list(&answer["tags"])),
        ] {
            if !what.is_empty() {
                text.push_str(&format!("  {name:<7}{what}\n"));
            }
        }
    }
    if answers.is_none_or(Vec::is_empty) {
        text.push_str("nothing is kept under this address\n");
    }
    text
}

fn foretold(told: &Value) -> String {
    let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    let key: Vec<&str> = told["key"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut text = match told["cache_status"].as_str() {
        Some(status) => format!("Cache-Status: {status}\n"),
        None => String::new(),
    };
    for (name, what) in [
        ("why", word("why")),
        ("route", word("route")),
        ("key", key.join("; ")),
    ] {
        if !what.is_empty() {
            text.push_str(&format!("  {name:<7}{what}\n"));
        }
    }
    text
}

fn list(texts: &Value) -> String {
    let texts = texts.as_array().into_iter().flatten();
    texts.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}
