//! Files that `banyan.toml` names beside itself: public keys and the database of places. They are a part of it: where one can't be used,
//! everything stays as it last was.

use std::{collections::BTreeMap, fmt, sync::Arc};

use toml::de::{DeTable, DeValue};

use super::{Env, report::Report, sources::Unreadable, substitute::substitute};
use crate::policy::{geo::DATABASE_BYTES_MAX, signed::KEY_BYTES_MAX};

/// Most files that are read.
pub(super) const ATTACHED_MAX: usize = 1_000;

/// Files by the names that are written, after variables were put in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attached(pub(super) BTreeMap<String, File>);

/// A file, and what tells that it is still the same.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Result<Arc<[u8]>, Unreadable>,
    /// `None`: it is read again each time.
    pub(super) stamp: Option<Stamp>,
}

/// Device, inode, length, and the times of its last change in seconds and nanoseconds.
pub(super) type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

/// A file that is not read again while its stamp stays the same has at least this many bytes: a database, which is replaced whole.
pub(super) const STAMPED_BYTES_MIN: u64 = 1024 * 1024;

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bytes {
            Ok(bytes) => write!(f, "{} bytes", bytes.len()),
            Err(reason) => write!(f, "{reason:?}"),
        }
    }
}

/// The files that the text of `banyan.toml` names, each with the most bytes that it may have.
pub(super) fn named(text: &str, env: &Env<'_>) -> Vec<(String, u64)> {
    let Ok(root) = DeTable::parse(text) else {
        return Vec::new(); // it will be said of the file itself
    };
    let mut root = DeValue::Table(root.into_inner());
    substitute(&mut root, env, &mut Report::of("", ""));
    let mut found = Vec::new();
    let groups = inside(&root, "key_groups").and_then(entries);
    for group in groups.into_iter().flatten() {
        found.extend(
            entries(group)
                .into_iter()
                .flatten()
                .filter_map(|path| text_of(path, KEY_BYTES_MAX)),
        );
    }
    let database = inside(&root, "geo").and_then(|geo| inside(geo, "database"));
    found.extend(database.and_then(|path| text_of(path, DATABASE_BYTES_MAX)));
    found.truncate(ATTACHED_MAX);
    found
}

fn inside<'v, 'i>(value: &'v DeValue<'i>, key: &str) -> Option<&'v DeValue<'i>> {
    match value {
        DeValue::Table(table) => table.get(key).map(toml::Spanned::get_ref),
        _ => None,
    }
}

fn entries<'v, 'i>(value: &'v DeValue<'i>) -> Option<impl Iterator<Item = &'v DeValue<'i>>> {
    match value {
        DeValue::Table(table) => Some(table.values().map(toml::Spanned::get_ref)),
        _ => None,
    }
}

fn text_of(value: &DeValue<'_>, bytes_max: u64) -> Option<(String, u64)> {
    match value {
        DeValue::String(path) if !path.is_empty() => Some((path.to_string(), bytes_max)),
        _ => None,
    }
}
