//! `banyan flag`: lists and changes flags, through the router that runs, or on the files when none does.

mod act;
mod files;
pub(super) mod router;
pub(super) mod show;

use std::net::SocketAddr;

use clap::Subcommand;
use serde_json::Value;

pub(super) use self::router::Router;
use self::{
    act::{Act, Said},
    files::Files,
};
use super::{Exit, Site, site};
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
    /// All flags with their shares.
    List,
    /// One flag.
    Show {
        /// Its key.
        key: String,
    },
    /// Change parts of a flag: `state=disabled`, `description=Text`, `default=legacy`, `rollout.new=5`, or any other key of
    /// its file with a value in JSON.
    Set {
        /// Its key.
        key: String,
        /// What shall be what; a key with nothing behind `=` is taken away.
        #[arg(required = true, value_name = "KEY=VALUE")]
        values: Vec<String>,
        #[command(flatten)]
        said: Said,
    },
    /// Set shares in percent, which ends a schedule.
    Ramp {
        /// Its key.
        key: String,
        /// Percent of the variant that isn't the default, or `variant=percent` for each.
        #[arg(required = true, value_name = "SHARE")]
        shares: Vec<String>,
        #[command(flatten)]
        said: Said,
    },
    /// Give everyone the default, from the next request on.
    Kill {
        /// Its key.
        key: String,
        #[command(flatten)]
        said: Said,
    },
    /// Let a flag decide again, for the same visitors as before.
    Restore {
        /// Its key.
        key: String,
        #[command(flatten)]
        said: Said,
    },
    /// Who changed what, when and why; the newest change first.
    History {
        /// Only of this flag.
        key: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 20, value_name = "NUMBER")]
        limit: usize,
    },
    /// Take a change back.
    Undo {
        /// The flag's key.
        key: String,
        /// The change's number in the history; the newest unless said otherwise.
        #[arg(long, value_name = "NUMBER")]
        entry: Option<u64>,
        /// With everything that came after it.
        #[arg(long, requires = "entry")]
        and_after: bool,
        #[command(flatten)]
        said: Said,
    },
    /// Make a link that puts a browser on a variant, for testing. Needs a running router.
    Link {
        /// The flag's key.
        key: String,
        /// The variant.
        variant: String,
        /// How long it works, such as 2h.
        #[arg(long = "for", default_value = "1h", value_name = "TIME")]
        lasts: String,
        #[command(flatten)]
        said: Said,
    },
}

/// Why something was not done.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) exit: Exit,
    pub(super) why: String,
}

impl Failed {
    pub(super) fn new(exit: Exit, why: impl Into<String>) -> Self {
        Self {
            exit,
            why: why.into(),
        }
    }
}

/// Who does it.
enum Desk {
    Router(Router),
    Files(Box<Files>),
}

/// Does it.
pub(super) fn flag(options: &Options) -> Exit {
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

/// What came of it, as JSON and for people.
fn carry_out(options: &Options) -> Result<(Value, String), Failed> {
    let act = Act::of(&options.command)?;
    let desk = Desk::find(options)?;
    match &options.command {
        Command::List => desk.list().map(|told| {
            let text = show::list(&told);
            (told, text)
        }),
        Command::Show { key } => desk.show(key).map(|told| {
            let text = show::one(&told);
            (told, text)
        }),
        Command::History { key, limit } => desk.history(key.as_deref(), *limit).map(|told| {
            let text = show::history(&told);
            (told, text)
        }),
        Command::Link {
            key,
            variant,
            lasts,
            said,
        } => {
            let Desk::Router(router) = &desk else {
                let why = "a link is made by a router, and none runs here";
                return Err(Failed::new(Exit::Failure, why));
            };
            let told = router.link(key, variant, lasts, said)?;
            let text = format!("{}\n", show::text(&told, "url"));
            Ok((told, text))
        }
        Command::Set { key, said, .. }
        | Command::Ramp { key, said, .. }
        | Command::Kill { key, said }
        | Command::Restore { key, said }
        | Command::Undo { key, said, .. } => {
            let Some(act) = act else {
                return Err(Failed::new(Exit::Usage, "there is nothing to do"));
            };
            let told = match &desk {
                Desk::Router(router) => router.change(key, &act, said)?,
                Desk::Files(files) => files.change(key, &act, said)?,
            };
            let text = show::changed(key, &told);
            Ok((told, text))
        }
    }
}

impl Desk {
    fn find(options: &Options) -> Result<Self, Failed> {
        let sources = Sources::read(&options.site.config);
        let isolated = config::isolate(&sources, &Sources::empty(&sources.folder), &config::process_env);
        let edge = isolated.settings.as_ref().map(|settings| &settings.edge);
        let address = options.admin.or_else(|| edge.and_then(|edge| edge.listen.admin));
        if let Some(address) = address {
            let router = Router::at(address, edge.map(|edge| edge.state.as_path()))?;
            match router.greet() {
                Ok(()) => return Ok(Self::Router(router)),
                Err(failed) if options.admin.is_some() => return Err(failed),
                Err(_) => {} // none runs here, so the files are all there is
            }
        }
        let Some(settings) = isolated.settings else {
            site::print(&isolated.problems);
            return Err(Failed::new(Exit::Invalid, "the configuration is not valid"));
        };
        Files::open(&options.site.config, settings, &isolated.sources)
            .map(|files| Self::Files(Box::new(files)))
    }

    fn list(&self) -> Result<Value, Failed> {
        match self {
            Self::Router(router) => router.get("/api/flags"),
            Self::Files(files) => Ok(files.list()),
        }
    }

    fn show(&self, key: &str) -> Result<Value, Failed> {
        match self {
            Self::Router(router) => router.get(&format!("/api/flags/{}", act::in_path(key)?)),
            Self::Files(files) => files.show(key),
        }
    }

    fn history(&self, key: Option<&str>, limit: usize) -> Result<Value, Failed> {
        match (self, key) {
            (Self::Router(router), None) => router.get(&format!("/api/history?limit={limit}")),
            (Self::Router(router), Some(key)) => {
                let key = act::in_path(key)?;
                router.get(&format!("/api/flags/{key}/history?limit={limit}"))
            }
            (Self::Files(files), key) => files.history(key, limit),
        }
    }
}
