//! All files of a site put together, before and after they are judged.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::{
    Env, FileStatus, Loaded,
    access::Offered,
    cross, document, flag_sets,
    flags::FlagFile,
    lookup,
    machines::KeysFile,
    operator::OperatorFile,
    problem::{Problem, Problems, Severity},
    report::Report,
    rooms::{self, RoomPart},
    routes::{Around, RoutesFile, SquadPart},
    settings::{EdgeSettings, Settings},
    sources::{FileKind, Sources, Unreadable},
    who::GateState,
};
use crate::{
    backend::BackendSettings,
    courtesy::give_way,
    flag::FlagSettings,
    gate::{GateSettings, machine::MachineSettings},
};

/// What the files say, and what is wrong with them so far.
#[derive(Debug)]
pub(super) struct Site {
    /// By file.
    pub(super) reports: BTreeMap<Arc<str>, Report>,
    /// `banyan.toml`; `None` when it has no readable form.
    pub(super) operator: Option<OperatorPart>,
    /// `routes/*.toml`.
    pub(super) squads: Vec<SquadPart>,
    /// `flags/*`, with the file of each.
    pub(super) flags: Vec<FlagPart>,
    /// `keys.toml`.
    pub(super) machines: Vec<MachineSettings>,
    /// Files without a readable form, with their texts: what they would have declared isn't known.
    pub(super) unread: Vec<(Arc<str>, Arc<str>)>,
}

/// `banyan.toml`, judged.
#[derive(Debug)]
pub(super) struct OperatorPart {
    pub(super) edge: EdgeSettings,
    /// Where each squad is written.
    pub(super) squad_spans: BTreeMap<String, Range<usize>>,
    /// Where the backend is named that knows whose the legacy application's cookies are.
    pub(super) asked: Option<lookup::Asked>,
    /// The backend that stands for the introspection endpoint.
    own_backend: Option<BackendSettings>,
    /// Its waiting rooms.
    pub(super) rooms: Vec<RoomPart>,
    /// What routes may use of it.
    offered: Arc<Offered>,
}

/// A flag with its file.
#[derive(Debug)]
pub(super) struct FlagPart {
    pub(super) file: Arc<str>,
    pub(super) kind: FileKind,
    /// The key, also when the flag can't be used.
    pub(super) key: String,
    pub(super) settings: Option<FlagSettings>,
    /// Where its layer is named.
    pub(super) layer: Option<Range<usize>>,
}

impl Site {
    /// Reads every file and judges each on its own.
    pub(super) fn read(sources: &Sources, env: &Env<'_>) -> Self {
        let mut site = Self {
            reports: BTreeMap::new(),
            operator: None,
            squads: Vec::new(),
            flags: Vec::new(),
            machines: Vec::new(),
            unread: Vec::new(),
        };
        if let Some(text) = sources.get(&sources.main) {
            site.read_operator(sources, text, env);
        }
        let main = site.operator.as_ref();
        let hosts = main
            .map(|operator| operator.edge.hosts.clone())
            .unwrap_or_default();
        let offered = main.map(|operator| Arc::clone(&operator.offered));
        let gate = main.and_then(|operator| operator.edge.gate.clone());
        let around = Around {
            offered: offered.as_deref(),
            folder: &sources.folder,
            sources,
            hosts: &hosts,
            gate: site.gate(sources, gate.as_ref()),
        };
        for (file, text) in sources.iter() {
            give_way();
            match sources.kind(file) {
                Some(FileKind::Squad) => site.read_squad(file, text, around, env),
                Some(kind @ (FileKind::Flag | FileKind::FlagSet)) => site.read_flags(file, kind, text, env),
                Some(FileKind::Keys) => site.read_keys(file, text, env),
                Some(FileKind::Operator) | None => {}
            }
        }
        site
    }

    /// Judges them together.
    pub(super) fn settle(mut self, sources: &Sources) -> Loaded {
        cross::judge(&mut self, sources);
        let mut problems = Problems::of(sources);
        if !sources.unreadable().any(|(file, _)| file == sources.main) && sources.get(&sources.main).is_none()
        {
            problems.push(unreadable(&sources.main, &Unreadable::Missing));
        }
        let mut files = BTreeMap::new();
        for (file, reason) in sources.unreadable() {
            problems.push(unreadable(file, reason));
            files.insert(file.to_owned(), FileStatus::Broken);
        }
        let mut substituted = Vec::new();
        for (file, mut report) in std::mem::take(&mut self.reports) {
            report.settle();
            let status = match (report.has_errors(), report.problems.is_empty()) {
                (true, _) => FileStatus::Broken,
                (false, false) => FileStatus::Warned,
                (false, true) => FileStatus::Good,
            };
            files.insert(file.to_string(), status);
            substituted.append(&mut report.substituted);
            for problem in report.problems {
                problems.push(problem);
            }
        }
        problems.sort();
        problems.conceal(&substituted);
        let settings = if problems.has_errors() {
            None
        } else {
            self.settings(sources)
        };
        Loaded {
            settings,
            problems,
            files,
        }
    }

    fn settings(self, sources: &Sources) -> Option<Settings> {
        let rooms = rooms::all(&self);
        let OperatorPart {
            edge, own_backend, ..
        } = self.operator?;
        let mut settings = Settings {
            folder: sources.folder.clone(),
            edge,
            backends: Vec::new(),
            routes: Vec::new(),
            flags: self.flags.into_iter().filter_map(|flag| flag.settings).collect(),
            rooms,
            tests: Vec::new(),
            machines: self.machines,
        };
        for squad in self.squads {
            settings.backends.extend(squad.backends);
            settings
                .routes
                .extend(squad.routes.into_iter().map(|route| route.settings));
            settings.tests.extend(squad.tests);
        }
        settings.backends.extend(own_backend);
        settings.backends.sort_by(|a, b| a.name.cmp(&b.name));
        settings.flags.sort_by(|a, b| a.key.cmp(&b.key));
        Some(settings)
    }

    fn read_operator(&mut self, sources: &Sources, text: &Arc<str>, env: &Env<'_>) {
        let mut report = Report::of(&sources.main, text);
        match document::read::<OperatorFile>(text, env, &mut report) {
            Some(file) => {
                let edge = file.settle(sources, &mut report);
                let (asked, own_backend) = file.asked(&edge, &report);
                self.operator = Some(OperatorPart {
                    rooms: rooms::settle(&file.rooms, &mut report),
                    offered: Arc::new(Offered::of(&edge.key_groups, file.has_geo(), &report)),
                    edge,
                    asked,
                    own_backend,
                    squad_spans: file.squad_spans(),
                });
            }
            None => self.unread.push((Arc::clone(&report.file), Arc::clone(text))),
        }
        self.reports.insert(Arc::clone(&report.file), report);
    }

    fn gate<'e>(&self, sources: &Sources, gate: Option<&'e GateSettings>) -> GateState<'e> {
        let Some(operator) = &self.operator else {
            return GateState::Broken;
        };
        let broken = self
            .reports
            .get(sources.main.as_str())
            .is_some_and(|report| report.has_removed("gate") || report.has_removed("default_auth"));
        match gate {
            Some(gate) if !broken => GateState::Present(gate),
            None if !broken && !operator.gate_is_written(sources) => GateState::Absent,
            Some(_) | None => GateState::Broken,
        }
    }

    fn read_squad(&mut self, file: &str, text: &Arc<str>, around: Around<'_>, env: &Env<'_>) {
        let mut report = Report::of(file, text);
        match document::read::<RoutesFile>(text, env, &mut report) {
            Some(routes) => self.squads.extend(routes.settle(stem(file), around, &mut report)),
            None => self.unread.push((Arc::clone(&report.file), Arc::clone(text))),
        }
        self.reports.insert(Arc::clone(&report.file), report);
    }

    fn read_keys(&mut self, file: &str, text: &Arc<str>, env: &Env<'_>) {
        let mut report = Report::of(file, text);
        let keys = document::read::<KeysFile>(text, env, &mut report);
        self.machines = keys.map(|keys| keys.settle(&mut report)).unwrap_or_default();
        self.reports.insert(Arc::clone(&report.file), report);
    }

    fn read_flags(&mut self, file: &str, kind: FileKind, text: &Arc<str>, env: &Env<'_>) {
        let mut report = Report::of(file, text);
        let part = |key: &str, settings| FlagPart {
            file: Arc::from(file),
            kind,
            key: key.to_owned(),
            settings,
            layer: None,
        };
        if kind == FileKind::FlagSet {
            let flags = flag_sets::read(text, &mut report);
            self.flags.extend(
                flags
                    .into_iter()
                    .map(|flag| part(&flag.key.to_string(), Some(flag))),
            );
            if report.has_errors() {
                self.unread.push((Arc::clone(&report.file), Arc::clone(text)));
            }
        } else {
            let flag = document::read::<FlagFile>(text, env, &mut report);
            let layer = flag.as_ref().and_then(FlagFile::layer_span);
            let settings = flag.and_then(|flag| flag.settle(stem(file), &mut report));
            self.flags.push(FlagPart {
                layer,
                ..part(stem(file), settings)
            });
        }
        self.reports.insert(Arc::clone(&report.file), report);
    }
}

impl OperatorPart {
    /// A gate that can't be used is still there.
    fn gate_is_written(&self, sources: &Sources) -> bool {
        let text = sources.get(&sources.main).map(|text| &**text).unwrap_or_default();
        self.edge.gate.is_some()
            || toml::de::DeTable::parse(text).is_ok_and(|table| table.get_ref().contains_key("gate"))
    }
}

/// The name of a file without folder and ending.
fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn unreadable(file: &str, reason: &Unreadable) -> Problem {
    let (kind, what, hint) = match reason {
        Unreadable::Missing => (
            "missing-file",
            format!("there is no `{file}`"),
            "run Banyan in the folder of `banyan.toml`, or name the file with `--config`",
        ),
        Unreadable::NotText(at) => (
            "unreadable-file",
            format!("`{file}` is not UTF-8 text: byte {at} belongs to no character"),
            "save it as UTF-8",
        ),
        Unreadable::TooLong(length) => (
            "unreadable-file",
            format!("`{file}` has {length} bytes, more than {}", super::FILE_BYTES_MAX),
            "is it the right file?",
        ),
        Unreadable::TooMany => (
            "unreadable-file",
            format!("there are more than {} files in `{file}`", super::FILES_MAX),
            "is it the right folder?",
        ),
        Unreadable::Refused(reason) => (
            "unreadable-file",
            format!("`{file}` can't be read: {reason}"),
            "check who may read it",
        ),
    };
    let mut problem = Problem::new(Severity::Error, kind, file, None, what);
    problem.hint(hint);
    problem
}
