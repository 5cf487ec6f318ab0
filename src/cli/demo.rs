//! `banyan demo`: the demo site with its backends inside this process, and a card that says what to try.

use std::{
    fs, io,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use super::{Exit, run};
use crate::{
    demo::{self, Ports},
    serve::Addresses,
};

/// Where the site's files are.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The operator's file. Where there is none, the demo's own files are written to `banyan-demo/` first.
    #[arg(short, long, value_name = "FILE", default_value = "banyan.toml")]
    config: PathBuf,
    /// Serve a fresh copy of the demo's own files from a temporary folder, on ports that are free just now.
    #[arg(long, conflicts_with = "config")]
    free_ports: bool,
}

/// Serves the demo.
pub(super) fn demo(options: &Options) -> Exit {
    super::log_to_stderr("warn,banyan::control=info");
    let ports = if options.free_ports {
        Ports::Free
    } else {
        Ports::Shipped
    };
    let backends = match demo::start(ports) {
        Ok(backends) => backends,
        Err(error) => {
            eprintln!("banyan: {error}");
            eprintln!("banyan: or run `banyan demo --free-ports`");
            return Exit::Failure;
        }
    };
    let written = match ports {
        Ports::Shipped => settled(&options.config).map(|config| (config, None)),
        Ports::Free => Copy::write(&backends).map(|copy| (copy.0.join("banyan.toml"), Some(copy))),
    };
    let (config, _copy) = match written {
        Ok(written) => written,
        Err(error) => {
            eprintln!("banyan: the demo's files can't be written: {error}");
            return Exit::Failure;
        }
    };
    let started = run::Ears::open().and_then(|ears| Ok((run::start(&config)?, ears)));
    let (running, ears) = match started {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    print!(
        "{}",
        card(&running.addresses, &config, io::stdout().is_terminal())
    );
    let _ = io::Write::flush(&mut io::stdout());
    run::until_told_to_stop(running, ears)
}

/// A copy of the demo's files in a folder of its own, gone when dropped.
struct Copy(PathBuf);

impl Copy {
    fn write(backends: &demo::Demo) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("banyan-demo-{}", std::process::id()));
        fs::create_dir(&folder)?; // an existing one may be somebody else's trap
        let copy = Self(folder);
        let real = [backends.legacy, backends.learn, backends.shop];
        for (name, text) in demo::site() {
            let mut text = (*text).to_owned();
            for (shipped, real) in demo::PORTS.iter().zip(real) {
                text = text.replace(&format!("127.0.0.1:{shipped}"), &real.to_string());
            }
            if *name == "banyan.toml" {
                text = with_free_ports(&text);
            }
            let file = copy.0.join(name);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&file, text)?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The listeners of the demo's `banyan.toml`, on ports that the system chooses.
fn with_free_ports(text: &str) -> String {
    let line = |line: &str| match line.split_once('=').map(|(key, _)| key.trim()) {
        Some(key @ ("https" | "http" | "private")) => format!("{key} = [\"127.0.0.1:0\"]\n"),
        Some("admin") => "admin = \"127.0.0.1:0\"\n".to_owned(),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The file to serve: the one asked for, or the demo's own, written beside it. Files that are there are never overwritten.
fn settled(config: &Path) -> io::Result<PathBuf> {
    if config.exists() {
        return Ok(config.to_path_buf());
    }
    let folder = config
        .parent()
        .unwrap_or_else(|| Path::new(""))
        .join("banyan-demo");
    for (name, text) in demo::site() {
        let file = folder.join(name);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        if !file.exists() {
            fs::write(&file, text)?;
        }
    }
    Ok(folder.join("banyan.toml"))
}

/// What to open, and what to try next.
fn card(addresses: &Addresses, config: &Path, colours: bool) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "banyan".to_owned());
    let which = if config == Path::new("banyan.toml") {
        String::new()
    } else {
        format!(" --config {}", config.display())
    };
    let folder = config
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let port = |sockets: &[std::net::SocketAddr], own: u16| {
        sockets
            .first()
            .map(|address| address.port())
            .filter(|port| *port != own)
            .map_or_else(String::new, |port| format!(":{port}"))
    };
    let site = format!("https://localhost{}", port(&addresses.https, 443));
    let plain = format!("http://localhost{}", port(&addresses.http, 80));
    let admin = addresses
        .admin
        .map(|admin| format!("http://{admin}"))
        .unwrap_or_default();
    let folder = folder.display();
    let (bold, faint, plain_text) = if colours {
        ("\x1b[1m", "\x1b[2m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    format!(
        "
  {bold}Banyan serves the demo site.{plain_text}

  Open   {bold}{site}/{plain_text}   the site: a legacy application, and two squads' new parts of it
         {bold}{admin}/{plain_text}   the page of those who run it
         {plain}/   sends you to https
  Trust  {folder}/state/dev-ca/ca.pem   made just now for this machine: give it to your browser, or to curl --cacert

  Try    1. Walk from {site}/courses to a course and its reviews. Some visitors get the new reviews, most the legacy ones;
            you stay on your side. A private window is another visitor.
         2. In {folder}/flags/course-reviews.toml write `new = 100.0` and save: everyone is on the new side with the next
            request. `state = \"disabled\"` brings everyone back.
         3. Break a file on purpose: the last good one serves on, and {admin}/ says what is wrong.
         4. {faint}{program} explain{which} {site}/courses/rust/reviews{plain_text}   why a request goes where it goes
            {faint}{program} check{which}{plain_text}   what a squad's pull request would be told

  Watch  tail -f {folder}/state/access.log   one line for each request
  Stop   Ctrl-C lets what is under way finish first.

"
    )
}
