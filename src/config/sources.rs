//! The texts of a site's files, read once, so that everything after is free of disks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    attached::{self, Attached},
    errors::{files_named, is_beneath},
    machines::KEYS_FILE,
};
use crate::policy::errors::PAGE_BYTES_MAX;

/// Longest file that is read, in bytes: 10,000 routes take two.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most files that are read from one folder.
pub const FILES_MAX: usize = 10_000;

/// The name of the operator's file, unless another is given.
pub const OPERATOR_FILE: &str = "banyan.toml";

/// Folders beside the operator's file that are read, and the endings of the files that are read from each.
const FOLDERS: [(&str, &[&str]); 2] = [("routes", &["toml"]), ("flags", &["toml", "json"])];

/// The texts of `banyan.toml`, `routes/*.toml`, `flags/*.toml` and `flags/*.json`, by path relative to their folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The folder that relative paths in the files start from, absolute.
    pub folder: PathBuf,
    /// The operator's file, almost always `banyan.toml`.
    pub main: String,
    files: BTreeMap<String, Arc<str>>,
    unreadable: BTreeMap<String, Unreadable>,
    /// Files that were taken out, since there is no version of them that can be used.
    left_out: BTreeSet<String>,
    /// Error pages, by the file that names them. They are a part of it: it stays as it was where they can't be had.
    pages: BTreeMap<String, Pages>,
    /// Keys and databases that the operator's file names.
    attached: Attached,
}

/// By the name that is written.
type Pages = BTreeMap<String, Result<Arc<str>, Unreadable>>;

/// Why a file has no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It isn't there.
    Missing,
    /// It holds bytes that are no UTF-8, from this offset on.
    NotText(usize),
    /// It is longer than [`FILE_BYTES_MAX`].
    TooLong(u64),
    /// There are more than [`FILES_MAX`] beside it.
    TooMany,
    /// The system says no.
    Refused(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there"),
            Self::NotText(at) => write!(f, "it is not UTF-8, byte {at} belongs to no character"),
            Self::TooLong(bytes) => write!(f, "it has {bytes} bytes"),
            Self::TooMany => f.write_str("there are too many files"),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

/// What a file of the site is, by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// `banyan.toml`.
    Operator,
    /// `routes/<squad>.toml`.
    Squad,
    /// `flags/<key>.toml`.
    Flag,
    /// `flags/<name>.json`, a flagd flag set.
    FlagSet,
    /// `keys.toml`.
    Keys,
}

impl Sources {
    /// No files, in `folder`.
    #[must_use]
    pub fn empty(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            main: OPERATOR_FILE.to_owned(),
            files: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            left_out: BTreeSet::new(),
            pages: BTreeMap::new(),
            attached: Attached::default(),
        }
    }

    /// Reads the files of a site.
    ///
    /// `path` is `banyan.toml` (or whatever it is called) or the folder that it is in. What can't be read becomes a
    /// problem when the sources are loaded; nothing is skipped in silence but hidden files and other endings.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self::read_again(path, &Self::empty(""))
    }

    /// As [`Sources::read`], but large files that have not changed since `before` was read are taken from there.
    #[must_use]
    pub fn read_again(path: &Path, before: &Self) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let is_file = absolute.extension().is_some_and(|ending| ending == "toml") && !absolute.is_dir();
        let (folder, main) = match (is_file, absolute.parent(), absolute.file_name()) {
            (true, Some(folder), Some(name)) => (folder.to_owned(), name.to_string_lossy().into_owned()),
            _ => (absolute, OPERATOR_FILE.to_owned()),
        };
        let mut sources = Self {
            main: main.clone(),
            ..Self::empty(folder)
        };
        sources.read_file(&main);
        sources.read_attached(&before.attached);
        if sources.folder.join(KEYS_FILE).exists() {
            sources.read_file(KEYS_FILE);
        }
        for (folder, _) in FOLDERS {
            sources.read_folder(folder);
        }
        sources
    }

    /// Whether [`Sources::read`] reads a file of this name from `folder`, one of those beside the operator's file.
    #[must_use]
    pub fn reads(folder: &str, file: &str) -> bool {
        let mut endings = FOLDERS.iter().filter(|(name, _)| *name == folder);
        !file.starts_with('.')
            && endings.any(|(_, endings)| {
                let ending = file.rsplit_once('.').map(|(_, ending)| ending);
                ending.is_some_and(|ending| endings.contains(&ending))
            })
    }

    /// Names of the folders beside the operator's file that are read.
    pub fn folders() -> impl Iterator<Item = &'static str> {
        FOLDERS.iter().map(|(name, _)| *name)
    }

    /// Adds or replaces a text.
    pub fn insert(&mut self, file: &str, text: impl Into<Arc<str>>) {
        self.unreadable.remove(file);
        self.files.insert(file.to_owned(), text.into());
    }

    /// Adds or replaces the error page that `file` calls `name`.
    pub fn insert_page(&mut self, file: &str, name: &str, text: impl Into<Arc<str>>) {
        self.add_page(file, name, Ok(text.into()));
    }

    /// The error page that `file` calls `name`, or why it has no text. `None`: it was not read.
    pub(super) fn page(&self, file: &str, name: &str) -> Option<&Result<Arc<str>, Unreadable>> {
        self.pages.get(file)?.get(name)
    }

    /// Where the error pages are that the files name, absolute, also of those that aren't there.
    pub fn pages(&self) -> impl Iterator<Item = PathBuf> {
        self.pages
            .iter()
            .flat_map(|(file, pages)| pages.keys().map(|name| self.folder_of(file).join(name)))
    }

    /// Adds or replaces a file that the operator's file names.
    pub fn attach(&mut self, name: &str, bytes: impl Into<Arc<[u8]>>) {
        let bytes = Ok(bytes.into());
        self.attached
            .0
            .insert(name.to_owned(), attached::File { bytes, stamp: None });
    }

    /// A file that the operator's file calls `name`, or why it can't be had. `None`: it was not read.
    pub(super) fn attached(&self, name: &str) -> Option<&Result<Arc<[u8]>, Unreadable>> {
        self.attached.0.get(name).map(|file| &file.bytes)
    }

    /// Where the files are that the operator's file names, absolute, also of those that aren't there.
    pub fn attachments(&self) -> impl Iterator<Item = PathBuf> {
        self.attached.0.keys().map(|name| self.folder.join(name))
    }

    /// The same sources with one more text; reads well in tests.
    #[must_use]
    pub fn with(mut self, file: &str, text: &str) -> Self {
        self.insert(file, text);
        self
    }

    /// Takes a file away.
    pub fn remove(&mut self, file: &str) {
        self.files.remove(file);
        self.unreadable.remove(file);
        self.pages.remove(file);
    }

    /// The text of a file.
    #[must_use]
    pub fn get(&self, file: &str) -> Option<&Arc<str>> {
        self.files.get(file)
    }

    /// All texts, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.files.iter().map(|(file, text)| (file.as_str(), text))
    }

    /// Files without a text, and why.
    pub fn unreadable(&self) -> impl Iterator<Item = (&str, &Unreadable)> {
        self.unreadable
            .iter()
            .map(|(file, reason)| (file.as_str(), reason))
    }

    /// Whether there is no file at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.unreadable.is_empty()
    }

    /// Makes `file` what it is in `other`: the same text, or not there.
    pub(super) fn take_from(&mut self, other: &Self, file: &str) {
        self.remove(file);
        if let Some(text) = other.files.get(file) {
            self.insert(file, Arc::clone(text));
        } else {
            self.left_out.insert(file.to_owned());
        }
        if let Some(pages) = other.pages.get(file) {
            self.pages.insert(file.to_owned(), pages.clone());
        }
    }

    /// Whether a file was there and was taken out, since no version of it can be used.
    pub(super) fn is_left_out(&self, file: &str) -> bool {
        self.left_out.contains(file)
    }

    /// Files that differ between the two, also those that only one has.
    pub(super) fn changed_since(&self, other: &Self) -> Vec<String> {
        let names = |sources: &Self| -> Vec<String> {
            sources
                .files
                .keys()
                .chain(sources.unreadable.keys())
                .cloned()
                .collect()
        };
        let mut all = names(self);
        all.extend(names(other));
        all.sort_unstable();
        all.dedup();
        all.retain(|file| {
            self.files.get(file) != other.files.get(file)
                || self.unreadable.get(file) != other.unreadable.get(file)
                || self.pages.get(file) != other.pages.get(file)
                || (*file == self.main && self.attached != other.attached)
        });
        all
    }

    /// What kind of file a path is; `None`: not one of ours.
    pub(super) fn kind(&self, file: &str) -> Option<FileKind> {
        if file == self.main {
            return Some(FileKind::Operator);
        }
        if file == KEYS_FILE {
            return Some(FileKind::Keys);
        }
        match file.split_once('/')? {
            ("routes", name) if name.ends_with(".toml") => Some(FileKind::Squad),
            ("flags", name) if name.ends_with(".toml") => Some(FileKind::Flag),
            ("flags", name) if name.ends_with(".json") => Some(FileKind::FlagSet),
            _ => None,
        }
    }

    fn read_folder(&mut self, name: &str) {
        let entries = match fs::read_dir(self.folder.join(name)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.unreadable
                    .insert(name.to_owned(), Unreadable::Refused(error.to_string()));
                return;
            }
        };
        for (count, entry) in entries.flatten().enumerate() {
            if count >= FILES_MAX {
                self.unreadable.insert(name.to_owned(), Unreadable::TooMany);
                return;
            }
            let file = entry.file_name().to_string_lossy().into_owned();
            if Self::reads(name, &file) {
                self.read_file(&format!("{name}/{file}"));
            }
        }
    }

    fn read_attached(&mut self, before: &Attached) {
        let text = self.files.get(&self.main).map(|text| &**text).unwrap_or_default();
        for (name, bytes_max) in attached::named(text, &super::process_env) {
            let path = self.folder.join(&name);
            let stamp = stamp(&path);
            let known = before
                .0
                .get(&name)
                .filter(|known| stamp.is_some() && known.stamp == stamp);
            let file = known.cloned().unwrap_or_else(|| attached::File {
                bytes: read_bytes(&path, bytes_max).map(Arc::from),
                stamp,
            });
            self.attached.0.insert(name, file);
        }
    }

    fn read_file(&mut self, file: &str) {
        match read_text(&self.folder.join(file), FILE_BYTES_MAX) {
            Ok(text) => self.insert(file, text),
            Err(reason) => {
                self.unreadable.insert(file.to_owned(), reason);
                return;
            }
        }
        if matches!(self.kind(file), Some(FileKind::Operator | FileKind::Squad)) {
            self.read_pages(file);
        }
    }

    fn read_pages(&mut self, file: &str) {
        let named = self.files.get(file).map(|text| files_named(text));
        let folder = self.folder_of(file);
        for name in named.into_iter().flatten().filter(|name| is_beneath(name)) {
            let page = read_page(&folder, &name);
            self.add_page(file, &name, page);
        }
    }

    fn add_page(&mut self, file: &str, name: &str, page: Result<Arc<str>, Unreadable>) {
        let pages = self.pages.entry(file.to_owned()).or_default();
        pages.insert(name.to_owned(), page);
    }

    fn folder_of(&self, file: &str) -> PathBuf {
        let path = self.folder.join(file);
        path.parent()
            .map_or_else(|| self.folder.clone(), Path::to_path_buf)
    }
}

/// Linux on every architecture that this program is built for.
const O_NONBLOCK: i32 = 0o4000;

/// What tells that a large file is still the same.
fn stamp(path: &Path) -> Option<attached::Stamp> {
    let about = fs::metadata(path).ok()?;
    let times = (
        (about.mtime(), about.mtime_nsec()),
        (about.ctime(), about.ctime_nsec()),
    );
    (about.len() >= attached::STAMPED_BYTES_MIN)
        .then(|| (about.dev(), about.ino(), about.len(), times.0, times.1))
}

fn refused(error: &io::Error) -> Unreadable {
    match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        _ => Unreadable::Refused(error.to_string()),
    }
}

/// A squad may show what lies beside its file, and nothing that a link leads to elsewhere.
fn read_page(folder: &Path, name: &str) -> Result<Arc<str>, Unreadable> {
    let path = fs::canonicalize(folder.join(name)).map_err(|error| refused(&error))?;
    if !path.starts_with(fs::canonicalize(folder).map_err(|error| refused(&error))?) {
        return Err(Unreadable::Refused("it leads out of the folder".to_owned()));
    }
    read_text(&path, PAGE_BYTES_MAX as u64).map(Arc::from)
}

fn read_text(path: &Path, bytes_max: u64) -> Result<String, Unreadable> {
    let bytes = read_bytes(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|error| Unreadable::NotText(error.utf8_error().valid_up_to()))
}

fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Unreadable> {
    // Opened without waiting: a pipe would hold the control plane until somebody writes into it.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)
        .map_err(|error| refused(&error))?;
    let about = file.metadata().map_err(|error| refused(&error))?;
    if !about.is_file() {
        return Err(Unreadable::Refused("it is no regular file".to_owned()));
    }
    if about.len() > bytes_max {
        return Err(Unreadable::TooLong(about.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default());
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| refused(&error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Unreadable::TooLong(bytes.len() as u64));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
