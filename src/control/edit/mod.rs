//! The one way to change a flag: its file is read, changed, judged as a reload would judge it, and replaced; the history says so.
//!
//! [`change`] says what can be changed of a TOML file, `set` changes flagd's sets, `write` replaces files.

pub mod change;
pub mod machines;
mod set;
#[cfg(test)]
mod tests;
mod write;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;

use self::{
    change::{Fields, Unfit},
    write::WriteProblem,
};
use super::history::{
    History, HistoryError, Wanted,
    entry::{Deed, Entry, How, Text, Version},
};
use crate::{
    clock,
    config::{self, Problem, Sources},
};

/// Locks that files share by their hash: two changes of one file come one after the other.
const LOCKS: usize = 64;
/// Entries that are looked through for the text that a change was made for.
const SOUGHT_MAX: usize = 100;
/// Bytes of texts that are read for that.
const SOUGHT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is to be changed, by whom, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// The flag's key.
    pub flag: String,
    /// The file that it is in, relative to the folder of `banyan.toml`.
    pub file: String,
    /// The file that was seen by who orders this. `None`: whichever it is.
    pub version: Option<Version>,
    /// What.
    pub change: Change,
    /// Who.
    pub who: String,
    /// By which way.
    pub how: How,
    /// Why; empty: not said.
    pub reason: String,
}

/// What is to become of a flag.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Parts of it change.
    Fields(Box<Fields>),
    /// An entry of the history is taken back.
    Undo {
        /// Which; `None`: the newest of this flag.
        entry: Option<u64>,
        /// With everything that came after it.
        and_after: bool,
    },
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The file as it is now.
    pub version: Version,
    /// Its text.
    pub text: String,
    /// The number in the history; `None`: the file says this already, or the history will know it later.
    pub entry: Option<u64>,
    /// Whether the file is another one than before.
    pub changed: bool,
}

/// Two changes that met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The file.
    pub file: String,
    /// The version that the order was made for.
    pub given: Option<Version>,
    /// The version that the file has.
    pub now: Version,
    /// What the file says.
    pub theirs: Option<String>,
    /// What it would say, had nobody else changed it; `None`: the history doesn't know that version.
    pub yours: Option<String>,
    /// The change that came before this one.
    pub last: Option<Entry>,
}

/// Why a flag was not changed. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It was changed by somebody else.
    #[error("`{}` is at version {}: somebody else changed it", .0.file, .0.now)]
    Clash(Box<Clash>),
    /// It would say something that can't be served.
    #[error("`{0}` would not be valid")]
    Invalid(String, Vec<Problem>),
    /// The change can't be made of this file.
    #[error("`{0}`: {1}")]
    Unfit(String, Unfit),
    /// The file can't be read or replaced.
    #[error("`{0}`: {1}")]
    Unwritable(String, String),
    /// Nobody would know of it.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// Changes flags. All of its functions wait for disks: they are not for a runtime's own threads.
#[derive(Debug)]
pub struct Editor {
    path: PathBuf,
    folder: PathBuf,
    history: History,
    in_force: Arc<ArcSwap<Sources>>,
    locks: [Mutex<()>; LOCKS],
}

impl Editor {
    /// For the site of `path`, a `banyan.toml`, and its history. `in_force` holds the texts that serve.
    #[must_use]
    pub fn new(path: &Path, history: History, in_force: Arc<ArcSwap<Sources>>) -> Self {
        Self {
            path: path.to_path_buf(),
            folder: in_force.load().folder.clone(),
            history,
            in_force,
            locks: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    /// For a site that nothing serves, with the texts that would serve.
    #[must_use]
    pub fn of_files(path: &Path, history: History, sources: Sources) -> Self {
        Self::new(path, history, Arc::new(ArcSwap::from_pointee(sources)))
    }

    /// What was changed.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The version of a file that serves.
    #[must_use]
    pub fn version(&self, file: &str) -> Version {
        Version::of(self.in_force.load().get(file).map(|text| &**text))
    }

    /// Whether this version of a file serves.
    #[must_use]
    pub fn serves(&self, file: &str, version: &Version) -> bool {
        self.version(file) == *version
    }

    /// Finds out what happened while nothing ran: orders that were cut off, and files that were saved.
    ///
    /// # Errors
    /// The history can't be used.
    pub fn begin(&self, sources: &Sources) -> Result<(), HistoryError> {
        let files = sources.iter().filter(|(file, _)| is_flag(file));
        let files = files.map(|(file, text)| (file, Text::of(Some(text.as_ref()))));
        if self.history.begin_with(files)? {
            return Ok(());
        }
        let mut files = self.history.files()?;
        let there = sources.iter().map(|(file, _)| file);
        files.extend(there.filter(|file| is_flag(file)).map(str::to_owned));
        files.sort_unstable();
        files.dedup();
        self.look_at(&files);
        Ok(())
    }

    /// Remembers what was saved without an order.
    pub fn look_at(&self, files: &[String]) {
        for file in files {
            let _only = self.lock(file);
            let Ok(now) = write::read(&self.folder.join(file)) else {
                continue; // no text: it will be looked at when it is one again
            };
            if let Err(error) = self.settle(file, now.as_deref()) {
                tracing::error!(file, %error, "a saved flag is not in the history");
            }
        }
    }

    /// Changes a flag. When it answers, the file and the history say so; it serves after the next reload.
    ///
    /// # Errors
    /// [`Refused`]; nothing was changed.
    pub fn change(&self, order: &Order) -> Result<Done, Refused> {
        self.history.usable()?;
        let _only = self.lock(&order.file);
        let path = self.folder.join(&order.file);
        let unwritable =
            |why: &dyn std::fmt::Display| Refused::Unwritable(order.file.clone(), why.to_string());
        let now = write::read(&path).map_err(|error| unwritable(&error))?;
        let before = Text::of(now.as_deref());
        self.settle(&order.file, now.as_deref())?;
        if order
            .version
            .as_ref()
            .is_some_and(|version| *version != before.version)
        {
            return Err(self.clash(order, now));
        }
        let unfit = |why| Refused::Unfit(order.file.clone(), why);
        let next = match &order.change {
            Change::Fields(fields) => changed(order, fields, now.as_deref()).map_err(unfit)?,
            Change::Undo { entry, and_after } => {
                let entry = self.entry(order, *entry)?;
                if entry.after.version != before.version && !and_after {
                    return Err(self.clash(order, now));
                }
                taken_back(entry).map_err(unfit)?
            }
        };
        let after = Text::of(Some(&next));
        if before.version == after.version {
            return Ok(Done {
                version: after.version,
                text: next,
                entry: None,
                changed: false,
            });
        }
        self.judge(&order.file, &next)?;
        let deed = Deed::new(
            clock::wall(),
            &order.flag,
            &order.file,
            &order.who,
            order.how,
            &order.reason,
        );
        self.history.begin(&deed, &before, &after)?;
        if let Err(problem) = write::replace(&self.folder, &path, now.as_deref(), &next) {
            // It may have been replaced all the same, if it was the folder that could not be synced.
            self.look_at_once_more(&order.file);
            return Err(match problem {
                WriteProblem::Changed => self.clash(order, write::read(&path).unwrap_or_default()),
                other => unwritable(&other),
            });
        }
        let entry = self.history.complete(&order.file).unwrap_or_else(|error| {
            tracing::error!(file = order.file, %error, "a change is in the history as an intent only");
            None
        });
        tracing::info!(
            flag = order.flag,
            who = deed.who,
            reason = deed.reason,
            version = %after.version,
            "a flag was changed"
        );
        Ok(Done {
            version: after.version,
            text: next,
            entry,
            changed: true,
        })
    }

    fn look_at_once_more(&self, file: &str) {
        if let Ok(now) = write::read(&self.folder.join(file))
            && let Err(error) = self.settle(file, now.as_deref())
        {
            tracing::error!(file, %error, "an order that failed is still an intent in the history");
        }
    }

    /// To be called with the file's lock held.
    fn settle(&self, file: &str, now: Option<&str>) -> Result<Option<u64>, HistoryError> {
        self.history.settle(file, &Text::of(now), |before| {
            let who = write::owner(&self.folder.join(file)).unwrap_or_else(|| "file".to_owned());
            let flag = flag_of(file, before.text.as_deref(), now);
            Deed::new(clock::wall(), &flag, file, &who, How::File, "")
        })
    }

    fn lock(&self, file: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        file.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or_default();
        let [first, ..] = &self.locks;
        let lock = self.locks.get(at).unwrap_or(first);
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges the site with `file` as `text`, as a reload does. What was wrong before is no reason against a change.
    fn judge(&self, file: &str, text: &str) -> Result<(), Refused> {
        let mut sources = Sources::read_again(&self.path, &self.in_force.load());
        let as_it_is = sources.clone();
        sources.insert(file, text);
        let after = config::load_sources(&sources, &config::process_env).problems;
        if !after.has_errors() {
            return Ok(());
        }
        let before = config::load_sources(&as_it_is, &config::process_env).problems;
        let known = |problem: &Problem| {
            before.errors().any(|other| {
                (other.kind, &other.file, &other.what) == (problem.kind, &problem.file, &problem.what)
            })
        };
        let new = after
            .errors()
            .filter(|problem| problem.file == file || !known(problem));
        let new: Vec<Problem> = new.cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        Err(Refused::Invalid(file.to_owned(), new))
    }

    fn clash(&self, order: &Order, theirs: Option<String>) -> Refused {
        let known = self.newest(order).unwrap_or_default();
        let base = known
            .iter()
            .flat_map(|entry| [&entry.after, &entry.before])
            .find(|text| Some(&text.version) == order.version.as_ref());
        let yours = match &order.change {
            Change::Fields(fields) => base.and_then(|base| changed(order, fields, base.text.as_deref()).ok()),
            Change::Undo { entry, .. } => {
                let entry = entry.map_or_else(|| Ok(None), |id| self.history.entry(id));
                entry.ok().flatten().and_then(|entry| entry.before.text)
            }
        };
        Refused::Clash(Box::new(Clash {
            file: order.file.clone(),
            given: order.version.clone(),
            now: Version::of(theirs.as_deref()),
            theirs,
            yours,
            last: known.into_iter().next(),
        }))
    }

    /// The newest entries of the order's file.
    fn newest(&self, order: &Order) -> Result<Vec<Entry>, HistoryError> {
        let wanted = Wanted {
            flag: Some(""), // no flag's key: entries of the file are meant
            file: Some(&order.file),
            before: None,
            limit: SOUGHT_MAX,
            bytes: SOUGHT_BYTES_MAX,
        };
        Ok(self.history.entries(&wanted)?.0)
    }

    fn entry(&self, order: &Order, id: Option<u64>) -> Result<Entry, Refused> {
        let found = match id {
            Some(id) => self
                .history
                .entry(id)?
                .filter(|entry| entry.deed.file == order.file),
            None => self.newest(order)?.into_iter().next(),
        };
        let unfit = || {
            let what = id.map_or_else(|| "nothing".to_owned(), |id| format!("no entry {id}"));
            Unfit(format!("the history has {what} of it to take back"))
        };
        found.ok_or_else(|| Refused::Unfit(order.file.clone(), unfit()))
    }
}

/// Files of flags that are another one in `new` than in `old`, or that only one of the two has.
#[must_use]
pub fn flags_that_differ(old: &Sources, new: &Sources) -> Vec<String> {
    let of = |sources: &Sources| -> Vec<String> {
        let files = sources.iter().map(|(file, _)| file);
        files.filter(|file| is_flag(file)).map(str::to_owned).collect()
    };
    let mut files = of(old);
    files.extend(of(new));
    files.sort_unstable();
    files.dedup();
    files.retain(|file| old.get(file) != new.get(file));
    files
}

fn is_flag(file: &str) -> bool {
    file.starts_with("flags/")
}

fn changed(order: &Order, fields: &Fields, text: Option<&str>) -> Result<String, Unfit> {
    let text = text.ok_or_else(|| Unfit("there is no such file".to_owned()))?;
    if order.file.ends_with(".toml") {
        return fields.apply(text);
    }
    let only_state = Fields {
        state: fields.state,
        ..Fields::default()
    };
    match fields.state {
        Some(state) if *fields == only_state => {
            let enabled = state == change::State::Enabled;
            let changed = set::with_state(text, &order.flag, enabled);
            changed.ok_or_else(|| Unfit(format!("there is no flag `{}` with a state in it", order.flag)))
        }
        _ => Err(Unfit(
            "it is a flagd set: only the state of its flags can be changed here, the rest in the file"
                .to_owned(),
        )),
    }
}

fn taken_back(entry: Entry) -> Result<String, Unfit> {
    let id = entry.id;
    match entry.before {
        Text { text: Some(text), .. } => Ok(text),
        before if before.is_file() => Err(Unfit(format!(
            "the text before entry {id} was too long to be kept"
        ))),
        _ => Err(Unfit(format!(
            "there was no file before entry {id}: take the file away by hand, once no route asks the flag"
        ))),
    }
}

/// The flag that a saved file is about: its name, or the only flag of a set that differs.
fn flag_of(file: &str, before: Option<&str>, now: Option<&str>) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    if name.ends_with(".json") {
        let (old, new) = (
            set::flags(before.unwrap_or_default()),
            set::flags(now.unwrap_or_default()),
        );
        let keys = old.keys().chain(new.keys());
        let mut differ: Vec<&String> = keys.filter(|key| old.get(*key) != new.get(*key)).collect();
        differ.sort_unstable();
        differ.dedup();
        if let [only] = differ.as_slice() {
            return (*only).clone();
        }
    }
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}
