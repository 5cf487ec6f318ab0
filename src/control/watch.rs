//! Notices that a file of the site was saved.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::ModifyKind};
use tokio::sync::mpsc;

use crate::{
    config::{Sources, settings::SETTLE},
    tls::CertStore,
};

/// Rests of [`SETTLE`] that busy files may put a reload off for.
const RESTS_MAX: u32 = 3;

/// What is read of a site, and so is worth reading again once it was saved. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The folder of the operator's file, of `routes` and of `flags`.
    pub folder: PathBuf,
    /// The operator's file, almost always `banyan.toml`.
    pub main: String,
    /// The folder of certificates.
    pub certs: PathBuf,
    /// The file with the gate's keys, where they are in a file.
    pub keys: Option<PathBuf>,
    /// Error pages that the files name.
    pub pages: Vec<PathBuf>,
    /// Keys that may sign addresses, and the database of places.
    pub attached: Vec<PathBuf>,
}

/// Watches files until dropped.
#[derive(Debug)]
pub struct Watch {
    watcher: RecommendedWatcher,
    wanted: Wanted,
    sieve: Arc<ArcSwap<Sieve>>,
    changes: mpsc::Receiver<()>,
    /// A change was noticed and is waited out. Kept here because whoever waits may stop and come back.
    noticed: bool,
}

/// Tells files that are read from others beside them, such as the access log.
#[derive(Debug, Clone, Default)]
struct Sieve {
    folders: Vec<Folder>,
}

/// A folder, and which one it was when it was last watched.
#[derive(Debug, Clone)]
struct Folder {
    path: PathBuf,
    reads: Reads,
    /// Device and inode; `None`: there was none.
    watched: Option<(u64, u64)>,
}

/// What is read of a folder.
#[derive(Debug, Clone)]
enum Reads {
    /// The file of that name.
    One(PathBuf),
    /// What [`Sources`] reads of its folder of that name.
    Sources(&'static str),
    Certificates,
}

impl Watch {
    /// Watches the folders of what is wanted.
    ///
    /// Folders are watched, not files: editors and Kubernetes replace files by renaming, and a watch on a file would follow the
    /// old one. Folders that come, go or are replaced are found by [`Watch::look_around`].
    ///
    /// # Errors
    /// The kernel offers no watch (its limit of inotify instances is reached).
    pub fn start(wanted: Wanted) -> notify::Result<Self> {
        // One waiting notice is enough: whoever takes it reads everything.
        let (sender, changes) = mpsc::channel(1);
        let sieve = Arc::new(ArcSwap::from_pointee(Sieve::of(&wanted)));
        let seen = Arc::clone(&sieve);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| seen.load().lets_through(&event)) {
                let _ = sender.try_send(());
            }
        })?;
        let mut watch = Self {
            watcher,
            wanted,
            sieve,
            changes,
            noticed: false,
        };
        watch.look_around();
        watch.noticed = false;
        Ok(watch)
    }

    /// Watches other folders where something else is wanted than before.
    pub fn follow(&mut self, wanted: Wanted) {
        if wanted == self.wanted {
            return;
        }
        for folder in &self.sieve.load().folders {
            let _ = self.watcher.unwatch(&folder.path);
        }
        self.sieve.store(Arc::new(Sieve::of(&wanted)));
        self.wanted = wanted;
        self.look_around();
    }

    /// Watches folders that are new or other ones than before: a watch stays with the folder it was put on, not with its name.
    /// What was saved in them meanwhile counts as a change. To be called once in a while.
    pub fn look_around(&mut self) {
        let mut sieve = Sieve::clone(&self.sieve.load());
        let mut changed = Vec::new();
        for folder in &mut sieve.folders {
            let now = fs::metadata(&folder.path)
                .ok()
                .filter(fs::Metadata::is_dir)
                .map(|it| (it.dev(), it.ino()));
            if now != folder.watched {
                folder.watched = now;
                changed.push(folder.path.clone());
            }
        }
        if changed.is_empty() {
            return;
        }
        self.noticed = true;
        self.sieve.store(Arc::new(sieve.clone()));
        for path in changed {
            let _ = self.watcher.unwatch(&path);
            let there = |folder: &Folder| folder.path == path && folder.watched.is_some();
            if sieve.folders.iter().any(there)
                && let Err(error) = self.watcher.watch(&path, RecursiveMode::NonRecursive)
            {
                tracing::warn!(folder = %path.display(), %error, "this folder is not watched");
                sieve.forget(&path); // it is tried again the next time
            }
        }
        self.sieve.store(Arc::new(sieve));
    }

    /// Waits for the next change, and then until nothing has changed for a moment: one save is one reload. No change is lost
    /// when the future is dropped before it ends.
    pub async fn changed(&mut self) {
        if !self.noticed && self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.noticed = true;
        let mut rests = 0;
        // Files that never rest must not put the reload off for ever.
        while rests < RESTS_MAX && tokio::time::timeout(SETTLE, self.changes.recv()).await.is_ok() {
            rests += 1;
        }
        self.noticed = false;
    }
}

impl Sieve {
    fn of(wanted: &Wanted) -> Self {
        let folder = |path: PathBuf, reads| Folder {
            path,
            reads,
            watched: None,
        };
        let main = Reads::One(PathBuf::from(&wanted.main));
        let mut folders = vec![
            folder(wanted.folder.clone(), main),
            folder(wanted.certs.clone(), Reads::Certificates),
        ];
        folders.extend(Sources::folders().map(|name| folder(wanted.folder.join(name), Reads::Sources(name))));
        let files = wanted.keys.iter().chain(&wanted.pages).chain(&wanted.attached);
        for (parent, name) in files.filter_map(|file| file.parent().zip(file.file_name())) {
            folders.push(folder(parent.to_path_buf(), Reads::One(name.into())));
        }
        Self { folders }
    }

    fn forget(&mut self, path: &Path) {
        let folders = self.folders.iter_mut().filter(|folder| folder.path == path);
        folders.for_each(|folder| folder.watched = None);
    }

    /// Whether the event may be about a file that is read.
    fn lets_through(&self, event: &notify::Event) -> bool {
        match event.kind {
            EventKind::Access(_) => false,
            _ if event.paths.is_empty() => true, // the kernel's queue ran over: nobody knows what it was about
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
                self.reads_one_of(&event.paths)
            }
            // A link or folder that comes or goes may lead to what is read: Kubernetes exchanges `..data` whole.
            _ => {
                self.reads_one_of(&event.paths) || event.paths.iter().any(|path| self.may_lead_to_files(path))
            }
        }
    }

    fn reads_one_of(&self, paths: &[PathBuf]) -> bool {
        paths.iter().any(|path| self.reads(path))
    }

    fn reads(&self, path: &Path) -> bool {
        let (Some(parent), Some(file)) = (path.parent(), path.file_name()) else {
            return false;
        };
        // Two paths may lead to one folder, which the kernel then knows by the one that came last.
        let known = self.folders.iter().find(|folder| folder.path == parent);
        let Some(known) = known else {
            return false;
        };
        let same = |folder: &&Folder| folder.path == parent || folder.watched == known.watched;
        self.folders
            .iter()
            .filter(same)
            .any(|folder| match &folder.reads {
                Reads::One(name) => name.as_os_str() == file,
                Reads::Sources(name) => file.to_str().is_some_and(|file| Sources::reads(name, file)),
                Reads::Certificates => CertStore::reads(Path::new(file)),
            })
    }

    fn may_lead_to_files(&self, path: &Path) -> bool {
        self.folders.iter().any(|folder| folder.path == path)
            || fs::symlink_metadata(path).is_ok_and(|it| it.is_symlink() || it.is_dir())
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
