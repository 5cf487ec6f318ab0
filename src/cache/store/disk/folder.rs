//! The folder of the disk tier: who may read it, what its files are called, and what lies there at the start.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::journal::private;
use crate::cache::store::KeyHash;

/// What a file takes is counted in these.
const BLOCK_BYTES: u64 = 4096;
const ANSWER: &str = ".answer";
const DRAFT: &str = ".draft";
/// Says which program wrote the rest: another reads none of it.
const FORMAT: &str = "format";
const FORMAT_TEXT: &str = concat!("banyan ", env!("CARGO_PKG_VERSION"), " 1\n");
const LOCK: &str = "lock";

/// Why a folder is none for answers.
#[derive(Debug, thiserror::Error)]
pub enum BadFolder {
    /// It is a file, or something else.
    #[error("is no folder")]
    NotOne,
    /// Others than its owner may look into it.
    #[error("has mode {0:o}: others may read what is kept there, or write it; give it mode 700")]
    Open(u32),
    /// It can't be used.
    #[error("can't be used: {0}")]
    Io(#[from] io::Error),
}

/// Whether a folder may hold answers, if it is there.
///
/// # Errors
/// [`BadFolder`].
pub fn judge(folder: &Path) -> Result<(), BadFolder> {
    let about = match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // it is made at the start
        about => about?,
    };
    if !about.is_dir() {
        return Err(BadFolder::NotOne);
    }
    match about.mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(BadFolder::Open(mode)),
        _ => Ok(()),
    }
}

/// Makes a folder that isn't there, and tries to write into it.
pub(super) fn prepare(folder: &Path) -> Result<(), BadFolder> {
    judge(folder)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    private().append(true).open(folder.join(LOCK))?;
    Ok(())
}

/// Takes a folder for this process; `None`: another has it.
pub(super) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = private().append(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Whether this program wrote what lies there.
pub(super) fn is_ours(folder: &Path) -> bool {
    fs::read(folder.join(FORMAT)).is_ok_and(|text| text == FORMAT_TEXT.as_bytes())
}

/// Removes all that was kept. What is not Banyan's stays.
pub(super) fn wipe(folder: &Path) -> io::Result<()> {
    let ours = |name: &str| {
        name == FORMAT || name.starts_with("purges") || name.ends_with(DRAFT) || Name::read(name).is_some()
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| ours(name)));
    }
    names.sort_unstable_by_key(|name| !name.starts_with("purges")); // without its journal nothing is trusted any more
    for name in names {
        fs::remove_file(folder.join(name))?;
    }
    let path = folder.join(FORMAT);
    private()
        .write(true)
        .truncate(true)
        .open(path)?
        .write_all(FORMAT_TEXT.as_bytes())
}

/// What a file is called: key, variant, and when it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) key: KeyHash,
    pub(super) variant: u64,
    pub(super) stamp: u64,
}

impl Name {
    pub(super) fn path(self, folder: &Path) -> PathBuf {
        let Self { key, variant, stamp } = self;
        folder.join(format!("{:032x}-{variant:016x}-{stamp:016x}{ANSWER}", key.0))
    }

    pub(super) fn draft(self, folder: &Path) -> PathBuf {
        folder.join(format!("{:032x}{DRAFT}", self.key.0))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(ANSWER)?.split('-');
        let (key, variant, stamp) = (parts.next()?, parts.next()?, parts.next()?);
        let lengths = (key.len(), variant.len(), stamp.len());
        let whole = lengths == (32, 16, 16) && parts.next().is_none();
        whole.then_some(())?;
        let half = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            key: KeyHash(u128::from_str_radix(key, 16).ok()?),
            variant: half(variant)?,
            stamp: half(stamp)?,
        })
    }
}

/// The answers that lie in a folder with the bytes that they take, the oldest first. Drafts that nobody ended are removed.
pub(super) fn scan(folder: &Path) -> io::Result<Vec<(Name, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(text) = entry.file_name().into_string() else {
            continue;
        };
        if text.ends_with(DRAFT) {
            fs::remove_file(entry.path())?;
        } else if let Some(name) = Name::read(&text) {
            let about = entry.metadata()?;
            found.push(((about.mtime(), about.mtime_nsec()), name, on_disk(about.len())));
        }
    }
    found.sort_unstable_by_key(|(time, name, _)| (*time, name.stamp));
    Ok(found.into_iter().map(|(_, name, bytes)| (name, bytes)).collect())
}

/// Bytes that a file of this length takes.
pub(super) const fn on_disk(len: u64) -> u64 {
    len.div_ceil(BLOCK_BYTES)
        .saturating_mul(BLOCK_BYTES)
        .saturating_add(BLOCK_BYTES) // and its entry in the folder
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{KeyHash, Name};

    #[test]
    fn names_read_back_and_nothing_else_does() {
        let name = Name {
            key: KeyHash(0x1234),
            variant: 7,
            stamp: 99,
        };
        let path = name.path(Path::new("x"));
        let text = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(Name::read(text), Some(name));
        for other in [
            "",
            "passwd",
            ".answer",
            &text[1..],
            &text.replace('-', "_"),
            &format!("{text}x"),
        ] {
            assert_eq!(Name::read(other), None, "{other}");
        }
    }
}
