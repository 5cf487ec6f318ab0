//! Makes override links and calls them back: tokens from the snapshot's keys, the list of what is called back in the state folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::rand;

use super::keep;
use crate::{
    clock::UnixTime,
    snapshot::Snapshot,
    visitor::{BadWish, FOR_MAX, LinkId, Minted, OVERRIDE_PATH, REVOKED_MAX, Revoked, RevokedFull, Wish},
};

/// The list's name in the state folder: a JSON list of ids.
const FILE: &str = "revoked.json";
/// The largest list that is read: all that may be called back, as JSON.
const FILE_BYTES_MAX: u64 = 40 * REVOKED_MAX as u64;

/// Where links are kept track of, and where they lead.
#[derive(Debug, Default)]
pub struct Links {
    /// The state folder.
    pub state: PathBuf,
    /// The port that links name; `None`: the one that `https` means by itself.
    pub https_port: Option<u16>,
}

/// Why a link can't be made.
#[derive(Debug, thiserror::Error)]
pub enum NoLink {
    /// It can't be wished for.
    #[error(transparent)]
    Wish(#[from] BadWish),
    /// There is no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// Why a link can't be called back.
#[derive(Debug, thiserror::Error)]
pub enum NotRevoked {
    /// Nobody made it.
    #[error("no link has this id")]
    Unknown,
    /// There are too many.
    #[error(transparent)]
    Full(#[from] RevokedFull),
    /// The list was damaged when it was read, and is not written over.
    #[error(
        "`{FILE}` in the state folder is damaged, so that no link counts at all: mend or remove it, then reload"
    )]
    Damaged,
    /// The list can't be written.
    #[error("`{FILE}` can't be written: {0}")]
    Unwritable(#[from] io::Error),
}

impl Links {
    /// Makes a link: its address, a secret, and its id.
    ///
    /// # Errors
    /// [`NoLink`].
    pub fn make(&self, wish: &Wish<'_>, now: UnixTime, at: &Snapshot) -> Result<(String, Minted), NoLink> {
        let mut entropy = [0; 20];
        rand::fill(&mut entropy).map_err(|_| NoLink::Random)?;
        let minted = at.visitors.mint_override(wish, now, entropy)?;
        let port = self.https_port.map(|port| format!(":{port}")).unwrap_or_default();
        let url = format!("https://{}{port}{OVERRIDE_PATH}?t={}", wish.host, minted.token);
        Ok((url, minted))
    }

    /// Calls a link back: from the next request on, and after every restart. One that has ended by itself is left alone.
    ///
    /// # Errors
    /// [`NotRevoked`]; the link still counts then.
    pub fn revoke(&self, link: LinkId, now: UnixTime, at: &Snapshot) -> Result<(), NotRevoked> {
        if link.ends().secs() > now.secs().saturating_add(FOR_MAX.as_secs()) {
            return Err(NotRevoked::Unknown);
        }
        if link.has_ended(now) {
            return Ok(());
        }
        let known = at.revoked.load_full();
        if *known == Revoked::Everything {
            return Err(NotRevoked::Damaged);
        }
        let revoked = known.and(link, now)?;
        let ids: Vec<String> = revoked.links().map(|link| link.to_string()).collect();
        let text = serde_json::to_string(&ids).map_err(io::Error::other)?;
        keep::write_private(&self.state.join(FILE), &text)?;
        at.revoked.store(Arc::new(revoked));
        Ok(())
    }
}

/// Reads what was called back and has not ended. Where that can't be known, nothing counts: the list is there to keep people out.
#[must_use]
pub fn read_revoked(state: &Path, now: UnixTime) -> Revoked {
    match read(&state.join(FILE)) {
        Ok(links) => Revoked::of(links, now),
        Err(error) => {
            tracing::error!(%error, file = FILE, "the list of revoked links can't be read: no override link counts");
            Revoked::Everything
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<LinkId>> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
        Ok(told) if told.len() > FILE_BYTES_MAX => return Err(io::Error::other("it is too large")),
        Ok(_) => {}
    }
    let ids: Vec<String> = serde_json::from_str(&fs::read_to_string(file)?).map_err(io::Error::other)?;
    let links = ids.iter().map(|id| id.parse().map_err(io::Error::other));
    links.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{FILE, read_revoked};
    use crate::{clock::UnixTime, visitor::Revoked};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[track_caller]
    fn check(text: &str, expected: Option<usize>) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        let revoked = read_revoked(folder.path(), NOW);
        match expected {
            Some(count) => assert_eq!(revoked.links().count(), count, "{text}"),
            None => assert_eq!(revoked, Revoked::Everything, "{text}"),
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_calls_everything_back() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_revoked(folder.path(), NOW), Revoked::default());
        check("[]", Some(0));
        check("[\"6b49d2010000000000000001\"]", Some(1));
        check("[\"6b49d1ff0000000000000001\"]", Some(0)); // ended a second ago
        check("", None);
        check("{}", None);
        check("[\"6b49d20100000000000000\"]", None);
        check(&format!("[{}]", " ".repeat(200_000)), None);
    }
}
