//! Store change, load, compile, publish; or keep the last good version and say why.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    cache::Cache,
    edit::{self, Editor},
    history::History,
    jwks,
    links::read_revoked,
    status::{Outcome, Status},
    watch::Wanted,
};
use crate::{
    clock::{self, UnixTime},
    config::{self, Problem, Problems, Severity, Sources, machines::KEYS_FILE, settings::Settings},
    gate::KeySource,
    observe::metrics::{Facts, Reload},
    snapshot::{
        Snapshot,
        compile::{Means, compile},
        diff::Diff,
        live::Live,
    },
    tls::{self, CertStore, ServerTls},
    visitor::{SigningKey, VisitorSettings},
};

/// How long a replaced snapshot is kept by the control plane, so that it is freed here and not on a core.
const RETIRED_FOR: Duration = Duration::from_secs(10);
/// Replaced snapshots that are kept at most; beyond it the oldest goes at once.
const RETIRED_MAX: usize = 64;

/// Why nothing can be served at all.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// The files are broken beyond what can be left out.
    #[error("the configuration is not valid")]
    Invalid(Box<Problems>),
    /// Well-formed settings that can't be served.
    #[error("{0}")]
    Impossible(String),
    /// The state folder, certificates or a key can't be read or made.
    #[error("{0}")]
    Unreadable(String),
}

/// Publishes what the files of one site say.
pub struct Publisher {
    path: PathBuf,
    last_good: Sources,
    last_seen: Sources,
    settings: Settings,
    visitors: VisitorSettings,
    session_key: SigningKey,
    certs: PathBuf,
    server_tls: Arc<ServerTls>,
    live: Arc<Live>,
    cache: Arc<Cache>,
    facts: Arc<Facts>,
    status: Arc<ArcSwap<Status>>,
    retired: Vec<(UnixTime, Arc<Snapshot>)>,
    reported: BTreeSet<String>,
    /// What is wrong with certificates now; shown beside the problems of the files.
    certificate_problems: Vec<tls::CertProblem>,
    /// The texts that serve.
    in_force: Arc<ArcSwap<Sources>>,
    /// Flags that were saved since somebody asked.
    saved: BTreeSet<String>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// Reads the site of `path` (a `banyan.toml`) for the first time.
    ///
    /// A broken file of a squad or flag does not stop the start: the rest serves, and the status says so.
    ///
    /// # Errors
    /// [`StartProblem`] when there is nothing that could be served.
    pub fn start(path: &Path, facts: Arc<Facts>) -> Result<Self, StartProblem> {
        let began = clock::steady();
        let sources = Sources::read(path);
        let isolated = config::isolate(&sources, &Sources::empty(&sources.folder), &environment);
        let Some(settings) = isolated.settings else {
            return Err(StartProblem::Invalid(Box::new(isolated.problems)));
        };
        let unreadable = |error: &dyn std::fmt::Display| StartProblem::Unreadable(error.to_string());
        let visitors =
            super::keep::visitor_settings(&settings.edge.state).map_err(|error| unreadable(&error))?;
        let session_key =
            super::keep::session_key(&settings.edge.state).map_err(|error| unreadable(&error))?;
        let certs = certificate_folder(&settings).map_err(|error| unreadable(&error))?;
        let (store, problems) = CertStore::read(&certs, None);
        let server_tls = ServerTls::new(store).map_err(|error| unreadable(&error))?;
        let snapshot =
            compiled(&settings, 1, None, (&visitors, &session_key)).map_err(StartProblem::Impossible)?;
        let revoked = read_revoked(&settings.edge.state, clock::wall());
        snapshot.revoked.store(Arc::new(revoked));
        let status = Status {
            at: clock::wall(),
            outcome: if isolated.using_old.is_empty() && isolated.left_out.is_empty() {
                Outcome::Applied
            } else {
                Outcome::Partial
            },
            problems: Arc::new(isolated.problems),
            stale: isolated.using_old.into_iter().chain(isolated.left_out).collect(),
            diff: Diff::default(),
            took: clock::steady().saturating_duration_since(began),
        };
        let cache = Cache::new(&settings);
        let unusable = |error| unreadable(&format_args!("the folder of `[cache] disk` {error}"));
        cache.open_disk(&settings, &snapshot).map_err(unusable)?;
        let in_force = Arc::new(ArcSwap::from_pointee(isolated.sources.clone()));
        let mut publisher = Self {
            path: path.to_path_buf(),
            last_good: isolated.sources,
            last_seen: sources,
            cache: Arc::new(cache),
            settings,
            visitors,
            session_key,
            certs,
            server_tls: Arc::new(server_tls),
            live: Arc::new(Live::new(Arc::new(snapshot))),
            facts,
            status: Arc::new(ArcSwap::from_pointee(Status::default())),
            retired: Vec::new(),
            reported: BTreeSet::new(),
            certificate_problems: Vec::new(),
            in_force,
            saved: BTreeSet::new(),
        };
        publisher.report_certificates(&problems);
        publisher.report(status);
        Ok(publisher)
    }

    /// The settings in force.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The snapshot in force.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// The cache, which outlives snapshots.
    #[must_use]
    pub fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.cache)
    }

    /// The TLS side of https listeners.
    #[must_use]
    pub fn server_tls(&self) -> Arc<ServerTls> {
        Arc::clone(&self.server_tls)
    }

    /// What the last change came to, always the newest.
    #[must_use]
    pub fn status(&self) -> Arc<ArcSwap<Status>> {
        Arc::clone(&self.status)
    }

    /// The files that a reload reads.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let edge = &self.settings.edge;
        let keys = edge.gate.as_ref().and_then(|gate| match &gate.keys {
            KeySource::File(path) => Some(path.clone()),
            KeySource::Url(_) | KeySource::Nowhere => None,
        });
        Wanted {
            folder: self.last_seen.folder.clone(),
            main: self.last_seen.main.clone(),
            certs: edge.certs.clone(),
            keys,
            pages: self.last_seen.pages().collect(),
            attached: self
                .last_seen
                .attachments()
                .chain([self.last_seen.folder.join(KEYS_FILE)])
                .collect(),
        }
    }

    /// What changes flags and remembers it, to be told what happened before this start.
    #[must_use]
    pub fn editor(&self) -> Editor {
        let history = History::of(&self.settings.edge.state);
        Editor::new(&self.path, history, Arc::clone(&self.in_force))
    }

    /// The texts that were read last.
    pub(super) const fn sources(&self) -> &Sources {
        &self.last_seen
    }

    /// Files of flags that were saved since this was last asked.
    pub fn take_saved(&mut self) -> Vec<String> {
        std::mem::take(&mut self.saved).into_iter().collect()
    }

    /// The folder of `banyan.toml`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.last_seen.folder
    }

    /// What metrics are told.
    #[must_use]
    pub fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts)
    }

    /// Reads everything again, and puts what is good in force.
    pub fn reload(&mut self) -> Arc<Status> {
        self.reload_certificates();
        let revoked = read_revoked(&self.settings.edge.state, clock::wall());
        self.live.current().revoked.store(Arc::new(revoked));
        self.free_retired();
        let began = clock::steady();
        let sources = Sources::read_again(&self.path, &self.last_seen);
        if sources == self.last_seen {
            return self.show(Status::clone(&self.status.load()));
        }
        let isolated = config::isolate(&sources, &self.last_good, &environment);
        self.saved
            .extend(edit::flags_that_differ(&self.last_seen, &sources));
        self.last_seen = sources;
        let mut status = Status {
            at: clock::wall(),
            outcome: Outcome::Refused,
            problems: Arc::new(isolated.problems),
            stale: isolated.using_old.into_iter().chain(isolated.left_out).collect(),
            diff: Diff::default(),
            took: Duration::ZERO,
        };
        if let Some(settings) = isolated.settings {
            let before = self.live.current();
            let secrets = (&self.visitors, &self.session_key);
            match compiled(&settings, before.version + 1, Some(&before), secrets) {
                Ok(snapshot) => {
                    status.diff = Diff::between(&before, &snapshot);
                    status.outcome = if status.stale.is_empty() {
                        Outcome::Applied
                    } else {
                        Outcome::Partial
                    };
                    self.put_in_force(settings, isolated.sources, snapshot, before, &status.diff);
                }
                Err(what) => tracing::error!(
                    what,
                    "the new configuration can't be served; the last one serves on"
                ),
            }
        }
        status.took = clock::steady().saturating_duration_since(began);
        self.report(status)
    }

    fn put_in_force(
        &mut self,
        settings: Settings,
        applied: Sources,
        snapshot: Snapshot,
        before: Arc<Snapshot>,
        diff: &Diff,
    ) {
        if settings.edge.listen != self.settings.edge.listen
            || settings.edge.cores != self.settings.edge.cores
        {
            tracing::warn!(
                "`listen` and `cores` are read at the start only: restart to put the new values in force"
            );
        }
        let snapshot = Arc::new(snapshot);
        self.live.publish(Arc::clone(&snapshot));
        self.cache.follow(&settings, &before, &snapshot, diff);
        self.settings = settings;
        self.in_force.store(Arc::new(applied.clone()));
        self.last_good = applied;
        self.retired.push((clock::wall(), before));
        if self.retired.len() > RETIRED_MAX {
            self.retired.remove(0);
        }
    }

    /// Frees snapshots that no exchange holds any longer.
    pub fn free_retired(&mut self) {
        let now = clock::wall().millis;
        let old = u64::try_from(RETIRED_FOR.as_millis()).unwrap_or(u64::MAX);
        self.retired.retain(|(since, snapshot)| {
            now.saturating_sub(since.millis) < old || Arc::strong_count(snapshot) > 1
        });
    }

    /// Looks at certificates although nothing was saved: they come near their end by time alone.
    pub fn look_at_certificates(&mut self) {
        self.reload_certificates();
        let _ = self.show(Status::clone(&self.status.load()));
    }

    /// Takes new certificates. Where there is none left, those that serve go on serving: no handshake succeeds without one.
    fn reload_certificates(&mut self) {
        let own = &self.settings.edge.certs;
        if self.certs != *own && !CertStore::read(own, None).0.is_empty() {
            tracing::info!(certs = %own.display(), "certificates found: the self-made one goes");
            self.certs.clone_from(own);
        }
        let before = self.server_tls.certs();
        let (store, problems) = CertStore::read(&self.certs, Some(&before));
        if store.is_empty() && !before.is_empty() {
            tracing::error!(certs = %self.certs.display(), "no certificate is left there: the last ones serve on");
            return;
        }
        self.server_tls.swap(store);
        self.report_certificates(&problems);
    }

    /// Says each problem once, not again at every change of another file.
    fn report_certificates(&mut self, problems: &[tls::CertProblem]) {
        let said: BTreeSet<String> = problems.iter().map(ToString::to_string).collect();
        for problem in said.difference(&self.reported) {
            tracing::warn!(problem, "certificate");
        }
        self.reported = said;
        self.certificate_problems = problems.to_vec();
        let certs = self.server_tls.certs();
        let ends = certs.expiries().map(|expiry| (expiry.file, expiry.not_after));
        self.facts.certificates(ends);
    }

    fn report(&mut self, status: Status) -> Arc<Status> {
        let version = self.live.current().version;
        let result = match status.outcome {
            Outcome::Applied => Reload::Applied,
            Outcome::Partial => Reload::Partial,
            Outcome::Refused => Reload::Refused,
            Outcome::Unchanged => Reload::Unchanged,
        };
        self.facts.reloaded(result, status.at);
        if matches!(status.outcome, Outcome::Applied | Outcome::Partial) {
            self.facts.published(version, status.at);
        }
        let stale = |squad: &str| {
            status
                .stale
                .iter()
                .any(|file| *file == format!("routes/{squad}.toml"))
        };
        let squads: BTreeSet<&str> = self
            .settings
            .routes
            .iter()
            .map(|route| route.claim.squad.as_str())
            .collect();
        self.facts
            .squads(squads.into_iter().map(|squad| (squad, stale(squad))));
        let (outcome, took_ms) = (status.outcome.as_str(), status.took.as_millis());
        if !status.problems.has_errors() {
            let changes = if version == 1 {
                "all is new".to_owned()
            } else {
                status.diff.to_string()
            };
            tracing::info!(version, outcome, took_ms, changes, "configuration");
        } else {
            let stale = status.stale.join(", ");
            tracing::error!(version, outcome, took_ms, changes = %status.diff, last_good_serves = stale, "configuration");
            for problem in status.problems.errors() {
                let place = format!("{}:{}", problem.file, problem.line);
                let hint = problem.hint.as_deref();
                tracing::error!(kind = problem.kind, place, hint, "{}", problem.what);
            }
        }
        self.show(status)
    }

    /// Puts `status` where the admin listener reads it, with what is wrong with certificates just now.
    fn show(&self, mut status: Status) -> Arc<Status> {
        let problems = Arc::make_mut(&mut status.problems);
        problems.take_out("certificate");
        for problem in &self.certificate_problems {
            let severity = match problem.level {
                tls::Level::Refused => Severity::Error,
                tls::Level::Warning => Severity::Warning,
            };
            let mut told = Problem::new(
                severity,
                "certificate",
                &problem.file,
                None,
                problem.reason.as_str(),
            );
            told.hint(problem.hint.as_str());
            problems.push(told);
        }
        let status = Arc::new(status);
        self.status.store(Arc::clone(&status));
        status
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn compiled(
    settings: &Settings,
    version: u64,
    previous: Option<&Snapshot>,
    (visitors, session_key): (&VisitorSettings, &SigningKey),
) -> Result<Snapshot, String> {
    let tls = |ca: Option<&Path>| tls::client_config(ca).map_err(|error| error.to_string());
    let means = Means {
        previous,
        visitors,
        sessions: std::slice::from_ref(session_key),
        tls: &tls,
    };
    let snapshot = compile(settings, version, &means).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        texts.join("; ")
    })?;
    snapshot.gate.iter().for_each(jwks::read_at_hand);
    Ok(snapshot)
}

/// The operator's certificates, or self-made ones where there are none.
fn certificate_folder(settings: &Settings) -> Result<PathBuf, tls::development::DevelopmentError> {
    let own = &settings.edge.certs;
    if settings.edge.listen.https.is_empty() || CertStore::read(own, None).0.pairs().next().is_some() {
        return Ok(own.clone());
    }
    let made = tls::development::ensure(&settings.edge.state, &settings.edge.hosts, clock::wall())?;
    tracing::warn!(
        certs = %own.display(),
        ca = %made.ca.display(),
        "no certificate found: a self-made one serves, which browsers trust only if they are given its CA"
    );
    Ok(made.folder)
}
