//! `banyan run`: serves until it is told to stop.

use std::path::Path;

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{Exit, Site, site};
use crate::{
    control::{admin::LINK_AGE_MAX, plane::Handle, publish::StartProblem},
    serve::{self, Running, StartError},
};

/// Serves what the site says.
pub(super) fn run(site: &Site) -> Exit {
    super::log_to_stderr("info");
    let started = Ears::open().and_then(|ears| Ok((start(&site.config)?, ears)));
    match started {
        Ok((running, ears)) => until_told_to_stop(running, ears),
        Err(exit) => exit,
    }
}

/// Starts, or says on standard error why not.
pub(super) fn start(config: &Path) -> Result<Running, Exit> {
    match serve::start(config) {
        Ok(running) => {
            say(&running);
            Ok(running)
        }
        Err(StartError::Site(StartProblem::Invalid(problems))) => {
            site::print(&problems);
            eprintln!("banyan: nothing is served; mend the above and start again");
            Err(Exit::Invalid)
        }
        Err(error) => {
            eprintln!("banyan: {error}");
            Err(Exit::Failure)
        }
    }
}

fn say(running: &Running) {
    let addresses = &running.addresses;
    let list = |sockets: &[std::net::SocketAddr]| {
        sockets
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    tracing::info!(
        https = list(&addresses.https),
        http = list(&addresses.http),
        private = list(&addresses.private),
        admin = addresses.admin.map(|admin| admin.to_string()).unwrap_or_default(),
        "serving"
    );
    if let Some(link) = running.login_link() {
        let minutes = LINK_AGE_MAX.as_secs() / 60;
        eprintln!(
            "banyan: nobody is named yet who may change flags; this link signs one browser in, once, within {minutes} minutes:"
        );
        eprintln!("  {link}");
    }
}

/// SIGHUP reloads, SIGUSR1 opens the access log again, SIGTERM and SIGINT drain; a second one stops at once.
pub(super) fn until_told_to_stop(running: Running, ears: Ears) -> Exit {
    let plane = running.plane();
    let listening = std::thread::Builder::new()
        .name("banyan-signals".to_owned())
        .spawn(move || ears.listen(&plane));
    if let Err(error) = listening {
        eprintln!("banyan: no thread for signals: {error}");
        return Exit::Failure;
    }
    running.wait();
    tracing::info!("ended");
    Exit::Ok
}

/// Hears signals from when it is made: one that comes during the start waits until there is something that it can be told to.
pub(super) struct Ears {
    runtime: Runtime,
    signals: Signals,
}

impl Ears {
    /// Opens them, or says on standard error why not.
    pub(super) fn open() -> Result<Self, Exit> {
        let open = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let signals = {
                let _inside = runtime.enter();
                Signals::new()?
            };
            Ok(Self { runtime, signals })
        };
        open().map_err(|error: std::io::Error| {
            eprintln!("banyan: signals can't be heard: {error}");
            Exit::Failure
        })
    }

    fn listen(mut self, plane: &Handle) {
        let mut asked = false;
        loop {
            match self.runtime.block_on(self.signals.next()) {
                Heard::Reload => drop(plane.reload()),
                Heard::Reopen => plane.reopen_logs(),
                Heard::End if asked => return plane.stop(),
                Heard::End => {
                    asked = true;
                    plane.drain();
                }
            }
        }
    }
}

enum Heard {
    Reload,
    Reopen,
    End,
}

struct Signals {
    hup: Signal,
    usr1: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.hup.recv() => Heard::Reload,
            _ = self.usr1.recv() => Heard::Reopen,
            _ = self.term.recv() => Heard::End,
            _ = self.int.recv() => Heard::End,
        }
    }
}
