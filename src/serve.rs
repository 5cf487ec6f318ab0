//! The wiring: settings, snapshot, sockets, planes, drain.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use rustix::process::setpriority_process;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    cache,
    config::settings::{EdgeSettings, ListenSettings, LogFormat, LogSettings, LogTarget},
    control::{
        self,
        admin::tokens::Secret,
        plane::Plane,
        publish::{Publisher, StartProblem},
    },
    gate::assertion::Signer,
    limits::Limits,
    observe::{self, Observer, log, metrics::TallyRequest, record::Listener},
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

/// Connections that the kernel may hold for a socket before they are accepted.
const BACKLOG: i32 = 4096;
/// What the control plane's threads give way to requests on a core that both want (`man 2 setpriority`): they still get a tenth of
/// a core that requests fill, so that a flag can be switched off under any load.
const CONTROL_NICENESS: i32 = 10;
/// How long cut-off connections have to close after a drain's window.
const LAST_BREATH: Duration = Duration::from_millis(500);
/// Time for the last log lines to reach their file.
const LOG_FLUSH: Duration = Duration::from_secs(2);

/// Why the program can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Something in the files.
    #[error(transparent)]
    Site(#[from] StartProblem),
    /// A socket can't be had.
    #[error("`{setting}` in banyan.toml: {address} {}", busy(.source))]
    Listen {
        /// The setting that changes it.
        setting: &'static str,
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that the system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn busy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "is in use by another program; stop it or choose another port".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "may not be opened by this user; choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "is no address of this machine".to_owned(),
        _ => format!("can't be opened: {error}"),
    }
}

/// The addresses that are really listened on: with port 0 the system chooses.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// Redirects.
    pub http: Vec<SocketAddr>,
    /// Between backends.
    pub private: Vec<SocketAddr>,
    /// Page, API, metrics.
    pub admin: Option<SocketAddr>,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addresses: Addresses,
    login: Option<Secret>,
    plane: control::plane::Handle,
    cores: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
    writer: Option<log::Writer>,
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

    /// Waits until everything has ended, after somebody asked for a drain or stop.
    pub fn wait(mut self) {
        for core in self.cores.drain(..) {
            if core.join().is_err() {
                tracing::error!("a core ended in a panic");
            }
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

/// Starts what the site of `path` (a `banyan.toml`) says, and returns once every socket listens.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn start(path: &Path) -> Result<Running, StartError> {
    let log = |edge: &EdgeSettings| access_log(&edge.log);
    let facts = Arc::new(observe::metrics::Facts::default());
    let publisher = Publisher::start(path, Arc::clone(&facts))?;
    let edge = publisher.settings().edge.clone();
    let mut observer = Observer::start(log(&edge), facts).map_err(|source| StartError::System {
        what: "the access log can't be opened",
        source,
    })?;
    let signer = control::keep::identity_signer(&edge.state).map_err(|source| StartError::System {
        what: "the key that signs identities",
        source,
    })?;
    let signer = Arc::new(signer);
    let cache = Arc::clone(publisher.cache().store());
    let flights = Arc::default();
    let cores = core_count(edge.cores);
    let (addresses, sockets) = bind_all(&edge.listen, cores)?;
    let admin = edge.listen.admin.map(bind_admin).transpose()?;
    let addresses = Addresses {
        admin: admin.as_ref().and_then(|socket| socket.local_addr().ok()),
        ..addresses
    };
    let https_port = addresses.https.first().map(SocketAddr::port);
    let https_port = https_port.filter(|port| *port != 443);
    let mut threads = Vec::with_capacity(cores);
    let mut phases = Vec::with_capacity(cores);
    for (number, sockets) in sockets.into_iter().enumerate() {
        let (phase, orders) = mpsc::channel(4);
        let (core, scrapes) = observer.core();
        let seed = Seed {
            sockets,
            core,
            scrapes,
            orders,
            live: publisher.live(),
            tls: publisher.server_tls(),
            signer: Arc::clone(&signer),
            cache: Arc::clone(&cache),
            flights: Arc::clone(&flights),
            https_port,
            seats: (edge.limits.connections_max / cores).max(1),
            limits: edge.limits.clone(),
        };
        phases.push(phase);
        threads.push(spawn(format!("banyan-core-{number}"), move || seed.run())?);
    }
    let reopen = observer.log();
    let (metrics, writer) = observer.split();
    let (plane, handle) = Plane::new(publisher, metrics, phases, signer, reopen, admin);
    let plane = plane.with_https_port(https_port);
    let login = plane.invitation();
    let control = spawn("banyan-control".to_owned(), move || {
        let _ = setpriority_process(None, CONTROL_NICENESS); // where it isn't allowed, all are alike
        plane.run();
    })?;
    Ok(Running {
        addresses,
        login,
        plane: handle,
        cores: threads,
        control: Some(control),
        writer,
    })
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

/// One core's sockets.
type Sockets = Vec<(Listener, StdListener)>;

fn bind_all(listen: &ListenSettings, cores: usize) -> Result<(Addresses, Vec<Sockets>), StartError> {
    let mut addresses = Addresses::default();
    let mut per_core: Vec<Sockets> = (0..cores).map(|_| Vec::new()).collect();
    let groups = [
        (Listener::Https, "listen.https", &listen.https),
        (Listener::Http, "listen.http", &listen.http),
        (Listener::Private, "listen.private", &listen.private),
    ];
    for (listener, setting, wanted) in groups {
        for address in wanted {
            let failed = |source| StartError::Listen {
                setting,
                address: *address,
                source,
            };
            let bound = match bind_group(*address, &mut per_core, listener) {
                Ok(bound) => bound,
                Err(error) if address.is_ipv6() && wanted.len() > 1 && lacks_ipv6(&error) => {
                    tracing::warn!(%address, setting, "this machine has no such IPv6 address: not listened on");
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            match listener {
                Listener::Https => addresses.https.push(bound),
                Listener::Http => addresses.http.push(bound),
                Listener::Private => addresses.private.push(bound),
            }
        }
    }
    Ok((addresses, per_core))
}

/// Gives each core its own socket on `address`: the kernel spreads connections over them by a hash (SO_REUSEPORT).
fn bind_group(address: SocketAddr, cores: &mut [Sockets], listener: Listener) -> io::Result<SocketAddr> {
    // Two programs that both say SO_REUSEPORT would share the port without a word: first see that nobody has it.
    let probe = socket(address)?;
    probe.bind(&address.into())?;
    probe.listen(1)?;
    let bound = probe
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("not an IP socket"))?;
    drop(probe);
    for core in cores {
        let socket = socket(bound)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        socket.listen(BACKLOG)?;
        core.push((listener, socket.into()));
    }
    Ok(bound)
}

/// Containers often have no IPv6 at all, while `["127.0.0.1:443", "[::1]:443"]` is what a person means by "this machine".
fn lacks_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too; a system without IPv4 mapping says no, and that is fine.
        let _ = socket.set_only_v6(!address.ip().is_unspecified());
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_admin(address: SocketAddr) -> Result<StdListener, StartError> {
    let open = || {
        let socket = socket(address)?;
        socket.bind(&address.into())?;
        socket.listen(128)?;
        Ok(StdListener::from(socket))
    };
    open().map_err(|source| StartError::Listen {
        setting: "listen.admin",
        address,
        source,
    })
}

/// What a core grows from. All of it can cross to the core's thread; what it becomes can't leave it.
struct Seed {
    sockets: Sockets,
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
        wind_down(
            last,
            &phase,
            &room,
            self.seats,
            &mut self.orders,
            self.limits.drain_timeout,
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

/// Waits until every connection has ended, the window is over, or somebody says stop; not at all when that was said at once.
async fn wind_down(
    order: Phase,
    phase: &tokio::sync::watch::Sender<Phase>,
    room: &Semaphore,
    seats: usize,
    orders: &mut mpsc::Receiver<Phase>,
    window: Duration,
) {
    let everyone = u32::try_from(seats).unwrap_or(u32::MAX);
    if order == Phase::Draining {
        tokio::select! {
            _ = room.acquire_many(everyone) => return,
            _ = orders.recv() => {}
            () = tokio::time::sleep(window) => {}
        }
    }
    let _ = phase.send(Phase::Stopped);
    let _ = tokio::time::timeout(LAST_BREATH, room.acquire_many(everyone)).await;
}
