//! Runs the control plane: one thread that reloads, probes, fetches keys, answers the admin listener and winds everything down.

#[path = "leave.rs"]
mod leave;

use std::{
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use super::{
    admin, cache::Cache, drills, edit::Editor, jwks, links::Links, live::Pulse, provider::Providers,
    publish::Publisher, rooms, rotation, status::Status, watch::Watch,
};
use crate::{
    backend::{judge::Judge, probe::Probes, resolve::Resolving},
    clock,
    gate::{KeySource, SkippedKey, assertion::Signer},
    observe::{Metrics, log::WriterHandle, metrics::Facts},
    snapshot::{GateAtWork, live::Live},
    wire::Phase,
};

/// How often things that have no event of their own are looked at: retired snapshots, certificates' ends, health for metrics.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often certificates are looked at when nobody saves one: a program that runs for months must still warn of their end.
const CERTIFICATES: Duration = Duration::from_secs(3600);

/// What one may ask of the control plane.
#[derive(Debug)]
enum Order {
    Reload(oneshot::Sender<Arc<Status>>),
    Drain,
    HandOver,
    TakenOver,
    Stop,
    ReopenLogs,
    CoresEnded,
}

/// Asks things of the control plane.
#[derive(Debug, Clone)]
pub struct Handle {
    orders: mpsc::Sender<Order>,
    live: Arc<Live>,
    left: Arc<AtomicBool>,
}

impl Handle {
    /// Reads all files again; returns what came of it. `None`: the control plane has ended.
    #[must_use]
    pub fn reload(&self) -> Option<Arc<Status>> {
        let (sender, receiver) = oneshot::channel();
        self.orders.blocking_send(Order::Reload(sender)).ok()?;
        receiver.blocking_recv().ok()
    }

    /// As [`Handle::reload`], without holding up the thread.
    pub async fn read_again(&self) -> Option<Arc<Status>> {
        let (sender, receiver) = oneshot::channel();
        self.orders.send(Order::Reload(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Asks nobody: for a view of a site that nothing serves.
    #[cfg(test)]
    pub(super) fn idle(live: Arc<Live>) -> Self {
        let (orders, _) = mpsc::channel(1);
        let left = Arc::default();
        Self { orders, live, left }
    }

    /// Finishes what is under way, takes nothing new, ends.
    pub fn drain(&self) {
        let _ = self.orders.blocking_send(Order::Drain);
    }

    /// Finishes what is under way and ends, while another program serves what is new from the same sockets.
    pub fn hand_over(&self) {
        let _ = self.orders.blocking_send(Order::HandOver);
    }

    /// Whether another program serves by now.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// The program before has let go of what only one can have.
    pub fn taken_over(&self) {
        let _ = self.orders.blocking_send(Order::TakenOver);
    }

    /// Ends at once.
    pub fn stop(&self) {
        let _ = self.orders.blocking_send(Order::Stop);
    }

    /// Opens the access log again, after it was moved away.
    pub fn reopen_logs(&self) {
        let _ = self.orders.blocking_send(Order::ReopenLogs);
    }

    /// The snapshot in force.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Told when no core runs any longer.
    pub(crate) fn cores_ended(&self) {
        let _ = self.orders.blocking_send(Order::CoresEnded);
    }
}

/// What the admin listener shows. Everything in it can be read while the control plane works.
#[derive(Debug, Clone)]
pub struct View {
    /// The snapshot in force.
    pub live: Arc<Live>,
    /// What the last change came to.
    pub status: Arc<ArcSwap<Status>>,
    /// Numbers.
    pub metrics: Metrics,
    /// Whether new work is welcome.
    pub ready: Arc<AtomicBool>,
    /// Whose signature identities bear.
    pub signer: Arc<Signer>,
    /// Makes override links and calls them back.
    pub links: Arc<Links>,
    /// Who may ask.
    pub door: Arc<admin::Door>,
    /// Changes flags.
    pub editor: Arc<Editor>,
    /// Puts changes in force.
    pub plane: Handle,
    /// The cache.
    pub cache: Arc<Cache>,
    /// The last minutes.
    pub pulse: Arc<Pulse>,
    /// The folder of `banyan.toml`, to which places are relative.
    pub folder: Arc<Path>,
}

/// The control plane before it runs.
#[derive(Debug)]
pub struct Plane {
    publisher: Publisher,
    facts: Arc<Facts>,
    view: View,
    cores: Vec<mpsc::Sender<Phase>>,
    orders: mpsc::Receiver<Order>,
    reopen: Option<WriterHandle>,
    admin: Option<TcpListener>,
    /// Told when the admin listener is another program's.
    left: watch::Sender<bool>,
    closing: Option<leave::Closing>,
    /// Whether it has been told what happened before this start.
    history: leave::History,
}

impl Plane {
    /// Puts it together; [`Plane::run`] on its own thread does the rest.
    #[must_use]
    pub fn new(
        publisher: Publisher,
        metrics: Metrics,
        cores: Vec<mpsc::Sender<Phase>>,
        signer: Arc<Signer>,
        reopen: Option<WriterHandle>,
        admin: Option<TcpListener>,
    ) -> (Self, Handle) {
        let (sender, orders) = mpsc::channel(16);
        let live = publisher.live();
        let address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
        let door = admin::Door::new(&publisher.settings().edge.state, address, publisher.facts());
        let handle = Handle {
            orders: sender,
            live: Arc::clone(&live),
            left: Arc::default(),
        };
        let view = View {
            live,
            status: publisher.status(),
            metrics,
            ready: Arc::new(AtomicBool::new(true)),
            signer,
            links: Arc::new(Links {
                state: publisher.settings().edge.state.clone(),
                https_port: None,
            }),
            door: Arc::new(door),
            editor: Arc::new(publisher.editor()),
            plane: handle.clone(),
            cache: publisher.cache(),
            pulse: Arc::default(),
            folder: publisher.folder().into(),
        };
        let facts = publisher.facts();
        let plane = Self {
            publisher,
            facts,
            view,
            cores,
            orders,
            reopen,
            admin,
            left: watch::Sender::new(false),
            closing: None,
            history: leave::History::Due,
        };
        (plane, handle)
    }

    /// The port of https, if it is another one than `https` means by itself: override links name it.
    #[must_use]
    pub fn with_https_port(mut self, https_port: Option<u16>) -> Self {
        let state = self.view.links.state.clone();
        self.view.links = Arc::new(Links { state, https_port });
        self
    }

    /// The link with which the first browser signs in, where `[admin]` names nobody who could.
    #[must_use]
    pub fn invitation(&self) -> Option<admin::tokens::Secret> {
        let address = self.admin.as_ref()?.local_addr().ok()?;
        self.view
            .door
            .invite(address, &self.publisher.settings().edge.admin)
    }

    /// Runs until the cores have ended.
    pub fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "the control plane can't start"),
        };
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, self.work());
    }

    async fn work(mut self) {
        self.begin_history();
        if let Some(admin) = self.admin.take() {
            tokio::task::spawn_local(admin::serve(admin, self.view.clone(), self.left.subscribe()));
        }
        let mut watch = Watch::start(self.publisher.wanted())
            .inspect_err(|error| tracing::warn!(%error, "files are not watched: use SIGHUP after a change"))
            .ok();
        // What was saved between the first reading and the watch would go unnoticed otherwise.
        let _ = self.reload();
        let mut probes = Probes::default();
        let mut resolving = Resolving::default();
        let mut judge = Judge::default();
        let mut keys = Keys::default();
        let mut providers = Providers::default();
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
        let mut certificates = tokio::time::interval(CERTIFICATES);
        loop {
            let at = self.view.live.current();
            resolving.follow(&at.backends, &at.dns);
            probes.follow(&at.backends, &at.limits);
            keys.follow(at.gate.as_ref(), &self.facts);
            providers.follow(at.gate.as_ref());
            drop(at);
            watch
                .iter_mut()
                .for_each(|watch| watch.follow(self.publisher.wanted()));
            let order = tokio::select! {
                order = self.orders.recv() => order,
                () = changed(&mut watch) => {
                    let _ = self.reload();
                    keys.look_again();
                    continue;
                }
                () = resolving.changed() => continue,
                _ = certificates.tick() => {
                    self.publisher.look_at_certificates();
                    self.look_at_identity_keys();
                    continue;
                }
                _ = housekeeping.tick() => {
                    watch.iter_mut().for_each(Watch::look_around);
                    judge.look(&self.view.live.current().backends, clock::steady());
                    self.housekeep();
                    continue;
                }
            };
            match order {
                Some(Order::Reload(answer)) => {
                    tracing::info!("asked to read all files again");
                    drop(answer.send(self.reload()));
                    keys.look_again();
                }
                Some(Order::ReopenLogs) => self.reopen.iter().for_each(WriterHandle::reopen),
                Some(Order::Drain) => self.drain(),
                Some(Order::HandOver) => {
                    watch = None; // files are the other program's from now on
                    self.hand_over();
                }
                Some(Order::TakenOver) => {
                    self.history = leave::History::Tried(0);
                    self.begin_history();
                }
                Some(Order::Stop) => self.tell_cores(Phase::Stopped),
                Some(Order::CoresEnded) | None => return,
            }
        }
    }

    /// Puts in force what the files say, and has the history look at flags that were saved.
    fn reload(&mut self) -> Arc<Status> {
        let status = self.publisher.reload();
        let saved = self.publisher.take_saved();
        if !saved.is_empty() {
            let editor = Arc::clone(&self.view.editor);
            tokio::task::spawn_blocking(move || editor.look_at(&saved));
        }
        status
    }

    /// Has identities signed by the key whose turn it is. What can't be read or written now is tried again.
    fn look_at_identity_keys(&self) {
        match rotation::keys(&self.publisher.settings().edge.state, clock::wall()) {
            Ok(keys) => self.view.signer.adopt(keys),
            Err(error) => tracing::warn!(%error, "the keys that sign identities stay as they are"),
        }
    }

    fn housekeep(&mut self) {
        self.begin_history();
        self.publisher.free_retired();
        let at = self.view.live.current();
        super::servers::tell(&self.facts, &at);
        drills::keep(&at, &self.facts);
        rooms::keep(&at, &self.facts);
        let machines: Vec<_> = at
            .gate
            .iter()
            .flat_map(|gate| gate.gate.machines().about())
            .collect();
        let machines = machines.iter();
        self.facts
            .machines(machines.map(|about| (&*about.name, about.used, about.expires.secs())));
        let sessions = at.gate.as_ref().and_then(|gate| gate.gate.sessions());
        if let Some(sessions) = sessions {
            self.facts.revoked_sessions(sessions.revoked.len());
        }
        self.view.cache.housekeep(&self.facts);
    }
}

/// The gate's keys, kept fresh for as long as the snapshot in force names their source.
#[derive(Debug, Default)]
struct Keys {
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    gate: GateAtWork,
    trust: jwks::Trust,
    facts: Arc<Facts>,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keys {
    fn follow(&mut self, gate: Option<&GateAtWork>, facts: &Arc<Facts>) {
        let gate = gate.filter(|gate| gate.source != KeySource::Nowhere);
        let kept = self.kept.as_ref().map(|kept| &kept.gate);
        if kept.map(|kept| (&kept.source, &kept.ca)) == gate.map(|gate| (&gate.source, &gate.ca)) {
            return;
        }
        self.kept = gate.and_then(|gate| {
            jwks::Trust::load(gate.ca.as_deref())
                .map(|trust| Kept::start(gate.clone(), trust, Arc::clone(facts)))
                .inspect_err(|error| {
                    gate.first_look.end(); // nobody waits for what nobody fetches
                    tracing::error!(%error, "the gate's keys can't be fetched");
                })
                .ok()
        });
    }

    /// A file was saved: it may be the one with the keys. (The keeper's own pause is for addresses, not for files.)
    fn look_again(&self) {
        let Some(kept) = self
            .kept
            .as_ref()
            .filter(|kept| matches!(kept.gate.source, KeySource::File(_)))
        else {
            return;
        };
        let (gate, trust, facts) = (kept.gate.clone(), kept.trust.clone(), Arc::clone(&kept.facts));
        tokio::task::spawn_local(async move {
            match jwks::fetch(&gate.source, &trust).await {
                Ok((keys, skipped)) => {
                    gate.keys.store(Arc::new(keys));
                    tell(&facts, Ok(&skipped));
                }
                Err(error) => tell(&facts, Err(&error)),
            }
        });
    }
}

impl Kept {
    fn start(gate: GateAtWork, trust: jwks::Trust, facts: Arc<Facts>) -> Self {
        let keeper = jwks::Keeper {
            source: gate.source.clone(),
            trust: trust.clone(),
            keys: Arc::clone(&gate.keys),
            wanted: Arc::clone(&gate.wanted),
            first_look: gate.first_look.clone(),
            pace: jwks::Pace::default(),
        };
        let told = Arc::clone(&facts);
        let task = tokio::task::spawn_local(async move {
            keeper.keep(|attempt| tell(&told, attempt)).await;
        });
        Self {
            gate,
            trust,
            facts,
            task,
        }
    }
}

fn tell(facts: &Facts, attempt: Result<&[SkippedKey], &jwks::FetchError>) {
    match attempt {
        Ok(_) => facts.keys_fetched("good", Some(clock::wall())),
        Err(jwks::FetchError::TooOld(_)) => facts.keys_fetched("dropped", None),
        Err(_) => facts.keys_fetched("failed", None),
    }
    match attempt {
        Ok([]) => {}
        Ok(skipped) => tracing::warn!(?skipped, "some of the issuer's keys are not used"),
        Err(error @ jwks::FetchError::TooOld(_)) => tracing::error!(%error, "no token counts any longer"),
        Err(error) => tracing::error!(%error, "the gate's keys can't be fetched; the last ones serve on"),
    }
}

async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}
