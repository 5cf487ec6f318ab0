//! Who changed which flag, when, how and why, with the file before and after: kept in `<state>/history.redb`.
//!
//! A change is written here before its file is (an intent) and completed after; [`History::settle`] finds out at the next
//! start, and whenever a file was saved, what became of intents and which files changed without an order. In reading order:
//! [`entry`] says what is remembered, [`diff`] shows it, this file keeps it.

pub mod diff;
pub mod entry;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};

use self::entry::{Deed, Entry, Text, Version};

/// Changes that are remembered; beyond it the oldest leave. Tests reach it sooner.
pub const ENTRIES_MAX: u64 = if cfg!(test) { 200 } else { 10_000 };
/// Bytes of texts that are remembered in all; beyond it the oldest leave.
pub const BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of the file that are held in memory.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// How the file is laid out.
const FORMAT: u64 = 1;

const DEEDS: TableDefinition<'_, u64, &str> = TableDefinition::new("deeds");
const TEXTS: TableDefinition<'_, u64, (Option<&str>, Option<&str>)> = TableDefinition::new("texts");
const INTENTS: TableDefinition<'_, &str, &str> = TableDefinition::new("intents");
/// Each file as it was last known: its version and text.
const LAST: TableDefinition<'_, &str, (&str, Option<&str>)> = TableDefinition::new("last");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// Why something can't be remembered or recalled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the history can't be used: {0}")]
pub struct HistoryError(pub String);

impl From<redb::Error> for HistoryError {
    fn from(error: redb::Error) -> Self {
        Self(error.to_string())
    }
}

/// What was changed.
#[derive(Debug)]
pub struct History {
    file: PathBuf,
    /// `None`: it could not be opened yet.
    store: RwLock<Option<Arc<Database>>>,
    /// Another program has it from now on.
    released: AtomicBool,
}

/// A deed as it is written down, with the versions that it went from and to.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    deed: Deed,
    before: Version,
    after: Version,
}

/// An intent, with its texts.
#[derive(Debug, Serialize, Deserialize)]
struct Intent {
    written: Written,
    before: Option<String>,
    after: Option<String>,
}

/// Which entries are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted<'a> {
    /// Only of this flag, or of `file`.
    pub flag: Option<&'a str>,
    /// The file that the flag is in, where others may be as well.
    pub file: Option<&'a str>,
    /// Only those with a lower number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
    /// At most so many bytes of texts, but one entry in any case.
    pub bytes: usize,
}

impl History {
    /// The history in the folder `state`, opened or made. While it can't be opened, each use tries again and says why not:
    /// the program that has it open may end.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        let history = Self {
            file: state.join("history.redb"),
            store: RwLock::new(None),
            released: AtomicBool::new(false),
        };
        let _ = history.store();
        history
    }

    /// A history that nothing keeps.
    #[cfg(test)]
    pub(super) fn in_memory() -> Self {
        let memory = redb::backends::InMemoryBackend::new();
        let store = redb::Builder::new().create_with_backend(memory).unwrap();
        prepare(&store).unwrap();
        Self {
            file: PathBuf::new(),
            store: RwLock::new(Some(Arc::new(store))),
            released: AtomicBool::new(false),
        }
    }

    /// Whether it can be used.
    ///
    /// # Errors
    /// Why not.
    pub fn usable(&self) -> Result<(), HistoryError> {
        self.store().map(drop)
    }

    fn store(&self) -> Result<Arc<Database>, HistoryError> {
        if let Some(store) = &*self.store.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(store));
        }
        if self.released.load(Ordering::Acquire) {
            return Err(HistoryError("another program has taken over".to_owned()));
        }
        let mut place = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*place {
            return Ok(Arc::clone(store)); // somebody else was first
        }
        let store = open(&self.file).map_err(|error| {
            let what = match error {
                redb::Error::DatabaseAlreadyOpen => {
                    "another program has it open, probably a running router".to_owned()
                }
                other => other.to_string(),
            };
            HistoryError(format!("{}: {what}", self.file.display()))
        })?;
        Ok(Arc::clone(place.insert(Arc::new(store))))
    }

    /// Lets another program have it, for good.
    pub fn release(&self) {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.released.store(true, Ordering::Release);
    }

    /// Writes down what is about to be done; to be followed by [`History::complete`] or [`History::cancel`].
    ///
    /// # Errors
    /// It isn't written down, so it must not be done.
    pub fn begin(&self, deed: &Deed, before: &Text, after: &Text) -> Result<(), HistoryError> {
        let intent = Intent {
            written: Written {
                deed: deed.clone(),
                before: before.version.clone(),
                after: after.version.clone(),
            },
            before: before.text.clone(),
            after: after.text.clone(),
        };
        self.write(|store| {
            settle_intent(store, &deed.file, before)?; // one whose completion failed
            store
                .open_table(INTENTS)?
                .insert(deed.file.as_str(), json(&intent)?.as_str())?;
            Ok(())
        })
    }

    /// What was intended with `file` is done. Answers its number.
    ///
    /// # Errors
    /// It could not be written down; [`History::settle`] will find it.
    pub fn complete(&self, file: &str) -> Result<Option<u64>, HistoryError> {
        self.write(|store| complete(store, file))
    }

    /// What was intended with `file` will not be done.
    ///
    /// # Errors
    /// It could not be written down; [`History::settle`] will find it.
    pub fn cancel(&self, file: &str) -> Result<(), HistoryError> {
        self.write(|store| {
            store.open_table(INTENTS)?.remove(file)?;
            Ok(())
        })
    }

    /// `file` is now `now`: finishes or forgets an intent that was left, and remembers a change that nobody ordered, in the
    /// words of `saved` (which is given the file as it was). Answers the number of the newest entry that this made.
    ///
    /// # Errors
    /// It could not be read or written down.
    pub fn settle(
        &self,
        file: &str,
        now: &Text,
        saved: impl FnOnce(&Text) -> Deed,
    ) -> Result<Option<u64>, HistoryError> {
        let store = self.store()?;
        let known = (|| {
            let read = store.begin_read()?;
            let intended = read.open_table(INTENTS)?.get(file)?.is_some();
            let last = last(&read.open_table(LAST)?, file)?;
            Ok::<_, redb::Error>(!intended && last.version == now.version)
        })()?;
        if known {
            return Ok(None); // as almost always: nothing need be written
        }
        self.write(|store| {
            let settled = settle_intent(store, file, now)?;
            let before = last(&store.open_table(LAST)?, file)?;
            if before.version == now.version {
                return Ok(settled);
            }
            let entry = Entry {
                id: 0,
                deed: saved(&before),
                before,
                after: now.clone(),
            };
            remember(store, &entry).map(Some)
        })
    }

    /// Files that were known at some time, or are intended to be changed.
    ///
    /// # Errors
    /// It can't be read.
    pub fn files(&self) -> Result<Vec<String>, HistoryError> {
        let store = self.store()?;
        let read = || {
            let read = store.begin_read()?;
            let mut files = Vec::new();
            for row in read.open_table(LAST)?.iter()? {
                files.push(row?.0.value().to_owned());
            }
            for row in read.open_table(INTENTS)?.iter()? {
                files.push(row?.0.value().to_owned());
            }
            Ok::<_, redb::Error>(files)
        };
        Ok(read()?)
    }

    /// Takes the files as they are for the beginning, if nothing was ever remembered. Answers whether that was so.
    ///
    /// # Errors
    /// It can't be written.
    pub fn begin_with<'f>(&self, files: impl Iterator<Item = (&'f str, Text)>) -> Result<bool, HistoryError> {
        self.write(|store| {
            let mut numbers = store.open_table(NUMBERS)?;
            if numbers.get("began")?.is_some() {
                return Ok(false);
            }
            numbers.insert("began", 1)?;
            let mut last = store.open_table(LAST)?;
            for (file, text) in files {
                last.insert(file, (text.version.as_str(), text.text.as_deref()))?;
            }
            Ok(true)
        })
    }

    /// One entry.
    ///
    /// # Errors
    /// It can't be read.
    pub fn entry(&self, id: u64) -> Result<Option<Entry>, HistoryError> {
        let wanted = Wanted {
            before: Some(id.saturating_add(1)),
            limit: 1,
            ..Wanted::default()
        };
        let (entries, _) = self.entries(&wanted)?;
        Ok(entries.into_iter().find(|entry| entry.id == id))
    }

    /// Entries, the newest first, and whether there are more.
    ///
    /// # Errors
    /// It can't be read.
    pub fn entries(&self, wanted: &Wanted<'_>) -> Result<(Vec<Entry>, bool), HistoryError> {
        let store = self.store()?;
        Ok(entries(&store, wanted)?)
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, HistoryError> {
        let store = self.store()?;
        let write = || {
            let transaction = store.begin_write()?;
            let done = change(&transaction)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(done)
        };
        Ok(write()?)
    }
}

fn open(file: &Path) -> Result<Database, redb::Error> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let store = redb::Builder::new().set_cache_size(CACHE_BYTES).create(file)?;
    prepare(&store)?;
    Ok(store)
}

fn prepare(store: &Database) -> Result<(), redb::Error> {
    let transaction = store.begin_write()?;
    {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let format = numbers.get("format")?.map(|format| format.value());
        match format {
            None => drop(numbers.insert("format", FORMAT)?),
            Some(FORMAT) => {}
            Some(other) => return Err(corrupted(&format!("it has format {other}, not {FORMAT}"))),
        }
        transaction.open_table(DEEDS)?;
        transaction.open_table(TEXTS)?;
        transaction.open_table(INTENTS)?;
        transaction.open_table(LAST)?;
    }
    transaction.commit()?;
    Ok(())
}

fn entries(store: &Database, wanted: &Wanted<'_>) -> Result<(Vec<Entry>, bool), redb::Error> {
    let read = store.begin_read()?;
    let (deeds, texts) = (read.open_table(DEEDS)?, read.open_table(TEXTS)?);
    let (mut found, mut bytes) = (Vec::new(), 0);
    for row in deeds.range(..wanted.before.unwrap_or(u64::MAX))?.rev() {
        let (id, written) = row?;
        let (id, written): (u64, Written) = (id.value(), parse(written.value())?);
        let fits = wanted.flag.is_none_or(|flag| written.deed.flag == flag)
            || wanted.file.is_some_and(|file| written.deed.file == file);
        if !fits {
            continue;
        }
        let kept = texts.get(id)?;
        let (before, after) = kept.as_ref().map_or((None, None), |kept| kept.value());
        bytes += before.map_or(0, str::len) + after.map_or(0, str::len);
        let too_long = wanted.bytes > 0 && bytes > wanted.bytes && !found.is_empty();
        if found.len() >= wanted.limit || too_long {
            return Ok((found, true));
        }
        let text = |version, text: Option<&str>| Text {
            version,
            text: text.map(str::to_owned),
        };
        found.push(Entry {
            id,
            deed: written.deed,
            before: text(written.before, before),
            after: text(written.after, after),
        });
    }
    Ok((found, false))
}

/// What became of an intent that was left: done where the file is as it should become, else not. Where the file is neither
/// as before nor as after, it was saved by somebody else after one of the two; then the intent is forgotten, which the entry
/// for what was saved shows by going from `before` to what is there.
fn settle_intent(store: &WriteTransaction, file: &str, now: &Text) -> Result<Option<u64>, redb::Error> {
    let intent: Option<Intent> = {
        let intents = store.open_table(INTENTS)?;
        let intent = intents.get(file)?;
        intent.map(|intent| parse(intent.value())).transpose()?
    };
    match intent {
        Some(intent) if intent.written.after == now.version => complete(store, file),
        Some(_) => {
            store.open_table(INTENTS)?.remove(file)?;
            Ok(None)
        }
        None => Ok(None),
    }
}

fn complete(store: &WriteTransaction, file: &str) -> Result<Option<u64>, redb::Error> {
    let intent: Option<Intent> = {
        let mut intents = store.open_table(INTENTS)?;
        let intent = intents.remove(file)?;
        intent.map(|intent| parse(intent.value())).transpose()?
    };
    let Some(intent) = intent else {
        return Ok(None);
    };
    let entry = Entry {
        id: 0,
        deed: intent.written.deed,
        before: Text {
            version: intent.written.before,
            text: intent.before,
        },
        after: Text {
            version: intent.written.after,
            text: intent.after,
        },
    };
    remember(store, &entry).map(Some)
}

/// Writes an entry down under the next number, and lets the oldest leave.
fn remember(store: &WriteTransaction, entry: &Entry) -> Result<u64, redb::Error> {
    let mut numbers = store.open_table(NUMBERS)?;
    let mut deeds = store.open_table(DEEDS)?;
    let mut texts = store.open_table(TEXTS)?;
    let number = |numbers: &redb::Table<'_, &str, u64>, name| {
        Ok::<u64, redb::Error>(numbers.get(name)?.map_or(0, |number| number.value()))
    };
    let id = number(&numbers, "entries")?.saturating_add(1);
    let written = Written {
        deed: entry.deed.clone(),
        before: entry.before.version.clone(),
        after: entry.after.version.clone(),
    };
    let kept = (entry.before.text.as_deref(), entry.after.text.as_deref());
    deeds.insert(id, json(&written)?.as_str())?;
    texts.insert(id, kept)?;
    numbers.insert("entries", id)?;
    let mut bytes = number(&numbers, "bytes")?.saturating_add(length(kept));
    while deeds.len()? > ENTRIES_MAX || bytes > BYTES_MAX {
        let Some(oldest) = deeds.pop_first()?.map(|(id, _)| id.value()) else {
            break;
        };
        if let Some(gone) = texts.remove(oldest)? {
            bytes = bytes.saturating_sub(length(gone.value()));
        }
    }
    numbers.insert("bytes", bytes)?;
    let mut last = store.open_table(LAST)?;
    if entry.after.is_file() {
        let after = (entry.after.version.as_str(), entry.after.text.as_deref());
        last.insert(entry.deed.file.as_str(), after)?;
    } else {
        last.remove(entry.deed.file.as_str())?;
    }
    Ok(id)
}

fn length((before, after): (Option<&str>, Option<&str>)) -> u64 {
    (before.map_or(0, str::len) + after.map_or(0, str::len)) as u64
}

fn last(
    table: &impl ReadableTable<&'static str, (&'static str, Option<&'static str>)>,
    file: &str,
) -> Result<Text, redb::Error> {
    let Some(kept) = table.get(file)? else {
        return Ok(Text::of(None));
    };
    let (version, text) = kept.value();
    Ok(Text {
        version: Version::given(version),
        text: text.map(str::to_owned),
    })
}

fn json(value: &impl Serialize) -> Result<String, redb::Error> {
    serde_json::to_string(value).map_err(|error| corrupted(&error.to_string()))
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, redb::Error> {
    serde_json::from_str(text).map_err(|error| corrupted(&error.to_string()))
}

fn corrupted(what: &str) -> redb::Error {
    redb::Error::Io(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()))
}
