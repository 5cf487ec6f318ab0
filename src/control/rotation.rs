//! The keys that sign `Banyan-Identity`, made anew from time to time: the next one is published before it signs, the one before it for
//! a while after, so that a backend that keeps the key set for a day never meets a key that it doesn't know.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};

use super::keep::kept;
use crate::{clock::UnixTime, gate::assertion::SigningKeys};

/// How old a key is when the next one is made.
const AGE: Duration = Duration::from_secs(29 * 86_400);

/// How long a key is published before it signs: how long backends may keep the key set.
const AHEAD: Duration = Duration::from_secs(86_400);

/// How long a key is published after it has signed for the last time; an assertion lives for a minute.
const AFTER: Duration = Duration::from_secs(3_600);

/// The keys of `state` at `now`: `identity.key` signs, `identity.next.key` will, `identity.old.key` did. Their files' times are their ages.
///
/// # Errors
/// The folder or a file can't be read or written, or holds something else.
pub(super) fn keys(state: &Path, now: UnixTime) -> io::Result<SigningKeys> {
    let at = |name: &str| state.join(name);
    let (current, next, old) = (
        at("identity.key"),
        at("identity.next.key"),
        at("identity.old.key"),
    );
    made_at(&current, now)?;
    if is_older(&old, AFTER, now)? {
        fs::remove_file(&old)?;
    }
    if is_older(&next, AHEAD, now)? {
        fs::rename(&current, &old)?;
        stamp(&old, now)?; // its last day begins
        fs::rename(&next, &current)?;
    } else if is_older(&current, AGE, now)? {
        made_at(&next, now)?;
    }
    let others = [next, old]
        .iter()
        .filter(|file| file.exists())
        .map(|file| kept(file, make))
        .collect::<io::Result<Vec<_>>>()?;
    SigningKeys::from_pkcs8(&kept(&current, make)?, &others)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Makes a key, if it isn't there.
fn made_at(file: &Path, now: UnixTime) -> io::Result<()> {
    let is_new = !file.exists();
    kept(file, make)?;
    if is_new { stamp(file, now) } else { Ok(()) }
}

fn stamp(file: &Path, now: UnixTime) -> io::Result<()> {
    let times = fs::FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_millis(now.millis));
    fs::File::options().write(true).open(file)?.set_times(times)
}

fn make() -> io::Result<Vec<u8>> {
    let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(io::Error::other)?;
    Ok(made.as_ref().to_vec())
}

/// Whether a file is there and this old. One from the future is not.
fn is_older(file: &Path, age: Duration, now: UnixTime) -> io::Result<bool> {
    let modified = match fs::metadata(file) {
        Ok(about) => about.modified()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let now: SystemTime = UNIX_EPOCH + Duration::from_millis(now.millis);
    Ok(now.duration_since(modified).is_ok_and(|old| old >= age))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{AFTER, AGE, AHEAD, keys};
    use crate::{
        clock::{self, UnixTime},
        gate::assertion::Signer,
    };

    #[test]
    fn a_key_is_known_before_it_signs_and_for_a_while_after() {
        let state = tempfile::tempdir().unwrap();
        let began = clock::wall();
        let kids = |later: std::time::Duration| {
            let now = UnixTime {
                millis: began.millis + u64::try_from(later.as_millis()).unwrap(),
            };
            let signer = Signer::new(keys(state.path(), now).unwrap(), &[0; 32]);
            let jwks: Value = serde_json::from_str(&signer.jwks()).unwrap();
            let keys = jwks["keys"].as_array().unwrap().clone();
            let kids = keys
                .into_iter()
                .map(|key| key["kid"].as_str().unwrap().to_owned());
            kids.collect::<Vec<_>>()
        };
        let first = kids(std::time::Duration::ZERO);
        assert_eq!(first.len(), 1);
        assert_eq!(kids(AGE / 2), first);
        let second = std::time::Duration::from_secs(1);
        let announced = kids(AGE + second);
        assert_eq!((announced.len(), &announced[0]), (2, &first[0]));
        assert_eq!(
            kids(AGE + AHEAD),
            announced,
            "it is known for a day before it signs"
        );
        let swapped = kids(AGE + AHEAD + second * 2);
        assert_eq!(swapped, [announced[1].clone(), first[0].clone()]);
        assert_eq!(
            kids(AGE + AHEAD + AFTER),
            swapped,
            "the old one is still published"
        );
        assert_eq!(kids(AGE + AHEAD + AFTER + second * 3), [announced[1].clone()]);
    }
}
