//! Replaces a file as a whole, so that a crash leaves the old text or the new one, and whoever reads sees one of the two.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Mode of a file that was not there before.
const MODE: u32 = 0o644;

/// Why a file was not replaced.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteProblem {
    /// Somebody saved it since it was read.
    #[error("somebody saved it just now")]
    Changed,
    /// It is a link that leads to a file elsewhere.
    #[error("it is a link that leads out of the site's folder: change the flag where its files come from")]
    LeadsOut,
    /// The system says no.
    #[error("{source}{}", way_out(source))]
    System {
        /// What it says.
        #[from]
        source: io::Error,
    },
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ": the router may not write there; change the flag where its files come from, or let it"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": make room",
        _ => "",
    }
}

/// The text of a file; `None`: it isn't there.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes `path`, a file beneath `folder`, what `text` says, if it still is what `before` says. The file is replaced by another
/// one with its mode and, where that may be, its owner; of a link, the file that it leads to.
pub(super) fn replace(
    folder: &Path,
    path: &Path,
    before: Option<&str>,
    text: &str,
) -> Result<(), WriteProblem> {
    let target = match fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error.into()),
    };
    let (Some(beside), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidFilename).into());
    };
    if !fs::canonicalize(beside)?.starts_with(fs::canonicalize(folder)?) {
        return Err(WriteProblem::LeadsOut);
    }
    // Hidden, so that nobody takes it for a flag.
    let draft = beside.join(format!(".{}.banyan-new", name.to_string_lossy()));
    let written = write_draft(&draft, &target, text).and_then(|()| {
        if read(&target)?.as_deref() != before {
            return Err(WriteProblem::Changed);
        }
        fs::rename(&draft, &target)?;
        fs::File::open(beside)?.sync_all()?;
        Ok(())
    });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

fn write_draft(draft: &Path, target: &Path, text: &str) -> Result<(), WriteProblem> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {} // a crash left it
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(draft)?;
    if let Ok(about) = fs::metadata(target) {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (about.uid(), about.gid()) {
            // Only root may give files away. Where it fails, the file is the router's now, readable as it was.
            let _ = std::os::unix::fs::fchown(&file, Some(about.uid()), Some(about.gid()));
        }
        file.set_permissions(fs::Permissions::from_mode(about.mode() & 0o777))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// Who owns a file, by name if the system tells it.
pub(super) fn owner(path: &Path) -> Option<String> {
    let uid = fs::metadata(path).ok()?.uid().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, id) = (parts.next()?, parts.nth(1)?);
        (id == uid).then(|| name.to_owned())
    });
    Some(named.unwrap_or_else(|| format!("user {uid}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_keeps_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "one").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(folder.path().join(".a.toml.banyan-new"), "left by a crash").unwrap();
        replace(folder.path(), &file, Some("one"), "two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_saved_meanwhile_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "theirs").unwrap();
        let told = replace(folder.path(), &file, Some("one"), "two").unwrap_err();
        assert!(matches!(told, WriteProblem::Changed));
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link_and_may_not_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("site")).unwrap();
        let site = folder.path().join("site");
        fs::write(site.join("real.toml"), "one").unwrap();
        fs::write(folder.path().join("outside.toml"), "one").unwrap();
        symlink("real.toml", site.join("in.toml")).unwrap();
        symlink("../outside.toml", site.join("out.toml")).unwrap();
        replace(&site, &site.join("in.toml"), Some("one"), "two").unwrap();
        assert_eq!(fs::read_to_string(site.join("real.toml")).unwrap(), "two");
        assert!(fs::symlink_metadata(site.join("in.toml")).unwrap().is_symlink());
        let told = replace(&site, &site.join("out.toml"), Some("one"), "two").unwrap_err();
        assert!(matches!(told, WriteProblem::LeadsOut));
        assert_eq!(
            fs::read_to_string(folder.path().join("outside.toml")).unwrap(),
            "one"
        );
    }

    #[test]
    fn a_folder_that_may_not_be_written_is_an_error_that_says_what_to_do() {
        let told = WriteProblem::from(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)).to_string();
        assert!(
            told.contains("change the flag where its files come from"),
            "{told}"
        );
    }
}
