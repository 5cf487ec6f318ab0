//! `[handover]`: how a new program takes over from the one that runs.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    report::Report,
    settings::HandoverSettings,
    values::{DurationText, Spot},
};
use crate::limits::Limits;

/// `[handover]`: a new program that is started on the same files takes the listening sockets over from the one that runs, which finishes
/// what is under way and ends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HandoverFile {
    /// The Unix socket over which it does, such as `/run/banyan/handover.sock`. Without it none takes over.
    socket: Option<Spot<String>>,
    /// Time that a new program has to become ready. One that takes longer changes nothing.
    timeout: DurationText,
    /// Time that the program before has for what is under way; WebSockets are asked to close during its first half. Without it:
    /// `limits.drain_timeout`.
    window: Option<DurationText>,
}

impl Default for HandoverFile {
    fn default() -> Self {
        Self {
            socket: None,
            timeout: DurationText(Duration::from_secs(60)), // a site of thousands of routes starts in a few
            window: None,
        }
    }
}

impl HandoverFile {
    /// Judges the table.
    pub(super) fn settle(&self, folder: &Path, report: &mut Report) -> HandoverSettings {
        HandoverSettings {
            socket: self.socket.as_ref().map(|socket| path(folder, socket, report)),
            timeout: self.timeout.0,
        }
    }

    /// The bounds, with the window.
    pub(super) fn bound(&self, mut limits: Limits) -> Limits {
        limits.handover_window = self
            .window
            .as_ref()
            .map_or(limits.drain_timeout, |window| window.0);
        limits
    }
}

fn path(folder: &Path, socket: &Spot<String>, report: &mut Report) -> PathBuf {
    let path = folder.join(&socket.value);
    let bytes = path.as_os_str().as_bytes().len();
    let wrong = if socket.value.is_empty() {
        Some("`socket` can't be empty".to_owned())
    } else if socket.value.ends_with('/') || path.is_dir() {
        Some(format!("`{}` is a folder", socket.value))
    } else if path.is_file() {
        Some(format!("`{}` is a file, and no socket", socket.value))
    } else if bytes > PATH_BYTES_MAX {
        Some(format!(
            "the path of the socket has {bytes} bytes, at most {PATH_BYTES_MAX} fit"
        ))
    } else {
        None
    };
    if let Some(wrong) = wrong {
        report
            .error("bad-path", socket.span.clone(), wrong)
            .hint("name a socket that Banyan may make, such as `/run/banyan/handover.sock`");
    }
    path
}

/// A Unix socket's path fits into 108 bytes with a zero at its end, and while it is made it has the process's number after it.
const PATH_BYTES_MAX: usize = 96;
