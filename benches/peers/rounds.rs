//! Rounds: every program in turn does the same work, again and again.

use std::{io, net::SocketAddr, path::PathBuf, process::Command};

use super::{
    browser::What,
    fleet::{BANYAN, Peer, RELAY, Running, Surroundings},
    load::{Line, Plan, Told, Way},
    process::Process,
    works::Work,
};

/// Which cores do what.
#[derive(Debug, Clone)]
pub(super) struct Cores {
    /// The proxy's, when it has one.
    pub(super) proxy: String,
    /// The generator's and the backend's meanwhile.
    pub(super) others: String,
    /// The proxy's, when it has two.
    pub(super) two: String,
    /// The generator's and the backend's when the proxy has two.
    pub(super) beside_two: String,
}

/// What one program did in all rounds.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) rounds: Vec<Result<Told, String>>,
}

impl Found {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rounds: Vec::new(),
        }
    }
}

/// What stands in tables where no proxy was asked.
pub(super) const DIRECTLY: &str = "backend, directly";

/// Programs that are compared, and what they are given.
pub(super) struct Contest {
    pub(super) around: Surroundings,
    pub(super) cores: Cores,
    pub(super) peers: Vec<Peer>,
    pub(super) rounds: usize,
    pub(super) measure_millis: u64,
}

/// Rounds of a work that needs new programs each time: memory repeats.
const FRESH_ROUNDS: usize = 3;
const WARM_MILLIS: u64 = 300;

/// A program that runs, or why it doesn't.
pub(super) type Start = (Peer, Result<Ready, String>);

/// A program that runs, and what a browser that has been there sends.
pub(super) struct Ready {
    pub(super) running: Running,
    pub(super) cookie: String,
}

impl Contest {
    /// Starts all programs with so many workers.
    pub(super) fn start(&self, workers: usize, cores: &str) -> Vec<Start> {
        let mut cookie: Option<String> = None;
        let mut all = Vec::new();
        for peer in &self.peers {
            let ready = peer.start(&self.around, workers, cores).and_then(|running| {
                let told = self.visit(&running)?;
                if *peer == BANYAN {
                    cookie = Some(visitor_cookie(&told.head).ok_or("no visitor cookie was set")?);
                }
                Ok(Ready {
                    running,
                    cookie: cookie.clone().unwrap_or_default(),
                })
            });
            all.push((*peer, ready));
        }
        all
    }

    /// One navigation without a visitor cookie.
    pub(super) fn visit(&self, running: &Running) -> Result<Told, String> {
        let plan = Plan {
            address: running.tls,
            line: Line::Http1,
            what: What::Small,
            way: Way::Once,
            cookie: String::new(),
            process: 0,
            warm_millis: 0,
            measure_millis: 0,
        };
        self.generate(&plan, &self.cores.others)
    }

    /// Lets a generator work on these cores.
    pub(super) fn generate(&self, plan: &Plan, cores: &str) -> Result<Told, String> {
        let text = |error: io::Error| error.to_string();
        let mut command = Command::new(std::env::current_exe().map_err(text)?);
        command
            .arg("generate")
            .arg(serde_json::to_string(plan).map_err(|error| error.to_string())?);
        let said = self.around.folder.join("generator");
        let mut generator = Process::start(&command, cores, &said, true).map_err(text)?;
        let line = generator.line().map_err(|error| {
            format!(
                "the generator: {error}: {}",
                std::fs::read_to_string(&said).unwrap_or_default()
            )
        })?;
        let told: Told = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        told.error.clone().map_or(Ok(told), Err)
    }

    /// The plan of a round.
    pub(super) fn plan(&self, work: &Work, ready: &Ready) -> Plan {
        let running = &ready.running;
        Plan {
            address: match work.line {
                Line::Plain => running.plain,
                Line::Http1 | Line::Http2 => running.tls,
            },
            line: work.line,
            what: work.what,
            way: work.way,
            cookie: ready.cookie.clone(),
            process: running.id(),
            warm_millis: WARM_MILLIS,
            measure_millis: self.measure_millis,
        }
    }

    /// All rounds of a work.
    pub(super) fn compare(&self, work: &Work, fleet: &mut Vec<Start>) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let rounds = if work.needs_fresh() {
            self.rounds.min(FRESH_ROUNDS)
        } else {
            self.rounds
        };
        for round in 0..rounds {
            if work.needs_fresh() {
                fleet.clear();
                *fleet = self.start(1, &self.cores.proxy);
            }
            let able = fleet
                .iter()
                .filter(|(peer, _)| peer.has_part(work.is_kept()))
                .filter(|(peer, _)| *peer != RELAY || work.has_floor());
            for (at, (peer, ready)) in able.enumerate() {
                if round == 0 {
                    found.push(Found::new(peer.name));
                }
                let told = ready.as_ref().map_err(Clone::clone);
                let told = told.and_then(|ready| self.generate(&self.plan(work, ready), &self.cores.others));
                found[at].rounds.push(told);
            }
            if work.has_direct() {
                self.ask_directly(work, round, &mut found);
            }
            eprint!("\r{}: round {} of {rounds}", work.name, round + 1);
        }
        eprintln!();
        found
    }

    /// All rounds with two cores, each beside one with one core.
    pub(super) fn scale(&self, work: &Work) -> Vec<Found> {
        let peers: Vec<Peer> = self
            .peers
            .iter()
            .copied()
            .filter(|peer| peer.has_part(false))
            .collect();
        let one = self.start(1, &self.cores.proxy);
        let two = self.start(2, &self.cores.two);
        let mut found: Vec<Found> = peers.iter().map(|peer| Found::new(peer.name)).collect();
        for round in 0..self.rounds {
            for (found, ((_, one), (_, two))) in found.iter_mut().zip(one.iter().zip(&two)) {
                let measured = |ready: &Result<Ready, String>, cores| {
                    let ready = ready.as_ref().map_err(Clone::clone)?;
                    self.generate(&self.plan(work, ready), cores)
                };
                let both = measured(one, &self.cores.others).and_then(|one| {
                    let mut two = measured(two, &self.cores.beside_two)?;
                    let requests = one.requests as f64;
                    two.one_core = [one.cpu_micros / requests, requests / one.seconds];
                    Ok(two)
                });
                found.rounds.push(both);
            }
            eprint!("\r{}: round {} of {}", work.name, round + 1, self.rounds);
        }
        eprintln!();
        found
    }

    fn ask_directly(&self, work: &Work, round: usize, found: &mut Vec<Found>) {
        if round == 0 {
            found.push(Found::new(DIRECTLY));
        }
        let plan = Plan {
            address: self.around.backend,
            line: Line::Plain,
            what: work.what,
            way: work.way,
            cookie: String::new(),
            process: 0,
            warm_millis: WARM_MILLIS,
            measure_millis: self.measure_millis,
        };
        let told = self.generate(&plan, &self.cores.others);
        if let Some(last) = found.last_mut() {
            last.rounds.push(told);
        }
    }
}

/// The cookie that a first answer set.
pub(super) fn visitor_cookie(head: &str) -> Option<String> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut set = fields.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let (_, value) = set.find(|(_, value)| value.starts_with("__Host-banyan="))?;
    Some(value.split(';').next()?.to_owned())
}

/// A backend that runs.
pub(super) fn backend(folder: &std::path::Path, cores: &str) -> io::Result<(Process, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("backend");
    let mut process = Process::start(&command, cores, &PathBuf::from(folder).join("backend"), true)?;
    let address = process.line()?.parse().map_err(io::Error::other)?;
    Ok((process, address))
}
