//! `banyan run`: serves until it is told to stop.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{Exit, Site, site};
use crate::{
    control::{admin::LINK_AGE_MAX, plane::Handle, publish::StartProblem},
    handover::systemd::Notify,
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
        generation = running.generation,
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

/// SIGHUP reloads, SIGUSR1 opens the access log again, SIGUSR2 starts the program anew, to take over; SIGTERM and SIGINT drain, and a second
/// one stops at once.
pub(super) fn until_told_to_stop(running: Running, ears: Ears) -> Exit {
    let plane = running.plane();
    let told = Told {
        notify: Notify::of_environment(),
        takes_successors: running.takes_successors(),
    };
    told.notify.ready(running.generation);
    let listening = std::thread::Builder::new()
        .name("banyan-signals".to_owned())
        .spawn(move || ears.listen(&plane, &told));
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

    fn listen(mut self, plane: &Handle, told: &Told) {
        let mut asked = false;
        loop {
            match self.runtime.block_on(self.signals.next()) {
                Heard::Reload => {
                    told.notify.reloading();
                    drop(plane.reload());
                    told.notify.reloaded();
                }
                Heard::Reopen => plane.reopen_logs(),
                Heard::Replace => told.replace(),
                Heard::End if asked => return plane.stop(),
                Heard::End => {
                    asked = true;
                    if !plane.has_left() {
                        told.notify.stopping(); // the service goes on where another process is it
                    }
                    plane.drain();
                }
            }
        }
    }
}

/// Who else is concerned by signals.
struct Told {
    notify: Notify,
    takes_successors: bool,
}

impl Told {
    /// Starts the program anew, as this one was started, from whatever is at its place by now. It takes over by itself.
    fn replace(&self) {
        if !self.takes_successors {
            return tracing::warn!("SIGUSR2: no program can take over without `[handover] socket`");
        }
        let mut arguments = env::args_os();
        let Some(program) = arguments.next() else {
            return tracing::error!("SIGUSR2: nobody knows where this program is");
        };
        let mut command = Command::new(&program);
        let command = command
            .args(arguments)
            .stdin(Stdio::null())
            .env_remove("LISTEN_FDS") // sockets come from here
            .env_remove("LISTEN_FDNAMES")
            .env_remove("LISTEN_PID");
        match command.spawn() {
            Err(error) => {
                tracing::error!(program = %program.display(), %error, "SIGUSR2: the program can't be started");
            }
            Ok(mut child) => {
                tracing::info!(pid = child.id(), program = %program.display(), "SIGUSR2: started anew");
                let waiting = std::thread::Builder::new().name("banyan-successor".to_owned());
                let waited = waiting.spawn(move || match child.wait() {
                    Ok(status) if !status.success() => {
                        tracing::error!(pid = child.id(), %status, "the program that was started anew has ended");
                    }
                    Ok(_) | Err(_) => {}
                });
                if let Err(error) = waited {
                    tracing::warn!(%error, "nobody waits for the program that was started anew");
                }
            }
        }
    }
}

enum Heard {
    Reload,
    Reopen,
    Replace,
    End,
}

struct Signals {
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.hup.recv() => Heard::Reload,
            _ = self.usr1.recv() => Heard::Reopen,
            _ = self.usr2.recv() => Heard::Replace,
            _ = self.term.recv() => Heard::End,
            _ = self.int.recv() => Heard::End,
        }
    }
}
