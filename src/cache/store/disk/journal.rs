//! Purges as they are written down, so that they hold after a restart.
//!
//! A journal is a file of records, each with the time on the purges' clock and a part of its SHA-256. It is whole or worth nothing: beside
//! it a small file says up to which time it goes, and where the two differ, or one record is not as it was written, nothing that was kept
//! is trusted. It is begun anew when it is too long; what was kept before the beginning of the oldest that is left is not trusted either.

use std::{
    fs::{self, File, OpenOptions},
    hash::RandomState,
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};

use super::codec::{In, Out};
use crate::cache::store::{How, What, purge::Generations};

/// Bytes of a journal. There are two at most.
const JOURNAL_BYTES_MAX: u64 = 8 * 1024 * 1024;
const CHECK_BYTES: usize = 8;
/// The file that says how far the journal goes.
const CLOCK: &str = "purges.clock";
const PREFIX: &str = "purges-";

/// A purge as it is written: without its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cache::store) struct Order(Vec<u8>);

impl Order {
    /// This purge, of everything or of a squad's.
    pub(in crate::cache::store) fn of(what: &What<'_>, squad: Option<&str>, how: How) -> Self {
        let mut out = Out::default();
        out.byte(match how {
            How::Soft => 0,
            How::Hard => 1,
        });
        out.optional(squad.map(str::as_bytes));
        let (kind, host, texts): (u8, Option<&str>, [&str; 2]) = match *what {
            What::Url { host, target } => (0, host, [target, ""]),
            What::Prefix { host, prefix } => (1, host, [prefix, ""]),
            What::Tag(tag) => (2, None, [tag, ""]),
            What::Group { host, name } => (3, Some(host), [name, ""]),
            What::Route(route) => (4, None, [route, ""]),
            What::Squad(squad) => (5, None, [squad, ""]),
            What::Flag(flag) => (6, None, [flag, ""]),
            What::Variant { flag, variant } => (7, None, [flag, variant]),
            What::Host(host) => (8, Some(host), ["", ""]),
            What::All => (9, None, ["", ""]),
        };
        out.byte(kind);
        out.optional(host.map(str::as_bytes));
        texts.iter().for_each(|text| out.bytes(text.as_bytes()));
        Self(out.0)
    }

    /// Purges so, at a time.
    fn replay(bytes: &[u8], at: u64, into: &Generations) -> Option<()> {
        let mut read = In(bytes);
        let how = match read.flag()? {
            false => How::Soft,
            true => How::Hard,
        };
        let squad = read.optional()?.map(std::str::from_utf8).transpose().ok()?;
        let kind = read.byte()?;
        let host = read.optional()?.map(std::str::from_utf8).transpose().ok()?;
        let (one, two) = (read.text()?, read.text()?);
        let what = match kind {
            0 => What::Url { host, target: one },
            1 => What::Prefix { host, prefix: one },
            2 => What::Tag(one),
            3 => What::Group {
                host: host?,
                name: one,
            },
            4 => What::Route(one),
            5 => What::Squad(one),
            6 => What::Flag(one),
            7 => What::Variant {
                flag: one,
                variant: two,
            },
            8 => What::Host(host?),
            9 => What::All,
            _ => return None,
        };
        into.purge_at(&what, squad, how, at);
        read.0.is_empty().then_some(())
    }
}

/// What the journals of a folder say.
#[derive(Debug)]
pub(in crate::cache::store) struct Told {
    /// The purges, on the journal's clock.
    pub(in crate::cache::store) purges: Generations,
    /// What was asked for before is not trusted.
    pub(in crate::cache::store) floor: u64,
    /// The time of the last.
    pub(in crate::cache::store) last: u64,
}

/// The journal that is written.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    file: File,
    bytes: u64,
    last: u64,
    clock: File,
}

/// An empty journal's.
pub(super) fn nothing(hasher: &RandomState) -> Told {
    Told {
        purges: Generations::hashing(hasher.clone()),
        floor: 0,
        last: 0,
    }
}

/// Reads the journals of a folder. `None`: there is none that is whole. Names lead where `hasher` says.
pub(super) fn read(folder: &Path, hasher: &RandomState) -> Option<Told> {
    let clock = fs::read(folder.join(CLOCK)).ok()?;
    let last = In(checked(&clock)?).number()?;
    let names = journals(folder).ok()?;
    let purges = Generations::hashing(hasher.clone());
    let (mut floor, mut at) = (None, 0);
    for (begins, path) in names {
        if floor.is_some() && begins != at {
            return None; // one between is missing
        }
        floor.get_or_insert(begins);
        at = begins;
        let bytes = fs::read(path).ok()?;
        let mut rest = In(&bytes);
        while !rest.0.is_empty() {
            let record = checked(rest.bytes()?)?;
            let mut record = In(record);
            let now = record.number()?;
            if now <= at {
                return None;
            }
            at = now;
            Order::replay(record.0, at, &purges)?;
        }
    }
    (at == last).then_some(Told {
        purges,
        floor: floor?,
        last,
    })
}

/// What stands before its check, if that is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
    (digest(&SHA256, bytes).as_ref().get(..CHECK_BYTES)? == check).then_some(bytes)
}

fn with_check(mut bytes: Vec<u8>) -> Vec<u8> {
    let check = digest(&SHA256, &bytes);
    bytes.extend(check.as_ref().iter().take(CHECK_BYTES));
    bytes
}

/// The journals, by their beginnings.
fn journals(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let begins = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(begins) = begins.and_then(|begins| u64::from_str_radix(begins, 16).ok()) {
            found.push((begins, folder.join(name)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// How a file is opened that is its owner's alone.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

impl Journal {
    /// Goes on from a time: in the newest that is there, or in a new one.
    pub(super) fn open(folder: &Path, last: u64) -> io::Result<Self> {
        let newest = journals(folder)?.pop().map(|(_, path)| path);
        let path = newest.unwrap_or_else(|| path_of(folder, last));
        let file = private().append(true).open(&path)?;
        let journal = Self {
            folder: folder.to_path_buf(),
            bytes: file.metadata()?.len(),
            last,
            file,
            clock: private().truncate(false).write(true).open(folder.join(CLOCK))?,
        };
        journal.tell(last)?;
        Ok(journal)
    }

    /// Writes purges down with their times, the last of which is `last`. They hold when this returns, even where the machine stops.
    pub(super) fn write(&mut self, orders: &[(u64, &Order)]) -> io::Result<()> {
        let mut out = Out::default();
        let known = self.last;
        for (at, order) in orders.iter().filter(|(at, _)| *at > known) {
            let mut record = Out::default();
            record.number(*at);
            record.0.extend_from_slice(&order.0);
            out.bytes(&with_check(record.0));
        }
        self.file.write_all(&out.0)?;
        self.file.sync_data()?;
        self.bytes += out.0.len() as u64;
        self.last = orders.last().map_or(known, |(at, _)| known.max(*at));
        self.tell(self.last)?;
        if self.bytes > JOURNAL_BYTES_MAX {
            self.begin_anew()?;
        }
        Ok(())
    }

    fn tell(&self, last: u64) -> io::Result<()> {
        let mut out = Out::default();
        out.number(last);
        self.clock.write_all_at(&with_check(out.0), 0)
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let path = path_of(&self.folder, self.last);
        self.file = private().append(true).open(&path)?;
        self.bytes = 0;
        let mut old = journals(&self.folder)?;
        old.truncate(old.len().saturating_sub(2));
        for (_, path) in old {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn path_of(folder: &Path, begins: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{begins:016x}"))
}
