//! The cache's disk: opened at the start, told of flags that changed while the program did not run, and measured.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::Cache;
use crate::{
    cache::store::{How, Store, What, disk::folder::BadFolder},
    config::settings::Settings,
    flag::FlagState,
    observe::metrics::{Facts, Family},
    snapshot::Snapshot,
};

/// Where what flags were is written down.
const FLAGS: &str = "flags.json";

/// What answers that flags chose depend on, by the flags' keys: the epoch, and whether it was killed.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct States(BTreeMap<String, (u32, bool)>);

impl States {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let flags = snapshot.flags.iter().map(|(_, flag)| {
            let killed = flag.settings().state == FlagState::Disabled;
            (flag.key().to_string(), (flag.epoch(), killed))
        });
        Self(flags.collect())
    }

    fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FLAGS)).ok()?).ok()
    }

    /// Writes it down. Where it can't, nothing is written there: then the next start purges what any flag chose.
    fn write(&self, folder: &Path) {
        if let Err(error) = self.try_write(folder) {
            tracing::warn!(%error, folder = %folder.display(), "the cache's folder can't be written");
            let _ = fs::remove_file(folder.join(FLAGS));
        }
    }

    fn try_write(&self, folder: &Path) -> io::Result<()> {
        let (draft, path) = (folder.join("flags.new"), folder.join(FLAGS));
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(draft, path)
    }
}

/// Flags whose choices so far are void: they were killed, or are gone, or have another epoch.
pub(super) fn ended(before: &States, now: &States) -> Vec<String> {
    let old = before.0.iter();
    old.filter(|(key, (epoch, was_killed))| {
        let new = now.0.get(*key);
        new.is_none_or(|(new, killed)| new != epoch || (*killed && !was_killed))
    })
    .map(|(key, _)| key.clone())
    .collect()
}

impl Cache {
    /// Opens the disk that the settings name, if they do.
    ///
    /// # Errors
    /// [`BadFolder`].
    pub(in super::super) fn open_disk(&self, settings: &Settings, now: &Snapshot) -> Result<(), BadFolder> {
        let Some(disk) = &settings.edge.cache_disk else {
            return Ok(());
        };
        self.store.open_disk(disk)?;
        let _ = self.disk.set(disk.folder.clone());
        let states = States::of(now);
        let flags = match States::read(&disk.folder) {
            Some(before) => ended(&before, &states),
            None => states.0.keys().cloned().collect(),
        };
        for flag in &flags {
            self.store.purge(&What::Flag(flag), How::Hard);
        }
        states.write(&disk.folder);
        Ok(())
    }

    /// Takes another bound; another folder takes a restart.
    pub(super) fn follow_disk(&self, settings: &Settings, now: &Snapshot) {
        let (wanted, open) = (settings.edge.cache_disk.as_ref(), self.disk.get());
        if wanted.map(|wanted| &wanted.folder) != open {
            tracing::warn!("another folder of `[cache] disk` takes a restart");
        }
        let Some(folder) = open else { return };
        if let Some(wanted) = wanted {
            self.store.resize_disk(wanted.bytes);
        }
        States::of(now).write(folder);
    }
}

/// Tells metrics.
pub(super) fn measure(store: &Store, facts: &Facts) {
    let Some(stats) = store.disk_stats() else { return };
    let numbers = [
        (Family::CacheDiskEntries, stats.entries),
        (Family::CacheDiskBytes, stats.bytes),
        (Family::CacheDiskBytesMax, stats.bytes_max),
        (Family::CacheDiskReads, stats.reads),
        (Family::CacheDiskWrites, stats.writes),
        (Family::CacheDiskErrors, stats.errors),
        (Family::CacheDiskDropped, stats.dropped),
    ];
    facts.set(numbers.map(|(family, number)| (family, &[][..], number)));
}
