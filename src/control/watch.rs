//! Notices that a file of the site was saved.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::config::settings::SETTLE;

/// Watches folders until dropped.
#[derive(Debug)]
pub struct Watch {
    watcher: RecommendedWatcher,
    folders: Vec<Folder>,
    changes: mpsc::Receiver<()>,
    /// A change was noticed and is waited out. Kept here because whoever waits may stop and come back.
    noticed: bool,
}

/// A folder, and which one it was when it was last watched.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Device and inode; `None`: there was none.
    watched: Option<(u64, u64)>,
}

impl Watch {
    /// Watches the folder of `banyan.toml`, its `routes` and `flags`, and `certs`.
    ///
    /// Folders are watched, not files: editors and Kubernetes replace files by renaming, and a watch on a file would follow the
    /// old one. Folders that come, go or are replaced are found by [`Watch::look_around`].
    ///
    /// # Errors
    /// The kernel offers no watch (its limit of inotify instances is reached).
    pub fn start(folder: &Path, certs: &Path) -> notify::Result<Self> {
        // One waiting notice is enough: whoever takes it reads everything.
        let (sender, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let read_only = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
            if !read_only {
                let _ = sender.try_send(());
            }
        })?;
        let paths = [
            folder.to_path_buf(),
            folder.join("routes"),
            folder.join("flags"),
            certs.to_path_buf(),
        ];
        let folders = paths
            .into_iter()
            .map(|path| Folder { path, watched: None })
            .collect();
        let mut watch = Self {
            watcher,
            folders,
            changes,
            noticed: false,
        };
        watch.look_around();
        watch.noticed = false;
        Ok(watch)
    }

    /// Watches folders that are new or other ones than before: a watch stays with the folder it was put on, not with its name.
    /// What was saved in them meanwhile counts as a change. To be called once in a while.
    pub fn look_around(&mut self) {
        for folder in &mut self.folders {
            let now = fs::metadata(&folder.path)
                .ok()
                .filter(fs::Metadata::is_dir)
                .map(|it| (it.dev(), it.ino()));
            if now == folder.watched {
                continue;
            }
            let _ = self.watcher.unwatch(&folder.path);
            if now.is_some()
                && let Err(error) = self.watcher.watch(&folder.path, RecursiveMode::NonRecursive)
            {
                tracing::warn!(folder = %folder.path.display(), %error, "this folder is not watched");
                continue;
            }
            folder.watched = now;
            self.noticed = true;
        }
    }

    /// Waits for the next change, and then until nothing has changed for a moment: one save is one reload. No change is lost
    /// when the future is dropped before it ends.
    pub async fn changed(&mut self) {
        if !self.noticed && self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.noticed = true;
        let mut rests = 0;
        // A folder that never rests (a log in it, say) must not put the reload off for ever.
        while rests < RESTS_MAX && tokio::time::timeout(SETTLE, self.changes.recv()).await.is_ok() {
            rests += 1;
        }
        self.noticed = false;
    }
}

/// Rests of [`SETTLE`] that a busy folder may put a reload off for.
const RESTS_MAX: u32 = 3;

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
