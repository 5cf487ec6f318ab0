//! Asks for servers' names, each again when its answer's time is over, on the control plane's thread.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_resolver::{
    Resolver, TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use tokio::{sync::Notify, task::JoinHandle};

use super::{Backend, Resolve, ServerAddress, lasting::Known, roster::Found};
use crate::clock;

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// Who is asked; empty: whom the system asks.
    pub servers: Vec<SocketAddr>,
    /// An answer is never asked for again before this.
    pub ttl_min: Duration,
    /// An answer is always asked for again after this.
    pub ttl_max: Duration,
    /// Time for one question.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_mins(5),
            timeout: Duration::from_secs(2),
        }
    }
}

/// How long the first answer of one kind waits for that of the other (RFC 8305 section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Longest wait after a question that failed.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// DNS servers that are asked at the same time: as many as `/etc/resolv.conf` may name.
const SERVERS_AT_ONCE: usize = 3;

/// Addresses of one name, or targets of one service, that are used at most.
const ANSWERS_MAX: usize = 256;

/// What is asked: a name's addresses for all servers of that name, or who a line stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    Addresses(String),
    Servers(ServerAddress, Resolve),
}

/// One task for each name. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Resolving {
    tasks: HashMap<Question, Task>,
    settings: Option<DnsSettings>,
    with: Option<Rc<Asking>>,
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    backends: RefCell<Vec<Arc<Backend>>>,
    entered: Notify,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Resolving {
    /// Asks for the names of `backends`: starts with those that are new, ends those that are gone, leaves the rest alone.
    pub fn follow(&mut self, backends: &[Arc<Backend>], settings: &DnsSettings) {
        if self.settings.as_ref() != Some(settings) {
            self.tasks.clear();
            self.settings = Some(settings.clone());
            self.with = None;
        }
        *self.shared.backends.borrow_mut() = backends.to_vec();
        share(backends);
        let wanted = questions(backends);
        self.tasks.retain(|question, _| wanted.contains(question));
        for question in wanted {
            if self.tasks.contains_key(&question) {
                continue;
            }
            let asking = self.with.get_or_insert_with(|| Rc::new(Asking::new(settings)));
            let task = keep(question.clone(), Rc::clone(asking), Rc::clone(&self.shared));
            self.tasks.insert(question, Task(tokio::task::spawn_local(task)));
        }
    }

    /// Waits until servers enter or leave.
    pub async fn changed(&self) {
        self.shared.entered.notified().await;
    }
}

/// Tells who is new what others know already: their names are asked for again only when the answers' time is over.
fn share(backends: &[Arc<Backend>]) {
    for backend in backends {
        let lines = backend.settings.servers.iter();
        for line in lines.filter(|line| line.resolve.stands_for_many()) {
            if backend.learned(&line.address, line.resolve).is_none() {
                let mut others = backends.iter();
                let found = others.find_map(|other| other.learned(&line.address, line.resolve));
                found.map(|found| backend.learn(&line.address, line.resolve, found));
            }
        }
    }
    let rosters: Vec<_> = backends.iter().map(|backend| backend.roster()).collect();
    let named = || {
        let all = rosters.iter().flat_map(|roster| &roster.servers);
        all.filter(|server| server.is_named())
    };
    for server in named().filter(|server| !server.names.is_asked()) {
        let knows = named().find(|other| other.names.is_asked() && other.address.host == server.address.host);
        if let Some(other) = knows {
            let addresses = other.names.all();
            server.names.set(&addresses, &addresses);
        }
    }
}

fn questions(backends: &[Arc<Backend>]) -> Vec<Question> {
    let mut all = Vec::new();
    let mut add = |question| {
        if !all.contains(&question) {
            all.push(question);
        }
    };
    for backend in backends {
        for line in &backend.settings.servers {
            if line.resolve.stands_for_many() {
                add(Question::Servers(line.address.clone(), line.resolve));
            }
        }
        for server in backend.roster().servers.iter().filter(|server| server.is_named()) {
            add(Question::Addresses(server.address.host.clone()));
        }
    }
    all
}

/// Asks again and again.
async fn keep(question: Question, asking: Rc<Asking>, shared: Rc<Shared>) {
    let mut known = Known::default();
    let mut failures: u32 = 0;
    loop {
        let answer = match &question {
            Question::Addresses(host) => asking.addresses(host, &known).await.map(Answer::Addresses),
            Question::Servers(address, Resolve::Srv) => asking.services(address).await.map(Answer::Servers),
            Question::Servers(address, _) => {
                let found = asking.addresses(&address.host, &known).await;
                found.map(Answer::Addresses)
            }
        };
        let now = clock::steady();
        let pause = match answer {
            Ok(answer) => {
                if failures > 0 {
                    tracing::info!(name = question.name(), "name resolved again");
                }
                failures = 0;
                let until = put_in_force(answer, &question, &mut known, &shared, now);
                let ttl = until.saturating_duration_since(now);
                ttl.clamp(asking.settings.ttl_min, asking.settings.ttl_max)
            }
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(
                        name = question.name(),
                        error,
                        "name not resolved: the last answer stays"
                    );
                }
                failures = failures.saturating_add(1);
                shared.asked(&question);
                let doubled = asking.settings.ttl_min * 2_u32.saturating_pow(failures.min(8) - 1);
                doubled.min(RETRY_MAX.max(asking.settings.ttl_min))
            }
        };
        let pause = known
            .until_departure(now)
            .map_or(pause, |departure| pause.min(departure));
        tokio::time::sleep(pause).await;
    }
}

enum Answer {
    Addresses(Vec<(IpAddr, Instant)>),
    Servers(Vec<(Found, Instant)>),
}

/// Tells whom it concerns; returns how long the answer is good.
fn put_in_force(
    answer: Answer,
    question: &Question,
    known: &mut Known,
    shared: &Shared,
    now: Instant,
) -> Instant {
    let (found, until): (Vec<Found>, Option<Instant>) = match answer {
        Answer::Servers(found) => {
            let until = found.iter().map(|(_, until)| *until).min();
            (found.into_iter().map(|(found, _)| found).collect(), until)
        }
        Answer::Addresses(answered) => {
            let until = answered.iter().map(|(_, until)| *until).min();
            let mut addresses: Vec<IpAddr> = answered.into_iter().map(|(ip, _)| ip).collect();
            addresses.sort_unstable();
            addresses.dedup();
            addresses.truncate(ANSWERS_MAX);
            let lasting = known.note(addresses.clone(), now);
            let Question::Servers(line, _) = question else {
                shared.set(question, &addresses, &lasting);
                return until.unwrap_or(now);
            };
            let one = |ip| Found {
                address: line.clone(),
                only: Some(ip),
                weight: 1,
            };
            (addresses.into_iter().map(one).collect(), until)
        }
    };
    if let Question::Servers(line, resolve) = question {
        shared.learn(line, *resolve, &found);
    }
    until.unwrap_or(now)
}

impl Question {
    fn name(&self) -> &str {
        match self {
            Self::Addresses(host) => host,
            Self::Servers(address, _) => &address.host,
        }
    }
}

impl Shared {
    fn set(&self, question: &Question, current: &[IpAddr], lasting: &[IpAddr]) {
        for backend in self.backends.borrow().iter() {
            for server in &backend.roster().servers {
                if server.is_named() && server.address.host == question.name() {
                    let before = server.names.all();
                    if before != current && !before.is_empty() {
                        tracing::info!(server = %server.label, ?before, now = ?current, "addresses changed");
                    }
                    server.names.set(current, lasting);
                }
            }
        }
    }

    fn asked(&self, question: &Question) {
        for backend in self.backends.borrow().iter() {
            for server in &backend.roster().servers {
                if matches!(question, Question::Addresses(host) if *host == server.address.host) {
                    server.names.told();
                }
            }
        }
    }

    fn learn(&self, line: &ServerAddress, resolve: Resolve, found: &[Found]) {
        for backend in self.backends.borrow().iter() {
            let mut lines = backend.settings.servers.iter();
            let has = lines.any(|own| own.address == *line && own.resolve == resolve);
            if has && backend.learn(line, resolve, found.to_vec()) {
                let servers = found.len();
                tracing::info!(backend = %backend.settings.name, name = line.host, servers, "servers changed");
                self.entered.notify_one();
            }
        }
    }
}

/// Who is asked.
struct Asking {
    settings: DnsSettings,
    four: Option<TokioResolver>,
    six: Option<TokioResolver>,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Asking {
    fn new(settings: &DnsSettings) -> Self {
        Self {
            settings: settings.clone(),
            four: resolver(settings, LookupIpStrategy::Ipv4Only),
            six: resolver(settings, LookupIpStrategy::Ipv6Only),
        }
    }

    /// A name's addresses, each with how long it is good. Of a kind that can't be asked for the last answer stays.
    async fn addresses(&self, host: &str, known: &Known) -> Result<Vec<(IpAddr, Instant)>, String> {
        let mut four = std::pin::pin!(self.of_kind(self.four.as_ref(), host));
        let mut six = std::pin::pin!(self.of_kind(self.six.as_ref(), host));
        let delay = match known.current.is_empty() {
            true => RESOLUTION_DELAY,
            false => self.settings.timeout,
        };
        let late = async |found: bool, other: &mut (dyn Future<Output = OfKind> + Unpin)| match found {
            true => tokio::time::timeout(delay, other)
                .await
                .unwrap_or_else(|_| OfKind::Failed("late".to_owned())),
            false => other.await,
        };
        let (four, six) = tokio::select! {
            four = &mut four => { let six = late(four.found(), &mut six).await; (four, six) }
            six = &mut six => { let four = late(six.found(), &mut four).await; (four, six) }
        };
        match (four, six) {
            (OfKind::None, OfKind::None) => Err("it has no address".to_owned()),
            (OfKind::None | OfKind::Failed(_), OfKind::Failed(why)) | (OfKind::Failed(why), OfKind::None) => {
                Err(why)
            }
            (four, six) => {
                let soon = clock::steady();
                let mut all = Vec::new();
                for (kind, is_six) in [(four, false), (six, true)] {
                    match kind {
                        OfKind::Found(found) => all.extend(found),
                        OfKind::None => {}
                        OfKind::Failed(_) => {
                            let last = known.current.iter().filter(|ip| ip.is_ipv6() == is_six);
                            all.extend(last.map(|ip| (*ip, soon)));
                        }
                    }
                }
                Ok(all)
            }
        }
    }

    async fn of_kind(&self, resolver: Option<&TokioResolver>, host: &str) -> OfKind {
        let Some(resolver) = resolver else {
            return OfKind::Failed("no DNS server is known".to_owned());
        };
        match tokio::time::timeout(self.settings.timeout, resolver.lookup_ip(host)).await {
            Err(_) => OfKind::Failed(format!("no answer within {:?}", self.settings.timeout)),
            Ok(Err(error)) if is_none(&error) => OfKind::None,
            Ok(Err(error)) => OfKind::Failed(error.to_string()),
            Ok(Ok(found)) => {
                let until = found.valid_until();
                OfKind::Found(found.iter().map(|ip| (ip, until)).collect())
            }
        }
    }

    /// The servers of a service: those of the best priority.
    async fn services(&self, line: &ServerAddress) -> Result<Vec<(Found, Instant)>, String> {
        let resolver = self.four.as_ref().ok_or("no DNS server is known")?;
        let asked =
            tokio::time::timeout(self.settings.timeout, resolver.srv_lookup(line.host.as_str())).await;
        let answer = asked.map_err(|_| format!("no answer within {:?}", self.settings.timeout))?;
        let answer = answer.map_err(|error| error.to_string())?;
        let until = answer.valid_until();
        let records: Vec<_> = answer
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
            .collect();
        let best = records.iter().map(|srv| srv.priority).min();
        let mut found: Vec<Found> = records
            .iter()
            .filter(|srv| Some(srv.priority) == best)
            .map(|srv| Found {
                address: ServerAddress {
                    scheme: line.scheme,
                    host: srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
                    port: srv.port,
                },
                only: None,
                weight: u32::from(srv.weight).max(1),
            })
            .filter(|found| !found.address.host.is_empty()) // "." means: decidedly not there (RFC 2782)
            .collect();
        found.sort_by(|a, b| (&a.address.host, a.address.port).cmp(&(&b.address.host, b.address.port)));
        found.truncate(ANSWERS_MAX);
        match found.is_empty() {
            true => Err("it has no server".to_owned()),
            false => Ok(found.into_iter().map(|one| (one, until)).collect()),
        }
    }
}

/// The addresses of one kind.
enum OfKind {
    Found(Vec<(IpAddr, Instant)>),
    /// The name has none.
    None,
    Failed(String),
}

impl OfKind {
    const fn found(&self) -> bool {
        matches!(self, Self::Found(_))
    }
}

fn is_none(error: &NetError) -> bool {
    error.is_no_records_found()
}

fn resolver(settings: &DnsSettings, strategy: LookupIpStrategy) -> Option<TokioResolver> {
    let builder = match settings.servers.is_empty() {
        true => Resolver::builder_tokio()
            .inspect_err(|error| tracing::warn!(%error, "the system names no DNS server: see [dns]"))
            .ok(),
        false => None,
    };
    let mut builder = builder.unwrap_or_else(|| {
        let servers = settings.servers.iter().map(name_server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
    });
    let options = builder.options_mut();
    options.ip_strategy = strategy;
    options.cache_size = 0; // what is known is kept here, for as long as it is good
    // an answer counts as long as it may take; lost packets are sent again meanwhile, and a dead DNS server keeps nobody from the others
    options.timeout = settings.timeout;
    options.attempts = 1;
    options.num_concurrent_reqs = SERVERS_AT_ONCE;
    builder
        .build()
        .inspect_err(|error| tracing::error!(%error, "names can't be resolved"))
        .ok()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        let at: &mut ConnectionConfig = connection;
        at.port = address.port();
    }
    server
}
