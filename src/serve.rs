//! The wiring: settings, snapshot, sockets, planes, drain.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::setpriority_process;
use tokio::sync::{Semaphore, mpsc, watch};

pub use crate::handover::bound::Addresses;
use crate::{
    cache, clock,
    config::settings::{EdgeSettings, LogFormat, LogSettings, LogTarget},
    control::{
        self,
        admin::tokens::Secret,
        plane::Plane,
        publish::{Publisher, StartProblem},
    },
    gate::assertion::Signer,
    handover::{
        HandoverError, Kept,
        bound::{Bound, ListenError, OfCore},
        leaving::{self, Leaving},
        offer::{Draft, Offer},
        sockets::Sockets,
        systemd::Notify,
        take::Taking,
    },
    limits::Limits,
    observe::{
        self, Observer, log,
        metrics::{Family, TallyRequest},
        record::Listener,
    },
    proxy::{
        caching::flights::Flights,
        edge::{Edge, Parts},
        listen::{self, Door},
        recall,
    },
    snapshot::live::{Live, View},
    tls::ServerTls,
    wire::{Drain, Phase},
};

/// What the control plane's threads give way to requests on a core that both want (`man 2 setpriority`): they still get a tenth of
/// a core that requests fill, so that a flag can be switched off under any load.
const CONTROL_NICENESS: i32 = 10;
/// Time for a last word to who has taken over.
const KEEPER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that cores have to begin.
const CORES_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the last log lines to reach their file.
const LOG_FLUSH: Duration = Duration::from_secs(2);

/// Why the program can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something in the files.
    #[error(transparent)]
    Site(#[from] StartProblem),
    /// A socket can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The program that runs could not be taken over from.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// Anything else that the system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    /// How many programs have served since the first one, with this one.
    pub generation: u64,
    login: Option<Secret>,
    plane: control::plane::Handle,
    cores: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
    writer: Option<log::Writer>,
    keeper: Option<Keeper>,
}

impl Running {
    /// What one may ask of the control plane: reload, drain, stop, reopen logs.
    #[must_use]
    pub fn plane(&self) -> control::plane::Handle {
        self.plane.clone()
    }

    /// The link with which the first browser signs in on the admin listener: a secret, for who starts the program alone.
    #[must_use]
    pub fn login_link(&self) -> Option<&str> {
        self.login.as_ref().map(Secret::reveal)
    }

    /// Whether another program can take over from this one.
    #[must_use]
    pub const fn takes_successors(&self) -> bool {
        self.keeper.is_some()
    }

    /// Waits until everything has ended, after somebody asked for a drain or stop.
    pub fn wait(mut self) {
        for core in self.cores.drain(..) {
            if core.join().is_err() {
                tracing::error!("a core ended in a panic");
            }
        }
        if let Some(keeper) = self.keeper.take() {
            keeper.stop.send_replace(true);
            let _ = keeper.ended.recv_timeout(KEEPER_TIMEOUT); // it may be waiting for a program that hangs
        }
        self.plane.cores_ended();
        if let Some(control) = self.control.take() {
            let _ = control.join();
        }
        if let Some(writer) = self.writer.take()
            && !writer.flush_and_stop(LOG_FLUSH)
        {
            tracing::warn!("the last lines of the access log could not be written in time");
        }
    }
}

/// Starts what the site of `path` (a `banyan.toml`) says, and returns once every socket listens: its own, those that systemd passes, or
/// those of the program that runs on the same files, which drains from then on.
///
/// # Errors
/// [`StartError`]; nothing is left running then, and a program that ran goes on.
pub fn start(path: &Path) -> Result<Running, StartError> {
    let facts = Arc::new(observe::metrics::Facts::default());
    let publisher = Publisher::start(path, Arc::clone(&facts))?;
    let edge = publisher.settings().edge.clone();
    let (mut taking, mut passed) = match &edge.handover.socket {
        None => (None, Sockets::of_systemd()),
        Some(socket) => match Taking::begin(socket, edge.handover.timeout)? {
            Some((taking, passed)) => (Some(taking), passed),
            None => (None, Sockets::of_systemd()),
        },
    };
    let observer =
        Observer::start(access_log(&edge.log), Arc::clone(&facts)).map_err(|source| StartError::System {
            what: "the access log can't be opened",
            source,
        })?;
    let signer = control::keep::identity_signer(&edge.state).map_err(|source| StartError::System {
        what: "the key that signs identities",
        source,
    })?;
    let bound = Bound::all(&edge.listen, core_count(edge.cores), &mut passed)?;
    drop(passed); // what no listener wants is the other program's affair
    let socket = edge.handover.socket.as_deref();
    let draft = socket.map(Draft::make).transpose()?;
    let generation = taking.as_ref().map_or(1, |taking| taking.generation);
    facts.set([(Family::Generation, [].as_slice(), generation)]);
    if let Some(taking) = &mut taking {
        take_up(taking, &publisher)?;
    }
    let site = Prepared {
        edge,
        publisher,
        observer,
        signer: Arc::new(signer),
        facts,
        bound,
        generation,
    };
    site.serve(taking, draft)
}

/// Goes on where the program that runs stops.
fn take_up(taking: &mut Taking, publisher: &Publisher) -> Result<(), HandoverError> {
    let state = taking.ready()?;
    let taken = state.map(|state| publisher.live().current().take_up(&state, clock::now()));
    let taken = taken.unwrap_or_default();
    tracing::info!(
        from = taking.pid,
        version = taking.version,
        generation = taking.generation,
        rooms = taken.rooms,
        backends = taken.backends,
        routes = taken.routes,
        "taking over"
    );
    Ok(())
}

/// All that a program needs before it takes the first connection.
struct Prepared {
    edge: EdgeSettings,
    publisher: Publisher,
    observer: Observer,
    signer: Arc<Signer>,
    facts: Arc<observe::metrics::Facts>,
    bound: Bound,
    generation: u64,
}

impl Prepared {
    fn serve(mut self, taking: Option<Taking>, draft: Option<Draft>) -> Result<Running, StartError> {
        let leaving = Leaving::default();
        let kept = match &draft {
            Some(_) => Kept::new(self.bound.kept().map_err(|source| StartError::System {
                what: "sockets can't be kept for a successor",
                source,
            })?),
            None => Kept::default(),
        };
        let https_port = self.bound.addresses.https.first().map(SocketAddr::port);
        let https_port = https_port.filter(|port| *port != 443);
        let (cores, phases, up) = self.cores(https_port, &leaving)?;
        let reopen = self.observer.log();
        let (metrics, writer) = self.observer.split();
        let admin = self.bound.admin.map(|(_, socket)| socket);
        let (plane, handle) = Plane::new(self.publisher, metrics, phases, self.signer, reopen, admin);
        let closing = kept.clone();
        let plane = plane
            .with_https_port(https_port)
            .taking_over(taking.is_some())
            .before_closing(move || closing.let_go());
        let login = plane.invitation();
        let control = spawn("banyan-control".to_owned(), move || {
            let _ = setpriority_process(None, CONTROL_NICENESS); // where it isn't allowed, all are alike
            plane.run();
        })?;
        let mut running = Running {
            addresses: self.bound.addresses,
            generation: self.generation,
            login,
            plane: handle,
            cores,
            control: Some(control),
            writer,
            keeper: None,
        };
        let takes_over = taking.is_some();
        let predecessor = match stands(&up, running.cores.len()).and_then(|()| {
            let taking = taking.map(Taking::serving).transpose();
            Ok(taking.map(Option::flatten)?)
        }) {
            Ok(predecessor) => predecessor,
            Err(error) => {
                running.plane.stop();
                running.wait();
                return Err(error);
            }
        };
        let offer = Offer {
            timeout: self.edge.handover.timeout,
            generation: self.generation,
            kept,
            plane: running.plane(),
            facts: self.facts,
            leaving,
            notify: Notify::of_environment(),
            predecessor,
        };
        if takes_over {
            running.plane.taken_over();
        }
        running.keeper = draft.and_then(|draft| {
            keep(draft, offer)
                .inspect_err(
                    |error| tracing::error!(%error, "no program will be able to take over from this one"),
                )
                .ok()
        });
        Ok(running)
    }

    /// Has each core begin; each says in the last when it takes connections.
    fn cores(&mut self, https_port: Option<u16>, leaving: &Leaving) -> Result<Cores, StartError> {
        let all = std::mem::take(&mut self.bound.cores);
        let seats = (self.edge.limits.connections_max / all.len().max(1)).max(1);
        let (said, up) = std::sync::mpsc::channel();
        let (mut threads, mut phases) = (Vec::new(), Vec::new());
        let flights = Arc::default();
        for (number, sockets) in all.into_iter().enumerate() {
            let (phase, orders) = mpsc::channel(4);
            let (core, scrapes) = self.observer.core();
            let seed = Seed {
                sockets,
                core,
                scrapes,
                orders,
                live: self.publisher.live(),
                tls: self.publisher.server_tls(),
                signer: Arc::clone(&self.signer),
                cache: Arc::clone(self.publisher.cache().store()),
                flights: Arc::clone(&flights),
                https_port,
                seats,
                limits: self.edge.limits.clone(),
                leaving: leaving.clone(),
                up: said.clone(),
            };
            phases.push(phase);
            threads.push(spawn(format!("banyan-core-{number}"), move || seed.run())?);
        }
        Ok((threads, phases, up))
    }
}

/// Threads, what they are told, and what says that they stand.
type Cores = (
    Vec<JoinHandle<()>>,
    Vec<mpsc::Sender<Phase>>,
    std::sync::mpsc::Receiver<()>,
);

/// Waits until all cores take connections.
fn stands(up: &std::sync::mpsc::Receiver<()>, cores: usize) -> Result<(), StartError> {
    for _ in 0..cores {
        up.recv_timeout(CORES_TIMEOUT)
            .map_err(|error| StartError::System {
                what: "a core doesn't begin",
                source: io::Error::other(error),
            })?;
    }
    Ok(())
}

/// The thread that keeps the Unix socket.
#[derive(Debug)]
struct Keeper {
    stop: watch::Sender<bool>,
    ended: std::sync::mpsc::Receiver<()>,
}

fn keep(draft: Draft, offer: Offer) -> Result<Keeper, StartError> {
    draft.publish()?;
    let (stop, stopped) = watch::channel(false);
    let (end, ended) = std::sync::mpsc::channel();
    spawn("banyan-handover".to_owned(), move || {
        draft.keep(offer, stopped);
        let _ = end.send(());
    })?;
    Ok(Keeper { stop, ended })
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map_err(|source| StartError::System {
            what: "a thread can't be started",
            source,
        })
}

fn access_log(settings: &LogSettings) -> Option<(log::Format, log::Target)> {
    let format = match &settings.format {
        LogFormat::Json => log::Format::Json,
        LogFormat::Combined => log::Format::Combined,
        LogFormat::CloudFront { location } => log::Format::CloudFront {
            location: location.clone().unwrap_or_else(log::host_name).into(),
        },
    };
    match &settings.to {
        LogTarget::Off => None,
        LogTarget::Stdout => Some((format, log::Target::Stdout)),
        LogTarget::File(path) => Some((format, log::Target::File(PathBuf::clone(path)))),
    }
}

fn core_count(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        cores => cores,
    }
}

/// What a core grows from. All of it can cross to the core's thread; what it becomes can't leave it.
struct Seed {
    sockets: OfCore,
    core: observe::Core,
    scrapes: mpsc::Receiver<TallyRequest>,
    orders: mpsc::Receiver<Phase>,
    live: Arc<Live>,
    tls: Arc<ServerTls>,
    signer: Arc<Signer>,
    cache: Arc<cache::store::Store>,
    flights: Arc<Flights>,
    https_port: Option<u16>,
    seats: usize,
    limits: Limits,
    leaving: Leaving,
    up: std::sync::mpsc::Sender<()>,
}

impl Seed {
    fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a core can't start"),
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, self.grow());
    }

    async fn grow(mut self) {
        let (phase, drain) = Drain::channel();
        let observe = Rc::new(self.core);
        let parts = Parts {
            view: View::new(self.live),
            observe: Rc::clone(&observe),
            signer: self.signer,
            cache: self.cache,
            flights: self.flights,
            drain,
            https_port: self.https_port,
        };
        let edge = Rc::new(Edge::new(parts));
        let room = Rc::new(Semaphore::new(self.seats));
        let mut doors = Vec::with_capacity(self.sockets.len());
        for (listener, socket) in self.sockets {
            let socket = match tokio::net::TcpListener::from_std(socket) {
                Ok(socket) => socket,
                Err(error) => return tracing::error!(%error, "a socket can't be used"),
            };
            let tls = (listener == Listener::Https).then(|| Arc::clone(&self.tls));
            let door = Door {
                socket,
                listener,
                tls,
                room: Rc::clone(&room),
            };
            doors.push(tokio::task::spawn_local(listen::accept(door, Rc::clone(&edge))));
        }
        let _ = self.up.send(());
        let counting = tokio::task::spawn_local(Rc::clone(&observe).serve(self.scrapes));
        let tidying = tokio::task::spawn_local(keep_tidy(Rc::clone(&edge)));
        let recalling = tokio::task::spawn_local(recall::keep(Rc::clone(&edge)));
        let mut last = Phase::Stopped; // nobody is left who could say so
        while let Some(order) = self.orders.recv().await {
            if order >= Phase::Draining {
                last = order;
                break;
            }
        }
        let _ = phase.send(last);
        for door in doors {
            let _ = door.await; // it lets those in who already stood before it, which needs free seats
        }
        leaving::wind_down(
            last,
            &phase,
            &room,
            self.seats,
            &mut self.orders,
            &self.limits,
            &self.leaving,
        )
        .await;
        tidying.abort();
        recalling.abort();
        counting.abort();
        observe.flush();
    }
}

async fn keep_tidy(edge: Rc<Edge>) {
    let mut each = tokio::time::interval(Duration::from_secs(1));
    loop {
        each.tick().await;
        edge.tidy_up();
    }
}
