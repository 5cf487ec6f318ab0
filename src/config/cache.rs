//! `[cache]`: what answers that are kept for everyone may take, and what it means.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::Report,
    values::{SizeText, Spot, size_text},
};
use crate::cache::store::{
    LARGE_FROM, StoreSettings,
    disk::{DiskSettings, folder::judge},
};

/// `[cache]`: what the cache may take, for routes that have one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CacheFile {
    /// Memory for all that is kept: bodies, fields, keys. When there would be more, what is used least goes. Unless said: `"256MiB"`.
    memory: Option<Spot<SizeText>>,
    /// How much of it answers above 1 MiB may take; the others have the rest. Unless said: a quarter of `memory`.
    large: Option<Spot<SizeText>>,
    /// The largest body that is kept; a larger one is passed on. Unless said: 16 MiB, or `large` if that is less.
    entry: Option<Spot<SizeText>>,
    /// Memory for answers that are on their way into the cache; further ones are passed on and not kept. Unless said: a quarter of `memory`.
    collecting: Option<Spot<SizeText>>,
    /// A folder of its own, of mode 700 (made if it isn't there): what is kept lies there as well, for when memory has let go of it, and for
    /// after a restart. Nothing that may be one visitor's own does. Unless said, there is none. Another folder takes a restart.
    disk: Option<Spot<String>>,
    /// Disk for all that lies in `disk`. When there would be more, the oldest that nobody asks for goes. Unless said: `"1GiB"`.
    disk_bytes: Option<Spot<SizeText>>,
}

/// Bytes of `disk` unless said.
const DISK_BYTES: u64 = 1024 * 1024 * 1024;
/// Least bytes of `disk`.
const DISK_BYTES_MIN: u64 = 1024 * 1024;

impl CacheFile {
    /// Judges it. What is wrong is in the report.
    pub(super) fn settle(file: Option<&Spot<Self>>, report: &mut Report) -> StoreSettings {
        let usual = StoreSettings::default();
        let Some(Spot { value: file, .. }) = file else {
            return usual;
        };
        let bytes = |size: &Option<Spot<SizeText>>| size.as_ref().map(|size| size.value.0 as u64);
        let memory = bytes(&file.memory).unwrap_or(usual.memory);
        let large = bytes(&file.large).unwrap_or(memory / 4);
        let settings = StoreSettings {
            memory,
            large,
            entry: bytes(&file.entry).unwrap_or_else(|| usual.entry.min(large)),
            collecting: bytes(&file.collecting).unwrap_or(memory / 4),
        };
        if let Some(large) = file.large.as_ref().filter(|_| settings.large >= memory) {
            let what = format!(
                "`large` is {}, which leaves nothing of `memory` ({}) to other answers",
                size_text(large.value.0),
                text(memory)
            );
            report
                .error("out-of-range", large.span.clone(), what)
                .hint("it is the part of `memory` for answers above 1 MiB");
        }
        let most = match settings.entry > LARGE_FROM {
            true => ("large", settings.large),
            false => ("memory` less `large", settings.small()),
        };
        if let Some(entry) = file.entry.as_ref().filter(|_| settings.entry > most.1) {
            let what = format!("an `entry` of {} finds no room", size_text(entry.value.0));
            report
                .error("out-of-range", entry.span.clone(), what)
                .hint(format!(
                    "`{}` is {}: raise it, or lower `entry`",
                    most.0,
                    text(most.1)
                ));
        }
        if let Some(collecting) = file
            .collecting
            .as_ref()
            .filter(|_| settings.collecting < settings.entry)
        {
            let what = format!(
                "`collecting` is {}, so that no `entry` of {} is ever kept",
                size_text(collecting.value.0),
                text(settings.entry)
            );
            report
                .warning("out-of-range", collecting.span.clone(), what)
                .hint("an answer counts there while it comes in: let it be a few times `entry`");
        }
        settings
    }
}

impl CacheFile {
    /// Judges what it says of a disk.
    pub(super) fn settle_disk(
        file: Option<&Spot<Self>>,
        folder: &Path,
        report: &mut Report,
    ) -> Option<DiskSettings> {
        let file = &file?.value;
        let bytes = file.disk_bytes.as_ref();
        let Some(disk) = &file.disk else {
            if let Some(bytes) = bytes {
                report
                    .error("no-disk", bytes.span.clone(), "`disk_bytes` of no `disk`")
                    .hint("name a folder by `disk`, or take `disk_bytes` out");
            }
            return None;
        };
        let settings = DiskSettings {
            folder: folder.join(&disk.value),
            bytes: bytes.map_or(DISK_BYTES, |bytes| bytes.value.0 as u64),
        };
        if let Some(bytes) = bytes.filter(|_| settings.bytes < DISK_BYTES_MIN) {
            report
                .error(
                    "out-of-range",
                    bytes.span.clone(),
                    format!("`disk_bytes` is {}", text(settings.bytes)),
                )
                .hint(format!("it is {} at least", text(DISK_BYTES_MIN)));
        }
        if disk.value.is_empty() {
            report
                .error("bad-path", disk.span.clone(), "`disk` can't be empty")
                .hint("name a folder");
        } else if let Err(why) = judge(&settings.folder) {
            report
                .error(
                    "bad-folder",
                    disk.span.clone(),
                    format!("`disk`: {} {why}", settings.folder.display()),
                )
                .hint("it is a folder of its own, which its owner alone may look into");
        }
        Some(settings)
    }
}

fn text(bytes: u64) -> String {
    size_text(usize::try_from(bytes).unwrap_or(usize::MAX))
}
