//! `banyan drill`: starts, lists and stops drills of the router that runs.

use std::net::SocketAddr;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Exit, Site,
    flag::{Failed, router::Router, show},
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
    /// Put a fault into some requests of a route, for a while.
    Start {
        /// The route's path or pattern as written.
        #[arg(required_unless_present = "path", conflicts_with = "path")]
        route: Option<String>,
        /// A path instead, with a last `/*` all below it.
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
        /// `delay=2s`, `abort=503`, `cut=16KiB` (of the answer's body) or `throttle=10KiB` (a second).
        #[arg(long, value_name = "FAULT")]
        what: String,
        /// Percent of requests, chosen by chance.
        #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
        share: f64,
        /// Only requests with this field.
        #[arg(long, value_name = "NAME: VALUE")]
        header: Option<String>,
        /// Only requests of the visitor with this id.
        #[arg(long, value_name = "ID")]
        visitor: Option<String>,
        /// How long, at most 1h.
        #[arg(long = "for", default_value = "5m", value_name = "TIME")]
        lasts: String,
        /// Why: the log keeps it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who: the log keeps it.
        #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody")]
        by: String,
    },
    /// Drills under way.
    List,
    /// End a drill, from the next request on; `all` ends all of them.
    Stop {
        /// Its id.
        id: String,
        /// Why: the log keeps it.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

/// Does it.
pub(super) fn drill(options: &Options) -> Exit {
    match carry_out(options) {
        Ok(told) if options.json => println!("{told:#}"),
        Ok(told) => print!("{}", lines(&told)),
        Err(failed) => {
            eprintln!("banyan: {}", failed.why);
            return failed.exit;
        }
    }
    Exit::Ok
}

fn carry_out(options: &Options) -> Result<Value, Failed> {
    let router = router(options)?;
    match &options.command {
        Command::List => router.get("/api/drills"),
        Command::Start {
            route,
            path,
            what,
            share,
            header,
            visitor,
            lasts,
            reason,
            by,
        } => {
            let order = json!({
                "route": route, "path": path, "what": what, "share": share, "header": header, "visitor": visitor,
                "for": lasts, "reason": reason, "by": by,
            });
            router.order("/api/drills", &order)
        }
        Command::Stop { id, reason } if id == "all" => {
            let known = router.get("/api/drills")?;
            let mut ended = Vec::new();
            for drill in known
                .get("drills")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                ended.push(end(&router, &show::text(drill, "id"), reason)?);
            }
            Ok(json!({ "drills": ended }))
        }
        Command::Stop { id, reason } => end(&router, id, reason),
    }
}

fn end(router: &Router, id: &str, reason: &str) -> Result<Value, Failed> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failed::new(Exit::Usage, format!("`{id}` is no id of a drill")));
    }
    router.order(&format!("/api/drills/{id}/end"), &json!({ "reason": reason }))
}

/// The router that runs: there is nothing to drill without one.
fn router(options: &Options) -> Result<Router, Failed> {
    let sources = Sources::read(&options.site.config);
    let isolated = config::isolate(&sources, &Sources::empty(&sources.folder), &config::process_env);
    let edge = isolated.settings.as_ref().map(|settings| &settings.edge);
    let address = options.admin.or_else(|| edge.and_then(|edge| edge.listen.admin));
    let Some(address) = address else {
        let why = "no admin listener is known: name it with `--admin`, or banyan.toml with `--config`";
        return Err(Failed::new(Exit::Usage, why));
    };
    Router::at(address, edge.map(|edge| edge.state.as_path()))
}

fn lines(told: &Value) -> String {
    let all = match told.get("drills").and_then(Value::as_array) {
        Some(drills) => drills.iter().collect(),
        None => vec![told],
    };
    if all.is_empty() {
        return "no drill is under way\n".to_owned();
    }
    all.into_iter().map(line).collect()
}

fn line(drill: &Value) -> String {
    let text = |name| show::text(drill, name);
    let number = |name| drill.get(name).map(ToString::to_string).unwrap_or_default();
    let place = [text("route"), text("path")].concat();
    format!(
        "{}  {} on {place}, {} %, until {}, {} met, by {}: {}\n",
        text("id"),
        text("what"),
        number("share"),
        text("ends"),
        number("met"),
        text("by"),
        text("reason"),
    )
}
